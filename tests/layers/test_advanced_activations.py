import numpy as np
import pytest

from minikeras import activations, constraints, layers, regularizers
from minikeras.backend import Variable
from minikeras.engine import Context
from minikeras.layers import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from minikeras.models import Sequential

from .checks import check_layer, run

SHAPES = [(4, 5), (3, 4, 2), (2, 3, 2, 2), (2, 2, 3, 2, 2)]
POINTS = np.array([[-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0, 8.0]])

MAKERS = [
    LeakyReLU,
    lambda: LeakyReLU(alpha=0.0),
    lambda: LeakyReLU(alpha=1.5),
    lambda: LeakyReLU(alpha=-0.5),
    PReLU,
    lambda: PReLU(alpha_initializer="ones", alpha_regularizer="l2", alpha_constraint="non_neg"),
    lambda: PReLU(shared_axes=1),
    ELU,
    lambda: ELU(alpha=0.0),
    lambda: ELU(alpha=2.5),
    ThresholdedReLU,
    lambda: ThresholdedReLU(theta=0.0),
    lambda: ThresholdedReLU(theta=-0.5),
    Softmax,
    lambda: Softmax(axis=1),
    ReLU,
    lambda: ReLU(max_value=0.7),
    lambda: ReLU(negative_slope=0.2),
    lambda: ReLU(threshold=0.4),
    lambda: ReLU(threshold=-0.4),
    lambda: ReLU(max_value=0.7, negative_slope=0.2, threshold=0.3),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("make", MAKERS)
def test_does_what_every_layer_does(make, shape):
    check_layer(make(), shape)


@pytest.mark.parametrize("cls", [LeakyReLU, PReLU, ELU, ThresholdedReLU, Softmax, ReLU])
def test_hands_the_mask_on(cls):
    mask = np.array([[True, False, True]])
    ctx = Context(mask=mask)
    layer = cls()
    layer.ensure_built((None, 3, 2))
    layer.propagate(np.ones((1, 3, 2), "float32"), ctx)
    assert ctx.mask is mask


# What the functions are, from their definitions.


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (LeakyReLU(0.3), np.where(POINTS > 0, POINTS, 0.3 * POINTS)),
        (ELU(0.5), np.where(POINTS > 0, POINTS, 0.5 * np.expm1(POINTS))),
        (ThresholdedReLU(), np.where(POINTS > 1, POINTS, 0)),
        (ThresholdedReLU(-0.5), np.where(POINTS > -0.5, POINTS, 0)),
        (ReLU(), np.maximum(POINTS, 0)),
        (ReLU(max_value=6), np.clip(POINTS, 0, 6)),
        (ReLU(negative_slope=0.1), np.where(POINTS > 0, POINTS, 0.1 * POINTS)),
        (ReLU(threshold=0.75), np.where(POINTS > 0.75, POINTS, 0)),
        (
            ReLU(6, 0.1, 0.75),
            np.where(POINTS > 0.75, np.minimum(POINTS, 6), 0.1 * (POINTS - 0.75)),
        ),
        (Softmax(), np.exp(POINTS) / np.exp(POINTS).sum()),
    ],
    ids=repr,
)
def test_values(layer, expected):
    np.testing.assert_allclose(layer(POINTS), expected, rtol=1e-6)


@pytest.mark.parametrize("axis", [1, 2, 3, -1, -2, -3])
def test_softmax_sums_to_one_over_its_axis(axis):
    y = Softmax(axis=axis)(np.random.standard_normal((2, 3, 4, 5)))
    np.testing.assert_allclose(y.sum(axis=axis), 1, rtol=1e-6)


def test_softmax_at_the_end_can_be_joined_with_its_loss():
    """A softmax over the last axis says so, by whichever number the axis goes."""
    for axis in (-1, 2):
        layer = Softmax(axis)
        layer.ensure_built((None, 3, 4))
        assert layer.output_activation is activations.softmax
    dz = np.ones((1, 3, 4))
    assert layer.backward_logits(dz, None, Context()) is dz
    layer.activity_regularizer = regularizers.L1L2(l1=1.0)
    assert layer.output_activation is None
    other = Softmax(1)
    other.ensure_built((None, 3, 4))
    assert other.output_activation is None


def test_softmax_trains_like_a_dense_layer_with_softmax():
    x = np.random.standard_normal((8, 5))
    y = np.eye(3)[np.arange(8) % 3]
    apart = Sequential([layers.Dense(3, input_dim=5), Softmax()])
    joined = Sequential([layers.Dense(3, input_dim=5, activation="softmax")])
    joined.set_weights(apart.get_weights())
    for model in (apart, joined):
        model.compile("sgd", "categorical_crossentropy")
        for _ in range(3):
            model.train_on_batch(x, y)
    for a, b in zip(apart.get_weights(), joined.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


# PReLU


@pytest.mark.parametrize(
    ("shared_axes", "shape"),
    [
        (None, (3, 4, 5)),
        (1, (1, 4, 5)),
        ([1, 2], (1, 1, 5)),
        ((1, 3), (1, 4, 1)),
        ([1, 2, 3], (1, 1, 1)),
    ],
)
def test_prelu_shares_slopes(shared_axes, shape):
    layer = check_layer(PReLU(shared_axes=shared_axes), (2, 3, 4, 5))
    assert layer.alpha.shape == shape


def test_prelu_slope_is_used_for_negative_input_only():
    layer = PReLU()
    layer.ensure_built((None, 3))
    layer.set_weights([[0.5, 0.1, 10.0]])
    np.testing.assert_allclose(layer(np.array([[-2.0, 3.0, -1.0]])), [[-1.0, 3.0, -10.0]])


def test_prelu_with_shared_axes_takes_any_size_along_them():
    layer = PReLU(shared_axes=[1, 2])
    assert layer.ensure_built((None, None, None, 3)) == (None, None, None, 3)
    assert layer(np.zeros((1, 2, 5, 3))).shape == (1, 2, 5, 3)
    with pytest.raises(ValueError, match="axis 3 to have size 3, found 4"):
        layer(np.zeros((1, 2, 5, 4)))


def test_prelu_needs_the_size_of_the_other_axes():
    with pytest.raises(ValueError, match=r"needs to know the size of axis 1.*\(None, None, 3\)"):
        PReLU().ensure_built((None, None, 3))


def test_prelu_slope_has_regularizer_and_constraint():
    layer = PReLU(alpha_regularizer="l1", alpha_constraint="max_norm")
    layer.ensure_built((None, 3))
    assert isinstance(layer.alpha.regularizer, regularizers.L1L2)
    assert isinstance(layer.alpha.constraint, constraints.MaxNorm)
    assert isinstance(layer.alpha, Variable)
    assert layer.alpha.name == f"{layer.name}/alpha:0"


def test_frozen_prelu_has_no_gradient_but_passes_one_on():
    layer = PReLU(alpha_initializer="ones", trainable=False)
    layer.ensure_built((None, 3))
    x = np.array([[-1.0, 2.0, -3.0]], "float32")
    _, dx, gradients = run(layer, x, dy=np.ones_like(x))
    assert gradients == []
    assert dx.tolist() == [[1.0, 1.0, 1.0]]


# Errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LeakyReLU(alpha="steep"), r"'leaky_re_lu_\d+' \(LeakyReLU\): alpha must be a fin"),
        (lambda: LeakyReLU(alpha=None), "alpha must be a finite number, got None"),
        (lambda: LeakyReLU(alpha=float("nan")), "alpha must be a finite number, got nan"),
        (lambda: ELU(alpha=-1), r"\(ELU\): alpha must be at least 0, got -1"),
        (lambda: ThresholdedReLU(theta=[1]), r"theta must be a finite number, got \[1\]"),
        (lambda: ReLU(max_value=-1), "max_value must be at least 0, got -1"),
        (lambda: ReLU(negative_slope=-0.1), r"negative_slope must be at least 0, got -0\.1"),
        (lambda: ReLU(threshold=True), "threshold must be a finite number, got True"),
        (lambda: Softmax(axis=0), "axis must be the number of an axis other than 0"),
        (lambda: Softmax(axis=1.5), r"axis must be the number of an axis .* got 1\.5"),
        (lambda: PReLU(shared_axes=0), "shared_axes must be an int greater than 0, got 0"),
        (lambda: PReLU(shared_axes=[1, -1]), "shared_axes must be an int greater than 0, got -1"),
    ],
)
def test_bad_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Softmax(axis=2), (None, 3)),
        (Softmax(axis=-2), (None, 3)),
        (PReLU(shared_axes=2), (None, 3)),
    ],
    ids=repr,
)
def test_axis_that_the_input_lacks(layer, shape):
    with pytest.raises(ValueError, match=r"expected min_ndim=3 .* found ndim=2"):
        layer.ensure_built(shape)


def test_numpy_numbers_do_not_make_float64():
    for layer in (LeakyReLU(np.float64(0.3)), ELU(np.float64(0.3)), ReLU(np.float64(2.0))):
        assert run(layer, np.ones((2, 3), "float32"))[0].dtype == np.float32
        assert all(type(v) is not np.float64 for v in layer.get_config().values())
