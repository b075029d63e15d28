"""Changing the learning rate from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras.callbacks.base import Callback
from minikeras.callbacks.monitor import Monitoring
from minikeras.utils.progress import say
from minikeras.utils.warning import warn


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    The logs of the epoch get it as ``lr``.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, lr)``, or ``schedule(epoch)`` if it takes one argument only, with the
        epoch counted from 0 and the present rate; it returns the new one, a float.
    verbose : {0, 1}
        Whether to tell of each rate. Default 0.

    Raises
    ------
    ValueError
        While it trains: if the optimizer has no ``lr``, or `schedule` returns no float.

    Notes
    -----
    Keras 2.2.4 calls ``schedule(epoch)`` also if ``schedule(epoch, lr)`` fails from within by a
    TypeError. Here that error comes out.

    Examples
    --------
    >>> import numpy as np
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(1, input_dim=2)])
    >>> model.compile("sgd", "mse")
    >>> halve = LearningRateScheduler(lambda epoch, lr: lr / 2 if epoch else 0.5)
    >>> x = np.zeros((4, 2))
    >>> model.fit(x, np.zeros(4), epochs=3, verbose=0, callbacks=[halve]).history["lr"]
    [0.5, 0.25, 0.125]
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Set the rate."""
        if _takes_rate(self.schedule):
            lr = self.schedule(epoch, _get_lr(self))
        else:
            lr = self.schedule(epoch)
        if not isinstance(lr, (float, np.floating)):
            raise ValueError(
                f"LearningRateScheduler: schedule must return a float; for epoch {epoch} it "
                f"returned {lr!r} ({type(lr).__name__})."
            )
        _set_lr(self, float(lr))
        if self.verbose > 0:
            say(f"\nEpoch {epoch + 1:05d}: LearningRateScheduler setting learning rate to {lr}.")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Put the rate into the logs."""
        if logs is not None:
            logs["lr"] = _get_lr(self)


class ReduceLROnPlateau(Monitoring):
    """Reduces the learning rate when a result has stopped improving.

    The logs of each epoch get the rate as ``lr``.

    Parameters
    ----------
    monitor : str
        Name of the result. Default ``'val_loss'``.
    factor : float
        What the rate is multiplied by, less than 1. Default 0.1.
    patience : int
        After how many epochs in a row without improvement. Default 10.
    verbose : {0, 1}
        Whether to tell of each reduction. Default 0.
    mode : {'auto', 'min', 'max'}
        Whether less or more is better. With ``'auto'`` (default), more is better for names that
        contain ``'acc'`` or begin with ``'fmeasure'``.
    min_delta : float
        An improvement is one by more than this. Default 1e-4.
    cooldown : int
        For how many epochs after a reduction patience does not count. Default 0.
    min_lr : float
        The rate does not go below this. Default 0.
    **kwargs
        ``epsilon``, the earlier name of `min_delta`.

    Raises
    ------
    ValueError
        If `factor` is 1 or more. While it trains, if the optimizer has no ``lr``.
    TypeError
        If an argument is unknown.

    Warns
    -----
    UserWarning
        If ``epsilon`` is given.
    RuntimeWarning
        If the training does not report `monitor` (once), or `mode` is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(1, input_dim=2, kernel_initializer="zeros")])
    >>> model.compile("sgd", "mse")
    >>> reduce = ReduceLROnPlateau("loss", factor=0.5, patience=2)
    >>> x, y = np.zeros((4, 2)), np.zeros(4)
    >>> history = model.fit(x, y, epochs=6, verbose=0, callbacks=[reduce])
    >>> history.history["lr"]
    [0.01, 0.01, 0.01, 0.005, 0.005, 0.0025]
    """

    STATE = ("wait", "cooldown_counter", "best")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor, mode)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau: factor must be less than 1, got {factor!r}.")
        if "epsilon" in kwargs:
            min_delta = kwargs.pop("epsilon")
            warn("ReduceLROnPlateau: epsilon is now called min_delta.", UserWarning)
        if kwargs:
            raise TypeError(f"ReduceLROnPlateau got unknown arguments: {sorted(kwargs)}.")
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.min_delta = min_delta
        self.cooldown = cooldown
        self.min_lr = min_lr
        self._start()

    def _start(self) -> None:
        self.wait = 0
        self.cooldown_counter = 0
        self.best = self.worst

    def in_cooldown(self) -> bool:
        """Return whether a reduction was so recent that patience does not count."""
        return self.cooldown_counter > 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start anew."""
        super().on_train_begin(logs)
        self._start()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Compare with the best value so far, and reduce the rate if patience is at its end."""
        if logs is not None:
            logs["lr"] = _get_lr(self)
        current = self.value_in(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.monitor_op(current, self.best + self.towards_better(self.min_delta)):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._reduce(epoch)

    def _reduce(self, epoch: int) -> None:
        lr = _get_lr(self)
        if lr <= self.min_lr:
            return
        lr = max(lr * self.factor, self.min_lr)
        _set_lr(self, lr)
        if self.verbose > 0:
            say(f"\nEpoch {epoch + 1:05d}: ReduceLROnPlateau reducing learning rate to {lr}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0


def _takes_rate(schedule: Callable[..., Any]) -> bool:
    """Return whether `schedule` takes the present rate besides the epoch."""
    import inspect

    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # some functions written in C do not tell
        return False
    return True


def _get_lr(callback: Callback) -> float:
    optimizer = callback.model.optimizer
    if not hasattr(optimizer, "lr"):
        raise ValueError(
            f"{type(callback).__name__} needs an optimizer with an attribute 'lr', and "
            f"{type(optimizer).__name__} has none."
        )
    return float(optimizer.lr)


def _set_lr(callback: Callback, lr: float) -> None:
    _get_lr(callback)
    callback.model.optimizer.lr = lr
