"""`K`: random tensors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from minikeras.backend import running
from minikeras.backend.config import floatx
from minikeras.backend.creation import cast, full_shape
from minikeras.backend.elementwise import add, multiply
from minikeras.backend.random import new_generator
from minikeras.backend.tape import differentiable
from minikeras.ops import draw

# How often each seed has been used in a pass.
_turns: dict[int, itertools.count] = {}
_MOST_SEEDS = 1024


def seeded_generator(seed: int | None = None) -> np.random.Generator:
    """Return the generator that a random `K` function draws from.

    Parameters
    ----------
    seed : int, optional
        Default: the numbers of the pass, which follow ``np.random.seed``. With a seed, the same
        numbers each time; but in a pass they go on from one pass to the next, since a layer that
        is computed in each step of a training shall not see the same noise in all of them.

    Examples
    --------
    >>> seeded_generator(1).random() == seeded_generator(1).random()
    True
    """
    if seed is None:
        return running.generator()
    ctx = running.current()
    # A shape that is worked out must not change a run.
    turn = 0 if ctx is None or "example" in ctx.memo else _next_turn(seed)
    return np.random.Generator(np.random.SFC64([seed, turn])) if turn else new_generator(seed)


def _next_turn(seed: int) -> int:
    """Return how often a seed has been used in passes before."""
    count = _turns.get(seed)
    if count is None:
        if len(_turns) >= _MOST_SEEDS:  # somebody draws the seeds, too
            _turns.pop(next(iter(_turns)), None)
        count = _turns.setdefault(seed, itertools.count())
    return next(count)


def restart_seeds() -> None:
    """Let the sequence of numbers that belongs to each seed begin anew."""
    _turns.clear()


def random_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Return normally distributed random numbers.

    Parameters
    ----------
    shape : tuple of int
        May hold tensors, such as ``(K.shape(x)[0], 3)``.
    mean, stddev : float or array_like
        They broadcast to `shape`. If they are tensors, the result has their derivatives: it is
        ``mean + stddev * noise``. Default 0 and 1.
    dtype : str, optional
        A float type. Default: ``K.floatx()``.
    seed : int, optional
        See `seeded_generator`. Default: the numbers follow ``np.random.seed``.

    Raises
    ------
    ValueError
        If `dtype` is no float type.

    Examples
    --------
    >>> random_normal((2, 3), mean=1.0).shape
    (2, 3)
    """
    dtype = _float_type(dtype, "random_normal")
    return _scaled(_normal(shape, dtype, seed), stddev, mean, dtype)


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Return normally distributed random numbers within two standard deviations.

    Others are drawn again. Arguments as for `random_normal`.

    Examples
    --------
    >>> bool((abs(truncated_normal((1000,))) <= 2).all())
    True
    """
    dtype = _float_type(dtype, "truncated_normal")
    return _scaled(_truncated(shape, dtype, seed), stddev, mean, dtype)


def random_uniform(
    shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Return random numbers of equal probability between two bounds.

    Parameters
    ----------
    shape : tuple of int
        May hold tensors, such as ``(K.shape(x)[0], 3)``.
    minval, maxval : number or array_like
        They broadcast to `shape`. If they are tensors, floats have their derivatives. Whole
        numbers are below `maxval`. Default 0 and 1.
    dtype : str, optional
        A type of floats or whole numbers. Default: ``K.floatx()``.
    seed : int, optional
        See `seeded_generator`. Default: the numbers follow ``np.random.seed``.

    Examples
    --------
    >>> values = random_uniform((100,), 0, 10, dtype="int32")
    >>> bool(values.min() >= 0), bool(values.max() <= 9)
    (True, True)
    """
    dtype = np.dtype(dtype or floatx())
    if dtype.kind in "iu":
        return _whole(shape, minval, maxval, dtype, seed)
    dtype = _float_type(dtype, "random_uniform")
    low, high = _typed(minval, dtype), _typed(maxval, dtype)
    return add(multiply(_uniform(shape, dtype, seed), high - low), low)


@differentiable()
def random_binomial(shape: Any, p: Any = 0.0, dtype: Any = None, seed: int | None = None) -> Any:
    """Return ones with probability `p`, and zeros.

    Parameters
    ----------
    shape : tuple of int
        May hold tensors, such as ``(K.shape(x)[0], 3)``.
    p : float or array_like
        From 0 to 1; it broadcasts to `shape` and has no derivative. Default 0.
    dtype : str, optional
        Default: ``K.floatx()``.
    seed : int, optional
        See `seeded_generator`. Default: the numbers follow ``np.random.seed``.

    Examples
    --------
    >>> random_binomial((3,), p=1.0).tolist()
    [1.0, 1.0, 1.0]
    """
    noise = seeded_generator(seed).random(full_shape(shape), np.float32)
    return (noise < p).astype(dtype or floatx())


@differentiable()
def _normal(shape: Any, dtype: np.dtype, seed: int | None) -> np.ndarray:
    values = seeded_generator(seed).standard_normal(full_shape(shape), _drawn(dtype))
    return _array(values, dtype)


@differentiable()
def _truncated(shape: Any, dtype: np.dtype, seed: int | None) -> np.ndarray:
    values = draw.truncated_normal(seeded_generator(seed), full_shape(shape), _drawn(dtype))
    return _array(values, dtype)


@differentiable()
def _uniform(shape: Any, dtype: np.dtype, seed: int | None) -> np.ndarray:
    return _array(seeded_generator(seed).random(full_shape(shape), _drawn(dtype)), dtype)


@differentiable()
def _whole(shape: Any, low: Any, high: Any, dtype: np.dtype, seed: int | None) -> np.ndarray:
    low, high = np.asarray(low), np.asarray(high)
    for bound in (low, high):
        if not np.array_equal(bound, np.floor(bound)):
            raise ValueError(f"K.random_uniform of {dtype}: {bound} is no whole number.")
    if not (low < high).all():
        raise ValueError(f"K.random_uniform: no {dtype} is at least {low} and below {high}.")
    bounds = low.astype(np.int64), high.astype(np.int64)
    return seeded_generator(seed).integers(*bounds, full_shape(shape), np.int64).astype(dtype)


def _scaled(noise: Any, stddev: Any, mean: Any, dtype: np.dtype) -> Any:
    return add(multiply(noise, _typed(stddev, dtype)), _typed(mean, dtype))


def _typed(x: Any, dtype: np.dtype) -> Any:
    """Bring what is no plain number to the type of the result."""
    return x if type(x) in (int, float) else cast(x, dtype)


def _drawn(dtype: np.dtype) -> Any:
    """Return the type in which the generator draws: it knows two."""
    return np.float64 if dtype.itemsize > 4 else np.float32


def _array(values: Any, dtype: np.dtype) -> np.ndarray:
    return np.asarray(values, dtype)


def _float_type(dtype: Any, name: str) -> np.dtype:
    dtype = np.dtype(dtype or floatx())
    if dtype.kind != "f":
        raise ValueError(f"K.{name} gives floats, not {dtype}: use K.cast on its result.")
    return dtype
