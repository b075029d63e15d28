"""Data that stay on disk: HDF5 datasets and `HDF5Matrix`, read batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np


class OnDisk:
    """A range of rows of an array on disk. Slicing reads nothing; `read` does.

    Parameters
    ----------
    data : h5py.Dataset, HDF5Matrix or alike
        Has ``shape``, ``dtype`` and ``data[start:stop]``.
    start, stop : int, optional
        The range. Default: all of it.

    Examples
    --------
    >>> rows = OnDisk(np.arange(10).reshape(5, 2))[1:4]
    >>> rows.shape, rows.read([2, 0]).tolist()
    ((3, 2), [[6, 7], [2, 3]])
    """

    def __init__(self, data: Any, start: int = 0, stop: int | None = None) -> None:
        self.data = data
        self.start = start
        self.stop = len(data) if stop is None else stop
        self.shape: tuple[int, ...] = (self.stop - start, *data.shape[1:])
        self.ndim = len(self.shape)
        self.dtype = np.dtype(data.dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> OnDisk:
        start, stop, step = rows.indices(len(self))
        assert step == 1
        return OnDisk(self.data, self.start + start, self.start + max(start, stop))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(slice(None)), dtype)

    def read(self, rows: Any) -> np.ndarray:
        """Read a slice of rows, or those of given numbers in any order."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            return np.asarray(self.data[self.start + start : self.start + stop])
        # HDF5 reads rows in ascending order only.
        wanted, places = np.unique(np.asarray(rows) + self.start, return_inverse=True)
        if len(wanted) and wanted[-1] - wanted[0] + 1 == len(wanted):
            found = self.data[int(wanted[0]) : int(wanted[-1]) + 1]
        else:
            found = self.data[wanted.tolist()]
        return np.asarray(found)[places]


def on_disk(data: Any) -> bool:
    """Return whether `data` is an array outside of memory."""
    if isinstance(data, OnDisk) or type(data).__module__.partition(".")[0] == "h5py":
        return hasattr(data, "dtype")
    return not hasattr(data, "__array__") and all(
        hasattr(data, name) for name in ("shape", "dtype", "__getitem__", "__len__")
    )


def loaded(data: Any) -> Any:
    """Return `data`, read into memory if they are on disk."""
    return data.read(slice(None)) if isinstance(data, OnDisk) else data
