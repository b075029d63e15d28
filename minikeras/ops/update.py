"""One step of each optimizer's rule, on vectors.

In each function `value` (the weights), `gradient`, the slots after it and `scratch` are vectors
of one length and one float type. Value and slots are changed in place, the gradient is used up,
`scratch` is room for intermediate results; nothing is allocated. Numbers are Python floats,
which leave float32 vectors float32. Time goes by the number of passes over memory, so each
function does with as few as its formula allows. The formulas are in `minikeras.optimizers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray


def sgd(
    value: Array,
    gradient: Array,
    moments: Array,
    scratch: Array,
    lr: float,
    momentum: float,
    nesterov: bool,
) -> None:
    """Stochastic gradient descent with momentum, Nesterov's or the plain one."""
    if momentum == 0:
        np.multiply(gradient, -lr, out=moments)
        value += moments
        return
    gradient *= lr
    moments *= momentum
    moments -= gradient
    if nesterov:
        np.multiply(moments, momentum, out=scratch)
        scratch -= gradient
        value += scratch
    else:
        value += moments


def rmsprop(
    value: Array,
    gradient: Array,
    accumulators: Array,
    scratch: Array,
    lr: float,
    rho: float,
    epsilon: float,
) -> None:
    """RMSprop."""
    _running_mean_square(accumulators, gradient, rho, scratch)
    _step_by_root(value, gradient, accumulators, scratch, lr, epsilon)


def adagrad(
    value: Array,
    gradient: Array,
    accumulators: Array,
    scratch: Array,
    lr: float,
    epsilon: float,
) -> None:
    """Adagrad."""
    np.multiply(gradient, gradient, out=scratch)
    accumulators += scratch
    _step_by_root(value, gradient, accumulators, scratch, lr, epsilon)


def adadelta(
    value: Array,
    gradient: Array,
    accumulators: Array,
    delta_accumulators: Array,
    scratch: Array,
    lr: float,
    rho: float,
    epsilon: float,
) -> None:
    """Adadelta."""
    _running_mean_square(accumulators, gradient, rho, scratch)
    np.add(accumulators, epsilon, out=scratch)
    np.sqrt(scratch, out=scratch)
    gradient /= scratch
    np.add(delta_accumulators, epsilon, out=scratch)
    np.sqrt(scratch, out=scratch)
    gradient *= scratch
    _running_mean_square(delta_accumulators, gradient, rho, scratch)
    if lr != 1:
        gradient *= lr
    value -= gradient


def adam(
    value: Array,
    gradient: Array,
    ms: Array,
    vs: Array,
    scratch: Array,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Adam. `lr` contains the factor that corrects the bias of both means."""
    _running_mean_square(vs, gradient, beta_2, scratch)
    _running_mean(ms, gradient, beta_1)
    _step_by_mean(value, ms, vs, scratch, lr, epsilon)


def amsgrad(
    value: Array,
    gradient: Array,
    ms: Array,
    vs: Array,
    vhats: Array,
    scratch: Array,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Adam, divided by the largest mean square so far."""
    _running_mean_square(vs, gradient, beta_2, scratch)
    _running_mean(ms, gradient, beta_1)
    np.maximum(vhats, vs, out=vhats)
    _step_by_mean(value, ms, vhats, scratch, lr, epsilon)


def adamax(
    value: Array,
    gradient: Array,
    ms: Array,
    us: Array,
    scratch: Array,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Adamax. `lr` contains the factor that corrects the bias of the mean."""
    np.absolute(gradient, out=scratch)
    us *= beta_2
    np.maximum(us, scratch, out=us)
    _running_mean(ms, gradient, beta_1)
    np.add(us, epsilon, out=scratch)
    _step_by_quotient(value, ms, scratch, lr)


def nadam(
    value: Array,
    gradient: Array,
    ms: Array,
    vs: Array,
    scratch: Array,
    by_gradient: float,
    by_mean: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Nadam: ``value -= (by_gradient * gradient + by_mean * ms) / (sqrt(vs) + epsilon)``.

    The three numbers come multiplied by ``sqrt(1 - beta_2**t)``. Numerator and denominator are
    brought back by the largest value of that factor's inverse, for in float16 `epsilon` would
    be rounded to 0.
    """
    scale = (1 - beta_2) ** -0.5
    _running_mean_square(vs, gradient, beta_2, scratch)
    np.multiply(gradient, 1 - beta_1, out=scratch)
    ms *= beta_1
    ms += scratch
    np.multiply(ms, by_mean * scale, out=scratch)
    gradient *= by_gradient * scale
    gradient += scratch
    np.sqrt(vs, out=scratch)
    scratch *= scale
    scratch += epsilon * scale
    gradient /= scratch
    value -= gradient


def _running_mean(mean: Array, gradient: Array, kept: float) -> None:
    """``mean = kept * mean + (1 - kept) * gradient``; uses the gradient up."""
    gradient *= 1 - kept
    mean *= kept
    mean += gradient


def _running_mean_square(mean: Array, gradient: Array, kept: float, scratch: Array) -> None:
    """``mean = kept * mean + (1 - kept) * gradient**2``."""
    np.multiply(gradient, gradient, out=scratch)
    scratch *= 1 - kept
    mean *= kept
    mean += scratch


def _step_by_root(
    value: Array, gradient: Array, square: Array, scratch: Array, lr: float, epsilon: float
) -> None:
    """``value -= lr * gradient / (sqrt(square) + epsilon)``; uses the gradient up."""
    np.sqrt(square, out=scratch)
    scratch += epsilon
    gradient *= lr
    gradient /= scratch
    value -= gradient


def _step_by_mean(
    value: Array, mean: Array, square: Array, scratch: Array, lr: float, epsilon: float
) -> None:
    """``value -= lr * mean / (sqrt(square) + epsilon)``."""
    np.sqrt(square, out=scratch)
    scratch += epsilon
    _step_by_quotient(value, mean, scratch, lr)


def _step_by_quotient(value: Array, mean: Array, divisor: Array, lr: float) -> None:
    """``value -= lr * mean / divisor``; uses the divisor up."""
    np.divide(mean, divisor, out=divisor)
    divisor *= lr
    value -= divisor


# The same rules for weights whose gradient is zero, as most rows of a large table have. What comes
# out is equal to what the rule above gives; the arguments are the same without the gradient.


def _sgd_at_rest(
    value: Array, moments: Array, scratch: Array, lr: float, momentum: float, nesterov: bool
) -> None:
    if momentum == 0:
        moments.fill(-0.0)
        return
    moments *= momentum
    if nesterov:
        np.multiply(moments, momentum, out=scratch)
        value += scratch
    else:
        value += moments


def _rmsprop_at_rest(
    value: Array, accumulators: Array, scratch: Array, lr: float, rho: float, epsilon: float
) -> None:
    accumulators *= rho


def _adagrad_at_rest(*args: Any) -> None:
    pass


def _adadelta_at_rest(
    value: Array,
    accumulators: Array,
    delta_accumulators: Array,
    scratch: Array,
    lr: float,
    rho: float,
    epsilon: float,
) -> None:
    accumulators *= rho
    delta_accumulators *= rho


def _adam_at_rest(
    value: Array,
    ms: Array,
    vs: Array,
    scratch: Array,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    vs *= beta_2
    ms *= beta_1
    _step_by_mean(value, ms, vs, scratch, lr, epsilon)


def _amsgrad_at_rest(
    value: Array,
    ms: Array,
    vs: Array,
    vhats: Array,
    scratch: Array,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    vs *= beta_2
    ms *= beta_1
    np.maximum(vhats, vs, out=vhats)
    _step_by_mean(value, ms, vhats, scratch, lr, epsilon)


def _adamax_at_rest(
    value: Array,
    ms: Array,
    us: Array,
    scratch: Array,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    us *= beta_2
    ms *= beta_1
    np.add(us, epsilon, out=scratch)
    _step_by_quotient(value, ms, scratch, lr)


# Nadam is missing: it would need a second scratch vector, and has as much to do as with a gradient.
_AT_REST: dict[Callable, Callable] = {
    sgd: _sgd_at_rest,
    rmsprop: _rmsprop_at_rest,
    adagrad: _adagrad_at_rest,
    adadelta: _adadelta_at_rest,
    adam: _adam_at_rest,
    amsgrad: _amsgrad_at_rest,
    adamax: _adamax_at_rest,
}


def at_rest(rule: Callable, constants: tuple[Any, ...], dtype: np.dtype) -> Callable | None:
    """Return a quicker function for the weights whose gradient is zero, None if there is none.

    Parameters
    ----------
    rule : callable
        One of the rules above; there is nothing for any other function.
    constants : tuple
        Its last arguments.
    dtype : dtype
        The type of the weights.

    Returns
    -------
    callable or None
        It takes what `rule` takes, without the gradient.

    Examples
    --------
    >>> constants = (0.001, 0.9, 1e-7)
    >>> rest = at_rest(rmsprop, constants, np.dtype("float32"))
    >>> value, accumulators = np.array([3.0]), np.array([2.0])
    >>> rest(value, accumulators, None, *constants)
    >>> value.tolist(), accumulators.tolist()
    ([3.0], [1.8])
    """
    if rule in (rmsprop, adagrad, adadelta) and dtype.type(constants[-1]) == 0:
        return None  # without an epsilon the rule makes 0 / 0 of what has never had a gradient
    return _AT_REST.get(rule)
