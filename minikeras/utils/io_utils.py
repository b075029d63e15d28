"""Arrays in HDF5 files, read piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

if TYPE_CHECKING:
    import h5py

# Open files by process and path. HDF5 closes a file when its last object here is gone.
_files: WeakValueDictionary[tuple[int, str], h5py.File] = WeakValueDictionary()


class HDF5Matrix:
    """A dataset of an HDF5 file, or a range of its samples, in place of an array.

    Only what is asked for is read. The file is opened for reading, once for all objects that
    use it, and closed when none of them is left. Objects can be pickled and used in worker
    processes: each process opens the file for itself.

    Parameters
    ----------
    datapath : str or path
        Path of the file.
    dataset : str
        Name of the dataset in the file.
    start : int, default 0
        First sample.
    end : int, optional
        The sample after the last one. Default: the number of samples in the dataset.
    normalizer : callable, optional
        Called on all that is read: several samples, or a single one where one index is given. It
        may change the shape of a sample and its type, but not the number of samples.

    Raises
    ------
    ValueError
        If the file has no such dataset, or not these samples.
    OSError
        If the file is missing or no HDF5 file.

    Notes
    -----
    Where it differs from Keras 2.2.4: the file is opened read-only; indices may be negative,
    come in any order and several times, and be a mask of booleans; slices may have a step, and
    end where the data end, as in NumPy; `ndim` is that of what comes out of the normalizer.

    Examples
    --------
    >>> import h5py, os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "data.h5")
    >>> with h5py.File(path, "w") as file:
    ...     file["x"] = np.arange(10).reshape(5, 2)
    >>> x = HDF5Matrix(path, "x", start=1, normalizer=lambda x: x / 10)
    >>> x.shape, x.dtype
    ((4, 2), dtype('float64'))
    >>> x[[-1, 0, 0]].tolist()
    [[0.8, 0.9], [0.2, 0.3], [0.2, 0.3]]
    >>> del x
    >>> folder.cleanup()
    """

    def __init__(
        self,
        datapath: str | os.PathLike[str],
        dataset: str,
        start: int = 0,
        end: int | None = None,
        normalizer: Callable[[Any], Any] | None = None,
    ) -> None:
        # Absolute, for processes and for programs that change their directory.
        self._path = os.path.realpath(os.fspath(datapath))
        self._name = dataset
        self._opened: tuple[int, Any, Any] | None = None  # process, file, dataset
        rows = len(self.data)
        self.start = start
        self.end = rows if end is None else end
        if not 0 <= self.start <= self.end <= rows:
            raise ValueError(
                f"Dataset {dataset!r} of {self._path} has {rows} samples; start={start}, "
                f"end={end} is no range of them: 0 <= start <= end <= {rows} is needed."
            )
        self.normalizer = normalizer
        first = np.asarray(self._normalized(self.data[self.start : self.start + 1]))
        self._sample_shape = first.shape[1:]
        self._dtype = first.dtype

    @property
    def data(self) -> Any:
        """The h5py dataset, opened by this process."""
        if self._opened is None or self._opened[0] != os.getpid():
            self._open()
        assert self._opened is not None
        return self._opened[2]

    def _open(self) -> None:
        if self._opened is not None:
            # This process was forked. HDF5 would take the parent's file for its own.
            self._opened[1].close()
        file = _shared_file(self._path)
        data = file.get(self._name)
        if data is None or len(getattr(data, "shape", None) or ()) == 0:
            kind = "no dataset" if data is None else "no array under the name"
            found = ", ".join(repr(name) for name in file) or "nothing"
            raise ValueError(f"{self._path} has {kind} {self._name!r}. At its top it has {found}.")
        self._opened = os.getpid(), file, data

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def __len__(self) -> int:
        return self.end - self.start

    def __getitem__(self, key: Any) -> Any:
        """Read a sample, or several.

        Parameters
        ----------
        key : int, slice, Ellipsis, list or array of int, or mask of bool
            Which samples.

        Raises
        ------
        IndexError
            If there is no such sample.
        TypeError
            If `key` is of another kind.
        """
        if key is Ellipsis:
            key = slice(None)
        if isinstance(key, slice):
            if key.stop is not None and key.stop > len(self):
                raise IndexError(
                    f"The slice ends at {key.stop}; there are {len(self)} of {self._name!r}."
                )
            return self._normalized(self._slice(*key.indices(len(self))))
        rows = self._rows(key)
        if rows.ndim == 0:
            return self._normalized(self.data[int(rows)])
        return self._normalized(self._pick(rows))

    def _slice(self, start: int, stop: int, step: int) -> np.ndarray:
        count = len(range(start, stop, step))
        last = start + (count - 1) * step
        first, last = min(start, last), max(start, last)
        if count == 0:
            return self.data[0:0]
        found = self.data[self.start + first : self.start + last + 1 : abs(step)]
        return found if step > 0 else found[::-1]

    def _pick(self, rows: np.ndarray) -> np.ndarray:
        # h5py wants ascending numbers, each once; and it reads a slice a lot faster.
        wanted, places = np.unique(rows, return_inverse=True)
        if len(wanted) == 0:
            return self.data[0:0]
        first, last = int(wanted[0]), int(wanted[-1])
        if last - first < 2 * len(wanted):
            return self.data[first : last + 1][rows - first]
        return self.data[wanted][places]

    def _rows(self, key: Any) -> np.ndarray:
        """Return checked numbers of rows in the dataset."""
        rows = np.asarray(key)
        if rows.size == 0 and not isinstance(key, np.ndarray):
            rows = rows.astype(int)  # an empty list
        if rows.dtype == bool and rows.shape == (len(self),):
            rows = np.flatnonzero(rows)
        if rows.dtype.kind not in "iu" or rows.ndim > 1 or isinstance(key, tuple):
            raise TypeError(
                "An HDF5Matrix is indexed by a number, a slice, a list or array of numbers, or a "
                f"mask of {len(self)} booleans, all of which choose samples; got {key!r}."
            )
        rows = rows.astype(np.int64)
        wrong = rows[(rows < -len(self)) | (rows >= len(self))]
        if wrong.size:
            raise IndexError(f"Sample {wrong.flat[0]} of {len(self)} samples in {self._name!r}.")
        return np.where(rows < 0, rows + len(self), rows) + self.start

    def _normalized(self, found: Any) -> Any:
        return found if self.normalizer is None else self.normalizer(found)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole, as it comes out of the normalizer."""
        return (len(self), *self._sample_shape)

    @property
    def dtype(self) -> np.dtype:
        """Type of what comes out of the normalizer."""
        return self._dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))


def _shared_file(path: str) -> h5py.File:
    """Return the file, open for reading in this process."""
    import h5py

    key = os.getpid(), path
    file = _files.get(key)
    # A file that somebody has closed is false.
    if not file:
        file = h5py.File(path, "r")
        _files[key] = file
    return file
