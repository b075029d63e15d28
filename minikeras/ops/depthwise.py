"""Depthwise convolution over any number of spatial axes, channels last.

Each channel has `multiplier` filters of its own; output channel ``c * multiplier + m`` is filter
``m`` of channel ``c``. There are as many multiplications as numbers to read, so this is no work
for matrix products. Instead:

- For each tap, the input is shifted, multiplied by the tap's weights and added up. Neighbouring
  places of the last axis lie side by side in memory, with all their channels. So the weights,
  repeated for each place, make this a product of long runs, and `numpy.einsum` multiplies and
  adds in one go.
- A stride s along the last axis would cut the runs to pieces. So s neighbouring positions count
  as one that has s times the channels (`_Last`). Then the stride is 1, and some weights are 0.
- The gradient by the input is a convolution of ``dy`` with the taps reversed. With a stride along
  another axis it is several, one for each remainder by the stride (`_Taps`). The gradient by the
  kernel is the product of the same shifted ``dy`` and the input, summed over all places.
- Work goes in blocks. A block starts by copying the part of an array that will be shifted, with
  the zeros around it. So the array may have any layout in memory.
"""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minikeras.ops.memory import scratch, strided
from minikeras.ops.parallel import for_blocks

Pads = Sequence[tuple[int, int]]

# Entries of a block: there are some 8 of them, of a size that is worth the effort.
_SMALLEST, _LARGEST = 1 << 17, 1 << 18
# Entries of a run, at most. NumPy's iterators work in pieces of this size.
_RUN = 8192
# Into how many partial sums, at most, the gradient of the kernel is divided.
_SUMS = 32


def depthwise_conv(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    out: np.ndarray,
    finish: Callable[[np.ndarray], object] | None = None,
) -> np.ndarray:
    """Slide kernels over `x`, each over one channel (cross-correlation).

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    kernel : ndarray, shape (*window, channels, multiplier)
    bias : ndarray, shape (channels * multiplier,), optional
    strides, dilation : sequence of int, one for each spatial axis
    pads : sequence of (before, after)
        Zeros around each spatial axis.
    out : ndarray, shape (batch, *places, channels * multiplier)
        Memory for the result, C-contiguous.
    finish : callable, optional
        Called with each finished part of `out`, a C-contiguous view, to change it in place: an
        activation function. Several threads call it.

    Returns
    -------
    ndarray
        `out`.

    Notes
    -----
    With a stride along the last axis, an infinite or NaN input also makes NaN of places next to
    those that see it: it is multiplied by a weight that is 0.

    Examples
    --------
    >>> x = np.arange(5.0).reshape(1, 5, 1)
    >>> kernel = np.array([[-1.0, -10.0], [1.0, 10.0]]).reshape(2, 1, 2)
    >>> out = np.empty((1, 3, 2))
    >>> depthwise_conv(x, kernel, strides=(1,), pads=[(0, 0)], dilation=(2,), out=out).tolist()
    [[[2.0, 20.0], [2.0, 20.0], [2.0, 20.0]]]
    """
    axes = _axes(kernel, strides, pads, dilation)
    last = axes[-1]
    weights = last.pack(kernel)
    tile = _tile(weights, out.shape[-2])
    bias_run = None if bias is None else _tile(bias, out.shape[-2])
    spreads = (*dilation[:-1], last.spread)
    blocks = _cut(out.shape[:-1], out.shape[-1])

    def work(start: int, stop: int, worker: int) -> None:
        samples, low, high = blocks[start]
        y = out[samples, low:high]
        seen = [axis.seen(places) for axis, places in zip(axes, _spans(low, y), strict=True)]
        source = last.fold(_crop(x[samples], seen, "padded", kernel.shape[-1]))
        if last.stride == 1:
            _slide(source, tile, strides[:-1], spreads, y)
        else:
            products = scratch("products", (*y.shape[:-1], weights.shape[-1]), y.dtype)
            _slide(source, tile, strides[:-1], spreads, products)
            parts = products.reshape(*y.shape[:-1], last.stride, y.shape[-1])
            _add_up([parts[..., r, :] for r in range(last.stride)], y)
        if bias_run is not None:
            for piece in _pieces(y):
                runs = _runs(y, piece)
                np.add(runs, bias_run[: runs.shape[-1]], out=runs)
        if finish is not None:
            finish(y)

    for_blocks(work, len(blocks), 1)
    return out


def depthwise_conv_backward(
    dy: np.ndarray,
    x: np.ndarray | None,
    kernel: np.ndarray,
    *,
    strides: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    dx: np.ndarray | None = None,
    dkernel: np.ndarray | None = None,
    dbias: np.ndarray | None = None,
) -> None:
    """Compute those gradients of `depthwise_conv` for which memory is given.

    Parameters
    ----------
    dy : ndarray, shape (batch, *places, channels * multiplier)
    x, kernel, strides, pads, dilation
        As in `depthwise_conv`. `x` may be None where `dkernel` is.
    dx, dkernel, dbias : ndarray, optional
        Memory for the gradients, shaped like `x`, `kernel` and `bias`; C-contiguous.
    """
    if dbias is not None:
        _sum_places(dy, dbias)
    like = x if dx is None else dx
    if like is None or (dx is None and dkernel is None):
        return
    axes = _axes(kernel, strides, pads, dilation)
    last = axes[-1]
    weights = last.pack(kernel)
    phases = _phases(kernel, strides, pads, dilation)
    has_gaps = len(phases) < math.prod(strides[:-1])
    sizes = (*like.shape[1:-2], math.ceil(like.shape[-2] / last.stride))
    tiles = [_tile(weights[_reversed(phase)], sizes[-1]) for phase in phases]
    blocks = _cut((len(like), *sizes), weights.shape[-1])
    blocks_per_sum = max(1, math.ceil(len(blocks) / _SUMS))
    sums = np.zeros((math.ceil(len(blocks) / blocks_per_sum), *weights.shape), dy.dtype)

    def work_on(samples: slice, low: int, high: int, total: np.ndarray) -> None:
        spans = [range(low, high), *map(range, sizes[1:])]
        seeing = [axis.seeing(span) for axis, span in zip(axes, spans, strict=True)]
        source = _crop(dy[samples], seeing, "padded", repeats=last.stride)
        if dx is not None and has_gaps:
            dx[samples, low:high] = 0
        for phase, tile in zip(phases, tiles, strict=True):
            part = _part(phase, spans, seeing)
            if part is None:
                continue
            places, positions = part
            shifted = source[(slice(None), *places)]
            inside = (samples, *positions, last.unfold(spans[-1]))
            spreads = (*(taps.spread for taps in phase), last.spread)
            if dx is not None:
                _gradient_of_input(shifted, tile, spreads, last, dx[inside])
            if dkernel is not None and x is not None:
                _gradient_of_taps(shifted, x[inside], spreads, last, total[_reversed(phase)])

    def work(start: int, stop: int, worker: int) -> None:
        for block in blocks[start:stop]:
            work_on(*block, sums[start // blocks_per_sum])

    for_blocks(work, len(blocks), blocks_per_sum)
    if dkernel is not None:
        last.unpack(np.add.reduce(sums, axis=0), dkernel)


class _Axis(NamedTuple):
    """How places of the output and positions of the input belong together along an axis."""

    stride: int
    before: int
    reach: int  # from the first tap to the last

    def seen(self, places: range) -> range:
        """Return the positions that any of the places see."""
        first = places.start * self.stride - self.before
        return range(first, first + (len(places) - 1) * self.stride + self.reach + 1)

    def seeing(self, positions: range) -> range:
        """Return the places that see any of the positions."""
        first = -((self.reach - self.before - positions.start) // self.stride)
        return range(first, (positions.stop - 1 + self.before) // self.stride + 1)


class _Last(NamedTuple):
    """The last axis, where `stride` neighbouring positions are folded into one.

    So folded positions are as far apart as places, and tap t is found in a part of a folded
    position: `slots` has, for each t, how many taps of folded positions come before, and the
    part. With a stride, these taps lie side by side, whatever the dilation.
    """

    stride: int
    first: int  # the folded position that the first tap sees from place 0
    spread: int  # from one tap to the next
    slots: list[tuple[int, int]]

    @property
    def reach(self) -> int:
        return self.slots[-1][0] * self.spread

    def seen(self, places: range) -> range:
        """Return the positions, not folded, that any of the places see."""
        first = places.start + self.first
        return range(first * self.stride, (first + len(places) + self.reach) * self.stride)

    def seeing(self, folded: range) -> range:
        """Return the places that see any of the folded positions."""
        return range(folded.start - self.first - self.reach, folded.stop - self.first)

    def unfold(self, folded: range) -> slice:
        """Return the positions that belong to folded ones."""
        return slice(folded.start * self.stride, folded.stop * self.stride)

    def fold(self, x: np.ndarray) -> np.ndarray:
        """Return a view of `x` with folded positions."""
        if self.stride == 1:
            return x
        return x.reshape(*x.shape[:-2], x.shape[-2] // self.stride, -1)

    def pack(self, kernel: np.ndarray) -> np.ndarray:
        """Return the weights as (*window, folded taps, channels of a folded position)."""
        *window, _, channels, multiplier = kernel.shape
        count = self.slots[-1][0] + 1
        packed = np.zeros((*window, count, self.stride, channels * multiplier), kernel.dtype)
        for tap, slot in enumerate(self.slots):
            packed[(..., *slot, slice(None))] = kernel[..., tap, :, :].reshape(*window, -1)
        return packed.reshape(*window, count, -1)

    def unpack(self, packed: np.ndarray, kernel: np.ndarray) -> None:
        """Write what is shaped like the result of `pack` to an array shaped like a kernel."""
        packed = packed.reshape(*packed.shape[:-1], self.stride, *kernel.shape[-2:])
        for tap, slot in enumerate(self.slots):
            kernel[..., tap, :, :] = packed[(..., *slot, slice(None), slice(None))]


def _axes(
    kernel: np.ndarray, strides: Sequence[int], pads: Pads, dilation: Sequence[int]
) -> list[Any]:
    """Return an `_Axis` for each spatial axis, and a `_Last` for the last."""
    *window, size = kernel.shape[:-2]
    axes: list[Any] = [
        _Axis(s, before, (k - 1) * d)
        for k, s, (before, _), d in zip(window, strides, pads, dilation, strict=False)
    ]
    stride, before, step = strides[-1], pads[-1][0], dilation[-1]
    if stride == 1:
        return [*axes, _Last(1, -before, step, [(tap, 0) for tap in range(size)])]
    slots = [divmod(tap * step - before, stride) for tap in range(size)]
    first = slots[0][0]
    return [*axes, _Last(stride, first, 1, [(place - first, part) for place, part in slots])]


class _Taps(NamedTuple):
    """Taps along an axis that see input positions of one remainder by the stride."""

    stride: int
    reversed: slice
    offset: int  # the position that the first of them sees from place 0
    spread: int  # how many places later a tap sees what the next one sees
    reach: int  # how many places later the first one sees what the last one sees

    def places(self, positions: range) -> range:
        """Return the places from which the first of the taps sees one of the positions."""
        first = -((self.offset - positions.start) // self.stride)
        return range(first, -((self.offset - positions.stop) // self.stride))


_Phase = tuple[_Taps, ...]


def _phases(
    kernel: np.ndarray, strides: Sequence[int], pads: Pads, dilation: Sequence[int]
) -> list[_Phase]:
    """Return the combinations of `_Taps` along all axes but the last."""
    axes = []
    for size, stride, (before, _), d in zip(
        kernel.shape[:-3], strides, pads, dilation, strict=False
    ):
        step = stride // math.gcd(stride, d)
        spread = step * d // stride
        axis = []
        for first in range(min(step, size)):
            more = (size - 1 - first) // step
            backwards = slice(first + step * more, None, -step)
            axis.append(_Taps(stride, backwards, first * d - before, spread, spread * more))
        axes.append(axis)
    return list(itertools.product(*axes))


def _reversed(phase: _Phase) -> tuple[slice, ...]:
    """Return the index of a phase's taps in the weights, last tap first."""
    return (*(taps.reversed for taps in phase), slice(None, None, -1))


def _part(
    phase: _Phase, spans: Sequence[range], seeing: Sequence[range]
) -> tuple[list[slice], list[slice]] | None:
    """Return which of the places `seeing` a phase needs, and which positions it is about."""
    places, positions = [], []
    for taps, span, known in zip(phase, spans, seeing, strict=False):
        own = taps.places(span)
        if not own:
            return None
        places.append(slice(own.start - taps.reach - known.start, own.stop - known.start))
        first = taps.offset + taps.stride * own.start
        positions.append(slice(first, span.stop, taps.stride))
    return places, positions


def _cut(shape: tuple[int, ...], channels: int) -> list[tuple[slice, int, int]]:
    """Cut an array into blocks: whole samples, or rows low to high of a sample."""
    batch, rows, *others = shape
    row = math.prod(others) * channels
    size = min(max(_SMALLEST, batch * rows * row // 8), _LARGEST)
    if rows * row <= size:
        count = math.ceil(batch * rows * row / size)
        step = math.ceil(batch / count) if batch else 1
        return [(slice(n, min(n + step, batch)), 0, rows) for n in range(0, batch, step)]
    height = math.ceil(rows / math.ceil(rows / max(1, size // row)))
    return [
        (slice(n, n + 1), low, min(low + height, rows))
        for n in range(batch)
        for low in range(0, rows, height)
    ]


def _spans(low: int, y: np.ndarray) -> list[range]:
    """Return the places along each axis of a block that begins at row `low`."""
    return [range(low, low + y.shape[1]), *map(range, y.shape[2:-1])]


def _crop(
    x: np.ndarray, positions: Sequence[range], name: str, multiplier: int = 1, repeats: int = 1
) -> np.ndarray:
    """Return `x` at these positions, zero where there are none, in rows without gaps.

    It has each channel `multiplier` times, and then all of them `repeats` times. Where `x` itself
    will do, the result is a view, else scratch memory of this name.
    """
    filled, inside = [], []
    for size, wanted in zip(x.shape[1:-1], positions, strict=True):
        first, stop = max(0, wanted.start), min(size, wanted.stop)
        stop = max(first, stop)
        inside.append(slice(first, stop))
        filled.append(slice(first - wanted.start, stop - wanted.start))
    part = x[(slice(None), *inside)]
    shape = (*(len(wanted) for wanted in positions), x.shape[-1] * multiplier * repeats)
    if part.shape[1:] == shape and part.strides[-2:] == (shape[-1] * x.itemsize, x.itemsize):
        return part
    plane = scratch(name, (len(x), *shape), x.dtype)
    index: tuple[slice, ...] = (slice(None),)
    for size, target in zip(shape, filled, strict=False):
        if target.start > 0:
            plane[(*index, slice(target.start))] = 0
        if target.stop < size:
            plane[(*index, slice(target.stop, None))] = 0
        index = (*index, target)
    copies, channels = plane[index], x.shape[-1] * multiplier
    for first in range(0, channels * repeats, channels):
        for m in range(multiplier):
            copies[..., first + m : first + channels : multiplier] = part
    return plane


def _widest(channels: int) -> int:
    """Return how many places a run may have."""
    return max(1, _RUN // channels)


def _tile(weights: np.ndarray, places: int) -> np.ndarray:
    """Return weights repeated along the last axis as often as a run may need."""
    return np.tile(weights, min(places, _widest(weights.shape[-1])))


def _pieces(x: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Yield how the last spatial axis is cut into runs: where they begin, how many, how wide."""
    length, channels = x.shape[-2:]
    width = math.ceil(length / math.ceil(length / _widest(channels)))
    count = length // width
    yield 0, count, width
    if count * width < length:
        yield count * width, 1, length - count * width


def _runs(x: np.ndarray, piece: tuple[int, int, int]) -> np.ndarray:
    """Return a view (batch, *places but the last, runs, entries of a run)."""
    start, count, width = piece
    part = x[..., start : start + count * width, :]
    return part.reshape(*x.shape[:-2], count, width * x.shape[-1])


def _windows(
    x: np.ndarray,
    piece: tuple[int, int, int],
    places: Sequence[int],
    strides: Sequence[int],
    taps: Sequence[int],
    spreads: Sequence[int],
) -> np.ndarray:
    """Return the shifted runs, a view (batch, *places but the last, runs, *taps, entries)."""
    start, count, width = piece
    batch, *rows, step, item = x.strides
    shape = (len(x), *places, count, *taps, width * x.shape[-1])
    along = (stride * n for stride, n in zip(rows, strides, strict=True))
    across = (stride * n for stride, n in zip((*rows, step), spreads, strict=True))
    view = (batch, *along, width * step, *across, item)
    return strided(x[..., start:, :] if start else x, shape, view)


def _slide(
    source: np.ndarray,
    tile: np.ndarray,
    strides: Sequence[int],
    spreads: Sequence[int],
    out: np.ndarray,
) -> None:
    """Add up the products of shifted runs and the tile of each tap."""
    lead, taps, run = _letters(len(spreads))
    for piece in _pieces(out):
        target = _runs(out, piece)
        windows = _windows(source, piece, out.shape[1:-2], strides, tile.shape[:-1], spreads)
        weights = tile[..., : target.shape[-1]]
        np.einsum(f"{lead}{taps}{run},{taps}{run}->{lead}{run}", windows, weights, out=target)


def _letters(rank: int) -> tuple[str, str, str]:
    """Return names for axes: batch, places and runs; taps; entries of a run."""
    letters = string.ascii_letters
    return letters[: rank + 1], letters[rank + 1 : 2 * rank + 1], letters[2 * rank + 1]


def _add_up(parts: Sequence[np.ndarray], out: np.ndarray) -> None:
    if len(parts) == 1:
        out[...] = parts[0]
        return
    np.add(parts[0], parts[1], out=out)
    for part in parts[2:]:
        np.add(out, part, out=out)


def _gradient_of_input(
    shifted: np.ndarray,
    tile: np.ndarray,
    spreads: Sequence[int],
    last: _Last,
    dx: np.ndarray,
) -> None:
    """Slide reversed taps over a shifted dy; add up the filters of a channel."""
    ones = [1] * (len(spreads) - 1)
    *lead, length, channels = dx.shape
    multiplier = shifted.shape[-1] // (last.stride * channels)
    if multiplier == 1 and length % last.stride == 0:
        _slide(shifted, tile, ones, spreads, last.fold(dx))
        return
    products = scratch(
        "products", (*lead, math.ceil(length / last.stride), shifted.shape[-1]), dx.dtype
    )
    _slide(shifted, tile, ones, spreads, products)
    parts = products.reshape(*lead, -1, channels, multiplier)[..., :length, :, :]
    _add_up([parts[..., m] for m in range(multiplier)], dx)


def _gradient_of_taps(
    shifted: np.ndarray,
    x: np.ndarray,
    spreads: Sequence[int],
    last: _Last,
    sums: np.ndarray,
) -> None:
    """Add to `sums` the products of a shifted dy and `x`, summed over all places."""
    *lead, length, channels = x.shape
    multiplier = shifted.shape[-1] // (last.stride * channels)
    positions = [*map(range, lead[1:]), range(math.ceil(length / last.stride) * last.stride)]
    x = last.fold(_crop(x, positions, "inputs", multiplier))
    places, _, run = _letters(len(spreads))
    for piece in _pieces(x):
        runs = _runs(x, piece)
        products = scratch("products", (*sums.shape[:-1], runs.shape[-1]), sums.dtype)
        # Tap by tap: some versions of NumPy take six times as long for several at once.
        for tap in np.ndindex(*sums.shape[:-1]):
            starts = [t * spread for t, spread in zip(tap, spreads, strict=True)]
            seen = [slice(i, i + n) for i, n in zip(starts, x.shape[1:-1], strict=True)]
            others = _runs(shifted[(slice(None), *seen)], piece)
            np.einsum(f"{places}{run},{places}{run}->{run}", others, runs, out=products[tap])
        sums += np.add.reduce(products.reshape(*sums.shape[:-1], -1, x.shape[-1]), axis=-2)


def _sum_places(dy: np.ndarray, dbias: np.ndarray) -> None:
    """Sum over all but the channels."""
    blocks = _cut(dy.shape[:-1], len(dbias))
    sums = np.zeros((len(blocks), len(dbias)), dy.dtype)

    def work(start: int, stop: int, worker: int) -> None:
        samples, low, high = blocks[start]
        part = dy[samples, low:high]
        part = _crop(part, _spans(0, part), "padded")
        for piece in _pieces(part):
            runs = _runs(part, piece)
            row = np.add.reduce(runs, axis=tuple(range(runs.ndim - 1)))
            sums[start] += np.add.reduce(row.reshape(-1, len(dbias)), axis=0)

    for_blocks(work, len(blocks), 1)
    np.add.reduce(sums, axis=0, out=dbias)
