"""CuDNNGRU and CuDNNLSTM: GRU and LSTM with the settings, and the weights, of cuDNN."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras import regularizers
from minikeras.engine import Context, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.gru import GRUCell
from minikeras.layers.lstm import LSTMCell
from minikeras.layers.rnn import UnitsRNN
from minikeras.layers.units_cell import UnitsCell, cell_dtype, shares_with_cell

__all__ = ["CuDNNGRU", "CuDNNLSTM"]

_ARGUMENTS = (
    "units",
    "kernel_initializer",
    "recurrent_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "recurrent_regularizer",
    "bias_regularizer",
    "kernel_constraint",
    "recurrent_constraint",
    "bias_constraint",
)


class CuDNNGRUCell(GRUCell):
    """One time step of `CuDNNGRU`: a GRUCell whose two biases lie one after the other."""

    arguments = _ARGUMENTS

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, recurrent_activation="sigmoid", reset_after=True, **kwargs)

    def _bias_shape(self) -> tuple[int, ...]:
        return (6 * self.units,)


class CuDNNLSTMCell(LSTMCell):
    """One time step of `CuDNNLSTM`: an LSTMCell with two biases, of which the sum counts."""

    arguments = (*_ARGUMENTS, "unit_forget_bias")

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(units, recurrent_activation="sigmoid", **kwargs)

    def build(self, input_shape: Shape) -> None:
        """Make the weights, with ones for the second bias of the forget gate on request."""
        UnitsCell.build(self, input_shape)
        if self.bias is not None and self.unit_forget_bias:
            self.bias.value[5 * self.units : 6 * self.units] = 1

    def _bias_shape(self) -> tuple[int, ...]:
        return (8 * self.units,)

    def _whole_bias(self) -> np.ndarray | None:
        return None if self.bias is None else self.bias.value.reshape(2, -1).sum(axis=0)

    def _bias_gradient(self, dbias: np.ndarray) -> np.ndarray:
        return np.tile(dbias, 2)


class _CuDNNRNN(UnitsRNN):
    """What CuDNNGRU and CuDNNLSTM have in common: no masks, and nothing to unroll."""

    supports_masking = False

    def _mask(self, x: np.ndarray, ctx: Context) -> np.ndarray | None:
        return None

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> Any:
        """Drop the mask, and say so. See `Layer.compute_mask`."""
        return super().compute_mask(inputs, Layer.compute_mask(self, inputs, mask))

    def _own_config(self) -> dict[str, Any]:
        return {name: value for name, value in super()._own_config().items() if name != "unroll"}


@shares_with_cell
class CuDNNGRU(_CuDNNRNN):
    """`GRU` as cuDNN has it, by the name and with the weights that Keras gives it.

    It is ``GRU(units, recurrent_activation="sigmoid", reset_after=True)`` with a bias of another
    shape. It runs on any processor, and as fast as any GRU.

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    kernel_initializer, recurrent_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'``, ``'orthogonal'`` and ``'zeros'``.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
        A penalty on the output.
    kernel_constraint, recurrent_constraint, bias_constraint : str, dict or Constraint, optional
    return_sequences, return_state, stateful, go_backwards : bool
        See `RNN`. Default False.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, units)`` or, with `return_sequences`,
    ``(batch, steps, units)``. Weights: kernel ``(features, 3 * units)``, recurrent kernel
    ``(units, 3 * units)`` and bias ``(6 * units,)``, the input's bias before the state's, with
    the gates in the order z, r, h.

    There are no masks in cuDNN. A mask ends here with a warning, and all steps count (Keras
    2.2.4 raises an error).

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([CuDNNGRU(32, input_shape=(10, 64))])
    >>> model.output_shape, model.count_params()
    ((None, 32), 9408)
    """

    cell_class = CuDNNGRUCell

    def __init__(
        self,
        units: int,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        return_sequences: bool = False,
        return_state: bool = False,
        stateful: bool = False,
        *,
        go_backwards: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = CuDNNGRUCell(
            units,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dtype=cell_dtype(kwargs),
        )
        super().__init__(cell, return_sequences, return_state, go_backwards, stateful, **kwargs)
        self.activity_regularizer = regularizers.get(activity_regularizer)


@shares_with_cell
class CuDNNLSTM(_CuDNNRNN):
    """`LSTM` as cuDNN has it, by the name and with the weights that Keras gives it.

    It is ``LSTM(units, recurrent_activation="sigmoid")`` with two biases, of which the sum counts.
    It runs on any processor, and as fast as any LSTM.

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    kernel_initializer, recurrent_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'``, ``'orthogonal'`` and ``'zeros'``.
    unit_forget_bias : bool
        Whether one of the forget gate's biases starts at 1. Default True.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
        A penalty on the output.
    kernel_constraint, recurrent_constraint, bias_constraint : str, dict or Constraint, optional
    return_sequences, return_state, stateful, go_backwards : bool
        See `RNN`. Default False.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, units)`` or, with `return_sequences`,
    ``(batch, steps, units)``. Weights: kernel ``(features, 4 * units)``, recurrent kernel
    ``(units, 4 * units)`` and bias ``(8 * units,)``, the input's bias before the state's, with
    the gates in the order i, f, c, o.

    There are no masks in cuDNN. A mask ends here with a warning, and all steps count (Keras
    2.2.4 raises an error).

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([CuDNNLSTM(32, input_shape=(10, 64))])
    >>> model.output_shape, model.count_params()
    ((None, 32), 12544)
    """

    cell_class = CuDNNLSTMCell

    def __init__(
        self,
        units: int,
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
        return_state: bool = False,
        stateful: bool = False,
        *,
        go_backwards: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = CuDNNLSTMCell(
            units,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint,
            dtype=cell_dtype(kwargs),
        )
        super().__init__(cell, return_sequences, return_state, go_backwards, stateful, **kwargs)
        self.activity_regularizer = regularizers.get(activity_regularizer)
