"""Matrix products whose left rows are overlapping runs of memory.

Along an axis on which a window of `height` entries moves one by one, what lies under it is one
run of memory, ``height * depth`` long, that begins one row of `depth` entries later at each place.
Nothing needs to be copied to multiply all of them. A matrix can't have overlapping rows, but
`height` matrices together hold all runs: one has those that begin at row 0, h, 2h, ..., one those
that begin at row 1, h + 1, ...

All arrays have one axis more in front: several such products at once.
"""

from __future__ import annotations

import numpy as np

from minikeras.ops.memory import scratch, strided

# OpenBLAS multiplies matrices with up to a million multiplications without packing them first.
_PRODUCT = 1_000_000
_FEW, _MANY = 64, 512


def empty_rows(
    shape: tuple[int, int, int], height: int, filters: int, dtype: np.dtype
) -> np.ndarray:
    """Return scratch memory for rows, with zeros behind them, where the last runs may look.

    Parameters
    ----------
    shape : (products, count, depth)
    height, filters : int
        As in the product that will follow.
    dtype : dtype

    Returns
    -------
    ndarray, shape (products, more than count, depth)
    """
    products, count, depth = shape
    size, steps = _sizes(count, height, depth, filters)
    rows = scratch("rows", (products, (steps * size + 1) * height, depth), dtype)
    rows[:, count:] = 0
    return rows


def multiply_runs(rows: np.ndarray, count: int, kernel: np.ndarray, height: int) -> np.ndarray:
    """Multiply the run that begins at each row by a matrix.

    Parameters
    ----------
    rows : ndarray, shape (products, more than count, depth)
        From `empty_rows`.
    count : int
    kernel : ndarray, shape (products, height * depth, filters)
    height : int

    Returns
    -------
    ndarray, shape (products, count, filters)
        In scratch memory. The last ``height - 1`` rows ran into the zeros.
    """
    products, _, depth = rows.shape
    filters = kernel.shape[-1]
    size, steps = _sizes(count, height, depth, filters)
    shape = (products, steps, height, size)
    outer, row, item = rows.strides
    runs = strided(
        rows, (*shape, height * depth), (outer, size * height * row, row, height * row, item)
    )
    y = scratch("products", (products, steps * size * height, filters), rows.dtype)
    outer, row, item = y.strides
    places = strided(y, (*shape, filters), (outer, size * height * row, row, height * row, item))
    np.matmul(runs, kernel[:, None, None], out=places)
    return y[:, :count]


def runs_gradient(
    rows: np.ndarray, count: int, dy: np.ndarray, height: int, out: np.ndarray, add: bool
) -> None:
    """Compute the gradient of the matrix in `multiply_runs`.

    Parameters
    ----------
    rows : ndarray, shape (products, more than count, depth)
        From `empty_rows`.
    count : int
    dy : ndarray, shape (products, count, filters)
        Zero wherever a run is not wanted.
    height : int
    out : ndarray, shape (products, height * depth, filters)
        C-contiguous memory for the result.
    add : bool
        Whether to add the result to what is there.
    """
    products, _, depth = rows.shape
    outer, row, item = rows.strides
    entries = strided(rows, (products, height, depth, count), (outer, row, item, row))
    shape = (products, height, depth, dy.shape[-1])
    target = out.reshape(shape)
    result = scratch("kernel_part", shape, rows.dtype) if add else target
    np.matmul(entries, dy[:, None], out=result)
    if add:
        np.add(target, result, out=target)


def _sizes(count: int, height: int, depth: int, filters: int) -> tuple[int, int]:
    """Return how many rows a matrix has, and how many matrices the runs from one row take."""
    rows = -(-count // height)
    most = max(_FEW, min(_MANY, _PRODUCT // (height * depth * filters)))
    steps = max(1, -(-rows // most))
    return -(-rows // steps), steps
