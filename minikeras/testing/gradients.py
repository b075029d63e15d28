"""`check_gradients`: what is to be compared with central differences, for each kind of target."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from minikeras import activations, losses, regularizers
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.config import floatx, set_floatx
from minikeras.backend.random_functions import restart_seeds
from minikeras.backend.tape import Tensor, value_of
from minikeras.backend.variables import Variable
from minikeras.engine import Context, Layer
from minikeras.engine.outputs import as_list
from minikeras.engine.weights import all_layers
from minikeras.layers import Activation
from minikeras.regularizers import Regularizer
from minikeras.sequential import Sequential
from minikeras.testing.differences import GradientError, Problem, Report, compare
from minikeras.training.inputs import converted, standardize
from minikeras.utils.registry import unknown_name_message

__all__ = ["check_gradients"]


def check_gradients(
    target: Any,
    *data: Any,
    input_shape: Sequence[int] | None = None,
    training: bool = False,
    tolerance: float = 1e-5,
    seed: int = 0,
    max_entries: int = 400,
) -> Report:
    """Compare a derivative with central differences.

    Parameters
    ----------
    target : Layer, Sequential, Regularizer, str or callable
        What to check; it is copied and not changed.

        - a layer, or a model that is not compiled: the derivatives of its output by the input
          and by each trainable weight;
        - a compiled model, given ``x, y`` or ``x, y, sample_weight``: those of the whole
          training loss by each trainable weight;
        - a loss by name or function, given ``y_true, y_pred``: by `y_pred`;
        - an activation function or a regularizer, by name or itself, given ``x``: by `x`;
        - a function in terms of `K`, given one array or more than two: by all that hold floats.
          Given two, it is taken for a loss.
    *data : array_like
        See `target`. A layer's input defaults to normal random numbers of `input_shape`. One
        that takes integers must be given, and has no derivative: only the weights do.
    input_shape : tuple of int, optional
        Shape of a layer's input with the batch axis.
    training : bool
        Whether layers run as in training. Random layers then draw the same numbers in each
        evaluation. Default False; a compiled model is always checked as in training.
    tolerance : float
        Largest relative error that passes. Default 1e-5.
    seed : int
        Of the random input, the weights of a layer not yet built, the weighting of the outputs
        and the random layers. Default 0. The state of ``np.random`` is left as it is.
    max_entries : int
        Of a larger array, so many entries are picked: the one with the largest gradient, the
        others at random. Default 400. All entries of a gradient must be finite.

    Returns
    -------
    Report
        The worst entry.

    Raises
    ------
    GradientError
        If an error exceeds the tolerance: the message is the report. Also if a layer breaks
        another rule: `backward` overwrites the gradient of a weight and does not add to it,
        changes neither input nor output, and gives the same gradients if that of the input is
        not wanted, from `backward_logits` (where a loss would call it), and after `forward` on
        other data. For the last, state must go into the residual and not into the layer.
    ValueError
        If there is nothing to compare, or a name is unknown.
    TypeError
        If `target` is a class, or the number of arrays does not fit it.

    Examples
    --------
    >>> from minikeras.layers import Dense
    >>> check_gradients(Dense(3, activation="tanh"), input_shape=(2, 4)).entries
    23
    >>> check_gradients("mse", [[1.0, 2.0]], [[0.5, 0.0]]).error < 1e-6
    True
    """
    with _double_precision():
        return _check(target, data, input_shape, training, tolerance, seed, max_entries)


def _check(
    target: Any,
    data: tuple[Any, ...],
    input_shape: Sequence[int] | None,
    training: bool,
    tolerance: float,
    seed: int,
    max_entries: int,
) -> Report:
    random = np.random.RandomState(seed)
    if isinstance(target, type):
        raise TypeError(
            f"check_gradients takes an instance, not the class {target.__name__}: pass "
            f"{target.__name__}(...)."
        )
    if isinstance(target, str) and len(data) == 1 and not _is_loss(target):
        target = _by_name(target)
    if isinstance(target, Sequential) and len(data) > 1:
        problem = _model_problem(target, data, seed)
    elif isinstance(target, Layer):
        problem = _layer_problem(target, data, input_shape, training, seed, random)
    elif isinstance(target, Regularizer):
        problem = _regularizer_problem(target, _single(data))
    elif _is_plain_function(target) and len(data) not in (0, 2):
        problem = _function_problem(target, data, random)
    elif len(data) == 1 and not _is_loss(target):
        layer = Activation(target, name="activation")
        x = np.atleast_2d(np.asarray(data[0], "float64"))
        problem = _layer_problem(layer, [x], None, training, seed, random)
    else:
        problem = _loss_problem(target, data, random)
    report = compare(problem, random, max_entries)
    if report.entries == 0:
        raise ValueError(
            f"{_describe(target)}: there was nothing to compare, neither a trainable weight nor "
            "an input of floats with at least one entry."
        )
    if not report.error <= tolerance:
        raise GradientError(f"{_describe(target)}: {report} (tolerance {tolerance:.2g})")
    return report


def _is_loss(target: Any) -> bool:
    if isinstance(target, str):
        return target in losses.FUNCTIONS or target in losses.ALIASES
    pair = getattr(target, "pair", None)
    return isinstance(pair, losses.LossPair) or target in losses.FUNCTIONS.values()


def _by_name(name: str) -> Any:
    """Return the activation function or else the regularizer of this name."""
    for module in (activations, regularizers):
        with suppress(ValueError):
            return module.get(name)
    known = [*activations._registry.entries, *regularizers._registry.entries]
    message = unknown_name_message("activation or regularizer", name, known)
    raise ValueError(f"{message} (A loss takes two arrays, y_true and y_pred.)")


def _layer_problem(
    layer: Layer,
    data: Sequence[Any],
    input_shape: Sequence[int] | None,
    training: bool,
    seed: int,
    random: np.random.RandomState,
) -> Problem:
    x, floats = _layer_input(layer, data, input_shape, random)
    layer = _in_float64(layer)
    with _seeded(seed, 1):
        layer.ensure_built((None, *x.shape[1:]) if len(x.shape) else x.shape)
    trial = _Trial(layer, x, floats, training, seed)
    upstream = trial.choose_upstream(random)
    dx, gradients = trial.run(upstream)
    _check_rules(trial, upstream, dx, gradients)

    def function() -> float:
        ctx = Context(training=training)
        y, _ = trial.forward(ctx)
        pairs = zip(as_list(upstream), as_list(y), strict=True)
        return sum(float(np.vdot(u, one)) for u, one in pairs) + ctx.loss

    names = _names(gradients)
    arrays = {name: w.value for name, w in zip(names, gradients, strict=True)}
    expected = dict(zip(names, gradients.values(), strict=True))
    if floats:
        arrays["x"], expected["x"] = x, dx
    return Problem(function, arrays, expected)


def _layer_input(
    layer: Layer,
    data: Sequence[Any],
    input_shape: Sequence[int] | None,
    random: np.random.RandomState,
) -> tuple[np.ndarray, bool]:
    """Return a layer's input, and whether it consists of floats, which have a derivative."""
    if data:
        x = np.array(_single(data))
    else:
        x = random.standard_normal(_shape_for(layer, input_shape))
    dtype = np.dtype(layer.input_dtype or x.dtype)
    if dtype.kind == "f":
        return x.astype("float64"), True
    if not data:
        raise ValueError(
            f"{_describe(layer)} takes an input of type {layer.input_dtype}: pass an array of "
            "numbers that it accepts."
        )
    return x.astype(dtype), False


class _Trial:
    """A layer and an input on which it is run forward and backward, always with one outcome."""

    def __init__(
        self, layer: Layer, x: np.ndarray, floats: bool, training: bool, seed: int
    ) -> None:
        self.layer = layer
        self.x = x
        self.floats = floats
        self.training = training
        self.seed = seed
        self.forward = _repeatable(layer, lambda ctx: layer.propagate(x, ctx), seed)

    def choose_upstream(self, random: np.random.RandomState) -> Any:
        """Return a random gradient by the output; a list for several outputs."""
        before = self.x.copy()
        y, _ = self.forward(Context(training=self.training))
        self._check_kept(self.x, before, "forward has written to its input")
        self.layer._check_output_shape(self.x, y)
        if type(y) is list:
            return [random.standard_normal(one.shape) for one in y]
        return random.standard_normal(y.shape)

    def run(
        self,
        upstream: Any,
        fill: float = 0.0,
        needs_input_gradient: bool = True,
        backward: Callable | None = None,
        between: Callable[[], object] | None = None,
    ) -> tuple[Any, dict[Variable, np.ndarray]]:
        """Return the gradients of the input and of the weights.

        `fill` is what the weights' gradients are full of before, `backward` stands in for that
        of the layer, and `between` is called after forward.
        """
        targets = {w: np.full(w.shape, fill) for w in self.layer.trainable_weights}
        ctx = Context(training=self.training, gradients=targets)
        y, residual = self.forward(ctx)
        if between is not None:
            between()
        ctx.needs_input_gradient = self.floats and needs_input_gradient
        before = self.x.copy(), copy.deepcopy(y)
        dx = (backward or self.layer.backpropagate)(copy.deepcopy(upstream), residual, ctx)
        ctx.finish_gradients()
        self._check_kept(self.x, before[0], "backward has written to its input")
        for one, other in zip(as_list(y), as_list(before[1]), strict=True):
            self._check_kept(
                one, other, "backward has written to the output, which others still read"
            )
        return dx, targets

    def output(self) -> np.ndarray:
        """Return the layer's output."""
        return self.forward(Context(training=self.training))[0]

    def disturb(self) -> None:
        """Run the layer on other data, with other random numbers."""
        other = np.roll(self.x, 1)
        if self.floats:
            other = 0.5 * other + 0.1
        ctx = Context(training=self.training)
        ctx.check_numerics = False
        with _seeded(self.seed, 2), np.errstate(all="ignore"):
            self.layer.propagate(other, ctx)

    def _check_kept(self, array: np.ndarray, before: np.ndarray, problem: str) -> None:
        if not np.array_equal(array, before, equal_nan=array.dtype.kind == "f"):
            raise GradientError(f"{_describe(self.layer)}: {problem}.")


def _check_rules(trial: _Trial, upstream: np.ndarray, dx: Any, gradients: dict) -> None:
    """Check that the gradients stay the same wherever they must."""
    name = _describe(trial.layer)
    _, filled = trial.run(upstream, fill=np.nan)
    for weight, gradient in filled.items():
        if (np.isnan(gradient) & ~np.isnan(gradients[weight])).any():
            raise GradientError(
                f"{name}: not all entries of the gradient of {weight.name} were written, or "
                "backward adds to what was there: it must overwrite."
            )
    when = "when ctx.needs_input_gradient is False"
    _, alone = trial.run(upstream, needs_input_gradient=False)
    _check_same(name, when, gradients, alone)
    when = (
        "if forward runs on other data before backward: what backward needs must go into the "
        "residual, not into the layer"
    )
    other_dx, others = trial.run(upstream, between=trial.disturb)
    _check_same(name, when, {**gradients, "x": dx}, {**others, "x": other_dx})
    dz = _logits_gradient(trial, upstream)
    if dz is not None:
        other_dx, others = trial.run(dz, backward=trial.layer.backward_logits)
        expected = {**gradients, "x": dx}
        _check_same(name, "from backward_logits", expected, {**others, "x": other_dx})


def _check_same(name: str, when: str, expected: dict, others: dict) -> None:
    for key, gradient in expected.items():
        other = others[key]
        if gradient is None:
            continue
        if np.shape(other) != gradient.shape or not np.allclose(
            other, gradient, rtol=1e-9, atol=1e-12, equal_nan=True
        ):
            of = getattr(key, "name", key)
            raise GradientError(f"{name}: the gradient of {of} is another one {when}.")


def _logits_gradient(trial: _Trial, upstream: np.ndarray) -> np.ndarray | None:
    """Return the gradient by the input of the layer's last activation, if it follows from y."""
    function = trial.layer.fused_activation
    if function is None:
        return None
    try:
        pair = activations.forward_backward(function)
    except NotImplementedError:
        return None
    return None if pair.needs_input else pair.backward(upstream.copy(), trial.output())


def _model_problem(model: Sequential, data: Sequence[Any], seed: int) -> Problem:
    if len(data) > 3:
        raise TypeError(f"For a compiled model, pass x, y and sample_weight; got {len(data)}.")
    if model.optimizer is None:
        raise ValueError(
            f"{_describe(model)} is not compiled, so there is no loss: compile it, or pass x alone."
        )
    x = data[0]
    model = _in_float64(model)
    with _seeded(seed, 1):
        model.ensure_built((None, *np.shape(x)[1:]))
    model.compile(
        "sgd",
        model.loss,
        loss_weights=model.loss_weights,
        sample_weight_mode=model.sample_weight_mode,
    )
    arrays = converted(model, standardize(model, *data))
    step = model._ready()

    def loss() -> float:
        step.random.renew()
        return step.compute_gradients(*arrays)[0]

    run = _repeatable(model, loss, seed)
    run()
    names = _names(step.trainable)
    gradients = [step.store.gradients[w].copy() for w in step.trainable]
    values = [w.value for w in step.trainable]
    return Problem(
        run, dict(zip(names, values, strict=True)), dict(zip(names, gradients, strict=True))
    )


def _names(weights: Iterable[Variable]) -> list[str]:
    """Return the weights' names, with a number where one is used several times."""
    found: dict[str, None] = {}
    for weight in weights:
        name, number = weight.name, 1
        while name in found:
            number += 1
            name = f"{weight.name} ({number})"
        found[name] = None
    return list(found)


def _loss_problem(loss: Any, data: Sequence[Any], random: np.random.RandomState) -> Problem:
    if len(data) != 2:
        raise TypeError(
            f"To check the loss {loss!r}, pass y_true and y_pred (an activation takes x alone); "
            f"got {len(data)} arrays."
        )
    pair = losses.pair(losses.get(loss))
    y_true = np.asarray(data[0])
    y_true = y_true.astype("float64") if y_true.dtype.kind == "f" else y_true
    y_pred = np.array(data[1], dtype="float64")
    upstream = random.standard_normal(np.shape(pair.forward(y_true, y_pred)))
    gradient = pair.backward(upstream, y_true, y_pred)
    return Problem(
        lambda: float(np.vdot(upstream, pair.forward(y_true, y_pred))),
        {"y_pred": y_pred},
        {"y_pred": gradient},
    )


def _is_plain_function(target: Any) -> bool:
    known = target in activations.FUNCTIONS.values() or target in losses.FUNCTIONS.values()
    return callable(target) and not known and getattr(target, "pair", None) is None


def _function_problem(
    function: Callable[..., Any], data: Sequence[Any], random: np.random.RandomState
) -> Problem:
    arrays = [np.array(a, "float64") if np.asarray(a).dtype.kind == "f" else a for a in data]
    leaves = [Tensor(a) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arrays]
    y = function(*leaves)
    if not isinstance(y, Tensor):
        raise TypeError(
            f"{_describe(function)} returned {type(y).__name__} for a tensor: write it in "
            "functions of K, so that the derivative is known."
        )
    upstream = random.standard_normal(np.shape(y.value))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor)]
    found = backpropagate([(y, upstream)], [leaves[i] for i in places])
    names = ["x"] if len(data) == 1 else [f"argument {i}" for i in range(len(data))]
    gradients = {
        names[i]: np.zeros_like(arrays[i]) if gradient is None else gradient
        for i, gradient in zip(places, found, strict=True)
    }
    return Problem(
        lambda: float(np.vdot(upstream, value_of(function(*arrays)))),
        {names[i]: arrays[i] for i in places},
        gradients,
    )


def _regularizer_problem(regularizer: Regularizer, x: Any) -> Problem:
    x = np.array(x, dtype="float64")
    gradient = np.zeros_like(x)
    regularizer.add_gradient(x, gradient)
    return Problem(lambda: float(regularizer(x)), {"x": x}, {"x": gradient})


def _repeatable(layer: Layer, run: Callable, seed: int) -> Callable:
    """Return `run` made to give the same result each time, whatever random layers there are."""
    states = [(part, dict(vars(part))) for part in all_layers(layer)]
    random = [
        (part, name, copy.deepcopy(value))
        for part, state in states
        for name, value in state.items()
        if isinstance(value, np.random.Generator)
    ]

    def seeded(*args: Any) -> Any:
        restart_seeds()
        for part, state in states:  # a layer with a seed of its own starts it anew
            vars(part).update(state)
        for part, name, generator in random:
            setattr(part, name, copy.deepcopy(generator))
        with _seeded(seed):
            return run(*args)

    return seeded


@contextmanager
def _seeded(*seed: int) -> Iterator[None]:
    """Seed ``np.random`` for a while, and leave the user's random numbers as they were."""
    outer = np.random.get_state()
    np.random.seed(seed if len(seed) > 1 else seed[0])
    try:
        yield
    finally:
        np.random.set_state(outer)


@contextmanager
def _double_precision() -> Iterator[None]:
    """Have `K.floatx` be float64 for a while: a layer's `call` may ask for it."""
    outer = floatx()
    set_floatx("float64")
    try:
        yield
    finally:
        set_floatx(outer)


def _in_float64(layer: Any) -> Any:
    """Return a copy of a layer or model that computes in float64."""
    layer = copy.deepcopy(layer)
    for part in all_layers(layer):
        part.dtype = "float64"
        for weight in part._trainable_weights + part._non_trainable_weights:
            weight.value = weight.value.astype("float64")
    return layer


def _shape_for(layer: Layer, input_shape: Sequence[int] | None) -> tuple[int, ...]:
    shape = input_shape
    if shape is None:
        shape = getattr(layer, "batch_input_shape", None)
        shape = None if shape is None else (shape[0] or 3, *shape[1:])
    if shape is None or None in shape:
        raise ValueError(
            "check_gradients needs an input: pass an array, or input_shape=(batch, ...)."
        )
    if len(shape) < 2:
        raise ValueError(f"input_shape needs the batch axis, too: (3, *{tuple(shape)}), say.")
    return tuple(shape)


def _single(data: Sequence[Any]) -> Any:
    if len(data) != 1:
        raise TypeError(f"check_gradients needs one array for this target, got {len(data)}.")
    return data[0]


def _describe(target: Any) -> str:
    if isinstance(target, Layer):
        return f"{type(target).__name__} '{target.name}'"
    return getattr(target, "__name__", None) or repr(target)
