"""Depthwise and separable convolutions: DepthwiseConv2D, SeparableConv1D, SeparableConv2D.

A depthwise convolution keeps the channels apart; a separable one then mixes them in each place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras import constraints, initializers, regularizers
from minikeras.engine import Context
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import positive_int
from minikeras.layers.conv_base import BaseConv
from minikeras.layers.keras_1 import window_by_position
from minikeras.layers.spatial import join_shape, split_shape
from minikeras.ops.convolution import conv, conv_backward
from minikeras.ops.depthwise import depthwise_conv, depthwise_conv_backward


class _Depthwise(BaseConv):
    """A convolution with a kernel ``(*window, channels, depth_multiplier)`` for each channel."""

    def __init__(
        self,
        depth_multiplier: int,
        depthwise_initializer: Any,
        depthwise_regularizer: Any,
        depthwise_constraint: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depth_multiplier = positive_int(depth_multiplier, "depth_multiplier", self)
        self.depthwise_initializer = initializers.get(depthwise_initializer)
        self.depthwise_regularizer = regularizers.get(depthwise_regularizer)
        self.depthwise_constraint = constraints.get(depthwise_constraint)

    def _make_kernels(self, channels: int) -> None:
        self.depthwise_kernel = self.add_weight(
            "depthwise_kernel",
            (*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "depth_multiplier": self.depth_multiplier,
            "depthwise_initializer": initializers.serialize(self.depthwise_initializer),
            "depthwise_regularizer": regularizers.serialize(self.depthwise_regularizer),
            "depthwise_constraint": constraints.serialize(self.depthwise_constraint),
        }


class DepthwiseConv2D(_Depthwise):
    """Convolution over images that keeps the channels apart, each with kernels of its own.

    Parameters
    ----------
    kernel_size : int or tuple of 2 int
        Height and width of the window.
    strides : int or tuple of 2 int
        Steps from one place of the window to the next. Default 1.
    padding : {'valid', 'same'}
        As in `Conv2D`. Default ``'valid'``.
    depth_multiplier : int
        Number of output channels for each input channel. Default 1.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    activation : str or callable, optional
        Default: none, the output is linear.
    use_bias : bool
        Default True.
    depthwise_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'`` and ``'zeros'``.
    depthwise_regularizer, bias_regularizer, activity_regularizer : optional
        Penalties on the kernel, the bias and the layer's output.
    depthwise_constraint, bias_constraint : str, dict or Constraint, optional
        Applied after each update.
    dilation_rate : int or tuple of 2 int
        Steps from one entry of the window to the next. Default 1. Where one is greater, all
        `strides` must be 1.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is none of these, or, when the layer is built, if the number of channels
        is unknown or the window is larger than the image.

    Notes
    -----
    Input ``(batch, height, width, channels)``, output
    ``(batch, rows, columns, channels * depth_multiplier)``; with ``'channels_first'`` the
    channels come second. Output channel ``c * depth_multiplier + m`` is made from channel ``c``.
    Weights: depthwise_kernel ``(*kernel_size, channels, depth_multiplier)`` and bias
    ``(channels * depth_multiplier,)``.

    Strides may differ between the axes; Keras 2.2 on TensorFlow's CPU kernels refuses that. With
    a stride and a dilation together TensorFlow computes something that is neither; that is
    refused here.

    References
    ----------
    Howard et al. 2017, MobileNets, https://arxiv.org/abs/1704.04861

    Examples
    --------
    >>> layer = DepthwiseConv2D(3, depth_multiplier=2)
    >>> layer(np.zeros((1, 8, 8, 5))).shape, layer.count_params()
    ((1, 6, 6, 10), 100)
    """

    rank = 2

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        dilation_rate: Any = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            depth_multiplier=depth_multiplier,
            data_format=data_format,
            activation=activation,
            use_bias=use_bias,
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
            dilation_rate=dilation_rate,
            **kwargs,
        )

    def _convolve(
        self, x: np.ndarray, z: np.ndarray, finish: Callable | None, ctx: Context
    ) -> None:
        slide = self._slide(x.shape[1:-1])
        kernel = self.depthwise_kernel.value
        depthwise_conv(x, kernel, self._bias_value(), **slide, out=z, finish=finish)

    def _convolve_backward(
        self, dz: np.ndarray, x: np.ndarray, kept: Any, dx: np.ndarray | None, ctx: Context
    ) -> None:
        depthwise_conv_backward(
            dz,
            x,
            self.depthwise_kernel.value,
            **self._slide(x.shape[1:-1]),
            dx=dx,
            dkernel=ctx.gradient(self.depthwise_kernel),
            dbias=self._bias_gradient(ctx),
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Count the places of the window, and multiply the channels."""
        _, channels = split_shape(input_shape, self.data_format)
        filters = None if channels is None else channels * self.depth_multiplier
        sizes = self._output_sizes(input_shape)
        return join_shape(input_shape[0], sizes, filters, self.data_format)


class _Separable(_Depthwise):
    """A depthwise convolution and then, in each place, a product with a matrix."""

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            depth_multiplier=depth_multiplier,
            activation=activation,
            use_bias=use_bias,
            depthwise_initializer=depthwise_initializer,
            bias_initializer=bias_initializer,
            depthwise_regularizer=depthwise_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            depthwise_constraint=depthwise_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self.filters = positive_int(filters, "filters", self)
        self.pointwise_initializer = initializers.get(pointwise_initializer)
        self.pointwise_regularizer = regularizers.get(pointwise_regularizer)
        self.pointwise_constraint = constraints.get(pointwise_constraint)

    def _make_kernels(self, channels: int) -> None:
        super()._make_kernels(channels)
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel",
            (*(1,) * self.rank, channels * self.depth_multiplier, self.filters),
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )

    def _convolve(
        self, x: np.ndarray, z: np.ndarray, finish: Callable | None, ctx: Context
    ) -> np.ndarray:
        kernel, matrix = self.depthwise_kernel.value, self.pointwise_kernel.value
        h = ctx.empty((*z.shape[:-1], matrix.shape[-2]), x.dtype)
        depthwise_conv(x, kernel, **self._slide(x.shape[1:-1]), out=h)
        conv(h, matrix, self._bias_value(), **self._each_place(), out=z, finish=finish)
        return h

    def _convolve_backward(
        self, dz: np.ndarray, x: np.ndarray, h: Any, dx: np.ndarray | None, ctx: Context
    ) -> None:
        dkernel = ctx.gradient(self.depthwise_kernel)
        wanted = dx is not None or dkernel is not None
        dh = ctx.empty(h.shape, h.dtype) if wanted else None
        conv_backward(
            dz,
            h,
            self.pointwise_kernel.value,
            **self._each_place(),
            dx=dh,
            dkernel=ctx.gradient(self.pointwise_kernel),
            dbias=self._bias_gradient(ctx),
        )
        if dh is not None:
            slide = self._slide(x.shape[1:-1])
            kernel = self.depthwise_kernel.value
            depthwise_conv_backward(dh, x, kernel, **slide, dx=dx, dkernel=dkernel)

    def _each_place(self) -> dict[str, Any]:
        """Return the arguments of an op whose window has the size 1."""
        ones = (1,) * self.rank
        return {"strides": ones, "pads": ((0, 0),) * self.rank, "dilation": ones}

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Count the places of the window."""
        sizes = self._output_sizes(input_shape)
        return join_shape(input_shape[0], sizes, self.filters, self.data_format)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "pointwise_initializer": initializers.serialize(self.pointwise_initializer),
            "pointwise_regularizer": regularizers.serialize(self.pointwise_regularizer),
            "pointwise_constraint": constraints.serialize(self.pointwise_constraint),
        }


class SeparableConv1D(_Separable):
    """Separable convolution along one axis: depthwise, then across the channels in each place.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size : int or tuple of 1 int
        Length of the window.
    strides, dilation_rate : int or tuple of 1 int
        As in `Conv1D`. Default 1.
    padding : {'valid', 'same'}
        As in `Conv1D`, but there is no causal padding, as in Keras 2.2. Default ``'valid'``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default ``'channels_last'``; None stands for ``K.image_data_format()``.
    depth_multiplier : int
        Number of depthwise filters for each input channel. Default 1.
    activation, use_bias
        As in `Conv1D`.
    depthwise_initializer, pointwise_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'`` for both kernels and ``'zeros'``.
    depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer : optional
        Penalties on the weights and on the layer's output.
    depthwise_constraint, pointwise_constraint, bias_constraint : optional
        Applied after each update.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        As in `Conv1D`.

    Notes
    -----
    Input ``(batch, steps, channels)``, output ``(batch, places, filters)``; with
    ``'channels_first'`` the last two axes change places. Weights: depthwise_kernel
    ``(kernel_size, channels, depth_multiplier)``, pointwise_kernel
    ``(1, channels * depth_multiplier, filters)`` and bias ``(filters,)``. There is neither bias
    nor activation between the two.

    Examples
    --------
    >>> layer = SeparableConv1D(8, 3, padding="same")
    >>> layer(np.zeros((2, 10, 4))).shape, layer.count_params()
    ((2, 10, 8), 52)
    """

    rank = 1

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            depth_multiplier,
            activation,
            use_bias,
            depthwise_initializer,
            pointwise_initializer,
            bias_initializer,
            depthwise_regularizer,
            pointwise_regularizer,
            bias_regularizer,
            activity_regularizer,
            depthwise_constraint,
            pointwise_constraint,
            bias_constraint,
            **kwargs,
        )


class SeparableConv2D(_Separable):
    """Separable convolution over images: depthwise, then across the channels in each place.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size : int or tuple of 2 int
        Height and width of the window.
    strides, dilation_rate : int or tuple of 2 int
        As in `DepthwiseConv2D`. Default 1.
    padding : {'valid', 'same'}
        As in `Conv2D`. Default ``'valid'``.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    depth_multiplier : int
        Number of depthwise filters for each input channel. Default 1.
    activation, use_bias
        As in `Conv2D`.
    depthwise_initializer, pointwise_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'`` for both kernels and ``'zeros'``.
    depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer : optional
        Penalties on the weights and on the layer's output.
    depthwise_constraint, pointwise_constraint, bias_constraint : optional
        Applied after each update.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        As in `DepthwiseConv2D`.

    Notes
    -----
    Input ``(batch, height, width, channels)``, output ``(batch, rows, columns, filters)``; with
    ``'channels_first'`` the channels come second. Weights: depthwise_kernel
    ``(*kernel_size, channels, depth_multiplier)``, pointwise_kernel
    ``(1, 1, channels * depth_multiplier, filters)`` and bias ``(filters,)``. There is neither
    bias nor activation between the two. What `DepthwiseConv2D` says of strides holds here, too.

    References
    ----------
    Chollet 2017, Xception, https://arxiv.org/abs/1610.02357

    Examples
    --------
    >>> layer = SeparableConv2D(8, 3)
    >>> layer(np.zeros((2, 6, 6, 4))).shape, layer.count_params()
    ((2, 4, 4, 8), 76)
    """

    rank = 2
    __init__ = window_by_position(2)(_Separable.__init__)
