"""Gated recurrent units over a whole sequence (Cho et al. 2014).

At each step, with the gates z and r, each ``squash(x @ kernel + h @ recurrent)``, and the candidate
g (Keras' h), which sees the old state by way of the reset gate r::

    g = squash(x @ kernel + (r * h) @ recurrent)             before the product: the first form
    g = squash(x @ kernel + r * (h @ recurrent + bias))      after it: cuDNN's form
    h = z * h + (1 - z) * g

See `minikeras.ops.recurrent` for the layout. The gates are g, z, r here: the last two share an
activation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minikeras.ops.recurrent import Empty, Mask, Squash, gate_kernels

GATES, ROLL = 3, 1


class Trace(NamedTuple):
    """What the backward pass needs of the forward pass.

    Attributes
    ----------
    gates : ndarray, shape (steps, 3, units, batch)
    h : ndarray, shape (steps + 1, units, batch)
        The states, from the initial one on.
    inner : ndarray, shape (steps, units, batch)
        With the reset before the product, what goes into it, ``r * h``; with the reset after it,
        what comes out of it, ``h @ recurrent + bias``.
    """

    gates: np.ndarray
    h: np.ndarray
    inner: np.ndarray


def gru(
    z: np.ndarray,
    recurrent_kernel: np.ndarray,
    bias: np.ndarray | float,
    h: np.ndarray,
    activation: Squash,
    recurrent_activation: Squash,
    reset_after: bool,
    mask: Mask | None,
    dropout: np.ndarray | None,
    empty: Empty,
) -> Trace:
    """Run through all steps.

    Parameters
    ----------
    z : ndarray, shape (steps, 3, units, batch)
        The projected input, to be overwritten by the gates.
    recurrent_kernel : ndarray, shape (units, 3 * units)
    bias : ndarray, shape (units, 1), or 0
        What is added to the candidate's product if the reset comes after that.
    h : ndarray, shape (batch, units)
        Initial state.
    activation, recurrent_activation : Squash
    reset_after : bool
    mask : Mask, optional
    dropout : ndarray, shape (1 or 3, units, batch), optional
        Factors of `h`, the same at each step: one pattern wherever the old state is used, or one
        on the way into each gate.
    empty : callable

    Returns
    -------
    Trace
    """
    steps, _, units, batch = z.shape
    trace = Trace(
        z, empty((steps + 1, units, batch), z.dtype), empty((steps, units, batch), z.dtype)
    )
    trace.h[0] = h.T
    kernels = gate_kernels(recurrent_kernel, GATES, ROLL, empty)
    np.multiply(kernels[1:], recurrent_activation.scale, out=kernels[1:])
    recurrent_activation.prepare(z[:, 1:])
    weights = kernels.swapaxes(1, 2)
    product = empty((GATES if reset_after else 2, units, batch), z.dtype)
    term = empty((units, batch), z.dtype)
    by_gate = dropout is not None and len(dropout) > 1
    if dropout is not None and not by_gate:
        dropout = dropout[0]
    dropped = empty((0,) if dropout is None else dropout.shape, z.dtype)
    squash_gates, squash = recurrent_activation.apply, activation.apply
    sequence = zip(z, trace.h, trace.h[1:], trace.inner, strict=False)
    for t, (gates, old, new, inner) in enumerate(sequence):
        if mask is not None and mask.none[t]:
            gates[...], inner[...], new[...] = 0, 0, old
            continue
        state = old if dropout is None else np.multiply(dropout, old, out=dropped)
        seen, mixed = (state[0], old) if by_gate else (state, state)
        candidate, update, reset = gates
        both = gates[1:]
        if reset_after:
            np.matmul(weights, state, out=product)
            np.add(both, product[1:], out=both)
            squash_gates(both, both)
            np.add(product[0], bias, out=inner)
            np.multiply(reset, inner, out=term)
        else:
            np.matmul(weights[1:], state[1:] if by_gate else state, out=product)
            np.add(both, product, out=both)
            squash_gates(both, both)
            np.multiply(reset, seen, out=inner)
            np.matmul(weights[0], inner, out=term)
        np.add(candidate, term, out=candidate)
        squash(candidate, candidate)
        # z * h + (1 - z) * g = g + z * (h - g)
        np.subtract(mixed, candidate, out=new)
        np.multiply(new, update, out=new)
        np.add(new, candidate, out=new)
        if mask is not None and mask.some[t]:
            np.copyto(new, old, where=mask.masked[t])
    return trace


def gru_backward(
    dy: np.ndarray,
    dh: np.ndarray,
    trace: Trace,
    recurrent_kernel: np.ndarray,
    activation: Squash,
    recurrent_activation: Squash,
    reset_after: bool,
    mask: Mask | None,
    dropout: np.ndarray | None,
    empty: Empty,
) -> tuple[np.ndarray, np.ndarray]:
    """Run back through all steps.

    Parameters
    ----------
    dy : ndarray, shape (n, batch, units)
        Gradients of the last `n` outputs.
    dh : ndarray, shape (units, batch)
        Gradient of the final state; overwritten by that of the initial one.
    trace : Trace

    Returns
    -------
    dz : ndarray, shape (steps, 3, units, batch)
        The gradient of the projected input.
    dproduct : ndarray, shape (steps, 3, units, batch)
        With the reset after the product of state and recurrent kernel, the gradient of that, in
        Keras' order of the gates. Else `dz`.
    """
    steps, _, units, batch = trace.gates.shape
    found = empty((steps, 4 if reset_after else 3, units, batch), dh.dtype)
    keep = _slopes(trace, activation, recurrent_activation, reset_after, dropout, found, empty)
    reset = trace.gates[:, 2]
    if mask is not None:
        np.copyto(found, 0, where=mask.masked[:, np.newaxis])
        np.copyto(keep, 1, where=mask.masked)
    kernels = gate_kernels(recurrent_kernel, GATES, 0, empty)
    if dropout is not None and len(dropout) > 1:
        dropout = np.roll(dropout, -ROLL, axis=0)
    parts = empty((4, units, batch), dh.dtype)
    by_gates, by_candidate, by_all, straight = parts[:2], parts[2], parts[:3], parts[3]
    first = steps - len(dy)
    for t in range(steps - 1, -1, -1):
        if t >= first:
            np.add(dh, dy[t - first].T, out=dh)
        if mask is not None and mask.none[t]:
            continue
        slopes = found[t]
        if reset_after:
            np.multiply(slopes, dh, out=slopes)
            np.matmul(kernels, slopes[1:], out=by_all)
        else:
            of_dh = slopes[:2]
            np.multiply(of_dh, dh, out=of_dh)
            np.matmul(kernels[2], slopes[0], out=by_candidate)
            np.multiply(slopes[2], by_candidate, out=slopes[2])
            np.multiply(reset[t], by_candidate, out=by_candidate)
            np.matmul(kernels[:2], slopes[1:], out=by_gates)
        if dropout is not None:
            np.multiply(by_all, dropout, out=by_all)
        np.multiply(dh, keep[t], out=straight)
        np.add.reduce(parts, axis=0, out=dh)
    dz = found[:, :3]
    return dz, found[:, 1:] if reset_after else dz


def _slopes(
    trace: Trace,
    activation: Squash,
    recurrent_activation: Squash,
    reset_after: bool,
    dropout: np.ndarray | None,
    found: np.ndarray,
    empty: Empty,
) -> np.ndarray:
    """Compute for all steps what the loop multiplies gradients by.

    In `found` there are the factors of the candidate, z and r; with `reset_after` also that of
    the candidate's product. All are factors of `dh`; but without `reset_after` that of r is one
    of the gradient of ``r * h``. Returned is what `dh` keeps on the straight way. The trace stays
    as it is: somebody may go back twice.
    """
    gates, h, inner = trace
    candidate, update, reset = gates[:, 0], gates[:, 1], gates[:, 2]
    seen = mixed = h[:-1]
    if dropout is not None:
        seen = np.multiply(seen, dropout[0], out=empty(inner.shape, inner.dtype))
        mixed = seen if len(dropout) == 1 else mixed
    of_candidate, of_update, of_reset = found[:, 0], found[:, 1], found[:, 2]
    activation.slope(candidate, of_candidate)
    recurrent_activation.slope(gates[:, 1:], found[:, 1:3])
    keep = empty(update.shape, update.dtype)
    of_update *= np.subtract(mixed, candidate, out=keep)
    of_candidate -= np.multiply(of_candidate, update, out=keep)
    if reset_after:
        of_reset *= inner
        of_reset *= of_candidate
        np.multiply(of_candidate, reset, out=found[:, 3])
    else:
        of_reset *= seen
    np.copyto(keep, update)
    if mixed is seen and dropout is not None:
        keep *= dropout[0]
    return keep
