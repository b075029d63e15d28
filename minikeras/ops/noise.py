"""Random noise: dropout and its relatives.

All but additive noise multiply by a random mask. The forward function returns that mask, and
the derivative is one product with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# Random numbers are drawn and used in pieces of this many entries, which stay in the cache.
_CHUNK = 16384

# What a unit with the activation 'selu' tends to for large negative input: -scale * alpha.
_SELU_SATURATION = -1.0507009873554804934193349852946 * 1.6732632423543772848170429916717


def dropout_mask(
    generator: np.random.Generator,
    shape: Sequence[int],
    rate: float,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Draw a mask that is 0 with probability `rate`, and ``1 / (1 - rate)`` otherwise.

    Parameters
    ----------
    generator : numpy.random.Generator
        Over a bit generator of 64 bits, as all of NumPy's are but MT19937.
    shape : sequence of int
    rate : float
        From 0 up to but not including 1.
    out : ndarray of float, optional
        Memory for the mask, contiguous. Default: a new float32 array.

    Returns
    -------
    ndarray of float, shape `shape`

    Raises
    ------
    ValueError
        If `rate` is out of its range.

    Notes
    -----
    16 random bits decide about each entry, so the probability is the nearest multiple of
    1/65536. It is a multiple of 1/256 for rates such as 0.25 and 0.5: there, 8 bits decide.

    Examples
    --------
    >>> generator = np.random.Generator(np.random.SFC64(1))
    >>> mask = dropout_mask(generator, (100, 100), 0.2)
    >>> np.unique(mask).tolist(), abs(float(mask.mean()) - 1) < 0.02
    ([0.0, 1.25], True)
    """
    scale = 1 / (1 - _checked_rate(rate))
    mask = np.empty(tuple(shape), np.float32) if out is None else out
    _draw_mask(generator, rate, scale, mask)
    return mask


def dropout(
    x: np.ndarray,
    rate: float,
    generator: np.random.Generator,
    noise_shape: Sequence[int | None] | None = None,
    out: np.ndarray | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> tuple[np.ndarray, np.ndarray]:
    """Set entries to zero with probability `rate`, and multiply the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    x : ndarray of float
    rate : float
        From 0 up to but not including 1.
    generator : numpy.random.Generator
        See `dropout_mask`.
    noise_shape : sequence of int or None, optional
        The shape of the mask, which must broadcast to that of `x`: entries along an axis of 1
        share one decision. None entries stand for the size of `x`. Default: the shape of `x`.
    out : ndarray, shape of `x`, optional
        Memory for the result, contiguous; may be `x`.
    empty : callable
        ``empty(shape, dtype)`` gives memory for what is not given.

    Returns
    -------
    y : ndarray, shape of `x`
    mask : ndarray, shape `noise_shape`
        For `dropout_backward`.

    References
    ----------
    Srivastava et al. (2014), "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15.

    Examples
    --------
    >>> generator = np.random.Generator(np.random.SFC64(1))
    >>> y, mask = dropout(np.ones((2, 4)), 0.5, generator, noise_shape=(None, 1))
    >>> mask.shape, bool((y == mask).all())
    ((2, 1), True)
    """
    scale = 1 / (1 - _checked_rate(rate))
    shape = _noise_shape(noise_shape, x.shape)
    mask = empty(shape, x.dtype)
    y = empty(x.shape, x.dtype) if out is None else out
    if shape == x.shape and x.flags.c_contiguous:
        _draw_mask(generator, rate, scale, mask, x, y)
    else:
        _draw_mask(generator, rate, scale, mask)
        np.multiply(x, mask, out=y)
    return y, mask


def dropout_backward(dy: np.ndarray, mask: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Return ``dy * mask``, the gradient of the input of `dropout`.

    Parameters
    ----------
    dy : ndarray
    mask : ndarray
        What `dropout` returned.
    out : ndarray, shape of `dy`, optional
        Memory for the result; may be `dy`.

    Returns
    -------
    ndarray, shape of `dy`
    """
    return np.multiply(dy, mask, out=out)


def gaussian_noise(
    x: np.ndarray,
    stddev: float,
    generator: np.random.Generator,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Add normally distributed noise of mean 0. The gradient passes through unchanged.

    Parameters
    ----------
    x : ndarray of float
    stddev : float
        Standard deviation of the noise.
    generator : numpy.random.Generator
    out : ndarray, shape of `x`, optional
        Memory for the result, contiguous; may be `x`.

    Returns
    -------
    ndarray, shape of `x`

    Examples
    --------
    >>> generator = np.random.Generator(np.random.SFC64(1))
    >>> y = gaussian_noise(np.zeros((100, 100)), 0.5, generator)
    >>> abs(float(y.std()) - 0.5) < 0.02
    True
    """
    y = np.empty(x.shape, x.dtype) if out is None else out
    source, target = _flat(np.ascontiguousarray(x)), _flat(y)
    for start in range(0, x.size, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        noise = _normal(generator, target[chunk].size, x.dtype)
        noise *= stddev
        np.add(source[chunk], noise, out=target[chunk])
    return y


def gaussian_dropout(
    x: np.ndarray,
    rate: float,
    generator: np.random.Generator,
    out: np.ndarray | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> tuple[np.ndarray, np.ndarray]:
    """Multiply by normally distributed noise of mean 1 and variance ``rate / (1 - rate)``.

    These are mean and variance of the mask of `dropout`.

    Parameters
    ----------
    x : ndarray of float
    rate : float
        From 0 up to but not including 1.
    generator : numpy.random.Generator
    out : ndarray, shape of `x`, optional
        Memory for the result, contiguous; may be `x`.
    empty : callable
        ``empty(shape, dtype)`` gives memory for what is not given.

    Returns
    -------
    y : ndarray, shape of `x`
    mask : ndarray, shape of `x`
        For `gaussian_dropout_backward`.

    References
    ----------
    Srivastava et al. (2014), "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15, section 10.

    Examples
    --------
    >>> generator = np.random.Generator(np.random.SFC64(1))
    >>> y, mask = gaussian_dropout(np.ones((100, 100)), 0.5, generator)
    >>> abs(float(y.mean()) - 1) < 0.05, abs(float(y.var()) - 1) < 0.05
    (True, True)
    """
    stddev = math.sqrt(_checked_rate(rate) / (1 - rate))
    mask = empty(x.shape, x.dtype)
    y = empty(x.shape, x.dtype) if out is None else out
    source, noise, target = _flat(np.ascontiguousarray(x)), _flat(mask), _flat(y)
    for start in range(0, x.size, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        piece = noise[chunk]
        np.multiply(_normal(generator, piece.size, x.dtype), stddev, out=piece)
        piece += 1
        np.multiply(source[chunk], piece, out=target[chunk])
    return y, mask


def alpha_dropout(
    x: np.ndarray,
    rate: float,
    generator: np.random.Generator,
    noise_shape: Sequence[int | None] | None = None,
    out: np.ndarray | None = None,
    empty: Callable[..., np.ndarray] = np.empty,
) -> tuple[np.ndarray, np.ndarray]:
    """Set entries to the saturation value of 'selu', then restore mean 0 and variance 1.

    With the saturation value ``s = -1.0507 * 1.6733``, ``y = a * (x or s) + b`` where
    ``a = ((1 - rate) * (1 + rate * s**2)) ** -0.5`` and ``b = -a * rate * s``: an `x` of mean 0
    and variance 1 gives a `y` of mean 0 and variance 1.

    Parameters
    ----------
    x : ndarray of float
    rate : float
        The probability of the saturation value, from 0 up to but not including 1.
    generator : numpy.random.Generator
        See `dropout_mask`.
    noise_shape : sequence of int or None, optional
        See `dropout`.
    out : ndarray, shape of `x`, optional
        Memory for the result, contiguous; may be `x`.
    empty : callable
        ``empty(shape, dtype)`` gives memory for what is not given.

    Returns
    -------
    y : ndarray, shape of `x`
    mask : ndarray, shape `noise_shape`
        a where the entry is kept and 0 elsewhere, for `alpha_dropout_backward`.

    References
    ----------
    Klambauer et al. (2017), "Self-Normalizing Neural Networks", arXiv:1706.02515.

    Examples
    --------
    >>> generator = np.random.Generator(np.random.SFC64(1))
    >>> y, mask = alpha_dropout(generator.standard_normal((100, 100)), 0.2, generator)
    >>> abs(float(y.mean())) < 0.05, abs(float(y.var()) - 1) < 0.05
    (True, True)
    """
    s = _SELU_SATURATION
    a = ((1 - _checked_rate(rate)) * (1 + rate * s**2)) ** -0.5
    mask = empty(_noise_shape(noise_shape, x.shape), x.dtype)
    _draw_mask(generator, rate, a, mask)
    # With m = 0 or 1: a * (x * m + s * (1 - m)) + b = (x - s) * (a * m) + a * s + b.
    y = np.subtract(x, s, out=empty(x.shape, x.dtype) if out is None else out)
    y *= mask
    y += a * s * (1 - rate)
    return y, mask


gaussian_dropout_backward = dropout_backward
alpha_dropout_backward = dropout_backward


def _draw_mask(
    generator: np.random.Generator,
    rate: float,
    value: float,
    mask: np.ndarray,
    x: np.ndarray | None = None,
    y: np.ndarray | None = None,
) -> None:
    """Fill `mask` with 0 at probability `rate` and `value` elsewhere; write ``x * mask`` to `y`."""
    draw_words = generator.bit_generator.random_raw
    threshold = _threshold(rate)
    per_word = 8 // threshold.itemsize
    mask = _flat(mask)
    if x is not None and y is not None:
        x, y = _flat(x), _flat(y)
    for start in range(0, mask.size, _CHUNK):
        piece = mask[start : start + _CHUNK]
        lots = draw_words(-(-piece.size // per_word)).view(threshold.dtype)[: piece.size]
        np.copyto(piece, lots >= threshold)
        piece *= value
        if x is not None and y is not None:
            stop = start + piece.size
            np.multiply(x[start:stop], piece, out=y[start:stop])


def _threshold(rate: float) -> Any:
    """Return the number below which a random uint8 or uint16 means 'drop'."""
    rate = float(rate)
    if (rate * 256).is_integer():
        return np.uint8(rate * 256)
    return np.uint16(min(round(rate * 65536), 65535))


def _checked_rate(rate: float) -> float:
    if not 0 <= rate < 1:
        raise ValueError(f"rate must be at least 0 and less than 1, got {rate!r}.")
    return float(rate)


def _noise_shape(noise_shape: Sequence[int | None] | None, shape: tuple[int, ...]) -> tuple:
    """Return `noise_shape` with its None entries filled in from `shape`."""
    if noise_shape is None:
        return shape
    fits = len(noise_shape) == len(shape) and all(
        want in (None, 1, have) for want, have in zip(noise_shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"noise_shape {tuple(noise_shape)} does not fit an input of shape {shape}: give one "
            "entry for each axis, each of them None, 1 or the size of the axis."
        )
    return tuple(
        have if want is None else want for want, have in zip(noise_shape, shape, strict=True)
    )


def _flat(array: np.ndarray) -> np.ndarray:
    """Return a view of `array` with one axis."""
    if not array.flags.c_contiguous:
        raise ValueError("Memory for a result (`out` or `empty`) must be contiguous.")
    return array.reshape(-1)


def _normal(generator: np.random.Generator, size: int, dtype: Any) -> np.ndarray:
    """Draw standard normal numbers; NumPy draws them as float32 or float64."""
    if dtype == np.float64:
        return generator.standard_normal(size)
    return generator.standard_normal(size, np.float32).astype(dtype, copy=False)
