"""Long short-term memory over a whole sequence (Hochreiter and Schmidhuber 1997).

At each step, with the gates i, f, g (Keras' c) and o, each ``squash(x @ kernel + h @ recurrent)``::

    c = f * c + i * g
    h = o * squash(c)

A step has one product: `h`, `x` and a one for the bias lie in one piece of memory, and so do the
kernels. To compute the share of `x` for all steps beforehand would leave a smaller product in the
loop, but takes two more passes over all gates; it is slower, the more so the smaller the layer.
The backward pass likewise finds the gradients of `h` and `x` by one product a step, and those of
all weights by one product after the loop.

See `minikeras.ops.recurrent` for the layout. The gates are o, i, f, g here: the first three share
an activation, and the gradients of the last three go through `c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minikeras.ops.blas import matmuls
from minikeras.ops.recurrent import (
    SIGMOID,
    TANH,
    Empty,
    Mask,
    Squash,
    gates_first,
    rolled,
    rows_of,
)

GATES, ROLL = 4, 1


class Weights(NamedTuple):
    """The weights of an LSTM, with the gates in Keras' order i, f, g, o.

    Attributes
    ----------
    kernel : ndarray, shape (features, 4 * units)
    recurrent_kernel : ndarray, shape (units, 4 * units)
    bias : ndarray, shape (4 * units,), or None
    """

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    bias: np.ndarray | None

    def parts(self) -> list[tuple[slice, np.ndarray]]:
        """Return which inputs of a step each weight is for, and the weight by gates."""
        features, units = len(self.kernel), len(self.recurrent_kernel)
        parts = [
            (slice(0, units), self.recurrent_kernel),
            (slice(units, units + features), self.kernel),
        ]
        if self.bias is not None:
            parts.append((slice(units + features, None), self.bias.reshape(1, -1)))
        return [(rows, weight.reshape(len(weight), GATES, units)) for rows, weight in parts]


class Trace(NamedTuple):
    """What the backward pass needs of the forward pass.

    Attributes
    ----------
    inputs : ndarray, shape (steps + 1, units + features + 1, batch)
        What each step is given: `h`, `x` and a one. The last `h` is the final state.
    gates : ndarray, shape (steps, 4, units, batch)
    c : ndarray, shape (steps + 1, units, batch)
        The other state, from the initial one on.
    squashed : ndarray, shape (steps, units, batch)
        The activation of `c` after each step.
    """

    inputs: np.ndarray
    gates: np.ndarray
    c: np.ndarray
    squashed: np.ndarray

    @property
    def h(self) -> np.ndarray:
        """The state `h`, from the initial one on: ``(steps + 1, units, batch)``."""
        return self.inputs[:, : self.c.shape[1]]


def lstm(
    x: np.ndarray,
    weights: Weights,
    h: np.ndarray,
    c: np.ndarray,
    activation: Squash,
    recurrent_activation: Squash,
    mask: Mask | None,
    dropout: np.ndarray | None,
    empty: Empty,
) -> Trace:
    """Run through all steps.

    Parameters
    ----------
    x : ndarray, shape (steps, batch, features)
    weights : Weights
    h, c : ndarray, shape (batch, units)
        Initial states.
    activation, recurrent_activation : Squash
    mask : Mask, optional
    dropout : ndarray, shape (1 or 4, units + features + 1, batch), optional
        Factors of what each step is given; see `dropout_pattern`.
    empty : callable
        Where memory comes from.

    Returns
    -------
    Trace
    """
    steps, batch, features = x.shape
    units, dtype = len(weights.recurrent_kernel), weights.kernel.dtype
    inputs = empty((steps + 1, units + features + 1, batch), dtype)
    inputs[:, -1] = 1
    inputs[:-1, units:-1] = x.swapaxes(1, 2)
    gates = empty((steps, GATES, units, batch), dtype)
    cs = empty((steps + 1, units, batch), dtype)
    squashed = empty((steps, units, batch), dtype)
    inputs[0, :units], cs[0] = h.T, c.T
    trace = Trace(inputs, gates, cs, squashed)
    kernels = _forward_kernels(weights, recurrent_activation, empty)
    product = _product(kernels, dropout, batch, empty)
    term = empty((units, batch), dtype)
    whole = recurrent_activation is SIGMOID and activation is TANH
    squash_gates, squash = recurrent_activation.apply, activation.apply
    hs = trace.h
    loop = zip(inputs[:-1], gates, hs, hs[1:], cs, cs[1:], squashed, strict=False)
    for t, (given, z, old_h, new_h, old_c, new_c, y) in enumerate(loop):
        if mask is not None and mask.none[t]:
            z[...], y[...], new_h[...], new_c[...] = 0, 0, old_h, old_c
            continue
        product(given, z)
        if whole:  # sigmoid is half of tanh: one call for all four
            np.tanh(z, out=z)
            first = z[:3]
            np.multiply(first, 0.5, out=first)
            np.add(first, 0.5, out=first)
        else:
            squash_gates(z[:3], z[:3])
            squash(z[3], z[3])
        o, i, f, g = z
        np.multiply(f, old_c, out=new_c)
        np.multiply(i, g, out=term)
        np.add(new_c, term, out=new_c)
        squash(new_c, y)
        np.multiply(o, y, out=new_h)
        if mask is not None and mask.some[t]:
            np.copyto(new_h, old_h, where=mask.masked[t])
            np.copyto(new_c, old_c, where=mask.masked[t])
    return trace


def _forward_kernels(weights: Weights, recurrent_activation: Squash, empty: Empty) -> np.ndarray:
    """Return the kernels ``(4, units + features + 1, units)`` of the time loop.

    What the gates' activation does first, to scale and to shift, is done to the weights.
    """
    features, units = len(weights.kernel), len(weights.recurrent_kernel)
    kernels = empty((GATES, units + features + 1, units), weights.kernel.dtype)
    if weights.bias is None:
        kernels[:, -1] = 0
    for rows, weight in weights.parts():
        by_gate = weight.swapaxes(0, 1)
        for inside, keras in rolled(GATES, ROLL):
            np.copyto(kernels[inside, rows], by_gate[keras])
    kernels[:3] *= kernels.dtype.type(recurrent_activation.scale)
    kernels[:3, -1] += kernels.dtype.type(recurrent_activation.offset)
    return kernels


def _product(
    kernels: np.ndarray, dropout: np.ndarray | None, batch: int, empty: Empty
) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return the function that computes all gates of a step from what it is given."""
    turned = kernels.swapaxes(1, 2)

    def of_all(given: np.ndarray, z: np.ndarray) -> None:
        np.matmul(turned, given, out=z)

    def one_by_one(given: np.ndarray, z: np.ndarray) -> None:
        matmuls([(turned[k], given, z[k]) for k in range(GATES)])

    if dropout is not None:
        dropped = empty((len(dropout), kernels.shape[1], batch), kernels.dtype)
        return lambda given, z: of_all(np.multiply(dropout, given, out=dropped), z)
    return one_by_one if kernels.size * batch > _LARGE else of_all


# From how many multiplications in a step on a second thread is worth waking up.
_LARGE = 32_000_000


def dropout_pattern(
    inputs: list[np.ndarray] | None,
    states: list[np.ndarray] | None,
    features: int,
    units: int,
    empty: Empty,
) -> np.ndarray | None:
    """Put patterns of dropout together as `lstm` takes them.

    Parameters
    ----------
    inputs : list of ndarray, shape (batch, features), optional
        Factors of the input: one pattern, or one for each gate in Keras' order.
    states : list of ndarray, shape (batch, units), optional
        Factors of `h`, as many.
    features, units : int
    empty : callable

    Returns
    -------
    ndarray, shape (1 or 4, units + features + 1, batch), or None if there is no dropout
    """
    patterns = inputs or states
    if not patterns:
        return None
    count, batch = len(patterns), len(patterns[0])
    found = empty((count, units + features + 1, batch), patterns[0].dtype)
    found.fill(1)
    for part, given in ((found[:, :units], states), (found[:, units:-1], inputs)):
        for k, pattern in enumerate(given or ()):
            part[(k + ROLL) % count] = pattern.T
    return found


def lstm_backward(
    dy: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    trace: Trace,
    weights: Weights,
    activation: Squash,
    recurrent_activation: Squash,
    mask: Mask | None,
    dropout: np.ndarray | None,
    needs_input_gradient: bool,
    empty: Empty,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run back through all steps.

    Parameters
    ----------
    dy : ndarray, shape (n, batch, units)
        Gradients of the last `n` outputs.
    dh, dc : ndarray, shape (units, batch)
        Gradients of the final states; overwritten by those of the initial ones.
    trace : Trace
        Used up.
    weights, activation, recurrent_activation, mask, dropout, empty
        As for `lstm`.
    needs_input_gradient : bool

    Returns
    -------
    dz : ndarray, shape (steps, 4, units, batch)
        The gradient of the gates before their activations, for `lstm_gradients`.
    dx : ndarray, shape (steps, batch, features), or None if it is not needed
    """
    gates = trace.gates
    steps, _, units, batch = gates.shape
    dz = empty(gates.shape, gates.dtype)
    from_h = empty(trace.squashed.shape, gates.dtype)
    _slopes(trace, activation, recurrent_activation, dz, from_h)
    if mask is not None:
        _stop_masked(dz, from_h, gates[:, 2], mask)
    term = empty((units, batch), gates.dtype)
    past = empty((units, batch), gates.dtype) if mask is not None else term
    given = units + len(weights.kernel) if needs_input_gradient else units
    dinputs = empty((steps, given, batch), gates.dtype)
    product = _product_backward(weights, given, batch, dropout, empty)
    initial_dh, first = dh, steps - len(dy)
    for t in range(steps - 1, -1, -1):
        if t >= first:
            np.add(dh, dy[t - first].T, out=dh)
        dinput = dinputs[t]
        if mask is not None and mask.none[t]:
            dinput[units:] = 0
            continue
        slopes = dz[t]
        np.multiply(dh, from_h[t], out=term)
        np.add(dc, term, out=dc)
        through_c = slopes[1:]
        np.multiply(through_c, dc, out=through_c)
        np.multiply(slopes[0], dh, out=slopes[0])
        np.multiply(dc, gates[t, 2], out=dc)
        masked = mask is not None and mask.some[t]
        if masked:
            np.multiply(dh, mask.masked[t], out=past)  # type: ignore[union-attr]
        product(slopes, dinput)
        dh = dinput[:units]
        if masked:
            np.add(dh, past, out=dh)
    if dh is not initial_dh:
        np.copyto(initial_dh, dh)
    return dz, dinputs[:, units:].swapaxes(1, 2) if needs_input_gradient else None


def _product_backward(
    weights: Weights, given: int, batch: int, dropout: np.ndarray | None, empty: Empty
) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return the function that computes the gradient of what a step is given from its `dz`.

    Parameters
    ----------
    given : int
        For how much of it: `h` alone, or `h` and `x`.
    """
    units, dtype = len(weights.recurrent_kernel), weights.kernel.dtype
    columns = empty((given, GATES, units), dtype)
    for rows, weight in weights.parts()[:2]:
        if rows.start < given:
            for inside, keras in rolled(GATES, ROLL):
                np.copyto(columns[rows, inside], weight[:, keras])
    matrix = columns.reshape(given, GATES * units)

    def of_all(dz: np.ndarray, out: np.ndarray) -> None:
        np.matmul(matrix, dz.reshape(GATES * units, batch), out=out)

    def in_blocks(dz: np.ndarray, out: np.ndarray) -> None:
        matmuls([(matrix, dz.reshape(GATES * units, batch), out)])

    if dropout is None:
        return in_blocks if matrix.size * batch > _LARGE else of_all
    if len(dropout) == 1:

        def dropped(dz: np.ndarray, out: np.ndarray) -> None:
            of_all(dz, out)
            np.multiply(out, dropout[0, :given], out=out)

        return dropped
    by_gate = columns.swapaxes(0, 1)
    products = empty((GATES, given, batch), dtype)

    def each_dropped(dz: np.ndarray, out: np.ndarray) -> None:
        np.matmul(by_gate, dz, out=products)
        np.multiply(products, dropout[:, :given], out=products)
        np.add.reduce(products, axis=0, out=out)

    return each_dropped


def lstm_gradients(
    dz: np.ndarray, trace: Trace, dropout: np.ndarray | None, empty: Empty
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of kernel, recurrent kernel and bias, by one product for all steps.

    Parameters
    ----------
    dz : ndarray, shape (steps, 4, units, batch)
        What `lstm_backward` returned.
    trace : Trace
    dropout, empty
        As for `lstm`.
    """
    steps, _, units, batch = dz.shape
    rows = len(trace.inputs[0])
    matrix = rows_of(steps * batch, GATES * units, dz.dtype, empty)
    target = gates_first(matrix.reshape(steps, batch, -1), GATES)
    for inside, keras in rolled(GATES, ROLL):
        np.copyto(target[:, keras], dz[:, inside])
    found = empty((rows, GATES * units), dz.dtype)
    inputs = rows_of(steps * batch, rows, dz.dtype, empty)
    by_steps = inputs.reshape(steps, batch, rows).swapaxes(1, 2)
    if dropout is None:
        np.copyto(by_steps, trace.inputs[:-1])
        matmuls([(inputs.T, matrix, found)])
    else:
        width = GATES * units // len(dropout)
        for k in range(len(dropout)):
            columns = slice(k * width, (k + 1) * width)
            pattern = dropout[(k + ROLL) % len(dropout)]
            np.multiply(trace.inputs[:-1], pattern, out=by_steps)
            matmuls([(inputs.T, matrix[:, columns], found[:, columns])])
    return found[units:-1], found[:units], found[-1]


def _slopes(
    trace: Trace,
    activation: Squash,
    recurrent_activation: Squash,
    dz: np.ndarray,
    from_h: np.ndarray,
) -> None:
    """Compute for all steps what the loop multiplies gradients by.

    ``dz[:, 0]`` are the factors of `dh`, the rest of `dz` those of `dc`, and `from_h` is what `dh`
    adds to `dc`.
    """
    _, gates, c, squashed = trace
    recurrent_activation.slope(gates[:, :3], dz[:, :3])
    activation.slope(gates[:, 3], dz[:, 3])
    dz[:, 0] *= squashed
    dz[:, 1] *= gates[:, 3]
    dz[:, 2] *= c[:-1]
    dz[:, 3] *= gates[:, 1]
    activation.slope(squashed, from_h)
    from_h *= gates[:, 0]


def _stop_masked(dz: np.ndarray, from_h: np.ndarray, forget: np.ndarray, mask: Mask) -> None:
    """Let the gradients of masked samples pass each step as they are."""
    np.copyto(dz, 0, where=mask.masked[:, np.newaxis])
    np.copyto(from_h, 0, where=mask.masked)
    np.copyto(forget, 1, where=mask.masked)
