"""A worker process that makes items, in the order in which they are asked for.

One pipe leads to each process: jobs go out, pickled outcomes come back. In the process, one
thread makes items and another sends them, so that it can be ahead by more than fits into a pipe.
Nobody ever waits for a pipe alone: the consumer also watches whether the processes live, and
a process whether its parent does.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from minikeras.utils.feeding_items import Outcome, RemoteTraceback, Source, annotate
from minikeras.utils.interrupts import held_back

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from queue import SimpleQueue

GRACE = 2.0  # seconds between "terminate" and "kill"
LOOK = 1.0  # seconds after which an idle process looks whether its parent is alive

# Jobs that are told a process in advance. More could fill the pipe, and the consumer would wait
# there, for a process that is busy or no longer alive.
TOLD = 64

# The consumer's ends of all pipes. A forked process closes its copies of them: with a copy open
# somewhere, the other side would not notice that the consumer is gone.
_ends: set[Connection] = set()

# Reentrant: the garbage collector may end what was forgotten at any time, also in here.
# Held while a process is forked, and while one ends: what another thread opens or closes meanwhile,
# the child would have, or not have, without knowing.
_starting = _thread.RLock()


class ProcessLine:
    """One worker process: jobs go in, outcomes come out in the same order.

    Parameters
    ----------
    source : Source
        Makes the items, in the process.
    number : int
        Of the process, for messages.
    pool : sequence of ProcessLine, optional
        All lines whose death the consumer wants to know about while it waits for this one;
        itself by default.
    """

    def __init__(
        self, source: Source, number: int, pool: Sequence[ProcessLine] | None = None
    ) -> None:
        self.source = source
        self.number = number
        self.pool = [self] if pool is None else pool
        self.told: deque[tuple[int, Any]] = deque()  # the process knows of these jobs
        self.untold: deque[tuple[int, Any]] = deque()
        self.process: Any = None
        self.connection: Any = None
        self.progress: Any = None

    def start(self) -> None:
        """Start the process."""
        with _undisturbed():
            self._start()

    def _start(self) -> None:
        context = _context()
        self.connection, theirs = context.Pipe()
        _ends.add(self.connection)
        forks = context.get_start_method() == "fork"
        if forks:
            import mmap

            # Shared with the process, which writes into it what it is working on.
            self.progress = mmap.mmap(-1, 8)
        ends = list(_ends) if forks else []
        process = context.Process(
            target=_serve,
            args=(theirs, ends, self.source, self.progress, os.getpid()),
            name=f"minikeras-feeding-{self.number}",
            daemon=True,
        )
        self.process = process
        try:
            with _safe_fork():
                process.start()
        except Exception as error:
            if forks:
                raise
            raise RuntimeError(
                f"{self.source.name} could not be sent to a worker process: {error} Without fork, "
                "on this platform, it must be possible to pickle it: its class and all it holds. "
                "Threads have no such limit: use_multiprocessing=False."
            ) from error
        finally:
            theirs.close()

    def ask(self, position: int, index: Any) -> None:
        """Ask for an item."""
        self.untold.append((position, index))
        self._tell()

    def _tell(self) -> None:
        while self.untold and len(self.told) < TOLD:
            self.told.append(self.untold.popleft())
            # A process that is gone is noticed by `receive`.
            with contextlib.suppress(OSError):
                self.connection.send(self.told[-1])

    def receive(self) -> Outcome:
        """Wait for the next item that was asked for; RuntimeError if any process is gone."""
        from multiprocessing.connection import wait

        ends: dict[Any, ProcessLine] = {line.process.sentinel: line for line in self.pool}
        ready: list[Any] = []
        while self.connection not in ready:
            # A process that the worker has forked itself keeps the worker's end open after its
            # death: so we also look by ourselves, now and then.
            ready = wait([self.connection, *ends], LOOK)
            for end, line in ends.items():
                if end in ready or (not ready and line.process.exitcode is not None):
                    raise line.obituary()
        try:
            message = self.connection.recv_bytes()
        except (EOFError, OSError):
            raise self.obituary() from None
        position, index = self.told.popleft()
        self._tell()
        outcome = _unpacked(message)
        if outcome.error is not None and not isinstance(outcome.error, StopIteration):
            label = self.source.label(position, index)
            annotate(outcome.error, f"{label}, made in worker process {self.number}")
        return outcome

    def obituary(self) -> RuntimeError:
        """Return an error that tells how the process ended, and at what."""
        self.process.join(GRACE)
        doing = self._doing()
        return RuntimeError(
            f"Worker process {self.number} {_how(self.process.exitcode)} while it {doing}. "
            "The system kills a process when memory runs out: fewer workers or a smaller "
            "max_queue_size need less. A crash in a library may come from using it in a forked "
            "process: use_multiprocessing=False makes the batches in threads, workers=0 in the "
            "calling thread, where Python can tell more."
        )

    def _doing(self) -> str:
        if self.progress is None:
            number = self.told[0][0] + 1 if self.told else 0
        else:
            number = int.from_bytes(self.progress[:8], "little")
        for position, index in self.told:
            if position + 1 == number:
                return f"was making {self.source.label(position, index)}"
        return f"was waiting for work on {self.source.name}"

    def stop(self) -> None:
        """Tell the process to end at once, whatever it is doing."""
        with _undisturbed():
            self._disconnect()
        if self._started():
            self.process.terminate()

    def join(self) -> None:
        """Wait for the end of the process, which is killed if it takes long."""
        # Another thread that starts a process looks after all there are, and would take the news of
        # this one's end away from us.
        with _undisturbed():
            if self._started():
                self.process.join(GRACE)
            self._end()

    def abandon(self) -> None:
        """Kill the process, and give back what belongs to it."""
        with _undisturbed():
            self._end()

    def _disconnect(self) -> None:
        _ends.discard(self.connection)
        if self.connection is not None:
            self.connection.close()

    def _end(self) -> None:
        self._disconnect()
        if self._started():
            self.process.kill()
            self.process.join()
            self.process.close()
        self.process = None
        if self.progress is not None:
            self.progress.close()
            self.progress = None

    def _started(self) -> bool:
        return self.process is not None and self.process.pid is not None


def _context() -> Any:
    """Return how processes are started.

    A forked process has everything that this one has. So it needs no ``if __name__ ==
    "__main__"`` in the script, and nothing must be pickled.
    """
    import multiprocessing

    if multiprocessing.current_process().daemon:
        raise RuntimeError(
            "This is a worker process itself, and can't have worker processes of its own: "
            "use_multiprocessing=False makes the batches in threads."
        )
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("fork" if "fork" in methods else "spawn")


@contextlib.contextmanager
def _safe_fork() -> Iterator[None]:
    """Keep Ctrl-C from the new process until it has chosen to ignore it; keep fork's warning quiet.

    Python 3.12 and later warn when a process with several threads is forked, since a lock that
    another thread holds stays locked in the child. Our child runs the user's Python and NumPy
    code and nothing else; OpenBLAS and minikeras' own threads are prepared for a fork.
    """
    import warnings

    masks = hasattr(signal, "pthread_sigmask")
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
            yield
    finally:
        if old is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _how(exitcode: int | None) -> str:
    if exitcode is None:
        return "broke its connection off"
    if exitcode >= 0:
        return f"ended with exit code {exitcode}"
    try:
        return f"was killed by signal {signal.Signals(-exitcode).name}"
    except ValueError:
        return f"was killed by signal {-exitcode}"


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Ctrl-C and other threads out while a process starts or ends.

    In between, a process and its pipes belong to nobody who would clean up.
    """
    with held_back(), _starting:
        yield


def _forked() -> None:
    """Take a new lock in a child process: nobody there would open a closed one."""
    global _starting
    _starting = _thread.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


# What runs in the process.


def _serve(
    connection: Connection, ends: Sequence[Connection], source: Source, progress: Any, parent: int
) -> None:
    """Make items until there is nobody left to ask for them; never return."""
    from queue import SimpleQueue

    _choose_signals()
    for end in ends:
        with contextlib.suppress(OSError):
            end.close()
    messages: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_send_all, args=(connection, messages, parent), daemon=True).start()
    while True:
        job = _next_job(connection, parent)
        if progress is not None:
            progress[:8] = (job[0] + 1).to_bytes(8, "little")
        messages.put(_packed(source.attempt(*job)))
        if progress is not None:
            progress[:8] = bytes(8)
        _flush()


def _choose_signals() -> None:
    """Leave Ctrl-C to the parent, and die when it says so, whatever handlers it has itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})


def _next_job(connection: Connection, parent: int) -> Any:
    """Wait for a job; end the process if the parent is gone."""
    try:
        while True:
            _end_without(parent)
            if connection.poll(LOOK):
                return connection.recv()
    except (EOFError, OSError):
        os._exit(0)


def _end_without(parent: int) -> None:
    # On Windows an orphan keeps its parent's number; there the pipe tells.
    if os.name == "posix" and os.getppid() != parent:
        os._exit(0)


def _send_all(connection: Connection, messages: SimpleQueue[bytes], parent: int) -> None:
    """Send what has been made; end the process if nobody listens, also while it makes an item."""
    from queue import Empty

    with contextlib.suppress(OSError):
        while True:
            with contextlib.suppress(Empty):
                connection.send_bytes(messages.get(timeout=LOOK))
            _end_without(parent)
    os._exit(0)


def _flush() -> None:
    """Show what user code has printed: the process may be ended at any time."""
    import sys

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


# Outcomes as bytes.


def _packed(outcome: Outcome) -> bytes:
    import pickle

    if outcome.error is not None:
        return _packed_error(outcome.error)
    try:
        return pickle.dumps(("item", outcome.item), protocol=5)
    except Exception as error:
        return _packed_error(error)


def _packed_error(error: BaseException) -> bytes:
    """Return an exception as bytes within bytes: what can't be read leaves the text readable."""
    import pickle

    try:
        pickled = pickle.dumps(error)
    except Exception:
        pickled = b""
    try:
        text = str(error)
    except Exception:
        text = "(its message can't be shown)"
    return pickle.dumps(("error", type(error).__name__, text, _traceback_of(error), pickled))


def _unpacked(message: bytes) -> Outcome:
    import pickle

    try:
        kind, *content = pickle.loads(message)
    except Exception as error:
        return Outcome(error=error)
    if kind == "item":
        return Outcome(content[0])
    name, text, traceback, pickled = content
    failure = _unpickled_error(pickled)
    if failure is None:
        failure = RuntimeError(
            f"{name}: {text}\nThis was a {name} in a worker process. It is a RuntimeError here "
            f"because it can't be pickled, or not be read again. It came about so:\n{traceback}"
        )
    failure.__cause__ = RemoteTraceback(traceback)
    return Outcome(error=failure)


def _unpickled_error(pickled: bytes) -> BaseException | None:
    import pickle

    try:
        error = pickle.loads(pickled)
    except Exception:
        return None
    return error if isinstance(error, BaseException) else None


def _traceback_of(error: BaseException) -> str:
    import traceback

    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:
        return f"{type(error).__name__} (its traceback can't be shown)\n"
