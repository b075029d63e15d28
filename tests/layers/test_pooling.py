import numpy as np
import pytest

from minikeras import backend as K
from minikeras.engine import Context
from minikeras.layers import pooling
from minikeras.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from minikeras.testing import check_gradients

from .checks import agree, check_layer, run, sample

MAX = [MaxPooling1D, MaxPooling2D, MaxPooling3D]
AVERAGE = [AveragePooling1D, AveragePooling2D, AveragePooling3D]
GLOBAL_MAX = [GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D]
GLOBAL_AVERAGE = [GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D]
ALL = [*MAX, *AVERAGE, *GLOBAL_MAX, *GLOBAL_AVERAGE]
SHAPES = {1: (2, 7, 3), 2: (2, 5, 6, 3), 3: (2, 4, 5, 3, 2)}


def axes_of(cls):
    return cls.spatial_axes


def channels_first(shape):
    return (shape[0], shape[-1], *shape[1:-1])


# A window


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "same"},
        {"pool_size": 3, "strides": 2, "padding": "SAME"},
        {"pool_size": 3, "strides": 1},
        {"pool_size": 2, "strides": 3},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [*MAX, *AVERAGE])
def test_pooling_does_what_every_layer_does(cls, options, data_format):
    shape = SHAPES[axes_of(cls)]
    if data_format == "channels_first":
        shape = channels_first(shape)
    check_layer(cls(data_format=data_format, **options), shape)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("cls", [*GLOBAL_MAX, *GLOBAL_AVERAGE])
def test_global_pooling_does_what_every_layer_does(cls, data_format):
    shape = SHAPES[axes_of(cls)]
    if data_format == "channels_first":
        shape = channels_first(shape)
    layer = check_layer(cls(data_format=data_format), shape)
    channels = shape[1] if data_format == "channels_first" else shape[-1]
    assert layer.output_shape == (None, channels)


@pytest.mark.parametrize(
    ("layer", "shape", "result"),
    [
        (MaxPooling1D(), (7, 3), (3, 3)),
        (MaxPooling1D(3), (7, 3), (2, 3)),
        (MaxPooling1D(3, 1), (7, 3), (5, 3)),
        (MaxPooling1D(2, padding="same"), (7, 3), (4, 3)),
        (MaxPooling1D(2, data_format="channels_first"), (7, 3), (7, 1)),
        (MaxPooling1D(5, padding="same"), (2, 3), (1, 3)),
        (MaxPooling1D(), (None, 3), (None, 3)),
        (MaxPooling2D(), (7, 6, 3), (3, 3, 3)),
        (MaxPooling2D((3, 2), (2, 1)), (7, 6, 3), (3, 5, 3)),
        (MaxPooling2D([3, 2], [2, 1], "same"), (7, 6, 3), (4, 6, 3)),
        (MaxPooling2D(data_format="channels_first"), (7, 6, 4), (7, 3, 2)),
        (MaxPooling2D(), (None, None, 3), (None, None, 3)),
        (MaxPooling3D(), (7, 6, 4, 3), (3, 3, 2, 3)),
        (MaxPooling3D((1, 2, 4)), (7, 6, 4, 3), (7, 3, 1, 3)),
        (AveragePooling2D(3, 2, "same"), (7, 6, 3), (4, 3, 3)),
    ],
    ids=str,
)
def test_output_shape(layer, shape, result):
    assert layer.ensure_built((None, *shape)) == (None, *result)


def test_the_results_of_a_small_image():
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    assert MaxPooling2D()(x).ravel().tolist() == [5, 7, 13, 15]
    assert MaxPooling2D(3, 2, "same")(x).ravel().tolist() == [10, 11, 14, 15]
    assert AveragePooling2D(3, 2, "same")(x).ravel().tolist() == [5, 6.5, 11, 12.5]
    assert AveragePooling2D((1, 4))(x).ravel().tolist() == [1.5, 5.5, 9.5, 13.5]


@pytest.mark.parametrize("cls", ALL)
def test_channels_first_gives_what_channels_last_gives(cls):
    x = sample(SHAPES[axes_of(cls)])
    last = run(cls(data_format="channels_last"), x, training=True)
    dy = sample(last[0].shape, seed=2)
    moved = dy if dy.ndim == 2 else np.moveaxis(dy, -1, 1)
    first = run(cls(data_format="channels_first"), np.moveaxis(x, -1, 1), moved, training=True)
    y = first[0] if dy.ndim == 2 else np.moveaxis(first[0], 1, -1)
    agree((y, np.moveaxis(first[1], 1, -1), []), last)


@pytest.mark.parametrize("cls", ALL)
def test_layers_over_images_follow_the_global_data_format(cls):
    K.set_image_data_format("channels_first")
    expected = "channels_last" if axes_of(cls) == 1 else "channels_first"
    assert cls().data_format == expected
    assert cls(data_format=None).data_format == "channels_first"
    assert cls(data_format="channels_last").data_format == "channels_last"


@pytest.mark.parametrize("cls", [*MAX, *AVERAGE])
def test_configuration(cls):
    axes = axes_of(cls)
    layer = cls(pool_size=3, padding="same", name="pool")
    assert layer.get_config() == {
        "name": "pool",
        "trainable": True,
        "pool_size": (3,) * axes,
        "strides": (3,) * axes,
        "padding": "same",
        "data_format": "channels_last",
    }
    assert cls().pool_size == cls().strides == (2,) * axes
    assert cls(3, 2).strides == (2,) * axes


@pytest.mark.parametrize("cls", MAX)
def test_max_pooling_keeps_one_byte_for_each_result_in_training_and_nothing_else(cls):
    x = sample(SHAPES[axes_of(cls)])
    layer = cls()
    y, (source, index) = layer.forward(x, Context(training=True))
    assert np.shares_memory(source, x)
    assert (index.shape, index.dtype) == (y.shape, np.uint8)
    _, (source, index) = layer.forward(x, Context())
    assert np.shares_memory(source, x)
    assert index is None


@pytest.mark.parametrize("cls", MAX)
def test_gradients_outside_of_training_are_those_of_training(cls):
    x = np.round(sample(SHAPES[axes_of(cls)]))
    agree(run(cls(), x), run(cls(), x, training=True), rtol=0)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize("training", [False, True])
def test_no_gradient_is_computed_that_nobody_needs(cls, training):
    x = sample(SHAPES[axes_of(cls)])
    layer, ctx = cls(), Context(training=training)
    y, residual = layer.forward(x, ctx)
    ctx.needs_input_gradient = False
    assert layer.backward(np.ones_like(y), residual, ctx) is None


@pytest.mark.parametrize("cls", ALL)
def test_float64_stays_float64(cls):
    x = sample(SHAPES[axes_of(cls)], "float64")
    y, dx, _ = run(cls(dtype="float64"), x, training=True)
    assert (y.dtype, dx.dtype) == ("float64", "float64")


def test_a_float32_layer_keeps_its_type_where_windows_are_cut_off():
    assert AveragePooling2D(3, 2, "same")(sample((1, 4, 4, 2))).dtype == "float32"


@pytest.mark.parametrize("cls", ALL)
def test_an_empty_batch(cls):
    shape = SHAPES[axes_of(cls)]
    y, dx, _ = run(cls(), np.zeros((0, *shape[1:]), "float32"), training=True)
    assert (y.shape, dx.shape) == (cls().compute_output_shape((0, *shape[1:])), (0, *shape[1:]))


def test_short_and_long_names():
    for axes in "123":
        for long, short in [("Max", "Max"), ("Average", "Avg")]:
            for start in ["", "Global"]:
                cls = getattr(pooling, f"{start}{long}Pooling{axes}D")
                assert getattr(pooling, f"{start}{short}Pool{axes}D") is cls


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MaxPooling2D(0),
            r"'max_pooling2d_1' \(MaxPooling2D\): pool_size must be greater than 0, got 0",
        ),
        (lambda: MaxPooling2D((2, -1)), r"pool_size must be greater than 0, got \(2, -1\)"),
        (lambda: MaxPooling2D((2, 2, 2)), r"pool_size must be an int or a tuple of 2 ints, got"),
        (lambda: MaxPooling2D(2.5), "pool_size must be an int or a tuple of 2 ints, got 2.5"),
        (lambda: MaxPooling2D(None), "pool_size must be an int or a tuple of 2 ints, got None"),
        (lambda: MaxPooling1D((2, 2)), "pool_size must be an int or a tuple of 1 ints, got"),
        (lambda: AveragePooling3D(strides=0), "strides must be greater than 0, got 0"),
        (lambda: AveragePooling3D(strides=(1, 2)), "strides must be an int or a tuple of 3 ints"),
        (lambda: MaxPooling2D(padding="causal"), "padding must be 'valid' or 'same', got 'causal'"),
        (lambda: MaxPooling1D(padding=1), "padding must be 'valid' or 'same', got 1"),
        (lambda: MaxPooling2D(data_format="last"), r"\(MaxPooling2D\): .*data_format must be one"),
        (lambda: GlobalMaxPooling1D("first"), r"\(GlobalMaxPooling1D\): .*data_format must be one"),
        (
            lambda: MaxPooling2D().ensure_built((None, 1, 8, 3)),
            r"'max_pooling2d_1' \(MaxPooling2D\): a window of \(2, 2\) does not fit into an input "
            r"of shape \(None, 1, 8, 3\)",
        ),
        (
            lambda: AveragePooling1D(5, data_format="channels_first").ensure_built((None, 9, 4)),
            r"a window of \(5,\) does not fit into an input of shape \(None, 9, 4\)",
        ),
        (lambda: MaxPooling1D()(np.zeros((1, 1, 2))), r"input of shape \(None, 1, 2\)"),
        (
            lambda: MaxPooling2D().ensure_built((None, 4, 4)),
            "expected ndim=4 .* found ndim=3",
        ),
        (
            lambda: GlobalAveragePooling3D().ensure_built((None, 4, 4)),
            "expected ndim=5 .* found ndim=3",
        ),
        (
            lambda: GlobalMaxPooling2D().ensure_built((None, 4, 0, 2)),
            r"\(GlobalMaxPooling2D\): an input of shape "
            r"\(None, 4, 0, 2\)",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_input_that_turns_out_too_short_is_refused():
    layer = MaxPooling1D(4)
    layer.ensure_built((None, None, 2))
    with pytest.raises(ValueError, match=r"a window of \(4,\) does not fit .* \(1, 3, 2\)"):
        layer.propagate(np.zeros((1, 3, 2), "float32"), Context())


# Everything, and masks


@pytest.mark.parametrize("cls", GLOBAL_MAX)
def test_global_max(cls):
    x = sample(SHAPES[axes_of(cls)])
    axes = tuple(range(1, x.ndim - 1))
    np.testing.assert_array_equal(cls()(x), x.max(axis=axes))


@pytest.mark.parametrize("cls", GLOBAL_AVERAGE)
def test_global_average(cls):
    x = sample(SHAPES[axes_of(cls)])
    axes = tuple(range(1, x.ndim - 1))
    np.testing.assert_allclose(cls()(x), x.mean(axis=axes), rtol=1e-5, atol=1e-7)


def test_global_max_shares_the_gradient_among_equal_entries():
    x = np.array([[[2.0], [2.0], [1.0]]])
    _, dx, _ = run(GlobalMaxPooling1D(dtype="float64"), x, np.ones((1, 1)))
    assert dx.ravel().tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("dtype", [bool, "float32", int])
def test_global_average_is_over_the_steps_that_the_mask_lets_through(dtype, data_format):
    layer = GlobalAveragePooling1D(data_format)
    x, mask = sample((3, 4, 2)), np.array([[1, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]], dtype)
    source = x if data_format == "channels_last" else x.transpose(0, 2, 1)
    layer.ensure_built((None, *source.shape[1:]))
    ctx = Context(mask=mask)
    y, residual = layer.propagate(source, ctx)
    expected = np.stack(
        [row[keep.astype(bool)].mean(axis=0) for row, keep in zip(x, mask, strict=True)]
    )
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    assert ctx.mask is None
    assert y.dtype == "float32"

    dy = sample((3, 2), seed=2)
    dx = layer.backpropagate(dy.copy(), residual, ctx)
    dx = dx if data_format == "channels_last" else dx.transpose(0, 2, 1)
    weights = mask / mask.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(dx, weights[:, :, None] * dy[:, None], rtol=1e-5)


def test_the_average_of_no_steps_at_all_is_0():
    layer, ctx = GlobalAveragePooling1D(), Context(mask=np.zeros((2, 3), bool))
    y, residual = layer.propagate(sample((2, 3, 4)), ctx)
    assert (y == 0).all()
    assert (layer.backpropagate(np.ones_like(y), residual, ctx) == 0).all()


def test_a_mask_of_another_shape_is_refused():
    layer = GlobalAveragePooling1D()
    with pytest.raises(ValueError, match=r"mask must have the shape .* \(2, 3\), got \(2, 4\)"):
        layer(sample((2, 3, 4)), mask=np.ones((2, 4), bool))


@pytest.mark.parametrize("layer", [GlobalMaxPooling1D(), MaxPooling1D(), AveragePooling1D()])
def test_layers_that_can_not_use_a_mask_drop_it(layer):
    with pytest.warns(UserWarning, match="does not support masking"):
        layer(sample((2, 4, 3)), mask=np.ones((2, 4), bool))


def test_gradients_find_their_way_through_a_stack_of_them():
    from minikeras.layers import Dense
    from minikeras.models import Sequential

    model = Sequential(
        [
            Dense(4, input_shape=(6, 8, 3)),
            MaxPooling2D(),
            AveragePooling2D(2, 1, "same"),
            MaxPooling2D((3, 2), (1, 2), "same"),
            GlobalAveragePooling2D(),
            Dense(2),
        ]
    )
    check_gradients(model, input_shape=(3, 6, 8, 3), training=True)


@pytest.mark.parametrize("cls", [GlobalMaxPooling1D, GlobalAveragePooling1D])
def test_a_size_that_turns_out_to_be_0(cls):
    layer = cls()
    layer.ensure_built((None, None, 3))
    with pytest.raises(ValueError, match=r"an input of shape \(1, 0, 3\) is empty"):
        layer.forward(np.zeros((1, 0, 3)), Context())
