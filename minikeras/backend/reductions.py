"""`K`: sums, means, extremes and the like along axes, and their derivatives.

In all of them `axis` is an integer, negative ones counting from the last axis, or a list or tuple
of integers, or None for all axes; with `keepdims` the axes stay, with size 1.

Sums and products of integers are 64 bits wide, as NumPy's are (Keras keeps the type).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import floatx
from minikeras.backend.tape import differentiable

Axis = int | Sequence[int] | None
_SEVERAL = (tuple, list, range)

# Any: NumPy's own types want to know beforehand what `keepdims` will be.
_add: Any = np.add.reduce
_multiply: Any = np.multiply.reduce
_maximum: Any = np.maximum.reduce
_minimum: Any = np.minimum.reduce
_or: Any = np.logical_or.reduce
_and: Any = np.logical_and.reduce


def _as_axis(axis: Any) -> Any:
    """Return what NumPy takes as axes."""
    return tuple(axis) if isinstance(axis, (list, range)) else axis


def _as_floats(x: Any) -> np.ndarray:
    """Return `x` as an array of floats; booleans and integers get the type `floatx`."""
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(floatx())


def _count(shape: tuple[int, ...], axis: Any) -> int:
    """Return how many numbers are reduced to one."""
    if axis is None:
        return math.prod(shape)
    return math.prod([shape[i] for i in axis]) if isinstance(axis, _SEVERAL) else shape[axis]


def _widen(y: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """Return a result with the axes it has lost, of size 1."""
    if keepdims or axis is None:
        return y
    wide = list(shape)
    for i in axis if isinstance(axis, _SEVERAL) else (axis,):
        wide[i] = 1
    return y.reshape(wide)


def _spread(dy: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> np.ndarray:
    """Return a gradient of a result for each number it came from."""
    # No view: what comes next, such as a matrix product, would be slow on one.
    dx = np.empty(shape, dy.dtype)
    dx[...] = _widen(dy, shape, axis, keepdims)
    return dx


# --- sums and products --------------------------------------------------------------------------


def _sum_by_x(dy: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    return _spread(dy, np.shape(x), axis, keepdims)


@differentiable(_sum_by_x)
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sum along axes.

    Parameters
    ----------
    x : array or tensor
    axis : int, list or tuple of int, or None
        Along which axes. Default None: all.
    keepdims : bool
        Whether the axes stay, with size 1. Default False.

    Raises
    ------
    ValueError
        If `x` has no such axis.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> float(sum(x)), sum(x, axis=1).tolist(), sum(x, axis=1, keepdims=True).tolist()
    (10.0, [3.0, 7.0], [[3.0], [7.0]])
    """
    return _add(x, axis=_as_axis(axis), keepdims=keepdims)


def _products_of_others(x: np.ndarray) -> np.ndarray:
    """Return, along the last axis, the product of all numbers but the one at that place."""
    before, after = np.ones_like(x), np.ones_like(x)
    np.multiply.accumulate(x[..., :-1], axis=-1, out=before[..., 1:])
    np.multiply.accumulate(x[..., :0:-1], axis=-1, out=after[..., -2::-1])
    return before * after


def _prod_by_x(dy: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    x = np.asarray(x)
    axes = range(x.ndim) if axis is None else axis if isinstance(axis, _SEVERAL) else (axis,)
    last = range(-len(axes), 0)
    moved = np.moveaxis(x, axes, last)
    rows = moved.reshape(*moved.shape[: x.ndim - len(axes)], _count(x.shape, axis))
    others = np.moveaxis(_products_of_others(rows).reshape(moved.shape), last, axes)
    return _widen(dy, x.shape, axis, keepdims) * others


@differentiable(_prod_by_x)
def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the product along axes; `axis` and `keepdims` as in `sum`.

    Zeros do no harm to the derivative.

    Examples
    --------
    >>> prod(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0).tolist()
    [3.0, 8.0]
    """
    return _multiply(x, axis=_as_axis(axis), keepdims=keepdims)


def _cumsum_by_x(dy: Any, y: Any, x: Any, axis: int = 0) -> Any:
    return np.flip(np.add.accumulate(np.flip(dy, axis), axis=axis), axis)


@differentiable(_cumsum_by_x)
def cumsum(x: Any, axis: int = 0) -> Any:
    """Return the sums of all numbers up to each, along an axis.

    Examples
    --------
    >>> cumsum(np.array([1.0, 2.0, 3.0])).tolist()
    [1.0, 3.0, 6.0]
    """
    return np.add.accumulate(x, axis=axis)


def _cumprod_by_x(dy: Any, y: Any, x: Any, axis: int = 0) -> Any:
    x, dy, y = (np.moveaxis(np.asarray(a), axis, 0) for a in (x, dy, y))
    dx = np.array(dy)
    # At each place: what its own gradient and the later ones come to, but for the product before.
    for i in range(len(x) - 2, -1, -1):
        dx[i] += x[i + 1] * dx[i + 1]
    dx[1:] *= y[:-1]
    return np.moveaxis(dx, 0, axis)


@differentiable(_cumprod_by_x)
def cumprod(x: Any, axis: int = 0) -> Any:
    """Return the products of all numbers up to each, along an axis.

    Zeros do no harm to the derivative (in Keras, it is 0 from a zero on).

    Examples
    --------
    >>> cumprod(np.array([1.0, 2.0, 3.0])).tolist()
    [1.0, 2.0, 6.0]
    """
    return np.multiply.accumulate(x, axis=axis)


def _logsumexp_by_x(dy: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    # Where all are -inf, so is y, and inf - inf would be nan.
    y = np.where(np.isneginf(y), 0, y)
    y, dy = (_widen(a, np.shape(x), axis, keepdims) for a in (y, dy))
    return dy * np.exp(x - y)


@differentiable(_logsumexp_by_x)
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return ``log(sum(exp(x)))`` along axes, without overflow; arguments as in `sum`.

    Where all numbers are -inf, so is the result, and the derivative is 0 (nan in Keras).

    Examples
    --------
    >>> logsumexp(np.array([[1000.0, 1000.0], [0.0, -np.inf]]), axis=1).round(3).tolist()
    [1000.693, 0.0]
    """
    x, axis = _as_floats(x), _as_axis(axis)
    top = _maximum(x, axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    total = _add(np.exp(x - top), axis=axis, keepdims=True)
    with np.errstate(divide="ignore"):
        y = np.log(total) + top
    return y if keepdims else np.squeeze(y, axis)


# --- means --------------------------------------------------------------------------------------


def _mean(x: np.ndarray, axis: Any, keepdims: bool) -> Any:
    if type(axis) is int and x.dtype.char in "fd":
        return _add(x, axis=axis, keepdims=keepdims) / x.shape[axis]
    if x.dtype.char == "e":
        return np.mean(x, axis=axis, keepdims=keepdims)  # It sums float16 in float32.
    return _add(x, axis=axis, keepdims=keepdims) / _count(x.shape, axis)


def _mean_by_x(dy: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    shape = np.shape(x)
    return _spread(dy / _count(shape, axis), shape, axis, keepdims)


@differentiable(_mean_by_x)
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the mean along axes; `axis` and `keepdims` as in `sum`.

    Booleans and integers give floats of the type `floatx` (Keras drops the fraction of an integer
    mean).

    Examples
    --------
    >>> mean(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=0).tolist()
    [2.0, 3.0]
    """
    return _mean(_as_floats(x), _as_axis(axis), keepdims)


def _variance(x: Any, axis: Any, keepdims: bool) -> tuple[Any, np.ndarray]:
    """Return the variance, and the deviations from the mean."""
    x, axis = _as_floats(x), _as_axis(axis)
    deviations = x - _mean(x, axis, True)
    return _mean(np.square(deviations), axis, keepdims), deviations


def _var_by_x(dy: Any, deviations: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    share = dy * (2 / _count(deviations.shape, axis))
    return _widen(share, deviations.shape, axis, keepdims) * deviations


@differentiable(_var_by_x, keeps=True)
def var(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the variance along axes, divided by how many there are; arguments as in `sum`.

    Booleans and integers give floats of the type `floatx`.

    Examples
    --------
    >>> float(var(np.array([1.0, 3.0])))
    1.0
    """
    return _variance(x, axis, keepdims)


def _std_by_x(
    dy: Any, kept: tuple[Any, Any], x: Any, axis: Axis = None, keepdims: bool = False
) -> Any:
    y, deviations = kept
    # Where y is 0 all deviations are 0, so that any other number will do.
    share = dy / (np.where(y == 0, 1, y) * _count(deviations.shape, axis))
    return _widen(share, deviations.shape, axis, keepdims) * deviations


@differentiable(_std_by_x, keeps=True)
def std(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the standard deviation along axes, the root of `var`; arguments as in `sum`.

    Where all numbers are equal, the derivative is 0 (nan in Keras).

    Examples
    --------
    >>> float(std(np.array([1.0, 3.0])))
    1.0
    """
    variance, deviations = _variance(x, axis, keepdims)
    y = np.sqrt(variance)
    return y, (y, deviations)


# --- extremes -----------------------------------------------------------------------------------


def _extreme_by_x(dy: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    x = np.asarray(x)
    y, dy = (_widen(a, x.shape, axis, keepdims) for a in (y, dy))
    there = x == y
    share = _add(there, axis=_as_axis(axis), keepdims=True, dtype=dy.dtype)
    return there * (dy / share)


@differentiable(_extreme_by_x)
def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the largest number along axes; `axis` and `keepdims` as in `sum`.

    Where several numbers are the largest, they share the derivative.

    Raises
    ------
    ValueError
        If there are no numbers, or `x` has no such axis.

    Examples
    --------
    >>> max(np.array([[1.0, 2.0], [4.0, 3.0]]), axis=-1).tolist()
    [2.0, 4.0]
    """
    return _maximum(x, axis=_as_axis(axis), keepdims=keepdims)


@differentiable(_extreme_by_x)
def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the smallest number along axes; `axis` and `keepdims` as in `sum`.

    Where several numbers are the smallest, they share the derivative.

    Raises
    ------
    ValueError
        If there are no numbers, or `x` has no such axis.

    Examples
    --------
    >>> min(np.array([[1.0, 2.0], [4.0, 3.0]]), axis=-1).tolist()
    [1.0, 3.0]
    """
    return _minimum(x, axis=_as_axis(axis), keepdims=keepdims)


@differentiable()
def argmax(x: Any, axis: int = -1) -> Any:
    """Return where, along an axis, the largest number stands; of several, the first.

    With ``axis=None``, where in all numbers, row by row, as in NumPy (Keras takes the first axis).

    Examples
    --------
    >>> argmax(np.array([[1.0, 2.0], [4.0, 3.0]])).tolist()
    [1, 0]
    """
    return np.argmax(x, axis=axis)


@differentiable()
def argmin(x: Any, axis: int = -1) -> Any:
    """Return where, along an axis, the smallest number stands; of several, the first.

    With ``axis=None``, where in all numbers, row by row, as in NumPy (Keras takes the first axis).

    Examples
    --------
    >>> argmin(np.array([[1.0, 2.0], [4.0, 3.0]])).tolist()
    [0, 1]
    """
    return np.argmin(x, axis=axis)


# --- logic --------------------------------------------------------------------------------------


@differentiable()
def any(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return whether one number along axes is not 0; `axis` and `keepdims` as in `sum`.

    Examples
    --------
    >>> any(np.array([[True, False], [False, False]]), axis=1).tolist()
    [True, False]
    """
    return _or(x, axis=_as_axis(axis), keepdims=keepdims)


@differentiable()
def all(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return whether no number along axes is 0; `axis` and `keepdims` as in `sum`.

    Examples
    --------
    >>> all(np.array([[True, True], [True, False]]), axis=1).tolist()
    [True, False]
    """
    return _and(x, axis=_as_axis(axis), keepdims=keepdims)
