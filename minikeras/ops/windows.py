"""A window that slides over an array: where it stops, and what lies under it.

All arrays have the shape ``(batch, *sizes, channels)``. The work of an op that slides a window is
cut into blocks: some samples, or, of a single large sample, some places along one axis. What a
block needs of the input is brought into scratch memory once, with its zeros around.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minikeras.ops.memory import scratch, strided

Pads = tuple[tuple[int, int], ...]

#: Entries of scratch memory that a block may use: small enough for the second level cache and a
#: part of the third, large enough that the threads seldom meet at the interpreter lock.
BLOCK = 400_000
#: Multiplications from which on several threads pay. With less, they would spend their time
#: waiting for each other at the interpreter lock.
MUCH_WORK = 64_000_000
# How many blocks there are at least, from so many multiplications on: several threads should have
# something to do, and equally much.
_LEAST_WORK = ((8, 2 * MUCH_WORK), (2, MUCH_WORK), (1, 0))
#: Places of the window that a block should have.
FEW_PLACES = 256


class Windows(NamedTuple):
    """A window sliding over the spatial axes: one entry in each field for each axis.

    Attributes
    ----------
    window, strides, dilation : tuple of int
    pads : tuple of (before, after)
        Zeros around the input.
    places : tuple of int
        How often the window stops.
    """

    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Pads
    places: tuple[int, ...]

    @classmethod
    def over(
        cls,
        places: Sequence[int],
        window: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[tuple[int, int]],
        dilation: Sequence[int],
    ) -> Windows:
        """Make one from any sequences."""
        return cls(tuple(window), tuple(strides), tuple(dilation), tuple(pads), tuple(places))

    @property
    def reach(self) -> tuple[int, ...]:
        """Distance from the first entry under the window to the last, for each axis."""
        return tuple((k - 1) * d for k, d in zip(self.window, self.dilation, strict=True))

    @property
    def cut_axis(self) -> int:
        """The axis along which to cut a sample: the first with more than one place."""
        return next((i for i, count in enumerate(self.places) if count > 1), 0)

    def turned(self, sizes: Sequence[int]) -> Windows | None:
        """Return the windows over the outputs that see what each input goes into.

        None if there are none, since the window does not move one by one.

        Parameters
        ----------
        sizes : sequence of int
            Spatial sizes of the input.
        """
        axes = zip(sizes, self.reach, self.pads, self.places, strict=True)
        pads = tuple((reach - before, size + before - n) for size, reach, (before, _), n in axes)
        if set(self.strides) != {1} or min(map(min, pads)) < 0:
            return None
        return self._replace(pads=pads, places=tuple(sizes))

    def part(self, axis: int, places: slice, size: int) -> tuple[Windows, slice]:
        """Return the windows at some places along an axis of that size, and the input they need."""
        stride, (before, _) = self.strides[axis], self.pads[axis]
        start = places.start * stride - before
        stop = (places.stop - 1) * stride + self.reach[axis] + 1 - before
        pads, count = list(self.pads), list(self.places)
        pads[axis] = (max(0, -start), max(0, stop - size))
        count[axis] = places.stop - places.start
        needed = slice(max(0, start), max(0, min(stop, size)))
        return self._replace(pads=tuple(pads), places=tuple(count)), needed


class Block(NamedTuple):
    """A part of the work.

    Attributes
    ----------
    outputs, inputs : tuple of slice
        Where its outputs are, and what they need: some samples, and of a sample that is cut
        some places along one axis.
    windows : Windows
        Over these inputs.
    """

    outputs: tuple[slice, ...]
    inputs: tuple[slice, ...]
    windows: Windows


@functools.lru_cache(maxsize=64)
def blocks(
    windows: Windows, batch: int, sizes: tuple[int, ...], scratch_size: int, work: int
) -> tuple[Block, ...]:
    """Cut the work into blocks of some samples, or of some places of one sample.

    A sample is cut along its first axis with more than one place, so that the outputs of a block
    are one run of memory.

    Parameters
    ----------
    windows : Windows
    batch : int
    sizes : tuple of int
        Spatial sizes of a sample.
    scratch_size : int
        Entries of scratch memory that a sample takes.
    work : int
        Multiplications in all: a little work stays in one block, and so do few places, for each
        block reads the whole kernel.
    """
    axis = windows.cut_axis
    parts = next(count for count, least in _LEAST_WORK if work >= least)
    parts = min(parts, max(1, batch * math.prod(windows.places) // FEW_PLACES))
    samples = max(1, min(BLOCK // max(scratch_size, 1), -(-batch // parts)))
    cuts = max(scratch_size // (2 * BLOCK), parts // max(batch, 1), 1)
    if cuts > 1:
        samples = 1
    count = windows.places[axis]
    rows = max(1, -(-count // cuts))
    slabs = []
    for p in range(0, count, rows):
        places = slice(p, min(p + rows, count))
        slabs.append((places, *windows.part(axis, places, sizes[axis])))
    before = (slice(None),) * axis
    return tuple(
        Block((some, *before, places), (some, *before, needed), part)
        for some in (slice(n, n + samples) for n in range(0, batch, samples))
        for places, part, needed in slabs
    )


def padded(x: np.ndarray, pads: Pads, extra: int = 0) -> np.ndarray:
    """Return `x` with zeros around its spatial axes, in scratch memory; `x` if there are none.

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    pads : tuple of (before, after)
    extra : int
        More zeros after the last axis.
    """
    if not extra and not any(map(any, pads)):
        return x
    pads = (*pads[:-1], (pads[-1][0], pads[-1][1] + extra))
    sizes = x.shape[1:-1]
    shape = (len(x), *(a + n + b for n, (a, b) in zip(sizes, pads, strict=True)), x.shape[-1])
    result = scratch("padded", shape, x.dtype)
    inside = result
    for axis, (size, (before, after)) in enumerate(zip(sizes, pads, strict=True), 1):
        axes = (slice(None),) * axis
        if before:
            inside[(*axes, slice(0, before))] = 0
        if after:
            inside[(*axes, slice(before + size, None))] = 0
        inside = inside[(*axes, slice(before, before + size))]
    np.copyto(inside, x)
    return result


def columns(x: np.ndarray, windows: Windows) -> np.ndarray:
    """Return a view of what lies under the window, ``(batch, *places, *window, channels)``.

    Parameters
    ----------
    x : ndarray
        With its zeros around.
    windows : Windows
    """
    step = x.strides[1:-1]
    return strided(
        x,
        (len(x), *windows.places, *windows.window, x.shape[-1]),
        (
            x.strides[0],
            *(a * b for a, b in zip(step, windows.strides, strict=True)),
            *(a * b for a, b in zip(step, windows.dilation, strict=True)),
            x.strides[-1],
        ),
    )


def sum_places(dy: np.ndarray) -> np.ndarray:
    """Return the sums over all axes but the last.

    As a product with ones: sums over the rows of a narrow matrix are several times slower.
    """
    rows = dy.reshape(-1, dy.shape[-1])
    return np.ones(len(rows), dy.dtype) @ rows


def add_bias(y: np.ndarray, bias: np.ndarray) -> None:
    """Add a number to each channel of a C-contiguous array, in place.

    With the numbers repeated along the last spatial axis NumPy's inner loop is that much longer.
    """
    rows = y.reshape(-1, y.shape[-2] * y.shape[-1])
    np.add(rows, np.tile(bias, y.shape[-2]), out=rows)
