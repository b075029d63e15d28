"""All layers, and finding a layer by its name.

The table at the end is the list of what a configuration can name. A class of a floor above,
such as `Sequential`, is put in with `register`; a layer of your own goes by ``custom_objects``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minikeras.engine import Input, InputLayer, InputSpec, Layer
from minikeras.layers.advanced_activations import (
    ELU,
    LeakyReLU,
    PReLU,
    ReLU,
    Softmax,
    ThresholdedReLU,
)
from minikeras.layers.convolutional import (
    AtrousConv1D,
    AtrousConv2D,
    AtrousConvolution1D,
    AtrousConvolution2D,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    Conv3D,
    Conv3DTranspose,
    Convolution1D,
    Convolution2D,
    Convolution2DTranspose,
    Convolution3D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Deconv2D,
    Deconv3D,
    Deconvolution2D,
    Deconvolution3D,
    DepthwiseConv2D,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConvolution1D,
    SeparableConvolution2D,
    UpSampling1D,
    UpSampling2D,
    UpSampling3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from minikeras.layers.convolutional_recurrent import ConvLSTM2D, ConvLSTM2DCell, ConvRNN2D
from minikeras.layers.core import (
    Activation,
    ActivityRegularization,
    Dense,
    Dropout,
    Flatten,
    Masking,
    Permute,
    RepeatVector,
    Reshape,
    SpatialDropout1D,
    SpatialDropout2D,
    SpatialDropout3D,
)
from minikeras.layers.cudnn_recurrent import CuDNNGRU, CuDNNLSTM
from minikeras.layers.embeddings import Embedding
from minikeras.layers.function_layer import Lambda
from minikeras.layers.local import LocallyConnected1D, LocallyConnected2D
from minikeras.layers.noise import AlphaDropout, GaussianDropout, GaussianNoise
from minikeras.layers.normalization import BatchNormalization
from minikeras.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalAvgPool1D,
    GlobalAvgPool2D,
    GlobalAvgPool3D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GlobalMaxPool3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from minikeras.layers.recurrent import (
    GRU,
    LSTM,
    RNN,
    Cell,
    GRUCell,
    LSTMCell,
    SimpleRNN,
    SimpleRNNCell,
    StackedRNNCells,
)
from minikeras.layers.wrappers import Bidirectional, TimeDistributed, Wrapper
from minikeras.utils.registry import Registry

__all__ = [
    "ELU",
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "AtrousConv1D",
    "AtrousConv2D",
    "AtrousConvolution1D",
    "AtrousConvolution2D",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNormalization",
    "Bidirectional",
    "Cell",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM2D",
    "ConvLSTM2DCell",
    "ConvRNN2D",
    "Convolution1D",
    "Convolution2D",
    "Convolution2DTranspose",
    "Convolution3D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CuDNNGRU",
    "CuDNNLSTM",
    "Deconv2D",
    "Deconv3D",
    "Deconvolution2D",
    "Deconvolution3D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalAvgPool3D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPool3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "Input",
    "InputLayer",
    "InputSpec",
    "LSTMCell",
    "Lambda",
    "Layer",
    "LeakyReLU",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Reshape",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StackedRNNCells",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Wrapper",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "deserialize",
    "register",
    "serialize",
]

_registry = Registry(
    "layer",
    {
        "Activation": Activation,
        "ActivityRegularization": ActivityRegularization,
        "AlphaDropout": AlphaDropout,
        "AveragePooling1D": AveragePooling1D,
        "AveragePooling2D": AveragePooling2D,
        "AveragePooling3D": AveragePooling3D,
        "BatchNormalization": BatchNormalization,
        "Bidirectional": Bidirectional,
        "Conv1D": Conv1D,
        "Conv2D": Conv2D,
        "Conv2DTranspose": Conv2DTranspose,
        "Conv3D": Conv3D,
        "Conv3DTranspose": Conv3DTranspose,
        "ConvLSTM2D": ConvLSTM2D,
        "ConvLSTM2DCell": ConvLSTM2DCell,
        "ConvRNN2D": ConvRNN2D,
        "Cropping1D": Cropping1D,
        "Cropping2D": Cropping2D,
        "Cropping3D": Cropping3D,
        "CuDNNGRU": CuDNNGRU,
        "CuDNNLSTM": CuDNNLSTM,
        "Dense": Dense,
        "DepthwiseConv2D": DepthwiseConv2D,
        "Dropout": Dropout,
        "ELU": ELU,
        "Embedding": Embedding,
        "Flatten": Flatten,
        "GaussianDropout": GaussianDropout,
        "GaussianNoise": GaussianNoise,
        "GlobalAveragePooling1D": GlobalAveragePooling1D,
        "GlobalAveragePooling2D": GlobalAveragePooling2D,
        "GlobalAveragePooling3D": GlobalAveragePooling3D,
        "GlobalMaxPooling1D": GlobalMaxPooling1D,
        "GlobalMaxPooling2D": GlobalMaxPooling2D,
        "GlobalMaxPooling3D": GlobalMaxPooling3D,
        "GRU": GRU,
        "GRUCell": GRUCell,
        "InputLayer": InputLayer,
        "Lambda": Lambda,
        "LeakyReLU": LeakyReLU,
        "LocallyConnected1D": LocallyConnected1D,
        "LocallyConnected2D": LocallyConnected2D,
        "LSTM": LSTM,
        "LSTMCell": LSTMCell,
        "Masking": Masking,
        "MaxPooling1D": MaxPooling1D,
        "MaxPooling2D": MaxPooling2D,
        "MaxPooling3D": MaxPooling3D,
        "Permute": Permute,
        "PReLU": PReLU,
        "ReLU": ReLU,
        "RepeatVector": RepeatVector,
        "Reshape": Reshape,
        "RNN": RNN,
        "SeparableConv1D": SeparableConv1D,
        "SeparableConv2D": SeparableConv2D,
        "SimpleRNN": SimpleRNN,
        "SimpleRNNCell": SimpleRNNCell,
        "Softmax": Softmax,
        "SpatialDropout1D": SpatialDropout1D,
        "SpatialDropout2D": SpatialDropout2D,
        "SpatialDropout3D": SpatialDropout3D,
        "StackedRNNCells": StackedRNNCells,
        "ThresholdedReLU": ThresholdedReLU,
        "TimeDistributed": TimeDistributed,
        "UpSampling1D": UpSampling1D,
        "UpSampling2D": UpSampling2D,
        "UpSampling3D": UpSampling3D,
        "ZeroPadding1D": ZeroPadding1D,
        "ZeroPadding2D": ZeroPadding2D,
        "ZeroPadding3D": ZeroPadding3D,
    },
    aliases={
        "AvgPool1D": "AveragePooling1D",
        "AvgPool2D": "AveragePooling2D",
        "AvgPool3D": "AveragePooling3D",
        "Convolution1D": "Conv1D",
        "Convolution2D": "Conv2D",
        "Convolution2DTranspose": "Conv2DTranspose",
        "Convolution3D": "Conv3D",
        "Deconv2D": "Conv2DTranspose",
        "Deconv3D": "Conv3DTranspose",
        "Deconvolution2D": "Conv2DTranspose",
        "Deconvolution3D": "Conv3DTranspose",
        "GlobalAvgPool1D": "GlobalAveragePooling1D",
        "GlobalAvgPool2D": "GlobalAveragePooling2D",
        "GlobalAvgPool3D": "GlobalAveragePooling3D",
        "GlobalMaxPool1D": "GlobalMaxPooling1D",
        "GlobalMaxPool2D": "GlobalMaxPooling2D",
        "GlobalMaxPool3D": "GlobalMaxPooling3D",
        "MaxPool1D": "MaxPooling1D",
        "MaxPool2D": "MaxPooling2D",
        "MaxPool3D": "MaxPooling3D",
        "SeparableConvolution1D": "SeparableConv1D",
        "SeparableConvolution2D": "SeparableConv2D",
    },
    base=Layer,
)


def register(cls: type[Layer]) -> type[Layer]:
    """Make a class of a floor above known to `deserialize` by its name.

    Imports only point down, so `Sequential`, which is a layer too, comes here by itself.

    Parameters
    ----------
    cls : type
        A subclass of `Layer`.

    Returns
    -------
    type
        `cls`, so that this also works as a decorator.
    """
    _registry.entries[cls.__name__] = cls
    return cls


def serialize(layer: Layer) -> dict[str, Any]:
    """Return the class name and the configuration of a layer, without its weights.

    Examples
    --------
    >>> serialize(ReLU(6.0, name="clipped"))["class_name"]
    'ReLU'
    """
    return _registry.serialize(layer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Layer:
    """Make a layer from what `serialize` returned.

    Parameters
    ----------
    config : dict
        ``{'class_name': name, 'config': {...}}``.
    custom_objects : dict, optional
        Name to class, for layers that are not built in. They are known in this call only.

    Returns
    -------
    Layer
        With fresh weights.

    Raises
    ------
    ValueError
        If `config` is no such dict, or the name is unknown.
    TypeError
        If the name stands for something that is not a layer.

    Examples
    --------
    >>> deserialize({"class_name": "Dense", "config": {"units": 3}}).units
    3
    """
    if isinstance(config, str):
        raise ValueError(
            f"A layer is made from a dict with the keys 'class_name' and 'config', not from the "
            f"name {config!r} alone."
        )
    layer: Layer = _registry.deserialize(config, custom_objects)
    return layer


_JOINING = (
    *("Add", "Average", "Concatenate", "Dot", "Maximum", "Merge", "Minimum", "Multiply"),
    *("add", "average", "concatenate", "dot", "maximum", "merge", "minimum", "multiply"),
    *("Subtract", "subtract"),
)


def __getattr__(name: str) -> Any:
    """Tell what to do without the layers of Keras that have no place in a Sequential."""
    if name in _JOINING:
        # Not AttributeError, whose text `from minikeras.layers import ...` does not show.
        raise ImportError(
            f"minikeras.layers has no {name!r}, which joins the outputs of several layers: "
            "minikeras has Sequential models only, in which each layer follows another. Join the "
            "data before, np.concatenate([a, b], axis=-1); or write the branches as one layer of "
            "your own, whose call(self, x) joins them with K.concatenate, +, * and so on."
        )
    if name == "TimeDistributedDense":
        raise ImportError(
            "TimeDistributedDense is a name of Keras 1: write TimeDistributed(Dense(units)), or "
            "Dense(units) itself."
        )
    raise AttributeError(f"module 'minikeras.layers' has no attribute {name!r}")
