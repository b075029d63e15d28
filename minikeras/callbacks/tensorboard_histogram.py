"""Histograms in the buckets that TensorFlow uses."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np


@functools.cache
def _limits() -> np.ndarray:
    """Return the upper ends of the buckets: 10 % apart, in both directions from 0."""
    positive = [1e-12]
    while positive[-1] * 1.1 < 1e20:
        positive.append(positive[-1] * 1.1)
    positive.append(sys.float_info.max)
    return np.array([-limit for limit in reversed(positive)] + [0.0] + positive)


class Histogram:
    """Counts the values of arrays.

    Attributes
    ----------
    count : int
        How many finite values there were. Others are left out.
    left_out : int
        How many were NaN or infinite.

    Examples
    --------
    >>> histogram = Histogram()
    >>> histogram.add(np.array([1.0, 2.0]))
    >>> histogram.add(np.array([2.0, np.nan]))
    >>> histogram.count, histogram.left_out, histogram.sum
    (3, 1, 5.0)
    """

    def __init__(self) -> None:
        self.count = self.left_out = 0
        self.least, self.most = np.inf, -np.inf
        self.sum = self.sum_of_squares = 0.0
        self._counts = np.zeros(len(_limits()), np.int64)

    def add(self, array: np.ndarray) -> None:
        """Count the values of an array, of any shape."""
        values = np.asarray(array, np.float64).reshape(-1)
        finite = np.isfinite(values)
        if not finite.all():
            values = values[finite]
            self.left_out += len(finite) - len(values)
        if not len(values):
            return
        self.count += len(values)
        self.least = min(self.least, float(values.min()))
        self.most = max(self.most, float(values.max()))
        with np.errstate(over="ignore"):
            self.sum += float(values.sum())
            self.sum_of_squares += float(values @ values)
        # A value that is a limit belongs to the bucket above.
        buckets = np.searchsorted(_limits()[:-1], values, side="right")
        self._counts += np.bincount(buckets, minlength=len(self._counts))

    def proto(self) -> Any:
        """Return a HistogramProto. A run of empty buckets is one."""
        from tensorboardX.proto.summary_pb2 import HistogramProto

        filled = self._counts > 0
        # A bucket is told from the one above, so the last empty one below a full one stays.
        kept = filled | np.append(filled[1:], True)
        return HistogramProto(
            min=self.least,
            max=self.most,
            num=self.count,
            sum=self.sum,
            sum_squares=self.sum_of_squares,
            bucket_limit=_limits()[kept].tolist(),
            bucket=self._counts[kept].tolist(),
        )
