"""Writes recurrent.npz, from Keras 2.2.4 itself. How to install it is in check_keras_2_2_4.py.

    golden-env/bin/python -m tests.golden.generate_recurrent keras224

tf-keras differs from 2.2.4 in most of what the recurrent layers do by default, and in masks.
check_recurrent_tf_keras.py computes the same cases there, and says where.
"""

from __future__ import annotations

import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from . import keras_2_2_4 as oracle
from . import recurrent_networks  # noqa: F401 - its cases enter those of recurrent_cases
from .check_keras_2_2_4 import import_keras
from .configs import Config, coarse, layer, random_for
from .keras_2_2_4 import Arrays
from .reader import pack, read_groups
from .recurrent_cases import ADAGRAD, ADAM, BATCH, CASES, GAPS, OPTIONS, RMSPROP
from .recurrent_events import EVENTS, events_case
from .recurrent_sequences import CALLS, SEQUENCES, call_case, sequence_case

HERE = Path(__file__).resolve().parent
STEPS = 5
# The largest rate of these at which each step makes the loss smaller; else the smallest.
RATES = (0.5, 0.1, 0.02)
# None stands for SGD at one of the rates.
OPTIMIZERS: tuple[Config | None, ...] = (None, None, None, RMSPROP, ADAM, ADAGRAD)


def inputs(shape: tuple[int, ...], options: Config, rng: np.random.Generator) -> np.ndarray:
    """A batch for a network; `gaps` are what a mask hides."""
    if "indices" in options:
        low = 1 if "gaps" in options else 0
        x = rng.integers(low, max(low + 1, options["indices"]), (BATCH, *shape))
        if options.get("distinct"):
            x = rng.permutation(options["indices"])[: x.size].reshape(x.shape)
        x = x.astype(np.float32)
    else:
        x = coarse(rng.normal(size=(BATCH, *shape)))
    gaps = options.get("gaps")
    for i, steps in enumerate(GAPS if gaps is True else gaps or []):
        x[i, steps] = options.get("gap_value", 0.0)
    return x


def targets(output: np.ndarray, kind: str | None, rng: np.random.Generator) -> np.ndarray:
    """What the network shall learn."""
    y = coarse(rng.normal(size=output.shape))
    if kind == "binary":
        return (y > 0).astype(np.float32)
    if kind == "one_hot":
        return np.eye(y.shape[-1], dtype=np.float32)[y.argmax(-1)]
    return y.argmax(-1)[..., None].astype(np.float32) if kind == "sparse" else y


def sample_weights(kind: str | None, y: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """Weights for samples or for their steps, zero among them."""
    if kind is None:
        return None
    return rng.choice([0.0, 0.5, 1.0, 2.0], y.shape[: 2 if kind == "temporal" else 1])


def train(model: Any, start: list[np.ndarray], *batch: Any) -> np.ndarray:
    """The losses of five steps from the given weights."""
    model.set_weights(start)
    model.reset_states()
    return np.array([model.train_on_batch(*batch) for _ in range(STEPS)])


def network_case(keras: Any, name: str) -> Arrays:
    """One network and its five steps."""
    layers, options = CASES[name], OPTIONS[name]
    rng = random_for(name)
    K = keras.backend
    K.clear_session()
    K.set_image_data_format(options.get("image_data_format", "channels_last"))
    model = oracle.build(keras, layers)
    start = oracle.random_weights(model, rng)
    x = inputs(model.input_shape[1:], options, rng)
    model.set_weights(start)
    output = model.predict(x)
    y = targets(output, options.get("targets"), rng)
    weights = sample_weights(options.get("weights"), y, rng)
    given = options.get("optimizer", OPTIMIZERS[zlib.crc32(name.encode()) % len(OPTIMIZERS)])
    parts: dict[str, Any] = {
        "config": layers,
        "x": x,
        "y": y,
        "weights0": start,
        "output": output,
        "sample_weight": weights,
        "loss": options.get("loss"),
        "image_data_format": options.get("image_data_format"),
    }
    if options.get("weights") == "temporal":
        parts["sample_weight_mode"] = "temporal"
    for rate in RATES:
        parts["optimizer"] = given or layer("SGD", lr=rate)
        rule = keras.optimizers.deserialize(dict(parts["optimizer"]))
        model.compile(
            rule,
            options.get("loss", "mean_squared_error"),
            sample_weight_mode=parts.get("sample_weight_mode"),
        )
        if any("BatchNormalization" in str(entry) for entry in layers):
            run = K.function([model.input, K.learning_phase()], [model.output])
            parts["output_training"] = run([x, 1])[0]
        losses = train(model, start, x, y, weights)
        if given or (np.diff(losses) < 0).all():
            break
    parts |= {"losses": losses, "weights5": model.get_weights()}
    if "output_training" in parts:
        parts["output5"] = model.predict(x)
    K.set_image_data_format("channels_last")
    return oracle.case_arrays(name, parts)


def generate(keras: Any) -> Arrays:
    """All cases."""
    arrays = oracle.case_arrays("common", {"loss": "mean_squared_error"})
    with oracle.plain_moving_averages(keras):
        for name in CASES:
            arrays.update(network_case(keras, name))
    for name in EVENTS:
        arrays.update(events_case(keras, name))
    for name in SEQUENCES:
        arrays.update(sequence_case(keras, name))
    for name in CALLS:
        arrays.update(call_case(keras, name))
    return arrays


def main(site: str) -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    arrays = generate(import_keras(site))
    path = HERE / "recurrent.npz"
    np.savez_compressed(path, **pack(arrays))
    print(f"{path.name} {len(read_groups(path))} cases {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
