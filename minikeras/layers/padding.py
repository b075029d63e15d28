"""Zeros around sequences, images and volumes, and margins cut off them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.engine import Context, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.spatial import (
    as_laid_out,
    channels_last,
    data_format_name,
    join_shape,
    spatial_spec,
    split_shape,
)
from minikeras.ops.resampling import crop, pad
from minikeras.utils.conv_utils import normalize_tuple

Margins = tuple[tuple[int, int], ...]


class _Margins(Layer):
    """What padding and cropping share. Subclasses say how many spatial axes there are."""

    rank: int

    def __init__(self, data_format: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format_name(data_format, self)
        self.input_spec = spatial_spec(self.rank, self.data_format)

    def _pairs(self, value: Any, name: str) -> Margins:
        """Return a margin in any of its forms as (before, after) for each spatial axis."""
        try:
            if self.rank == 1:
                pairs: Margins = (_pair(value),)
            elif hasattr(value, "__len__"):
                pairs = tuple(_pair(entry) for entry in value)
            else:
                pairs = (_pair(value),) * self.rank
        except (TypeError, ValueError):
            pairs = ()
        if len(pairs) != self.rank or min(map(min, pairs)) < 0:
            raise ValueError(
                f"{self._described()}: {name} must be {_FORMS[self.rank]}, none of them negative; "
                f"got {value!r}."
            )
        return pairs

    def _resized(self, input_shape: Shape, sign: int, pairs: Margins) -> Shape:
        """Return the shape with all margins added to the sizes (`sign` 1) or taken away (-1)."""
        sizes, channels = split_shape(input_shape, self.data_format)
        resized = [
            None if n is None else n + sign * sum(pair)
            for n, pair in zip(sizes, pairs, strict=True)
        ]
        return join_shape(input_shape[0], resized, channels, self.data_format)


_FORMS = {
    1: "an int or a tuple (start, end)",
    2: "an int, a tuple (height, width) or ((top, bottom), (left, right))",
    3: "an int, a tuple of 3 ints or a tuple of 3 tuples (before, after)",
}


def _pair(value: Any) -> tuple[int, int]:
    before, after = normalize_tuple(value, 2, "")
    return before, after


class _ZeroPadding(_Margins):
    """Zero padding over any number of spatial axes."""

    def __init__(self, padding: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.padding = self._pairs(padding, "padding")

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Copy `x` into the middle of zeros."""
        x = channels_last(x, self.data_format)
        sizes = [n + a + b for n, (a, b) in zip(x.shape[1:-1], self.padding, strict=True)]
        y = ctx.empty((len(x), *sizes, x.shape[-1]), x.dtype)
        return as_laid_out(pad(x, self.padding, out=y), self.data_format), None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Return the middle of `dy`, without a copy."""
        dx = crop(channels_last(dy, self.data_format), self.padding)
        return as_laid_out(dx, self.data_format)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Add the padding to the spatial sizes."""
        return self._resized(input_shape, 1, self.padding)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "padding": self.padding,
            "data_format": self.data_format,
        }


class ZeroPadding1D(_ZeroPadding):
    """Put zeros before and after a sequence.

    Parameters
    ----------
    padding : int or tuple of int
        How many steps of zeros at either end, or ``(start, end)``. Not negative. Default 1.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `padding` is something else.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, start + steps + end, features)``.

    Examples
    --------
    >>> ZeroPadding1D((1, 2))(np.ones((1, 2, 1))).ravel().tolist()
    [0.0, 1.0, 1.0, 0.0, 0.0]
    """

    rank = 1

    def __init__(self, padding: Any = 1, **kwargs: Any) -> None:
        super().__init__(padding, "channels_last", **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        del config["data_format"]
        return {**config, "padding": self.padding[0]}


class ZeroPadding2D(_ZeroPadding):
    """Put rows and columns of zeros around images.

    Parameters
    ----------
    padding : int or tuple
        How many zeros on all four sides, or ``(height, width)``, each on both sides, or
        ``((top, bottom), (left, right))``. Not negative. Default ``(1, 1)``.
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
    Input ``(batch, rows, columns, channels)``, output
    ``(batch, top + rows + bottom, left + columns + right, channels)``; with channels first, the
    channels come after the batch.

    Examples
    --------
    >>> ZeroPadding2D(((1, 0), (0, 2)))(np.ones((1, 1, 1, 1)))[0, :, :, 0].tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    """

    rank = 2

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(_ZeroPadding):
    """Put zeros around volumes.

    Parameters
    ----------
    padding : int or tuple
        How many zeros on all six sides, or three ints, one for both sides of each axis, or three
        pairs ``(before, after)``. Not negative. Default ``(1, 1, 1)``.
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
    after the batch. In the output, the three sizes are larger by what `padding` says.

    Examples
    --------
    >>> ZeroPadding3D((0, 1, 2))(np.ones((1, 3, 3, 3, 1))).shape
    (1, 3, 5, 7, 1)
    """

    rank = 3

    def __init__(
        self, padding: Any = (1, 1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(padding, data_format, **kwargs)


class _Cropping(_Margins):
    """Cropping over any number of spatial axes."""

    def __init__(self, cropping: Any, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(data_format, **kwargs)
        self.cropping = self._pairs(cropping, "cropping")

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Return what is left of `x`, without a copy."""
        self.compute_output_shape(x.shape)  # the sizes may not have been known before
        y = crop(channels_last(x, self.data_format), self.cropping)
        return as_laid_out(y, self.data_format), None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Put zeros where the margins were."""
        dy = channels_last(dy, self.data_format)
        sizes = [n + a + b for n, (a, b) in zip(dy.shape[1:-1], self.cropping, strict=True)]
        dx = ctx.empty((len(dy), *sizes, dy.shape[-1]), dy.dtype)
        return as_laid_out(pad(dy, self.cropping, out=dx), self.data_format)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Take the margins away from the spatial sizes.

        Raises
        ------
        ValueError
            If nothing is left.
        """
        output_shape = self._resized(input_shape, -1, self.cropping)
        sizes, _ = split_shape(output_shape, self.data_format)
        if any(n is not None and n < 1 for n in sizes):
            raise ValueError(
                f"{self._described()}: cropping={self.cropping} leaves nothing of an input of "
                f"shape {tuple(input_shape)}: the output would have the sizes {sizes}. Crop less, "
                "or shrink the input less before."
            )
        return output_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "cropping": self.cropping,
            "data_format": self.data_format,
        }


class Cropping1D(_Cropping):
    """Cut steps off the start and the end of a sequence.

    Parameters
    ----------
    cropping : int or tuple of int
        How many steps at either end, or ``(start, end)``. Not negative. Default ``(1, 1)``.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If `cropping` is something else, and at build if it leaves nothing. Keras 2.2 builds such
        a model.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, steps - start - end, features)``. The
    output is a view of the input.

    Examples
    --------
    >>> Cropping1D((0, 2))(np.arange(5.0).reshape(1, 5, 1)).ravel().tolist()
    [0.0, 1.0, 2.0]
    """

    rank = 1

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any) -> None:
        super().__init__(cropping, "channels_last", **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        del config["data_format"]
        return {**config, "cropping": self.cropping[0]}


class Cropping2D(_Cropping):
    """Cut rows and columns off the sides of images.

    Parameters
    ----------
    cropping : int or tuple
        How many on all four sides, or ``(height, width)``, each on both sides, or
        ``((top, bottom), (left, right))``. Not negative. Default: none.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is something else, and at build if nothing is left. Keras 2.2 builds such
        a model.

    Notes
    -----
    Input ``(batch, rows, columns, channels)``, output
    ``(batch, rows - top - bottom, columns - left - right, channels)``; with channels first, the
    channels come after the batch. The output is a view of the input.

    Examples
    --------
    >>> x = np.arange(6.0).reshape(1, 2, 3, 1)
    >>> Cropping2D(((1, 0), (0, 1)))(x)[0, :, :, 0].tolist()
    [[3.0, 4.0]]
    """

    rank = 2

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Cut margins off volumes.

    Parameters
    ----------
    cropping : int or tuple
        How much on all six sides, or three ints, one for both sides of each axis, or three pairs
        ``(before, after)``. Not negative. Default ``((1, 1), (1, 1), (1, 1))``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is something else, and at build if nothing is left. Keras 2.2 builds such
        a model.

    Notes
    -----
    Input ``(batch, depth, rows, columns, channels)``; with channels first, the channels come
    after the batch. In the output, a view of the input, the three sizes are smaller by what
    `cropping` says.

    Examples
    --------
    >>> Cropping3D((0, 1, (0, 2)))(np.ones((1, 3, 3, 3, 1))).shape
    (1, 3, 1, 1, 1)
    """

    rank = 3

    def __init__(
        self,
        cropping: Any = ((1, 1), (1, 1), (1, 1)),
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(cropping, data_format, **kwargs)
