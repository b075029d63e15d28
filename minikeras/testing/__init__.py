"""Checking derivatives: of a layer, a loss, a regularizer or a whole model, in one call.

The gradient that ``backward`` computes, or the tape, is compared with central differences of
``forward``, ``(f(a + h) - f(a - h)) / 2h``, entry by entry and in float64. Use it on your own
layers; the tests of this library use it on all of its own.
"""

from minikeras.testing.differences import GradientError, Report
from minikeras.testing.gradients import check_gradients

__all__ = ["GradientError", "Report", "check_gradients"]
