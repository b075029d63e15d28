"""Dropout, of single entries or of whole feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend import normalize_data_format
from minikeras.backend.random import new_generator
from minikeras.engine import Context, InputSpec, Layer
from minikeras.layers.arguments import fraction, optional_seed, positive_int
from minikeras.ops.noise import dropout, dropout_backward


class Dropout(Layer):
    """Set a random part of the input to zero in training, and scale up the rest.

    Parameters
    ----------
    rate : float
        The part that is dropped, from 0 up to but not including 1.
    noise_shape : tuple of int or None, optional
        Shape of the pattern, with the batch axis; None entries are taken from the input, and
        entries of 1 share one decision along that axis: ``(None, 1, 8)`` drops the same
        features at all time steps.
    seed : int, optional
        Makes each pass drop by the same pattern sequence as any other run with this seed.
        Default: the pattern follows ``np.random.seed``.
    **kwargs
        See `Layer`.

    References
    ----------
    Srivastava et al. (2014), "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15.

    Examples
    --------
    >>> layer = Dropout(0.5, seed=1)
    >>> sorted(set(layer(np.ones((4, 4)), training=True).ravel().tolist()))
    [0.0, 2.0]
    >>> layer(np.ones((1, 2))).tolist()
    [[1.0, 1.0]]
    """

    supports_masking = True

    def __init__(
        self,
        rate: float,
        noise_shape: Sequence[int | None] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rate = fraction(rate, "rate", self)
        self.seed = optional_seed(seed, "seed", self)
        self._own_generator: np.random.Generator | None = None
        self.noise_shape: tuple[int | None, ...] | None = None
        if noise_shape is not None:
            self.noise_shape = tuple(
                size if size is None else positive_int(size, "noise_shape", self)
                for size in noise_shape
            )
            fixed = {i: n for i, n in enumerate(self.noise_shape) if n not in (None, 1)}
            self.input_spec = InputSpec(ndim=len(self.noise_shape), axes=fixed)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Drop in training; pass `x` through otherwise."""
        if not ctx.training or self.rate == 0:
            return x, None
        shape = self._pattern_shape()
        return dropout(x, self.rate, self._generator(ctx), shape, empty=ctx.empty)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Drop the same entries of the gradient."""
        return dy if residual is None else dropout_backward(dy, residual, out=dy)

    def _generator(self, ctx: Context) -> np.random.Generator:
        """Return the pass' random numbers or, with a seed, the layer's own."""
        if self.seed is None:
            return ctx.generator
        if self._own_generator is None:
            self._own_generator = new_generator(self.seed)
        return self._own_generator

    def _pattern_shape(self) -> tuple[int | None, ...] | None:
        """Return the shape of the pattern; None stands for the size of the input."""
        return self.noise_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "rate": self.rate,
            "noise_shape": self.noise_shape,
            "seed": self.seed,
        }


class _SpatialDropout(Dropout):
    """Dropout of whole feature maps. Subclasses say how many spatial axes there are."""

    spatial_axes: int

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        if "noise_shape" in kwargs:
            raise TypeError(
                f"{type(self).__name__} takes no noise_shape: it drops whole feature maps. Use "
                "Dropout for patterns of another shape."
            )
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = "channels_last"
        self.input_spec = InputSpec(ndim=2 + self.spatial_axes)

    def _pattern_shape(self) -> tuple[int | None, ...]:
        ones = (1,) * self.spatial_axes
        if self.data_format == "channels_first":
            return (None, None, *ones)
        return (None, *ones, None)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        del config["noise_shape"]
        return config


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole features of a sequence: all time steps or none.

    Parameters
    ----------
    rate : float
        The part of the features that is dropped, from 0 up to but not including 1.
    seed : int, optional
        See `Dropout`.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output ``(batch, steps, features)``.

    References
    ----------
    Tompson et al. (2014), "Efficient Object Localization Using Convolutional Networks",
    arXiv:1411.4280.

    Examples
    --------
    >>> y = SpatialDropout1D(0.5, seed=3)(np.ones((1, 2, 4)), training=True)
    >>> bool((y[:, 0] == y[:, 1]).all())
    True
    """

    spatial_axes = 1


class _SpatialDropoutImages(_SpatialDropout):
    """Spatial dropout over data that know a `data_format`."""

    def __init__(self, rate: float, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        self.data_format = normalize_data_format(data_format)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "data_format": self.data_format}


class SpatialDropout2D(_SpatialDropoutImages):
    """Dropout of whole channels of an image.

    Parameters
    ----------
    rate : float
        The part of the channels that is dropped, from 0 up to but not including 1.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    seed : int, optional
        See `Dropout`.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output ``(batch, rows, columns, channels)``, or ``(batch, channels, rows,
    columns)`` with channels first. See `SpatialDropout1D` for the reference.

    Examples
    --------
    >>> SpatialDropout2D(0.5)(np.ones((1, 2, 2, 4))).shape
    (1, 2, 2, 4)
    """

    spatial_axes = 2


class SpatialDropout3D(_SpatialDropoutImages):
    """Dropout of whole channels of a volume.

    Parameters
    ----------
    rate : float
        The part of the channels that is dropped, from 0 up to but not including 1.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    seed : int, optional
        See `Dropout`.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output ``(batch, depth, rows, columns, channels)``, or channels second with
    channels first. See `SpatialDropout1D` for the reference.

    Examples
    --------
    >>> SpatialDropout3D(0.5)(np.ones((1, 2, 2, 2, 4))).shape
    (1, 2, 2, 2, 4)
    """

    spatial_axes = 3
