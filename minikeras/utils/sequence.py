"""The base class of data that come in numbered batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Sequence:
    """Data in numbered batches, for `fit_generator` and its like.

    A subclass writes `__getitem__` and `__len__`, and `on_epoch_end` if the data are to change
    between epochs. Since each batch has a number, several workers can make batches ahead of the
    training, and each batch is still used once an epoch.

    Notes
    -----
    With ``workers`` other than 0, `__getitem__` runs in worker threads or worker processes,
    several at a time: it should change nothing that another batch depends on. What
    `on_epoch_end` changes is seen by all workers in the next epoch.

    A batch that draws from ``np.random`` or from Python's ``random`` is the same whoever makes
    it; see `minikeras.utils.feeding.fetched`.

    Examples
    --------
    >>> import numpy as np
    >>> class Halves(Sequence):
    ...     def __init__(self, x, y):
    ...         self.x, self.y = x, y
    ...
    ...     def __len__(self):
    ...         return 2
    ...
    ...     def __getitem__(self, index):
    ...         half = slice(index * len(self.x) // 2, (index + 1) * len(self.x) // 2)
    ...         return self.x[half], self.y[half]
    >>> batches = Halves(np.arange(4), np.arange(4) % 2)
    >>> batches[1]
    (array([2, 3]), array([0, 1]))
    >>> [x.tolist() for x, y in batches]
    [[0, 1], [2, 3]]
    """

    def __getitem__(self, index: int) -> Any:
        """Return batch number `index`: ``(x, y)``, ``(x, y, sample_weight)`` or ``x``.

        Parameters
        ----------
        index : int
            From 0 to ``len(self) - 1``.
        """
        raise NotImplementedError(
            f"{type(self).__name__} needs a method __getitem__(self, index) that returns a batch."
        )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        raise NotImplementedError(
            f"{type(self).__name__} needs a method __len__(self) that returns how many batches "
            "an epoch has."
        )

    def on_epoch_end(self) -> None:
        """Do what is to be done between epochs, such as shuffling; nothing by default."""

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of one epoch, in order."""
        for index in range(len(self)):
            yield self[index]
