"""A progress bar for those who watch: over a training's epoch, or over a long prediction."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any


class Means:
    """Running means of results, each over the samples for which it was given.

    Parameters
    ----------
    stateful : iterable of str, optional
        Names of results of which the last value counts, and not the mean.
    """

    def __init__(self, stateful: Iterable[str] = ()) -> None:
        self.stateful = frozenset(stateful)
        self._totals: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._last: dict[str, float] = {}

    def add(self, name: str, value: float, count: int) -> None:
        """Add `value`, the mean of a result over `count` samples."""
        self._totals[name] = self._totals.get(name, 0.0) + value * count
        self._counts[name] = self._counts.get(name, 0) + count
        self._last[name] = value

    def values(self) -> dict[str, float]:
        """Return the means; the last value where there is nothing to divide by."""
        return {
            name: last
            if name in self.stateful or not self._counts[name]
            else self._totals[name] / self._counts[name]
            for name, last in self._last.items()
        }


class Bar:
    """A progress bar over samples or steps, with running means.

    Parameters
    ----------
    total : int or None
        How many samples, or steps, there are; None if that is unknown.
    unit : str
        What is counted, as the time for each is worded. Default ``'sample'``.
    stateful : iterable of str, optional
        Names of results of which the last value is shown, and not the mean.
    width : int
        Characters between the brackets of the last line. Default 30.
    interval : float, optional
        Least time between two drawings, in seconds. Default `INTERVAL`, a tenth.

    Notes
    -----
    What takes longer than `interval` is drawn by tqdm while it runs, cut at the terminal's width,
    or as a widget in a notebook. The longer it runs, the more seldom it is drawn: some thousand
    times in an hour. At the end it gives way to one line of text, worded as in Keras. Where the
    output is neither a terminal nor a notebook, that last line is all. As a context manager, the
    bar ends with that line; after an exception without it.

    Examples
    --------
    >>> with Bar(2) as bar:
    ...     for _ in range(2):
    ...         bar.add(1, {})
    2/2 [==============================] - 0s .../sample
    """

    FORMAT = "{n_fmt}/{total_fmt} [{bar:20}] - ETA: {remaining}{postfix}"
    FORMAT_UNKNOWN = "{n_fmt}/Unknown - {elapsed}{postfix}"
    INTERVAL = 0.1
    # A bar that has run for so many intervals is drawn more seldom.
    PATIENCE = 600

    def __init__(
        self,
        total: int | None,
        unit: str = "sample",
        stateful: Iterable[str] = (),
        width: int = 30,
        interval: float | None = None,
    ) -> None:
        self.total = total
        self.unit = unit
        self.width = width
        self.interval = self.INTERVAL if interval is None else interval
        self.means = Means(stateful)
        self.seen = 0
        self.live = _in_notebook() or _in_terminal()
        self._closed = False
        self._started = time.perf_counter()
        self._due = self._started + self.interval
        self._bar: Any = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self.close({} if kind is None else None)

    def add(self, count: int, values: Mapping[str, float]) -> None:
        """Count `count` samples, with the mean results over them."""
        for name, value in values.items():
            self.means.add(name, value, count)
        self.seen += count
        if self.live and not self._closed:
            now = time.perf_counter()
            if now >= self._due:
                self._due = now + max(self.interval, (now - self._started) / self.PATIENCE)
                self._draw(now)

    def _draw(self, now: float) -> None:
        if self._bar is None:
            self._bar = self._live_bar()
            self._bar.start_t -= now - self._started  # the time left counts from the beginning
        self._bar.n = self.seen
        self._bar.set_postfix_str(worded(self.means.values()), refresh=False)
        self._bar.refresh()

    def _live_bar(self) -> Any:
        from tqdm.auto import tqdm

        layout = self.FORMAT_UNKNOWN if self.total is None else self.FORMAT
        if _in_notebook():
            layout = layout.replace("{bar:20}", "{bar}")  # its width is the widget's affair
        return tqdm(
            total=self.total,
            file=sys.stdout,
            bar_format=layout,
            ascii=" =",
            dynamic_ncols=True,
            leave=False,
        )

    def close(self, values: Mapping[str, float] | None) -> None:
        """End the bar with a line of the final results; None, after an interruption, without it.

        A bar that is closed stays as it is.
        """
        if self._closed:
            return
        self._closed = True
        if self._bar is not None:
            self._bar.close()
        if values is not None:
            say(self.line(values))

    def line(self, values: Mapping[str, float]) -> str:
        """Return what has been done so far, and `values`, in one line of text."""
        seconds = time.perf_counter() - self._started
        if self.total is None:
            done = f"{self.seen}/Unknown"
        else:
            filled = "=" * min(self.width, self.width * self.seen // max(1, self.total))
            done = f"{self.seen}/{self.total} [{filled:<{self.width}}]"
        done += f" - {seconds:.0f}s {_duration(seconds / max(1, self.seen))}/{self.unit}"
        return " - ".join(part for part in (done, worded(values)) if part)


class Progbar:
    """Keras' progress bar, for loops of one's own.

    Parameters
    ----------
    target : int or None
        How many steps there will be; None if that is unknown.
    width : int
        Characters between the brackets of the last line. Default 30.
    verbose : {0, 1, 2}
        0: silent, 1: a bar and at the end its line, 2: only a line of results at the end (with
        an unknown target, a line at each update). Default 1.
    interval : float
        Least time between two drawings, in seconds. Default 0.05.
    stateful_metrics : iterable of str, optional
        Names of results of which the last value is shown, and not the mean.

    Raises
    ------
    ValueError
        For another `verbose`.

    Notes
    -----
    In a file or a pipe, the last line is all that is printed, where Keras 2.2.4 prints one at each
    update; with an unknown target, there is a line whenever the time so far has doubled.

    Examples
    --------
    >>> bar = Progbar(10)
    >>> for step in range(5):
    ...     bar.add(2, [("loss", 0.5)])
    10/10 [==============================] - 0s .../step - loss: 0.5000
    """

    def __init__(
        self,
        target: int | None,
        width: int = 30,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
    ) -> None:
        if verbose not in (0, 1, 2):
            raise ValueError(f"Progbar: verbose must be 0, 1 or 2, got {verbose!r}.")
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.stateful_metrics = set(stateful_metrics or ())
        self._bar = Bar(target, "step", self.stateful_metrics, width, interval)
        self._bar.live = self._bar.live and verbose == 1
        self._started = self._due = time.perf_counter()

    def update(self, current: int, values: Iterable[tuple[str, float]] | None = None) -> None:
        """Say that `current` steps have been done.

        Parameters
        ----------
        current : int
        values : list of (str, float), optional
            Results over the steps since the last update.
        """
        count = current - self._bar.seen
        for name, value in values or ():
            self._bar.means.add(name, value, count)
        self._bar.add(count, {})
        if self.target is not None and current >= self.target:
            self._bar.close(None)
            self._say()
        elif self.target is None:
            self._say_now_and_then()

    def add(self, n: int, values: Iterable[tuple[str, float]] | None = None) -> None:
        """Say that `n` more steps have been done, with their results."""
        self.update(self._bar.seen + n, values)

    def _say(self) -> None:
        results = self._bar.means.values()
        if self.verbose == 1:
            say(self._bar.line(results))
        elif self.verbose == 2:
            seconds = time.perf_counter() - self._started
            say(" - ".join(part for part in (f" - {seconds:.0f}s", worded(results)) if part))

    def _say_now_and_then(self) -> None:
        now = time.perf_counter()
        if self.verbose == 2 or (not self._bar.live and now >= self._due):
            self._due = now + max(self.interval, now - self._started)
            self._say()


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def worded(values: Mapping[str, float]) -> str:
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
