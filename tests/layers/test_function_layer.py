import copy
import json
import pickle

import numpy as np
import pytest

from minikeras import Sequential
from minikeras import backend as K
from minikeras.layers import (
    LSTM,
    Activation,
    Bidirectional,
    Dense,
    Embedding,
    Flatten,
    Lambda,
    Masking,
    TimeDistributed,
    deserialize,
    serialize,
)
from minikeras.models import clone_model, model_from_json
from minikeras.testing import check_gradients
from minikeras.utils import CustomObjectScope, get_custom_objects

X = np.random.RandomState(0).standard_normal((4, 3)).astype("float32")
SEQUENCES = np.random.RandomState(1).standard_normal((4, 5, 3)).astype("float32")


def doubled(x):
    return 2.0 * x


def powered(x, power=2, shift=0.0):
    return K.pow(x, power) + shift


def antirectifier(x):
    x = x - K.mean(x, axis=1, keepdims=True)
    x = K.l2_normalize(x, axis=1)
    return K.concatenate([K.relu(x), K.relu(-x)], axis=1)


def antirectifier_output_shape(input_shape):
    shape = list(input_shape)
    shape[-1] *= 2
    return tuple(shape)


class Callable:
    """A callable object without a name."""

    def __call__(self, x):
        return 3.0 * x


# --- computing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x**2,
        lambda x: x[:, ::-1],
        lambda x: K.sum(x, axis=-1, keepdims=True),
        lambda x: np.tanh(x) * 2,
        lambda x: (x - K.mean(x)) / (K.std(x) + 1e-3),
        lambda x: x @ np.ones((3, 2)),
        antirectifier,
        doubled,
        K.square,
        Callable(),
    ],
)
def test_functions(function):
    layer = Lambda(function)
    check_gradients(layer, X)
    with np.errstate(all="ignore"):
        expected = np.asarray(K.eval(function(K.variable(X))))
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5)
    assert layer.output_shape == (None, *expected.shape[1:])
    assert layer(X).dtype == np.float32


def test_in_a_model():
    model = Sequential(
        [
            Dense(4, input_shape=(3,)),
            Lambda(antirectifier, output_shape=antirectifier_output_shape),
            Lambda(lambda x: x * 2 + 1),
            Dense(1),
        ]
    )
    assert [layer.output_shape for layer in model.layers] == [
        (None, 4),
        (None, 8),
        (None, 8),
        (None, 1),
    ]
    model.compile("sgd", "mse")
    check_gradients(model, X, X[:, :1])
    np.testing.assert_allclose(
        K.function([model.input], [model.output])([X])[0], model.predict(X), rtol=1e-5
    )


def test_arguments():
    layer = Lambda(powered, arguments={"power": 3, "shift": 1.0})
    np.testing.assert_allclose(layer(X), X**3 + 1, rtol=1e-5)
    check_gradients(layer, X)
    given = {"power": 2}
    layer = Lambda(powered, arguments=given)
    given["power"] = 5
    np.testing.assert_allclose(layer(X), X**2, rtol=1e-5)
    with pytest.raises((TypeError, ValueError), match="unknown"):
        Lambda(powered, arguments={"unknown": 1})(X)


def test_the_phase():
    layer = Lambda(lambda x: K.in_train_phase(x + 1.0, x))
    np.testing.assert_array_equal(layer(X), X)
    np.testing.assert_allclose(layer(X, training=True), X + 1)


def test_variables_in_the_function_are_constants_of_training():
    w = K.variable(np.full(3, 2.0))
    layer = Lambda(lambda x: x * w, input_shape=(3,))
    model = Sequential([layer])
    model.compile("sgd", "mse")
    assert layer.weights == []
    model.train_on_batch(X, X)
    assert w.value.tolist() == [2.0, 2.0, 2.0]
    K.set_value(w, np.zeros(3))
    assert not model.predict(X).any()


def test_layers_in_layers():
    check_gradients(TimeDistributed(Lambda(antirectifier)), SEQUENCES)
    check_gradients(Sequential([Lambda(doubled), Sequential([Lambda(K.square)])]), X)
    outer = Lambda(lambda x: Lambda(K.tanh, dtype=K.dtype(x))(x) * 2.0)
    check_gradients(outer, X)
    model = Sequential([Lambda(lambda x: x[:, ::-1], input_shape=(5, 3)), Bidirectional(LSTM(2))])
    check_gradients(model, SEQUENCES)


def test_a_layer_as_the_function():
    layer = Lambda(Dense(2))
    assert layer(X).shape == (4, 2)
    check_gradients(layer, X)


def test_whole_numbers():
    layer = Lambda(lambda x: K.one_hot(K.cast(x, "int32"), 5))
    np.testing.assert_array_equal(layer(np.array([[0, 4]]))[0], np.eye(5)[[0, 4]])
    model = Sequential([Lambda(lambda x: K.argmax(x), input_shape=(3,))])
    np.testing.assert_array_equal(model.predict(X), X.argmax(axis=-1))
    model = Sequential([Embedding(5, 2, input_length=3), Lambda(lambda x: K.mean(x, axis=1))])
    assert model.predict(np.array([[0, 1, 4]])).shape == (1, 2)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_float_types(dtype):
    assert Lambda(lambda x: x * 2.5 + np.ones(3), dtype=dtype)(X).dtype == dtype


def test_what_is_no_function():
    for wrong in (None, 3, "relu", [doubled]):
        with pytest.raises(TypeError, match="Lambda takes a function, got"):
            Lambda(wrong)


def test_an_error_in_the_function_names_the_layer():
    def fail(x):
        raise RuntimeError("boom")

    with pytest.raises(ValueError, match=r"'broken' \(Lambda\).*boom"):
        Lambda(fail, name="broken")(X)


# --- shapes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1,), [1], lambda s: (s[0], 1), lambda s: [s[0], 1]])
def test_forms_of_the_output_shape(shape):
    layer = Lambda(lambda x: K.sum(x, axis=-1, keepdims=True), output_shape=shape)
    assert layer.compute_output_shape((None, 3)) == (None, 1)
    assert layer(X).shape == (4, 1)
    check_gradients(layer, X)


@pytest.mark.parametrize("shape", [3, "ab", 2.5])
def test_wrong_output_shapes(shape):
    with pytest.raises(TypeError, match="output_shape of Lambda must be a tuple"):
        Lambda(doubled, output_shape=shape)


def test_a_function_that_returns_no_shape():
    with pytest.raises((TypeError, ValueError), match=r"Lambda.*output_shape"):
        Lambda(doubled, output_shape=lambda shape: 3, name="l")(X)


def test_a_wrong_output_shape_is_noticed():
    with pytest.raises(ValueError, match=r"into \(4, 3\), but compute_output_shape promises"):
        Lambda(doubled, output_shape=(7,))(X)


def test_a_stated_shape_saves_the_trial():
    calls = []

    def watched(x):
        calls.append(1)
        return x

    Sequential([Lambda(watched, output_shape=(3,), input_shape=(3,))])
    assert calls == []


def test_unknown_axes():
    layer = Lambda(lambda x: K.max(x, axis=1), input_shape=(None, 3))
    model = Sequential([layer, Dense(1)])
    assert layer.output_shape == (None, 3)
    for steps in (1, 5, 24, 48, 100):
        assert model.predict(np.ones((2, steps, 3))).shape == (2, 1)


# --- masks ------------------------------------------------------------------------------------


MASKED = SEQUENCES.copy()
MASKED[:, 3:] = 0


def test_a_mask_ends_at_a_lambda_without_one():
    lstm = LSTM(2)
    assert not Lambda(doubled).supports_masking
    model = Sequential([Masking(input_shape=(5, 3)), Lambda(doubled), lstm])
    np.testing.assert_allclose(model.predict(MASKED), lstm(2 * MASKED), rtol=1e-5)


def test_the_function_may_take_the_mask():
    def mean_of_real_steps(x, mask=None):
        counts = K.cast(mask, "float32")[:, :, np.newaxis] if mask is not None else 1.0
        return K.sum(x * counts, axis=1) / K.sum(counts + 0.0 * x, axis=1)

    layer = Lambda(mean_of_real_steps)
    model = Sequential([Masking(input_shape=(5, 3)), layer])
    np.testing.assert_allclose(model.predict(MASKED), MASKED[:, :3].mean(axis=1), rtol=1e-5)
    run = K.function([model.input], [model.output])
    np.testing.assert_allclose(run([MASKED])[0], model.predict(MASKED), rtol=1e-5)
    np.testing.assert_allclose(layer(SEQUENCES), SEQUENCES.mean(axis=1), rtol=1e-4, atol=1e-6)
    model.compile("sgd", "mse")
    assert model.evaluate(MASKED, MASKED[:, :3].mean(axis=1), verbose=0) < 1e-10


def test_a_mask_function():
    lstm = LSTM(2)
    layer = Lambda(doubled, mask=lambda x, mask: mask)
    assert layer.supports_masking
    model = Sequential([Masking(input_shape=(5, 3)), layer, lstm])
    np.testing.assert_allclose(model.predict(MASKED), lstm(2 * MASKED[:, :3]), rtol=1e-5)
    run = K.function([model.input], [model.output])
    np.testing.assert_allclose(run([MASKED])[0], model.predict(MASKED), rtol=1e-5)


def test_a_mask_made_of_the_input():
    lstm = LSTM(2)
    layer = Lambda(
        lambda x: x, mask=lambda x, mask: K.any(K.not_equal(x, 0.0), axis=-1), input_shape=(5, 3)
    )
    model = Sequential([layer, lstm])
    np.testing.assert_allclose(model.predict(MASKED), lstm(MASKED[:, :3]), rtol=1e-5)


def test_a_mask_that_is_an_array():
    lstm, mask = LSTM(2), np.array([[True] * 3 + [False] * 2] * 4)
    model = Sequential([Lambda(doubled, mask=mask, input_shape=(5, 3)), lstm])
    np.testing.assert_allclose(model.predict(SEQUENCES), lstm(2 * SEQUENCES[:, :3]), rtol=1e-5)


# --- configuration ----------------------------------------------------------------------------


def test_configuration():
    layer = Lambda(powered, output_shape=(3,), arguments={"power": 3}, name="cube")
    config = layer.get_config()
    assert config["function"] is powered or config["function"] == "powered"
    assert config["function_type"] == "function"
    assert tuple(config["output_shape"]) == (3,)
    assert config["output_shape_type"] == "raw"
    assert config["arguments"] == {"power": 3}
    with CustomObjectScope({"powered": powered}):
        again = Lambda.from_config(config)
    np.testing.assert_array_equal(again(X), layer(X))
    assert again.get_config() == config
    assert config == layer.get_config()  # from_config has not changed it


@pytest.mark.parametrize("scoped", [True, False])
def test_json_with_functions(scoped):
    model = Sequential(
        [
            Lambda(antirectifier, output_shape=antirectifier_output_shape, input_shape=(3,)),
            Lambda(powered, arguments={"power": 3}),
            Dense(1),
        ]
    )
    known = {f.__name__: f for f in (antirectifier, antirectifier_output_shape, powered)}
    text = model.to_json()
    json.loads(text)
    if scoped:
        loaded = model_from_json(text, custom_objects=known)
    else:
        get_custom_objects().update(known)
        loaded = model_from_json(text)
    loaded.set_weights(model.get_weights())
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.to_json() == text


def test_json_of_a_lambda_expression():
    """There is no name to find it by. Either writing or reading says so."""
    model = Sequential([Lambda(lambda x: x * 2, input_shape=(3,), name="anonymous")])
    with pytest.raises((TypeError, ValueError), match="def|byte code|custom_objects"):
        model_from_json(model.to_json())


def test_names_that_are_not_known():
    text = Sequential([Lambda(doubled, input_shape=(3,))]).to_json()
    with pytest.raises(ValueError, match=r"'doubled'.*custom_objects"):
        model_from_json(text)
    with pytest.raises(ValueError, match=r"function of a Lambda layer.*'double'.*doubled"):
        Lambda.from_config(
            {"function": "double", "function_type": "function"}, {"doubled": doubled}
        )


@pytest.mark.parametrize("key", ["function", "output_shape"])
@pytest.mark.parametrize("code", [["4wEAAAABAAAAAQAAAFMA\n", None, None], "x * 2", b"code", 7])
def test_byte_code_is_never_run(key, code):
    config = {"function": doubled, "function_type": "raw", "output_shape": None}
    config |= {"output_shape_type": "raw", key: code, f"{key}_type": "lambda"}
    with pytest.raises(ValueError, match="byte code, which is never run|Unknown .* custom_objects"):
        Lambda.from_config(config)


def test_a_file_cannot_name_a_function_of_a_module():
    for name in ("os.system", "eval", "K.square", "minikeras.backend.square", "__import__"):
        with pytest.raises(ValueError, match="custom_objects"):
            Lambda.from_config({"function": name, "function_type": "function"})


def test_serialize_and_deserialize():
    layer = Lambda(doubled)
    entry = serialize(layer)
    assert entry["class_name"] == "Lambda"
    again = deserialize(entry, custom_objects={"doubled": doubled})
    np.testing.assert_array_equal(again(X), layer(X))


def test_clones_and_copies():
    model = Sequential([Lambda(doubled, input_shape=(3,)), Lambda(lambda x: x + 1)])
    for other in (clone_model(model), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
    model = Sequential([Lambda(doubled, input_shape=(3,)), Lambda(K.square), Activation("relu")])
    other = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_wrappers_around_a_lambda_are_loaded():
    model = Sequential([TimeDistributed(Lambda(doubled), input_shape=(5, 3)), Flatten()])
    loaded = model_from_json(model.to_json(), custom_objects={"doubled": doubled})
    np.testing.assert_array_equal(loaded.predict(SEQUENCES), model.predict(SEQUENCES))


def test_summary(capsys):
    Sequential([Lambda(antirectifier, input_shape=(3,), name="anti")]).summary()
    assert "anti (Lambda)" in (out := capsys.readouterr().out)
    assert "(None, 6)" in out
