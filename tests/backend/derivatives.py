"""Checking the derivatives of a `K` function against central differences, for the tests here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor, value_of

_STEP = 1e-6


def check_derivatives(
    function: Callable[..., Any],
    *arrays: Any,
    by: Sequence[int] | None = None,
    tolerance: float = 1e-6,
    **kwargs: Any,
) -> Any:
    """Check the derivatives of ``function(*arrays, **kwargs)`` by its arguments, in float64.

    Besides the plain call: a value that is used twice, arguments that count as constants, gradients
    in float32, memory that must not be written to, and that plain arrays give a plain result, equal
    to the tensor's.

    Parameters
    ----------
    function : callable
        With arrays or lists of arrays as its first arguments.
    *arrays : array or list of arrays
        Floats are differentiated by; others are passed on as they are.
    by : sequence of int, optional
        Which arguments to differentiate by. Default: all of floats.

    Returns
    -------
    ndarray
        The value.
    """
    args = [_double(a) for a in arrays]
    if by is None:
        by = [i for i, a in enumerate(args) if _is_float(a)]
    assert by, "nothing to differentiate by"
    plain = function(*args, **kwargs)
    assert not isinstance(plain, Tensor), "plain arrays must give a plain array"
    random = np.random.RandomState(0)
    upstream = random.standard_normal(np.shape(plain))

    def weighted(*values: Any) -> float:
        return float(np.vdot(upstream, function(*values, **kwargs)))

    numeric = {i: _numeric(weighted, args, i) for i in by}
    leaves = [_leaves(a) if i in by else a for i, a in enumerate(args)]
    for a in _flat(leaves):
        value_of(a).flags.writeable = False
    upstream.flags.writeable = False
    y = function(*leaves, **kwargs)
    assert isinstance(y, Tensor), "a tensor must give a tensor"
    np.testing.assert_array_equal(y.value, plain)
    targets = [t for i in by for t in _flat([leaves[i]])]
    expected = [g for i in by for g in _flat([numeric[i]])]
    _compare(backpropagate([(y, upstream)], targets), expected, targets, tolerance)

    # The same value twice, and the function twice.
    twice = function(*leaves, **kwargs) * 2.0 + y
    found = backpropagate([(twice, upstream)], targets)
    _compare(found, [3 * g for g in expected], targets, tolerance)

    # Each argument alone, the others being constants.
    for i in by:
        alone = [leaves[i] if j == i else a for j, a in enumerate(args)]
        own = _flat([leaves[i]])
        found = backpropagate([(function(*alone, **kwargs), upstream)], own)
        _compare(found, _flat([numeric[i]]), own, tolerance)

    # float32 stays float32.
    single = [_leaves(a, np.float32) if i in by else a for i, a in enumerate(args)]
    y = function(*single, **kwargs)
    assert y.value.dtype == np.float32, f"float32 has become {y.value.dtype}"
    targets = [t for i in by for t in _flat([single[i]])]
    found = backpropagate([(y, upstream.astype("float32"))], targets)
    assert all(g is None or g.dtype == np.float32 for g in found)
    _compare(found, expected, targets, 2e-3)
    return plain


def _double(a: Any) -> Any:
    if isinstance(a, (list, tuple)):
        return type(a)(_double(item) for item in a)
    return np.array(a, "float64") if _is_float(a) else a


def _is_float(a: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return bool(a) and _is_float(a[0])
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def _leaves(a: Any, dtype: Any = np.float64) -> Any:
    if isinstance(a, (list, tuple)):
        return type(a)(_leaves(item, dtype) for item in a)
    return Tensor(np.array(a, dtype))


def _flat(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if isinstance(item, (list, tuple)):
            found.extend(_flat(item))
        elif isinstance(item, (Tensor, np.ndarray)):
            found.append(item)
    return found


def _numeric(function: Callable[..., float], args: list[Any], position: int) -> Any:
    def gradient(array: np.ndarray) -> np.ndarray:
        result = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + _STEP
            above = function(*args)
            array[index] = value - _STEP
            below = function(*args)
            array[index] = value
            result[index] = (above - below) / (2 * _STEP)
        return result

    arg = args[position]
    return [gradient(a) for a in arg] if isinstance(arg, (list, tuple)) else gradient(arg)


def _compare(found: Any, expected: Any, targets: Any, tolerance: float) -> None:
    for gradient, wanted, target in zip(found, expected, targets, strict=True):
        if gradient is None:
            gradient = np.zeros(target.shape)
        assert gradient.shape == target.shape
        scale = max(1.0, float(np.abs(wanted).max(initial=0.0)))
        np.testing.assert_allclose(gradient, wanted, rtol=tolerance, atol=tolerance * scale)
