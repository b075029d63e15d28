"""Rows looked up in a table by their numbers, and the gradient by the table.

A batch sees a small part of a large table. So its gradient is not an array of the table's shape,
nearly all zeros, but the numbers of the rows that occur, and one row of sums for each.
"""

from __future__ import annotations

import numpy as np

from minikeras.ops.memory import scratch
from minikeras.ops.parallel import for_blocks

# How many numbers a block has that a thread works on, and a long sum adds up at a time. With the
# scratch memory beside it, it stays in the cache.
_BLOCK = 1 << 17

# Rows that occur up to so many times are summed together, second places first, then third ones.
# For rows that occur more often, one call each is quicker.
_FEW = 4


def embedding(table: np.ndarray, indices: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Copy the rows of `table` that `indices` names.

    Parameters
    ----------
    table : ndarray, shape (rows, width)
    indices : ndarray of int, any shape
        From 0 to ``rows - 1``. That is for the caller to see to: a number beyond the end counts
        as the nearest one inside.
    out : ndarray, shape (*indices.shape, width)
        C-contiguous.

    Returns
    -------
    ndarray
        `out`.

    Examples
    --------
    >>> table = np.array([[0.0, 1.0], [2.0, 3.0]])
    >>> embedding(table, np.array([1, 1, 0]), np.empty((3, 2))).tolist()
    [[2.0, 3.0], [2.0, 3.0], [0.0, 1.0]]
    """
    numbers = indices.reshape(-1)
    rows = out.reshape(len(numbers), table.shape[1])

    def work(first: int, stop: int, worker: int) -> None:
        # Without mode='clip' NumPy would go through a copy of `out`.
        np.take(table, numbers[first:stop], axis=0, out=rows[first:stop], mode="clip")

    for_blocks(work, len(numbers), 4 * _rows_in_a_block(table.shape[1]))
    return out


def embedding_backward(
    dy: np.ndarray, indices: np.ndarray, out: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum the gradients of all places at which a row of the table was used, row by row.

    Parameters
    ----------
    dy : ndarray, shape (*indices.shape, width)
        Of any layout; it is only read.
    indices : ndarray of int, any shape
        At least 0.
    out : ndarray, shape (n, width)
        Memory for the sums, with `n` at least the number of different rows.

    Returns
    -------
    rows : ndarray of int, shape (k,)
        The rows that occur, each once, in ascending order.
    sums : ndarray, shape (k, width)
        The first `k` rows of `out`.

    Notes
    -----
    The same input gives the same bits, with any number of threads.

    Examples
    --------
    >>> dy = np.array([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    >>> rows, sums = embedding_backward(dy, np.array([7, 3, 7]), np.empty((3, 2)))
    >>> rows.tolist(), sums.tolist()
    ([3, 7], [[10.0, 20.0], [101.0, 202.0]])
    """
    table, numbers = _as_rows(dy, indices)
    order = np.argsort(numbers, kind="stable")
    numbers = numbers[order]
    is_first = np.ones(len(numbers), bool)
    np.not_equal(numbers[1:], numbers[:-1], out=is_first[1:])
    starts = np.flatnonzero(is_first)
    stops = np.append(starts[1:], len(numbers))
    sums = out[: len(starts)]

    def work(first: int, stop: int, worker: int) -> None:
        _sum_runs(table, order, starts[first:stop], stops[first:stop], sums[first:stop])

    for_blocks(work, len(starts), _rows_in_a_block(table.shape[1]))
    return numbers[starts], sums


def _as_rows(dy: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `dy` as rows that lie one behind the other in memory, and the index of each."""
    # A recurrent layer hands down what has its time axis in front. Taken in the order in which
    # it lies in memory, it need not be copied.
    axes = sorted(range(indices.ndim), key=lambda axis: -dy.strides[axis])
    dy, indices = dy.transpose(*axes, -1), indices.transpose(axes)
    if not dy.flags.c_contiguous:
        copy = scratch("embedding_dy", dy.shape, dy.dtype)
        copy[...] = dy
        dy = copy
    return dy.reshape(indices.size, dy.shape[-1]), indices.reshape(-1)


def _sum_runs(
    table: np.ndarray, order: np.ndarray, starts: np.ndarray, stops: np.ndarray, sums: np.ndarray
) -> None:
    """Sum the rows ``table[order[start:stop]]`` for each start and stop."""
    np.take(table, order[starts], axis=0, out=sums, mode="clip")
    counts = stops - starts
    buffer = scratch(
        "embedding_rows", (_rows_in_a_block(table.shape[1]), table.shape[1]), sums.dtype
    )
    few = counts <= _FEW
    for place in range(1, _FEW):
        more = np.flatnonzero(few & (counts > place))
        if not more.size:
            break
        sums[more] += np.take(
            table, order[starts[more] + place], axis=0, out=buffer[: len(more)], mode="clip"
        )
    for run in np.flatnonzero(counts > _FEW).tolist():
        sums[run] = 0
        for start in range(starts[run], stops[run], len(buffer)):
            places = order[start : min(start + len(buffer), stops[run])]
            part = np.take(table, places, axis=0, out=buffer[: len(places)], mode="clip")
            sums[run] += np.add.reduce(part, axis=0)


def _rows_in_a_block(width: int) -> int:
    return max(1, _BLOCK // max(1, width))
