"""Reads the golden files. Needs NumPy only; the format is described in README.md."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
Group = dict[str, np.ndarray]


@dataclass
class Case:
    """A network, its data, and what Keras made of them in five steps on one batch.

    A case for inference only has None for `loss`, `optimizer`, `losses` and `y`, and no
    `weights5`. `extra` holds what only some cases have, by key: `output_training`, `output5`,
    `weights5_tensorflow/<i>`.
    """

    name: str
    layers: list[dict[str, Any]]
    x: np.ndarray
    output: np.ndarray
    weights0: list[np.ndarray]
    weights5: list[np.ndarray]
    loss: str | None = None
    optimizer: dict[str, Any] | None = None
    y: np.ndarray | None = None
    losses: np.ndarray | None = None
    sample_weight: np.ndarray | None = None
    sample_weight_mode: str | None = None
    image_data_format: str = "channels_last"
    slots: list[np.ndarray] = field(default_factory=list)
    extra: Group = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


@dataclass
class FunctionCase:
    """A function by its Keras name, its keyword arguments, and arrays in and out by key."""

    name: str
    function: str
    kwargs: dict[str, Any]
    arrays: Group

    def __str__(self) -> str:
        return self.name


def read_groups(path: str | Path) -> dict[str, Group]:
    """All arrays of a file as `{case: {key: array}}`; a bare name is taken from this folder.

    What a file keeps under `common/` once, every case of the file has.
    """
    groups: dict[str, Group] = {}
    with np.load(HERE / path, allow_pickle=False) as file:
        arrays = unpack(file["index"], file["numbers"]) if "index" in file else dict(file)
    for entry, array in arrays.items():
        case, _, key = entry.partition("/")
        groups.setdefault(case, {})[key] = array
    common = groups.pop("common", {})
    return {case: {**common, **group} for case, group in groups.items()}


def pack(arrays: Group) -> Group:
    """Put texts and float32 arrays into two arrays: a file has 250 bytes more for each it holds."""
    index = {
        name: str(array) if array.dtype.kind == "U" else array.shape
        for name, array in arrays.items()
    }
    numbers = [array.ravel() for array in arrays.values() if array.dtype.kind != "U"]
    return {"index": np.array(json.dumps(index)), "numbers": np.concatenate(numbers)}


def unpack(index: np.ndarray, numbers: np.ndarray) -> Group:
    """Undo `pack`."""
    arrays: Group = {}
    start = 0
    for name, entry in json.loads(str(index)).items():
        if isinstance(entry, str):
            arrays[name] = np.array(entry)
        else:
            stop = start + math.prod(entry)
            arrays[name] = numbers[start:stop].reshape(entry)
            start = stop
    return arrays


def iter_cases(path: str | Path) -> Iterator[Case]:
    """Yield the network cases of a golden file, in the order in which they were written."""
    for name, group in read_groups(path).items():
        if "config" not in group:
            continue
        if "losses" not in group:  # for inference only: what is common to the others is not its
            group = {k: v for k, v in group.items() if k not in ("loss", "optimizer")}
        optimizer = group.pop("optimizer", None)
        yield Case(
            name=name,
            layers=json.loads(str(group.pop("config"))),
            loss=_text(group.pop("loss", None)),
            optimizer=None if optimizer is None else json.loads(str(optimizer)),
            x=group.pop("x"),
            y=group.pop("y", None),
            sample_weight=group.pop("sample_weight", None),
            sample_weight_mode=_text(group.pop("sample_weight_mode", None)),
            image_data_format=str(group.pop("image_data_format", "channels_last")),
            output=group.pop("output"),
            losses=group.pop("losses", None),
            weights0=_pop_list(group, "weights0"),
            weights5=_pop_list(group, "weights5"),
            slots=_pop_list(group, "slots"),
            extra=group,
        )


def iter_functions(path: str | Path) -> Iterator[FunctionCase]:
    """Yield the function cases (activations, loss and metric values) of a golden file."""
    for name, group in read_groups(path).items():
        if "function" not in group:
            continue
        function = str(group.pop("function"))
        yield FunctionCase(name, function, json.loads(str(group.pop("kwargs", "{}"))), group)


def arrays_under(group: Group, key: str) -> list[np.ndarray]:
    """The list of arrays that a group holds as `key/0`, `key/1`, ..."""
    return _pop_list(dict(group), key)


def _text(array: np.ndarray | None) -> str | None:
    return None if array is None else str(array)


def _pop_list(group: Group, key: str) -> list[np.ndarray]:
    arrays: list[np.ndarray] = []
    while f"{key}/{len(arrays)}" in group:
        arrays.append(group.pop(f"{key}/{len(arrays)}"))
    return arrays
