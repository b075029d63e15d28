"""Layers that add or multiply noise in training, and do nothing otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.engine import Context, Layer
from minikeras.layers.arguments import finite, fraction
from minikeras.layers.dropout import Dropout
from minikeras.ops.noise import (
    alpha_dropout,
    alpha_dropout_backward,
    gaussian_dropout,
    gaussian_dropout_backward,
    gaussian_noise,
)


class GaussianNoise(Layer):
    """Add normally distributed noise of mean 0 in training.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, at least 0.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> layer = GaussianNoise(0.1)
    >>> layer(np.zeros((1, 2))).tolist()
    [[0.0, 0.0]]
    >>> bool((layer(np.zeros((1, 2)), training=True) != 0).all())
    True
    """

    supports_masking = True

    def __init__(self, stddev: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = finite(stddev, "stddev", self, minimum=0)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Add noise in training; pass `x` through otherwise."""
        if not ctx.training or self.stddev == 0:
            return x, None
        out = ctx.empty(x.shape, x.dtype)
        return gaussian_noise(x, self.stddev, ctx.generator, out=out), None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Return `dy`: the noise does not depend on the input."""
        return dy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "stddev": self.stddev}


class GaussianDropout(Layer):
    """Multiply by normally distributed noise of mean 1 in training.

    Its standard deviation is ``sqrt(rate / (1 - rate))``, that of the factors of `Dropout`.

    Parameters
    ----------
    rate : float
        The rate of the `Dropout` that it replaces, from 0 up to but not including 1.
    **kwargs
        See `Layer`.

    References
    ----------
    Srivastava et al. (2014), "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15, section 10.

    Examples
    --------
    >>> GaussianDropout(0.5)(np.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    supports_masking = True

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = fraction(rate, "rate", self)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Multiply by noise in training; pass `x` through otherwise."""
        if not ctx.training or self.rate == 0:
            return x, None
        return gaussian_dropout(x, self.rate, ctx.generator, empty=ctx.empty)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Multiply the gradient by the same noise."""
        return dy if residual is None else gaussian_dropout_backward(dy, residual, out=dy)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "rate": self.rate}


class AlphaDropout(Dropout):
    """Dropout for self-normalising networks, made of `selu` units, which keeps mean and variance.

    In training, a random part of the input is set to the value that ``selu`` tends to for large
    negative input, and the result is scaled and shifted so that input of mean 0 and variance 1
    gives output of mean 0 and variance 1.

    Parameters
    ----------
    rate : float
        The part that is dropped, from 0 up to but not including 1.
    noise_shape : tuple of int or None, optional
        See `Dropout`.
    seed : int, optional
        See `Dropout`.
    **kwargs
        See `Layer`.

    References
    ----------
    Klambauer et al. (2017), "Self-Normalizing Neural Networks", arXiv:1706.02515.

    Examples
    --------
    >>> AlphaDropout(0.1)(np.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Drop in training; pass `x` through otherwise."""
        if not ctx.training or self.rate == 0:
            return x, None
        shape = self._pattern_shape()
        return alpha_dropout(x, self.rate, self._generator(ctx), shape, empty=ctx.empty)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Drop the same entries of the gradient."""
        return dy if residual is None else alpha_dropout_backward(dy, residual, out=dy)
