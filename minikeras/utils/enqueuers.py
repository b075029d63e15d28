"""Keras' enqueuers: endless streams of batches, for training loops of one's own."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from minikeras.utils.warning import warn

_OVER = object()


class SequenceEnqueuer:
    """What the two enqueuers share; a subclass says where the items come from.

    Parameters
    ----------
    sequence : object
        Where the items come from.
    use_multiprocessing : bool, default False
        Processes in place of threads.
    """

    def __init__(self, sequence: Any, use_multiprocessing: bool = False) -> None:
        import threading

        self.sequence = sequence
        self.use_multiprocessing = use_multiprocessing
        self.workers = 0
        self.max_queue_size = 10
        self._running = False
        self._items: Generator[Any, None, None] | None = None
        self._turn = threading.Lock()  # several threads may share the stream

    def _stream(self) -> Generator[Any, None, None]:
        """Yield all items; close what was opened when it ends."""
        raise NotImplementedError

    def is_running(self) -> bool:
        """Return whether `start` was called, and `stop` was not."""
        return self._running

    def start(self, workers: int = 1, max_queue_size: int = 10) -> None:
        """Get ready. The workers start when the first item is asked for.

        Parameters
        ----------
        workers : int, default 1
            How many threads or processes make items. 0: they are made when they are asked for.
        max_queue_size : int, default 10
            How many items may be ready or in the making.

        Raises
        ------
        RuntimeError
            If it is running already.
        """
        if self._running:
            raise RuntimeError(f"This {type(self).__name__} is running: call stop() first.")
        self.workers = workers
        self.max_queue_size = max_queue_size
        self._items = self._stream()
        self._running = True

    def get(self) -> Iterator[Any]:
        """Return an iterator over the items, without those that are None.

        It goes on until `stop` is called. An exception stops the enqueuer, and comes out.

        Raises
        ------
        RuntimeError
            If `start` was not called.
        """
        if not self._running:
            raise RuntimeError(f"Call start() of this {type(self).__name__} before get().")
        return self._get()

    def _get(self) -> Iterator[Any]:
        try:
            while (item := self._next()) is not _OVER:
                if item is not None:
                    yield item
        except GeneratorExit:
            # The caller has dropped this iterator. There may be another one.
            raise
        except BaseException:
            self.stop()
            raise

    def _next(self) -> Any:
        with self._turn:
            return next(self._items, _OVER) if self._items is not None else _OVER

    def stop(self, timeout: float | None = None) -> None:
        """End the workers. Items that are ready are lost.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most for threads, which end after the item in the making.
            Default: as long as it takes.
        """
        if timeout is None:
            self._close()
        else:
            import threading

            closing = threading.Thread(target=self._close, daemon=True)
            closing.start()
            closing.join(timeout)

    def _close(self) -> None:
        self._running = False
        with self._turn:
            if self._items is not None:
                self._items.close()
                self._items = None


class OrderedEnqueuer(SequenceEnqueuer):
    """Batches of a `Sequence`, pass after pass, in order; `on_epoch_end` is called after each.

    Parameters
    ----------
    sequence : Sequence
    use_multiprocessing : bool, default False
        Processes in place of threads.
    shuffle : bool, default False
        Whether each pass has a new order of batches, drawn from ``np.random``.

    Notes
    -----
    Random numbers that a batch draws are those that `minikeras.utils.feeding.fetched` describes;
    each pass draws its seed from ``np.random``. Keras 2.2.4 shuffles by Python's ``random``.

    Examples
    --------
    >>> enqueuer = OrderedEnqueuer("abc")
    >>> enqueuer.start(workers=2)
    >>> batches = enqueuer.get()
    >>> [next(batches) for _ in range(5)]  # "abc" has no on_epoch_end, and needs none
    ['a', 'b', 'c', 'a', 'b']
    >>> enqueuer.stop()
    """

    def __init__(
        self, sequence: Any, use_multiprocessing: bool = False, shuffle: bool = False
    ) -> None:
        super().__init__(sequence, use_multiprocessing)
        self.shuffle = shuffle

    def _stream(self) -> Generator[Any, None, None]:
        from minikeras.utils.feeding import fetched

        while True:
            order = np.arange(len(self.sequence))
            if len(order) == 0:
                name = type(self.sequence).__name__
                raise ValueError(f"{name} has no batches: its len() is 0.")
            if self.shuffle:
                np.random.shuffle(order)
            yield from fetched(
                self.sequence,
                order.tolist(),
                self.workers,
                self.max_queue_size,
                self.use_multiprocessing,
                seed=int(np.random.randint(2**32, dtype=np.uint32)),
            )
            getattr(self.sequence, "on_epoch_end", lambda: None)()


class GeneratorEnqueuer(SequenceEnqueuer):
    """Items of a generator, pulled ahead; the stream ends when the generator does.

    Parameters
    ----------
    sequence : iterator
        The generator; the name is that of Keras.
    use_multiprocessing : bool, default False
        A process in place of the thread. There is one, whatever `workers` is: see
        `minikeras.utils.feeding.Puller`.
    wait_time : float, optional
        Has had no use since Keras 2.2, and warns.
    random_seed : int, optional
        For ``np.random`` in the worker process. Without a worker process it warns, and has no
        effect: a thread shares ``np.random`` with the training.
    """

    def __init__(
        self,
        sequence: Iterator[Any],
        use_multiprocessing: bool = False,
        wait_time: float | None = None,
        random_seed: int | None = None,
    ) -> None:

        super().__init__(sequence, use_multiprocessing)
        self.random_seed = random_seed
        if wait_time is not None:
            warn("wait_time has no use any more.", DeprecationWarning)
        if random_seed is not None and not use_multiprocessing:
            warn(
                "random_seed is for worker processes. Without use_multiprocessing=True, call "
                "np.random.seed yourself.",
                UserWarning,
            )

    def _stream(self) -> Generator[Any, None, None]:
        from minikeras.utils.feeding import Puller

        generator = self.sequence
        if self.use_multiprocessing and self.workers > 0 and self.random_seed is not None:
            generator = _seeded(generator, self.random_seed)
        with Puller(
            generator, self.workers, self.max_queue_size, self.use_multiprocessing
        ) as puller:
            yield from puller.take(2**63)


def _seeded(generator: Iterator[Any], seed: int) -> Iterator[Any]:
    np.random.seed(seed)
    yield from generator
