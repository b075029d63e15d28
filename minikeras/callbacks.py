"""Callbacks: code of the user's, and the library's own, that runs at set moments of a training.

A callback knows the model only as `self.model`, so this module stands below the training loop
that calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from minikeras.utils.progress import Bar, say, worded

__all__ = [
    "Bar",
    "BaseLogger",
    "Callback",
    "CallbackList",
    "History",
    "LambdaCallback",
    "Logs",
    "ProgbarLogger",
]

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
    Scripts written for either find what they look for; one spelling is stored, the one that came
    first.

    Examples
    --------
    >>> logs = Logs(loss=1.0, acc=0.5)
    >>> logs["accuracy"], logs.get("accuracy"), "accuracy" in logs, sorted(logs)
    (0.5, 0.5, True, ['acc', 'loss'])
    >>> logs["accuracy"] = 0.75
    >>> logs
    {'loss': 1.0, 'acc': 0.75}
    """

    def _stored(self, key: Any) -> Any:
        """Return the spelling of `key` that is stored, or `key` itself if neither is."""
        other = _SPELLINGS.get(key)
        if other is None or dict.__contains__(self, key) or not dict.__contains__(self, other):
            return key
        return other

    def __missing__(self, key: str) -> Any:
        stored = self._stored(key)
        if stored == key:
            raise KeyError(key)
        return dict.__getitem__(self, stored)

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, self._stored(key))

    def __setitem__(self, key: str, value: Any) -> None:
        dict.__setitem__(self, self._stored(key), value)

    def __delitem__(self, key: str) -> None:
        dict.__delitem__(self, self._stored(key))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the entry under `key` in either spelling, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the entry under `key` in either spelling, which is `default` if it is new."""
        return dict.setdefault(self, self._stored(key), default)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove the entry under `key` in either spelling, and return it."""
        return dict.pop(self, self._stored(key), *default)

    def update(self, *others: Any, **entries: Any) -> None:
        """Set the entries of a mapping or of pairs, and those given by keyword."""
        for key, value in dict(*others, **entries).items():
            self[key] = value


class Callback:
    """The base class of callbacks: override the hooks you need.

    Attributes
    ----------
    model : Sequential
        The model in training. ``self.model.stop_training = True`` ends the training.
    params : dict
        ``epochs``, ``steps``, ``samples``, ``batch_size``, ``verbose``, ``do_validation`` and
        ``metrics``, the names of the results.
    validation_data : list or None
        ``[x, y, sample_weight]`` of the validation data, the weights being ones if none are
        given.

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
            _check_callback(callback)
            callback.set_params(params)
            callback.set_model(model)
        self._hooks = {name: self._defined(name) for name in _HOOKS}

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
        if hook == "on_train_begin":
            # There a callback may give itself further hooks, as functions in its attributes.
            self._hooks = {name: self._defined(name) for name in _HOOKS}


def _check_callback(callback: Any) -> None:
    if isinstance(callback, type):
        raise TypeError(
            f"callbacks holds the class {callback.__name__}: did you forget the parentheses?"
        )
    if not (hasattr(callback, "set_params") and hasattr(callback, "set_model")):
        raise TypeError(
            f"callbacks holds {callback!r}, which is no callback: derive its class from "
            "minikeras.callbacks.Callback, or use LambdaCallback for functions."
        )


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

    With ``verbose=1``, a tqdm bar in a terminal or a notebook, with the time left and the running
    means of loss and metrics, and a line of results at its end; into a file or a pipe, that line
    only. With ``verbose=2``, a line without a bar.

    Parameters
    ----------
    count_mode : {'samples', 'steps'}
        Whether the bar counts samples or batches. Default ``'samples'``.
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
            self.bar = Bar(self.params[self.count_mode], unit, self.stateful_metrics)

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


def names_of_results(names: Sequence[str], validation: bool) -> list[str]:
    """Return the names under which an epoch's results appear in logs and history."""
    return [*names, *(f"val_{name}" for name in names)] if validation else list(names)
