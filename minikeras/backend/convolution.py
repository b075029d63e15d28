"""`K`: convolutions of sequences, images and volumes, over the ops that the layers use.

All functions take arrays as `data_format` says; the ops see views with the channels last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minikeras.backend.config import normalize_data_format
from minikeras.backend.nn import as_floats
from minikeras.backend.sliding import as_laid_out, channels_last, positive_ints, slide, source_of
from minikeras.backend.tape import differentiable
from minikeras.ops import convolution as ops
from minikeras.ops.depthwise import depthwise_conv, depthwise_conv_backward
from minikeras.ops.local import local_conv, local_conv_backward
from minikeras.utils.conv_utils import conv_output_length, normalize_tuple

_Ints = int | Sequence[int]
#: An op and the function of its gradients.
Pair = tuple[Callable[..., Any], Callable[..., Any]]


class _Kept(NamedTuple):
    """What the derivatives need: the arguments as the op got them."""

    x: np.ndarray
    kernel: np.ndarray
    data_format: str
    how: dict[str, Any]
    backward: Callable[..., Any]


def _prepare(
    name: str, rank: int, x: Any, kernel: Any, data_format: Any, axis: int = -2
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return both arrays in one type, `x` with the channels last, and the name of its layout."""
    x, data_format = source_of(name, x, rank, data_format)
    kernel = as_floats(kernel)
    if kernel.ndim != rank + 2 or kernel.shape[axis] != x.shape[-1]:
        raise ValueError(
            f"K.{name}: a kernel of shape {kernel.shape} does not go with an x of {x.shape[-1]} "
            f"channels ({data_format}, shape {as_laid_out(x, data_format).shape}): it needs "
            f"{rank + 2} axes, with the channels on axis {axis}."
        )
    dtype = np.result_type(x, kernel)
    return x.astype(dtype, copy=False), kernel.astype(dtype, copy=False), data_format


# --- convolution ----------------------------------------------------------------------------

_CONVOLUTION = (ops.conv, ops.conv_backward)
_DEPTHWISE = (depthwise_conv, depthwise_conv_backward)


def _convolve(
    name: str,
    rank: int,
    pair: Pair,
    x: Any,
    kernel: Any,
    strides: Any,
    padding: Any,
    data_format: Any,
    dilation: Any,
    paddings: Sequence[str] = ("valid", "same"),
) -> tuple[np.ndarray, _Kept]:
    """Slide a kernel over `x` by an op and return the result, with what derivatives need."""
    x, kernel, data_format = _prepare(name, rank, x, kernel, data_format)
    window = kernel.shape[:-2]
    how, places = slide(name, x.shape[1:-1], window, strides, padding, dilation, paddings)
    filters = math.prod(kernel.shape[-2:]) if pair is _DEPTHWISE else kernel.shape[-1]
    y = np.empty((len(x), *places, filters), x.dtype)
    forward, backward = pair
    forward(x, kernel, **how, out=y)
    return as_laid_out(y, data_format), _Kept(x, kernel, data_format, how, backward)


def _by_x(dy: np.ndarray, kept: _Kept, *args: Any, **kwargs: Any) -> np.ndarray:
    x, kernel, data_format, how, backward = kept
    dx = np.empty(x.shape, x.dtype)
    backward(channels_last(dy, data_format), None, kernel, **how, dx=dx)
    return as_laid_out(dx, data_format)


def _by_kernel(dy: np.ndarray, kept: _Kept, *args: Any, **kwargs: Any) -> np.ndarray:
    x, kernel, data_format, how, backward = kept
    dkernel = np.empty(kernel.shape, kernel.dtype)
    backward(channels_last(dy, data_format), x, kernel, **how, dkernel=dkernel)
    return dkernel


_convolution = differentiable(_by_x, _by_kernel, keeps=True, one_type=True)


@_convolution
def conv1d(
    x: Any,
    kernel: Any,
    strides: _Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: _Ints = 1,
) -> Any:
    """Slide a kernel along a sequence (cross-correlation: it is not flipped).

    Parameters
    ----------
    x : array or tensor, shape (batch, steps, channels)
        With ``'channels_first'`` (batch, channels, steps).
    kernel : array or tensor, shape (window, channels, filters)
    strides : int
        Default 1.
    padding : {'valid', 'same', 'causal'}
        Default ``'valid'``. ``'causal'``: all zeros come first; channels last only.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    dilation_rate : int
        Default 1; where it is greater, `strides` must be 1.

    Returns
    -------
    array or tensor, shape (batch, places, filters)
        Or (batch, filters, places).

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> x, kernel = np.arange(5.0).reshape(1, 5, 1), np.ones((3, 1, 1))
    >>> conv1d(x, kernel, padding="causal").ravel().tolist()
    [0.0, 1.0, 3.0, 6.0, 9.0]
    """
    if padding == "causal" and normalize_data_format(data_format) != "channels_last":
        raise ValueError(
            "padding='causal' of K.conv1d needs data_format='channels_last', got 'channels_first'."
        )
    paddings = ("valid", "same", "causal")
    args = strides, padding, data_format, dilation_rate, paddings
    return _convolve("conv1d", 1, _CONVOLUTION, x, kernel, *args)


@_convolution
def conv2d(
    x: Any,
    kernel: Any,
    strides: _Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: _Ints = (1, 1),
) -> Any:
    """Slide a kernel over images (cross-correlation: it is not flipped).

    Parameters
    ----------
    x : array or tensor, shape (batch, rows, columns, channels)
        With ``'channels_first'`` (batch, channels, rows, columns).
    kernel : array or tensor, shape (*window, channels, filters)
        In both layouts.
    strides : int or tuple of 2 int
        Default 1.
    padding : {'valid', 'same'}
        Default ``'valid'``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    dilation_rate : int or tuple of 2 int
        Default 1; where one is greater, all `strides` must be 1.

    Returns
    -------
    array or tensor, shape (batch, *places, filters)
        Or (batch, filters, *places).

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> conv2d(np.ones((1, 3, 4, 2)), np.ones((2, 2, 2, 5))).shape
    (1, 2, 3, 5)
    """
    args = strides, padding, data_format, dilation_rate
    return _convolve("conv2d", 2, _CONVOLUTION, x, kernel, *args)


@_convolution
def conv3d(
    x: Any,
    kernel: Any,
    strides: _Ints = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: _Ints = (1, 1, 1),
) -> Any:
    """Slide a kernel over volumes: `conv2d` with one more axis.

    Examples
    --------
    >>> conv3d(np.ones((1, 3, 4, 5, 2)), np.ones((2, 2, 2, 2, 7))).shape
    (1, 2, 3, 4, 7)
    """
    args = strides, padding, data_format, dilation_rate
    return _convolve("conv3d", 3, _CONVOLUTION, x, kernel, *args)


# --- transposed convolution -----------------------------------------------------------------


def _transpose(
    name: str,
    rank: int,
    x: Any,
    kernel: Any,
    output_shape: Any,
    strides: Any,
    padding: Any,
    data_format: Any,
    dilation: Any,
) -> tuple[np.ndarray, _Kept]:
    x, kernel, data_format = _prepare(name, rank, x, kernel, data_format, axis=-1)
    shape: list[Any] = [None if n is None else int(n) for n in output_shape]
    if data_format == "channels_first":
        shape = [*shape[:1], *shape[2:], *shape[1:2]]
    if len(shape) != rank + 2 or None in shape[1:]:
        raise ValueError(
            f"output_shape of K.{name} must have {rank + 2} entries, of which only the batch size "
            f"may be None; got {tuple(output_shape)}."
        )
    _, *sizes, filters = shape
    how, places = slide(name, sizes, kernel.shape[:-2], strides, padding, dilation)
    if places != x.shape[1:-1] or filters != kernel.shape[-2] or shape[0] not in (None, len(x)):
        raise ValueError(
            f"K.{name}: output_shape {tuple(output_shape)} does not go with an x of shape "
            f"{as_laid_out(x, data_format).shape} and a kernel of shape {kernel.shape}. From that "
            f"output a convolution leads to the sizes {places}, where x has {x.shape[1:-1]}; and "
            f"there must be as many samples as in x, and {kernel.shape[-2]} channels."
        )
    y = np.empty((len(x), *sizes, filters), x.dtype)
    ops.conv_backward(x, None, kernel, **how, dx=y)
    return as_laid_out(y, data_format), _Kept(x, kernel, data_format, how, ops.conv_backward)


def _transposed_by_x(dy: np.ndarray, kept: _Kept, *args: Any, **kwargs: Any) -> np.ndarray:
    x, kernel, data_format, how, _ = kept
    dx = np.empty(x.shape, x.dtype)
    ops.conv(channels_last(dy, data_format), kernel, **how, out=dx)
    return as_laid_out(dx, data_format)


def _transposed_by_kernel(dy: np.ndarray, kept: _Kept, *args: Any, **kwargs: Any) -> np.ndarray:
    x, kernel, data_format, how, backward = kept
    dkernel = np.empty(kernel.shape, kernel.dtype)
    backward(x, channels_last(dy, data_format), kernel, **how, dkernel=dkernel)
    return dkernel


_transposed_convolution = differentiable(
    _transposed_by_x, _transposed_by_kernel, keeps=True, one_type=True
)


@_transposed_convolution
def conv2d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Sequence[int | None],
    strides: _Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: _Ints = (1, 1),
) -> Any:
    """Transposed convolution over images: what takes a gradient back through `conv2d`.

    Parameters
    ----------
    x : array or tensor, shape (batch, rows, columns, channels)
        With ``'channels_first'`` (batch, channels, rows, columns).
    kernel : array or tensor, shape (*window, filters, channels)
        The reverse of `conv2d`.
    output_shape : sequence of int
        The whole shape of the result, as `data_format` says. None for the batch: that of `x`.
    strides, padding, data_format, dilation_rate
        As in `conv2d`, which leads back from the result to `x`. (Keras wants the same dilation
        along both axes; any will do here.)

    Returns
    -------
    array or tensor, shape `output_shape`

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> x, kernel = np.ones((1, 2, 2, 1)), np.ones((2, 2, 1, 1))
    >>> conv2d_transpose(x, kernel, (1, 3, 3, 1)).reshape(3, 3).tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    args = output_shape, strides, padding, data_format, dilation_rate
    return _transpose("conv2d_transpose", 2, x, kernel, *args)


@_transposed_convolution
def conv3d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Sequence[int | None],
    strides: _Ints = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """Transposed convolution over volumes: `conv2d_transpose` with one more axis, not dilated.

    Examples
    --------
    >>> conv3d_transpose(np.ones((1, 2, 2, 2, 3)), np.ones((2, 2, 2, 4, 3)), (1, 3, 3, 3, 4)).shape
    (1, 3, 3, 3, 4)
    """
    args = output_shape, strides, padding, data_format, 1
    return _transpose("conv3d_transpose", 3, x, kernel, *args)


# --- separable convolution ------------------------------------------------------------------


@_convolution
def depthwise_conv2d(
    x: Any,
    depthwise_kernel: Any,
    strides: _Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: _Ints = (1, 1),
) -> Any:
    """Slide kernels over images, each over one channel.

    Parameters
    ----------
    x : array or tensor, shape (batch, rows, columns, channels)
        With ``'channels_first'`` (batch, channels, rows, columns).
    depthwise_kernel : array or tensor, shape (*window, channels, multiplier)
    strides, padding, data_format, dilation_rate
        As in `conv2d`. (Keras on TensorFlow's CPU kernel wants the same stride along both axes;
        any will do here.)

    Returns
    -------
    array or tensor, shape (batch, *places, channels * multiplier)
        Or (batch, channels * multiplier, *places).

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> depthwise_conv2d(np.ones((1, 3, 4, 2)), np.ones((2, 2, 2, 3))).shape
    (1, 2, 3, 6)
    """
    args = strides, padding, data_format, dilation_rate
    return _convolve("depthwise_conv2d", 2, _DEPTHWISE, x, depthwise_kernel, *args)


@_convolution
def _depthwise_conv1d(
    x: Any, kernel: Any, strides: Any, padding: Any, data_format: Any, dilation_rate: Any
) -> Any:
    args = strides, padding, data_format, dilation_rate
    return _convolve("separable_conv1d", 1, _DEPTHWISE, x, kernel, *args)


@_convolution
def _pointwise_conv(x: Any, kernel: Any, data_format: Any, name: str) -> Any:
    rank = np.ndim(x) - 2
    if np.shape(kernel)[:-2] != (1,) * rank:
        raise ValueError(
            f"pointwise_kernel of K.{name} must have the shape {(1,) * rank} + (channels * "
            f"multiplier, filters), got {np.shape(kernel)}."
        )
    return _convolve(name, rank, _CONVOLUTION, x, kernel, 1, "valid", data_format, 1)


def separable_conv1d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: _Ints = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: _Ints = 1,
) -> Any:
    """Slide kernels along each channel of a sequence, then mix the channels in each place.

    Parameters
    ----------
    x : array or tensor, shape (batch, steps, channels)
        With ``'channels_first'`` (batch, channels, steps).
    depthwise_kernel : array or tensor, shape (window, channels, multiplier)
    pointwise_kernel : array or tensor, shape (1, channels * multiplier, filters)
    strides, data_format, dilation_rate
        As in `conv1d`.
    padding : {'valid', 'same'}
        Default ``'valid'``.

    Returns
    -------
    array or tensor, shape (batch, places, filters)
        Or (batch, filters, places).

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> separable_conv1d(np.ones((1, 5, 2)), np.ones((3, 2, 4)), np.ones((1, 8, 6))).shape
    (1, 3, 6)
    """
    args = strides, padding, data_format, dilation_rate
    y = _depthwise_conv1d(x, depthwise_kernel, *args)
    return _pointwise_conv(y, pointwise_kernel, data_format, "separable_conv1d")


def separable_conv2d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: _Ints = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: _Ints = (1, 1),
) -> Any:
    """`depthwise_conv2d`, then a mix of the channels in each place.

    Parameters
    ----------
    x, depthwise_kernel, strides, padding, data_format, dilation_rate
        As in `depthwise_conv2d`.
    pointwise_kernel : array or tensor, shape (1, 1, channels * multiplier, filters)

    Returns
    -------
    array or tensor, shape (batch, *places, filters)
        Or (batch, filters, *places).

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> x, kernel, matrix = np.ones((1, 3, 4, 2)), np.ones((2, 2, 2, 3)), np.ones((1, 1, 6, 5))
    >>> separable_conv2d(x, kernel, matrix).shape
    (1, 2, 3, 5)
    """
    args = strides, padding, data_format, dilation_rate
    y = depthwise_conv2d(x, depthwise_kernel, *args)
    return _pointwise_conv(y, pointwise_kernel, data_format, "separable_conv2d")


# --- without sharing ------------------------------------------------------------------------


def _convolve_locally(
    name: str,
    x: Any,
    kernel: Any,
    window: Any,
    strides: Any,
    places: Any,
    data_format: str,
) -> tuple[np.ndarray, _Kept]:
    rank = len(places)
    x, data_format = source_of(name, x, rank, data_format)
    kernel = as_floats(kernel)
    window = positive_ints(window, rank, "kernel_size", name)
    strides = positive_ints(strides, rank, "strides", name)
    axes = zip(x.shape[1:-1], window, strides, strict=True)
    most: Any = tuple(conv_output_length(n, k, "valid", s) for n, k, s in axes)
    if any(not 0 < n <= m for n, m in zip(places, most, strict=True)):
        raise ValueError(
            f"K.{name}: a window of {window} with strides {strides} has {most} places on an input "
            f"of shape {as_laid_out(x, data_format).shape}, not {tuple(places)}."
        )
    shape = math.prod(places), math.prod(window) * x.shape[-1]
    if kernel.ndim != 3 or kernel.shape[:2] != shape:
        raise ValueError(
            f"K.{name} needs a kernel of shape {shape} + (filters,), a matrix for each place; got "
            f"{kernel.shape}."
        )
    dtype = np.result_type(x, kernel)
    x, kernel = x.astype(dtype, copy=False), kernel.astype(dtype, copy=False)
    first = data_format == "channels_first"
    how = {"window": window, "strides": strides, "channels_first": first}
    y = np.empty((len(x), *places, kernel.shape[-1]), dtype)
    local_conv(x, kernel, **how, out=y)
    return as_laid_out(y, data_format), _Kept(x, kernel, data_format, how, local_conv_backward)


@_convolution
def local_conv1d(
    inputs: Any,
    kernel: Any,
    kernel_size: _Ints,
    strides: _Ints,
    data_format: str | None = None,
) -> Any:
    """Slide a window along a sequence, with a kernel of its own for each place.

    Parameters
    ----------
    inputs : array or tensor, shape (batch, steps, channels)
        With ``'channels_first'`` (batch, channels, steps).
    kernel : array or tensor, shape (places, kernel_size * channels, filters)
        With ``'channels_first'`` the second axis is in the order (channels, kernel_size).
    kernel_size, strides : int or tuple of 1 int
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``'channels_last'``, whatever ``K.image_data_format()`` is. (Keras 2.2.4 computes
        with the channels last whatever is said here.)

    Returns
    -------
    array or tensor, shape (batch, places, filters)
        Or (batch, filters, places).

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> x, kernel = np.arange(3.0).reshape(1, 3, 1), np.array([[[1.0], [1.0]], [[10.0], [100.0]]])
    >>> local_conv1d(x, kernel, (2,), (1,)).ravel().tolist()
    [1.0, 210.0]
    """
    args = kernel_size, strides, np.shape(kernel)[:1], data_format or "channels_last"
    return _convolve_locally("local_conv1d", inputs, kernel, *args)


@_convolution
def local_conv2d(
    inputs: Any,
    kernel: Any,
    kernel_size: _Ints,
    strides: _Ints,
    output_shape: Sequence[int],
    data_format: str | None = None,
) -> Any:
    """Slide a window over images, with a kernel of its own for each place.

    Parameters
    ----------
    inputs : array or tensor, shape (batch, rows, columns, channels)
        With ``'channels_first'`` (batch, channels, rows, columns).
    kernel : array or tensor, shape (places, entries, filters)
        A matrix for each place, row by row. Entries are those under the window, in the order
        (*kernel_size, channels), with ``'channels_first'`` (channels, *kernel_size).
    kernel_size, strides : int or tuple of 2 int
    output_shape : tuple of 2 int
        How many rows and columns of places there are.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.

    Returns
    -------
    array or tensor, shape (batch, *output_shape, filters)
        Or (batch, filters, *output_shape).

    Raises
    ------
    ValueError
        If an argument is none of these, or the shapes don't fit.

    Examples
    --------
    >>> local_conv2d(np.ones((1, 3, 4, 2)), np.ones((6, 8, 5)), (2, 2), (1, 1), (2, 3)).shape
    (1, 2, 3, 5)
    """
    places = normalize_tuple(output_shape, 2, "output_shape of K.local_conv2d")
    args = kernel_size, strides, places, normalize_data_format(data_format)
    return _convolve_locally("local_conv2d", inputs, kernel, *args)
