"""`K`: parts of an array by their places: indices, slices, masks, rows of a table."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import floatx
from minikeras.backend.operators import TensorLike, stands_for
from minikeras.backend.tape import differentiable, value_of
from minikeras.ops.embedding import embedding, embedding_backward

# --- x[index] -------------------------------------------------------------------------------


class _Bounds(tuple):
    """A slice whose bounds are tensors: as a tuple, so that the tape finds them."""

    def known(self) -> builtins.slice:
        """Return the slice."""
        return builtins.slice(*(None if b is None else int(value_of(b)) for b in self))


@stands_for("getitem")
def getitem(x: Any, index: Any) -> Any:
    """Return ``x[index]``, for all that NumPy takes as an index.

    Parameters
    ----------
    x : array_like
    index : int, slice, Ellipsis, None, array_like of int or bool, or a tuple of these
        Numbers in it may be tensors.

    Examples
    --------
    >>> getitem(np.array([1.0, 2.0, 3.0]), [0, 0, 2]).tolist()
    [1.0, 1.0, 3.0]
    """
    parts = index if isinstance(index, tuple) else (index,)
    if any(map(_has_tensors, parts)):
        index = tuple(_Bounds(_bounds(p)) if _has_tensors(p) else p for p in parts)
    return _getitem(x, index)


def _has_tensors(part: Any) -> bool:
    return isinstance(part, builtins.slice) and any(
        isinstance(bound, TensorLike) for bound in _bounds(part)
    )


def _bounds(part: builtins.slice) -> tuple[Any, Any, Any]:
    return part.start, part.stop, part.step


def _plain(index: Any) -> Any:
    """Return the index as NumPy takes it: tensors by their values."""
    if isinstance(index, _Bounds):
        return index.known()
    if isinstance(index, tuple):
        return tuple(map(_plain, index))
    if isinstance(index, list):
        return np.asarray([value_of(item) for item in index], dtype=None if index else np.intp)
    return value_of(index)


def _getitem_back(dy: Any, y: Any, x: Any, index: Any) -> np.ndarray:
    index = _plain(index)
    parts = index if isinstance(index, tuple) else (index,)
    repeats = any(isinstance(p, np.ndarray) and p.ndim and p.dtype.kind in "iu" for p in parts)
    if repeats and not isinstance(index, tuple) and x.ndim > 1:
        numbers = index.astype(np.intp)
        return _sum_rows(dy, np.where(numbers < 0, numbers + len(x), numbers), x)
    dx = np.zeros(x.shape, dy.dtype)
    if repeats:
        np.add.at(dx, index, dy)
    else:
        dx[index] = dy
    return dx


@differentiable(_getitem_back)
def _getitem(x: Any, index: Any) -> Any:
    return np.asarray(x)[_plain(index)]


def _block_index(shape: Any, start: Any, size: Any) -> tuple[builtins.slice, ...]:
    starts, sizes = _numbers(start), _numbers(size)
    if not len(starts) == len(sizes) == len(shape):
        raise ValueError(
            f"K.slice: start and size must have one number for each axis of shape {shape}, got "
            f"{starts} and {sizes}."
        )
    index = []
    for n, first, count in zip(shape, starts, sizes, strict=True):
        stop = n if count == -1 else first + count
        if not 0 <= first <= stop <= n:
            raise ValueError(
                f"K.slice: a block of size {sizes} that starts at {starts} does not lie within "
                f"an array of shape {shape}."
            )
        index.append(builtins.slice(first, stop))
    return tuple(index)


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(operator.index(value_of(value)) for value in values)


def _block_back(dy: Any, y: Any, x: Any, start: Any, size: Any) -> np.ndarray:
    dx = np.zeros(x.shape, dy.dtype)
    dx[_block_index(x.shape, start, size)] = dy
    return dx


@differentiable(_block_back)
def slice(x: Any, start: Sequence[int], size: Sequence[int]) -> Any:
    """Return a block of `x`.

    Parameters
    ----------
    x : array_like
    start, size : sequence of int
        Where it starts and how large it is, for each axis. A size of -1 goes to the end.

    Raises
    ------
    ValueError
        If it does not lie within `x`.

    Examples
    --------
    >>> slice(np.arange(5.0), [1], [2]).tolist()
    [1.0, 2.0]
    """
    x = np.asarray(x)
    return x[_block_index(x.shape, start, size)]


# --- rows by their numbers ------------------------------------------------------------------


def _sum_rows(dy: Any, numbers: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Add the gradients of rows to the rows of `x` that they are gradients of."""
    numbers = numbers.reshape(-1)
    dx = np.zeros(x.shape, dy.dtype)
    if not dx.size or not numbers.size:
        return dx
    width = dx.size // len(dx)
    room = np.empty((min(len(dx), numbers.size), width), dy.dtype)
    rows, sums = embedding_backward(dy.reshape(numbers.size, width), numbers, out=room)
    dx.reshape(len(dx), width)[rows] = sums
    return dx


def _row_numbers(indices: Any, count: int) -> np.ndarray:
    """Return indices as NumPy wants them, if there are so many rows."""
    numbers = np.asarray(indices)
    if numbers.dtype.kind not in "iu":
        whole = numbers.astype(np.intp)
        if not np.array_equal(whole, numbers):
            raise ValueError("K.gather: indices must be whole numbers, got others among them.")
        numbers = whole
    if numbers.size and (numbers.min() < 0 or numbers.max() >= count):
        raise ValueError(
            f"K.gather: indices must be from 0 to {count - 1} for {count} rows, got "
            f"{numbers.min()} to {numbers.max()}."
        )
    return numbers


@differentiable(lambda dy, numbers, x, indices: _sum_rows(dy, numbers, x), keeps=True)
def gather(reference: Any, indices: Any) -> Any:
    """Return the rows of a table that `indices` names.

    Parameters
    ----------
    reference : array_like, shape (rows, ...)
    indices : array_like of whole numbers, any shape
        From 0 to ``rows - 1``; floats such as 3.0 will do, since that is what layers are given.

    Returns
    -------
    ndarray, shape (*indices.shape, ...)

    Raises
    ------
    ValueError
        If an index names no row.

    Examples
    --------
    >>> gather(np.array([[0.0, 1.0], [2.0, 3.0]]), [1, 1, 0]).tolist()
    [[2.0, 3.0], [2.0, 3.0], [0.0, 1.0]]
    """
    reference = np.asarray(reference)
    numbers = _row_numbers(indices, len(reference))
    y = np.empty((*numbers.shape, *reference.shape[1:]), reference.dtype)
    if y.size:
        table = reference.reshape(len(reference), -1)
        embedding(table, numbers, out=y.reshape(*numbers.shape, table.shape[1]))
    return y, numbers


# --- classes --------------------------------------------------------------------------------


@differentiable()
def one_hot(indices: Any, num_classes: int) -> Any:
    """Return a one at the place of each index, and zeros beside it. No derivative.

    Parameters
    ----------
    indices : array_like of int, any shape
        One that is no class gives zeros only.
    num_classes : int

    Returns
    -------
    ndarray, shape (*indices.shape, num_classes)
        Of type `floatx`.

    Examples
    --------
    >>> one_hot(np.array([0, 2]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    return (np.asarray(indices)[..., np.newaxis] == np.arange(num_classes)).astype(floatx())


@differentiable()
def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    """Return for each sample whether its class is among the `k` that are predicted first.

    Parameters
    ----------
    predictions : array_like, shape (batch, classes)
    targets : array_like of int, shape (batch,)
        One that is no class is never among them.
    k : int
        Of classes with equal predictions at the border, all are among the first `k`. In a row with
        NaN or infinity there is no order, and the result is False.

    Returns
    -------
    ndarray of bool, shape (batch,)

    Examples
    --------
    >>> in_top_k(np.array([[0.1, 0.6, 0.3], [0.1, 0.6, 0.3]]), np.array([2, 0]), 2).tolist()
    [True, False]
    """
    predictions, targets = np.asarray(predictions), np.asarray(targets)
    if predictions.ndim != 2 or targets.shape != predictions.shape[:1]:
        raise ValueError(
            "K.in_top_k takes predictions of shape (batch, classes) and targets of shape (batch,), "
            f"got {predictions.shape} and {targets.shape}."
        )
    classes = predictions.shape[1]
    known = (targets >= 0) & (targets < classes) & np.isfinite(predictions).all(axis=1)
    places = np.where(known, targets, 0).astype(np.intp)[:, np.newaxis]
    own = np.take_along_axis(predictions, places, axis=1)
    return known & ((predictions > own).sum(axis=1) < k)
