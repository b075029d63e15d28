"""Sizes and padding of sliding windows, shared by convolution and pooling layers."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

_PADDINGS = ("valid", "same", "causal")


def normalize_tuple(value: Any, n: int, name: str) -> tuple[int, ...]:
    """Return an int, or a sequence of `n` ints, as a tuple of `n` ints.

    Parameters
    ----------
    value : int or sequence of int
    n : int
    name : str
        Name of the argument, for the error.

    Raises
    ------
    ValueError
        If `value` is neither.

    Examples
    --------
    >>> normalize_tuple(3, 2, "kernel_size")
    (3, 3)
    """
    entries = value if isinstance(value, (list, tuple, range, np.ndarray)) else (value,) * n
    try:
        numbers = tuple(map(operator.index, entries))
    except TypeError:
        numbers = ()
    if len(numbers) != n or any(isinstance(entry, bool) for entry in entries):
        raise ValueError(f"{name} must be an int or a tuple of {n} ints, got {value!r}.")
    return numbers


def normalize_padding(value: Any) -> str:
    """Return ``'valid'``, ``'same'`` or ``'causal'`` in lower case.

    Raises
    ------
    ValueError
        If `value` is none of them.
    """
    padding = value.lower() if isinstance(value, str) else value
    if padding not in _PADDINGS:
        raise ValueError(
            f"padding must be 'valid', 'same' or, for Conv1D only, 'causal'; got {value!r}."
        )
    return str(padding)


def convert_kernel(kernel: Any) -> np.ndarray:
    """Return a kernel flipped along its spatial axes: Theano's order from TensorFlow's, and back.

    Parameters
    ----------
    kernel : array_like, shape (..., channels, filters)
        Of 3 to 5 axes.

    Examples
    --------
    >>> convert_kernel(np.arange(3.0).reshape(3, 1, 1)).ravel().tolist()
    [2.0, 1.0, 0.0]
    """
    kernel = np.asarray(kernel)
    if not 3 <= kernel.ndim <= 5:
        raise ValueError(f"A kernel has 3 to 5 axes, got one of shape {kernel.shape}.")
    return np.flip(kernel, tuple(range(kernel.ndim - 2))).copy()


def conv_output_length(
    input_length: int | None, filter_size: int, padding: str, stride: int, dilation: int = 1
) -> int | None:
    """Return how many places a window takes along an axis.

    Parameters
    ----------
    input_length : int or None
        None, for unknown, gives None.
    filter_size : int
    padding : {'valid', 'same', 'causal', 'full'}
    stride, dilation : int

    Raises
    ------
    ValueError
        If `padding` is none of these.

    Examples
    --------
    >>> conv_output_length(10, 3, "valid", 1), conv_output_length(10, 3, "same", 2)
    (8, 5)
    """
    _check_one_of(padding, ("valid", "same", "causal", "full"))
    if input_length is None:
        return None
    reach = (filter_size - 1) * dilation
    length = input_length + {"valid": -reach, "full": reach}.get(padding, 0)
    return max(0, -(-length // stride))


def conv_input_length(
    output_length: int | None, filter_size: int, padding: str, stride: int
) -> int | None:
    """Return the shortest input on which a window takes `output_length` places; None gives None.

    Parameters
    ----------
    output_length : int or None
    filter_size : int
    padding : {'valid', 'same', 'full'}
        As in Keras, ``'same'`` stands for ``filter_size // 2`` zeros on either side here; for an
        even window that is one zero more than `conv_padding` gives.
    stride : int

    Raises
    ------
    ValueError
        If `padding` is none of these.

    Examples
    --------
    >>> conv_input_length(5, 3, "valid", 2)
    11
    """
    _check_one_of(padding, ("valid", "same", "full"))
    if output_length is None:
        return None
    pad = {"same": filter_size // 2, "full": filter_size - 1}.get(padding, 0)
    return (output_length - 1) * stride - 2 * pad + filter_size


def deconv_length(
    dim_size: int | None,
    stride_size: int,
    kernel_size: int,
    padding: str,
    output_padding: int | None,
    dilation: int = 1,
) -> int | None:
    """Return the output length of a transposed convolution; None gives None.

    Parameters
    ----------
    dim_size : int or None
        Input length.
    stride_size, kernel_size : int
    padding : {'valid', 'same', 'full'}
    output_padding : int or None
        Entries to add at the end. None: the length that Keras takes by itself, which is
        ``dim_size * stride_size`` with padding ``'same'``.
    dilation : int

    Raises
    ------
    ValueError
        If `padding` is none of these.

    Examples
    --------
    >>> deconv_length(4, 2, 3, "same", None), deconv_length(4, 2, 3, "valid", None)
    (8, 9)
    """
    _check_one_of(padding, ("valid", "same", "full"))
    if dim_size is None:
        return None
    size = (kernel_size - 1) * dilation + 1
    if output_padding is not None:
        pad = {"same": size // 2, "full": size - 1}.get(padding, 0)
        return (dim_size - 1) * stride_size + size - 2 * pad + output_padding
    length = dim_size * stride_size
    if padding == "valid":
        return length + max(size - stride_size, 0)
    return length - (stride_size + size - 2) if padding == "full" else length


def conv_padding(
    input_length: int, filter_size: int, padding: str, stride: int, dilation: int = 1
) -> tuple[int, int]:
    """Return how many zeros come before and after an axis.

    With ``'same'``, an odd number of zeros has the larger half after, as in TensorFlow; other
    libraries differ here for even kernels and for strides.

    Parameters
    ----------
    input_length, filter_size : int
    padding : {'valid', 'same', 'causal'}
    stride, dilation : int

    Raises
    ------
    ValueError
        If `padding` is none of these.

    Examples
    --------
    >>> conv_padding(10, 3, "same", 1), conv_padding(10, 3, "same", 2)
    ((1, 1), (0, 1))
    """
    _check_one_of(padding, ("valid", "same", "causal"))
    reach = (filter_size - 1) * dilation
    if padding == "causal":
        return reach, 0
    if padding == "valid":
        return 0, 0
    places = -(-input_length // stride)
    total = max((places - 1) * stride + reach + 1 - input_length, 0)
    return total // 2, total - total // 2


def _check_one_of(padding: str, allowed: tuple[str, ...]) -> None:
    if padding not in allowed:
        raise ValueError(
            f"padding must be one of {', '.join(map(repr, allowed))}; got {padding!r}."
        )
