"""Reading from an HDF5 file only what a weight can be: numbers of a known shape, in that file.

A file may name anything: links to other files, arrays that lie in other files, arrays larger than
the memory. So each step of a path is looked at before it is taken, and each array before it is
read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from minikeras.saving.names import Misfit, check_name

# Deflate, shuffle, fletcher32, szip, nbit, scaleoffset, and h5py's own LZF. For any other filter
# HDF5 would look for a plug-in to load.
_FILTERS = {1, 2, 3, 4, 5, 6, 32000}
_KINDS = {"b", "i", "u", "f"}


@contextlib.contextmanager
def whole(what: str) -> Iterator[None]:
    """Turn what h5py raises about a damaged file into one error that says so."""
    try:
        yield
    except Misfit:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise Misfit(f"{what} can't be read; the file is damaged. ({error})") from error


def group_at(group: Any, name: str) -> Any:
    """Return the group of that name. See `dataset_at`."""
    import h5py

    found = _at(group, name)
    if not isinstance(found, h5py.Group):
        raise Misfit(f"'{name}' in '{group.name}' should be a group; it is {_kind(found)}.")
    return found


def dataset_at(group: Any, name: str) -> Any:
    """Return the dataset at a path in a group.

    Raises
    ------
    ValueError
        If there is none, or if the path leads over a link that could lead elsewhere.
    """
    import h5py

    found = _at(group, name)
    if not isinstance(found, h5py.Dataset):
        raise Misfit(f"'{name}' in '{group.name}' should be a dataset; it is {_kind(found)}.")
    return found


def _kind(found: Any) -> str:
    return f"a {type(found).__name__.lower()}"


def _at(group: Any, name: str) -> Any:
    import h5py

    check_name(name, "a group or a weight")
    found = group
    for part in name.split("/"):
        with whole(f"'{name}' in '{group.name}'"):
            link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
            if link is None:
                raise Misfit(f"'{name}' is missing in '{group.name}'.")
            if not isinstance(link, h5py.HardLink):
                raise Misfit(
                    f"'{name}' in '{group.name}' is a link to another place or file "
                    f"({type(link).__name__}), which is never followed."
                )
            found = found[part]
    return found


def read_numbers(dataset: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Return the numbers of a dataset.

    Parameters
    ----------
    dataset : h5py.Dataset
    shape : tuple of int
        Looked at before anything is read.
    what : str
        The name of what is read, for errors.

    Raises
    ------
    ValueError
        If the shape is another, if there is anything but numbers in it, or if these lie in
        another file.
    """
    with whole(what):
        if dataset.shape != shape:
            raise Misfit(f"{what} has shape {dataset.shape}, where {shape} is needed.")
        if dataset.dtype.kind not in _KINDS:
            raise Misfit(f"{what} should hold numbers; its type is {dataset.dtype}.")
        if dataset.external or dataset.is_virtual:
            raise Misfit(f"{what} lies in another file, which is never opened.")
        properties = dataset.id.get_create_plist()
        for number in range(properties.get_nfilters()):
            if properties.get_filter(number)[0] not in _FILTERS:
                raise Misfit(
                    f"{what} is compressed by a plug-in (filter {properties.get_filter(number)[0]})"
                    ", which is never loaded."
                )
        return dataset[()] if shape else np.asarray(dataset[()])
