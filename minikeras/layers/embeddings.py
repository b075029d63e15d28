"""Embedding: whole numbers, such as words of a vocabulary, become vectors that are learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras import constraints, initializers, regularizers
from minikeras.engine import Context, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import positive_int
from minikeras.ops.embedding import embedding, embedding_backward


class Embedding(Layer):
    """Replace each index by a vector, its row in a table that is learned.

    Parameters
    ----------
    input_dim : int
        How many rows the table has: the largest index + 1, greater than 0.
    output_dim : int
        Length of a row, greater than 0.
    embeddings_initializer : str, dict or Initializer
        Default ``'uniform'``, from -0.05 to 0.05.
    embeddings_regularizer, activity_regularizer : str, dict or Regularizer, optional
        Penalties on the table and on the layer's output.
    embeddings_constraint : str, dict or Constraint, optional
        Applied to the whole table after each update.
    mask_zero : bool
        Whether index 0 stands for padding: the layers above then get a mask that leaves those
        steps out, and must support masking. Default False.
    input_length : int or tuple of int or None, optional
        Number of steps of all sequences, for ``Flatten`` above, which must know it. A tuple
        if a sample has several axes. Default: any.
    **kwargs
        See `Layer`. ``weights=[table]`` starts with vectors that were learned elsewhere,
        ``trainable=False`` keeps them as they are.

    Raises
    ------
    ValueError
        If an argument is out of its range; when data come in, if an index is not a whole number
        from 0 to ``input_dim - 1``. The message says which and where.

    Notes
    -----
    Input ``(batch, steps)`` of integers, or of floats that are whole numbers; output
    ``(batch, steps, output_dim)``. Any other number of axes will do as well. One weight:
    embeddings ``(input_dim, output_dim)``. `dtype` is the type of weight and output.

    With `mask_zero`, 0 is no word. A vocabulary of `n` words has the indices 1 to `n`, and
    `input_dim` is ``n + 1``. The table has a row 0 in any case, which nothing depends on where
    all layers above observe the mask.

    Indices have no derivative. A layer below, if there is one with weights, gets zeros.

    The gradient has only those rows of the table that occur in the batch, and optimizers make use
    of that. The weights come out as if they had not: what `Adam`, say, remembers of a row goes on
    changing it in steps without a gradient, as in Keras. `SGD` without momentum, `RMSprop`,
    `Adagrad` and `Adadelta` leave such rows alone, and are the quickest for large tables. With a
    regularizer every row has a gradient.

    Examples
    --------
    Two sentences of a vocabulary of three words, padded with 0 to one length:

    >>> layer = Embedding(input_dim=3 + 1, output_dim=2, mask_zero=True)
    >>> x = np.array([[1, 3, 2], [2, 0, 0]])
    >>> layer(x).shape
    (2, 3, 2)
    >>> layer.compute_mask(x).tolist()
    [[True, True, True], [True, False, False]]

    An index beyond the table is an error:

    >>> layer(np.array([[1, 4]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: Layer '...' (Embedding): index 4 at sample 0, step 1 of an input of shape (1, 2) ...
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        activity_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        input_length: Any = None,
        **kwargs: Any,
    ) -> None:
        lengths = _as_tuple(input_length)
        if kwargs.get("input_shape") is None and kwargs.get("batch_input_shape") is None:
            # What is no length is refused below, by the name of input_length.
            sizes = (n if isinstance(n, (int, np.integer)) else None for n in lengths or (None,))
            kwargs["input_shape"] = tuple(sizes)
        super().__init__(**kwargs)
        if np.dtype(self.dtype).kind != "f":
            raise ValueError(
                f"{self._described()}: dtype is the type of the vectors, such as 'float32', got "
                f"{self.dtype!r}. The indices may be of any integer type without it."
            )
        self.input_dim = positive_int(input_dim, "input_dim", self)
        self.output_dim = positive_int(output_dim, "output_dim", self)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = bool(mask_zero)
        self.supports_masking = self.mask_zero
        for length in lengths or ():
            if length is not None:
                positive_int(length, "input_length", self)
        self.input_length: Any = lengths
        if lengths is not None and not isinstance(input_length, (list, tuple)):
            self.input_length = lengths[0]

    def build(self, input_shape: Shape) -> None:
        """Make the table."""
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint,
        )
        self.built = True

    @property
    def input_dtype(self) -> None:
        """None: integers come in as they are."""
        return None

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Look the rows up."""
        indices = self._checked(x, ctx)
        y = ctx.empty((*x.shape, self.output_dim), self.embeddings.dtype)
        return embedding(self.embeddings.value, indices, out=y), (x, indices)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Sum the gradients of each row that was looked up."""
        x, indices = residual
        if ctx.wants(self.embeddings):
            # Room for as many rows as there can be: the next batch may have more of them.
            most = min(indices.size, self.input_dim)
            room = ctx.empty((most, self.output_dim), dy.dtype)
            ctx.add_rows(self.embeddings, *embedding_backward(dy, indices, out=room))
        if not ctx.needs_input_gradient:
            return None
        dx = ctx.empty(x.shape, x.dtype if x.dtype.kind == "f" else dy.dtype)
        dx.fill(0)
        return dx

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> np.ndarray | None:
        """Return where the input is not 0, with `mask_zero`; else None."""
        return np.not_equal(inputs, 0) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Put `output_dim` behind the input's axes.

        Raises
        ------
        ValueError
            If the input's shape contradicts `input_length`.
        """
        steps = tuple(input_shape[1:])
        lengths = _as_tuple(self.input_length)
        if lengths is not None:
            pairs = list(zip(lengths, steps, strict=False))
            if len(lengths) != len(steps) or any(a != b for a, b in pairs if a and b):
                raise ValueError(
                    f"{self._described()}: input_length={self.input_length} asks for samples of "
                    f"shape {lengths}, but the input has shape {tuple(input_shape)}. Pad or cut "
                    "the sequences to that length, or leave input_length out."
                )
            steps = tuple(b if a is None else a for a, b in pairs)
        return (input_shape[0], *steps, self.output_dim)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "output_dim": self.output_dim,
            "embeddings_initializer": initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": regularizers.serialize(self.embeddings_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "embeddings_constraint": constraints.serialize(self.embeddings_constraint),
            "mask_zero": self.mask_zero,
            "input_length": self.input_length,
        }

    def _checked(self, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Return the input as indices of NumPy's own type, if each of them has a row."""
        if x.dtype.kind not in "biuf":
            raise TypeError(
                f"{self._described()} takes indices, which are whole numbers, got an array of "
                f"dtype {x.dtype}."
            )
        # NaN is not at least 0.
        if x.size and not (x.min() >= 0 and x.max() < self.input_dim):
            raise self._bad_index(x)
        if x.dtype == np.intp:
            return x
        indices = ctx.empty(x.shape, np.intp)
        np.copyto(indices, x, casting="unsafe")
        if x.dtype.kind == "f" and not np.array_equal(indices, x):
            raise self._bad_index(x)
        return indices

    def _bad_index(self, x: np.ndarray) -> ValueError:
        """Word the error for the first entry that is no index of a row."""
        good = (x >= 0) & (x < self.input_dim)
        if x.dtype.kind == "f":
            good &= x == np.floor(x)
        place = tuple(np.argwhere(~good)[0].tolist())
        value = x[place].item()
        where = f"sample {place[0]}"
        where += f", step {place[1]}" if len(place) == 2 else f", place {place[1:]}"
        if value >= self.input_dim:
            advice = "input_dim must be the largest index + 1"
            largest = x.max().item()
            if largest == largest and abs(largest) < 2**53:
                advice += f", which is {int(largest) + 1} for this batch"
            advice += ". Set it so, or keep larger indices out of the data."
        elif value < 0:
            advice = "Indices count from 0."
        else:
            advice = "Indices are whole numbers."
        return ValueError(
            f"{self._described()}: index {value} at {where} of an input of shape {x.shape} has "
            f"no row in a table of input_dim={self.input_dim} rows, which go from 0 to "
            f"{self.input_dim - 1}. {advice}"
        )


def _as_tuple(input_length: Any) -> tuple[Any, ...] | None:
    """Return the lengths of a sample's axes, None if they are not stated."""
    if input_length is None:
        return None
    lengths = input_length if isinstance(input_length, (list, tuple)) else [input_length]
    return tuple(int(n) if isinstance(n, np.integer) else n for n in lengths)
