"""Saving the model while it trains."""

from __future__ import annotations

import math
import os
from typing import Any

from minikeras.callbacks.logs import Logs
from minikeras.callbacks.monitor import Monitoring
from minikeras.utils.progress import say


class ModelCheckpoint(Monitoring):
    """Saves the model at the end of epochs.

    Parameters
    ----------
    filepath : str or path
        The file. Names in braces stand for the epoch, counted from 1, and the epoch's results:
        ``'weights.{epoch:02d}-{val_loss:.2f}.h5'``.
    monitor : str
        Name of the result by which to tell the best model. Default ``'val_loss'``.
    verbose : {0, 1}
        Whether to tell of each saving. Default 0.
    save_best_only : bool
        Whether to save only where `monitor` is better than at every saving before. Default
        False.
    save_weights_only : bool
        Whether to save the weights (``model.save_weights``) in place of the whole model with the
        optimizer (``model.save``). Default False.
    mode : {'auto', 'min', 'max'}
        Whether less or more is better. With ``'auto'`` (default), more is better for names that
        contain ``'acc'`` or begin with ``'fmeasure'``.
    period : int
        Save at every so many epochs. Default 1.
    save_freq : 'epoch' or int
        A number of batches after which to save, as in later Keras. Names in braces then stand
        for the results of the batch, and ``{batch}`` for its number in the epoch, counted from
        1. Default ``'epoch'``.

    Attributes
    ----------
    best : float
        The best value so far. It is kept from one `fit` to the next.

    Raises
    ------
    ValueError
        If `period` or `save_freq` is not allowed, or both are given. While it trains, if
        `filepath` names what is not reported.

    Warns
    -----
    RuntimeWarning
        With `save_best_only`, if the training does not report `monitor` (once); if `mode` is
        unknown.

    Notes
    -----
    A file is written under another name and then moved into place: at any time, `filepath` is a
    whole file, the old one or the new one. In the name of the file, a result that an epoch goes
    without, since it was stopped before its validation, is ``nan``; Keras fails there.

    Examples
    --------
    >>> checkpoint = ModelCheckpoint("{epoch:02d}-{val_acc:.2f}.h5", save_weights_only=True)
    >>> checkpoint.file_for(0, {"val_accuracy": 0.5})
    '01-0.50.h5'
    """

    STATE = ("best", "epochs_since_last_save", "_batches_since_last_save")

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        period: int = 1,
        *,
        save_freq: str | int = "epoch",
    ) -> None:
        super().__init__(monitor, mode)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.period = period
        self.save_freq = save_freq
        self.best = self.worst
        self.epochs_since_last_save = 0
        self._batches_since_last_save = 0
        self._epoch = 0
        if not period >= 1:
            raise ValueError(f"ModelCheckpoint: period must be at least 1, got {period!r}.")
        if save_freq != "epoch":
            if not (isinstance(save_freq, int) and save_freq >= 1) or save_freq is True:
                raise ValueError(
                    "ModelCheckpoint: save_freq must be 'epoch' or a number of batches, at least "
                    f"1; got {save_freq!r}."
                )
            if period != 1:
                raise ValueError(
                    f"ModelCheckpoint: period={period} counts epochs and save_freq={save_freq} "
                    "counts batches; give one of them."
                )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Take note of the epoch."""
        self._epoch = epoch

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Save, if batches are counted and it is time."""
        if not isinstance(self.save_freq, int):
            return
        self._batches_since_last_save += 1
        if self._batches_since_last_save >= self.save_freq:
            self._batches_since_last_save = 0
            self._save(self._epoch, {**(logs or {}), "batch": batch + 1})

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Save, if epochs are counted and it is time."""
        if self.save_freq != "epoch":
            return
        self.epochs_since_last_save += 1
        if self.epochs_since_last_save >= self.period:
            self.epochs_since_last_save = 0
            self._save(epoch, logs or {})

    def promised(self, name: str) -> bool:
        """Return whether the training reports a result where this callback looks for it."""
        return self.save_freq == "epoch" and super().promised(name)

    def file_for(self, epoch: int, logs: dict[str, Any]) -> str:
        """Return the name of the file for an epoch, counted from 0, and its results."""
        known = Logs(epoch=epoch + 1)
        if self.save_freq == "epoch":  # an epoch may go without validation
            known.update(dict.fromkeys(self.params.get("metrics", ()), math.nan))
        known.update(logs)
        try:
            return self.filepath.format_map(known)
        except KeyError as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} names {error}, which is not "
                f"reported. Known: {', '.join(map(str, known))}."
            ) from None
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(
                f"ModelCheckpoint: filepath {self.filepath!r} can't be filled in: {error}."
            ) from error

    def _save(self, epoch: int, logs: dict[str, Any]) -> None:
        path = self.file_for(epoch, logs)
        if not self.save_best_only:
            self._write(path, f"Epoch {epoch + 1:05d}: saving model to {path}")
            return
        current = self.value_in(logs)
        if current is None:
            return
        told = f"Epoch {epoch + 1:05d}: {self.monitor}"
        if self.monitor_op(current, self.best):
            before, self.best = self.best, current
            told += f" improved from {before:0.5f} to {current:0.5f}, saving model to {path}"
            self._write(path, told)
        elif self.verbose > 0:
            say(f"\n{told} did not improve from {self.best:0.5f}")

    def _write(self, path: str, words: str) -> None:
        if self.verbose > 0:
            say(f"\n{words}")
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)
