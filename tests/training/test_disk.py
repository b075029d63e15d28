"""Data that stay on disk."""

import h5py
import numpy as np
import pytest

import minikeras as keras
from minikeras import backend as K
from minikeras.layers import Dense
from minikeras.models import Sequential
from minikeras.training.disk import OnDisk, loaded, on_disk

RNG = np.random.default_rng(5)
X = RNG.standard_normal((23, 3)).astype("float32")
LABELS = RNG.integers(0, 2, 23)
ONE_HOT = np.eye(2, dtype="float32")[LABELS]


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = X
        file["labels"] = LABELS
        file["column"] = LABELS[:, np.newaxis]
        file["one_hot"] = ONE_HOT
        file["words"] = ["a", "b"]
        yield file


class Watched:
    """An array on disk that knows how many rows were read at a time."""

    def __init__(self, data):
        self.data = data
        self.shape, self.dtype = data.shape, data.dtype
        self.most = 0

    def __len__(self):
        return len(self.data)

    def __getitem__(self, rows):
        found = self.data[rows]
        self.most = max(self.most, len(found))
        return found


def classifier(loss="categorical_crossentropy", units=2):
    model = Sequential([Dense(units, activation="softmax", input_dim=3)])
    model.layers[0].set_weights([np.ones((3, units)) * [[1.0, -1.0]], np.zeros(units)])
    model.compile("sgd", loss, metrics=["acc"])
    return model


@pytest.mark.parametrize(
    "rows", [slice(2, 5), slice(None), [4], [7, 2, 3], [3, 3, 0], [], np.arange(22, -1, -1)]
)
def test_rows_are_read_in_any_order(file, rows):
    data = OnDisk(file["x"])[1:23]
    assert data.shape == (22, 3)
    wanted = X[1:23][rows if isinstance(rows, slice) else np.minimum(rows, 21).astype(int)]
    asked = rows if isinstance(rows, slice) else np.minimum(rows, 21).astype(int)
    assert np.array_equal(data.read(asked), wanted)


def test_slices_read_nothing(file):
    watched = Watched(file["x"])
    part = OnDisk(watched)[5:20][2:]

    assert (len(part), watched.most) == (13, 0)
    assert np.array_equal(np.asarray(part), X[7:20])
    assert np.array_equal(loaded(part), X[7:20])


def test_what_is_on_disk(file):
    assert on_disk(file["x"])
    assert on_disk(Watched(file["x"]))
    assert not on_disk(X)
    assert not on_disk([1, 2])


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_training_is_the_same_and_reads_batch_by_batch(file, shuffle):
    def train(x, y):
        np.random.seed(2)
        model = classifier()
        history = model.fit(
            x, y, batch_size=4, epochs=3, verbose=0, shuffle=shuffle, validation_split=0.3
        )
        return history.history, model.get_weights()

    expected, weights = train(X, ONE_HOT)
    watched = Watched(file["x"]), Watched(file["one_hot"])
    history, found = train(*watched)

    assert history == expected
    assert all(map(np.array_equal, found, weights))
    assert [data.most for data in watched] == [4, 4]


def test_evaluation_and_prediction_read_batch_by_batch(file):
    model = classifier()
    watched = Watched(file["x"])

    assert model.evaluate(watched, file["one_hot"], batch_size=5, verbose=0) == model.evaluate(
        X, ONE_HOT, batch_size=5, verbose=0
    )
    assert np.array_equal(model.predict(watched, batch_size=5), model.predict(X))
    assert watched.most == 5
    assert np.array_equal(model.predict(file["x"], batch_size=64), model.predict(X))
    assert model.test_on_batch(file["x"], file["one_hot"]) == model.test_on_batch(X, ONE_HOT)


@pytest.mark.parametrize("name", ["labels", "column"])
def test_labels_are_read_at_once(file, name):
    model = classifier("sparse_categorical_crossentropy")
    expected = model.evaluate(X, LABELS, verbose=0)
    assert model.evaluate(file["x"], file[name], verbose=0) == expected


def test_class_weight_of_one_hot_rows_on_disk(file):
    model = classifier()
    history = [
        classifier().fit(x, y, 4, verbose=0, shuffle=False, class_weight={0: 1.0, 1: 5.0}).history
        for x, y in ((X, ONE_HOT), (file["x"], file["one_hot"]))
    ]
    assert history[0] == history[1]
    assert model.predict(file["x"]).shape == (23, 2)


def test_hdf5_matrix(file):
    file.flush()
    x = keras.utils.HDF5Matrix(file.filename, "x", 3, 20, normalizer=lambda rows: rows / 2)
    y = keras.utils.HDF5Matrix(file.filename, "one_hot", 3, 20)
    expected = classifier().fit(X[3:20] / 2, ONE_HOT[3:20], 4, verbose=0, shuffle=False).history

    found = classifier().fit(x, y, 4, verbose=0, shuffle=False).history

    assert found == expected


def test_what_does_not_fit(file):
    model = classifier()
    with pytest.raises(ValueError, match="x can't be made into one array of numbers"):
        model.predict(file["words"])
    with pytest.raises(ValueError, match=r"expected shape \(samples, 3\), got \(23, 2\)"):
        model.predict(file["one_hot"])
    file["broken"] = np.full((4, 3), np.nan)
    K.set_check_numerics(True)
    try:
        with pytest.raises(ValueError, match="batch of the data on disk .* nan"):
            model.predict(file["broken"], batch_size=2)
    finally:
        K.set_check_numerics(False)


def test_callbacks_get_what_is_on_disk_without_reading_it(file):
    watched = Watched(file["x"])
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(callback.validation_data)
    )
    classifier().fit(
        X, ONE_HOT, 8, verbose=0, callbacks=[callback], validation_data=(watched, file["one_hot"])
    )
    assert watched.most == 8
    assert np.array_equal(np.asarray(seen[0][0]), X)
