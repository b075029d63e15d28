"""Long short-term memory over a whole sequence (Hochreiter and Schmidhuber 1997).

At each step, with the gates i, f, g (Keras' c) and o, each ``squash(x @ kernel + h @ recurrent)``::

    c = f * c + i * g
    h = o * squash(c)

A step has one product: `h`, `x` and a one for the bias lie in one piece of memory, and so do the
kernels. To compute the share of `x` for all steps beforehand would leave a smaller product in the
loop, but takes two more passes over all gates; it is slower, the more so the smaller the layer.
The backward pass likewise finds the gradients of `h` and `x` by one product a step, and those of
all weights by one product after the loop.

Where that product is large, the batch is cut into blocks of samples, and two threads walk through
time side by side. How it is cut follows from the shapes alone.

See `minikeras.ops.recurrent` for the layout. The gates are o, i, f, g here: the first three share
an activation, and the gradients of the last three go through `c`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from minikeras.ops.blas import matmuls
from minikeras.ops.memory import scratch
from minikeras.ops.parallel import for_blocks
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
    """What the backward pass needs of the forward pass over one block of samples.

    Attributes
    ----------
    samples : slice
        Which of the batch.
    inputs : ndarray, shape (steps + 1, units + features + 1, samples)
        What each step is given: `h`, `x` and a one. The last `h` is the final state.
    gates : ndarray, shape (steps, 4, units, samples)
    c : ndarray, shape (steps + 1, units, samples)
        The other state, from the initial one on.
    squashed : ndarray, shape (steps, units, samples)
        The activation of `c` after each step.
    mask : Mask or None
    """

    samples: slice
    inputs: np.ndarray
    gates: np.ndarray
    c: np.ndarray
    squashed: np.ndarray
    mask: Mask | None

    @property
    def h(self) -> np.ndarray:
        """The state `h`, from the initial one on: ``(steps + 1, units, samples)``."""
        return self.inputs[:, : self.c.shape[1]]


class Pass(NamedTuple):
    """What `lstm` returns.

    Attributes
    ----------
    traces : list of Trace
        One for each block of samples.
    h, c : ndarray, shape (steps, units, batch) and (units, batch)
        The outputs, and the final state `c`.
    """

    traces: list[Trace]
    h: np.ndarray
    c: np.ndarray


# From how many multiplications in a step, and in all steps, on a second thread pays.
_STEP = 3_000_000
_SEQUENCE = 30_000_000


def _blocks(steps: int, batch: int, inputs: int, units: int) -> list[slice]:
    """Cut the batch into blocks, an even number of them or one."""
    size = GATES * units * inputs * batch
    if size < _STEP or size * steps < _SEQUENCE or batch < 2:
        return [slice(0, batch)]
    count = 2 * max(1, round(size / (8 * _STEP)))
    width = max(1, -(-batch // count))
    return [slice(start, min(start + width, batch)) for start in range(0, batch, width)]


def lstm(
    x: np.ndarray,
    weights: Weights,
    h: np.ndarray,
    c: np.ndarray,
    activation: Squash,
    recurrent_activation: Squash,
    mask: np.ndarray | None,
    dropout: np.ndarray | None,
    empty: Empty,
) -> Pass:
    """Run through all steps.

    Parameters
    ----------
    x : ndarray, shape (steps, batch, features)
    weights : Weights
    h, c : ndarray, shape (batch, units)
        Initial states.
    activation, recurrent_activation : Squash
    mask : ndarray of bool, shape (steps, batch), optional
    dropout : ndarray, shape (1 or 4, units + features + 1, batch), optional
        Factors of what each step is given; see `dropout_pattern`.
    empty : callable
        Where memory comes from.

    Returns
    -------
    Pass
    """
    steps, batch, features = x.shape
    units, dtype = len(weights.recurrent_kernel), x.dtype
    rows = units + features + 1
    kernels = _forward_kernels(weights, recurrent_activation, empty).swapaxes(1, 2)
    traces = []
    for samples in _blocks(steps, batch, rows, units):
        width = samples.stop - samples.start
        traces.append(
            Trace(
                samples,
                inputs=empty((steps + 1, rows, width), dtype),
                gates=empty((steps, GATES, units, width), dtype),
                c=empty((steps + 1, units, width), dtype),
                squashed=empty((steps, units, width), dtype),
                mask=None if mask is None else Mask(mask[:, samples]),
            )
        )
    if len(traces) == 1:
        found = Pass(traces, traces[0].h[1:], traces[0].c[-1])
    else:
        found = Pass(traces, empty((steps, units, batch), dtype), empty((units, batch), dtype))

    def work(number: int, _: int, worker: int) -> None:
        trace = traces[number]
        samples = trace.samples
        trace.inputs[:, -1] = 1
        trace.inputs[:-1, units:-1] = x[:, samples].swapaxes(1, 2)
        trace.inputs[0, :units], trace.c[0] = h[samples].T, c[samples].T
        pattern = None if dropout is None else dropout[..., samples]
        _walk(trace, kernels, activation, recurrent_activation, pattern)
        if len(traces) > 1:
            found.h[..., samples], found.c[:, samples] = trace.h[1:], trace.c[-1]

    for_blocks(work, len(traces), 1)
    return found


def _walk(
    trace: Trace,
    kernels: np.ndarray,
    activation: Squash,
    recurrent_activation: Squash,
    dropout: np.ndarray | None,
) -> None:
    """Go through all steps of a block."""
    inputs, mask, hs, cs = trace.inputs, trace.mask, trace.h, trace.c
    term = scratch("lstm_term", cs.shape[1:], cs.dtype)
    dropped = inputs[0]
    if dropout is not None:
        dropped = scratch("lstm_dropped", (len(dropout), *inputs.shape[1:]), inputs.dtype)
    whole = recurrent_activation is SIGMOID and activation is TANH
    squash_gates, squash = recurrent_activation.apply, activation.apply
    loop = zip(inputs[:-1], trace.gates, hs, hs[1:], cs, cs[1:], trace.squashed, strict=False)
    for t, (given, z, old_h, new_h, old_c, new_c, y) in enumerate(loop):
        if mask is not None and mask.none[t]:
            z[...], y[...], new_h[...], new_c[...] = 0, 0, old_h, old_c
            continue
        if dropout is not None:
            given = np.multiply(dropout, given, out=dropped)
        np.matmul(kernels, given, out=z)
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
    traces: list[Trace],
    weights: Weights,
    activation: Squash,
    recurrent_activation: Squash,
    dropout: np.ndarray | None,
    needs_input_gradient: bool,
    empty: Empty,
) -> Back:
    """Run back through all steps.

    Parameters
    ----------
    dy : ndarray, shape (n, batch, units)
        Gradients of the last `n` outputs.
    dh, dc : ndarray, shape (units, batch)
        Gradients of the final states; overwritten by those of the initial ones.
    traces : list of Trace
        Used up.
    weights, activation, recurrent_activation, dropout, empty
        As for `lstm`.
    needs_input_gradient : bool

    Returns
    -------
    Back
    """
    steps, units = traces[0].squashed.shape[:2]
    features, dtype = len(weights.kernel), traces[0].gates.dtype
    batch = traces[-1].samples.stop
    # One product for all steps, on two threads, is better where it is large.
    afterwards = len(traces) > 1 and dropout is None
    given = units if afterwards or not needs_input_gradient else units + features
    kernels = _backward_kernels(weights, given, empty)
    dzs = [empty(trace.gates.shape, dtype) for trace in traces]
    from_hs = [empty(trace.squashed.shape, dtype) for trace in traces]
    dinputs = [empty((steps, given, trace.c.shape[2]), dtype) for trace in traces]
    dz_rows = rows_of(steps * batch, GATES * units, dtype, empty)
    input_rows = rows_of(steps * batch, traces[0].inputs.shape[1], dtype, empty)

    def work(number: int, _: int, worker: int) -> None:
        trace, dz, dinput = traces[number], dzs[number], dinputs[number]
        samples = trace.samples
        _slopes(trace, activation, recurrent_activation, dz, from_hs[number])
        pattern = None if dropout is None else dropout[:, :given, samples]
        product = _product_backward(kernels, pattern)
        gradients = dh[:, samples], dc[:, samples]
        _walk_back(dy[:, samples], *gradients, trace, dz, from_hs[number], dinput, product)
        target = gates_first(_by_steps(dz_rows, trace), GATES)
        for inside, keras in rolled(GATES, ROLL):
            np.copyto(target[:, keras], dz[:, inside])
        if dropout is None:
            np.copyto(_by_steps(input_rows, trace).swapaxes(1, 2), trace.inputs[:-1])

    for_blocks(work, len(traces), 1)
    back = Back(dz_rows, input_rows, None)
    if not needs_input_gradient:
        return back
    if afterwards:
        rows = empty((steps * batch, features), dtype)
        matmuls([(dz_rows, weights.kernel.T, rows)])
        return back._replace(dx=rows.reshape(batch, steps, features).swapaxes(0, 1))
    if len(traces) == 1:
        return back._replace(dx=dinputs[0][:, units:].swapaxes(1, 2))
    dx = empty((steps, batch, features), dtype)
    for trace, dinput in zip(traces, dinputs, strict=True):
        dx[:, trace.samples] = dinput[:, units:].swapaxes(1, 2)
    return back._replace(dx=dx)


class Back(NamedTuple):
    """What `lstm_backward` returns.

    Attributes
    ----------
    dz_rows : ndarray, shape (batch * steps, 4 * units)
        The gradient of the gates before their activations, one row for each step of each sample.
    input_rows : ndarray, shape (batch * steps, units + features + 1)
        What the steps were given; without content if there is dropout.
    dx : ndarray, shape (steps, batch, features), or None if it is not needed
    """

    dz_rows: np.ndarray
    input_rows: np.ndarray
    dx: np.ndarray | None


def _backward_kernels(weights: Weights, given: int, empty: Empty) -> np.ndarray:
    """Return the kernels ``(given, 4, units)`` of the way back, to `h` alone or to `h` and `x`."""
    units = len(weights.recurrent_kernel)
    columns = empty((given, GATES, units), weights.kernel.dtype)
    for rows, weight in weights.parts()[: 1 if given == units else 2]:
        for inside, keras in rolled(GATES, ROLL):
            np.copyto(columns[rows, inside], weight[:, keras])
    return columns


def _product_backward(
    kernels: np.ndarray, dropout: np.ndarray | None
) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return the function that computes the gradient of what a step is given from its `dz`."""
    given, gates, units = kernels.shape
    matrix = kernels.reshape(given, gates * units)

    def of_all(dz: np.ndarray, out: np.ndarray) -> None:
        np.matmul(matrix, dz.reshape(gates * units, -1), out=out)
        if dropout is not None:
            np.multiply(out, dropout[0], out=out)

    def of_each(dz: np.ndarray, out: np.ndarray) -> None:
        products = scratch("lstm_products", (gates, *out.shape), out.dtype)
        np.matmul(kernels.swapaxes(0, 1), dz, out=products)
        np.multiply(products, dropout, out=products)  # type: ignore[arg-type]
        np.add.reduce(products, axis=0, out=out)

    return of_all if dropout is None or len(dropout) == 1 else of_each


def _walk_back(
    dy: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    trace: Trace,
    dz: np.ndarray,
    from_h: np.ndarray,
    dinputs: np.ndarray,
    product: Callable[[np.ndarray, np.ndarray], None],
) -> None:
    """Go back through all steps of a block; `dz` and `from_h` hold what `_slopes` has found."""
    gates, mask = trace.gates, trace.mask
    steps, _, units, width = gates.shape
    if mask is not None:
        _stop_masked(dz, from_h, gates[:, 2], mask)
    term = scratch("lstm_term", (units, width), gates.dtype)
    past = scratch("lstm_past", (units, width), gates.dtype)
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


def lstm_gradients(
    back: Back, traces: list[Trace], dropout: np.ndarray | None, empty: Empty
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the gradients of kernel, recurrent kernel and bias, by one product for all steps.

    Parameters
    ----------
    back : Back
    traces : list of Trace
    dropout, empty
        As for `lstm`.
    """
    dz, inputs, _ = back
    units, rows, columns = traces[0].c.shape[1], inputs.shape[1], dz.shape[1]
    found = empty((rows, columns), dz.dtype)
    if dropout is None:
        matmuls([(inputs.T, dz, found)])
    else:
        width = columns // len(dropout)
        for k in range(len(dropout)):
            pattern = dropout[(k + ROLL) % len(dropout)]
            for trace in traces:
                target = _by_steps(inputs, trace).swapaxes(1, 2)
                np.multiply(trace.inputs[:-1], pattern[:, trace.samples], out=target)
            part = slice(k * width, (k + 1) * width)
            matmuls([(inputs.T, dz[:, part], found[:, part])])
    return found[units:-1], found[:units], found[-1]


def _by_steps(matrix: np.ndarray, trace: Trace) -> np.ndarray:
    """Return the rows of a block as ``(steps, samples, columns)``.

    The rows go by step, which keeps those of a step together. Those of several blocks go by sample.
    """
    steps, _, _, width = trace.gates.shape
    if steps * width == len(matrix):
        return matrix.reshape(steps, width, -1)
    return matrix.reshape(-1, steps, matrix.shape[1])[trace.samples].swapaxes(0, 1)


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
    gates, c, squashed = trace.gates, trace.c, trace.squashed
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
