"""Random arrays that NumPy doesn't draw by itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minikeras.ops.blas import one_thread


def truncated_normal(
    generator: np.random.Generator, shape: tuple[int, ...], dtype: Any
) -> np.ndarray:
    """Draw standard normal values between -2 and 2: others are drawn again."""
    values = generator.standard_normal(math.prod(shape), dtype)
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        values[outside] = generator.standard_normal(outside.size, dtype)
        outside = outside[np.abs(values[outside]) > 2]
    return values.reshape(shape)


def orthogonal(generator: np.random.Generator, rows: int, columns: int, dtype: Any) -> np.ndarray:
    """Draw a matrix whose columns, or rows if those are fewer, are orthonormal, uniformly.

    References
    ----------
    Mezzadri (2007), "How to generate random matrices from the classical compact groups",
    arXiv:math-ph/0609050.
    """
    tall = (max(rows, columns), min(rows, columns))
    # The many small products inside are slower by far if OpenBLAS' threads meet at each.
    with one_thread(inside=True):
        q, r = np.linalg.qr(generator.standard_normal(tall, dtype))
    q *= np.copysign(np.ones(len(r), r.dtype), np.diagonal(r))
    return q if rows >= columns else q.T
