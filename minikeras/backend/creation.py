"""`K`: variables, constants, arrays of zeros and ones, other types; and where derivatives stop."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.backend.config import floatx
from minikeras.backend.naming import get_uid
from minikeras.backend.operators import TensorLike, stands_for
from minikeras.backend.random import new_generator
from minikeras.backend.running import current
from minikeras.backend.tape import differentiable, value_of
from minikeras.backend.variables import Variable

# --- variables and constants ----------------------------------------------------------------


def variable(
    value: Any,
    dtype: Any = None,
    name: str | None = None,
    constraint: Callable[..., Any] | None = None,
) -> Variable:
    """Return a new variable.

    Parameters
    ----------
    value : array_like
        The initial value; it is copied.
    dtype : str, optional
        Default: ``K.floatx()``, also for whole numbers.
    name : str, optional
        Default: ``'variable_1'``, ``'variable_2'``, ...
    constraint : callable, optional
        Applied to the value after each update by an optimizer; see `minikeras.constraints`.

    Raises
    ------
    TypeError
        If `value` is sparse, or a tensor that has no value yet.

    Examples
    --------
    >>> variable([[1, 2], [3, 4]], name="scale")
    <Variable 'scale' shape=(2, 2) dtype=float32>
    """
    if hasattr(value, "tocoo"):
        raise TypeError("There are no sparse variables: pass value.toarray() to K.variable.")
    if isinstance(value, TensorLike) and value.value is None:
        raise TypeError(
            f"{value!r} can't be the value of a variable: it has none before a K.function runs."
        )
    value = np.array(value_of(value), dtype or floatx())
    return Variable(value, name or f"variable_{get_uid('variable')}", constraint=constraint)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """Return an array that does not change when `value` does.

    Parameters
    ----------
    value : array_like
    dtype : str, optional
        Default: ``K.floatx()``, also for whole numbers.
    shape : tuple of int, optional
        Default: that of `value`. If `value` holds fewer numbers, the last one fills the rest.
    name : str, optional
        Accepted as in Keras, where it belongs to a node of the graph. An array has none.

    Raises
    ------
    TypeError
        If `value` is a tensor or a variable.
    ValueError
        If `value` holds more numbers than `shape`.

    Examples
    --------
    >>> constant([1, 2]), constant(3, shape=(2,))
    (array([1., 2.], dtype=float32), array([3., 3.], dtype=float32))
    """
    if isinstance(value, TensorLike):
        raise TypeError(
            f"K.constant takes numbers, got {value!r}. Use it as it is, or "
            "K.stop_gradient of it if it is to count as a constant."
        )
    value = np.array(value, dtype or floatx())
    return value if shape is None else _filled(value, shape)


@differentiable()
def _filled(value: np.ndarray, shape: Any) -> np.ndarray:
    """Bring an array into a shape; its last number fills what is missing."""
    shape = full_shape(shape)
    rest = math.prod(shape) - value.size
    if rest < 0 or (rest and not value.size):
        raise ValueError(
            f"K.constant: a value of shape {value.shape} holds {value.size} numbers, and shape "
            f"{shape} takes {math.prod(shape)}."
        )
    return np.pad(value.ravel(), (0, rest), "edge").reshape(shape) if rest else value.reshape(shape)


def full_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple of int, and complain about sizes that are not known.

    Examples
    --------
    >>> full_shape([2, np.int64(3)]), full_shape(4)
    ((2, 3), (4,))
    """
    sizes = np.asarray(shape, object).ravel().tolist()
    if any(size is None for size in sizes):
        raise ValueError(
            f"The shape {shape} has an axis of unknown size (None). K.shape(x)[0] gives the number "
            "of samples when the expression is computed; K.int_shape(x) does not know it."
        )
    return tuple(map(operator.index, sizes))


def zeros(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return a variable of zeros; inside of a layer's or a loss' computation, an array.

    Parameters
    ----------
    shape : tuple of int
        May hold tensors, such as ``(K.shape(x)[0], 3)``. If one has no value yet, nor has the
        result.
    dtype : str, optional
        Default: ``K.floatx()``.
    name : str, optional
        Of the variable. Default: an automatic one.

    Examples
    --------
    >>> zeros((2, 3), name="state")
    <Variable 'state' shape=(2, 3) dtype=float32>
    """
    return _owned(_zeros(shape, dtype or floatx()), name)


def ones(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return a variable of ones; see `zeros`.

    Examples
    --------
    >>> ones((3,)).value
    array([1., 1., 1.], dtype=float32)
    """
    return _owned(_ones(shape, dtype or floatx()), name)


def eye(size: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return the identity matrix as a variable, or, as for `zeros`, as an array.

    Parameters
    ----------
    size : int
        Number of rows and of columns.
    dtype : str, optional
        Default: ``K.floatx()``.
    name : str, optional

    Examples
    --------
    >>> eye(2).value.tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    return _owned(_eye(size, dtype or floatx()), name)


@differentiable()
def _zeros(shape: Any, dtype: Any) -> np.ndarray:
    return np.zeros(full_shape(shape), dtype)


@differentiable()
def _ones(shape: Any, dtype: Any) -> np.ndarray:
    return np.ones(full_shape(shape), dtype)


@differentiable()
def _eye(size: Any, dtype: Any) -> np.ndarray:
    return np.eye(size, dtype=dtype)


def _owned(value: Any, name: str | None) -> Any:
    """Make a variable of a new array: not in a pass, where it would be made in each one."""
    if isinstance(value, TensorLike) or current() is not None:
        return value
    return Variable(value, name or f"variable_{get_uid('variable')}")


def random_uniform_variable(
    shape: Sequence[int],
    low: float,
    high: float,
    dtype: Any = None,
    name: str | None = None,
    seed: int | None = None,
) -> Variable:
    """Return a variable of random numbers, of equal probability between two bounds.

    Parameters
    ----------
    shape : tuple of int
    low, high : float
    dtype : str, optional
        Default: ``K.floatx()``.
    name : str, optional
    seed : int, optional
        The same seed gives the same numbers. Default: they follow ``np.random.seed``.

    Examples
    --------
    >>> random_uniform_variable((2, 3), -1, 1, seed=0).shape
    (2, 3)
    """
    values = new_generator(seed).random(full_shape(shape))
    return variable(low + (high - low) * values, dtype, name)


def random_normal_variable(
    shape: Sequence[int],
    mean: float,
    scale: float,
    dtype: Any = None,
    name: str | None = None,
    seed: int | None = None,
) -> Variable:
    """Return a variable of random numbers, normally distributed.

    Parameters
    ----------
    shape : tuple of int
    mean, scale : float
        `scale` is the standard deviation.
    dtype : str, optional
        Default: ``K.floatx()``.
    name : str, optional
    seed : int, optional
        The same seed gives the same numbers. Default: they follow ``np.random.seed``.

    Examples
    --------
    >>> random_normal_variable((2, 3), 0, 1, name="noise")
    <Variable 'noise' shape=(2, 3) dtype=float32>
    """
    values = new_generator(seed).standard_normal(full_shape(shape))
    return variable(mean + scale * values, dtype, name)


# --- like another ---------------------------------------------------------------------------


@differentiable()
def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return zeros in the shape of `x`.

    Parameters
    ----------
    x : array_like
    dtype : str, optional
        Default: that of `x`.
    name : str, optional
        Accepted as in Keras, where it belongs to a node of the graph. An array has none.

    Examples
    --------
    >>> zeros_like(np.ones(2, "float32"))
    array([0., 0.], dtype=float32)
    """
    return np.zeros_like(x, dtype)


@differentiable()
def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Return ones in the shape of `x`; arguments as for `zeros_like`.

    Examples
    --------
    >>> ones_like(np.zeros(2, "float32"))
    array([1., 1.], dtype=float32)
    """
    return np.ones_like(x, dtype)


@stands_for(np.copy)
@differentiable(lambda dy, y, x, name=None: dy)
def identity(x: Any, name: str | None = None) -> Any:
    """Return a copy of `x`, with the derivative of `x`.

    Parameters
    ----------
    x : array_like
    name : str, optional
        Accepted as in Keras, where it belongs to a node of the graph. An array has none.

    Examples
    --------
    >>> identity(np.ones(2)).tolist()
    [1.0, 1.0]
    """
    return np.array(x)


@differentiable()
def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = "int32") -> Any:
    """Return numbers at equal distances.

    Parameters
    ----------
    start : number
        The first one. If there is no `stop`, it is the stop, and 0 comes first.
    stop : number, optional
        It is not reached.
    step : number
        Default 1.
    dtype : str
        Default ``'int32'``. As in Keras, floats remain floats (``K.floatx()``) with ``'int32'``.

    Examples
    --------
    >>> arange(3), arange(0, 1, 0.5)
    (array([0, 1, 2], dtype=int32), array([0. , 0.5], dtype=float32))
    """
    values = np.arange(start, stop, step) if stop is not None else np.arange(0, start, step)
    if values.dtype.kind == "f" and np.dtype(dtype) == np.int32:
        dtype = floatx()
    return values.astype(dtype)


# --- another type, and no derivative --------------------------------------------------------


def _cast_back(dy: Any, y: Any, x: Any, dtype: Any) -> Any:
    # The tape brings it to the type of x.
    return dy if np.asarray(x).dtype.kind == "f" == np.dtype(dtype).kind else None


@differentiable(_cast_back)
def cast(x: Any, dtype: Any) -> Any:
    """Return `x` in another type.

    Parameters
    ----------
    x : array_like
    dtype : str
        Between floats there is a derivative. There is none from or to whole numbers and booleans.

    Examples
    --------
    >>> cast(np.array([1.7, -1.7]), "int32").tolist()
    [1, -1]
    """
    return np.asarray(x).astype(dtype, copy=False)


def cast_to_floatx(x: Any) -> Any:
    """Return `x` in the type ``K.floatx()``.

    Examples
    --------
    >>> cast_to_floatx([1, 2])
    array([1., 2.], dtype=float32)
    """
    return cast(x, floatx())


def stop_gradient(variables: Any) -> Any:
    """Return tensors that count as constants.

    Parameters
    ----------
    variables : array_like, TensorLike or list of these
        Nothing before them gets a gradient by way of the result.

    Returns
    -------
    Tensor, ndarray or list of these

    Examples
    --------
    >>> from minikeras import backend as K
    >>> x = K.variable([2.0, 3.0])
    >>> K.gradients(K.sum(x * K.stop_gradient(x)), x)[0].value.tolist()
    [2.0, 3.0]
    """
    if isinstance(variables, (list, tuple)):
        return [_stop(x) for x in variables]
    return _stop(variables)


@differentiable(None)
def _stop(x: Any) -> Any:
    return x


@differentiable(lambda dy, y, x, message="": dy)
def print_tensor(x: Any, message: str = "") -> Any:
    """Print a value when it is computed, and return it.

    Parameters
    ----------
    x : array_like
    message : str
        Printed before the value, in the same line. Default: none.

    Examples
    --------
    >>> y = print_tensor(np.array([1.0, 2.0]), "x is: ")
    x is: [1. 2.]
    """
    print(f"{message}{x}")
    return x
