"""Writes histories.json, from Keras 2.2.4 itself. How to install it is in check_keras_2_2_4.py.

    golden-env/bin/python -m tests.golden.generate_histories keras224      # five minutes

What is run is in history_cases.py and its neighbours. For what 2.2.4 has not, tf-keras is asked,
in a process of its own (without an argument this script is that process).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import history_callback_cases, history_use_cases  # noqa: F401 - cases enter CASES
from .history_cases import CASES, Case, Data

HERE = Path(__file__).resolve().parent


def plain(value: Any) -> Any:
    """What JSON can hold; floats with nine digits, which tell all of float32 apart."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return plain(value.tolist())
    return float(f"{value:.9g}") if isinstance(value, float) else value


def ask(keras: Any, name: str, run: Callable[[Any, Data], Any]) -> Any:
    """The answer of Keras to a case."""
    keras.backend.clear_session()
    np.random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        return plain(run(keras, Data(name, Path(folder))))


def answer(keras: Any, case: Case) -> dict[str, Any]:
    """What is expected, and what 2.2.4 does instead where it is not followed."""
    if not case.instead:
        return {case.name: ask(keras, case.name, case.run)}
    return {
        case.name: ask(keras, case.name, case.instead),
        f"{case.name} (2.2.4)": ask(keras, case.name, case.run),
    }


def answers(keras: Any, oracle: str) -> dict[str, Any]:
    """The answers to all cases for one oracle; the environment's `CASES` may name some."""
    wanted = os.environ.get("CASES", "").split()
    found: dict[str, Any] = {}
    for case in CASES.values():
        if case.oracle == oracle and (not wanted or case.name in wanted):
            found |= answer(keras, case)
    for name, value in found.items():
        # Only a loss that TerminateOnNaN has seen may be none.
        json.dumps(value, allow_nan=name.startswith("terminate_on_nan"))
    return found


def from_tf_keras() -> None:
    """Print the answers of tf-keras."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tf_keras

    with contextlib.redirect_stdout(sys.stderr):
        found = answers(tf_keras, "tf_keras")
    print(json.dumps(found))


def main(site: str) -> None:
    """Write the file."""
    from .check_keras_2_2_4 import import_keras
    from .keras_2_2_4 import plain_moving_averages

    warnings.simplefilter("ignore")
    vars(np)["Inf"] = np.inf  # 2.2.4's callbacks know it by this name, NumPy 2 does not
    keras = import_keras(site)
    with plain_moving_averages(keras):
        found = answers(keras, "keras")
    command = [sys.executable, "-m", "tests.golden.generate_histories"]
    later = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found |= json.loads(later.stdout)
    path = Path(os.environ.get("OUT", HERE / "histories.json"))
    lines = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{path.name} {len(CASES)} cases, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        from_tf_keras()
