"""Layers that make sequences, images and volumes larger by whole factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.engine import Context, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import positive_int
from minikeras.layers.spatial import (
    as_laid_out,
    channels_last,
    data_format_name,
    join_shape,
    positive_ints,
    refuse_empty,
    spatial_spec,
    split_shape,
)
from minikeras.ops.resampling import (
    upsample,
    upsample_backward,
    upsample_linear,
    upsample_linear_backward,
)

_OPS = {
    "nearest": (upsample, upsample_backward),
    "bilinear": (upsample_linear, upsample_linear_backward),
}


class _UpSampling(Layer):
    """Upsampling over any number of spatial axes. Subclasses say how many there are."""

    rank: int
    size: tuple[int, ...]
    interpolation = "nearest"

    def __init__(self, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_name(data_format, self)
        self.input_spec = spatial_spec(self.rank, self.data_format)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Repeat entries, or interpolate between them."""
        x = channels_last(x, self.data_format)
        sizes = [n * factor for n, factor in zip(x.shape[1:-1], self.size, strict=True)]
        y = ctx.empty((len(x), *sizes, x.shape[-1]), x.dtype)
        grow, _ = _OPS[self.interpolation]
        return as_laid_out(grow(x, self.size, out=y), self.data_format), None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Collect what each entry contributed to. Works in the memory of `dy`."""
        dy = channels_last(dy, self.data_format)
        sizes = [n // factor for n, factor in zip(dy.shape[1:-1], self.size, strict=True)]
        dx = ctx.empty((len(dy), *sizes, dy.shape[-1]), dy.dtype)
        _, shrink = _OPS[self.interpolation]
        return as_laid_out(shrink(dy, self.size, out=dx, scratch=dy), self.data_format)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Multiply the spatial sizes."""
        sizes, channels = split_shape(input_shape, self.data_format)
        refuse_empty(self, input_shape, sizes)
        larger = [
            None if n is None else n * factor for n, factor in zip(sizes, self.size, strict=True)
        ]
        return join_shape(input_shape[0], larger, channels, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}


class UpSampling1D(_UpSampling):
    """Repeat each time step.

    Parameters
    ----------
    size : int
        How many times, greater than 0. Default 2.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `size` is something else. Keras 2.2 cuts 2.5 down to 2.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, steps * size, features)``.

    Examples
    --------
    >>> UpSampling1D(2)(np.array([[[1.0], [2.0]]])).ravel().tolist()
    [1.0, 1.0, 2.0, 2.0]
    """

    rank = 1

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__("channels_last", **kwargs)
        self.size = (positive_int(size, "size", self),)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        del config["data_format"]
        return {**config, "size": self.size[0]}


class UpSampling2D(_UpSampling):
    """Make images larger: repeat rows and columns, or interpolate between them.

    Parameters
    ----------
    size : int or tuple of int
        The factors of rows and columns, greater than 0. Default ``(2, 2)``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    interpolation : {'nearest', 'bilinear'}
        Default ``'nearest'``: repeat.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is something else.

    Notes
    -----
    Input ``(batch, rows, columns, channels)``, output
    ``(batch, rows * size[0], columns * size[1], channels)``; with channels first, the channels
    come after the batch.

    ``'bilinear'`` is that of Keras 2.2: pixel q stays at place ``q * size`` and the pixels between
    are weighted means of their neighbours; what comes after the last pixel repeats it. Later
    Keras takes pixels for small areas, whose middles are half a pixel further on, and gives
    other numbers.

    Examples
    --------
    >>> x = np.array([[1.0, 3.0]]).reshape(1, 1, 2, 1)
    >>> UpSampling2D((2, 2))(x)[0, :, :, 0].tolist()
    [[1.0, 1.0, 3.0, 3.0], [1.0, 1.0, 3.0, 3.0]]
    >>> UpSampling2D((1, 2), interpolation="bilinear")(x)[0, :, :, 0].tolist()
    [[1.0, 2.0, 3.0, 3.0]]
    """

    rank = 2

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.size = positive_ints(size, self.rank, "size", self)
        if interpolation not in list(_OPS):
            raise ValueError(
                f"{self._described()}: interpolation must be 'nearest' or 'bilinear', got "
                f"{interpolation!r}."
            )
        self.interpolation = interpolation

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "interpolation": self.interpolation}


class UpSampling3D(_UpSampling):
    """Make volumes larger by repeating their entries along each axis.

    Parameters
    ----------
    size : int or tuple of int
        The factors of the three axes, greater than 0. Default ``(2, 2, 2)``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is something else.

    Notes
    -----
    Input ``(batch, depth, rows, columns, channels)``; with channels first, the channels come
    after the batch. In the output, the three sizes are multiplied by `size`.

    Examples
    --------
    >>> UpSampling3D((1, 2, 3))(np.ones((1, 2, 2, 2, 1))).shape
    (1, 2, 4, 6, 1)
    """

    rank = 3

    def __init__(
        self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(data_format, **kwargs)
        self.size = positive_ints(size, self.rank, "size", self)
