"""Layers that rearrange their input: Flatten, Reshape, Permute, RepeatVector."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minikeras.backend import normalize_data_format
from minikeras.engine import Context, InputSpec, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import ints, positive_int


class Flatten(Layer):
    """Join all axes but the batch axis into one.

    Parameters
    ----------
    data_format : {'channels_last', 'channels_first'}, optional
        With channels first, the channel axis is moved to the end before flattening, so that
        weights of a following layer mean the same in both layouts. Default:
        ``K.image_data_format()``.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, ...)``, output ``(batch, product of the other sizes)``. Keras 2.2 asks for
    at least two axes after the batch axis; as in later versions, one is accepted here.

    Examples
    --------
    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = normalize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=2)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Reshape, without a copy where the layout allows."""
        size = math.prod(x.shape[1:])
        if self.data_format == "channels_last" or x.ndim == 2:
            return x.reshape(len(x), size), x.shape
        moved = np.moveaxis(x, 1, -1)
        y = ctx.empty((len(x), size), x.dtype)
        y.reshape(moved.shape)[...] = moved
        return y, moved.shape

    def backward(self, dy: np.ndarray, shape: tuple[int, ...], ctx: Context) -> np.ndarray:
        """Reshape back."""
        dx = dy.reshape(shape)
        if self.data_format == "channels_first" and dx.ndim > 2:
            dx = np.moveaxis(dx, -1, 1)
        return dx

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Multiply the sizes of all axes but the first."""
        if None in input_shape[1:]:
            raise ValueError(
                f"Layer '{self.name}' (Flatten) needs a fully known input shape, got "
                f"{input_shape}: give the first layer an input_shape without None (an Embedding: "
                "input_length)."
            )
        return (input_shape[0], math.prod(input_shape[1:]))  # type: ignore[arg-type]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "data_format": self.data_format}


class Reshape(Layer):
    """Give each sample another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Shape of one sample. One entry may be -1: it is worked out from the others.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, ...)``, output ``(batch, *target_shape)``.

    Examples
    --------
    >>> Reshape((3, -1))(np.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = ints(target_shape, "target_shape", self)
        if self.target_shape.count(-1) > 1 or any(n < -1 or n == 0 for n in self.target_shape):
            raise ValueError(
                f"Layer '{self.name}' (Reshape): target_shape must hold sizes greater than 0 and "
                f"at most one -1, got {self.target_shape}."
            )

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Reshape, without a copy where the layout allows."""
        return x.reshape(len(x), *self._sample_shape(x.shape[1:])), x.shape

    def backward(self, dy: np.ndarray, shape: tuple[int, ...], ctx: Context) -> np.ndarray:
        """Reshape back."""
        return dy.reshape(shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Put `target_shape` in place of the sample's shape."""
        if None in input_shape[1:]:
            free = tuple(None if n == -1 else n for n in self.target_shape)
            return (input_shape[0], *free)
        return (input_shape[0], *self._sample_shape(input_shape[1:]))

    def _sample_shape(self, old: Sequence[Any]) -> tuple[int, ...]:
        """Fill in -1, and check that the number of entries stays the same."""
        size, known = math.prod(old), math.prod(n for n in self.target_shape if n != -1)
        free = -1 in self.target_shape
        if size % known if free else size != known:
            raise ValueError(
                f"Layer '{self.name}' (Reshape) can't turn samples of shape {tuple(old)}, "
                f"{size} entries, into target_shape {self.target_shape}."
            )
        return tuple(size // known if n == -1 else n for n in self.target_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "target_shape": self.target_shape}


class Permute(Layer):
    """Put the axes of each sample into another order.

    Parameters
    ----------
    dims : tuple of int
        The old place of each new axis, counted from 1; the batch axis stays. ``(2, 1)`` swaps
        the two axes of a sample.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> Permute((2, 1))(np.zeros((2, 10, 64))).shape
    (2, 64, 10)
    """

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = ints(dims, "dims", self)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Layer '{self.name}' (Permute): dims must hold each of 1 to {len(self.dims)} "
                f"once, got {self.dims}. The batch axis is not counted."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Transpose into a contiguous array, which later layers read faster."""
        view = x.transpose(0, *self.dims)
        y = ctx.empty(view.shape, x.dtype)
        y[...] = view
        return y, None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Transpose back."""
        view = dy.transpose(np.argsort((0, *self.dims)))
        dx = ctx.empty(view.shape, dy.dtype)
        dx[...] = view
        return dx

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Reorder the sizes."""
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "dims": self.dims}


class RepeatVector(Layer):
    """Repeat each sample, a vector, `n` times along a new time axis.

    Parameters
    ----------
    n : int
        How many times, greater than 0.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, features)``, output ``(batch, n, features)``.

    Examples
    --------
    >>> RepeatVector(3)(np.zeros((2, 5))).shape
    (2, 3, 5)
    """

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive_int(n, "n", self)
        self.input_spec = InputSpec(ndim=2)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Copy each row `n` times."""
        y = ctx.empty((len(x), self.n, x.shape[1]), x.dtype)
        y[...] = x[:, np.newaxis]
        return y, None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Sum over the copies."""
        return np.add.reduce(dy, axis=1, out=ctx.empty((len(dy), dy.shape[2]), dy.dtype))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Insert the time axis."""
        return (input_shape[0], self.n, input_shape[1])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "n": self.n}
