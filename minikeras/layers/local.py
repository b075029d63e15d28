"""Locally connected layers: convolutions without sharing, LocallyConnected1D and 2D."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras.engine import Context
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import known_size
from minikeras.layers.conv_base import Conv
from minikeras.layers.keras_1 import window_by_position
from minikeras.layers.spatial import spatial_spec
from minikeras.ops.local import local_conv, local_conv_backward


class _LocallyConnected(Conv):
    """A layer with a kernel and a bias for each place of its window; see the subclasses."""

    paddings = ("valid",)
    default_format: str | None = None

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        if "dilation_rate" in kwargs:
            raise TypeError(f"{type(self).__name__} has no dilation_rate, as in Keras 2.2.")
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            self.default_format if data_format is None else data_format,
            1,
            activation,
            use_bias,
            kernel_initializer,
            bias_initializer,
            kernel_regularizer,
            bias_regularizer,
            activity_regularizer,
            kernel_constraint,
            bias_constraint,
            **kwargs,
        )

    def build(self, input_shape: Shape) -> None:
        """Make the kernel and the bias of each place."""
        axes = {axis: known_size(input_shape, axis, self) for axis in range(1, self.rank + 2)}
        channels = axes[self.rank + 1 if self.data_format == "channels_last" else 1]
        places = self._output_sizes(input_shape)
        entries = math.prod(self.kernel_size) * channels
        self._make_kernel((math.prod(places), entries, self.filters))  # type: ignore[arg-type]
        self._make_bias((*places, self.filters))
        self.input_spec = spatial_spec(self.rank, self.data_format, axes=axes)
        self.built = True

    def _convolve(
        self, x: np.ndarray, z: np.ndarray, finish: Callable | None, ctx: Context
    ) -> None:
        bias = self._channels_last(self._bias_value(), z.shape[1:-1])
        local_conv(x, self.kernel.value, bias, **self._how(), out=z, finish=finish)

    def _convolve_backward(
        self, dz: np.ndarray, x: np.ndarray, kept: Any, dx: np.ndarray | None, ctx: Context
    ) -> None:
        local_conv_backward(
            dz,
            x,
            self.kernel.value,
            **self._how(),
            dx=dx,
            dkernel=ctx.gradient(self.kernel),
            dbias=self._channels_last(self._bias_gradient(ctx), dz.shape[1:-1]),
        )

    def _how(self) -> dict[str, Any]:
        """Return the arguments that tell an op how the window slides and what it sees."""
        return {
            "window": self.kernel_size,
            "strides": self.strides,
            "channels_first": self.data_format == "channels_first",
        }

    def _channels_last(self, bias: np.ndarray | None, places: Sequence[int]) -> np.ndarray | None:
        """Return a bias, or its gradient, as a view (*places, filters)."""
        if bias is None or self.data_format == "channels_last":
            return bias
        # Keras reads the numbers as (filters, *places), although the shape is (*places, filters).
        return np.moveaxis(bias.reshape(self.filters, *places), 0, -1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        del config["dilation_rate"]
        return config


class LocallyConnected1D(_LocallyConnected):
    """Like `Conv1D`, but with a kernel and a bias of its own for each place of the window.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size : int or tuple of 1 int
        Length of the window.
    strides : int or tuple of 1 int
        Steps from one place of the window to the next. Default 1.
    padding : {'valid'}
        No other is supported.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``'channels_last'``, whatever ``K.image_data_format()`` is.
    activation : str or callable, optional
        Default: none, the output is linear.
    use_bias : bool
        Default True.
    kernel_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'`` and ``'zeros'``.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or Regularizer, optional
        Penalties on the kernel, the bias and the layer's output.
    kernel_constraint, bias_constraint : str, dict or Constraint, optional
        Applied after each update.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is none of these, or, when the layer is built, if a size of the input is
        unknown or the window is longer than the input.

    Notes
    -----
    Input ``(batch, steps, channels)``, output ``(batch, places, filters)`` with
    ``places = (steps - kernel_size) // strides + 1``; with ``'channels_first'`` the last two axes
    change places. Weights: kernel ``(places, kernel_size * channels, filters)`` and bias
    ``(places, filters)``. With ``'channels_first'``, the second axis of the kernel is in the order
    ``(channels, kernel_size)``, and the numbers of the bias in the order ``(filters, places)``.

    Keras 2.2 takes the argument ``data_format='channels_first'`` but computes with the channels
    last. Here it has the effect that it has in later Keras.

    Examples
    --------
    >>> layer = LocallyConnected1D(8, 3)
    >>> layer(np.zeros((1, 10, 4))).shape, layer.count_params()
    ((1, 8, 8), 832)
    """

    rank = 1
    default_format = "channels_last"


class LocallyConnected2D(_LocallyConnected):
    """Like `Conv2D`, but with a kernel and a bias of its own for each place of the window.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size : int or tuple of 2 int
        Height and width of the window.
    strides : int or tuple of 2 int
        Steps from one place of the window to the next. Default 1.
    padding : {'valid'}
        No other is supported.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    activation : str or callable, optional
        Default: none, the output is linear.
    use_bias : bool
        Default True.
    kernel_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'`` and ``'zeros'``.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or Regularizer, optional
        Penalties on the kernel, the bias and the layer's output.
    kernel_constraint, bias_constraint : str, dict or Constraint, optional
        Applied after each update.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is none of these, or, when the layer is built, if a size of the input is
        unknown or the window is larger than the image.

    Notes
    -----
    Input ``(batch, height, width, channels)``, output ``(batch, rows, columns, filters)`` with
    ``rows = (height - kernel_size[0]) // strides[0] + 1`` and columns likewise; with
    ``'channels_first'`` the channels come second. Weights: kernel
    ``(rows * columns, kernel_size[0] * kernel_size[1] * channels, filters)`` and bias
    ``(rows, columns, filters)``. With ``'channels_first'``, the second axis of the kernel is in the
    order ``(channels, *kernel_size)``, and the numbers of the bias are in the order
    ``(filters, rows, columns)``, although its shape is the same. All of this is as in Keras.

    Examples
    --------
    >>> layer = LocallyConnected2D(8, (3, 3))
    >>> layer(np.zeros((1, 5, 6, 2))).shape, layer.count_params()
    ((1, 3, 4, 8), 1824)
    """

    rank = 2
    __init__ = window_by_position(2)(_LocallyConnected.__init__)
