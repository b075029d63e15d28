"""The networks of convolution.npz: convolution, pooling, padding and resampling, all options.

In front of the layer is a Dense, whose weights show the derivative by the layer's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .configs import Config, Layers, layer
from .layer_cases import L1, L1_L2, L2, MAX_NORM, MIN_MAX, NON_NEG, SMALL_L1_L2, UNIT_NORM

CASES: dict[str, Layers] = {}
# Cases whose numbers and weights are -1, 0 and 1, so that values in a window tie.
TIES: list[str] = []

SEQUENCE, IMAGE, VOLUME = (10,), (7, 6), (4, 5, 3)
FIRST = "channels_first"


def over(constraint: Config, *axes: int) -> Config:
    """A constraint on norms over the given axes."""
    return {**constraint, "config": {**constraint["config"], "axis": list(axes)}}


def one(
    name: str, class_name: str, sizes: Sequence[int], /, *, channels: int = 2, **config: Any
) -> None:
    """Dense, then the layer."""
    shape = [*sizes, channels]
    if config.get("data_format") == FIRST:
        shape = [channels, *sizes]
    dense = layer("Dense", units=shape[-1], input_shape=[*shape[:-1], 2])
    CASES[name] = [dense, layer(class_name, **config)]


def both(name: str, class_name: str, sizes: Sequence[int], /, **config: Any) -> None:
    """The layer with the channels last, and with the channels first."""
    one(name, class_name, sizes, **config)
    one(f"{name}_channels_first", class_name, sizes, **config, data_format=FIRST)


def conv1d() -> None:
    """Conv1D."""

    def case(name: str, sizes: Sequence[int] = SEQUENCE, put: Any = one, **config: Any) -> None:
        put(f"conv1d_{name}", "Conv1D", sizes, **{"filters": 3, "kernel_size": 3, **config})

    case("valid", put=both)
    case("same_even_kernel", kernel_size=4, padding="same", activation="relu")
    case("causal", padding="causal")
    case("causal_dilated", padding="causal", dilation_rate=2, activation="tanh")
    case("causal_strided", padding="causal", strides=2)
    case("valid_stride_over_kernel", kernel_size=2, strides=3)
    case("same_strided", padding="same", strides=2, put=both)
    case("same_strided_odd", (9,), kernel_size=2, padding="same", strides=[3])
    case("valid_dilated", dilation_rate=2)
    case("same_dilated", padding="same", dilation_rate=[3], put=both)
    case("kernel_1", kernel_size=1, use_bias=False, activation="tanh")
    case("kernel_1_strided", kernel_size=1, strides=2, padding="same")
    case("as_long_as_input", (4,), kernel_size=[4])
    case("same_longer_than_input", (4,), kernel_size=7, padding="same")
    case("softmax", activation="softmax", put=both)
    case(
        "regularized",
        kernel_regularizer=L2,
        bias_regularizer=L1_L2,
        activity_regularizer=SMALL_L1_L2,
    )
    case("constrained", kernel_constraint=over(MAX_NORM, 0, 1), bias_constraint=NON_NEG)


def conv2d() -> None:
    """Conv2D."""

    def case(name: str, sizes: Sequence[int] = IMAGE, put: Any = one, **config: Any) -> None:
        put(f"conv2d_{name}", "Conv2D", sizes, **{"filters": 3, "kernel_size": 3, **config})

    case("valid", put=both)
    case("same", padding="same", activation="tanh", put=both)
    case("valid_unequal_kernel", kernel_size=[2, 3], activation="sigmoid")
    case("same_even_kernel", kernel_size=[4, 2], padding="same", activation="elu", put=both)
    case("valid_strided", strides=2)
    case("same_strided", padding="same", strides=[2, 2], put=both)
    case("valid_unequal_strides", strides=[2, 1])
    case("same_unequal_strides", kernel_size=2, padding="same", strides=[1, 3])
    case("same_strided_even_kernel", (8, 5), kernel_size=[4, 2], padding="same", strides=[3, 2])
    case("valid_stride_over_kernel", kernel_size=[2, 1], strides=[3, 2])
    case("valid_dilated", dilation_rate=2, put=both)
    case("same_dilated", padding="same", dilation_rate=[1, 2])
    case("valid_unequal_dilation", kernel_size=[2, 3], dilation_rate=[3, 2])
    case("same_row", kernel_size=[1, 5], padding="same")
    case("valid_column", kernel_size=[7, 1])
    case("as_large_as_input", (4, 3), kernel_size=[4, 3])
    case("same_larger_than_input", (4, 3), kernel_size=[7, 2], padding="same")
    case("1x1", kernel_size=1, put=both)
    case("1x1_valid_strided", kernel_size=1, strides=2)
    case("1x1_same_strided", kernel_size=1, strides=[2, 3], padding="same", put=both)
    case("softmax", kernel_size=2, activation="softmax", put=both)
    case("one_channel", channels=1, filters=1, activation="relu")
    case("no_bias", use_bias=False, activation="hard_sigmoid")
    case(
        "regularized",
        kernel_regularizer=L1_L2,
        bias_regularizer=L1,
        activity_regularizer=SMALL_L1_L2,
        put=both,
    )
    case("max_norm", kernel_constraint=over(MAX_NORM, 0, 1, 2), bias_constraint=NON_NEG)
    case("unit_norm", kernel_constraint=over(UNIT_NORM, 0, 1))
    case("min_max_norm", kernel_constraint=over(MIN_MAX, 0, 1, 2))
    case("non_neg", kernel_constraint=NON_NEG)
    CASES["conv2d_at_the_input"] = [
        layer("Conv2D", filters=2, kernel_size=3, strides=2, input_shape=[7, 6, 2]),
    ]
    CASES["conv2d_frozen"] = [
        layer("Conv2D", filters=2, kernel_size=2, activation="tanh", input_shape=[5, 4, 2]),
        layer("Conv2D", filters=3, kernel_size=2, activation="tanh", trainable=False),
        layer("Conv2D", filters=2, kernel_size=2),
    ]


def conv3d() -> None:
    """Conv3D."""

    def case(name: str, sizes: Sequence[int] = VOLUME, put: Any = one, **config: Any) -> None:
        put(f"conv3d_{name}", "Conv3D", sizes, **{"filters": 2, "kernel_size": 2, **config})

    case("valid", put=both)
    case("same", kernel_size=[3, 2, 1], padding="same", activation="relu")
    case("same_strided", kernel_size=3, strides=[2, 1, 2], padding="same", put=both)
    case("valid_strided", strides=[1, 2, 1], use_bias=False)
    case("valid_dilated", dilation_rate=[1, 2, 1], activation="tanh")
    case("same_dilated", dilation_rate=2, padding="same", put=both)
    case("1x1x1", kernel_size=1)
    case("softmax", activation="softmax", put=both)
    case("regularized", kernel_regularizer=L2, bias_regularizer=L1, padding="same")
    case("constrained", kernel_constraint=over(UNIT_NORM, 0, 1, 2, 3), bias_constraint=NON_NEG)


def transposed() -> None:
    """Conv2DTranspose and Conv3DTranspose."""

    def case(name: str, put: Any = one, **config: Any) -> None:
        config = {"filters": 2, "kernel_size": 3, **config}
        put(f"conv2d_transpose_{name}", "Conv2DTranspose", (4, 3), channels=3, **config)

    case("valid")
    case("valid_strided", strides=2, activation="tanh", put=both)
    case("same", padding="same")
    case("same_strided", padding="same", strides=2, put=both)
    case("same_even_kernel", kernel_size=[4, 2], padding="same", strides=[2, 3], activation="relu")
    case("valid_unequal_strides", kernel_size=[3, 2], strides=[1, 2])
    case("valid_stride_over_kernel", kernel_size=2, strides=3, activation="sigmoid")
    case("same_stride_over_kernel", kernel_size=2, strides=3, padding="same")
    case("valid_output_padding", strides=2, output_padding=1)
    case("same_output_padding", strides=2, padding="same", output_padding=1, put=both)
    case("same_no_output_padding", strides=2, padding="same", output_padding=0)
    case("unequal_output_padding", strides=[2, 3], padding="same", output_padding=[0, 2])
    case("output_padding_even_kernel", kernel_size=4, strides=2, padding="same", output_padding=1)
    case("valid_dilated", kernel_size=[2, 3], dilation_rate=2, put=both)
    case("same_dilated", kernel_size=[3, 2], dilation_rate=2, padding="same")
    case("1x1_strided", kernel_size=1, strides=2)
    case("softmax", activation="softmax", put=both)
    case("no_bias", use_bias=False, strides=[1, 2], activation="elu")
    case(
        "regularized",
        kernel_regularizer=L2,
        bias_regularizer=L1_L2,
        activity_regularizer=SMALL_L1_L2,
    )
    case("constrained", kernel_constraint=over(MAX_NORM, 0, 1, 3), bias_constraint=NON_NEG)

    def case3d(name: str, put: Any = one, **config: Any) -> None:
        config = {"filters": 2, "kernel_size": 2, **config}
        put(f"conv3d_transpose_{name}", "Conv3DTranspose", (2, 3, 2), channels=2, **config)

    case3d("valid", kernel_size=[2, 3, 1], activation="tanh")
    case3d("valid_strided", strides=[1, 2, 2], put=both)
    case3d("same_strided", kernel_size=3, strides=2, padding="same")
    case3d(
        "output_padding",
        kernel_size=3,
        strides=[2, 1, 2],
        padding="same",
        output_padding=[1, 0, 1],
        put=both,
    )
    case3d("valid_output_padding", strides=2, output_padding=[0, 1, 0], use_bias=False)
    case3d("regularized", kernel_regularizer=L2, kernel_constraint=NON_NEG)


def separable() -> None:
    """DepthwiseConv2D, SeparableConv1D and SeparableConv2D."""

    def depthwise(name: str, put: Any = one, **config: Any) -> None:
        put(f"depthwise_{name}", "DepthwiseConv2D", IMAGE, **{"kernel_size": 3, **config})

    depthwise("valid", channels=3, put=both)
    depthwise("same_multiplier", kernel_size=[2, 3], padding="same", depth_multiplier=2, put=both)
    depthwise("same_strided", padding="same", strides=2, put=both)
    depthwise("valid_strided", kernel_size=2, strides=[2, 2], depth_multiplier=3, use_bias=False)
    depthwise("same_dilated", padding="same", dilation_rate=[2, 2], activation="tanh")
    depthwise("1x1", kernel_size=1, activation="relu")
    depthwise("softmax", kernel_size=2, depth_multiplier=2, activation="softmax")
    depthwise(
        "regularized",
        depthwise_regularizer=L1_L2,
        bias_regularizer=L2,
        activity_regularizer=SMALL_L1_L2,
    )
    depthwise("constrained", depthwise_constraint=over(MAX_NORM, 0, 1), bias_constraint=NON_NEG)

    # 2.2.4 gets the shape of its output wrong, so it can't train this one.
    one(
        "inference_depthwise_valid_dilated",
        "DepthwiseConv2D",
        IMAGE,
        kernel_size=3,
        dilation_rate=2,
    )

    for rank, sizes in ((1, SEQUENCE), (2, IMAGE)):

        def case(name: str, put: Any = one, rank: int = rank, sizes: Any = sizes, **config: Any):
            config = {"filters": 3, "kernel_size": 3, **config}
            put(f"separable_conv{rank}d_{name}", f"SeparableConv{rank}D", sizes, **config)

        case("valid", put=both)
        case("same_even_kernel", kernel_size=4, padding="same", activation="tanh")
        case("strided_multiplier", strides=2, padding="same", depth_multiplier=2, put=both)
        case("valid_strided", kernel_size=2, strides=3, use_bias=False)
        case("valid_dilated", dilation_rate=2, depth_multiplier=2)
        case("same_dilated", dilation_rate=2, padding="same", put=both)
        case("softmax", kernel_size=2, activation="softmax")
        case(
            "regularized",
            depthwise_regularizer=L2,
            pointwise_regularizer=L1,
            bias_regularizer=L1_L2,
            activity_regularizer=SMALL_L1_L2,
        )
        case(
            "constrained",
            depthwise_constraint=over(UNIT_NORM, *range(rank)),
            pointwise_constraint=over(MAX_NORM, rank),
            bias_constraint=NON_NEG,
        )
    one(
        "separable_conv2d_unequal",
        "SeparableConv2D",
        IMAGE,
        filters=2,
        kernel_size=[1, 3],
        dilation_rate=[1, 2],
        padding="same",
        activation="relu",
    )


def local() -> None:
    """LocallyConnected1D and LocallyConnected2D."""

    def case1d(name: str, **config: Any) -> None:
        config = {"filters": 2, "kernel_size": 3, **config}
        one(f"local1d_{name}", "LocallyConnected1D", (7,), **config)

    case1d("valid", activation="tanh")
    case1d("strided", strides=2, use_bias=False)
    case1d("stride_over_kernel", kernel_size=[2], strides=[3], activation="softmax")
    case1d("as_long_as_input", kernel_size=7, filters=3)
    case1d(
        "regularized",
        kernel_regularizer=L2,
        bias_regularizer=L1_L2,
        activity_regularizer=SMALL_L1_L2,
    )
    case1d("constrained", kernel_constraint=over(MAX_NORM, 1), bias_constraint=NON_NEG)

    def case2d(name: str, put: Any = one, **config: Any) -> None:
        config = {"filters": 2, "kernel_size": 2, **config}
        put(f"local2d_{name}", "LocallyConnected2D", (5, 4), **config)

    case2d("valid", kernel_size=[2, 3], activation="tanh", put=both)
    case2d("strided", strides=[2, 1], put=both)
    case2d("softmax", kernel_size=3, activation="softmax", put=both)
    case2d("as_large_as_input", kernel_size=[5, 4], filters=3, use_bias=False)
    case2d(
        "regularized",
        strides=2,
        kernel_regularizer=L1,
        bias_regularizer=L2,
        activity_regularizer=SMALL_L1_L2,
    )
    case2d("constrained", strides=2, kernel_constraint=over(UNIT_NORM, 1), bias_constraint=NON_NEG)


def resized() -> None:
    """ZeroPadding, Cropping and UpSampling."""
    one("zero_padding1d", "ZeroPadding1D", (4,), padding=2)
    one("zero_padding1d_unequal", "ZeroPadding1D", (4,), padding=[0, 3])
    both("zero_padding2d", "ZeroPadding2D", (3, 2), padding=1)
    one("zero_padding2d_pair", "ZeroPadding2D", (3, 2), padding=[2, 1])
    both("zero_padding2d_unequal", "ZeroPadding2D", (3, 2), padding=[[1, 0], [2, 3]])
    one("zero_padding3d", "ZeroPadding3D", (2, 1, 2), padding=1)
    one("zero_padding3d_triple", "ZeroPadding3D", (2, 1, 2), padding=[1, 2, 0])
    both("zero_padding3d_unequal", "ZeroPadding3D", (2, 1, 2), padding=[[1, 0], [0, 2], [1, 1]])
    one("cropping1d", "Cropping1D", (6,), cropping=2)
    one("cropping1d_unequal", "Cropping1D", (6,), cropping=[0, 3])
    both("cropping2d", "Cropping2D", IMAGE, cropping=1)
    one("cropping2d_pair", "Cropping2D", IMAGE, cropping=[2, 1])
    both("cropping2d_unequal", "Cropping2D", IMAGE, cropping=[[1, 0], [2, 3]])
    one("cropping3d", "Cropping3D", (4, 3, 3), cropping=1)
    one("cropping3d_triple", "Cropping3D", (4, 3, 3), cropping=[1, 0, 1])
    both("cropping3d_unequal", "Cropping3D", (4, 3, 3), cropping=[[1, 0], [0, 2], [1, 1]])
    one("up_sampling1d", "UpSampling1D", (5,), size=3)
    both("up_sampling2d_nearest", "UpSampling2D", (3, 2), size=[2, 3])
    both("up_sampling2d_bilinear", "UpSampling2D", (4, 3), size=[2, 3], interpolation="bilinear")
    one("up_sampling2d_bilinear_3", "UpSampling2D", (2, 3), size=3, interpolation="bilinear")
    one("up_sampling2d_bilinear_one_row", "UpSampling2D", (1, 4), interpolation="bilinear")
    both("up_sampling3d", "UpSampling3D", (2, 3, 1), size=[2, 1, 3])


def pooled() -> None:
    """Pooling over windows and over everything."""
    for kind in ("Max", "Average"):
        for rank, sizes in ((1, SEQUENCE), (2, IMAGE), (3, (5, 4, 3))):
            pooled_by(f"{kind}Pooling{rank}D", f"{kind.lower()}_pooling{rank}d", rank, sizes)
            name = f"global_{kind.lower()}_pooling{rank}d"
            both(name, f"Global{kind}Pooling{rank}D", (5, 4, 3)[:rank])
    one("max_pooling1d_ties", "MaxPooling1D", SEQUENCE, pool_size=4)
    one("max_pooling2d_ties", "MaxPooling2D", IMAGE)
    one("global_max_pooling1d_ties", "GlobalMaxPooling1D", (8,))
    TIES.extend(name for name in CASES if name.endswith("ties"))


def pooled_by(class_name: str, name: str, rank: int, sizes: Sequence[int]) -> None:
    """One kind of pooling."""

    def case(part: str, put: Any = one, **config: Any) -> None:
        put(f"{name}_{part}", class_name, sizes, **config)

    case("default")
    case("valid_overlapping", pool_size=3, strides=1, put=both)
    case("same_overlapping", pool_size=3, strides=2, padding="same", put=both)
    case("stride_over_pool", pool_size=2, strides=3, padding="same")
    case("odd_same", pool_size=[4, 2, 2][:rank], padding="same", put=both)
    if rank > 1:
        case("unequal_valid", pool_size=[3, 2, 1][:rank], strides=[1, 2, 1][:rank])
        case("unequal_same", pool_size=[3, 2, 1][:rank], strides=[1, 2, 1][:rank], padding="same")
        case("same_stride_1", pool_size=2, strides=1, padding="same")


def large() -> None:
    """Sizes at which an implementation may choose another method. The last layer mixes channels.

    The first makes many channels of a few, which keeps the input small.
    """

    def case(
        name: str, class_name: str, sizes: Sequence[int], channels: int, /, **config: Any
    ) -> None:
        rank = len(sizes)
        first, shape = {}, [*sizes, 2]
        if config.get("data_format") == FIRST:
            first, shape = {"data_format": FIRST}, [2, *sizes]
        mix = {"kernel_size": 1, **first}
        CASES[f"large_{name}"] = [
            layer(f"Conv{rank}D", filters=channels, activation="tanh", input_shape=shape, **mix),
            layer(class_name, **config),
            layer(f"Conv{rank}D", filters=1, **mix),
        ]

    case("conv1d", "Conv1D", (120,), 24, filters=24, kernel_size=5, activation="relu")
    case("conv2d_16", "Conv2D", (20, 20), 16, filters=16, kernel_size=3, activation="relu")
    case("conv2d_32", "Conv2D", (28, 28), 32, filters=32, kernel_size=3, padding="same")
    case(
        "channels_first",
        "Conv2D",
        (16, 17),
        32,
        filters=32,
        kernel_size=3,
        padding="same",
        data_format=FIRST,
    )
    case("conv2d_5x5", "Conv2D", (18, 17), 16, filters=16, kernel_size=5, padding="same")
    case("conv2d_strided", "Conv2D", (21, 22), 16, filters=24, kernel_size=3, strides=2)
    case("conv2d_1x1", "Conv2D", (19, 18), 40, filters=56, kernel_size=1)
    case("conv3d", "Conv3D", (8, 7, 9), 8, filters=12, kernel_size=3, padding="same")
    case(
        "conv2d_transpose",
        "Conv2DTranspose",
        (9, 10),
        16,
        filters=16,
        kernel_size=3,
        strides=2,
        padding="same",
    )
    case("depthwise", "DepthwiseConv2D", (21, 20), 32, kernel_size=3, padding="same")
    case("separable", "SeparableConv2D", (18, 20), 24, filters=32, kernel_size=5, padding="same")
    case("max_pooling2d", "MaxPooling2D", (33, 30), 16, pool_size=3, strides=2)


for family in (conv1d, conv2d, conv3d, transposed, separable, local, resized, pooled, large):
    family()
