"""Constraints: rules that weights are brought back to after each update.

A constraint is called with the value of a weight and returns the value it becomes. Norms are
taken along `axis`: 0 for a kernel ``(inputs, units)``, which gives each unit a norm, and
``[0, 1, 2]`` for a kernel ``(rows, columns, channels, filters)``, which gives each filter one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minikeras.backend import epsilon
from minikeras.utils.registry import Registry

Axis = int | Sequence[int] | None


class Constraint:
    """The base class of constraints.

    A subclass defines ``__call__(w)`` and, to be saved with a model, `get_config`. A plain
    function ``f(w)`` serves as a constraint, too.

    Examples
    --------
    >>> class AtMostOne(Constraint):
    ...     def __call__(self, w):
    ...         return np.minimum(w, 1)
    >>> get(AtMostOne)(np.array([0.5, 3.0])).tolist()
    [0.5, 1.0]
    """

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return what the weight `w` becomes; `w` itself is left as it is."""
        raise NotImplementedError(
            f"The constraint {type(self).__name__} does not say what it does: define "
            "__call__(self, w)."
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Constraint:
        """Make a constraint from what `get_config` returned."""
        return cls(**config)


class MaxNorm(Constraint):
    """Scale down weights whose norm is above a limit.

    Parameters
    ----------
    max_value : float
        The limit. Default 2.
    axis : int or sequence of int or None
        The axes along which norms are taken; None stands for all. Default 0.

    References
    ----------
    Srivastava et al. (2014), "Dropout: A Simple Way to Prevent Neural Networks from
    Overfitting", JMLR 15.

    Examples
    --------
    >>> MaxNorm(1.0)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(4).tolist()
    [[0.6, 0.3], [0.8, 0.4]]
    """

    def __init__(self, max_value: float = 2, axis: Axis = 0) -> None:
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return ``w * clip(norm, 0, max_value) / (epsilon + norm)``."""
        norms = _norms(w, self.axis)
        return w * (np.clip(norms, 0, float(self.max_value)) / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Set negative weights to zero.

    Examples
    --------
    >>> NonNeg()(np.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return ``max(w, 0)``."""
        return np.maximum(w, 0)


class UnitNorm(Constraint):
    """Scale weights to norm 1.

    Parameters
    ----------
    axis : int or sequence of int or None
        The axes along which norms are taken; None stands for all. Default 0.

    Examples
    --------
    >>> UnitNorm()(np.array([[3.0], [4.0]])).round(4).tolist()
    [[0.6], [0.8]]
    """

    def __init__(self, axis: Axis = 0) -> None:
        self.axis = axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return ``w / (epsilon + norm)``."""
        return w / (epsilon() + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Scale weights so that their norm lies between two limits, or moves towards them.

    Parameters
    ----------
    min_value, max_value : float
        The limits. Default 0 and 1.
    rate : float
        Which part of the way to go at each update, from 0 to 1: the norm becomes
        ``rate * clip(norm, min_value, max_value) + (1 - rate) * norm``. Default 1.
    axis : int or sequence of int or None
        The axes along which norms are taken; None stands for all. Default 0.

    Examples
    --------
    >>> MinMaxNorm(1.0, 2.0, rate=0.5)(np.array([[4.0]])).round(4).tolist()
    [[3.0]]
    """

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Axis = 0
    ) -> None:
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: np.ndarray) -> np.ndarray:
        """Return `w` with the norm of the formula above."""
        norms = _norms(w, self.axis)
        rate = float(self.rate)
        clipped = np.clip(norms, float(self.min_value), float(self.max_value))
        return w * ((rate * clipped + (1 - rate) * norms) / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }


def _norms(w: np.ndarray, axis: Axis) -> np.ndarray:
    """Return the Euclidean norms of `w` along `axis`, which stays as an axis of size 1."""
    axes = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    return np.sqrt(np.sum(np.square(w), axis=axes, keepdims=True))


# The names under which scripts know the classes, the last three from Keras 1.
max_norm = MaxNorm
non_neg = NonNeg
unit_norm = UnitNorm
min_max_norm = MinMaxNorm
maxnorm = MaxNorm
nonneg = NonNeg
unitnorm = UnitNorm

_registry = Registry(
    "constraint",
    {"MaxNorm": MaxNorm, "NonNeg": NonNeg, "UnitNorm": UnitNorm, "MinMaxNorm": MinMaxNorm},
    aliases={
        "max_norm": "MaxNorm",
        "non_neg": "NonNeg",
        "unit_norm": "UnitNorm",
        "min_max_norm": "MinMaxNorm",
        "maxnorm": "MaxNorm",
        "nonneg": "NonNeg",
        "unitnorm": "UnitNorm",
    },
)


def get(identifier: Any) -> Any:
    """Return the constraint that `identifier` names; None for None.

    Parameters
    ----------
    identifier : str, dict, class, callable or None
        A name such as ``'non_neg'``, a config, a class; a constraint or a function ``f(w)`` is
        returned as it is.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If `identifier` is none of these.

    Examples
    --------
    >>> get("max_norm").get_config()
    {'max_value': 2, 'axis': 0}
    """
    return None if identifier is None else _registry.get(identifier)


def serialize(constraint: Any) -> Any:
    """Return the config of a constraint, or the name of a function; None for None.

    Examples
    --------
    >>> serialize(UnitNorm(axis=1))
    {'class_name': 'UnitNorm', 'config': {'axis': 1}}
    """
    return _registry.serialize(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make a constraint from its name or its config.

    Parameters
    ----------
    config : str or dict
        What `serialize` returned.
    custom_objects : dict, optional
        Names that are known in this call only.

    Examples
    --------
    >>> deserialize({"class_name": "NonNeg", "config": {}})(np.array([-1.0])).tolist()
    [0.0]
    """
    return _registry.deserialize(config, custom_objects)
