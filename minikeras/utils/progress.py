"""A progress bar for those who watch: over a training's epoch, or over a long prediction."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any


class Bar:
    """A progress bar over samples or steps, with running means.

    Parameters
    ----------
    total : int
        How many samples, or steps, there are.
    unit : str
        What is counted, as the time for each is worded. Default ``'sample'``.
    stateful : iterable of str, optional
        Names of results of which the last value is shown, and not the mean.

    Notes
    -----
    While it runs, it is drawn by tqdm, at most ten times a second and cut at the terminal's
    width. At the end its line is printed whole, as Keras words it. Where the output is neither
    a terminal nor a notebook, that last line is all. As a context manager, the bar ends with that
    line; after an exception without it.

    Examples
    --------
    >>> with Bar(2) as bar:
    ...     for _ in range(2):
    ...         bar.add(1, {})
    2/2 [==============================] - 0s .../sample
    """

    FORMAT = "{n_fmt}/{total_fmt} [{bar:20}] - ETA: {remaining}{postfix}"
    INTERVAL = 0.1

    def __init__(self, total: int, unit: str = "sample", stateful: Iterable[str] = ()) -> None:
        self.total = total
        self.unit = unit
        self.stateful = frozenset(stateful)
        self.seen = 0
        self._closed = False
        self._totals: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._started = self._shown = time.perf_counter()
        self._notebook = _in_notebook()
        self._bar = self._live_bar() if self._notebook or _in_terminal() else None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self.close({} if kind is None else None)

    def _live_bar(self) -> Any:
        from tqdm.auto import tqdm

        return tqdm(
            total=self.total,
            file=sys.stdout,
            bar_format=None if self._notebook else self.FORMAT,
            ascii=" =",
            dynamic_ncols=True,
            leave=self._notebook,
        )

    def add(self, count: int, values: dict[str, float]) -> None:
        """Count `count` samples, with the mean results over them."""
        for name, value in values.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * count
            self._last[name] = value
        self.seen += count
        if self._bar is not None:
            now = time.perf_counter()
            if now - self._shown >= self.INTERVAL:
                self._shown = now
                self._draw(self._running())

    def _running(self) -> dict[str, float]:
        """Return what the running bar shows."""
        return {
            name: self._last[name] if name in self.stateful else total / max(1, self.seen)
            for name, total in self._totals.items()
        }

    def _draw(self, values: dict[str, float]) -> None:
        assert self._bar is not None
        self._bar.n = self.seen
        words = worded(values)
        if not self._notebook and words:
            self._bar.postfix = words
        elif words:
            self._bar.set_postfix_str(words, refresh=False)
        self._bar.refresh()

    def close(self, values: dict[str, float] | None) -> None:
        """End the bar with a line of the final results; None, after an interruption, without it.

        A bar that is closed stays as it is.
        """
        if self._closed:
            return
        self._closed = True
        if self._bar is not None:
            if self._notebook and values is not None:
                self._draw(values)
            self._bar.close()
        if not self._notebook and values is not None:
            say(self._last_line(values))

    def _last_line(self, values: dict[str, float]) -> str:
        seconds = time.perf_counter() - self._started
        filled = "=" * (30 * self.seen // max(1, self.total))
        line = f"{self.seen}/{self.total} [{filled:<30}] - {seconds:.0f}s"
        line += f" {_duration(seconds / max(1, self.seen))}/{self.unit}"
        return " - ".join(part for part in (line, worded(values)) if part)


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def worded(values: dict[str, float]) -> str:
    """Return results in words, as ``'loss: 0.5000 - acc: 0.7500'``."""
    return " - ".join(
        f"{name}: {value:.4f}" if abs(value) > 1e-3 else f"{name}: {value:.4e}"
        for name, value in values.items()
    )


def say(line: str) -> None:
    """Print a line at once, also to a `sys.stdout` that is None or can do no more than write."""
    print(line)
    flush = getattr(sys.stdout, "flush", None)
    if flush is not None:
        flush()


def _in_terminal() -> bool:
    """Return whether `sys.stdout` is a terminal: one of the user's own need not know."""
    isatty = getattr(sys.stdout, "isatty", None)
    return isatty is not None and bool(isatty())


def _in_notebook() -> bool:
    """Return whether this is a notebook's kernel, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})
