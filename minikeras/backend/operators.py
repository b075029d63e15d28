"""`TensorLike`: what can stand in a `K` expression, with operators and NumPy functions on it.

An expression such as ``x * 2``, ``2 * x``, ``np.multiply(x, 2)`` or ``x.sum()`` ends in the `K`
function that computes the same. Which one that is, is written down with `stands_for`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from minikeras.backend.running import current, records

F = TypeVar("F", bound=Callable[..., Any])

#: NumPy functions, and the names of indexing and methods, to the functions that stand for them.
_FUNCTIONS: dict[Any, Callable[..., Any]] = {}


def stands_for(*others: Any) -> Callable[[F], F]:
    """Make a function the one that runs where `others` are applied to a tensor.

    Parameters
    ----------
    *others : ufunc, function or str
        NumPy's functions of the same meaning and arguments; or ``'getitem'`` and the names of
        methods.
    """

    def register(function: F) -> F:
        _FUNCTIONS.update(dict.fromkeys(others, function))
        return function

    return register


def _unary(ufunc: np.ufunc) -> Callable[..., Any]:
    def operator(self: Any) -> Any:
        return _FUNCTIONS[ufunc](self)

    return operator


def _binary(ufunc: np.ufunc) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def operator(self: Any, other: Any) -> Any:
        return _FUNCTIONS[ufunc](self, other)

    def reflected(self: Any, other: Any) -> Any:
        return _FUNCTIONS[ufunc](other, self)

    return operator, reflected


def _method(name: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _FUNCTIONS[name](self, *args, **kwargs)

    method.__name__ = name
    method.__doc__ = f"Like ``numpy.ndarray.{name}``, with a derivative."
    return method


class StaticShape(tuple[int, ...]):
    """A shape with TensorFlow's method `as_list`, which layers written for Keras 2 use."""

    def as_list(self) -> list[int]:
        """Return the sizes as a list."""
        return list(self)


class TensorLike:
    """A value on the tape or a `Variable`: what `K` functions differentiate by.

    Attributes
    ----------
    value : ndarray or None
        None if it will only be known when a `K.function` runs.
    """

    __slots__ = ()

    value: Any

    # Above ndarray, so that `array * tensor` comes here.
    __array_priority__ = 100

    __add__, __radd__ = _binary(np.add)
    __sub__, __rsub__ = _binary(np.subtract)
    __mul__, __rmul__ = _binary(np.multiply)
    __truediv__, __rtruediv__ = _binary(np.true_divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__ = _binary(np.remainder)
    __pow__, __rpow__ = _binary(np.power)
    __matmul__, __rmatmul__ = _binary(np.matmul)
    __and__, __rand__ = _binary(np.bitwise_and)
    __or__, __ror__ = _binary(np.bitwise_or)
    __xor__, __rxor__ = _binary(np.bitwise_xor)
    __lt__, _ = _binary(np.less)
    __le__, _ = _binary(np.less_equal)
    __gt__, _ = _binary(np.greater)
    __ge__, _ = _binary(np.greater_equal)
    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)
    del _

    all, any = _method("all"), _method("any")
    argmax, argmin = _method("argmax"), _method("argmin")
    astype, clip = _method("astype"), _method("clip")
    cumprod, cumsum = _method("cumprod"), _method("cumsum")
    dot, flatten = _method("dot"), _method("flatten")
    max, mean, min = _method("max"), _method("mean"), _method("min")
    prod, repeat, reshape = _method("prod"), _method("repeat"), _method("reshape")
    round, squeeze, std = _method("round"), _method("squeeze"), _method("std")
    sum, swapaxes, transpose = _method("sum"), _method("swapaxes"), _method("transpose")
    var = _method("var")

    def __getitem__(self, index: Any) -> Any:
        return _FUNCTIONS["getitem"](self, index)

    @property
    def T(self) -> Any:
        """The transpose."""
        return _FUNCTIONS["transpose"](self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value."""
        return np.shape(self.value)

    @property
    def dtype(self) -> np.dtype:
        """The type of the value."""
        return self.value.dtype

    @property
    def ndim(self) -> int:
        """How many axes the value has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers the value holds."""
        return np.size(self.value)

    def get_shape(self) -> StaticShape:
        """Return `shape`, with a method `as_list`."""
        return StaticShape(self.shape)

    @property
    def _keras_shape(self) -> tuple[int, ...]:
        """The shape, by the name that layers of Keras 2 look for."""
        return self.shape

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"{self!r} has no length: its first axis is unknown, or it has none.")
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = _FUNCTIONS.get(ufunc)
        if function is None or method != "__call__" or kwargs:
            raise _unknown(ufunc, method, kwargs)
        return function(*inputs)

    def __array_function__(
        self, function: Callable, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        known = _FUNCTIONS.get(function)
        if known is None:
            raise _unknown(function, "__call__", {})
        return known(*args, **kwargs)


def _unknown(function: Any, method: str, kwargs: dict[str, Any]) -> TypeError:
    """Say that NumPy's function has no derivative here, and what to do."""
    name = f"np.{function.__name__}" + ("" if method == "__call__" else f".{method}")
    if kwargs:
        name += f" with {', '.join(f'{key}=' for key in kwargs)}"
    return TypeError(
        f"{name} can't be applied to a tensor: its derivative is not known. Use a function of K "
        "(docs/backend.md lists them), or, for a result that needs no derivative, apply it to the "
        "array: K.get_value(x)."
    )


def check_leaving(x: TensorLike, what: str) -> None:
    """Raise where a derivative would be lost without a word: in a pass that will go back."""
    if current() is not None and records() and x.dtype.kind == "f":
        raise TypeError(
            f"A tensor of shape {x.shape} is being differentiated. {what} would lose the "
            "derivative: use functions of K, or K.get_value(x) for an array that is to count as a "
            "constant."
        )
