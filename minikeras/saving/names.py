"""Names and texts in the attributes of an HDF5 group, as Keras 2 writes and later Keras reads them.

HDF5 can't hold an attribute of more than 64 KB. Lists of names are cut into several attributes
where they are longer. They are read in every form in which Keras or h5py has written them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# The room that Keras leaves for one attribute.
LIMIT = 64512


class Misfit(ValueError):
    """A file that can't be used. Whoever opened it says which file it is."""


def check_name(name: str, what: str) -> str:
    """Return a name that HDF5 can hold as a path.

    Raises
    ------
    ValueError
        If a part of it is empty, ``'.'`` or ``'..'``, or there is a NUL in it.

    Examples
    --------
    >>> check_name("dense_1/kernel:0", "a weight")
    'dense_1/kernel:0'
    >>> check_name("../kernel:0", "a weight")
    Traceback (most recent call last):
        ...
    minikeras.saving.names.Misfit: '../kernel:0' can't be the name of a weight in an HDF5 file: ...
    """
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise Misfit(
            f"{name!r} can't be the name of {what} in an HDF5 file: no part between slashes may "
            "be empty, '.' or '..', and there can be no NUL in it."
        )
    return name


def unique_names(names: Iterable[str]) -> list[str]:
    """Tell equal names apart as Keras does: the second gets ``_1`` behind it.

    Examples
    --------
    >>> unique_names(["a", "b", "a", "a"])
    ['a', 'b', 'a_1', 'a_2']
    """
    found: dict[str, None] = {}
    for name in names:
        candidate, number = name, 0
        while candidate in found:
            number += 1
            candidate = f"{name}_{number}"
        found[candidate] = None
    return list(found)


def write_names(group: Any, key: str, names: Sequence[str]) -> None:
    """Write a list of names to the attribute `key`, or to ``key0``, ``key1`` and so on.

    Parameters
    ----------
    group : h5py.Group
    key : str
    names : list of str
        None of more than 64,512 bytes.
    """
    encoded = [name.encode() for name in names]
    longest = max(map(len, encoded), default=0)
    if longest > LIMIT:
        raise ValueError(
            f"A name in {key} has {longest} bytes; an HDF5 file can hold names of up to {LIMIT}."
        )
    if longest * len(encoded) <= LIMIT:
        # Without names this is an empty array of numbers, which is what Keras writes.
        group.attrs[key] = np.array(encoded)
        return
    pieces = -(-len(encoded) // (LIMIT // longest))
    for number, piece in enumerate(np.array_split(np.array(encoded), pieces)):
        group.attrs[f"{key}{number}"] = piece


def read_names(group: Any, key: str) -> list[str]:
    """Return the names that `write_names`, or any Keras, has written.

    Raises
    ------
    ValueError
        If there are none, or if they are not names.
    """
    attributes = group.attrs
    if key in attributes:
        return _texts(attributes[key], key)
    found: list[str] = []
    number = 0
    while f"{key}{number}" in attributes:
        found += _texts(attributes[f"{key}{number}"], key)
        number += 1
    if not number:
        raise Misfit(f"'{group.name}' has no attribute '{key}', so these are no weights of Keras.")
    return found


def read_text(group: Any, key: str) -> str | None:
    """Return the text in the attribute `key`; None if there is none."""
    if key not in group.attrs:
        return None
    found = _texts(group.attrs[key], key)
    if len(found) != 1:
        raise Misfit(f"The attribute '{key}' should hold one text; it holds {len(found)}.")
    return found[0]


def _texts(value: Any, key: str) -> list[str]:
    """Return bytes, str, or an array of them, fixed or variable in length, as a list of str."""
    if not isinstance(value, (bytes, str, np.ndarray)):
        raise Misfit(f"The attribute '{key}' should hold text; it holds {type(value).__name__}.")
    entries = value.reshape(-1).tolist() if isinstance(value, np.ndarray) else [value]
    if not all(isinstance(entry, (bytes, str)) for entry in entries):
        raise Misfit(f"The attribute '{key}' should hold text; it holds {entries[0]!r}.")
    try:
        return [entry.decode() if isinstance(entry, bytes) else str(entry) for entry in entries]
    except UnicodeDecodeError:
        raise Misfit(f"The attribute '{key}' holds text that is not UTF-8.") from None
