"""What all layers stand on: `Layer`, `InputSpec`, `Input` and the pass through a network."""

from minikeras.backend.context import Context, Workspace
from minikeras.engine.base_layer import InputSpec, Layer
from minikeras.engine.input_layer import Input, InputLayer

__all__ = ["Context", "Input", "InputLayer", "InputSpec", "Layer", "Workspace"]
