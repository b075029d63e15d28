"""Convolution as one matrix product, with what lies under the window gathered into rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minikeras.ops.memory import scratch
from minikeras.ops.runs import empty_rows, multiply_runs, runs_gradient
from minikeras.ops.windows import Windows, add_bias, columns, padded, taps

# With fewer channels than these, gathering is fast along the places only.
_FEW_CHANNELS = 8


class Gathering:
    """Copy what lies under the window at each place into a row, and multiply by the kernel.

    The last axis is not gathered where the window moves one by one along it: there the entries
    under it are a run of memory. For a window of one entry nothing is gathered at all.

    Parameters
    ----------
    windows : Windows
    channels, filters : int
    dtype : dtype
    """

    def __init__(self, windows: Windows, channels: int, filters: int, dtype: np.dtype) -> None:
        self.channels, self.filters, self.dtype = channels, filters, dtype
        self.few_channels = channels < _FEW_CHANNELS
        runs = not self.few_channels and windows.strides[-1] == windows.dilation[-1] == 1
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
            np.matmul(self._matrix(x, windows), prepared, out=out.reshape(-1, self.filters))
            y = out
        else:
            rows, shape = self._rows(x, windows)
            y = multiply_runs(rows, math.prod(shape), prepared[None], self.height)
            y = y.reshape(*shape, self.filters)[..., : windows.places[-1], :]
        if y is not out:
            np.copyto(out, y)
        if bias is not None:
            add_bias(out, bias)

    def add_kernel_gradient(
        self, dy: np.ndarray, x: np.ndarray, windows: Windows, total: np.ndarray
    ) -> None:
        """Add what one block gives to the gradient of the prepared kernel."""
        if self.height == 1:
            part = scratch("kernel_part", self.prepared_shape, self.dtype)
            np.matmul(self._matrix(x, windows).T, _as_rows(dy), out=part)
        else:
            rows, shape = self._rows(x, windows)
            spread = scratch("products", (*shape, self.filters), self.dtype)
            spread[..., : windows.places[-1], :] = dy
            spread[..., windows.places[-1] :, :] = 0
            spread = spread.reshape(1, -1, self.filters)
            part = runs_gradient(rows, spread.shape[1], spread, self.height)
        np.add(total, part.reshape(total.shape), out=total)

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

    def scatter(self, dy: np.ndarray, kernel: np.ndarray, windows: Windows, dx: np.ndarray) -> None:
        """Compute the gradient of the input for some samples, whatever the strides."""
        shape = (*dy.shape[:-1], *windows.window, self.channels)
        rows = scratch("rows", shape, self.dtype)
        every = (slice(None),) * (dy.ndim - 1)
        matrix = kernel.reshape(-1, self.filters)
        np.matmul(_as_rows(dy), matrix.T, out=rows.reshape(-1, self.width))
        sums = dx
        if any(map(any, windows.pads)):
            sizes = zip(dx.shape[1:-1], windows.pads, strict=True)
            sums = scratch(
                "padded",
                (len(dx), *(n + before + after for n, (before, after) in sizes), self.channels),
                self.dtype,
            )
        sums.fill(0)
        for tap, meets in taps(windows):
            met = sums[(slice(None), *meets)]
            given: tuple[Any, ...] = (*every, *tap)
            np.add(met, rows[given], out=met)
        if sums is not dx:
            sizes = zip(dx.shape[1:-1], windows.pads, strict=True)
            inside = (slice(before, before + n) for n, (before, _) in sizes)
            np.copyto(dx, sums[(slice(None), *inside)])


def _as_rows(dy: np.ndarray) -> np.ndarray:
    """Return `dy` as a matrix with a row for each place."""
    if not dy.flags.c_contiguous:
        copy = scratch("matrix", dy.shape, dy.dtype)
        np.copyto(copy, dy)
        dy = copy
    return dy.reshape(-1, dy.shape[-1])
