import numpy as np
import pytest

from minikeras import Sequential
from minikeras import backend as K
from minikeras.backend import Variable
from minikeras.engine import Layer
from minikeras.layers import LSTM, BatchNormalization, Dense, Lambda, TimeDistributed

X = np.random.RandomState(0).standard_normal((4, 3)).astype("float32")


class Holding(Layer):
    """A weight of its own, layers in an attribute, a list and a tuple."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.single = Dense(3, name="single")
        self.listed = [BatchNormalization(name="one"), Dense(3, name="two")]
        self.tupled = (Dense(3, name="three", use_bias=False),)

    def build(self, shape):
        self.count = self.add_weight("count", (), initializer="zeros", trainable=False)
        self.scale = self.add_weight("scale", (3,), initializer="ones")
        self.built = True

    def call(self, x):
        x = self.single(x * self.scale)
        for layer in (*self.listed, *self.tupled):
            x = layer(x)
        return x


def names(weights):
    return [w.name.rsplit("/", 2)[-2] + "/" + w.name.rsplit("/", 1)[-1] for w in weights]


@pytest.fixture
def layer():
    layer = Holding(name="holding")
    layer(X)
    return layer


def test_weights_of_layers_within_are_found(layer):
    assert names(layer.trainable_weights) == [
        "holding/scale:0",
        "single/kernel:0",
        "single/bias:0",
        "one/gamma:0",
        "one/beta:0",
        "two/kernel:0",
        "two/bias:0",
        "three/kernel:0",
    ]
    assert names(layer.non_trainable_weights) == [
        "holding/count:0",
        "one/moving_mean:0",
        "one/moving_variance:0",
    ]
    assert len(layer.get_weights()) == len(layer.weights) == 11
    assert layer.count_params() == 1 + 3 + 12 + 12 + 12 + 9


def test_all_of_them_are_trained():
    model = Sequential([Holding(input_shape=(3,))])
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(X, X + 1)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    (layer,) = model.layers
    same = [w.name for w, moved in zip(layer.weights, changed, strict=True) if not moved]
    assert same == [w.name for w in layer.weights if "count" in w.name]


def test_get_and_set(layer):
    values = [np.full(w.shape, i, "float32") for i, w in enumerate(layer.get_weights())]
    layer.set_weights(values)
    for got, wanted in zip(layer.get_weights(), values, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert float(layer.scale.value[0]) == 0.0
    got = layer.get_weights()
    got[0] += 100
    assert float(layer.scale.value[0]) == 0.0


def test_set_checks_everything_first(layer):
    values = [w + 1 for w in layer.get_weights()]
    before = layer.get_weights()
    with pytest.raises(ValueError, match="has 11 weights, but set_weights was given 10"):
        layer.set_weights(values[:-1])
    values[-1] = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"shape \(\d?.*\), but set_weights was given an array"):
        layer.set_weights(values)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_freezing_a_layer_freezes_what_it_holds(layer):
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 11
    layer.trainable = True
    assert len(layer.trainable_weights) == 8


def test_freezing_a_part(layer):
    layer.listed[1].trainable = False
    assert len(layer.trainable_weights) == 6
    assert len(layer.weights) == 11
    model = Sequential([layer])
    model.compile("sgd", "mse")
    before = layer.listed[1].get_weights()
    model.train_on_batch(X, X + 1)
    for a, b in zip(before, layer.listed[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_freezing_does_not_change_the_order_of_saved_weights(layer):
    for number, weight in enumerate(layer.weights):
        weight.assign(np.full(weight.shape, number))
    saved = layer.get_weights()
    other = Holding()
    other(X)
    other.trainable = False
    other.set_weights(saved)
    other.trainable = True
    for a, b in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    layer.listed[0].trainable = False
    for a, b in zip(layer.get_weights(), saved, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_layer_that_is_used_twice_or_held_twice_counts_once():
    class Twice(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(3)
            self.same = self.dense
            self.all = [self.dense, self.dense]

        def call(self, x):
            return self.dense(self.same(x))

    layer = Twice()
    layer(X)
    assert len(layer.weights) == 2


def test_layers_within_layers_within_layers():
    class Outer(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = Sequential([Holding(), TimeDistributed(Holding())])

        def call(self, x):
            return self.inner(x)

    layer = Outer()
    layer(np.ones((2, 4, 3)))
    assert len(layer.weights) == 22
    assert len({w.name for w in layer.weights}) == 22 or len(layer.get_weights()) == 22


def test_an_added_or_exchanged_part_is_seen():
    layer = Holding()
    layer(X)
    layer.single = Dense(3, use_bias=False)
    layer(X)
    assert len(layer.weights) == 10


def test_parts_in_other_containers():
    class Held(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.by_name = {"a": Dense(3), "b": Dense(3)}
            self.nested = [[Dense(3)], (Dense(3),)]

        def call(self, x):
            x = self.by_name["a"](self.by_name["b"](x))
            return self.nested[0][0](self.nested[1][0](x))

    layer = Held()
    layer(X)
    assert len(layer.weights) == 8


def test_a_layer_that_knows_its_parent():
    class Child(Layer):
        def call(self, x):
            return x

    class Parent(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense, self.child = Dense(3), Child()
            self.child.parent = self

        def call(self, x):
            return self.dense(self.child(x))

    layer = Parent()
    layer(X)
    assert len(layer.weights) == 2
    model = Sequential([layer])
    model.compile("sgd", "mse")
    model.train_on_batch(X, X)


def test_a_layer_by_hand_says_itself_what_it_holds():
    class ByHand(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.other = Dense(3)

        def forward(self, x, ctx):
            return x, None

    layer = ByHand()
    layer.other(X)
    assert layer.weights == []


# --- as layers for Keras 2 do it --------------------------------------------------------------


def test_the_list_of_trainable_weights_may_be_set():
    class Old(Layer):
        def build(self, shape):
            self.W = K.variable(np.ones((3, 3)))
            self.b = K.zeros((3,))
            self.trainable_weights = [self.W, self.b]
            self.built = True

        def call(self, x):
            return K.dot(x, self.W) + self.b

    layer = Old(input_shape=(3,))
    model = Sequential([layer])
    model.compile("sgd", "mse")
    assert layer.trainable_weights == [layer.W, layer.b]
    model.train_on_batch(X, X)
    assert not (layer.W.value == 1).all()
    assert layer.b.value.any()


def test_the_lists_may_be_extended():
    class Old(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(3)

        def build(self, shape):
            self.dense.build(shape)
            self.trainable_weights = self.dense.trainable_weights
            self.trainable_weights += [K.variable(np.ones(3))]
            self._trainable_weights.append(K.variable(np.ones(3)))
            self.non_trainable_weights = [K.variable(np.ones(3))]
            self.built = True

        def call(self, x):
            return self.dense(x)

    layer = Old()
    layer(X)
    assert len(layer.trainable_weights) == 4
    assert len(layer.non_trainable_weights) == 1
    layer.trainable = False
    assert len(layer.non_trainable_weights) == 5


def test_a_layer_built_by_hand_in_build():
    class Builds(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(3)

        def build(self, shape):
            self.dense.build(shape)
            self.built = True

        def call(self, x):
            return self.dense.call(x)

    layer = Builds()
    assert layer(X).shape == (4, 3)
    assert len(layer.weights) == 2


def test_build_that_does_not_say_so():
    class Silent(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (3,))

        def call(self, x):
            return x * self.w

    layer = Silent()
    layer(X)
    layer(X)
    assert len(layer.weights) == 1


# --- arguments --------------------------------------------------------------------------------


def test_initial_weights():
    class One(Layer):
        def build(self, shape):
            self.w = self.add_weight("w", (3,))
            self.built = True

        def call(self, x):
            return x * self.w

    np.testing.assert_allclose(One(weights=[np.full(3, 2.0)])(X), 2 * X)
    with pytest.raises(ValueError, match="shape"):
        One(weights=[np.ones(2)])(X)


def test_initial_weights_of_layers_within():
    class Held(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(3)

        def call(self, x):
            return self.dense(x)

    np.testing.assert_allclose(Held(weights=[np.eye(3), np.ones(3)])(X), X + 1, rtol=1e-6)


def test_add_weight():
    layer = Dense(2)
    scalar = layer.add_weight("a", initializer="ones")
    assert isinstance(scalar, Variable)
    assert (scalar.shape, scalar.dtype, scalar.trainable) == ((), np.float32, True)
    typed = layer.add_weight("b", [2, 3], dtype="float64", trainable=False)
    assert (typed.shape, typed.dtype) == ((2, 3), np.float64)
    assert layer.add_weight(shape=(1,)).name.endswith("/weight:0")
    assert layer.add_weight("c", (2,), initializer=lambda shape: np.full(shape, 7.0)).value[0] == 7
    assert layer.add_weight("d", (2,), initializer=K.ones).value.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"shape \(3,\); the weight has shape \(2,\)"):
        layer.add_weight("e", (2,), initializer=lambda shape: np.ones(3))


def test_add_weight_in_call_is_seen():
    class Late(Layer):
        def call(self, x):
            if not self.trainable_weights:
                self.w = self.add_weight("w", (3,), initializer="ones")
            return x * self.w

    model = Sequential([Late(input_shape=(3,))])
    model.compile("sgd", "mse")
    model.train_on_batch(X, 0 * X)
    assert len(model.weights) == 1
    assert not (model.get_weights()[0] == 1).all()


def test_count_params_before_build():
    with pytest.raises(RuntimeError, match="has not been built"):
        Holding().count_params()


def test_variables_of_a_lambda_are_not_its_weights():
    w = K.variable(np.ones(3))
    layer = Lambda(lambda x: x * w)
    layer(X)
    assert layer.weights == []


def test_a_layer_within_a_recurrent_cell():
    from minikeras.layers import RNN

    class Cell(Layer):
        state_size = 3

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = Dense(3)
            self.normalization = BatchNormalization()

        def call(self, x, states):
            h = self.normalization(self.dense(x)) + 0.5 * states[0]
            return h, [h]

    layer = RNN(Cell(), input_shape=(5, 3))
    model = Sequential([layer])
    model.compile("sgd", "mse")
    assert len(model.trainable_weights) == 4
    assert len(model.non_trainable_weights) == 2
    before = model.get_weights()
    model.train_on_batch(np.random.standard_normal((4, 5, 3)), X)
    assert not np.array_equal(before[0], model.get_weights()[0])
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 6


def test_weights_of_a_recurrent_layer_of_ones_own():
    class Gained(LSTM):
        def build(self, shape):
            super().build(shape)
            self.gain = self.add_weight("gain", (2,), initializer="ones")

        def call(self, x, mask=None, training=None):
            return super().call(x, mask, training) * self.gain

    layer = Gained(2)
    layer(np.ones((2, 4, 3)))
    assert len(layer.weights) == 4


def test_the_weights_may_be_listed_while_attributes_are_set():
    layer = Holding()
    layer(X)

    class Watching:
        """Set an attribute when it is looked at, as another thread might."""

        @property
        def __class__(self):
            layer.__dict__[f"new_{len(layer.__dict__)}"] = 1
            return object

    layer.watching = Watching()
    assert len(layer.weights) == 11


def test_lists_of_recurrent_layers():
    class Stack(Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.layers = [LSTM(3, return_sequences=True) for _ in range(3)]

        def call(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    layer = Stack()
    layer(np.ones((2, 4, 3)))
    assert len(layer.weights) == 9


def test_weights_may_be_appended_as_in_keras_2():
    class Appends(Layer):
        def build(self, shape):
            self.scale, self.offset = K.variable(np.ones(3)), K.variable(np.zeros(3))
            self.trainable_weights.append(self.scale)
            self.trainable_weights += [self.offset]
            self.count = K.variable(0.0)
            self.non_trainable_weights.extend([self.count])
            self.built = True

        def call(self, x):
            return x * self.scale + self.offset

    model = Sequential([Appends(input_shape=(3,))])
    layer = model.layers[0]
    assert layer.trainable_weights == [layer.scale, layer.offset]
    assert layer.non_trainable_weights == [layer.count]
    model.compile("sgd", "mse")
    model.train_on_batch(X, X + 1)
    assert (layer.scale.value != 1).all()
    assert (layer.offset.value != 0).all()
