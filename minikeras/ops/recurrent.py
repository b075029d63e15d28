"""What the recurrent ops share: the products outside of the time loop, and gate functions.

A recurrent layer needs one small product for each time step; what does not depend on the state can
be done for the whole sequence at once. For SimpleRNN and GRU the input is projected before the
loop (an LSTM has a way of its own); the weights' gradients are single products after it.

Inside the loop arrays are laid out ``(steps, gates, units, batch)``: what belongs to one gate at
one step is one piece of memory, and neighbouring gates are, too. NumPy works through a piece in
one go, and 1.5 times faster than through rows of ``gates * units``. The order of the gates is
Keras', rolled by `roll` places, so that those which are treated alike are neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minikeras.ops.blas import batched_matmul

Empty = Callable[..., np.ndarray]

# Rows of a multiple of so many bytes get some more room than they need: the entries of a column
# would all fall into the same few places of the cache.
_CRITICAL = 512
_PAD = 16


class Squash(NamedTuple):
    """A gate's activation function, cut into what can be done outside of the time loop and inside.

    Attributes
    ----------
    scale, offset : float
        ``a = scale * z + offset`` is done for the whole sequence at once.
    apply : callable
        ``apply(a, out)`` gives the value `y` from `a`.
    slope : callable
        ``slope(y, out)`` gives the derivative by `z`.
    """

    scale: float
    offset: float
    apply: Callable[[np.ndarray, np.ndarray], Any]
    slope: Callable[[np.ndarray, np.ndarray], Any]

    def prepare(self, z: np.ndarray) -> None:
        """Turn `z` into `a`, in place."""
        if self.scale != 1:
            np.multiply(z, self.scale, out=z)
        if self.offset != 0:
            np.add(z, self.offset, out=z)


def _half_tanh(a: np.ndarray, out: np.ndarray) -> None:
    """``sigmoid(2 * a) = tanh(a) / 2 + 1 / 2``: cheaper than by the exponential function."""
    np.tanh(a, out=out)
    np.multiply(out, 0.5, out=out)
    np.add(out, 0.5, out=out)


def _sigmoid_slope(y: np.ndarray, out: np.ndarray) -> None:
    np.multiply(y, y, out=out)
    np.subtract(y, out, out=out)


def _tanh_slope(y: np.ndarray, out: np.ndarray) -> None:
    np.multiply(y, y, out=out)
    np.subtract(1.0, out, out=out)


def _clip(a: np.ndarray, out: np.ndarray) -> None:
    a.clip(0.0, 1.0, out=out)


def _hard_sigmoid_slope(y: np.ndarray, out: np.ndarray) -> None:
    _sigmoid_slope(y, out)  # positive between 0 and 1, and else 0
    np.ceil(out, out=out)
    np.multiply(out, 0.2, out=out)


def _rectify(a: np.ndarray, out: np.ndarray) -> None:
    a.clip(0.0, np.inf, out=out)


def _relu_slope(y: np.ndarray, out: np.ndarray) -> None:
    np.sign(y, out=out)


def _keep(a: np.ndarray, out: np.ndarray) -> None:
    if a is not out:
        np.copyto(out, a)


def _linear_slope(y: np.ndarray, out: np.ndarray) -> None:
    out.fill(1)


SIGMOID = Squash(0.5, 0.0, _half_tanh, _sigmoid_slope)
HARD_SIGMOID = Squash(0.2, 0.5, _clip, _hard_sigmoid_slope)
TANH = Squash(1.0, 0.0, np.tanh, _tanh_slope)
RELU = Squash(1.0, 0.0, _rectify, _relu_slope)
LINEAR = Squash(1.0, 0.0, _keep, _linear_slope)


class Rows:
    """A sequence as a matrix with one row for each step of each sample, for weights' gradients.

    The rows go by sample or by step, whichever leaves the memory as it is.

    Parameters
    ----------
    x : ndarray, shape (steps, batch, features)
        A view with any strides.
    empty : callable
        Where memory comes from if it has to be copied.
    dropout : ndarray, shape (batch, features), optional
        Factors, the same at each step.
    """

    def __init__(self, x: np.ndarray, empty: Empty, dropout: np.ndarray | None = None) -> None:
        by_sample = x.swapaxes(0, 1)
        self.by_sample = by_sample.flags.c_contiguous
        source = by_sample if self.by_sample else x
        if dropout is not None:
            factors = dropout[:, np.newaxis] if self.by_sample else dropout
            source = np.multiply(source, factors, out=empty(source.shape, x.dtype))
        elif not source.flags.c_contiguous:
            target = empty(source.shape, x.dtype)
            np.copyto(target, source)
            source = target
        self.shape = source.shape[:2]
        self.matrix = source.reshape(-1, source.shape[2])

    def empty(self, columns: int, dtype: Any, empty: Empty) -> tuple[np.ndarray, np.ndarray]:
        """Return memory for other columns of these rows, as a matrix and by steps.

        Returns
        -------
        matrix : ndarray, shape (steps * batch, columns)
        by_steps : ndarray, shape (steps, batch, columns)
            The same memory.
        """
        matrix = rows_of(len(self.matrix), columns, dtype, empty)
        return matrix, self.by_steps(matrix)

    def by_steps(self, matrix: np.ndarray) -> np.ndarray:
        """Return a matrix with these rows as ``(steps, batch, columns)``."""
        cube = matrix.reshape(*self.shape, matrix.shape[1])
        return cube.swapaxes(0, 1) if self.by_sample else cube


def rows_of(count: int, columns: int, dtype: Any, empty: Empty) -> np.ndarray:
    """Return memory for a matrix with a little room after each row."""
    pad = 0 if columns * np.dtype(dtype).itemsize % _CRITICAL else _PAD
    return empty((count, columns + pad), dtype)[:, :columns]


def gates_first(by_steps: np.ndarray, gates: int) -> np.ndarray:
    """View ``(steps, batch, gates * units)`` as ``(steps, gates, units, batch)``."""
    steps, batch, columns = by_steps.shape
    return by_steps.reshape(steps, batch, gates, columns // gates).transpose(0, 2, 3, 1)


def project(
    x: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray | None,
    gates: int,
    roll: int,
    empty: Empty,
    dropout: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Compute ``x @ kernel + bias`` for all steps, laid out for the time loop.

    Parameters
    ----------
    x : ndarray, shape (steps, batch, features)
        A view with any strides.
    kernel : ndarray, shape (features, gates * units)
    bias : ndarray, shape (gates * units,), optional
    gates, roll : int
        How many gates there are, and by how many places they are rolled.
    empty : callable
        Where memory comes from.
    dropout : list of ndarray, shape (batch, features), optional
        Factors of the input: one pattern, or one for each gate in Keras' order.

    Returns
    -------
    ndarray, shape (steps, gates, units, batch)
    """
    steps, batch, features = x.shape
    kernels = gate_kernels(kernel, gates, roll, empty).swapaxes(1, 2)
    z = empty((steps, gates, kernels.shape[1], batch), kernel.dtype)
    by_feature = x.swapaxes(1, 2)[:, np.newaxis]
    if dropout is None:
        batched_matmul(kernels, by_feature, z)
    else:
        dropped = empty((steps, 1, features, batch), kernel.dtype)
        for k, pattern in enumerate(dropout):
            place = (k + roll) % gates
            gate = slice(None) if len(dropout) == 1 else slice(place, place + 1)
            np.multiply(by_feature, pattern.T, out=dropped)
            batched_matmul(kernels[gate], dropped, z[:, gate])
    if bias is not None:
        for inside, keras in rolled(gates, roll):
            z[:, inside] += bias.reshape(gates, -1, 1)[keras]
    return z


def unproject(dz: np.ndarray, rows: Rows, roll: int, empty: Empty) -> np.ndarray:
    """Lay the gradient of what `project` returned out as a matrix with one row for each of `rows`.

    Parameters
    ----------
    dz : ndarray, shape (steps, gates, units, batch)

    Returns
    -------
    ndarray, shape (steps * batch, gates * units)
        With the gates in Keras' order.
    """
    gates, units = dz.shape[1:3]
    matrix, by_steps = rows.empty(gates * units, dz.dtype, empty)
    target = gates_first(by_steps, gates)
    for inside, keras in rolled(gates, roll):
        np.copyto(target[:, keras], dz[:, inside])
    return matrix


def kernel_gradient(xs: list[np.ndarray], matrix: np.ndarray, out: np.ndarray) -> list[Any]:
    """Return the products that compute ``x.T @ dz``, for `matmuls`.

    Parameters
    ----------
    xs : list of ndarray, shape (steps * batch, features)
        What went into the product: once, or once for each gate.
    matrix : ndarray, shape (steps * batch, gates * units)
        See `unproject`.
    out : ndarray, shape (features, gates * units)
    """
    return [(x.T, matrix[:, c], out[:, c]) for x, c in _columns(xs, matrix.shape[1])]


def hidden_rows(
    h: np.ndarray, rows: Rows, dropout: list[np.ndarray] | None, empty: Empty
) -> list[np.ndarray]:
    """Lay states out as matrices with one row for each of `rows`, for `kernel_gradient`.

    Parameters
    ----------
    h : ndarray, shape (steps, units, batch)
        What the steps started from.
    dropout : list of ndarray, shape (batch, units), optional
        One pattern, or one for each gate in Keras' order.

    Returns
    -------
    list of ndarray, shape (steps * batch, units)
        One, or one for each pattern of dropout.
    """
    found = []
    patterns: list[np.ndarray | None] = [None] if dropout is None else [*dropout]
    for factors in patterns:
        matrix, by_steps = rows.empty(h.shape[1], h.dtype, empty)
        if factors is None:
            np.copyto(by_steps, h.swapaxes(1, 2))
        else:
            np.multiply(h.swapaxes(1, 2), factors, out=by_steps)
        found.append(matrix)
    return found


def input_gradient(
    dz: np.ndarray,
    kernel: np.ndarray,
    roll: int,
    empty: Empty,
    dropout: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Compute the gradient of what `project` got.

    Parameters
    ----------
    dz : ndarray, shape (steps, gates, units, batch)
    kernel, roll, empty, dropout
        As for `project`.

    Returns
    -------
    ndarray, shape (steps, batch, features)
    """
    steps, gates, units, batch = dz.shape
    features = len(kernel)
    dx = empty((steps, features, batch), dz.dtype)
    if dropout is None or len(dropout) == 1:
        columns = rolled_columns(kernel, gates, roll, empty)
        batched_matmul(columns, dz.reshape(steps, gates * units, batch), dx)
        if dropout is not None:
            np.multiply(dx, dropout[0].T, out=dx)
        return dx.swapaxes(1, 2)
    one = empty(dx.shape, dz.dtype)
    dx.fill(0)
    for k, pattern in enumerate(dropout):
        batched_matmul(_by_gate(kernel, gates)[:, k], dz[:, (k + roll) % gates], one)
        np.multiply(one, pattern.T, out=one)
        np.add(dx, one, out=dx)
    return dx.swapaxes(1, 2)


def rolled_columns(kernel: np.ndarray, gates: int, roll: int, empty: Empty) -> np.ndarray:
    """Return the kernel ``(inputs, gates * units)`` with the gates in the time loop's order."""
    columns = empty(kernel.shape, kernel.dtype)
    for inside, keras in rolled(gates, roll):
        _by_gate(columns, gates)[:, inside] = _by_gate(kernel, gates)[:, keras]
    return columns


def _by_gate(kernel: np.ndarray, gates: int) -> np.ndarray:
    return kernel.reshape(len(kernel), gates, -1)


def features_first(
    dropout: list[np.ndarray] | None, gates: int, roll: int, empty: Empty
) -> np.ndarray | None:
    """Return patterns of dropout ``(batch, units)`` as the time loop takes them.

    Returns
    -------
    ndarray, shape (1 or gates, units, batch), or None if there is no dropout
    """
    if dropout is None:
        return None
    batch, units = dropout[0].shape
    found = empty((len(dropout), units, batch), dropout[0].dtype)
    for k, pattern in enumerate(dropout):
        found[(k + roll) % gates if len(dropout) > 1 else 0] = pattern.T
    return found


def rolled(gates: int, roll: int) -> list[tuple[slice, slice]]:
    """Return which gates inside are which of Keras' order, as pairs of slices."""
    if roll == 0:
        return [(slice(None), slice(None))]
    return [
        (slice(roll, None), slice(0, gates - roll)),
        (slice(0, roll), slice(gates - roll, None)),
    ]


def gate_kernels(kernel: np.ndarray, gates: int, roll: int, empty: Empty) -> np.ndarray:
    """Return the kernel ``(inputs, gates * units)`` as one matrix for each gate.

    Returns
    -------
    ndarray, shape (gates, inputs, units)
        In the order of the time loop; each a kernel to be used as ``kernel.T @ x``.
    """
    found = kernel.reshape(len(kernel), gates, -1).swapaxes(0, 1)
    each = empty(found.shape, kernel.dtype)
    for inside, keras in rolled(gates, roll):
        np.copyto(each[inside], found[keras])
    return each


def _columns(parts: list[Any], columns: int) -> list[tuple[Any, slice]]:
    """Deal equal pieces of the columns out to `parts`."""
    width = columns // len(parts)
    return [(part, slice(k * width, (k + 1) * width)) for k, part in enumerate(parts)]


class Mask:
    """Which samples take part in each step.

    Parameters
    ----------
    mask : ndarray of bool, shape (steps, batch)

    Attributes
    ----------
    some, none : list of bool
        For each step, whether samples are masked, and whether all are.
    masked : ndarray of bool, shape (steps, 1, batch)
    """

    def __init__(self, mask: np.ndarray) -> None:
        self.masked = np.logical_not(mask)[:, np.newaxis]
        self.some: list[bool] = self.masked.any(axis=(1, 2)).tolist()
        self.none: list[bool] = self.masked.all(axis=(1, 2)).tolist()
