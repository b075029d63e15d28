"""`K`: pooling of images and volumes, over the ops that the layers use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import normalize_data_format
from minikeras.backend.operators import TensorLike
from minikeras.backend.sliding import as_laid_out, channels_last, positive_ints, slide, source_of
from minikeras.backend.tape import differentiable
from minikeras.ops import pooling as ops


def pool2d(
    x: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """Return the largest entry, or the mean, of each window of images.

    Parameters
    ----------
    x : array or tensor, shape (batch, rows, columns, channels)
        With ``'channels_first'`` (batch, channels, rows, columns).
    pool_size : int or tuple of 2 int
        Sizes of the window.
    strides : int or tuple of 2 int
        Default 1, where the layers have `pool_size`.
    padding : {'valid', 'same'}
        Default ``'valid'``. With ``'same'`` windows reach beyond the edges, where there is nothing
        to pool: a mean is over the entries inside.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    pool_mode : {'max', 'avg'}
        Default ``'max'``. Of equal entries the first one gets the gradient.

    Returns
    -------
    array or tensor, shape (batch, *places, channels)
        Or (batch, channels, *places).

    Raises
    ------
    ValueError
        If an argument is none of these, or the window does not fit.

    Examples
    --------
    >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> pool2d(x, (2, 2), strides=(2, 2), pool_mode="avg").ravel().tolist()
    [2.5, 4.5, 10.5, 12.5]
    """
    return _pool("pool2d", 2, x, pool_size, strides, padding, data_format, pool_mode)


def pool3d(
    x: Any,
    pool_size: int | Sequence[int],
    strides: int | Sequence[int] = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """Return the largest entry, or the mean, of each window of volumes: `pool2d`, one axis more.

    Examples
    --------
    >>> pool3d(np.arange(8.0).reshape(1, 2, 2, 2, 1), (2, 2, 2)).ravel().tolist()
    [7.0]
    """
    return _pool("pool3d", 3, x, pool_size, strides, padding, data_format, pool_mode)


def _pool(
    name: str,
    rank: int,
    x: Any,
    pool_size: Any,
    strides: Any,
    padding: Any,
    data_format: Any,
    pool_mode: Any,
) -> Any:
    window = positive_ints(pool_size, rank, "pool_size", name)
    args = name, window, strides, padding, normalize_data_format(data_format)
    if pool_mode == "max":
        # A plain array needs no gradient, nor the places that it would go to.
        return _max_pool(x, *args, isinstance(x, TensorLike))
    if pool_mode == "avg":
        return _average_pool(x, *args)
    raise ValueError(f"pool_mode of K.{name} must be 'max' or 'avg', got {pool_mode!r}.")


def _prepare(
    name: str, x: Any, window: tuple[int, ...], strides: Any, padding: Any, data_format: str
) -> tuple[np.ndarray, dict[str, Any], np.ndarray]:
    """Return `x` with the channels last, the arguments of the ops, and memory for the result."""
    source, _ = source_of(name, x, len(window), data_format)
    how, places = slide(name, source.shape[1:-1], window, strides, padding)
    how = {"window": window, "strides": how["strides"], "pads": how["pads"]}
    return source, how, np.empty((len(source), *places, source.shape[-1]), source.dtype)


def _max_by_x(dy: np.ndarray, kept: Any, x: Any, *args: Any) -> np.ndarray:
    index, shape, how, data_format = kept
    dx = np.empty(shape, dy.dtype)
    ops.max_pool_backward(channels_last(dy, data_format), index, **how, dx=dx)
    return as_laid_out(dx, data_format)


@differentiable(_max_by_x, keeps=True)
def _max_pool(
    x: Any,
    name: str,
    window: tuple[int, ...],
    strides: Any,
    padding: Any,
    data_format: str,
    with_index: bool,
) -> Any:
    source, how, y = _prepare(name, x, window, strides, padding, data_format)
    index = np.empty(y.shape, ops.index_dtype(window)) if with_index else None
    ops.max_pool(source, **how, out=y, index=index)
    return as_laid_out(y, data_format), (index, source.shape, how, data_format)


def _average_by_x(dy: np.ndarray, kept: Any, x: Any, *args: Any) -> np.ndarray:
    shape, how, data_format = kept
    dx = np.empty(shape, dy.dtype)
    ops.average_pool_backward(channels_last(dy, data_format), **how, dx=dx)
    return as_laid_out(dx, data_format)


@differentiable(_average_by_x, keeps=True)
def _average_pool(
    x: Any, name: str, window: tuple[int, ...], strides: Any, padding: Any, data_format: str
) -> Any:
    source, how, y = _prepare(name, x, window, strides, padding, data_format)
    ops.average_pool(source, **how, out=y)
    return as_laid_out(y, data_format), (source.shape, how, data_format)
