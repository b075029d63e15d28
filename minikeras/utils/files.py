"""`atomic_write`: a file is either the old one or the whole new one, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator

from minikeras.utils.interrupts import held_back

# How temporary files end. They begin with a dot.
SUFFIX = ".minikeras-tmp"
_A_DAY = 24 * 60 * 60.0


@contextlib.contextmanager
def atomic_write(path: str | bytes | os.PathLike) -> Iterator[str]:
    """Give the path of a temporary file, which takes the place of `path` at the end.

    Parameters
    ----------
    path : str, bytes or PathLike
        What to write. A symbolic link is followed: the file that it points to is replaced.

    Yields
    ------
    str
        An empty file in the same folder, to be opened and written to.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    IsADirectoryError
        If `path` is a folder.
    PermissionError
        If the file is there and may not be written to.
    OSError
        If `path` is neither a file nor a folder, such as a device; or as the system says.

    Notes
    -----
    If the block ends with an exception, be it Ctrl-C, the temporary file is removed and `path` is
    what it was. If it ends well, the contents are on the disk (`os.fsync`) before they get the
    name. So a crash of the process or of the machine leaves the old file or the new one.

    The new file has the permissions of the one it replaces, or those that the umask gives. It
    has the owner of the process that wrote it, and other hard links to the old file keep the old
    contents.

    A process that is killed leaves its temporary file behind, ``.<random>.minikeras-tmp``. It
    hinders nobody, and the next `atomic_write` to that folder removes it. Whether somebody still
    writes to such a file is told by a lock, which ends with its process; where the file system
    has no locks, a file is left for a day.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "numbers.txt")
    >>> with atomic_write(path) as temporary:
    ...     with open(temporary, "w") as file:
    ...         _ = file.write("1 2 3")
    >>> os.listdir(folder.name)
    ['numbers.txt']
    >>> folder.cleanup()
    """
    target = os.path.realpath(os.fsdecode(path))
    permissions = _permissions(target)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            f"The folder '{folder}' of '{os.fsdecode(path)}' does not exist: make it first, with "
            "os.makedirs."
        )
    temporary = os.path.join(folder, f".{os.urandom(8).hex()}{SUFFIX}")
    descriptor = -1
    try:
        with held_back():  # between an open file and its number in a variable nothing may come
            _remove_abandoned(folder)
            descriptor = _new_file(temporary, permissions)
        yield temporary
        os.fsync(descriptor)
        if permissions is not None:
            os.chmod(temporary, permissions)
        if os.name == "nt":  # where an open file can't be renamed
            descriptor = _closed(descriptor)
        os.replace(temporary, target)
    except BaseException:
        descriptor = _closed(descriptor)
        with contextlib.suppress(OSError):
            os.remove(temporary)
        raise
    finally:
        _closed(descriptor)
    with held_back():
        _sync_folder(folder)


def _permissions(target: str) -> int | None:
    """Return those of the file to be replaced, None if there is none; refuse what is no file."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"'{target}' is a folder: give the path of a file in it.")
    if not stat.S_ISREG(mode):
        raise OSError(f"'{target}' is not a regular file, and can't be replaced by one.")
    if not os.access(target, os.W_OK):
        raise PermissionError(f"'{target}' is there and may not be written to.")
    return stat.S_IMODE(mode)


def _new_file(name: str, permissions: int | None) -> int:
    """Make an empty file that is ours alone, and lock it; return its descriptor."""
    # The system applies the umask. Nobody may read meanwhile what they may not read at the end.
    mode = 0o666 if permissions is None else permissions | stat.S_IWUSR
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    while True:
        descriptor = os.open(name, flags, mode)
        try:
            with contextlib.suppress(OSError):
                _lock(descriptor, wait=True)
            # Between the two calls somebody may have taken it for abandoned.
            if os.path.exists(name):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _remove_abandoned(folder: str) -> None:
    """Remove the temporary files of processes that were killed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        found = [e.path for e in entries if e.name.startswith(".") and e.name.endswith(SUFFIX)]
        for path in found:
            with contextlib.suppress(OSError):  # somebody else's, or already gone
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: str) -> None:
    if os.name == "nt":
        os.remove(path)  # refused as long as somebody has it open
        return
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        try:
            _lock(descriptor, wait=False)
        except BlockingIOError:
            return
        except OSError:
            if time.time() - os.stat(path).st_mtime < _A_DAY:
                return
        os.remove(path)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> None:
    """Lock a file until it is closed or its process ends.

    Raises
    ------
    BlockingIOError
        If somebody else has locked it, and `wait` is False.
    OSError
        If there are no locks here.
    """
    try:
        import fcntl
    except ImportError as error:  # no locks on this platform
        raise OSError("no file locks") from error
    fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def _closed(descriptor: int) -> int:
    """Close a file that is open, and return what stands for one that is not."""
    if descriptor >= 0:
        os.close(descriptor)
    return -1


def _sync_folder(folder: str) -> None:
    """Have the file's new name written to the disk, too, on platforms that can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    # The contents are safe already; some file systems know no fsync of a folder.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
