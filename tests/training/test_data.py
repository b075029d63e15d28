import numpy as np
import pytest

from minikeras.training.data import (
    as_array,
    batch_count,
    check_lengths,
    fit_shape,
    missing_data,
    readable_shape,
    warn_of_nan,
)


def test_lengths_must_agree():
    check_lengths(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(ValueError, match=r"^x and y must .*: x has 3 \(shape \(3, 2\)\), y has 2 "):
        check_lengths(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(
        ValueError, match=r"^validation x and validation y must .* validation y has 2"
    ):
        check_lengths(np.zeros((3, 2)), np.zeros(2), name="validation ")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((), "()"),
        ((None,), "(samples,)"),
        ((7, None, 3), "(samples, any, 3)"),
    ],
)
def test_shapes_in_words(shape, words):
    assert readable_shape(shape) == words


@pytest.mark.parametrize(
    ("x", "y", "hint"),
    [
        (np.zeros(4), np.zeros(3), r"batch axis in front: x\[np.newaxis\]"),
        (np.zeros((2, 6)), np.zeros(6), r"x\.T"),
        (np.zeros((9, 6)), np.zeros((3, 6)), "train_test_split"),
    ],
)
def test_hints_for_lengths(x, y, hint):
    with pytest.raises(ValueError, match=hint):
        check_lengths(x, y)


@pytest.mark.parametrize(
    ("shape", "expected", "hint"),
    [
        ((8, 8), (None, 8, 8), r"x\[np.newaxis\].*input_shape=\(8,\)\."),
        ((4,), (None, 4), r"leave their number out of input_shape\.$"),
        ((4, 12), (None, 4), r"x\.T"),
        ((5, 7), (None, 60, 7), r"If the 60 .* leave it out: input_shape=\(7,\)"),
        ((5, 7), (None, None, 7), r"x\[:, np\.newaxis\].*input_shape=\(7,\)"),
        ((9, 4), (None, 5, 2), r"\(samples, steps, features\)\. x\[:, np\.newaxis\]"),
        ((8, 8), (None, 8, 8, 1), r"x\.reshape\(\(1, 8, 8, 1\)\)"),
        ((9, 8, 8), (None, 8, 8, 1), r"x\.reshape\(\(-1, 8, 8, 1\)\)"),
        ((9, 8, 8), (None, 64), r"x\.reshape\(len\(x\), 64\)"),
        ((9, 3, 8, 8), (None, 8, 8, 3), r"np\.moveaxis\(x, 1, -1\).*data_format"),
        ((9, 8, 8, 3), (None, 3, 8, 8), r"np\.moveaxis\(x, -1, 1\).*data_format"),
        ((9, 8, 7, 3), (None, 7, 8, 3), r"np\.transpose.*input_shape=\(8, 7, 3\)"),
        ((9, 3), (None, 4), r"input_shape=\(3,\)\. .*exchanged"),
    ],
)
def test_hints_for_shapes(shape, expected, hint):
    with pytest.raises(ValueError, match=hint):
        fit_shape(np.zeros(shape), expected, "x", "dense_1")


def test_transposed_as_the_hint_says():
    x = np.zeros((9, 3, 8, 8))
    assert fit_shape(np.moveaxis(x, 1, -1), (None, 8, 8, 3), "x", "c").shape == (9, 8, 8, 3)
    assert fit_shape(np.moveaxis(x, -1, 1), (None, 8, 3, 8), "x", "c").shape == (9, 8, 3, 8)


class Table:
    """What is needed of a pandas.DataFrame with a column of text."""

    columns = ("age", "sex")
    dtypes = (np.dtype("float64"), np.dtype(object))
    shape = (2, 2)

    def __array__(self, dtype=None, copy=None):
        return np.array([[1.0, "f"], [2.0, "m"]], object)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (Table(), r"columns \['sex'\] hold no numbers.*get_dummies"),
        (np.array(["1", "2"]), r"x\.astype\('float32'\)"),
        ("data.csv", r"'data\.csv'.*np\.load"),
        (np.array([1j]), r"x\.real"),
        (np.array(["2018-01-01"], "datetime64[D]"), r"timedelta64\(1, 'D'\)"),
        ([np.zeros(2), np.zeros(2)], r"list of 2 arrays.*np\.array\(x\)"),
        ([np.zeros((2, 3)), np.zeros((4, 3))], r"pad_sequences\(x\)"),
        ([[1], [1, 2]], r"from 1 to 2.*pad_sequences\(x\)"),
        (np.array([[1], [1, 2]], object), r"from 1 to 2.*pad_sequences\(x\)"),
        (lambda: None, r"function <lambda>, not data"),
        (Table, r"class Table, not data: .*Table\(\)"),
    ],
)
def test_data_that_are_no_array(data, hint):
    with pytest.raises(ValueError, match=rf"^validation x .*{hint}"):
        as_array(data, "validation x")


def own_batches():
    yield


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (None, 1, r"^validation x is None"),
        (np.zeros(2), None, "^validation y is None: pass the targets"),
        ((np.zeros(2), np.zeros(2)), None, r"validation x a tuple of 2 arrays.*fit\(x, y\)"),
        (own_batches, None, r"^validation x is the function own_batches, .* own_batches\(\)"),
    ],
)
def test_missing_data(x, y, message):
    with pytest.raises(ValueError, match=message):
        raise ValueError(missing_data(x, y, "validation "))


class Sized:
    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length


def test_count_of_batches():
    assert batch_count(Sized(3)) == 3
    with pytest.raises(ValueError, match=r"Sized has no batches.*-\(-samples // batch_size\)"):
        batch_count(Sized(0))
    with pytest.raises(TypeError, match=r"Sized\.__len__ must return .* an int"):
        batch_count(Sized(2.5))


def nothing():
    return None


def test_a_loss_that_is_a_number():
    assert not warn_of_nan(0, {"loss": [np.nan, 0.5]}, nothing)
    assert not warn_of_nan(0, {}, nothing)


@pytest.mark.parametrize(
    ("arrays", "cause"),
    [
        (None, "learning rate"),
        ([np.zeros(2), np.zeros(2), np.ones(2)], "learning rate"),
        (
            [np.array([0.0, np.nan]), np.zeros(2), np.ones(2)],
            r"x of shape \(2,\) .* at index \(1,\)",
        ),
        ([np.zeros(2, int), np.array([np.inf, 0]), np.ones(2)], r"y of shape \(2,\) holds inf"),
    ],
)
def test_a_loss_of_nan_is_told_with_its_cause(arrays, cause):
    with pytest.warns(UserWarning, match=rf"loss of epoch 2 is NaN.*{cause}.*TerminateOnNaN"):
        assert warn_of_nan(1, {"loss": [0.5, np.nan]}, lambda: arrays)
