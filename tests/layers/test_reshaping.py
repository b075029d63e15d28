import numpy as np
import pytest

from minikeras import backend as K
from minikeras.engine import Context
from minikeras.layers import Dense, Flatten, Permute, RepeatVector, Reshape
from minikeras.models import Sequential

from .checks import check_layer, sample

FORMATS = ["channels_last", "channels_first"]


# Flatten


@pytest.mark.parametrize("data_format", [None, *FORMATS])
@pytest.mark.parametrize("shape", [(4, 5), (3, 2, 4), (2, 3, 2, 2), (2, 3, 2, 1, 2)], ids=str)
def test_flatten_does_what_every_layer_does(shape, data_format):
    layer = check_layer(Flatten(data_format), shape)
    assert layer.output_shape == (None, np.prod(shape[1:]))


def test_flatten_with_channels_first_gives_what_channels_last_gives():
    x = sample((2, 3, 4, 5))
    flat = Flatten("channels_last")(x)
    np.testing.assert_array_equal(flat, x.reshape(2, -1))
    np.testing.assert_array_equal(Flatten("channels_first")(np.moveaxis(x, -1, 1)), flat)


def test_flatten_follows_the_global_data_format():
    K.set_image_data_format("channels_first")
    assert Flatten().data_format == "channels_first"
    assert Flatten("channels_last").data_format == "channels_last"


@pytest.mark.parametrize("data_format", FORMATS)
def test_flatten_an_empty_batch(data_format):
    assert Flatten(data_format)(np.zeros((0, 3, 4))).shape == (0, 12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Flatten().ensure_built((None, 3, None)), r"'flatten_1' \(Flatten\) needs a fully"),
        (lambda: Flatten().ensure_built((None,)), r"expected min_ndim=2 .* found ndim=1"),
        (lambda: Flatten("last"), "data_format must be one of"),
    ],
)
def test_flatten_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Reshape


@pytest.mark.parametrize(
    ("shape", "target", "result"),
    [
        ((2, 12), (3, 4), (3, 4)),
        ((2, 12), [-1], (12,)),
        ((2, 12), (2, -1, 3), (2, 2, 3)),
        ((2, 3, 4), (12,), (12,)),
        ((2, 3, 4), (4, -1), (4, 3)),
        ((2, 2, 3, 2), (-1, 1, 1, 1), (12, 1, 1, 1)),
        ((2, 1), (), ()),
    ],
)
def test_reshape_does_what_every_layer_does(shape, target, result):
    layer = check_layer(Reshape(target), shape)
    assert layer.output_shape == (None, *result)
    x = sample(shape)
    np.testing.assert_array_equal(layer(x), x.reshape(shape[0], *result))


def test_reshape_of_an_unknown_size():
    layer = Reshape((-1, 2))
    assert layer.ensure_built((None, None, 4)) == (None, None, 2)
    assert layer(np.zeros((1, 3, 4))).shape == (1, 6, 2)
    assert layer(np.zeros((5, 2, 4))).shape == (5, 4, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reshape((-1, -1)), r"'reshape_1' \(Reshape\): .* at most one -1, got \(-1, -1\)"),
        (lambda: Reshape((0, 3)), r"sizes greater than 0"),
        (lambda: Reshape(12), "target_shape must be a tuple of ints, got 12"),
        (lambda: Reshape((2, 1.5)), r"target_shape must be a tuple of ints, got \(2, 1\.5\)"),
        (lambda: Reshape((None, 3)), "target_shape must be a tuple of ints"),
        (
            lambda: Reshape((5, 2)).ensure_built((None, 12)),
            r"can't turn samples of shape \(12,\), 12 entries, into target_shape \(5, 2\)",
        ),
        (lambda: Reshape((5, -1)).ensure_built((None, 12)), "can't turn samples of shape"),
    ],
)
def test_reshape_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Permute


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        ((1,), (3, 4)),
        ((1, 2), (2, 3, 4)),
        ((2, 1), (2, 3, 4)),
        ([3, 1, 2], (2, 3, 4, 2)),
        ((2, 3, 1), (2, 3, 4, 2)),
        ((4, 2, 1, 3), (2, 3, 1, 2, 4)),
    ],
)
def test_permute_does_what_every_layer_does(dims, shape):
    layer = check_layer(Permute(dims), shape)
    assert layer.output_shape[1:] == tuple(shape[d] for d in dims)
    x = sample(shape)
    np.testing.assert_array_equal(layer(x), x.transpose(0, *dims))


def test_permute_gives_a_contiguous_array():
    assert Permute((2, 1))(sample((2, 3, 4))).flags.c_contiguous


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Permute((0, 1)), r"'permute_1' \(Permute\): dims must hold each of 1 to 2 once"),
        (lambda: Permute((1, 1)), r"dims must hold each of 1 to 2 once, got \(1, 1\)"),
        (lambda: Permute((1, 3)), r"dims must hold each of 1 to 2 once, got \(1, 3\)"),
        (lambda: Permute(1), "dims must be a tuple of ints, got 1"),
        (lambda: Permute((2, 1)).ensure_built((None, 3)), "expected ndim=3 .* found ndim=2"),
    ],
)
def test_permute_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# RepeatVector


@pytest.mark.parametrize("n", [1, 3])
def test_repeat_vector_does_what_every_layer_does(n):
    layer = check_layer(RepeatVector(n), (2, 4))
    x = sample((2, 4))
    for step in range(n):
        np.testing.assert_array_equal(layer(x)[:, step], x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RepeatVector(0), r"'repeat_vector_1' \(RepeatVector\): n must be an int greater"),
        (lambda: RepeatVector(1.5), r"n must be an int greater than 0, got 1\.5"),
        (lambda: RepeatVector(2).ensure_built((None, 2, 3)), "expected ndim=2 .* found ndim=3"),
    ],
)
def test_repeat_vector_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# All four


@pytest.mark.parametrize("layer", [Flatten(), Reshape((6,)), Permute((2, 1))], ids=repr)
def test_drops_a_mask_it_can_not_hand_on(layer):
    layer.ensure_built((None, 3, 2))
    ctx = Context(mask=np.ones((1, 3), bool))
    with pytest.warns(UserWarning, match="does not support masking"):
        layer.propagate(np.zeros((1, 3, 2), "float32"), ctx)


def test_gradients_find_their_way_through_a_stack_of_them():
    from minikeras.testing import check_gradients

    model = Sequential(
        [
            Dense(6, input_shape=(4,)),
            Reshape((2, 3)),
            Permute((2, 1)),
            Flatten("channels_first"),
            RepeatVector(2),
            Dense(2, activation="tanh"),
        ]
    )
    check_gradients(model, input_shape=(3, 4))
