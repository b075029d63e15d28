"""Golden parity files: numbers recorded from real Keras, and a reader for them."""

from __future__ import annotations

from .reader import Case, FunctionCase, iter_cases, iter_functions

__all__ = ["Case", "FunctionCase", "iter_cases", "iter_functions"]
