"""Writing the results of the epochs into a table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from minikeras.callbacks.base import Callback
from minikeras.callbacks.logs import Logs
from minikeras.utils.warning import warn


class CSVLogger(Callback):
    """Writes the results of each epoch as a line of a CSV file.

    The columns are ``epoch``, counted from 0, and the results in alphabetical order.

    Parameters
    ----------
    filename : str or path
    separator : str
        One character between the columns. Default ``','``.
    append : bool
        Whether to go on in a file that exists, under its header, or to start it anew. Default
        False.

    Raises
    ------
    TypeError, ValueError
        If `separator` is not one character.

    Warns
    -----
    UserWarning
        If results appear for which the file has no column. They are left out.

    Notes
    -----
    The file is opened for each line and closed again: whatever ends the training, the lines of
    all epochs are there. What an epoch does not report is ``NA``; Keras 2.2.4 writes that only
    when a callback stops the training, and fails otherwise. Where Keras appends lines of other
    columns than those of the file's header, here the header decides.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     logger = CSVLogger(Path(folder) / "log.csv")
    ...     logger.on_train_begin()
    ...     logger.on_epoch_end(0, {"loss": 0.5, "acc": 0.75})
    ...     print(Path(folder, "log.csv").read_text())
    epoch,acc,loss
    0,0.75,0.5
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(separator, str):
            raise TypeError(f"CSVLogger: separator must be a str, got {separator!r}.")
        if len(separator) != 1:
            raise ValueError(f"CSVLogger: separator must be one character, got {separator!r}.")
        self.filename = os.fspath(filename)
        self.sep = separator
        self.append = append
        self.columns: list[str] | None = None
        self._told = False
        self._starts_anew = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Start the file, or read the header under which to go on."""
        import csv

        self._told = False
        self.columns = None
        self._starts_anew = not self.append
        # Opened now so that a file that can't be written is an error before the training.
        with open(self.filename, "a+", encoding="utf-8", newline="") as file:
            if self.append:
                file.seek(0)
                text = file.read()
                if text and not text.endswith(("\n", "\r")):  # its last line was cut by a crash
                    file.write("\n")
                self.columns = next(csv.reader(text.splitlines()[:1], delimiter=self.sep), None)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Empty the file, where no training goes on in it."""
        if self._starts_anew:
            self._starts_anew = False
            with open(self.filename, "w", encoding="utf-8"):
                self.columns = None

    def get_state(self) -> dict[str, Any]:
        """Return the columns, and how many bytes there are in the file."""
        return {"columns": self.columns, "size": os.path.getsize(self.filename)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on behind the lines that there were, and drop those after them."""
        size = os.path.getsize(self.filename)
        self._starts_anew = False
        if size >= state["size"]:
            os.truncate(self.filename, state["size"])
            self.columns = state["columns"]

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Append a line."""
        results = Logs(logs or {})
        if self.columns is None:
            # What is promised has a column, even if this epoch goes without.
            promised = [n for n in self.params.get("metrics", ()) if n not in results]
            self.columns = ["epoch", *sorted([*results, *promised])]
            self._write(self.columns)
        results["epoch"] = epoch
        self._write([_in_a_cell(results.get(name, "NA")) for name in self.columns])
        columns = Logs.fromkeys(self.columns)
        new = [name for name in results if name not in columns]
        if new and not self._told:
            self._told = True
            warn(
                f"CSVLogger: {self.filename} has no column for {', '.join(new)}, only for "
                f"{', '.join(self.columns)}: left out. A new file would have room for all.",
                UserWarning,
            )

    def _write(self, cells: list[Any]) -> None:
        import csv

        with open(self.filename, "a", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=self.sep).writerow(cells)


def _in_a_cell(value: Any) -> Any:
    """Return a result as it is written: one with several entries in brackets, as Keras does it."""
    single = isinstance(value, str) or (isinstance(value, np.ndarray) and value.ndim == 0)
    if isinstance(value, Iterable) and not single:
        return f'"[{", ".join(map(str, value))}]"'
    return value
