"""A worker thread that makes items, in the order in which they are asked for."""

from __future__ import annotations

import _thread
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from minikeras.utils.feeding_items import Outcome, Source, annotate
from minikeras.utils.interrupts import held_back

if TYPE_CHECKING:
    from queue import SimpleQueue

# Seconds. Where Ctrl-C does not end a wait (Windows), it gets through after this time.
MOMENT = 0.1


class ThreadLine:
    """One worker thread: jobs go in, outcomes come out in the same order."""

    def __init__(self, source: Source, number: int) -> None:
        from queue import SimpleQueue
        from threading import Thread

        # Not an Event: that does not stand Ctrl-C. (What is in it ends the thread.)
        self.ended: list[bool] = []
        self.jobs: SimpleQueue[Any] = SimpleQueue()
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        # The thread does not know the line, so that a forgotten line can be collected.
        self.thread = Thread(
            target=_serve,
            args=(source, self.ended, self.jobs, self.outcomes, f"worker thread {number}"),
            name=f"minikeras-feeding-{number}",
            daemon=True,
        )

    def start(self) -> None:
        """Start the thread; RuntimeError if the platform has none."""
        with held_back():  # Python's handshake with a new thread does not stand Ctrl-C either
            self.thread.start()

    def ask(self, position: int, index: Any) -> None:
        """Ask for an item."""
        self.jobs.put((position, index))

    def receive(self) -> Outcome:
        """Wait for the next item that was asked for."""
        from queue import Empty

        while True:
            with contextlib.suppress(Empty):
                return self.outcomes.get(timeout=MOMENT)

    def stop(self) -> None:
        """Ask the thread to end after the item in the making."""
        self.ended.append(True)
        self.jobs.put(None)

    def join(self) -> None:
        """Wait for the end of the thread, and so for the item in the making."""
        mine = self.thread.ident == _thread.get_ident()
        # At the end of the program threads stand still.
        while self.thread.is_alive() and not mine and not sys.is_finalizing():
            self.thread.join(MOMENT)

    def abandon(self) -> None:
        """Do not wait: the thread ends by itself after the item in the making."""

    def __del__(self) -> None:
        if hasattr(self, "thread"):  # not where Ctrl-C came while it was made
            self.stop()


def _serve(
    source: Source,
    ended: list[bool],
    jobs: SimpleQueue[Any],
    outcomes: SimpleQueue[Outcome],
    where: str,
) -> None:
    while (job := jobs.get()) is not None and not ended:
        outcome = source.attempt(*job)
        if outcome.error is not None:
            annotate(outcome.error, f"{source.label(*job)}, made in {where}")
        outcomes.put(outcome)
        del outcome  # a batch that has been handed over is not kept until the next one
