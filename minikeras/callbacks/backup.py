"""Going on after a crash."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from minikeras.callbacks.base import Callback
from minikeras.callbacks.history import History
from minikeras.callbacks.logs import Logs, plain
from minikeras.utils.warning import warn


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
    resume_epoch : int
        The epoch with which `fit` begins, if its argument of that name is not greater.

    Raises
    ------
    ValueError
        If `save_freq` is another. When a training begins, if the backup is damaged or belongs to
        another model.

    Notes
    -----
    Other callbacks go on where they stood, too, if the list is of the same kinds: `EarlyStopping`,
    `ReduceLROnPlateau`, `ModelCheckpoint` and `CSVLogger`, and those of one's own that say by
    `get_state` where they stand. Arrays go on, and so does a `Sequence` whose batches depend on
    their index alone, used whole in each epoch. One that keeps an order of its own begins with that
    of its ``__init__``; a generator begins anew, since its position is known to nobody. `fit` calls
    this callback after all others, wherever it is in the list.

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
    >>> backup.resume_epoch
    2
    """

    #: `fit` calls it after all others, `History` too: it keeps what they have made of the epoch.
    runs_last = True

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
        self.resume_epoch = 0
        self._others: list[Any] = []
        self._history: Any = None

    @property
    def path(self) -> str:
        """The file."""
        return os.path.join(self.backup_dir, "backup.h5")

    def set_callbacks(self, callbacks: Iterable[Any]) -> None:
        """Receive all callbacks of the training: where they stand is part of the backup."""
        self._others = [callback for callback in callbacks if _has_state(callback)]
        # That of this training: a callback may run another one, which has one of its own.
        self._history = [callback for callback in callbacks if isinstance(callback, History)][-1]

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore what the backup holds, if there is one."""
        self.resume_epoch = 0
        os.makedirs(self.backup_dir, exist_ok=True)
        if os.path.exists(self.path):
            state = self._read()
            ended = state["stopped"] and state["epochs"] == self.params["epochs"]
            self.resume_epoch = self.params["epochs"] if ended else state["epoch"]
            self._history.epoch = state["history"]["epoch"]
            self._history.history = Logs(state["history"]["history"])
            self._give_back(state["callbacks"])

    def _read(self) -> Mapping[str, Any]:
        from minikeras.saving.backup import read_backup

        try:
            state = read_backup(self.model, self.path)
            _set_random_state(state["random"])
            _ = state["epoch"], state["epochs"], state["stopped"], state["history"]["epoch"]
            _ = dict(state["history"]["history"])
            _ = [(name, dict(kept)) for name, kept in state["callbacks"]]
        except Exception as error:
            raise ValueError(
                f"BackupAndRestore: the backup {self.path} can't be used: {error} Delete it to "
                "train from the beginning."
            ) from error
        return state

    def _give_back(self, kept: list[Any]) -> None:
        """Let the other callbacks go on where they stood."""
        names = [type(callback).__name__ for callback in self._others]
        if [name for name, _ in kept] != names:
            warn(
                f"BackupAndRestore: the backup was made with the callbacks "
                f"{', '.join(name for name, _ in kept) or 'none'}, and now there are "
                f"{', '.join(names) or 'none'}. They begin anew."
            )
            return
        for callback, (_, state) in zip(self._others, kept, strict=True):
            callback.set_state(state)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the backup."""
        from minikeras.saving.backup import write_backup

        history = self._history
        state = {
            "epoch": epoch + 1,
            "epochs": self.params["epochs"],
            "stopped": self.model.stop_training,
            "history": {"epoch": history.epoch, "history": history.history},
            "random": _random_state(),
            "callbacks": [
                (type(callback).__name__, callback.get_state()) for callback in self._others
            ],
        }
        write_backup(self.model, self.path, state)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Delete the backup."""
        if self.delete_checkpoint and os.path.exists(self.path):
            os.remove(self.path)


def _has_state(callback: Any) -> bool:
    own = getattr(type(callback), "get_state", None)
    if own in (None, Callback.get_state):
        named = getattr(callback, "STATE", ())
        return isinstance(callback, Callback) and isinstance(named, tuple) and bool(named)
    return callable(getattr(callback, "set_state", None))


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
