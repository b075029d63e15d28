import numpy as np
import pytest

from minikeras import activations, constraints, initializers, regularizers
from minikeras import backend as K
from minikeras.engine import Context
from minikeras.layers import Activation, ActivityRegularization, Dense
from minikeras.models import Sequential
from minikeras.testing import check_gradients

from .checks import agree, check_layer, run, sample, twin

ACTIVATIONS = [
    "elu",
    "exponential",
    "hard_sigmoid",
    "linear",
    "relu",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
]


def swish(x):
    return x * activations.sigmoid(x)


def swish_backward(dy, x):
    s = activations.sigmoid(x)
    return dy * s * (1 + x * (1 - s))


# Dense


@pytest.mark.parametrize("shape", [(4, 5), (3, 2, 4), (2, 3, 2, 4), (2, 2, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_dense_does_what_every_layer_does(shape, use_bias, activation):
    layer = check_layer(Dense(3, activation, use_bias=use_bias), shape)
    assert layer.output_shape == (None, *shape[1:-1], 3)
    assert len(layer.weights) == 1 + use_bias
    assert layer.count_params() == 3 * shape[-1] + 3 * use_bias


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_with_each_activation(activation):
    layer = check_layer(Dense(3, activation=activation), (4, 5))
    x = sample((4, 5), "float64")
    z = x @ layer.kernel.value + layer.bias.value
    np.testing.assert_allclose(layer(x), activations.get(activation)(z), rtol=1e-5, atol=1e-6)


def test_dense_with_everything():
    layer = check_layer(
        Dense(
            3,
            activation="tanh",
            kernel_initializer="he_normal",
            bias_initializer=initializers.RandomUniform(-1, 1, seed=1),
            kernel_regularizer="l1",
            bias_regularizer=regularizers.l2(0.3),
            activity_regularizer={"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}},
            kernel_constraint="unit_norm",
            bias_constraint=constraints.NonNeg(),
        ),
        (4, 5),
    )
    assert isinstance(layer.kernel.constraint, constraints.UnitNorm)
    assert isinstance(layer.bias.constraint, constraints.NonNeg)
    assert layer.kernel.regularizer.get_config() == pytest.approx({"l1": 0.01, "l2": 0.0})
    assert layer.bias.regularizer.get_config() == pytest.approx({"l1": 0.0, "l2": 0.3})


@pytest.mark.parametrize("needs_input", [True, False])
def test_dense_keeps_what_the_derivative_of_its_activation_needs(needs_input):
    if needs_input:
        function = activations.with_gradient(swish, swish_backward, needs_input=True)
    else:
        function = activations.with_gradient(np.tanh, lambda dy, y: dy * (1 - y * y))
    check_gradients(Dense(3, activation=function), input_shape=(4, 5))
    check_gradients(Activation(function), input_shape=(4, 5))


def test_dense_initial_values():
    layer = Dense(3, kernel_initializer="ones", bias_initializer="ones", input_dim=2)
    layer.ensure_built((None, 2))
    assert layer.kernel.value.tolist() == [[1.0] * 3] * 2
    assert layer.bias.value.tolist() == [1.0] * 3
    assert [w.name for w in layer.weights] == [f"{layer.name}/kernel:0", f"{layer.name}/bias:0"]


def test_dense_takes_weights():
    layer = Dense(1, input_dim=2, weights=[[[2.0], [3.0]], [1.0]])
    assert layer(np.array([[10.0, 100.0]])).tolist() == [[321.0]]


def test_dense_accepts_any_batch_and_steps_but_one_width():
    layer = Dense(2)
    layer.ensure_built((None, None, 3))
    assert layer(np.zeros((4, 7, 3))).shape == (4, 7, 2)
    with pytest.raises(ValueError, match=r"layer 'dense_1' \(Dense\): expected axis -1 .* size 3"):
        layer(np.zeros((4, 2)))


def test_dense_activity_penalty_is_added_to_the_loss_and_the_gradient():
    layer = Dense(2, activity_regularizer=regularizers.l2(0.5), kernel_initializer="ones")
    layer.ensure_built((None, 1))
    ctx = Context(training=True, gradients={w: np.empty_like(w.value) for w in layer.weights})
    y, residual = layer.propagate(np.array([[3.0]], "float32"), ctx)
    assert ctx.loss == 9.0
    dx = layer.backpropagate(np.zeros_like(y), residual, ctx)
    assert dx.tolist() == [[6.0]]
    assert layer.output_activation is None


def test_dense_without_activity_penalty_names_its_activation():
    assert Dense(2, activation="softmax").output_activation is activations.softmax
    layer = Dense(2, activation="tanh")
    layer.ensure_built((None, 3))
    x, dz = sample((4, 3)), sample((4, 2))
    target = np.empty((3, 2), "float32")
    ctx = Context(gradients={layer.kernel: target})
    _, residual = layer.propagate(x, ctx)
    dx = layer.backward_logits(dz.copy(), residual, ctx)
    np.testing.assert_allclose(dx, dz @ layer.kernel.value.T, rtol=1e-5)
    np.testing.assert_allclose(target, x.T @ dz, rtol=1e-5)


def test_dense_computes_only_the_gradients_that_are_wanted():
    layer = Dense(2, use_bias=True)
    layer.ensure_built((None, 3))
    x, dy = sample((4, 3)), sample((4, 2))
    target = np.full((2,), np.nan, "float32")
    ctx = Context(gradients={layer.bias: target})
    ctx.needs_input_gradient = False
    _, residual = layer.propagate(x, ctx)
    assert layer.backpropagate(dy.copy(), residual, ctx) is None
    np.testing.assert_allclose(target, dy.sum(axis=0), rtol=1e-6)


def test_frozen_dense_does_not_change_in_training():
    model = Sequential(
        [Dense(3, input_dim=2), Dense(3, trainable=False, activation="relu"), Dense(1)]
    )
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(np.ones((4, 2)), np.full((4, 1), 9.0))
    same = [np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert same == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("units", "got"),
    [(0, "0"), (-2, "-2"), (2.5, r"2\.5"), ("ten", "'ten'"), (True, "True"), (None, "None")],
)
def test_dense_units_must_be_a_positive_int(units, got):
    with pytest.raises(
        ValueError, match=rf"'dense_1' \(Dense\): units must be an int .* got {got}"
    ):
        Dense(units)


def test_dense_takes_numpy_ints():
    layer = Dense(np.int64(3))
    assert layer.units == 3
    assert type(layer.units) is int


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "rellu"}, "Unknown activation function 'rellu'. Did you mean 'relu'"),
        ({"kernel_initializer": "glorot"}, "Unknown initializer 'glorot'"),
        ({"kernel_regularizer": "l3"}, "Unknown regularizer 'l3'"),
        ({"bias_constraint": "nonnegative"}, "Unknown constraint 'nonnegative'"),
    ],
)
def test_dense_unknown_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        Dense(2, **arguments)


def test_dense_needs_width_and_rank():
    with pytest.raises(ValueError, match=r"needs to know the size of axis -1 .*\(None, None\)"):
        Dense(2).ensure_built((None, None))
    with pytest.raises(ValueError, match=r"expected min_ndim=2 .* found ndim=1"):
        Dense(2).ensure_built((None,))


def test_dense_with_functions_of_numpy():
    check_gradients(Dense(2, activation=np.sinh), input_shape=(3, 4))
    with pytest.raises(TypeError, match=r"np\.sinc can't be applied to a tensor"):
        check_gradients(Dense(2, activation=np.sinc), input_shape=(3, 4))
    with pytest.raises(TypeError, match=r"np\.i0 can't be applied|turning it into"):
        check_gradients(Dense(2, activation=np.i0), input_shape=(3, 4))


def test_dense_in_float64_throughout():
    K.set_floatx("float64")
    layer = Dense(2, activation="softplus")
    layer.ensure_built((None, 3))
    assert layer.kernel.dtype == np.float64
    output, dx, gradients = run(layer, sample((2, 3), "float64"))
    assert {a.dtype.name for a in (output, dx, *gradients)} == {"float64"}


def test_dense_on_rows_is_dense_on_each_step():
    layer = Dense(3, activation="tanh")
    x = sample((4, 5, 2))
    together = layer(x)
    for step in range(5):
        np.testing.assert_allclose(together[:, step], layer(x[:, step]), rtol=1e-6)


# Activation


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4), (2, 3, 2, 2)], ids=str)
def test_activation_does_what_every_layer_does(name, shape):
    layer = check_layer(Activation(name), shape)
    assert layer.weights == []
    x = sample(shape)
    np.testing.assert_allclose(layer(x), activations.get(name)(x), rtol=1e-6)


def test_activation_is_the_same_as_in_dense():
    x = sample((4, 5))
    joined = Dense(3, activation="sigmoid")
    joined.ensure_built((None, 5))
    apart = [Dense(3, weights=joined.get_weights()), Activation("sigmoid")]
    np.testing.assert_array_equal(Sequential(apart)(x), joined(x))


def test_activation_names_its_function():
    layer = Activation("softmax")
    assert layer.output_activation is activations.softmax
    dz = np.ones((1, 2))
    assert layer.backward_logits(dz, None, Context()) is dz
    layer.activity_regularizer = regularizers.L1L2(l2=1.0)
    assert layer.output_activation is None


def test_activation_of_ones_own_comes_back_from_its_config():
    function = activations.with_gradient(swish, swish_backward, needs_input=True)
    layer = Activation(function)
    assert layer.get_config()["activation"] == "swish"
    clone = Activation.from_config({**layer.get_config(), "activation": function})
    np.testing.assert_array_equal(clone(np.ones((1, 2))), layer(np.ones((1, 2))))


def test_activation_unknown_name():
    with pytest.raises(ValueError, match="Did you mean 'tanh'"):
        Activation("tahn")


# ActivityRegularization


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4)], ids=str)
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.2, 0.0), (0.0, 0.3), (0.2, 0.3)])
def test_activity_regularization_does_what_every_layer_does(shape, l1, l2):
    layer = check_layer(ActivityRegularization(l1=l1, l2=l2), shape)
    assert layer.get_config()["l1"] == l1
    assert layer.get_config()["l2"] == l2


def test_activity_regularization_passes_input_through_and_adds_its_penalty():
    layer = ActivityRegularization(l1=0.5, l2=2.0)
    x = np.array([[1.0, -3.0]], "float32")
    ctx = Context(training=True)
    y, residual = layer.propagate(x, ctx)
    assert y.tolist() == x.tolist()
    assert ctx.loss == 0.5 * 4 + 2.0 * 10
    dx = layer.backpropagate(np.zeros_like(x), residual, ctx)
    assert dx.tolist() == [[0.5 + 4.0, -0.5 - 12.0]]


def test_activity_regularization_counts_in_the_loss_of_a_model():
    model = Sequential([ActivityRegularization(l2=0.5, input_shape=(2,))])
    model.compile("sgd", "mse")
    x = np.array([[1.0, 1.0], [2.0, 0.0]])
    assert model.test_on_batch(x, x) == pytest.approx(0.5 * 6)


# All three


@pytest.mark.parametrize("cls", [Dense, Activation, ActivityRegularization])
def test_hands_the_mask_on(cls):
    mask = np.array([[True, False, True]])
    layer = {Dense: lambda: Dense(2), Activation: lambda: Activation("relu")}.get(cls, cls)()
    layer.ensure_built((None, 3, 2))
    ctx = Context(mask=mask)
    layer.propagate(np.ones((1, 3, 2), "float32"), ctx)
    assert ctx.mask is mask


def test_twins_agree_in_training():
    layer = Dense(3, activation="selu", kernel_regularizer="l1_l2")
    layer.ensure_built((None, 4))
    clone = twin(layer)
    clone.ensure_built((None, 4))
    clone.set_weights(layer.get_weights())
    x = sample((5, 4))
    agree(run(clone, x, training=True), run(layer, x, training=True), rtol=0)


def test_a_subclass_of_activation_by_hand_has_its_own_way():
    class Tenfold(Activation):
        def forward(self, x, ctx):
            return 10 * x, None

        def backward(self, dy, residual, ctx):
            return 10 * dy

    for function in ("relu", lambda z: z * z):
        np.testing.assert_array_equal(Tenfold(function)(np.ones((1, 2))), [[10, 10]])
