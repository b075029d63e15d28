import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minikeras.utils.np_utils import normalize, to_categorical


@pytest.mark.parametrize(
    ("y", "num_classes", "shape"),
    [
        (3, None, (4,)),
        ([3], None, (1, 4)),
        ([0, 1, 2], 5, (3, 5)),
        ([[0], [1], [2]], None, (3, 3)),  # a last axis of length 1 is dropped
        ([[2]], None, (1, 3)),
        ([[[1], [0]]], None, (1, 2, 2)),
        ([[0, 1], [2, 0]], None, (2, 2, 3)),
        ([], 3, (0, 3)),
        (np.zeros((0, 1), int), 3, (0, 3)),
        ([0, 1], 0, (2, 2)),  # 0 counts as not given, as in Keras
    ],
)
def test_shape_of_one_hot(y, num_classes, shape):
    assert to_categorical(y, num_classes).shape == shape


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3)), st.integers(256, 300))
def test_one_hot_has_a_single_one_at_the_label(y, num_classes):
    one_hot = to_categorical(y, num_classes)
    labels = y[..., 0] if y.ndim > 1 and y.shape[-1] == 1 else y
    np.testing.assert_array_equal(one_hot.argmax(-1), labels)
    np.testing.assert_array_equal(one_hot.sum(-1), 1)


@pytest.mark.parametrize("y", [[0.0, 2.0], np.uint8([0, 2]), np.int64([0, 2])])
def test_whole_numbers_of_any_type_are_labels(y):
    one_hot = to_categorical(y)
    assert one_hot.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert one_hot.dtype == np.float32


def test_booleans_are_two_classes():
    assert to_categorical(np.array([True, False])).tolist() == [[0, 1], [1, 0]]


def test_dtype_of_one_hot():
    assert to_categorical([1], dtype="int32").dtype == np.int32


def test_labels_are_not_changed():
    y = np.array([[1], [0]])
    to_categorical(y)
    assert y.tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("y", "num_classes", "error", "message"),
    [
        ([0, -1], None, ValueError, "from 0 to 0 .*got -1"),
        ([0, -1], 3, ValueError, "from 0 to 2 .*got -1"),
        ([1, 3], 3, ValueError, r"from 0 to 2 \(num_classes is 3\), got 3.*subtract 1"),
        ([0, 1], -2, ValueError, "num_classes must be positive, got -2"),
        ([0, 1.5], None, ValueError, "whole numbers.*got 1.5"),
        ([0, np.nan], None, ValueError, "whole numbers.*got nan"),
        ([0, np.inf], None, ValueError, "whole numbers.*got inf"),
        ([0, 1e300], 3, ValueError, "whole numbers.*got 1e"),
        ([], None, ValueError, "give num_classes"),
        (["cat", "dog"], None, TypeError, "got dtype <U3.*np.unique"),
        ([None], None, TypeError, "got dtype object"),
        ([1j], None, TypeError, "got dtype complex"),
    ],
)
def test_wrong_labels_are_refused(y, num_classes, error, message):
    with pytest.raises(error, match=message):
        to_categorical(y, num_classes)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", [0.5, 1, 2, 3, np.inf])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_normalize_gives_vectors_of_length_one(dtype, order, axis):
    x = np.random.normal(size=(3, 4, 2)).astype(dtype)
    unit = normalize(x, axis, order)
    assert unit.dtype == dtype
    assert unit.shape == x.shape
    length = np.linalg.norm(unit.astype("float64"), order, axis)
    np.testing.assert_allclose(length, 1, rtol=20 * np.finfo(dtype).eps)


def test_normalize_by_hand():
    assert normalize([[3, 4]]).tolist() == [[0.6, 0.8]]
    assert normalize([[1, 3]], order=1).tolist() == [[0.25, 0.75]]
    assert normalize([[3, 0], [4, 5]], axis=0)[:, 0].tolist() == [0.6, 0.8]


def test_normalize_leaves_zeros_and_its_argument():
    x = np.array([[0.0, 0.0], [0.0, 2.0]])
    assert normalize(x).tolist() == [[0, 0], [0, 1]]
    assert x.tolist() == [[0, 0], [0, 2]]


def test_normalize_makes_one_vector_a_row_as_keras_does():
    assert normalize([3.0, 4.0]).tolist() == [[0.6, 0.8]]
