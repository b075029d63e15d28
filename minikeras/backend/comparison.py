"""`K`: comparisons and logic, with broadcasting. Their results are booleans without a derivative.

Where floats are compared to a tensor, they take its type first, as they do in Keras: 0.1 in float64
is equal to 0.1 in a tensor of float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.backend.operators import stands_for
from minikeras.backend.tape import differentiable


@stands_for(np.equal)
@differentiable(one_type=True)
def equal(x: Any, y: Any) -> Any:
    """Return where `x` and `y` are equal.

    Examples
    --------
    >>> equal(np.array([1.0, 2.0, 3.0]), 2.0).tolist()
    [False, True, False]
    """
    return np.equal(x, y)


@stands_for(np.not_equal)
@differentiable(one_type=True)
def not_equal(x: Any, y: Any) -> Any:
    """Return where `x` and `y` differ.

    Examples
    --------
    >>> not_equal(np.array([1.0, 2.0, 3.0]), 2.0).tolist()
    [True, False, True]
    """
    return np.not_equal(x, y)


@stands_for(np.greater)
@differentiable(one_type=True)
def greater(x: Any, y: Any) -> Any:
    """Return where ``x > y``.

    Examples
    --------
    >>> greater(np.array([1.0, 2.0, 3.0]), 2.0).tolist()
    [False, False, True]
    """
    return np.greater(x, y)


@stands_for(np.greater_equal)
@differentiable(one_type=True)
def greater_equal(x: Any, y: Any) -> Any:
    """Return where ``x >= y``.

    Examples
    --------
    >>> greater_equal(np.array([1.0, 2.0, 3.0]), 2.0).tolist()
    [False, True, True]
    """
    return np.greater_equal(x, y)


@stands_for(np.less)
@differentiable(one_type=True)
def less(x: Any, y: Any) -> Any:
    """Return where ``x < y``.

    Examples
    --------
    >>> less(np.array([1.0, 2.0, 3.0]), 2.0).tolist()
    [True, False, False]
    """
    return np.less(x, y)


@stands_for(np.less_equal)
@differentiable(one_type=True)
def less_equal(x: Any, y: Any) -> Any:
    """Return where ``x <= y``.

    Examples
    --------
    >>> less_equal(np.array([1.0, 2.0, 3.0]), 2.0).tolist()
    [True, True, False]
    """
    return np.less_equal(x, y)


@stands_for(np.logical_and)
@differentiable()
def logical_and(x: Any, y: Any) -> Any:
    """Return where both hold. A number holds if it is not 0.

    Examples
    --------
    >>> logical_and(np.array([True, False]), True).tolist()
    [True, False]
    """
    return np.logical_and(x, y)


@stands_for(np.logical_or)
@differentiable()
def logical_or(x: Any, y: Any) -> Any:
    """Return where one or both hold. A number holds if it is not 0.

    Examples
    --------
    >>> logical_or(np.array([True, False]), False).tolist()
    [True, False]
    """
    return np.logical_or(x, y)


@stands_for(np.logical_xor)
@differentiable()
def logical_xor(x: Any, y: Any) -> Any:
    """Return where just one of the two holds. A number holds if it is not 0.

    Examples
    --------
    >>> logical_xor(np.array([True, False]), True).tolist()
    [False, True]
    """
    return np.logical_xor(x, y)


@stands_for(np.logical_not)
@differentiable()
def logical_not(x: Any) -> Any:
    """Return where `x` does not hold. A number holds if it is not 0.

    Examples
    --------
    >>> logical_not(np.array([True, False])).tolist()
    [False, True]
    """
    return np.logical_not(x)


@stands_for(np.isfinite)
@differentiable()
def isfinite(x: Any) -> Any:
    """Return where `x` is neither infinite nor nan.

    Examples
    --------
    >>> isfinite(np.array([1.0, np.inf, np.nan])).tolist()
    [True, False, False]
    """
    return np.isfinite(x)


@stands_for(np.isinf)
@differentiable()
def isinf(x: Any) -> Any:
    """Return where `x` is infinite, with either sign.

    Examples
    --------
    >>> isinf(np.array([1.0, -np.inf, np.nan])).tolist()
    [False, True, False]
    """
    return np.isinf(x)


@stands_for(np.isnan)
@differentiable()
def isnan(x: Any) -> Any:
    """Return where `x` is nan.

    Examples
    --------
    >>> isnan(np.array([1.0, np.inf, np.nan])).tolist()
    [False, False, True]
    """
    return np.isnan(x)


# ``array & tensor`` comes as a ufunc. On booleans it is the logic above, on integers bit by bit.
for _ufunc in (np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.invert):
    stands_for(_ufunc)(differentiable()(_ufunc))
