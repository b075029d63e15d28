"""Wrapper, TimeDistributed and Bidirectional."""

import copy
import itertools
import json
import pickle
import warnings

import numpy as np
import pytest

import minikeras.backend as K
from minikeras import Sequential, activations, layers, models, regularizers
from minikeras.engine import Context, Layer
from minikeras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling1D,
    Softmax,
)
from minikeras.layers.core import Masking
from minikeras.layers.wrappers import Bidirectional, TimeDistributed, Wrapper
from minikeras.testing import check_gradients
from minikeras.utils.generic_utils import custom_object_scope

from .checks import agree, check_result, check_weights, other_layout, run, sample
from .tiny_recurrent import Tiny

KNOWN = {cls.__name__: cls for cls in (Bidirectional, TimeDistributed, Masking, Tiny)}


@pytest.fixture(autouse=True)
def known():
    with custom_object_scope(KNOWN):
        yield


def check_wrapper(layer, input_shape):
    """What `check_layer` does, but for the dtype, which is that of the wrapped layer."""
    x = sample(input_shape)
    promised = layer.ensure_built((None, *input_shape[1:]))
    check_weights(layer)
    for training in (False, True):
        result = run(layer, x, training=training)
        check_result(layer, x, result, promised)
        agree(run(layer, other_layout(x), training=training), result)
        dy = sample(result[0].shape, seed=2)
        agree(run(layer, x, dy=other_layout(dy), training=training), result)
        check_result(layer, x[:1], run(layer, x[:1], training=training), promised)
        check_gradients(layer, input_shape=input_shape, training=training)
    entry = json.loads(json.dumps(layers.serialize(layer)))
    clone = layers.deserialize(entry)
    assert json.dumps(clone.get_config()) == json.dumps(layer.get_config())
    clone.ensure_built(x.shape)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x), layer(x))


def numeric_check(layer, x, mask=None):
    """Compare all gradients, of a list of outputs too, with central differences."""
    layer.ensure_built((None, *x.shape[1:]))
    random = np.random.RandomState(5)
    for weight in layer.weights:
        weight.value = random.uniform(0.3, 0.9, weight.shape)

    def forward(ctx):
        if layer.stateful:
            layer.reset_states([np.full((len(x), x.shape[2]), 0.3)] * 2)
        ctx.mask = mask
        y, residual = layer.propagate(x, ctx)
        return (y if isinstance(y, list) else [y]), residual

    ctx = Context(gradients={w: np.full(w.shape, np.nan) for w in layer.trainable_weights})
    outputs, residual = forward(ctx)
    upstream = [random.standard_normal(y.shape) for y in outputs]
    dys = [dy.copy() for dy in upstream]
    dx = layer.backpropagate(dys if len(dys) > 1 else dys[0], residual, ctx)
    ctx.finish_gradients()

    def value():
        ctx = Context()
        outputs, _ = forward(ctx)
        return sum(np.vdot(dy, y) for dy, y in zip(upstream, outputs, strict=True)) + ctx.loss

    pairs = [(x, dx), *((w.value, g) for w, g in ctx._gradients.items())]
    for array, gradient in pairs:
        numeric = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + 1e-5
            above = value()
            array[index] = kept - 1e-5
            numeric[index] = (above - value()) / 2e-5
            array[index] = kept
        np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


# Wrapper


class Doubled(Wrapper):
    """A wrapper by hand, with a weight of its own."""

    def build(self, input_shape):
        super().build(input_shape)
        self.factor = self.add_weight("factor", (), initializer="ones")

    def forward(self, x, ctx):
        y, residual = self.layer.propagate(x, ctx)
        return 2 * self.factor.value * y, (y, residual)

    def backward(self, dy, residual, ctx):
        y, residual = residual
        ctx.add_gradient(self.factor, np.asarray(2 * (dy * y).sum(), dy.dtype))
        return self.layer.backpropagate(2 * self.factor.value * dy, residual, ctx)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)


def test_wrapper_by_hand():
    layer = Doubled(Dense(2, activation="tanh"), input_shape=(3,))
    check_gradients(layer, input_shape=(4, 3))
    model = Sequential([layer])
    assert [w.name for w in model.weights] == ["doubled_1/" + n for n in ("kernel:0", "bias:0")] + [
        "doubled_1/factor:0"
    ]
    assert [w.shape for w in layer.get_weights()] == [(3, 2), (2,), ()]
    with custom_object_scope({"Doubled": Doubled}):
        clone = models.clone_model(model)
    clone.set_weights(model.get_weights())
    x = sample((4, 3))
    np.testing.assert_array_equal(clone.predict(x), model.predict(x))


@pytest.mark.parametrize("wrapper", [TimeDistributed, Bidirectional])
def test_only_a_layer_can_be_wrapped(wrapper):
    name = wrapper.__name__
    with pytest.raises(TypeError, match=rf"{name} wraps a layer.*Did you forget its parentheses"):
        wrapper(Dense)
    with pytest.raises(TypeError, match=rf"{name} wraps a layer, such as Dense\(8\); got 'Dense'"):
        wrapper("Dense")


def test_the_type_is_that_of_the_wrapped_layer():
    layer = TimeDistributed(Dense(2, dtype="float64"), input_shape=(3, 4))
    assert layer.dtype == layer.input_dtype == "float64"
    assert layer(np.ones((1, 3, 4), "float32")).dtype == np.float64
    assert "dtype" not in layer.get_config()
    with pytest.raises(ValueError, match=r"dtype='float64', but computes.*'float32'.*'inner'"):
        TimeDistributed(Dense(2, name="inner"), dtype="float64")
    assert TimeDistributed(Dense(2), dtype="float32").get_config()["dtype"] == "float32"
    K.set_floatx("float64")
    assert TimeDistributed(Dense(2))(np.ones((1, 3, 4), "float32")).dtype == np.float64


def test_freezing_goes_through_the_wrapper():
    layer = TimeDistributed(Dense(2, trainable=False))
    layer.ensure_built((None, 3, 4))
    assert not layer.trainable
    assert layer.trainable_weights == []
    layer.trainable = True
    assert layer.layer.trainable
    assert len(layer.trainable_weights) == 2
    thawed = TimeDistributed(Dense(2, trainable=False), trainable=True)
    assert thawed.layer.trainable
    layer.layer.trainable = False
    assert layer.get_config()["trainable"] is False
    assert TimeDistributed.from_config(layer.get_config()).trainable is False


# TimeDistributed


def make_network():
    return Sequential([Dense(3, activation="tanh"), BatchNormalization(), Dense(2)])


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Dense(2, activation="tanh"), (3, 4, 5)),
        (lambda: Dense(3, activation="softmax"), (2, 4, 5)),
        (lambda: Dense(2), (3, 2, 4, 5)),
        (lambda: Conv2D(2, 2, padding="same"), (2, 3, 4, 4, 2)),
        (lambda: BatchNormalization(), (3, 4, 5)),
        (lambda: Flatten(), (2, 3, 4, 5)),
        (lambda: Dropout(0.5), (3, 4, 5)),
        (lambda: TimeDistributed(Dense(2)), (2, 3, 4, 5)),
        (make_network, (3, 4, 5)),
        (lambda: Tiny(return_sequences=True), (2, 3, 4, 2)),
        (lambda: Bidirectional(Tiny()), (2, 3, 4, 2)),
        (lambda: Activation("sigmoid"), (2, 3, 1)),
        (lambda: Dense(2, activity_regularizer="l2", kernel_regularizer="l1"), (2, 3, 4)),
    ],
)
def test_time_distributed_layer(make, shape):
    check_wrapper(TimeDistributed(make()), shape)


@pytest.mark.parametrize("make", [lambda: Dense(2), make_network, lambda: Conv2D(2, 3)])
def test_each_step_is_what_the_layer_makes_of_it(make):
    inner = make()
    x = sample((2, 3, 5, 5, 2) if isinstance(inner, Conv2D) else (2, 3, 4))
    y = TimeDistributed(inner)(x)
    for step in range(3):
        np.testing.assert_allclose(y[:, step], inner(x[:, step]), rtol=1e-5, atol=1e-6)


def test_batch_statistics_are_over_all_steps():
    inner = BatchNormalization(momentum=0.0)
    x = sample((5, 3, 2))
    y = TimeDistributed(inner)(x, training=True)
    np.testing.assert_allclose(y.mean(axis=(0, 1)), 0, atol=1e-6)
    np.testing.assert_allclose(inner.moving_mean.value, x.mean(axis=(0, 1)), rtol=1e-5)


def test_shapes_with_and_without_known_sizes():
    layer = TimeDistributed(Dense(2))
    assert layer.compute_output_shape((None, None, 4)) == (None, None, 2)
    assert layer.compute_output_shape((7, 3, 4)) == (7, 3, 2)
    model = Sequential([TimeDistributed(Conv2D(2, 3), batch_input_shape=(2, 3, 8, 8, 1))])
    assert model.output_shape == (2, 3, 6, 6, 2)
    assert model.layers[0].layer.input_shape == (6, 8, 8, 1)
    assert Sequential([TimeDistributed(Dense(2), input_shape=(10, 16))]).output_shape == (
        None,
        10,
        2,
    )


def test_wrong_shapes():
    layer = TimeDistributed(Dense(2, name="inner"), name="outer")
    with pytest.raises(ValueError, match=r"'outer' \(TimeDistributed\): expected min_ndim=3"):
        layer(np.ones((2, 3)))
    layer(np.ones((2, 3, 4)))
    assert layer(np.ones((1, 7, 4))).shape == (1, 7, 2)
    with pytest.raises(ValueError, match=r"'inner' \(Dense\): expected axis -1 to have size 4"):
        layer(np.ones((2, 3, 5)))
    with pytest.raises(ValueError, match=r"'td' \(TimeDistributed\).* single output; 'r' has 2"):
        TimeDistributed(Tiny(return_state=True, name="r"), name="td")(np.ones((2, 3, 4, 5)))


def test_nothing_is_copied_where_steps_lie_one_after_the_other():
    class Keep(Layer):
        def forward(self, x, ctx):
            self.x = x
            return x, None

        def backward(self, dy, residual, ctx):
            self.dy = dy
            return dy

    inner = Keep()
    layer = TimeDistributed(inner)
    x, dy = sample((2, 3, 4)), np.ones((2, 3, 4), "float32")
    layer.ensure_built(x.shape)
    ctx = Context()
    y, residual = layer.propagate(x, ctx)
    dx = layer.backpropagate(dy, residual, ctx)
    assert inner.x.shape == (6, 4)
    assert np.shares_memory(inner.x, x)
    assert np.shares_memory(y, x)
    assert np.shares_memory(inner.dy, dy)
    assert np.shares_memory(dx, dy)
    every_other = np.repeat(x, 2, axis=2)[:, :, ::2]
    np.testing.assert_array_equal(layer(every_other), x)
    assert np.shares_memory(inner.x, every_other)
    np.testing.assert_array_equal(layer(x.swapaxes(0, 1)), x.swapaxes(0, 1))


@pytest.mark.parametrize("size", [(0, 3, 4), (2, 0, 4)])
def test_no_samples_or_no_steps(size):
    assert TimeDistributed(Dense(2))(np.ones(size)).shape == (*size[:2], 2)


def test_integers_reach_the_layer_as_they_are():
    class Lookup(Layer):
        input_dtype = "int32"

        def build(self, input_shape):
            self.table = self.add_weight("table", (5, 2), initializer="random_normal")
            self.built = True

        def forward(self, x, ctx):
            return self.table.value[x], x

        def backward(self, dy, x, ctx):
            target = ctx.gradient(self.table)
            target[...] = 0
            np.add.at(target, x, dy)

        def compute_output_shape(self, input_shape):
            return (*input_shape, 2)

    layer = TimeDistributed(Lookup(), input_shape=(3, 4))
    assert layer.input_dtype == "int32"
    x = np.random.randint(0, 5, (2, 3, 4))
    np.testing.assert_array_equal(layer(x), layer.layer.table.value[x])
    check_gradients(layer, x)
    model = Sequential([layer, TimeDistributed(Flatten()), TimeDistributed(Dense(1))])
    model.compile("sgd", "mse")
    assert model.train_on_batch(x, np.ones((2, 3, 1))) > 0


def test_penalties_count_once():
    x = np.ones((2, 3, 4), "float32")
    inner = Dense(2, kernel_initializer="ones", activity_regularizer="l1", kernel_regularizer="l2")
    model = Sequential([TimeDistributed(inner, input_shape=(3, 4))])
    model.compile("sgd", "mse")
    y = model.predict(x)
    # As in Keras 2.2.4: 0.01 * 12 outputs of 4, and 0.01 * 8 entries of the kernel.
    assert model.test_on_batch(x, y) == pytest.approx(0.48 + 0.08)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense(3, activation="softmax"),
        lambda: Sequential([Dense(4), Dense(3), Activation("softmax")]),
        lambda: TimeDistributed(Dense(3, activation="softmax")),
    ],
)
def test_the_loss_is_fused_with_the_activation_inside(make):
    inner = make()
    nested = isinstance(inner, TimeDistributed)
    shape = (2, 4, 2, 5) if nested else (2, 4, 5)
    model = Sequential([TimeDistributed(inner, input_shape=shape[1:])])
    assert model.fused_activation is activations.softmax
    model.compile("sgd", "categorical_crossentropy")
    y = np.eye(3)[np.random.randint(0, 3, shape[:-1])]
    check_gradients(model, sample(shape), y)
    assert model._ready().fused_backward is not None
    assert TimeDistributed(Softmax(axis=1)).fused_activation is not activations.softmax
    penalty = TimeDistributed(Dense(3, activation="softmax", activity_regularizer="l1"))
    assert penalty.fused_activation is None


def test_weight_names_are_those_of_keras():
    def names(layer, shape):
        layer.ensure_built(shape)
        return [w.name for w in layer.weights]

    assert names(TimeDistributed(Dense(2)), (None, 3, 4)) == [
        "time_distributed_1/kernel:0",
        "time_distributed_1/bias:0",
    ]
    assert names(TimeDistributed(TimeDistributed(Dense(2, use_bias=False))), (None, 3, 4, 5)) == [
        "time_distributed_3/kernel:0"
    ]
    both = TimeDistributed(Bidirectional(Tiny()))
    assert names(both, (None, 3, 4, 5)) == [
        f"time_distributed_4/{way}_tiny_1/{name}:0"
        for way in ("forward", "backward")
        for name in ("scale", "keep")
    ]
    known = Sequential([Dense(1, use_bias=False, input_shape=(5,), name="known")])
    assert names(TimeDistributed(known), (None, 3, 5)) == ["known/kernel:0"]


def test_initial_weights_of_the_wrapper_or_the_layer():
    weights = [np.full((4, 2), 2.0), np.ones(2)]
    for layer in (
        TimeDistributed(Dense(2), weights=weights),
        TimeDistributed(Dense(2, weights=weights)),
    ):
        assert layer(np.ones((1, 1, 4))).tolist() == [[[9.0, 9.0]]]


def test_time_distributed_config_is_that_of_keras():
    layer = TimeDistributed(Dense(2, name="inner"), name="outer", input_shape=(3, 4))
    config = layer.get_config()
    assert sorted(config) == ["batch_input_shape", "layer", "name", "trainable"]
    assert config["layer"]["class_name"] == "Dense"
    assert config["layer"]["config"]["name"] == "inner"
    before = copy.deepcopy(config)
    clone = TimeDistributed.from_config(config)
    assert config == before
    assert clone.get_config() == config
    own = {"layer": {"class_name": "Mine", "config": {"units": 2}}, "name": "outer"}
    assert TimeDistributed.from_config(own, custom_objects={"Mine": Dense}).layer.units == 2


def test_a_model_with_a_wrapped_model_comes_back_from_json():
    model = Sequential([TimeDistributed(make_network(), input_shape=(3, 4))])
    for again in (models.model_from_json(model.to_json()), models.clone_model(model)):
        again.set_weights(model.get_weights())
        x = sample((2, 3, 4))
        np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert len(model.get_weights()) == 8
    assert model.count_params() == 4 * 3 + 3 + 4 * 3 + 3 * 2 + 2


def test_an_inner_stateful_layer_has_a_state_for_each_step():
    layer = TimeDistributed(Tiny(stateful=True))
    x = sample((2, 3, 4, 5))
    first, second = layer(x), layer(x)
    assert layer.stateful
    assert layer.state_batch_size == 2
    assert not np.array_equal(first, second)
    layer.reset_states()
    assert layer.state_batch_size is None
    np.testing.assert_array_equal(layer(x), first)
    assert not TimeDistributed(Dense(2)).stateful
    TimeDistributed(Dense(2)).reset_states()


# TimeDistributed: masks


def mask_after(layer, x, mask):
    layer.ensure_built((None, *x.shape[1:]))
    ctx = Context(mask=mask)
    layer.propagate(x, ctx)
    return ctx.mask


def test_a_mask_of_steps_passes_by_any_layer():
    mask = np.array([[True, False, True], [False, True, True]])
    for inner in (Dense(2), Flatten(), GlobalAveragePooling1D(), Tiny(), Conv2D(1, 1)):
        shape = (2, 3, 4, 5) if not isinstance(inner, Conv2D) else (2, 3, 4, 4, 1)
        layer, x = TimeDistributed(inner), np.ones(shape, "float32")
        assert mask_after(layer, x, mask) is mask
        assert mask_after(layer, x, None) is None


def test_a_mask_inside_of_the_steps_goes_through_the_layer():
    x = sample((2, 3, 4, 5))
    mask = np.random.RandomState(0).rand(2, 3, 4) > 0.6
    mask[0, 1] = False
    layer = TimeDistributed(Tiny())
    steps = mask_after(layer, x, mask)
    assert steps.tolist() == mask.any(axis=2).tolist()
    for step in range(3):
        np.testing.assert_allclose(
            layer(x, mask=mask)[:, step], layer.layer(x[:, step], mask=mask[:, step]), rtol=1e-6
        )
    assert mask_after(TimeDistributed(Dense(2)), x, mask).tolist() == mask.tolist()
    sequences = TimeDistributed(Tiny(return_sequences=True))
    assert mask_after(sequences, x, mask).tolist() == mask.tolist()
    stack = TimeDistributed(Sequential([Tiny(return_sequences=True), Tiny(), Dense(1)]))
    assert mask_after(stack, x, mask).tolist() == mask.any(axis=2).tolist()
    with pytest.warns(UserWarning, match=r"'flat' \(Flatten\).* mask of shape \(6, 4\) ends here"):
        found = mask_after(TimeDistributed(Flatten(name="flat")), x, mask)
    assert found.tolist() == mask.any(axis=2).tolist()


def test_a_mask_that_the_layer_makes():
    x = sample((2, 3, 4, 5)).copy()
    x[0, 1, 2:] = x[1, 2] = 0
    expected = (x != 0).any(axis=-1)
    layer = TimeDistributed(Masking())
    assert mask_after(layer, x, None).tolist() == expected.tolist()
    assert mask_after(layer, x, np.ones((2, 3), bool)).tolist() == expected.tolist()
    assert layer.compute_mask(x).tolist() == expected.tolist()
    stack = TimeDistributed(Sequential([Masking(), Tiny()]))
    assert mask_after(stack, x, None) is None
    dense = TimeDistributed(Dense(2))
    assert dense.compute_mask(x, expected).tolist() == expected.tolist()
    assert dense.compute_mask(x) is None


# Bidirectional

MODES = ("concat", "sum", "mul", "ave", None)


def reference(layer, x, mask=None):
    """Return what the two directions give, the second one turned to the first one's order."""
    first = layer.forward_layer(x, mask=mask)
    second = layer.backward_layer(x, mask=mask)
    return first, second[:, ::-1] if layer.return_sequences else second


MERGED = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize("mode", list(MERGED))
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional_layer(mode, sequences):
    layer = Bidirectional(Tiny(return_sequences=sequences), merge_mode=mode)
    check_wrapper(layer, (3, 4, 2))
    x = sample((3, 4, 2))
    expected = MERGED[mode](*reference(layer, x))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-6)
    turned = layer.backward_layer
    assert (layer.forward_layer.go_backwards, turned.go_backwards) == (False, True)
    turned.set_weights(layer.forward_layer.get_weights())
    _, second = reference(layer, x)
    back, _ = reference(layer, x[:, ::-1])
    np.testing.assert_array_equal(second[:, ::-1] if sequences else second, back)


@pytest.mark.parametrize(
    ("mode", "sequences", "state", "masked", "stateful"),
    [
        case
        for case in itertools.product(MODES, *[(False, True)] * 4)
        if case[0] in ("mul", None) or case[3] != case[4]
    ],
)
def test_numerical_gradients(mode, sequences, state, masked, stateful):
    inner = Tiny(
        return_sequences=sequences,
        return_state=state,
        stateful=stateful,
        activity_regularizer=regularizers.l2(0.1) if masked else None,
        dtype="float64",
    )
    x = sample((2, 3, 2), "float64").copy()
    mask = np.array([[True, False, True], [False, True, False]]) if masked else None
    numeric_check(Bidirectional(inner, merge_mode=mode), x, mask)


def test_several_outputs():
    x = sample((2, 3, 4))
    both = Bidirectional(Tiny(return_sequences=True), merge_mode=None)
    assert both.compute_output_shape((None, 3, 4)) == [(None, 3, 4)] * 2
    for found, expected in zip(both(x), reference(both, x), strict=True):
        np.testing.assert_array_equal(found, expected)
    layer = Bidirectional(Tiny(return_sequences=True, return_state=True))
    y, first, second = layer(x)
    assert layer.output_shape == [(None, 3, 8), (None, 4), (None, 4)]
    np.testing.assert_array_equal(first, y[:, -1, :4])
    np.testing.assert_array_equal(second, y[:, 0, 4:])
    every = Bidirectional(Tiny(return_state=True), merge_mode=None)
    assert [array.shape for array in every(x)] == [(2, 4)] * 4
    assert every.compute_output_shape((2, 3, 4)) == [(2, 4)] * 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: Bidirectional(Tiny(), merge_mode=None, name="several", input_shape=(3, 4)),
        lambda: Bidirectional(Tiny(return_state=True), name="several", input_shape=(3, 4)),
        lambda: Tiny(return_state=True, name="several", input_shape=(3, 4)),
    ],
)
def test_a_stack_refuses_several_outputs(make):
    message = r"Layer 'several' .* has [23] outputs, of shapes \[.*must have a single output"
    with pytest.raises(ValueError, match=message):
        Sequential([make()])
    model = Sequential([Dense(4, input_shape=(3, 5))])
    with pytest.raises(ValueError, match=message):
        model.add(make())
    assert model.output_shape == (None, 3, 4)
    late = Sequential([Dense(4), make(), Dense(2)])
    with pytest.raises(ValueError, match=message):
        late.predict(np.ones((2, 3, 4)))


def test_masks_of_the_outputs():
    x, mask = sample((2, 3, 4)), np.array([[True, False, True], [True, True, False]])
    for mode in ("sum", None):
        for sequences in (False, True):
            for state in (False, True):
                inner = Tiny(return_sequences=sequences, return_state=state)
                found = mask_after(Bidirectional(inner, merge_mode=mode), x, mask)
                masks = [mask if sequences else None] * (2 if mode is None else 1)
                masks += [None] * (2 if state else 0)
                assert found == masks if len(masks) > 1 else found is masks[0]


def test_both_directions_get_the_mask():
    x, mask = sample((2, 4, 3)), np.array([[True, True, False, False], [True, True, True, False]])
    layer = Bidirectional(Tiny())
    y = layer(x, mask=mask)
    np.testing.assert_array_equal(y[:1], layer(x[:1, :2]))
    np.testing.assert_array_equal(y[1:], layer(x[1:, :3]))


def test_states_are_kept_for_both_directions():
    layer = Bidirectional(Tiny(stateful=True, return_sequences=True))
    x = sample((2, 3, 4))
    first, second = layer(x), layer(x)
    assert layer.stateful
    assert layer.state_batch_size == 2
    layer.reset_states()
    assert layer.state_batch_size is None
    np.testing.assert_array_equal(layer(x), first)
    np.testing.assert_array_equal(layer(x), second)
    layer.reset_states([first[:, -1, :4], first[:, 0, 4:]])
    np.testing.assert_array_equal(layer(x), second)
    with pytest.raises(ValueError, match=r"as many states for the forward as for .* got 1"):
        layer.reset_states([first])


def test_layers_are_made_of_the_configuration():
    inner = Tiny(name="mine", go_backwards=True, return_sequences=True)
    layer = Bidirectional(inner, name="both")
    assert layer.forward_layer.name == "forward_mine"
    assert layer.backward_layer.name == "backward_mine"
    assert layer.forward_layer.go_backwards
    assert not layer.backward_layer.go_backwards
    layer(sample((2, 3, 4)))
    assert not inner.built
    assert [w.name for w in layer.weights] == [
        f"both/{way}_mine/{name}:0" for way in ("forward", "backward") for name in ("scale", "keep")
    ]
    assert len(layer.get_weights()) == 4


def test_bidirectional_config():
    layer = Bidirectional(Tiny(stateful=True), merge_mode="ave", trainable=False)
    config = layer.get_config()
    assert sorted(config) == ["layer", "merge_mode", "name", "trainable"]
    assert config["layer"]["config"]["go_backwards"] is False
    clone = Bidirectional.from_config({**config, "num_constants": None})
    assert clone.get_config() == config
    assert not clone.forward_layer.trainable
    assert not clone.backward_layer.trainable
    with pytest.raises(ValueError, match="num_constants=1.* not supported"):
        Bidirectional.from_config({**config, "num_constants": 1})


def test_initial_weights_of_both_directions():
    weights = [np.full(4, value) for value in (1.0, 2.0, 3.0, 4.0)]
    layer = Bidirectional(Tiny(), weights=weights)
    layer(sample((2, 3, 4)))
    for found, expected in zip(layer.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(layer.backward_layer.scale.value, weights[2])
    with pytest.raises(ValueError, match=r"has 4 weights, but set_weights was given 2"):
        Bidirectional(Tiny(), weights=weights[:2])(sample((2, 3, 4)))
    with pytest.raises(ValueError, match=r"'mine' \(Tiny\) would get lost.* Give Bidirectional"):
        Bidirectional(Tiny(weights=weights[:2], name="mine"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Bidirectional(Tiny(), merge_mode="max"), ValueError, "'ave' or None, got 'max'"),
        (lambda: Bidirectional(Dense(2, name="d")), TypeError, r"recurrent layer.*'d' \(Dense\)"),
    ],
)
def test_bidirectional_error(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_wrong_input_names_the_layer():
    layer = Bidirectional(Tiny())
    layer(np.ones((2, 3, 4)))
    layer.forward_layer.input_spec = layers.InputSpec(axes={-1: 4})
    with pytest.raises(ValueError, match=r"'forward_tiny_1' \(Tiny\).* size 4, found 5"):
        layer(np.ones((2, 3, 5)))


def test_freezing_both_directions_or_one():
    layer = Bidirectional(Tiny(trainable=False))
    layer.ensure_built((None, 3, 4))
    assert not layer.trainable
    layer.trainable = True
    assert len(layer.trainable_weights) == 4
    layer.backward_layer.trainable = False
    assert layer.trainable
    assert [w.name for w in layer.trainable_weights] == [w.name for w in layer.weights[:2]]
    assert len(layer.get_weights()) == 4


@pytest.mark.parametrize("mode", list(MERGED))
def test_the_activity_penalty_is_on_what_comes_out(mode):
    # As in Keras 2.2.4.
    inner = Tiny(activity_regularizer=regularizers.l2(0.5))
    layer, ctx = Bidirectional(inner, merge_mode=mode), Context()
    layer.ensure_built((None, 3, 4))
    y, _ = layer.propagate(sample((2, 3, 4)), ctx)
    assert ctx.loss == pytest.approx(0.5 * np.square(y).sum(), rel=1e-5)
    assert inner.activity_regularizer is not None


def test_a_time_major_output_stays_time_major():
    class TimeMajor(Tiny):
        def forward(self, x, ctx):
            y, residual = super().forward(x, ctx)
            return np.ascontiguousarray(y.swapaxes(0, 1)).swapaxes(0, 1), residual

    x = sample((2, 3, 4))
    for mode in MERGED:
        layer = Bidirectional(TimeMajor(return_sequences=True), merge_mode=mode)
        y = layer(x)
        assert y.swapaxes(0, 1).flags.c_contiguous
        np.testing.assert_allclose(y, MERGED[mode](*reference(layer, x)), rtol=1e-6)


def test_stacked_directions_train_in_a_model():
    model = Sequential()
    model.add(Bidirectional(Tiny(return_sequences=True), input_shape=(4, 3)))
    model.add(Bidirectional(Tiny(), merge_mode="sum"))
    model.add(Dense(2, activation="softmax"))
    assert model.output_shape == (None, 2)
    model.compile("adam", "categorical_crossentropy")
    x = sample((16, 4, 3))
    y = np.eye(2)[(x.sum(axis=(1, 2)) > 0).astype(int)]
    history = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]
    again = models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_of_a_wrapper_has_weights_of_its_own(again):
    x = sample((2, 3, 4))
    for layer in (Bidirectional(Tiny()), TimeDistributed(Dense(2))):
        y = layer(x)
        other = again(layer)
        np.testing.assert_array_equal(other(x), y)
        other.set_weights([np.zeros_like(w) for w in other.get_weights()])
        np.testing.assert_array_equal(layer(x), y)


def test_no_warnings_without_need():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = sample((2, 3, 4))
        Bidirectional(Tiny())(x, mask=np.ones((2, 3), bool))
        TimeDistributed(Dense(2))(x, mask=np.ones((2, 3), bool))


def test_an_input_shape_inside_a_wrapper_counts():
    from minikeras.layers import LSTM

    assert Bidirectional(LSTM(3, input_shape=(5, 2))).batch_input_shape == (None, 5, 2)
    model = Sequential([TimeDistributed(Dense(3, input_shape=(2,)))])
    assert model.output_shape == (None, None, 3)
