"""`K`: changing variables, at once or at the end of a training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minikeras.backend.elementwise import add, multiply, subtract
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import current
from minikeras.backend.tape import value_of
from minikeras.backend.variables import Variable


class Update(NamedTuple):
    """A new value that a variable is to get.

    Parameters
    ----------
    variable : Variable
    value : array_like or TensorLike
        In the shape of the variable.

    Examples
    --------
    >>> total = Variable(np.zeros(2), name="total")
    >>> Update(total, np.ones(2))
    <Update of 'total'>
    """

    variable: Variable
    value: Any

    def __repr__(self) -> str:
        return f"<Update of '{self.variable.name}'>"


def is_update(x: Any) -> bool:
    """Return whether `x` is a pair of a variable and a value, be it an `Update` or any other."""
    return isinstance(x, (tuple, list)) and len(x) == 2 and isinstance(x[0], Variable)


class Change(NamedTuple):
    """Something that a `K.function` brings about after it has computed.

    Parameters
    ----------
    expressions : list
        What it needs to know.
    apply : callable
        Called with a list of their values.
    """

    expressions: list[Any]
    apply: Callable[[list[np.ndarray]], None]


def update(x: Variable, new_x: Any) -> Variable | Update:
    """Give a variable a new value.

    Parameters
    ----------
    x : Variable
    new_x : array_like or TensorLike
        In the shape of `x`.

    Returns
    -------
    Variable or Update
        `x`, which has the new value. But while a layer or a loss computes, and where `new_x` has
        no value yet, nothing is changed: the result is an `Update`, for ``layer.add_update`` or
        the `updates` of ``K.function``.

    Raises
    ------
    TypeError
        If `x` is no variable.
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> total = Variable(np.zeros(2), name="total")
    >>> update(total, [1.0, 2.0]).value.tolist()
    [1.0, 2.0]
    """
    (new_x,) = _checked("update", x, new_x)
    return _update(x, new_x)


def update_add(x: Variable, increment: Any) -> Variable | Update:
    """Add to a variable; see `update`.

    Examples
    --------
    >>> total = Variable(np.zeros(2), name="total")
    >>> update_add(total, [1.0, 2.0]).value.tolist()
    [1.0, 2.0]
    """
    old, increment = _checked("update_add", x, x, increment)
    return _update(x, add(old, increment))


def update_sub(x: Variable, decrement: Any) -> Variable | Update:
    """Subtract from a variable; see `update`.

    Examples
    --------
    >>> total = Variable(np.zeros(2), name="total")
    >>> update_sub(total, [1.0, 2.0]).value.tolist()
    [-1.0, -2.0]
    """
    old, decrement = _checked("update_sub", x, x, decrement)
    return _update(x, subtract(old, decrement))


def moving_average_update(x: Variable, value: Any, momentum: Any) -> Variable | Update:
    """Move a variable towards a value; see `update`.

    It becomes ``x * momentum + value * (1 - momentum)``, as Keras documents it. What Keras 2.2.4
    does with TensorFlow forgets the initial value.

    Parameters
    ----------
    x : Variable
    value : array_like or TensorLike
        In the shape of `x`.
    momentum : float
        From 0 to 1: how much of the old value remains.

    Examples
    --------
    >>> mean = Variable(np.array([1.0, 2.0]), name="mean")
    >>> moving_average_update(mean, [2.0, 4.0], 0.75).value.tolist()
    [1.25, 2.5]
    """
    old, value = _checked("moving_average_update", x, x, value)
    return _update(x, add(multiply(old, momentum), multiply(value, 1 - momentum)))


def _checked(name: str, x: Any, *values: Any) -> tuple[Any, ...]:
    """Return arrays, which nobody differentiates, unless a value is still to come."""
    if not isinstance(x, Variable):
        raise TypeError(f"K.{name} changes a variable, such as K.variable makes; got {x!r}.")
    for value in values:
        shape = value.shape if isinstance(value, TensorLike) else np.shape(value)
        if len(shape) != len(x.shape) or any(
            size not in (None, own) for size, own in zip(shape, x.shape, strict=True)
        ):
            raise ValueError(
                f"K.{name}: variable '{x.name}' has shape {x.shape}, got a value of shape {shape}."
            )
    if any(_is_deferred(value) for value in values):
        return values
    return tuple(np.asarray(value_of(value)) for value in values)


def _update(x: Variable, value: Any) -> Variable | Update:
    if current() is not None or _is_deferred(value):
        return Update(x, value)
    x.assign(value)
    return x


def _is_deferred(value: Any) -> bool:
    return isinstance(value, TensorLike) and value.value is None
