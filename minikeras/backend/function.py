"""`K.function`, `K.gradients` and `K.eval`: computing what was deferred, and going back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from minikeras.backend.backpropagation import backpropagate, history
from minikeras.backend.context import Context
from minikeras.backend.deferred import (
    LEARNING_PHASE,
    Deferred,
    Placeholder,
    order,
    resolve,
    resolve_dict,
)
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import fixed_phase, inside, records
from minikeras.backend.tape import Tensor, value_of
from minikeras.backend.updates import Change, is_update
from minikeras.ops.blas import one_thread


class Function:
    """What `function` makes: call it with a list of inputs to get a list of outputs.

    Attributes
    ----------
    inputs, outputs : list of TensorLike
    updates : list
    """

    def __init__(self, inputs: Any, outputs: Any, updates: Any = None) -> None:
        self.inputs = _checked_inputs(inputs)
        self.outputs = _as_list(outputs)
        several = [] if updates is None else updates
        single = isinstance(several, Change) or is_update(several)
        self.updates = [several] if single else _as_list(several)
        self._changes = [_as_change(update) for update in self.updates]
        for output in self.outputs:
            if output is None:
                raise ValueError(
                    "An output of K.function is None. K.gradients gives None where the loss does "
                    "not depend on a variable."
                )
        needed = [expression for change in self._changes for expression in change.expressions]
        self._plan = _Plan([*self.outputs, *needed], self.inputs)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        """Compute the outputs, then bring the updates about.

        Parameters
        ----------
        inputs : list of array_like
            One for each of `inputs`.

        Returns
        -------
        list of ndarray
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) != len(self.inputs):
            count = len(inputs) if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            names = ", ".join(repr(getattr(x, "name", "?")) for x in self.inputs)
            raise TypeError(
                f"This function takes a list of {len(self.inputs)} inputs ({names}), got {count}."
            )
        pairs = zip(self.inputs, inputs, strict=True)
        results = self._plan.run({id(x): _fed(x, value) for x, value in pairs})
        done = len(self.outputs)
        for expressions, apply in self._changes:
            apply(results[done : done + len(expressions)])
            done += len(expressions)
        return results[: len(self.outputs)]


def function(inputs: Any, outputs: Any, updates: Any = None, **kwargs: Any) -> Function:
    """Return a function that computes `outputs` for given values of `inputs`.

    Parameters
    ----------
    inputs : list
        Placeholders; also ``model.input``, ``layer.output`` and other expressions, for which a
        value may be given; ``K.learning_phase()``.
    outputs : list
        Expressions of the inputs and of variables, which have the values of the moment.
    updates : list of (Variable, value), optional
        What variables become after each call, as pairs or by `K.update` and its kin; also what
        `Optimizer.get_updates` returns.
    **kwargs
        None: in TensorFlow they are options of a session.

    Returns
    -------
    Function

    Examples
    --------
    >>> from minikeras import Sequential, backend as K
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(3, input_dim=2, name="hidden"), Dense(1)])
    >>> hidden = K.function([model.input], [model.get_layer("hidden").output])
    >>> hidden([np.ones((4, 2))])[0].shape
    (4, 3)
    """
    if kwargs:
        raise ValueError(
            f"K.function has no argument {', '.join(map(repr, kwargs))} here: it belongs to "
            "TensorFlow's sessions."
        )
    return Function(inputs, outputs, updates)


class _Plan:
    """The nodes that lead from inputs to outputs, in order."""

    def __init__(self, outputs: list[Any], inputs: Sequence[Any]) -> None:
        self.outputs = outputs
        known = {id(x) for x in inputs}
        self.nodes = [node for node in order(outputs, known) if id(node) not in known]
        self.wanted = {
            id(variable) for node in self.nodes if _is_gradient(node) for variable in node.args[1]
        }
        for node in self.nodes:
            if isinstance(node, Placeholder) and node is not LEARNING_PHASE:
                raise ValueError(
                    f"An output depends on the placeholder {node.name!r}, which is not among the "
                    f"inputs ({', '.join(str(getattr(x, 'name', x)) for x in inputs) or 'none'})."
                )

    def run(self, fed: dict[int, Any]) -> list[Any]:
        """Compute the outputs."""
        values = dict(fed)
        phase = values.setdefault(id(LEARNING_PHASE), int(fixed_phase(False)))
        ctx = Context(training=bool(phase), records=bool(self.wanted))
        ctx.frozen = True  # as in Keras, averages and states are left alone
        with inside(ctx), one_thread(inside=True):
            for key, value in fed.items():
                if isinstance(value, np.ndarray):
                    values[key] = Tensor(value)
            for node in self.nodes:
                if id(node) not in values:
                    values[id(node)] = self._compute(node, values)
            results = [value_of(resolve(output, values)) for output in self.outputs]
        # Not views of variables, that change with them.
        return [np.array(result) for result in results]

    def _compute(self, node: Any, values: dict[int, Any]) -> Any:
        value = _computed(node, values)
        if id(node) in self.wanted and not isinstance(value, TensorLike):
            return Tensor(value)
        return value


def _computed(node: Any, values: dict[int, Any]) -> Any:
    """Call what a node stands for, on what its arguments have come to."""
    if isinstance(node, Tensor):
        if node.op is None:
            return node
        call = node.op.call
    elif isinstance(node, Placeholder):
        raise ValueError(f"The placeholder {node.name!r} is not among the inputs of the function.")
    else:
        call = node.call
    value = call(*resolve(node.args, values), **resolve_dict(node.kwargs, values))
    if isinstance(value, Deferred):  # made of what a step function found around it
        for inner in order([value], values):
            if id(inner) not in values:
                values[id(inner)] = _computed(inner, values)
        return values[id(value)]
    return value


def recompute(expression: Any, values: dict[int, Any] | None = None) -> Any:
    """Compute an expression anew, as a part of the pass at hand.

    Parameters
    ----------
    expression : Tensor or Deferred
    values : dict, optional
        What stands for placeholders, by their ``id``.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> w = K.variable(1.0)
    >>> doubled = 2 * w
    >>> K.set_value(w, 3.0)
    >>> float(recompute(doubled))
    6.0
    """
    values = {} if values is None else values
    for node in order([expression], values):
        if id(node) not in values:
            values[id(node)] = _computed(node, values)
    return values[id(expression)]


def eval(x: Any) -> Any:  # the name is Keras'
    """Return the value of an expression, with the values that variables have now.

    Parameters
    ----------
    x : TensorLike or array_like
        It must not depend on a placeholder.

    Returns
    -------
    ndarray or number

    Examples
    --------
    >>> from minikeras import backend as K
    >>> w = K.variable([1.0, 2.0])
    >>> doubled = 2 * w
    >>> K.set_value(w, [3.0, 4.0])
    >>> K.eval(doubled).tolist()
    [6.0, 8.0]
    """
    if isinstance(x, (Tensor, Deferred)):
        return _Plan([x], []).run({})[0]
    return np.array(value_of(x))


def gradients(loss: Any, variables: Any) -> list[Any]:
    """Return the gradients of a loss.

    Parameters
    ----------
    loss : TensorLike
        If it is no single number, the sum of its entries is meant.
    variables : TensorLike or list of TensorLike
        Variables, placeholders, outputs of layers: anything that `loss` was computed from.

    Returns
    -------
    list of Tensor or Deferred or None
        Each in the shape of its variable; None for what `loss` does not depend on. Second
        derivatives are not there: a gradient can be computed with, but not differentiated.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> w = K.variable([1.0, 2.0])
    >>> K.eval(K.gradients(K.sum(w * w), [w])[0]).tolist()
    [2.0, 4.0]
    """
    variables = _as_list(variables)
    for item in (loss, *variables):
        if not isinstance(item, TensorLike):
            raise TypeError(
                f"K.gradients takes tensors and variables, got {type(item).__name__}. An array "
                "remembers nothing of how it was computed: begin with a K.variable, a "
                "K.placeholder or the input of a layer."
            )
    if not records() and not isinstance(loss, Deferred):
        raise RuntimeError(
            "K.gradients was called in a pass that does not go back, such as predict or evaluate: "
            "nothing is recorded there. Use K.function with expressions of model.input."
        )
    if not isinstance(loss, Deferred):
        return _gradient_tensors(loss, variables)
    reached = {id(node) for node in order([loss])} | {id(leaf) for leaf in history([loss])[1]}
    found = [v for v in variables if id(v) in reached]
    parts = iter(Deferred(_gradients, (loss, found), {}, "gradients").parts(len(found)))
    return [next(parts) if id(v) in reached else None for v in variables]


def _gradient_tensors(loss: Any, variables: list[Any]) -> list[Tensor | None]:
    """Compute gradients on the tape; None for what has none."""
    found = backpropagate([(loss, np.ones_like(loss.value))], variables)
    return [
        None if gradient is None else Tensor(gradient, _GradientOp(index), (loss, variables))
        for index, gradient in enumerate(found)
    ]


def _gradients(loss: Any, variables: list[Any]) -> list[Any]:
    """Compute the gradients that are deferred."""
    if not records() or not isinstance(loss, TensorLike):  # only the shapes are asked for
        return [np.zeros_like(value_of(variable)) for variable in variables]
    found = _gradient_tensors(loss, variables)
    for variable, gradient in zip(variables, found, strict=True):
        if gradient is None:
            name = getattr(variable, "name", "a tensor")
            raise ValueError(
                f"The gradient by {name!r} does not exist: between it and the loss there are "
                "functions without one, such as K.argmax, K.round or K.stop_gradient."
            )
    return found


class _GradientOp:
    """Makes a gradient a node of the tape, that can be computed anew but not differentiated."""

    name = "gradients"

    def __init__(self, index: int) -> None:
        self.index = index
        self.derivatives = (self.pull, self.pull)

    def call(self, loss: Any, variables: list[Any]) -> Tensor:
        """Compute the gradient anew."""
        return _gradients(loss, variables)[self.index]

    def pull(self, *args: Any) -> NoReturn:
        """Refuse."""
        raise NotImplementedError(
            "K.gradients of an expression that holds K.gradients: second derivatives are not "
            "there. Pass K.stop_gradient(gradient) if it is to count as a constant."
        )


def _is_gradient(node: Any) -> bool:
    if isinstance(node, Deferred):
        return node.call is _gradients
    return isinstance(node.op, _GradientOp)


def _as_list(x: Any) -> list[Any]:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _checked_inputs(inputs: Any) -> list[Any]:
    if not isinstance(inputs, (list, tuple)):
        raise TypeError(
            f"The inputs of K.function are given as a list, got {type(inputs).__name__}."
        )
    for x in inputs:
        if not isinstance(x, (Deferred, Tensor, int)):
            raise TypeError(
                f"An input of K.function must be a placeholder, the input of a model or another "
                f"expression; got {type(x).__name__}. Values are given when it is called."
            )
    return list(inputs)


def _as_change(update: Any) -> Change:
    if isinstance(update, Change):
        return update
    if is_update(update):
        variable, new = update
        return Change([new], lambda values: variable.assign(values[0]))
    raise TypeError(
        "An update of K.function is a pair (variable, new value), or what K.update returns for a "
        f"value that depends on an input; got {update!r}. K.update of a known value acts at once."
    )


def _fed(x: Any, value: Any) -> Any:
    """Bring a value for an input to its type, and check its shape."""
    if isinstance(x, int):  # a learning phase that was fixed
        return value
    value = np.asarray(value_of(value))
    if x is LEARNING_PHASE:
        return int(value)
    if isinstance(x, Deferred):
        value = value.astype(x.dtype, copy=False)
        if isinstance(x, Placeholder) and x._shape is None:
            return value
        wanted = x.shape
        if len(wanted) != value.ndim or any(
            a not in (None, b) for a, b in zip(wanted, value.shape, strict=True)
        ):
            raise ValueError(
                f"The input {x.name!r} of this function has the shape {wanted}, got an array of "
                f"shape {value.shape}."
            )
    return value
