"""`KernelCell`, what all cells of Keras have in common, and `UnitsCell`, those over features.

Each of them says twice what it does. `step` and `step_backward` are one time step by the book,
with any activation. `run` and `run_backward` go over a whole sequence by ops that do as much as
they can outside of the time loop (`minikeras.ops.recurrent`), for activations whose derivative
follows from their value. The tests hold one against the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras import activations, constraints, initializers, regularizers
from minikeras.backend import Variable
from minikeras.engine import Context, InputSpec
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import fraction, known_size, positive_int
from minikeras.layers.cell import Cell, States
from minikeras.ops import recurrent as ops
from minikeras.ops.noise import dropout_mask

Masks = list[np.ndarray] | None

# Activations for which there are ops: of the output, and of the gates.
OUTPUTS: dict[Callable, ops.Squash] = {
    activations.tanh: ops.TANH,
    activations.relu: ops.RELU,
    activations.linear: ops.LINEAR,
}
GATES: dict[Callable, ops.Squash] = {
    **OUTPUTS,
    activations.sigmoid: ops.SIGMOID,
    activations.hard_sigmoid: ops.HARD_SIGMOID,
}


class KernelCell(Cell):
    """A cell with kernel, recurrent kernel, bias and dropout; what those of Keras share.

    Parameters
    ----------
    activation : str or callable, optional
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str, dict or Initializer
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str, dict or Regularizer
    kernel_constraint, recurrent_constraint, bias_constraint : str, dict or Constraint
    dropout, recurrent_dropout : float
    **kwargs
        See `Layer`.
    """

    #: What `get_config` returns besides a layer's own arguments.
    arguments: tuple[str, ...] = (
        "activation",
        "use_bias",
        "kernel_initializer",
        "recurrent_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "recurrent_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "recurrent_constraint",
        "bias_constraint",
        "dropout",
        "recurrent_dropout",
    )

    def __init__(
        self,
        activation: Any = "tanh",
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = fraction(dropout, "dropout", self)
        self.recurrent_dropout = fraction(recurrent_dropout, "recurrent_dropout", self)

    def _make_weights(
        self, kernel: tuple[int, ...], recurrent: tuple[int, ...], bias: tuple[int, ...]
    ) -> None:
        """Make the weights, of the given shapes."""
        self.kernel = self._weight("kernel", kernel)
        self.recurrent_kernel = self._weight("recurrent", recurrent, "recurrent_kernel")
        self.bias: Variable | None = self._weight("bias", bias) if self.use_bias else None

    def _weight(self, kind: str, shape: tuple[int, ...], name: str | None = None) -> Variable:
        return self.add_weight(
            name or kind,
            shape,
            initializer=getattr(self, f"{kind}_initializer"),
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
        )

    # Dropout

    def _patterns(self) -> int:
        """Return how many patterns of dropout there are: one, or one for each gate."""
        return 1

    def dropout_masks(self, input_shape: tuple[int, ...], ctx: Context) -> tuple[Masks, Masks]:
        """Draw the patterns of dropout for one sequence; they are the same at each step.

        Parameters
        ----------
        input_shape : tuple of int
            That of one time step, with the batch axis.
        ctx : Context

        Returns
        -------
        inputs : list of ndarray, shape `input_shape`, or None
            Factors of the input, once or for each gate.
        states : list of ndarray, shape of the first state, or None
            Factors of the state on its way into the gates.
        """

        def draw(rate: float, shape: Shape) -> Masks:
            if not ctx.training or rate == 0:
                return None
            masks = [ctx.empty(shape, self.dtype) for _ in range(self._patterns())]
            return [dropout_mask(ctx.generator, mask.shape, rate, out=mask) for mask in masks]

        state_shape = (input_shape[0], *self.state_shapes(input_shape)[0][1:])
        return draw(self.dropout, input_shape), draw(self.recurrent_dropout, state_shape)

    def _masks(self, x: np.ndarray, ctx: Context) -> tuple[Masks, Masks]:
        """Return the patterns of the sequence at work, drawn at its first step."""
        if not ctx.training or not (self.dropout or self.recurrent_dropout):
            return None, None
        if self not in ctx.memo:
            ctx.memo[self] = self.dropout_masks(x.shape, ctx)
        return ctx.memo[self]

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), **self.own_config()}

    def own_config(self) -> dict[str, Any]:
        """Return the constructor arguments besides those that all layers have."""
        return {name: _serialized(name, getattr(self, name)) for name in self.arguments}


class UnitsCell(KernelCell):
    """A cell over features: for each of its gates kernels of `units` columns.

    Parameters
    ----------
    units : int
        Features of the output, greater than 0.
    *args, **kwargs
        See `KernelCell`.
    """

    _sequence_methods: tuple[str, ...] = ("run", "run_backward", "_forward", "_backward")
    gates = 1
    arguments = ("units", *KernelCell.arguments)

    def __init__(self, units: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.units = positive_int(units, "units", self)
        self.state_size: Any = self.units
        self.output_size = self.units

    def build(self, input_shape: Shape) -> None:
        """Make kernel, recurrent kernel and bias."""
        features = known_size(input_shape, -1, self)
        width = self.gates * self.units
        self._make_weights((features, width), (self.units, width), self._bias_shape())
        self.input_spec = InputSpec(ndim=2, axes={-1: features})
        self.built = True

    def _bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    # One step by the book

    def _product(self, x: np.ndarray, weight: Variable, masks: Masks) -> np.ndarray:
        """Compute ``x @ kernel`` for all gates, each with its own dropout if there is any."""
        if masks is None:
            return x @ weight.value
        parts = np.split(weight.value, len(masks), axis=1)
        return np.concatenate([(x * m) @ w for m, w in zip(masks, parts, strict=True)], axis=1)

    def _product_backward(
        self, dz: np.ndarray, x: np.ndarray, weight: Variable, masks: Masks, ctx: Context
    ) -> np.ndarray:
        """Write the gradient of the kernel, and return that of `x`."""
        if masks is None:
            ctx.add_gradient(weight, x.T @ dz)
            return dz @ weight.value.T
        kernels = np.split(weight.value, len(masks), axis=1)
        parts = list(zip(np.split(dz, len(masks), axis=1), kernels, masks, strict=True))
        ctx.add_gradient(weight, np.concatenate([(x * m).T @ d for d, _, m in parts], axis=1))
        return sum((d @ w.T) * m for d, w, m in parts)

    def _split(self, z: np.ndarray) -> list[np.ndarray]:
        """Return the piece ``(batch, units)`` of each gate."""
        return [z[:, k * self.units : (k + 1) * self.units] for k in range(self.gates)]

    # A whole sequence by ops

    def _squashes(self) -> tuple[ops.Squash, ...] | None:
        """Return what the op does for the activations, None if it doesn't know one of them."""
        found = OUTPUTS.get(self.activation)
        return None if found is None else (found,)

    def _forward(
        self,
        x: np.ndarray,
        states: States,
        squashes: Any,
        mask: np.ndarray | None,
        dropout: tuple[Masks, Masks],
        ctx: Context,
    ) -> tuple[Any, np.ndarray, list[np.ndarray]]:
        """Run the op; return its trace, the outputs and the final states, features first."""
        raise NotImplementedError

    def _backward(
        self,
        dy: np.ndarray,
        dstates: list[np.ndarray],
        residual: Any,
        ctx: Context,
    ) -> np.ndarray | None:
        """Run the op back, write the gradients of the weights, and return that of `x` if needed.

        Parameters
        ----------
        dy : ndarray, shape (n, batch, units)
        dstates : list of ndarray, shape (size, batch)
            Overwritten by the gradients of the initial states.
        residual : tuple
            The arguments of `_forward` but for `states` and `ctx`, and the trace.
        """
        raise NotImplementedError

    def run(
        self, x: np.ndarray, states: States, mask: np.ndarray | None, ctx: Context
    ) -> tuple[np.ndarray, States, Any]:
        """Run over all steps. See `Cell.run`."""
        squashes = self._squashes()
        if squashes is None or (len(x) == 1 and not ctx.training):
            y, states, residual = super().run(x, states, mask, ctx)
            return y, states, (None, residual)
        dropout = self.dropout_masks(x.shape[1:], ctx)
        trace, y, final = self._forward(x, states, squashes, mask, dropout, ctx)
        residual = (x, squashes, mask, dropout, trace)
        return y.swapaxes(1, 2), [state.T for state in final], (residual, None)

    def run_backward(
        self, dy: np.ndarray, dstates: States | None, residual: Any, ctx: Context
    ) -> tuple[np.ndarray | None, States]:
        """Run back through all steps. See `Cell.run_backward`."""
        fused, plain = residual
        if fused is None:
            return super().run_backward(dy, dstates, plain, ctx)
        batch = dy.shape[1]
        shapes = [(size, batch) for size in np.atleast_1d(self.state_size)]
        gradients = [ctx.empty(shape, dy.dtype) for shape in shapes]
        for k, gradient in enumerate(gradients):
            gradient[...] = 0 if dstates is None else dstates[k].T
        dx = self._backward(dy, gradients, fused, ctx)
        return dx, [gradient.T for gradient in gradients]


_HOMES = {
    "activation": activations,
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}


def _serialized(name: str, value: Any) -> Any:
    """Return an argument as a configuration holds it; its name tells what it is."""
    home: Any = _HOMES.get(name.rpartition("_")[2])
    return value if home is None else home.serialize(value)


def apply(function: Callable, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Apply an activation; return the result, and what `unapply` needs."""
    pair = activations.forward_backward(function)
    y = pair.forward(z, out=np.empty_like(z))
    return y, z if pair.needs_input else y


def unapply(function: Callable, dy: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Go back through what `apply` did."""
    pair = activations.forward_backward(function)
    return pair.backward(dy, kept, out=np.empty(dy.shape, dy.dtype))


def shares_with_cell(cls: type) -> type:
    """Let a layer read and set the constructor arguments of its cell as its own."""
    for name in cls.cell_class.arguments:  # type: ignore[attr-defined]
        setattr(cls, name, _of_cell(name))
    return cls


def _of_cell(name: str) -> property:
    def get(layer: Any) -> Any:
        return getattr(layer.cell, name)

    def set_(layer: Any, value: Any) -> None:
        setattr(layer.cell, name, value)

    return property(get, set_, doc=f"`{name}` of the cell.")


def cell_dtype(kwargs: dict[str, Any]) -> Any:
    """Return the type that a layer's keywords give, for the layer's cell."""
    return kwargs.get("dtype") or kwargs.get("input_dtype")


def implementation_number(value: Any, cell: Cell) -> int:
    """Check `implementation`; Keras 2.2 takes the 0 of old configurations for 1."""
    if value not in (0, 1, 2) or isinstance(value, bool):
        raise ValueError(f"{cell._described()}: implementation must be 1 or 2, got {value!r}.")
    return int(value) or 1
