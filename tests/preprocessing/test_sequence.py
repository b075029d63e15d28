import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras.preprocessing.sequence import make_sampling_table, pad_sequences, skipgrams

ROWS = [[1], [1, 2], [1, 2, 3]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [[0, 0, 1], [0, 1, 2], [1, 2, 3]]),
        ({"padding": "post"}, [[1, 0, 0], [1, 2, 0], [1, 2, 3]]),
        ({"maxlen": 2}, [[0, 1], [1, 2], [2, 3]]),
        ({"maxlen": 2, "truncating": "post"}, [[0, 1], [1, 2], [1, 2]]),
        ({"maxlen": 4, "value": 7, "padding": "post"}, [[1, 7, 7, 7], [1, 2, 7, 7], [1, 2, 3, 7]]),
    ],
)
def test_values_of_the_manual(arguments, expected):
    x = pad_sequences(ROWS, **arguments)
    assert x.tolist() == expected
    assert x.dtype == np.int32


@given(
    rows=st.lists(st.lists(st.integers(0, 99), max_size=6), min_size=1, max_size=5),
    maxlen=st.integers(1, 8),
    padding=st.sampled_from(["pre", "post"]),
    truncating=st.sampled_from(["pre", "post"]),
)
def test_each_row_is_its_sequence_cut_and_filled(rows, maxlen, padding, truncating):
    x = pad_sequences(rows, maxlen, "float64", padding, truncating, -1)
    for row, sequence in zip(x.tolist(), rows, strict=True):
        start = max(len(sequence) - maxlen, 0) if truncating == "pre" else 0
        kept = sequence[start : start + maxlen]
        filled = [-1] * (maxlen - len(kept))
        assert row == (filled + kept if padding == "pre" else kept + filled)


def test_steps_may_be_arrays():
    rows = [[], np.ones((1, 2, 3)), np.full((3, 2, 3), 2)]
    x = pad_sequences(rows, dtype="float32", value=0.5)

    assert x.shape == (3, 3, 2, 3)
    assert x.dtype == np.float32
    assert (x[0] == 0.5).all()
    np.testing.assert_array_equal(x[1, 2], 1)
    np.testing.assert_array_equal(x[1, :2], 0.5)
    np.testing.assert_array_equal(x[2], 2)


def test_strings_need_a_type_that_holds_them():
    rows = [["a", "longer"], ["b"]]
    assert pad_sequences(rows, dtype=object, value="none").tolist() == [
        ["a", "longer"],
        ["none", "b"],
    ]
    assert pad_sequences(rows, dtype="<U6", value="no").tolist() == [["a", "longer"], ["no", "b"]]
    with pytest.raises(ValueError, match="int32 cannot hold the value 'no'.*dtype=object"):
        pad_sequences(rows, value="no")
    with pytest.raises(ValueError, match="does not say how long"):
        pad_sequences(rows, dtype=str, value="no")


def test_empty_sequences_and_none_at_all():
    assert pad_sequences([[], []]).shape == (2, 0)
    assert pad_sequences([[], []], maxlen=3).tolist() == [[0, 0, 0]] * 2
    assert pad_sequences([], maxlen=3).shape == (0, 3)
    with pytest.raises(ValueError, match="no sequences.*give maxlen"):
        pad_sequences([])


@pytest.mark.parametrize(
    ("sequences", "arguments", "message"),
    [
        (5, {}, "must be a list, got int"),
        (5, {"maxlen": 2}, "must be a list, got int"),
        ([[1], 2], {}, "at position 1 there is 2"),
        (iter(ROWS), {}, "must be a list, got list_iterator"),
        (ROWS, {"padding": "left"}, "padding must be 'pre' or 'post', got 'left'"),
        (ROWS, {"truncating": "end"}, "truncating must be 'pre' or 'post', got 'end'"),
        (ROWS, {"maxlen": 0}, "maxlen must be 1 or greater, or None, got 0"),
        ([np.ones((2, 3)), np.ones((2, 4))], {}, r"have \(3,\).* position 1 have \(4,\)"),
    ],
)
def test_refused(sequences, arguments, message):
    with pytest.raises(ValueError, match=message):
        pad_sequences(sequences, **arguments)


def test_sequences_are_not_written_to():
    rows = [np.array([1, 2, 3]), np.array([4])]
    pad_sequences(rows, maxlen=2)
    assert [row.tolist() for row in rows] == [[1, 2, 3], [4]]


def test_sampling_table():
    """The values are those of Keras 2.2.4."""
    table = make_sampling_table(10)
    expected = [0.00315225, 0.00315225, 0.00547597, 0.00741556, 0.00912817]
    np.testing.assert_allclose(table[:5], expected, atol=1e-7)
    assert table.dtype == np.float64
    assert make_sampling_table(3, sampling_factor=10).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="size must be 1 or greater, got 0"):
        make_sampling_table(0)
    with pytest.raises(ValueError, match="greater than 0, got 0"):
        make_sampling_table(5, 0)


def test_neighbours_come_in_order_and_skip_no_word():
    couples, labels = skipgrams([7, 0, 3, 5], 9, 2, negative_samples=0, shuffle=False)
    assert couples == [[7, 3], [3, 7], [3, 5], [5, 3]]
    assert labels == [1] * 4


def test_random_pairs():
    random.seed(1)
    couples, labels = skipgrams([1, 2, 3, 4], 50, 1, negative_samples=2.5, shuffle=False)
    near, far = couples[:6], couples[6:]
    assert labels == [1] * 6 + [0] * 15
    assert {word for word, _ in far} == {1, 2, 3, 4}
    assert all(1 <= other < 50 for _, other in far)
    assert near == [[1, 2], [2, 1], [2, 3], [3, 2], [3, 4], [4, 3]]


def test_pairs_keep_their_labels_when_mixed():
    words = list(range(1, 30))
    random.seed(1)
    couples, labels = skipgrams(words, 1000, 1, seed=5, categorical=True)
    random.seed(1)
    again = skipgrams(words, 1000, 1, seed=5, categorical=True)

    assert (couples, labels) == again
    assert labels.count([0, 1]) == labels.count([1, 0]) == 56
    near = [c for c, label in zip(couples, labels, strict=True) if label == [0, 1]]
    assert all(abs(a - b) == 1 for a, b in near)
    assert labels[:56] != [[0, 1]] * 56


def test_sampling_table_thins_out_words():
    couples, _ = skipgrams([1, 2] * 50, 3, 1, negative_samples=0, sampling_table=[0, 0, 1.0])
    assert {word for word, _ in couples} == {2}


def test_no_word_to_draw():
    with pytest.raises(ValueError, match="vocabulary_size of 2 or more"):
        skipgrams([1, 1], 1)
    assert skipgrams([], 5) == ([], [])
