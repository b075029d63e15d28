import io
import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from minikeras.saving.names import Misfit
from minikeras.saving.places import opened, write_to


def fill(group):
    group["a"] = np.arange(3)


def check(place):
    with opened(place) as group:
        assert group["a"][()].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_a_path(tmp_path, kind):
    path = kind(tmp_path / "a.h5")
    write_to(path, fill)
    check(path)
    assert os.listdir(tmp_path) == ["a.h5"]


def test_an_open_file(tmp_path):
    with open(tmp_path / "a.h5", "wb") as file:
        write_to(file, fill)
    with open(tmp_path / "a.h5", "rb") as file:
        check(file)
    memory = io.BytesIO()
    write_to(memory, fill)
    memory.seek(0)
    check(memory)


def test_a_file_opened_for_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with (
        open(tmp_path / "a.txt") as file,
        pytest.raises(TypeError, match="binary mode"),
        opened(file),
    ):
        pass


def test_a_group_stays_open(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("inner")
        write_to(group, fill)
        check(group)
        assert group
        with pytest.raises(ValueError, match="'/inner' is not empty"):
            write_to(group, fill)


@pytest.mark.parametrize("place", [None, 3, ["a.h5"]])
def test_what_is_no_place_is_refused(place):
    with pytest.raises(TypeError, match="given by its path"):
        write_to(place, fill)
    with pytest.raises(TypeError, match="given by its path"), opened(place):
        pass


def open_names():
    """Return the files that libhdf5 or this process has open."""
    h5 = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_ALL)
    own = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return h5, own


def test_an_error_while_writing_leaves_the_old_file_and_nothing_open(tmp_path):
    path = tmp_path / "a.h5"
    write_to(path, fill)
    before = open_names()

    def fail(group):
        fill(group)
        group.create_group("b")["c"] = np.zeros(1000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_to(path, fail)
    check(path)
    assert os.listdir(tmp_path) == ["a.h5"]
    assert open_names() == before


def test_an_error_while_reading_leaves_nothing_open(tmp_path):
    path = tmp_path / "a.h5"
    write_to(path, fill)
    before = open_names()
    kept = []

    def read():
        with opened(path) as group:
            kept.append(group["a"])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        read()
    assert not kept[0]  # closed with its file
    assert open_names() == before


@pytest.mark.skipif(sys.platform != "linux", reason="limits of POSIX")
def test_a_disk_that_is_full_leaves_the_old_file_and_nothing_open(tmp_path):
    import resource

    path = tmp_path / "a.h5"
    write_to(path, fill)
    before = open_names()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_to(path, lambda group: group.create_dataset("big", data=np.zeros(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check(path)
    assert os.listdir(tmp_path) == ["a.h5"]
    assert open_names() == before


@pytest.mark.skipif(os.name == "nt", reason="an open file can't be replaced there")
def test_a_file_that_is_open_for_reading_can_be_replaced(tmp_path):
    path = tmp_path / "a.h5"
    write_to(path, fill)
    with h5py.File(path, "r") as old:
        write_to(path, lambda group: group.create_group("new"))
        assert old["a"].shape == (3,)
    with opened(path) as file:
        assert list(file) == ["new"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("answers", "replaced"), [("y\n", True), ("n\n", False), ("?\nY\n", True)])
def test_at_a_terminal_the_user_is_asked(tmp_path, monkeypatch, capsys, answers, replaced):
    path = tmp_path / "a.h5"
    write_to(path, fill, overwrite=False)  # nothing to ask yet
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    write_to(path, lambda group: group.create_group("new"), overwrite=False)
    assert "a.h5' exists already. Overwrite it? [y/n]" in capsys.readouterr().out
    with opened(path) as file:
        assert list(file) == (["new"] if replaced else ["a"])


def test_elsewhere_an_existing_file_is_an_error(tmp_path, monkeypatch):
    path = tmp_path / "a.h5"
    write_to(path, fill)
    for stdin in (io.StringIO("y\n"), None):
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(FileExistsError, match=r"a.h5' exists already. Pass overwrite=True"):
            write_to(path, fill, overwrite=False)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no_such.h5"), opened(tmp_path / "no_such.h5"):
        pass


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "is not an HDF5 file"),
        (b"hello, world", "is not an HDF5 file"),
        (b"PK\x03\x04 and so on", "zip archive, as Keras 3 writes"),
        (b"\x89HDF\r\n\x1a\n", "may be damaged"),
    ],
)
def test_what_is_no_hdf5_file_is_said_to_be_none(tmp_path, contents, message):
    path = tmp_path / "a.h5"
    path.write_bytes(contents)
    before = open_names()
    with pytest.raises(OSError, match=f"a.h5' .*{message}"), opened(path):
        pass
    with pytest.raises(OSError, match=f"The file .*{message}"), opened(io.BytesIO(contents)):
        pass
    assert open_names() == before


def test_a_folder_is_no_hdf5_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder. Only HDF5"), opened(tmp_path):
        pass


def test_errors_name_the_file(tmp_path):
    write_to(tmp_path / "a.h5", fill)
    with (
        pytest.raises(ValueError, match="a.h5': It is wrong.") as caught,
        opened(tmp_path / "a.h5"),
    ):
        raise Misfit("It is wrong.")
    assert type(caught.value) is ValueError
