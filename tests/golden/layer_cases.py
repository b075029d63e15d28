"""The networks of layers.npz. Each ends in weights, so that the layer's backward pass shows."""

from __future__ import annotations

from typing import Any

from .configs import Layers, layer

L1: Any = {"class_name": "L1L2", "config": {"l1": 0.02, "l2": 0.0}}
L2: Any = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.05}}
L1_L2: Any = {"class_name": "L1L2", "config": {"l1": 0.01, "l2": 0.03}}
SMALL_L1_L2: Any = {"class_name": "L1L2", "config": {"l1": 0.002, "l2": 0.004}}
MAX_NORM: Any = {"class_name": "MaxNorm", "config": {"max_value": 0.8, "axis": 0}}
MAX_NORM_ROWS: Any = {"class_name": "MaxNorm", "config": {"max_value": 0.6, "axis": 1}}
MIN_MAX: Any = {
    "class_name": "MinMaxNorm",
    "config": {"min_value": 0.7, "max_value": 0.9, "rate": 0.5, "axis": 0},
}
UNIT_NORM: Any = {"class_name": "UnitNorm", "config": {"axis": 0}}
NON_NEG: Any = {"class_name": "NonNeg", "config": {}}

CASES: dict[str, Layers] = {}


def one_dense(name: str, **config: Any) -> None:
    """A single Dense."""
    CASES[name] = [layer("Dense", **{"units": 3, "input_shape": [4], **config})]


def after_dense(
    name: str, class_name: str, shape: Any = (4,), /, *rest: Any, **config: Any
) -> None:
    """Dense, then the layer, then what is in `rest`."""
    first = layer("Dense", units=shape[-1], input_shape=[*shape[:-1], 2])
    CASES[name] = [first, layer(class_name, **config), *rest]


def first_layer(name: str, class_name: str, shape: Any, /, **config: Any) -> None:
    """The layer at the input, then Dense."""
    CASES[name] = [layer(class_name, input_shape=list(shape), **config), layer("Dense", units=2)]


one_dense("dense")
one_dense("dense_no_bias", use_bias=False)
one_dense("dense_3d", input_shape=[3, 4], units=2)
one_dense("dense_kernel_l1", kernel_regularizer=L1)
one_dense("dense_kernel_l2_bias_l1_l2", kernel_regularizer=L2, bias_regularizer=L1_L2)
one_dense("dense_kernel_l1_l2", kernel_regularizer=L1_L2)
one_dense("dense_activity_l1_l2", activity_regularizer=SMALL_L1_L2, activation="tanh")
one_dense("dense_max_norm", kernel_constraint=MAX_NORM)
one_dense("dense_max_norm_rows", kernel_constraint=MAX_NORM_ROWS)
one_dense("dense_non_neg", kernel_constraint=NON_NEG, bias_constraint=NON_NEG)
one_dense("dense_unit_norm", kernel_constraint=UNIT_NORM)
one_dense("dense_min_max_norm", kernel_constraint=MIN_MAX)
for activation in (
    "relu",
    "elu",
    "selu",
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "softplus",
    "softsign",
    "exponential",
    "softmax",
):
    one_dense(f"dense_{activation}", activation=activation)

after_dense("activation_tanh", "Activation", activation="tanh")
after_dense("activation_softmax_3d", "Activation", (2, 3), activation="softmax")
after_dense("flatten_3d", "Flatten", (3, 2), layer("Dense", units=2))
after_dense("flatten_4d", "Flatten", (2, 2, 2), layer("Dense", units=2))
after_dense(
    "flatten_channels_first_3d",
    "Flatten",
    (3, 2),
    layer("Dense", units=2),
    data_format="channels_first",
)
after_dense(
    "flatten_channels_first_4d",
    "Flatten",
    (2, 3, 2),
    layer("Dense", units=2),
    data_format="channels_first",
)
after_dense("reshape", "Reshape", (6,), layer("Dense", units=2), target_shape=[3, 2])
after_dense("reshape_unknown", "Reshape", (3, 4), layer("Dense", units=2), target_shape=[-1, 2])
after_dense("permute", "Permute", (3, 2), layer("Dense", units=2), dims=[2, 1])
after_dense("permute_4d", "Permute", (2, 3, 2), layer("Dense", units=2), dims=[3, 1, 2])
after_dense("repeat_vector", "RepeatVector", (4,), layer("Dense", units=2), n=3)
after_dense(
    "activity_regularization",
    "ActivityRegularization",
    (4,),
    layer("Dense", units=2),
    l1=0.002,
    l2=0.003,
)
after_dense("leaky_relu", "LeakyReLU", alpha=0.3)
after_dense("elu", "ELU", alpha=0.7)
after_dense("thresholded_relu", "ThresholdedReLU", theta=0.2)
after_dense("relu", "ReLU")
after_dense("relu_max_value", "ReLU", max_value=0.5)
after_dense(
    "relu_negative_slope_threshold", "ReLU", max_value=0.9, negative_slope=0.2, threshold=0.1
)
after_dense("softmax", "Softmax")
after_dense("softmax_axis_1", "Softmax", (3, 2), axis=1)
after_dense("prelu", "PReLU")
after_dense("prelu_regularized", "PReLU", alpha_regularizer=L2, alpha_constraint=NON_NEG)
after_dense("prelu_shared_axes", "PReLU", (3, 2, 2), shared_axes=[1, 2])
after_dense("prelu_shared_axis", "PReLU", (3, 2), shared_axes=[1])

first_layer("batch_normalization", "BatchNormalization", (4,), momentum=0.9)
after_dense(
    "batch_normalization_after_dense",
    "BatchNormalization",
    (3,),
    layer("Activation", activation="tanh"),
    layer("Dense", units=2),
)
first_layer("batch_normalization_3d", "BatchNormalization", (3, 2), momentum=0.8)
first_layer("batch_normalization_3d_axis_1", "BatchNormalization", (3, 2), axis=1, momentum=0.8)
first_layer("batch_normalization_4d", "BatchNormalization", (2, 2, 3), momentum=0.9)
first_layer("batch_normalization_4d_axis_1", "BatchNormalization", (3, 2, 2), axis=1, momentum=0.9)
after_dense("batch_normalization_no_center", "BatchNormalization", (3,), center=False, momentum=0.5)
after_dense("batch_normalization_no_scale", "BatchNormalization", (3,), scale=False, momentum=0.5)
after_dense(
    "batch_normalization_plain",
    "BatchNormalization",
    (3,),
    center=False,
    scale=False,
    epsilon=0.1,
    momentum=0.9,
)
after_dense(
    "batch_normalization_regularized",
    "BatchNormalization",
    (3,),
    gamma_regularizer=L2,
    beta_regularizer=L1,
    gamma_constraint=NON_NEG,
    momentum=0.9,
)
after_dense("batch_normalization_frozen", "BatchNormalization", (3,), trainable=False)

for class_name, shape, config in (
    ("Dropout", [4], {"rate": 0.5}),
    ("SpatialDropout1D", [3, 2], {"rate": 0.5}),
    ("SpatialDropout2D", [2, 2, 2], {"rate": 0.5}),
    ("SpatialDropout3D", [2, 2, 1, 2], {"rate": 0.5}),
    ("GaussianNoise", [4], {"stddev": 0.5}),
    ("GaussianDropout", [4], {"rate": 0.5}),
    ("AlphaDropout", [4], {"rate": 0.5}),
):
    CASES[f"inference_{class_name}"] = [layer(class_name, input_shape=shape, **config)]

CASES["frozen_middle"] = [
    layer("Dense", units=3, activation="tanh", input_shape=[4]),
    layer("Dense", units=3, activation="tanh", trainable=False, kernel_regularizer=L2),
    layer("Dense", units=2),
]
CASES["frozen_first"] = [
    layer("Dense", units=3, activation="tanh", input_shape=[4], trainable=False),
    layer("Dense", units=2),
]
CASES["nested"] = [
    layer(
        "Sequential",
        layers=[
            layer("Dense", units=4, activation="tanh", input_shape=[3]),
            layer("Dense", units=3),
        ],
    ),
    layer("Dense", units=2),
]
CASES["nested_order"] = [
    layer("Dense", units=3, input_shape=[4]),
    layer(
        "Sequential",
        layers=[
            layer("Dense", units=3, input_shape=[3]),
            layer("BatchNormalization", momentum=0.9),
            layer("Dense", units=2, trainable=False),
            layer("Dense", units=2),
        ],
    ),
]
CASES["stack"] = [
    layer("Dense", units=6, input_shape=[5], use_bias=False, kernel_regularizer=L2),
    layer("BatchNormalization", momentum=0.9),
    layer("LeakyReLU", alpha=0.1),
    layer("Reshape", target_shape=[2, 3]),
    layer("Permute", dims=[2, 1]),
    layer("Dense", units=2, activation="tanh", activity_regularizer=SMALL_L1_L2),
    layer("Flatten"),
    layer("PReLU"),
    layer("Dense", units=3, activation="softmax", kernel_constraint=MAX_NORM),
]
