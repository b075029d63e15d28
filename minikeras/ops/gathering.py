"""Convolution as one matrix product, with what lies under the window gathered into rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.ops.blas import matmuls
from minikeras.ops.memory import scratch
from minikeras.ops.runs import empty_rows, multiply_runs, runs_gradient
from minikeras.ops.windows import BLOCK, Windows, add_bias, columns, padded

# With fewer channels than these, gathering is fast along the places only.
_FEW_CHANNELS = 8
# With fewer places than these, runs make products of too few rows.
_MANY_PLACES = 4096


class Gathering:
    """Copy what lies under the window at each place into a row, and multiply by the kernel.

    The last axis is not gathered where the window moves one by one along it: there the entries
    under it are a run of memory. For a window of one entry nothing is gathered at all.

    Parameters
    ----------
    windows : Windows
    batch, channels, filters : int
    dtype : dtype
    """

    def __init__(
        self, windows: Windows, batch: int, channels: int, filters: int, dtype: np.dtype
    ) -> None:
        self.channels, self.filters, self.dtype = channels, filters, dtype
        self.few_channels = channels < _FEW_CHANNELS
        runs = (
            not self.few_channels
            and windows.strides[-1] == windows.dilation[-1] == 1
            # A run begins at every input, and those where the window leaves it are in vain.
            and windows.window[-1] <= 1 + windows.places[-1] // 3
            and batch * math.prod(windows.places) >= _MANY_PLACES
        )
        #: Length of a run, in rows.
        self.height = windows.window[-1] if runs else 1
        self.width = math.prod(windows.window) * channels
        self.depth = self.width // self.height
        entries = self.depth + (filters if self.height > 1 else 0)
        #: About how many entries of scratch memory a sample takes.
        self.scratch_size = math.prod(windows.places) * entries
        #: Shape of the kernel as the products take it.
        self.prepared_shape = (self.width, filters)

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the kernel as a matrix, with the axis of runs first."""
        if self.height == 1:
            return kernel.reshape(self.prepared_shape)
        matrix = kernel.reshape(-1, self.height, self.channels * self.filters)
        return matrix.swapaxes(0, 1).reshape(self.prepared_shape)

    def finish_gradient(self, total: np.ndarray, dkernel: np.ndarray) -> None:
        """Write the sum over all blocks."""
        total = total.reshape(self.height, -1, self.channels * self.filters)
        np.copyto(dkernel.reshape(-1, self.height, total.shape[-1]), total.swapaxes(0, 1))

    def forward(
        self,
        x: np.ndarray,
        prepared: np.ndarray,
        windows: Windows,
        bias: np.ndarray | None,
        out: np.ndarray,
    ) -> None:
        """Compute one block of outputs."""
        if self.height == 1:
            matmuls([(self._matrix(x, windows), prepared, out.reshape(-1, self.filters))])
            y = out
        else:
            rows, shape = self._rows(x, windows)
            y = multiply_runs(rows, math.prod(shape), prepared[None], self.height)
            y = y.reshape(*shape, self.filters)[..., : windows.places[-1], :]
        if y is not out:
            np.copyto(out, y)
        if bias is not None:
            add_bias(out, bias)

    def kernel_gradient(
        self, dy: np.ndarray, x: np.ndarray, windows: Windows, total: np.ndarray, add: bool
    ) -> None:
        """Write what one block gives to the gradient of the prepared kernel, or add it."""
        if self.height == 1:
            part = scratch("kernel_part", total.shape, self.dtype) if add else total
            matmuls([(self._matrix(x, windows).T, _as_rows(dy), part)])
            if add:
                np.add(total, part, out=total)
        else:
            rows, shape = self._rows(x, windows)
            spread = scratch("products", (*shape, self.filters), self.dtype)
            spread[..., : windows.places[-1], :] = dy
            spread[..., windows.places[-1] :, :] = 0
            spread = spread.reshape(1, -1, self.filters)
            runs_gradient(rows, spread.shape[1], spread, self.height, total[None], add)

    def _matrix(self, x: np.ndarray, windows: Windows) -> np.ndarray:
        """Return a row for each place, ``(batch * places, window * channels)``."""
        view = columns(padded(x, windows.pads), windows)
        if self.few_channels and self.width > 1:
            axes = x.ndim - 1
            view = view.transpose(*range(axes, view.ndim), *range(axes))
            matrix = scratch("rows", view.shape, self.dtype)
            np.copyto(matrix, view)
            return matrix.reshape(self.width, -1).T
        if self.width == self.channels and view.flags.c_contiguous:
            return view.reshape(-1, self.width)
        matrix = scratch("rows", view.shape, self.dtype)
        np.copyto(matrix, view)
        return matrix.reshape(-1, self.width)

    def _rows(self, x: np.ndarray, windows: Windows) -> tuple[np.ndarray, tuple[int, ...]]:
        """Gather all axes but the last, and return rows and their shape."""
        x = padded(x, windows.pads)
        along = Windows(
            (*windows.window[:-1], 1),
            windows.strides,
            windows.dilation,
            windows.pads,
            (*windows.places[:-1], x.shape[-2]),
        )
        view = columns(x, along)
        shape = view.shape[: x.ndim - 1]
        count = math.prod(shape)
        rows = empty_rows((1, count, self.depth), self.height, self.filters, self.dtype)
        np.copyto(rows[:, :count].reshape(view.shape), view)
        return rows, shape


def scatter(dy: np.ndarray, kernel: np.ndarray, windows: Windows, dx: np.ndarray) -> None:
    """Compute the gradient of the input by adding what each place gives to what it has seen.

    Parameters
    ----------
    dy : ndarray, shape (batch, *places, filters)
    kernel : ndarray, shape (*window, channels, filters)
    windows : Windows
    dx : ndarray, shape (batch, *sizes, channels)
    """
    dx.fill(0)
    *window, channels, filters = kernel.shape
    matrix = kernel.reshape(-1, filters).T
    axis = windows.cut_axis
    row = dy.size // filters // windows.places[axis] * matrix.shape[1]
    step = max(1, BLOCK // max(row, 1))
    before = (slice(None),) * (axis + 1)
    for start in range(0, windows.places[axis], step):
        part = dy[(*before, slice(start, start + step))]
        given = scratch("rows", (*part.shape[:-1], *window, channels), dy.dtype)
        matmuls([(_as_rows(part), matrix, given.reshape(-1, matrix.shape[1]))])
        for tap in np.ndindex(*window):
            places, met = _meeting(windows, tap, axis, start, part.shape, dx.shape)
            target = dx[(slice(None), *met)]
            every: tuple[Any, ...] = (slice(None), *places, *tap)
            np.add(target, given[every], out=target)


def _meeting(
    windows: Windows,
    tap: Sequence[int],
    axis: int,
    start: int,
    shape: Sequence[int],
    input_shape: Sequence[int],
) -> tuple[list[slice], list[slice]]:
    """Return the places at which a tap is inside of the input, and the inputs that it meets.

    The places are those of a part of the given shape, from `start` on along an axis.
    """
    counts, sizes = shape[1:-1], input_shape[1:-1]
    places, met = [], []
    axes = zip(tap, windows.strides, windows.dilation, windows.pads, counts, sizes, strict=True)
    for i, (t, stride, dilation, (before, _), count, size) in enumerate(axes):
        first = t * dilation - before + (start * stride if i == axis else 0)
        low = max(0, -(first // stride))
        high = max(low, min(count, -((first - size) // stride)))
        places.append(slice(low, high))
        met.append(slice(first + low * stride, max(0, first + (high - 1) * stride + 1), stride))
        if high == low:
            met[-1] = slice(0, 0)
    return places, met


def _as_rows(dy: np.ndarray) -> np.ndarray:
    """Return `dy` as a matrix with a row for each place."""
    if not dy.flags.c_contiguous:
        copy = scratch("matrix", dy.shape, dy.dtype)
        np.copyto(copy, dy)
        dy = copy
    return dy.reshape(-1, dy.shape[-1])
