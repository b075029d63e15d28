import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minikeras.utils import files
from minikeras.utils.files import atomic_write


def write(path, text):
    with atomic_write(path) as temporary:
        Path(temporary).write_text(text)


def permissions(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_writes_a_new_file_and_replaces_an_old_one(tmp_path, kind):
    path = tmp_path / "a.txt"
    write(kind(path), "first")
    write(kind(path), "second")
    assert path.read_text() == "second"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_relative_path_is_meant_where_the_block_began(tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with atomic_write("a.txt") as temporary:
        monkeypatch.chdir(tmp_path / "other")
        Path(temporary).write_text("here")
    assert (tmp_path / "a.txt").read_text() == "here"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    write(path, "old")

    def fail():
        with atomic_write(path) as temporary:
            Path(temporary).write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_exception_before_there_was_a_file_leaves_none(tmp_path):
    with pytest.raises(ValueError, match="stop"), atomic_write(tmp_path / "a.txt"):
        raise ValueError("stop")
    assert os.listdir(tmp_path) == []


def test_contents_are_on_the_disk_before_they_get_the_name(tmp_path, monkeypatch):
    events = []
    original = os.fsync, os.replace

    def fsync(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        events.append(f"fsync {kind}")
        original[0](descriptor)

    def replace(source, target):
        events.append("replace")
        original[1](source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write(tmp_path / "a.txt", "x")
    folder = ["fsync folder"] if hasattr(os, "O_DIRECTORY") else []
    assert events == ["fsync file", "replace", *folder]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, failing):
    path = tmp_path / "a.txt"
    write(path, "old")

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space"):
        write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert permissions(tmp_path / "a.txt") == 0o666 & ~umask


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o600, 0o664, 0o777])
def test_a_replaced_file_keeps_its_permissions(tmp_path, mode):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    with atomic_write(path) as temporary:
        assert permissions(temporary) & ~mode == 0  # nobody sees more meanwhile
        Path(temporary).write_text("new")
    assert path.read_text() == "new"
    assert permissions(path) == mode


def test_a_write_protected_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("kept")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write to any file
    with pytest.raises(PermissionError, match="a.txt' is there and may not be written"):
        write(path, "new")
    assert path.read_text() == "kept"


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights there")
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_followed(tmp_path, exists):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "a.txt"
    if exists:
        target.write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.listdir(tmp_path / "far") == ["a.txt"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no_such' of .* does not exist: make it first"):
        write(tmp_path / "no_such" / "a.txt", "x")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write(tmp_path, "x")


@pytest.mark.skipif(os.name == "nt", reason="devices of POSIX")
def test_a_device_is_not_replaced_by_a_file():
    with pytest.raises(OSError, match="not a regular file"):
        write("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_names_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / ("n" * 255)
    write(path, "x")
    assert path.read_text() == "x"


KILLED = """
import os, signal, sys
from minikeras.utils.files import atomic_write
with atomic_write(sys.argv[1]) as temporary:
    with open(temporary, "w") as file:
        file.write("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def leftovers(folder):
    return [name for name in os.listdir(folder) if name.endswith(files.SUFFIX)]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals of POSIX")
def test_what_killed_processes_leave_behind_is_removed_by_the_next_write(tmp_path):
    path = tmp_path / "a.txt"
    write(path, "old")
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert done.returncode == -signal.SIGKILL
        assert path.read_text() == "old"
        assert len(leftovers(tmp_path)) == 1  # the second one has removed that of the first
    write(tmp_path / "b.txt", "another file in the folder")
    assert leftovers(tmp_path) == []


def test_a_file_that_is_being_written_is_left_alone(tmp_path):
    with atomic_write(tmp_path / "a.txt") as temporary:
        Path(temporary).write_text("slow")
        os.utime(temporary, (0, 0))  # be it as slow as it likes
        write(tmp_path / "a.txt", "quick")
        assert os.path.exists(temporary)
    assert (tmp_path / "a.txt").read_text() == "slow"


def test_without_locks_a_file_is_left_for_a_day(tmp_path, monkeypatch):
    def no_locks(descriptor, wait):
        raise OSError("no locks")

    monkeypatch.setattr(files, "_lock", no_locks)
    young, old = (tmp_path / f".{name}{files.SUFFIX}" for name in ("young", "old"))
    young.write_text("")
    old.write_text("")
    two_days_ago = os.stat(old).st_mtime - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    write(tmp_path / "a.txt", "x")
    assert leftovers(tmp_path) == ([] if os.name == "nt" else [young.name])


def test_files_of_others_are_left_alone(tmp_path):
    names = [".hidden", f"visible{files.SUFFIX}", "a.tmp"]
    for name in names:
        (tmp_path / name).write_text("mine")
    write(tmp_path / "a.txt", "x")
    assert set(os.listdir(tmp_path)) == {*names, "a.txt"}


def test_many_writers_of_one_file_leave_one_whole_text(tmp_path):
    path = tmp_path / "a.txt"
    texts = [str(i) * 5000 for i in range(8)]
    errors = []

    def work(text):
        try:
            for _ in range(5):
                write(path, text)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert path.read_text() in texts
    assert os.listdir(tmp_path) == ["a.txt"]
