"""Hostile files: nothing outside of them is opened, nothing large is read, nothing is run."""

import h5py
import numpy as np
import pytest

from minikeras.saving.guard import dataset_at, group_at, read_numbers


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other.create_group("g")["w"] = np.ones(3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["g/w"] = np.arange(3.0)
        file["ext_file"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/g")
        file["g/ext"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/g/w")
        file["g/soft"] = h5py.SoftLink("/g/w")
        file["soft_group"] = h5py.SoftLink("/g")
        file["g/hard"] = file["g/w"]
        file["g/type"] = np.dtype("f4")
        yield file


def test_groups_and_datasets_are_found(file):
    assert group_at(file, "g") == file["g"]
    for name in ("g/w", "g/hard"):
        array = read_numbers(dataset_at(file, name), (3,), name)
        assert array.tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["ext_file/w", "g/ext", "g/soft", "soft_group/w"])
def test_links_are_not_followed(file, name):
    with pytest.raises(ValueError, match=r"link to another place or file .*never followed"):
        dataset_at(file, name)


@pytest.mark.parametrize("name", ["x", "g/x", "g/w/x", "x/y"])
def test_what_is_missing_is_named(file, name):
    with pytest.raises(ValueError, match=f"'{name}' is missing in '/'"):
        dataset_at(file, name)


@pytest.mark.parametrize("name", ["/g/w", "g/../g/w", "g/./w", "", "g//w"])
def test_paths_that_lead_elsewhere_are_refused(file, name):
    with pytest.raises(ValueError, match="can't be the name"):
        dataset_at(file, name)


def test_a_group_is_no_dataset(file):
    with pytest.raises(ValueError, match="should be a dataset; it is a group"):
        dataset_at(file, "g")
    with pytest.raises(ValueError, match="should be a group; it is a dataset"):
        group_at(file, "g/w")
    with pytest.raises(ValueError, match="should be a dataset; it is a datatype"):
        dataset_at(file, "g/type")


def test_the_shape_is_looked_at_before_anything_is_read(file):
    # A petabyte that takes no room in the file.
    bomb = file.create_dataset("bomb", shape=(2**40, 256), chunks=(1024, 256), dtype="f4")
    with pytest.raises(ValueError, match=r"shape \(1099511627776, 256\), where \(3,\) is needed"):
        read_numbers(bomb, (3,), "'bomb'")


def test_a_dataset_without_a_shape_is_refused(file):
    file["null"] = h5py.Empty("f4")
    with pytest.raises(ValueError, match=r"'null' has shape None, where \(\) is needed"):
        read_numbers(file["null"], (), "'null'")


@pytest.mark.parametrize(
    "value",
    [
        np.array([b"a", b"b", b"c"]),
        np.array(["a", "b", "c"], dtype=h5py.string_dtype()),
        np.zeros(3, "c8"),
        np.zeros(3, [("a", "f4"), ("b", "i4")]),
        np.zeros(3, "V4"),
    ],
)
def test_only_numbers_are_read(file, value):
    file["w"] = value
    with pytest.raises(ValueError, match="should hold numbers; its type is"):
        read_numbers(file["w"], (3,), "'w'")


def test_references_are_not_numbers(file):
    file.create_dataset("w", data=[file["g"].ref] * 3, dtype=h5py.ref_dtype)
    with pytest.raises(ValueError, match="should hold numbers"):
        read_numbers(file["w"], (3,), "'w'")


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f8", "i1", "u8", "?"])
def test_all_numbers_are_read(file, dtype):
    file["w"] = np.array([0, 1, 1], dtype)
    assert read_numbers(file["w"], (3,), "'w'").tolist() == [0, 1, 1]


def test_a_scalar_is_an_array(file):
    file["s"] = np.int64(3)
    found = read_numbers(file["s"], (), "'s'")
    assert isinstance(found, np.ndarray)
    assert found == 3


def test_arrays_in_other_files_are_not_read(file, tmp_path):
    (tmp_path / "secret").write_bytes(b"0123456789abcdef")
    external = [(str(tmp_path / "secret"), 0, 12)]
    file.create_dataset("w", shape=(3,), dtype="f4", external=external)
    with pytest.raises(ValueError, match="lies in another file"):
        read_numbers(file["w"], (3,), "'w'")
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "g/w", shape=(3,))
    file.create_virtual_dataset("v", layout)
    with pytest.raises(ValueError, match="lies in another file"):
        read_numbers(file["v"], (3,), "'v'")


def test_usual_compression_is_read_and_plug_ins_are_not_loaded(file):
    file.create_dataset("gzip", data=np.ones(3), compression="gzip", shuffle=True, fletcher32=True)
    assert read_numbers(file["gzip"], (3,), "'gzip'").sum() == 3
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((3,))
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())  # zstd, a plug-in
    space = h5py.h5s.create_simple((3,))
    h5py.h5d.create(file.id, b"zstd", h5py.h5t.IEEE_F64LE, space, properties)
    with pytest.raises(ValueError, match=r"compressed by a plug-in \(filter 32015\)"):
        read_numbers(file["zstd"], (3,), "'zstd'")


def test_a_damaged_array_is_said_to_be_damaged(file):
    # Chunks whose checksum is wrong.
    data = file.create_dataset("w", (3,), "f8", chunks=(3,), fletcher32=True)
    data.id.write_direct_chunk((0,), np.ones(3).tobytes() + b"\0\0\0\0")
    with pytest.raises(ValueError, match="'w' can't be read; the file is damaged"):
        read_numbers(data, (3,), "'w'")
