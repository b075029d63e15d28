"""Writes backend.npz, from Keras 2.2.4 itself. How to install it is in check_keras_2_2_4.py.

    golden-env/bin/python -m tests.golden.generate_backend keras224        # one minute

What is compared, and with what inputs, is in backend_cases.py and its neighbours.
"""

from __future__ import annotations

import inspect
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import backend_layer_cases  # noqa: F401 - its cases enter those of backend_cases
from . import keras_2_2_4 as patches
from .backend_cases import CASES, PROGRAMS, Case, flattened
from .backend_programs import RANDOM, Random
from .check_keras_2_2_4 import import_keras
from .reader import Group, pack

HERE = Path(__file__).resolve().parent


def signatures(K: Any) -> dict[str, list[list[Any]]]:
    """The arguments of each public function of the backend: name, kind, and a default if any."""
    return {
        name: [
            [p.name, int(p.kind)] + ([] if p.default is p.empty else [p.default])
            for p in inspect.signature(function).parameters.values()
        ]
        for name, function in sorted(vars(K).items())
        if not name.startswith(("_", "py_"))
        and inspect.isfunction(function)
        and function.__module__.startswith("keras.backend")
    }


def is_tensor(x: Any) -> bool:
    """Whether it is of TensorFlow."""
    return hasattr(x, "dtype") and hasattr(x, "graph")


def store(name: str, parts: dict[str, Any]) -> Group:
    """The arrays of a case as float32; their types, and what is no array, as text."""
    group: Group = {}
    types: dict[str, str] = {}
    plain: dict[str, Any] = {}
    for key, value in parts.items():
        if value is None or isinstance(value, (bool, int, float, str)):
            plain[key] = value
        else:
            value = np.asarray(value)
            types[key] = str(value.dtype)
            group[f"{name}/{key}"] = value.astype(np.float32)
            if value.dtype.kind != "f":
                np.testing.assert_array_equal(group[f"{name}/{key}"], value)
    group[f"{name}/about"] = np.array(json.dumps({"types": types, "plain": plain}))
    return group


def ask(K: Any, case: Case) -> Group:
    """The results of a case, and the gradients of their sum, weighted, by the inputs."""
    import tensorflow as tf  # not before import_keras, which says how

    K.clear_session()
    arrays = case.arrays()
    inputs = [K.placeholder(a.shape, dtype=str(a.dtype)) for a in arrays]

    def value(tensor: Any) -> Any:
        """One at a time: K.rnn's output array can be read only once in a run."""
        if not is_tensor(tensor):
            return tensor
        # Rows of an embedding's gradient are added up.
        tensor = tf.convert_to_tensor(tensor)
        return K.get_session().run(tensor, dict(zip(inputs, arrays, strict=True)))

    parts: dict[str, Any] = {f"gradient{i}": None for i in case.by}
    for i, result in enumerate(case.run(K, inputs)):
        parts[f"result{i}"] = found = value(result)
        if not is_tensor(result) or found.dtype != np.float32:
            continue
        weighted = K.sum(result * K.constant(case.upstream(i, found.shape)))
        gradients = K.gradients(weighted, [inputs[j] for j in case.by])
        for j, gradient in zip(case.by, gradients, strict=True):
            key = f"gradient{j}"
            if gradient is not None:
                before = parts[key]
                parts[key] = value(gradient) + (0 if before is None else before)
    return store(case.name, parts)


def run_program(K: Any, name: str) -> Group:
    """What a program returns, part by part."""
    K.clear_session()
    parts = flattened(PROGRAMS[name].run(K))
    return store(name, {f"result{i}": part for i, part in enumerate(parts)})


def check_random(K: Any, case: Random) -> None:
    """See that real random numbers have the moments that the case expects."""
    K.clear_session()
    inputs = [K.constant(x) for x in case.inputs]
    case.check(K.eval(getattr(K, case.function)(*inputs, **case.arguments)))


def generate(keras: Any) -> Group:
    """All cases."""
    from tf_keras.src import backend as tf_keras_backend

    K = keras.backend
    group = {"signatures/json": np.array(json.dumps(signatures(K)))}
    failures = []

    def attempt(what: str, work: Callable[..., Group | None], *arguments: Any) -> None:
        try:
            group.update(work(K, *arguments) or {})
        except Exception as error:
            failures.append(f"{what}: {type(error).__name__} {str(error)[:200]}")

    for name, case in CASES.items():
        oracle = tf_keras_backend if case.oracle == "tf-keras" else K
        attempt(name, lambda K, oracle, case: ask(oracle, case), oracle, case)
    with patches.plain_moving_averages(keras):
        for name in PROGRAMS:
            attempt(name, run_program, name)
    for random in RANDOM:
        attempt(str(random), check_random, random)
    if failures:
        raise RuntimeError("\n".join(["2.2.4 can't run these:", *failures]))
    return group


def main(site: str) -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    group = generate(import_keras(site))
    path = HERE / "backend.npz"
    np.savez_compressed(path, **pack(group))
    print(
        f"{path.name} {len(CASES)} cases, {len(PROGRAMS)} programs, {path.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main(sys.argv[1])
