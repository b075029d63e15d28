import numpy as np
import pytest

from minikeras import backend as K
from minikeras import constraints, regularizers
from minikeras.engine import Context, Workspace
from minikeras.layers import BatchNormalization, Dense
from minikeras.models import Sequential

from .checks import check_layer, run, sample

RANKS = [
    ((6, 4), [-1, 1]),
    ((4, 3, 2), [-1, 1, 2, -2]),
    ((3, 2, 2, 3), [-1, 1, 2, 3, -3]),
    ((3, 2, 2, 2, 3), [-1, 1, 4]),
]
AXES = [(shape, axis) for shape, axes in RANKS for axis in axes]


def built(shape, **arguments):
    layer = BatchNormalization(**arguments)
    layer.ensure_built((None, *shape[1:]))
    return layer


def train(layer, x):
    return layer(x, training=True)


def others(x, axis):
    return tuple(i for i in range(x.ndim) if i != axis % x.ndim)


@pytest.mark.parametrize(("shape", "axis"), AXES)
def test_does_what_every_layer_does(shape, axis):
    layer = check_layer(BatchNormalization(axis=axis), shape)
    assert [w.name.split("/")[1] for w in layer.weights] == [
        "gamma:0",
        "beta:0",
        "moving_mean:0",
        "moving_variance:0",
    ]
    assert all(w.shape == (shape[axis],) for w in layer.weights)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize(("shape", "axis"), [((6, 4), -1), ((3, 2, 2, 3), 1)])
def test_without_center_or_scale_does_what_every_layer_does(shape, axis, center, scale):
    layer = check_layer(
        BatchNormalization(axis=axis, center=center, scale=scale, epsilon=0.1), shape
    )
    names = [w.name.split("/")[1] for w in layer.weights]
    assert names == ["gamma:0"] * scale + ["beta:0"] * center + [
        "moving_mean:0",
        "moving_variance:0",
    ]
    assert len(layer.trainable_weights) == center + scale


def test_with_everything():
    layer = check_layer(
        BatchNormalization(
            beta_initializer="ones",
            gamma_initializer="uniform",
            moving_mean_initializer="ones",
            moving_variance_initializer="ones",
            beta_regularizer="l1",
            gamma_regularizer="l2",
            beta_constraint="non_neg",
            gamma_constraint="unit_norm",
        ),
        (6, 4),
    )
    assert isinstance(layer.gamma.regularizer, regularizers.L1L2)
    assert isinstance(layer.beta.regularizer, regularizers.L1L2)
    assert isinstance(layer.gamma.constraint, constraints.UnitNorm)
    assert isinstance(layer.beta.constraint, constraints.NonNeg)
    assert layer.moving_mean.regularizer is None


# Values


@pytest.mark.parametrize(("shape", "axis"), AXES)
def test_training_normalizes_by_the_batch(shape, axis):
    x = 3 + 2 * sample(shape, "float64")
    y = train(built(shape, axis=axis, dtype="float64", epsilon=1e-9), x)
    np.testing.assert_allclose(y.mean(axis=others(x, axis)), 0, atol=1e-9)
    np.testing.assert_allclose(y.var(axis=others(x, axis)), 1, rtol=1e-6)


@pytest.mark.parametrize(("shape", "axis"), AXES)
def test_formula(shape, axis):
    layer = built(shape, axis=axis, epsilon=0.25, dtype="float64")
    x, size = sample(shape, "float64"), shape[axis]
    gamma, beta, mean, variance = (np.random.uniform(0.5, 2, size) for _ in range(4))
    layer.set_weights([gamma, beta, mean, variance])
    wide = [1] * len(shape)
    wide[axis] = size

    def formula(mean, variance):
        z = (x - mean.reshape(wide)) / np.sqrt(variance.reshape(wide) + 0.25)
        return gamma.reshape(wide) * z + beta.reshape(wide)

    np.testing.assert_allclose(layer(x), formula(mean, variance), rtol=1e-10)
    axes = others(x, axis)
    np.testing.assert_allclose(train(layer, x), formula(x.mean(axes), x.var(axes)), rtol=1e-10)


def test_large_mean_keeps_its_digits():
    """A one-pass variance in float32, E[x^2] - E[x]^2, would lose all of them."""
    x = (1000 + 0.01 * np.random.standard_normal((256, 3))).astype("float32")
    exact = x.astype("float64")
    expected = (exact - exact.mean(axis=0)) / np.sqrt(exact.var(axis=0) + 1e-3)
    np.testing.assert_allclose(train(BatchNormalization(), x), expected, atol=1e-2)


def test_constant_feature_gives_beta():
    layer = built((5, 2), beta_initializer="ones")
    y, dx, gradients = run(layer, np.full((5, 2), 7.0, "float32"), training=True)
    np.testing.assert_array_equal(y, 1)
    assert np.isfinite(dx).all()
    assert all(np.isfinite(g).all() for g in gradients)


# Moving statistics


@pytest.mark.parametrize(("shape", "axis"), AXES)
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99, 1.0])
def test_moving_statistics(shape, axis, momentum):
    layer = built(shape, axis=axis, momentum=momentum, epsilon=0.01, dtype="float64")
    mean, variance = layer.moving_mean.value.copy(), layer.moving_variance.value.copy()
    for seed in range(3):
        x = 2 + sample(shape, "float64", seed=seed)
        train(layer, x)
        n = x.size // x.shape[axis]
        mean = momentum * mean + (1 - momentum) * x.mean(axis=others(x, axis))
        unbiased = x.var(axis=others(x, axis)) * n / (n - 1.01)
        variance = momentum * variance + (1 - momentum) * unbiased
    np.testing.assert_allclose(layer.moving_mean.value, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.value, variance, rtol=1e-12)


def test_moving_statistics_stay_where_they_are():
    layer = built((6, 4))
    arrays = [layer.moving_mean.value, layer.moving_variance.value]
    train(layer, sample((6, 4)))
    assert arrays[0] is layer.moving_mean.value
    assert arrays[1] is layer.moving_variance.value
    assert (arrays[0] != 0).all()


def test_inference_changes_nothing():
    layer = built((6, 4))
    before = layer.get_weights()
    layer(sample((6, 4)))
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_batch_of_one_sample_leaves_finite_statistics():
    layer = built((1, 3))
    y = train(layer, sample((1, 3)))
    np.testing.assert_allclose(y, 0, atol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.value, 0.99, rtol=1e-6)


@pytest.mark.parametrize("epsilon", [1.0, 3.0])
def test_an_epsilon_as_large_as_the_batch_leaves_finite_statistics(epsilon):
    """Keras' factor n / (n - 1 - epsilon) would divide by zero, or turn negative."""
    layer = built((2, 3), epsilon=epsilon, momentum=0.0)
    x = sample((2, 3))
    train(layer, x)
    np.testing.assert_allclose(layer.moving_variance.value, x.var(axis=0), rtol=1e-5)


def test_training_and_prediction_meet_after_many_steps():
    layer = built((50, 3), momentum=0.9)
    x = 5 + 3 * sample((50, 3))
    for _ in range(200):
        y = train(layer, x)
    np.testing.assert_allclose(layer(x), y, rtol=0.05, atol=0.05)


# Frozen


def test_frozen_uses_batch_statistics_but_keeps_its_own():
    """As in Keras 2.2.4: what is frozen is what the layer holds, not how it computes."""
    layer = built((6, 4), trainable=False)
    before = layer.get_weights()
    x = 3 + sample((6, 4))
    y, dx, gradients = run(layer, x, training=True)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    assert gradients == []
    assert abs(dx.sum()) < 1e-4
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_in_a_model():
    model = Sequential([Dense(3, input_dim=2), BatchNormalization(trainable=False), Dense(1)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(sample((8, 2)), np.ones((8, 1)))
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    # A bias below a normalization by the batch has no effect, so that it may stay, too.
    assert same[2:6] == [True] * 4
    assert not same[0]
    assert not same[6]


# Types and memory


@pytest.mark.parametrize("floatx", ["float32", "float64"])
def test_one_type_throughout(floatx):
    K.set_floatx(floatx)
    layer = built((6, 4))
    y, dx, gradients = run(layer, sample((6, 4), floatx), training=True)
    arrays = [y, dx, *gradients, *layer.get_weights()]
    assert {a.dtype.name for a in arrays} == {floatx}


def test_float16_statistics_do_not_overflow():
    K.set_floatx("float16")
    x = np.full((3000, 2), 60.0, "float16")
    x[::2] = -60
    layer = built(x.shape, momentum=0.0)
    y = train(layer, x)
    assert y.dtype == np.float16
    np.testing.assert_allclose(np.abs(y), 1, rtol=1e-2)
    np.testing.assert_allclose(layer.moving_variance.value, 3600, rtol=1e-2)


def test_large_arrays_come_from_the_workspace():
    layer, workspace, x = built((8, 4)), Workspace(), sample((8, 4))
    outputs = []
    for _ in range(2):
        workspace.begin("train")
        ctx = Context(training=True, workspace=workspace)
        y, residual = layer.propagate(x, ctx)
        dx = layer.backpropagate(np.ones_like(x), residual, ctx)
        outputs.append((y, dx))
    assert outputs[0][0] is outputs[1][0]


def test_hands_the_mask_on():
    mask = np.ones((2, 3), bool)
    ctx = Context(training=True, mask=mask)
    built((2, 3, 4)).propagate(sample((2, 3, 4)), ctx)
    assert ctx.mask is mask


# Errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchNormalization(axis=0), r"\(BatchNormalization\): axis must be the number of"),
        (lambda: BatchNormalization(axis=[1, 2]), r"axis must be the number .* got \[1, 2\]"),
        (lambda: BatchNormalization(momentum=1.5), r"momentum must be at most 1, got 1\.5"),
        (lambda: BatchNormalization(momentum=-0.1), r"momentum must be at least 0, got -0\.1"),
        (lambda: BatchNormalization(epsilon=-1e-3), r"epsilon must be at least 0, got -0\.001"),
        (lambda: BatchNormalization(epsilon=None), "epsilon must be a finite number, got None"),
        (lambda: BatchNormalization(gamma_initializer="onse"), "Unknown initializer 'onse'"),
        (
            lambda: built((None, 3, None)),
            r"'batch_normalization_1' .* size of axis -1 .*\(None, 3, None\)",
        ),
        (lambda: built((None, 3), axis=2), "expected min_ndim=3 .* found ndim=2"),
        (lambda: built((None, 3), axis=-2), "expected min_ndim=3 .* found ndim=2"),
        (lambda: built((None, 3))(np.ones((2, 4))), "expected axis -1 to have size 3, found 4"),
        (lambda: built((None, 3))(np.ones((2, 4, 3))), "expected ndim=2 .* found ndim=3"),
    ],
)
def test_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
