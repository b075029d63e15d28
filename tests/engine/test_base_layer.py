import copy
import pickle

import numpy as np
import pytest

from minikeras import backend as K
from minikeras import constraints, regularizers
from minikeras.backend import Variable
from minikeras.engine import Context, Input, InputLayer, InputSpec, Layer
from minikeras.layers import Dense, deserialize, serialize
from minikeras.models import Sequential
from minikeras.testing import check_gradients


class Scale(Layer):
    """A layer by hand, as in the docs."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.scale = self.add_weight("scale", (input_shape[-1],), initializer="ones")
        self.count = self.add_weight("count", (), initializer="zeros", trainable=False)
        self.built = True

    def forward(self, x, ctx):
        return self.factor * x * self.scale.value, x

    def backward(self, dy, x, ctx):
        ctx.add_gradient(self.scale, self.factor * (dy * x).sum(axis=0))
        return self.factor * dy * self.scale.value

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Double(Layer):
    def forward(self, x, ctx):
        return 2 * x, None

    def backward(self, dy, residual, ctx):
        return 2 * dy


def built(layer, shape=(None, 3)):
    layer.ensure_built(shape)
    return layer


# A layer by hand


def test_layer_by_hand_trains_in_a_model():
    check_gradients(Scale(2.0), input_shape=(4, 3))
    model = Sequential([Scale(2.0, input_shape=(3,)), Double()])
    model.compile("sgd", "mse")
    x = np.random.standard_normal((16, 3))
    losses = [model.train_on_batch(x, 12 * x) for _ in range(20)]
    assert losses[-1] < losses[0] / 2
    assert model.count_params() == 4


def test_layer_by_hand_comes_back_from_its_config():
    layer = Scale(2.0, name="mine", trainable=False, input_shape=(3,))
    clone = deserialize(serialize(layer), custom_objects={"Scale": Scale})
    assert clone.get_config() == layer.get_config()
    assert clone.get_config() == {
        "name": "mine",
        "trainable": False,
        "batch_input_shape": (None, 3),
        "dtype": "float32",
        "factor": 2.0,
    }


def test_layer_without_passes_says_what_is_missing():
    class Nothing(Layer):
        supports_masking = True

    with pytest.raises(NotImplementedError, match=r"'nothing_1' \(Nothing\) has no forward pass"):
        Nothing()(np.ones((1, 2)))
    with pytest.raises(NotImplementedError, match="can't be trained: it has no backward"):
        Nothing().backward(np.ones((1, 2)), None, Context())
    with pytest.raises(NotImplementedError, match="ends in no activation"):
        Nothing().backward_logits(np.ones((1, 2)), None, Context())
    assert Nothing().output_activation is None


# Names and keywords


def test_automatic_names_count_by_class():
    assert [Dense(1).name, Scale().name, Dense(1).name] == ["dense_1", "scale_1", "dense_2"]
    K.clear_session()
    assert Dense(1).name == "dense_1"
    assert Dense(1, name="head").name == "head"


def test_unknown_keyword_names_the_closest():
    with pytest.raises(TypeError, match=r"Unknown argument of Dense: 'input_shap'.* 'input_shape'"):
        Dense(2, input_shap=(3,))
    with pytest.raises(TypeError, match=r"Did you mean 'activation'.*kernel_initializer.*units"):
        Dense(2, activaton="relu")
    with pytest.raises(TypeError, match=r"'init' is the Keras 1 name of 'kernel_initializer'"):
        Dense(2, init="zeros")


def test_initializers_are_checked_and_may_be_functions_of_the_shape():
    layer = Dense(3, input_dim=2, kernel_initializer=lambda shape: np.full(shape, 7.0))
    layer.ensure_built((None, 2))
    assert layer.kernel.value.tolist() == [[7.0] * 3] * 2
    wrong = Dense(3, name="d", kernel_initializer=lambda shape, dtype=None: np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"'d/kernel:0' returned .* \(3, 2\).*\(2, 3\)"):
        wrong.ensure_built((None, 2))


@pytest.mark.parametrize("dim", [(4,), "4", 4.0, 0, -1])
def test_input_dim_is_an_int(dim):
    with pytest.raises(ValueError, match="input_dim must be an int greater than 0"):
        Dense(2, input_dim=dim)


def test_forward_must_return_a_pair_and_backward_a_gradient():
    class Bare(Layer):
        def forward(self, x, ctx):
            return x

        def backward(self, dy, residual, ctx):
            return None

    class NoGradient(Bare):
        def forward(self, x, ctx):
            return x, None

    with pytest.raises(TypeError, match=r"'bare_1'.*must return \(y, residual\)"):
        Bare()(np.ones((2, 2)))
    with pytest.raises(TypeError, match="backward returned None, but the layers below"):
        NoGradient().backpropagate(np.ones(2), None, Context())


def test_a_gradient_of_the_wrong_shape_names_the_weight():
    layer = Dense(3, input_dim=2, name="d")
    layer.ensure_built((None, 2))
    ctx = Context(gradients={layer.kernel: np.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"'d/kernel:0' must have its shape \(2, 3\), got \(\)"):
        ctx.add_gradient(layer.kernel, 1.0)


def test_a_layer_is_not_called_on_a_layer():
    with pytest.raises(TypeError, match="put together in a Sequential"):
        Dense(3)(Input(shape=(3,)))


@pytest.mark.parametrize(
    ("keywords", "shape"),
    [
        ({"input_shape": (3, 4)}, (None, 3, 4)),
        ({"input_shape": [3]}, (None, 3)),
        ({"input_shape": (None, 4)}, (None, None, 4)),
        ({"input_shape": (3,), "batch_size": 8}, (8, 3)),
        ({"batch_input_shape": (8, 3)}, (8, 3)),
        ({"input_dim": 3}, (None, 3)),
        ({"input_dim": 3, "input_length": 5}, (None, 5, 3)),
        ({"input_dim": 3, "batch_size": 2}, (2, 3)),
    ],
)
def test_input_shape_in_each_way(keywords, shape):
    assert Dense(2, **keywords).batch_input_shape == shape
    assert Sequential([Dense(2, **keywords)]).input_shape == shape


def test_input_shape_must_be_a_tuple():
    with pytest.raises(TypeError, match=r"such as \(3,\), not the int 3"):
        Dense(2, input_shape=3)


def test_no_input_shape_in_the_config_where_none_was_given():
    assert "batch_input_shape" not in Dense(2).get_config()
    assert "dtype" not in Dense(2).get_config()
    assert Dense(2, dtype="float64").get_config()["dtype"] == "float64"


# Building and calling


def test_a_call_builds():
    layer = Scale()
    assert not layer.built
    assert layer(np.ones((2, 3))).shape == (2, 3)
    assert layer.built
    assert layer.scale.shape == (3,)


def test_shapes_are_known_after_building():
    layer = Dense(2)
    with pytest.raises(AttributeError, match="'dense_1' has no input shape yet"):
        _ = layer.input_shape
    with pytest.raises(AttributeError, match="'dense_1' has no output shape yet"):
        _ = layer.output_shape
    layer.ensure_built((None, 5, 3))
    assert layer.input_shape == (None, 5, 3)
    assert layer.output_shape == (None, 5, 2)


def test_weights_argument_is_used_once_at_building():
    layer = Scale(weights=[[1.0, 2.0, 3.0], 7.0])
    assert layer(np.ones((1, 3))).tolist() == [[1.0, 2.0, 3.0]]
    layer.set_weights([[0.0, 0.0, 0.0], 0.0])
    assert layer(np.ones((1, 3))).tolist() == [[0.0, 0.0, 0.0]]


def test_a_call_converts_its_input():
    assert Double()([[1, 2]]).dtype == np.float32
    assert Double(dtype="float64")([[1, 2]]).dtype == np.float64
    K.set_floatx("float64")
    assert Double()(np.ones((1, 2), "float32")).dtype == np.float64


def test_a_call_knows_training():
    class Phase(Layer):
        def forward(self, x, ctx):
            return x + ctx.training, None

    assert Phase()(np.zeros((1, 1))).tolist() == [[0.0]]
    assert Phase()(np.zeros((1, 1)), training=True).tolist() == [[1.0]]


# InputSpec


@pytest.mark.parametrize(
    ("spec", "shape", "problem"),
    [
        (InputSpec(ndim=3), (None, 2, 3), None),
        (InputSpec(ndim=3), (None, 2), "expected ndim=3"),
        (InputSpec(min_ndim=3), (None, 2), "expected min_ndim=3"),
        (InputSpec(axes={3: 4}), (None, 2), "expected an axis 3 of size 4, found ndim=2"),
        (InputSpec(max_ndim=2), (None, 2, 3), "expected max_ndim=2"),
        (InputSpec(min_ndim=2, axes={-1: 4}), (None, 4), None),
        (InputSpec(min_ndim=2, axes={-1: 4}), (None, None), None),
        (InputSpec(min_ndim=2, axes={-1: 4}), (None, 5), "expected axis -1 to have size 4"),
        (InputSpec(shape=(None, 3)), (7, 3), None),
        (InputSpec(shape=(None, 3)), (7, 4), "expected axis 1 to have size 3, found 4"),
        (InputSpec(shape=(None, 3)), (7, 3, 1), "expected ndim=2"),
        (InputSpec(), (), None),
    ],
    ids=repr,
)
def test_input_spec(spec, shape, problem):
    found = spec.problem(shape)
    assert found is None if problem is None else problem in found


def test_input_spec_is_checked_with_the_name_of_the_layer():
    layer = Double(name="twice")
    layer.input_spec = InputSpec(ndim=2)
    message = r"layer 'twice' \(Double\): expected ndim=2.*\(None, 2, 3\)"
    with pytest.raises(ValueError, match=message):
        layer(np.ones((1, 2, 3)))


def test_input_spec_shows_what_it_was_given():
    assert repr(InputSpec(ndim=2, axes={-1: 3})) == "InputSpec(ndim=2, axes={-1: 3})"


# Weights


def test_weights_are_listed_trainable_ones_first():
    layer = built(Scale())
    assert [w.name for w in layer.weights] == ["scale_1/scale:0", "scale_1/count:0"]
    assert [w.name for w in layer.trainable_weights] == ["scale_1/scale:0"]
    assert [w.name for w in layer.non_trainable_weights] == ["scale_1/count:0"]
    layer.trainable = False
    assert layer.trainable_weights == []
    assert [w.name for w in layer.non_trainable_weights] == ["scale_1/scale:0", "scale_1/count:0"]
    assert layer.count_params() == 4


def test_add_weight_defaults_and_rules():
    layer = Layer(name="own")
    weight = layer.add_weight()
    assert (weight.name, weight.shape, weight.dtype) == ("own/weight:0", (), np.float32)
    assert isinstance(weight, Variable)
    ruled = layer.add_weight(
        "w", [2, 3], "float64", initializer="ones", regularizer="l2", constraint="non_neg"
    )
    assert ruled.value.tolist() == [[1.0] * 3] * 2
    assert ruled.dtype == np.float64
    assert isinstance(ruled.regularizer, regularizers.L1L2)
    assert isinstance(ruled.constraint, constraints.NonNeg)


def test_get_weights_copies():
    layer = built(Scale())
    layer.get_weights()[0][:] = 5
    assert layer.scale.value.tolist() == [1.0, 1.0, 1.0]


def test_set_weights_copies_and_keeps_the_array():
    layer = built(Scale())
    array, given = layer.scale.value, np.full(3, 5.0)
    layer.set_weights([given, 1])
    given[:] = 9
    assert layer.scale.value is array
    assert array.tolist() == [5.0, 5.0, 5.0]
    assert array.dtype == np.float32


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([[1, 2, 3]], r"'scale_1' has 2 weights, but set_weights was given 1.*scale:0 \(3,\)"),
        ([[1, 2], 0], r"'scale_1/scale:0' has shape \(3,\), .* shape \(2,\)"),
        ([[9, 9, 9], [1]], r"'scale_1/count:0' has shape \(\), .* shape \(1,\)"),
    ],
)
def test_set_weights_that_do_not_fit_changes_nothing(weights, message):
    layer = built(Scale())
    with pytest.raises(ValueError, match=message):
        layer.set_weights(weights)
    assert layer.scale.value.tolist() == [1.0, 1.0, 1.0]


def test_weights_of_a_layer_that_is_not_built():
    layer = Dense(2)
    assert layer.get_weights() == []
    with pytest.raises(RuntimeError, match="'dense_1' can't be counted: it has not been built"):
        layer.count_params()
    with pytest.raises(ValueError, match=r"'dense_1' \(it has not been built yet\) has 0 weights"):
        layer.set_weights([np.zeros(2)])


@pytest.mark.parametrize("again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_has_weights_of_its_own(again):
    layer = built(Dense(2, kernel_regularizer="l2"))
    other = again(layer)
    x = np.ones((1, 3))
    np.testing.assert_array_equal(other(x), layer(x))
    other.set_weights([np.zeros((3, 2)), np.ones(2)])
    assert other(x).tolist() == [[1.0, 1.0]]
    assert layer(x).tolist() != [[1.0, 1.0]]


# Masks, penalties and checks on the way


def test_a_mask_ends_at_a_layer_that_does_not_support_it():
    # Keras 2.2.4 raises TypeError.
    layer, x, mask = Double(), np.ones((1, 3, 2)), np.ones((1, 3), bool)
    message = (
        r"Layer 'double_1' \(Double\) does not support masking: the mask of shape \(1, 3\) ends "
        r"here, and steps that were masked count again .* set its supports_masking to True"
    )
    with pytest.warns(UserWarning, match=message):
        layer(x, mask=mask)
    ctx = Context(mask=mask)
    layer.propagate(x, ctx)  # a second warning would be an error
    assert ctx.mask is None
    with pytest.warns(UserWarning, match="'double_2'"):
        Double()(x, mask=mask)


def test_support_of_masking_can_be_set_on_a_layer():
    layer = Double()
    layer.supports_masking = True
    assert layer.compute_mask(np.ones((1, 3, 2)), "mask") == "mask"


def test_a_call_checks_and_converts_its_mask():
    class Masked(Layer):
        supports_masking = True

        def forward(self, x, ctx):
            assert ctx.mask.dtype == bool
            return x * ctx.mask[..., np.newaxis], None

    x = np.ones((1, 2, 1))
    assert Masked()(x, mask=[[1, 0]]).tolist() == [[[1.0], [0.0]]]
    message = r"'masked_2' \(Masked\): a mask has a row for each sample.* \(2, 2\) .* \(1, 2, 1\)"
    with pytest.raises(ValueError, match=message):
        Masked()(x, mask=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"mask of shape \(\)"):
        Masked()(x, mask=True)


def test_a_layer_may_set_the_mask_in_its_forward_pass():
    class Ends(Double):
        sets_mask = True

        def forward(self, x, ctx):
            ctx.mask = None
            return 2 * x, None

        def compute_mask(self, inputs, mask=None):
            raise AssertionError("not asked")

    ctx = Context(mask=np.ones((1, 3), bool))
    Ends().propagate(np.ones((1, 3)), ctx)
    assert ctx.mask is None


def test_a_mask_is_handed_on_by_a_layer_that_supports_it():
    class Tolerant(Double):
        supports_masking = True

    mask = np.ones((1, 3), bool)
    ctx = Context(mask=mask)
    Tolerant().propagate(np.ones((1, 3, 2)), ctx)
    assert ctx.mask is mask


def test_activity_penalty_of_any_layer():
    layer = Double()
    layer.activity_regularizer = regularizers.L1L2(l2=0.5)
    ctx = Context(training=True)
    y, residual = layer.propagate(np.array([[3.0]]), ctx)
    assert ctx.loss == 18.0
    assert layer.backpropagate(np.ones_like(y), residual, ctx).tolist() == [[14.0]]
    check_gradients(layer, input_shape=(2, 3))


def test_checks_for_nan_name_the_layer_and_the_place():
    K.set_check_numerics(True)
    x = np.ones((2, 3))
    x[1, 2] = np.inf
    with pytest.raises(FloatingPointError, match=r"'double_1' \(Double\): its output .* \[1, 2\]"):
        Double()(x)
    layer = Double()
    with pytest.raises(FloatingPointError, match=r"its gradient by the output .* nan at"):
        layer.backpropagate(np.full((1, 1), np.nan), None, Context())
    K.set_check_numerics(False)
    assert Double()(x)[1, 2] == np.inf


# Several outputs


class Halves(Layer):
    """Two outputs: the features twice and three times."""

    supports_masking = True
    extra = 0

    def forward(self, x, ctx):
        return [2 * x, 3 * x[:, :1]] + [x] * self.extra, None

    def backward(self, dy, residual, ctx):
        first, second = dy
        dx = 2 * first
        dx[:, :1] += 3 * second
        return dx

    def compute_output_shape(self, input_shape):
        return [input_shape, [input_shape[0], 1]]


def test_several_outputs_come_as_a_list():
    layer = Halves()
    first, second = layer([[1.0, 2.0]])
    assert first.tolist() == [[2.0, 4.0]]
    assert second.tolist() == [[3.0]]
    assert layer.output_shape == [(None, 2), (None, 1)]
    assert layer.ensure_built((7, 2)) == [(7, 2), (7, 1)]
    ctx = Context()
    _, residual = layer.propagate(np.ones((1, 2)), ctx)
    dx = layer.backpropagate([np.ones((1, 2)), np.ones((1, 1))], residual, ctx)
    assert dx.tolist() == [[5.0, 2.0]]


def test_activity_penalty_of_several_outputs_is_the_sum():
    # As in Keras 2.2.4.
    layer = Halves()
    layer.activity_regularizer = regularizers.L1L2(l2=0.5)
    ctx = Context()
    _, residual = layer.propagate(np.array([[1.0, 2.0]]), ctx)
    assert ctx.loss == 0.5 * (4 + 16 + 9)
    dx = layer.backpropagate([np.zeros((1, 2)), np.zeros((1, 1))], residual, ctx)
    assert dx.tolist() == [[2 * 2 + 3 * 3, 2 * 4]]


def test_several_outputs_are_checked_one_by_one():
    layer = built(Halves(name="halves"))
    layer.extra = 1
    message = (
        r"\(1, 3\) into \[\(1, 3\), \(1, 1\), \(1, 3\)\], but compute_output_shape promises \["
    )
    with pytest.raises(ValueError, match=message):
        layer(np.ones((1, 3)))
    layer.forward = lambda x, ctx: ([x, x], None)
    with pytest.raises(ValueError, match=r"into \[\(1, 3\), \(1, 3\)\], but"):
        layer(np.ones((1, 3)))
    single = built(Double())
    for outputs in (1, 2):
        single.forward = lambda x, ctx, n=outputs: ([x] * n, None)
        with pytest.raises(ValueError, match=r"into \[\(1, 3\).*\], but .* promises \(1, 3\)"):
            single(np.ones((1, 3)))
    several = built(Halves())
    several.forward = lambda x, ctx: (x, None)
    with pytest.raises(ValueError, match=r"into \(1, 3\), but .* promises \[\(1, 3\), \(1, 1\)\]"):
        several(np.ones((1, 3)))


class NanInSecond(Halves):
    def forward(self, x, ctx):
        return [x, np.full((len(x), 1), np.nan)], None


def test_checks_for_nan_look_at_all_outputs():
    K.set_check_numerics(True)
    with pytest.raises(
        FloatingPointError, match=r"'halves_1'.* output of shape \(1, 1\) holds nan"
    ):
        built(NanInSecond(name="halves_1"))(np.ones((1, 3)))
    dy = [np.ones((1, 3)), np.full((1, 1), np.inf)]
    with pytest.raises(FloatingPointError, match=r"gradient by the output of shape \(1, 1\)"):
        built(Halves()).backpropagate(dy, None, Context())


def test_a_stack_refuses_several_outputs():
    message = (
        r"'halves_1' \(Halves\) has 2 outputs, of shapes \[\(None, 3\), \(None, 1\)\].* single"
    )
    with pytest.raises(ValueError, match=message):
        Sequential([Halves(input_shape=(3,))])
    with pytest.raises(ValueError, match=r"'halves_2' \(Halves\) has 2 outputs"):
        Sequential([Halves(), Double()]).predict(np.ones((1, 3)))
    known = built(Halves(name="known"))
    with pytest.raises(ValueError, match=r"'known' \(Halves\) has 2 outputs"):
        Sequential([Double(input_shape=(3,)), known])


# InputLayer and Input


def test_input_layer_states_the_shape_and_changes_nothing():
    layer = InputLayer(input_shape=(3,), dtype="float64")
    assert layer.name == "input_1"
    assert layer.input_shape == layer.output_shape == (None, 3)
    x = np.ones((2, 3))
    assert layer.forward(x, Context())[0] is x
    assert layer.backward(x, None, Context()) is x
    assert layer.count_params() == 0
    assert layer.get_config() == {
        "batch_input_shape": (None, 3),
        "dtype": "float64",
        "name": "input_1",
    }


def test_input_layer_comes_back_from_its_config():
    layer = InputLayer(input_shape=(3,), batch_size=4, name="data")
    clone = deserialize(serialize(layer))
    assert clone.get_config() == layer.get_config()
    assert clone.batch_input_shape == (4, 3)


def test_input_makes_an_input_layer():
    assert Input((3,)).batch_input_shape == (None, 3)
    assert Input(batch_shape=(2, 3), name="data").batch_input_shape == (2, 3)
    assert Input((3,), dtype="int32").dtype == "int32"


def test_input_hands_a_mask_on():
    ctx = Context(mask=np.ones((1, 3), bool))
    Input((3,)).propagate(np.ones((1, 3)), ctx)
    assert ctx.mask is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (InputLayer, "InputLayer needs an input_shape or a batch_input_shape"),
        (lambda: InputLayer((3,), batch_input_shape=(2, 3)), "not both"),
        (Input, "Input needs a shape or a batch_shape"),
    ],
)
def test_input_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_advice_about_a_missing_axis_of_sequences():
    from minikeras.layers import LSTM

    with pytest.raises(ValueError, match=r"takes input_shape=\(steps, features\)"):
        LSTM(3)(np.zeros((2, 4)))
