"""Long short-term memory over a whole sequence (Hochreiter and Schmidhuber 1997).

At each step, with the gates i, f, g (Keras' c) and o, each ``squash(x @ kernel + h @ recurrent)``::

    c = f * c + i * g
    h = o * squash(c)

See `minikeras.ops.recurrent` for the layout. The gates are o, i, f, g here: the first three share
an activation, and the gradients of the last three go through `c`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minikeras.ops.recurrent import (
    SIGMOID,
    TANH,
    Empty,
    Mask,
    Squash,
    ThroughState,
    gate_kernels,
)

GATES, ROLL = 4, 1


class Trace(NamedTuple):
    """What the backward pass needs of the forward pass.

    Attributes
    ----------
    gates : ndarray, shape (steps, 4, units, batch)
    h, c : ndarray, shape (steps + 1, units, batch)
        The states, from the initial ones on.
    squashed : ndarray, shape (steps, units, batch)
        The activation of `c` after each step.
    """

    gates: np.ndarray
    h: np.ndarray
    c: np.ndarray
    squashed: np.ndarray


def lstm(
    z: np.ndarray,
    recurrent_kernel: np.ndarray,
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
    z : ndarray, shape (steps, 4, units, batch)
        The projected input, to be overwritten by the gates.
    recurrent_kernel : ndarray, shape (units, 4 * units)
    h, c : ndarray, shape (batch, units)
        Initial states.
    activation, recurrent_activation : Squash
    mask : Mask, optional
    dropout : ndarray, shape (1 or 4, units, batch), optional
        Factors of `h` on its way into the gates, the same at each step.
    empty : callable

    Returns
    -------
    Trace
    """
    steps, _, units, batch = z.shape
    dtype = z.dtype
    hs = empty((steps + 1, units, batch), dtype)
    cs = empty((steps + 1, units, batch), dtype)
    squashed = empty((steps, units, batch), dtype)
    hs[0], cs[0] = h.T, c.T
    kernels = gate_kernels(recurrent_kernel, GATES, ROLL, empty)
    recurrent_activation.prepare(z[:, :3])
    if recurrent_activation.scale != 1:
        kernels[:3] *= dtype.type(recurrent_activation.scale)
    weights = kernels.swapaxes(1, 2)
    product = empty((GATES, units, batch), dtype)
    dropped = product[:0] if dropout is None else empty((len(dropout), units, batch), dtype)
    term = empty((units, batch), dtype)
    whole = recurrent_activation is SIGMOID and activation is TANH
    squash_gates, squash = recurrent_activation.apply, activation.apply
    old_h, old_c = hs[0], cs[0]
    for t, (gates, new_h, new_c, y) in enumerate(zip(z, hs[1:], cs[1:], squashed, strict=True)):
        if mask is not None and mask.none[t]:
            gates[...], y[...], new_h[...], new_c[...] = 0, 0, old_h, old_c
            old_h, old_c = new_h, new_c
            continue
        inputs = old_h if dropout is None else np.multiply(dropout, old_h, out=dropped)
        np.matmul(weights, inputs, out=product)
        np.add(gates, product, out=gates)
        if whole:  # sigmoid is half of tanh: one call for all four
            np.tanh(gates, out=gates)
            first = gates[:3]
            np.multiply(first, 0.5, out=first)
            np.add(first, 0.5, out=first)
        else:
            squash_gates(gates[:3], gates[:3])
            squash(gates[3], gates[3])
        o, i, f, g = gates
        np.multiply(f, old_c, out=new_c)
        np.multiply(i, g, out=term)
        np.add(new_c, term, out=new_c)
        squash(new_c, y)
        np.multiply(o, y, out=new_h)
        if mask is not None and mask.some[t]:
            np.copyto(new_h, old_h, where=mask.masked[t])
            np.copyto(new_c, old_c, where=mask.masked[t])
        old_h, old_c = new_h, new_c
    return Trace(z, hs, cs, squashed)


def lstm_backward(
    dy: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    trace: Trace,
    recurrent_kernel: np.ndarray,
    activation: Squash,
    recurrent_activation: Squash,
    mask: Mask | None,
    dropout: np.ndarray | None,
    empty: Empty,
) -> np.ndarray:
    """Run back through all steps.

    Parameters
    ----------
    dy : ndarray, shape (n, batch, units)
        Gradients of the last `n` outputs.
    dh, dc : ndarray, shape (units, batch)
        Gradients of the final states; overwritten by those of the initial ones.
    trace : Trace
        Used up.

    Returns
    -------
    dz : ndarray, shape (steps, 4, units, batch)
        The gradient of the projected input.
    """
    gates = trace.gates
    steps, _, units, batch = gates.shape
    dz = empty(gates.shape, gates.dtype)
    from_h = empty(trace.squashed.shape, gates.dtype)
    _slopes(trace, activation, recurrent_activation, dz, from_h)
    if mask is not None:
        _stop_masked(dz, from_h, gates[:, 2], mask)
    through_state = ThroughState(recurrent_kernel, GATES, ROLL, batch, dropout, empty)
    term = empty((units, batch), gates.dtype)
    past = empty((units, batch), gates.dtype) if mask is not None else term
    first = steps - len(dy)
    for t in range(steps - 1, -1, -1):
        if t >= first:
            np.add(dh, dy[t - first].T, out=dh)
        if mask is not None and mask.none[t]:
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
        through_state(slopes, dh)
        if masked:
            np.add(dh, past, out=dh)
    return dz


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
    gates, _, c, squashed = trace
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
