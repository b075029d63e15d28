"""The threads of the linear algebra library, which do not go well with ours.

After a product, OpenBLAS' idle threads go on spinning for some 25 milliseconds and take the
processor away from everybody else; on a busy machine they wait for each other inside every
product. So at any time either OpenBLAS has threads or `minikeras.ops.parallel` has:

- large products are left to OpenBLAS and its threads, and our own stay out of the way;
- where products are small or are cut into blocks, `one_thread` keeps OpenBLAS on one thread.

Where NumPy uses another library, its number of threads is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class _Threads:
    """The number of threads of NumPy's OpenBLAS, looked for when first needed."""

    def __init__(self) -> None:
        self._functions: tuple[Callable[[], int], Callable[[int], Any]] | None = None
        self._lock: Any = None
        self._users = 0
        self._outside = 1

    def may_spin(self) -> bool:
        functions = self._find()
        return functions is not None and self._users == 0 and functions[0]() > 1

    def enter(self) -> None:
        """Go down to one thread, with the first user."""
        functions = self._find()
        if functions is None:
            return
        get_threads, set_threads = functions
        with self._lock:
            if self._users == 0:
                self._outside = get_threads()
                if self._outside != 1:
                    set_threads(1)
            self._users += 1

    def leave(self) -> None:
        """Go back to what it was, with the last user."""
        if self._functions is None:
            return
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._outside != 1:
                self._functions[1](self._outside)

    def _find(self) -> tuple[Callable[[], int], Callable[[int], Any]] | None:
        if self._lock is None:
            import threading

            self._functions = _find_openblas()
            self._lock = threading.Lock()
        return self._functions


class _OneThread:
    """What `one_thread` returns; it holds no state, so one object serves all."""

    def __enter__(self) -> None:
        _threads.enter()

    def __exit__(self, *exc_info: object) -> None:
        _threads.leave()


_threads = _Threads()
_one_thread = _OneThread()


def one_thread() -> _OneThread:
    """Keep the linear algebra library on one thread inside a ``with`` block.

    May be nested, and used by several threads at once: the last to leave restores the number of
    threads that the first has found. Entering and leaving takes about a microsecond.

    Examples
    --------
    >>> with one_thread():
    ...     np.ones((2, 2)) @ np.ones((2, 2))
    array([[2., 2.],
           [2., 2.]])
    """
    return _one_thread


def may_spin() -> bool:
    """Return whether threads of OpenBLAS may be spinning, so that ours had better not run."""
    return _threads.may_spin()


def _find_openblas() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """Return OpenBLAS' functions to get and set its number of threads, None if it isn't there."""
    import ctypes
    import pathlib

    home = pathlib.Path(np.__file__).parent
    folders = (home.parent / "numpy.libs", home / ".dylibs", home / ".libs")
    for file in (file for folder in folders for file in folder.glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(file))
        except OSError:
            continue
        for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads"):
            getter = getattr(library, name.format("get"), None)
            setter = getattr(library, name.format("set"), None)
            if getter is not None and setter is not None:
                return getter, setter
    return None
