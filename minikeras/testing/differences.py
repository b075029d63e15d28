"""Central differences: the derivative of a function of arrays, and how far another is from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

_STEP = 1e-5


class GradientError(AssertionError):
    """A derivative does not agree with central differences."""


class Report(NamedTuple):
    """The outcome of a gradient check: the entry with the largest relative error.

    Attributes
    ----------
    where : str
        ``'x'``, ``'y_pred'`` or a weight's name.
    position : tuple of int
        The entry's index in it.
    analytic, numeric : float
        What ``backward`` says and what the differences say.
    error : float
        ``|analytic - numeric|`` relative to the larger of the two, or to a thousandth of the
        largest central difference in the array where both are tiny.
    entries : int
        How many entries were compared.
    """

    where: str
    position: tuple[int, ...]
    analytic: float
    numeric: float
    error: float
    entries: int

    def __str__(self) -> str:
        place = f"{self.where}[{', '.join(map(str, self.position))}]"
        return (
            f"worst of {self.entries} entries: {place}, backward {self.analytic:.10g}, central "
            f"difference {self.numeric:.10g}, relative error {self.error:.2g}"
        )


class Problem(NamedTuple):
    """A scalar function of some arrays, which it reads in place, and its gradients by them."""

    function: Callable[[], float]
    arrays: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]


def compare(problem: Problem, random: np.random.RandomState, max_entries: int) -> Report:
    """Compare gradients with central differences, and return the worst entry."""
    worst = Report("", (), 0.0, 0.0, 0.0, 0)
    count = 0
    for name, array in problem.arrays.items():
        gradient = problem.gradients[name]
        _check_gradient(name, array, gradient)
        indices = list(_some_indices(gradient, max_entries, random))
        numerics = [_difference(problem.function, array, index, _STEP) for index in indices]
        # Not from the gradient: one wrong, huge entry must not make all others look tiny.
        finite = [abs(numeric) for numeric in numerics if np.isfinite(numeric)]
        floor = max(1e-3 * max(finite, default=0.0), 1e-5)
        for index, first in zip(indices, numerics, strict=True):
            analytic = float(gradient[index])
            numeric, error = _refined(problem.function, array, index, analytic, first, floor)
            count += 1
            if not error <= worst.error:
                worst = Report(name, index, analytic, numeric, error, count)
    return worst._replace(entries=count)


def _check_gradient(name: str, array: np.ndarray, gradient: np.ndarray) -> None:
    """Check shape and finiteness, which holds for all entries and not only the compared ones."""
    if gradient.shape != array.shape:
        raise GradientError(
            f"The gradient of {name} has shape {gradient.shape}, but {name} has {array.shape}."
        )
    bad = np.argwhere(~np.isfinite(gradient))
    if len(bad):
        index = tuple(bad[0].tolist())
        place = f"{name}[{', '.join(map(str, index))}]"
        raise GradientError(f"The gradient of {place} is {gradient[index]}: not a finite number.")


def _some_indices(
    gradient: np.ndarray, most: int, random: np.random.RandomState
) -> Iterator[tuple[int, ...]]:
    flat = np.arange(gradient.size)
    if gradient.size > most:
        flat = random.choice(gradient.size, most, replace=False)
        largest = np.abs(gradient).argmax()
        if largest not in flat:
            flat[:1] = largest
    for number in flat:
        yield tuple(int(i) for i in np.unravel_index(number, gradient.shape))


def _difference(
    function: Callable[[], float], array: np.ndarray, index: tuple[int, ...], step: float
) -> float:
    """Return the central difference of the function by one entry of the array."""
    value = array[index]
    h = step * max(1.0, abs(value))
    array[index] = value + h
    above = function()
    array[index] = value - h
    below = function()
    array[index] = value
    return (above - below) / (2 * h)


def _refined(
    function: Callable[[], float],
    array: np.ndarray,
    index: tuple[int, ...],
    analytic: float,
    numeric: float,
    floor: float,
) -> tuple[float, float]:
    """Return the central difference and its relative distance from `analytic`.

    Where the two differ, a kink may lie between the two points: a smaller step decides.
    """
    best = (np.nan, np.inf)
    for step in (_STEP, _STEP / 10, _STEP / 100):
        if step != _STEP:
            numeric = _difference(function, array, index, step)
        error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor)
        if error < best[1]:
            best = (numeric, error)
        if error < 1e-6:
            break
    return best
