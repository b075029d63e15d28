import hashlib
from pathlib import Path

import numpy as np
import pytest

import minikeras.datasets
from minikeras.datasets import mnist


def small_mnist():
    return {
        "x_train": np.full((4, 28, 28), 7, np.uint8),
        "y_train": np.arange(4, dtype=np.uint8),
        "x_test": np.full((2, 28, 28), 9, np.uint8),
        "y_test": np.arange(2, dtype=np.uint8),
    }


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """The two folders that may hold mnist.npz, both empty; no download."""
    folders = {}
    for name in ("KERAS_HOME", "MINIKERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        folders[name] = tmp_path / name / "datasets"
        folders[name].mkdir(parents=True)
    monkeypatch.setattr(mnist, "get_file", lambda *_, **__: pytest.fail("a download"))
    return folders


@pytest.mark.parametrize("home", ["KERAS_HOME", "MINIKERAS_HOME"])
def test_file_in_either_cache_is_used_whatever_its_hash(caches, home):
    expected = small_mnist()
    np.savez(caches[home] / "mnist.npz", **expected)

    (x_train, y_train), (x_test, y_test) = mnist.load_data()

    for found, name in [
        (x_train, "x_train"),
        (y_train, "y_train"),
        (x_test, "x_test"),
        (y_test, "y_test"),
    ]:
        np.testing.assert_array_equal(found, expected[name])
        assert found.dtype == np.uint8


def test_path_is_a_name_in_the_cache_or_absolute(caches, tmp_path):
    np.savez(caches["KERAS_HOME"] / "other.npz", **small_mnist())
    np.savez(tmp_path / "elsewhere.npz", **small_mnist())

    assert mnist.load_data("other.npz")[0][0].shape == (4, 28, 28)
    assert mnist.load_data(str(tmp_path / "elsewhere.npz"))[0][0].shape == (4, 28, 28)
    with pytest.raises(FileNotFoundError, match="missing"):
        mnist.load_data(str(tmp_path / "missing.npz"))
    with pytest.raises(ValueError, match="plain file name"):
        mnist.load_data("../other.npz")


def test_missing_file_is_downloaded_and_checked(caches, tmp_path, monkeypatch):
    asked = []

    def get_file(*args, **kwargs):
        asked.append((args, kwargs))
        np.savez(tmp_path / "download.npz", **small_mnist())
        return str(tmp_path / "download.npz")

    monkeypatch.setattr(mnist, "get_file", get_file)

    assert mnist.load_data()[1][0].shape == (2, 28, 28)
    assert asked == [(("mnist.npz",), {"origin": mnist.URL, "file_hash": mnist.SHA256})]
    assert mnist.URL.startswith("https://")
    assert len(mnist.SHA256) == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((4, 784), np.uint8)}, r"x_train and y_train .*\(4, 784\)"),
        ({"x_test": np.zeros((2, 28, 27), np.uint8)}, r"x_test and y_test .*\(2, 28, 27\)"),
        ({"y_train": np.zeros(5, np.uint8)}, r"x_train and y_train .*\(5,\)"),
        ({"y_test": np.zeros((2, 1), np.uint8)}, r"x_test and y_test .*\(2, 1\)"),
        ({"x_train": np.zeros((4, 28, 28))}, "x_train .*uint8.* got float64 and uint8"),
        ({"y_test": np.zeros(2, np.int64)}, "x_test .*uint8.* got uint8 and int64"),
        ({"y_train": np.full(4, 10, np.uint8)}, "y_train .*from 0 to 9, got 10"),
        ({"y_test": None}, "the arrays x_train, y_train, x_test, y_test, got .*y_test"),
        ({"y_test": np.array([print, print])}, "got Object arrays cannot be loaded"),
    ],
)
def test_file_that_is_not_mnist_is_refused(caches, changes, message):
    path = caches["MINIKERAS_HOME"] / "mnist.npz"
    found = {k: v for k, v in {**small_mnist(), **changes}.items() if v is not None}
    np.savez(path, **found)

    with pytest.raises(ValueError, match=message) as refused:
        mnist.load_data()

    assert str(path) in str(refused.value)
    assert "delete it" in str(refused.value)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "bare array", "altered"])
def test_damaged_file_is_refused(caches, damage):
    path = caches["KERAS_HOME"] / "mnist.npz"
    np.savez_compressed(path, **small_mnist())
    whole = path.read_bytes()
    if damage == "bare array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        altered = whole[:80] + bytes([whole[80] ^ 255]) + whole[81:]
        content = {"empty": b"", "truncated": whole[:-40], "text": b"hello", "altered": altered}
        path.write_bytes(content[damage])

    with pytest.raises(ValueError, match="does not hold MNIST"):
        mnist.load_data()


def test_bundled_digits():
    (x_train, y_train), (x_test, y_test) = mnist.load_bundled()

    assert x_train.shape == (10_000, 28, 28)
    assert x_test.shape == (1_000, 28, 28)
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype("uint8")}
    assert np.bincount(y_train).tolist() == [1000] * 10
    assert np.bincount(y_test).tolist() == [100] * 10
    assert x_train.max() == 255
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9]  # as the whole set begins: its order is kept


def test_bundled_digits_are_those_of_mnist():
    """The hash is of the chosen digits in the original files; see docs/tools."""
    (x_train, y_train), (x_test, y_test) = mnist.load_bundled()
    digest = hashlib.sha256()
    for array in (x_train, y_train, x_test, y_test):
        digest.update(array.tobytes())

    assert digest.hexdigest() == "48db9ba2e4ede2365d3ce65379671d49376b52fc4b38bf81d60951c3d63f904b"


def test_bundled_test_digits_are_kept_apart():
    (x_train, _), (x_test, _) = mnist.load_bundled()
    train = {image.tobytes() for image in x_train}

    assert not [image for image in x_test if image.tobytes() in train]


def test_what_is_bundled_stays_small():
    folder = Path(minikeras.datasets.__file__).parent
    sizes = {path.name: path.stat().st_size for path in folder.iterdir() if path.suffix != ".py"}

    assert {"README.md", "authors.npz", "digits.npz", "mnist_subset.npz"} <= set(sizes)
    assert sum(sizes.values()) < 3_000_000
