"""SimpleRNNCell and SimpleRNN: a plain recurrent network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minikeras import regularizers
from minikeras.engine import Context, Layer
from minikeras.layers.cell import States
from minikeras.layers.projected_cell import ProjectedCell
from minikeras.layers.rnn import UnitsRNN
from minikeras.layers.units_cell import GATES, apply, cell_dtype, shares_with_cell, unapply
from minikeras.ops import recurrent as ops
from minikeras.ops.simple_rnn import simple_rnn, simple_rnn_backward
from minikeras.utils.warning import warn

__all__ = ["SimpleRNN", "SimpleRNNCell"]


class SimpleRNNCell(ProjectedCell):
    """One time step of `SimpleRNN`, whose arguments it takes.

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer, \
kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, \
recurrent_constraint, bias_constraint, dropout, recurrent_dropout
        See `SimpleRNN`.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> from minikeras.layers import RNN
    >>> RNN(SimpleRNNCell(4))(np.zeros((2, 5, 3))).shape
    (2, 4)
    """

    # One step by the book

    def step(self, x: np.ndarray, states: States, ctx: Context) -> tuple[np.ndarray, States, Any]:
        """Do one time step. See `Cell.step`."""
        (h,) = states
        masks, recurrent_masks = self._masks(x, ctx)
        z = self._product(x, self.kernel, masks)
        z += self._product(h, self.recurrent_kernel, recurrent_masks)
        if self.bias is not None:
            z += self.bias.value
        y, kept = apply(self.activation, z)
        return y, [y], (x, h, kept, masks, recurrent_masks)

    def step_backward(
        self, dy: np.ndarray, dstates: States, residual: Any, ctx: Context
    ) -> tuple[np.ndarray, States]:
        """Go back through one time step. See `Cell.step_backward`."""
        x, h, kept, masks, recurrent_masks = residual
        dz = unapply(self.activation, dy + dstates[0], kept)
        if self.bias is not None:
            ctx.add_gradient(self.bias, dz.sum(axis=0))
        dh = self._product_backward(dz, h, self.recurrent_kernel, recurrent_masks, ctx)
        return self._product_backward(dz, x, self.kernel, masks, ctx), [dh]

    # A whole sequence

    def _squashes(self) -> tuple[ops.Squash, ...] | None:
        found = GATES.get(self.activation)
        return None if found is None else (found,)

    def _loop(
        self,
        z: np.ndarray,
        states: States,
        squashes: Any,
        mask: ops.Mask | None,
        dropout: np.ndarray | None,
        ctx: Context,
    ) -> Any:
        (h,), (squash,) = states, squashes
        return simple_rnn(z, self.recurrent_kernel.value, h, squash, mask, dropout, ctx.empty)

    def _loop_backward(
        self,
        dy: np.ndarray,
        dstates: list[np.ndarray],
        trace: Any,
        squashes: Any,
        mask: ops.Mask | None,
        dropout: np.ndarray | None,
        ctx: Context,
    ) -> tuple[np.ndarray, np.ndarray]:
        kernel, (dh,), (squash,) = self.recurrent_kernel.value, dstates, squashes
        dz = simple_rnn_backward(dy, dh, trace, kernel, squash, mask, dropout, ctx.empty)
        return dz, dz


@shares_with_cell
class SimpleRNN(UnitsRNN):
    """A plain recurrent network, whose output is fed back [1]_.

    At each step ``h = activation(x @ kernel + h @ recurrent_kernel + bias)``.

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    activation : str or callable, optional
        Default ``'tanh'``. None: linear.
    use_bias : bool
        Default True.
    kernel_initializer, recurrent_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'``, ``'orthogonal'`` and ``'zeros'``.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
        A penalty on the output.
    kernel_constraint, recurrent_constraint, bias_constraint : str, dict or Constraint, optional
    dropout, recurrent_dropout : float
        The part of the input, and of `h` on its way into the step, that is dropped in training:
        from 0 up to but not including 1, by one pattern for all steps [2]_. Default 0.
    return_sequences, return_state, go_backwards, stateful, unroll : bool
        See `RNN`. Default False.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, units)`` or, with `return_sequences`,
    ``(batch, steps, units)``; masks and states as told in `RNN`. Weights: kernel
    ``(features, units)``, recurrent kernel ``(units, units)`` and bias ``(units,)``.

    As in Keras 2.2.4, the argument `implementation` of older scripts has no effect and brings
    a warning.

    References
    ----------
    .. [1] J. L. Elman, "Finding structure in time", Cognitive Science 14(2), 1990.
    .. [2] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
       neural networks", arXiv:1512.05287.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([SimpleRNN(32, input_shape=(10, 64))])
    >>> model.output_shape, model.count_params()
    ((None, 32), 3104)
    """

    cell_class = SimpleRNNCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
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
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        **kwargs: Any,
    ) -> None:
        if kwargs.pop("implementation", None) is not None:
            warn("SimpleRNN: the argument implementation has no effect. Leave it out.")
        cell = SimpleRNNCell(
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
            dtype=cell_dtype(kwargs),
        )
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll, **kwargs
        )
        self.activity_regularizer = regularizers.get(activity_regularizer)

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Layer:
        """Make a layer from what `get_config` returned; old ones have an `implementation`."""
        config = {name: value for name, value in config.items() if name != "implementation"}
        return super().from_config(config, custom_objects)
