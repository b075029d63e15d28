"""Data sets that load in one call, as arrays of NumPy."""

from minikeras.datasets import digits, mnist

__all__ = ["digits", "mnist"]
