import h5py
import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.layers import LSTM, Bidirectional, Dense, Dropout
from minikeras.models import load_model
from minikeras.saving.backup import read_backup, write_backup

X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
Y = X[:, :1] * 2


def make(optimizer=None):
    model = keras.Sequential([Dense(4, input_dim=3), Dropout(0.2), Dense(1)])
    model.compile(optimizer or keras.optimizers.RMSprop(decay=0.1), "mse")
    return model


def test_a_training_goes_on_where_it_was(tmp_path):
    model = make()
    model.fit(X, Y, epochs=2, verbose=0)
    model.optimizer.lr = 0.002
    K.set_value(model.optimizer.rho, 0.8)
    write_backup(model, tmp_path / "b.h5", {"epoch": 2, "names": ["a", None], "x": 0.1})
    random = np.random.get_state()
    model.fit(X, Y, epochs=2, verbose=0)

    again = make()
    again.fit(X, Y, epochs=1, verbose=0)
    state = read_backup(again, tmp_path / "b.h5")
    assert state == {"epoch": 2, "names": ["a", None], "x": 0.1}
    assert float(again.optimizer.lr) == 0.002
    assert float(again.optimizer.rho) == 0.8
    assert int(again.optimizer.iterations) == 2
    np.random.set_state(random)
    again.fit(X, Y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(a, b)


def stateful(wrap=lambda layer, **kwargs: layer):
    layer = wrap(LSTM(2, stateful=True, return_sequences=True, batch_input_shape=(2, 4, 3)))
    model = keras.Sequential([keras.Sequential([layer]), LSTM(2, stateful=True), Dense(1)])
    model.build((2, 4, 3))
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize(
    "wrap",
    [lambda layer: layer, lambda layer: Bidirectional(layer, batch_input_shape=(2, 4, 3))],
    ids=["plain", "bidirectional"],
)
def test_kept_states_come_back(tmp_path, wrap):
    model, again = stateful(wrap), stateful(wrap)
    x = np.random.normal(size=(2, 4, 3))
    model.predict(x)
    write_backup(model, tmp_path / "b.h5", {})
    again.predict(x[::-1])
    read_backup(again, tmp_path / "b.h5")
    assert np.array_equal(model.predict(x), again.predict(x))
    model.reset_states()
    write_backup(model, tmp_path / "b.h5", {})
    read_backup(again, tmp_path / "b.h5")
    assert again.state_batch_size is None
    assert np.array_equal(model.predict(x), again.predict(x))


def test_it_is_a_model_too(tmp_path):
    model = make()
    write_backup(model, tmp_path / "b.h5", {})
    assert np.array_equal(load_model(tmp_path / "b.h5").predict(X), model.predict(X))


def unchanged(model, path, match, error=ValueError):
    before = model.get_weights() + model.optimizer.get_weights()
    with pytest.raises(error, match=match):
        read_backup(model, path)
    after = model.get_weights() + model.optimizer.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_what_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "b.h5"
    model = make()
    unchanged(model, path, "b.h5", FileNotFoundError)
    model.save(path)
    unchanged(model, path, "b.h5': This is no backup")
    write_backup(model, path, {})
    unchanged(make("adam"), path, "training with RMSprop, but the model is compiled with Adam")
    other = keras.Sequential([Dense(5, input_dim=3), Dense(1)])
    other.compile("rmsprop", "mse")
    unchanged(other, path, r"has shape \(3, 5\), but")
    unchanged(stateful(), path, "weights of 2 layers, the model has 3")
    with h5py.File(path, "r+") as file:
        del file["optimizer_weights"]
        del file.attrs["minikeras_iterations"]
    unchanged(make(), path, "no state of an optimizer")


def test_states_that_do_not_fit(tmp_path):
    path = tmp_path / "b.h5"
    model = stateful()
    write_backup(model, path, {})
    with h5py.File(path, "r+") as file:
        file["minikeras_kept_states/0/0"] = np.zeros((2, 2))
    unchanged(model, path, "It holds 1 states of layer")
    with h5py.File(path, "r+") as file:
        del file["minikeras_kept_states/0"]
    unchanged(model, path, "states of 1 layers, the model has 2")


def test_only_a_compiled_model_has_a_training(tmp_path):
    model = keras.Sequential([Dense(1, input_dim=1)])
    for call in (lambda: write_backup(model, tmp_path / "b.h5", {}),
                 lambda: read_backup(model, tmp_path / "b.h5")):  # fmt: skip
        with pytest.raises(RuntimeError, match="Only a compiled model"):
            call()


def test_a_state_that_is_no_json_leaves_the_old_backup(tmp_path):
    model = make()
    write_backup(model, tmp_path / "b.h5", {"epoch": 1})
    with pytest.raises(TypeError, match="can't be written"):
        write_backup(model, tmp_path / "b.h5", {"epoch": object()})
    assert read_backup(model, tmp_path / "b.h5") == {"epoch": 1}
