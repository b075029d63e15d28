"""The moving statistics of Keras 2.2.4's BatchNormalization, in float64 NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np


class MovingStatistics:
    """Follows the inputs of one BatchNormalization layer over its training steps.

    `plain` is the moving average that 2.2.4's layer asks its backend for, with its factor
    n / (n - 1 - epsilon) on the variance. `tensorflow` is what its TensorFlow backend makes
    of it: an average without starting value (zero-debiased, so that the first step already
    gives the batch's own statistics) and, for four axes with the channels last, a variance
    that the fused kernel has multiplied by n / (n - 1) before.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.plain = [layer.moving_mean.numpy(), layer.moving_variance.numpy()]
        self.tensorflow = list(self.plain)
        self.sums = [np.zeros(array.shape) for array in self.plain]
        self.steps = 0

    def see(self, x: np.ndarray) -> None:
        """Take one training batch into account; a frozen layer keeps its statistics."""
        if not self.layer.trainable:
            return
        x = x.astype(np.float64)
        axis = self.layer.axis[0] % x.ndim
        others = tuple(i for i in range(x.ndim) if i != axis)
        n = x.size / x.shape[axis]
        variance = x.var(others) * n / (n - 1 - self.layer.epsilon)
        fused = n / (n - 1) if x.ndim == 4 and axis == 3 else 1.0
        rate = 1 - self.layer.momentum
        batch = [x.mean(others), variance]
        self.plain = [old + rate * (new - old) for old, new in zip(self.plain, batch, strict=True)]
        self.steps += 1
        for i, new in enumerate([batch[0], batch[1] * fused]):
            self.sums[i] = self.sums[i] + rate * (new - self.sums[i])
            self.tensorflow[i] = self.sums[i] / (1 - self.layer.momentum**self.steps)
