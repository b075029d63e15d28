"""The fully connected product ``y = x @ kernel + bias``."""

from __future__ import annotations

import numpy as np

from minikeras.ops.blas import matmuls


def dense(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None = None, out: np.ndarray | None = None
) -> np.ndarray:
    """Compute ``x @ kernel + bias`` over the last axis of `x`.

    Parameters
    ----------
    x : ndarray, shape (..., inputs)
    kernel : ndarray, shape (inputs, units)
    bias : ndarray, shape (units,), optional
    out : ndarray, shape (..., units), optional
        Memory for the result, contiguous.

    Returns
    -------
    ndarray, shape (..., units)

    Examples
    --------
    >>> dense(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([5.0]))
    array([[16.]])
    """
    if out is None:
        out = np.empty((*x.shape[:-1], kernel.shape[1]), x.dtype)
    matmuls([(rows(x), kernel, rows(out))])
    if bias is not None:
        np.add(out, bias, out=out)
    return out


def dense_backward(
    dy: np.ndarray,
    x: np.ndarray,
    kernel: np.ndarray,
    dx: np.ndarray | None = None,
    dkernel: np.ndarray | None = None,
    dbias: np.ndarray | None = None,
) -> None:
    """Write the gradients that are asked for, each into the array given for it.

    ``dkernel = x.T @ dy``, ``dbias`` = sum of the rows of ``dy``, ``dx = dy @ kernel.T``.

    Parameters
    ----------
    dy : ndarray, shape (..., units)
    x : ndarray, shape (..., inputs)
    kernel : ndarray, shape (inputs, units)
    dx, dkernel, dbias : ndarray, optional
        Shapes of `x`, `kernel` and ``(units,)``. None: not computed.
    """
    dy = rows(dy)
    products = []
    if dkernel is not None:
        products.append((rows(x).T, dy, dkernel))
    if dx is not None:
        products.append((dy, kernel.T, rows(dx)))
    matmuls(products)
    if dbias is not None:
        np.add.reduce(dy, axis=0, out=dbias)


def rows(x: np.ndarray) -> np.ndarray:
    """Return `x` as a matrix whose rows are its last axis."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])
