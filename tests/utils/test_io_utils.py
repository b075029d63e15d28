"""Arrays in HDF5 files."""

import gc
import os
import pickle

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras.utils import io_utils
from minikeras.utils.feeding import fetched
from minikeras.utils.io_utils import HDF5Matrix

X = np.arange(60, dtype="float32").reshape(20, 3)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("hdf5") / "data.h5")
    with h5py.File(path, "w") as file:
        file["x"] = X
        file["group/y"] = np.arange(20)
        file["scalar"] = 3
        file["empty"] = np.zeros((0, 2))
    return path


@pytest.fixture(autouse=True)
def nothing_open():
    yield
    gc.collect()
    assert len(io_utils._files) == 0


KEYS = [
    0,
    -1,
    np.int64(7),
    np.uint8(7),
    slice(None),
    slice(2, 7),
    slice(-4, None),
    slice(None, -4),
    slice(5, 2),
    slice(5, 12),
    slice(1, 12, 3),
    slice(None, None, -1),
    slice(11, 2, -4),
    ...,
    [3],
    [],
    [5, 1, 3],
    [1, 1, -1, 0, 1],
    (2, 1),
    range(2, 5),
    np.array([4, 0, 4]),
    np.array([], dtype=int),
    np.arange(12)[::-1],
    np.arange(12) % 3 == 1,
    [True] + [False] * 11,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reads_what_numpy_would(path, key):
    x = HDF5Matrix(path, "x", start=4, end=16)
    part = X[4:16]
    if isinstance(key, tuple):
        with pytest.raises(TypeError, match="choose samples"):
            x[key]
        return
    found, expected = x[key], part[list(key) if isinstance(key, range) else key]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert np.shape(found) == np.shape(expected)


@given(rows=st.lists(st.integers(-20, 19), max_size=30))
def test_indices_in_any_order(path, rows):
    np.testing.assert_array_equal(HDF5Matrix(path, "x")[rows], X[np.array(rows, int)])


@pytest.mark.parametrize("key", [12, -13, [0, 12], [-13], np.array([3, 99])], ids=str)
def test_there_is_nothing_beyond_the_range(path, key):
    with pytest.raises(IndexError, match="of 12 samples in 'x'"):
        HDF5Matrix(path, "x", 4, 16)[key]


@pytest.mark.parametrize("key", [1.5, "x", None, [[1, 2]], [0.5], [True, False]], ids=str)
def test_other_kinds_of_keys_are_refused(path, key):
    with pytest.raises(TypeError, match="a mask of 20 booleans"):
        HDF5Matrix(path, "x")[key]


def test_looks_like_an_array(path):
    x = HDF5Matrix(path, "x", 4, 16)
    assert (len(x), x.shape, x.ndim, x.size, x.dtype) == (12, (12, 3), 2, 36, np.float32)
    assert isinstance(x.size, int)
    assert (x.start, x.end) == (4, 16)
    np.testing.assert_array_equal(np.asarray(x), X[4:16])
    np.testing.assert_array_equal(list(x), X[4:16])
    assert HDF5Matrix(path, "group/y")[3] == 3
    assert HDF5Matrix(path, "empty").shape == (0, 2)


def test_the_normalizer_says_shape_and_type(path):
    seen = []

    def normalize(x):
        seen.append(x.shape)
        return (x[..., :2, None] / 2).astype("float64")

    x = HDF5Matrix(path, "x", 4, 16, normalizer=normalize)
    assert (x.shape, x.ndim, x.size, x.dtype) == ((12, 2, 1), 3, 24, np.float64)
    np.testing.assert_array_equal(x[[3, 1]], X[[7, 5], :2, None] / 2)
    np.testing.assert_array_equal(x[3], X[7, :2, None] / 2)
    assert seen == [(1, 3), (2, 3), (3,)]


@pytest.mark.parametrize(("start", "end"), [(-1, None), (0, 21), (5, 4), (21, None)])
def test_wrong_ranges_are_refused(path, start, end):
    with pytest.raises(ValueError, match="20 samples"):
        HDF5Matrix(path, "x", start, end)


@pytest.mark.parametrize("name", ["z", "group", "scalar", "group/z"])
def test_missing_datasets_are_refused(path, name):
    with pytest.raises(ValueError, match=rf"'{name}'. At its top it has .*'x'"):
        HDF5Matrix(path, name)


def test_a_slice_beyond_the_end_is_an_error_as_in_keras(path):
    with pytest.raises(IndexError, match="The slice ends at 21; there are 20"):
        HDF5Matrix(path, "x")[0:21]


def test_missing_files_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.h5"):
        HDF5Matrix(str(tmp_path / "none.h5"), "x")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_opened_once_read_only_and_released(path, monkeypatch):
    opened = []
    real = h5py.File
    monkeypatch.setattr(h5py, "File", lambda *args: opened.append(args) or real(*args))
    x, y = HDF5Matrix(path, "x"), HDF5Matrix(path, "group/y")
    assert opened == [(os.path.realpath(path), "r")]
    with pytest.raises(OSError, match="write|intent|open"):
        x.data[0] = 1
    with pytest.raises(OSError, match="open"):
        real(path, "a")
    del x
    assert y[1] == 1
    del y
    gc.collect()
    real(path, "a").close()


def test_a_path_may_be_relative_and_the_directory_change(path, tmp_path, monkeypatch):
    monkeypatch.chdir(os.path.dirname(path))
    x = HDF5Matrix("data.h5", "x")
    written = pickle.dumps(x)
    monkeypatch.chdir(tmp_path)
    del x
    np.testing.assert_array_equal(pickle.loads(written)[2:4], X[2:4])


def test_it_can_be_pickled(path):
    x = pickle.loads(pickle.dumps(HDF5Matrix(path, "x", 4, 16, normalizer=np.sqrt)))
    np.testing.assert_array_equal(x[:], np.sqrt(X[4:16]))
    assert x.shape == (12, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forked_workers_open_it_for_themselves(path):
    class Batches:
        def __init__(self):
            self.x = HDF5Matrix(path, "x")
            self.y = HDF5Matrix(path, "group/y")

        def __getitem__(self, index):
            rows = [index, 19 - index]
            x, y = self.x[rows], self.y[rows]
            return x, y, sorted(pid for pid, _ in io_utils._files) == [os.getpid()], os.getpid()

    batches = Batches()
    found = list(fetched(batches, range(10), 2, use_multiprocessing=True))
    for index, (x, y, own, _) in enumerate(found):
        np.testing.assert_array_equal(x, X[[index, 19 - index]])
        assert y.tolist() == [index, 19 - index]
        assert own
    assert len({pid for *_, pid in found}) == 2
    np.testing.assert_array_equal(batches.x[3], X[3])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks for open files in /proc")
def test_forked_workers_do_not_share_the_position_in_the_file(path):
    def places():
        fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
        return [fd for fd in fds if fd > 2 and os.path.realpath(f"/proc/self/fd/{fd}") == path]

    class Moving:
        def __getitem__(self, index):
            return x[index], [os.lseek(fd, 99, os.SEEK_SET) for fd in places()]

    x = HDF5Matrix(path, "x")
    path = os.path.realpath(path)
    ((row, moved),) = fetched(Moving(), [3], use_multiprocessing=True)
    np.testing.assert_array_equal(row, X[3])
    assert moved == [99]
    assert [os.lseek(fd, 0, os.SEEK_CUR) for fd in places()] != [99]
