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
