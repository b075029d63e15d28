"""Networks of recurrent.npz with one recurrent layer: its arguments one by one, masks, cells."""

from __future__ import annotations

from typing import Any

from .configs import Config, Layers, layer
from .layer_cases import MAX_NORM, MAX_NORM_ROWS, NON_NEG, SMALL_L1_L2, UNIT_NORM

CASES: dict[str, Layers] = {}
# What a case has other than SGD and mean squared error: `optimizer`, `loss`, `targets`; and what
# its inputs are: `indices` below a number, `distinct` or not, and steps left out (`gaps`).
OPTIONS: dict[str, Config] = {}

BATCH, STEPS, FEATURES = 5, 5, 2
# Which steps of the five samples are left out, where there is a mask: none, the last ones, the
# first ones, some in between, all.
GAPS: list[list[int]] = [[], [3, 4], [0, 1], [1, 3], [0, 1, 2, 3, 4]]
RMSPROP: Config = {"class_name": "RMSprop", "config": {"lr": 0.01}}
ADAM: Config = {"class_name": "Adam", "config": {"lr": 0.02}}
ADAGRAD: Config = {"class_name": "Adagrad", "config": {"lr": 0.05}}

# The arguments that make each kind of layer.
KINDS: dict[str, tuple[str, Config]] = {
    "simple_rnn": ("SimpleRNN", {}),
    "gru": ("GRU", {}),
    "gru_2": ("GRU", {"implementation": 2}),
    "gru_reset_after": ("GRU", {"reset_after": True}),
    "gru_reset_after_2": ("GRU", {"reset_after": True, "implementation": 2}),
    "lstm": ("LSTM", {}),
    "lstm_2": ("LSTM", {"implementation": 2}),
}
# The arguments to try with each kind.
VARIANTS: dict[str, Config] = {
    "": {},
    "_sequences": {"return_sequences": True},
    "_backwards": {"go_backwards": True},
    "_backwards_sequences": {"go_backwards": True, "return_sequences": True},
    "_no_bias": {"use_bias": False},
}
# What is tried with one of two implementations of the same thing only.
FURTHER: dict[str, Config] = {
    "_unroll": {"unroll": True},
    "_unroll_backwards_sequences": {
        "unroll": True,
        "go_backwards": True,
        "return_sequences": True,
    },
    "_regularizers": {
        "kernel_regularizer": SMALL_L1_L2,
        "recurrent_regularizer": SMALL_L1_L2,
        "bias_regularizer": SMALL_L1_L2,
    },
    "_activity_regularizer": {"activity_regularizer": SMALL_L1_L2, "return_sequences": True},
    "_constraints": {
        "kernel_constraint": MAX_NORM,
        "recurrent_constraint": UNIT_NORM,
        "bias_constraint": NON_NEG,
    },
    "_linear": {"activation": "linear"},
    "_relu": {"activation": "relu"},
    "_softsign": {"activation": "softsign"},
    "_softmax": {"activation": "softmax"},
}
MASKED: dict[str, Config] = {
    "": {},
    "_sequences": {"return_sequences": True},
    "_backwards": {"go_backwards": True},
    "_backwards_sequences": {"go_backwards": True, "return_sequences": True},
}


def add(name: str, layers: Layers, **options: Any) -> None:
    """Enter a case. Its inputs have gaps if it masks."""
    if any(
        entry["class_name"] == "Masking" or entry["config"].get("mask_zero") for entry in layers
    ):
        options = {"gaps": True, **options}
    CASES[name], OPTIONS[name] = layers, options


def after_dense(
    name: str, class_name: str, /, *rest: Config, options: Config | None = None, **config: Any
) -> None:
    """Dense, then the layer, then what is in `rest`."""
    first = layer("Dense", units=3, input_shape=[STEPS, FEATURES])
    add(name, [first, layer(class_name, **config), *rest], **options or {})


def masked(
    name: str, class_name: str, /, *rest: Config, options: Config | None = None, **config: Any
) -> None:
    """The same after Masking; the Dense's bias makes masked steps differ from zero."""
    first = layer("Masking", mask_value=0.0, input_shape=[STEPS, FEATURES])
    add(name, [first, layer("Dense", units=3), layer(class_name, **config), *rest], **options or {})


def stateful(name: str, class_name: str, /, **config: Any) -> None:
    """A layer that carries its state over the five training steps."""
    first = layer("Dense", units=3, batch_input_shape=[BATCH, STEPS, FEATURES])
    add(name, [first, layer(class_name, stateful=True, **config)])


def cell(class_name: str, **config: Any) -> Config:
    """A cell as the argument of RNN."""
    return layer(class_name, units=3, **config)


def stacked(*cells: Config) -> Config:
    """A list of cells as 2.2.4 writes it down."""
    return {"class_name": "StackedRNNCells", "config": {"cells": list(cells)}}


for kind, (class_name, given) in KINDS.items():
    config = {"units": 3, **given}
    for suffix, further in VARIANTS.items():
        after_dense(f"{kind}{suffix}", class_name, **config, **further)
    for suffix, further in MASKED.items():
        masked(f"{kind}_masked{suffix}", class_name, **config, **further)
    if "implementation" not in given:
        for suffix, further in FURTHER.items():
            after_dense(f"{kind}{suffix}", class_name, **config, **further)
        masked(f"{kind}_masked_unroll", class_name, **config, unroll=True, return_sequences=True)
        masked(
            f"{kind}_masked_unroll_backwards", class_name, **config, unroll=True, go_backwards=True
        )
        stateful(f"{kind}_stateful", class_name, **config)
        stateful(f"{kind}_stateful_backwards", class_name, **config, go_backwards=True)
        first = layer("Masking", batch_input_shape=[BATCH, STEPS, FEATURES])
        last = layer(class_name, **config, stateful=True, return_sequences=True)
        add(f"{kind}_stateful_masked", [first, layer("Dense", units=3), last])
    if class_name != "SimpleRNN":
        for activation in ("sigmoid", "relu", "softsign", "linear", "softmax"):
            if activation == "sigmoid" or kind == "lstm":
                name = f"{kind}_recurrent_{activation}"
                after_dense(name, class_name, **config, recurrent_activation=activation)

first = layer("LSTM", units=4, input_shape=[STEPS, FEATURES], unit_forget_bias=False)
add("lstm_first_layer", [first])
after_dense("lstm_one_unit", "LSTM", units=1, return_sequences=True)
after_dense("lstm_frozen", "LSTM", units=3, trainable=False)
after_dense("lstm_max_norm_rows", "LSTM", units=3, recurrent_constraint=MAX_NORM_ROWS)
after_dense("lstm_selu", "LSTM", units=3, activation="selu", recurrent_activation="tanh")
for name, steps in (("one_step", 1), ("twelve_steps", 12)):
    first = layer("LSTM", units=3, input_shape=[steps, FEATURES], return_sequences=True)
    add(f"lstm_{name}", [first])

# One kind of gap alone, for the smallest example of what is wrong.
for i, gap in ((1, "last"), (2, "first"), (3, "inner"), (4, "all")):
    for kind in ("simple_rnn", "lstm"):
        first = layer("Masking", input_shape=[STEPS, FEATURES])
        last = layer(KINDS[kind][0], units=2, return_sequences=True)
        add(f"{kind}_masked_{gap}", [first, last], gaps=[GAPS[i]] * (BATCH - 1))
# What Masking leaves for a layer that is not recurrent, and its other values.
first = layer("Masking", mask_value=-1.0, input_shape=[STEPS, FEATURES])
add("masking_value", [first, layer("LSTM", units=2)], gap_value=-1.0)
first = layer("Masking", input_shape=[STEPS, FEATURES])
add("masking_dense", [first, layer("Dense", units=2)])

# RNN over cells.
LSTM_CELL = cell("LSTMCell", implementation=2, recurrent_activation="sigmoid")
CELLS: dict[str, Config] = {
    "simple_rnn_cell": cell("SimpleRNNCell", activation="relu"),
    "gru_cell": cell("GRUCell", use_bias=False),
    "gru_reset_after_cell": cell("GRUCell", reset_after=True),
    "lstm_cell": cell("LSTMCell", unit_forget_bias=False),
    "lstm_cells": stacked(cell("LSTMCell"), LSTM_CELL),
    "mixed_cells": stacked(
        layer("GRUCell", units=2, kernel_regularizer=SMALL_L1_L2),
        layer("LSTMCell", units=4, recurrent_constraint=UNIT_NORM),
        layer("SimpleRNNCell", units=3),
    ),
}
for name, inner in CELLS.items():
    after_dense(f"rnn_{name}", "RNN", cell=inner)
    after_dense(
        f"rnn_{name}_backwards", "RNN", cell=inner, return_sequences=True, go_backwards=True
    )
    stateful(f"rnn_{name}_stateful", "RNN", cell=inner)
    # In 2.2.4 a masked step repeats the first state, which should be that of the last cell.
    if inner["class_name"] == "StackedRNNCells":
        inner = layer("StackedRNNCells", **inner["config"], reverse_state_order=True)
    masked(f"rnn_{name}_masked", "RNN", cell=inner, return_sequences=True)
after_dense("rnn_unroll", "RNN", cell=CELLS["lstm_cells"], unroll=True, return_sequences=True)
after_dense("rnn_activity_regularizer", "RNN", cell=CELLS["gru_cell"])
