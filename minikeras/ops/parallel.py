"""The one place that knows about threads.

NumPy lets go of the interpreter lock inside its loops, so two threads can work on two parts of
an array at once. Handing work over costs some tens of microseconds, and so does meeting at the
interpreter lock between two loops: it pays for large arrays in large blocks only. The blocks
are fixed by the caller and not by the number of threads: results are the same bit for bit,
however many there are.

Blocks are dealt out one at a time to whoever is free. On a busy machine, where a helping thread
wakes up late or not at all, the calling thread does its part, too, and does not wait for it.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable
from typing import Any

_helpers: _Helpers | None = None
_starting = _thread.allocate_lock()


def num_threads() -> int:
    """Return how many threads work on a large array.

    The environment variable ``MINIKERAS_NUM_THREADS`` says, or else ``OMP_NUM_THREADS``; by
    default there is one for each core.

    Raises
    ------
    ValueError
        If ``MINIKERAS_NUM_THREADS`` is set to something that is no whole number.
    """
    wanted = os.environ.get("MINIKERAS_NUM_THREADS")
    if wanted:
        try:
            return max(1, int(wanted))
        except ValueError:
            raise ValueError(
                "The environment variable MINIKERAS_NUM_THREADS must be a whole number, or unset "
                f"for all cores; it is {wanted!r}."
            ) from None
    general = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if general.isdecimal():
        return max(1, int(general))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def for_blocks(work: Callable[[int, int, int], None], size: int, block: int) -> None:
    """Call ``work(start, stop, worker)`` for each block of ``range(size)``, on several threads.

    The first error, or Ctrl-C, ends the work; it is raised when all threads have stopped.

    Parameters
    ----------
    work : callable
        Must touch nothing outside its block, except scratch memory of its own `worker` number
        (0, 1, ...).
    size : int
        How many items there are.
    block : int
        How many items a block has; the last one may have fewer. Work of a single block runs
        in the calling thread. So does all work while the helping threads are busy with another
        call.
    """
    if size > block:
        helpers = _get_helpers()
        if helpers.queues and helpers.busy.acquire(blocking=False):
            try:
                helpers.run(work, size, block)
            finally:
                helpers.busy.release()
            return
    for start in range(0, size, block):
        work(start, min(start + block, size), 0)


class _Helpers:
    """Threads that wait for work, besides the calling one."""

    def __init__(self, count: int) -> None:
        import queue
        import threading

        self.pid = os.getpid()
        self.new_lock = threading.Lock
        self.new_queue = queue.SimpleQueue
        self.busy = threading.Lock()
        self.queues: list[Any] = []
        for number in range(1, count + 1):
            jobs: Any = self.new_queue()
            thread = threading.Thread(
                target=_serve, args=(number, jobs), name=f"minikeras-{number}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no threads on this platform, such as in a browser
                break
            self.queues.append(jobs)

    def run(self, work: Callable[[int, int, int], None], size: int, block: int) -> None:
        """Do the work together with the calling thread."""
        job = _Job(work, size, block, self.new_lock(), self.new_queue())
        try:
            for jobs in self.queues:
                jobs.put(job)
            job.do(job.take(), 0)
        except BaseException as interrupt:
            job.stop(interrupt)
        job.wait()
        if job.error is not None:
            raise job.error


class _Job:
    """The blocks of one call, to be taken one at a time."""

    def __init__(
        self, work: Callable[[int, int, int], None], size: int, block: int, lock: Any, signals: Any
    ) -> None:
        self.work = work
        self.size = size
        self.block = block
        self.starts = iter(range(0, size, block))
        self.lock = lock
        self.helping = 0
        self.signals = signals
        self.error: BaseException | None = None

    def take(self, joining: bool = False) -> int | None:
        """Return where the next block starts, None if there is none; count who joins in."""
        with self.lock:
            start = next(self.starts, None)
            if joining and start is not None:
                self.helping += 1
        return start

    def do(self, start: int | None, worker: int) -> None:
        """Do the block at `start`, and then others as long as there are any."""
        try:
            while start is not None:
                self.work(start, min(start + self.block, self.size), worker)
                start = self.take()
        except BaseException as error:
            self.stop(error)

    def stop(self, error: BaseException) -> None:
        """Let nobody take another block, and remember why."""
        with self.lock:
            self.starts = iter(range(0))
            self.error = self.error or error

    def help(self, number: int) -> None:
        """Take part as a helper, if there is anything left to do."""
        start = self.take(joining=True)
        if start is not None:
            self.do(start, number)
            with self.lock:
                self.helping -= 1
            self.signals.put(None)

    def wait(self) -> None:
        """Wait for the helpers that have joined in; also after Ctrl-C, and while it comes."""
        try:
            while self.helping:
                self.signals.get()
        except BaseException as interrupt:
            self.stop(interrupt)
            self.wait()


def _serve(number: int, jobs: Any) -> None:
    while True:
        jobs.get().help(number)


def _get_helpers() -> _Helpers:
    """Return the helping threads, started at first use and again in a forked process."""
    global _helpers, _starting
    if _helpers is None or _helpers.pid != os.getpid():
        with _starting:
            if _helpers is None or _helpers.pid != os.getpid():
                _helpers = _Helpers(num_threads() - 1)
    return _helpers


def _forked() -> None:
    """Take a new lock in a child process: nobody there would open a closed one."""
    global _starting
    _starting = _thread.allocate_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
