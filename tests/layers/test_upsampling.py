import numpy as np
import pytest

from minikeras import backend as K
from minikeras.layers import Dense, Flatten
from minikeras.layers.upsampling import UpSampling1D, UpSampling2D, UpSampling3D
from minikeras.models import Sequential
from minikeras.testing import check_gradients

from .checks import check_layer, run, sample

FORMATS = ["channels_last", "channels_first"]


def arranged(shape, data_format):
    """A shape, given channels last, as `data_format` has it."""
    return shape if data_format == "channels_last" else (shape[0], shape[-1], *shape[1:-1])


# Repeating


@pytest.mark.parametrize("size", [1, 2, 5, np.int32(3)])
def test_1d_does_what_every_layer_does(size):
    layer = check_layer(UpSampling1D(size), (2, 3, 4))
    assert layer.size == (size,)
    x = sample((2, 3, 4))
    np.testing.assert_array_equal(layer(x), x.repeat(size, axis=1))


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("size", [1, [3, 1], (2, 3)])
def test_2d_does_what_every_layer_does(size, data_format, channels):
    shape = arranged((2, 2, 3, channels), data_format)
    layer = check_layer(UpSampling2D(size, data_format=data_format), shape)
    x = sample(shape)
    rows, columns = (size, size) if isinstance(size, int) else size
    axis = 1 if data_format == "channels_last" else 2
    expected = x.repeat(rows, axis).repeat(columns, axis + 1)
    np.testing.assert_array_equal(layer(x), expected)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("size", [2, (1, 2, 3)])
def test_3d_does_what_every_layer_does(size, data_format):
    shape = arranged((2, 2, 3, 1, 3), data_format)
    layer = check_layer(UpSampling3D(size, data_format=data_format), shape)
    expected = x = sample(shape)
    axis = 1 if data_format == "channels_last" else 2
    for factor in (size,) * 3 if isinstance(size, int) else size:
        expected, axis = expected.repeat(factor, axis), axis + 1
    np.testing.assert_array_equal(layer(x), expected)


def test_the_gradient_is_the_sum_over_the_copies():
    layer = UpSampling2D((2, 3))
    layer.ensure_built((None, 2, 2, 1))
    dy = np.arange(24, dtype="float32").reshape(1, 4, 6, 1)
    _, dx, _ = run(layer, sample((1, 2, 2, 1)), dy=dy)
    assert dx[0, :, :, 0].tolist() == [
        [0 + 1 + 2 + 6 + 7 + 8, 3 + 4 + 5 + 9 + 10 + 11],
        [12 + 13 + 14 + 18 + 19 + 20, 15 + 16 + 17 + 21 + 22 + 23],
    ]


# Interpolating


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("size", [1, (3, 1), (2, 3)])
def test_bilinear_does_what_every_layer_does(size, data_format, channels):
    shape = arranged((2, 2, 3, channels), data_format)
    check_layer(UpSampling2D(size, data_format=data_format, interpolation="bilinear"), shape)


# Outputs and gradients that Keras 2.2.4 on TensorFlow gives for this image and these upstream
# gradients. tf-keras gives others: 1, 2, 4, 5 for the first row doubled.
IMAGE = [[1, 5], [2, -3], [4, 0]]
KERAS = {
    (2, 2): (
        [
            [1, 3, 5, 5],
            [1.5, 1.25, 1, 1],
            [2, -0.5, -3, -3],
            [3, 0.75, -1.5, -1.5],
            [4, 2, 0, 0],
            [4, 2, 0, 0],
        ],
        [
            [1.6, -0.6, -0.5, -1.1],
            [0.9, -2.3, 1.7, -0.8],
            [0.3, -0.2, 1.5, -2.1],
            [-0.3, -0.4, 1.1, -1.1],
            [-0.2, -0.9, 0.0, 0.6],
            [-1.1, 1.1, 0.9, 0.5],
        ],
        [[1.175, -2.025], [-0.175, -0.925], [-1.45, 2]],
    ),
    (2, 3): (
        [
            [1, 2.3333335, 3.6666667, 5, 5, 5],
            [1.5, 1.3333334, 1.1666667, 1, 1, 1],
            [2, 0.33333325, -1.3333335, -3, -3, -3],
            [3, 1.4999999, -1.1920929e-07, -1.5, -1.5, -1.5],
            [4, 2.6666665, 1.3333333, 0, 0, 0],
            [4, 2.6666665, 1.3333333, 0, 0, 0],
        ],
        [
            [1.6, -0.6, -0.5, -1.1, 0.9, -2.3],
            [1.7, -0.8, 0.3, -0.2, 1.5, -2.1],
            [-0.3, -0.4, 1.1, -1.1, -0.2, -0.9],
            [0.0, 0.6, -1.1, 1.1, 0.9, 0.5],
            [0.9, -0.7, -0.1, -0.9, -0.3, 0.5],
            [-0.7, -0.4, -0.7, -0.8, -0.7, 0.0],
        ],
        [[1.6666667, -3.466667], [0.45000005, -1.05], [-0.7833333, -2.1166668]],
    ),
    (3, 1): (
        [
            [1, 5],
            [1.3333334, 2.3333333],
            [1.6666667, -0.3333335],
            [2, -3],
            [2.6666667, -1.9999999],
            [3.3333333, -0.9999998],
            [4, 0],
            [4, 0],
            [4, 0],
        ],
        [
            [1.6, -0.6],
            [-0.5, -1.1],
            [0.9, -2.3],
            [1.7, -0.8],
            [0.3, -0.2],
            [1.5, -2.1],
            [-0.3, -0.4],
            [1.1, -1.1],
            [-0.2, -0.9],
        ],
        [[1.5666666, -2.1], [2.8333333, -3.5333333], [1.7000002, -3.8666668]],
    ),
}


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("size", KERAS, ids=str)
def test_bilinear_is_that_of_keras_2_2_4(size, data_format):
    rows, upstream, gradient = KERAS[size]
    x, y, dy, dx = (
        np.array(a, "float32").reshape(arranged((1, *np.shape(a), 1), data_format))
        for a in (IMAGE, rows, upstream, gradient)
    )
    layer = UpSampling2D(size, data_format=data_format, interpolation="bilinear")
    layer.ensure_built(x.shape)
    output, gradient, _ = run(layer, x, dy=dy)
    np.testing.assert_allclose(output, y, atol=5e-7)
    np.testing.assert_allclose(gradient, dx, atol=5e-7)


# Defaults and configurations, from Keras 2.2.4.


@pytest.mark.parametrize(
    ("layer", "config"),
    [
        (UpSampling1D, {"size": 2}),
        (
            UpSampling2D,
            {"size": (2, 2), "data_format": "channels_last", "interpolation": "nearest"},
        ),
        (UpSampling3D, {"size": (2, 2, 2), "data_format": "channels_last"}),
    ],
)
def test_defaults_and_config(layer, config):
    assert layer(name="up").get_config() == {"name": "up", "trainable": True, **config}


def test_follows_the_global_data_format():
    K.set_image_data_format("channels_first")
    for cls in (UpSampling2D, UpSampling3D):
        assert cls().data_format == "channels_first"
        assert cls(data_format="channels_last").data_format == "channels_last"
    assert UpSampling1D().compute_output_shape((None, 3, 4)) == (None, 6, 4)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("data_format", FORMATS)
def test_unknown_sizes(data_format, interpolation):
    layer = UpSampling2D((2, 3), data_format=data_format, interpolation=interpolation)
    shape = arranged((None, None, 5, None), data_format)
    assert layer.ensure_built(shape) == arranged((None, None, 15, None), data_format)
    for rows in (1, 4):
        x = np.ones(arranged((2, rows, 5, 1), data_format))
        np.testing.assert_array_equal(
            layer(x), np.ones(arranged((2, 2 * rows, 15, 1), data_format), "float32")
        )


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_an_empty_batch(interpolation):
    layer = UpSampling2D(interpolation=interpolation)
    layer.ensure_built((None, 3, 4, 2))
    y, dx, _ = run(layer, np.zeros((0, 3, 4, 2), "float32"))
    assert y.shape == (0, 6, 8, 2)
    assert dx.shape == (0, 3, 4, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: UpSampling1D(0), ValueError, r"'up_sampling1d_1' \(UpSampling1D\): size must be"),
        (lambda: UpSampling1D(-1), ValueError, "size must be an int greater than 0, got -1"),
        (lambda: UpSampling1D(2.5), ValueError, r"size must be an int greater than 0, got 2\.5"),
        (lambda: UpSampling1D((2,)), ValueError, r"size must be an int greater than 0, got \(2,\)"),
        (lambda: UpSampling1D(data_format="channels_last"), TypeError, "data_format"),
        (lambda: UpSampling1D(interpolation="nearest"), TypeError, "interpolation"),
        (lambda: UpSampling2D(0), ValueError, r"'up_sampling2d_1' .*: size must be greater than 0"),
        (lambda: UpSampling2D((2, -1)), ValueError, r"greater than 0, got \(2, -1\)"),
        (lambda: UpSampling2D((2, 2, 2)), ValueError, r"size must be an int or a tuple of 2 ints"),
        (lambda: UpSampling2D((2, 1.5)), ValueError, r"a tuple of 2 ints, got \(2, 1\.5\)"),
        (lambda: UpSampling2D(data_format="last"), ValueError, r"\(UpSampling2D\): data_format"),
        (
            lambda: UpSampling2D(interpolation="bicubic"),
            ValueError,
            r"'up_sampling2d_1' \(UpSampling2D\): interpolation must be 'nearest' or 'bilinear', "
            "got 'bicubic'",
        ),
        (lambda: UpSampling2D(interpolation=["nearest"]), ValueError, "interpolation must be"),
        (lambda: UpSampling3D((2, 2)), ValueError, r"'up_sampling3d_1' .*a tuple of 3 ints"),
        (lambda: UpSampling3D(0), ValueError, "size must be greater than 0, got 0"),
        (lambda: UpSampling3D(interpolation="bilinear"), TypeError, "interpolation"),
        (lambda: UpSampling1D().ensure_built((None, 3)), ValueError, "expected ndim=3 .*ndim=2"),
        (lambda: UpSampling2D().ensure_built((None, 3, 3)), ValueError, "expected ndim=4"),
        (lambda: UpSampling3D().ensure_built((None, 3, 3, 3)), ValueError, "expected ndim=5"),
    ],
)
def test_error(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("data_format", FORMATS)
def test_gradients_find_their_way_through_a_stack(data_format):
    model = Sequential(
        [
            Dense(3, input_shape=(3, 3, 3)),
            UpSampling2D(2, data_format=data_format, interpolation="bilinear"),
            UpSampling2D((1, 2), data_format=data_format),
            Flatten(data_format),
            Dense(1),
        ]
    )
    check_gradients(model, input_shape=(2, 3, 3, 3))
