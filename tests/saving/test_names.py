import h5py
import numpy as np
import pytest

from minikeras.saving.names import (
    LIMIT,
    check_name,
    read_names,
    read_text,
    unique_names,
    write_names,
)


@pytest.fixture
def group():
    with h5py.File("names", "w", driver="core", backing_store=False) as file:
        yield file


@pytest.mark.parametrize("names", [["a"], ["dense_1", "größe", "層"], []])
def test_names_come_back(group, names):
    write_names(group, "layer_names", names)
    assert list(group.attrs) == ["layer_names"]
    assert read_names(group, "layer_names") == names


def test_names_are_bytes_of_one_length_as_in_keras(group):
    write_names(group, "layer_names", ["dense_1", "b"])
    assert group.attrs["layer_names"].dtype == np.dtype("S7")
    write_names(group, "weight_names", [])
    assert group.attrs["weight_names"].dtype == np.float64


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_long_lists_are_cut_where_keras_cuts_them(group, count):
    names = [f"{i:020d}" for i in range(LIMIT // 20 * count)]
    write_names(group, "layer_names", names)
    keys = ["layer_names"] if count == 1 else [f"layer_names{i}" for i in range(count)]
    assert sorted(group.attrs) == keys
    assert all(group.attrs[key].nbytes <= LIMIT for key in keys)
    assert read_names(group, "layer_names") == names


def test_one_name_more_than_fits_makes_two_attributes(group):
    write_names(group, "layer_names", ["x" * 20] * (LIMIT // 20 + 1))
    assert [len(group.attrs[f"layer_names{i}"]) for i in range(2)] == [1613, 1613]


def test_a_name_that_fits_nowhere_is_refused(group):
    write_names(group, "weight_names", ["x" * LIMIT, "y"])
    assert len(read_names(group, "weight_names")) == 2
    with pytest.raises(ValueError, match="has 64513 bytes"):
        write_names(group, "weight_names", ["x" * (LIMIT + 1)])


@pytest.mark.parametrize(
    "value",
    [
        np.array([b"a", b"bc"]),
        np.array(["a", "bc"], dtype=h5py.string_dtype()),
        np.array([b"a", b"bc"], dtype=h5py.string_dtype("ascii")),
        np.array([[b"a"], [b"bc"]]),
    ],
    ids=["fixed", "variable", "ascii", "column"],
)
def test_names_are_read_in_every_form(group, value):
    group.attrs["weight_names"] = value
    assert read_names(group, "weight_names") == ["a", "bc"]


@pytest.mark.parametrize("value", [b"text", "text", np.bytes_(b"text"), np.array([b"text"])])
def test_a_text_is_read_in_every_form(group, value):
    group.attrs["model_config"] = value
    assert read_text(group, "model_config") == "text"
    assert read_text(group, "other") is None


@pytest.mark.parametrize("value", [np.arange(3), 1.5, h5py.Empty("f"), np.array([b"\xff"])])
def test_what_is_no_text_is_refused(group, value):
    group.attrs["weight_names"] = value
    with pytest.raises(ValueError, match="'weight_names'"):
        read_names(group, "weight_names")


def test_several_texts_are_no_text(group):
    group.attrs["model_config"] = np.array([b"a", b"b"])
    with pytest.raises(ValueError, match="it holds 2"):
        read_text(group, "model_config")


def test_missing_names_are_named(group):
    with pytest.raises(ValueError, match="'/' has no attribute 'layer_names'"):
        read_names(group, "layer_names")


def test_unique_names_do_not_run_into_names_that_are_there():
    assert unique_names(["a", "a_1", "a", "a"]) == ["a", "a_1", "a_2", "a_3"]


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a\0b"])
def test_names_that_are_other_paths_are_refused(name):
    with pytest.raises(ValueError, match="can't be the name of a layer"):
        check_name(name, "a layer")
