import json
import pickle
import zipfile

import numpy as np
import pytest

from minikeras.datasets import imdb

TRAIN = [[1, 2, 3], [4, 5], [6, 1, 1, 7], [2], [8, 3, 9, 1, 2], [1, 10]], [0, 1, 0, 1, 1, 0]
TEST = [[3, 1], [11, 2, 2], [1], [5, 6, 7, 8, 9], [2, 4]], [1, 0, 0, 1, 1]


def objects(lists):
    array = np.empty(len(lists), object)
    for i, words in enumerate(lists):
        array[i] = words
    return array


def small_imdb():
    return {
        "x_train": objects(TRAIN[0]),
        "y_train": np.array(TRAIN[1]),
        "x_test": objects(TEST[0]),
        "y_test": np.array(TEST[1]),
    }


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """The two folders that may hold imdb.npz, both empty; no download."""
    folders = {}
    for name in ("KERAS_HOME", "MINIKERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
        folders[name] = tmp_path / name / "datasets"
        folders[name].mkdir(parents=True)
    monkeypatch.setattr(imdb, "get_file", lambda *_, **__: pytest.fail("a download"))
    return folders


@pytest.fixture
def cached(caches):
    """A cache with a small file in place of IMDB."""
    path = caches["KERAS_HOME"] / "imdb.npz"
    np.savez(path, **small_imdb())
    return path


# What Keras 2.2.4 makes of the small file.
EXPECTED = [
    (
        {},
        [[1, 7, 8], [1, 4, 5, 6], [1, 5], [1, 9, 4, 4, 10], [1, 11, 6, 12, 4, 5], [1, 4, 13]],
        [1, 0, 1, 0, 1, 0],
        [[1, 8, 9, 10, 11, 12], [1, 6, 4], [1, 2, 5, 5], [1, 5, 7], [1, 4]],
        [1, 1, 0, 1, 0],
    ),
    (
        {"num_words": 8},
        [[1, 7, 2], [1, 4, 5, 6], [1, 5], [1, 2, 4, 4, 2], [1, 2, 6, 2, 4, 5], [1, 4, 2]],
        [1, 0, 1, 0, 1, 0],
        [[1, 2, 2, 2, 2, 2], [1, 6, 4], [1, 2, 5, 5], [1, 5, 7], [1, 4]],
        [1, 1, 0, 1, 0],
    ),
    (
        {"num_words": 8, "skip_top": 5, "seed": 7},
        [[2, 5], [2, 2, 2], [2, 2, 5, 6], [2, 2, 2, 2, 2], [2, 7, 2], [2, 2, 6, 2, 2, 5]],
        [1, 0, 0, 0, 1, 1],
        [[2, 2, 2, 2, 2, 2], [2, 5, 7], [2, 2], [2, 2, 5, 5], [2, 6, 2]],
        [1, 1, 0, 0, 1],
    ),
    (
        {"start_char": None},
        [[7, 8], [4, 5, 6], [5], [9, 4, 4, 10], [11, 6, 12, 4, 5], [4, 13]],
        [1, 0, 1, 0, 1, 0],
        [[8, 9, 10, 11, 12], [6, 4], [2, 5, 5], [5, 7], [4]],
        [1, 1, 0, 1, 0],
    ),
    (
        {"start_char": None, "index_from": 0, "num_words": 5, "oov_char": None},
        [[4], [1, 2, 3], [2], [1, 1], [3, 1, 2], [1]],
        [1, 0, 1, 0, 1, 0],
        [[], [3, 1], [2, 2], [2, 4], [1]],
        [1, 1, 0, 1, 0],
    ),
    (
        {"num_words": 9, "oov_char": None, "index_from": 2},
        [[1, 6, 7], [1, 3, 4, 5], [1, 4], [1, 8, 3, 3], [1, 5, 3, 4], [1, 3]],
        [1, 0, 1, 0, 1, 0],
        [[1, 7, 8], [1, 5, 3], [1, 4, 4], [1, 4, 6], [1, 3]],
        [1, 1, 0, 1, 0],
    ),
    (  # here 2.2.4 would move two test reviews to the training set, and tf-keras does not
        {"maxlen": 5},
        [[1, 7, 8], [1, 4, 5, 6], [1, 5], [1, 4, 13]],
        [1, 0, 1, 0],
        [[1, 6, 4], [1, 2, 5, 5], [1, 5, 7], [1, 4]],
        [1, 0, 1, 0],
    ),
]


@pytest.mark.parametrize(("arguments", "x_train", "y_train", "x_test", "y_test"), EXPECTED)
def test_arrays_are_those_of_keras(cached, arguments, x_train, y_train, x_test, y_test):
    state = np.random.get_state()[1].copy()

    found = imdb.load_data(**arguments)

    assert [a.tolist() for part in found for a in part] == [x_train, y_train, x_test, y_test]
    for x, y in found:
        assert x.dtype == object
        assert x.ndim == 1
        assert y.dtype.kind == "i"
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_equally_long_reviews_stay_lists(caches):
    reviews = {**small_imdb(), "x_train": objects([[1, 2]] * 6)}
    np.savez(caches["KERAS_HOME"] / "imdb.npz", **reviews)

    assert imdb.load_data()[0][0].shape == (6,)


def test_maxlen_that_leaves_nothing_is_refused(cached):
    with pytest.raises(ValueError, match="maxlen=2 .* shortest sample has 2 words"):
        imdb.load_data(maxlen=2)


def test_older_name_and_unknown_name_of_an_argument(cached):
    with pytest.warns(UserWarning, match="num_words"):
        old = imdb.load_data(nb_words=8)
    assert old[0][0].tolist() == imdb.load_data(num_words=8)[0][0].tolist()
    with pytest.raises(TypeError, match="has no argument maxlenght"):
        imdb.load_data(maxlenght=8)


def test_path_is_a_name_in_either_cache_or_absolute(caches, tmp_path):
    np.savez(caches["MINIKERAS_HOME"] / "other.npz", **small_imdb())
    np.savez(tmp_path / "elsewhere.npz", **small_imdb())

    assert len(imdb.load_data("other.npz")[0][0]) == 6
    assert len(imdb.load_data(str(tmp_path / "elsewhere.npz"))[1][0]) == 5
    with pytest.raises(FileNotFoundError, match="missing"):
        imdb.load_data(str(tmp_path / "missing.npz"))
    with pytest.raises(ValueError, match="plain file name"):
        imdb.load_data("../other.npz")


def test_missing_files_are_downloaded_and_checked(caches, tmp_path, monkeypatch):
    asked = []

    def get_file(name, **kwargs):
        asked.append((name, kwargs))
        path = tmp_path / name
        if name.endswith(".json"):
            path.write_text('{"the": 1}', "utf-8")
        else:
            np.savez(path, **small_imdb())
        return str(path)

    monkeypatch.setattr(imdb, "get_file", get_file)

    assert len(imdb.load_data()[1][0]) == 5
    assert imdb.get_word_index() == {"the": 1}
    assert asked == [
        ("imdb.npz", {"origin": imdb.URL, "file_hash": imdb.SHA256}),
        ("imdb_word_index.json", {"origin": imdb.INDEX_URL, "file_hash": imdb.INDEX_MD5}),
    ]
    assert imdb.URL.startswith("https://")
    assert (len(imdb.SHA256), len(imdb.INDEX_MD5)) == (64, 32)


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_no_code_of_the_file_is_run(caches, tmp_path):
    trap = tmp_path / "trapped"
    reviews = {**small_imdb(), "x_test": objects([Trap(str(trap)), [1], [2], [3], [4]])}
    np.savez(caches["KERAS_HOME"] / "imdb.npz", **reviews)

    with pytest.raises(ValueError, match=r"asks for (_?io|builtins).open, and may only hold lists"):
        imdb.load_data()
    assert not trap.exists()

    pickle.loads(pickle.dumps(Trap(str(trap)))).close()  # the trap itself is a good one
    assert trap.exists()


@pytest.mark.parametrize("name", ["load", "memmap", "lib.npyio.load"])
def test_no_other_function_of_numpy_is_called(caches, name):
    """A pickle that asks for a name in NumPy that arrays do not need."""
    reviews = {k: v for k, v in small_imdb().items() if k != "x_train"}
    path = caches["KERAS_HOME"] / "imdb.npz"
    np.savez(path, **reviews)
    header = {"descr": "|O", "fortran_order": False, "shape": (6,)}
    with zipfile.ZipFile(path, "a") as archive, archive.open("x_train.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
        member.write(f"cnumpy\n{name}\n(S'/etc/hostname'\ntR.".encode())

    with pytest.raises(ValueError, match=f"asks for numpy.{name}"):
        imdb.load_data()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_pickles_of_any_protocol_are_read(caches, protocol):
    path = caches["KERAS_HOME"] / "imdb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in small_imdb().items():
            with archive.open(name + ".npy", "w") as member:
                if array.dtype != object:
                    np.save(member, array)
                    continue
                header = {"descr": "|O", "fortran_order": False, "shape": array.shape}
                np.lib.format.write_array_header_2_0(member, header)
                pickle.dump(array, member, protocol=protocol)

    assert imdb.load_data()[0][0].tolist() == EXPECTED[0][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((6, 3), int)}, r"x_train: expected lists, got an array of int64"),
        ({"x_test": np.full((5, 2), None)}, r"x_test: expected lists, .* shape \(5, 2\)"),
        ({"x_test": objects([[1], [2], [3], [4], [1.5]])}, "x_test: expected 5 lists of whole"),
        ({"x_test": objects([[1], [2], [3], [4], [-1]])}, "x_test: expected 5 lists of whole"),
        ({"x_test": objects([[1], [2], [3], [4], [True]])}, "x_test: expected 5 lists of whole"),
        ({"x_test": objects([[1], [2], [3], [4], "no"])}, "x_test: expected 5 lists of whole"),
        (
            {"x_test": objects([[1], [2], [3], [4], np.ones(2)])},
            "x_test: expected 5 lists|asks for",
        ),
        ({"y_test": np.arange(4)}, r"y_test: expected whole numbers of shape \(5,\), got .*\(4,\)"),
        ({"y_train": np.zeros(6)}, "y_train: expected whole numbers .* got float64"),
        ({"y_train": objects([print] * 6)}, "Object arrays cannot be loaded"),
        ({"y_train": None}, "y_train"),
        ({"x_train": None}, "x_train"),
    ],
)
def test_file_that_is_not_imdb_is_refused(caches, changes, message):
    path = caches["MINIKERAS_HOME"] / "imdb.npz"
    found = {k: v for k, v in {**small_imdb(), **changes}.items() if v is not None}
    np.savez(path, **found)

    with pytest.raises(ValueError, match=message) as refused:
        imdb.load_data()

    assert str(path) in str(refused.value)
    assert "delete it" in str(refused.value)


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "altered"])
def test_damaged_file_is_refused(cached, damage):
    whole = cached.read_bytes()
    altered = whole[:120] + bytes([whole[120] ^ 255]) + whole[121:]
    content = {"empty": b"", "truncated": whole[:-40], "text": b"hello", "altered": altered}
    cached.write_bytes(content[damage])

    with pytest.raises(ValueError, match="does not hold IMDB"):
        imdb.load_data()


def test_word_index(caches):
    path = caches["KERAS_HOME"] / "imdb_word_index.json"
    index = {"the": 1, "and": 2, "d'être": 3}
    path.write_text(json.dumps(index), "utf-8")
    assert imdb.get_word_index() == index

    for content in ('["the"]', '{"the": "1"}', "{"):
        path.write_text(content, "utf-8")
        with pytest.raises(ValueError, match="does not hold IMDB's data .*expected"):
            imdb.get_word_index()
