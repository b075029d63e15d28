"""Losses by name: the registry, pairs, checks of targets, and agreement with Keras."""

import pickle

import numpy as np
import pytest

import minikeras.backend as K
from minikeras import activations, losses, objectives
from minikeras.ops import loss as ops
from minikeras.testing import check_gradients
from minikeras.utils.registry import CustomObjectScope
from tests.golden.reader import iter_functions

NAMES = [
    "binary_crossentropy",
    "categorical_crossentropy",
    "categorical_hinge",
    "cosine_proximity",
    "hinge",
    "kullback_leibler_divergence",
    "logcosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]
ALIASES = {
    "mse": "mean_squared_error",
    "MSE": "mean_squared_error",
    "mae": "mean_absolute_error",
    "MAE": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "MAPE": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "MSLE": "mean_squared_logarithmic_error",
    "kld": "kullback_leibler_divergence",
    "KLD": "kullback_leibler_divergence",
    "cosine": "cosine_proximity",
}
every = pytest.mark.parametrize("name", NAMES)


def fourth_power(y_true, y_pred):
    return ((y_pred - y_true) ** 4).mean(axis=-1)


def fourth_power_backward(dloss, y_true, y_pred):
    return dloss[..., None] * 4 * (y_pred - y_true) ** 3 / y_pred.shape[-1]


def sample(name, dtype=np.float32):
    rng = np.random.default_rng(0)
    y_true = np.eye(3, dtype=dtype)[[0, 2]]
    y_pred = rng.uniform(0.1, 0.9, (2, 3)).astype(dtype)
    return (np.array([0, 2]) if name.startswith("sparse") else y_true), y_pred


@every
def test_by_name_by_function_and_back(name):
    function = losses.get(name)
    assert function is getattr(losses, name) is getattr(objectives, name)
    assert losses.get(function) is function
    assert losses.deserialize(name) is function
    assert losses.serialize(function) == name


@pytest.mark.parametrize("alias", ALIASES)
def test_alias(alias):
    function = getattr(losses, ALIASES[alias])
    assert losses.get(alias) is function
    assert getattr(losses, alias) is getattr(objectives, alias) is function
    assert losses.serialize(losses.get(alias)) == ALIASES[alias]


def test_the_registry_is_complete():
    assert sorted(losses._registry.entries) == sorted([*NAMES, *ALIASES])


def test_none_is_none():
    assert losses.get(None) is None


def test_unknown_name_gets_the_closest():
    with pytest.raises(ValueError, match=r"Unknown loss 'crossentropy'.*'\w*crossentropy'"):
        losses.get("crossentropy")


def test_get_refuses_what_is_no_function():
    with pytest.raises(TypeError, match="loss"):
        losses.get(0.5)


def test_custom_objects():
    table = {"fourth_power": fourth_power}
    assert losses.deserialize("fourth_power", table) is fourth_power
    with CustomObjectScope(table):
        assert losses.get("fourth_power") is fourth_power


@every
def test_pair_is_that_of_the_function(name):
    pair = losses.pair(losses.get(name))
    y_true, y_pred = sample(name)
    dloss = np.array([0.5, 2.0], np.float32)
    np.testing.assert_array_equal(pair.forward(y_true, y_pred), getattr(ops, name)(y_true, y_pred))
    expected = getattr(ops, f"{name}_backward")(dloss, y_true, y_pred)
    out = np.empty_like(y_pred)
    assert pair.backward(dloss, y_true, y_pred, out=out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(pair.backward(dloss, y_true, y_pred), expected)


@every
def test_lists_become_floatx(name):
    y_true, y_pred = sample(name)
    assert losses.get(name)(y_true.tolist(), y_pred.tolist()).dtype == np.float32
    K.set_floatx("float64")
    assert losses.get(name)(y_true.tolist(), y_pred.tolist()).dtype == np.float64
    assert losses.get(name)(y_true, y_pred).dtype == np.float32


def test_a_flat_target_does_not_broadcast():
    y_pred = np.array([[1.0], [2.0], [3.0]])
    np.testing.assert_array_equal(losses.mse(np.array([1.0, 2.0, 5.0]), y_pred), [0, 0, 4])
    dy = losses.pair(losses.mse).backward(np.ones(3), np.array([1.0, 2.0, 5.0]), y_pred)
    np.testing.assert_array_equal(dy, [[0], [0], [-4]])


def test_epsilon_is_that_of_the_backend():
    y_true, y_pred = [[0.0, 1.0]], np.array([[1.0, 0.0]])
    K.set_epsilon(0.01)
    limited = -np.log(0.01)
    for name in ("categorical_crossentropy", "binary_crossentropy"):
        np.testing.assert_allclose(losses.get(name)(y_true, y_pred), [limited])
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy([1], y_pred), [limited])
    np.testing.assert_allclose(losses.poisson([[1.0]], np.zeros((1, 1))), [limited])
    near = np.array([[0.005, 0.995]])
    loss = losses.pair(losses.categorical_crossentropy)
    assert not loss.backward(np.ones(1), y_true, near).any()
    K.set_epsilon(1e-7)
    assert loss.backward(np.ones(1), y_true, near).any()


def test_hinge_takes_labels_0_and_1_as_they_are():
    np.testing.assert_allclose(losses.hinge([[0.0, 1.0]], [[9.0, 9.0]]), [0.5])


def test_a_loss_in_terms_of_numpy_functions():
    y_true, y_pred = np.random.normal(size=(2, 3, 2))
    expected = fourth_power_backward(np.ones(3), y_true, y_pred)
    out = np.empty_like(y_pred)
    assert losses.pair(fourth_power).backward(np.ones(3), y_true, y_pred, out=out) is out
    np.testing.assert_allclose(out, expected)
    check_gradients(fourth_power, y_true, y_pred)


def test_a_loss_that_does_not_depend_on_the_prediction():
    with pytest.raises(TypeError, match=r"The loss <lambda> returned float.*functions of K"):
        losses.pair(lambda t, p: 0.0).backward(np.ones(1), np.ones((1, 2)), np.ones((1, 2)))


def test_own_loss():
    loss = losses.with_gradient(fourth_power, fourth_power_backward)
    assert losses.get(loss) is loss
    assert losses.serialize(loss) == "fourth_power"
    y_true, y_pred = np.zeros((2, 2)), np.array([[1.0, 2.0], [0.0, -1.0]])
    np.testing.assert_allclose(loss(y_true, y_pred), [8.5, 0.5])
    pair = losses.pair(loss)
    np.testing.assert_allclose(pair.forward(y_true, y_pred), [8.5, 0.5])
    out = np.empty_like(y_pred)
    assert pair.backward(np.ones(2), y_true, y_pred, out=out) is out
    np.testing.assert_allclose(out, [[2, 16], [0, -2]])


def test_own_loss_may_give_one_number_or_one_per_unit():
    def total(y_true, y_pred):
        return np.sum((y_pred - y_true) ** 2)

    def total_backward(dloss, y_true, y_pred):
        return dloss * 2 * (y_pred - y_true)

    pair = losses.pair(losses.with_gradient(total, total_backward))
    assert pair.forward(np.zeros((2, 2)), np.ones((2, 2))) == 4
    dy = pair.backward(np.float64(0.5), np.zeros((2, 2)), np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(dy, np.ones((2, 2)))
    assert dy.dtype == np.float32
    per_unit = losses.with_gradient(lambda t, p: p - t, lambda dloss, t, p: dloss)
    assert losses.pair(per_unit).forward(np.zeros((2, 3)), np.ones((2, 3))).shape == (2, 3)


def test_own_loss_with_a_gradient_of_wrong_shape():
    loss = losses.with_gradient(fourth_power, lambda dloss, t, p: dloss)
    with pytest.raises(ValueError, match=r"loss 'fourth_power' must return .* \(2, 3\).*\(2,\)"):
        losses.pair(loss).backward(np.ones(2), np.ones((2, 3)), np.ones((2, 3)))


def test_own_loss_can_be_pickled():
    loss = pickle.loads(pickle.dumps(losses.with_gradient(fourth_power, fourth_power_backward)))
    assert losses.pair(loss).forward(np.zeros((1, 1)), np.full((1, 1), 2.0)) == 16


def test_fused_backward_exists_for_three_pairs():
    found = {
        (loss, activation)
        for loss in NAMES
        for activation in activations._registry.entries
        if losses.fused_backward(losses.get(loss), activations.get(activation)) is not None
    }
    assert found == {
        ("categorical_crossentropy", "softmax"),
        ("sparse_categorical_crossentropy", "softmax"),
        ("binary_crossentropy", "sigmoid"),
    }
    assert losses.fused_backward(losses.mse, None) is None


@pytest.mark.parametrize("case", list(iter_functions("losses.npz")), ids=str)
def test_agrees_with_keras(case):
    pair = losses.pair(losses.get(case.function))
    y_true, y_pred = case.arrays["y_true"], case.arrays["y_pred"]
    value = pair.forward(y_true, y_pred)
    dy = pair.backward(case.arrays["dloss"], y_true, y_pred)
    for found, expected in ((value, case.arrays["value"]), (dy, case.arrays["dy_pred"])):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "mean_squared_error",
        "mean_absolute_error",
        "logcosh",
        "cosine_proximity",
        "categorical_crossentropy",
        "binary_crossentropy",
    ],
)
def test_derivative_by_the_targets(name):
    """For a loss between two things that a network makes, such as that of an autoencoder."""
    random = np.random.RandomState(0)
    t, p = random.uniform(0.1, 0.9, (2, 3, 4))
    check_gradients(lambda t, p, _: losses.get(name)(t, p), t, p, 0)


def test_no_derivative_by_the_targets():
    with pytest.raises(NotImplementedError, match=r"derivative of hinge by y_true is not there"):
        check_gradients(lambda t, p, _: losses.hinge(t, p), np.ones((1, 2)), np.ones((1, 2)), 0)


def test_a_loss_without_a_gradient():
    def wrong(y_true, y_pred):
        return K.mean(K.cast(K.equal(y_true, K.round(y_pred)), "float32"))

    with pytest.raises(ValueError, match=r"The loss wrong has no gradient.*K\.argmax"):
        losses.pair(wrong).backward(np.ones(()), np.ones((2, 1)), np.ones((2, 1)))


def test_derivatives_of_what_is_broadcast():
    a, b = K.variable(np.ones((4, 1))), K.variable(np.zeros((4, 3)))
    by_a, by_b = K.gradients(K.sum(losses.mean_squared_error(a, b)), [a, b])
    np.testing.assert_allclose(by_a.value, np.full((4, 1), 2.0), rtol=1e-6)
    np.testing.assert_allclose(by_b.value, np.full((4, 3), -2 / 3), rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "advice"), [(lambda t, p: None, "return missing"), (lambda t, p: len, "Call it")]
)
def test_a_loss_that_returns_no_values(loss, advice):
    pair = losses.pair(loss)
    for run in (pair.forward, lambda t, p: pair.backward(np.ones(1), t, p)):
        with pytest.raises(TypeError, match=f"returned .*, not values.*{advice}"):
            run(np.ones((1, 2)), np.ones((1, 2)))
