"""`K`: choices and loops: `switch`, the phases, recurrence over time, maps and folds.

Loops are Python's. What their functions compute in `K` functions is recorded, so derivatives need
nothing of their own here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.backend.creation import cast
from minikeras.backend.deferred import learning_phase
from minikeras.backend.inspection import int_shape
from minikeras.backend.operators import TensorLike
from minikeras.backend.shaping import stack
from minikeras.backend.tape import composed, differentiable, unbroadcast, value_of

# --- choices --------------------------------------------------------------------------------


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """Return one of two expressions, or of each the entries for which a condition says so.

    Parameters
    ----------
    condition : bool or array_like of bool or numbers
        A single one picks one expression. An array picks entry by entry; if it has fewer axes
        than the expressions, it holds for all that lies under its entries: a condition of shape
        ``(batch,)`` picks samples.
    then_expression, else_expression : array_like or callable
        Values of one shape, or functions without arguments that return them. If `condition` is
        single and known, only the function that is picked is called.

    Raises
    ------
    ValueError
        If `condition` has more axes than the expressions.

    Examples
    --------
    >>> switch(np.array([True, False]), np.ones((2, 2)), np.zeros((2, 2))).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    known = value_of(condition)
    if known is not None and np.ndim(known) == 0:
        return _called(then_expression if known else else_expression)
    return _select(condition, _called(then_expression), _called(else_expression))


def _called(expression: Any) -> Any:
    return expression() if callable(expression) else expression


def _select_back(which: int) -> Callable[..., np.ndarray]:
    def derivative(dy: np.ndarray, chosen: np.ndarray, *args: Any) -> np.ndarray:
        if chosen.ndim == 0:  # the other one may have another shape
            return dy if chosen == (which == 1) else np.zeros(np.shape(args[which]), dy.dtype)
        parts = (dy, 0) if which == 1 else (0, dy)
        return unbroadcast(np.where(chosen, *parts), args[which])

    return derivative


@differentiable(None, _select_back(1), _select_back(2), keeps=True, one_type=True)
def _select(condition: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Choose entry by entry; the condition has its axes from the left."""
    condition = np.asarray(condition, bool)
    if condition.ndim == 0:
        return np.asarray(x if condition else y), condition
    axes = max(np.ndim(x), np.ndim(y))
    if condition.ndim > axes:
        raise ValueError(
            f"K.switch: the condition has shape {condition.shape}, more axes than the expressions, "
            f"of shapes {np.shape(x)} and {np.shape(y)}."
        )
    chosen = condition.reshape(condition.shape + (1,) * (axes - condition.ndim))
    return np.where(chosen, x, y), chosen


def in_train_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """Return `x` in training, and `alt` otherwise.

    Parameters
    ----------
    x, alt : array_like or callable
        Values, or functions without arguments that return them; only one of them is called.
    training : bool, int or TensorLike, optional
        Default: ``K.learning_phase()``.

    Examples
    --------
    >>> in_train_phase(lambda: 1.0, lambda: 2.0, training=True)
    1.0
    """
    return switch(learning_phase() if training is None else training, x, alt)


def in_test_phase(x: Any, alt: Any, training: Any = None) -> Any:
    """Return `alt` in training, and `x` otherwise; see `in_train_phase`.

    Examples
    --------
    >>> in_test_phase(1.0, 2.0, training=True)
    2.0
    """
    return in_train_phase(alt, x, training)


# --- item by item ---------------------------------------------------------------------------


class _Parts:
    """The gradient of an array that comes in parts, one for each item along its first axis.

    The gradient of ``x[i]`` alone would be an array as large as `x`, for each `i`.
    """

    __slots__ = ("dtype", "parts")

    def __init__(self, parts: list[tuple[int, np.ndarray]]) -> None:
        self.parts = parts
        self.dtype = parts[0][1].dtype

    def astype(self, dtype: Any) -> _Parts:
        return _Parts([(i, dy.astype(dtype)) for i, dy in self.parts])

    def __add__(self, other: _Parts) -> _Parts:
        # In place: nobody else has seen the list.
        self.parts += other.parts
        return self

    def whole(self, like: np.ndarray) -> np.ndarray:
        dx = np.zeros(like.shape, self.dtype)
        for i, dy in self.parts:
            dx[i] += dy
        return dx


@differentiable(lambda dy, y, x, axis: np.moveaxis(dy.whole(y), 0, axis))
def _spread(x: Any, axis: int) -> np.ndarray:
    """Bring an axis to the front, for `_item` and nothing else to look at."""
    return np.moveaxis(np.asarray(x), axis, 0)


@differentiable(lambda dy, y, x, i: _Parts([(i, dy)]), None)
def _item(x: np.ndarray, i: int) -> Any:
    return x[i]


def _items(x: Any, axis: int = 0) -> list[Any]:
    """Return the items of `x` along an axis."""
    x = _spread(x, axis)
    return [_item(x, i) for i in range(len(x))]


# --- recurrence -----------------------------------------------------------------------------


def rnn(
    step_function: Callable[..., Any],
    inputs: Any,
    initial_states: Sequence[Any],
    go_backwards: bool = False,
    mask: Any = None,
    constants: Sequence[Any] | None = None,
    unroll: bool = False,
    input_length: int | None = None,
) -> tuple[Any, Any, list[Any]]:
    """Run a function over the time steps of a sequence.

    Parameters
    ----------
    step_function : callable
        ``step_function(x, states)`` returns ``(output, new_states)``, where `x` is one time step,
        ``(samples, ...)``, and `states` a tuple: the states, followed by `constants`.
    inputs : array_like or TensorLike
        ``(samples, time, ...)``, three axes or more.
    initial_states : list
        Arrays or tensors ``(samples, ...)``; may be empty.
    go_backwards : bool
        Whether to begin with the last step. Outputs are in the order in which they are computed.
    mask : array_like, optional
        ``(samples, time)`` or ``(samples, time, 1)``: where it is 0, all states stay as they
        were, and the output is the first of the states; so the first state of a step function
        should be its output. Keras does this in its symbolic loop. When it unrolls, it repeats
        the last output, and begins with zeros; here it is the same in both cases.
    constants : list, optional
        What each step gets besides. Tensors that have no value yet must come this way.
    unroll : bool
        Makes no difference, but that the number of steps must be known beforehand. Default False.
    input_length : int, optional
        The number of time steps, if one wants to have it checked.

    Returns
    -------
    last_output : Tensor or ndarray
        ``(samples, ...)``
    outputs : Tensor or ndarray
        ``(samples, time, ...)``
    new_states : list of Tensor or ndarray

    Raises
    ------
    ValueError
        If `inputs` has less than three axes or no time step, or another number of these than
        `input_length`; if there is a mask but no state; if a step returns another number of states.

    Examples
    --------
    >>> def total(x, states):
    ...     total = states[0] + x
    ...     return total, [total]
    >>> last, outputs, states = rnn(total, np.ones((1, 3, 1)), [np.zeros((1, 1))])
    >>> outputs.tolist(), last.tolist()
    ([[[1.0], [2.0], [3.0]]], [[3.0]])
    """
    shape = int_shape(inputs)
    if len(shape) < 3:
        raise ValueError(
            f"K.rnn: inputs must have the axes (samples, time, ...), at least three; got the "
            f"shape {shape}."
        )
    if unroll and shape[1] is None:
        raise ValueError(
            f"K.rnn: unroll=True needs a known number of time steps, got inputs of shape {shape}."
        )
    if mask is not None and not len(initial_states):
        raise ValueError(
            "K.rnn: a mask needs at least one state: where it is 0, the output is the first state."
        )
    states, constants = list(initial_states), list(constants or [])
    results = _run(step_function, inputs, states, mask, constants, go_backwards, input_length)
    if isinstance(results, TensorLike):  # all of them are still to come
        results = results.parts(2 + len(states))  # type: ignore[attr-defined]
    last_output, outputs, *new_states = results
    return last_output, outputs, new_states


@composed
def _run(
    step_function: Callable[..., Any],
    inputs: Any,
    states: list[Any],
    mask: Any,
    constants: list[Any],
    go_backwards: bool,
    input_length: int | None,
) -> list[Any]:
    """Return the last output, the outputs and the states of `rnn`, in one list."""
    steps = _items(inputs, axis=1)
    if not steps or input_length not in (None, len(steps)):
        wanted = "at least one time step" if input_length is None else f"{input_length} time steps"
        raise ValueError(f"K.rnn: expected {wanted}, got inputs of shape {int_shape(inputs)}.")
    counts = [None] * len(steps) if mask is None else list(_mask_by_time(mask, inputs))
    if go_backwards:
        steps.reverse()
        counts.reverse()
    outputs = []
    for x, count in zip(steps, counts, strict=True):
        output, new_states = step_function(x, (*states, *constants))
        if len(new_states) != len(states):
            raise ValueError(
                f"K.rnn: there are {len(states)} initial states, and step_function returned "
                f"{len(new_states)}."
            )
        if count is not None:
            output = _masked(count, output, states[0], "output")
            new_states = [
                _masked(count, new, old, f"state {i}")
                for i, (new, old) in enumerate(zip(new_states, states, strict=True))
            ]
        states = list(new_states)
        outputs.append(output)
    return [outputs[-1], stack(outputs, axis=1), *states]


def _mask_by_time(mask: Any, inputs: Any) -> np.ndarray:
    """Return a mask as booleans of shape ``(time, samples)``."""
    mask = np.asarray(value_of(mask)) != 0
    expected = int_shape(inputs)[:2]
    if mask.shape not in (expected, (*expected, 1)):
        raise ValueError(
            f"K.rnn: for inputs of shape {int_shape(inputs)} the mask must have shape {expected} "
            f"or {(*expected, 1)}, got {mask.shape}."
        )
    return mask.reshape(expected).T


def _masked(count: np.ndarray, new: Any, old: Any, what: str) -> Any:
    if int_shape(new) != int_shape(old):
        raise ValueError(
            f"K.rnn: where a step is masked, the {what} of shape {int_shape(new)} is replaced by a "
            f"state, and that has the shape {int_shape(old)}."
        )
    return new if count.all() else _select(count, new, old)


# --- maps and folds -------------------------------------------------------------------------


@composed
def map_fn(fn: Callable[..., Any], elems: Any, name: str | None = None, dtype: Any = None) -> Any:
    """Apply a function to each item along the first axis, and stack what it returns.

    Parameters
    ----------
    fn : callable
        Takes an item; or, if `elems` is a tuple or list of arrays, one of items. It may return a
        tuple or list, which makes the result one.
    elems : array_like or TensorLike, or tuple or list of these
        Of equal lengths, at least 1.
    name : str, optional
        Accepted as in Keras, where it belongs to a node of the graph. An array has none.
    dtype : str, optional
        The type of the result; for several results, a tuple or list of types. Default: what `fn`
        gives.

    Examples
    --------
    >>> map_fn(lambda row: row * row[0], np.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 2.0], [9.0, 12.0]]
    """
    results = [fn(item) for item in _elements(elems, "map_fn")]
    if not isinstance(results[0], (list, tuple)):
        return _typed(stack(results), dtype)
    dtypes = dtype if isinstance(dtype, (list, tuple)) else [dtype] * len(results[0])
    columns = zip(*results, strict=True)
    return type(results[0])(
        [_typed(stack(list(c)), wanted) for c, wanted in zip(columns, dtypes, strict=True)]
    )


@composed
def foldl(
    fn: Callable[..., Any], elems: Any, initializer: Any = None, name: str | None = None
) -> Any:
    """Combine the items along the first axis, from the first to the last.

    Parameters
    ----------
    fn : callable
        ``fn(result_so_far, item)`` returns the next result.
    elems : array_like or TensorLike, or tuple or list of these
        Of equal lengths, at least 1.
    initializer : array_like or TensorLike, optional
        The result to begin with. Default: the first item.
    name : str, optional
        Accepted as in Keras, where it belongs to a node of the graph. An array has none.

    Examples
    --------
    >>> float(foldl(lambda total, x: total - x, np.array([1.0, 2.0, 3.0])))
    -4.0
    """
    return _fold(fn, _elements(elems, "foldl"), initializer)


@composed
def foldr(
    fn: Callable[..., Any], elems: Any, initializer: Any = None, name: str | None = None
) -> Any:
    """Combine the items along the first axis, from the last to the first; see `foldl`.

    Examples
    --------
    >>> float(foldr(lambda total, x: total - x, np.array([1.0, 2.0, 3.0])))
    0.0
    """
    return _fold(fn, _elements(elems, "foldr")[::-1], initializer)


def _fold(fn: Callable[..., Any], items: list[Any], initializer: Any) -> Any:
    if initializer is None:
        initializer, *items = items
    for item in items:
        initializer = fn(initializer, item)
    return initializer


def _elements(elems: Any, name: str) -> list[Any]:
    """Return the items of an array, or of several arrays side by side."""
    if isinstance(elems, (list, tuple)) and any(map(_has_axes, elems)):
        lengths = [int_shape(e)[:1] for e in elems]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"K.{name}: the arrays must be of equal length, got the shapes "
                f"{[int_shape(e) for e in elems]}."
            )
        items = [type(elems)(parts) for parts in zip(*map(_items, elems), strict=True)]
    else:
        if not int_shape(elems):
            raise ValueError(f"K.{name} needs an axis to go along, got the number {elems!r}.")
        items = _items(elems)
    if not items:
        raise ValueError(f"K.{name} needs at least one item, got shape {int_shape(elems)}.")
    return items


def _has_axes(x: Any) -> bool:
    return isinstance(x, (TensorLike, np.ndarray))


def _typed(x: Any, dtype: Any) -> Any:
    return x if dtype is None else cast(x, dtype)
