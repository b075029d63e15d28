import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

from minikeras import Sequential
from minikeras import backend as K
from minikeras.backend.deferred import Deferred, Placeholder
from minikeras.engine import Input, Layer
from minikeras.layers import (
    LSTM,
    Activation,
    BatchNormalization,
    Bidirectional,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Lambda,
    Masking,
    TimeDistributed,
)
from minikeras.models import clone_model

X = np.random.RandomState(0).standard_normal((4, 3)).astype("float32")


def stack(**kwargs):
    return Sequential([Dense(4, input_shape=(3,), name="first"), Dense(2, name="second")], **kwargs)


def test_input_and_output_of_a_model_and_its_layers():
    model = stack()
    first, second = model.layers
    assert isinstance(model.input, Placeholder)
    assert model.input is first.input
    assert first.output is second.input
    assert second.output is model.output
    assert (model.inputs, model.outputs) == ([model.input], [model.output])
    assert model.input is model.input
    assert model.output is model.output
    assert K.int_shape(model.input) == (None, 3)
    assert K.int_shape(first.output) == (None, 4)
    assert (model.output.shape, model.output.dtype) == ((None, 2), np.float32)
    assert model.input.name == "first_input"
    assert K.is_keras_tensor(model.output)
    assert K.is_keras_tensor(model.input)
    assert not K.is_keras_tensor(model.output * 2)


def test_the_slice_of_a_model_between_two_layers():
    model = Sequential([Dense(4, input_shape=(3,)), Activation("tanh"), Dense(2), Dense(1)])
    run = K.function([model.layers[1].input], [model.layers[2].output])
    h = np.ones((2, 4))
    np.testing.assert_allclose(run([h])[0], model.layers[2](np.tanh(h)), rtol=1e-6)


def test_not_built():
    model = Sequential([Dense(2)])
    for name in ("input", "output", "inputs", "outputs"):
        with pytest.raises(AttributeError, match="has not been built. Give the first layer"):
            getattr(model, name)
    for name in ("input", "output"):
        with pytest.raises(AttributeError, match=f"has no {name}: it is in no model"):
            getattr(model.layers[0], name)
        with pytest.raises(AttributeError, match="in no model"):
            getattr(Dense(2), name)
    model.predict(X)
    assert K.int_shape(model.layers[0].output) == (None, 2)
    assert K.int_shape(model.output) == (None, 2)


def test_an_input_layer_gives_its_name_and_type():
    model = Sequential([Input((3,), name="pixels", dtype="float64"), Dense(2)])
    assert model.input.name == "pixels"
    assert model.input.dtype == np.float64
    assert K.function([model.input], [model.output])([X])[0].shape == (4, 2)


def test_whole_numbers_as_input():
    model = Sequential([Embedding(5, 2, input_length=3), Flatten()])
    assert K.int_shape(model.input) == (None, 3)
    run = K.function([model.input], [model.layers[0].output])
    assert run([np.array([[0, 1, 4]])])[0].shape == (1, 3, 2)


def test_a_fixed_batch_size():
    model = Sequential([LSTM(2, stateful=True, batch_input_shape=(4, 5, 3))])
    assert model.input.shape == (4, 5, 3)
    assert model.output.shape == (4, 2)


def test_adding_and_taking_away():
    model = stack()
    before = model.input, model.output, model.layers[0].output
    model.add(Dense(5))
    assert K.int_shape(model.output) == (None, 5)
    model.pop()
    assert K.int_shape(model.output) == (None, 2)
    # Expressions made before stay what they were.
    run = K.function([before[0]], [before[1], before[2]])
    assert run([X])[0].shape == (4, 2)
    popped = model.layers[-1]
    model.pop()
    with pytest.raises(AttributeError, match="in no model"):
        _ = popped.output


def test_a_layer_in_two_models():
    shared = Dense(4, input_shape=(3,))
    one, two = Sequential([shared, Dense(1)]), Sequential([shared, Dense(2)])
    with pytest.raises(AttributeError, match=r"used 2 times, .*get_output_at\(index\)"):
        _ = shared.output
    with pytest.raises(AttributeError, match=r"get_input_at\(index\)"):
        _ = shared.input
    assert shared.get_output_at(0) is one.layers[1].input
    assert shared.get_output_at(1) is two.layers[1].input
    assert shared.get_input_at(1) is two.input
    for index in (2, -1):
        with pytest.raises(ValueError, match=f"used 2 times, there is no place {index}"):
            shared.get_output_at(index)
    del one
    gc.collect()
    assert shared.output is two.layers[1].input


def test_a_layer_twice_in_one_model():
    layer = Dense(3, input_shape=(3,))
    model = Sequential([layer, layer])
    assert layer.get_input_at(0) is model.input
    assert layer.get_output_at(0) is layer.get_input_at(1)
    assert layer.get_output_at(1) is model.output
    loss = K.sum(model.output)
    (g,) = K.function([model.input], K.gradients(loss, [layer.kernel]))([X])
    kernel = layer.kernel.value
    expected = X.T @ np.ones((4, 3)) @ kernel.T + (X @ kernel).T @ np.ones((4, 3))
    np.testing.assert_allclose(g, expected, rtol=1e-4)


def test_nested_models():
    inner = Sequential([Dense(4, input_shape=(3,)), Dense(2)])
    outer = Sequential([Activation("tanh", input_shape=(3,)), inner, Dense(1)])
    assert K.int_shape(inner.output) == (None, 2)
    run = K.function([inner.input], [inner.output])
    np.testing.assert_allclose(run([X])[0], inner.predict(X), rtol=1e-5)
    # Inside of the outer model:
    run = K.function([outer.input], [inner.get_output_at(0)])
    np.testing.assert_allclose(run([X])[0], inner.predict(np.tanh(X)), rtol=1e-5)
    assert K.int_shape(inner.layers[0].output) == (None, 4)


def test_a_model_on_an_expression():
    model, x = stack(), K.placeholder((None, 3))
    y = model(x * 2.0)
    assert isinstance(y, Deferred)
    assert y.shape == (None, 2)
    np.testing.assert_allclose(
        K.function([x], [y])([X])[0], model.predict(2 * X), rtol=1e-5, atol=1e-7
    )
    (g,) = K.function([x], K.gradients(y, x))([X])
    kernels = [layer.kernel.value for layer in model.layers]
    np.testing.assert_allclose(g, np.tile(2 * (kernels[0] @ kernels[1]).sum(1), (4, 1)), rtol=1e-4)


def test_layers_on_expressions_take_options():
    x = K.placeholder((None, 50))
    layer = Dropout(0.5)
    run = K.function([x], [layer(x), layer(x, training=True)])
    kept, dropped = run([np.ones((1, 50))])
    assert (kept == 1).all()
    assert set(np.unique(dropped)) == {0.0, 2.0}
    steps = K.placeholder((None, 5, 3))
    mask = np.array([[1, 1, 0, 0, 0]], bool)
    lstm = LSTM(2)
    (y,) = K.function([steps], [lstm(steps, mask=mask)])([np.ones((1, 5, 3))])
    np.testing.assert_allclose(y, lstm(np.ones((1, 5, 3)), mask=mask), rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bidirectional(LSTM(2, return_sequences=True)),
        lambda: TimeDistributed(Dense(2)),
        lambda: Lambda(lambda x: K.sum(x, axis=1)),
        lambda: BatchNormalization(),
        lambda: Masking(),
        lambda: Sequential([Dense(3), LSTM(2)]),
    ],
    ids=["bi", "td", "lambda", "bn", "masking", "model"],
)
def test_expressions_through_layers_of_all_kinds(make):
    model = Sequential([Activation("linear", input_shape=(5, 3)), make()])
    x = np.random.standard_normal((2, 5, 3)).astype("float32")
    assert K.int_shape(model.output) == model.output_shape
    run = K.function([model.input], [model.output, *K.gradients(K.sum(model.output), model.input)])
    y, dx = run([x])
    np.testing.assert_allclose(y, model.predict(x), rtol=1e-5, atol=1e-6)
    assert dx.shape == x.shape


def test_the_type_of_an_output_of_whole_numbers():
    model = Sequential([Lambda(K.argmax, input_shape=(3,))])
    assert model.output.dtype.kind == "i"
    assert model.predict(X).dtype.kind == "i"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_expressions_of_their_own(copied):
    model = stack()
    _ = model.output, model.layers[0].output
    other = copied(model)
    assert other.input is not model.input
    other.set_weights([2 * w for w in model.get_weights()])
    run = K.function([other.input], [other.layers[0].output])
    np.testing.assert_allclose(run([X])[0], other.layers[0](X), rtol=1e-6)
    assert model.layers[0].output is model.layers[1].input
    with pytest.raises(AttributeError, match="in no model"):
        _ = copied(model.layers[0]).output


def test_clones_have_expressions_of_their_own():
    model = stack()
    clone = clone_model(model)
    assert clone.input is not model.input
    assert clone.layers[0].output is clone.layers[1].input


def test_a_model_is_not_kept_alive_by_its_layers():
    model = stack()
    layer, output = model.layers[0], model.output
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None
    assert output.shape == (None, 2)
    with pytest.raises(AttributeError, match="in no model"):
        _ = layer.output


def test_models_come_and_go_and_leave_no_trace_on_a_shared_layer():
    layer = Dense(3, input_shape=(3,))
    for _ in range(50):
        Sequential([layer, Dense(1)])
    gc.collect()
    Sequential([layer])
    assert len(layer._models) <= 2


def test_threads_see_one_expression():
    model = stack()
    found = []
    threads = [threading.Thread(target=lambda: found.append(model.output)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(x) for x in found}) == 1


def test_the_shape_of_an_output_is_what_the_layer_says():
    """A `call` that does not take arrays of ones is not tried where the layer knows its shape."""

    class Picky(Layer):
        def call(self, x):
            if bool(K.all(K.equal(x, 1.0))):
                raise ValueError("ones")
            return x[:, :2]

        def compute_output_shape(self, input_shape):
            return (input_shape[0], 2)

    model = Sequential([Picky(input_shape=(3,))])
    assert K.int_shape(model.output) == (None, 2)
    assert K.function([model.input], [model.output])([X])[0].shape == (len(X), 2)
