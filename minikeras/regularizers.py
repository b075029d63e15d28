"""Regularizers: penalties on weights, or on a layer's output, that are added to the loss.

A regularizer is called with an array and returns the penalty, a number. Its method
``add_gradient(x, gradient)`` adds the penalty's derivative to a gradient, in place. A plain
function in terms of `K` serves as a regularizer, too: its derivative follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minikeras.backend.backpropagation import backpropagate, warn_of_variables
from minikeras.backend.context import Context
from minikeras.backend.operators import TensorLike
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor, differentiable, value_of
from minikeras.utils.registry import Registry

# Large arrays are worked on in pieces of this many entries, which stay in the processor's cache.
_BLOCK = 65536


class Regularizer:
    """The base class of regularizers.

    A subclass defines ``__call__(x)`` in `K` functions and, to be saved with a model, `get_config`.
    It may write the derivative by hand, in ``add_gradient(x, gradient)``.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> class SumToOne(Regularizer):
    ...     def __call__(self, x):
    ...         return K.square(K.sum(x) - 1)
    >>> penalty, gradient = get(SumToOne), np.zeros(2)
    >>> float(penalty(np.array([1.0, 2.0])))
    4.0
    >>> penalty.add_gradient(np.array([1.0, 2.0]), gradient)
    >>> gradient.tolist()
    [4.0, 4.0]
    """

    def __call__(self, x: np.ndarray) -> float:
        """Return the penalty on `x`."""
        raise NotImplementedError(
            f"The regularizer {type(self).__name__} does not say what it costs: define "
            "__call__(self, x)."
        )

    def add_gradient(self, x: np.ndarray, gradient: np.ndarray) -> None:
        """Add the derivative of the penalty on `x` to `gradient`, an array of the same shape."""
        _add_gradient(self, x, gradient)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Regularizer:
        """Make a regularizer from what `get_config` returned."""
        return cls(**config)


class L1L2(Regularizer):
    """Penalty on absolute values and squares: ``l1 * sum(abs(x)) + l2 * sum(x**2)``.

    Parameters
    ----------
    l1, l2 : float
        Default 0.

    Examples
    --------
    >>> penalty, x, gradient = L1L2(l1=1.0, l2=0.5), np.array([3.0, -2.0]), np.zeros(2)
    >>> penalty(x)
    11.5
    >>> penalty.add_gradient(x, gradient)
    >>> gradient.tolist()
    [4.0, -3.0]
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = float(l1)
        self.l2 = float(l2)

    def __call__(self, x: Any) -> Any:
        """Return the penalty on `x`."""
        if isinstance(x, TensorLike):
            return penalty(x, self)
        absolute = squared = 0.0
        for (piece,) in _pieces(x):
            if self.l1:
                absolute += float(np.abs(piece).sum())
            if self.l2:
                flat = piece.reshape(-1)
                squared += float(np.dot(flat, flat))
        return self.l1 * absolute + self.l2 * squared

    def add_gradient(self, x: np.ndarray, gradient: np.ndarray) -> None:
        """Add ``l1 * sign(x) + 2 * l2 * x`` to `gradient`. The sign of 0 is 0."""
        pieces = _pieces(x, gradient)
        scratch = np.empty(pieces[0][0].size, gradient.dtype)
        for piece, target in pieces:
            room = scratch[: piece.size].reshape(piece.shape)
            if self.l1:
                np.sign(piece, out=room)
                room *= self.l1
                target += room
            if self.l2:
                np.multiply(piece, 2 * self.l2, out=room)
                target += room

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"l1": self.l1, "l2": self.l2}


def l1(l: float = 0.01, l1: float | None = None) -> L1L2:  # noqa: E741 - Keras' name
    """Return a penalty on absolute values.

    Parameters
    ----------
    l : float
        Its factor. Default 0.01.
    l1 : float, optional
        The same, as later versions of Keras call it.

    Examples
    --------
    >>> l1(0.5)(np.array([1.0, -3.0]))
    2.0
    """
    return L1L2(l1=l if l1 is None else l1)


def l2(l: float = 0.01, l2: float | None = None) -> L1L2:  # noqa: E741 - Keras' name
    """Return a penalty on squares.

    Parameters
    ----------
    l : float
        Its factor. Default 0.01.
    l2 : float, optional
        The same, as later versions of Keras call it.

    Examples
    --------
    >>> l2(0.5)(np.array([1.0, -3.0]))
    5.0
    """
    return L1L2(l2=l if l2 is None else l2)


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """Return a penalty on absolute values and squares.

    Parameters
    ----------
    l1, l2 : float
        Their factors. Default 0.01.

    Examples
    --------
    >>> l1_l2(l1=1.0, l2=0.5)(np.array([1.0, -3.0]))
    9.0
    """
    return L1L2(l1=l1, l2=l2)


# Later versions of Keras write the functions as classes.
L1 = l1
L2 = l2

_registry = Registry(
    "regularizer",
    {"L1L2": L1L2, "l1": l1, "l2": l2, "l1_l2": l1_l2},
    aliases={"L1": "l1", "L2": "l2"},
    factories=["l1", "l2", "l1_l2"],
)


def get(identifier: Any) -> Any:
    """Return the regularizer that `identifier` names; None for None.

    Parameters
    ----------
    identifier : str, dict, class, Regularizer, callable or None
        A name such as ``'l2'``, a config, a class or one of the functions of this module; a
        regularizer is returned as it is; another function becomes a `FunctionRegularizer`.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If `identifier` is none of these.

    Examples
    --------
    >>> get("l2").get_config()
    {'l1': 0.0, 'l2': 0.01}
    """
    return None if identifier is None else _with_derivative(_registry.get(identifier))


def serialize(regularizer: Any) -> Any:
    """Return the config of a regularizer; None for None.

    Examples
    --------
    >>> serialize(l1(0.5))
    {'class_name': 'L1L2', 'config': {'l1': 0.5, 'l2': 0.0}}
    """
    function = isinstance(regularizer, FunctionRegularizer)
    return _registry.serialize(regularizer.function if function else regularizer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make a regularizer from its name or its config.

    Parameters
    ----------
    config : str or dict
        What `serialize` returned, or a later version of Keras.
    custom_objects : dict, optional
        Names that are known in this call only.

    Examples
    --------
    >>> deserialize({"class_name": "L1L2", "config": {"l1": 0.0, "l2": 1.0}})(np.array([2.0]))
    4.0
    """
    return _with_derivative(_registry.deserialize(config, custom_objects))


@differentiable(lambda dy, y, x, regularizer: _scaled_gradient(dy, x, regularizer))
def penalty(x: Any, regularizer: Regularizer) -> Any:
    """Return the penalty on `x` as a value on the tape, if `x` is one.

    Parameters
    ----------
    x : TensorLike or ndarray
    regularizer : Regularizer
    """
    return x.dtype.type(regularizer(x))


def _scaled_gradient(dy: Any, x: np.ndarray, regularizer: Regularizer) -> np.ndarray:
    gradient = np.zeros_like(x)
    regularizer.add_gradient(x, gradient)
    return dy * gradient


class FunctionRegularizer(Regularizer):
    """A regularizer made of a function in terms of `K`; what `get` makes of one.

    Parameters
    ----------
    function : callable
        ``function(x)`` gives the penalty, a single number.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> def near_one(w):
    ...     return 0.1 * K.sum(K.square(w - 1))
    >>> float(get(near_one)(np.array([1.0, 3.0])))
    0.4
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, x: Any) -> Any:
        """Return the penalty on `x`."""
        if isinstance(x, TensorLike):
            return self.function(x)
        value = value_of(self.function(Tensor(x)))  # a tensor: nothing is changed in place
        if value is None or np.size(value) != 1:
            found = "None" if value is None else f"an array of shape {np.shape(value)}"
            raise ValueError(
                f"The regularizer {self.__name__} must return a single number, got {found}. Sum "
                "it up with K.sum."
            )
        return float(value)

    def add_gradient(self, x: np.ndarray, gradient: np.ndarray) -> None:
        """Add the derivative of the penalty."""
        _add_gradient(self.function, x, gradient)


def _with_derivative(regularizer: Any) -> Any:
    """Return what can be trained with: the one place where a function becomes a regularizer."""
    method = getattr(type(regularizer), "add_gradient", None)
    return FunctionRegularizer(regularizer) if method is None else regularizer


def _add_gradient(function: Callable[[Any], Any], x: np.ndarray, gradient: np.ndarray) -> None:
    """Add the derivative of a penalty written in terms of `K`."""
    name = getattr(function, "__name__", type(function).__name__)
    inner = Tensor(x)
    with inside(Context()):
        value = function(inner)
    if not isinstance(value, Tensor):
        raise TypeError(
            f"The derivative of the regularizer {name} is not known: it returned "
            f"{type(value).__name__}, which does not remember how it was computed. Write it in "
            "functions of K, without float(), or define add_gradient(self, x, gradient)."
        )
    if value.size != 1:
        raise ValueError(
            f"The regularizer {name} must return a single number, got an array of shape "
            f"{value.shape}. Sum it up with K.sum."
        )
    warn_of_variables(value, f"The regularizer {name}")
    (found,) = backpropagate([(value, np.ones_like(value.value))], [inner])
    if found is not None:
        gradient += found


def _pieces(*arrays: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Cut arrays of one shape into views of at most `_BLOCK` entries, the largest first.

    Arrays that do not lie in memory as one piece are not cut.
    """
    if not all(array.flags.c_contiguous for array in arrays):
        return [arrays]
    flat = [array.reshape(-1) for array in arrays]
    starts = range(0, max(1, flat[0].size), _BLOCK)
    return [tuple(array[start : start + _BLOCK] for array in flat) for start in starts]
