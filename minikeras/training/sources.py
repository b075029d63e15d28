"""Sources of batches: arrays in memory or on disk, generators, `Sequence`s.

A source has

- ``samples``: how many samples an epoch has, None where nobody knows beforehand;
- ``steps``: how many batches;
- ``batch_size``: None where it may vary;
- ``repeats``: how many times an epoch goes over the same data, None for an ordinary one;
- ``batches()``: yields ``(x, y, weights)`` for one epoch, in the types that the model computes
  with. A batch can't be written to, and is valid until the next one is asked for. An iteration
  that is left early is to be closed, with `contextlib.closing`;
- ``arrays()``: ``[x, y, weights]`` for callbacks to read, None if the data are not at hand;
- ``close()``.

The loops know nothing else about the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np

from minikeras.backend import check_numerics
from minikeras.training.arguments import Feeding, read_only
from minikeras.training.data import Batch, check_finite
from minikeras.training.disk import OnDisk

#: Makes a checked batch of what a generator or Sequence gave; the text says where it came from.
Prepare = Callable[[Any, str], Batch]


class ArraySource:
    """Batches of arrays, in memory or on disk.

    Parameters
    ----------
    x, y, weights : ndarray, OnDisk or None
        One entry per sample each.
    batch_size : int or callable
        The last batch may be smaller. A callable is asked when the first batch is wanted.
    shuffle : bool or 'batch'
        Whether samples, or whole batches, come in a new random order each epoch.
    x_dtype, y_dtype : dtype or None
        To what a batch is converted; None leaves it as it is. Converting batch by batch keeps a
        large array of bytes from being blown up to four times its size.
    repeats : int, optional
        How many times an epoch goes over the data. Default: once.

    Notes
    -----
    The order of an epoch is drawn as in Keras by ``np.random.shuffle``, but starts from the natural
    one each time, so that training on in a second `fit` equals a longer first one.

    Examples
    --------
    >>> source = ArraySource(np.arange(5), None, None, batch_size=2)
    >>> [x.tolist() for x, y, weights in source.batches()]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        weights: np.ndarray | None,
        batch_size: int | Callable[[], int],
        shuffle: bool | str = False,
        x_dtype: Any = None,
        y_dtype: Any = None,
        repeats: int | None = None,
    ) -> None:
        self.samples = len(x)
        self.repeats = repeats
        self.shuffle = shuffle
        self._given = batch_size
        self._arrays = ((x, x_dtype), (y, y_dtype), (weights, None))
        self._columns: list[Any] | None = None
        self._room = 0  # for so many rows
        self._order = np.arange(self.samples) if shuffle else None

    @property
    def batch_size(self) -> int:
        """How many samples a batch has, but perhaps the last one."""
        return self._given() if callable(self._given) else self._given

    @property
    def largest(self) -> int:
        """How many samples the largest batch has."""
        return max(1, min(self.batch_size, self.samples))

    @property
    def steps(self) -> int:
        """How many batches an epoch has."""
        return -(-self.samples // self.largest) * (self.repeats or 1)

    def arrays(self) -> list[Any]:
        """Return inputs, targets and weights (ones if there are none), for callbacks to read."""
        x, y, weights = (read_only(array) for array, _ in self._arrays)
        return [x, y, np.ones(len(x), "float32") if weights is None else weights]

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        for _ in range(self.repeats or 1):
            yield from self._once()

    def close(self) -> None:
        """Do nothing: the arrays are the user's."""

    def _once(self) -> Iterator[Batch]:
        rows_of_a_batch = self.largest
        if self._columns is None or rows_of_a_batch > self._room:
            self._room = rows_of_a_batch
            self._columns = [_column(array, t, rows_of_a_batch) for array, t in self._arrays]
        if self._order is not None:
            self._reorder(rows_of_a_batch)
        for start in range(0, self.samples, rows_of_a_batch):
            stop = min(start + rows_of_a_batch, self.samples)
            rows = slice(start, stop) if self._order is None else self._order[start:stop]
            x, y, weights = (c and c.take(rows, stop - start) for c in self._columns)
            yield x, y, weights

    def _reorder(self, rows_of_a_batch: int) -> None:
        assert self._order is not None
        self._order[:] = np.arange(self.samples)
        if self.shuffle != "batch":
            np.random.shuffle(self._order)
            return
        whole = self.samples - self.samples % rows_of_a_batch
        np.random.shuffle(self._order[:whole].reshape(-1, rows_of_a_batch))


class _Column:
    """One array of a source, and the memory that its batches are copied into."""

    def __init__(self, array: np.ndarray, dtype: Any, batch_size: int) -> None:
        # np.take would copy a whole array that is not contiguous, at every batch.
        self.array = read_only(np.ascontiguousarray(array))
        self.convert = dtype is not None and self.array.dtype != dtype
        shape = (batch_size, *array.shape[1:])
        self.taken = np.empty(shape, array.dtype)
        self.converted = np.empty(shape, dtype) if self.convert else self.taken

    def take(self, rows: Any, count: int) -> np.ndarray:
        if isinstance(rows, slice):
            batch = self.array[rows]
        else:
            # mode='clip' lets NumPy write straight to `out`; all indices are in range.
            batch = np.take(self.array, rows, axis=0, out=self.taken[:count], mode="clip")
        if self.convert:
            self.converted[:count] = batch
            batch = self.converted[:count]
        return read_only(batch)


class _DiskColumn:
    """One array on disk, of which each batch is read when it is needed."""

    def __init__(self, array: OnDisk, dtype: Any) -> None:
        self.array = array
        self.dtype = dtype

    def take(self, rows: Any, count: int) -> np.ndarray:
        batch = self.array.read(rows)
        if check_numerics() and batch.dtype.kind == "f":
            check_finite(batch, "A batch of the data on disk")
        return read_only(batch if self.dtype is None else batch.astype(self.dtype, copy=False))


def _column(array: Any, dtype: Any, batch_size: int) -> _Column | _DiskColumn | None:
    if array is None:
        return None
    if isinstance(array, OnDisk):
        return _DiskColumn(array, dtype)
    return _Column(array, dtype, batch_size)


class GeneratorSource:
    """Batches that a generator makes, `steps` of them for each epoch.

    Parameters
    ----------
    generator : iterator
    prepare : callable
        Makes a checked batch of what the generator gives.
    steps : int
    epochs : int
        How many epochs there will be, for the error when the generator ends too early.
    feeding : Feeding
    """

    samples = None
    batch_size = None
    repeats = None
    largest = 1

    def __init__(
        self, generator: Any, prepare: Prepare, steps: int, epochs: int, feeding: Feeding
    ) -> None:
        from minikeras.utils.feeding import Puller

        self.steps = steps
        self._epochs = epochs
        self._taken = 0
        self._prepare = prepare
        self._puller = Puller(generator, *feeding)

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        index = -1
        with closing(self._puller.take(self.steps)) as items:
            for index, item in enumerate(items):
                self._taken += 1
                batch = self._prepare(item, f"batch {index} of the generator")
                self.largest = max(self.largest, len(batch[0]))
                yield batch
        if index + 1 < self.steps:
            needed = self.steps * self._epochs
            epochs = f" in {self._epochs} epochs" if self._epochs > 1 else ""
            raise ValueError(
                f"The generator ended after {self._taken} batches, but {needed} are needed: "
                f"{self.steps} steps{epochs}. Let it go on for ever (while True: ...), or ask for "
                "fewer steps."
            )

    def arrays(self) -> None:
        """Return None: the data come by and by."""

    def close(self) -> None:
        """Leave no thread and no process behind."""
        self._puller.close()


class SequenceSource:
    """Batches of a `Sequence`, each used once in a pass over it.

    An epoch of training goes on where the last one ended. So with fewer steps than the Sequence
    has batches, all of them are used in turn; with more, it starts over. After each pass
    its `on_epoch_end` is called.

    Parameters
    ----------
    sequence : Sequence
    prepare : callable
        Makes a checked batch of what the Sequence gives.
    steps : int
    shuffle : bool
        Whether each pass has a new order of batches.
    feeding : Feeding
    restarts : bool
        Whether each epoch begins with the first batch, as it should for validation. Default False.
    """

    samples = None
    batch_size = None
    repeats = None
    largest = 1

    def __init__(
        self,
        sequence: Any,
        prepare: Prepare,
        steps: int,
        shuffle: bool,
        feeding: Feeding,
        restarts: bool = False,
    ) -> None:
        self.steps = steps
        self._sequence = sequence
        self._prepare = prepare
        self._shuffle = shuffle
        self._feeding = feeding
        self._restarts = restarts
        self._left: list[int] = []

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        from minikeras.utils.feeding import fetched

        if self._restarts:
            self._left = []
        left = self.steps
        while left:
            if not self._left:
                self._left = self._order()
            now, self._left = self._left[:left], self._left[left:]
            left -= len(now)
            seed = int(np.random.randint(2**32, dtype=np.uint32))
            with closing(fetched(self._sequence, now, *self._feeding, seed=seed)) as items:
                for index, item in zip(now, items, strict=True):
                    batch = self._prepare(item, f"batch {index} of {type(self._sequence).__name__}")
                    self.largest = max(self.largest, len(batch[0]))
                    yield batch
            if not self._left:
                self._sequence.on_epoch_end()

    def _order(self) -> list[int]:
        order = np.arange(len(self._sequence))
        if not len(order):
            raise ValueError(f"{type(self._sequence).__name__} has no batches: its len() is 0.")
        if self._shuffle:
            np.random.shuffle(order)
        return order.tolist()

    def arrays(self) -> None:
        """Return None: the data come by and by."""

    def close(self) -> None:
        """Do nothing: each iteration cleans up behind itself."""
