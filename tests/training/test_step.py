import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minikeras import activations, losses
from minikeras.engine import Context, Layer
from minikeras.layers import Activation, Dense, Dropout
from minikeras.models import Sequential
from minikeras.ops import parallel
from minikeras.optimizers import SGD
from minikeras.testing import check_gradients
from minikeras.training.inputs import converted, standardize


def mlp(width=512, **first):
    model = Sequential(
        [
            Dense(width, activation="relu", input_dim=64, **first),
            Dense(width, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    return model


def data(samples=512, inputs=64):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, inputs)).astype("float32")
    return x, np.eye(10, dtype="float32")[rng.integers(10, size=samples)]


def test_a_steady_step_allocates_nothing_large(monkeypatch):
    # In one thread: a second one makes its scratch memory when it first finds work to do, which on
    # a busy machine may be in the middle of the measurement.
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "1")
    monkeypatch.setattr(parallel, "_helpers", None)
    model = mlp()
    x, y = data()
    step = model._ready()
    for _ in range(3):
        step.train(x, y, None)

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(3):
            step.train(x, y, None)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # One activation has 1 MiB, the weights 1.2 MiB. What remains is the byte mask in the
    # derivative of relu, which is made in blocks of at most 256 KiB, and NumPy's own buffers.
    assert peak - before < 400 * 1024
    assert after - before < 8 * 1024


def test_dropout_adds_no_large_allocation():
    model = Sequential([Dense(512, input_dim=64), Dropout(0.3), Dense(10, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    x, y = data()
    step = model._ready()
    for _ in range(3):
        step.train(x, y, None)

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        step.train(x, y, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak - before < 256 * 1024  # the mask alone has 1 MiB


class Spy(Dense):
    """A Dense that notes what its backward pass was asked for."""

    def backward_logits(self, dz, residual, ctx):
        dx = super().backward_logits(dz, residual, ctx)
        self.asked = {
            "dx": dx is not None,
            "dkernel": ctx.wants(self.kernel),
        }
        return dx


def spies(trainable):
    layers = [Spy(4, activation="tanh", trainable=t) for t in trainable]
    model = Sequential(layers)
    model.compile("sgd", "mse")
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 4)))
    return [getattr(layer, "asked", None) for layer in layers]


def test_the_first_layer_computes_no_input_gradient():
    assert spies([True, True]) == [{"dx": False, "dkernel": True}, {"dx": True, "dkernel": True}]


def test_layers_below_the_lowest_trainable_one_do_no_gradient_work():
    assert spies([False, True, True]) == [
        None,
        {"dx": False, "dkernel": True},
        {"dx": True, "dkernel": True},
    ]


def test_a_frozen_layer_in_the_middle_passes_the_gradient_only():
    assert spies([True, False, True])[1] == {"dx": True, "dkernel": False}


def test_nothing_to_train_is_no_error_and_changes_nothing():
    model = Sequential([Dense(2, input_dim=3)])
    model.trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()

    model.train_on_batch(np.ones((2, 3)), np.zeros((2, 2)))

    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize(
    ("activation", "loss", "y"),
    [
        ("softmax", "categorical_crossentropy", np.eye(4)[[0, 2, 1]]),
        ("softmax", "sparse_categorical_crossentropy", np.array([0, 2, 1])),
        ("sigmoid", "binary_crossentropy", np.eye(4)[[0, 2, 1]]),
    ],
)
@pytest.mark.parametrize("in_layer", ["Dense", "Activation", "nested"])
def test_the_fused_gradient_equals_the_two_single_ones(activation, loss, y, in_layer):
    x = np.random.standard_normal((3, 5))

    def gradients(fused):
        np.random.seed(3)
        if in_layer == "Dense":
            layers = [Dense(4, activation=activation, input_dim=5)]
        else:
            layers = [Dense(4, input_dim=5), Activation(activation)]
        model = Sequential([Sequential(layers)] if in_layer == "nested" else layers)
        model.compile("sgd", loss)
        step = model._ready()
        assert step.fused_backward is not None
        if not fused:
            step.fused_backward = None
        step.compute_gradients(*converted(model, standardize(model, x, y)))
        return step.store.blocks[0].gradients

    np.testing.assert_allclose(gradients(True), gradients(False), rtol=2e-5, atol=1e-7)


def test_a_saturated_softmax_still_learns():
    model = Sequential([Dense(2, activation="softmax", input_dim=1, use_bias=False)])
    model.compile("sgd", "categorical_crossentropy")
    model.set_weights([np.array([[40.0, -40.0]])])

    loss = model.train_on_batch(np.ones((1, 1)), np.array([[0.0, 1.0]]))

    assert loss == pytest.approx(-np.log(1e-7), rel=1e-5)  # the value is Keras 2.2's: clipped
    assert model.get_weights()[0].tolist() == [[pytest.approx(39.99), pytest.approx(-39.99)]]


def test_a_layer_used_twice_gets_the_sum_of_both_gradients():
    shared = Dense(3, use_bias=False, input_dim=3)
    model = Sequential([shared, shared])
    model.compile("sgd", "mse")
    kernel = np.arange(9.0).reshape(3, 3) / 10
    model.set_weights([kernel])
    x, y = np.ones((1, 3)), np.zeros((1, 3))

    model._ready().compute_gradients(x.astype("float32"), y.astype("float32"), None)

    dy = 2 * (x @ kernel @ kernel) / 3
    expected = (x @ kernel).T @ dy + x.T @ (dy @ kernel.T)
    np.testing.assert_allclose(model._ready().store.gradients[shared.kernel], expected, rtol=1e-5)


def test_two_models_that_share_a_layer_train_in_turn():
    shared = Dense(3, input_dim=3)
    first = Sequential([shared, Dense(1)])
    second = Sequential([shared, Dense(2)])
    for model in (first, second):
        model.compile("sgd", "mse")
    x = np.ones((4, 3))

    for _ in range(3):
        before = shared.get_weights()[0]
        first.train_on_batch(x, np.ones((4, 1)))
        between = shared.get_weights()[0]
        second.train_on_batch(x, np.ones((4, 2)))
        after = shared.get_weights()[0]
        assert not np.array_equal(before, between)
        assert not np.array_equal(between, after)
    np.testing.assert_array_equal(first.get_weights()[0], second.get_weights()[0])


def test_a_frozen_critic_passes_gradients_and_still_trains_by_itself():
    """The GAN pattern: the critic is compiled trainable, then frozen inside the whole model."""
    critic = Sequential([Dense(4, activation="tanh", input_dim=2), Dense(1, activation="sigmoid")])
    critic.compile("sgd", "binary_crossentropy")
    maker = Sequential([Dense(2, input_dim=3)])
    critic.trainable = False
    whole = Sequential([maker, critic])
    whole.compile("sgd", "binary_crossentropy")

    frozen, made = critic.get_weights(), maker.get_weights()
    whole.train_on_batch(np.ones((4, 3)), np.ones((4, 1)))
    assert all(np.array_equal(a, b) for a, b in zip(frozen, critic.get_weights(), strict=True))
    assert not np.array_equal(made[0], maker.get_weights()[0])

    critic.train_on_batch(np.ones((4, 2)), np.zeros((4, 1)))
    assert not np.array_equal(frozen[0], critic.get_weights()[0])


def test_activity_penalty_is_part_of_loss_and_gradient():
    model = Sequential([Dense(1, use_bias=False, activity_regularizer="l2", input_dim=1)])
    model.compile("sgd", "mse")
    model.set_weights([np.array([[2.0]])])
    x, y = np.array([[1.0], [3.0]], "float32"), np.array([[2.0], [6.0]], "float32")

    loss = model._ready().compute_gradients(x, y, None)[0]

    assert loss == pytest.approx(0.01 * (4 + 36))
    assert model._ready().store.blocks[0].gradients[0] == pytest.approx(0.02 * (2 * 1 + 6 * 3))


def test_loss_weights_scale_the_loss_but_not_the_penalties():
    model = Sequential([Dense(1, use_bias=False, kernel_regularizer="l2", input_dim=1)])
    model.compile("sgd", "mse", loss_weights=10)
    model.set_weights([np.array([[2.0]])])
    x, y = np.array([[1.0]], "float32"), np.array([[1.0]], "float32")

    loss = model._ready().compute_gradients(x, y, None)[0]

    assert loss == pytest.approx(10 * 1 + 0.01 * 4)
    assert model._ready().store.blocks[0].gradients[0] == pytest.approx(10 * 2 + 0.04)


def test_an_unwanted_gradient_is_not_written():
    layer = Dense(2, input_dim=3)
    model = Sequential([layer])
    y, residual = model.propagate(np.ones((1, 3), "float32"), Context())

    dx = model.backpropagate(np.ones_like(y), residual, Context())

    np.testing.assert_allclose(dx, layer.kernel.value.sum(axis=1)[np.newaxis], rtol=1e-6)


@pytest.mark.parametrize("axis", [None, -1, ()], ids=["one number", "per sample", "per entry"])
def test_a_loss_may_have_scores_of_any_shape(axis):
    def squares(y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2, axis=axis)

    def squares_backward(dloss, y_true, y_pred):
        share = 1 if axis == () else y_pred.size if axis is None else y_pred.shape[-1]
        dloss = dloss[:, np.newaxis] if axis == -1 else dloss
        return dloss * 2 * (y_pred - y_true) / share

    x, y = np.random.standard_normal((2, 6, 3))
    results = []
    for loss in (losses.with_gradient(squares, squares_backward), "mse"):
        model = Sequential([Dense(3, input_dim=3)])
        model.compile("sgd", loss)
        model.set_weights([np.eye(3), np.zeros(3)])
        results.append((model.train_on_batch(x, y), model.get_weights()[0]))

    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5)


def test_one_optimizer_may_serve_two_models():
    optimizer = SGD(0.1, momentum=0.9)
    first, second = (Sequential([Dense(1, input_dim=4)]) for _ in range(2))
    for model in (first, second):
        model.compile(optimizer, "mse")
    x, y = np.ones((3, 4)), np.ones((3, 1))
    second.train_on_batch(x, y)

    before = [model.get_weights()[0] for model in (first, second)]
    first.train_on_batch(x, y)
    after = [model.get_weights()[0] for model in (first, second)]

    assert not np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert optimizer.iterations == 2


def test_a_subclass_with_a_forward_pass_of_its_own_is_not_fused():
    class Cooler(Dense):
        def forward(self, x, ctx):
            y, residual = super().forward(x, ctx)
            return y * 0.5 + 0.1, residual

        def backward(self, dy, residual, ctx):
            return super().backward(dy * 0.5, residual, ctx)

    model = Sequential([Cooler(3, activation="softmax", input_dim=4)])
    model.compile("sgd", "categorical_crossentropy")

    check_gradients(model, np.random.standard_normal((5, 4)), np.eye(3)[[0, 1, 2, 0, 1]])


def test_a_loss_of_ones_own_cannot_spoil_later_steps():
    def backward(dloss, y_true, y_pred):
        dloss *= 2
        return dloss[:, np.newaxis] * (y_pred - y_true)

    model = Sequential([Dense(1, input_dim=4)])
    loss = losses.with_gradient(lambda t, p: ((p - t) ** 2).mean(axis=-1), backward)
    model.compile("sgd", loss)

    with pytest.raises(ValueError, match="read-only"):
        model.train_on_batch(np.ones((3, 4)), np.ones((3, 1)))


def test_metrics_are_those_of_the_output_before_backward_may_spoil_it():
    class Sigmoid(Layer):
        def forward(self, x, ctx):
            y = 1 / (1 + np.exp(-x))
            return y, y

        def backward(self, dy, y, ctx):
            dy *= y
            np.subtract(1, y, out=y)
            dy *= y
            return dy

    model = Sequential([Dense(1, input_dim=4), Sigmoid()])
    model.compile("sgd", "mse", metrics=["mse"])
    model.optimizer.lr = 0.0

    loss, metric = model.train_on_batch(np.ones((3, 4)), np.ones((3, 1)))

    assert metric == pytest.approx(loss)


def test_testing_in_other_threads_disturbs_neither_itself_nor_training():
    x, y = data(samples=256)

    def train(at_the_same_time):
        np.random.seed(0)
        model = mlp(width=64)
        expected = model.test_on_batch(x, y)
        if at_the_same_time:
            with ThreadPoolExecutor(4) as pool:
                found = list(pool.map(lambda _: model.test_on_batch(x, y), range(40)))
            assert all(np.allclose(f, expected, rtol=1e-6) for f in found)
            stop = threading.Event()

            def test_on():
                while not stop.is_set():
                    model.evaluate(x, y, batch_size=64, verbose=0)

            with ThreadPoolExecutor(2) as pool:
                for _ in range(2):
                    pool.submit(test_on)
                model.fit(x, y, epochs=3, batch_size=64, verbose=0)
                stop.set()
        else:
            model.fit(x, y, epochs=3, batch_size=64, verbose=0)
        return model.get_weights()

    alone, together = train(False), train(True)

    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_two_threads_do_not_train_one_model_at_once():
    model = mlp(width=8)
    x, y = data(samples=4)
    step = model._ready()

    with ThreadPoolExecutor(1) as another:
        another.submit(step._training.acquire).result()
        with pytest.raises(RuntimeError, match="being trained by another thread"):
            model.train_on_batch(x, y)
        another.submit(step._training.release).result()
    step._training.acquire()  # as if Ctrl-C had come before it could be given back
    model.train_on_batch(x, y)
    assert not step._training._is_owned()


def test_exchanged_layers_and_activations_are_noticed():
    inner = Sequential([Dense(4, input_dim=3)])
    outer = Sequential([inner])
    outer.compile("adam", "mse")
    x = np.ones((2, 3))
    outer.train_on_batch(x, np.ones((2, 4)))

    inner.add(Dense(5))
    before = inner.layers[1].get_weights()[0]
    outer.train_on_batch(x, np.ones((2, 5)))
    assert outer.output_shape == (None, 5)
    assert not np.array_equal(before, inner.layers[1].get_weights()[0])

    model = Sequential([Dense(3, activation="softmax", input_dim=4)])
    model.compile("sgd", "categorical_crossentropy")
    model.layers[0].activation = activations.sigmoid
    check_gradients(model, np.random.standard_normal((5, 4)), np.eye(3)[[0, 1, 2, 0, 1]])
    assert model._ready().fused_backward is None


def test_a_gradient_that_can_not_be_written_to_is_copied():
    class Mean(Layer):
        def forward(self, x, ctx):
            return x.mean(axis=1), x.shape

        def backward(self, dy, shape, ctx):
            return np.broadcast_to(dy[:, np.newaxis] / shape[1], shape)

        def compute_output_shape(self, input_shape):
            return (input_shape[0], *input_shape[2:])

    model = Sequential([Activation("tanh", input_shape=(5, 4)), Mean(), Dense(1)])
    model.layers.insert(0, Dense(4))
    model.build((None, 5, 4))
    model.compile("sgd", "mse")

    model.train_on_batch(np.ones((2, 5, 4)), np.ones((2, 1)))
