"""What makes data ready for a model."""

from minikeras.preprocessing import sequence

__all__ = ["sequence"]
