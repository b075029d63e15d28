"""Whole networks for convolution.npz, with `K.image_data_format` last and first, and aliases."""

from __future__ import annotations

from typing import Any

from .configs import Config, Layers, layer
from .layer_cases import SMALL_L1_L2

CASES: dict[str, Layers] = {}
# What a case has other than SGD and mean squared error: `optimizer`, `loss`, `one_hot` targets;
# and its `image_data_format`.
OPTIONS: dict[str, Config] = {}

CLASSIFIER: Config = {"loss": "categorical_crossentropy", "one_hot": True}
NESTEROV: Config = {
    "class_name": "SGD",
    "config": {"lr": 0.05, "decay": 1e-3, "momentum": 0.9, "nesterov": True},
}


def shape(first: bool, *sizes: int) -> list[int]:
    """The input shape for sizes with the channels last."""
    return [sizes[-1], *sizes[:-1]] if first else list(sizes)


def conv(filters: int, **config: Any) -> Config:
    """A convolution as most are."""
    return layer("Conv2D", filters=filters, kernel_size=[3, 3], activation="relu", **config)


def mnist_cnn(first: bool) -> Layers:
    """Keras' example in miniature."""
    return [
        conv(6, input_shape=shape(first, 12, 11, 1)),
        conv(8),
        layer("MaxPooling2D", pool_size=[2, 2]),
        layer("Dropout", rate=0.0),
        layer("Flatten"),
        layer("Dense", units=10, activation="relu"),
        layer("Dropout", rate=0.0),
        layer("Dense", units=4, activation="softmax"),
    ]


def vgg_like(first: bool) -> Layers:
    """The VGG-like network of Keras' guide in miniature."""
    return [
        conv(4, input_shape=shape(first, 16, 16, 3)),
        conv(4),
        layer("MaxPooling2D", pool_size=[2, 2]),
        layer("Dropout", rate=0.0),
        conv(6),
        conv(6),
        layer("MaxPooling2D", pool_size=[2, 2]),
        layer("Dropout", rate=0.0),
        layer("Flatten"),
        layer("Dense", units=12, activation="relu"),
        layer("Dropout", rate=0.0),
        layer("Dense", units=5, activation="softmax"),
    ]


def normalized_network(first: bool) -> Layers:
    """Batch normalization and PReLU between convolutions."""
    return [
        layer(
            "Conv2D",
            filters=4,
            kernel_size=3,
            padding="same",
            use_bias=False,
            kernel_regularizer=SMALL_L1_L2,
            input_shape=shape(first, 9, 8, 2),
        ),
        layer("BatchNormalization", axis=1 if first else -1, momentum=0.9),
        layer("Activation", activation="relu"),
        layer("MaxPooling2D", pool_size=3, strides=2, padding="same"),
        layer("SeparableConv2D", filters=6, kernel_size=3, use_bias=False),
        layer("BatchNormalization", axis=1 if first else -1, momentum=0.8),
        layer("PReLU", shared_axes=[2, 3] if first else [1, 2]),
        layer("GlobalAveragePooling2D"),
        layer("Dense", units=3, activation="softmax"),
    ]


def autoencoder(first: bool) -> Layers:
    """Down and up again, through the layers on images that the others don't have."""
    return [
        layer("ZeroPadding2D", padding=[[1, 0], [0, 1]], input_shape=shape(first, 7, 6, 2)),
        layer("Conv2D", filters=4, kernel_size=3, strides=2, padding="same"),
        layer("LeakyReLU", alpha=0.2),
        layer("DepthwiseConv2D", kernel_size=2, padding="same", depth_multiplier=2),
        layer("AveragePooling2D", pool_size=2),
        layer("LocallyConnected2D", filters=3, kernel_size=1, activation="tanh"),
        layer("UpSampling2D", size=2, interpolation="bilinear"),
        layer(
            "Conv2DTranspose",
            filters=3,
            kernel_size=3,
            strides=2,
            padding="same",
            output_padding=1,
        ),
        layer("Cropping2D", cropping=[[1, 0], [1, 1]]),
        layer("Conv2D", filters=2, kernel_size=1),
    ]


def volume_network(first: bool) -> Layers:
    """The layers on volumes."""
    return [
        layer(
            "Conv3D",
            filters=3,
            kernel_size=2,
            activation="tanh",
            input_shape=shape(first, 5, 4, 4, 1),
        ),
        layer("ZeroPadding3D", padding=[1, 0, 0]),
        layer("MaxPooling3D", pool_size=[2, 1, 2], strides=1),
        layer("Conv3DTranspose", filters=2, kernel_size=[1, 2, 2], strides=[1, 2, 1]),
        layer("Cropping3D", cropping=[[0, 1], [1, 0], [0, 0]]),
        layer("UpSampling3D", size=[1, 1, 2]),
        layer("AveragePooling3D", pool_size=[2, 2, 2], padding="same"),
        layer("GlobalMaxPooling3D"),
    ]


def sequence_classifier(first: bool) -> Layers:
    """The layers on sequences, whose format does not follow `K.image_data_format`."""
    return [
        layer("Conv1D", filters=6, kernel_size=3, activation="relu", input_shape=[24, 3]),
        layer("Conv1D", filters=6, kernel_size=3, activation="relu"),
        layer("MaxPooling1D", pool_size=3),
        layer("SeparableConv1D", filters=8, kernel_size=3, padding="same"),
        layer("UpSampling1D", size=2),
        layer("Conv1D", filters=8, kernel_size=2, padding="causal", dilation_rate=2),
        layer("ZeroPadding1D", padding=1),
        layer("Cropping1D", cropping=[2, 0]),
        layer("AveragePooling1D", pool_size=2, strides=1),
        layer("GlobalAveragePooling1D"),
        layer("Dropout", rate=0.0),
        layer("Dense", units=3, activation="softmax"),
    ]


for build, options in (
    (mnist_cnn, CLASSIFIER),
    (vgg_like, {**CLASSIFIER, "optimizer": NESTEROV}),
    (normalized_network, CLASSIFIER),
    (autoencoder, {}),
    (volume_network, {}),
    (sequence_classifier, CLASSIFIER),
):
    CASES[build.__name__], OPTIONS[build.__name__] = build(False), options
    name = f"{build.__name__}_channels_first"
    CASES[name], OPTIONS[name] = build(True), {**options, "image_data_format": "channels_first"}

CASES["aliases_1d"] = [
    layer("Convolution1D", filters=3, kernel_size=2, input_shape=[9, 2]),
    layer("MaxPool1D"),
    layer("SeparableConvolution1D", filters=2, kernel_size=2),
    layer("AvgPool1D", pool_size=2, strides=1),
    layer("GlobalMaxPool1D"),
]
CASES["aliases_1d_average"] = [
    layer("Convolution1D", filters=3, kernel_size=2, input_shape=[5, 2]),
    layer("GlobalAvgPool1D"),
]
CASES["aliases_2d"] = [
    layer("Convolution2D", filters=3, kernel_size=2, input_shape=[7, 6, 2]),
    layer("MaxPool2D"),
    layer("Convolution2DTranspose", filters=2, kernel_size=2),
    layer("Deconvolution2D", filters=2, kernel_size=2, strides=2),
    layer("SeparableConvolution2D", filters=2, kernel_size=2),
    layer("AvgPool2D", pool_size=3),
    layer("Deconv2D", filters=3, kernel_size=2),
    layer("GlobalMaxPool2D"),
]
CASES["aliases_2d_average"] = [
    layer("Convolution2D", filters=3, kernel_size=2, input_shape=[4, 3, 2]),
    layer("GlobalAvgPool2D"),
]
CASES["aliases_3d"] = [
    layer("Convolution3D", filters=3, kernel_size=2, input_shape=[5, 4, 3, 1]),
    layer("MaxPool3D", pool_size=[2, 1, 1]),
    layer("Deconvolution3D", filters=2, kernel_size=[1, 2, 2]),
    layer("Deconv3D", filters=2, kernel_size=[2, 1, 1]),
    layer("AvgPool3D", pool_size=[1, 2, 1]),
    layer("GlobalMaxPool3D"),
]
CASES["aliases_3d_average"] = [
    layer("Convolution3D", filters=3, kernel_size=2, input_shape=[3, 3, 2, 1]),
    layer("GlobalAvgPool3D"),
]
