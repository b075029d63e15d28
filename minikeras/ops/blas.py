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

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.ops.parallel import for_blocks

Product = tuple[np.ndarray, np.ndarray, np.ndarray]

# Multiplications up to which products are not worth a second thread, and those of one block.
_SMALL = 8_000_000
_BLOCK = 24_000_000


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
    step = -(-max(rows, columns) // (2 * max(1, round(size / (2 * _BLOCK)))))
    if rows > columns:
        return [(a[i : i + step], b, out[i : i + step]) for i in range(0, rows, step)]
    return [(a, b[:, i : i + step], out[:, i : i + step]) for i in range(0, columns, step)]


class _Threads:
    """The number of threads of NumPy's OpenBLAS, looked for when first needed."""

    def __init__(self) -> None:
        self._functions: tuple[Callable[[], int], Callable[[int], Any]] | None = None
        self._lock: Any = None
        self._users = 0
        self._outside = 1

    @property
    def limited(self) -> bool:
        """Whether OpenBLAS is down to one thread at the moment."""
        return self._users > 0

    def enter(self) -> None:
        """Go down to one thread, with the first user."""
        if self._lock is None:
            import threading

            self._functions = _find_openblas()
            self._lock = threading.Lock()
        if self._functions is None:
            return
        get_threads, set_threads = self._functions
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
