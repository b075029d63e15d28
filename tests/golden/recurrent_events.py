"""Cases of recurrent.npz that are stories: states carried over, set and reset; masks in metrics."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import keras_2_2_4 as oracle
from .configs import Config, Layers, coarse, layer, random_for
from .keras_2_2_4 import Arrays
from .recurrent_cases import BATCH, FEATURES, GAPS, STEPS, cell, stacked

EVENTS: dict[str, Config] = {}
SGD = layer("SGD", lr=0.1)


def does(what: str, **arguments: Any) -> Config:
    """One event."""
    return {"do": what, **arguments}


def story(name: str, layers: Layers, *events: Config, **compiled: Any) -> None:
    """Enter a case."""
    compiled = {"optimizer": SGD, "loss": "mean_squared_error", **compiled}
    EVENTS[name] = {"network": layers, "compile": compiled, "events": list(events)}


# Three batches, all of the events of a stateful layer between them, and its states at the end.
CARRIED = [
    does("predict", x=0),
    does("predict", x=1),
    does("train_on_batch", x=0, y=0),
    does("test_on_batch", x=1, y=1),
    does("train_on_batch", x=2, y=2),
    does("states", layer=0),
    does("reset_states"),
    does("predict", x=0),
    does("reset_states", layer=0),
    does("predict", x=0),
    does("predict", x=0),
]
FIXED = {"stateful": True, "batch_input_shape": [BATCH, STEPS, FEATURES]}
MIXED = stacked(layer("GRUCell", units=2), cell("LSTMCell"))
STATEFUL: dict[str, Config] = {
    "simple_rnn": layer("SimpleRNN", units=3, **FIXED),
    "gru": layer("GRU", units=3, **FIXED),
    "gru_reset_after": layer("GRU", units=3, reset_after=True, **FIXED),
    "lstm": layer("LSTM", units=3, **FIXED),
    "lstm_backwards": layer("LSTM", units=3, go_backwards=True, **FIXED),
    "rnn": layer("RNN", cell=MIXED, **FIXED),
    "conv_lstm2d": layer(
        "ConvLSTM2D",
        filters=2,
        kernel_size=2,
        stateful=True,
        return_sequences=True,
        batch_input_shape=[BATCH, 3, 4, 3, 2],
    ),
}
for kind, entry in STATEFUL.items():
    story(f"carried_{kind}", [entry], *CARRIED)
both = layer("LSTM", units=2, stateful=True, return_sequences=True)
story(
    "carried_bidirectional",
    [layer("Bidirectional", layer=both, batch_input_shape=[BATCH, STEPS, FEATURES])],
    *[event for event in CARRIED if event["do"] != "states"],
)
story(
    "carried_stacked",
    [layer("LSTM", units=3, return_sequences=True, **FIXED), layer("GRU", units=2, stateful=True)],
    *CARRIED,
    does("states", layer=1),
)
# fit, evaluate and predict in batches: sample i of a batch follows sample i of the one before.
story(
    "carried_through_fit",
    [layer("LSTM", units=3, **FIXED), layer("Dense", units=2)],
    does("fit", x=3, y=3, batch_size=BATCH, epochs=2, shuffle=False),
    does("states", layer=0),
    does("evaluate", x=3, y=3, batch_size=BATCH),
    does("predict", x=3, batch_size=BATCH),
    does("reset_states"),
    does("predict", x=3, batch_size=BATCH),
)
story(
    "carried_any_length",
    [layer("LSTM", units=3, stateful=True, batch_input_shape=[BATCH, None, FEATURES])],
    *[does("predict", x=i) for i in (0, 4, 4, 0)],
    does("states", layer=0),
)
# Masked steps keep the state, and what it was is the output, from the first step on.
for kind in ("simple_rnn", "gru", "lstm"):
    entry = layer(STATEFUL[kind]["class_name"], units=3, stateful=True, return_sequences=True)
    story(
        f"carried_masked_{kind}",
        [layer("Masking", batch_input_shape=[BATCH, STEPS, FEATURES]), entry],
        does("predict", x=5),
        does("predict", x=5),
        does("train_on_batch", x=5, y=0),
        does("states", layer=1),
        does("predict", x=0),
    )
# States given.
for kind in ("simple_rnn", "gru", "lstm", "rnn"):
    count = {"simple_rnn": 1, "gru": 1, "lstm": 2, "rnn": 3}[kind]
    widths = [2, 3, 3] if kind == "rnn" else [3] * count
    story(
        f"given_{kind}",
        [STATEFUL[kind]],
        does("reset_states", layer=0, widths=widths),
        does("predict", x=0),
        does("states", layer=0),
        does("reset_states", layer=0, widths=widths),
        does("train_on_batch", x=0, y=0),
        does("predict", x=1),
    )
# Masks and weights in losses and metrics.
TAGGER = [
    layer("Masking", input_shape=[STEPS, FEATURES]),
    layer("GRU", units=3, return_sequences=True),
    layer("Dense", units=3, activation="softmax"),
]
BINARY = [*TAGGER[:2], layer("Dense", units=1, activation="sigmoid")]
MEASURED = [
    does("test_on_batch", x=5, y=0),
    does("evaluate", x=5, y=0, batch_size=3),
    does("train_on_batch", x=5, y=0),
    does("train_on_batch", x=5, y=0, sample_weight=0),
    does("test_on_batch", x=5, y=0, sample_weight=0),
]
ONE_HOT = {"loss": "categorical_crossentropy", "targets": "one_hot"}
METRICS = {"metrics": ["acc", "mae"], "weighted_metrics": ["acc", "mse"]}
for mode in (None, "temporal"):
    suffix = f"_{mode}" if mode else ""
    story(f"metrics{suffix}", TAGGER, *MEASURED, **ONE_HOT, **METRICS, sample_weight_mode=mode)
    story(
        f"metrics_binary{suffix}",
        BINARY,
        *MEASURED,
        loss="binary_crossentropy",
        targets="binary",
        sample_weight_mode=mode,
        **METRICS,
    )
story("metrics_last_output", [*TAGGER[:1], layer("LSTM", units=3)], *MEASURED, **METRICS)


def data(model: Any, compiled: Config, rng: np.random.Generator) -> dict[str, list[Any]]:
    """Inputs and targets: 0 to 2 and 5 one batch, 3 two batches, 4 of few steps, 5 with gaps."""
    shape = tuple(STEPS if size is None else size for size in model.input_shape[1:])
    sizes = [(BATCH, *shape)] * 3 + [(2 * BATCH, *shape), (BATCH, 2, *shape[1:]), (BATCH, *shape)]
    x = [coarse(rng.normal(size=size)) for size in sizes]
    if len(shape) == 2:
        for i, steps in enumerate(GAPS):
            x[5][i, steps] = 0
    y = []
    for size in sizes[:4]:
        value = rng.normal(size=(size[0], *model.output_shape[1:]))
        if compiled.get("targets") == "one_hot":
            value = np.eye(value.shape[-1])[value.argmax(-1)]
        y.append((value > 0) if compiled.get("targets") == "binary" else coarse(value))
    temporal = compiled.get("sample_weight_mode") == "temporal"
    weights = rng.choice([0.0, 0.5, 1.0, 2.0], (BATCH, STEPS)[: 1 + temporal])
    return {
        "x": x,
        "y": [np.asarray(value, np.float32) for value in y],
        "sample_weight": [weights.astype(np.float32)],
        "state": [coarse(rng.uniform(-1, 1, (BATCH, width))) for width in (2, 3, 3)],
    }


def happen(keras: Any, model: Any, event: Config, given: dict[str, list[Any]]) -> Any:
    """Let one event happen; return what it gives."""
    arguments = {key: value for key, value in event.items() if key not in ("do", "layer", "widths")}
    for key in ("x", "y", "sample_weight"):
        if key in arguments:
            arguments[key] = given[key][arguments[key]]
    if event["do"] == "states":
        return [keras.backend.get_value(state) for state in model.layers[event["layer"]].states]
    if event["do"] == "reset_states":
        target = model.layers[event["layer"]] if "layer" in event else model
        if "widths" in event:
            values = given["state"][3 - len(event["widths"]) :]
            return target.reset_states(values if len(values) > 1 else values[0])
        return target.reset_states()
    if event["do"] == "fit":
        return np.array(model.fit(verbose=0, **arguments).history["loss"])
    if event["do"] == "evaluate":
        arguments["verbose"] = 0
    return np.array(getattr(model, event["do"])(**arguments))


def events_case(keras: Any, name: str) -> Arrays:
    """One network and what happens to it."""
    entry = EVENTS[name]
    compiled = {key: value for key, value in entry["compile"].items() if value is not None}
    rng = random_for(name)
    keras.backend.clear_session()
    model = oracle.build(keras, entry["network"])
    start = oracle.random_weights(model, rng)
    model.set_weights(start)
    arguments = {key: value for key, value in compiled.items() if key != "targets"}
    rule = keras.optimizers.deserialize(dict(arguments.pop("optimizer")))
    model.compile(rule, **arguments)
    given = data(model, compiled, rng)
    parts: dict[str, Any] = {**entry, "compile": compiled, "weights0": start}
    used = {
        key: {e[key] for e in entry["events"] if key in e} for key in ("x", "y", "sample_weight")
    }
    for key, indices in used.items():
        parts |= {f"{key}/{i}": given[key][i] for i in indices}
    widths = next((e["widths"] for e in entry["events"] if "widths" in e), [])
    parts |= {f"state/{i}": given["state"][3 - len(widths) + i] for i in range(len(widths))}
    for i, event in enumerate(entry["events"]):
        parts[f"result/{i}"] = happen(keras, model, event, given)
    parts["weights_end"] = model.get_weights()
    return oracle.case_arrays(name, parts)
