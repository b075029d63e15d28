"""The largest entry or the mean of everything but samples and channels, channels last."""

from __future__ import annotations

import math

import numpy as np


def global_max(x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Return the largest entry of each sample and channel.

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    out : ndarray, shape (batch, channels)
        Memory for the result.

    Examples
    --------
    >>> global_max(np.array([[[1.0, 5.0], [3.0, 4.0]]]), np.empty((1, 2))).tolist()
    [[3.0, 5.0]]
    """
    return np.maximum.reduce(x, axis=_spatial(x), out=out)


def global_max_backward(dy: np.ndarray, x: np.ndarray, y: np.ndarray, dx: np.ndarray) -> np.ndarray:
    """Differentiate `global_max`: entries that are equally large share the gradient.

    So does TensorFlow's ``reduce_max``; its pooling, and `max_pool_backward`, choose one of them.
    Where the result is NaN, nothing equals it, and the gradient is 0.

    Parameters
    ----------
    dy, y : ndarray, shape (batch, channels)
        `y` is what `global_max` returned.
    x : ndarray, shape (batch, *sizes, channels)
    dx : ndarray, shape of `x`
        Memory for the result.

    Examples
    --------
    >>> x = np.array([[[5.0], [5.0], [4.0]]])
    >>> global_max_backward(np.ones((1, 1)), x, np.array([[5.0]]), np.empty_like(x)).tolist()
    [[[0.5], [0.5], [0.0]]]
    """
    axes = _spatial(x)
    np.equal(x, np.expand_dims(y, axes), out=dx)
    share = np.add.reduce(dx, axis=axes)
    np.maximum(share, 1, out=share)
    np.divide(dy, share, out=share)
    return np.multiply(dx, np.expand_dims(share, axes), out=dx)


def global_average(x: np.ndarray, out: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of each sample and channel.

    Parameters
    ----------
    x, out
        As in `global_max`.
    weights : ndarray, shape (batch, steps), optional
        What each step of a sequence counts for, with one spatial axis only; a row's sum is 1.

    Examples
    --------
    >>> x = np.array([[[1.0, 5.0], [3.0, 4.0]]])
    >>> global_average(x, np.empty((1, 2))).tolist()
    [[2.0, 4.5]]
    >>> global_average(x, np.empty((1, 2)), np.array([[1.0, 0.0]])).tolist()
    [[1.0, 5.0]]
    """
    # A product with ones is a sum, faster and more precise than NumPy's along these axes.
    rows = x.reshape(len(x), math.prod(x.shape[1:-1]), x.shape[-1])
    factors = np.ones((1, rows.shape[1]), x.dtype) if weights is None else weights
    np.matmul(factors[:, np.newaxis], rows, out=out[:, np.newaxis])
    return out if weights is not None else np.divide(out, rows.shape[1], out=out)


def global_average_backward(
    dy: np.ndarray, dx: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Differentiate `global_average`: all entries get an equal part, or one by their weight.

    Parameters
    ----------
    dy : ndarray, shape (batch, channels)
    dx : ndarray, shape (batch, *sizes, channels)
        Memory for the result.
    weights
        As in `global_average`.

    Examples
    --------
    >>> global_average_backward(np.ones((1, 1)), np.empty((1, 2, 2, 1))).ravel().tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    if weights is None:
        dx[...] = np.expand_dims(dy / math.prod(dx.shape[1:-1]), _spatial(dx))
        return dx
    return np.multiply(weights[:, :, np.newaxis], dy[:, np.newaxis], out=dx)


def _spatial(x: np.ndarray) -> tuple[int, ...]:
    return tuple(range(1, x.ndim - 1))
