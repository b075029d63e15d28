"""Convolution without sharing: a kernel of its own for each place of the window.

What lies under the window at a place, written as a row for each sample, is a matrix; its product
with the place's kernel is the output there. So all is a batch of matrix products, one for each
place. The kernels are most of the memory, and each block of places reads its kernels once, for
all samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minikeras.ops.memory import scratch, strided
from minikeras.ops.parallel import for_blocks

# Entries of scratch memory to aim at; multiplications up to which one thread does all, and blocks
# for the threads beyond that.
_SCRATCH = 1 << 18
_WORK = 4_000_000
_BLOCKS = 8


def local_conv(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    window: Sequence[int],
    strides: Sequence[int],
    out: np.ndarray,
    channels_first: bool = False,
    finish: Callable[[np.ndarray], object] | None = None,
) -> np.ndarray:
    """Multiply what lies under the window at each place by the kernel of that place.

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    kernel : ndarray, shape (places, entries, filters)
        One matrix for each place of the window, the last spatial axis fastest. Entries are those
        under the window: the product of its sizes and the channels.
    bias : ndarray, shape (*places, filters), optional
    window, strides : sequence of int, one for each spatial axis
    out : ndarray, shape (batch, *places, filters)
        Memory for the result, C-contiguous.
    channels_first : bool
        The order of the entries in `kernel`: channels slowest, and not fastest. Default False.
    finish : callable, optional
        Called with each finished part of `out`, a C-contiguous view, to change it in place: an
        activation function. Several threads call it.

    Returns
    -------
    ndarray
        `out`.

    Examples
    --------
    >>> x = np.arange(3.0).reshape(1, 3, 1)
    >>> kernel = np.array([[[1.0], [1.0]], [[10.0], [100.0]]])
    >>> local_conv(x, kernel, window=(2,), strides=(1,), out=np.empty((1, 2, 1))).tolist()
    [[[1.0], [210.0]]]
    """
    products = _Products(kernel, len(x), window, strides, out.shape[1:-1], channels_first)
    kernels = products.kernels(kernel)
    y = np.moveaxis(out, 0, -2)

    def work(start: int, stop: int, worker: int) -> None:
        for rows in products.parts(start):
            np.matmul(products.patches(x, rows), kernels[rows], out=y[rows])

    def finish_samples(start: int, stop: int, worker: int) -> None:
        part = out[start:stop]
        if bias is not None:
            np.add(part, bias, out=part)
        if finish is not None:
            finish(part)

    for_blocks(work, products.blocks, 1)
    if bias is not None or finish is not None:
        for_blocks(finish_samples, len(out), max(1, _SCRATCH * len(out) // max(1, out.size)))
    return out


def local_conv_backward(
    dy: np.ndarray,
    x: np.ndarray | None,
    kernel: np.ndarray,
    *,
    window: Sequence[int],
    strides: Sequence[int],
    channels_first: bool = False,
    dx: np.ndarray | None = None,
    dkernel: np.ndarray | None = None,
    dbias: np.ndarray | None = None,
) -> None:
    """Compute those gradients of `local_conv` for which memory is given.

    Parameters
    ----------
    dy : ndarray, shape (batch, *places, filters)
    x, kernel, window, strides, channels_first
        As in `local_conv`. `x` may be None where `dkernel` is.
    dx, dkernel, dbias : ndarray, optional
        Memory for the gradients, shaped like `x`, `kernel` and `bias`; `dkernel` C-contiguous.
    """
    if dbias is not None:
        np.add.reduce(dy, axis=0, out=dbias)
    products = _Products(kernel, len(dy), window, strides, dy.shape[1:-1], channels_first)
    kernels = products.kernels(kernel)
    dkernels = None if dkernel is None else products.kernels(dkernel)
    dy = np.moveaxis(dy, 0, -2)
    if dx is not None:
        dx[...] = 0

    def work_on(block: int) -> None:
        for rows in products.parts(block):
            upstream = scratch("upstream", dy[rows].shape, dy.dtype)
            np.copyto(upstream, dy[rows])
            if dkernels is not None and x is not None:
                patches = products.patches(x, rows)
                np.matmul(patches.swapaxes(-1, -2), upstream, out=dkernels[rows])
            if dx is not None:
                products.add_to(dx, rows, upstream, kernels[rows])

    def every_other(first: int) -> None:
        def work(start: int, stop: int, worker: int) -> None:
            work_on(first + 2 * start)

        for_blocks(work, len(range(first, products.blocks, 2)), 1)

    # Neighbouring blocks touch the same input, so they must not be at work at the same time.
    every_other(0)
    every_other(1)


class _Products(NamedTuple):
    """The shapes of the products, and how they are cut into blocks of rows.

    A row is an entry of the first axis of the places.
    """

    kernel: np.ndarray
    batch: int
    window: Sequence[int]
    strides: Sequence[int]
    places: tuple[int, ...]
    channels_first: bool

    @property
    def rows(self) -> int:
        """Rows of a block: enough for it to share no input with the next block but one."""
        few = self.batch * self.kernel.size < _WORK
        wanted = math.ceil(self.places[0] / (1 if few else _BLOCKS))
        return max(wanted, math.ceil(self.window[0] / self.strides[0]))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return math.ceil(self.places[0] / self.rows)

    def parts(self, block: int) -> list[slice]:
        """Cut the rows of a block into parts that scratch memory holds."""
        start = block * self.rows
        stop = min(start + self.rows, self.places[0])
        row = math.prod(self.places[1:]) * self.batch * self.kernel.shape[1]
        step = max(1, _SCRATCH // max(1, row))
        return [slice(i, min(i + step, stop)) for i in range(start, stop, step)]

    def kernels(self, kernel: np.ndarray) -> np.ndarray:
        """Return a view (*places, entries, filters)."""
        return kernel.reshape(*self.places, *kernel.shape[1:])

    def patches(self, x: np.ndarray, rows: slice) -> np.ndarray:
        """Return what lies under the window, in scratch memory (*places, batch, entries)."""
        rank = len(self.places)
        batch, *steps, item = x.strides
        along = (step * n for step, n in zip(steps, self.strides, strict=True))
        shape = (*self.places, len(x), *self.window, x.shape[-1])
        view = strided(x, shape, (*along, batch, *steps, item))[rows]
        if self.channels_first:
            view = np.moveaxis(view, -1, rank + 1)
        patches = scratch("patches", view.shape, x.dtype)
        np.copyto(patches, view)
        return patches.reshape(*view.shape[: rank + 1], self.kernel.shape[1])

    def add_to(
        self, dx: np.ndarray, rows: slice, upstream: np.ndarray, kernels: np.ndarray
    ) -> None:
        """Add to `dx` the gradient of what lies under the window."""
        shape = (*upstream.shape[:-1], self.kernel.shape[1])
        patches = scratch("patches", shape, dx.dtype)
        np.matmul(upstream, kernels.swapaxes(-1, -2), out=patches)
        if self.channels_first:
            patches = patches.reshape(*shape[:-1], dx.shape[-1], *self.window)
            patches = np.moveaxis(patches, len(self.places) + 1, -1)
        else:
            patches = patches.reshape(*shape[:-1], *self.window, dx.shape[-1])
        patches = np.moveaxis(patches, len(self.places), 0)
        places = [(rows.start, rows.stop), *((0, n) for n in self.places[1:])]
        for tap in np.ndindex(*self.window):
            axes = zip(tap, places, self.strides, strict=True)
            seen = [slice(t + i * s, t + j * s, s) for t, (i, j), s in axes]
            target = dx[(slice(None), *seen)]
            np.add(target, patches[(..., *tap, slice(None))], out=target)
