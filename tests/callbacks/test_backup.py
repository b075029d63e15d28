"""A training that was interrupted and goes on ends like one that was not."""

import contextlib
import random

import numpy as np
import pytest

from minikeras.callbacks import (
    BackupAndRestore,
    Callback,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from minikeras.layers import BatchNormalization, Dense, Dropout
from minikeras.models import Sequential, load_model
from minikeras.optimizers import SGD, Adam
from tests.callbacks.driving import fit, small_data, small_model


class Crash(RuntimeError):
    pass


class CrashAt(Callback):
    """Breaks off at the beginning of an epoch, or behind the first batch."""

    def __init__(self, epoch, where):
        super().__init__()
        self.at = epoch
        self.where = where
        self.epoch = None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if epoch == self.at and self.where == "begin":
            raise Crash

    def on_batch_end(self, batch, logs=None):
        if self.epoch == self.at and self.where == "batch":
            raise Crash


class Draws(Callback):
    """Uses both sources of random numbers."""

    def on_epoch_end(self, epoch, logs=None):
        logs["drawn"] = random.gauss(0, 1) + np.random.normal()


OPTIMIZERS = {
    "momentum": lambda: SGD(0.1, momentum=0.9, decay=0.01, nesterov=True),
    "adam": lambda: Adam(0.05, amsgrad=True, decay=0.01),
    "rmsprop": lambda: "rmsprop",
}


def random_model(optimizer):
    model = Sequential(
        [Dense(8, activation="relu", input_dim=2), BatchNormalization(), Dropout(0.5), Dense(1)]
    )
    model.compile(OPTIMIZERS[optimizer](), "mse", metrics=["mae"])
    return model


def run(optimizer, folder, crash=None, epochs=5):
    random.seed(7)
    np.random.seed(7)
    model = random_model(optimizer)
    backup = BackupAndRestore(folder)
    callbacks = [
        Draws(),
        LearningRateScheduler(lambda epoch, lr: lr * 0.9),
        *([CrashAt(*crash)] if crash else []),
        backup,
    ]
    try:
        fit(model=model, callbacks=callbacks, epochs=epochs, validation_split=0.25)
    except Crash:
        return None
    return model, backup, (random.random(), np.random.random())


@pytest.mark.parametrize("where", ["begin", "batch"])
@pytest.mark.parametrize("epoch", [0, 1, 3])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_that_goes_on_equals_one_without_interruption(optimizer, epoch, where, tmp_path):
    whole, _, numbers = run(optimizer, tmp_path / "whole")
    assert run(optimizer, tmp_path / "parts", (epoch, where)) is None

    model, backup, numbers_after = run(optimizer, tmp_path / "parts")

    assert backup.resume_epoch == epoch
    assert model.history.epoch == [0, 1, 2, 3, 4]
    assert model.history.history == whole.history.history
    assert set(model.history.history) >= {"loss", "val_loss", "lr", "drawn"}
    pairs = [*zip(model.get_weights(), whole.get_weights(), strict=True)]
    mine, theirs = model.optimizer.get_weights(), whole.optimizer.get_weights()
    for a, b in [*pairs, *zip(mine, theirs, strict=True)]:
        assert np.array_equal(a, b)
    assert numbers_after == numbers
    assert not backup_file(tmp_path / "parts").exists()


def backup_file(folder):
    return folder / "backup.h5"


def test_several_crashes_in_a_row(tmp_path):
    whole, _, _ = run("momentum", tmp_path / "whole")
    for crash in ((1, "batch"), (1, "begin"), (2, "batch"), (4, "batch")):
        assert run("momentum", tmp_path / "parts", crash) is None

    model, _, _ = run("momentum", tmp_path / "parts")

    assert model.history.history == whole.history.history
    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_a_finished_training_that_crashed_before_its_end_has_its_history(tmp_path):
    class CrashAtEnd(Callback):
        def on_train_end(self, logs=None):
            raise Crash

    with pytest.raises(Crash):
        fit(callbacks=[CrashAtEnd(), BackupAndRestore(tmp_path)], epochs=3)

    model = fit(callbacks=[BackupAndRestore(tmp_path)], epochs=3)
    assert model.history.epoch == [0, 1, 2]
    assert len(model.history.history["loss"]) == 3


@pytest.mark.parametrize("delete", [True, False])
def test_delete_checkpoint(delete, tmp_path):
    fit(callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=delete)])
    assert backup_file(tmp_path).exists() is not delete

    again = BackupAndRestore(tmp_path, delete_checkpoint=delete)
    model = fit(callbacks=[again], epochs=3)
    assert again.resume_epoch == (0 if delete else 2)
    assert model.history.epoch == [0, 1, 2]


def test_a_training_that_another_callback_ends_has_ended(tmp_path):
    stop = EarlyStopping("loss", mode="max", baseline=1e9)
    model = fit(callbacks=[stop, BackupAndRestore(tmp_path)], epochs=9)

    assert model.history.epoch == [0]
    assert not backup_file(tmp_path).exists()


def test_an_instance_that_is_used_again_starts_anew(tmp_path):
    backup = BackupAndRestore(tmp_path)
    backup.resume_epoch = 7

    assert fit(callbacks=[backup]).history.epoch == [0, 1]
    assert backup.resume_epoch == 0


def test_other_files_in_the_folder_stay(tmp_path):
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")

    fit(callbacks=[BackupAndRestore(str(folder))])

    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def crashed(folder, model=None):
    with pytest.raises(Crash):
        fit(model=model, callbacks=[CrashAt(1, "begin"), BackupAndRestore(folder)])
    return backup_file(folder)


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "other file", "folder"])
def test_a_damaged_backup_is_named(damage, tmp_path):
    path = crashed(tmp_path)
    whole = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
    elif damage == "other file":
        small_model().save(path)
    else:
        path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b""}.get(damage, b"x" * 999))

    with pytest.raises(ValueError, match="backup.h5 can't be used: .*Delete it") as found:
        fit(callbacks=[BackupAndRestore(tmp_path)])
    assert str(tmp_path) in str(found.value)


def test_a_backup_of_another_model_is_refused_and_changes_nothing(tmp_path):
    crashed(tmp_path)
    other = Sequential([Dense(3, input_dim=2), Dense(1)])
    other.compile("sgd", "mse")
    before = other.get_weights()

    with pytest.raises(ValueError, match="backup.h5 can't be used"):
        fit(model=other, callbacks=[BackupAndRestore(tmp_path)])
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))


def test_a_stateful_model_goes_on_with_its_states(tmp_path):
    from minikeras.layers import LSTM

    def make():
        np.random.seed(3)
        model = Sequential([LSTM(3, stateful=True, batch_input_shape=(5, 1, 2)), Dense(1)])
        model.compile("adam", "mse")
        return model

    x, y = small_data()

    def train(model, *callbacks):
        model.fit(x[:, None], y, 5, epochs=3, verbose=0, shuffle=False, callbacks=[*callbacks])

    whole, parts, model = make(), make(), make()
    train(whole)
    with pytest.raises(Crash):
        train(parts, CrashAt(2, "batch"), BackupAndRestore(tmp_path))
    train(model, BackupAndRestore(tmp_path))

    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("save_freq", [10, "batch", None])
def test_save_freq_is_the_epoch(save_freq, tmp_path):
    with pytest.raises(ValueError, match="save_freq must be 'epoch', got"):
        BackupAndRestore(tmp_path, save_freq=save_freq)


# The other callbacks


def others(folder):
    return [
        EarlyStopping("loss", patience=4, restore_best_weights=True),
        ReduceLROnPlateau("loss", factor=0.5, patience=2, cooldown=1),
        ModelCheckpoint(folder / "best.h5", monitor="loss", save_best_only=True),
        CSVLogger(folder / "log.csv"),
    ]


def swinging(folder, crash=None, first=True):
    """Train, with dropout so that the loss goes up and down, and what keeps a state of its own."""
    folder.mkdir(exist_ok=True)
    np.random.seed(3)
    model = random_model("adam")
    backup = [BackupAndRestore(folder / "backup")]
    callbacks = [
        *(backup if first else []),
        *others(folder),
        *([] if first else backup),
        *([CrashAt(*crash)] if crash else []),
    ]
    with contextlib.suppress(Crash):
        fit(model=model, callbacks=callbacks, epochs=30)
    return model


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("epoch", [1, 3, 6])
def test_other_callbacks_go_on_where_they_stood(epoch, first, tmp_path):
    whole = swinging(tmp_path / "whole")
    assert 6 < len(whole.history.epoch) < 30  # stopped early
    assert len(set(whole.history.history["lr"])) > 2

    swinging(tmp_path / "parts", (epoch, "batch"), first)
    model = swinging(tmp_path / "parts", None, first)

    assert model.history.history == whole.history.history
    for a, b in zip(model.get_weights(), whole.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert (tmp_path / "parts/log.csv").read_text() == (tmp_path / "whole/log.csv").read_text()
    best = [load_model(tmp_path / part / "best.h5").get_weights() for part in ("whole", "parts")]
    assert all(map(np.array_equal, *best))


def test_a_callback_of_ones_own_goes_on_where_it_stood(tmp_path):
    class Sum(Callback):
        def __init__(self):
            super().__init__()
            self.total = np.zeros(2, "float32")

        def get_state(self):
            return {"total": self.total, "nested": [{"twice": self.total * 2}, "text", None]}

        def set_state(self, state):
            self.total = state["total"]
            assert state["nested"][1:] == ["text", None]
            assert np.array_equal(state["nested"][0]["twice"], 2 * self.total)

        def on_epoch_end(self, epoch, logs=None):
            self.total = self.total + np.float32([1, logs["loss"]])

    whole, parts = Sum(), Sum()
    np.random.seed(0)
    fit(model=random_model("adam"), callbacks=[whole], epochs=4)
    np.random.seed(0)
    crash = CrashAt(2, "batch")
    with pytest.raises(Crash):
        fit(
            model=random_model("adam"),
            callbacks=[Sum(), BackupAndRestore(tmp_path), crash],
            epochs=4,
        )
    fit(model=random_model("adam"), callbacks=[parts, BackupAndRestore(tmp_path)], epochs=4)
    assert np.array_equal(parts.total, whole.total)
    assert parts.total.dtype == "float32"


def test_other_callbacks_than_those_of_the_backup_begin_anew(tmp_path):
    with pytest.raises(Crash):
        fit(callbacks=[EarlyStopping("loss"), BackupAndRestore(tmp_path), CrashAt(1, "begin")])
    with pytest.warns(UserWarning, match="with the callbacks EarlyStopping, and now .* CSVLogger"):
        fit(callbacks=[CSVLogger(tmp_path / "log.csv"), BackupAndRestore(tmp_path)])


def test_a_training_that_was_stopped_and_crashed_at_its_end_has_ended(tmp_path):
    class CrashAtEnd(Callback):
        def on_train_end(self, logs=None):
            raise Crash

    stop = EarlyStopping("loss", min_delta=1e6)
    with pytest.raises(Crash):
        fit(callbacks=[CrashAtEnd(), stop, BackupAndRestore(tmp_path)], epochs=9)
    stopped_at = stop.model.history.epoch

    model = fit(
        callbacks=[EarlyStopping("loss", min_delta=1e6), BackupAndRestore(tmp_path)], epochs=9
    )
    assert model.history.epoch == stopped_at
    assert len(stopped_at) < 9


def test_a_backup_kept_after_an_early_stop_goes_on_with_more_epochs(tmp_path):
    def callbacks(patience):
        stop = EarlyStopping("loss", min_delta=1e6, patience=patience)
        return [stop, BackupAndRestore(tmp_path, delete_checkpoint=False)]

    short = fit(callbacks=callbacks(1), epochs=5).history.epoch
    assert len(short) == 2
    assert fit(callbacks=callbacks(1), epochs=5).history.epoch == short
    assert fit(callbacks=callbacks(50), epochs=8).history.epoch == [*range(8)]


def test_a_training_within_the_training_leaves_the_history_alone(tmp_path):
    class Probe(Callback):
        def on_epoch_end(self, epoch, logs=None):
            fit(model=self.model, epochs=1)

    with pytest.raises(Crash):
        fit(callbacks=[Probe(), BackupAndRestore(tmp_path), CrashAt(2, "begin")], epochs=4)
    backup = BackupAndRestore(tmp_path)
    fit(callbacks=[Probe(), backup], epochs=4)
    assert backup._history.epoch == [0, 1, 2, 3]


class Named(Callback):
    STATE = "idle"


class Duck:
    """Has the names of a callback that keeps a state, and means something else."""

    STATE = ("n",)

    def set_params(self, params):
        self.params = params

    def set_model(self, model):
        self.model = model


class Half(Duck):
    def get_state(self):
        raise AssertionError("nobody can give this back")


@pytest.mark.parametrize("stranger", [Named, Duck, Half])
def test_callbacks_that_only_have_the_names_are_left_alone(stranger, tmp_path):
    fit(callbacks=[stranger(), BackupAndRestore(tmp_path)])


@pytest.mark.parametrize("state", [{"a": np.array([1j])}, {"a": np.array(["x"])}, {"a": {1: 2}}])
def test_what_a_backup_does_not_take(state, tmp_path):
    class Keeps(Callback):
        def get_state(self):
            return state

    with pytest.raises(TypeError, match="A backup takes"):
        fit(callbacks=[Keeps(), BackupAndRestore(tmp_path)])
