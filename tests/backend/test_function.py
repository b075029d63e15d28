import gc
import threading
import weakref

import numpy as np
import pytest

from minikeras import Sequential
from minikeras import backend as K
from minikeras.backend.deferred import Deferred, placeholder
from minikeras.backend.function import eval as evaluate
from minikeras.backend.function import function, gradients, recompute
from minikeras.backend.running import current
from minikeras.backend.tape import Tensor, value_of
from minikeras.engine import Layer
from minikeras.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    Masking,
    MaxPooling2D,
    SimpleRNN,
)
from minikeras.optimizers import SGD

X = np.random.RandomState(0).standard_normal((4, 3)).astype("float32")
SEQUENCES = np.random.RandomState(1).standard_normal((4, 5, 3)).astype("float32")
IMAGES = np.random.RandomState(2).standard_normal((2, 8, 8, 2)).astype("float32")


def numeric(f, x, step=1e-6):
    """Central differences of a function of one array that returns a number, in float64."""
    x = np.array(x, "float64")
    result = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = f(x)
        x[index] = kept - step
        result[index] = (above - f(x)) / (2 * step)
        x[index] = kept
    return result


# --- calling ----------------------------------------------------------------------------------


def test_outputs_are_a_list_of_arrays():
    x = placeholder((None, 3))
    run = function([x], [x * 2, K.sum(x)])
    doubled, total = run([X])
    np.testing.assert_allclose(doubled, 2 * X)
    assert total.shape == ()
    assert type(run((X,))) is list
    assert function([x], x + 1)([X])[0].shape == (4, 3)
    assert function((x,), (x + 1,))([X])[0].shape == (4, 3)


def test_outputs_of_several_kinds():
    w, x = K.variable([1.0, 2.0]), placeholder((2,))
    eager = w * 3.0
    out = function([x], [x, w, eager, np.ones(2), 5.0])([[7.0, 8.0]])
    assert [np.asarray(o).tolist() for o in out] == [[7, 8], [1, 2], [3, 6], [1, 1], 5]


def test_lists_and_other_types_are_converted():
    x = placeholder((None, 2))
    (y,) = function([x], [x * 2])([[[1, 2], [3, 4]]])
    assert y.dtype == np.float32
    assert y.tolist() == [[2.0, 4.0], [6.0, 8.0]]
    assert function([x], [x * 2])([np.ones((1, 2), "float64")])[0].dtype == np.float32
    assert function([x], [x * 2])([K.variable([[1.0, 2.0]])])[0].tolist() == [[2.0, 4.0]]
    n = placeholder((None,), dtype="int32")
    assert function([n], [K.one_hot(n, 3)])([[0, 2]])[0].tolist() == [[1, 0, 0], [0, 0, 1]]


def test_results_belong_to_the_caller():
    w, x = K.variable([1.0, 2.0]), placeholder((2,))
    run = function([x], [w, x, x[:1], w * 1.0])
    given = np.ones(2, "float32")
    results = run([given])
    for result in results:
        result += 100
    assert w.value.tolist() == [1.0, 2.0]
    assert given.tolist() == [1.0, 1.0]
    assert run([given])[0].tolist() == [1.0, 2.0]


def test_each_call_computes_anew():
    x = placeholder((2,))
    run = function([x], [x * x])
    assert run([[1.0, 2.0]])[0].tolist() == [1.0, 4.0]
    assert run([[3.0, 4.0]])[0].tolist() == [9.0, 16.0]


def test_what_two_outputs_share_is_computed_once():
    calls = []
    x = placeholder((2,))
    shared = Deferred(lambda a: calls.append(1) or a * 2, (x,), {}, "shared")
    function([x], [shared + 1, shared * 3, shared])([[1.0, 2.0]])
    assert len(calls) == 1


def test_no_inputs():
    w = K.variable(2.0)
    assert function([], [w * 3.0])([])[0] == 6.0


@pytest.mark.parametrize(
    ("given", "found"), [([], "0"), ([X, X], "2"), (X, "ndarray"), (None, "None"), ({}, "dict")]
)
def test_wrong_number_of_values(given, found):
    run = function([placeholder((None, 3), name="left")], [1.0])
    with pytest.raises(TypeError, match=rf"a list of 1 inputs \('left'\), got {found}"):
        run(given)


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), ()])
def test_shapes_of_what_is_fed(shape):
    x = placeholder((None, 3), name="left")
    with pytest.raises(ValueError, match=r"'left' .* shape \(None, 3\), got an array of shape \("):
        function([x], [x * 2])([np.ones(shape)])


def test_inputs_must_be_placeholders_or_expressions():
    for wrong in (np.ones(2), "x", None, K.variable(1.0)):
        with pytest.raises(TypeError, match="An input of K.function must be a placeholder"):
            function([wrong], [1.0])
    with pytest.raises(TypeError, match="given as a list"):
        function(placeholder((2,)), [1.0])


def test_unfed_placeholders_are_named_at_once():
    a, b = placeholder((2,), name="a"), placeholder((2,), name="b")
    with pytest.raises(ValueError, match=r"depends on the placeholder 'b', .*inputs \(a\)"):
        function([a], [a + b])
    with pytest.raises(ValueError, match=r"placeholder 'b', .*inputs \(none\)"):
        evaluate(b * 2.0)
    with pytest.raises(ValueError, match="placeholder 'b'"):
        function([a], [a], updates=[(K.variable([1.0, 1.0]), b)])


def test_none_among_the_outputs():
    x, w = placeholder((2,)), K.variable([1.0, 1.0])
    with pytest.raises(ValueError, match=r"output of K\.function is None.*does\s+not depend"):
        function([x], gradients(K.sum(x), [w]))


def test_session_options_are_refused():
    with pytest.raises(ValueError, match=r"no argument 'name', 'options'"):
        function([], [1.0], name="f", options=None)


def test_errors_in_an_expression_leave_no_pass_behind():
    x = placeholder((None, 3))
    run = function([x], [K.dot(x, np.ones((4, 2)))])
    with pytest.raises(ValueError, match="shape"):
        run([X])
    assert current() is None


# --- feeding what lies between ----------------------------------------------------------------


def test_feeding_intermediate_expressions():
    x = placeholder((None, 3))
    h = x * 2.0
    y = h + 1.0
    assert function([h], [y])([np.zeros((1, 3))])[0].tolist() == [[1.0] * 3]
    # What is fed counts, also for what else depends on it.
    assert function([x, h], [x, y])([np.ones((1, 3)), np.zeros((1, 3))])[1].tolist() == [[1.0] * 3]
    assert function([h], [h])([np.ones((1, 3))])[0].tolist() == [[1.0] * 3]


def test_feeding_the_output_of_a_layer():
    model = Sequential([Dense(4, input_shape=(3,), activation="tanh"), Dense(2), Dense(1)])
    hidden = [layer.output for layer in model.layers]
    first = function([model.input], [hidden[0]])([X])[0]
    second = function([hidden[0]], [hidden[2]])([first])[0]
    np.testing.assert_allclose(second, model.predict(X), rtol=1e-5)


def test_what_is_fed_between_is_checked_and_converted():
    model = Sequential([Dense(4, input_shape=(3,)), Dense(1)])
    h = model.layers[0].output
    run = function([h], [h * 2, model.output])
    assert run([np.ones((2, 4), "float64")])[0].dtype == np.float32
    assert run([np.ones((2, 4)).tolist()])[0].dtype == np.float32
    with pytest.raises(ValueError, match=r"shape \(None, 4\), got an array of shape \(2, 7\)"):
        run([np.ones((2, 7))])


def test_gradient_by_what_is_fed():
    model = Sequential([Dense(4, input_shape=(3,)), Dense(1)])
    h = model.layers[0].output
    (g,) = function([h], gradients(model.output, h))([np.ones((2, 4))])
    np.testing.assert_allclose(g, np.tile(model.layers[1].kernel.value.T, (2, 1)), rtol=1e-6)


# --- updates ----------------------------------------------------------------------------------


def test_updates_use_the_old_values():
    a, b, x = K.variable(1.0), K.variable(10.0), placeholder(())
    run = function([x], [a, b], updates=[(a, b), (b, a + x), K.update_add(K.variable(0.0), x)])
    assert [float(y) for y in run([5.0])] == [1.0, 10.0]
    assert (float(a.value), float(b.value)) == (10.0, 6.0)


def test_updates_by_the_functions_of_K():
    x = placeholder((2,))
    a, b, c, d = (K.variable([1.0, 2.0]) for _ in range(4))
    run = function(
        [x],
        [],
        updates=[
            K.update(a, x),
            K.update_add(b, x),
            K.update_sub(c, x),
            K.moving_average_update(d, x, 0.5),
        ],
    )
    assert run([[4.0, 8.0]]) == []
    found = [v.value.tolist() for v in (a, b, c, d)]
    assert found == [[4.0, 8.0], [5.0, 10.0], [-3.0, -6.0], [2.5, 5.0]]


def test_a_single_update_needs_no_list():
    w, x = K.variable(1.0), placeholder(())
    run = function([x], [w * x], updates=K.update_add(w, x))
    assert float(run([2.0])[0]) == 2.0
    assert float(w.value) == 3.0
    run = function([x], [], updates=(w, w * x))
    run([2.0])
    assert float(w.value) == 6.0


def test_wrong_updates():
    x = placeholder(())
    for wrong in ([3], [(np.ones(1), x)], [(x, x)]):
        with pytest.raises(TypeError, match="update of K.function is a pair"):
            function([x], [], updates=wrong)


def test_training_by_hand():
    """Gradient descent as a K.function with updates."""
    w, x, t = K.variable(np.zeros((3, 1))), placeholder((None, 3)), placeholder((None, 1))
    loss = K.mean(K.square(K.dot(x, w) - t))
    (g,) = gradients(loss, [w])
    train = function([x, t], [loss], updates=[(w, w - 0.3 * g)])
    wanted = np.array([[1.0], [-2.0], [0.5]])
    losses = [train([X, X @ wanted])[0] for _ in range(300)]
    assert losses[-1] < 1e-6 < losses[0]
    np.testing.assert_allclose(w.value, wanted, atol=1e-3)


# --- variables --------------------------------------------------------------------------------


def test_expressions_of_variables_are_computed_anew():
    w = K.variable([1.0, 2.0])
    y = K.sum(K.square(w * 2.0))
    run = function([], [y])
    assert float(evaluate(y)) == 20.0
    K.set_value(w, [0.0, 1.0])
    assert float(evaluate(y)) == 4.0
    assert float(run([])[0]) == 4.0
    assert float(recompute(y).value) == 4.0
    assert float(y.value) == 20.0
    assert float(K.get_value(y)) == 20.0


def test_layers_on_variables_are_computed_anew():
    layer, x = Dense(2), K.variable(X)
    y = layer(x)
    layer.set_weights([np.ones((3, 2)), np.ones(2)])
    np.testing.assert_allclose(evaluate(y), layer(X), rtol=1e-6)


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_layers_with_several_outputs_are_computed_anew(make):
    layer, x = make(2, return_state=True), K.variable(SEQUENCES)
    outputs = layer(x)
    layer.set_weights([w * 0.5 for w in layer.get_weights()])
    for got, expected in zip(outputs, layer(SEQUENCES), strict=True):
        np.testing.assert_allclose(evaluate(got), expected, rtol=1e-5)


def test_gradients_are_computed_anew():
    w = K.variable([1.0, 2.0])
    (g,) = gradients(K.sum(w * w * w), [w])
    assert g.value.tolist() == [3.0, 12.0]
    K.set_value(w, [2.0, 1.0])
    assert evaluate(g).tolist() == [12.0, 3.0]
    assert evaluate(g * 2).tolist() == [24.0, 6.0]


def test_each_of_several_gradients_is_computed_anew():
    v, w = K.variable([1.0, 2.0]), K.variable([3.0, 4.0])
    by_v, by_w = gradients(K.sum(v * v * w), [v, w])
    K.set_value(v, [2.0, 2.0])
    assert evaluate(by_v).tolist() == [12.0, 16.0]
    assert evaluate(by_w).tolist() == [4.0, 4.0]


def test_eval_of_plain_things():
    assert evaluate(np.ones(2)).tolist() == [1.0, 1.0]
    assert evaluate(3.0) == 3.0
    w = K.variable([1.0])
    evaluate(w)[0] = 5
    assert w.value.tolist() == [1.0]


# --- gradients --------------------------------------------------------------------------------


def test_gradients_of_what_is_not_a_number_are_those_of_the_sum():
    w = K.variable([1.0, 2.0])
    assert gradients(w * w, w)[0].value.tolist() == [2.0, 4.0]
    x = placeholder((2,))
    assert function([x], gradients(x * x, x))([[1.0, 2.0]])[0].tolist() == [2.0, 4.0]


def test_gradients_of_a_variable_by_itself():
    w = K.variable([1.0, 2.0])
    assert gradients(w, w)[0].value.tolist() == [1.0, 1.0]
    x = placeholder((2,))
    assert function([x], gradients(x, x))([[1.0, 2.0]])[0].tolist() == [1.0, 1.0]


def test_none_where_there_is_no_way():
    v, w, x = K.variable(1.0), K.variable(1.0), placeholder(())
    assert gradients(v * 2.0, [v, w])[1] is None
    found = gradients(x * v, [w, x, v])
    assert found[0] is None
    assert [float(g) for g in function([x], found[1:])([3.0])] == [1.0, 3.0]


def test_none_where_the_way_has_no_derivative():
    w = K.variable([1.0, 2.0])
    assert gradients(K.sum(K.stop_gradient(w)), w) == [None]
    x = placeholder((None, 2))
    run = function([x], gradients(K.sum(K.cast(K.argmax(x), "float32")), [x]))
    with pytest.raises(ValueError, match=r"The gradient by .*does not exist.*K\.argmax"):
        run([np.ones((3, 2))])


@pytest.mark.parametrize(
    ("loss", "by"),
    [(np.ones(2), [K.variable(1.0)]), (K.variable(1.0) * 2, [np.ones(2)]), (1.0, []), (None, None)],
)
def test_gradients_of_arrays_are_refused(loss, by):
    with pytest.raises(TypeError, match=r"K\.gradients takes tensors and variables, got"):
        gradients(loss, by)


def test_second_derivatives_are_refused():
    w = K.variable([1.0, 2.0])
    (g,) = gradients(K.sum(w * w * w), [w])
    with pytest.raises(NotImplementedError, match="second derivatives are not"):
        gradients(K.sum(g * g), [w])
    x = placeholder((2,))
    (g,) = gradients(K.sum(x * x * x), [x])
    with pytest.raises(NotImplementedError, match="second derivatives are not"):
        function([x], gradients(K.sum(g * g), [x]))([[1.0, 2.0]])


def test_a_gradient_may_count_as_a_constant():
    w = K.variable([1.0, 2.0])
    (g,) = gradients(K.sum(w * w * w), [w])
    (again,) = gradients(K.sum(K.stop_gradient(g) * w), [w])
    assert again.value.tolist() == [3.0, 12.0]


def test_gradients_of_one_loss_by_several_things_in_several_calls():
    w, x = K.variable(np.ones((3, 2))), K.variable(X)
    loss = K.sum(K.tanh(K.dot(x, w)))
    together = gradients(loss, [w, x])
    apart = gradients(loss, [w]) + gradients(loss, x)
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a.value, b.value)


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN])
def test_a_recurrent_layer_may_be_gone_back_through_twice(make):
    model = Sequential([make(3, input_shape=(5, 3)), Dense(1)])
    loss, weights = K.sum(K.square(model.output)), model.trainable_weights
    together = function([model.input], gradients(loss, [*weights, model.input]))
    apart = function([model.input], gradients(loss, weights) + gradients(loss, [model.input]))
    for a, b in zip(together([SEQUENCES]), apart([SEQUENCES]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_gradients_by_a_placeholder_of_whole_numbers():
    model = Sequential([Embedding(5, 2, input_length=3), Flatten(), Dense(1)])
    loss = K.sum(model.output)
    table = model.layers[0].trainable_weights
    (g,) = function([model.input], gradients(loss, table))([np.array([[1, 1, 4]])])
    assert g.shape == (5, 2)
    assert not g[[0, 2, 3]].any()
    assert g[[1, 4]].all()


def test_saliency():
    model = Sequential(
        [
            Dense(4, activation="tanh", input_shape=(3,), dtype="float64"),
            BatchNormalization(dtype="float64"),
            Dropout(0.5, dtype="float64"),
            Dense(3, activation="softmax", dtype="float64"),
        ]
    )
    (g,) = function([model.input], gradients(model.output[:, 1], model.input))([X])
    expected = numeric(lambda x: float(model.predict(x)[:, 1].sum()), X)
    np.testing.assert_allclose(g, expected, rtol=1e-5, atol=1e-8)


def test_grad_cam():
    """As in the notebooks: the gradient of a class score by the maps of a layer in the middle."""
    model = Sequential(
        [
            Conv2D(4, 3, activation="relu", input_shape=(8, 8, 2)),
            Conv2D(3, 3, activation="tanh", name="maps"),
            MaxPooling2D(),
            Flatten(),
            Dense(3, activation="softmax"),
        ]
    )
    maps = model.get_layer("maps").output
    assert K.int_shape(maps) == (None, 4, 4, 3)
    grads = gradients(model.output[:, 1], maps)[0]
    pooled = K.mean(grads, axis=(0, 1, 2))
    assert K.int_shape(grads) == (None, 4, 4, 3)
    iterate = function([model.input], [pooled, maps[0], grads])
    means, first, found = iterate([IMAGES])
    assert (means.shape, first.shape) == ((3,), (4, 4, 3))

    above = function([maps], [K.sum(model.output[:, 1])])
    given = function([model.input], [maps])([IMAGES])[0]
    expected = numeric(lambda x: float(above([x])[0]), given[:1], step=1e-2)
    np.testing.assert_allclose(found[:1], expected, atol=2e-4)
    np.testing.assert_allclose(means, found.mean(axis=(0, 1, 2)), rtol=1e-5)


def test_activation_maximisation():
    model = Sequential([Conv2D(2, 3, input_shape=(None, None, 1)), GlobalAveragePooling2D()])
    loss = K.mean(model.output[:, 0])
    grads = gradients(loss, model.input)[0]
    grads /= K.sqrt(K.mean(K.square(grads))) + 1e-5
    iterate = function([model.input], [loss, grads])
    image = np.zeros((1, 6, 6, 1))
    first = iterate([image])[0]
    for _ in range(5):
        image += iterate([image])[1]
    assert iterate([image])[0] > first + 1


def test_gradients_of_model_weights_agree_with_training():
    model = Sequential([Dense(4, activation="tanh", input_shape=(3,)), Dense(1)])
    model.compile(SGD(lr=1.0), "mse")
    target = placeholder((None, 1))
    loss = K.mean(K.square(model.output - target))
    grads = gradients(loss, model.trainable_weights)
    assert [K.int_shape(g) for g in grads] == [w.shape for w in model.trainable_weights]
    y = np.ones((4, 1))
    found = function([model.input, target], grads)([X, y])
    before = model.get_weights()
    model.train_on_batch(X, y)
    for old, new, g in zip(before, model.get_weights(), found, strict=True):
        np.testing.assert_allclose(old - new, g, rtol=1e-4, atol=1e-6)


# --- models -----------------------------------------------------------------------------------


class Steps(Layer):
    """A layer in K that calls recurrent layers, which look at the mask."""

    supports_masking = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lstm = LSTM(2)

    def call(self, x):
        return self.lstm(x)

    def compute_mask(self, x, mask=None):
        return None


MODELS = {
    "dense": lambda: [Dense(4, input_shape=(5, 3)), Flatten(), Dense(2)],
    "masked lstm": lambda: [Masking(input_shape=(5, 3)), LSTM(2, return_sequences=True), GRU(2)],
    "bidirectional": lambda: [Masking(input_shape=(5, 3)), Bidirectional(LSTM(2)), Dense(1)],
    "in K": lambda: [Masking(input_shape=(5, 3)), Steps()],
    "nested": lambda: [Masking(input_shape=(5, 3)), Sequential([Dense(3), Steps()]), Dense(1)],
    "dropout": lambda: [Dropout(0.5, input_shape=(5, 3)), BatchNormalization(), LSTM(2)],
}


@pytest.mark.parametrize("name", MODELS)
def test_a_function_gives_what_predict_gives(name):
    model = Sequential(MODELS[name]())
    x = SEQUENCES.copy()
    x[:, 3:] = 0
    x[0, 1] = 0
    run = function([model.input], [layer.get_output_at(0) for layer in model.layers])
    outputs = run([x])
    np.testing.assert_allclose(outputs[-1], model.predict(x), rtol=1e-5, atol=1e-6)
    assert [o.shape[1:] for o in outputs] == [layer.output_shape[1:] for layer in model.layers]
    np.testing.assert_allclose(model(K.variable(x)).value, outputs[-1], rtol=1e-5, atol=1e-6)


def test_the_phase_is_fed_or_fixed_or_zero():
    model = Sequential([Dropout(0.5, input_shape=(50,))])
    x = np.ones((1, 50), "float32")
    run = function([model.input, K.learning_phase()], [model.output])
    assert np.array_equal(run([x, 0])[0], x)
    dropped = run([x, 1])[0]
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert np.array_equal(function([model.input], [model.output])([x])[0], x)
    assert np.array_equal(
        function([*model.inputs, K.learning_phase()], model.outputs)([x, 0])[0], x
    )
    K.set_learning_phase(1)
    assert not np.array_equal(function([model.input], [model.output])([x])[0], x)
    assert np.array_equal(run([x, 0])[0], x)  # what is fed counts
    fixed = function([model.input, K.learning_phase()], [model.output])  # an int by now
    assert not np.array_equal(fixed([x, 1])[0], x)


def test_a_function_leaves_statistics_and_states_alone():
    model = Sequential(
        [
            BatchNormalization(batch_input_shape=(4, 5, 3)),
            LSTM(2, stateful=True),
            Dense(1),
        ]
    )
    model.predict(SEQUENCES)
    normalization, lstm, _ = model.layers
    before = [w.copy() for w in model.get_weights()], [s.numpy() for s in lstm.states]
    run = function([model.input, K.learning_phase()], [model.output])
    for phase in (0, 1):
        run([SEQUENCES + 3, phase])
    loss = gradients(K.sum(model.output), normalization.trainable_weights)
    function([model.input, K.learning_phase()], loss)([SEQUENCES, 1])
    for a, b in zip(model.get_weights(), before[0], strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(lstm.states, before[1], strict=True):
        np.testing.assert_array_equal(a.value, b)


def test_a_function_sees_what_the_weights_are_now():
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse")
    run = function([model.input], [model.output])
    for _ in range(2):
        model.train_on_batch(X, np.ones((4, 1)))
        np.testing.assert_allclose(run([X])[0], model.predict(X), rtol=1e-6)


def test_batch_normalization_in_training_by_a_function():
    model = Sequential([BatchNormalization(input_shape=(3,), epsilon=0.0)])
    run = function([model.input, K.learning_phase()], [model.output])
    np.testing.assert_allclose(run([X, 1])[0].std(axis=0), np.ones(3), rtol=1e-4)
    np.testing.assert_allclose(run([X, 0])[0], X, rtol=1e-5)


# --- loops by hand ----------------------------------------------------------------------------


def test_an_eager_training_loop():
    layer = Dense(1)
    x, target = K.variable(X), X.sum(axis=1, keepdims=True)
    layer(x)
    for _ in range(1000):
        loss = K.mean(K.square(layer(x, training=True) - target))
        for w, g in zip(
            layer.trainable_weights, gradients(loss, layer.trainable_weights), strict=True
        ):
            K.update_sub(w, 0.1 * g)
    np.testing.assert_allclose(layer.kernel.value, np.ones((3, 1)), atol=1e-3)


def test_an_eager_loop_over_a_model_in_both_phases():
    model = Sequential([Dense(8, activation="tanh", input_shape=(3,)), Dropout(0.5), Dense(1)])
    x = K.variable(X)
    assert np.array_equal(model(x).value, model(x).value)
    assert not np.array_equal(model(x, training=True).value, model(x, training=True).value)
    loss = K.mean(K.square(model(x, training=True)))
    found = gradients(loss, model.trainable_weights)
    assert all(isinstance(g, Tensor) for g in found)
    assert all(g.shape == w.shape for g, w in zip(found, model.trainable_weights, strict=True))


def test_a_function_frees_what_it_has_computed():
    class Marked(np.ndarray):
        pass

    kept = []

    def marked(a):
        b = (value_of(a) * 2.0).view(Marked)
        kept.append(weakref.ref(b))
        return b

    x = placeholder((2,))
    run = function([x], [K.sum(Deferred(marked, (x,), {}))])
    gc.collect()
    gc.disable()
    try:
        run([[1.0, 2.0]])
        assert kept[-1]() is None
    finally:
        gc.enable()


def test_many_threads_share_a_function():
    model = Sequential([Steps(input_shape=(5, 3)), Dense(2)])
    loss = K.sum(model.output)
    run = function([model.input], [model.output, *gradients(loss, [model.input])])
    inputs = [SEQUENCES + i for i in range(8)]
    expected = [run([x]) for x in inputs]
    found, errors = {}, []

    def work(i):
        try:
            for _ in range(5):
                found[i] = run([inputs[i]])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for i in range(8):
        for a, b in zip(found[i], expected[i], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
