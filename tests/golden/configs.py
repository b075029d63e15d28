"""What all lists of cases are written with. Needs no TensorFlow."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

Config = dict[str, Any]
Layers = list[Config]


def random_for(name: str) -> np.random.Generator:
    """A generator of the case's own, so that a new case does not change its neighbours."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def layer(class_name: str, **config: Any) -> Config:
    """One entry of a config list."""
    return {"class_name": class_name, "config": config}


def coarse(values: np.ndarray, parts: int = 8) -> np.ndarray:
    """Round to few digits, which take less room in the file."""
    return (np.round(values * parts) / parts).astype(np.float32)
