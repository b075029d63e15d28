"""Batch normalization with the statistics of the batch, or with given ones.

The axes that are reduced are the batch and whatever lies between it and the channels; each
channel has a mean, a variance, a scale gamma and an offset beta of its own. Several axes that are
not reduced count together as channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

# Work goes in blocks of about this many entries: a block and a temporary of its size fit the cache.
_BLOCK = 65536

# NumPy is fast where a vector that is broadcast has at least _WIDE entries. So a matrix of many
# rows and few channels is seen as one of few rows that hold many times all channels.
_WIDE = 8192
_MANY_ROWS = 1000


class TrainingResidual(NamedTuple):
    """What `batch_norm_train_backward` needs.

    `source` is x as `layout` arranges it; the statistics are float64, one entry a channel.
    """

    layout: _Layout
    source: np.ndarray
    gamma: np.ndarray | None
    has_beta: bool
    mean: np.ndarray
    inverse: np.ndarray


def batch_norm_train(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    axes: Sequence[int],
    epsilon: float,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, TrainingResidual]:
    """Normalize by the mean and variance of `x` itself: ``(x - mean) / std * gamma + beta``.

    Parameters
    ----------
    x : ndarray of float
        At least one entry for each channel.
    gamma, beta : ndarray, shape (channels,), or None
        Scale and offset; None stands for 1 and 0.
    axes : sequence of int
        The axes to reduce: all but that of the channels.
    epsilon : float
        ``std = sqrt(variance + epsilon)``.
    out : ndarray, shape of `x`, optional
        Memory for the result, contiguous; not `x`, which `batch_norm_train_backward` needs.

    Returns
    -------
    y : ndarray, shape of `x`
    mean, variance : ndarray, shape (channels,)
        The variance is the mean of squares (divided by the number of entries, not one less).
    residual : TrainingResidual

    Raises
    ------
    ValueError
        If there is no entry to take the mean of.

    Notes
    -----
    Mean and variance come from one reading of `x`, shifted by the mean of its first part [2]_.
    So a mean that is large beside the standard deviation costs no precision.

    References
    ----------
    .. [1] Ioffe and Szegedy (2015), "Batch Normalization: Accelerating Deep Network Training by
       Reducing Internal Covariate Shift", arXiv:1502.03167.
    .. [2] Chan, Golub and LeVeque (1983), "Algorithms for Computing the Sample Variance:
       Analysis and Recommendations", The American Statistician 37(3).

    Examples
    --------
    >>> x = np.array([[1.0, 10.0], [3.0, 30.0]])
    >>> y, mean, variance, _ = batch_norm_train(x, None, None, axes=(0,), epsilon=0.0)
    >>> y.tolist(), mean.tolist(), variance.tolist()
    ([[-1.0, -1.0], [1.0, 1.0]], [2.0, 20.0], [1.0, 100.0])
    """
    layout = _Layout(x.shape, axes)
    if not layout.count:
        raise ValueError(f"There is nothing to normalize: the input has shape {x.shape}.")
    source = layout.arrange(x)
    mean, variance = _moments(source, layout)
    inverse = 1 / np.sqrt(variance + epsilon)
    y = _scale_and_shift(x, source, gamma, beta, mean, inverse, layout, out)
    residual = TrainingResidual(layout, source, gamma, beta is not None, mean, inverse)
    return y, layout.restore(mean, x.dtype), layout.restore(variance, x.dtype), residual


def batch_norm_train_backward(
    dy: np.ndarray,
    residual: TrainingResidual,
    need_dx: bool = True,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Differentiate `batch_norm_train`.

    With ``xhat = (x - mean) / std`` and n entries for each channel, over which the sums go,
    ``dbeta = sum(dy)``, ``dgamma = sum(dy * xhat)`` and
    ``dx = gamma / std * (dy - dbeta / n - xhat * dgamma / n)``.

    Parameters
    ----------
    dy : ndarray, shape of x
    residual : TrainingResidual
    need_dx : bool
        False: the first result is None. Default True.
    out : ndarray, shape of x, optional
        Memory for dx, contiguous; may be `dy`.

    Returns
    -------
    dx : ndarray, shape of x, or None
    dgamma, dbeta : ndarray, shape (channels,), or None
        None where there is no gamma or no beta.
    """
    layout, source, gamma, has_beta, mean, inverse = residual
    upstream = layout.arrange(dy)
    sum_dy, sum_dy_xhat = _gradient_sums(upstream, source, mean, inverse, layout)
    dx = None
    if need_dx:
        scale = _scale(gamma, inverse)
        slope = -scale * inverse * sum_dy_xhat / layout.count
        shift = -scale * sum_dy / layout.count - mean * slope
        target = layout.result(dy, out)
        _combine(upstream, scale, source, slope, shift, target, layout)
        dx = layout.finish(target, dy, out)
    return (
        dx,
        None if gamma is None else layout.restore(sum_dy_xhat, gamma.dtype),
        layout.restore(sum_dy, dy.dtype) if has_beta else None,
    )


def batch_norm_inference(
    x: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    axes: Sequence[int],
    epsilon: float,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Normalize by a given mean and variance: ``(x - mean) / std * gamma + beta``.

    Parameters
    ----------
    x : ndarray of float
    gamma, beta : ndarray, shape (channels,), or None
        Scale and offset; None stands for 1 and 0.
    mean, variance : ndarray, shape (channels,)
    axes : sequence of int
        The axes over which channels go on: all but that of the channels.
    epsilon : float
        ``std = sqrt(variance + epsilon)``.
    out : ndarray, shape of `x`, optional
        Memory for the result, contiguous; may be `x`.

    Returns
    -------
    ndarray, shape of `x`

    Examples
    --------
    >>> x, mean, variance = np.array([[5.0, 5.0]]), np.array([1.0, 3.0]), np.array([4.0, 1.0])
    >>> batch_norm_inference(x, None, None, mean, variance, axes=(0,), epsilon=0.0).tolist()
    [[2.0, 2.0]]
    """
    layout = _Layout(x.shape, axes)
    inverse = 1 / np.sqrt(_vector(variance) + epsilon)
    return _scale_and_shift(x, layout.arrange(x), gamma, beta, _vector(mean), inverse, layout, out)


def batch_norm_inference_backward(
    dy: np.ndarray,
    x: np.ndarray,
    gamma: np.ndarray | None,
    mean: np.ndarray,
    variance: np.ndarray,
    axes: Sequence[int],
    epsilon: float,
    need_dx: bool = True,
    out: np.ndarray | None = None,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Differentiate `batch_norm_inference` by its input, gamma and beta.

    ``dx = dy * gamma / std``, ``dgamma = sum(dy * (x - mean) / std)``, ``dbeta = sum(dy)``.

    Parameters
    ----------
    dy : ndarray, shape of `x`
    x, gamma, mean, variance, axes, epsilon
        As given to `batch_norm_inference`.
    need_dx : bool
        False: the first result is None. Default True.
    out : ndarray, shape of `x`, optional
        Memory for dx, contiguous; may be `dy`.

    Returns
    -------
    dx : ndarray, shape of `x`, or None
    dgamma, dbeta : ndarray, shape (channels,)
    """
    layout = _Layout(x.shape, axes)
    source, upstream = layout.arrange(x), layout.arrange(dy)
    inverse = 1 / np.sqrt(_vector(variance) + epsilon)
    sum_dy, sum_dy_xhat = _gradient_sums(upstream, source, _vector(mean), inverse, layout)
    dx = None
    if need_dx:
        target = layout.result(x, out)
        scale = layout.spread(_scale(gamma, inverse), source.dtype)
        for dy_block, dx_block in layout.blocks(upstream, target):
            np.multiply(dy_block, layout.fit(scale, dy_block), out=dx_block)
        dx = layout.finish(target, x, out)
    return dx, layout.restore(sum_dy_xhat, x.dtype), layout.restore(sum_dy, x.dtype)


class _Layout:
    """How an array of a shape is cut into blocks that have their channels along axis 1.

    The array is seen as ``(outer, channels, inner)``. Without an inner axis, a block is a matrix
    whose rows hold all channels, `fold` times; otherwise it is ``(samples, channels, inner)``.
    """

    def __init__(self, shape: tuple[int, ...], axes: Sequence[int]) -> None:
        rank = len(shape)
        reduced = sorted(normalize_axis_tuple(axes, rank))
        kept = [axis for axis in range(rank) if axis not in reduced]
        first, end = (kept[0], kept[-1] + 1) if kept else (rank, rank)
        self.order: list[int] | None = None
        if end - first > len(kept):  # channel axes that are not neighbours come last
            self.order = reduced + kept
            first = len(reduced)
            end = rank
        sizes = [shape[axis] for axis in self.order] if self.order else list(shape)
        self.shape = tuple(sizes)
        self.channel_shape = tuple(sizes[first:end])
        self.channels = math.prod(self.channel_shape)
        self.inner = math.prod(sizes[end:])
        self.count = math.prod(sizes[:first]) * self.inner
        self.fold = 1
        if self.inner == 1 and self.count >= _MANY_ROWS:
            width = min(_WIDE, self.count * self.channels // 8)
            self.fold = -(-width // self.channels)

    def arrange(self, array: np.ndarray) -> np.ndarray:
        """Return `array` contiguous, with channel axes that are neighbours, in float32 or wider."""
        if self.order is not None:
            array = array.transpose(self.order)
        return np.ascontiguousarray(array, np.result_type(array.dtype, np.float32))

    def result(self, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Return memory that `blocks` can be written to: `out` itself, where that is possible."""
        dtype = np.result_type(x.dtype, np.float32)
        if out is not None and self.order is None and out.dtype == dtype:
            if not out.flags.c_contiguous:
                raise ValueError("Memory for a result (`out`) must be contiguous.")
            return out
        return np.empty(self.shape, dtype)

    def finish(self, target: np.ndarray, x: np.ndarray, out: np.ndarray | None) -> np.ndarray:
        """Return what was written to the memory of `result` in the shape and type of `x`."""
        if target is out:
            return out
        if self.order is not None:
            target = target.transpose(np.argsort(self.order))
        if out is None:
            return np.ascontiguousarray(target, x.dtype)
        out[...] = target
        return out

    def blocks(self, *arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        """Yield the blocks of arranged arrays."""
        if self.inner > 1:
            views = [array.reshape(-1, self.channels, self.inner) for array in arrays]
            yield from _row_blocks(views)
            return
        width = self.fold * self.channels
        even = self.count * self.channels // width * width
        flat = [array.reshape(-1) for array in arrays]
        yield from _row_blocks([array[:even].reshape(-1, width) for array in flat])
        if even < flat[0].size:
            yield tuple(array[even:].reshape(1, -1) for array in flat)

    def spread(self, vector: np.ndarray, dtype: Any) -> np.ndarray:
        """Return one number for each channel in a form that `fit` adapts to any block."""
        vector = vector.astype(dtype)
        if self.inner > 1:
            return vector[:, np.newaxis]
        if self.fold == 1:
            return vector
        return np.broadcast_to(vector, (self.fold, self.channels)).reshape(-1)

    def fit(self, spread: np.ndarray, block: np.ndarray) -> np.ndarray:
        """Cut what `spread` returned to the width of `block`."""
        return spread[: block.shape[1]]

    def sum(self, block: np.ndarray) -> np.ndarray:
        """Return the sum over all of a block but its channels."""
        if block.ndim == 3:
            return np.add.reduce(block, axis=(0, 2))
        row = _sum_rows(block)
        return row if self.fold == 1 else _sum_rows(row.reshape(-1, self.channels))

    def restore(self, vector: np.ndarray, dtype: Any) -> np.ndarray:
        """Return one number for each channel in the shape of gamma and beta."""
        return vector.astype(dtype).reshape(self.channel_shape)


def _row_blocks(arrays: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
    """Cut arrays of one shape along their first axis."""
    count = len(arrays[0])
    step = max(1, _BLOCK * count // max(1, arrays[0].size))
    for start in range(0, count, step):
        yield tuple(array[start : start + step] for array in arrays)


def _room(scratch: np.ndarray | None, block: np.ndarray) -> np.ndarray:
    """Return `scratch` if it is of the shape of `block`, and new memory otherwise."""
    if scratch is None or scratch.shape != block.shape:
        return np.empty_like(block)
    return scratch


def _sum_rows(matrix: np.ndarray) -> np.ndarray:
    # For a matrix that is too small for BLAS to start threads, the product is faster.
    if matrix.size <= _WIDE + 1024:
        return np.ones(len(matrix), matrix.dtype) @ matrix
    return np.add.reduce(matrix, axis=0)


def _moments(source: np.ndarray, layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the variance of each channel."""
    (block,) = next(layout.blocks(source))
    center = layout.sum(block) * (layout.channels / block.size)
    spread = layout.spread(center, source.dtype)
    total, squares = np.zeros(layout.channels), np.zeros(layout.channels)
    scratch = None
    for (block,) in layout.blocks(source):
        scratch = _room(scratch, block)
        np.subtract(block, layout.fit(spread, block), out=scratch)
        total += layout.sum(scratch)
        np.square(scratch, out=scratch)
        squares += layout.sum(scratch)
    total /= layout.count
    squares /= layout.count
    return center + total, np.maximum(squares - total**2, 0)


def _gradient_sums(
    upstream: np.ndarray,
    source: np.ndarray,
    mean: np.ndarray,
    inverse: np.ndarray,
    layout: _Layout,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``sum(dy)`` and ``sum(dy * (x - mean) / std)`` for each channel."""
    sum_dy, sum_product = np.zeros(layout.channels), np.zeros(layout.channels)
    center = mean.astype(source.dtype)
    spread = layout.spread(center, source.dtype)
    scratch = None
    for dy, x in layout.blocks(upstream, source):
        scratch = _room(scratch, x)
        np.subtract(x, layout.fit(spread, x), out=scratch)
        scratch *= dy
        sum_dy += layout.sum(dy)
        sum_product += layout.sum(scratch)
    sum_product -= (mean - center) * sum_dy  # what rounding the mean has left over
    return sum_dy, sum_product * inverse


def _scale_and_shift(
    x: np.ndarray,
    source: np.ndarray,
    gamma: np.ndarray | None,
    beta: np.ndarray | None,
    mean: np.ndarray,
    inverse: np.ndarray,
    layout: _Layout,
    out: np.ndarray | None,
) -> np.ndarray:
    """Return ``(x - mean) * inverse * gamma + beta``, as one product and one sum."""
    scale = _scale(gamma, inverse)
    shift = -mean * scale if beta is None else _vector(beta) - mean * scale
    target = layout.result(x, out)
    scale, shift = layout.spread(scale, source.dtype), layout.spread(shift, source.dtype)
    for block, y in layout.blocks(source, target):
        np.multiply(block, layout.fit(scale, block), out=y)
        y += layout.fit(shift, block)
    return layout.finish(target, x, out)


def _combine(
    upstream: np.ndarray,
    scale: np.ndarray,
    source: np.ndarray,
    slope: np.ndarray,
    shift: np.ndarray,
    target: np.ndarray,
    layout: _Layout,
) -> None:
    """Write ``dy * scale + x * slope + shift`` to `target`, which may be `upstream`."""
    scale, slope, shift = (layout.spread(v, source.dtype) for v in (scale, slope, shift))
    scratch = None
    for dy, x, dx in layout.blocks(upstream, source, target):
        scratch = _room(scratch, x)
        np.multiply(x, layout.fit(slope, x), out=scratch)
        scratch += layout.fit(shift, x)
        np.multiply(dy, layout.fit(scale, x), out=dx)
        dx += scratch


def _scale(gamma: np.ndarray | None, inverse: np.ndarray) -> np.ndarray:
    return inverse if gamma is None else _vector(gamma) * inverse


def _vector(statistic: np.ndarray) -> np.ndarray:
    """Return one number for each channel as float64 with one axis."""
    return np.asarray(statistic, np.float64).reshape(-1)
