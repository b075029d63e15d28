"""Callbacks: code of the user's, and the library's own, that runs at set moments of a training.

A callback knows the model only as `self.model`, so this module stands below the training loop
that calls it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_HOOKS = (
    "on_train_begin",
    "on_train_end",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
)
_SPELLINGS = {
    "accuracy": "acc",
    "acc": "accuracy",
    "val_accuracy": "val_acc",
    "val_acc": "val_accuracy",
}


class Logs(dict):
    """A dict of results that finds ``'accuracy'`` under ``'acc'`` and the other way round.

    Keras 2.2 reports ``acc`` and ``val_acc``; later versions ``accuracy`` and ``val_accuracy``.
    Scripts written for either find what they look for; one spelling is stored.

    Examples
    --------
    >>> logs = Logs(loss=1.0, acc=0.5)
    >>> logs["accuracy"], logs.get("accuracy"), "accuracy" in logs, sorted(logs)
    (0.5, 0.5, True, ['acc', 'loss'])
    """

    def __missing__(self, key: str) -> Any:
        other = _SPELLINGS.get(key)
        if other is None or not dict.__contains__(self, other):
            raise KeyError(key)
        return dict.__getitem__(self, other)

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or dict.__contains__(self, _SPELLINGS.get(key))  # type: ignore[call-overload]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the entry under `key` in either spelling, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default


class Callback:
    """The base class of callbacks: override the hooks you need.

    Attributes
    ----------
    model : Sequential
        The model in training. ``self.model.stop_training = True`` ends the training.
    params : dict
        ``epochs``, ``steps``, ``samples``, ``batch_size``, ``verbose``, ``do_validation`` and
        ``metrics``, the names of the results.
    validation_data : None
        Kept for callbacks that look for it, as in Keras.

    Notes
    -----
    `logs` holds the results: after a batch ``batch``, ``size`` and the batch's loss and metrics;
    after an epoch the epoch's means, and ``val_*`` where there are validation data. The batch
    hooks may also be given under their later names `on_train_batch_begin` and
    `on_train_batch_end`.

    Examples
    --------
    >>> class Names(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> Names().on_epoch_end(0, {"loss": 0.5})
    0 ['loss']
    """

    def __init__(self) -> None:
        self.validation_data: Any = None
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive `params`."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Receive the model."""
        self.model = model

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: dict | None = None) -> None:
        """Run after the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Run before an epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Run after an epoch and its validation."""

    def on_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Run before a batch, counted from 0 in each epoch."""

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Run after a batch."""


class CallbackList:
    """Calls a hook of several callbacks in turn, and only of those that define it.

    Parameters
    ----------
    callbacks : list of Callback
    model : Sequential
    params : dict
    """

    def __init__(self, callbacks: Iterable[Any], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)
        self._hooks = {name: self._defined(name) for name in _HOOKS}
        #: Whether anybody listens to batches; where nobody does, the loop makes no logs for them.
        self.hears_batches = bool(self._hooks["on_batch_begin"] or self._hooks["on_batch_end"])

    def _defined(self, name: str) -> list[Callable]:
        later = name.replace("on_batch", "on_train_batch")
        found = []
        for callback in self.callbacks:
            for spelling in dict.fromkeys((later, name)):
                hook = getattr(callback, spelling, None)
                inherited = getattr(Callback, spelling, None)
                if hook is not None and getattr(hook, "__func__", hook) is not inherited:
                    found.append(hook)
                    break
        return found

    def __call__(self, hook: str, *args: Any) -> None:
        """Call `hook` of every callback that defines it."""
        for call in self._hooks[hook]:
            call(*args)


class BaseLogger(Callback):
    """Averages the results of the batches into those of the epoch. `fit` always adds it.

    Batches are weighted by their size, so that a short last batch counts for less.
    """

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
            totals[name] = totals.get(name, 0.0) + value * size

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Put the means into the epoch's logs."""
        if logs is not None and self.seen:
            for name in self.params["metrics"]:
                if name in self.totals:
                    logs[name] = self.totals[name] / self.seen


class History(Callback):
    """Records the results of each epoch. `fit` always adds it, and returns it.

    Attributes
    ----------
    epoch : list of int
    history : dict of str to list of float
        Plain Python floats: ``json.dumps(history)`` works. ``history['accuracy']`` and
        ``history['acc']`` are the same entry.
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
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with ``(epoch, logs)``.
    on_batch_begin, on_batch_end : callable, optional
        Called with ``(batch, logs)``.
    on_train_begin, on_train_end : callable, optional
        Called with ``(logs)``.
    **kwargs
        Any further attributes of the callback.

    Examples
    --------
    >>> callback = LambdaCallback(on_epoch_end=lambda epoch, logs: print("epoch", epoch))
    >>> callback.on_epoch_end(3, {})
    epoch 3
    """

    def __init__(
        self,
        on_epoch_begin: Callable | None = None,
        on_epoch_end: Callable | None = None,
        on_batch_begin: Callable | None = None,
        on_batch_end: Callable | None = None,
        on_train_begin: Callable | None = None,
        on_train_end: Callable | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        given = dict(
            kwargs,
            on_epoch_begin=on_epoch_begin,
            on_epoch_end=on_epoch_end,
            on_batch_begin=on_batch_begin,
            on_batch_end=on_batch_end,
            on_train_begin=on_train_begin,
            on_train_end=on_train_end,
        )
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)


class ProgbarLogger(Callback):
    """Shows the training: a bar, or one line an epoch. `fit` adds it by `verbose`.

    With ``verbose=1``, a tqdm bar in a terminal or a notebook, with the running means of loss
    and metrics and the time left; into a file or a pipe, each bar's last state only. With
    ``verbose=2``, one line an epoch and no bar.
    """

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Take note of the number of epochs."""
        self.verbose = self.params["verbose"]
        self.epochs = self.params["epochs"]
        self.bar: Bar | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Announce the epoch and start its bar."""
        print(f"Epoch {epoch + 1}/{self.epochs}")
        self.started = time.perf_counter()
        if self.verbose == 1:
            self.bar = Bar(self.params["samples"])

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Move the bar."""
        if self.bar is not None and logs is not None:
            values = {name: logs[name] for name in self.params["metrics"] if name in logs}
            self.bar.add(logs["size"], values)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Complete the bar or print the line."""
        values = {n: logs[n] for n in self.params["metrics"] if logs and n in logs}
        if self.bar is not None:
            self.bar.close(values)
            self.bar = None
        else:
            seconds = time.perf_counter() - self.started
            print(f" - {seconds:.0f}s - {_worded(values)}", flush=True)

    def close(self) -> None:
        """Leave the terminal tidy after an interruption."""
        if self.bar is not None:
            self.bar.close(None)
            self.bar = None


class Bar:
    """A progress bar over samples, with running means.

    Parameters
    ----------
    total : int
        How many samples there are.

    Notes
    -----
    Drawn by tqdm, at most ten times a second. Where the output is neither a terminal nor a
    notebook, only the last state is printed.
    """

    FORMAT = "{n_fmt}/{total_fmt} [{bar:30}] {elapsed}<{remaining}, {rate_fmt}{postfix}"
    INTERVAL = 0.1

    def __init__(self, total: int) -> None:
        from tqdm.auto import tqdm

        live = sys.stdout.isatty() or _in_notebook()
        self._bar = tqdm(
            total=total,
            file=sys.stdout,
            bar_format=None if _in_notebook() else self.FORMAT,
            unit=" samples",
            ascii=" =" if not live else None,
            mininterval=self.INTERVAL if live else float("inf"),
            leave=True,
            dynamic_ncols=live,
            delay=0 if live else float("inf"),
        )
        self._live = live
        self._totals: dict[str, float] = {}
        self._shown = 0.0

    def add(self, count: int, values: dict[str, float]) -> None:
        """Count `count` samples, with the mean results over them."""
        for name, value in values.items():
            self._totals[name] = self._totals.get(name, 0.0) + value * count
        self._bar.n += count
        now = time.perf_counter()
        if self._live and now - self._shown >= self.INTERVAL:
            self._shown = now
            means = {name: total / self._bar.n for name, total in self._totals.items()}
            self._bar.set_postfix_str(_worded(means), refresh=False)
            self._bar.refresh()

    def close(self, values: dict[str, float] | None) -> None:
        """Draw the bar a last time, with the final results; None leaves those last shown."""
        if values is not None:
            self._bar.set_postfix_str(_worded(values), refresh=False)
        if self._live:
            self._bar.refresh()
        else:
            print(self._bar, flush=True)
            self._bar.leave = False
        self._bar.close()


def _worded(values: dict[str, float]) -> str:
    return " - ".join(
        f"{name}: {value:.4f}" if abs(value) > 1e-3 else f"{name}: {value:.4e}"
        for name, value in values.items()
    )


def _in_notebook() -> bool:
    """Return whether this is a notebook's kernel, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def names_of_results(names: Sequence[str], validation: bool) -> list[str]:
    """Return the names under which an epoch's results appear in logs and history."""
    return [*names, *(f"val_{name}" for name in names)] if validation else list(names)
