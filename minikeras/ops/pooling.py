"""Max and average pooling over any number of spatial axes, channels last.

Arrays are cut into blocks that fit in the cache: some samples, or a band of a large one. A block
of a pooling is a smaller pooling, with pads of its own; `_Axis` says how a window moves along one
of its axes. Places outside of the input belong to no window: a window is cut off there.

NumPy is fast where inner loops are long, and steps along the columns leave it nothing but loops
over the channels. So the entries of a block are dealt out first: of the columns 0, s, 2s, ... go
to one array, 1, s + 1, 2s + 1, ... to the next, and so on along the other axes. In one of these,
the entries that all windows have at some position lie side by side. Memory outside of the cache
is read and written in its own order, which is faster than any other.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minikeras.ops.memory import scratch
from minikeras.ops.parallel import for_blocks

Pads = Sequence[tuple[int, int]]

# Bytes of a block: few enough for the caches, many enough that threads which work on two blocks
# seldom meet at the interpreter lock.
_BLOCK = 1 << 20
# Up to this many blocks are not worth a second thread.
_FEW = 3


def max_pool(
    x: np.ndarray,
    window: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    out: np.ndarray,
    index: np.ndarray | None = None,
) -> np.ndarray:
    """Return the largest entry of each window.

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    window, strides : sequence of int, one for each spatial axis
    pads : sequence of (before, after)
        How far windows reach beyond each spatial axis. Each window holds at least one entry.
    out : ndarray, shape (batch, *places, channels)
        Memory for the result.
    index : ndarray of int, shape of `out`, optional
        Receives the number, in row-major order, of the place in its window from which each
        result comes; `max_pool_backward` needs it. `index_dtype` gives its type.

    Notes
    -----
    Of equal entries the first one counts. A window that holds NaN gives NaN
    and the number of its last place, one of nothing but ``-inf`` the number of its first place;
    if that is outside of the input, no gradient comes back.

    Examples
    --------
    >>> x = np.array([1.0, 5.0, 5.0, 2.0]).reshape(1, 4, 1)
    >>> out, index = np.empty((1, 2, 1)), np.empty((1, 2, 1), np.uint8)
    >>> max_pool(x, (2,), (2,), [(0, 0)], out, index).ravel().tolist()
    [5.0, 5.0]
    >>> index.ravel().tolist()
    [1, 0]
    """

    def work(block: _Block) -> None:
        part = out[block.places]
        dealt = _deal(x[block.entries], block.plan, -np.inf)
        _reduce(np.maximum, dealt, part, block.plan)
        if index is not None:
            _find(dealt, part, index[block.places], block.plan)

    _for_blocks(work, _windows(x, window, strides, pads, out).forward_blocks)
    return out


def max_pool_backward(
    dy: np.ndarray,
    index: np.ndarray,
    window: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dx: np.ndarray,
) -> np.ndarray:
    """Differentiate `max_pool`: each gradient goes to the place that `index` says.

    Parameters
    ----------
    dy : ndarray, shape (batch, *places, channels)
    index : ndarray of int, shape of `dy`
        What `max_pool` wrote.
    window, strides, pads
        As in `max_pool`.
    dx : ndarray, shape (batch, *sizes, channels)
        Memory for the result.

    Examples
    --------
    >>> dy, index = np.array([[[3.0], [4.0]]]), np.array([[[1], [0]]], np.uint8)
    >>> max_pool_backward(dy, index, (2,), (2,), [(0, 0)], np.empty((1, 4, 1))).ravel().tolist()
    [0.0, 3.0, 4.0, 0.0]
    """
    windows = _windows(dx, window, strides, pads, dy)

    def work(block: _Block) -> None:
        part, numbers, target = dy[block.places], index[block.places], dx[block.entries]
        if windows.are_tiles:
            _choose_in_tiles(part, numbers, target, block.plan, windows.numbers(index.dtype))
        else:
            _scatter(part, numbers, target, block.plan)

    _for_blocks(work, windows.backward_blocks)
    return dx


def index_dtype(window: Sequence[int]) -> np.dtype:
    """Return the smallest type of integer that can number the places of a window.

    Examples
    --------
    >>> index_dtype((2, 2)), index_dtype((16, 17))
    (dtype('uint8'), dtype('uint16'))
    """
    return np.min_scalar_type(math.prod(window) - 1)


def average_pool(
    x: np.ndarray,
    window: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    out: np.ndarray,
) -> np.ndarray:
    """Return the mean of each window, of its entries inside `x` only.

    Parameters
    ----------
    x, window, strides, pads, out
        As in `max_pool`.

    Examples
    --------
    >>> x = np.array([1.0, 3.0, 8.0]).reshape(1, 3, 1)
    >>> average_pool(x, (2,), (2,), [(0, 1)], np.empty((1, 2, 1))).ravel().tolist()
    [2.0, 8.0]
    """
    windows = _windows(x, window, strides, pads, out)
    counts = windows.counts(x.dtype)

    def work(block: _Block) -> None:
        part = out[block.places]
        _reduce(np.add, _deal(x[block.entries], block.plan, 0), part, block.plan)
        np.divide(part, counts[:, block.places[1]], out=part)

    _for_blocks(work, windows.forward_blocks)
    return out


def average_pool_backward(
    dy: np.ndarray,
    window: Sequence[int],
    strides: Sequence[int],
    pads: Pads,
    dx: np.ndarray,
) -> np.ndarray:
    """Differentiate `average_pool`: each gradient goes to its window's entries in equal parts.

    Parameters
    ----------
    dy : ndarray, shape (batch, *places, channels)
    window, strides, pads
        As in `max_pool`.
    dx : ndarray, shape (batch, *sizes, channels)
        Memory for the result.

    Examples
    --------
    >>> dy = np.array([[[3.0], [4.0]]])
    >>> average_pool_backward(dy, (2,), (2,), [(0, 1)], np.empty((1, 3, 1))).ravel().tolist()
    [1.5, 1.5, 4.0]
    """
    windows = _windows(dx, window, strides, pads, dy)
    counts = windows.counts(dx.dtype)

    def work(block: _Block) -> None:
        part, target = dy[block.places], dx[block.entries]
        share = scratch("share", part.shape, dx.dtype)
        np.divide(part, counts[:, block.places[1]], out=share)
        if windows.are_tiles:
            np.copyto(_tiles(target, block.plan), _repeat(share, block.plan, "wide"))
        else:
            _spread(share, target, block.plan)

    _for_blocks(work, windows.backward_blocks)
    return dx


# Where windows are


class _Axis(NamedTuple):
    """How a window moves along an axis: at place p it begins at the entry p * stride - before."""

    size: int
    window: int
    stride: int
    before: int
    places: int

    @property
    def whole(self) -> int:
        """How many strides it is from where the first window begins to where the last one ends."""
        return self.places - 1 + _ceil(self.window, self.stride)

    @property
    def reach(self) -> int:
        """How many entries these are."""
        return self.whole * self.stride

    @property
    def covered(self) -> int:
        """How many of them there are."""
        return min(self.size, self.reach - self.before)

    def cut_places(self, start: int, stop: int) -> tuple[slice, slice, _Axis]:
        """Return the entries that some places need, those places, and how these are related."""
        low = max(0, start * self.stride - self.before)
        high = min(self.size, (stop - 1) * self.stride + self.window - self.before)
        return self._cut(low, high, start, stop)

    def cut_entries(self, start: int, stop: int) -> tuple[slice, slice, _Axis]:
        """Return the entries at which some places begin, and all places that reach them."""
        low = max(0, start * self.stride - self.before) if start else 0
        high = max(0, stop * self.stride - self.before) if stop < self.places else self.size
        first = max(0, _ceil(low + self.before - self.window + 1, self.stride))
        last = min(self.places, _ceil(high + self.before, self.stride))
        return self._cut(low, high, first, last)

    def _cut(self, low: int, high: int, first: int, stop: int) -> tuple[slice, slice, _Axis]:
        before = self.before + low - first * self.stride
        part = self._replace(size=high - low, before=before, places=stop - first)
        return slice(low, high), slice(first, stop), part


class _Plan:
    """All slices that the work on a block needs; blocks of one form share a plan.

    Attributes
    ----------
    axes : tuple of _Axis
    reach : tuple of int
        How far windows reach along each axis, in whole strides, with what is outside.
    covered, inside : tuple of slices
        The part of the input that they reach, and where it is in that.
    outside : list
        The rest of that, before and behind.
    is_inside : bool
        Whether there is no such rest.
    is_dealt : bool
        Whether entries are dealt out: not where all strides are 1.
    is_disjoint : bool
        Whether no entry lies in two windows, so that each dealt array is one of their positions.
    dealt : tuple of int
        For each axis, how many arrays entries are dealt out to, and how many each gets; with
        None for the batch in between.
    """

    def __init__(self, axes: tuple[_Axis, ...]) -> None:
        self.axes = axes
        self.reach = tuple(axis.reach for axis in axes)
        self.covered = (slice(None), *(slice(axis.covered) for axis in axes))
        self.inside = (slice(None), *(slice(a.before, a.before + a.covered) for a in axes))
        self.outside = []
        for k, axis in enumerate(axes):
            sides = slice(0, axis.before), slice(axis.before + axis.covered, axis.reach)
            self.outside += [(slice(None),) * (k + 1) + (s,) for s in sides if s.start < s.stop]
        self.is_inside = not self.outside
        self.is_dealt = any(axis.stride > 1 for axis in axes)
        self.is_disjoint = all(axis.window <= axis.stride for axis in axes)
        arrays = (min(axis.window, axis.stride) for axis in axes)
        self.dealt = (*arrays, None, *(axis.whole for axis in axes))
        self.offsets = functools.lru_cache(self._offsets)

    @functools.cached_property
    def positions(self) -> list[tuple[Any, ...]]:
        """Where in the dealt arrays the entries at each position of the window are."""
        positions = []
        for taps in np.ndindex(*(axis.window for axis in self.axes)):
            found = [_tap(t, axis) for t, axis in zip(taps, self.axes, strict=True)]
            phases, parts = zip(*found, strict=True)
            positions.append((*phases, slice(None), *parts))
        return positions

    @functools.cached_property
    def steps(self) -> list[tuple[list[tuple[Any, ...]], tuple[Any, ...]]]:
        """How windows are reduced along one axis after the other, the last one first.

        Namely, what is at each position along the axis, and the shape of what is left.
        """
        steps = []
        n = len(self.axes)
        for k, axis in reversed(list(enumerate(self.axes))):
            before = (slice(None),) * k
            taps = (_tap(t, axis) for t in range(axis.window))
            parts = [(*before, phase, slice(None), *before, part) for phase, part in taps]
            places = (a.places for a in self.axes[k:])
            steps.append((parts, (*self.dealt[:k], *self.dealt[n : n + 1 + k], *places)))
        return steps

    def _offsets(self, sizes: tuple[int, ...], channels: int) -> list[np.ndarray]:
        """Return where, in an array of these sizes, windows begin and their positions are.

        Namely the offsets of places without those along the last axis, of places along the last
        axis with all channels, and of positions in the window.
        """
        rows = positions = np.zeros(1, np.intp)
        for k, axis in enumerate(self.axes):
            step = math.prod(sizes[k + 1 :]) * channels
            positions = np.add.outer(positions, np.arange(axis.window) * step).ravel()
            places = np.arange(axis.places) * (axis.stride * step)
            if k < len(sizes) - 1:
                rows = np.add.outer(rows, places).ravel()
        return [rows, np.add.outer(places, np.arange(channels)).ravel(), positions]


def _tap(t: int, axis: _Axis) -> tuple[int, slice]:
    """Return which of the dealt arrays holds the entry number `t` of windows, and where in it."""
    return t % axis.stride, slice(t // axis.stride, t // axis.stride + axis.places)


# Blocks


class _Block(NamedTuple):
    """A part of the work: where it is in the input and in the output, and its plan."""

    entries: tuple[slice, ...]
    places: tuple[slice, ...]
    plan: _Plan


class _Windows:
    """All that follows from shapes alone. It is kept for the next step of a training."""

    def __init__(
        self, batch: int, channels: int, itemsize: int, axes: tuple[_Axis, ...], block: int
    ) -> None:
        self.axes = axes
        self.channels = channels
        self.are_tiles = _Plan(axes).is_inside and all(a.window == a.stride for a in axes)
        entries = math.prod(axis.size for axis in axes) * channels
        self._cuts = batch, _ceil(batch * entries * itemsize, block)
        self.counts = functools.lru_cache(self._counts)
        self.numbers = functools.lru_cache(self._numbers)

    @functools.cached_property
    def forward_blocks(self) -> list[_Block]:
        """Blocks of places, with all entries that they need."""
        return self._blocks(_Axis.cut_places)

    @functools.cached_property
    def backward_blocks(self) -> list[_Block]:
        """Blocks of entries, with all places that reach them."""
        return self._blocks(_Axis.cut_entries)

    def _blocks(self, cut: Callable[..., Any]) -> list[_Block]:
        """Cut the batch or, where samples are large, each sample along its first axis."""
        batch, number = self._cuts
        if not number:
            return []
        rows, *others = self.axes
        samples = _ceil(batch, number)
        length = _ceil(rows.places, _ceil(number, batch))
        bands = [cut(rows, p, min(p + length, rows.places)) for p in range(0, rows.places, length)]
        plans = {band: _Plan((band, *others)) for band in {band for _, _, band in bands}}
        return [
            _Block((slice(i, i + samples), entries), (slice(i, i + samples), places), plans[band])
            for i in range(0, batch, samples)
            for entries, places, band in bands
        ]

    def _counts(self, dtype: np.dtype) -> np.ndarray:
        """Return how many entries windows hold: an array that goes with a batch of results."""
        counts = np.ones((1,) * (len(self.axes) + 2), dtype)
        for k, axis in enumerate(self.axes):
            first = np.arange(axis.places) * axis.stride - axis.before
            inside = np.minimum(first + axis.window, axis.size) - np.maximum(first, 0)
            if k and (inside == axis.window).all():
                inside = inside[:1]
            counts = counts * inside.astype(dtype).reshape(-1, *(1,) * (len(self.axes) - k))
        return counts

    def _numbers(self, dtype: np.dtype) -> np.ndarray:
        """Return the number of each entry in its tile, as `_tiles` shapes it, for one tile row."""
        window = [axis.window for axis in self.axes]
        shape = [n for k in window for n in (1, k)]
        numbers = np.arange(math.prod(window)).astype(dtype).reshape(*shape, 1)
        shape[-2] = self.axes[-1].places
        return np.ascontiguousarray(np.broadcast_to(numbers, (*shape, self.channels)))


_kept_windows = functools.lru_cache(maxsize=64)(_Windows)


def _windows(
    x: np.ndarray, window: Sequence[int], strides: Sequence[int], pads: Pads, y: np.ndarray
) -> _Windows:
    before = [pad for pad, _ in pads]
    places = y.shape[1:-1]
    # A window that stops once overlaps no other, whatever its stride.
    steps = [max(k, s) if n == 1 else s for k, s, n in zip(window, strides, places, strict=True)]
    numbers = zip(x.shape[1:-1], window, steps, before, places, strict=True)
    axes = tuple(_Axis(*row) for row in numbers)
    return _kept_windows(len(x), x.shape[-1], x.itemsize, axes, _BLOCK)


def _for_blocks(work: Callable[[_Block], None], blocks: list[_Block]) -> None:
    """Do the work of all blocks, on several threads if there are many."""

    def some(start: int, stop: int, worker: int) -> None:
        for block in blocks[start:stop]:
            work(block)

    for_blocks(some, len(blocks), 1 if len(blocks) > _FEW else _FEW)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


# The work on a block


def _deal(x: np.ndarray, plan: _Plan, outside: float) -> np.ndarray:
    """Deal out the entries of `x`, with the value `outside` around them.

    Before that, they are brought into the cache in their own order.
    """
    near = x
    if plan.is_dealt or not plan.is_inside:
        near = scratch("near", (len(x), *plan.reach, x.shape[-1]), x.dtype)
        for part in plan.outside:
            near[part] = outside
        np.copyto(near[plan.inside], x[plan.covered])
    if not plan.is_dealt:
        return near[(np.newaxis,) * len(plan.axes)]
    dealt = scratch("dealt", _shape(plan.dealt, x), x.dtype)
    split = (size for axis in plan.axes for size in (axis.whole, axis.stride))
    pieces = _in_pieces(near).reshape(len(x), *split, 1)
    n = len(plan.axes)
    pieces = pieces.transpose(*range(2, 2 * n + 1, 2), 0, *range(1, 2 * n, 2), -1)
    np.copyto(_in_pieces(dealt), pieces[tuple(slice(count) for count in plan.dealt[:n])])
    return dealt


def _shape(shape: Sequence[Any], x: np.ndarray) -> tuple[int, ...]:
    """Return a shape with the batch size of `x` in place of None, and its channels."""
    return (*(len(x) if size is None else size for size in shape), x.shape[-1])


def _in_pieces(a: np.ndarray) -> np.ndarray:
    """Return a view with the channels of an entry as one item, which is quick to copy."""
    return a.view(np.dtype((np.void, a.shape[-1] * a.itemsize)))


def _reduce(ufunc: np.ufunc, dealt: np.ndarray, out: np.ndarray, plan: _Plan) -> None:
    """Reduce windows to one entry each, along one axis after the other if they overlap."""
    if plan.is_disjoint:
        ufunc.reduce(dealt.reshape(-1, *out.shape), axis=0, out=out)
        return
    source = dealt
    for k, (parts, shape) in enumerate(plan.steps, 1):
        result = out
        if k < len(plan.steps):
            result = scratch(f"reduced{k}", _shape(shape, out), out.dtype)
        if len(parts) == 1:
            np.copyto(result, source[parts[0]])
        else:
            ufunc(source[parts[0]], source[parts[1]], out=result)
        for part in parts[2:]:
            ufunc(result, source[part], out=result)
        source = result


def _find(dealt: np.ndarray, y: np.ndarray, index: np.ndarray, plan: _Plan) -> None:
    """Write the number of each window's first entry that equals `y`.

    This is the number of positions up to which everything has been unequal: a sum of booleans,
    where selecting would be slow.
    """
    if plan.is_disjoint:
        positions = dealt.reshape(-1, *y.shape)[:-1]
        missing = scratch("missing", positions.shape, bool)
        np.not_equal(positions, y, out=missing)
        for before, here in itertools.pairwise(missing):
            np.logical_and(before, here, out=here)
        np.add.reduce(missing.view(np.uint8), axis=0, dtype=index.dtype, out=index)
        return
    missing = scratch("missing", y.shape, bool)
    unequal = scratch("unequal", y.shape, bool)
    missing[...] = True
    index[...] = 0
    for position in plan.positions[:-1]:
        np.not_equal(dealt[position], y, out=unequal)
        np.logical_and(missing, unequal, out=missing)
        np.add(index, missing.view(np.uint8), out=index)


def _scatter(dy: np.ndarray, index: np.ndarray, dx: np.ndarray, plan: _Plan) -> None:
    """Write to each entry the sum of `dy` over the windows in which it has the number `index`."""
    near = _open(dx, plan)
    rows, columns, positions = plan.offsets(near.shape[1:-1], near.shape[-1])
    shape = (len(dx), len(rows), len(columns))
    numbers, chosen = scratch("numbers", shape, np.intp), scratch("chosen", shape, np.intp)
    np.copyto(numbers, index.reshape(shape))
    np.take(positions, numbers, out=chosen, mode="clip")  # other modes make a copy
    np.add(chosen, columns, out=chosen)
    samples = np.arange(len(dx))[:, np.newaxis] * (near.size // len(dx))
    np.add(chosen, (samples + rows)[..., np.newaxis], out=chosen)
    np.add.at(near.reshape(-1), chosen.reshape(-1), dy.reshape(-1))
    _close(near, dx, plan)


def _spread(dy: np.ndarray, dx: np.ndarray, plan: _Plan) -> None:
    """Write to each entry the sum of `dy` over the windows in which it lies."""
    near = _open(dx, plan)
    for taps in np.ndindex(*(axis.window for axis in plan.axes)):
        steps = zip(taps, plan.axes, strict=True)
        entries = (slice(t, t + a.places * a.stride, a.stride) for t, a in steps)
        target = near[(slice(None), *entries)]
        np.add(target, dy, out=target)
    _close(near, dx, plan)


def _open(dx: np.ndarray, plan: _Plan) -> np.ndarray:
    """Return zeros as far as windows reach: scratch memory, or `dx` itself if that is possible."""
    direct = plan.is_inside and dx.flags.c_contiguous
    shape = (len(dx), *plan.reach, dx.shape[-1])
    near = dx if direct else scratch("near", shape, dx.dtype)
    near[...] = 0
    return near


def _close(near: np.ndarray, dx: np.ndarray, plan: _Plan) -> None:
    """Copy what is inside to `dx`."""
    if near is not dx:
        if dx[plan.covered].size < dx.size:
            dx[...] = 0
        np.copyto(dx[plan.covered], near[plan.inside])


# Windows side by side, without overlap, gaps or pads, are tiles: the most common case.


def _choose_in_tiles(
    part: np.ndarray, index: np.ndarray, dx: np.ndarray, plan: _Plan, numbers: np.ndarray
) -> None:
    """Write `part` to the entry of its tile that has the number `index`, and 0 to the others.

    Memory is written in its own order, and then once more while it is in the cache.
    """
    tiles = _tiles(dx, plan)
    chosen = scratch("chosen", tiles.shape, bool)
    np.equal(_repeat(index, plan, "index"), numbers[..., : plan.axes[-1].places, :, :], out=chosen)
    np.copyto(tiles, chosen)
    np.multiply(tiles, _repeat(part, plan, "wide"), out=tiles)


def _tiles(dx: np.ndarray, plan: _Plan) -> np.ndarray:
    """Return a view with two axes for each: which tile, and where in it. Zero what is left over."""
    shape = [len(dx)]
    for k, axis in enumerate(plan.axes):
        shape += axis.places, axis.window
        covered = axis.places * axis.window
        if covered < axis.size:
            before = (slice(None),) * (k + 1)
            dx[(*before, slice(covered, None))] = 0
            dx = dx[(*before, slice(covered))]
    return dx.reshape(*shape, dx.shape[-1])


def _repeat(a: np.ndarray, plan: _Plan, name: str) -> np.ndarray:
    """Return `a` in the shape of `_tiles`, its columns repeated and others to be broadcast."""
    *leading, last = plan.axes
    shape = [len(a)]
    for axis in leading:
        shape += axis.places, 1
    wide = scratch(name, (*a.shape[:-1], last.window, a.shape[-1]), a.dtype)
    target, source = _in_pieces(wide), _in_pieces(np.ascontiguousarray(a))
    for k in range(last.window):
        np.copyto(target[..., k, :], source)
    return wide.reshape(*shape, *wide.shape[-3:])
