import gc
import threading
import weakref

import numpy as np
import pytest

from minikeras import Sequential
from minikeras import backend as K
from minikeras.backend import tape
from minikeras.backend.running import current
from minikeras.backend.tape import Tensor
from minikeras.engine import Layer
from minikeras.layers import (
    LSTM,
    Activation,
    BatchNormalization,
    Dense,
)
from minikeras.testing import check_gradients

from .taped_layers import SEQUENCES, Phase, Scaled, X, Y, held

# --- what a call may return -------------------------------------------------------------------


def test_call_may_return_its_input():
    class Nothing(Layer):
        def call(self, x):
            return x

    model = Sequential([Dense(3, input_shape=(3,)), Nothing(), Nothing(), Dense(1)])
    model.compile("sgd", "mse")
    check_gradients(model, X, Y)
    given = X.copy()
    out = Sequential([Nothing(input_shape=(3,))]).predict(given)
    out += 1
    np.testing.assert_array_equal(given, X)


def test_call_may_return_a_constant_or_a_variable():
    class Constant(Layer):
        def call(self, x):
            return np.ones(K.int_shape(x), "float32")

    class Table(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (4, 3))
            self.built = True

        def call(self, x):
            return self.w

        def compute_output_shape(self, shape):
            return (4, 3)

    model = Sequential([Dense(3, input_shape=(3,)), Constant(), Dense(1)])
    model.compile("sgd", "mse")
    before = model.layers[0].get_weights()[0]
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], before)

    model = Sequential([Table(batch_input_shape=(4, 3)), Dense(1)])
    model.compile("sgd", "mse")
    check_gradients(model, X, Y)
    before = model.layers[0].get_weights()[0]
    model.train_on_batch(X, Y)
    assert not np.array_equal(model.layers[0].get_weights()[0], before)


@pytest.mark.parametrize("result", [None, "text", {"y": 1}], ids=["None", "str", "dict"])
def test_call_that_returns_no_array_names_its_layer(result):
    layer = held(lambda x: result, name="wrong")
    with pytest.raises((TypeError, ValueError), match=r"'wrong' \(Holding\).*call"):
        Sequential([layer]).predict(X)
    layer = held(lambda x: result, name="wrong", input_shape=(3,))
    with pytest.raises((TypeError, ValueError), match=r"'wrong' \(Holding\).*call"):
        Sequential([layer, Dense(1)])


def test_call_that_forgets_to_return_with_its_own_output_shape():
    class Forgets(Layer):
        def call(self, x):
            K.tanh(x)

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(TypeError, match="call must return a tensor or an array.*None"):
        Forgets()(X)


def test_wrong_promised_shape():
    class Liar(Layer):
        def call(self, x):
            return x[:, :2]

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(ValueError, match=r"into \(4, 2\), but compute_output_shape promises"):
        Liar()(X)


def test_call_and_forward_in_one_class_are_refused():
    with pytest.raises(TypeError, match="Both defines both call and forward"):
        type("Both", (Layer,), {"call": lambda s, x: x, "forward": lambda s, x, c: (x, None)})


def test_the_newer_of_call_and_forward_counts():
    class InK(Dense):
        def call(self, x):
            return 0.0 * super().call(x)

    class ByHandAgain(InK):
        def forward(self, x, ctx):
            return x[:, :1], None

        def backward(self, dy, residual, ctx):
            raise NotImplementedError

    assert not InK(1)(X).any()
    np.testing.assert_array_equal(ByHandAgain(1)(X), X[:, :1])

    class Mixin:
        def call(self, x):
            return -x

    class Mixed(Mixin, Activation):
        pass

    np.testing.assert_array_equal(Mixed("relu")(X), -X)


# --- in place ---------------------------------------------------------------------------------


def test_augmented_assignment_in_a_call():
    class Affine(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (3, 3))
            self.b = self.add_weight("b", (3,), initializer="uniform")
            self.built = True

        def call(self, x):
            y = K.dot(x, self.w)
            y += self.b
            y *= 2.0
            return y

    check_gradients(Affine(), X)
    layer = Affine()
    expected = 2 * (layer(X) / 2)
    model = Sequential([layer])
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-6)
    assert model(K.variable(X)).shape == X.shape


def test_augmented_assignment_never_changes_the_input():
    class Aliased(Layer):
        def call(self, x):
            y = x
            y *= 2.0
            return x + y

        def compute_output_shape(self, shape):
            return shape

    given = X.copy()
    model = Sequential([Activation("linear"), Aliased()])
    np.testing.assert_allclose(model.predict(given), 3 * X, rtol=1e-6)
    np.testing.assert_allclose(K.eval(model(K.variable(given))), 3 * X, rtol=1e-6)
    np.testing.assert_allclose(K.function([model.input], [model.output])([X])[0], 3 * X, rtol=1e-6)
    np.testing.assert_array_equal(given, X)


def test_a_loss_in_place_changes_nothing_for_the_metrics():
    def doubling(y_true, y_pred):
        y_pred *= 2.0
        return K.mean(K.square(y_pred - y_true), axis=-1)

    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", doubling, metrics=["mse"])
    tested = model.evaluate(X, Y, verbose=0)
    assert model.train_on_batch(X, Y) == pytest.approx(tested, rel=1e-5)


def test_gradients_in_a_call():
    """Where nothing is recorded there are none, and that is said."""

    class Slope(Layer):
        def call(self, x):
            (g,) = K.gradients(K.sum(x * x * x), [x])
            return K.stop_gradient(g)

        def compute_output_shape(self, shape):
            return shape

    np.testing.assert_allclose(Slope()(K.variable(X)).value, 3 * X**2, rtol=1e-5)
    with pytest.raises(
        RuntimeError, match=r"K\.gradients was called in a pass that does not go back"
    ):
        Sequential([Slope()]).predict(X)
    assert current() is None


def test_assigning_items_is_refused_in_training():
    class Writes(Layer):
        def call(self, x):
            x[:, 0] = 0.0
            return x

        def compute_output_shape(self, shape):
            return shape

    with pytest.raises(TypeError, match="item assignment"):
        trained_on(Writes())


def trained_on(layer):
    model = Sequential([layer])
    model.compile("sgd", "mse")
    return model.train_on_batch(X, X)


@pytest.mark.parametrize(
    "function",
    [lambda x: np.asarray(x) * 2, lambda x: float(x[0, 0]) * x, lambda x: np.sort(x)],
    ids=["asarray", "float", "sort"],
)
def test_losing_the_derivative_is_an_error_in_training(function):
    with pytest.raises((TypeError, ValueError), match="lose the derivative|can't be applied"):
        trained_on(held(function))
    assert current() is None


# --- nothing recorded, nothing kept -----------------------------------------------------------


def test_nothing_is_recorded_where_nobody_goes_back(monkeypatch):
    layer = held(lambda x, d, s: s(d(x)) * x + K.mean(x), Dense(3), Scaled())
    model = Sequential([layer, Sequential([Scaled()]), Dense(1)])
    model.compile("sgd", "mse", metrics=[lambda t, p: K.mean(p)])
    model.predict(X)
    made = []
    init = Tensor.__init__

    def counting(self, *args, **kwargs):
        init(self, *args, **kwargs)
        if self.op is not None:  # what a layer is given is a tensor without a past
            made.append(self)

    monkeypatch.setattr(tape.Tensor, "__init__", counting)
    model.predict(X)
    model.evaluate(X, Y, verbose=0)
    layer(X)
    assert not made
    model.train_on_batch(X, Y)
    assert made


def test_a_step_leaves_no_cycles_behind():
    layer = held(
        lambda x, d, m, b: d(K.tanh(b(m(x))) * 2.0),
        Dense(3, activation="tanh", activity_regularizer="l2"),
        LSTM(3, dropout=0.5),
        BatchNormalization(),
        input_shape=(5, 3),
    )
    model = Sequential([layer, Scaled(), Dense(1)])
    model.compile("sgd", lambda t, p: K.mean(K.square(t - p), -1))
    model.train_on_batch(SEQUENCES, Y)
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        model.train_on_batch(SEQUENCES, Y)
        gc.collect()
        found = [type(item).__name__ for item in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert found == []


def test_the_arrays_of_a_step_are_freed_at_once():
    class Marked(np.ndarray):
        pass

    kept = []

    def watched(x):
        array = np.ones(K.int_shape(x), "float32").view(Marked)
        kept.append(weakref.ref(array))
        return x * array

    model = Sequential([held(watched, input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")
    gc.disable()
    try:
        model.train_on_batch(X, Y)
        assert kept
        assert kept[-1]() is None
    finally:
        gc.enable()


def test_a_model_is_freed():
    model = Sequential([held(lambda x, d: d(x), Dense(3), input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
    K.function([model.input], [model.output])([X])
    reference = weakref.ref(model.layers[0])
    del model
    gc.collect()
    assert reference() is None


def test_call_runs_once_a_step_however_deep():
    calls = []

    class Counting(Layer):
        def call(self, x):
            calls.append(1)
            return x * 2.0

    layer = held(lambda x, a: a(x), held(lambda x, b: b(x), held(lambda x, c: c(x), Counting())))
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, Y)
    run = K.function([model.input], [model.output])
    run([X])
    for step in (
        lambda: model.train_on_batch(X, Y),
        lambda: model.predict_on_batch(X),
        lambda: run([X]),
    ):
        calls.clear()
        step()
        assert len(calls) == 1


# --- errors and threads -----------------------------------------------------------------------


def test_an_error_in_a_call_leaves_the_thread_clean():
    def fragile(x, d):
        y = d(x)
        if K.int_shape(x)[0] == 3:
            raise RuntimeError("boom")
        return y

    outer = held(lambda x, h: h(x, training=True), held(fragile, Dense(3)), input_shape=(3,))
    model = Sequential([outer])
    model.compile("sgd", "mse")
    run = K.function([model.input], [model.output])
    bad = X[:3]
    for step in (
        lambda: model.train_on_batch(bad, bad),
        lambda: model.evaluate(bad, bad, verbose=0),
        lambda: model.predict(bad),
        lambda: outer(bad),
        lambda: outer(K.variable(bad)),
        lambda: run([bad]),
    ):
        with pytest.raises(RuntimeError, match="boom"):
            step()
        assert current() is None
    assert model.train_on_batch(X, X) > 0


def test_an_error_in_a_loss_leaves_the_thread_clean():
    def loss(t, p):
        raise RuntimeError("boom")

    model = Sequential([Scaled(input_shape=(3,))])
    model.compile("sgd", loss)
    for step in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(RuntimeError, match="boom"):
            step(X, X)
        assert current() is None


def test_eight_threads_predict():
    layer = held(lambda x, d, s: s(d(x)) * x, Dense(3), Scaled(), input_shape=(3,))
    model = Sequential([layer, Dense(2)])
    inputs = [X + i for i in range(8)]
    expected = [model.predict(x) for x in inputs]
    found, errors = [None] * 8, []

    def work(i):
        try:
            for _ in range(5):
                found[i] = model.predict(inputs[i])
            assert current() is None
        except BaseException as error:
            errors.append(error)

    run_threads(work, 8)
    assert not errors
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_in_different_phases_while_one_trains():
    phases = held(lambda x, p: p(x), Phase(), input_shape=(3,))
    shared = Sequential([phases])
    trained_model = Sequential([held(lambda x, p, d: p(x) + d(x), Phase(), Dense(3))])
    trained_model.compile("sgd", "mse")
    trained_model.train_on_batch(X, X)
    errors = []

    def work(i):
        try:
            for _ in range(20):
                if i == 0:
                    trained_model.train_on_batch(X, X)
                elif i == 1:
                    assert (phases(X, training=True) == 11).all()
                else:
                    assert (shared.predict(X) == 0).all()
        except BaseException as error:
            errors.append(error)

    run_threads(work, 4)
    assert not errors


def test_threads_build_a_layer_once():
    layer = held(lambda x, d: d(x), Dense(3))
    run_threads(lambda i: layer(X), 8)
    assert len(layer.weights) == 2


def run_threads(work, count):
    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
