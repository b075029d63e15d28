"""A training that is killed, or can't write, leaves whole files and goes on where it stood.

Killed are forked processes of one script, so that a kill costs milliseconds and not the start of an
interpreter.
"""

import os
import tempfile

import numpy as np
import pytest

from minikeras.callbacks import BackupAndRestore, Callback, ModelCheckpoint
from minikeras.layers import Dense, Dropout
from minikeras.models import Sequential, load_model
from minikeras.utils.files import SUFFIX
from tests.faults.watching import needs_fork, run

X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X[:, :1]

COMMON = """
import contextlib, csv, os, pathlib, random, signal, sys, time
import h5py
import numpy as np
import minikeras as keras
from minikeras.callbacks import BackupAndRestore, CSVLogger, ModelCheckpoint
from minikeras.layers import BatchNormalization, Dense, Dropout
from minikeras.models import Sequential, load_model
from minikeras.saving import backup, places
from minikeras.utils import files

os.chdir(sys.argv[1])
# What a killed process has written is not lost: only a crash of the machine would need this.
os.fsync = lambda descriptor: None
X = np.linspace(-1, 1, 24, dtype="float32").reshape(8, 3)
Y = X[:, :1]

def new_model(units=4):
    np.random.seed(3)
    keras.backend.clear_session()
    model = Sequential([Dense(units, input_dim=3), BatchNormalization(), Dropout(0.3), Dense(1)])
    model.compile(keras.optimizers.Adam(decay=0.01), "mse", metrics=["mae"])
    return model

def forked(work):
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
        os._exit(0)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(99)

def temporaries(folder="."):
    return [p for p in pathlib.Path(folder).rglob("*" + files.SUFFIX)]

def same(a, b):
    return len(a) == len(b) and all(np.array_equal(u, v) for u, v in zip(a, b))
"""

TRAINING = (
    COMMON
    + """
EPOCHS = 15
pathlib.Path("backup").mkdir()
TABLE, WHOLE, WEIGHTS = (pathlib.Path(n) for n in ("log.csv", "model.h5", "weights.h5"))

def train(folder="backup", checkpoints=True, resumed=True):
    model = new_model()
    more = [CSVLogger(TABLE, append=True), ModelCheckpoint(WHOLE),
            ModelCheckpoint(WEIGHTS, save_weights_only=True)]
    history = model.fit(X, Y, batch_size=4, epochs=EPOCHS, verbose=0, validation_split=0.25,
        callbacks=[*(more if checkpoints else []),
                   *([BackupAndRestore(folder, delete_checkpoint=False)] if resumed else [])])
    return model, history

def look():
    # Whatever there is under a checkpoint's name can be read.
    if WHOLE.exists():
        model = load_model(WHOLE)
        assert np.isfinite(model.evaluate(X, Y, verbose=0)).all()
        assert model.optimizer.iterations % 2 == 0
    if WEIGHTS.exists():
        new_model().load_weights(WEIGHTS)
    saved = pathlib.Path("backup", "backup.h5")
    if saved.exists():
        backup.read_backup(new_model(), saved)
    if TABLE.exists():
        text = TABLE.read_text()
        assert not text or text.endswith("\\n"), text[-100:]
        rows = list(csv.reader(text.splitlines()))
        assert all(len(row) == 5 for row in rows), rows
        # An epoch that was run again after a crash came out the same.
        assert rows == [] or rows[0][0] == "epoch"
        lines = dict()
        for epoch, *values in rows[1:]:
            assert lines.setdefault(int(epoch), values) == values
        assert list(lines) == list(range(len(lines)))

def finished():
    model, history = load_model(WHOLE), None
    assert same(model.get_weights(), expected.get_weights())
    new = new_model(); new.load_weights(WEIGHTS)
    assert same(new.get_weights(), expected.get_weights())
    state = backup.read_backup(new, "backup/backup.h5")
    assert same(new.get_weights(), expected.get_weights())
    assert same(new.optimizer.get_weights(), expected.optimizer.get_weights())
    assert state["history"]["history"] == dict(expected_history.history), state
    assert state["history"]["epoch"] == list(range(EPOCHS))
    assert len(set(row.split(",")[0] for row in TABLE.read_text().splitlines())) == EPOCHS + 1

expected, expected_history = train(checkpoints=False, resumed=False)
saved = pathlib.Path("backup", "backup.h5")
dice = random.Random(5)
pace = 0.05  # seconds: soon about half of what this machine needs for a training
kills = writing = resumed = trainings = most = 0
while kills < 32 or trainings < 2:
    resumed += saved.exists()
    pid = forked(train)
    time.sleep(dice.uniform(0, pace))
    if kills < 32:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    assert status in (0, signal.SIGKILL), status
    kills += status != 0
    left = len(temporaries())
    writing += left > 0
    most = max(most, left)
    look()
    pace *= 0.7 if status == 0 else 1 if saved.exists() else 1.3
    if status == 0:
        finished()
        trainings += 1
        for path in (TABLE, WHOLE, WEIGHTS, saved):
            path.unlink()
# The next write to each of the two folders removes what was left there.
assert most <= 2, most
train()
assert temporaries() == []
print(kills, writing, resumed, trainings)
"""
)


@needs_fork
def test_a_training_killed_over_and_over(tmp_path):
    kills, writing, resumed, trainings = map(int, run(TRAINING, tmp_path).split())

    assert kills >= 32
    assert writing >= 3  # the kills do hit while a file is written
    assert resumed >= 3
    assert trainings >= 2


EVERY_LINE = (
    COMMON
    + """
def old_and_new():
    old, new = new_model(), new_model()
    new.fit(X, Y, verbose=0)
    old.train_on_batch(X, Y)
    return old, new

def read_model(path):
    return load_model(path).get_weights()

def read_weights(path):
    model = new_model()
    model.load_weights(path)
    return model.get_weights()

def read_backup(path):
    model = new_model()
    backup.read_backup(model, path)
    return model.get_weights()

WAYS = {
    "model": (lambda model, path: model.save(path), read_model),
    "weights": (lambda model, path: model.save_weights(path), read_weights),
    "backup": (lambda model, path: backup.write_backup(model, path, {"epoch": 1}), read_backup),
}
WATCHED = {files.__file__, places.__file__}

def killed_at(line, work):
    # Do the work in a process that kills itself at so many lines of these two modules.
    def traced():
        count = 0
        def trace(frame, event, argument):
            nonlocal count
            if frame.f_code.co_filename not in WATCHED:
                return None
            if event == "line":
                count += 1
                if count == line:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace
        sys.settrace(trace)
        work()
    return os.waitpid(forked(traced), 0)[1]

def in_the_bytes(limit, work):
    # Do the work in a process that dies where its file has so many bytes.
    def limited():
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        work()
    return os.waitpid(forked(limited), 0)[1]

def damaged(name, kill, points):
    # Return after how many kills the file was neither the old one nor the new one.
    write, read = WAYS[name]
    old, new = old_and_new()
    write(old, "it.h5")
    count = kills = 0
    for point in points:
        status = kill(point, lambda: write(new, "it.h5"))
        if status == 0:
            break
        assert status & 0x7F in (signal.SIGKILL, signal.SIGXFSZ), status
        kills += 1
        assert len(temporaries()) <= 1
        try:
            found = read("it.h5")
            count += not (same(found, old.get_weights()) or same(found, new.get_weights()))
        except (OSError, ValueError):
            count += 1
        write(old, "it.h5")
        assert temporaries() == []
    return count, kills

for name in WAYS:
    step = 2 if name == "model" else 7
    count, kills = damaged(name, killed_at, range(1, 1000, step))
    assert count == 0 and kills > 6, (name, count, kills)
    count, kills = damaged(name, in_the_bytes, range(0, 60000, 8000))
    assert count == 0 and kills > 1, (name, count, kills)

# This would see a file that is written in place.
@contextlib.contextmanager
def in_place(path):
    yield str(path)
places.atomic_write = in_place
assert damaged("model", killed_at, range(1, 1000))[0] > 0
assert damaged("model", in_the_bytes, range(0, 60000, 6000))[0] > 1
print("done")
"""
)


@needs_fork
def test_killed_at_any_line_and_any_byte_of_a_write(tmp_path):
    assert run(EVERY_LINE, tmp_path).endswith("done\n")


# A disk that is full, or can't be written to.


def trained():
    np.random.seed(0)
    model = Sequential([Dense(4, input_dim=3), Dropout(0.1), Dense(1)])
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    return model


def assert_usable(model):
    before = model.get_weights()
    model.predict(X)
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


def no_space(*args, **kwargs):
    raise OSError(28, "No space left on device")


CHECKPOINTS = {
    "model": lambda path: ModelCheckpoint(path),
    "weights": lambda path: ModelCheckpoint(path, save_weights_only=True),
    "batches": lambda path: ModelCheckpoint(path, save_freq=1),
    "backup": lambda path: BackupAndRestore(path.parent, delete_checkpoint=False),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "builtins.open"])
def test_an_error_of_the_disk_ends_the_training_and_leaves_the_old_file(
    kind, call, tmp_path, monkeypatch
):
    path = tmp_path / "backup.h5"
    model = trained()
    model.fit(X, Y, verbose=0, callbacks=[CHECKPOINTS[kind](path)])
    old = path.read_bytes()

    class Break(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            # The second epoch does not get its file.
            if epoch == 2:
                monkeypatch.setattr(call, no_space)

    with pytest.raises(OSError, match="No space left on device"):
        model.fit(
            X,
            Y,
            epochs=4,
            initial_epoch=2,
            verbose=0,
            callbacks=[Break(), CHECKPOINTS[kind](path)],
        )
    monkeypatch.undo()

    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["backup.h5"]
    model.load_weights(path) if kind == "weights" else load_model(path)
    assert_usable(model)


FULL = (
    COMMON
    + """
import resource
model = new_model(200)
model.save("it.h5")
old = pathlib.Path("it.h5").read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for limit in (0, 1, 4096, len(old) - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for way in (lambda: model.save("it.h5"), lambda: model.save("new.h5"),
                lambda: model.fit(X, Y, verbose=0, callbacks=[ModelCheckpoint("it.h5")]),
                lambda: model.fit(X, Y, verbose=0, callbacks=[BackupAndRestore(".")])):
        try:
            way()
        except OSError as error:
            assert error.errno == 27, error
        else:
            raise AssertionError(limit)
        assert os.listdir(".") == ["it.h5"], os.listdir(".")
    assert pathlib.Path("it.h5").read_bytes() == old
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
model.fit(X, Y, verbose=0, callbacks=[ModelCheckpoint("it.h5")])
assert same(load_model("it.h5").get_weights(), model.get_weights())

# A folder that can't be written to, as somebody whom the system lets do less than root.
def elsewhere():
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    for name in ("it.h5", "new.h5"):
        for way in (lambda: model.save(name),
                    lambda: model.fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(name)]),
                    lambda: model.fit(X, Y, verbose=0, callbacks=[BackupAndRestore("backup")])):
            try:
                way()
            except PermissionError:
                pass
            else:
                raise AssertionError(name)
    model.fit(X, Y, verbose=0)
now = pathlib.Path("it.h5").read_bytes()
os.chmod(".", 0o555)
os.chmod("it.h5", 0o444)
assert os.waitpid(forked(elsewhere), 0)[1] == 0
os.chmod(".", 0o755)
assert pathlib.Path("it.h5").read_bytes() == now and os.listdir(".") == ["it.h5"]
print("done")
"""
)


@needs_fork
def test_a_full_disk_and_a_folder_that_is_read_only():
    pytest.importorskip("resource")
    # Not below tmp_path, which nobody else may look into.
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        assert run(FULL, folder).endswith("done\n")


@pytest.mark.parametrize("kind", ["model", "weights"])
def test_a_folder_under_the_name_of_the_checkpoint(kind, tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    model = trained()

    with pytest.raises(IsADirectoryError, match="folder"):
        model.fit(X, Y, verbose=0, callbacks=[CHECKPOINTS[kind](path)])

    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(path) == []
    assert_usable(model)


def test_a_backup_that_is_damaged_is_refused_and_stays(tmp_path):
    path = tmp_path / "backup.h5"
    model = trained()
    model.fit(X, Y, verbose=0, callbacks=[CHECKPOINTS["backup"](path)])
    whole = path.read_bytes()
    for contents in (b"", whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(contents)
        before = model.get_weights()

        with pytest.raises(ValueError, match="backup.h5 can't be used"):
            model.fit(X, Y, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path)])

        assert path.read_bytes() == contents
        assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_temporary_files_of_the_dead_go_with_the_next_write(tmp_path):
    for number in range(50):
        (tmp_path / f".{number:016x}{SUFFIX}").write_bytes(b"half a file")
    model = trained()

    model.fit(X, Y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "it.h5")])

    assert os.listdir(tmp_path) == ["it.h5"]
