"""Averaging the results of batches, and keeping those of epochs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from minikeras.callbacks.base import Callback
from minikeras.callbacks.logs import Logs, plain
from minikeras.utils.interrupts import held_back


class BaseLogger(Callback):
    """Averages the results of the batches into those of the epoch. `fit` always adds it.

    Batches are weighted by their size, so that a short last batch counts for less.

    Parameters
    ----------
    stateful_metrics : iterable of str, optional
        Names of results that are means over the epoch so far already: the last value is reported.
    """

    def __init__(self, stateful_metrics: Iterable[str] | None = None) -> None:
        super().__init__()
        self.stateful_metrics = set(stateful_metrics or ())

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start from zero."""
        self.seen = 0
        self.totals: dict[str, float] = {}

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Add a batch."""
        logs = logs or {}
        size = logs.get("size", 0)
        self.seen += size
        totals = self.totals
        for name, value in logs.items():
            if name in self.stateful_metrics:
                totals[name] = value
            else:
                totals[name] = totals.get(name, 0.0) + value * size

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Put the means into the epoch's logs."""
        if logs is not None and self.seen:
            for name in self.params["metrics"]:
                if name in self.totals:
                    divisor = 1 if name in self.stateful_metrics else self.seen
                    logs[name] = self.totals[name] / divisor


class History(Callback):
    """Records the results of each epoch. `fit` always adds it, and returns it.

    Attributes
    ----------
    epoch : list of int
    history : dict of str to list of float
        Plain Python floats: ``json.dumps(history)`` works, whatever callbacks have put into the
        logs. ``history['accuracy']`` and ``history['acc']`` are the same entry.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = Logs()

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start with empty lists."""
        self.epoch = []
        self.history = Logs()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Append the results of the epoch."""
        with held_back():  # after Ctrl-C, too, an epoch is there whole or not at all
            self.epoch.append(epoch)
            for name, value in (logs or {}).items():
                self.history.setdefault(name, []).append(plain(value))


def names_of_results(names: Sequence[str], validation: bool) -> list[str]:
    """Return the names under which an epoch's results appear in logs and history."""
    return [*names, *(f"val_{name}" for name in names)] if validation else list(names)
