"""The dict in which results reach callbacks and the history."""

from __future__ import annotations

from typing import Any

_PAIRS = (
    ("acc", "accuracy"),
    ("mae", "mean_absolute_error"),
    ("mse", "mean_squared_error"),
    ("mape", "mean_absolute_percentage_error"),
    ("msle", "mean_squared_logarithmic_error"),
)
_SPELLINGS = {
    prefix + name: prefix + other
    for pair in _PAIRS
    for name, other in (pair, pair[::-1])
    for prefix in ("", "val_")
}
_ACCURACY = frozenset({"acc", "accuracy", "val_acc", "val_accuracy"})


def plain(value: Any) -> Any:
    """Return a result as what JSON knows: a Python number, a text, or a list of them.

    Examples
    --------
    >>> import numpy as np
    >>> plain(np.float32(0.5)), plain(np.arange(2)), plain("high")
    (0.5, [0, 1], 'high')
    """
    if value is None or type(value) in (float, int, bool, str):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        return {str(name): plain(entry) for name, entry in value.items()}
    if hasattr(value, "numpy"):  # a variable, such as an optimizer's lr
        value = value.numpy()
    if hasattr(value, "tolist") and not isinstance(value, complex):
        return plain(value.tolist())
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


class Logs(dict):
    """A dict of results that finds ``'accuracy'`` under ``'acc'`` and the other way round.

    Keras 2.2 reports ``acc`` and ``val_acc``; later versions ``accuracy`` and ``val_accuracy``.
    Scripts written for either find what they look for; one spelling is stored, the one that came
    first. Likewise ``'mae'``, in Keras 2.2 ``'mean_absolute_error'``, ``'mse'``, ``'mape'`` and
    ``'msle'`` are found under the name that is there; but either may be stored.

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

    def _place(self, key: Any) -> Any:
        """Return the spelling under which to store `key`."""
        return self._stored(key) if key in _ACCURACY else key

    def __setitem__(self, key: str, value: Any) -> None:
        dict.__setitem__(self, self._place(key), value)

    def __delitem__(self, key: str) -> None:
        dict.__delitem__(self, self._stored(key))

    def get(self, key: str, default: Any = None) -> Any:
        """Return the entry under `key` in either spelling, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the entry under `key`, which is `default` if it is new."""
        return dict.setdefault(self, self._place(key), default)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove the entry under `key` in either spelling, and return it."""
        return dict.pop(self, self._stored(key), *default)

    def copy(self) -> Logs:
        """Return a shallow copy that finds either spelling, too."""
        return Logs(self)

    def update(self, *others: Any, **entries: Any) -> None:
        """Set the entries of a mapping or of pairs, and those given by keyword."""
        for key, value in dict(*others, **entries).items():
            self[key] = value
