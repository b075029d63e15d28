"""Convolutional long short-term memory over a whole sequence (Shi et al. 2015).

As in `minikeras.ops.lstm`, with convolutions where that has matrix products::

    z = conv(x, kernel) + conv(h, recurrent_kernel) + bias
    c = f * c + i * g
    h = o * squash(c)

Maps are ``(batch, *sizes, filters)``. A convolution gives all four gates at once, side by side in
Keras' order i, f, c (g above), o. Between convolutions each gate lies in one piece of memory,
``(steps, 4, places, filters)``, in the order o, i, f, g: all samples' places are alike there, and
they are worked through some at a time, in the cache and on several threads.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minikeras.ops.convolution import conv, conv_backward
from minikeras.ops.memory import scratch
from minikeras.ops.parallel import for_blocks
from minikeras.ops.recurrent import Empty, Mask, Squash
from minikeras.ops.windows import sum_places

GATES = 4

# Entries of a map that are worked on at a time, on one thread.
_BLOCK = 1 << 14


class GateConv:
    """A convolution for all four gates, on which each may have a pattern of dropout of its own.

    Parameters
    ----------
    kernel : ndarray, shape (*window, channels, 4 * filters)
    slide : dict
        How the window moves: `strides`, `pads` and `dilation` of `minikeras.ops.convolution.conv`.
    dropout : list of ndarray, shape (batch, *sizes, channels), optional
        Factors of the input for each gate, in Keras' order.
    empty : callable
        Where memory comes from.

    Notes
    -----
    Arrays may hold several steps one after the other, ``steps * batch`` maps. The patterns of
    dropout are the same at each step.
    """

    def __init__(
        self,
        kernel: np.ndarray,
        slide: dict[str, Any],
        dropout: list[np.ndarray] | None,
        empty: Empty,
    ) -> None:
        self.kernel, self.slide, self.dropout, self.empty = kernel, slide, dropout, empty
        self._memory: dict[Any, np.ndarray] = {}
        if dropout is not None:
            each = np.moveaxis(kernel.reshape(*kernel.shape[:-1], GATES, -1), -2, 0)
            self._kernels = empty(each.shape, kernel.dtype)
            np.copyto(self._kernels, each)

    def outputs(self, x: np.ndarray, bias: np.ndarray | None, out: np.ndarray) -> None:
        """Write ``conv(x, kernel) + bias`` into `out`, ``(n, *places, 4 * filters)``."""
        if self.dropout is None:
            conv(x, self.kernel, bias, **self.slide, out=out)
            return
        for k, columns in enumerate(np.split(out, GATES, axis=-1)):
            part, own = self._reused("z", columns), None
            if bias is not None:
                own = np.split(bias, GATES)[k]
            conv(self._dropped(x, k), self._kernels[k], own, **self.slide, out=part)
            np.copyto(columns, part)

    def input_gradient(self, dz: np.ndarray, dx: np.ndarray) -> None:
        """Write the gradient of `x` into `dx`, given that of the outputs."""
        if self.dropout is None:
            conv_backward(dz, None, self.kernel, **self.slide, dx=dx)
            return
        found = self._reused("dx", dx)
        for k, columns in enumerate(np.split(dz, GATES, axis=-1)):
            part = self._reused("z", columns)
            np.copyto(part, columns)
            conv_backward(part, None, self._kernels[k], **self.slide, dx=found)
            if k == 0:
                np.copyto(dx, self._dropped(found, k))
            else:
                np.add(dx, self._dropped(found, k), out=dx)

    def kernel_gradient(
        self,
        dz: np.ndarray,
        x: np.ndarray,
        dkernel: np.ndarray | None,
        dbias: np.ndarray | None = None,
    ) -> None:
        """Write those gradients of kernel and bias for which memory is given."""
        if self.dropout is None or dkernel is None:
            slide = self.slide
            conv_backward(dz, x, self.kernel, **slide, dkernel=dkernel, dbias=dbias)
            return
        found = self._reused("dkernel", self._kernels[0])
        for k, columns in enumerate(np.split(dz, GATES, axis=-1)):
            part = self._reused("z", columns)
            np.copyto(part, columns)
            inputs = self._dropped(x, k)
            conv_backward(part, inputs, self._kernels[k], **self.slide, dkernel=found)
            np.copyto(np.split(dkernel, GATES, axis=-1)[k], found)
        if dbias is not None:
            np.copyto(dbias, sum_places(dz))

    def _dropped(self, x: np.ndarray, gate: int) -> np.ndarray:
        """Return `x` times the factors for a gate."""
        assert self.dropout is not None
        pattern, out = self.dropout[gate], self._reused("x", x)
        by_steps = (-1, *pattern.shape)
        np.multiply(x.reshape(by_steps), pattern, out=out.reshape(by_steps))
        return out

    def _reused(self, name: str, like: np.ndarray) -> np.ndarray:
        """Return memory that is kept from call to call."""
        key = (name, like.shape)
        if key not in self._memory:
            self._memory[key] = self.empty(like.shape, like.dtype)
        return self._memory[key]


class Trace(NamedTuple):
    """What the backward pass needs of the forward pass.

    Attributes
    ----------
    z : ndarray, shape (steps, batch, *sizes, 4 * filters)
        The projected input; the backward pass writes its gradient here.
    gates : ndarray, shape (steps, 4, places, filters)
    h, c : ndarray, shape (steps + 1, batch, *sizes, filters)
        The states, from the initial ones on.
    squashed : ndarray, shape (steps, batch, *sizes, filters)
        The activation of `c` after each step.
    """

    z: np.ndarray
    gates: np.ndarray
    h: np.ndarray
    c: np.ndarray
    squashed: np.ndarray


def conv_lstm(
    z: np.ndarray,
    recurrent: GateConv,
    h: np.ndarray,
    c: np.ndarray,
    squash: Squash,
    recurrent_squash: Squash,
    mask: Mask | None,
    empty: Empty,
) -> Trace:
    """Run through all steps.

    Parameters
    ----------
    z : ndarray, shape (steps, batch, *sizes, 4 * filters)
        The projected input.
    recurrent : GateConv
        That of `h`.
    h, c : ndarray, shape (batch, *sizes, filters)
        Initial states.
    squash, recurrent_squash : Squash
        That of g and of `c`, with nothing to prepare; and that of the other gates.
    mask : Mask, optional
    empty : callable

    Returns
    -------
    Trace
    """
    steps, dtype, map_shape = len(z), z.dtype, h.shape
    places, filters = math.prod(map_shape[:-1]), map_shape[-1]
    hs = empty((steps + 1, *map_shape), dtype)
    cs = empty((steps + 1, *map_shape), dtype)
    squashed = empty((steps, *map_shape), dtype)
    gates = empty((steps, GATES, places, filters), dtype)
    product = empty(z.shape[1:], dtype)
    hs[0], cs[0] = h, c
    for t in range(steps):
        if mask is not None and mask.none[t]:
            hs[t + 1], cs[t + 1] = hs[t], cs[t]
            continue
        recurrent.outputs(hs[t], None, product)
        maps = [
            array.reshape(places, filters) for array in (cs[t], hs[t + 1], cs[t + 1], squashed[t])
        ]
        args = (gates[t], _by_gate(z[t]), _by_gate(product), *maps, squash, recurrent_squash)
        _step(*args)
        if mask is not None and mask.some[t]:
            masked = _spread(mask, t, h)
            np.copyto(hs[t + 1], hs[t], where=masked)
            np.copyto(cs[t + 1], cs[t], where=masked)
    return Trace(z, gates, hs, cs, squashed)


def _by_gate(z: np.ndarray) -> np.ndarray:
    """View ``(batch, *sizes, 4 * filters)`` as ``(4, places, filters)``, in Keras' order."""
    return z.reshape(-1, GATES, z.shape[-1] // GATES).swapaxes(0, 1)


def _spread(mask: Mask, t: int, state: np.ndarray) -> np.ndarray:
    """Return which samples are masked at a step, with the axes of a state."""
    return mask.masked[t].reshape(-1, *(1,) * (state.ndim - 1))


def _block(places: int, filters: int) -> tuple[int, int]:
    """Return what `for_blocks` needs to know of so many places."""
    return places, max(1, _BLOCK // filters)


def _step(
    gates: np.ndarray,
    z: np.ndarray,
    product: np.ndarray,
    old_c: np.ndarray,
    new_h: np.ndarray,
    new_c: np.ndarray,
    squashed: np.ndarray,
    squash: Squash,
    recurrent_squash: Squash,
) -> None:
    """Compute gates and states at all places."""

    def work(start: int, stop: int, worker: int) -> None:
        rows = slice(start, stop)
        part, c, y = gates[:, rows], new_c[rows], squashed[rows]
        np.add(z[3, rows], product[3, rows], out=part[0])
        np.add(z[:3, rows], product[:3, rows], out=part[1:])
        recurrent_squash.prepare(part[:3])
        recurrent_squash.apply(part[:3], part[:3])
        squash.apply(part[3], part[3])
        o, i, f, g = part
        term = scratch("conv_lstm", c.shape, c.dtype)
        np.multiply(i, g, out=term)
        np.multiply(f, old_c[rows], out=c)
        np.add(c, term, out=c)
        squash.apply(c, y)
        np.multiply(o, y, out=new_h[rows])

    for_blocks(work, *_block(*new_h.shape))


def conv_lstm_backward(
    dy: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    trace: Trace,
    recurrent: GateConv,
    squash: Squash,
    recurrent_squash: Squash,
    mask: Mask | None,
    empty: Empty,
) -> np.ndarray:
    """Run back through all steps.

    Parameters
    ----------
    dy : ndarray, shape (n, batch, *sizes, filters)
        Gradients of the last `n` outputs.
    dh, dc : ndarray, shape (batch, *sizes, filters), C-contiguous
        Gradients of the final states; overwritten by those of the initial ones.
    trace : Trace
        Used up.
    recurrent, squash, recurrent_squash, mask, empty
        As in `conv_lstm`.

    Returns
    -------
    dz : ndarray, shape (steps, batch, *sizes, 4 * filters)
        The gradient of the projected input.
    """
    dz = trace.z
    first = len(dz) - len(dy)
    held = [] if mask is None else [(d, empty(d.shape, d.dtype)) for d in (dh, dc)]
    flat_h, flat_c = (d.reshape(-1, d.shape[-1]) for d in (dh, dc))
    for t in range(len(dz) - 1, -1, -1):
        if t >= first:
            np.add(dh, dy[t - first], out=dh)
        if mask is not None and mask.none[t]:
            dz[t] = 0
            continue
        some = mask is not None and mask.some[t]
        if some:
            masked = _spread(mask, t, dh)  # type: ignore[arg-type]
            for gradient, past in held:
                np.multiply(gradient, masked, out=past)
                np.copyto(gradient, 0, where=masked)
        maps = [array.reshape(flat_c.shape) for array in (trace.squashed[t], trace.c[t])]
        args = (trace.gates[t], *maps, flat_h, flat_c, _by_gate(dz[t]), squash, recurrent_squash)
        _step_backward(*args)
        recurrent.input_gradient(dz[t], dh)
        if some:
            for gradient, past in held:
                np.add(gradient, past, out=gradient)
    return dz


def _step_backward(
    gates: np.ndarray,
    squashed: np.ndarray,
    old_c: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    dz: np.ndarray,
    squash: Squash,
    recurrent_squash: Squash,
) -> None:
    """Compute the gradients of gates and cell state at all places; `dh` is only read."""

    def work(start: int, stop: int, worker: int) -> None:
        rows = slice(start, stop)
        part, y, from_h, from_c = gates[:, rows], squashed[rows], dh[rows], dc[rows]
        o, i, f, g = part
        slopes = scratch("conv_lstm", part.shape, part.dtype)
        through_c = slopes[0]
        squash.slope(y, through_c)
        np.multiply(through_c, o, out=through_c)
        np.multiply(through_c, from_h, out=through_c)
        np.add(from_c, through_c, out=from_c)
        recurrent_squash.slope(part[:3], slopes[:3])
        squash.slope(g, slopes[3])
        for slope, factor in zip(slopes, (y, g, old_c[rows], i), strict=True):
            np.multiply(slope, factor, out=slope)
        np.multiply(slopes[1:], from_c, out=dz[:-1, rows])
        np.multiply(slopes[0], from_h, out=dz[-1, rows])
        np.multiply(from_c, f, out=from_c)

    for_blocks(work, *_block(*dh.shape))
