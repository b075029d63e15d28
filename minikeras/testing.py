"""Checking derivatives: of a layer, a loss, a regularizer or a whole model, in one call.

The gradient that ``backward`` computes is compared with central differences of ``forward``,
``(f(a + h) - f(a - h)) / 2h``, entry by entry and in float64. Use it on your own layers; the
tests of this library use it on all of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minikeras import losses
from minikeras.engine import Context, Layer
from minikeras.layers import Activation
from minikeras.models import Sequential
from minikeras.regularizers import Regularizer

__all__ = ["GradientError", "Report", "check_gradients"]

_STEP = 1e-5


class GradientError(AssertionError):
    """A derivative does not agree with central differences."""


class Report(NamedTuple):
    """The outcome of a gradient check: the entry with the largest relative error.

    Attributes
    ----------
    where : str
        ``'x'``, ``'y_pred'`` or a weight's name.
    position : tuple of int
        The entry's index in it.
    analytic, numeric : float
        What ``backward`` says and what the differences say.
    error : float
        ``|analytic - numeric|`` relative to the larger of the two, or to a thousandth of the
        array's largest derivative where both are tiny.
    entries : int
        How many entries were compared.
    """

    where: str
    position: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    entries: int

    def __str__(self) -> str:
        place = f"{self.where}[{', '.join(map(str, self.position))}]"
        return (
            f"worst of {self.entries} entries: {place}, backward {self.analytic:.10g}, central "
            f"difference {self.numeric:.10g}, relative error {self.error:.2g}"
        )


def check_gradients(
    target: Any,
    *data: Any,
    input_shape: Sequence[int] | None = None,
    training: bool = False,
    tolerance: float = 1e-5,
    seed: int = 0,
    max_entries: int = 400,
) -> Report:
    """Compare a derivative written by hand with central differences.

    Parameters
    ----------
    target : Layer, Sequential, Regularizer, str or callable
        What to check; it is copied and not changed.

        - a layer, or a model that is not compiled: the derivatives of its output by the input
          and by each trainable weight;
        - a compiled model, given ``x, y``: those of the whole training loss by each trainable
          weight;
        - a loss by name or function, given ``y_true, y_pred``: by `y_pred`;
        - a regularizer or an activation function, by name or itself, given ``x``: by `x`.
    *data : array_like
        See `target`. A layer's input defaults to normal random numbers of `input_shape`.
    input_shape : tuple of int, optional
        Shape of a layer's input with the batch axis.
    training : bool
        Whether layers run as in training. Random layers then draw the same numbers in each
        evaluation. Default False; a compiled model is always checked as in training.
    tolerance : float
        Largest relative error that passes. Default 1e-5.
    seed : int
        Of the random input, the weighting of the outputs and the random layers. Default 0.
    max_entries : int
        Of a larger array, so many entries are picked at random. Default 400.

    Returns
    -------
    Report
        The worst entry.

    Raises
    ------
    GradientError
        If an error exceeds the tolerance. The message is the report.

    Examples
    --------
    >>> from minikeras.layers import Dense
    >>> check_gradients(Dense(3, activation="tanh"), input_shape=(2, 4)).entries
    23
    >>> check_gradients("mse", [[1.0, 2.0]], [[0.5, 0.0]]).error < 1e-6
    True
    """
    random = np.random.RandomState(seed)
    if isinstance(target, Sequential) and target.optimizer is not None and len(data) == 2:
        problem = _model_problem(target, *data, seed)
    elif isinstance(target, Layer):
        x = random.standard_normal(_shape_for(target, input_shape)) if not data else _single(data)
        problem = _layer_problem(target, x, training, seed, random)
    elif isinstance(target, Regularizer):
        problem = _regularizer_problem(target, _single(data))
    elif len(data) == 1 and target not in (*losses.FUNCTIONS, *losses.FUNCTIONS.values()):
        x = np.asarray(data[0], "float64")
        problem = _layer_problem(Activation(target), np.atleast_2d(x), training, seed, random)
    else:
        problem = _loss_problem(target, data, random)
    report = _compare(problem, random, max_entries)
    if not report.error <= tolerance:
        raise GradientError(f"{_describe(target)}: {report} (tolerance {tolerance:.2g})")
    return report


class _Problem(NamedTuple):
    """A scalar function of some arrays, which it reads in place, and its gradients by them."""

    function: Callable[[], float]
    arrays: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def _compare(problem: _Problem, random: np.random.RandomState, max_entries: int) -> Report:
    worst = Report("", (), 0.0, 0.0, 0.0, 0)
    count = 0
    for name, array in problem.arrays.items():
        gradient = problem.gradients[name]
        if gradient.shape != array.shape:
            raise GradientError(
                f"The gradient of {name} has shape {gradient.shape}, but {name} has {array.shape}."
            )
        floor = max(1e-3 * float(np.abs(gradient).max(initial=0.0)), 1e-6)
        for index in _some_indices(array.shape, max_entries, random):
            analytic = float(gradient[index])
            numeric, error = _numeric(problem.function, array, index, analytic, floor)
            count += 1
            if not error <= worst.error:
                worst = Report(name, index, analytic, numeric, error, count)
    return worst._replace(entries=count)


def _some_indices(
    shape: tuple[int, ...], most: int, random: np.random.RandomState
) -> Iterator[tuple[int, ...]]:
    size = int(np.prod(shape))
    flat = np.arange(size) if size <= most else random.choice(size, most, replace=False)
    for number in flat:
        yield tuple(int(i) for i in np.unravel_index(number, shape))


def _numeric(
    function: Callable[[], float],
    array: np.ndarray,
    index: tuple[int, ...],
    analytic: float,
    floor: float,
) -> tuple[float, float]:
    """Return the central difference and its relative distance from `analytic`.

    Where the two differ, a kink may lie between the two points: a smaller step decides.
    """
    best = (np.nan, np.inf)
    value = array[index]
    for step in (_STEP, _STEP / 10, _STEP / 100):
        h = step * max(1.0, abs(value))
        array[index] = value + h
        above = function()
        array[index] = value - h
        below = function()
        array[index] = value
        numeric = (above - below) / (2 * h)
        error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor)
        if error < best[1]:
            best = (numeric, error)
        if error < 1e-6:
            break
    return best


def _layer_problem(
    layer: Layer, x: Any, training: bool, seed: int, random: np.random.RandomState
) -> _Problem:
    x = np.array(x, dtype="float64") if _takes_floats(layer) else np.array(x)
    layer = _in_float64(layer)
    layer.ensure_built((None, *x.shape[1:]) if len(x.shape) else x.shape)
    run = _repeatable(layer, lambda ctx: layer.propagate(x, ctx), seed)
    targets = {w: np.full(w.shape, np.nan) for w in layer.trainable_weights}
    ctx = Context(training=training, gradients=targets)
    before = x.copy()
    y, residual = run(ctx)
    layer._check_output_shape(x, y)
    upstream = random.standard_normal(y.shape)
    dx = layer.backpropagate(upstream.copy(), residual, ctx)
    ctx.finish_gradients()
    if not np.array_equal(x, before):
        raise GradientError(f"{_describe(layer)}: forward or backward has written to its input.")
    _check_weights_alone(layer, run, training, targets, upstream)

    def function() -> float:
        ctx = Context(training=training)
        y, _ = run(ctx)
        return float(np.vdot(upstream, y)) + ctx.loss

    arrays = {w.name: w.value for w in targets}
    gradients = {w.name: gradient for w, gradient in targets.items()}
    if _takes_floats(layer):
        if dx is None:
            raise GradientError(f"{_describe(layer)}: backward returned no gradient of the input.")
        arrays["x"], gradients["x"] = x, dx
    return _Problem(function, arrays, gradients)


def _check_weights_alone(
    layer: Layer, run: Callable, training: bool, expected: dict, upstream: np.ndarray
) -> None:
    """Check that the weights' gradients are the same when that of the input is not wanted."""
    targets = {weight: np.full(weight.shape, np.nan) for weight in expected}
    ctx = Context(training=training, gradients=targets)
    _, residual = run(ctx)
    ctx.needs_input_gradient = False
    layer.backpropagate(upstream.copy(), residual, ctx)
    ctx.finish_gradients()
    for weight, gradient in targets.items():
        if not np.allclose(gradient, expected[weight], rtol=1e-9, atol=1e-12):
            raise GradientError(
                f"{_describe(layer)}: the gradient of {weight.name} is another one when "
                "ctx.needs_input_gradient is False."
            )


def _model_problem(model: Sequential, x: Any, y: Any, seed: int) -> _Problem:
    model = _in_float64(model)
    model.ensure_built((None, *np.shape(x)[1:]))
    model.compile("sgd", model.loss, loss_weights=model.loss_weights)
    arrays = model._convert(model._standardize(x, y))
    step = model._ready()

    def loss() -> float:
        step.random.renew()
        return step.compute_gradients(*arrays)[0]

    run = _repeatable(model, loss, seed)
    run()
    gradients = {w.name: step.store.gradients[w].copy() for w in step.trainable}
    values = {w.name: w.value for w in step.trainable}
    return _Problem(run, values, gradients)


def _loss_problem(loss: Any, data: Sequence[Any], random: np.random.RandomState) -> _Problem:
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
    return _Problem(
        lambda: float(np.vdot(upstream, pair.forward(y_true, y_pred))),
        {"y_pred": y_pred},
        {"y_pred": gradient},
    )


def _regularizer_problem(regularizer: Regularizer, x: Any) -> _Problem:
    x = np.array(x, dtype="float64")
    gradient = np.zeros_like(x)
    regularizer.add_gradient(x, gradient)
    return _Problem(lambda: float(regularizer(x)), {"x": x}, {"x": gradient})


def _repeatable(layer: Layer, run: Callable, seed: int) -> Callable:
    """Return `run` made to give the same result each time, whatever random layers there are."""
    states = [(part, dict(vars(part))) for part in _all_layers(layer)]
    random = [
        (part, name, copy.deepcopy(value))
        for part, state in states
        for name, value in state.items()
        if isinstance(value, np.random.Generator)
    ]

    def seeded(*args: Any) -> Any:
        for part, state in states:  # a layer with a seed of its own starts it anew
            vars(part).update(state)
        for part, name, generator in random:
            setattr(part, name, copy.deepcopy(generator))
        outer = np.random.get_state()
        np.random.seed(seed)
        try:
            return run(*args)
        finally:
            np.random.set_state(outer)

    return seeded


def _in_float64(layer: Any) -> Any:
    """Return a copy of a layer or model that computes in float64."""
    layer = copy.deepcopy(layer)
    for part in _all_layers(layer):
        part.dtype = "float64"
        for weight in part._trainable_weights + part._non_trainable_weights:
            weight.value = weight.value.astype("float64")
    return layer


def _all_layers(layer: Layer) -> Iterator[Layer]:
    """Walk a layer and those it holds."""
    yield layer
    for value in vars(layer).values():
        for part in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(part, Layer):
                yield from _all_layers(part)


def _takes_floats(layer: Layer) -> bool:
    return layer.input_dtype is not None and np.dtype(layer.input_dtype).kind == "f"


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
