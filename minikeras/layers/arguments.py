"""Checks of constructor arguments that several layers share."""

from __future__ import annotations

import operator
from typing import Any

from minikeras.engine import Layer
from minikeras.engine.input_spec import Shape


def positive_int(value: Any, name: str, layer: Layer) -> int:
    """Return `value` as an int greater than 0, or raise an error that names the layer."""
    number = _as_int(value)
    if number is None or number <= 0:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}): {name} must be an int greater than "
            f"0, got {value!r}."
        )
    return number


def ints(value: Any, name: str, layer: Layer) -> tuple[int, ...]:
    """Return `value`, a sequence of ints, as a tuple, or raise an error that names the layer."""
    numbers = [_as_int(n) for n in value] if isinstance(value, (list, tuple)) else [None]
    if None in numbers:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}): {name} must be a tuple of ints, got "
            f"{value!r}."
        )
    return tuple(numbers)  # type: ignore[arg-type]


def fraction(value: Any, name: str, layer: Layer) -> float:
    """Return `value` as a float in [0, 1), or raise an error that names the layer."""
    number = _as_float(value)
    if number is None or not 0 <= number < 1:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}): {name} must be a number from 0 up to "
            f"but not including 1, got {value!r}."
        )
    return number


def finite(
    value: Any,
    name: str,
    layer: Layer,
    minimum: float | None = None,
    maximum: float | None = None,
) -> float:
    """Return `value` as a finite float between the limits, or raise an error."""
    number = _as_float(value)
    if number is None or not float("-inf") < number < float("inf"):
        wanted = "a finite number"
    elif minimum is not None and number < minimum:
        wanted = f"at least {minimum:g}"
    elif maximum is not None and number > maximum:
        wanted = f"at most {maximum:g}"
    else:
        return number
    raise ValueError(
        f"Layer '{layer.name}' ({type(layer).__name__}): {name} must be {wanted}, got {value!r}."
    )


def optional_seed(value: Any, name: str, layer: Layer) -> int | None:
    """Return None, or `value` as an int of at least 0, or raise an error that names the layer."""
    number = None if value is None else _as_int(value)
    if value is not None and (number is None or number < 0):
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}): {name} must be None or an int of at "
            f"least 0, got {value!r}."
        )
    return number


def axis_number(value: Any, name: str, layer: Layer) -> int:
    """Return `value` as an int that can stand for an axis other than that of the batch."""
    number = _as_int(value)
    if number is None or number == 0:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}): {name} must be the number of an axis "
            f"other than 0, which is the batch axis; got {value!r}."
        )
    return number


def known_size(input_shape: Shape, axis: int, layer: Layer) -> int:
    """Return the size of an axis that must be known to build `layer`."""
    size = input_shape[axis]
    if size is None:
        raise ValueError(
            f"Layer '{layer.name}' ({type(layer).__name__}) needs to know the size of axis {axis} "
            f"of its input; the input shape is {input_shape}."
        )
    return size


def _as_int(value: Any) -> int | None:
    """Return an int, of Python or NumPy, as an int of Python; None for anything else."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _as_float(value: Any) -> float | None:
    """Return a number, of Python or NumPy, as a float; None for anything else."""
    try:
        return None if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        return None
