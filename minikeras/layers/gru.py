"""GRUCell and GRU: gated recurrent units."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras import activations, regularizers
from minikeras.engine import Context
from minikeras.layers.cell import States
from minikeras.layers.projected_cell import ProjectedCell
from minikeras.layers.rnn import UnitsRNN
from minikeras.layers.units_cell import (
    GATES,
    Masks,
    UnitsCell,
    apply,
    cell_dtype,
    implementation_number,
    shares_with_cell,
    unapply,
)
from minikeras.ops import recurrent as ops
from minikeras.ops.gru import gru, gru_backward

__all__ = ["GRU", "GRUCell"]


class GRUCell(ProjectedCell):
    """One time step of `GRU`, whose arguments it takes.

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, \
bias_initializer, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, \
recurrent_constraint, bias_constraint, dropout, recurrent_dropout, implementation, reset_after
        See `GRU`.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> from minikeras.layers import RNN
    >>> RNN(GRUCell(4))(np.zeros((2, 5, 3))).shape
    (2, 4)
    """

    gates = 3
    roll = 1
    arguments = (*UnitsCell.arguments, "recurrent_activation", "implementation", "reset_after")

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "hard_sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        implementation: int = 1,
        reset_after: bool = False,
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
        self.implementation = implementation_number(implementation, self)
        self.reset_after = bool(reset_after)

    def _bias_shape(self) -> tuple[int, ...]:
        width = 3 * self.units
        return (2, width) if self.reset_after else (width,)

    def _patterns(self) -> int:
        return 3 if self.implementation == 1 else 1

    # Biases: with `reset_after` one for the input, and one for the product of the state

    def _biases(self) -> tuple[np.ndarray, np.ndarray]:
        """Return both biases of a cell that has two, each ``(3 * units,)``."""
        assert self.bias is not None
        first, second = self.bias.value.reshape(2, -1)
        return first, second

    def _input_bias(self) -> np.ndarray | None:
        if self.bias is None or not self.reset_after:
            return super()._input_bias()
        first, second = self._biases()
        total = first + second
        total[2 * self.units :] = first[2 * self.units :]
        return total

    def _candidate_bias(self) -> np.ndarray | float:
        """Return what is added to the candidate's product before the reset gate acts on it."""
        if self.bias is None or not self.reset_after:
            return 0.0
        return self._biases()[1][2 * self.units :]

    def _bias_gradient(self, dz: np.ndarray, dproduct: np.ndarray) -> np.ndarray:
        total = np.add.reduce(dz, axis=0)
        if not self.reset_after:
            return total
        both = np.stack([total, np.add.reduce(dproduct, axis=0)])
        return both.reshape(self._bias_shape())

    # One step by the book

    def step(self, x: np.ndarray, states: States, ctx: Context) -> tuple[np.ndarray, States, Any]:
        """Do one time step. See `Cell.step`."""
        (h,) = states
        masks, recurrent_masks = self._masks(x, ctx)
        factors = self._state_factors(recurrent_masks)
        hz, hr, hg, mixed = seen = [_times(h, factor) for factor in factors]
        a = self._product(x, self.kernel, masks)
        bias = self._input_bias()
        if bias is not None:
            a += bias
        az, ar, ag = self._split(a)
        kz, kr, kg = self._split(self.recurrent_kernel.value)
        z, kept_z = apply(self.recurrent_activation, az + hz @ kz)
        r, kept_r = apply(self.recurrent_activation, ar + hr @ kr)
        if self.reset_after:
            inner = hg @ kg + self._candidate_bias()
            g, kept_g = apply(self.activation, ag + r * inner)
        else:
            inner = r * hg
            g, kept_g = apply(self.activation, ag + inner @ kg)
        new = z * mixed + (1 - z) * g
        gates, kept = (z, r, g), (kept_z, kept_r, kept_g)
        return new, [new], (x, seen, inner, gates, kept, masks, factors)

    def step_backward(
        self, dy: np.ndarray, dstates: States, residual: Any, ctx: Context
    ) -> tuple[np.ndarray, States]:
        """Go back through one time step. See `Cell.step_backward`."""
        x, (hz, hr, hg, mixed), inner, (z, r, g), kept, masks, factors = residual
        kept_z, kept_r, kept_g = kept
        kz, kr, kg = self._split(self.recurrent_kernel.value)
        dnew = dy + dstates[0]
        dz = unapply(self.recurrent_activation, dnew * (mixed - g), kept_z)
        dg = unapply(self.activation, dnew * (1 - z), kept_g)
        if self.reset_after:
            dproduct, dreset = dg * r, dg * inner
            dhg, dkg = dproduct @ kg.T, hg.T @ dproduct
        else:
            dinner, dproduct = dg @ kg.T, dg
            dhg, dreset, dkg = dinner * r, dinner * hg, inner.T @ dg
        dr = unapply(self.recurrent_activation, dreset, kept_r)
        da = np.concatenate([dz, dr, dg], axis=1)
        ctx.add_gradient(self.recurrent_kernel, np.concatenate([hz.T @ dz, hr.T @ dr, dkg], axis=1))
        if self.bias is not None:
            dproducts = np.concatenate([dz, dr, dproduct], axis=1)
            ctx.add_gradient(self.bias, self._bias_gradient(da, dproducts))
        dh = _times(dnew * z, factors[3]) + _times(dhg, factors[2])
        dh += _times(dz @ kz.T, factors[0])
        dh += _times(dr @ kr.T, factors[1])
        return self._product_backward(da, x, self.kernel, masks, ctx), [dh]

    def _state_factors(self, dropout: Masks) -> list[np.ndarray | None]:
        """Return the dropout of the old state for z, r and the candidate, and in the mixture."""
        if dropout is None:
            return [None] * 4
        # As in Keras 2.2.4, implementation 2 mixes the dropped state into the new one.
        return [*dropout * 4] if self.implementation == 2 else [*dropout, None]

    # A whole sequence

    def _squashes(self) -> tuple[ops.Squash, ...] | None:
        inner, outer = GATES.get(self.recurrent_activation), super()._squashes()
        return None if inner is None or outer is None else (*outer, inner)

    def _loop(
        self,
        z: np.ndarray,
        states: States,
        squashes: Any,
        mask: ops.Mask | None,
        dropout: np.ndarray | None,
        ctx: Context,
    ) -> Any:
        kernel, (h,), (outer, inner) = self.recurrent_kernel.value, states, squashes
        bias = np.reshape(self._candidate_bias(), (-1, 1))
        after = self.reset_after
        return gru(z, kernel, bias, h, outer, inner, after, mask, dropout, ctx.empty)

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
        kernel, (dh,), (outer, inner) = self.recurrent_kernel.value, dstates, squashes
        after = self.reset_after
        return gru_backward(dy, dh, trace, kernel, outer, inner, after, mask, dropout, ctx.empty)

    def _recurrent_products(
        self,
        dproduct: np.ndarray,
        trace: Any,
        rows: ops.Rows,
        dropout: Masks,
        out: np.ndarray,
        ctx: Context,
    ) -> list[Any]:
        if self.reset_after:
            return super()._recurrent_products(dproduct, trace, rows, dropout, out, ctx)
        # The candidate's product is one of ``r * h``, which is dropped as it stands.
        gates, candidate = np.s_[:, : 2 * self.units], np.s_[:, 2 * self.units :]
        seen = ops.hidden_rows(trace.h[:-1], rows, dropout and dropout[:2], ctx.empty)
        reset = ops.hidden_rows(trace.inner, rows, None, ctx.empty)
        return [
            *ops.kernel_gradient(seen, dproduct[gates], out[gates]),
            *ops.kernel_gradient(reset, dproduct[candidate], out[candidate]),
        ]


def _times(array: np.ndarray, factors: np.ndarray | None) -> np.ndarray:
    return array if factors is None else array * factors


@shares_with_cell
class GRU(UnitsRNN):
    """Gated recurrent units [1]_.

    At each step, with the gates ``z, r = recurrent_activation(...)`` of
    ``x @ kernel + h @ recurrent_kernel + bias``, a candidate g is made in the same way, but from
    what the gate r leaves of the state, and mixed with the state::

        g = activation(x @ kernel + (r * h) @ recurrent_kernel + bias)
        h = z * h + (1 - z) * g

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
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str, dict or Regularizer, optional
    activity_regularizer : str, dict or Regularizer, optional
        A penalty on the output.
    kernel_constraint, recurrent_constraint, bias_constraint : str, dict or Constraint, optional
    dropout, recurrent_dropout : float
        The part of the input, and of `h` on its way into the gates, that is dropped in training:
        from 0 up to but not including 1, by one pattern for all steps [2]_. Default 0.
    implementation : {1, 2}
        With 1, each gate has a pattern of dropout of its own; with 2, all share one, and, as in
        Keras 2.2.4, the state is also mixed into the new one as that pattern leaves it. The
        speed is the same. Default 1.
    return_sequences, return_state, go_backwards, stateful, unroll : bool
        See `RNN`. Default False.
    reset_after : bool
        Whether the gate r acts on the product of the state and the recurrent kernel, and not on
        the state: ``r * (h @ recurrent_kernel + recurrent_bias)``, which is what cuDNN does
        [3]_. Default False, as in Keras 2.2 (True in later versions).
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``, output ``(batch, units)`` or, with `return_sequences`,
    ``(batch, steps, units)``; masks and states as told in `RNN`. Weights: kernel
    ``(features, 3 * units)``, recurrent kernel ``(units, 3 * units)`` and bias ``(3 * units,)``,
    with the gates in the order z, r, h (`g` above). With `reset_after` the bias is
    ``(2, 3 * units)``: one for the input and one for the state.

    References
    ----------
    .. [1] K. Cho et al., "Learning phrase representations using RNN encoder-decoder for
       statistical machine translation", arXiv:1406.1078.
    .. [2] Y. Gal and Z. Ghahramani, "A theoretically grounded application of dropout in recurrent
       neural networks", arXiv:1512.05287.
    .. [3] J. Appleyard, T. Kocisky and P. Blunsom, "Optimizing performance of recurrent neural
       networks on GPUs", arXiv:1604.01946.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([GRU(32, input_shape=(10, 64))])
    >>> model.output_shape, model.count_params()
    ((None, 32), 9312)
    """

    cell_class = GRUCell

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "hard_sigmoid",
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
        implementation: int = 1,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = False,
        **kwargs: Any,
    ) -> None:
        cell = GRUCell(
            units,
            activation,
            recurrent_activation,
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
            implementation,
            reset_after,
            dtype=cell_dtype(kwargs),
        )
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, unroll, **kwargs
        )
        self.activity_regularizer = regularizers.get(activity_regularizer)
