"""Automatic names: ``dense_1``, ``dense_2``, ... counted for each prefix."""

from __future__ import annotations

_counts: dict[str, int] = {}


def get_uid(prefix: str = "") -> int:
    """Return 1, 2, 3, ...: how often `prefix` has been asked for.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> K.clear_session()
    >>> K.get_uid("dense"), K.get_uid("dense"), K.get_uid("dropout")
    (1, 2, 1)
    """
    _counts[prefix] = _counts.get(prefix, 0) + 1
    return _counts[prefix]


def reset_uids() -> None:
    """Start the numbers of automatic names again at 1."""
    _counts.clear()


class name_scope:
    """A ``with`` block that Keras 2 puts names of a graph into; there is none here.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> with name_scope("attention"):
    ...     1 + 1
    2
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> str:
        return self.name

    def __exit__(self, *exc_info: object) -> None:
        """Leave all as it is."""
