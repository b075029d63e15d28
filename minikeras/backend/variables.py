"""`Variable`: a named array that outlives a pass through a network, such as a layer's weight."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from minikeras.backend.operators import TensorLike, check_leaving


class Variable(TensorLike):
    """A named array with the rules that go with it.

    Parameters
    ----------
    value : array_like
        The initial value. Its type stays the variable's type.
    name : str
        Keras style, such as ``'dense_1/kernel:0'``.
    trainable : bool
        Whether an optimizer may change it. Default True.
    regularizer : callable, optional
        A penalty on the value that is added to the loss; see `minikeras.regularizers`.
    constraint : callable, optional
        Applied to the value after each update; see `minikeras.constraints`.

    Notes
    -----
    ``value`` may be a view into one long vector that holds all weights of a model (see
    `minikeras.backend.store`). Write to a variable with `assign`, which keeps that view.

    Examples
    --------
    >>> v = Variable([1.0, 2.0], name="scale")
    >>> v.assign([3.0, 4.0])
    >>> v.value.tolist(), v.shape
    ([3.0, 4.0], (2,))
    """

    __slots__ = ("__weakref__", "constraint", "name", "regularizer", "trainable", "value")

    def __init__(
        self,
        value: Any,
        name: str = "variable",
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> None:
        self.value: np.ndarray = np.asarray(value)
        self.name = name
        self.trainable = trainable
        self.regularizer = regularizer
        self.constraint = constraint

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the value."""
        return self.value.dtype

    @property
    def size(self) -> int:
        """How many numbers the value holds."""
        return self.value.size

    def assign(self, value: Any) -> None:
        """Copy `value` into the variable.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        value = np.asarray(value)
        if value.shape != self.value.shape:
            raise ValueError(
                f"Variable '{self.name}' has shape {self.value.shape}; "
                f"it can't take a value of shape {value.shape}."
            )
        self.value[...] = value

    def numpy(self) -> np.ndarray:
        """Return a copy of the value."""
        return self.value.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        check_leaving(self, "Turning it into a NumPy array")
        return np.array(self.value, dtype=dtype, copy=copy)

    def __float__(self) -> float:
        check_leaving(self, "float() of it")
        return float(self.value)

    def __repr__(self) -> str:
        return f"<Variable '{self.name}' shape={self.shape} dtype={self.dtype}>"


class Scalar(NDArrayOperatorsMixin, Variable):
    """A variable that holds one number and can be used like one, such as a learning rate.

    Arithmetic and comparison give plain numbers. ``x *= 2`` makes a new number, too: only `assign`
    changes what the variable holds. Like every object that is equal by value and can change, it
    can't be a key of a dict.

    Examples
    --------
    >>> lr = Scalar(0.1, name="lr")
    >>> half = lr / 2
    >>> lr.assign(0.3)
    >>> f"{half} {lr:.2f}", bool(lr == 0.3), float(lr)
    ('0.05 0.30', True, 0.3)
    """

    __slots__ = ()

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        # Python numbers, not arrays: a float32 array times a learning rate stays float32.
        inputs = tuple(x.value.item() if isinstance(x, Scalar) else x for x in inputs)
        if out is not None and not any(isinstance(x, Scalar) for x in out):
            kwargs["out"] = out
        result = getattr(ufunc, method)(*inputs, **kwargs)
        return result.item() if isinstance(result, np.generic) else result

    def numpy(self) -> Any:
        """Return the number, as a NumPy scalar."""
        return self.value[()]

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return self.value.item().__index__()

    def __bool__(self) -> bool:
        return bool(self.value)

    def __round__(self, digits: int | None = None) -> Any:
        return round(self.value.item(), digits)

    def __format__(self, spec: str) -> str:
        return format(self.value.item(), spec)

    def __repr__(self) -> str:
        return f"<Scalar '{self.name}' = {self.value.item()}>"


def get_value(x: TensorLike | np.ndarray) -> Any:
    """Return a copy of a variable's value, as an array or, for a `Scalar`, as a number.

    An array is its own value, and a tensor has the one that it was computed to (`K.eval` computes
    it anew).

    Examples
    --------
    >>> from minikeras.optimizers import SGD
    >>> get_value(SGD(lr=0.1).lr)
    np.float64(0.1)
    """
    if isinstance(x, Variable):
        return x.numpy()
    value = x.value if isinstance(x, TensorLike) else x
    if value is None:
        raise TypeError(f"{x!r} has no value yet: use K.eval(x), or K.function for its inputs.")
    return np.array(value)


def set_value(x: Variable, value: Any) -> None:
    """Set a variable, such as an optimizer's learning rate, to a value of its shape.

    Examples
    --------
    >>> from minikeras.optimizers import SGD
    >>> optimizer = SGD(lr=0.1)
    >>> set_value(optimizer.lr, 0.01)
    >>> float(optimizer.lr)
    0.01
    """
    x.assign(value)


def batch_get_value(ops: Iterable[Variable]) -> list[Any]:
    """Return `get_value` of several variables."""
    return [get_value(x) for x in ops]


def batch_set_value(tuples: Iterable[tuple[Variable, Any]]) -> None:
    """Set several variables, given as pairs of variable and value."""
    for x, value in tuples:
        set_value(x, value)
