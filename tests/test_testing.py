import numpy as np
import pytest

from minikeras import activations
from minikeras.engine import Layer
from minikeras.layers import Dense, Dropout
from minikeras.models import Sequential
from minikeras.regularizers import L1L2, Regularizer
from minikeras.testing import GradientError, check_gradients


class Scale(Layer):
    """Multiplies by a weight; `slip` spoils one of its derivatives."""

    def __init__(self, slip=None, **kwargs):
        super().__init__(**kwargs)
        self.slip = slip

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")

    def forward(self, x, ctx):
        if self.slip == "writes x":
            x *= 1.5
        return x * self.scale.value, x

    def backward(self, dy, x, ctx):
        dscale = (dy * x).sum(axis=0)
        if self.slip == "dscale":
            dscale[1] *= 1.001
        if self.slip != "unwritten" and not (
            self.slip == "needs dx" and not ctx.needs_input_gradient
        ):
            ctx.add_gradient(self.scale, dscale)
        dx = dy * self.scale.value
        if self.slip == "dx":
            dx[0, 0] += 0.01
        return dx[:, :1] if self.slip == "shape" else dx


def test_a_right_layer_passes():
    report = check_gradients(Scale(), input_shape=(3, 4))

    assert report.error < 1e-6
    assert report.entries == 3 * 4 + 4


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        ("dscale", r"scale_1/scale:0\[1\]"),
        ("dx", r"x\[0, 0\]"),
        ("unwritten", r"scale_1/scale:0"),
        ("shape", r"gradient of x has shape \(3, 1\)"),
        ("writes x", "has written to its input"),
        ("needs dx", "another one when"),
    ],
)
def test_a_wrong_layer_is_caught_with_the_entry(slip, message):
    with pytest.raises(GradientError, match=message):
        check_gradients(Scale(slip), input_shape=(3, 4))


def test_the_layer_is_left_alone():
    layer = Dense(2, input_dim=3)
    Sequential([layer])
    before = layer.get_weights()

    check_gradients(layer)

    assert layer.dtype == "float32"
    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))
    assert layer.weights[0].dtype == np.float32


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("seed", [None, 4])
def test_random_layers_draw_the_same_each_time(seed, used):
    layer = Dropout(0.4, seed=seed)
    if used:
        layer(np.ones((4, 5)), training=True)
    state = np.random.get_state()[1].copy()

    check_gradients(layer, np.ones((4, 5)), training=True)

    assert np.array_equal(np.random.get_state()[1], state)


def test_a_compiled_model_is_checked_with_loss_and_penalties():
    model = Sequential(
        [
            Dense(4, activation="tanh", kernel_regularizer="l1_l2", activity_regularizer="l2"),
            Dropout(0.3),
            Dense(3, activation="softmax", bias_regularizer="l2"),
        ]
    )
    model.compile("adam", "categorical_crossentropy")
    x = np.random.standard_normal((5, 6))

    report = check_gradients(model, x, np.eye(3)[[0, 1, 2, 0, 1]])

    assert report.error < 1e-5
    assert report.entries == 6 * 4 + 4 + 4 * 3 + 3
    assert not model.built


def test_a_wrong_layer_in_a_model_is_caught():
    model = Sequential([Scale("dscale", input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")

    with pytest.raises(GradientError, match="Sequential 'sequential_1'.*scale_1/scale"):
        check_gradients(model, np.random.standard_normal((4, 3)), np.ones((4, 1)))


def test_losses():
    y_true, y_pred = np.random.random((2, 3, 4))

    assert check_gradients("mse", y_true, y_pred).entries == 12
    assert check_gradients("sparse_categorical_crossentropy", [0, 1, 3], y_pred).error < 1e-5
    with pytest.raises(TypeError, match="pass y_true and y_pred .*got 1"):
        check_gradients("mean_squared_error", y_pred)


def test_activations():
    assert check_gradients("tanh", [0.1, -2.0]).entries == 2
    with pytest.raises(GradientError, match="worst of 2 entries"):
        check_gradients(
            activations.with_gradient(lambda x, out=None: x**3, lambda dy, y, out=None: dy * y),
            [1.5, 2.0],
        )


def test_a_layer_that_promises_another_shape_is_caught():
    class Cut(Layer):
        def forward(self, x, ctx):
            return x[:, :1], None

        def backward(self, dy, residual, ctx):
            return np.repeat(dy, 3, axis=1)

    with pytest.raises(ValueError, match="Define compute_output_shape"):
        check_gradients(Cut(), input_shape=(2, 3))
    with pytest.raises(ValueError, match="'cut_2'.*Define compute_output_shape"):
        Sequential([Cut(input_shape=(3,)), Dense(1)]).predict(np.ones((2, 3)))


def test_regularizers():
    class Wrong(Regularizer):
        def __call__(self, x):
            return float((x**3).sum())

        def add_gradient(self, x, gradient):
            gradient += 2 * x**2

    check_gradients(L1L2(0.1, 0.2), np.array([[1.0, -2.0]]))
    with pytest.raises(GradientError, match="central difference 3"):
        check_gradients(Wrong(), np.array([1.0]))


def test_large_arrays_are_sampled():
    assert check_gradients(Dense(50), input_shape=(2, 30), max_entries=7).entries == 3 * 7


def test_a_layer_needs_an_input():
    with pytest.raises(ValueError, match=r"input_shape=\(batch, \.\.\.\)"):
        check_gradients(Dense(2))
    with pytest.raises(ValueError, match="input_shape needs the batch axis"):
        check_gradients(Dense(2), input_shape=(4,))
