"""Stopping when a training no longer improves."""

from __future__ import annotations

from typing import Any

from minikeras.callbacks.monitor import Monitoring
from minikeras.utils.progress import say
from minikeras.utils.warning import warn


class EarlyStopping(Monitoring):
    """Stops the training when a result has stopped improving.

    Parameters
    ----------
    monitor : str
        Name of the result. Default ``'val_loss'``.
    min_delta : float
        An improvement is one by more than this. Default 0.
    patience : int
        How many epochs in a row may pass without improvement: the last of them ends the training.
        0 and 1 both stop at the first such epoch, as in Keras. Default 0.
    verbose : {0, 1}
        Whether to tell of stopping and restoring. Default 0.
    mode : {'auto', 'min', 'max'}
        Whether less or more is better. With ``'auto'`` (default), more is better for names that
        contain ``'acc'`` or begin with ``'fmeasure'``.
    baseline : float, optional
        The value that the first improvement must beat.
    restore_best_weights : bool
        Whether the model ends with the weights of its best epoch, or of its last one. Default
        False.

    Attributes
    ----------
    stopped_epoch : int
        The epoch, counted from 0, at whose end this callback stopped the training; 0 also if it
        did not.
    best : float
        The best value so far; `baseline` until that is beaten.
    best_epoch : int or None
        The epoch of `best_weights`.
    best_weights : list of ndarray or None
        What `restore_best_weights` restores.

    Warns
    -----
    RuntimeWarning
        If the training does not report `monitor` (once), if there are no best weights to restore
        since no value was a number, or if `mode` is unknown.

    Notes
    -----
    Unlike in Keras 2.2.4, the best weights are restored whatever ended the training: this
    callback, another one, or the last epoch. If `baseline` is never beaten, they are those of the
    best epoch nevertheless; Keras fails there, and where the value is NaN from the start. A stop
    in the first epoch is reported, too. An instance that is used again starts anew.

    Examples
    --------
    >>> import numpy as np
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(1, input_dim=2, kernel_initializer="zeros")])
    >>> model.compile("sgd", "mse")
    >>> stop = EarlyStopping(monitor="loss", min_delta=0.1, patience=2)
    >>> x, y = np.zeros((4, 2)), np.zeros(4)
    >>> len(model.fit(x, y, epochs=10, verbose=0, callbacks=[stop]).epoch)
    3
    """

    STATE = (
        *("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
        *("_best_seen", "_has_stopped", "_has_best_weights", "_has_seen_a_value"),
    )

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, mode)
        self.min_delta = min_delta
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self._start()

    def _start(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = self.worst if self.baseline is None else self.baseline
        self.best_epoch: int | None = None
        self.best_weights: list[Any] | None = None
        self._best_seen = self.worst  # like `best`, but whatever the baseline is
        self._has_stopped = False
        self._has_best_weights = False
        self._has_seen_a_value = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start anew."""
        super().on_train_begin(logs)
        self._start()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Compare with the best epoch so far, and stop if patience is at its end."""
        self._has_best_weights = False
        current = self.value_in(logs)
        if current is None:
            return
        self._has_seen_a_value = True
        clear = current - self.towards_better(self.min_delta)
        improved = self.monitor_op(clear, self.best)
        if improved or self.monitor_op(clear, self._best_seen):
            self._best_seen = current
            self._keep(epoch)
        if improved:
            self.best = current
            self.wait = 0
            return
        self.wait += 1
        if self.wait >= self.patience:
            self.stopped_epoch = epoch
            self._has_stopped = True
            self.model.stop_training = True
            self._restore()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Restore the best weights if that is still to be done."""
        if self._has_stopped and self.verbose > 0:
            say(f"Epoch {self.stopped_epoch + 1:05d}: early stopping")
        self._restore()

    def _keep(self, epoch: int) -> None:
        if self.restore_best_weights:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
            self._has_best_weights = True

    def _restore(self) -> None:
        if not self.restore_best_weights or self._has_best_weights:
            return
        self._has_best_weights = True
        if self.best_weights is not None:
            if self.verbose > 0:
                say("Restoring model weights from the end of the best epoch")
            self.model.set_weights(self.best_weights)
        elif self._has_seen_a_value:
            warn(
                f"EarlyStopping: {self.monitor!r} was a number in no epoch, so there are no best "
                "weights to restore.",
                RuntimeWarning,
            )
