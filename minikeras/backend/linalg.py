"""`K`: products of matrices and of batches of them, biases, and lengths of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras.backend import running, shaping
from minikeras.backend.config import normalize_data_format
from minikeras.backend.operators import stands_for
from minikeras.backend.tape import composed, differentiable, unbroadcast
from minikeras.ops.blas import matmuls
from minikeras.ops.dense import rows

# --- one product ----------------------------------------------------------------------------


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply two matrices, on our threads if we are in a pass."""
    out = running.empty((a.shape[0], b.shape[1]), np.result_type(a, b))
    matmuls([(a, b, out)])
    return out


def _columns(y: np.ndarray) -> np.ndarray:
    """Return `y` as a matrix whose first axis is the one that `dot` sums over."""
    if y.ndim == 2:
        return y
    if y.ndim == 1:
        return y[:, np.newaxis]
    return np.moveaxis(y, -2, 0).reshape(y.shape[-2], -1)


def _dot_back_x(dy: Any, z: Any, x: Any, y: Any) -> np.ndarray:
    columns = _columns(y)
    return _product(dy.reshape(-1, columns.shape[1]), columns.T).reshape(x.shape)


def _dot_back_y(dy: Any, z: Any, x: Any, y: Any) -> np.ndarray:
    columns = _columns(y)
    dcolumns = _product(rows(x).T, dy.reshape(-1, columns.shape[1]))
    if y.ndim <= 2:
        return dcolumns.reshape(y.shape)
    shape = (y.shape[-2], *y.shape[:-2], y.shape[-1])
    return np.moveaxis(dcolumns.reshape(shape), 0, -2)


@differentiable(_dot_back_x, _dot_back_y, one_type=True)
def dot(x: Any, y: Any) -> Any:
    """Sum over the last axis of `x` and the second to last of `y`, like ``np.dot``.

    Parameters
    ----------
    x : array_like, shape (..., inputs)
    y : array_like, shape (inputs, units)
        Or ``(..., inputs, units)``; or ``(inputs,)``, summed over all.

    Returns
    -------
    ndarray, shape (..., units)
        The axes of `x` without the last, then those of `y` without the second to last. For
        batches of matrices on both sides there are `batch_dot` and ``@``.

    Raises
    ------
    ValueError
        If the sizes to sum over differ.

    Examples
    --------
    >>> dot(np.ones((2, 3)), np.ones((3, 4))).tolist()
    [[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]]
    >>> dot(np.ones((2, 3)), np.ones((4, 3, 5))).shape
    (2, 4, 5)
    """
    x, y = np.asarray(x), np.asarray(y)
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError(
            "K.dot sums over the last axis of x and the second to last of y, which must be of one "
            f"size: got the shapes {x.shape} and {y.shape}."
        )
    if x.ndim == y.ndim == 2:
        return _product(x, y)
    shape = (*x.shape[:-1], *y.shape[:-2], *y.shape[-1:][: y.ndim - 1])
    return _product(rows(x), _columns(y)).reshape(shape)


# --- batches of products --------------------------------------------------------------------


def _matmul_back_x(dy: Any, z: Any, x: Any, y: Any) -> np.ndarray:
    if y.ndim <= 2:
        return _dot_back_x(dy, z, x, y)
    if x.ndim == 1:
        dy = dy[..., np.newaxis, :]
    return unbroadcast(_stacked(dy, y.swapaxes(-1, -2)), np.atleast_2d(x)).reshape(x.shape)


def _matmul_back_y(dy: Any, z: Any, x: Any, y: Any) -> np.ndarray:
    if y.ndim <= 2:
        return _dot_back_y(dy, z, x, y)
    if x.ndim == 1:
        x, dy = x[np.newaxis], dy[..., np.newaxis, :]
    return unbroadcast(_stacked(x.swapaxes(-1, -2), dy), y)


def _stacked(x: Any, y: Any) -> np.ndarray:
    """Multiply stacks of matrices, without NumPy's warning of invalid values.

    OpenBLAS computes on what lies in memory beside small matrices, too, so the warning comes now
    and then where every number is finite.
    """
    with np.errstate(invalid="ignore"):
        return np.matmul(x, y)


@stands_for(np.matmul)
@differentiable(_matmul_back_x, _matmul_back_y, one_type=True)
def matmul(x: Any, y: Any) -> Any:
    """Multiply matrices, or stacks of them with broadcasting: ``x @ y``.

    Examples
    --------
    >>> matmul(np.ones((7, 2, 3)), np.ones((7, 3, 4))).shape
    (7, 2, 4)
    """
    x, y = np.asarray(x), np.asarray(y)
    if not x.ndim or not y.ndim or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ValueError(
            "A matrix product sums over the last axis of x and the second to last of y, which "
            f"must be of one size: got the shapes {x.shape} and {y.shape}."
        )
    # With one matrix on the right, a single product does for the whole stack.
    return dot(x, y) if y.ndim <= 2 else _stacked(x, y)


@composed
def batch_dot(x: Any, y: Any, axes: Any = None) -> Any:
    """Multiply sample by sample, summing over an axis of either.

    Parameters
    ----------
    x : array_like, shape (batch, ...)
    y : array_like, shape (batch, ...)
    axes : int or pair of int, optional
        Which axis of `x` and which of `y` to sum over. Default: the last of `x` and the second
        to last of `y`, as in a product of matrices.

    Returns
    -------
    ndarray, shape (batch, rest of x, rest of y)
        ``(batch, 1)`` where nothing remains.

    Raises
    ------
    ValueError
        If the shapes don't fit.

    Notes
    -----
    As in Keras 2.2.4: of an argument with more than two axes, the last axis is summed over or the
    second to last, which any other number stands for. Where one argument has fewer axes, ones
    follow its own. Negative axes count from the end, where 2.2.4 takes them for the second to
    last.

    Examples
    --------
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0, 6.0], [7.0, 8.0]])
    >>> batch_dot(x, y, axes=1).tolist()
    [[17.0], [53.0]]
    >>> batch_dot(np.ones((8, 2, 3)), np.ones((8, 5, 3)), axes=(2, 2)).shape
    (8, 2, 5)
    """
    x, y = _as_array(x), _as_array(y)
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError(
            f"K.batch_dot takes arrays with two axes at least, got the shapes {x.shape} and "
            f"{y.shape}."
        )
    x_axis, y_axis = _dot_axes(axes, x.ndim, y.ndim)
    if x.ndim == y.ndim == 2:
        return _dot_of_rows(x, y, x_axis, y_axis)
    ndim, missing = max(x.ndim, y.ndim), y.ndim - x.ndim
    a, b = _with_ones(x, ndim), _with_ones(y, ndim)
    try:
        z = matmul(
            a if x_axis == ndim - 1 else shaping.swapaxes(a, -1, -2),
            shaping.swapaxes(b, -1, -2) if y_axis == ndim - 1 else b,
        )
        if missing:
            # The axis that came from the ones; what follows belongs to the longer argument.
            first = x.ndim - 1 if missing > 0 else x.ndim + y.ndim - 3
            z = shaping.squeeze(z, tuple(range(first, first + abs(missing))))
    except ValueError:
        raise ValueError(
            f"K.batch_dot can't multiply the shapes {x.shape} and {y.shape} with axes={axes}."
        ) from None
    return shaping.expand_dims(z, 1) if z.ndim == 1 else z


def _as_array(x: Any) -> Any:
    return x if hasattr(x, "ndim") else np.asarray(x)


def _dot_axes(axes: Any, x_ndim: int, y_ndim: int) -> tuple[int, int]:
    """Return which axis of either to sum over, not negative."""
    if axes is None:
        return x_ndim - 1, y_ndim - 2
    pair = (axes, axes) if isinstance(axes, (int, np.integer)) else tuple(axes)
    if len(pair) != 2 or not all(isinstance(axis, (int, np.integer)) for axis in pair):
        raise ValueError(f"K.batch_dot: axes must be None, an int or two ints, got {axes!r}.")
    x_axis, y_axis = pair
    if not (-x_ndim <= x_axis < x_ndim and -y_ndim <= y_axis < y_ndim):
        raise ValueError(
            f"K.batch_dot: axes={axes!r} must be axes of arrays with {x_ndim} and {y_ndim} axes."
        )
    return int(x_axis % x_ndim), int(y_axis % y_ndim)


def _dot_of_rows(x: Any, y: Any, x_axis: int, y_axis: int) -> Any:
    """Sum the products of two matrices, entry by entry, over an axis."""
    if x_axis != y_axis:
        x = shaping.transpose(x)
    if any(m != n and 1 not in (m, n) for m, n in zip(x.shape, y.shape, strict=True)):
        raise ValueError(
            f"K.batch_dot: matrices of the shapes {x.shape} and {y.shape} can't be multiplied "
            f"entry by entry, to sum over axis {y_axis}."
        )
    return _sum_of_products(x, y, y_axis)


@differentiable(
    lambda dz, z, x, y, axis: unbroadcast((dz if axis else dz.T) * y, x),
    lambda dz, z, x, y, axis: unbroadcast((dz if axis else dz.T) * x, y),
    one_type=True,
)
def _sum_of_products(x: Any, y: Any, axis: int) -> Any:
    """Return ``(x * y).sum(axis)`` of two matrices as a column."""
    return np.einsum("ij,ij->i" if axis else "ij,ij->j", x, y)[:, np.newaxis]


def _with_ones(x: Any, ndim: int) -> Any:
    """Add axes of size 1 at the end."""
    if x.ndim == ndim:
        return x
    return shaping.expand_dims(x, tuple(range(x.ndim, ndim)))


# --- lengths --------------------------------------------------------------------------------


def _l2_normalize_back(dy: Any, kept: Any, x: Any, axis: Any = None) -> Any:
    inverse, clipped, axes = kept
    along = np.add.reduce(dy * x, axis=axes, keepdims=True)
    return inverse * (dy - x * np.where(clipped, 0, along * inverse * inverse))


@differentiable(_l2_normalize_back, keeps=True)
def l2_normalize(x: Any, axis: Any = None) -> Any:
    """Divide by the length: ``x / sqrt(max(sum(x**2), 1e-12))``.

    Parameters
    ----------
    x : array_like
    axis : int or sequence of int, optional
        Along which axes a vector goes. Default: all is one vector.

    Examples
    --------
    >>> l2_normalize(np.array([[0.0, 2.0], [-4.0, 0.0]]), axis=1).tolist()
    [[0.0, 1.0], [-1.0, 0.0]]
    """
    x = np.asarray(x)
    axes = tuple(axis) if isinstance(axis, list) else axis
    squares = np.add.reduce(np.square(x), axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(np.maximum(squares, 1e-12))
    return x * inverse, (inverse, squares < 1e-12, axes)


# --- biases ---------------------------------------------------------------------------------


def _laid_out(bias: Any, ndim: int, data_format: str | None) -> Any:
    """Return a bias so that it is added along the right axes of an array with `ndim` axes."""
    if ndim not in (3, 4, 5) or normalize_data_format(data_format) == "channels_last":
        return bias
    places = bias.shape[:-1] if bias.ndim > 1 else (1,) * (ndim - 2)
    return bias.reshape(bias.shape[-1], *places)


def _bias_add_back(dy: Any, y: Any, x: Any, bias: Any, data_format: str | None = None) -> Any:
    if dy.ndim == 2:
        return np.add.reduce(dy, axis=0)
    return unbroadcast(dy, _laid_out(bias, x.ndim, data_format)).reshape(bias.shape)


@differentiable(lambda dy, y, x, bias, data_format=None: dy, _bias_add_back, one_type=True)
def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """Add a bias to each sample.

    Parameters
    ----------
    x : array_like, shape (batch, ..., channels)
        With channels first, which 3 to 5 axes can have, ``(batch, channels, ...)``.
    bias : array_like, shape (channels,)
        Or one for each place, ``(..., channels)``. With channels first, the shape is the same, but
        the numbers in it are those of ``(channels, ...)`` one after the other, as in Keras 2.2.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: `image_data_format`.

    Raises
    ------
    ValueError
        If the shapes don't fit.

    Examples
    --------
    >>> bias_add(np.zeros((2, 2)), np.array([1.0, 2.0])).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """
    x, bias = np.asarray(x), np.asarray(bias)
    data_format = normalize_data_format(data_format)
    if (
        x.ndim > 1
        and x.shape[-1:] == bias.shape
        and (data_format == "channels_last" or x.ndim == 2)
    ):
        return x + bias
    if bias.ndim not in (1, x.ndim - 1) or x.ndim < 2:
        raise ValueError(
            f"K.bias_add: for an array of shape {x.shape} a bias has 1 or {x.ndim - 1} axes, got "
            f"one of shape {bias.shape}."
        )
    laid_out = _laid_out(bias, x.ndim, data_format)
    sizes = zip(x.shape[::-1], laid_out.shape[::-1], strict=False)
    if any(size not in (1, n) for n, size in sizes):
        raise ValueError(
            f"K.bias_add: a bias of shape {bias.shape} can't be added to an array of shape "
            f"{x.shape} with data_format={data_format!r}."
        )
    return x + laid_out


# --- sums by letters ------------------------------------------------------------------------


def _letters(subscripts: str, operands: list[Any]) -> tuple[list[str], str]:
    """Return the letters of each operand of an einsum and of its result."""
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if not arrow:
        output = "".join(sorted(letter for letter in set(left) - {","} if left.count(letter) == 1))
    if "." in subscripts or any(len(set(letters)) < len(letters) for letters in inputs):
        raise TypeError(
            "np.einsum of tensors takes no ellipsis, and no letter twice for one array: got "
            f"{subscripts!r}."
        )
    sizes: dict[str, int] = {}
    for letters, x in zip(inputs, operands, strict=True):
        for letter, size in zip(letters, x.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(
                    f"np.einsum of tensors: {letter!r} in {subscripts!r} stands for the sizes "
                    f"{sizes[letter]} and {size}, in the shapes {[y.shape for y in operands]}."
                )
    return inputs, output


def _einsum_back(dy: Any, z: Any, subscripts: str, operands: list[Any]) -> list[np.ndarray]:
    inputs, output = _letters(subscripts, operands)
    gradients = []
    for i, (letters, x) in enumerate(zip(inputs, operands, strict=True)):
        others = [*inputs[:i], *inputs[i + 1 :]]
        # What is in no other place was summed over: its gradient is the same everywhere.
        found = [letter for letter in letters if letter in "".join([output, *others])]
        dx = np.einsum(
            f"{','.join([output, *others])}->{''.join(found)}",
            *(dy, *operands[:i], *operands[i + 1 :]),
            optimize=True,
        )
        lost = [axis for axis, letter in enumerate(letters) if letter not in found]
        gradients.append(np.broadcast_to(np.expand_dims(dx, tuple(lost)), x.shape))
    return gradients


@differentiable(None, _einsum_back, one_type=True)
def einsum(subscripts: str, operands: list[Any]) -> Any:
    """Compute ``np.einsum(subscripts, *operands)``: no function of Keras 2.2.

    Examples
    --------
    >>> einsum("ij,ij->i", [np.ones((2, 3)), np.ones((2, 3))]).tolist()
    [3.0, 3.0]
    """
    operands = [np.asarray(x) for x in operands]
    _letters(subscripts, operands)
    return np.einsum(subscripts, *operands, optimize=True)
