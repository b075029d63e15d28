"""The core layers: Dense, Activation, ActivityRegularization and Masking.

As in Keras, this module is also the address of the dropout and reshaping layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras import activations, constraints, initializers, regularizers
from minikeras.engine import Context, InputSpec, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import finite, known_size, positive_int
from minikeras.layers.dropout import Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D
from minikeras.layers.function_layer import Lambda
from minikeras.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from minikeras.ops.dense import dense, dense_backward

__all__ = [
    "Activation",
    "ActivityRegularization",
    "Dense",
    "Dropout",
    "Flatten",
    "Lambda",
    "Masking",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class Dense(Layer):
    """Fully connected layer: ``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Size of the output's last axis, greater than 0.
    activation : str or callable, optional
        Default: none, the output is linear.
    use_bias : bool
        Default True.
    kernel_initializer, bias_initializer : str, dict or Initializer
        Default ``'glorot_uniform'`` and ``'zeros'``.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, dict or Regularizer, optional
        Penalties on the kernel, the bias and the layer's output.
    kernel_constraint, bias_constraint : str, dict or Constraint, optional
        Applied after each update.
    **kwargs
        See `Layer`. ``input_dim=n`` stands for ``input_shape=(n,)``.

    Notes
    -----
    Input ``(batch, ..., inputs)``, output ``(batch, ..., units)``. Weights: kernel
    ``(inputs, units)`` and bias ``(units,)``.

    Examples
    --------
    >>> from minikeras import Sequential
    >>> model = Sequential([Dense(32, activation="relu", input_dim=16)])
    >>> model.output_shape, model.count_params()
    ((None, 32), 544)
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = positive_int(units, "units", self)
        if isinstance(activation, int):
            raise TypeError(
                f"Dense({units}, {activation}): the second argument is the activation. The size of "
                f"the input is found out, or stated by input_dim: Dense({units}, input_dim=...)."
            )
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias."""
        inputs = known_size(input_shape, -1, self)
        self.kernel = self.add_weight(
            "kernel",
            (inputs, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.units,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: inputs})
        self.built = True

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Compute ``activation(x @ kernel + bias)``."""
        z = ctx.empty((*x.shape[:-1], self.units), x.dtype)
        dense(x, self.kernel.value, None if self.bias is None else self.bias.value, out=z)
        pair = activations.forward_backward(self.activation)
        if pair.needs_input:
            return pair.forward(z, out=ctx.empty(z.shape, z.dtype)), (x, z)
        y = pair.forward(z, out=z)
        return y, (x, y)

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Pass through the activation, then the product."""
        pair = activations.forward_backward(self.activation)
        return self.backward_logits(pair.backward(dy, residual[1], out=dy), residual, ctx)

    @property
    def output_activation(self) -> Callable | None:
        """The layer's activation."""
        return None if self.activity_regularizer else self.activation

    def backward_logits(self, dz: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Compute the gradients from that of the activation's input."""
        x, _ = residual
        dx = ctx.empty(x.shape, x.dtype) if ctx.needs_input_gradient else None
        dense_backward(
            dz,
            x,
            self.kernel.value,
            dx=dx,
            dkernel=ctx.gradient(self.kernel),
            dbias=None if self.bias is None else ctx.gradient(self.bias),
        )
        return dx

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Replace the last axis by `units`."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


class Activation(Layer):
    """Apply an activation function to each entry (softmax: along the last axis).

    Parameters
    ----------
    activation : str or callable
        See `minikeras.activations`.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> Activation("relu")(np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        # A function in terms of `K` may use weights, the phase and random numbers.
        known = self.activation in activations.FUNCTIONS.values()
        own = not (known or hasattr(self.activation, "pair"))
        self._taped = type(self)._taped or (own and type(self).forward is Activation.forward)

    def call(self, inputs: Any) -> Any:  # type: ignore[override]
        """Apply the function on the tape."""
        return self.activation(inputs)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Apply the function."""
        pair = activations.forward_backward(self.activation)
        y = pair.forward(x, out=ctx.empty(x.shape, x.dtype))
        return y, x if pair.needs_input else y

    def backward(self, dy: np.ndarray, kept: np.ndarray, ctx: Context) -> np.ndarray:
        """Multiply by the function's derivative, which follows from what was kept."""
        return activations.forward_backward(self.activation).backward(dy, kept, out=dy)

    @property
    def output_activation(self) -> Callable | None:
        """The layer's function."""
        return None if self.activity_regularizer or self._taped else self.activation

    def backward_logits(self, dz: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Return `dz`, which is the gradient by the layer's input."""
        return dz

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "activation": activations.serialize(self.activation)}


class ActivityRegularization(Layer):
    """Pass the input through and add a penalty on it to the loss.

    Parameters
    ----------
    l1, l2 : float
        Factors of the sum of absolute values and of squares. Default 0.
    **kwargs
        See `Layer`.

    Notes
    -----
    As in Keras 2.2, the penalty is the sum over the whole batch. Later versions divide it by
    the batch size.

    Examples
    --------
    >>> layer = ActivityRegularization(l1=0.5)
    >>> layer.activity_regularizer(layer(np.array([[1.0, -3.0]])))
    2.0
    """

    supports_masking = True

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.l1 = l1
        self.l2 = l2
        self.activity_regularizer = regularizers.L1L2(l1=l1, l2=l2)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Return `x`."""
        return x, None

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Return `dy`."""
        return dy

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "l1": self.l1, "l2": self.l2}


class Masking(Layer):
    """Mask the time steps at which all features have a certain value.

    Layers above skip these steps, as far as they know masks: recurrent ones, pooling over time,
    wrappers, and the loss. This is how sequences of different lengths, padded with `mask_value`, go
    into one array.

    Parameters
    ----------
    mask_value : float
        Finite. Default 0.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input ``(batch, steps, features)``; output the same, with zeros at the masked steps; mask
    ``(batch, steps)``. With more or fewer axes the mask has all of them but the last. A mask from
    below is replaced.

    Examples
    --------
    >>> layer, x = Masking(mask_value=9), np.array([[[0.0, 3.0], [9.0, 9.0], [9.0, 5.0]]])
    >>> layer(x).tolist()
    [[[0.0, 3.0], [0.0, 0.0], [9.0, 5.0]]]
    >>> layer.compute_mask(x).tolist()
    [[True, False, True]]
    """

    supports_masking = True
    sets_mask = True

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = finite(mask_value, "mask_value", self)
        self.input_spec = InputSpec(min_ndim=2)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Find the mask and multiply by it."""
        differs = np.not_equal(x, self.mask_value, out=ctx.empty(x.shape, bool))
        mask = np.logical_or.reduce(differs, axis=-1, out=ctx.empty(x.shape[:-1], bool))
        ctx.mask = mask
        return np.multiply(x, mask[..., np.newaxis], out=ctx.empty(x.shape, x.dtype)), mask

    def backward(self, dy: np.ndarray, mask: np.ndarray, ctx: Context) -> np.ndarray:
        """Multiply by the mask."""
        dy *= mask[..., np.newaxis]
        return dy

    def compute_mask(self, inputs: Any, mask: np.ndarray | None = None) -> np.ndarray:
        """Return where any feature differs from `mask_value`."""
        return np.not_equal(inputs, self.mask_value).any(axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "mask_value": self.mask_value}
