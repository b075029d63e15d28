"""Matrix products on our own threads, with the linear algebra library kept on one.

OpenBLAS has threads, too, but they wait for each other by spinning: inside every product, and
for some 25 milliseconds after it. On an idle machine a product is a little faster that way, but
our own threads find no free processor after it. And where another process wants a processor,
each product waits for a thread that is not running, and a step takes many times as long. So
inside a pass OpenBLAS has one thread (`one_thread`), and `matmuls` cuts large products into
blocks that `for_blocks` deals out to threads that sleep while they wait.

Where NumPy uses another library, its number of threads is left alone, and products are left to
it whole.
"""

from __future__ import annotations

import _thread
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.ops.parallel import for_blocks

Product = tuple[np.ndarray, np.ndarray, np.ndarray]

# Multiplications up to which products are not worth a second thread, and those of one block.
_SMALL = 8_000_000
_BLOCK = 24_000_000
_FIRST_OF_TWO = 9 / 16


def matmuls(products: Sequence[Product]) -> None:
    """Compute ``np.matmul(a, b, out=out)`` for each triple, on several threads if they are large.

    How a product is cut follows from its size alone, so the result is the same bit for bit,
    however many threads there are.

    Parameters
    ----------
    products : sequence of (a, b, out)
        Matrices of shapes ``(m, k)``, ``(k, n)`` and ``(m, n)``. No `out` is used by another.

    Examples
    --------
    >>> a, out = np.eye(2), np.empty((2, 2))
    >>> matmuls([(a, 3 * a, out)])
    >>> out
    array([[3., 0.],
           [0., 3.]])
    """
    if _threads.limited and sum(map(_size, products)) > _SMALL:
        blocks = [block for product in products for block in _cut(*product)]
        for_blocks(lambda start, stop, worker: _multiply(blocks[start]), len(blocks), 1)
        return
    for product in products:
        _multiply(product)


def batched_matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Compute ``np.matmul(a, b, out=out)`` for stacks, on several threads if they are large.

    Parameters
    ----------
    a : ndarray, shape (..., m, k)
        The same for all along the first axis of `b`.
    b : ndarray, shape (count, ..., k, n)
    out : ndarray, shape (count, ..., m, n)

    Examples
    --------
    >>> out = np.empty((2, 1, 2))
    >>> batched_matmul(2 * np.eye(3)[:1], np.ones((2, 3, 2)), out)
    >>> out.tolist()
    [[[2.0, 2.0]], [[2.0, 2.0]]]
    """
    size = out.size * a.shape[-1]
    if not _threads.limited or size <= _SMALL:
        np.matmul(a, b, out=out)
        return

    def work(start: int, stop: int, worker: int) -> None:
        np.matmul(a, b[start:stop], out=out[start:stop])

    blocks = 2 * max(1, round(size / (2 * _BLOCK)))
    for_blocks(work, len(out), max(1, math.ceil(len(out) / blocks)))


def _multiply(product: Product) -> None:
    a, b, out = product
    np.matmul(a, b, out=out)


def _size(product: Product) -> int:
    a, _, out = product
    return a.shape[1] * out.size


def _cut(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> list[Product]:
    """Cut a product along the longer side of its result, into one or an even number of blocks."""
    size = _size((a, b, out))
    if size <= _SMALL:
        return [(a, b, out)]
    rows, columns = out.shape
    edges = _edges(max(rows, columns), 2 * max(1, round(size / (2 * _BLOCK))))
    if rows > columns:
        return [(a[i:j], b, out[i:j]) for i, j in edges]
    return [(a, b[:, i:j], out[:, i:j]) for i, j in edges]


def _edges(length: int, count: int) -> list[tuple[int, int]]:
    """Cut a length into pieces of whole cache lines, a little unequal where there are two.

    The thread that takes the first piece is the one that calls, and is at work at once; the
    other one has to wake up.
    """
    piece = length * _FIRST_OF_TWO if count == 2 else length / count
    step = max(16, math.ceil(piece / 16) * 16)
    return [(i, min(i + step, length)) for i in range(0, length, step)]


class _Threads:
    """The number of threads of NumPy's OpenBLAS, looked for when first needed."""

    def __init__(self) -> None:
        self._functions: tuple[Callable[[], int], Callable[[int], Any]] | None = None
        self._searched = False
        self._outside = 1
        self.forget()

    def forget(self) -> None:
        """Start without users: at first, and in a forked process, where their threads are gone."""
        self._lock = _thread.allocate_lock()
        self._users: set[int] = set()

    @property
    def limited(self) -> bool:
        """Whether OpenBLAS is down to one thread at the moment."""
        return bool(self._users)

    @property
    def limited_here(self) -> bool:
        """Whether the calling thread is inside of `one_thread`."""
        return _thread.get_ident() in self._users

    def enter(self) -> None:
        """Go down to one thread, with the first user."""
        with self._lock:
            if not self._searched:
                self._functions = _find_openblas()
                self._searched = True
            if self._functions is None:
                return
            get_threads, set_threads = self._functions
            first = not self._users
            if first:
                self._outside = get_threads()
            # A set of threads, not a count: what Ctrl-C keeps from leaving leaves next time. There
            # is a user as long as OpenBLAS may be limited, here and in `leave`: otherwise, after a
            # Ctrl-C in between, one thread would be taken for what there was outside.
            self._users.add(_thread.get_ident())
            if first and self._outside != 1:
                set_threads(1)

    def leave(self) -> None:
        """Go back to what it was, with the last user."""
        with self._lock:
            me = _thread.get_ident()
            last = self._users <= {me}
            if last and self._functions is not None and self._outside != 1:
                self._functions[1](self._outside)
            self._users.discard(me)

    def forked(self) -> None:
        """Start anew in a child process, with the number of threads from outside of any pass."""
        limited = self.limited
        self.forget()
        if limited and self._functions is not None:
            self._functions[1](self._outside)


class _OneThread:
    """What `one_thread` returns; it holds no state, so one object serves all."""

    def __enter__(self) -> None:
        _threads.enter()

    def __exit__(self, *exc_info: object) -> None:
        _threads.leave()


_threads = _Threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _threads.forked())
_one_thread = _OneThread()


class _Nothing:
    """What `one_thread` returns inside of another."""

    def __enter__(self) -> None:
        """Leave all as it is."""

    def __exit__(self, *exc_info: object) -> None:
        """Leave all as it is."""


_nothing = _Nothing()


def one_thread(inside: bool = False) -> _OneThread | _Nothing:
    """Keep the linear algebra library on one thread inside a ``with`` block.

    It goes around a single pass. Several threads may use it at once: the last
    to leave restores the number of threads that the first has found. Entering and leaving takes
    about a microsecond.

    Parameters
    ----------
    inside : bool
        Whether this may be inside of another such block of the same thread, which then has its
        way. Default False: the end of the block is the end of all.

    Examples
    --------
    >>> with one_thread():
    ...     np.ones((2, 2)) @ np.ones((2, 2))
    array([[2., 2.],
           [2., 2.]])
    """
    return _nothing if inside and _threads.limited_here else _one_thread


def restore() -> None:
    """Leave `one_thread` for good, after an interruption that may have skipped its end."""
    _threads.leave()


def _find_openblas() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """Return OpenBLAS' functions to get and set its number of threads, None if it isn't there."""
    import ctypes
    import pathlib

    home = pathlib.Path(np.__file__).parent
    folders = (home.parent / "numpy.libs", home / ".dylibs", home / ".libs")
    for file in (file for folder in folders for file in folder.glob("*openblas*")):
        try:
            library = ctypes.PyDLL(str(file))  # quick calls: keep the lock
        except OSError:
            continue
        for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads"):
            getter = getattr(library, name.format("get"), None)
            setter = getattr(library, name.format("set"), None)
            if getter is not None and setter is not None:
                return getter, setter
    return None
