"""`K`: what is known about a tensor: shape, type, kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minikeras.backend.operators import TensorLike
from minikeras.backend.running import current
from minikeras.backend.tape import composed


@composed
def shape(x: Any) -> Any:
    """Return the shape at the time of computing.

    Returns
    -------
    tuple of int
        For a tensor whose value is not known yet, a tensor: ``shape(x)[0]`` is the number of
        samples once there are some. Keras always returns a tensor.

    Examples
    --------
    >>> shape(np.ones((2, 3)))
    (2, 3)
    """
    return int_shape(x)


def int_shape(x: Any) -> tuple[int | None, ...]:
    """Return the shape as far as it is known now, as a tuple of int and None.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> int_shape(K.placeholder((None, 3))), int_shape(np.ones((2, 3)))
    ((None, 3), (2, 3))
    """
    return x.shape if isinstance(x, TensorLike) else np.shape(x)


def get_variable_shape(x: Any) -> tuple[int | None, ...]:
    """Return `int_shape`.

    Examples
    --------
    >>> get_variable_shape(np.ones((2, 3)))
    (2, 3)
    """
    return int_shape(x)


def ndim(x: Any) -> int:
    """Return the number of axes.

    Examples
    --------
    >>> ndim(np.ones((2, 3)))
    2
    """
    return len(int_shape(x))


def dtype(x: Any) -> str:
    """Return the name of the type.

    Examples
    --------
    >>> dtype(np.ones(2, "float32"))
    'float32'
    """
    found = x.dtype if isinstance(x, (TensorLike, np.ndarray)) else np.asarray(x).dtype
    return found.name


def count_params(x: Any) -> int:
    """Return how many numbers `x` holds.

    Raises
    ------
    ValueError
        If the size of an axis is not known yet.

    Examples
    --------
    >>> count_params(np.ones((2, 3)))
    6
    """
    sizes = int_shape(x)
    if None in sizes:
        raise ValueError(
            f"{x!r} has the shape {sizes}: how many numbers that are is only known when a "
            "K.function runs. K.prod(K.shape(x)) gives it then."
        )
    return math.prod(sizes)  # type: ignore[arg-type]


def is_tensor(x: Any) -> bool:
    """Return whether `x` is a tensor or a variable.

    A plain array is none. But while a layer or a loss computes, what is a tensor in Keras may be a
    plain array, such as the targets of a loss: there an array counts as one.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> is_tensor(K.variable(1.0)), is_tensor(np.ones(2))
    (True, False)
    """
    return isinstance(x, TensorLike) or (current() is not None and isinstance(x, np.ndarray))


def is_keras_tensor(x: Any) -> bool:
    """Return whether `x` is the input or the output of a layer, such as ``model.output``.

    Parameters
    ----------
    x : TensorLike

    Raises
    ------
    ValueError
        If `x` is no tensor; see `is_tensor`.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> is_keras_tensor(K.variable(1.0))
    False
    """
    if not is_tensor(x):
        raise ValueError(
            f"K.is_keras_tensor asks about a tensor or a variable, got {type(x).__name__}."
        )
    return hasattr(x, "_keras_history")


def is_sparse(tensor: Any) -> bool:
    """Return False: there are no sparse tensors here.

    Examples
    --------
    >>> is_sparse(np.ones(2))
    False
    """
    return False


def to_dense(tensor: Any) -> Any:
    """Return the tensor itself: there are no sparse ones here.

    Examples
    --------
    >>> to_dense(np.ones(2)).tolist()
    [1.0, 1.0]
    """
    return tensor
