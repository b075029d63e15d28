import copy
import pickle

import numpy as np
import pytest

from minikeras import Sequential, regularizers
from minikeras import backend as K
from minikeras.backend.running import current
from minikeras.engine import Layer
from minikeras.layers import (
    Dense,
    GlobalAveragePooling1D,
    TimeDistributed,
)
from minikeras.models import clone_model
from minikeras.testing import check_gradients
from minikeras.utils import CustomObjectScope

from .taped_layers import SEQUENCES, Scaled, X, Y, held

# --- types ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_layers_of_each_float_type(dtype):
    model = Sequential([Scaled(input_shape=(3,), dtype=dtype)])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X)
    assert model.predict(X).dtype == dtype
    assert model.layers[0].scale.dtype == dtype
    assert model(K.variable(X)).dtype == dtype


def test_layers_of_different_types_in_one_call():
    layer = held(lambda x, d: d(x), Dense(3, dtype="float64"), input_shape=(3,))
    model = Sequential([layer, Dense(1)])
    model.compile("sgd", "mse")
    assert model.train_on_batch(X, Y) > 0
    assert model.predict(X).dtype == np.float32


def test_constants_of_float64_do_not_change_the_type():
    seen = []

    class Shifted(Layer):
        def call(self, x):
            y = x * np.array([1.0, 2.0, 3.0]) + np.float64(2)
            seen.append(y.dtype)
            return y

    model = Sequential([Shifted(input_shape=(3,))])
    model.compile("sgd", "mse")
    assert model.predict(X).dtype == np.float32
    model.train_on_batch(X, X)
    assert set(seen) == {np.dtype("float32")}


def test_whole_numbers_as_input():
    class Lookup(Layer):
        def build(self, shape):
            self.table = self.add_weight("table", (5, 2), dtype="float32")
            self.built = True

        def call(self, x):
            return K.gather(self.table, x)

    indices = np.array([[1, 2, 2], [4, 0, 1]])
    layer = Lookup(dtype="int32")
    assert layer(indices).dtype == np.float32
    check_gradients(layer, indices)
    model = Sequential([Lookup(input_shape=(3,), dtype="int32"), GlobalAveragePooling1D()])
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    model.train_on_batch(indices, np.ones((2, 2)))
    changed = (model.get_weights()[0] != before).any(axis=1)
    assert changed.tolist() == [True, True, True, False, True]


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        (lambda x: K.sum(x, axis=-1), (None, None, 6), (None, None)),
        (lambda x: K.permute_dimensions(x, (0, 2, 1)), (None, None, 6), (None, 6, None)),
        (lambda x: K.reshape(x, (-1, 2, 3)), (None, 6), (None, 2, 3)),
        (lambda x: K.batch_flatten(x), (None, 2, 3), (None, 6)),
        (lambda x: K.batch_flatten(x), (None, None, 3), (None, None)),
        (lambda x: x[:, ::2], (None, 7), (None, 4)),
        (lambda x: x[:, ::2], (None, None), (None, None)),
        (lambda x: K.concatenate([x, x], 1), (7, 3), (7, 6)),
    ],
)
def test_inferred_shapes(function, given, expected):
    assert held(function).compute_output_shape(given) == expected


def test_inferred_shapes_of_deep_pooling():
    def pooled(x):
        for _ in range(5):
            x = K.pool2d(x, (2, 2), strides=(2, 2))
        return x

    assert held(pooled).compute_output_shape((None, None, None, 3)) == (None, None, None, 3)


def test_inferred_shapes_of_several_outputs():
    layer = held(lambda x: [x, K.sum(x, axis=-1)])
    assert layer.compute_output_shape((None, 3)) == [(None, 3), (None,)]
    y, total = layer(X)
    assert (y.shape, total.shape) == ((4, 3), (4,))


def test_a_shape_that_cannot_be_inferred():
    layer = held(lambda x: K.dot(x, np.ones((7, 2))), name="product")
    with pytest.raises(ValueError, match=r"'product'.* \(None, 3\).*define compute_output_shape"):
        layer.compute_output_shape((None, 3))


def test_finding_shapes_uses_no_random_numbers_and_fixes_no_weights():
    np.random.seed(1)
    first = held(lambda x, d: d(x), Dense(3))
    first.ensure_built((None, 3))
    np.random.seed(1)
    plain = Dense(3)
    plain.ensure_built((None, 3))
    np.testing.assert_array_equal(first.get_weights()[0], plain.get_weights()[0])
    np.random.seed(1)
    first.compute_output_shape((None, 3))
    expected = np.random.RandomState(1).random_sample()
    assert np.random.random_sample() == expected


def test_sublayers_have_weights_of_their_own():
    a, b = (held(lambda x, d: d(x), Dense(3)) for _ in range(2))
    assert not np.array_equal(a(X), b(X))


def test_the_layer_inside_is_built_outside_of_the_pass():
    class Makes(Layer):
        def build(self, shape):
            self.zeros = K.zeros((3,))
            self.other = K.ones((3,))
            K.update(self.other, K.zeros((3,)))
            self.built = True

        def call(self, x):
            return x + self.zeros + self.other

    inner = Makes()
    np.testing.assert_allclose(held(lambda x, m: m(x), inner)(X), X)
    assert isinstance(inner.zeros, K.Variable)


# --- copies -----------------------------------------------------------------------------------


class Deep(Layer):
    """As in the guides: layers in attributes, a shape of its own, a configuration."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first = Dense(units, activation="relu", kernel_regularizer=regularizers.l2(0.1))
        self.second = Scaled()

    def call(self, x, training=None):
        return self.second(K.dropout(self.first(x), 0.5) if training else self.first(x))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_sublayers_of_a_layer_with_its_own_output_shape_are_trained():
    model = Sequential([Deep(4, input_shape=(3,)), Dense(1)])
    model.compile("sgd", "mse")
    assert len(model.trainable_weights) == 5
    before = model.get_weights()
    for _ in range(3):
        model.train_on_batch(X, Y)
    after = model.get_weights()
    assert len(before) == len(after) == 5
    assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))


class Block(Layer):
    """A layer in K without a build of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = Dense(3)

    def call(self, x):
        return self.dense(x)

    def compute_output_shape(self, shape):
        return shape


class Around(Block):
    """Build what is in it by hand, as layers for Keras 2 do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = Block()

    def build(self, shape):
        self.dense.build(shape)
        self.built = True


class OnlyInTraining(Block):
    def call(self, x, training=None):
        return self.dense(x) if training else x


@pytest.mark.parametrize("make", [Around, OnlyInTraining])
def test_parts_that_are_hard_to_find_are_trained(make):
    model = Sequential([make(input_shape=(3,))])
    model.compile("sgd", "mse")
    for _ in range(2):
        before = model.get_weights()
        model.train_on_batch(X, X + 1)
    assert len(before) == 2
    assert all(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("built", [True, False])
def test_copies(copied, built):
    layers = [Deep(4, **({"input_shape": (3,)} if built else {})), Dense(1)]
    model = Sequential(layers)
    model.compile("sgd", "mse")
    if built:
        model.train_on_batch(X, Y)
        _ = model.output
    other = copied(model)
    if not built:
        model.predict(X)
        other.predict(X)
        other.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.predict(X), other.predict(X))
    before = model.predict(X)
    for _ in range(2):
        other.train_on_batch(X, Y)
    np.testing.assert_array_equal(model.predict(X), before)
    assert not np.array_equal(other.predict(X), before)
    np.testing.assert_allclose(
        K.function([other.input], [other.output])([X])[0], other.predict(X), rtol=1e-5
    )


def test_clone_and_json():
    from minikeras.models import model_from_json

    model = Sequential([Deep(4, input_shape=(3,)), Dense(1)])
    clone = clone_model(model)
    loaded = model_from_json(model.to_json(), {"Deep": Deep})
    for other in (clone, loaded):
        assert not np.array_equal(other.predict(X), model.predict(X))
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    with CustomObjectScope({"Deep": Deep}):
        assert clone_model(Sequential([TimeDistributed(Deep(2), input_shape=(5, 3))])).built


# --- outside of any pass ----------------------------------------------------------------------


def test_layers_on_variables():
    layer = held(lambda x, d, s: s(d(x)), Dense(3), Scaled())
    x = K.variable(X)
    y = layer(x)
    np.testing.assert_allclose(y.value, layer(X), rtol=1e-5)
    found = K.gradients(K.sum(y * y), [x, *layer.trainable_weights])
    assert [g.shape for g in found] == [x.shape, *(w.shape for w in layer.trainable_weights)]
    assert current() is None


def test_updates_in_a_loop_by_hand():
    class Counts(Layer):
        def build(self, shape):
            self.n = self.add_weight("n", (), initializer="zeros", trainable=False)
            self.built = True

        def call(self, x):
            self.add_update(K.update_add(self.n, 1.0))
            return x * 1.0

    layer = Counts()
    layer(K.variable(X))
    assert float(layer.n.value) == 0.0
    layer(K.variable(X), training=True)
    assert float(layer.n.value) == 1.0


def test_a_layer_is_not_called_on_a_layer():
    with pytest.raises(TypeError, match="was called on"):
        Scaled()(Dense(3))


def test_a_layer_by_hand_takes_one_tensor():
    with pytest.raises(TypeError, match="takes one input, got a list of 2"):
        Dense(3)([K.variable(X), K.variable(X)])
    with pytest.raises(TypeError, match="takes no argument scale"):
        Dense(3)(X, scale=2)


# --- weights exchanged for tensors ----------------------------------------------------------------


def test_an_exchanged_weight_is_computed_anew():
    dense = Dense(3, use_bias=False)
    dense.ensure_built((None, 4))
    kernel, gain, x = dense.kernel, K.variable(2.0), K.variable(np.ones((2, 4)))
    dense.kernel = kernel * gain
    y = dense(x)
    gradient = K.gradients(K.sum(K.square(y)), [gain])[0]
    dense.kernel = kernel
    run = K.function([], [y, gradient])
    first = run([])
    K.set_value(gain, 20.0)
    second = run([])
    np.testing.assert_allclose(second[0], 10 * first[0], rtol=1e-5)
    np.testing.assert_allclose(second[1], 10 * first[1], rtol=1e-5)


class Exchanging(Layer):
    """Give the kernel of an inner layer a gain, and leave it there."""

    def __init__(self, layer, owner, **kwargs):
        super().__init__(**kwargs)
        self.layer, self.owner = layer, owner

    def build(self, input_shape):
        self.layer.ensure_built(input_shape)
        self.kernel = self.owner.kernel
        self.gain = self.add_weight("gain", (self.kernel.shape[-1],), initializer="ones")
        self.built = True

    def call(self, x):
        self.owner.kernel = self.gain * self.kernel
        return self.layer(x)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


def test_a_weight_that_is_exchanged_too_deep_inside():
    dense = Dense(2)
    model = Sequential([Exchanging(TimeDistributed(dense), dense, input_shape=(5, 3))])
    model.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match="inner layer's kernel is a tensor"):
        model.train_on_batch(SEQUENCES, SEQUENCES[..., :2])


def test_what_a_call_has_left_on_a_layer_is_pickled_without_its_past():
    dense = Dense(2)
    model = Sequential([Exchanging(dense, dense, input_shape=(3,))])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X[:, :2])
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))
