"""Whole models in files: they come back as they were, and train on as if nothing had been."""

import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest

import minikeras as keras
from minikeras.layers import (
    GRU,
    LSTM,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    InputLayer,
    Lambda,
)
from minikeras.models import load_model, model_from_config, save_model
from minikeras.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Nadam, Optimizer, RMSprop

GOLDEN = Path(__file__).parent / "golden"
X = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
Y = np.eye(3)[np.random.default_rng(1).integers(0, 3, 50)]


def classifier(optimizer="adam", **compiling):
    model = keras.Sequential(
        [
            Dense(8, activation="relu", input_dim=6),
            BatchNormalization(),
            Dropout(0.3),
            GaussianNoise(0.1),
            Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], **compiling)
    return model


def equal(model, other):
    return [w.tolist() for w in model.get_weights()] == [w.tolist() for w in other.get_weights()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.h5"


# Training goes on

OPTIMIZERS = {
    "adam": lambda: Adam(lr=0.01, decay=0.1),
    "amsgrad": lambda: Adam(amsgrad=True),
    "sgd": lambda: SGD(lr=0.1, momentum=0.9, decay=0.05, nesterov=True),
    "rmsprop": lambda: RMSprop(lr=0.01, decay=0.1),
    "adagrad": lambda: Adagrad(decay=0.1),
    "adadelta": lambda: Adadelta(decay=0.1),
    "adamax": lambda: Adamax(clipnorm=0.5),
    "nadam": lambda: Nadam(clipvalue=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_saving_and_loading_amid_a_training_changes_nothing(path, name):
    straight, model = classifier(OPTIMIZERS[name]()), classifier(OPTIMIZERS[name]())
    model.set_weights(straight.get_weights())
    np.random.seed(5)
    # More steps than FLUSH_EVERY, which counts them.
    expected = straight.fit(X, Y, batch_size=3, epochs=4, verbose=0).history
    np.random.seed(5)
    first = model.fit(X, Y, batch_size=3, epochs=2, verbose=0).history
    model.save(path)
    random = np.random.get_state()
    del model
    again = load_model(path)
    np.random.set_state(random)
    then = again.fit(X, Y, batch_size=3, epochs=4, initial_epoch=2, verbose=0).history
    assert equal(straight, again)
    assert {key: first[key] + then[key] for key in first} == expected
    assert int(again.optimizer.iterations) == int(straight.optimizer.iterations) == 68
    for a, b in zip(straight.optimizer.get_weights(), again.optimizer.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_a_learning_rate_set_meanwhile_comes_back(path):
    model = classifier("sgd")
    model.optimizer.lr = 0.1 + 0.2
    model.save(path)
    assert float(load_model(path).optimizer.lr) == 0.1 + 0.2


def test_each_of_two_models_with_one_optimizer_saves_its_own_state(tmp_path):
    optimizer = Adam()
    first, second = classifier(optimizer), classifier(optimizer)
    second.fit(X, Y, verbose=0)
    first.save(tmp_path / "first.h5")
    second.save(tmp_path / "second.h5")
    states = [load_model(tmp_path / f"{n}.h5").optimizer.get_weights() for n in ("first", "second")]
    assert not states[0][1].any()
    assert states[1][1].any()
    first.save(tmp_path / "first.h5")
    assert optimizer._state is second._step.state


def test_a_frozen_layer_stays_frozen(path):
    model = classifier()
    model.layers[0].trainable = False
    model.compile("adam", "categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    model.save(path)
    again = load_model(path)
    assert not again.layers[0].trainable
    assert len(again.optimizer.weights) == len(model.optimizer.weights)
    kernel = again.layers[0].get_weights()[0]
    again.fit(X, Y, verbose=0)
    assert np.array_equal(again.layers[0].get_weights()[0], kernel)


# What compile got


def test_what_compile_got_comes_back(path):
    model = classifier(weighted_metrics=["mae"], loss_weights=[0.5])
    model.save(path)
    again = load_model(path)
    assert again.metrics_names == model.metrics_names
    weights = np.arange(50)
    expected = model.evaluate(X, Y, sample_weight=weights, verbose=0)
    assert again.evaluate(X, Y, sample_weight=weights, verbose=0) == expected


def test_temporal_weights_come_back(path):
    model = keras.Sequential([LSTM(2, return_sequences=True, input_shape=(3, 2))])
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    model.save(path)
    again = load_model(path)
    again.fit(np.ones((2, 3, 2)), np.ones((2, 3, 2)), sample_weight=np.ones((2, 3)), verbose=0)
    assert again.sample_weight_mode == "temporal"


def cubic(y_true, y_pred):
    return keras.backend.mean(keras.backend.pow(keras.backend.abs(y_true - y_pred), 3), axis=-1)


class Doubled(keras.layers.Layer):
    def __init__(self, factor=2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Half(Optimizer):
    slots = ("steps",)

    def update(self, value, gradient, steps, scratch, lr):
        steps += 1
        gradient *= lr / 2
        value -= gradient


OWN = {"cubic": cubic, "Doubled": Doubled, "Half": Half}


def own():
    model = keras.Sequential([Doubled(np.float32(3), input_shape=(6,)), Dense(3)])
    model.compile(Half(0.1), {"dense_1": cubic}, metrics=[cubic, "mae"], weighted_metrics=[cubic])
    return model


def test_what_is_the_users_own_is_found_by_name(path):
    keras.backend.clear_session()
    model = own()
    model.fit(X, Y, verbose=0)
    model.save(path)
    again = load_model(path, custom_objects=OWN)
    assert again.layers[0].factor == 3
    for one in (model, again):
        np.random.seed(0)
        one.fit(X, Y, verbose=0)
    assert equal(model, again)
    assert again.metrics_names == model.metrics_names
    # The names are known to this model only, and for good.
    assert keras.utils.get_custom_objects() == {}
    again.add(Dense(3, name="dense_1_"))
    keras.utils.get_custom_objects().update(OWN)
    assert load_model(path).layers[0].factor == 3


@pytest.mark.parametrize("missing", OWN)
def test_what_is_missing_is_named_with_what_to_do(path, missing):
    keras.backend.clear_session()
    own().save(path)
    known = {name: found for name, found in OWN.items() if name != missing}
    with pytest.raises(ValueError, match=rf"model.h5'.*{missing}.*custom_objects={{'name'"):
        load_model(path, custom_objects=known)
    if missing != "Doubled":
        assert load_model(path, custom_objects=known, compile=False).optimizer is None


def test_a_model_class_of_the_users_own(path):
    class Mine(keras.Sequential):
        pass

    model = Mine([Dense(1, input_dim=2)], name="mine")
    model.save(path)
    again = load_model(path, custom_objects={"Mine": Mine}, compile=False)
    assert type(again) is Mine
    assert again.name == "mine"
    with pytest.raises(ValueError, match="not 'Mine'"):
        load_model(path)


def test_a_model_that_was_not_compiled(path):
    model = keras.Sequential([Dense(1, input_dim=2)])
    model.save(path)
    with h5py.File(path) as file:
        assert "training_config" not in file.attrs
        assert "optimizer_weights" not in file
    with pytest.warns(UserWarning, match="no training configuration") as seen:
        again = load_model(path)
    assert seen[0].filename == __file__
    assert again.optimizer is None
    assert equal(model, load_model(path, compile=False))


def test_without_the_optimizer_nothing_of_training_is_saved(path):
    model = classifier()
    model.save(path, include_optimizer=False)
    with h5py.File(path) as file:
        assert set(file) == {"model_weights"}
        assert set(file.attrs) == {"model_config", "keras_version", "backend"}
    assert load_model(path, compile=False).optimizer is None


def test_compile_false_does_not_look_at_the_training(path):
    classifier().save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["training_config"] = b"{ not json"
    assert load_model(path, compile=False).optimizer is None
    with pytest.raises(ValueError, match="'training_config' does not hold JSON"):
        load_model(path)


def test_a_state_that_does_not_fit_is_a_warning(path):
    model = classifier()
    model.fit(X, Y, verbose=0)
    model.save(path)
    with h5py.File(path, "r+") as file:
        names = file["optimizer_weights"].attrs["weight_names"]
        file["optimizer_weights"].attrs["weight_names"] = names[:-1]
    with pytest.warns(UserWarning, match=r"could not be loaded; it starts anew. \(Adam keeps"):
        again = load_model(path)
    assert int(again.optimizer.iterations) == 0
    assert not any(weight.any() for weight in again.optimizer.get_weights())
    assert equal(model, again)


@pytest.mark.parametrize("value", [-1, 2.5, b"text"])
def test_a_wrong_number_of_steps_is_a_warning(path, value):
    classifier("rmsprop").save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["minikeras_iterations"] = value
    with pytest.warns(UserWarning, match="'minikeras_iterations' should be a whole number"):
        load_model(path)


# Layers


def test_models_of_all_kinds_come_back(path):
    inner = keras.Sequential([Dense(4, input_dim=6), BatchNormalization()])
    models = {
        (2, 6): [
            keras.Sequential([inner, Dense(2)]),
            keras.Sequential([InputLayer((6,), name="in"), Dense(2)]),
            keras.Sequential([keras.Sequential([Dense(3)]), Dense(2)]),
        ],
        (2, 5, 5, 2): [keras.Sequential([Conv2D(3, 2, input_shape=(5, 5, 2)), Flatten()])],
        (2, 4): [keras.Sequential([Embedding(9, 3, input_length=4), GRU(2)])],
        (2, 4, 3): [keras.Sequential([LSTM(2, stateful=True, batch_input_shape=(2, 4, 3))])],
    }
    for shape, found in models.items():
        x = np.random.default_rng(0).integers(0, 9, shape).astype("float32")
        for model in found:
            expected = model.predict(x)
            model.save(path)
            again = load_model(path, compile=False)
            assert np.array_equal(again.predict(x), expected)
            assert again.get_config() == model.get_config()


def test_a_shape_that_the_data_told_comes_back(path):
    model = keras.Sequential([Dense(3), Dense(2)])
    expected = model.predict(X)
    model.save(path)
    assert np.array_equal(load_model(path, compile=False).predict(X), expected)


def test_model_from_config_takes_the_shape_of_such_a_model():
    config = {**keras.Sequential([Dense(3)]).get_config(), "build_input_shape": [None, 4]}
    model = model_from_config({"class_name": "Sequential", "config": config})
    assert model.count_params() == 15


def test_a_layer_used_twice_can_not_be_told(path):
    layer = Dense(2, input_dim=2)
    with pytest.raises(ValueError, match="uses a layer twice.*save_weights"):
        keras.Sequential([layer, layer]).save(path)


def test_a_configuration_that_can_not_be_written(path):
    class Odd(Dense):
        def get_config(self):
            return {**super().get_config(), "odd": {1, 2}}

    with pytest.raises(TypeError, match=r"{1, 2} can't be written to a file"):
        keras.Sequential([Odd(2, input_dim=2)]).save(path)
    assert not path.exists()


def test_a_function_in_a_lambda_layer_is_found_by_name(path):
    keras.Sequential([Lambda(cubic_root, input_shape=(2,))]).save(path)
    again = load_model(path, {"cubic_root": cubic_root}, compile=False)
    assert again.predict([[8.0, 27.0]])[0] == pytest.approx([2, 3])


def cubic_root(x):
    return keras.backend.pow(x, 1 / 3)


def test_byte_code_is_not_run(path, tmp_path):
    """A file as Keras 2 writes it, with the code of a function in it."""
    keras.Sequential([Lambda(cubic_root, input_shape=(2,), name="l")]).save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layer = config["config"]["layers"][0]["config"]
        layer.update(function=["4wEAAAA=", None, None], function_type="lambda")
        file.attrs["model_config"] = json.dumps(config).encode()
    with pytest.raises(ValueError, match="byte code, which is never run here"):
        load_model(path)


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("layer", "os.system"),
        ("layer", "Optimizer"),
        ("layer", "__builtins__"),
        ("loss", "eval"),
        ("metrics", "os.system"),
        ("optimizer", "builtins.exec"),
    ],
)
def test_names_reach_only_what_is_registered(path, where, name):
    classifier().save(path)
    with h5py.File(path, "r+") as file:
        model, training = (
            json.loads(file.attrs[key]) for key in ("model_config", "training_config")
        )
        if where == "layer":
            model["config"]["layers"][0]["class_name"] = name
        elif where == "optimizer":
            training["optimizer_config"]["class_name"] = name
        else:
            training[where] = name
        file.attrs["model_config"] = json.dumps(model).encode()
        file.attrs["training_config"] = json.dumps(training).encode()
    with pytest.raises(ValueError, match=name):
        load_model(path)


# Files


def test_save_model_and_save_do_the_same(tmp_path):
    model = classifier()
    save_model(model, tmp_path / "a.h5", True, True)
    model.save(tmp_path / "b.h5", True, True)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_open_files_and_groups(tmp_path):
    model = classifier()
    memory = io.BytesIO()
    save_model(model, memory)
    memory.seek(0)
    assert equal(load_model(memory), model)
    with h5py.File(tmp_path / "many.h5", "w") as file:
        model.save(file.create_group("best"))
        assert equal(load_model(file["best"]), model)


def test_overwrite_false_keeps_what_is_there(path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    model, other = classifier(), classifier()
    model.save(path, overwrite=False)
    for save in (other.save, other.save_weights):
        with pytest.raises(FileExistsError, match="Pass overwrite=True"):
            save(path, overwrite=False)
    assert equal(load_model(path), model)


def test_an_interrupted_write_leaves_the_old_model(path, monkeypatch):
    model, other = classifier(), classifier()
    model.save(path)

    def fail(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KeyboardInterrupt):
        other.save(path)
    assert equal(load_model(path), model)
    assert os.listdir(path.parent) == [path.name]


def test_a_file_of_weights_is_no_model(path):
    classifier().save_weights(path)
    with pytest.raises(ValueError, match=r"model.h5': It holds weights alone.*load_weights"):
        load_model(path)


def test_some_other_hdf5_file_is_no_model(path):
    with h5py.File(path, "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(ValueError, match="holds no model of Keras: there is no 'model_config'"):
        load_model(path)
    with pytest.raises(ValueError, match="no weights of Keras"):
        classifier().load_weights(path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"[" * 100_000, "does not hold JSON"),
        (b"{}", "class_name"),
        (b"null", "no model"),
        (b'{"class_name": "Model", "config": {}}', "Only Sequential"),
        (b'{"class_name": "Sequential", "config": {"name": "a"}}', "layers"),
    ],
)
def test_a_damaged_configuration(path, config, message):
    classifier().save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = config
    with pytest.raises(ValueError, match=message):
        load_model(path)


@pytest.mark.parametrize("kept", [100, 2000, 10_000])
def test_half_a_file(path, kept):
    classifier().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    with pytest.raises(OSError, match="model.h5' can't be opened; it may be damaged"):
        load_model(path)


def test_loading_needs_neither_the_folder_nor_the_file_afterwards(path):
    model = classifier()
    model.save(path)
    again = load_model(path)
    shutil.rmtree(path.parent)
    assert equal(model, again)


def test_importing_minikeras_does_not_import_h5py():
    code = "import sys, minikeras.models; assert 'h5py' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# Files of real Keras


@pytest.mark.parametrize("name", ["conv_adam", "nested_momentum"])
def test_files_of_keras_2_2_4(name):
    path = GOLDEN / f"keras_2_2_4_{name}.h5"
    with h5py.File(path) as file:
        expected = {key: value[()] for key, value in file["expected"].items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = load_model(path)
    assert type(model.optimizer).__name__ == {"conv": "Adam", "nested": "SGD"}[name.split("_")[0]]
    assert int(model.optimizer.iterations) == 2
    x, y = expected["x"], expected["y"]
    np.testing.assert_allclose(model.predict(x), expected["predicted"], rtol=1e-5, atol=1e-6)
    losses = [model.train_on_batch(x, y) for _ in expected["losses"]]
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-5)


def test_weights_of_keras_2_2_4_by_name():
    path = GOLDEN / "keras_2_2_4_conv_adam.h5"
    source = load_model(path, compile=False)
    names = [layer.name for layer in source.layers]
    model = keras.Sequential(
        [Conv2D(4, 3, input_shape=(6, 6, 2), name=names[0]), Flatten(), Dense(7, name="new")]
    )
    model.load_weights(path, by_name=True)
    for a, b in zip(model.layers[0].get_weights(), source.layers[0].get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_an_input_layer_that_keras_left_out(path):
    model = keras.Sequential([InputLayer((6,)), Dense(2)])
    model.save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        del config["config"]["layers"][0], config["config"]["build_input_shape"]
        file.attrs["model_config"] = json.dumps(config).encode()
    with pytest.raises(ValueError, match=r"does not say what shape .*load_weights"):
        load_model(path)
    other = keras.Sequential([Dense(2, input_dim=6)])
    other.load_weights(path)
    assert equal(model, other)
