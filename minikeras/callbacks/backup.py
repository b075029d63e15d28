"""Going on after a crash."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from minikeras.callbacks.base import Callback
from minikeras.callbacks.logs import Logs, plain


class BackupAndRestore(Callback):
    """Keeps a backup of the training, with which the same script goes on after a crash.

    At the end of each epoch one file gets the weights, the optimizer with its state, the random
    states of NumPy and of Python's `random`, and the history. If the file is there when a
    training begins, it goes on behind the epochs that the file holds, and ends as if there had
    been no interruption: with the same weights and the same history, bit for bit.

    Parameters
    ----------
    backup_dir : str or path
        The folder for the backup; made if need be. One training at a time may use it.
    save_freq : 'epoch'
        Nothing else is supported.
    delete_checkpoint : bool
        Whether to delete the backup after a training that ended normally, be it by its last epoch
        or by ``stop_training``. Default True. If it stays, the next `fit` finds it and has
        nothing left to do, unless `epochs` is larger.

    Attributes
    ----------
    initial_epoch : int
        The epoch with which `fit` begins, if its argument of that name is not greater.

    Raises
    ------
    ValueError
        If `save_freq` is another. When a training begins, if the backup is damaged or belongs to
        another model.

    Notes
    -----
    Other callbacks are not part of the backup: an `EarlyStopping` begins to wait anew. Put this
    one behind those that add to the logs, so that the history gets what they add, and behind those
    that draw random numbers at the end of an epoch.

    A file is written under another name and then moved into place: at any time, the backup is a
    whole file, of this epoch or of the last one.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(1, input_dim=2)])
    >>> model.compile("sgd", "mse")
    >>> x, y = np.zeros((4, 2)), np.zeros(4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     backup = BackupAndRestore(folder, delete_checkpoint=False)
    ...     _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[backup])
    ...     model.fit(x, y, epochs=5, verbose=0, callbacks=[backup]).epoch
    [0, 1, 2, 3, 4]
    >>> backup.initial_epoch
    2
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str = "epoch",
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        if save_freq != "epoch":
            raise ValueError(
                f"BackupAndRestore: save_freq must be 'epoch', got {save_freq!r}: a backup is made "
                "between epochs, where a training can be continued exactly."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.delete_checkpoint = delete_checkpoint
        self.initial_epoch = 0
        self._earlier: Mapping[str, Any] | None = None

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self.backup_dir, "backup.h5")

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore what the backup holds, if there is one."""
        self.initial_epoch = 0
        self._earlier = None
        os.makedirs(self.backup_dir, exist_ok=True)
        if os.path.exists(self.path):
            state = self._read()
            self.initial_epoch = state["epoch"]
            self._earlier = state["history"]

    def _read(self) -> Mapping[str, Any]:
        from minikeras.saving.backup import read_backup

        try:
            state = read_backup(self.model, self.path)
            _set_random_state(state["random"])
            _ = state["epoch"], state["history"]["epoch"], state["history"]["history"]
        except Exception as error:
            raise ValueError(
                f"BackupAndRestore: the backup {self.path} can't be used: {error} Delete it to "
                "train from the beginning."
            ) from error
        return state

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Put the epochs of the backup into the history."""
        self._give_back_history()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the backup."""
        from minikeras.saving.backup import write_backup

        state = {
            "epoch": epoch + 1,
            "history": _history_with(self.model.history, epoch, logs or {}),
            "random": _random_state(),
        }
        write_backup(self.model, self.path, state)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Delete the backup."""
        self._give_back_history()  # if there was no epoch left to run
        if self.delete_checkpoint and os.path.exists(self.path):
            os.remove(self.path)

    def _give_back_history(self) -> None:
        if self._earlier is None:
            return
        target = self.model.history
        target.epoch = [*self._earlier["epoch"], *target.epoch]
        for name, values in self._earlier["history"].items():
            target.history[name] = [*values, *target.history.get(name, [])]
        self._earlier = None


def _history_with(history: Any, epoch: int, logs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the history as JSON knows it, with one more epoch: `History` hears of it later."""
    results = Logs({name: list(values) for name, values in history.history.items()})
    for name, value in logs.items():
        results.setdefault(name, []).append(plain(value))
    return {"epoch": [*history.epoch, epoch], "history": dict(results)}


def _random_state() -> dict[str, Any]:
    """Return the states of NumPy's and Python's random numbers as JSON knows them."""
    import random

    import numpy as np

    return {"numpy": plain(np.random.get_state(legacy=False)), "python": plain(random.getstate())}


def _set_random_state(state: Mapping[str, Any]) -> None:
    import random

    import numpy as np

    version, numbers, following = state["python"]
    np.random.set_state(state["numpy"])
    random.setstate((version, tuple(numbers), following))
