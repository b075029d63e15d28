"""Data sets that load in one call, as arrays of NumPy."""

from minikeras.datasets import authors, digits, imdb, mnist

__all__ = ["authors", "digits", "imdb", "mnist"]
