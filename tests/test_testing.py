import numpy as np
import pytest

from minikeras import activations, losses
from minikeras import backend as K
from minikeras.engine import Layer
from minikeras.layers import LSTM, Activation, Dense, Dropout
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


class Passing(Layer):
    """Hands the gradient `dx` of its input out, whatever came in; forward gives `x`."""

    def __init__(self, dx):
        super().__init__()
        self.dx = dx

    def forward(self, x, ctx):
        return x.copy(), None

    def backward(self, dy, residual, ctx):
        return self.dx.copy()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("huge", [1e12, -1e300])
def test_a_huge_entry_does_not_hide_the_others(huge, seed):
    dx = np.zeros((40, 50))
    dx[7, 9] = huge
    with pytest.raises(GradientError, match=r"x\["):
        check_gradients(Passing(dx), input_shape=(40, 50), seed=seed, max_entries=20)


def test_the_entry_with_the_largest_gradient_is_always_compared():
    class OneWrong(Passing):
        def backward(self, dy, residual, ctx):
            dy[7, 9] = 1e6
            return dy

    with pytest.raises(GradientError, match=r"worst of 5 entries: x\[7, 9\]"):
        check_gradients(OneWrong(None), input_shape=(40, 50), max_entries=5)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_all_entries_must_be_finite(bad):
    class OneBad(Passing):
        def backward(self, dy, residual, ctx):
            dy[7, 9] = bad
            return dy

    with pytest.raises(GradientError, match=r"gradient of x\[7, 9\] is (inf|nan): not a finite"):
        check_gradients(OneBad(None), input_shape=(40, 50), max_entries=5)


class Rows(Layer):
    """Looks rows of a table up by their numbers; `slip` spoils the table's gradient."""

    input_dtype = "int32"

    def __init__(self, slip=0.0, **kwargs):
        super().__init__(**kwargs)
        self.slip = slip

    def build(self, input_shape):
        self.table = self.add_weight("table", (5, 2), initializer="uniform")

    def forward(self, x, ctx):
        assert x.dtype == np.int32
        return self.table.value[x], x

    def backward(self, dy, x, ctx):
        assert not ctx.needs_input_gradient
        dtable = ctx.gradient(self.table)
        if dtable is not None:
            dtable[...] = self.slip
            np.add.at(dtable, x, dy)

    def compute_output_shape(self, input_shape):
        return (*input_shape, 2)


def test_a_layer_of_integers_is_checked_by_its_weights():
    assert check_gradients(Rows(), [[0, 3], [3, 1]]).entries == 10
    assert check_gradients(Sequential([Rows(), Dense(1)]), [[0, 3], [3, 1]]).entries == 10 + 3
    with pytest.raises(GradientError, match=r"table:0\[0, 0\]"):
        check_gradients(Rows(slip=1e-3), [[2, 3], [3, 1]])
    with pytest.raises(ValueError, match="takes an input of type int32: pass an array"):
        check_gradients(Rows(), input_shape=(2, 2))


def test_no_comparison_is_no_success():
    model = Sequential([Dense(2, input_dim=3, trainable=False)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Sequential 'sequential_1': there was nothing to compare"):
        check_gradients(model, np.ones((4, 3)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="there was nothing to compare"):
        check_gradients(Rows(trainable=False), [[1, 2]])


class Product(Layer):
    """Multiplies by a weight and, in training, a random mask; `kept` in the layer, not outside."""

    kept = None

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")

    def compute(self, x, ctx):
        mask = ctx.generator.random(x.shape) if ctx.training else np.ones(x.shape)
        return mask * x * self.scale.value, (x, mask)

    def forward(self, x, ctx):
        y, (x, mask) = self.compute(x, ctx)
        if self.kept == "x":
            self.x = x
            return y, (None, mask)
        if self.kept == "mask":
            self.mask = mask
            return y, (x, None)
        return y, (x, mask)

    def backward(self, dy, residual, ctx):
        x, mask = residual
        x = self.x if x is None else x
        dy = dy * (self.mask if mask is None else mask)
        ctx.add_gradient(self.scale, (dy * x).sum(axis=0))
        return dy * self.scale.value


def test_state_in_the_layer_is_caught():
    layer = Product()
    check_gradients(layer, input_shape=(3, 4), training=True)
    for layer.kept in ("x", "mask"):
        with pytest.raises(GradientError, match="must go into the residual, not into the layer"):
            check_gradients(layer, input_shape=(3, 4), training=True)


def test_the_result_depends_on_the_seed_alone():
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = check_gradients(Dense(3, activation="tanh", name="d"), input_shape=(2, 4), seed=5)
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(2)
    assert (
        check_gradients(Dense(3, activation="tanh", name="d"), input_shape=(2, 4), seed=5) == first
    )
    assert check_gradients(Dense(3, activation="tanh", name="d"), input_shape=(2, 4)) != first


def test_a_models_weights_follow_the_seed_too():
    reports = []
    for seed in (1, 2):
        np.random.seed(seed)
        model = Sequential([Dense(3, activation="tanh", name="d")])
        model.compile("sgd", "mse")
        reports.append(check_gradients(model, np.arange(8.0).reshape(2, 4) / 8, np.ones((2, 3))))
        assert np.random.get_state()[2] == np.random.RandomState(seed).get_state()[2]
    assert reports[0] == reports[1]


@pytest.mark.parametrize("slip", ["adds", "leaves one out"])
def test_backward_must_overwrite_all_of_a_gradient(slip):
    class Slip(Product):
        def backward(self, dy, residual, ctx):
            x, _ = residual
            dscale = (dy * x).sum(axis=0)
            target = ctx.gradient(self.scale)
            if slip == "adds":
                target += dscale
            else:
                target[1:] = dscale[1:]
            return dy * self.scale.value

    message = "not all entries of the gradient of slip_1/scale:0 were written, or backward adds"
    with pytest.raises(GradientError, match=message):
        check_gradients(Slip(), input_shape=(3, 4))


def test_a_compiled_model_with_sample_weights():
    model = Sequential([Dense(2, input_shape=(4, 3))])
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    x, y = np.random.RandomState(0).standard_normal((2, 5, 4, 3))
    weights = np.random.RandomState(1).random((5, 4))
    report = check_gradients(model, x, y[..., :2], weights)
    assert report.entries == 8
    assert report.analytic != check_gradients(model, x, y[..., :2], weights * 3).analytic
    with pytest.raises(TypeError, match="pass x, y and sample_weight; got 4"):
        check_gradients(model, x, y[..., :2], weights, weights)
    with pytest.raises(ValueError, match="is not compiled"):
        check_gradients(Sequential([Dense(2)]), x, y[..., :2])


def test_what_can_be_passed():
    with pytest.raises(TypeError, match=r"not the class Dense: pass Dense\(\.\.\.\)"):
        check_gradients(Dense, input_shape=(2, 3))
    assert check_gradients("l2", [1.0, -2.0]).entries == 2
    assert check_gradients("elu", [1.0, -2.0]).entries == 2
    with pytest.raises(ValueError, match="'tahn'. Did you mean 'tanh'.* l1_l2.*two arrays"):
        check_gradients("tahn", [1.0])
    for loss in ("mse", losses.mean_squared_error):
        with pytest.raises(TypeError, match="pass y_true and y_pred .*got 1"):
            check_gradients(loss, [[1.0]])


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
@pytest.mark.parametrize("slip", ["dx", "weight", None])
def test_backward_logits_is_checked(activation, slip):
    class Slip(Dense):
        def forward(self, x, ctx):
            return super().forward(x, ctx)

        def backward(self, dy, residual, ctx):
            pair = activations.forward_backward(self.activation)
            return super().backward_logits(pair.backward(dy, residual[1]), residual, ctx)

        def backward_logits(self, dz, residual, ctx):
            dx = super().backward_logits(dz, residual, ctx)
            if slip == "weight":
                ctx._gradients[self.kernel][0, 0] += 1e-4
            return dx * 1.001 if slip == "dx" else dx

    layers = Slip(3, activation=activation), Sequential([Dense(4), Slip(3, activation=activation)])
    for layer in layers:
        if slip is None:
            check_gradients(layer, input_shape=(2, 4))
            continue
        with pytest.raises(GradientError, match="is another one from backward_logits"):
            check_gradients(layer, input_shape=(2, 4))


def test_an_activation_that_keeps_its_input_has_no_logits_to_check():
    square = activations.with_gradient(np.square, lambda dy, x: 2 * dy * x, needs_input=True)
    assert check_gradients(Activation(square), input_shape=(2, 4)).entries == 8


def test_backward_must_leave_input_and_output_alone():
    class Slip(Layer):
        def forward(self, x, ctx):
            y = np.tanh(x)
            return y, (x, y)

        def backward(self, dy, residual, ctx):
            spoilt = residual[self.which]
            dx = dy * (1 - residual[1] ** 2)
            spoilt *= 2
            return dx

    layer = Slip()
    for layer.which, what in enumerate(("input", "output")):
        with pytest.raises(GradientError, match=f"backward has written to (its|the) {what}"):
            check_gradients(layer, input_shape=(2, 4))


def test_weights_of_one_name_are_all_compared():
    class Twins(Layer):
        def build(self, input_shape):
            self.a = self.add_weight(shape=(input_shape[-1],))
            self.b = self.add_weight(shape=(input_shape[-1],))
            self.built = True

        def forward(self, x, ctx):
            return x * self.a.value * self.b.value, x

        def backward(self, dy, x, ctx):
            ctx.add_gradient(self.a, 7 * (dy * x * self.b.value).sum(axis=0))
            ctx.add_gradient(self.b, (dy * x * self.a.value).sum(axis=0))
            return dy * self.a.value * self.b.value

    with pytest.raises(GradientError, match="weight:0"):
        check_gradients(Twins(), input_shape=(2, 3))


def test_functions_of_several_arrays():
    a, b, c = np.random.RandomState(0).standard_normal((3, 2, 2))
    assert check_gradients(lambda a, b, c: K.dot(a, b) * c, a, b, c).entries == 12
    with pytest.raises(TypeError, match="returned ndarray for a tensor"):
        check_gradients(lambda a, b, c: np.ones(2), a, b, c)


def test_layers_with_several_outputs():
    check_gradients(LSTM(2, return_state=True), input_shape=(2, 3, 2))
