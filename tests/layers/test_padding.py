import numpy as np
import pytest

from minikeras import backend as K
from minikeras.engine import Context
from minikeras.layers import (
    Activation,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
)
from minikeras.layers.padding import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from minikeras.models import Sequential
from minikeras.testing import check_gradients

from .checks import check_layer, run, sample

FORMATS = ["channels_last", "channels_first"]
PADDINGS = [ZeroPadding1D, ZeroPadding2D, ZeroPadding3D]
CROPPINGS = [Cropping1D, Cropping2D, Cropping3D]

# An argument, and the margins that it stands for.
FORMS = [
    (1, 0, ((0, 0),)),
    (1, 2, ((2, 2),)),
    (1, (1, 2), ((1, 2),)),
    (1, [0, 3], ((0, 3),)),
    (1, np.int64(1), ((1, 1),)),
    (2, 0, ((0, 0), (0, 0))),
    (2, 2, ((2, 2), (2, 2))),
    (2, (1, 2), ((1, 1), (2, 2))),
    (2, [[1, 0], [2, 3]], ((1, 0), (2, 3))),
    (2, (1, (0, 2)), ((1, 1), (0, 2))),
    (2, np.array([1, 2]), ((1, 1), (2, 2))),
    (3, 1, ((1, 1), (1, 1), (1, 1))),
    (3, (0, 1, 2), ((0, 0), (1, 1), (2, 2))),
    (3, ((1, 0), (0, 1), (2, 1)), ((1, 0), (0, 1), (2, 1))),
]

BAD_FORMS = [
    (1, -1),
    (1, (0, -1)),
    (1, (1, 2, 3)),
    (1, ((1, 2),)),
    (1, 1.5),
    (1, "11"),
    (1, True),
    (1, None),
    (2, -1),
    (2, ((0, 0), (0, -1))),
    (2, (1,)),
    (2, (1, 2, 3)),
    (2, ((1, 2), (1, 2, 3))),
    (2, (1.0, 2)),
    (2, {"top_pad": 1, "left_pad": 1}),
    (2, np.array(1)),
    (2, ()),
    (3, (1, 2)),
    (3, ((1, 1), (1, 1))),
    (3, (1, 1, -1)),
]


def input_shape(margins):
    """A shape from which the margins leave something, another size of each axis."""
    return (2, *(1 + axis + sum(pair) for axis, pair in enumerate(margins)), 2)


def formats(rank):
    return ["channels_last"] if rank == 1 else FORMATS


def arranged(axes, data_format):
    """Something for each axis, given channels last, as `data_format` has it."""
    batch, *spatial, channels = axes
    if data_format == "channels_last":
        return (batch, *spatial, channels)
    return (batch, channels, *spatial)


def make(cls, argument, data_format):
    return cls(argument) if cls.rank == 1 else cls(argument, data_format=data_format)


CASES = [(*form, data_format) for form in FORMS for data_format in formats(form[0])]


@pytest.mark.parametrize(("rank", "argument", "margins", "data_format"), CASES)
def test_padding_does_what_every_layer_does(rank, argument, margins, data_format):
    shape = arranged(input_shape(margins), data_format)
    layer = check_layer(make(PADDINGS[rank - 1], argument, data_format), shape)
    assert layer.padding == margins
    x = sample(shape)
    pads = arranged([(0, 0), *margins, (0, 0)], data_format)
    expected = np.pad(x, pads)
    dy = sample(expected.shape)
    y, dx, _ = run(layer, x, dy=dy)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, dy[tuple(slice(a, -b or None) for a, b in pads)])


@pytest.mark.parametrize(("rank", "argument", "margins", "data_format"), CASES)
def test_cropping_does_what_every_layer_does(rank, argument, margins, data_format):
    shape = arranged(input_shape(margins), data_format)
    layer = check_layer(make(CROPPINGS[rank - 1], argument, data_format), shape)
    assert layer.cropping == margins
    x = sample(shape)
    pads = arranged([(0, 0), *margins, (0, 0)], data_format)
    expected = x[tuple(slice(a, -b or None) for a, b in pads)]
    dy = sample(expected.shape)
    y, dx, _ = run(layer, x, dy=dy)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(dx, np.pad(dy, pads))


@pytest.mark.parametrize(("cls", "name"), [(ZeroPadding2D, "padding"), (Cropping2D, "cropping")])
def test_the_order_of_sides(cls, name):
    """Top, bottom, left, right."""
    layer = cls(((1, 2), (3, 4)))
    shapes = {"padding": (None, 13, 17, 1), "cropping": (None, 7, 3, 1)}
    assert layer.compute_output_shape((None, 10, 10, 1)) == shapes[name]
    x = np.arange(100.0).reshape(1, 10, 10, 1)
    y = layer(x)
    if name == "padding":
        assert np.argwhere(y[0, ..., 0])[0].tolist() == [1, 4]  # x[0, 0] is 0, x[0, 1] is not
        assert np.argwhere(y[0, ..., 0])[-1].tolist() == [10, 12]
    else:
        assert y[0, 0, 0, 0] == x[0, 1, 3, 0]
        assert y[0, -1, -1, 0] == x[0, 7, 5, 0]


def test_what_needs_no_copy_is_a_view():
    x = sample((2, 5, 6, 3))
    y, _ = Cropping2D(1).forward(x, Context())
    assert np.shares_memory(x, y)
    dy = np.ones((2, 7, 8, 3), "float32")
    dx = ZeroPadding2D(1).backward(dy, None, Context())
    assert np.shares_memory(dx, dy)
    assert dx.flags.writeable


# Defaults and configurations, from Keras 2.2.4.


@pytest.mark.parametrize(
    ("layer", "config"),
    [
        (ZeroPadding1D, {"padding": (1, 1)}),
        (ZeroPadding2D, {"padding": ((1, 1), (1, 1)), "data_format": "channels_last"}),
        (ZeroPadding3D, {"padding": ((1, 1), (1, 1), (1, 1)), "data_format": "channels_last"}),
        (Cropping1D, {"cropping": (1, 1)}),
        (Cropping2D, {"cropping": ((0, 0), (0, 0)), "data_format": "channels_last"}),
        (Cropping3D, {"cropping": ((1, 1), (1, 1), (1, 1)), "data_format": "channels_last"}),
    ],
)
def test_defaults_and_config(layer, config):
    made = layer(name="margins")
    assert made.get_config() == {"name": "margins", "trainable": True, **config}


@pytest.mark.parametrize("cls", [*PADDINGS[1:], *CROPPINGS[1:]])
def test_follows_the_global_data_format(cls):
    K.set_image_data_format("channels_first")
    assert cls().data_format == "channels_first"
    assert cls(data_format="channels_last").data_format == "channels_last"


def test_a_sequence_has_its_channels_last_whatever_the_global_data_format():
    K.set_image_data_format("channels_first")
    assert ZeroPadding1D(2).compute_output_shape((None, 3, 4)) == (None, 7, 4)
    assert Cropping1D(1).compute_output_shape((None, 3, 4)) == (None, 1, 4)


@pytest.mark.parametrize("data_format", FORMATS)
def test_unknown_sizes(data_format):
    shape = arranged((None, None, 5, None), data_format)
    padding = ZeroPadding2D(((1, 2), (0, 1)), data_format=data_format)
    assert padding.ensure_built(shape) == arranged((None, None, 6, None), data_format)
    assert padding(np.ones(arranged((2, 3, 5, 1), data_format))).shape == arranged(
        (2, 6, 6, 1), data_format
    )
    cropping = Cropping2D(((1, 2), (0, 1)), data_format=data_format)
    assert cropping.ensure_built(shape) == arranged((None, None, 4, None), data_format)
    for rows in (4, 7):
        x = np.ones(arranged((2, rows, 5, 1), data_format))
        assert cropping(x).shape == arranged((2, rows - 3, 4, 1), data_format)


def test_an_empty_batch():
    assert ZeroPadding2D(1)(np.zeros((0, 3, 4, 2))).shape == (0, 5, 6, 2)
    assert Cropping2D(1)(np.zeros((0, 3, 4, 2))).shape == (0, 1, 2, 2)


# Errors


@pytest.mark.parametrize(("rank", "argument"), BAD_FORMS)
def test_bad_margins(rank, argument):
    forms = [
        r"an int or a tuple \(start, end\)",
        r"an int, a tuple \(height, width\) or \(\(top, bottom\), \(left, right\)\)",
        r"an int, a tuple of 3 ints or a tuple of 3 tuples \(before, after\)",
    ][rank - 1]
    for cls, name in ((PADDINGS[rank - 1], "padding"), (CROPPINGS[rank - 1], "cropping")):
        message = rf"\({cls.__name__}\): {name} must be {forms}, none of them negative; got "
        with pytest.raises(ValueError, match=f"^Layer '.*_1' {message}"):
            cls(argument)


@pytest.mark.parametrize(
    ("layer", "shape", "sizes"),
    [
        (Cropping1D(2), (None, 4, 3), r"\(0,\)"),
        (Cropping1D((1, 4)), (None, 3, 3), r"\(-2,\)"),
        (Cropping2D((1, (0, 5))), (None, 4, 5, 1), r"\(2, 0\)"),
        (Cropping2D((1, (0, 5)), data_format="channels_first"), (None, 1, 4, 5), r"\(2, 0\)"),
        (Cropping3D(), (None, 2, 3, None, 1), r"\(0, 1, None\)"),
    ],
)
def test_cropping_everything_is_an_error_at_build(layer, shape, sizes):
    message = (
        rf"Layer '{layer.name}' \({type(layer).__name__}\): cropping=\(.*\) leaves nothing of an "
        rf"input of shape \({', '.join(map(str, shape))}\): .* would have the sizes {sizes}\. Crop"
    )
    with pytest.raises(ValueError, match=message):
        layer.ensure_built(shape)


def test_cropping_everything_of_a_size_that_was_not_known():
    model = Sequential([Cropping1D((1, 3), input_shape=(None, 2))])
    assert model.predict(np.zeros((1, 5, 2))).shape == (1, 1, 2)
    for steps in (4, 3, 2):
        with pytest.raises(ValueError, match=rf"leaves nothing of an input of shape \(1, {steps}"):
            model.predict(np.zeros((1, steps, 2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ZeroPadding2D(data_format="first"), ValueError, r"'zero_padding2d_1' .*data_form"),
        (
            lambda: Cropping3D(data_format="first"),
            ValueError,
            r"'cropping3d_1' \(Cropping3D\): dat",
        ),
        (lambda: ZeroPadding1D(data_format="channels_last"), TypeError, "data_format"),
        (lambda: Cropping1D(data_format="channels_last"), TypeError, "data_format"),
        (lambda: ZeroPadding1D().ensure_built((None, 3)), ValueError, "expected ndim=3 .*ndim=2"),
        (lambda: ZeroPadding2D().ensure_built((None, 3, 3)), ValueError, "expected ndim=4"),
        (lambda: ZeroPadding3D().ensure_built((None, 3, 3, 1)), ValueError, "expected ndim=5"),
        (lambda: Cropping1D().ensure_built((None, 3, 3, 1)), ValueError, "expected ndim=3"),
        (lambda: Cropping2D().ensure_built((None, 3, 3)), ValueError, "expected ndim=4"),
        (lambda: Cropping3D().ensure_built((None, 3, 3, 1)), ValueError, "expected ndim=5"),
    ],
)
def test_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


NEIGHBOURS = {
    "Activation": lambda **kw: Activation("tanh"),
    "AveragePooling2D": lambda **kw: AveragePooling2D(2, **kw),
    "BatchNormalization": lambda **kw: BatchNormalization(),
    "Conv2D": lambda **kw: Conv2D(3, 2, activation="tanh", **kw),
    "Dense": lambda **kw: Dense(3, activation="tanh"),
}


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("name", NEIGHBOURS)
def test_gradients_find_their_way_through_layers_that_are_given_views(name, data_format):
    neighbour = NEIGHBOURS[name]
    model = Sequential(
        [
            neighbour(data_format=data_format),
            ZeroPadding2D((1, (0, 2)), data_format=data_format),
            Dense(3, activation="tanh"),
            Cropping2D(((1, 0), (0, 1)), data_format=data_format),
            neighbour(data_format=data_format),
            Flatten(data_format),
            Dense(1),
        ]
    )
    check_gradients(model, input_shape=(2, 4, 4, 4), training=True)
