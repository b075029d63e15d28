"""Cases of recurrent.npz that are one call of one layer: all states, all derivatives, dropout.

`SEQUENCES` have given initial states and derivatives by everything, for the ops; where there is
dropout, its masks are given. `CALLS` are layers with `return_state`, and other lists as output.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from . import keras_2_2_4 as oracle
from .configs import Config, coarse, layer, random_for
from .keras_2_2_4 import Arrays
from .recurrent_cases import BATCH, GAPS, KINDS, STEPS, cell, stacked

WIDTH = 3
MOVIE = (BATCH, 3, 4, 3, 2)
SEQUENCES: dict[str, Config] = {}
CALLS: dict[str, Config] = {}
DROPOUTS: dict[str, Config] = {
    "": {},
    "_dropout": {"dropout": 0.4},
    "_recurrent_dropout": {"recurrent_dropout": 0.4},
    "_both_dropouts": {"dropout": 0.25, "recurrent_dropout": 0.5},
}

for kind, (class_name, given) in KINDS.items():
    for suffix, rates in DROPOUTS.items():
        entry = layer(class_name, units=3, return_sequences=True, **given, **rates)
        SEQUENCES[f"sequence_{kind}{suffix}"] = entry
        if suffix in ("", "_both_dropouts"):
            SEQUENCES[f"sequence_{kind}{suffix}_masked"] = entry
    if class_name != "SimpleRNN":
        entry = layer(class_name, units=3, return_sequences=True, **given)
        entry["config"]["recurrent_activation"] = "sigmoid"
        SEQUENCES[f"sequence_{kind}_sigmoid"] = entry
CELLS = stacked(layer("GRUCell", units=2), cell("LSTMCell"), cell("SimpleRNNCell"))
SEQUENCES["sequence_rnn_cells"] = layer("RNN", cell=CELLS, return_sequences=True)
CELLS = stacked(cell("LSTMCell", dropout=0.4), cell("GRUCell", recurrent_dropout=0.4))
SEQUENCES["sequence_rnn_cells_dropout"] = layer("RNN", cell=CELLS, return_sequences=True)
for suffix, rates in DROPOUTS.items():
    SEQUENCES[f"sequence_conv_lstm2d{suffix}"] = layer(
        "ConvLSTM2D", filters=2, kernel_size=2, return_sequences=True, **rates
    )

LSTM = layer("LSTM", units=3, return_state=True)
CALLS["call_simple_rnn"] = layer("SimpleRNN", units=3, return_state=True)
CALLS["call_gru"] = layer("GRU", units=3, return_state=True, return_sequences=True)
CALLS["call_lstm"] = LSTM
CALLS["call_lstm_backwards"] = layer(
    "LSTM", units=3, return_state=True, go_backwards=True, return_sequences=True
)
CELLS = stacked(layer("GRUCell", units=2), cell("LSTMCell"))
CALLS["call_rnn"] = layer("RNN", cell=CELLS, return_state=True)
REVERSED = copy.deepcopy(CELLS)
REVERSED["config"]["reverse_state_order"] = True
CALLS["call_rnn_reversed_states"] = layer("RNN", cell=REVERSED, return_state=True)
CALLS["call_conv_lstm2d"] = layer("ConvLSTM2D", filters=2, kernel_size=2, return_state=True)
for mode in ("concat", "sum", None):
    for sequences in (False, True):
        inner = layer("LSTM", units=2, return_state=True, return_sequences=sequences)
        name = f"call_bidirectional_{mode}{'_sequences' if sequences else ''}".lower()
        CALLS[name] = layer("Bidirectional", layer=inner, merge_mode=mode)
CALLS["call_bidirectional_none_without_states"] = layer(
    "Bidirectional", layer=layer("GRU", units=2), merge_mode=None
)
for name, entry in list(CALLS.items()):
    if "rnn" not in name.replace("simple_rnn", "") and "conv" not in name:
        CALLS[f"{name}_masked"] = entry


def gaps() -> np.ndarray:
    """The mask that has all kinds of gaps."""
    mask = np.ones((BATCH, STEPS), bool)
    for i, steps in enumerate(GAPS):
        mask[i, steps] = False
    return mask


def started(keras: Any, entry: Config, rng: np.random.Generator) -> tuple[Any, np.ndarray, Any]:
    """The layer with weights, an input, and a placeholder for it."""
    keras.backend.clear_session()
    built = keras.layers.deserialize(copy.deepcopy(entry))
    shape = MOVIE if entry["class_name"] == "ConvLSTM2D" else (BATCH, STEPS, WIDTH)
    x = coarse(rng.normal(size=shape))
    built.build(shape)
    built.set_weights(oracle.random_weights(built, rng))
    return built, x, keras.backend.placeholder(shape=shape)


def call_case(keras: Any, name: str) -> Arrays:
    """What a layer gives as a list."""
    entry, K = CALLS[name], keras.backend
    built, x, inputs = started(keras, entry, random_for(name))
    parts: dict[str, Any] = {"layer": entry, "x": x, "weights0": built.get_weights()}
    mask = None
    if name.endswith("_masked"):
        parts["mask"] = gaps()
        mask = K.constant(gaps(), "bool")
    parts["outputs"] = K.function([inputs], built.call(inputs, mask=mask))([x])
    return oracle.case_arrays(name, parts)


def sequence_case(keras: Any, name: str) -> Arrays:
    """One sequence from given states, in the training phase, and all derivatives."""
    entry, K, rng = SEQUENCES[name], keras.backend, random_for(name)
    built, x, inputs = started(keras, entry, rng)
    K.set_learning_phase(1)
    parts: dict[str, Any] = {"layer": entry, "x": x, "weights0": built.get_weights()}
    shapes = [(BATCH, width) for width in np.atleast_1d(built.cell.state_size)]
    if x.ndim == 5:
        shapes = [built.compute_output_shape(x.shape)[:1] + built.compute_output_shape(x.shape)[2:]]
        shapes *= 2
    states = [coarse(rng.uniform(-1, 1, shape)) for shape in shapes]
    starts = [K.placeholder(shape=shape) for shape in shapes]
    arguments: dict[str, Any] = {"initial_state": starts}
    if name.endswith("_masked"):
        parts["mask"] = gaps()
        arguments["mask"] = K.constant(gaps(), "bool")
    built.return_state = True
    with oracle.fixed_dropout(keras, rng, BATCH) as masks:
        outputs = built.call(inputs, **arguments)
    feeds = [x, *states]
    values = K.function([inputs, *starts], outputs)(feeds)
    upstream = [coarse(rng.normal(size=value.shape)) for value in values]
    total = sum(K.sum(y * K.constant(dy)) for y, dy in zip(outputs, upstream, strict=True))
    variables = [inputs, *starts, *built.weights]
    slopes = K.function([inputs, *starts], K.gradients(total, variables))(feeds)
    first = 1 + len(states)
    parts |= {
        "initial_states": states,
        "y": values[0],
        "states": values[1:],
        "dy": upstream[0],
        "dstates": upstream[1:],
        "dx": slopes[0],
        "dinitial_states": slopes[1:first],
        "gradients": slopes[first:],
    } | masks_by_cell(built.cell, masks)
    return oracle.case_arrays(name, parts)


def masks_by_cell(cell: Any, masks: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Sort the masks by what they multiply, and by cell where there are several.

    Each cell asks for all masks of its input first, then for all of its state, at its first step.
    It asks for one mask a gate, and with `implementation` 2 makes use of the first only.
    """
    parts: dict[str, list[np.ndarray]] = {}
    rest = list(masks)
    for i, part in enumerate(getattr(cell, "cells", [cell])):
        gates = {"SimpleRNNCell": 1, "GRUCell": 3}.get(type(part).__name__, 4)
        for key, rate in (("dropout", part.dropout), ("recurrent_dropout", part.recurrent_dropout)):
            if rate > 0:
                used = 1 if getattr(part, "implementation", 1) == 2 else gates
                parts[f"{key}_masks/{i}"], rest = rest[:used], rest[gates:]
    if rest:
        raise AssertionError(f"{len(rest)} masks too many")
    return parts
