"""Ctrl-C at the right moment."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let Ctrl-C wait until the end of a block.

    It is for work that takes a moment and must not be left half done. To block the signal would not
    do: the system then gives it to another thread, and the main thread hears of it all the same.

    Examples
    --------
    >>> try:
    ...     with held_back():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("to the end")
    ... except KeyboardInterrupt:
    ...     print("and not before")
    to the end
    and not before
    """
    before = signal.getsignal(signal.SIGINT)
    came: list[tuple[Any, ...]] = []
    held = False
    try:
        if callable(before):
            with contextlib.suppress(ValueError):  # only the main thread hears of Ctrl-C
                signal.signal(signal.SIGINT, lambda *call: came.append(call))
                held = True
        yield
    finally:
        if held:
            signal.signal(signal.SIGINT, before)
            if came and callable(before):
                before(*came[0])
