"""Activation functions with parameters of their own, as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minikeras import activations, constraints, initializers, regularizers
from minikeras.engine import Context, InputSpec, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import axis_number, finite, known_size, positive_int
from minikeras.ops import activation as ops


class LeakyReLU(Layer):
    """Rectifier with a slope for negative input: ``x`` where positive, else ``alpha * x``.

    Parameters
    ----------
    alpha : float
        The slope. Default 0.3.
    **kwargs
        See `Layer`.

    References
    ----------
    Maas et al. (2013), "Rectifier Nonlinearities Improve Neural Network Acoustic Models".

    Examples
    --------
    >>> LeakyReLU(alpha=0.5)(np.array([[-2.0, 0.0, 3.0]])).tolist()
    [[-1.0, 0.0, 3.0]]
    """

    supports_masking = True

    def __init__(self, alpha: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = finite(alpha, "alpha", self)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Apply the function."""
        return ops.leaky_relu(x, self.alpha, out=ctx.empty(x.shape, x.dtype)), x

    def backward(self, dy: np.ndarray, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Multiply by the slope at `x`."""
        return ops.leaky_relu_backward(dy, x, self.alpha, out=dy)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "alpha": self.alpha}


class PReLU(Layer):
    """Rectifier whose slopes for negative input are learned: ``x`` or ``alpha * x``.

    Parameters
    ----------
    alpha_initializer : str, dict or Initializer
        Default ``'zeros'``.
    alpha_regularizer : str, dict or Regularizer, optional
        Penalty on the slopes.
    alpha_constraint : str, dict or Constraint, optional
        Applied after each update.
    shared_axes : int or list of int, optional
        The axes, counted from 1, along which all entries have one slope: ``[1, 2]`` for one
        slope a channel of an image ``(batch, rows, columns, channels)``. Default: each entry
        of a sample has its own.
    **kwargs
        See `Layer`.

    Notes
    -----
    Weight: alpha, of the shape of one sample, with size 1 along `shared_axes`.

    References
    ----------
    He et al. (2015), "Delving Deep into Rectifiers", arXiv:1502.01852.

    Examples
    --------
    >>> layer = PReLU(alpha_initializer="ones", shared_axes=1)
    >>> layer(np.array([[[-1.0, 2.0], [3.0, -4.0]]])).tolist()
    [[[-1.0, 2.0], [3.0, -4.0]]]
    >>> layer.alpha.shape
    (1, 2)
    """

    supports_masking = True

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        self.shared_axes: list[int] | None = None
        if shared_axes is not None:
            axes = shared_axes if isinstance(shared_axes, (list, tuple)) else [shared_axes]
            self.shared_axes = [positive_int(axis, "shared_axes", self) for axis in axes]
        self.input_spec = InputSpec(min_ndim=1 + max(self.shared_axes or [1]))

    def build(self, input_shape: Shape) -> None:
        """Make the slopes."""
        shared = self.shared_axes or []
        own = [axis for axis in range(1, len(input_shape)) if axis not in shared]
        sizes = {axis: known_size(input_shape, axis, self) for axis in own}
        self.alpha = self.add_weight(
            "alpha",
            [sizes.get(axis, 1) for axis in range(1, len(input_shape))],
            initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes=sizes)
        self.built = True

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Apply the function."""
        return ops.prelu(x, self.alpha.value, out=ctx.empty(x.shape, x.dtype)), x

    def backward(self, dy: np.ndarray, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Multiply by the slope at `x`; where that is negative, it is the slopes' gradient."""
        wanted = ctx.wants(self.alpha)
        dx, dalpha = ops.prelu_backward(dy, x, self.alpha.value, out=dy, need_dalpha=wanted)
        if dalpha is not None:
            ctx.add_gradient(self.alpha, dalpha)
        return dx

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": regularizers.serialize(self.alpha_regularizer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class ELU(Layer):
    """Exponential linear unit: ``x`` where positive, else ``alpha * (exp(x) - 1)``.

    Parameters
    ----------
    alpha : float
        What the function tends to for large negative ``x``, negated; at least 0. (Keras takes a
        negative one, with which the function is no longer invertible.) Default 1.
    **kwargs
        See `Layer`.

    References
    ----------
    Clevert et al. (2015), "Fast and Accurate Deep Network Learning by Exponential Linear
    Units", arXiv:1511.07289.

    Examples
    --------
    >>> ELU(alpha=2.0)(np.array([[-1000.0, 0.0, 3.0]])).tolist()
    [[-2.0, 0.0, 3.0]]
    """

    supports_masking = True

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = finite(alpha, "alpha", self, minimum=0)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Apply the function."""
        y = ops.elu(x, out=ctx.empty(x.shape, x.dtype), alpha=self.alpha)
        return y, y

    def backward(self, dy: np.ndarray, y: np.ndarray, ctx: Context) -> np.ndarray:
        """Multiply by the slope, which follows from the output."""
        return ops.elu_backward(dy, y, out=dy, alpha=self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "alpha": self.alpha}


class ThresholdedReLU(Layer):
    """Pass on what is above a threshold: ``x`` where ``x > theta``, else 0.

    Parameters
    ----------
    theta : float
        The threshold. Default 1.
    **kwargs
        See `Layer`.

    References
    ----------
    Konda et al. (2014), "Zero-bias Autoencoders and the Benefits of Co-adapting Features",
    arXiv:1402.3337.

    Examples
    --------
    >>> ThresholdedReLU(theta=1.0)(np.array([[0.5, 1.0, 1.5]])).tolist()
    [[0.0, 0.0, 1.5]]
    """

    supports_masking = True

    def __init__(self, theta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.theta = finite(theta, "theta", self)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Apply the function."""
        return ops.thresholded_relu(x, self.theta, out=ctx.empty(x.shape, x.dtype)), x

    def backward(self, dy: np.ndarray, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Pass the gradient of what was passed on."""
        return ops.thresholded_relu_backward(dy, x, self.theta, out=dy)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "theta": self.theta}


class Softmax(Layer):
    """Turn scores into probabilities: ``exp(x) / sum(exp(x))``.

    Parameters
    ----------
    axis : int
        The axis over which the result sums to 1. Default -1. (Keras 2.2.4 ignores it for an
        input of rank 2.)
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> Softmax()(np.array([[1.0, 1.0, 1.0, 1.0]])).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """

    supports_masking = True

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = axis_number(axis, "axis", self)
        self.input_spec = InputSpec(min_ndim=1 + abs(self.axis))

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Apply the function."""
        y = ops.softmax(x, out=ctx.empty(x.shape, x.dtype), axis=self.axis)
        return y, y

    def backward(self, dy: np.ndarray, y: np.ndarray, ctx: Context) -> np.ndarray:
        """Multiply by the matrix of derivatives, which follows from the output."""
        return ops.softmax_backward(dy, y, out=dy, axis=self.axis)

    @property
    def output_activation(self) -> Callable | None:
        """`activations.softmax`, if that is what this layer does: over the last axis."""
        last = self._input_shape is not None and self.axis == len(self._input_shape) - 1
        plain = self.activity_regularizer is None
        return activations.softmax if plain and (last or self.axis == -1) else None

    def backward_logits(self, dz: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Return `dz`, which is the gradient by the layer's input."""
        return dz

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "axis": self.axis}


class ReLU(Layer):
    """Rectifier; with the default arguments ``max(x, 0)``.

    Parameters
    ----------
    max_value : float, optional
        Ceiling of the output, at least 0. Default: none.
    negative_slope : float
        Slope below the threshold, at least 0. Default 0.
    threshold : float
        Below it the output is ``negative_slope * (x - threshold)``. Default 0.
    **kwargs
        See `Layer`.

    Examples
    --------
    >>> ReLU(max_value=6.0, negative_slope=0.5)(np.array([[-2.0, 3.0, 8.0]])).tolist()
    [[-1.0, 3.0, 6.0]]
    """

    supports_masking = True

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_value = None if max_value is None else finite(max_value, "max_value", self, 0)
        self.negative_slope = finite(negative_slope, "negative_slope", self, 0)
        self.threshold = finite(threshold, "threshold", self)

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Apply the function."""
        out = ctx.empty(x.shape, x.dtype)
        y = ops.relu_general(x, self.negative_slope, self.max_value, self.threshold, out=out)
        return y, x

    def backward(self, dy: np.ndarray, x: np.ndarray, ctx: Context) -> np.ndarray:
        """Multiply by the slope at `x`."""
        return ops.relu_general_backward(
            dy, x, self.negative_slope, self.max_value, self.threshold, out=dy
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }
