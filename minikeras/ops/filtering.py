"""Convolution with fewer multiplications, along the last spatial axis.

Six neighbouring inputs give the outputs of a short filter at several neighbouring places by six
multiplications instead of one for each output and each entry of the filter (Toom-Cook, known for
networks by the name of Winograd): four outputs of a filter of three take 6 instead of 12. The
other spatial axes and the channels are summed over by matrix products as always, six of them of
half the size.

In contrast to the same idea in both axes of an image it halves the work instead of quartering it,
but the transforms are cheap, it works for any number of axes, and rounding errors stay about
twice those of the plain sum: 1e-6 of the largest output.

References
----------
S. Winograd, Arithmetic Complexity of Computations, SIAM, 1980.
A. Lavin, S. Gray, Fast Algorithms for Convolutional Neural Networks, 2016, arXiv:1509.09308.
B. Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution for Deep
Neural Networks, 2020, arXiv:1803.10986 (the choice of the points).
"""

from __future__ import annotations

import functools
import math

import numpy as np

from minikeras.ops.memory import scratch, strided
from minikeras.ops.runs import empty_rows, multiply_runs, runs_gradient
from minikeras.ops.windows import Windows, padded

TILE = 6
_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
# The point 1, all powers of which are 1.
_ONES = 1
# Columns of tiles shorter than this are transformed all at once.
_LONG = 1024
# Fewer channels or filters than these are gathered.
_CHANNELS = 8


@functools.lru_cache(maxsize=32)
def transforms(taps: int, dtype: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrices for input, kernel and output of a filter of `taps` entries.

    With ``outputs = 7 - taps``: ``y = from_tile @ ((to_kernel @ w) * (to_tile @ x))`` for six
    inputs `x` and that many outputs `y`.

    Returns
    -------
    to_tile : ndarray, shape (6, 6)
    to_kernel : ndarray, shape (6, taps)
    from_tile : ndarray, shape (outputs, 6)

    Examples
    --------
    >>> to_tile, to_kernel, from_tile = transforms(3, "float64")
    >>> x, w = np.arange(6.0), np.array([1.0, 0.0, 2.0])
    >>> (from_tile @ ((to_kernel @ w) * (to_tile @ x))).round(9).tolist()
    [4.0, 7.0, 10.0, 13.0]
    """
    outputs = TILE + 1 - taps
    to_tile = np.zeros((TILE, TILE))
    to_kernel = np.zeros((TILE, taps))
    from_tile = np.zeros((outputs, TILE))
    for row, point in enumerate(_POINTS):
        others = [other for other in _POINTS if other != point]
        to_tile[row, :-1] = np.poly(others)[::-1]
        to_kernel[row] = point ** np.arange(taps) / np.prod(np.subtract(point, others))
        from_tile[:, row] = point ** np.arange(outputs)
    to_tile[-1] = np.poly(_POINTS)[::-1]
    to_kernel[-1, -1] = from_tile[-1, -1] = 1
    return tuple(matrix.astype(dtype) for matrix in (to_tile, to_kernel, from_tile))  # type: ignore[return-value]


class Filtering:
    """How one convolution is done in tiles of six inputs along the last axis.

    The axis before the last is not gathered, either, where its stride and dilation are 1: in a
    column of tiles, the entries under the window lie one after the other in memory. Any axes
    before are gathered as if they were channels.

    Parameters
    ----------
    windows : Windows
    channels, filters : int
    dtype : dtype
    """

    def __init__(self, windows: Windows, channels: int, filters: int, dtype: np.dtype) -> None:
        self.taps = windows.window[-1]
        self.outputs = TILE + 1 - self.taps
        self.to_tile, self.to_kernel, self.from_tile = transforms(self.taps, dtype.name)
        #: 1 where the axis before the last has rows that are not gathered, else 0.
        self.row_axes = int(
            len(windows.window) > 1 and windows.strides[-2] == windows.dilation[-2] == 1
        )
        self.window_rows = windows.window[-2] if self.row_axes else 1
        #: The axes before them, which are gathered.
        self.lead = len(windows.window) - 1 - self.row_axes
        self.lead_window = windows.window[: self.lead]
        self.lead_size = math.prod(self.lead_window)
        #: Entries of a row of the tiled input.
        self.depth = self.lead_size * channels
        self.filters, self.dtype = filters, dtype
        #: Shape of the kernel as the products take it.
        self.prepared_shape = (TILE, self.window_rows * self.depth, filters)
        tiles = -(-windows.places[-1] // self.outputs) * math.prod(windows.places[: self.lead])
        rows = windows.places[-2] + self.window_rows - 1 if self.row_axes else 1
        #: About how many entries of scratch memory a sample takes.
        self.scratch_size = TILE * tiles * rows * (2 * self.depth + filters) // 2

    @staticmethod
    def pays(windows: Windows, batch: int, channels: int, filters: int, dtype: np.dtype) -> bool:
        """Return whether this way is possible and likely to be the faster one."""
        width = math.prod(windows.window) * channels
        return (
            windows.strides[-1] == windows.dilation[-1] == 1
            and 2 <= windows.window[-1] <= TILE - 1
            and windows.places[-1] >= TILE
            and min(channels, filters) >= _CHANNELS
            and dtype.itemsize >= 4
            # The kernel is transformed, and twice as large then: there must be more to do.
            and batch * math.prod(windows.places) >= width
        )

    def prepare(self, kernel: np.ndarray) -> np.ndarray:
        """Return the transformed kernel, one matrix for each of the six multiplications."""
        result = np.empty(self.prepared_shape, self.dtype)
        np.matmul(self.to_kernel, self._taps_of(kernel), out=self._kernel_tiles(result))
        return result

    def finish_gradient(self, total: np.ndarray, dkernel: np.ndarray) -> None:
        """Write the gradient of the kernel that belongs to that of the transformed kernel."""
        np.matmul(self.to_kernel.T, self._kernel_tiles(total), out=self._taps_of(dkernel))

    def _taps_of(self, kernel: np.ndarray) -> np.ndarray:
        return kernel.reshape(self.lead_size, self.window_rows, self.taps, -1)

    def _kernel_tiles(self, prepared: np.ndarray) -> np.ndarray:
        tiles = prepared.reshape(TILE, self.window_rows, self.lead_size, -1)
        return tiles.transpose(2, 1, 0, 3)

    def forward(
        self,
        x: np.ndarray,
        prepared: np.ndarray,
        windows: Windows,
        bias: np.ndarray | None,
        out: np.ndarray,
    ) -> None:
        """Compute one block of outputs."""
        tiled, columns, rows = self._tile_input(x, windows)
        products = multiply_runs(tiled, columns * rows, prepared, self.window_rows)
        if bias is not None:
            # What is added to this product is added to all outputs of a tile.
            np.add(products[_ONES], bias, out=products[_ONES])
        shape = (columns, rows * self.filters)
        tiles = scratch("tiles", (self.outputs, *shape), self.dtype)
        _transform(self.from_tile, products.reshape(TILE, *shape), tiles)
        for part, place in self._tile_views(tiles, windows, rows, out):
            np.copyto(place, part)

    def kernel_gradient(
        self, dy: np.ndarray, x: np.ndarray, windows: Windows, total: np.ndarray, add: bool
    ) -> None:
        """Write what one block gives to the gradient of the prepared kernel, or add it."""
        tiled, columns, rows = self._tile_input(x, windows)
        dproducts = self._tile_gradient(dy, windows, columns, rows)
        runs_gradient(tiled, columns * rows, dproducts, self.window_rows, total, add)

    def _tile_input(self, x: np.ndarray, windows: Windows) -> tuple[np.ndarray, int, int]:
        """Return the transformed input, ``(6, columns * rows, depth)``, and these two numbers."""
        tiles = -(-windows.places[-1] // self.outputs)
        missing = (tiles - 1) * self.outputs + TILE - x.shape[-2] - sum(windows.pads[-1])
        x = padded(x, windows.pads, max(0, missing))
        rows = x.shape[-3] if self.row_axes else 1
        columns = len(x) * math.prod(windows.places[: self.lead]) * tiles
        shape = (TILE, columns, rows * self.depth)
        gathered = self._gather(x, windows, tiles, rows).reshape(shape)
        flat = (TILE, columns * rows, self.depth)
        tiled = empty_rows(flat, self.window_rows, self.filters, self.dtype)
        _transform(self.to_tile, gathered, tiled[:, : columns * rows].reshape(shape))
        return tiled, columns, rows

    def _gather(self, x: np.ndarray, windows: Windows, tiles: int, rows: int) -> np.ndarray:
        """Copy the input to ``(6, batch, *lead places, tiles, rows, *lead window, channels)``."""
        lead, step = self.lead, x.strides
        view = strided(
            x,
            (TILE, len(x), *windows.places[:lead], tiles, rows, *self.lead_window, x.shape[-1]),
            (
                step[-2],
                step[0],
                *(step[1 + i] * windows.strides[i] for i in range(lead)),
                step[-2] * self.outputs,
                step[-3] if self.row_axes else 0,
                *(step[1 + i] * windows.dilation[i] for i in range(lead)),
                step[-1],
            ),
        )
        gathered = scratch("tiles", view.shape, self.dtype)
        np.copyto(gathered, view)
        return gathered

    def _tile_gradient(
        self, dy: np.ndarray, windows: Windows, columns: int, rows: int
    ) -> np.ndarray:
        """Return the gradient of the six products, ``(6, columns * rows, filters)``."""
        shape = (columns, rows * self.filters)
        tiles = scratch("tiles", (self.outputs, *shape), self.dtype)
        tiles.fill(0)
        for part, place in self._tile_views(tiles, windows, rows, dy):
            np.copyto(part, place)
        result = scratch("products", (TILE, columns * rows, self.filters), self.dtype)
        _transform(self.from_tile.T, tiles, result.reshape(TILE, *shape))
        return result

    def _tile_views(
        self, tiles: np.ndarray, windows: Windows, rows: int, array: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return pairs of equal views of tiles and outputs: of the whole tiles, and of the rest."""
        places = windows.places[-1]
        valid = windows.places[-2] if self.row_axes else 1
        count, rest = divmod(places, self.outputs)
        tiles = tiles.reshape(self.outputs, -1, count + bool(rest), rows, self.filters)
        tiles = tiles[:, :, :, :valid]
        # The axes of the array become (all before rows, places, rows, filters), too.
        array = array.reshape(-1, valid, places, self.filters).swapaxes(1, 2)
        step = array.strides
        whole = strided(
            array,
            (self.outputs, len(array), count, valid, self.filters),
            (step[1], step[0], step[1] * self.outputs, *step[2:]),
        )
        views = [(tiles[:, :, :count], whole)]
        if rest:
            last = array[:, count * self.outputs :].swapaxes(0, 1)
            views.append((tiles[:rest, :, count], last))
        return views


def _transform(matrix: np.ndarray, tiles: np.ndarray, out: np.ndarray) -> None:
    """Multiply each tile by a matrix; the first axis of the arrays is that within a tile."""
    if tiles.shape[-1] < _LONG:
        np.matmul(matrix, tiles.reshape(len(tiles), -1), out=out.reshape(len(out), -1))
    else:
        np.matmul(matrix, tiles.swapaxes(0, 1), out=out.swapaxes(0, 1))
