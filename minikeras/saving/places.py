"""Where a file goes to and comes from: a path, an open file, or a group of an open HDF5 file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from minikeras.saving.names import Misfit
from minikeras.utils.files import atomic_write
from minikeras.utils.interrupts import held_back


def write_to(target: Any, fill: Callable[[Any], None], overwrite: bool = True) -> None:
    """Have `fill` write to a group, and bring what it wrote to its place.

    Parameters
    ----------
    target : str, PathLike, h5py.Group or file object
        A path is written in one step, see `atomic_write`. A file object gets all bytes in one
        call of its method ``write``. To a group, `fill` writes directly: if it fails, what it has
        written so far remains.
    fill : callable
        Gets an ``h5py.Group``.
    overwrite : bool
        What to do if there is a file already: replace it (True, default) or ask (False).

    Raises
    ------
    FileExistsError
        If `overwrite` is False, the file exists, and there is nobody to ask.
    TypeError
        If `target` is none of these.

    Notes
    -----
    The file is put together in memory. So libhdf5 never has a file on the disk open for writing,
    and its locks and its ways with a full disk are nobody's concern.
    """
    if _is_group(target):
        if len(target) or "layer_names" in target.attrs or "model_config" in target.attrs:
            raise ValueError(f"The group '{target.name}' is not empty: pass an empty one.")
        fill(target)
    elif hasattr(target, "write") and not isinstance(target, os.PathLike):
        target.write(_contents(fill))
    else:
        path = _path(target)
        if not overwrite and os.path.exists(path) and not _may_overwrite(path):
            return
        with atomic_write(path) as temporary:
            contents = _contents(fill)
            with open(temporary, "wb") as file:
                file.write(contents)


def _contents(fill: Callable[[Any], None]) -> memoryview:
    import io

    import h5py

    memory = io.BytesIO()
    # h5py's bookkeeping would swallow an exception that Ctrl-C raises in the middle of it.
    with held_back(), h5py.File(memory, "w") as file:
        fill(file)
    return memory.getbuffer()


def _may_overwrite(path: str) -> bool:
    """Ask at the terminal, as Keras does."""
    import sys

    if sys.stdin is None or not sys.stdin.isatty():
        raise FileExistsError(
            f"'{path}' exists already. Pass overwrite=True to replace it, or another path."
        )
    answer = ""
    while answer not in ("y", "n"):
        answer = input(f"'{path}' exists already. Overwrite it? [y/n] ").strip().lower()
    return answer == "y"


@contextlib.contextmanager
def opened(source: Any) -> Iterator[Any]:
    """Give what a file holds as an ``h5py.Group``; the file is closed at the end.

    Parameters
    ----------
    source : str, PathLike, h5py.Group or file object

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it is not an HDF5 file, or can't be opened.
    ValueError
        As the block says by raising `Misfit`; the name of the file is put in front of it.
    """
    with contextlib.ExitStack() as stack:
        if _is_group(source):
            file, name = source, f"The group '{source.name}'"
        else:
            file, name = _open(source)
            stack.enter_context(file)
        try:
            yield file
        except Misfit as error:
            raise ValueError(f"{name}: {error}") from error


def _open(source: Any) -> tuple[Any, str]:
    """Open a file for reading, and return it with its name for errors."""
    import h5py

    if hasattr(source, "read") and not isinstance(source, os.PathLike):
        import io

        contents = source.read()
        if not isinstance(contents, bytes):
            raise TypeError("A model is read from a file opened in binary mode: open(path, 'rb').")
        name, start = "The file", contents[:8]
        place: Any = io.BytesIO(contents)
    else:
        place = _path(source)
        name = f"'{place}'"
        if os.path.isdir(place):
            raise IsADirectoryError(
                f"{name} is a folder. Only HDF5 files (.h5) can be read here; if it is a "
                "SavedModel, save it from TensorFlow with save_format='h5'."
            )
        with open(place, "rb") as file:  # says clearly if it is missing or may not be read
            start = file.read(8)
    if start[:4] == b"PK\x03\x04":
        raise OSError(
            f"{name} is no HDF5 file but a zip archive, as Keras 3 writes (.keras). Save it "
            "from there in HDF5: model.save('model.h5')."
        )
    try:
        return h5py.File(place, "r"), name
    except OSError as error:
        if start == b"\x89HDF\r\n\x1a\n":
            raise OSError(f"{name} can't be opened; it may be damaged. ({error})") from error
        raise OSError(f"{name} is not an HDF5 file.") from error


def _is_group(place: Any) -> bool:
    # A group of h5py comes from a program that has imported it.
    import sys

    h5py = sys.modules.get("h5py")
    return h5py is not None and isinstance(place, h5py.Group)


def _path(place: Any) -> str:
    if not isinstance(place, (str, bytes, os.PathLike)):
        raise TypeError(
            "A file is given by its path, as an open file or as an h5py.Group; got "
            f"{type(place).__name__}."
        )
    return os.fsdecode(place)
