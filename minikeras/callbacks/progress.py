"""Showing the progress of a training."""

from __future__ import annotations

import time
from collections.abc import Iterable

from minikeras.callbacks.base import Callback
from minikeras.utils.progress import Bar, say, worded


class ProgbarLogger(Callback):
    """Shows the training: a bar, or one line an epoch. `fit` adds it by `verbose`.

    With ``verbose=1``, a tqdm bar in a terminal or a notebook, with the time left and the running
    means of loss and metrics, which gives way to a line of results at the end; into a file or a
    pipe, and for what takes less than a tenth of a second, that line only. With ``verbose=2``, a
    line without a bar.

    Parameters
    ----------
    count_mode : {'samples', 'steps'}
        Whether the bar counts samples or batches. Default ``'samples'``. What the training does
        not know of, as the number of samples of a generator, is counted without an end.
    stateful_metrics : iterable of str, optional
        Names of results of which the bar shows the last value, and not the running mean.

    Raises
    ------
    ValueError
        For another `count_mode`.
    """

    def __init__(
        self, count_mode: str = "samples", stateful_metrics: Iterable[str] | None = None
    ) -> None:
        super().__init__()
        if count_mode not in ("samples", "steps"):
            raise ValueError(f"count_mode must be 'samples' or 'steps', got {count_mode!r}.")
        self.count_mode = count_mode
        self.stateful_metrics = set(stateful_metrics or ())
        self.bar: Bar | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Take note of the number of epochs."""
        self.verbose = self.params["verbose"]
        self.epochs = self.params["epochs"]
        self.bar = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Announce the epoch and start its bar."""
        self.started = time.perf_counter()
        if self.verbose:
            say(f"Epoch {epoch + 1}/{self.epochs}")
        if self.verbose == 1:
            unit = self.count_mode.removesuffix("s")
            self.bar = Bar(self._total(), unit, self.stateful_metrics)

    def _total(self) -> int | None:
        """Return how much there is to count, if that is known."""
        total = self.params.get(self.count_mode)
        samples, batch_size = self.params.get("samples"), self.params.get("batch_size")
        if self.count_mode == "steps" and total is None and samples and batch_size:
            return -(-samples // batch_size)
        return total

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar."""
        if self.bar is not None and logs is not None:
            values = {name: logs[name] for name in self.params["metrics"] if name in logs}
            self.bar.add(logs["size"] if self.count_mode == "samples" else 1, values)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Complete the bar or print the line."""
        values = {n: logs[n] for n in self.params["metrics"] if logs and n in logs}
        if self.bar is not None:
            self.bar.close(values)
            self.bar = None
        elif self.verbose:
            seconds = time.perf_counter() - self.started
            say(f" - {seconds:.0f}s - {worded(values)}")

    def close(self) -> None:
        """Leave the terminal tidy after an interruption."""
        if self.bar is not None:
            self.bar.close(None)
            self.bar = None
