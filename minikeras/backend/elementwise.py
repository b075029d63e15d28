"""`K`: arithmetic and functions of single numbers, with broadcasting, and their derivatives.

At kinks and jumps the derivatives are those of Keras 2.2 on TensorFlow, unless a docstring says
otherwise. What has an infinite derivative somewhere gives it there, with NumPy's warning.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minikeras.backend.operators import stands_for
from minikeras.backend.tape import differentiable, unbroadcast

# --- arithmetic -------------------------------------------------------------------------------


@stands_for(np.add)
@differentiable(
    lambda dy, z, x, y: unbroadcast(dy, x),
    lambda dy, z, x, y: unbroadcast(dy, y),
    one_type=True,
)
def add(x: Any, y: Any) -> Any:
    """Return ``x + y``.

    Examples
    --------
    >>> add(np.array([1.0, 2.0]), 1.0).tolist()
    [2.0, 3.0]
    """
    return np.add(x, y)


@stands_for(np.subtract)
@differentiable(
    lambda dy, z, x, y: unbroadcast(dy, x),
    lambda dy, z, x, y: unbroadcast(-dy, y),
    one_type=True,
)
def subtract(x: Any, y: Any) -> Any:
    """Return ``x - y``.

    Examples
    --------
    >>> subtract(np.array([1.0, 2.0]), 1.0).tolist()
    [0.0, 1.0]
    """
    return np.subtract(x, y)


@stands_for(np.multiply)
@differentiable(
    lambda dy, z, x, y: unbroadcast(dy * y, x),
    lambda dy, z, x, y: unbroadcast(dy * x, y),
    one_type=True,
)
def multiply(x: Any, y: Any) -> Any:
    """Return ``x * y``.

    Examples
    --------
    >>> multiply(np.array([1.0, 2.0]), 3.0).tolist()
    [3.0, 6.0]
    """
    return np.multiply(x, y)


@stands_for(np.true_divide)
@differentiable(
    lambda dy, z, x, y: unbroadcast(dy / y, x),
    lambda dy, z, x, y: unbroadcast(-dy * z / y, y),
    one_type=True,
)
def divide(x: Any, y: Any) -> Any:
    """Return ``x / y``, a float also where both are integers.

    Examples
    --------
    >>> divide(np.array([1.0, 3.0]), 2).tolist()
    [0.5, 1.5]
    """
    return np.true_divide(x, y)


@stands_for(np.floor_divide)
@differentiable(one_type=True)
def floor_divide(x: Any, y: Any) -> Any:
    """Return the whole number below ``x / y``, without a derivative.

    Examples
    --------
    >>> floor_divide(np.array([7.0, -7.0]), 2.0).tolist()
    [3.0, -4.0]
    """
    return np.floor_divide(x, y)


@stands_for(np.remainder)
@differentiable(
    lambda dy, z, x, y: unbroadcast(dy, x),
    lambda dy, z, x, y: unbroadcast(-dy * np.floor_divide(x, y), y),
    one_type=True,
)
def remainder(x: Any, y: Any) -> Any:
    """Return what ``x // y`` leaves, with the sign of `y`. At jumps, the derivative beside them.

    Examples
    --------
    >>> remainder(np.array([7.0, -7.0]), 2.0).tolist()
    [1.0, 1.0]
    """
    return np.remainder(x, y)


def _power_by_base(dy: Any, z: Any, x: Any, y: Any) -> Any:
    x = np.asarray(x)
    if isinstance(y, (int, float)):
        if y == 2:
            return dy * 2 * x
        return dy * (y * x ** (y - 1)) if y != 0 else np.zeros_like(dy)
    y = np.asarray(y)
    # Where y is 0 so is the derivative, and 0 * 0 ** -1 would be nan.
    return unbroadcast(dy * (y * np.power(x, np.where(y == 0, 0, y - 1))), x)


def _power_by_exponent(dy: Any, z: Any, x: Any, y: Any) -> Any:
    if isinstance(x, (int, float)):
        log: Any = math.log(x) if x > 0 else 0.0
    else:
        x = np.asarray(x)
        log = np.log(np.where(x > 0, x, 1))
    return unbroadcast(dy * (z * log), y)


@stands_for(np.power)
@differentiable(_power_by_base, _power_by_exponent, one_type=True)
def power(x: Any, y: Any) -> Any:
    """Return ``x ** y``.

    Where `x` is zero or negative, the derivative by `y` counts as 0. Where `y` is 0, the derivative
    by `x` is 0 also at ``x = 0`` (nan in Keras).

    Examples
    --------
    >>> power(np.array([1.0, 3.0]), 2).tolist()
    [1.0, 9.0]
    """
    # The operator knows short ways for 2, 0.5 and the like, which the ufunc does not.
    return x**y if isinstance(x, np.ndarray) else np.power(x, y)


def pow(x: Any, a: Any) -> Any:
    """Return ``x ** a``; `power` under Keras' name.

    Examples
    --------
    >>> pow(np.array([1.0, 3.0]), 2).tolist()
    [1.0, 9.0]
    """
    return power(x, a)


@stands_for(np.negative)
@differentiable(lambda dy, y, x: -dy)
def negative(x: Any) -> Any:
    """Return ``-x``.

    Examples
    --------
    >>> negative(np.array([1.0, -3.0])).tolist()
    [-1.0, 3.0]
    """
    return np.negative(x)


@stands_for(np.positive)
@differentiable(lambda dy, y, x: dy)
def positive(x: Any) -> Any:
    """Return ``+x``.

    Examples
    --------
    >>> positive(np.array([1.0, -3.0])).tolist()
    [1.0, -3.0]
    """
    return np.positive(x)


# --- powers, exponentials and logarithms --------------------------------------------------------


@stands_for(np.square)
@differentiable(lambda dy, y, x: dy * 2 * x)
def square(x: Any) -> Any:
    """Return ``x**2``.

    Examples
    --------
    >>> square(np.array([1.0, -3.0])).tolist()
    [1.0, 9.0]
    """
    return np.square(x)


def _sqrt_by_x(dy: Any, y: Any, x: Any) -> Any:
    # 1 in the place of the roots that were cut off: there the derivative is 0.
    within = np.greater_equal(x, 0)
    return np.where(within, dy * 0.5 / np.where(within, y, 1), 0)


@differentiable(_sqrt_by_x)
def sqrt(x: Any) -> Any:
    """Return the square root, and 0 for negative numbers, as Keras does (``np.sqrt``: nan).

    The derivative at 0 is infinite, and 0 for negative numbers. Add `epsilon` to what may be 0.

    Examples
    --------
    >>> sqrt(np.array([4.0, -4.0])).tolist()
    [2.0, 0.0]
    """
    return np.sqrt(np.maximum(x, 0))


@stands_for(np.sqrt)
@differentiable(lambda dy, y, x: dy * 0.5 / y)
def square_root(x: Any) -> Any:
    """Return the square root, and nan for negative numbers: what ``np.sqrt(tensor)`` is.

    Examples
    --------
    >>> square_root(np.array([4.0, 9.0])).tolist()
    [2.0, 3.0]
    """
    return np.sqrt(x)


@stands_for(np.exp)
@differentiable(lambda dy, y, x: dy * y)
def exp(x: Any) -> Any:
    """Return ``e**x``.

    Examples
    --------
    >>> exp(np.array([0.0, 1.0])).round(3).tolist()
    [1.0, 2.718]
    """
    return np.exp(x)


@stands_for(np.expm1)
@differentiable(lambda dy, y, x: dy * np.exp(x))
def expm1(x: Any) -> Any:
    """Return ``e**x - 1``, exact also for small `x`.

    Examples
    --------
    >>> expm1(np.array([0.0, 1e-12])).tolist()
    [0.0, 1.0000000000005e-12]
    """
    return np.expm1(x)


@stands_for(np.log)
@differentiable(lambda dy, y, x: dy / x)
def log(x: Any) -> Any:
    """Return the natural logarithm: -inf of 0, nan of negative numbers.

    Examples
    --------
    >>> log(np.array([1.0, 10.0])).round(3).tolist()
    [0.0, 2.303]
    """
    return np.log(x)


@stands_for(np.log1p)
@differentiable(lambda dy, y, x: dy / np.add(x, 1))
def log1p(x: Any) -> Any:
    """Return ``log(1 + x)``, exact also for small `x`.

    Examples
    --------
    >>> log1p(np.array([0.0, 1e-12])).tolist()
    [0.0, 9.999999999995e-13]
    """
    return np.log1p(x)


# --- angles -------------------------------------------------------------------------------------


@stands_for(np.sin)
@differentiable(lambda dy, y, x: dy * np.cos(x))
def sin(x: Any) -> Any:
    """Return the sine of an angle in radians.

    Examples
    --------
    >>> sin(np.array([0.0, np.pi / 2])).tolist()
    [0.0, 1.0]
    """
    return np.sin(x)


@stands_for(np.cos)
@differentiable(lambda dy, y, x: -dy * np.sin(x))
def cos(x: Any) -> Any:
    """Return the cosine of an angle in radians.

    Examples
    --------
    >>> cos(np.array([0.0, np.pi])).tolist()
    [1.0, -1.0]
    """
    return np.cos(x)


@stands_for(np.tan)
@differentiable(lambda dy, y, x: dy * (1 + y * y))
def tan(x: Any) -> Any:
    """Return the tangent of an angle in radians.

    Examples
    --------
    >>> tan(np.array([0.0, np.pi / 4])).round(3).tolist()
    [0.0, 1.0]
    """
    return np.tan(x)


@stands_for(np.arctan)
@differentiable(lambda dy, y, x: dy / (1 + np.square(x)))
def arctan(x: Any) -> Any:
    """Return the angle, in radians between -pi/2 and pi/2, whose tangent is `x`.

    Examples
    --------
    >>> arctan(np.array([0.0, 1.0])).round(3).tolist()
    [0.0, 0.785]
    """
    return np.arctan(x)


@stands_for(np.sinh)
@differentiable(lambda dy, y, x: dy * np.cosh(x))
def sinh(x: Any) -> Any:
    """Return the hyperbolic sine.

    Examples
    --------
    >>> sinh(np.array([0.0, 1.0])).round(3).tolist()
    [0.0, 1.175]
    """
    return np.sinh(x)


@stands_for(np.cosh)
@differentiable(lambda dy, y, x: dy * np.sinh(x))
def cosh(x: Any) -> Any:
    """Return the hyperbolic cosine.

    Examples
    --------
    >>> cosh(np.array([0.0, 1.0])).round(3).tolist()
    [1.0, 1.543]
    """
    return np.cosh(x)


# --- signs and whole numbers --------------------------------------------------------------------


@stands_for(np.absolute)
@differentiable(lambda dy, y, x: dy * np.sign(x))
def abs(x: Any) -> Any:
    """Return `x` without its sign. The derivative at 0 is 0.

    Examples
    --------
    >>> abs(np.array([1.0, -3.0])).tolist()
    [1.0, 3.0]
    """
    return np.absolute(x)


@stands_for(np.sign)
@differentiable(lambda dy, y, x: np.zeros_like(dy))
def sign(x: Any) -> Any:
    """Return -1, 0 or 1. The derivative is 0 everywhere.

    Examples
    --------
    >>> sign(np.array([-2.0, 0.0, 3.0])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return np.sign(x)


@stands_for(np.rint)
@differentiable()
def round(x: Any) -> Any:
    """Return the nearest whole number, the even one of two, without a derivative.

    Examples
    --------
    >>> round(np.array([0.5, 1.5, 2.4])).tolist()
    [0.0, 2.0, 2.0]
    """
    return np.rint(x)


@stands_for(np.floor)
@differentiable()
def floor(x: Any) -> Any:
    """Return the next whole number downwards, without a derivative.

    Examples
    --------
    >>> floor(np.array([1.5, -1.5])).tolist()
    [1.0, -2.0]
    """
    return np.floor(x)


@stands_for(np.ceil)
@differentiable()
def ceil(x: Any) -> Any:
    """Return the next whole number upwards, without a derivative.

    Examples
    --------
    >>> ceil(np.array([1.5, -1.5])).tolist()
    [2.0, -1.0]
    """
    return np.ceil(x)


# --- limits -------------------------------------------------------------------------------------


@stands_for(np.maximum)
@differentiable(
    lambda dy, z, x, y: unbroadcast(np.where(np.greater_equal(x, y), dy, 0), x),
    lambda dy, z, x, y: unbroadcast(np.where(np.greater_equal(x, y), 0, dy), y),
    one_type=True,
)
def maximum(x: Any, y: Any) -> Any:
    """Return the larger of two. Where they are equal, the whole derivative is that of `x`.

    Examples
    --------
    >>> maximum(np.array([-1.0, 2.0]), 0.0).tolist()
    [0.0, 2.0]
    """
    return np.maximum(x, y)


@stands_for(np.minimum)
@differentiable(
    lambda dy, z, x, y: unbroadcast(np.where(np.less_equal(x, y), dy, 0), x),
    lambda dy, z, x, y: unbroadcast(np.where(np.less_equal(x, y), 0, dy), y),
    one_type=True,
)
def minimum(x: Any, y: Any) -> Any:
    """Return the smaller of two. Where they are equal, the whole derivative is that of `x`.

    Examples
    --------
    >>> minimum(np.array([-1.0, 2.0]), 0.0).tolist()
    [-1.0, 0.0]
    """
    return np.minimum(x, y)


def _clip_by_x(dy: Any, y: Any, x: Any, min_value: Any, max_value: Any) -> Any:
    return unbroadcast(np.where(y == x, dy, 0), x)


def _clip_by_min(dy: Any, y: Any, x: Any, min_value: Any, max_value: Any) -> Any:
    counts = np.less(x, min_value)
    if max_value is not None:
        counts = counts | (np.less(max_value, min_value) & (y != x))
    return unbroadcast(np.where(counts, dy, 0), min_value)


def _clip_by_max(dy: Any, y: Any, x: Any, min_value: Any, max_value: Any) -> Any:
    counts = np.greater(x, max_value)
    if min_value is not None:
        counts = counts & np.greater_equal(max_value, min_value)
    return unbroadcast(np.where(counts, dy, 0), max_value)


@differentiable(_clip_by_x, _clip_by_min, _clip_by_max, one_type=True)
def clip(x: Any, min_value: Any, max_value: Any) -> Any:
    """Return `x` where it lies between two limits, and the nearer limit elsewhere.

    Where `x` is equal to a limit, the whole derivative is that of `x`.

    Parameters
    ----------
    x : array or tensor
    min_value, max_value : float, array, tensor or None
        None for no limit. Where `max_value` is below `min_value`, the result is `min_value`
        (``np.clip``: `max_value`).

    Examples
    --------
    >>> clip(np.array([-1.0, 0.5, 2.0]), 0, 1).tolist()
    [0.0, 0.5, 1.0]
    """
    y = np.asarray(x) if max_value is None else np.minimum(x, max_value)
    return y if min_value is None else np.maximum(y, min_value)
