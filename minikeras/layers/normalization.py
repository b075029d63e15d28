"""Batch normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras import constraints, initializers, regularizers
from minikeras.backend import Variable
from minikeras.engine import Context, InputSpec, Layer
from minikeras.engine.input_spec import Shape
from minikeras.layers.arguments import axis_number, finite, known_size
from minikeras.ops.normalization import (
    TrainingResidual,
    batch_norm_inference,
    batch_norm_inference_backward,
    batch_norm_train,
    batch_norm_train_backward,
)


class BatchNormalization(Layer):
    """Bring each feature to mean 0 and variance 1, then to a learned mean and scale.

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta``. In training, mean and variance
    are those of the batch, and moving averages of them are kept; otherwise the averages are used.

    Parameters
    ----------
    axis : int
        The axis of the features, such as 1 after a layer with channels first. Default -1. The
        statistics are taken over all others.
    momentum : float
        How much of the moving averages remains at each step, from 0 to 1. Default 0.99.
    epsilon : float
        Added to the variance, at least 0. Default 0.001.
    center, scale : bool
        Whether there is a beta and a gamma. Default True. Without, they count as 0 and 1.
    beta_initializer, gamma_initializer : str, dict or Initializer
        Default ``'zeros'`` and ``'ones'``.
    moving_mean_initializer, moving_variance_initializer : str, dict or Initializer
        Default ``'zeros'`` and ``'ones'``.
    beta_regularizer, gamma_regularizer : str, dict or Regularizer, optional
        Penalties on beta and gamma.
    beta_constraint, gamma_constraint : str, dict or Constraint, optional
        Applied after each update.
    **kwargs
        See `Layer`.

    Notes
    -----
    Input and output ``(batch, ...)``. Weights: gamma, beta, moving mean and moving variance, each
    ``(features,)``.

    As in Keras 2.2.4, the variance that goes into the moving average is multiplied by
    ``n / (n - 1 - epsilon)``, n being the number of entries of a feature in the batch (where
    that factor is not positive, by 1). And a layer with ``trainable=False`` still normalizes
    by the batch in training; only its weights and its averages stay as they are (the same in a
    frozen model). In later versions it uses its averages. The averages follow the plain rule
    ``average = momentum * average + (1 - momentum) * statistic``; 2.2.4 on TensorFlow also
    divided by what the start still counted for, which forgot loaded averages at the first step.

    References
    ----------
    Ioffe and Szegedy (2015), "Batch Normalization: Accelerating Deep Network Training by
    Reducing Internal Covariate Shift", arXiv:1502.03167.

    Examples
    --------
    >>> layer = BatchNormalization(epsilon=0.0, momentum=0.5)
    >>> layer(np.array([[1.0], [3.0]]), training=True).tolist()
    [[-1.0], [1.0]]
    >>> layer.moving_mean.value.tolist(), layer.moving_variance.value.tolist()
    ([1.0], [1.5])
    """

    supports_masking = True

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis_number(axis, "axis", self)
        self.momentum = finite(momentum, "momentum", self, minimum=0, maximum=1)
        self.epsilon = finite(epsilon, "epsilon", self, minimum=0)
        self.center = center
        self.scale = scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.input_spec = InputSpec(min_ndim=1 + abs(self.axis))

    def build(self, input_shape: Shape) -> None:
        """Make gamma, beta and the moving statistics."""
        size = known_size(input_shape, self.axis, self)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(
                "gamma",
                (size,),
                initializer=self.gamma_initializer,
                regularizer=self.gamma_regularizer,
                constraint=self.gamma_constraint,
            )
        if self.center:
            self.beta = self.add_weight(
                "beta",
                (size,),
                initializer=self.beta_initializer,
                regularizer=self.beta_regularizer,
                constraint=self.beta_constraint,
            )
        self.moving_mean = self.add_weight(
            "moving_mean", (size,), initializer=self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance",
            (size,),
            initializer=self.moving_variance_initializer,
            trainable=False,
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        self.built = True

    def forward(self, x: np.ndarray, ctx: Context) -> tuple[np.ndarray, Any]:
        """Normalize; in training, also update the moving statistics of a layer not frozen."""
        gamma, beta = _value(self.gamma), _value(self.beta)
        axes, out = self._reduced_axes(x.ndim), ctx.empty(x.shape, x.dtype)
        if not ctx.training:
            mean, variance = self.moving_mean.value, self.moving_variance.value
            y = batch_norm_inference(x, gamma, beta, mean, variance, axes, self.epsilon, out=out)
            return y, x
        y, mean, variance, residual = batch_norm_train(x, gamma, beta, axes, self.epsilon, out=out)
        if self.trainable and not ctx.frozen:
            self._update_statistics(mean, variance, x.size // x.shape[self.axis])
        return y, residual

    def backward(self, dy: np.ndarray, residual: Any, ctx: Context) -> np.ndarray | None:
        """Differentiate, in training also by way of the batch's mean and variance."""
        need_dx = ctx.needs_input_gradient
        out = dy if dy.flags.c_contiguous or not need_dx else ctx.empty(dy.shape, dy.dtype)
        if isinstance(residual, TrainingResidual):
            dx, dgamma, dbeta = batch_norm_train_backward(dy, residual, need_dx, out=out)
        else:
            dx, dgamma, dbeta = batch_norm_inference_backward(
                dy,
                residual,
                _value(self.gamma),
                self.moving_mean.value,
                self.moving_variance.value,
                self._reduced_axes(dy.ndim),
                self.epsilon,
                need_dx,
                out=out,
            )
        for weight, gradient in ((self.gamma, dgamma), (self.beta, dbeta)):
            if weight is not None and gradient is not None:
                ctx.add_gradient(weight, gradient)
        return dx

    def _reduced_axes(self, rank: int) -> tuple[int, ...]:
        return tuple(axis for axis in range(rank) if axis != self.axis % rank)

    def _update_statistics(self, mean: np.ndarray, variance: np.ndarray, n: int) -> None:
        """Move the averages towards the statistics of a batch with `n` entries a feature."""
        freedom = n - 1 - self.epsilon
        if freedom > 0:
            variance = variance * (n / freedom)
        for average, statistic in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.value *= self.momentum
            average.value += statistic * (1 - self.momentum)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            "beta_initializer": initializers.serialize(self.beta_initializer),
            "gamma_initializer": initializers.serialize(self.gamma_initializer),
            "moving_mean_initializer": initializers.serialize(self.moving_mean_initializer),
            "moving_variance_initializer": initializers.serialize(self.moving_variance_initializer),
            "beta_regularizer": regularizers.serialize(self.beta_regularizer),
            "gamma_regularizer": regularizers.serialize(self.gamma_regularizer),
            "beta_constraint": constraints.serialize(self.beta_constraint),
            "gamma_constraint": constraints.serialize(self.gamma_constraint),
        }


def _value(weight: Variable | None) -> np.ndarray | None:
    return None if weight is None else weight.value
