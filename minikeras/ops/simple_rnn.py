"""A plain recurrent network over a whole sequence (Elman 1990).

At each step ``h = activation(x @ kernel + h @ recurrent_kernel)``. See `minikeras.ops.recurrent`
for the layout; there is one gate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from minikeras.ops.recurrent import Empty, Mask, Squash


class Trace(NamedTuple):
    """What the backward pass needs of the forward pass.

    Attributes
    ----------
    z : ndarray, shape (steps, 1, units, batch)
        Memory for its gradient.
    h : ndarray, shape (steps + 1, units, batch)
        The states, from the initial one on.
    """

    z: np.ndarray
    h: np.ndarray


def simple_rnn(
    z: np.ndarray,
    recurrent_kernel: np.ndarray,
    h: np.ndarray,
    activation: Squash,
    mask: Mask | None,
    dropout: np.ndarray | None,
    empty: Empty,
) -> Trace:
    """Run through all steps.

    Parameters
    ----------
    z : ndarray, shape (steps, 1, units, batch)
        The projected input, to be overwritten.
    recurrent_kernel : ndarray, shape (units, units)
    h : ndarray, shape (batch, units)
        Initial state.
    activation : Squash
    mask : Mask, optional
    dropout : ndarray, shape (1, units, batch), optional
        Factors of `h` on its way into the step, the same at each one.
    empty : callable

    Returns
    -------
    Trace
    """
    steps, _, units, batch = z.shape
    hs = empty((steps + 1, units, batch), z.dtype)
    hs[0] = h.T
    kernel = empty(recurrent_kernel.shape, z.dtype)
    np.multiply(recurrent_kernel, activation.scale, out=kernel)
    weights = kernel.T
    activation.prepare(z)
    product = empty((units, batch), z.dtype)
    dropped = empty((units if dropout is not None else 0, batch), z.dtype)
    squash = activation.apply
    for t, (a, old, new) in enumerate(zip(z[:, 0], hs, hs[1:], strict=False)):
        if mask is not None and mask.none[t]:
            new[...] = old
            continue
        inputs = old if dropout is None else np.multiply(dropout[0], old, out=dropped)
        np.matmul(weights, inputs, out=product)
        np.add(a, product, out=product)
        squash(product, new)
        if mask is not None and mask.some[t]:
            np.copyto(new, old, where=mask.masked[t])
    return Trace(z, hs)


def simple_rnn_backward(
    dy: np.ndarray,
    dh: np.ndarray,
    trace: Trace,
    recurrent_kernel: np.ndarray,
    activation: Squash,
    mask: Mask | None,
    dropout: np.ndarray | None,
    empty: Empty,
) -> np.ndarray:
    """Run back through all steps.

    Parameters
    ----------
    dy : ndarray, shape (n, batch, units)
        Gradients of the last `n` outputs.
    dh : ndarray, shape (units, batch)
        Gradient of the final state; overwritten by that of the initial one.
    trace : Trace
        Used up.

    Returns
    -------
    dz : ndarray, shape (steps, 1, units, batch)
        The gradient of the projected input.
    """
    dz, h = trace
    slopes = dz[:, 0]
    activation.slope(h[1:], slopes)
    if mask is not None:
        np.copyto(slopes, 0, where=mask.masked)
    past = empty(dh.shape if mask is not None else (0,), dh.dtype)
    first = len(slopes) - len(dy)
    for t in range(len(slopes) - 1, -1, -1):
        if t >= first:
            np.add(dh, dy[t - first].T, out=dh)
        if mask is not None and mask.none[t]:
            continue
        slope = slopes[t]
        np.multiply(slope, dh, out=slope)
        masked = mask is not None and mask.some[t]
        if masked:
            np.multiply(dh, mask.masked[t], out=past)  # type: ignore[union-attr]
        np.matmul(recurrent_kernel, slope, out=dh)
        if dropout is not None:
            np.multiply(dh, dropout[0], out=dh)
        if masked:
            np.add(dh, past, out=dh)
    return dz
