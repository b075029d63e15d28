"""LSTMCell and LSTM: long short-term memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras import activations, regularizers
from minikeras.engine import Context
from minikeras.engine.input_spec import Shape
from minikeras.layers.cell import States
from minikeras.layers.lstm_gates import gates, gates_backward
from minikeras.layers.rnn import UnitsRNN
from minikeras.layers.units_cell import (
    GATES,
    Masks,
    UnitsCell,
    cell_dtype,
    implementation_number,
    shares_with_cell,
)
from minikeras.ops import recurrent as ops
from minikeras.ops.lstm import Weights, dropout_pattern, lstm, lstm_backward, lstm_gradients

__all__ = ["LSTM", "LSTMCell"]


class LSTMCell(UnitsCell):
    """One time step of `LSTM`, whose arguments it takes.

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, \
bias_initializer, unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, \
kernel_constraint, recurrent_constraint, bias_constraint, dropout, recurrent_dropout, implementation
        See `LSTM`.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> from minikeras.layers import RNN
    >>> RNN(LSTMCell(4))(np.zeros((2, 5, 3))).shape
    (2, 4)
    """

    gates = 4
    arguments = (
        *UnitsCell.arguments,
        "recurrent_activation",
        "unit_forget_bias",
        "implementation",
    )

    def __init__(
        self,
        units: int,
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
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            kernel_regularizer,
            recurrent_regularizer,
            bias_regularizer,
            kernel_constraint,
            recurrent_constraint,
            bias_constraint,
            dropout,
            recurrent_dropout,
            **kwargs,
        )
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)
        self.implementation = implementation_number(implementation, self)
        self.state_size = (self.units, self.units)

    def build(self, input_shape: Shape) -> None:
        """Make the weights, with ones for the biases of the forget gate on request."""
        super().build(input_shape)
        if self.bias is not None and self.unit_forget_bias:
            self.bias.value[self.units : 2 * self.units] = 1

    def _patterns(self) -> int:
        return 4 if self.implementation == 1 else 1

    # One step by the book

    def step(self, x: np.ndarray, states: States, ctx: Context) -> tuple[np.ndarray, States, Any]:
        """Do one time step. See `Cell.step`."""
        h, c = states
        masks, recurrent_masks = self._masks(x, ctx)
        z = self._product(x, self.kernel, masks)
        z += self._product(h, self.recurrent_kernel, recurrent_masks)
        bias = self._whole_bias()
        if bias is not None:
            z += bias
        parts = self._split(z)
        new_h, new_c, kept = gates(parts, c, self.activation, self.recurrent_activation)
        return new_h, [new_h, new_c], (x, h, kept, masks, recurrent_masks)

    def step_backward(
        self, dy: np.ndarray, dstates: States, residual: Any, ctx: Context
    ) -> tuple[np.ndarray, States]:
        """Go back through one time step. See `Cell.step_backward`."""
        x, h, kept, masks, recurrent_masks = residual
        dh, dc = dstates
        parts, dc = gates_backward(dh + dy, dc, kept, self.activation, self.recurrent_activation)
        dz = np.concatenate(parts, axis=1)
        if self.bias is not None:
            ctx.add_gradient(self.bias, self._bias_gradient(dz.sum(axis=0)))
        dh = self._product_backward(dz, h, self.recurrent_kernel, recurrent_masks, ctx)
        return self._product_backward(dz, x, self.kernel, masks, ctx), [dh, dc]

    # A whole sequence

    def _squashes(self) -> tuple[ops.Squash, ...] | None:
        inner, outer = GATES.get(self.recurrent_activation), super()._squashes()
        return None if inner is None or outer is None else (*outer, inner)

    def _forward(
        self,
        x: np.ndarray,
        states: States,
        squashes: Any,
        mask: np.ndarray | None,
        dropout: tuple[Masks, Masks],
        ctx: Context,
    ) -> tuple[Any, np.ndarray, list[np.ndarray]]:
        (h, c), (outer, inner) = states, squashes
        pattern = dropout_pattern(*dropout, x.shape[2], self.units, ctx.empty)
        found = lstm(x, self._op_weights(), h, c, outer, inner, mask, pattern, ctx.empty)
        return (found.traces, pattern), found.h, [found.h[-1], found.c]

    def _backward(
        self, dy: np.ndarray, dstates: list[np.ndarray], residual: Any, ctx: Context
    ) -> np.ndarray | None:
        (dh, dc), (_, (outer, inner), _, _, (traces, pattern)) = dstates, residual
        needed, empty, weights = ctx.needs_input_gradient, ctx.empty, self._op_weights()
        back = lstm_backward(dy, dh, dc, traces, weights, outer, inner, pattern, needed, empty)
        if any(map(ctx.wants, self.weights)):
            dkernel, drecurrent, dbias = lstm_gradients(back, traces, pattern, empty)
            ctx.add_gradient(self.kernel, dkernel)
            ctx.add_gradient(self.recurrent_kernel, drecurrent)
            if self.bias is not None:
                ctx.add_gradient(self.bias, self._bias_gradient(dbias))
        return back.dx

    def _op_weights(self) -> Weights:
        return Weights(self.kernel.value, self.recurrent_kernel.value, self._whole_bias())

    def _whole_bias(self) -> np.ndarray | None:
        """Return what is added to the products of all gates."""
        return None if self.bias is None else self.bias.value

    def _bias_gradient(self, dbias: np.ndarray) -> np.ndarray:
        """Return the gradient of the weight from that of `_whole_bias`."""
        return dbias


@shares_with_cell
class LSTM(UnitsRNN):
    """Long short-term memory [1]_.

    At each step, with the gates ``i, f, o = recurrent_activation(...)`` and
    ``g = activation(...)`` of ``x @ kernel + h @ recurrent_kernel + bias``::

        c = f * c + i * g
        h = o * activation(c)

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    activation : str or callable, optional
        Default ``'tanh'``. None: linear.
    recurrent_activation : str or callable, optional
        Of the gates. Default ``'hard_sigmoid'``, as in Keras 2.2 (``'sigmoid'`` in later
        versions).
    use_bias : bool
        Default True.
    kernel_initializer, recurrent_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'``, ``'orthogonal'`` and ``'zeros'``.
    unit_forget_bias : bool
        Whether the forget gate's bias starts at 1 [2]_. Default True.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
        A penalty on the output.
    kernel_constraint, recurrent_constraint, bias_constraint : str, dict or Constraint, optional
    dropout, recurrent_dropout : float
        The part of the input, and of `h` on its way into the gates, that is dropped in training:
        from 0 up to but not including 1, by one pattern for all steps [3]_. Default 0.
    implementation : {1, 2}
        With 1, each gate has a pattern of dropout of its own; with 2, all share one. The speed
        is the same. Default 1.
    return_sequences, return_state, go_backwards, stateful, unroll : bool
        See `RNN`. Default False.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, units)`` or, with `return_sequences`,
    ``(batch, steps, units)``; masks and states as told in `RNN`. Weights: kernel
    ``(features, 4 * units)``, recurrent kernel ``(units, 4 * units)`` and bias ``(4 * units,)``,
    with the gates in the order i, f, c (`g` above), o.

    References
    ----------
    .. [1] S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 9(8),
       1997.
    .. [2] R. Jozefowicz, W. Zaremba and I. Sutskever, "An empirical exploration of recurrent
       network architectures", ICML 2015.
    .. [3] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
       neural networks", arXiv:1512.05287.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([LSTM(32, input_shape=(10, 64))])
    >>> model.output_shape, model.count_params()
    ((None, 32), 12416)
    """

    cell_class = LSTMCell

    def __init__(
        self,
        units: int,
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
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = 1,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = LSTMCell(
            units,
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
            implementation,
            dtype=cell_dtype(kwargs),
        )
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll, **kwargs
        )
        self.activity_regularizer = regularizers.get(activity_regularizer)
