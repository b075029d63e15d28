"""Layers that tf-keras has not, or not as 2.2.4 has them, built from those it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras

# Names that tf-keras dropped.
ALIASES = {
    "Deconv2D": "Conv2DTranspose",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconv3D": "Conv3DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
}
# What tf-keras computes with the channels first without a GPU. The order of a local kernel's
# entries depends on the format.
ANY_FORMAT = ("Flatten", "LocallyConnected1D", "LocallyConnected2D")


class Bilinear(tf_keras.layers.UpSampling2D):
    """Bilinear up-sampling from corners, as 2.2.4 has it; tf-keras' is from centres."""

    def call(self, inputs: Any) -> Any:
        """Resize as version 1 of TensorFlow does by default."""
        rows, columns = inputs.shape[1:3]
        sizes = (rows * self.size[0], columns * self.size[1])
        return tf.compat.v1.image.resize_bilinear(inputs, sizes)


class ChannelsFirst(tf_keras.layers.Wrapper):
    """A layer with the channels last, between two transpositions.

    TensorFlow's kernels refuse channels first without a GPU. 2.2.4 transposes, too. Only the
    activation sees the channels first: a softmax is over the last axis in either format.
    """

    def __init__(self, inner: Any, **kwargs: Any) -> None:
        super().__init__(inner, **kwargs)
        activation = getattr(inner, "activation", None)
        if activation is not None:
            inner.activation = lambda x: _last(activation(_first(x)))

    def build(self, input_shape: Any) -> None:
        """Build the wrapped layer."""
        batch, channels, *sizes = input_shape
        self.layer.build((batch, *sizes, channels))
        self.built = self.layer.built = True

    def call(self, inputs: Any) -> Any:
        """Transpose, compute, transpose back."""
        return _first(self.layer(_last(inputs)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Move the channels in the wrapped layer's shape."""
        batch, channels, *sizes = input_shape
        batch, *sizes = self.layer.compute_output_shape((batch, *sizes, channels))
        return (batch, sizes[-1], *sizes[:-1])


def build(name: str, config: dict[str, Any]) -> Any:
    """Make the tf-keras layer for a class name and a config of 2.2.4's."""
    kind: Callable[..., Any] = getattr(tf_keras.layers, ALIASES.get(name, name))
    if config.get("interpolation") == "bilinear":
        kind = Bilinear
    if kind is tf_keras.layers.SeparableConv1D:
        config = {"data_format": "channels_last", **config}  # not K's format, as 2.2.4's Conv1D
    built = kind(**config)
    if getattr(built, "data_format", None) != "channels_first" or name in ANY_FORMAT:
        return built
    outer = {key: config[key] for key in ("input_shape", "trainable") if key in config}
    inner = {key: value for key, value in config.items() if key not in outer}
    return ChannelsFirst(kind(**{**inner, "data_format": "channels_last"}), **outer)


def _last(x: Any) -> Any:
    axes = list(range(len(x.shape)))
    return tf.transpose(x, [0, *axes[2:], 1]) if len(axes) > 2 else x


def _first(x: Any) -> Any:
    axes = list(range(len(x.shape)))
    return tf.transpose(x, [0, axes[-1], *axes[1:-1]]) if len(axes) > 2 else x
