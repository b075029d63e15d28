"""Items of a Sequence or generator, made ahead of their use by threads or processes.

There is one scheme for both. A worker is a *line*: it is asked for items, makes them one after
the other, and hands them over in the same order. Item number k is made by worker k modulo the
number of workers, so the consumer always knows from which line its next item comes. There is no
helping thread on the consumer's side: it asks for more whenever it takes an item.

How many items are made ahead is a matter of how many are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from minikeras.utils.feeding_items import (
    FromGenerator,
    FromSequence,
    FromSequenceSeeded,
    annotate,
    random_states,
    set_random_states,
)
from minikeras.utils.interrupts import held_back
from minikeras.utils.warning import warn

if TYPE_CHECKING:
    from minikeras.utils.feeding_processes import ProcessLine
    from minikeras.utils.feeding_threads import ThreadLine

    Line = ThreadLine | ProcessLine


def fetched(
    sequence: Any,
    indices: Iterable[int],
    workers: int = 1,
    max_queue_size: int = 10,
    use_multiprocessing: bool = False,
    seed: int = 0,
) -> Generator[Any, None, None]:
    """Yield ``sequence[i]`` for each i of `indices`, in that order, made ahead by workers.

    However the generator ends (exhausted, closed, by an exception or Ctrl-C), it leaves no
    thread and no process behind.

    Parameters
    ----------
    sequence : Sequence or anything else with ``__getitem__``
        In worker processes it is the state of this moment that counts: they start anew with
        each call.
    indices : iterable of int
        Which items, in which order.
    workers : int, default 1
        How many threads or processes make items. 0: they are made in the calling thread, when
        they are asked for.
    max_queue_size : int, default 10
        At most so many items (or one for each worker, if these are more) are ready or in the
        making. 0 or less: no limit, as in Keras.
    use_multiprocessing : bool, default False
        Processes in place of threads. They are forked where the platform can do so; elsewhere
        they are new interpreters, and `sequence` is pickled.
    seed : int, default 0
        From 0 to 2**32 - 1; see Notes.

    Yields
    ------
    object
        The items.

    Raises
    ------
    ValueError
        If `workers` is negative or `seed` is out of range.
    RuntimeError
        If a worker process dies, or ``__getitem__`` raises StopIteration, or something that
        can't be sent to this process. Other exceptions come out as they are, after the items
        before, with a note that names the index and the worker.

    Notes
    -----
    Random numbers: item number k (counted from 0 in `indices`) is made with ``np.random`` and
    Python's ``random`` seeded from ``(seed, k)``, and both states are put back afterwards. So
    the items are the same, whoever makes them. Items that draw from these global generators
    can't be made side by side in threads, nor beside a training that may draw from them, too:
    if the first item draws, all are made in the calling thread. Processes have no such limit,
    nor has a Sequence with random numbers of its own, ``np.random.default_rng((seed, index))``.
    A Sequence that draws for some of its batches only is found out at the first of them: what was
    made beside it is thrown away and made again. (What a callback draws in the hooks of batches
    until then is drawn again, too. Where a training is stopped before that, within an epoch, what
    was made ahead may have moved ``np.random``.)

    A thread can't be ended from outside: leaving waits for the items in the making. Processes
    are killed.

    Keras 2.2.4 gives no rule for random numbers: in threads a batch depends on their timing,
    and forked processes all draw the same numbers.

    Examples
    --------
    >>> list(fetched("abc", [2, 0, 1], workers=2))
    ['c', 'a', 'b']
    """
    order = [int(index) for index in indices]
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1, got {seed}.")
    workers = min(_checked_workers(workers), len(order))
    ahead = _ahead(max_queue_size, workers)
    if use_multiprocessing and workers > 0:
        return _from_processes(FromSequenceSeeded(sequence, seed), order, workers, ahead)
    return _from_threads(FromSequence(sequence, seed), order, workers, ahead)


def _from_processes(
    source: FromSequenceSeeded, order: Sequence[int], workers: int, ahead: int
) -> Generator[Any, None, None]:
    from minikeras.utils.feeding_processes import ProcessLine

    lines: list[ProcessLine] = []
    try:
        for number in range(1, workers + 1):
            lines.append(ProcessLine(source, number, lines))
            lines[-1].start()
        yield from _in_order(lines, order, 0, ahead, lambda: False)
    finally:
        _surely_close(lines)


def _from_threads(
    source: FromSequence, order: Sequence[int], workers: int, ahead: int
) -> Generator[Any, None, None]:
    """Yield items of a Sequence, made side by side as long as nobody draws random numbers.

    If one draws that was made beside others, it is thrown away with all that come after it. They
    are made again, alone, and what was drawn in vain is given back.
    """
    position = 0
    states = random_states()
    source.watch_from(states)
    while position < len(order):
        drew_before = source.draws
        try:
            item = source.make_alone(position, order[position])
        except BaseException as error:
            annotate(error, source.label(position, order[position]))
            raise
        finally:
            if source.draws and not drew_before:
                set_random_states(states)
        position += 1
        yield item
        del item
        if not source.draws and position < len(order):
            position = yield from _side_by_side(source, order, position, workers, ahead)


def _side_by_side(
    source: FromSequence, order: Sequence[int], start: int, workers: int, ahead: int
) -> Generator[Any, None, int]:
    """Yield items until there are no more, or one is suspected of a draw; return its position."""
    lines = _started_threads(source, min(workers, len(order) - start))
    try:
        if lines:
            return (yield from _in_order(lines, order, start, ahead, lambda: source.suspect))
    finally:
        _close(lines)
    for position in range(start, len(order)):
        try:
            item = source.make(position, order[position])
        except Exception as error:
            if not source.suspect:
                annotate(error, source.label(position, order[position]))
                raise
        if source.suspect:
            return position
        yield item
    return len(order)


def _in_order(
    lines: Sequence[Line], order: Sequence[int], start: int, ahead: int, stop: Callable[[], bool]
) -> Generator[Any, None, int]:
    """Yield items from lines, in their order; return the first position that was not yielded.

    When `stop` says so, no more are asked for, and none is yielded any more.
    """
    asked = start

    def ask(limit: int) -> None:
        nonlocal asked
        while asked < min(limit, len(order)) and not stop():
            lines[asked % len(lines)].ask(asked, order[asked])
            asked += 1

    position = start
    ask(position + ahead)
    while position < asked:
        outcome = lines[position % len(lines)].receive()
        if stop():
            return position
        position += 1
        ask(position + ahead)  # before the yield: workers are busy while the consumer is
        yield outcome.result()
        del outcome
    return position


class Puller:
    """Items of a generator, pulled ahead of their use, but never more than were asked for.

    Parameters
    ----------
    generator : iterator
        Any object with ``__next__``.
    workers : int, default 1
        0: items are made in the calling thread, when they are asked for. Otherwise one thread
        or process makes them: a generator can't run in several at a time.
    max_queue_size : int, default 10
        At most so many items are ready or in the making. 0 or less: no limit, as in Keras.
    use_multiprocessing : bool, default False
        A process in place of the thread. It is forked when items are first asked for, lives
        until `close`, and has a copy of the generator: that of this process stays where it is.

    Raises
    ------
    ValueError
        If `workers` is negative, or a process is asked for where the platform has no fork.

    Warns
    -----
    UserWarning
        If several processes are asked for: there will be one.

    Notes
    -----
    Keras 2.2.4 runs the generator in several processes, each with a copy of its own, so that
    each item comes several times.

    In a thread, the generator draws from ``np.random`` at its own pace. If the training draws
    there too while items are pulled, who gets which number is a matter of timing; give the
    generator an ``np.random.default_rng(seed)`` of its own, or use ``workers=0``.

    Examples
    --------
    >>> numbers = iter(range(10))
    >>> with Puller(numbers) as puller:
    ...     print(list(puller.take(3)), list(puller.take(2)))
    [0, 1, 2] [3, 4]
    >>> next(numbers)
    5
    """

    def __init__(
        self,
        generator: Iterator[Any],
        workers: int = 1,
        max_queue_size: int = 10,
        use_multiprocessing: bool = False,
    ) -> None:
        self._source = FromGenerator(generator)
        workers = _checked_workers(workers)
        self._processes = use_multiprocessing and workers > 0
        if self._processes:
            _check_one_process(workers, self._source.name)
        self._workers = min(workers, 1)
        self._ahead = _ahead(max_queue_size, self._workers)
        self._lines: list[Line] = []
        self._asked = self._position = 0
        self._ended = self._closed = False

    def take(self, count: int) -> Generator[Any, None, None]:
        """Yield the next `count` items, or fewer if the generator ends.

        Exceptions come out as from `fetched`, with a note that names the item by its number.
        Items that were pulled and not used, because the consumer stopped early, come first the
        next time.
        """
        if self._closed:
            raise RuntimeError("This Puller is closed: items can't be taken from it any more.")
        return self._take(count)

    def _take(self, count: int) -> Generator[Any, None, None]:
        self._start()
        goal = self._position + count
        while self._position < goal and not self._ended:
            self._ask(goal)
            position = self._position
            outcome = (
                self._lines[0].receive() if self._lines else self._source.attempt(position, None)
            )
            self._position += 1
            if isinstance(outcome.error, StopIteration):
                self._ended = True
                return
            self._ask(goal)
            if outcome.error is not None and not self._lines:
                annotate(outcome.error, self._source.label(position, None))
            yield outcome.result()

    def _ask(self, goal: int) -> None:
        while self._lines and self._asked < min(goal, self._position + self._ahead):
            self._lines[0].ask(self._asked, None)
            self._asked += 1

    def _start(self) -> None:
        if self._lines or self._workers == 0:
            return
        if self._processes:
            from minikeras.utils.feeding_processes import ProcessLine

            line = ProcessLine(self._source, 1)
            self._lines.append(line)
            line.start()
        else:
            self._lines = _started_threads(self._source, 1)
            self._workers = len(self._lines)

    def close(self) -> None:
        """End the thread or process; items that were pulled and not used are lost."""
        self._closed = True
        lines, self._lines = self._lines, []
        close = _surely_close if self._processes else _close
        close(lines)

    def __enter__(self) -> Puller:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _started_threads(source: FromSequence | FromGenerator, count: int) -> list[Line]:
    """Return running lines; fewer, or none, where the platform has no more threads."""
    if count == 0:
        return []
    from minikeras.utils.feeding_threads import ThreadLine

    lines: list[Line] = []
    try:
        for number in range(1, count + 1):
            line = ThreadLine(source, number)
            try:
                line.start()
            except RuntimeError:
                break
            lines.append(line)
    except BaseException:
        _close(lines)
        raise
    return lines


def _close(lines: Sequence[Line]) -> None:
    """End all lines and wait for that, but not past an interrupt."""
    try:
        with held_back():
            for line in lines:
                line.stop()
        for line in lines:
            line.join()
    except BaseException:
        with held_back():
            for line in lines:
                line.abandon()
        raise


def _surely_close(lines: Sequence[Line]) -> None:
    """Close worker processes also if Ctrl-C comes just when that begins."""
    try:
        _close(lines)
    except BaseException:
        _close(lines)
        raise


def _checked_workers(workers: int) -> int:
    if workers < 0:
        raise ValueError(
            f"workers must be 0 (the calling thread makes the batches) or more, got {workers}."
        )
    return int(workers)


def _ahead(max_queue_size: int, workers: int) -> int:
    return max(max_queue_size, workers) if max_queue_size > 0 else 2**63


def _check_one_process(workers: int, name: str) -> None:
    import os

    if not hasattr(os, "fork"):
        raise ValueError(
            f"The generator {name!r} can't be moved to a worker process: this platform has no "
            "fork. Use use_multiprocessing=False (a thread), or write a keras.utils.Sequence."
        )
    if workers > 1:
        warn(
            f"A generator can't run in several processes without repeating its items: {name!r} "
            f"runs in one, not in workers={workers}. Write a keras.utils.Sequence to use more.",
            UserWarning,
        )
