"""`K`: other shapes, orders and copies of the same numbers, and zeros around them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import normalize_data_format
from minikeras.backend.tape import differentiable, unbroadcast
from minikeras.ops.resampling import (
    pad,
    upsample,
    upsample_backward,
    upsample_linear,
    upsample_linear_backward,
)

# --- another shape --------------------------------------------------------------------------


def _back(dy: Any, y: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Return the derivative of what only changes the shape."""
    return dy.reshape(x.shape)


@differentiable(_back)
def reshape(x: Any, shape: Any) -> Any:
    """Return `x` in another shape, of the same number of entries.

    Parameters
    ----------
    x : array_like
    shape : tuple of int
        With -1 for one size that follows from the others.

    Examples
    --------
    >>> reshape(np.arange(6.0), (2, -1)).shape
    (2, 3)
    """
    return np.reshape(x, shape)


@differentiable(_back)
def flatten(x: Any) -> Any:
    """Return all entries in one axis; unlike the layer `Flatten`, the batch axis goes as well.

    Examples
    --------
    >>> flatten(np.ones((2, 3))).shape
    (6,)
    """
    return np.reshape(x, -1)


@differentiable(_back)
def batch_flatten(x: Any) -> Any:
    """Return each sample in one axis: shape ``(batch, everything else)``.

    Examples
    --------
    >>> batch_flatten(np.ones((2, 3, 4))).shape
    (2, 12)
    """
    x = np.asarray(x)
    return x.reshape(len(x), math.prod(x.shape[1:]))


@differentiable(_back)
def expand_dims(x: Any, axis: Any = -1) -> Any:
    """Put in an axis of size 1.

    Parameters
    ----------
    x : array_like
    axis : int
        Where it is in the result. Default -1, the last one.

    Examples
    --------
    >>> expand_dims(np.ones((2, 3))).shape, expand_dims(np.ones((2, 3)), 1).shape
    ((2, 3, 1), (2, 1, 3))
    """
    return np.expand_dims(x, axis)


@differentiable(_back)
def squeeze(x: Any, axis: Any) -> Any:
    """Take an axis of size 1 out.

    Parameters
    ----------
    x : array_like
    axis : int

    Raises
    ------
    ValueError
        If the axis has another size.

    Examples
    --------
    >>> squeeze(np.ones((2, 1, 3)), 1).shape
    (2, 3)
    """
    try:
        return np.squeeze(x, axis)
    except ValueError as error:
        raise ValueError(
            f"K.squeeze: axis {axis} of shape {np.shape(x)} can't be taken out, {error}."
        ) from None


# --- another order --------------------------------------------------------------------------


def _permute_back(dy: Any, y: Any, x: Any, pattern: Sequence[int]) -> Any:
    return dy.transpose(np.argsort([axis % dy.ndim for axis in pattern]))


@differentiable(_permute_back)
def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    """Put the axes into another order.

    Parameters
    ----------
    x : array_like
    pattern : sequence of int
        The axes of `x` in their new order; the batch axis is 0.

    Examples
    --------
    >>> permute_dimensions(np.ones((2, 3, 4)), (0, 2, 1)).shape
    (2, 4, 3)
    """
    return np.transpose(x, pattern)


@differentiable(lambda dy, y, x: dy.T)
def transpose(x: Any) -> Any:
    """Turn the order of all axes around.

    Examples
    --------
    >>> transpose(np.ones((2, 3, 4))).shape
    (4, 3, 2)
    """
    return np.transpose(x)


@differentiable(lambda dy, y, x, axis1, axis2: dy.swapaxes(axis1, axis2))
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Exchange two axes.

    Examples
    --------
    >>> swapaxes(np.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    return np.swapaxes(x, axis1, axis2)


@differentiable(lambda dy, y, x, axes: np.flip(dy, _as_tuple(axes)))
def reverse(x: Any, axes: Any) -> Any:
    """Turn the order of the entries around.

    Parameters
    ----------
    x : array_like
    axes : int or sequence of int
        Along which axes.

    Examples
    --------
    >>> reverse(np.array([[1.0, 2.0], [3.0, 4.0]]), 1).tolist()
    [[2.0, 1.0], [4.0, 3.0]]
    """
    return np.flip(x, _as_tuple(axes))


def _as_tuple(axes: Any) -> tuple[int, ...]:
    return (operator.index(axes),) if np.ndim(axes) == 0 else tuple(map(operator.index, axes))


# --- several copies -------------------------------------------------------------------------


@differentiable(lambda dy, y, x, shape: unbroadcast(dy, x))
def broadcast_to(x: Any, shape: Any) -> Any:
    """Repeat `x` along its axes of size 1, and new ones in front, as NumPy does in arithmetic.

    Examples
    --------
    >>> broadcast_to(np.array([1.0, 2.0]), (2, 2)).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    return np.broadcast_to(x, shape)


def _repeat_elements_back(dy: Any, y: Any, x: Any, rep: int, axis: int) -> Any:
    axis %= x.ndim
    shape = (*x.shape[: axis + 1], operator.index(rep), *x.shape[axis + 1 :])
    return np.add.reduce(dy.reshape(shape), axis=axis + 1)


@differentiable(_repeat_elements_back)
def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Repeat each entry along an axis, like ``np.repeat``.

    Parameters
    ----------
    x : array_like
    rep : int
        How many times.
    axis : int

    Examples
    --------
    >>> repeat_elements(np.array([[1.0, 2.0]]), 2, axis=1).tolist()
    [[1.0, 1.0, 2.0, 2.0]]
    """
    return np.repeat(x, operator.index(rep), axis)


@differentiable(lambda dy, y, x, n: np.add.reduce(dy, axis=1))
def repeat(x: Any, n: int) -> Any:
    """Repeat each row of a matrix as time steps, like the layer `RepeatVector`.

    Parameters
    ----------
    x : array_like, shape (batch, features)
    n : int
        How many times.

    Returns
    -------
    ndarray, shape (batch, n, features)

    Raises
    ------
    ValueError
        If `x` has not two axes.

    Examples
    --------
    >>> repeat(np.array([[1.0, 2.0]]), 3).tolist()
    [[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]]
    """
    x = np.asarray(x)
    if x.ndim != 2:
        raise ValueError(
            f"K.repeat takes an array of shape (batch, features), got one of shape {x.shape}. "
            "K.repeat_elements and K.tile take any."
        )
    return np.repeat(x[:, np.newaxis], operator.index(n), axis=1)


def _tile_back(dy: Any, y: Any, x: Any, n: Any) -> Any:
    shape = [size for pair in zip(_as_tuple(n), x.shape, strict=True) for size in pair]
    return np.add.reduce(dy.reshape(shape), axis=tuple(range(0, 2 * x.ndim, 2)))


@differentiable(_tile_back)
def tile(x: Any, n: Any) -> Any:
    """Put copies of the whole side by side.

    Parameters
    ----------
    x : array_like
    n : int or sequence of int
        How many copies, for each axis of `x`.

    Raises
    ------
    ValueError
        If `n` has another length. ``np.tile`` adds ones or axes instead.

    Examples
    --------
    >>> tile(np.array([[1.0, 2.0]]), (2, 2)).tolist()
    [[1.0, 2.0, 1.0, 2.0], [1.0, 2.0, 1.0, 2.0]]
    """
    counts = _as_tuple(n)
    if len(counts) != np.ndim(x):
        raise ValueError(
            f"K.tile takes one number of copies for each axis: {np.ndim(x)} for an array of shape "
            f"{np.shape(x)}, got {counts}."
        )
    return np.tile(x, counts)


# --- several arrays -------------------------------------------------------------------------


def _concatenate_back(dy: Any, y: Any, tensors: Any, axis: int = -1) -> list[Any]:
    ends = np.cumsum([np.shape(x)[axis] for x in tensors])
    return np.split(dy, ends[:-1], axis)


@differentiable(_concatenate_back, one_type=True)
def concatenate(tensors: Any, axis: int = -1) -> Any:
    """Join arrays along an axis they have.

    Parameters
    ----------
    tensors : list of array_like
        Of equal sizes along all other axes.
    axis : int
        Default -1, the last one; ``np.concatenate`` takes the first.

    Examples
    --------
    >>> concatenate([np.ones((2, 1)), np.zeros((2, 2))]).tolist()
    [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """
    return np.concatenate(_listed(tensors, "K.concatenate"), axis)


@differentiable(lambda dy, y, x, axis=0: list(np.moveaxis(dy, axis, 0)), one_type=True)
def stack(x: Any, axis: int = 0) -> Any:
    """Join arrays of equal shapes along a new axis.

    Parameters
    ----------
    x : list of array_like
    axis : int
        Where the new axis is in the result. Default 0.

    Examples
    --------
    >>> stack([np.zeros(3), np.ones(3)], axis=1).shape
    (3, 2)
    """
    return np.stack(_listed(x, "K.stack"), axis)


def _listed(tensors: Any, of: str) -> Any:
    if not isinstance(tensors, (list, tuple)):
        raise TypeError(f"{of} takes a list of arrays, got {type(tensors).__name__}.")
    return tensors


# --- zeros around ---------------------------------------------------------------------------


def _zeros_around_back(dy: Any, y: Any, x: Any, pads: Any) -> Any:
    return dy[
        tuple(slice(before, n - after) for n, (before, after) in zip(dy.shape, pads, strict=True))
    ]


@differentiable(_zeros_around_back)
def zeros_around(x: Any, pads: Any) -> Any:
    """Put zeros around, a pair of numbers of them for each axis: no function of Keras.

    Examples
    --------
    >>> zeros_around(np.ones(2), [(1, 2)]).tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """
    x = np.asarray(x)
    y = np.empty([n + sum(pair) for n, pair in zip(x.shape, pads, strict=True)], x.dtype)
    # The op wants samples and channels, without zeros, around the axes.
    if len(pads) and tuple(pads[0]) == (0, 0):
        pad(x[..., np.newaxis], pads[1:], out=y[..., np.newaxis])
    else:
        pad(x[np.newaxis, ..., np.newaxis], pads, out=y[np.newaxis, ..., np.newaxis])
    return y


def _spatial_padding(x: Any, padding: Any, data_format: str | None, of: str) -> Any:
    """Put zeros around the spatial axes, as many as `padding` has pairs."""
    pairs = tuple(tuple(map(operator.index, pair)) for pair in padding)
    rank = len(pairs)
    if any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ValueError(
            f"{of}: padding must hold pairs of numbers of zeros, before and after, got {padding!r}."
        )
    if np.ndim(x) != rank + 2:
        raise ValueError(
            f"{of} takes an array with {rank + 2} axes, batch and channels among them, got one of "
            f"shape {np.shape(x)}."
        )
    none = (0, 0)
    if normalize_data_format(data_format) == "channels_first":
        return zeros_around(x, (none, none, *pairs))
    return zeros_around(x, (none, *pairs, none))


def temporal_padding(x: Any, padding: tuple[int, int] = (1, 1)) -> Any:
    """Put zeros before the first and after the last time step.

    Parameters
    ----------
    x : array_like, shape (batch, steps, features)
    padding : tuple of 2 ints
        How many. Default ``(1, 1)``.

    Examples
    --------
    >>> temporal_padding(np.ones((1, 2, 1)), (0, 1)).ravel().tolist()
    [1.0, 1.0, 0.0]
    """
    return _spatial_padding(x, (padding,), "channels_last", "K.temporal_padding")


def spatial_2d_padding(
    x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Put zeros around images.

    Parameters
    ----------
    x : array_like, shape (batch, rows, columns, channels)
        With channels first, ``(batch, channels, rows, columns)``.
    padding : pair of pairs of int
        How many above and below, and how many left and right. Default one everywhere.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: `image_data_format`.

    Examples
    --------
    >>> spatial_2d_padding(np.ones((1, 2, 2, 3)), ((1, 1), (0, 2))).shape
    (1, 4, 4, 3)
    """
    _check_length(padding, 2, "K.spatial_2d_padding")
    return _spatial_padding(x, padding, data_format, "K.spatial_2d_padding")


def spatial_3d_padding(
    x: Any, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None
) -> Any:
    """Put zeros around volumes: `spatial_2d_padding` with one more axis and pair.

    Examples
    --------
    >>> spatial_3d_padding(np.ones((1, 2, 2, 2, 3))).shape
    (1, 4, 4, 4, 3)
    """
    _check_length(padding, 3, "K.spatial_3d_padding")
    return _spatial_padding(x, padding, data_format, "K.spatial_3d_padding")


def _check_length(padding: Any, n: int, of: str) -> None:
    if len(padding) != n:
        raise ValueError(f"{of}: padding must be {n} pairs of ints, got {padding!r}.")


# --- larger images --------------------------------------------------------------------------

_GROW = {
    "nearest": (upsample, upsample_backward),
    "bilinear": (upsample_linear, upsample_linear_backward),
}


def _resize_back(dy: Any, y: Any, x: Any, factors: Any, data_format: str, method: str) -> Any:
    dx = np.empty(x.shape, dy.dtype)
    inner, outer = (dx, dy) if data_format == "channels_last" else (_last(dx), _last(dy))
    _GROW[method][1](outer, factors, out=inner)
    return dx


@differentiable(_resize_back)
def _resize(x: Any, factors: Sequence[int], data_format: str, method: str) -> Any:
    """Make the spatial axes `factors` times as long."""
    if data_format != "channels_last":
        x = _last(x)
    sizes = [n * factor for n, factor in zip(x.shape[1:-1], factors, strict=True)]
    y = _GROW[method][0](x, factors, out=np.empty((len(x), *sizes, x.shape[-1]), x.dtype))
    return y if data_format == "channels_last" else np.moveaxis(y, -1, 1)


def _last(x: np.ndarray) -> np.ndarray:
    """Return a view of what has its channels first with the channels last."""
    return np.moveaxis(x, 1, -1)


def _resized(x: Any, factors: Any, data_format: str, method: str, of: str) -> Any:
    factors = tuple(map(operator.index, factors))
    if min(factors) < 1:
        raise ValueError(f"{of}: factors must be greater than 0, got {factors}.")
    if not hasattr(x, "ndim"):
        x = np.asarray(x)
    if x.ndim != len(factors) + 2:
        raise ValueError(
            f"{of} takes an array with {len(factors) + 2} axes, batch and channels among them, "
            f"got one of shape {x.shape}."
        )
    return _resize(x, factors, normalize_data_format(data_format), method)


def resize_images(
    x: Any, height_factor: int, width_factor: int, data_format: str, interpolation: str = "nearest"
) -> Any:
    """Make images larger: repeat rows and columns, or interpolate between them.

    Parameters
    ----------
    x : array_like, shape (batch, rows, columns, channels)
        With channels first, ``(batch, channels, rows, columns)``. Floats, for ``'bilinear'``.
    height_factor, width_factor : int
        Greater than 0.
    data_format : {'channels_last', 'channels_first'}
    interpolation : {'nearest', 'bilinear'}
        Default ``'nearest'``: repeat. The layer `UpSampling2D` says what ``'bilinear'`` does.

    Raises
    ------
    ValueError
        If an argument is something else.

    Examples
    --------
    >>> x = np.array([1.0, 3.0]).reshape(1, 1, 2, 1)
    >>> resize_images(x, 1, 2, "channels_last", "bilinear").ravel().tolist()
    [1.0, 2.0, 3.0, 3.0]
    """
    if interpolation not in _GROW:
        raise ValueError(
            "K.resize_images: interpolation must be 'nearest' or 'bilinear', got "
            f"{interpolation!r}."
        )
    factors = (height_factor, width_factor)
    return _resized(x, factors, data_format, interpolation, "K.resize_images")


def resize_volumes(
    x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str
) -> Any:
    """Make volumes larger by repeating their entries along each axis.

    The same as `resize_images` with one axis more, and without interpolation.

    Examples
    --------
    >>> resize_volumes(np.ones((1, 2, 2, 2, 1)), 1, 2, 3, "channels_last").shape
    (1, 2, 4, 6, 1)
    """
    factors = (depth_factor, height_factor, width_factor)
    return _resized(x, factors, data_format, "nearest", "K.resize_volumes")
