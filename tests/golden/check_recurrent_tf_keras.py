"""Computes the networks of recurrent.npz, which come from Keras 2.2.4, again in tf-keras.

    golden-env/bin/python -m tests.golden.check_recurrent_tf_keras

Prints every case that differs by more than `TOLERANCE`. README.md says why each of them does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TOLERANCE = 1e-5
# What 2.2.4 does where a config says nothing.
DEFAULTS: dict[str, dict[str, Any]] = {
    "GRU": {"recurrent_activation": "hard_sigmoid", "reset_after": False, "implementation": 1},
    "LSTM": {"recurrent_activation": "hard_sigmoid", "implementation": 1},
    "ConvLSTM2D": {"recurrent_activation": "hard_sigmoid"},
}


def translated(entry: Any, batch: int) -> Any:
    """A config with 2.2.4's defaults, and penalties on outputs that aren't divided by the batch."""
    if isinstance(entry, list):
        return [translated(part, batch) for part in entry]
    if not isinstance(entry, dict):
        return entry
    found = {key: translated(value, batch) for key, value in entry.items()}
    if "class_name" in found:
        name = found["class_name"].removesuffix("Cell")
        found["config"] = {**DEFAULTS.get(name, {}), **found["config"]}
        if found["config"].get("activity_regularizer"):
            penalty = found["config"]["activity_regularizer"]["config"]
            penalty |= {key: value * batch for key, value in penalty.items()}
    return found


def differences(case: Any) -> Iterator[tuple[str, float]]:
    """Compare one network case, part by part."""
    import tf_keras

    from . import oracle

    entries = translated(case.layers, len(case.x))
    model = tf_keras.Sequential([tf_keras.layers.deserialize(entry) for entry in entries])
    oracle.set_weights(model, case.weights0)
    yield "output", oracle.distance(oracle.predict(model, case.x), case.output)
    model.reset_states()
    optimizer = oracle.build_optimizer(case.optimizer)
    losses = oracle.train(model, optimizer, case.loss, case.x, case.y, case.sample_weight)
    yield "losses", oracle.distance(losses, case.losses)
    for i, (a, b) in enumerate(zip(oracle.get_weights(model), case.weights5, strict=True)):
        yield f"weights5/{i}", oracle.distance(a, b)


def main() -> None:
    """Check all networks."""
    from .reader import iter_cases

    agreeing, largest, number = 0, 0.0, 0
    for case in iter_cases("recurrent.npz"):
        try:
            found = list(differences(case))
        except Exception as error:
            print(f"  {case} can't be computed: {str(error).splitlines()[0]}")
            continue
        number += len(found)
        worst = max(gap for _, gap in found)
        if worst <= TOLERANCE:
            agreeing, largest = agreeing + 1, max(largest, worst)
        else:
            parts = ", ".join(f"{part} {gap:.1e}" for part, gap in found if gap > TOLERANCE)
            print(f"  {case}: {parts}", flush=True)
    print(f"{agreeing} networks agree, {number} comparisons, at most {largest:.1e}")


if __name__ == "__main__":
    sys.exit(main())
