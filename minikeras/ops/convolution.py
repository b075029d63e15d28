"""Convolution over any number of spatial axes, channels last, and its gradients.

Everything is matrix products over blocks that fit into the cache, on several threads. There are
two ways to make products of a convolution, with the same three operations (outputs, gradient of
the kernel, and, by either, gradient of the input): `Gathering` copies what lies under the window
into the rows of a matrix; `Filtering` needs half the multiplications, for short windows that move
one by one. Each has a file.

Results are the same bit for bit for any number of threads, as long as the linear algebra library is
held to one (`minikeras.ops.blas.one_thread`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from minikeras.ops.filtering import Filtering
from minikeras.ops.gathering import Gathering, scatter
from minikeras.ops.memory import scratch
from minikeras.ops.parallel import for_blocks
from minikeras.ops.windows import FEW_PLACES, MUCH_WORK, Block, Windows, blocks, sum_places

Pads = Sequence[tuple[int, int]]
Task = Callable[[], None]

# Partial sums of a kernel's gradient, and entries they may have in all.
_SUMS = 8
_SUM_ENTRIES = 4_000_000


def conv(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None = None,
    *,
    strides: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    out: np.ndarray,
    finish: Callable[[np.ndarray], object] | None = None,
) -> np.ndarray:
    """Slide a kernel over `x` (cross-correlation, as in every network library).

    Parameters
    ----------
    x : ndarray, shape (batch, *sizes, channels)
    kernel : ndarray, shape (*window, channels, filters)
    bias : ndarray, shape (filters,), optional
    strides, dilation : sequence of int
        One for each spatial axis.
    pads : sequence of (before, after)
        Zeros around each spatial axis.
    out : ndarray, shape (batch, *places, filters)
        Memory for the result, C-contiguous.
    finish : callable, optional
        Called with each finished part of `out`, a C-contiguous view, to change it in place while
        it is in the cache: an activation function.

    Returns
    -------
    ndarray
        `out`.

    Examples
    --------
    >>> x, kernel = np.arange(5.0).reshape(1, 5, 1), np.ones((3, 1, 1))
    >>> out = np.empty((1, 3, 1))
    >>> conv(x, kernel, strides=[1], pads=[(0, 0)], dilation=[1], out=out).ravel().tolist()
    [3.0, 6.0, 9.0]
    """
    windows = Windows.over(out.shape[1:-1], kernel.shape[:-2], strides, pads, dilation)
    _run(_output_tasks(x, kernel, bias, windows, out, finish), _work(kernel, out))
    return out


def conv_backward(
    dy: np.ndarray,
    x: np.ndarray | None,
    kernel: np.ndarray,
    *,
    strides: Sequence[int],
    pads: Pads,
    dilation: Sequence[int],
    dx: np.ndarray | None = None,
    dkernel: np.ndarray | None = None,
    dbias: np.ndarray | None = None,
) -> None:
    """Compute those gradients of `conv` for which memory is given.

    Parameters
    ----------
    dy : ndarray, shape (batch, *places, filters)
    x, kernel, strides, pads, dilation
        As in `conv`. `x` may be None where `dkernel` is.
    dx, dkernel, dbias : ndarray, optional
        Memory for the gradients, shaped like `x`, `kernel` and `bias`; C-contiguous.
    """
    windows = Windows.over(dy.shape[1:-1], kernel.shape[:-2], strides, pads, dilation)
    tasks: list[Task] = []
    add_up: Task | None = None
    if dkernel is not None:
        assert x is not None
        tasks, add_up = _kernel_tasks(dy, x, dkernel, dbias, windows)
    elif dbias is not None:
        np.copyto(dbias, sum_places(dy))
    if dx is not None:
        tasks += _input_tasks(dy, kernel, dx, windows)
    _run(tasks, _work(kernel, dy))
    if add_up is not None:
        add_up()


def _work(kernel: np.ndarray, y: np.ndarray) -> int:
    """Return the number of multiplications; to write an output takes as long as some of them."""
    return kernel.size * (y.size // y.shape[-1]) + 32 * y.size


def _run(tasks: list[Task], work: int) -> None:
    if work < MUCH_WORK:
        for task in tasks:
            task()
    else:
        for_blocks(lambda start, stop, worker: tasks[start](), len(tasks), 1)


@functools.lru_cache(maxsize=256)
def _method(
    windows: Windows, batch: int, channels: int, filters: int, dtype: np.dtype
) -> Gathering | Filtering:
    """Choose the faster way, from shapes alone. It has no state, so it serves many calls."""
    if Filtering.pays(windows, batch, channels, filters, dtype):
        return Filtering(windows, channels, filters, dtype)
    return Gathering(windows, batch, channels, filters, dtype)


def _output_tasks(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    windows: Windows,
    out: np.ndarray,
    finish: Callable[[np.ndarray], object] | None = None,
) -> list[Task]:
    """Return the pieces of work that compute the outputs."""
    method = _method(windows, len(x), *kernel.shape[-2:], x.dtype)
    prepared = method.prepare(kernel)

    def task(block: Block) -> None:
        result = out[block.outputs]
        method.forward(x[block.inputs], prepared, block.windows, bias, result)
        if finish is not None:
            finish(result)

    work = _work(kernel, out)
    cut = blocks(windows, len(x), x.shape[1:-1], method.scratch_size, work)
    return [functools.partial(task, block) for block in cut]


def _kernel_tasks(
    dy: np.ndarray,
    x: np.ndarray,
    dkernel: np.ndarray,
    dbias: np.ndarray | None,
    windows: Windows,
) -> tuple[list[Task], Task]:
    """Return the pieces of work that sum the gradient of the kernel (and of the bias).

    Each piece adds some blocks, always the same, to a sum of its own; what is to be done last adds
    these up. So the result does not depend on the number of threads.
    """
    method = _method(windows, len(x), *dkernel.shape[-2:], x.dtype)
    work = _work(dkernel, dy)
    cut = blocks(windows, len(x), x.shape[1:-1], method.scratch_size, work)
    shape = method.prepared_shape
    size = math.prod(shape)
    count = max(1, min(len(cut), _SUMS, max(2, _SUM_ENTRIES // size)))
    filters = 0 if dbias is None else dbias.size
    totals = scratch("kernel_totals", (count, size + filters), dy.dtype)

    def task(number: int) -> None:
        kernel_total, bias_total = totals[number, :size].reshape(shape), totals[number, size:]
        if number >= len(cut):  # no samples at all
            totals[number] = 0
        for block in cut[number::count]:
            add = block is not cut[number]
            part, inputs = dy[block.outputs], x[block.inputs]
            method.kernel_gradient(part, inputs, block.windows, kernel_total, add)
            if dbias is not None:
                sums = sum_places(part)
                np.copyto(bias_total, bias_total + sums if add else sums)

    def add_up() -> None:
        total, *others = totals
        for other in others:
            np.add(total, other, out=total)
        method.finish_gradient(total[:size].reshape(shape), dkernel)
        if dbias is not None:
            dbias[...] = total[size:]

    return [functools.partial(task, number) for number in range(count)], add_up


def _input_tasks(
    dy: np.ndarray, kernel: np.ndarray, dx: np.ndarray, windows: Windows
) -> list[Task]:
    """Return the pieces of work that compute the gradient of the input.

    Where the window moves one by one, this is a convolution of `dy` with the kernel turned around,
    unless that has much more to do, as each input counts there and not each place. Otherwise what
    each place gives is added to what lay under the window there.
    """
    turned = windows.turned(dx.shape[1:-1])
    rows, filters = dy.size // dy.shape[-1], dy.shape[-1]
    few = rows < 2 * filters  # turning the kernel around would take longest
    if turned and not few and math.prod(turned.places) <= 1.5 * math.prod(windows.places):
        axes = tuple(range(kernel.ndim - 2))
        return _output_tasks(dy, np.flip(kernel, axes).swapaxes(-1, -2), None, turned, dx)
    count = 8 if _work(kernel, dy) >= MUCH_WORK and rows >= 8 * FEW_PLACES else 1
    step = max(1, -(-len(dx) // count))
    parts = [slice(n, n + step) for n in range(0, len(dx), step)]
    return [functools.partial(scatter, dy[n], kernel, windows, dx[n]) for n in parts]
