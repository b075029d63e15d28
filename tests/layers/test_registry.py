import importlib
import json

import numpy as np
import pytest

from minikeras import layers
from minikeras.layers import Dense, Layer
from minikeras.layers.function_layer import NamedFunction
from minikeras.models import Sequential

from .checks import twin

# Each layer that a configuration can name, with arguments that differ from the defaults.
ARGUMENTS = {
    "Activation": {"activation": "tanh"},
    "ActivityRegularization": {"l1": 0.5, "l2": 0.25},
    "AlphaDropout": {"rate": 0.25, "noise_shape": [None, 1], "seed": 3},
    "Lambda": {
        "function": NamedFunction(np.tanh),
        "function_type": "function",
        "output_shape": [3],
        "output_shape_type": "raw",
        "arguments": {"dtype": "float64"},
    },
    "BatchNormalization": {
        "axis": 1,
        "momentum": 0.5,
        "epsilon": 0.125,
        "center": False,
        "scale": True,
        "beta_initializer": "ones",
        "gamma_initializer": "zeros",
        "moving_mean_initializer": "ones",
        "moving_variance_initializer": "zeros",
        "beta_regularizer": "l1",
        "gamma_regularizer": "l2",
        "beta_constraint": "non_neg",
        "gamma_constraint": "unit_norm",
    },
    "Dense": {
        "units": 3,
        "activation": "tanh",
        "use_bias": False,
        "kernel_initializer": "ones",
        "bias_initializer": "ones",
        "kernel_regularizer": "l1",
        "bias_regularizer": "l2",
        "activity_regularizer": "l1_l2",
        "kernel_constraint": "non_neg",
        "bias_constraint": "unit_norm",
    },
    "Dropout": {"rate": 0.25, "noise_shape": [None, 1], "seed": 3},
    "ELU": {"alpha": 0.5},
    "Flatten": {"data_format": "channels_first"},
    "GaussianDropout": {"rate": 0.25},
    "GaussianNoise": {"stddev": 0.5},
    "InputLayer": {"batch_input_shape": [4, 2], "dtype": "float64"},
    "LeakyReLU": {"alpha": 0.5},
    "PReLU": {
        "alpha_initializer": "ones",
        "alpha_regularizer": "l2",
        "alpha_constraint": "non_neg",
        "shared_axes": [1],
    },
    "Permute": {"dims": [2, 1]},
    "ReLU": {"max_value": 3.0, "negative_slope": 0.5, "threshold": 0.25},
    "RepeatVector": {"n": 3},
    "Reshape": {"target_shape": [3, -1]},
    "Softmax": {"axis": 1},
    "SpatialDropout1D": {"rate": 0.25, "seed": 3},
    "SpatialDropout2D": {"rate": 0.25, "seed": 3, "data_format": "channels_first"},
    "SpatialDropout3D": {"rate": 0.25, "seed": 3, "data_format": "channels_first"},
    "ThresholdedReLU": {"theta": 0.5},
}
OUTPUT = {
    "activation": "tanh",
    "use_bias": False,
    "bias_initializer": "ones",
    "bias_regularizer": "l2",
    "activity_regularizer": "l1_l2",
    "bias_constraint": "unit_norm",
    "data_format": "channels_first",
}
KERNEL = {
    "kernel_initializer": "ones",
    "kernel_regularizer": "l1",
    "kernel_constraint": "non_neg",
}
DEPTHWISE = {
    "depth_multiplier": 2,
    "depthwise_initializer": "ones",
    "depthwise_regularizer": "l1",
    "depthwise_constraint": "non_neg",
}
POINTWISE = {
    "pointwise_initializer": "ones",
    "pointwise_regularizer": "l1",
    "pointwise_constraint": "non_neg",
}
for rank in (1, 2, 3):
    window = {"kernel_size": [3] * rank, "strides": [2] * rank}
    same = {"padding": "same", **OUTPUT}
    pool = {"pool_size": [3] * rank, "strides": [2] * rank, "padding": "same"}
    first = {"data_format": "channels_first"}
    ARGUMENTS[f"Conv{rank}D"] = {"filters": 3, **window, **same, **KERNEL}
    ARGUMENTS[f"MaxPooling{rank}D"] = {**pool, **first}
    ARGUMENTS[f"AveragePooling{rank}D"] = {**pool, **first}
    ARGUMENTS[f"GlobalMaxPooling{rank}D"] = first
    ARGUMENTS[f"GlobalAveragePooling{rank}D"] = first
    ARGUMENTS[f"ZeroPadding{rank}D"] = {"padding": [[1, 2]] * rank, **first}
    ARGUMENTS[f"Cropping{rank}D"] = {"cropping": [[1, 2]] * rank, **first}
    ARGUMENTS[f"UpSampling{rank}D"] = {"size": [3] * rank, **first}
    if rank > 1:
        transposed = {"filters": 3, **window, **same, **KERNEL, "output_padding": [1] * rank}
        ARGUMENTS[f"Conv{rank}DTranspose"] = transposed
    if rank < 3:
        separable = {"filters": 3, **window, **same, **DEPTHWISE, **POINTWISE}
        ARGUMENTS[f"SeparableConv{rank}D"] = separable
        ARGUMENTS[f"LocallyConnected{rank}D"] = {"filters": 3, **window, **OUTPUT, **KERNEL}
ARGUMENTS["DepthwiseConv2D"] = {
    **window,
    **same,
    **DEPTHWISE,
    "kernel_size": [3, 3],
    "strides": [2, 2],
}
ARGUMENTS["UpSampling2D"]["interpolation"] = "bilinear"
for name in ("ZeroPadding1D", "Cropping1D"):
    ARGUMENTS[name] = {
        key: value[0] for key, value in ARGUMENTS[name].items() if key != "data_format"
    }
ARGUMENTS["UpSampling1D"] = {"size": 3}

CELL = {
    "units": 3,
    "activation": "relu",
    "use_bias": False,
    "recurrent_initializer": "ones",
    "bias_initializer": "ones",
    "recurrent_regularizer": "l1",
    "bias_regularizer": "l2",
    "recurrent_constraint": "non_neg",
    "bias_constraint": "unit_norm",
    "dropout": 0.25,
    "recurrent_dropout": 0.5,
    **KERNEL,
}
GATED = {"recurrent_activation": "sigmoid", "implementation": 2}
RECURRENT = {
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "unroll": True,
}
for name, own in (
    ("SimpleRNN", {}),
    ("GRU", {**GATED, "reset_after": True}),
    ("LSTM", {**GATED, "unit_forget_bias": False}),
):
    ARGUMENTS[f"{name}Cell"] = {**CELL, **own}
    ARGUMENTS[name] = {**CELL, **own, **RECURRENT, "activity_regularizer": "l1_l2"}
CUDNN = ("activation", "use_bias", "dropout", "recurrent_dropout", "unroll")
CUDNN += ("recurrent_activation", "implementation", "reset_after")
for name in ("GRU", "LSTM"):
    ARGUMENTS[f"CuDNN{name}"] = {k: v for k, v in ARGUMENTS[name].items() if k not in CUDNN}
UNITS = {"class_name": "LSTMCell", "config": {"units": 2}}
CONV_CELL = {
    "filters": 3,
    "kernel_size": [3, 3],
    "strides": [2, 2],
    "padding": "same",
    "data_format": "channels_first",
    "recurrent_activation": "sigmoid",
    "unit_forget_bias": False,
    **{key: value for key, value in CELL.items() if key != "units"},
}
ARGUMENTS |= {
    "Bidirectional": {
        "layer": {"class_name": "LSTM", "config": {"units": 2}},
        "merge_mode": "sum",
    },
    "ConvLSTM2D": {
        **CONV_CELL,
        "activity_regularizer": "l1_l2",
        **{key: value for key, value in RECURRENT.items() if key not in ("unroll", "return_state")},
    },
    "ConvLSTM2DCell": CONV_CELL,
    "ConvRNN2D": {
        "cell": {"class_name": "ConvLSTM2DCell", "config": {"filters": 2, "kernel_size": 3}},
        "return_sequences": True,
        "go_backwards": True,
        "stateful": True,
    },
    "Embedding": {
        "input_dim": 5,
        "output_dim": 3,
        "embeddings_initializer": "ones",
        "embeddings_regularizer": "l1",
        "activity_regularizer": "l1_l2",
        "embeddings_constraint": "non_neg",
        "mask_zero": True,
        "input_length": 4,
    },
    "Masking": {"mask_value": 0.5},
    "RNN": {"cell": UNITS, **RECURRENT},
    "StackedRNNCells": {"cells": [UNITS, UNITS]},
    "TimeDistributed": {"layer": {"class_name": "Dense", "config": {"units": 2}}},
}
# Arguments that are layers themselves.
LAYERS = ("cell", "cells", "layer")
# What only other classes are made of.
BASES = {"Cell", "Wrapper"}

# Other names, and what each stands for.
ALIASES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Deconv2D": "Conv2DTranspose",
    "Deconv3D": "Conv3DTranspose",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
}
for short, long in (("Max", "Max"), ("Avg", "Average")):
    for rank in (1, 2, 3):
        ALIASES[f"{short}Pool{rank}D"] = f"{long}Pooling{rank}D"
        ALIASES[f"Global{short}Pool{rank}D"] = f"Global{long}Pooling{rank}D"

MODULES = {
    "convolutional": [
        "AveragePooling1D",
        "MaxPooling2D",
        *(
            name
            for name in ARGUMENTS
            if name.startswith(("Conv", "Sep", "Depth", "Zero", "Crop", "UpS"))
            and "LSTM" not in name
            and "RNN" not in name
        ),
        *(name for name in ALIASES if "onv" in name),
    ],
    "pooling": [name for name in (*ARGUMENTS, *ALIASES) if "Pool" in name],
    "local": ["LocallyConnected1D", "LocallyConnected2D"],
    "core": [
        "Activation",
        "ActivityRegularization",
        "Dense",
        "Dropout",
        "Flatten",
        "Lambda",
        "Masking",
        "Permute",
        "RepeatVector",
        "Reshape",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
    ],
    "advanced_activations": ["ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU"],
    "noise": ["AlphaDropout", "GaussianDropout", "GaussianNoise"],
    "normalization": ["BatchNormalization"],
    "embeddings": ["Embedding"],
    "recurrent": [
        "GRU",
        "GRUCell",
        "LSTM",
        "LSTMCell",
        "RNN",
        "SimpleRNN",
        "SimpleRNNCell",
        "StackedRNNCells",
    ],
    "convolutional_recurrent": ["ConvLSTM2D", "ConvLSTM2DCell", "ConvRNN2D"],
    "cudnn_recurrent": ["CuDNNGRU", "CuDNNLSTM"],
    "wrappers": ["Bidirectional", "TimeDistributed", "Wrapper"],
}


def exported():
    """Return the layer classes that the package exports, by name."""
    found = {name: getattr(layers, name) for name in layers.__all__}
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, type) and issubclass(value, Layer) and value is not Layer
        if name not in ALIASES and name not in BASES
    }


def test_each_exported_layer_can_be_named_and_the_reverse():
    assert set(exported()) == set(ARGUMENTS)
    for name, cls in exported().items():
        assert cls.__name__ == name
        assert type(layers.deserialize({"class_name": name, "config": ARGUMENTS[name]})) is cls


@pytest.mark.parametrize("alias", ALIASES)
def test_other_names(alias):
    name = ALIASES[alias]
    assert getattr(layers, alias) is getattr(layers, name)
    layer = layers.deserialize({"class_name": alias, "config": ARGUMENTS[name]})
    assert layers.serialize(layer)["class_name"] == name


@pytest.mark.parametrize("name", ARGUMENTS)
def test_configuration_comes_back(name):
    layer = layers.deserialize({"class_name": name, "config": ARGUMENTS[name]})
    config = layer.get_config()
    assert set(ARGUMENTS[name]) <= set(config)
    json.dumps(config)
    clone = twin(layer)
    assert type(clone) is type(layer)
    assert json.dumps(clone.get_config()) == json.dumps(config)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_no_argument_is_forgotten(name):
    """What differs from the default is in the configuration as it was given."""
    layer = layers.deserialize({"class_name": name, "config": ARGUMENTS[name]})
    config = json.loads(json.dumps(layer.get_config()))
    for key, value in ARGUMENTS[name].items():
        if key.endswith(("initializer", "regularizer", "constraint")):
            rest = {k: v for k, v in ARGUMENTS[name].items() if k != key}
            default = layers.deserialize({"class_name": name, "config": rest})
            assert config[key] not in (None, default.get_config()[key])
        elif key in LAYERS:
            assert [entry["class_name"] for entry in np.atleast_1d(config[key])] == [
                entry["class_name"] for entry in np.atleast_1d(value)
            ]
        else:
            assert config[key] == value


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in MODULES.items() for name in names]
)
def test_layers_are_where_keras_has_them(module, name):
    found = importlib.import_module(f"minikeras.layers.{module}")
    assert getattr(found, name) is getattr(layers, name)


def test_names_and_trainability_are_kept():
    layer = twin(Dense(2, name="head", trainable=False))
    assert layer.name == "head"
    assert layer.trainable is False


# Containers


def test_a_sequential_can_be_named():
    model = Sequential([Dense(2, input_dim=3)], name="inner")
    clone = twin(model)
    assert isinstance(clone, Sequential)
    assert clone.get_config() == model.get_config()


def test_nested_models_come_back():
    model = Sequential([Sequential([Dense(2, input_dim=3)]), Dense(1)])
    clone = Sequential.from_config(model.get_config())
    clone.set_weights(model.get_weights())
    x = np.ones((2, 3))
    np.testing.assert_array_equal(clone.predict(x), model.predict(x))


# Layers of one's own


class Own(Layer):
    pass


OWN = {"class_name": "Own", "config": {"name": "mine"}}


def test_custom_object_in_one_call():
    assert isinstance(layers.deserialize(OWN, custom_objects={"Own": Own}), Own)
    with pytest.raises(ValueError, match="Unknown layer 'Own'"):
        layers.deserialize(OWN)


def test_custom_object_in_a_scope():
    from minikeras.utils.generic_utils import CustomObjectScope

    with CustomObjectScope({"Own": Own}):
        assert layers.deserialize(OWN).name == "mine"


def test_custom_object_reaches_into_a_nested_model():
    config = {
        "class_name": "Sequential",
        "config": [{"class_name": "Sequential", "config": {"layers": [OWN]}}],
    }
    model = Sequential.from_config(config["config"], custom_objects={"Own": Own})
    assert isinstance(model.layers[0].layers[0], Own)


def test_register_is_a_decorator(monkeypatch):
    monkeypatch.setattr(layers._registry, "entries", dict(layers._registry.entries))
    assert layers.register(Own) is Own
    assert isinstance(layers.deserialize(OWN), Own)


# Errors


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class_name": "Dens", "config": {}}, "Unknown layer 'Dens'. Did you mean 'Dense'"),
        ({"class_name": "LeakyRelu", "config": {}}, "Did you mean 'LeakyReLU'"),
        ({"class_name": "Layer", "config": {}}, "Unknown layer 'Layer'"),
        ({"class_name": "np", "config": {}}, "Unknown layer 'np'"),
        ({"class_name": "deserialize", "config": {}}, "Unknown layer 'deserialize'"),
        ({"config": {}}, "'class_name' .* and 'config'"),
        ({"class_name": "Dense"}, "'class_name' .* and 'config'"),
        (7, "'class_name' .* and 'config' .* got 7"),
        ("Dense", "'class_name' and 'config', not from the name 'Dense'"),
    ],
)
def test_what_is_no_layer(config, message):
    with pytest.raises(ValueError, match=message):
        layers.deserialize(config)


def test_custom_object_that_is_no_layer():
    config = {"class_name": "dict", "config": {}}
    with pytest.raises(TypeError, match="'dict'.*was to name one layer"):
        layers.deserialize(config, custom_objects={"dict": dict})


def test_wrong_argument_in_a_configuration():
    with pytest.raises(TypeError, match=r"Unknown argument of Dense: 'unit'"):
        layers.deserialize({"class_name": "Dense", "config": {"units": 2, "unit": 3}})
