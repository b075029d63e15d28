"""Between the two ways to write a layer: by hand (`forward`, `backward`) and in `K` (`call`).

There is one way across in each direction. `forward` and `backward` here run the `call` of a layer
on the tape; so it can stand wherever a layer written by hand can. `record` makes a layer that
was written by hand a single node of the tape; so it can be called from a `call`, a loss or a
training loop of one's own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras.backend.backpropagation import hand_over, or_zeros
from minikeras.backend.context import Context
from minikeras.backend.creation import cast, identity
from minikeras.backend.deferred import LARGE_SIZES, SIZES, Deferred, Placeholder, of_layer
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import current, fixed_phase, inside, records
from minikeras.backend.shaping import reshape
from minikeras.backend.tape import Tensor, value_of
from minikeras.backend.variables import Variable
from minikeras.engine.outputs import as_list, as_shape
from minikeras.regularizers import penalty
from minikeras.utils.registry import has_arg

# --- a `call` in place of forward and backward ----------------------------------------------


def forward(layer: Any, x: np.ndarray, ctx: Context) -> tuple[Any, Any]:
    """Run the `call` of a layer on the tape; see `Layer.forward`."""
    inner = Tensor(x)
    inner.mask = ctx.mask
    outer, ctx.losses = ctx.losses, []
    frozen, ctx.frozen = ctx.frozen, ctx.frozen or not layer.trainable
    try:
        with inside(ctx):
            outputs = layer.call(inner, **call_arguments(layer, ctx.training, ctx.mask))
        losses = ctx.losses
    finally:
        ctx.losses, ctx.frozen = outer, frozen
    ctx.loss += sum(float(value_of(loss)) for loss in losses)
    y = arrays_of(outputs, layer)
    return y, (inner, outputs, losses) if ctx.records else None


def backward(layer: Any, dy: Any, residual: Any, ctx: Context) -> np.ndarray | None:
    """Go back through what `forward` has recorded; see `Layer.backward`."""
    inner, outputs, losses = residual
    seeds: list[tuple[Any, Any]] = list(zip(as_list(outputs), as_list(dy), strict=True))
    seeds += [(loss, np.ones_like(value_of(loss))) for loss in losses]
    seeds = [(tensor, seed) for tensor, seed in seeds if isinstance(tensor, TensorLike)]
    found = hand_over(seeds, [inner] if ctx.needs_input_gradient else [], ctx)
    return or_zeros(found[0], inner) if found else None


def arrays_of(outputs: Any, layer: Any) -> Any:
    """Return the array of an output, of the layer's float type; a list for several outputs."""
    if isinstance(outputs, (list, tuple)):
        return [arrays_of(output, layer) for output in outputs]
    y = np.asarray(value_of(outputs))
    if y.dtype.kind not in "biuf":
        raise TypeError(
            f"{layer._described()}: call must return a tensor or an array, or a list of these; it "
            f"returned {type(outputs).__name__}."
        )
    floats = y.dtype.kind == np.dtype(layer.dtype).kind == "f"
    return y.astype(layer.dtype, copy=False) if floats else y


def call_arguments(layer: Any, training: Any, mask: Any) -> dict[str, Any]:
    """Return those of `training` and `mask` that the layer's `call` takes."""
    given = {"training": training, "mask": mask}
    return {name: given[name] for name in _taken(type(layer).call)}


@functools.lru_cache(maxsize=512)
def _taken(function: Callable) -> list[str]:
    return [name for name in ("training", "mask") if has_arg(function, name)]


def infer_output_shape(layer: Any, input_shape: Any) -> Any:
    """Find the output shape of a layer's `call`, by calling it on arrays of ones."""
    shape = as_shape(input_shape)
    key = tuple(shape)
    known = layer.__dict__.setdefault("_inferred_shapes", {})
    if key not in known:
        if len(known) > 16:
            known.clear()
        result = _infer(layer, shape, layer._shape_advice)
        known[key] = (
            (result.shape, result.dtype)
            if isinstance(result, Deferred)
            else ([one.shape for one in result], None)
        )
    return known[key][0]


def build_parts(layer: Any, input_shape: Any) -> None:
    """Have the layers that a `call` uses built, by calling it on arrays of ones."""
    advice = "build the layers that it calls in build(self, input_shape)."
    for training in (False, True):
        _infer(layer, as_shape(input_shape), advice, training)


def _infer(layer: Any, shape: Any, advice: str, training: bool = False) -> Any:
    dtype = layer.input_dtype or layer.dtype

    def run(x: Any, with_mask: bool) -> Any:
        mask = np.ones(x.shape[:2], bool) if with_mask else None
        with inside(current().part(training=training)):
            return arrays_of(layer.call(x, **call_arguments(layer, training, mask)), layer)

    # A window may be too large for the first, and some layers need a mask.
    masked = "mask" in _taken(type(layer).call) and not isinstance(shape, list) and len(shape) > 2
    failure: Exception | None = None
    trials = [(SIZES, False), (LARGE_SIZES, False), *([(SIZES, True)] if masked else [])]
    for sizes, with_mask in trials:

        def held(one: Any, sizes: Any = sizes) -> Any:
            return Placeholder(tuple(one), dtype, layer.name, sizes)

        inputs = [held(one) for one in shape] if isinstance(shape, list) else held(shape)
        result = Deferred(run, (inputs, with_mask), {}, layer.name)
        try:
            examples = result.examples
        except Exception as error:
            failure = failure or error
            continue
        several = isinstance(examples[0], (list, tuple))
        return result.parts(len(examples[0])) if several else result
    raise ValueError(
        f"{layer._described()}: call failed with {type(failure).__name__}: {failure}. (It was "
        f"called on arrays of ones for the shape {shape}, to see what comes out. If only these are "
        f"the matter: {advice})"
    ) from failure


# --- a layer on a tensor ----------------------------------------------------------------------


def apply(layer: Any, inputs: Any, training: Any, mask: Any, options: dict[str, Any]) -> Any:
    """Call a layer on a tensor, or on an array inside of a pass; see `Layer.__call__`."""
    several = layer._taped and isinstance(inputs, (list, tuple)) and _are_arrays(inputs)
    if several:
        shape: Any = [(None, *x.shape[1:]) for x in inputs]
    else:
        if isinstance(inputs, (list, tuple)) and _are_arrays(inputs):
            raise TypeError(f"{layer._described()} takes one input, got a list of {len(inputs)}.")
        inputs = inputs if isinstance(inputs, TensorLike) else np.asarray(inputs)
        shape = (None, *inputs.shape[1:])
    if layer.built:  # what comes out need not be asked
        layer._check_input_shape(shape)
    else:
        layer.ensure_built(shape)
    if any(isinstance(x, Deferred) for x in (inputs if several else [inputs])):
        named = {"training": training, "mask": mask, **options}
        given = {key: value for key, value in named.items() if value is not None}
        return of_layer(Deferred(LayerCall(layer), (inputs, *layer.weights), given, layer.name))
    if layer._taped:
        return _inline(layer, inputs, training, mask, options)
    y = record(layer, inputs, layer._propagate, layer._backpropagate, training, mask)
    add_own_losses(layer, y)
    return y


def _are_arrays(inputs: Any) -> bool:
    return any(isinstance(x, (TensorLike, np.ndarray)) for x in inputs)


def _inline(layer: Any, inputs: Any, training: Any, mask: Any, options: dict[str, Any]) -> Any:
    """Run the `call` of a layer on the tape of whoever calls it."""
    outer = current()
    phase = fixed_phase(False) if training is None else bool(training)
    if outer is None:
        tensors = (inputs, *as_list(inputs), *options.values())
        ctx = Context(phase, records=any(isinstance(x, TensorLike) for x in tensors))
    else:
        ctx = outer.part(training=training)
        ctx.losses = outer.losses
    ctx.frozen = ctx.frozen or not layer.trainable
    if isinstance(inputs, (list, tuple)):
        masks = [getattr(x, "mask", None) for x in inputs]
        mask = masks if mask is None and any(m is not None for m in masks) else mask
    else:
        mask = getattr(inputs, "mask", None) if mask is None else mask
        inputs = _masked(_typed(inputs, layer), mask)
    with inside(ctx):
        named = call_arguments(layer, ctx.training, mask)
        y = layer.call(inputs, **{**named, **options})
        if any(y is x for x in as_list(inputs)):
            y = identity(y)  # it gets a mask of its own
        add_own_losses(layer, y)
    if outer is None:
        ctx.finish()
    else:
        outer.loss += ctx.loss
    return _masked(y, layer.compute_mask(inputs, mask)) if ctx.records or outer else value_of(y)


def add_own_losses(layer: Any, y: Any) -> None:
    """Add the penalties of a layer that a `call` has called, if anybody collects them."""
    ctx = current()
    if ctx is None or ctx.losses is None:
        return
    ctx.losses += layer._compute_penalties(ctx)
    if layer.activity_regularizer is not None:
        layer.add_loss([penalty(one, layer.activity_regularizer) for one in as_list(y)])


def _typed(x: Any, layer: Any) -> Any:
    """Return a layer's input in the type that the layer takes."""
    dtype = layer.input_dtype
    return x if dtype is None or x.dtype == dtype else cast(x, dtype)


def record(
    layer: Any,
    x: Any,
    run: Callable[..., Any],
    back: Callable[..., Any],
    training: Any = None,
    mask: Any = None,
) -> Any:
    """Make a layer written by hand one node of the tape.

    Parameters
    ----------
    layer : Layer
        Built.
    x : TensorLike or ndarray
    run, back : callable
        Its `forward` and `backward`, or `_propagate` and `_backpropagate`.
    training : bool, optional
        Default: as in the pass at hand, or False.
    mask : ndarray, optional
        Default: that of the tensor.

    Returns
    -------
    Tensor
        An array where nothing is to be differentiated. A list for several outputs.
    """

    def run_one(inputs: list[Any], ctx: Context) -> tuple[Any, Any]:
        return run(inputs[0], ctx)

    def back_one(dy: Any, residual: Any, ctx: Context) -> list[Any]:
        return [back(dy, residual, ctx)]

    if mask is None:
        mask = getattr(x, "mask", None)
    return record_all(layer, [_typed(x, layer)], run_one, back_one, training, mask)


def record_all(
    layer: Any,
    inputs: list[Any],
    run: Callable[..., Any],
    back: Callable[..., Any],
    training: Any = None,
    mask: Any = None,
) -> Any:
    """Like `record`, for several inputs.

    Parameters
    ----------
    run : callable
        ``run(arrays, ctx) -> (outputs, residual)``, with a list for several outputs.
    back : callable
        ``back(dy, residual, ctx)`` gives a list of the inputs' gradients.
    """
    exchanged = {name: x for name, x in vars(layer).items() if type(x) is Tensor}
    _refuse_exchanged_within(layer)
    if exchanged and not getattr(run, "exchanges", False):  # else this is done again
        inputs, run, back = _with_exchanged(layer, exchanged, inputs, run, back)
    ctx = current()
    outermost = ctx is None
    if ctx is None:
        ctx = Context(fixed_phase(False) if training is None else bool(training))
    mask = None if mask is None else np.asarray(value_of(mask), bool)
    part = ctx.part(training=training, mask=mask)
    values = [value_of(x) for x in inputs]
    y, residual = run(values, part)
    ctx.loss += part.loss
    if outermost:
        ctx.finish()
    weights = layer.weights
    if not records():
        return _masked([Tensor(one) for one in y] if type(y) is list else Tensor(y), part.mask)
    if not (weights or any(isinstance(x, TensorLike) for x in inputs)):
        return _masked(y, part.mask)
    op = _LayerOp(layer, len(inputs), run, back, training, part, y)
    value = np.concatenate([one.reshape(-1) for one in y]) if op.several else y
    values += [weight.value for weight in weights]
    node = Tensor(value, op, (*inputs, *weights), values, {}, residual)
    return _masked(op.pieces(node) if op.several else node, part.mask)


def check_attributes(layer: Any) -> None:
    """Refuse what `build` has computed of weights: it would keep its first value."""
    for name, value in vars(layer).items():
        if type(value) is Tensor and value.op is not None:
            raise TypeError(
                f"{layer._described()}: build sets self.{name} to something computed of weights, "
                "which would not follow them when they change. Keep the weights, and compute it "
                "in call."
            )


def _with_exchanged(
    layer: Any, exchanged: dict[str, Tensor], inputs: list[Any], run: Callable, back: Callable
) -> tuple[list[Any], Callable[..., Any], Callable[..., Any]]:
    """Let a layer by hand be called with tensors in the place of its weights.

    That is how weight normalization is written: ``layer.kernel = g * v``, then ``layer.call(x)``.
    For the layer they are variables; on the tape they are inputs. The layer itself is changed
    meanwhile, so it is for one thread at a time.
    """
    count = len(inputs)

    def exchange(others: dict[str, Any]) -> None:
        for name, other in others.items():
            setattr(layer, name, other)

    def run_so(arrays: list[Any], ctx: Context) -> tuple[Any, Any]:
        before = {name: getattr(layer, name) for name in exchanged}
        pairs = zip(exchanged, arrays[count:], strict=True)
        stand_ins = {name: Variable(array, name) for name, array in pairs}
        exchange(stand_ins)
        try:
            y, kept = run(arrays[:count], ctx)
        finally:
            exchange(before)
        return y, (kept, stand_ins)

    def back_so(dy: Any, residual: Any, ctx: Context) -> list[Any]:
        residual, stand_ins = residual
        before = {name: getattr(layer, name) for name in exchanged}
        gradients = {v: np.empty(v.shape, v.dtype) for v in stand_ins.values()}
        ctx.want_also(gradients)
        exchange(stand_ins)
        try:
            found = back(dy, residual, ctx)
            ctx.finish_gradients()
        finally:
            exchange(before)
        return [*found, *gradients.values()]

    run_so.exchanges = True  # type: ignore[attr-defined]
    return [*inputs, *exchanged.values()], run_so, back_so


def _refuse_exchanged_within(layer: Any) -> None:
    """Raise where a weight of an inner layer or cell is exchanged, which is not seen from here."""
    inner = getattr(layer, "_cell", None) or getattr(layer, "layer", None)
    for name, value in vars(inner).items() if inner is not None else ():
        if type(value) is Tensor:
            raise NotImplementedError(
                f"{layer._described()}: its inner layer's {name} is a tensor. Weights can be "
                "exchanged for tensors in a layer that is called itself, not in one inside of it: "
                "write what it computes in a call of your own."
            )


def _masked(y: Any, mask: Any) -> Any:
    """Have a mask travel with an output; with an array it can't."""
    if isinstance(mask, list):
        return [_masked(one, m) for one, m in zip(as_list(y), mask, strict=True)]
    if mask is None or isinstance(y, (list, tuple, Deferred)):
        return y
    if not isinstance(y, Tensor):
        y = Tensor(y)
    y.mask = mask
    return y


class _LayerOp:
    """What the tape needs to know of a layer that is a node of it.

    Several outputs are one vector on the tape, of which each is a piece.
    """

    def __init__(
        self,
        layer: Any,
        inputs: int,
        run: Callable[..., Any],
        back: Callable[..., Any],
        training: Any,
        ctx: Context,
        y: Any,
    ) -> None:
        self.layer = layer
        self.name = layer.name
        self.inputs = inputs
        self.run = run
        self.back = back
        self.training = training
        self.ctx = ctx
        self.mask = ctx.mask
        self.several = type(y) is list
        self.shapes = [output.shape for output in as_list(y)]
        self.derivatives = (True,) * (inputs + len(layer.weights))  # `pull` has them all

    def call(self, *args: Any) -> Any:
        """Do it again, with what the weights are now."""
        inputs = list(args[: self.inputs])
        mask = getattr(inputs[0], "mask", None)
        y = record_all(self.layer, inputs, self.run, self.back, self.training, mask)
        if not self.several:
            return y
        if records():  # each is reshaped from a slice of the vector
            return y[0].args[0].args[0]
        return np.concatenate([value_of(one).reshape(-1) for one in y])

    def pieces(self, vector: Any) -> list[Any]:
        """Cut the vector of several outputs."""
        edges = np.cumsum([0, *(math.prod(shape) for shape in self.shapes)]).tolist()
        return [
            reshape(vector[start:stop], shape)
            for start, stop, shape in zip(edges[:-1], edges[1:], self.shapes, strict=True)
        ]

    def pull(self, dy: np.ndarray, node: Tensor, wanted: list[int]) -> list[Any]:
        """Run the backward pass of the layer."""
        weights = node.args[self.inputs :]
        places = [i - self.inputs for i in wanted if i >= self.inputs]
        gradients = {weights[i]: np.empty(weights[i].shape, weights[i].dtype) for i in places}
        ctx = self.ctx.part(gradients, mask=self.mask)
        ctx.needs_input_gradient = wanted[0] < self.inputs
        dy = dy.copy()  # the layer may overwrite it
        found = self.back(self.pieces(dy) if self.several else dy, node.kept, ctx)
        ctx.finish_gradients()
        return [*found, *(gradients.get(weight) for weight in weights)]


class LayerCall:
    """A layer in an expression that is computed later."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.__name__ = layer.name

    def __call__(self, inputs: Any, *weights: Any, **options: Any) -> Any:
        """Call the layer. The weights are named so that gradients find them."""
        return self.layer(inputs, **options)

    def example(self, inputs: Any, *weights: Any, **options: Any) -> Any:
        """Return ones of the shape of the output, without computing it."""
        several = isinstance(inputs, (list, tuple))
        given: Any = [x.shape for x in inputs] if several else inputs.shape
        shape = as_shape(self.layer.compute_output_shape(given))
        if not isinstance(shape, list) and None in shape:  # "any", for a batch that is known here
            known = given[0] if several else given
            pairs = zip(shape, (*known, *shape[len(known) :]), strict=False)
            shape = tuple(b if a is None else a for a, b in pairs)
        # A `call` that was tried may have given whole numbers.
        tried = vars(self.layer).get("_inferred_shapes", {}).get(tuple(as_shape(given)))
        dtype = None if tried is None else tried[1]
        one = np.ones((), self.layer.dtype if dtype is None else dtype)
        if isinstance(shape, list):
            return [np.broadcast_to(one, part) for part in shape]
        return np.broadcast_to(one, shape)
