import json

import numpy as np
import pytest

from minikeras import Input
from minikeras.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    InputLayer,
    Layer,
    RepeatVector,
    Reshape,
)
from minikeras.models import Sequential, clone_model, model_from_config, model_from_json

WAYS = {
    "input_shape": lambda: [Dense(2, input_shape=(3,))],
    "input_dim": lambda: [Dense(2, input_dim=3)],
    "batch_input_shape": lambda: [Dense(2, batch_input_shape=(None, 3))],
    "InputLayer": lambda: [InputLayer((3,)), Dense(2)],
    "InputLayer with batch_input_shape": lambda: [
        InputLayer(batch_input_shape=(None, 3)),
        Dense(2),
    ],
    "Input": lambda: [Input(shape=(3,)), Dense(2)],
    "nested": lambda: [Sequential([Dense(4, input_dim=3)]), Dense(2)],
    "nested with InputLayer": lambda: [Sequential([InputLayer((3,)), Dense(4)]), Dense(2)],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by_add", [False, True])
def test_ways_to_state_the_input_shape(way, by_add):
    layers = WAYS[way]()
    if by_add:
        model = Sequential()
        for layer in layers:
            model.add(layer)
    else:
        model = Sequential(layers)

    assert model.built
    assert model.input_shape == (None, 3)
    assert model.output_shape == (None, 2)
    assert model.predict(np.zeros((5, 3))).shape == (5, 2)
    assert not any(isinstance(layer, InputLayer) for layer in model.layers)


def test_batch_size_and_sequences():
    assert Sequential([Dense(2, input_shape=(6, 8), batch_size=32)]).input_shape == (32, 6, 8)
    assert Sequential([Dense(2, input_length=10, input_dim=64)]).input_shape == (None, 10, 64)


def test_without_input_shape_the_model_is_built_late():
    model = Sequential([Dense(2), Dense(1)])

    assert not model.built
    assert model.weights == []
    with pytest.raises(ValueError, match="has not been built"):
        model.summary()
    with pytest.raises(RuntimeError, match="has not been built"):
        model.count_params()
    with pytest.raises(AttributeError, match="no output shape yet"):
        _ = model.output_shape

    model.build((None, 3))

    assert model.count_params() == 3 * 2 + 2 + 2 + 1


def test_build_without_any_shape():
    with pytest.raises(ValueError, match="give its first layer 'dense_1' an input_shape"):
        Sequential([Dense(2)]).build()
    with pytest.raises(ValueError, match="has no layers"):
        Sequential().build((None, 2))


def test_pop():
    model = Sequential([Dense(4, input_dim=3), Dense(2)])
    model.pop()
    assert model.output_shape == (None, 4)
    assert len(model.weights) == 2

    model.add(Dense(5))
    assert model.output_shape == (None, 5)

    for _ in range(2):
        model.pop()
    with pytest.raises(TypeError, match="no layers"):
        model.pop()


def test_automatic_names_count_for_each_class():
    layers = (Dense(1), Dropout(0.1), Dense(1), Sequential(), InputLayer((1,)))

    names = [layer.name for layer in layers]
    assert names == ["dense_1", "dropout_1", "dense_2", "sequential_1", "input_1"]


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (lambda: [Dense], TypeError, "Did you forget the parentheses"),
        (lambda: ["dense"], TypeError, "add takes a layer"),
        (lambda: Dense(1), TypeError, "takes a list of layers"),
        (
            lambda: [Dense(1, name="a", input_dim=2), Dense(1, name="a")],
            ValueError,
            "'a' is used twice",
        ),
        (
            lambda: [Dense(1, input_dim=2), InputLayer((2,))],
            ValueError,
            "only be the first layer",
        ),
        (lambda: [Reshape((2, 2), input_shape=(5,))], ValueError, r"samples of shape \(5,\)"),
        (
            lambda: [Dense(4, input_dim=2), RepeatVector(2), RepeatVector(2)],
            ValueError,
            "'repeat_vector_2'.*expected ndim=2",
        ),
        (lambda: [Flatten(input_shape=(None, 3))], ValueError, "fully known input shape"),
        (lambda: [Dense(2, input_shape=(None,))], ValueError, "the size of axis -1"),
        (lambda: [Dense(2, input_shape=5)], TypeError, r"must be a tuple, such as \(5,\)"),
        (lambda: [Dense(2, inputdim=5)], TypeError, "Did you mean 'input_dim'"),
    ],
)
def test_layers_that_do_not_go_together(layers, error, message):
    with pytest.raises(error, match=message):
        Sequential(layers())


def test_get_layer():
    model = Sequential([Dense(2, name="first", input_dim=1), Dense(3, name="second")])

    assert model.get_layer("second") is model.layers[1]
    assert model.get_layer(index=0) is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[1]
    assert model.get_layer("second", 0) is model.layers[0]
    with pytest.raises(ValueError, match="Did you mean 'first'"):
        model.get_layer("frist")
    with pytest.raises(ValueError, match="There is no layer 2: the model has 2 layers"):
        model.get_layer(index=2)
    with pytest.raises(ValueError, match="needs a name or an index"):
        model.get_layer()


def test_weights_go_out_and_in():
    model = Sequential([Dense(4, input_dim=3), Sequential([Dense(2)])])
    twin = clone_model(model)
    x = np.random.standard_normal((5, 3))
    assert not np.array_equal(model.predict(x), twin.predict(x))

    twin.set_weights(model.get_weights())

    assert np.array_equal(model.predict(x), twin.predict(x))
    assert [w.shape for w in model.get_weights()] == [(3, 4), (4,), (4, 2), (2,)]


def test_weights_that_do_not_fit_change_nothing():
    model = Sequential([Dense(4, input_dim=3), Dense(2)])
    before = model.get_weights()
    wrong = [np.zeros((3, 4)), np.zeros(4), np.zeros((4, 2)), np.zeros(3)]

    with pytest.raises(ValueError, match=r"'dense_2/bias:0' has shape \(2,\).*\(3,\)"):
        model.set_weights(wrong)
    with pytest.raises(ValueError, match="has 4 weights, but set_weights was given 3"):
        model.set_weights(wrong[:3])

    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_trainable_of_layers_and_models():
    inner = Sequential([Dense(4, input_dim=3), Dense(4)])
    model = Sequential([inner, Dense(2)])
    assert len(model.trainable_weights) == 6

    inner.layers[0].trainable = False
    assert len(model.trainable_weights) == 4
    assert [w.name for w in model.non_trainable_weights] == ["dense_1/kernel:0", "dense_1/bias:0"]

    inner.trainable = False
    assert len(model.trainable_weights) == 2
    assert len(model.non_trainable_weights) == 4

    model.trainable = False
    assert model.trainable_weights == []
    assert len(model.non_trainable_weights) == len(model.weights) == 6


def test_json_round_trip():
    model = Sequential(
        [
            Dense(4, activation="relu", kernel_regularizer="l2", input_dim=3, name="d"),
            Sequential([Dense(3), Activation("tanh")], name="inner"),
            Dropout(0.25, noise_shape=(None, 1)),
        ],
        name="outer",
    )
    text = model.to_json(indent=1)

    again = model_from_json(text)
    again.set_weights(model.get_weights())
    x = np.random.standard_normal((2, 3))

    assert again.to_json(indent=1) == text
    assert again.get_layer("d").kernel_regularizer.get_config() == {
        "l1": 0.0,
        "l2": pytest.approx(0.01),
    }
    assert np.array_equal(model.predict(x), again.predict(x))
    content = json.loads(text)
    assert content["class_name"] == "Sequential"
    assert content["keras_version"] == "2.2.4"
    assert [layer["class_name"] for layer in content["config"]["layers"]] == [
        "Dense",
        "Sequential",
        "Dropout",
    ]


def test_an_input_layer_survives_the_round_trip():
    model = Sequential([InputLayer((3,), name="entry"), Dense(2)])

    again = Sequential.from_config(model.get_config())

    assert again.input_shape == (None, 3)
    assert again.input_names == ["entry"]


def test_from_config_takes_the_bare_list_of_older_files():
    model = Sequential([Dense(2, input_dim=3)])

    assert Sequential.from_config(model.get_config()["layers"]).output_shape == (None, 2)


def test_custom_layers_by_custom_objects():
    class Double(Layer):
        def forward(self, x, ctx):
            return 2 * x, None

        def backward(self, dy, residual, ctx):
            return 2 * dy

    text = Sequential([Double(input_shape=(2,))]).to_json()

    with pytest.raises(ValueError, match="Unknown layer 'Double'"):
        model_from_json(text)
    again = model_from_json(text, custom_objects={"Double": Double})
    assert again.predict(np.ones((1, 2))).tolist() == [[2, 2]]


def test_model_from_config_names_what_it_can_not_make():
    with pytest.raises(ValueError, match="Only Sequential"):
        model_from_config({"class_name": "Model", "config": {}})
    with pytest.raises(TypeError, match="Sequential.from_config"):
        model_from_config([])


def test_a_layer_without_a_forward_pass_says_so():
    with pytest.raises(NotImplementedError, match=r"Define call\(.*forward\(self, x, ctx\)"):
        Sequential([Layer(input_shape=(2,))]).predict(np.ones((1, 2)))


def test_models_can_be_called():
    model = Sequential([Dense(2, input_dim=3), Dropout(0.5)])
    x = np.ones((4, 3), "float32")

    assert np.array_equal(model(x), model.predict(x))
    assert (model(x, training=True) == 0).any()


def test_eight_threads_predict_the_same_as_one():
    from concurrent.futures import ThreadPoolExecutor

    model = Sequential([Dense(32, activation="relu", input_dim=8), Dense(4, activation="softmax")])
    inputs = [np.random.standard_normal((20, 8)) for _ in range(40)]
    expected = [model.predict(x, batch_size=7) for x in inputs]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: model.predict(x, batch_size=7), inputs))

    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_eight_threads_that_meet_an_unbuilt_model_build_it_once():
    from concurrent.futures import ThreadPoolExecutor

    x = np.ones((4, 6))
    for _ in range(10):
        model = Sequential([Dense(8) for _ in range(5)])
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _, model=model: model.predict(x), range(8)))
        assert len(model.get_weights()) == 10
        assert all(np.array_equal(each, model.predict(x)) for each in found)


def test_calling_on_data_does_not_change_the_shapes():
    model = Sequential([Dense(3, input_shape=(None, 4))])

    model(np.zeros((2, 5, 4)))
    model.layers[0](np.zeros((9, 4)))

    assert model.input_shape == (None, None, 4)
    assert model.layers[0].output_shape == (None, None, 3)
    assert model.predict(np.zeros((2, 7, 4))).shape == (2, 7, 3)


def test_a_call_or_a_build_that_fails_leaves_the_model_as_it_was():
    model = Sequential([Dense(3, input_dim=4)])

    for wrong in (lambda: model(np.zeros((2, 5))), lambda: model.build((None, 5))):
        with pytest.raises(ValueError, match="'dense_1'.*expected axis -1 to have size 4, found 5"):
            wrong()
        assert model.input_shape == (None, 4)
        assert model.predict(np.zeros((2, 4))).shape == (2, 3)


def test_a_layer_that_can_not_be_added_is_not_added():
    model = Sequential([Input((4,))])

    with pytest.raises(ValueError, match="Reshape"):
        model.add(Reshape((5,)))
    model.add(Dense(2))
    with pytest.raises(ValueError, match="expected axis -1 to have size 4, found 2"):
        model.add(Sequential([Dense(3, input_dim=4)]))

    assert [layer.name for layer in model.layers] == ["dense_1"]
    assert model.output_shape == (None, 2)


def test_an_emptied_model_forgets_its_shape():
    model = Sequential([Dense(2, input_dim=3)])
    model.pop()
    model.add(Dense(2))

    assert not model.built


def test_custom_layers_can_be_cloned():
    class Mine(Dense):
        pass

    model = Sequential([Input((4,)), Sequential([Mine(3)]), Mine(2, name="last")])

    clone = clone_model(model)

    assert type(clone.get_layer("last")) is Mine
    assert clone.output_shape == (None, 2)
    assert clone.get_layer("last") is not model.get_layer("last")
