"""Keras' older address of `Layer`, `InputSpec` and `Input`."""

from minikeras.engine import Input, InputLayer, InputSpec, Layer

__all__ = ["Input", "InputLayer", "InputSpec", "Layer"]
