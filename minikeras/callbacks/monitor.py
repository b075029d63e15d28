"""Watching one result from epoch to epoch: which value, and which direction is better."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minikeras.callbacks.base import Callback
from minikeras.callbacks.logs import Logs
from minikeras.utils.registry import unknown_name_message
from minikeras.utils.warning import warn

MODES = ("auto", "min", "max")


class Monitoring(Callback):
    """What callbacks share that watch one result.

    Parameters
    ----------
    monitor : str
        Name of the result in the logs. Either spelling of accuracy finds the other.
    mode : {'auto', 'min', 'max'}
        Whether less or more is better. With ``'auto'``, more is better for names that contain
        ``'acc'`` or begin with ``'fmeasure'``.

    Attributes
    ----------
    monitor_op : callable
        ``monitor_op(a, b)`` tells whether `a` is better than `b`: `np.less` or `np.greater`.

    Warns
    -----
    RuntimeWarning
        If `mode` is another: ``'auto'`` is taken, as in Keras. Once in a training, if it does not
        report `monitor`.

    Notes
    -----
    Keras 2.2.4 knows ``'fmeasure'`` only in `ModelCheckpoint`, so that `EarlyStopping` would wait
    for it to become small. And it warns of a missing result in each epoch.
    """

    def __init__(self, monitor: str, mode: str) -> None:
        super().__init__()
        if mode not in MODES:
            warn(
                f"{type(self).__name__}: mode {mode!r} is unknown (known: {', '.join(MODES)}); "
                "'auto' is taken.",
                RuntimeWarning,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        more = "acc" in monitor or monitor.startswith("fmeasure") if mode == "auto" else None
        self.monitor_op = np.greater if mode == "max" or more else np.less
        self._told = False

    @property
    def worst(self) -> float:
        """What every value is better than."""
        return math.inf if self.monitor_op is np.less else -math.inf

    def towards_better(self, amount: float) -> float:
        """Return `amount` with the sign of an improvement."""
        return -amount if self.monitor_op is np.less else amount

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Be ready to warn again."""
        self._told = False

    def value_in(self, logs: dict | None) -> Any:
        """Return the watched result; None if the epoch has not reported it.

        If the training never will, there is a warning, once.
        """
        logs = logs or {}
        value = logs.get(self.monitor)
        if value is None and not self._told and not self.promised(self.monitor):
            self._told = True
            warn(self._missing(logs), RuntimeWarning)
        return value

    def promised(self, name: str) -> bool:
        """Return whether the training reports a result, if not in each epoch.

        An epoch goes without validation if it is stopped within, or not meant to have one.
        """
        return name in Logs.fromkeys(self.params.get("metrics", ()))

    def _missing(self, logs: dict) -> str:
        words = unknown_name_message("result to monitor", self.monitor, map(str, logs))
        validated = any(str(name).startswith("val_") for name in logs)
        if self.monitor.startswith("val_") and self.monitor[4:] in logs and not validated:
            words = (
                f"There is no {self.monitor!r} without validation: pass validation_data or "
                f"validation_split to fit, or monitor {self.monitor[4:]!r}. Known: "
                f"{', '.join(map(str, logs))}."
            )
        return f"{type(self).__name__} does nothing: {words}"
