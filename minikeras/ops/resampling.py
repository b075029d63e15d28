"""Other sizes for the spatial axes, channels last: zeros around, margins cut off, upsampling.

Padding and cropping are each other's derivative. Upsampling goes axis by axis: an array of twice
the size is seen as two interleaved copies, views with a stride, of which the second follows from
the first. The derivative goes the same way back, and folds the second into the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from minikeras.ops.parallel import for_blocks

Pads = Sequence[tuple[int, int]]

# Entries of a block: large enough to be worth a thread, small enough for the cache.
_BLOCK = 1 << 19
# With fewer channels, NumPy's inner loop is better off along the columns of one channel.
_NARROW = 8


def pad(x: np.ndarray, pads: Pads, out: np.ndarray) -> np.ndarray:
    """Put zeros around `x`.

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    pads : sequence of (before, after)
        How many zeros, for each spatial axis. The derivative is ``crop(dy, pads)``.
    out : ndarray, shape (batch, *larger sizes, channels)
        Memory for the result.

    Examples
    --------
    >>> pad(np.ones((1, 2, 1)), [(1, 2)], out=np.empty((1, 5, 1))).ravel().tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """

    def work(start: int, stop: int, worker: int) -> None:
        inside = out[start:stop]
        for axis, (before, after) in enumerate(pads, 1):
            lead, size = (slice(None),) * axis, inside.shape[axis]
            inside[(*lead, slice(before))] = 0
            inside[(*lead, slice(size - after, size))] = 0
            inside = inside[(*lead, slice(before, size - after))]
        inside[...] = x[start:stop]

    _for_samples(work, out)
    return out


def crop(x: np.ndarray, margins: Pads) -> np.ndarray:
    """Return what is left of `x` without its margins, as a view.

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    margins : sequence of (before, after)
        How many entries to leave out, for each spatial axis. The derivative is
        ``pad(dy, margins, out)``.

    Examples
    --------
    >>> crop(np.arange(5.0).reshape(1, 5, 1), [(1, 2)]).ravel().tolist()
    [1.0, 2.0]
    """
    sizes = x.shape[1:-1]
    kept = (slice(a, n - b) for n, (a, b) in zip(sizes, margins, strict=True))
    return x[(slice(None), *kept)]


def upsample(x: np.ndarray, factors: Sequence[int], out: np.ndarray) -> np.ndarray:
    """Repeat each entry along the spatial axes.

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    factors : sequence of int
        How many times, for each spatial axis.
    out : ndarray, shape (batch, *(sizes times factors), channels)
        Memory for the result; not `x`.

    Examples
    --------
    >>> upsample(np.array([[[1.0], [2.0]]]), (2,), out=np.empty((1, 4, 1))).ravel().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """
    return _grow(x, factors, out, _repeat)


def upsample_backward(
    dy: np.ndarray, factors: Sequence[int], out: np.ndarray, scratch: np.ndarray | None = None
) -> np.ndarray:
    """Sum over the copies of each entry: the derivative of `upsample`.

    Parameters
    ----------
    dy : ndarray, shape (batch, *(sizes times factors), channels)
    factors : sequence of int
    out : ndarray, shape (batch, *sizes, channels)
        Memory for dx.
    scratch : ndarray, shape of `dy`, optional
        Memory to work in; may be `dy`, which is lost then. Default: new memory.
    """
    return _shrink(dy, factors, out, scratch, _repeat_backward)


def upsample_linear(x: np.ndarray, factors: Sequence[int], out: np.ndarray) -> np.ndarray:
    """Interpolate between entries, linearly along each spatial axis; over two: bilinearly.

    Parameters
    ----------
    x, factors, out
        As in `upsample`.

    Notes
    -----
    Along an axis, ``y[q * factor + r] = x[q] + (x[q + 1] - x[q]) * r / factor``: entry q keeps its
    place at the start of its copies. What lies after the last entry repeats it. Libraries that
    take entries for the middles of their pixels give other values.

    Examples
    --------
    >>> upsample_linear(np.array([[[1.0], [2.0]]]), (2,), out=np.empty((1, 4, 1))).ravel().tolist()
    [1.0, 1.5, 2.0, 2.0]
    """
    return _grow(x, factors, out, _interpolate)


def upsample_linear_backward(
    dy: np.ndarray, factors: Sequence[int], out: np.ndarray, scratch: np.ndarray | None = None
) -> np.ndarray:
    """Share each gradient out between the two entries around it.

    The derivative of `upsample_linear`, with the parameters of `upsample_backward`.
    """
    return _shrink(dy, factors, out, scratch, _interpolate_backward)


# --- along one axis -------------------------------------------------------------------------


def _repeat(first: np.ndarray, others: Sequence[np.ndarray], axis: int) -> None:
    for other in others:
        other[...] = first


def _repeat_backward(first: np.ndarray, others: Sequence[np.ndarray], axis: int) -> None:
    for other in others:
        first += other


def _interpolate(first: np.ndarray, others: Sequence[np.ndarray], axis: int) -> None:
    """Set the r-th copy to ``first + (next - first) * r / factor``."""
    until_last, from_second, last = _neighbours(axis)
    for r, other in enumerate(others, 1):
        between = other[until_last]
        np.subtract(first[from_second], first[until_last], out=between)
        between *= r / (len(others) + 1)
        between += first[until_last]
        other[last] = first[last]


def _interpolate_backward(first: np.ndarray, others: Sequence[np.ndarray], axis: int) -> None:
    """Add ``dy`` to the first copy, and move ``dy * r / factor`` of it on to the next entry."""
    if not others:
        return
    until_last, from_second, last = _neighbours(axis)
    moved = others[0]
    for r, other in enumerate(others, 1):
        first += other
        other *= r / (len(others) + 1)
        if r > 1:
            moved += other
    first -= moved
    first[from_second] += moved[until_last]
    first[last] += moved[last]


def _neighbours(axis: int) -> tuple[tuple[slice, ...], ...]:
    """Return what selects all entries of an axis but the last, all but the first, the last."""
    lead = (slice(None),) * axis
    return (*lead, slice(-1)), (*lead, slice(1, None)), (*lead, slice(-1, None))


# --- over all axes --------------------------------------------------------------------------

_Step = Callable[[np.ndarray, Sequence[np.ndarray], int], None]


def _grow(x: np.ndarray, factors: Sequence[int], out: np.ndarray, step: _Step) -> np.ndarray:
    """Write `x` to the first copies, then the other copies: the last axis first."""

    def work(start: int, stop: int, worker: int) -> None:
        copies = _copies(out[start:stop], factors)
        for target, source in _lanes(copies[-1][0], x[start:stop]):
            target[...] = source
        for axis in reversed(range(len(factors))):
            for first, *others in _lanes(*copies[axis]):
                step(first, others, axis + 1)

    _for_samples(work, out)
    return out


def _shrink(
    dy: np.ndarray,
    factors: Sequence[int],
    out: np.ndarray,
    scratch: np.ndarray | None,
    step: _Step,
) -> np.ndarray:
    """Fold all copies into the first ones, the first axis first, and take those."""
    if scratch is None:
        scratch = np.empty_like(dy)
    if scratch is not dy:
        scratch[...] = dy

    def work(start: int, stop: int, worker: int) -> None:
        copies = _copies(scratch[start:stop], factors)
        for axis in range(len(factors)):
            for first, *others in _lanes(*copies[axis]):
                step(first, others, axis + 1)
        for target, source in _lanes(out[start:stop], copies[-1][0]):
            target[...] = source

    _for_samples(work, scratch)
    return out


def _copies(y: np.ndarray, factors: Sequence[int]) -> list[list[np.ndarray]]:
    """Return, for each spatial axis, its copies as views: of the axes before it, the first only."""
    split: list[int] = []
    for size, factor in zip(y.shape[1:-1], factors, strict=True):
        split += (size // factor, factor)
    view = y.reshape(len(y), *split, y.shape[-1])
    copies = []
    for axis, factor in enumerate(factors):
        place = (slice(None), *((slice(None), 0) * axis), slice(None))
        copies.append([view[(*place, r)] for r in range(factor)])
    return copies


def _lanes(*arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Return the arrays as they are or, if their few channels lie apart, channel by channel."""
    y = arrays[0]
    channels = y.shape[-1]
    if channels >= _NARROW or y.strides[-2] == channels * y.itemsize:
        return [arrays]
    return [tuple(a[..., c] for a in arrays) for c in range(channels)]


def _for_samples(work: Callable[[int, int, int], None], y: np.ndarray) -> None:
    """Deal out blocks of samples of `y`."""
    for_blocks(work, len(y), max(1, _BLOCK // max(1, math.prod(y.shape[1:]))))
