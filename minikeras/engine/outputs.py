"""A layer's output: nearly always one array, but a list of them from a layer with several."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_list(arrays: Any) -> list[np.ndarray]:
    """Return outputs, or their gradients, as a list, be it one array."""
    return arrays if type(arrays) is list else [arrays]


def as_shape(shape: Any) -> Any:
    """Return a shape as a tuple, and the shapes of several outputs as a list of tuples.

    Examples
    --------
    >>> as_shape([None, 3]), as_shape([(None, 3), [None, 2]])
    ((None, 3), [(None, 3), (None, 2)])
    """
    if isinstance(shape, list) and shape and isinstance(shape[0], (tuple, list)):
        return [tuple(one) for one in shape]
    return tuple(shape)


def keeps(promised: Any, found: Any) -> bool:
    """Return whether the shapes that were found are those promised, where None promises nothing.

    Examples
    --------
    >>> keeps((None, 3), (2, 3)), keeps([(None, 3)], (2, 3))
    (True, False)
    """
    if type(promised) is not type(found) or len(promised) != len(found):
        return False
    if type(found) is list:
        return all(map(keeps, promised, found))
    return all(want in (None, have) for want, have in zip(promised, found, strict=True))
