"""Convolution layers: Conv1D, Conv2D, Conv3D, and the transposed Conv2DTranspose, Conv3DTranspose.

As in Keras, this module is also the address of the separable convolutions, of the layers that pad,
crop and scale up, and of those that pool.
"""

from __future__ import annotations

from typing import Any

from minikeras.layers.conv_base import Conv, Transposed
from minikeras.layers.keras_1 import window_by_position
from minikeras.layers.padding import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from minikeras.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from minikeras.layers.separable import DepthwiseConv2D, SeparableConv1D, SeparableConv2D
from minikeras.layers.upsampling import UpSampling1D, UpSampling2D, UpSampling3D
from minikeras.utils.warning import warn

__all__ = [
    "AtrousConv1D",
    "AtrousConv2D",
    "AtrousConvolution1D",
    "AtrousConvolution2D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Convolution1D",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Deconv2D",
    "Deconv3D",
    "Deconvolution2D",
    "Deconvolution3D",
    "DepthwiseConv2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]


class Conv1D(Conv):
    """Convolution along one axis, such as time: ``activation(window * kernel + bias)``.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size : int or tuple of 1 int
        Length of the window.
    strides : int or tuple of 1 int
        Steps from one place of the window to the next. Default 1.
    padding : {'valid', 'same', 'causal'}
        Default ``'valid'``: no padding. ``'same'``: zeros on both sides, so that with
        ``strides=1`` the output is as long as the input; of an odd number of zeros the larger
        half comes last. ``'causal'``: all zeros come first, so that no output depends on a later
        input.
    data_format : {'channels_last', 'channels_first'}, optional
        Default ``'channels_last'``; None stands for ``K.image_data_format()``.
        ``'causal'`` needs ``'channels_last'``, as in Keras.
    dilation_rate : int or tuple of 1 int
        Steps from one entry of the window to the next. Default 1. Where it is greater, `strides`
        must be 1.
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
        If an argument is none of these, or, when the layer is built, if the number of channels
        is unknown or the window is longer than the input.

    Notes
    -----
    Input ``(batch, steps, channels)``, output ``(batch, places, filters)``; with
    ``'channels_first'`` the last two axes change places. ``places`` is
    ``ceil(steps / strides)`` with padding, and
    ``ceil((steps - (kernel_size - 1) * dilation_rate) / strides)`` without. `steps` may be None.
    Weights: kernel ``(kernel_size, channels, filters)`` and bias ``(filters,)``. The kernel is
    not flipped: as in all network libraries this is a cross-correlation.

    References
    ----------
    Causal and dilated: van den Oord et al. 2016, https://arxiv.org/abs/1609.03499

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([Conv1D(8, 3, activation="relu", input_shape=(10, 4))])
    >>> model.output_shape, model.count_params()
    ((None, 8, 8), 104)
    """

    rank = 1
    paddings = ("valid", "same", "causal")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = "channels_last",
        dilation_rate: Any = 1,
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
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
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
        if self.padding == "causal" and self.data_format != "channels_last":
            raise ValueError(
                f"{self._described()}: padding='causal' needs data_format='channels_last', got "
                f"{self.data_format!r}."
            )


class Conv2D(Conv):
    """Convolution over images: ``activation(window * kernel + bias)``.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size : int or tuple of 2 int
        Height and width of the window.
    strides : int or tuple of 2 int
        Steps from one place of the window to the next. Default 1.
    padding : {'valid', 'same'}
        Default ``'valid'``: no padding. ``'same'``: zeros around the image, so that with
        ``strides=1`` it keeps its size; of an odd number of zeros the larger half comes last
        (below, to the right), as in TensorFlow and unlike other libraries.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    dilation_rate : int or tuple of 2 int
        Steps from one entry of the window to the next. Default 1. Where one is greater, all
        `strides` must be 1.
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
        If an argument is none of these, or, when the layer is built, if the number of channels
        is unknown or the window is larger than the image.

    Notes
    -----
    Input ``(batch, height, width, channels)``, output ``(batch, rows, columns, filters)``; with
    ``'channels_first'`` ``(batch, channels, height, width)`` and
    ``(batch, filters, rows, columns)``. Along each axis there are ``ceil(size / stride)`` places
    with ``'same'``, and ``ceil((size - (window - 1) * dilation) / stride)`` with ``'valid'``.
    Height and width may be None. Weights: kernel ``(*kernel_size, channels, filters)`` in either
    layout, and bias ``(filters,)``. The kernel is not flipped.

    A softmax runs along the last axis of the output, as in Keras: with ``'channels_first'`` that
    is the width.

    As in Keras 2.2, ``Conv2D(32, 3, 3)`` has a window of 3x3, with a warning: it is the form of
    Keras 1. Later Keras reads the third argument by position as `strides`; name it.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([Conv2D(32, 3, padding="same", strides=2, input_shape=(28, 28, 1))])
    >>> model.output_shape, model.count_params()
    ((None, 14, 14, 32), 320)
    """

    rank = 2
    __init__ = window_by_position(2)(Conv.__init__)


class Conv3D(Conv):
    """Convolution over volumes: ``activation(window * kernel + bias)``.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size, strides, dilation_rate : int or tuple of 3 int
        As in `Conv2D`, along three axes.
    padding, data_format, activation, use_bias, kernel_initializer, bias_initializer
        As in `Conv2D`.
    kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint
        As in `Conv2D`.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        As in `Conv2D`.

    Notes
    -----
    Input ``(batch, depth, height, width, channels)``, output with as many axes and `filters`
    channels; with ``'channels_first'`` the channels come second. Weights: kernel
    ``(*kernel_size, channels, filters)`` and bias ``(filters,)``.

    Examples
    --------
    >>> import numpy as np
    >>> Conv3D(4, (1, 2, 3))(np.zeros((1, 5, 5, 5, 2))).shape
    (1, 5, 4, 3, 4)
    """

    rank = 3
    __init__ = window_by_position(3)(Conv.__init__)


class Conv2DTranspose(Transposed, Conv2D):
    """Transposed convolution over images, also called deconvolution: it makes them larger.

    Each pixel of the input adds the kernel, times the pixel, to the output. It is the map that
    takes the gradients of a `Conv2D`'s output to those of its input.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size : int or tuple of 2 int
        Height and width of the kernel.
    strides : int or tuple of 2 int
        Steps in the output from one pixel of the input to the next. Default 1.
    padding : {'valid', 'same'}
        ``'valid'`` (default): all that the kernel reaches is in the output. ``'same'``: the
        output is `strides` times as large as the input.
    output_padding : int or tuple of 2 int, optional
        Entries to add at the end of each axis of the output, at least 0 and less than the
        stride. Default: what gives the sizes below.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    dilation_rate : int or tuple of 2 int
        Steps in the output from one entry of the kernel to the next. Default 1. Where one is
        greater, all `strides` must be 1.
    activation, use_bias, kernel_initializer, bias_initializer
        As in `Conv2D`.
    kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint
        As in `Conv2D`.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        If an argument is none of these, or, when the layer is built, if the number of channels
        is unknown or `output_padding` gives an output from which a convolution does not lead
        back to the input. That is so for even kernels with ``padding='same'`` and
        ``output_padding=0``.

    Notes
    -----
    Input ``(batch, height, width, channels)``, output ``(batch, rows, columns, filters)``; with
    ``'channels_first'`` the channels come second. Let ``k = (kernel_size - 1) * dilation_rate +
    1``. An axis of size ``n`` becomes ``n * strides`` with ``'same'``,
    ``n * strides + max(k - strides, 0)`` with ``'valid'``, and with `output_padding`
    ``(n - 1) * strides + k - 2 * p + output_padding``, where ``p`` is 0 with ``'valid'`` and
    ``k // 2`` with ``'same'``. Weights: kernel ``(*kernel_size, filters, channels)``, the reverse
    of `Conv2D`, and bias ``(filters,)``.

    Keras 2.2 fails where `dilation_rate` is not the same along both axes, or goes with
    ``'channels_first'``; both work here.

    References
    ----------
    Zeiler et al. 2010, Deconvolutional Networks

    Examples
    --------
    >>> import numpy as np
    >>> layer = Conv2DTranspose(3, 4, strides=2, padding="same")
    >>> layer(np.zeros((1, 7, 7, 8))).shape, layer.kernel.shape
    ((1, 14, 14, 3), (4, 4, 3, 8))
    """

    @window_by_position(2)
    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        super().__init__(
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self._set_output_padding(output_padding)


class Conv3DTranspose(Transposed, Conv3D):
    """Transposed convolution over volumes; see `Conv2DTranspose`.

    Parameters
    ----------
    filters : int
        Number of output channels, greater than 0.
    kernel_size, strides : int or tuple of 3 int
        As in `Conv2DTranspose`, along three axes.
    output_padding : int or tuple of 3 int, optional
        As in `Conv2DTranspose`.
    padding, data_format, activation, use_bias, kernel_initializer, bias_initializer
        As in `Conv2DTranspose`. There is no dilation, as in Keras.
    kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint
        As in `Conv2D`.
    **kwargs
        See `Layer`.

    Raises
    ------
    ValueError
        As in `Conv2DTranspose`.

    Notes
    -----
    Input ``(batch, depth, height, width, channels)``, output with as many axes and `filters`
    channels; with ``'channels_first'`` the channels come second. Weights: kernel
    ``(*kernel_size, filters, channels)`` and bias ``(filters,)``.

    Examples
    --------
    >>> import numpy as np
    >>> Conv3DTranspose(4, 3, strides=2)(np.zeros((1, 2, 3, 4, 5))).shape
    (1, 5, 7, 9, 4)
    """

    @window_by_position(3)
    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
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
            raise TypeError("Conv3DTranspose has no dilation_rate, as in Keras 2.2.")
        super().__init__(
            filters=filters,
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=1,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        self._set_output_padding(output_padding)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        del config["dilation_rate"]
        return config


def AtrousConvolution1D(*args: Any, atrous_rate: Any = 1, **kwargs: Any) -> Conv1D:
    """Return a `Conv1D` with ``dilation_rate=atrous_rate``: its name in Keras 1, as Keras 2.2 does.

    Examples
    --------
    >>> import warnings
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     AtrousConvolution1D(8, 3, atrous_rate=2).dilation_rate
    (2,)
    """
    _warn_of_atrous("AtrousConvolution1D", "Conv1D")
    return Conv1D(*args, **{**kwargs, "dilation_rate": atrous_rate})


def AtrousConvolution2D(*args: Any, atrous_rate: Any = 1, **kwargs: Any) -> Conv2D:
    """Return a `Conv2D` with ``dilation_rate=atrous_rate``; see `AtrousConvolution1D`."""
    _warn_of_atrous("AtrousConvolution2D", "Conv2D")
    return Conv2D(*args, **{**kwargs, "dilation_rate": atrous_rate})


def _warn_of_atrous(old: str, new: str) -> None:
    warn(f"{old} is the Keras 1 name of {new} with dilation_rate=atrous_rate.")


# The names of Keras 1, which Keras 2.2 still has.
AtrousConv1D = AtrousConvolution1D
AtrousConv2D = AtrousConvolution2D
Convolution1D = Conv1D
Convolution2D = Conv2D
Convolution3D = Conv3D
Convolution2DTranspose = Deconvolution2D = Deconv2D = Conv2DTranspose
Deconvolution3D = Deconv3D = Conv3DTranspose
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D
