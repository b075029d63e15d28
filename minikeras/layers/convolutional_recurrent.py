"""ConvLSTM2D, and `ConvRNN2D`, which runs a cell over a sequence of images."""

from __future__ import annotations

from typing import Any

from minikeras import regularizers
from minikeras.engine import InputSpec
from minikeras.engine.input_spec import Shape
from minikeras.layers.conv_lstm_cell import ConvLSTM2DCell
from minikeras.layers.rnn import RNN, UnitsRNN
from minikeras.layers.spatial import spatial_spec
from minikeras.layers.units_cell import cell_dtype, shares_with_cell

__all__ = ["ConvLSTM2D", "ConvLSTM2DCell", "ConvRNN2D"]


class ConvRNN2D(RNN):
    """Run a cell over the images of a sequence: `RNN` for states that are images.

    Parameters
    ----------
    cell : Cell
        What is done at each step, such as a `ConvLSTM2DCell`. A cell of your own defines
        `state_shapes`.
    return_sequences, return_state, go_backwards, stateful : bool
        See `RNN`. Default False.
    unroll : bool
        Must be False, as in Keras.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, height, width, channels)``, or with the channels before the height if
    the cell says ``data_format='channels_first'``. Output: the last output of the cell, or all of
    them with `return_sequences`, ``(batch, steps, ...)``. Samples may have a mask ``(batch,
    steps)``.

    Raises
    ------
    TypeError
        If there is more than one cell, or `unroll`.

    Examples
    --------
    >>> import numpy as np
    >>> layer = ConvRNN2D(ConvLSTM2DCell(4, 3), return_sequences=True)
    >>> layer(np.zeros((2, 5, 8, 9, 3))).shape
    (2, 5, 6, 7, 4)
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        if unroll:
            raise TypeError(f"{type(self).__name__} can't be unrolled. Leave unroll out.")
        if isinstance(cell, (list, tuple)):
            raise TypeError(
                f"{type(self).__name__} takes a single cell, got {len(cell)} of them. Put layers "
                "one after the other instead, all but the last with return_sequences=True."
            )
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll, **kwargs
        )
        self.input_spec = self._spec({})

    def build(self, input_shape: Shape) -> None:
        """Make the weights of the cell."""
        step_shape = (None, *input_shape[2:])
        shapes = self.cell.state_shapes(step_shape)
        if any(len(shape) != 4 for shape in shapes):
            raise ValueError(
                f"{self._described()} needs a cell whose states are images, such as "
                f"ConvLSTM2DCell; those of {self.cell!r} have the shapes {shapes}."
            )
        if self.stateful and any(None in shape[1:] for shape in shapes):
            raise ValueError(
                f"{self._described()} is stateful, so it must know the sizes of its images; the "
                f"input shape is {tuple(input_shape)}."
            )
        super().build(input_shape)
        sizes = enumerate(input_shape[2:], start=2)
        self.input_spec = self._spec({axis: size for axis, size in sizes if size is not None})

    def _spec(self, axes: dict[int, int]) -> InputSpec:
        data_format = getattr(self.cell, "data_format", "channels_last")
        batch, *names = spatial_spec(2, data_format).names
        return InputSpec(ndim=5, axes=axes, names=(batch, "steps", *names))


@shares_with_cell
class ConvLSTM2D(UnitsRNN, ConvRNN2D):
    """Long short-term memory of images, by convolutions in place of matrix products [1]_.

    At each step, with the gates ``i, f, o = recurrent_activation(...)`` and
    ``g = activation(...)`` of ``conv(x, kernel) + conv(h, recurrent_kernel) + bias``::

        c = f * c + i * g
        h = o * activation(c)

    Parameters
    ----------
    filters : int
        Channels of the output, greater than 0.
    kernel_size : int or tuple of 2 ints
        Height and width of the window, of both convolutions.
    strides : int or tuple of 2 ints
        Of the input's convolution. Default 1.
    padding : {'valid', 'same'}
        Of the input's convolution. Default ``'valid'``. That of `h` is always ``'same'``, with
        steps of 1: a state keeps its size.
    data_format : {'channels_last', 'channels_first'}, optional
        Default: ``K.image_data_format()``.
    dilation_rate : int or tuple of 2 ints
        Of the input's convolution; 1 along both axes if the strides are not. Default 1.
    activation : str or callable, optional
        Default ``'tanh'``. None: linear.
    recurrent_activation : str or callable, optional
        Of the gates. Default ``'hard_sigmoid'``.
    use_bias : bool
        Default True.
    kernel_initializer, recurrent_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'``, ``'orthogonal'`` and ``'zeros'``.
    unit_forget_bias : bool
        Whether the forget gate's bias starts at 1. Default True.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
        A penalty on the output.
    kernel_constraint, recurrent_constraint, bias_constraint : str, dict or Constraint, optional
    return_sequences, go_backwards, stateful : bool
        See `RNN`. Default False.
    dropout, recurrent_dropout : float
        The part of the input, and of `h` on its way into the gates, that is dropped in training:
        from 0 up to but not including 1. Each gate has a pattern of its own, the same at all
        steps. Default 0.
    return_state, unroll : bool
        See `ConvRNN2D`. Default False.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, height, width, channels)``, output ``(batch, rows, columns, filters)``
    or, with `return_sequences`, ``(batch, steps, rows, columns, filters)``; with
    ``data_format='channels_first'`` the channels, and filters, come before height, and rows.
    Weights: kernel ``(*kernel_size, channels, 4 * filters)``, recurrent kernel
    ``(*kernel_size, filters, 4 * filters)`` and bias ``(4 * filters,)``, with the gates in the
    order i, f, c (`g` above), o. Masks and states as told in `RNN`.

    References
    ----------
    .. [1] X. Shi et al., "Convolutional LSTM Network: A machine learning approach for
       precipitation nowcasting", arXiv:1506.04214. As in Keras, the gates do not see `c`.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([ConvLSTM2D(8, 3, padding="same", input_shape=(10, 40, 30, 1))])
    >>> model.output_shape, model.count_params()
    ((None, 40, 30, 8), 2624)
    """

    cell_class = ConvLSTM2DCell

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = "tanh",
        recurrent_activation: Any = "hard_sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        return_sequences: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_state: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = ConvLSTM2DCell(
            filters,
            kernel_size,
            strides,
            padding,
            data_format,
            dilation_rate,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            unit_forget_bias,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            dtype=cell_dtype(kwargs),
        )
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll, **kwargs
        )
        self.activity_regularizer = regularizers.get(activity_regularizer)
