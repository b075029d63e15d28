"""Products, biases, lengths: values against loops and NumPy, derivatives against differences."""

import re
import warnings

import numpy as np
import pytest

from minikeras.backend import config, linalg
from minikeras.backend.backpropagation import backpropagate
from minikeras.backend.tape import Tensor
from minikeras.ops import blas

from .derivatives import check_derivatives


def pair(x_shape, y_shape):
    random = np.random.RandomState(1)
    return random.standard_normal(x_shape), random.standard_normal(y_shape)


# --- dot and matmul -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "shape"),
    [
        ((2, 3), (3, 4), (2, 4)),
        ((5, 2, 3), (3, 4), (5, 2, 4)),
        ((2, 1, 2, 3), (3, 4), (2, 1, 2, 4)),
        ((2, 3), (4, 3, 5), (2, 4, 5)),
        ((2, 2, 3), (4, 3, 2), (2, 2, 4, 2)),
        ((3,), (4, 3, 2), (4, 2)),
        ((3,), (3, 2), (2,)),
        ((2, 3), (3,), (2,)),
        ((3,), (3,), ()),
        ((2, 3), (2, 2, 3, 2), (2, 2, 2, 2)),
        ((0, 3), (3, 4), (0, 4)),
    ],
)
def test_dot(x_shape, y_shape, shape):
    x, y = pair(x_shape, y_shape)
    z = check_derivatives(linalg.dot, x, y)
    assert z.shape == shape
    np.testing.assert_allclose(z, np.dot(x, y))


def test_dot_of_a_batch_and_a_kernel_is_the_product_that_it_is():
    """Each derivative is one product of matrices, without a copy of either."""
    x, y = pair((4, 2, 3), (3, 5))
    products = []

    def spy(triples):
        products.extend((a.shape, b.shape) for a, b, _ in triples)
        assert np.shares_memory(triples[0][0], spy.first)
        original(triples)

    original = linalg.matmuls
    tx, ty, dz = Tensor(x), Tensor(y), np.ones((4, 2, 5))
    linalg.matmuls = spy
    try:
        spy.first = x
        z = linalg.dot(tx, ty)
        spy.first = dz
        backpropagate([(z, dz)], [tx])
        spy.first = x
        backpropagate([(z, dz)], [ty])
    finally:
        linalg.matmuls = original
    assert products == [((8, 3), (3, 5)), ((8, 5), (5, 3)), ((3, 8), (8, 5))]


def test_large_products_run_on_our_threads():
    x, y = (a.astype("float32") for a in pair((256, 256), (256, 256)))
    with blas.one_thread():
        z = linalg.dot(Tensor(x), Tensor(y)).value
    np.testing.assert_allclose(z, x @ y, rtol=1e-3, atol=1e-4)


def test_dot_of_lists_and_integers():
    assert linalg.dot([[1, 2]], [[3], [4]]).tolist() == [[11]]
    assert linalg.dot(np.array([[1, 2]]), np.array([[3], [4]])).dtype == np.int64
    assert linalg.dot(*(a.astype("float32") for a in pair((2, 3), (3, 2)))).dtype == np.float32


def test_an_array_takes_the_type_of_the_tensor():
    x, y = pair((2, 3), (3, 2))
    x = Tensor(x.astype("float32"))
    assert linalg.dot(x, y).value.dtype == np.float32
    assert linalg.matmul(x, y).value.dtype == np.float32
    assert linalg.batch_dot(x, y.T, axes=1).value.dtype == np.float32
    assert linalg.bias_add(x, y[:, 0]).value.dtype == np.float32
    assert linalg.einsum("ij,jk->ik", [x, y]).value.dtype == np.float32


@pytest.mark.parametrize(
    ("x_shape", "y_shape"),
    [
        ((2, 3), (3, 4)),
        ((2, 2, 3), (3, 4)),
        ((2, 2, 3), (2, 3, 4)),
        ((2, 3), (2, 3, 4)),
        ((2, 1, 2, 3), (3, 3, 2)),
        ((1, 2, 3), (4, 3, 2)),
        ((4, 2, 3), (1, 3, 2)),
        ((3,), (3, 4)),
        ((3,), (2, 3, 4)),
        ((3,), (2, 1, 3, 2)),
        ((2, 3), (3,)),
        ((2, 2, 3), (3,)),
        ((3,), (3,)),
    ],
)
def test_matmul(x_shape, y_shape):
    x, y = pair(x_shape, y_shape)
    np.testing.assert_allclose(check_derivatives(linalg.matmul, x, y), x @ y)
    assert isinstance(Tensor(x) @ y, Tensor)
    np.testing.assert_allclose((x @ Tensor(y)).value, x @ y)
    np.testing.assert_allclose(np.matmul(Tensor(x), Tensor(y)).value, x @ y)


@pytest.mark.parametrize("function", [linalg.dot, linalg.matmul])
def test_sizes_that_do_not_fit(function):
    for x_shape, y_shape in (((2, 3), (4, 3)), ((3,), (4,)), ((2, 3), (2,)), ((), (2, 2))):
        message = re.escape(f"got the shapes {x_shape} and {y_shape}")
        with pytest.raises(ValueError, match=message):
            function(*pair(x_shape, y_shape))
    with pytest.raises(ValueError, match="second to last"):
        function(Tensor(np.ones((2, 3))), np.ones((2, 3)))


# --- batch_dot ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "axes", "letters"),
    [
        # Nothing remains: one number for each sample.
        ((3, 4), (3, 4), 1, "bi,bi->b"),
        ((3, 4), (3, 4), (1, 1), "bi,bi->b"),
        ((3, 4), (3, 4), [1, 1], "bi,bi->b"),
        ((3, 4), (3, 4), -1, "bi,bi->b"),
        ((3, 4), (1, 4), 1, "bi,ci->b"),
        # Of two matrices, over the first axis; and entry by entry with the transpose.
        ((3, 4), (3, 4), 0, "ib,ib->b"),
        ((3, 4), (4, 3), None, "bi,ib->b"),
        ((3, 4), (4, 3), (1, 0), "bi,ib->b"),
        ((3, 4), (4, 3), (0, 1), "ib,bi->b"),
        # Vectors and matrices.
        ((3, 4), (3, 4, 5), None, "bi,bij->bj"),
        ((3, 4), (3, 4, 5), 1, "bi,bij->bj"),
        ((3, 4), (3, 5, 4), (1, 2), "bi,bji->bj"),
        ((3, 4), (3, 5, 4), (-1, -1), "bi,bji->bj"),
        ((3, 5, 4), (3, 4), None, "bij,bj->bi"),
        ((3, 5, 4), (3, 4), (2, 1), "bij,bj->bi"),
        ((3, 4, 5), (3, 4), 1, "bji,bj->bi"),
        # Matrices.
        ((3, 2, 4), (3, 4, 5), None, "bij,bjk->bik"),
        ((3, 2, 4), (3, 4, 5), (2, 1), "bij,bjk->bik"),
        ((3, 2, 4), (3, 5, 4), 2, "bij,bkj->bik"),
        ((3, 2, 4), (3, 5, 4), [2, 2], "bij,bkj->bik"),
        ((3, 4, 2), (3, 4, 5), 1, "bji,bjk->bik"),
        ((3, 4, 2), (3, 5, 4), (1, 2), "bji,bkj->bik"),
        ((3, 4, 2), (3, 5, 4), (-2, -1), "bji,bkj->bik"),
        # Stacks of matrices: heads.
        ((2, 3, 2, 4), (2, 3, 4, 2), None, "bhij,bhjk->bhik"),
        ((2, 3, 2, 4), (2, 3, 4, 2), (3, 2), "bhij,bhjk->bhik"),
        ((2, 3, 2, 4), (2, 3, 2, 4), 3, "bhij,bhkj->bhik"),
        ((2, 3, 4, 2), (2, 3, 4, 2), (2, 2), "bhji,bhjk->bhik"),
        ((2, 3, 4, 2), (2, 3, 2, 4), (2, 3), "bhji,bhkj->bhik"),
        # One axis more on the right, which the left one has as its second.
        ((2, 3, 4), (2, 3, 4, 2), (2, 2), "bhj,bhjk->bhk"),
        ((2, 3, 4), (2, 3, 2, 4), (2, 3), "bhj,bhkj->bhk"),
    ],
)
def test_batch_dot(x_shape, y_shape, axes, letters):
    x, y = pair(x_shape, y_shape)
    z = check_derivatives(linalg.batch_dot, x, y, axes=axes)
    expected = loops(letters, x, y)
    np.testing.assert_allclose(z, expected[:, np.newaxis] if expected.ndim == 1 else expected)


def loops(letters, x, y):
    """Sum products over letters, one by one."""
    inputs, output = letters.split("->")
    of_x, of_y = inputs.split(",")
    sizes = {**dict(zip(of_y, y.shape, strict=True)), **dict(zip(of_x, x.shape, strict=True))}
    z = np.zeros([sizes[letter] for letter in output])
    for places in np.ndindex(*sizes.values()):
        at = dict(zip(sizes, places, strict=True))
        z[tuple(at[letter] for letter in output)] += (
            x[tuple(at[letter] for letter in of_x)] * y[tuple(at[letter] for letter in of_y)]
        )
    return z


@pytest.mark.parametrize(
    ("x_shape", "y_shape", "axes", "message"),
    [
        ((3,), (3, 4), None, r"two axes at least, got the shapes \(3,\) and \(3, 4\)"),
        ((3, 4), (3, 4), None, r"shapes \(4, 3\) and \(3, 4\)"),
        ((3, 4), (3, 5), 1, r"shapes \(3, 4\) and \(3, 5\)"),
        ((3, 4, 5), (3, 4, 5), None, r"\(3, 4, 5\) and \(3, 4, 5\) with axes=None"),
        ((3, 4, 5, 2), (3, 4, 2), None, r"can't multiply the shapes"),
        ((3, 4), (3, 4), 2, r"axes=2 must be axes of arrays with 2 and 2 axes"),
        ((3, 4), (3, 4), (1, -3), r"axes=\(1, -3\)"),
        ((3, 4), (3, 4), ([1], 1), r"two ints, got \(\[1\], 1\)"),
        ((3, 4), (3, 4), (1, 1, 1), r"two ints"),
    ],
)
def test_batch_dot_errors(x_shape, y_shape, axes, message):
    for wrap in (np.asarray, Tensor):
        x, y = pair(x_shape, y_shape)
        with pytest.raises(ValueError, match=message):
            linalg.batch_dot(wrap(x), y, axes)


def test_batch_dot_of_lists():
    x, y = [[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]
    assert linalg.batch_dot(x, y, axes=1).tolist() == [[17.0], [53.0]]


# --- lengths --------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), [1, 2]])
def test_l2_normalize(axis):
    x = pair((2, 3, 2), ())[0]
    y = check_derivatives(linalg.l2_normalize, x, axis=axis)
    axes = tuple(axis) if isinstance(axis, list) else axis
    np.testing.assert_allclose(y, x / np.sqrt((x**2).sum(axes, keepdims=True)))


def test_l2_normalize_of_next_to_nothing():
    """Below the smallest length all is divided by 1e-6, and so is the derivative."""
    np.testing.assert_array_equal(linalg.l2_normalize(np.zeros((2, 3)), 1), np.zeros((2, 3)))
    x = Tensor(np.array([[1e-8, -2e-8], [3.0, 4.0]]))
    y = linalg.l2_normalize(x, axis=1)
    np.testing.assert_allclose(y.value, [[1e-2, -2e-2], [0.6, 0.8]])
    (dx,) = backpropagate([(y, np.ones((2, 2)))], [x])
    np.testing.assert_allclose(dx, [[1e6, 1e6], [0.2 * 0.16, -0.2 * 0.12]])


# --- biases ---------------------------------------------------------------------------------


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first", None])
@pytest.mark.parametrize("spatial", [(), (3,), (3, 2), (1, 3, 2)])
def test_bias_add(spatial, data_format):
    first = data_format == "channels_first" and spatial
    x, bias = pair((2, 4, *spatial) if first else (2, *spatial, 4), 4)
    y = check_derivatives(linalg.bias_add, x, bias, data_format=data_format)
    along = bias.reshape(-1, *(1,) * len(spatial)) if first else bias
    np.testing.assert_array_equal(y, x + along)
    if spatial:
        full = pair((*spatial, 4), ())[0]
        y = check_derivatives(linalg.bias_add, x, full, data_format=data_format)
        # As in Keras 2.2: the same numbers in a row, whichever way they are laid out.
        np.testing.assert_array_equal(y, x + (full.reshape(4, *spatial) if first else full))


def test_bias_add_goes_by_the_layout_that_is_set():
    config.set_image_data_format("channels_first")
    try:
        y = linalg.bias_add(np.zeros((1, 2, 3)), np.array([1.0, 2.0]))
        assert y.tolist() == [[[1.0] * 3, [2.0] * 3]]
        assert linalg.bias_add(np.zeros((1, 2)), np.array([1.0, 2.0])).tolist() == [[1.0, 2.0]]
    finally:
        config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("x_shape", "bias_shape", "data_format", "message"),
    [
        ((2, 3), (2,), None, r"shape \(2,\) can't be added to an array of shape \(2, 3\)"),
        ((2, 3, 4), (3,), None, "data_format='channels_last'"),
        ((2, 3, 4), (4,), "channels_first", "data_format='channels_first'"),
        ((2, 3, 4, 4), (3, 4), None, r"1 or 3 axes, got one of shape \(3, 4\)"),
        ((2, 3, 4, 4), (2, 4, 4), None, r"\(2, 4, 4\) can't be added"),
        ((3,), (3,), None, "1 or 0 axes"),
        ((2, 3), (3,), "last", "data_format must be"),
    ],
)
def test_bias_add_errors(x_shape, bias_shape, data_format, message):
    with pytest.raises(ValueError, match=message):
        linalg.bias_add(*pair(x_shape, bias_shape), data_format)


# --- einsum ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]),
        ("ij,jk", [(2, 3), (3, 4)]),
        ("bij,bkj->bik", [(2, 3, 4), (2, 2, 4)]),
        ("bhqd,bkhd->bhqk", [(2, 2, 3, 2), (2, 2, 2, 2)]),
        ("ij->ji", [(2, 3)]),
        ("ij->i", [(2, 3)]),
        ("ij->", [(2, 3)]),
        ("ij,k->i", [(2, 3), (4,)]),
        ("i,j,k -> kij", [(2,), (3,), (2,)]),
    ],
)
def test_einsum(subscripts, shapes):
    arrays = [np.random.RandomState(1).standard_normal(shape) for shape in shapes]
    z = check_derivatives(lambda x: linalg.einsum(subscripts, x), arrays)
    np.testing.assert_allclose(z, np.einsum(subscripts, *arrays))


def test_einsum_refuses_what_it_has_no_derivative_for():
    x = Tensor(np.ones((2, 2)))
    for subscripts in ("ii->i", "...j->j"):
        with pytest.raises(TypeError, match="no ellipsis, and no letter twice"):
            linalg.einsum(subscripts, [x])
    with pytest.raises(ValueError, match="'j' .*sizes 2 and 3"):
        linalg.einsum("ij,jk->ik", [x, np.ones((3, 2))])


def test_products_of_stacks_do_not_warn_of_invalid_values():
    """NumPy's flag is not to be trusted: what OpenBLAS computes beside a matrix sets it, too."""
    x, y = np.full((2, 1, 3), np.inf, "float32"), np.zeros((2, 3, 4), "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(linalg.matmul(x, y)).all()
