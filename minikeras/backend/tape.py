"""The tape: values that remember how they were computed, and the way back from them.

A `K` function that meets a `Tensor` or a `Variable` returns a `Tensor`: the result together with
the function and the arguments that it came from (without them in a pass that will not go back).
From the last one, `backpropagate` (in `minikeras.backend.backpropagation`) walks back through those
arguments and hands each function the gradient of its result. So the tape is no list that anybody
keeps: it is what the last tensor holds on to, and it is gone when that is gone.

A differentiable function is written with its derivatives above it, one for each argument::

    @differentiable(
        lambda dy, z, x, y: unbroadcast(dy * y, x),
        lambda dy, z, x, y: unbroadcast(dy * x, y),
    )
    def multiply(x, y):
        return np.multiply(x, y)

On plain arrays it is the plain function.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from minikeras.backend.operators import TensorLike, check_leaving
from minikeras.backend.running import records

_numbers = itertools.count()
_TAPED = (TensorLike, list, tuple)
_PLAIN = {int, float, bool, str, type(None)}


class Tensor(TensorLike):
    """A value that remembers how it was computed.

    Parameters
    ----------
    value : ndarray
    op : Op, optional
        What computed it. Default: nothing, it is given.
    args : tuple
        What it was computed from: tensors, variables, lists of these, and other things.
    values : list
        The arrays of `args`.
    kwargs : dict, optional
    kept : object
        What the derivatives need besides.

    Attributes
    ----------
    mask : ndarray or None
        Which time steps count, where a layer has made the tensor.

    Examples
    --------
    >>> x = Tensor(np.array([1.0, 2.0, 3.0]))
    >>> y = x * x
    >>> y.value.tolist(), y.args[0] is x
    ([1.0, 4.0, 9.0], True)
    """

    __slots__ = (
        "_uses_learning_phase",  # layers of Keras 2 set it; it has no meaning here
        "args",
        "kept",
        "kwargs",
        "mask",
        "number",
        "op",
        "value",
        "values",
    )

    __hash__ = object.__hash__

    def __init__(
        self,
        value: Any,
        op: Any = None,
        args: tuple[Any, ...] = (),
        values: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
        kept: Any = None,
    ) -> None:
        self.value = value
        self.op = op
        self.args = args
        self.values = values
        self.kwargs = {} if kwargs is None else kwargs
        self.kept = kept
        self.mask: np.ndarray | None = None
        self.number = next(_numbers)

    def __eq__(self, other: Any) -> Any:
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return np.not_equal(self, other)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        check_leaving(self, "Turning it into a NumPy array")
        return np.array(self.value, dtype=dtype, copy=copy)

    def __float__(self) -> float:
        check_leaving(self, "float() of it")
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __bool__(self) -> bool:
        if np.size(self.value) != 1:
            raise TypeError(
                f"A condition on a tensor of shape {self.shape} has no single answer: use "
                "K.switch(condition, then, otherwise), or reduce it with K.any or K.all."
            )
        return bool(self.value)

    def __repr__(self) -> str:
        name = "" if self.op is None else f" of {self.op.name}"
        return f"<Tensor{name}, shape {self.shape}, {np.result_type(self.value)}: {self.value}>"


class Op:
    """A function with its derivatives; what `differentiable` makes.

    Attributes
    ----------
    pull : callable or None
        What computes all gradients at once, ``pull(dy, node, wanted)``, in place of the
        derivatives one by one; for a layer that is a node of the tape.
    """

    pull = None

    def __init__(
        self,
        function: Callable[..., Any],
        derivatives: tuple[Callable[..., Any] | None, ...],
        keeps: bool,
        one_type: bool,
    ) -> None:
        self.function = function
        self.derivatives = derivatives
        self.keeps = keeps
        self.one_type = one_type
        self.name = function.__name__
        self.call: Callable[..., Any] = function
        self._signature: Any = None

    def __reduce__(self) -> Any:
        return _op_of, (self.call,)  # by the name of the function

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute, and record if an argument is a tensor or a variable."""
        if kwargs and _any_taped(kwargs.values()):
            args, kwargs = self._by_position(args, kwargs)
        taped = mixed = False
        values = []
        for arg in args:
            value = arg
            if isinstance(arg, TensorLike):
                taped = True
                value = arg.value
                if value is None:
                    return arg.later(self.call, args, kwargs)  # type: ignore[attr-defined]
            elif type(arg) not in _PLAIN:
                mixed = True
                if isinstance(arg, (list, tuple)) and _any_taped(arg):
                    taped = True
                    later = _deferred(arg)
                    if later is not None:
                        return later.later(self.call, args, kwargs)
                    own = copied(arg)
                    args = tuple(own if a is arg else a for a in args)
                    value = type(arg)(value_of(item) for item in arg)
            values.append(value)
        if mixed and taped and self.one_type:
            _unify(values, args, len(self.derivatives) or len(args))
        y = self.function(*values, **kwargs)
        kept = y
        if self.keeps:
            y, kept = y
        if not taped:
            return y
        return Tensor(y, self, args, values, kwargs, kept) if records() else Tensor(y)

    def _by_position(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Move arguments given by name to their place, so that tensors are found there."""
        if self._signature is None:
            import inspect

            self._signature = inspect.signature(self.function)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs


def differentiable(
    *derivatives: Callable[..., Any] | None, keeps: bool = False, one_type: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function on arrays one that records itself where it meets a tensor.

    Parameters
    ----------
    *derivatives : callable or None
        One for each of the first arguments of the function: ``d(dy, y, *args, **kwargs)`` gives
        the gradient of that argument, in its shape. It writes to none of what it is given, and may
        return `dy` itself. None for an argument without a derivative, such as indices; and
        `missing` where there should be one. For an argument that is a list of tensors, a list.
    keeps : bool
        Whether the function returns ``(y, kept)``, and the derivatives get `kept` in place of
        `y`. Default False.
    one_type : bool
        Whether plain arrays among the arguments take the float type of the tensors, as they do in
        Keras. Default False.

    Examples
    --------
    >>> @differentiable(lambda dy, y, x: 3 * dy * x**2)
    ... def cube(x):
    ...     return x**3
    >>> from minikeras.backend.backpropagation import backpropagate
    >>> x = Tensor(np.array(2.0))
    >>> cube(2.0), backpropagate([(cube(x), np.array(1.0))], [x])
    (8.0, [np.float64(12.0)])
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        op = Op(function, derivatives, keeps, one_type)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for arg in args:
                if isinstance(arg, _TAPED):
                    return op.run(args, kwargs)
            for arg in kwargs.values():
                if isinstance(arg, _TAPED):
                    return op.run(args, kwargs)
            return function(*args, **kwargs)[0] if keeps else function(*args, **kwargs)

        op.call = call
        call.op = op  # type: ignore[attr-defined]
        return call

    return decorate


def _op_of(call: Any) -> Op:
    return call.op


def composed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that is written in `K` functions wait where its arguments are not known yet.

    Needed only where it looks at shapes or values, loops, or returns several things: then it can
    only run when a `K.function` does.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        later = _deferred((*args, *kwargs.values()))
        return function(*args, **kwargs) if later is None else later.later(call, args, kwargs)

    return call


def missing(argument: str, of: str) -> Callable[..., NoReturn]:
    """Return a derivative that raises NotImplementedError: it could exist, but does not here."""

    def derivative(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"The derivative of {of} by {argument} is not there. Pass "
            f"K.stop_gradient({argument}) if it is to count as a constant."
        )

    return derivative


def value_of(x: Any) -> Any:
    """Return the array of a tensor or a variable; anything else is its own value."""
    return x.value if isinstance(x, TensorLike) else x


def unbroadcast(dy: np.ndarray, x: Any) -> np.ndarray:
    """Sum a gradient over the axes along which `x` was repeated by broadcasting.

    Parameters
    ----------
    dy : ndarray
    x : ndarray or number
        What was broadcast to the shape of `dy`.

    Examples
    --------
    >>> unbroadcast(np.ones((2, 3)), np.zeros((2, 1))).tolist()
    [[3.0], [3.0]]
    """
    shape = x.shape if isinstance(x, np.ndarray) else np.shape(x)
    if dy.shape == shape:
        return dy
    extra = dy.ndim - len(shape)
    if dy.shape[extra:] == shape:  # a bias, say
        return np.add.reduce(dy, axis=0 if extra == 1 else tuple(range(extra)))
    axes = tuple(range(extra)) + tuple(
        i + extra for i, size in enumerate(shape) if size == 1 != dy.shape[i + extra]
    )
    return np.add.reduce(dy, axis=axes, keepdims=True).reshape(shape)


def copied(arg: Any) -> Any:
    """Copy a list of tensors: whoever made it may go on to change it."""
    return type(arg)(map(copied, arg)) if type(arg) in (list, tuple) else arg


def _any_taped(args: Iterable[Any]) -> bool:
    return any(
        isinstance(arg, TensorLike) or (isinstance(arg, (list, tuple)) and _any_taped(arg))
        for arg in args
    )


def _deferred(args: Iterable[Any]) -> Any:
    """Return a tensor among the arguments whose value is not known yet, None if there is none."""
    for arg in args:
        if isinstance(arg, TensorLike):
            if arg.value is None:
                return arg
        elif isinstance(arg, (list, tuple)):
            found = _deferred(arg)
            if found is not None:
                return found
    return None


def _unify(values: list[Any], args: tuple[Any, ...], count: int) -> None:
    """Give plain numbers among the first values, in place, the float type of the tensors."""
    dtype = _float_type(args)
    if dtype is not None:
        for i in range(min(count, len(args))):
            if getattr(values[i], "dtype", None) is not dtype:
                values[i] = _unified(values[i], args[i], dtype)


def _float_type(args: Iterable[Any]) -> Any:
    """Return the type of the first tensor of floats, None if there is none."""
    for arg in args:
        if isinstance(arg, TensorLike):
            if arg.value.dtype.kind == "f":
                return arg.value.dtype
        elif isinstance(arg, (list, tuple)):
            found = _float_type(arg)
            if found is not None:
                return found
    return None


def _unified(value: Any, arg: Any, dtype: Any) -> Any:
    if isinstance(arg, TensorLike):
        return value
    if isinstance(arg, (list, tuple)):
        if _any_taped(arg):
            return type(arg)(map(_unified, value, arg, itertools.repeat(dtype)))
        value = np.asarray(value)
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype != dtype:
        return value.astype(dtype) if value.dtype.kind in "iuf" else value
    return value
