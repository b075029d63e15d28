"""Networks of recurrent.npz with embeddings, wrappers, ConvLSTM2D; and several layers together."""

from __future__ import annotations

from typing import Any

from .configs import Config, Layers, layer
from .layer_cases import MAX_NORM_ROWS, NON_NEG, SMALL_L1_L2, UNIT_NORM
from .recurrent_cases import BATCH, FEATURES, STEPS, add, after_dense, masked

WORDS = 9
ALL = {"return_sequences": True}
CLASSIFIER: Config = {"loss": "categorical_crossentropy", "targets": "one_hot"}
BINARY: Config = {"loss": "binary_crossentropy", "targets": "binary"}


def optimizer(class_name: str, **config: Any) -> Config:
    """An optimizer's config."""
    return layer(class_name, **config)


def embedding(**config: Any) -> Config:
    """Embedding of few words."""
    return layer("Embedding", **{"input_dim": WORDS, "output_dim": 3, **config})


def embedded(name: str, layers: Layers, **options: Any) -> None:
    """A case whose inputs are words."""
    add(name, layers, **{"indices": WORDS, **options})


# Embedding.
SHORT = {"input_length": STEPS}
embedded("embedding", [embedding(**SHORT)])
embedded("embedding_any_length", [embedding(input_shape=[STEPS])])
embedded("embedding_flatten", [embedding(**SHORT), layer("Flatten"), layer("Dense", units=2)])
embedded("embedding_regularizer", [embedding(**SHORT, embeddings_regularizer=SMALL_L1_L2)])
embedded("embedding_activity_regularizer", [embedding(**SHORT, activity_regularizer=SMALL_L1_L2)])
embedded("embedding_non_neg", [embedding(**SHORT, embeddings_constraint=NON_NEG)])
embedded("embedding_unit_norm", [embedding(**SHORT, embeddings_constraint=UNIT_NORM)])
embedded("embedding_max_norm", [embedding(**SHORT, embeddings_constraint=MAX_NORM_ROWS)])
embedded("embedding_mask_zero", [embedding(**SHORT, mask_zero=True)])
embedded("embedding_mask_zero_dense", [embedding(**SHORT, mask_zero=True), layer("Dense", units=2)])
embedded("embedding_frozen", [embedding(**SHORT, trainable=False), layer("Dense", units=2)])
embedded(
    "embedding_two_axes",
    [embedding(input_shape=[2, 3], input_length=[2, 3]), layer("Dense", units=2)],
)
embedded("embedding_one_word", [embedding(**SHORT), layer("SimpleRNN", units=2)], indices=1)
for rule in (
    optimizer("SGD", lr=0.5, momentum=0.9),
    optimizer("SGD", lr=0.5, momentum=0.9, nesterov=True, decay=0.01),
    optimizer("RMSprop", lr=0.01),
    optimizer("Adagrad", lr=0.05),
    optimizer("Adadelta", lr=1.0),
    optimizer("Adam", lr=0.02),
    optimizer("Adam", lr=0.02, amsgrad=True),
    optimizer("Adamax", lr=0.02),
    optimizer("Nadam", lr=0.02),
    optimizer("SGD", lr=0.5, clipnorm=0.05),
    optimizer("Adam", lr=0.02, clipnorm=0.05),
):
    suffix = "".join(f"_{key}" for key in rule["config"] if key not in ("lr", "decay"))
    embedded(
        f"embedding_by_{rule['class_name'].lower()}{suffix}",
        [embedding(**SHORT), layer("SimpleRNN", units=2)],
        optimizer=rule,
    )

# No word twice: TensorFlow clips what each occurrence gives, before it adds them up.
embedded(
    "embedding_by_sgd_clipvalue",
    [embedding(**SHORT, input_dim=30), layer("SimpleRNN", units=2)],
    indices=30,
    distinct=True,
    optimizer=optimizer("SGD", lr=0.5, clipvalue=0.01),
)

# TimeDistributed.
WEIGHTED = layer("Dense", units=2, kernel_regularizer=SMALL_L1_L2, activation="tanh")
INNER: dict[str, Config] = {
    "dense": layer("Dense", units=2, activation="softmax"),
    "dense_regularizer": WEIGHTED,
    "dropout": layer("Dropout", rate=0.0),
    "activation": layer("Activation", activation="relu"),
    "prelu": layer("PReLU"),
    "batch_normalization": layer("BatchNormalization", momentum=0.9),
    "sequential": layer(
        "Sequential",
        name="inner",
        layers=[
            layer("Dense", units=4, activation="relu", input_shape=[3], name="a"),
            layer("Dense", units=2, name="b"),
        ],
    ),
}
for name, inner in INNER.items():
    # The bias before batch normalization has a gradient of zero, in which rules that divide by its
    # size would show rounding only.
    rule: Config = {"optimizer": optimizer("SGD", lr=0.1)} if name.startswith("batch") else {}
    after_dense(f"time_distributed_{name}", "TimeDistributed", options=rule, layer=inner)
    masked(f"time_distributed_{name}_masked", "TimeDistributed", options=rule, layer=inner)
FROZEN = layer("Dense", units=2)
after_dense("time_distributed_frozen", "TimeDistributed", layer=FROZEN, trainable=False)
add(
    "time_distributed_batch_size",
    [
        layer("LSTM", units=3, stateful=True, batch_input_shape=[BATCH, STEPS, FEATURES], **ALL),
        layer("TimeDistributed", layer=layer("Dense", units=2)),
    ],
)
IMAGES = {"input_shape": [3, 4, 5, 2]}
IMAGE_LAYERS: dict[str, list[Config]] = {
    "conv2d": [layer("Conv2D", filters=2, kernel_size=2, activation="relu")],
    "max_pooling2d": [layer("MaxPooling2D"), layer("Flatten"), layer("Dense", units=2)],
    "flatten": [layer("Flatten")],
    "global_pooling": [layer("GlobalAveragePooling2D")],
    "reshape": [layer("Reshape", target_shape=[20, 2]), layer("LSTM", units=2)],
}
for name, inners in IMAGE_LAYERS.items():
    wrapped = [layer("TimeDistributed", layer=inner) for inner in inners]
    wrapped[0]["config"].update(IMAGES)
    add(f"time_distributed_{name}", [*wrapped, layer("Dense", units=2)])
add(
    "time_distributed_sentences",
    [
        layer("TimeDistributed", layer=embedding(**SHORT), input_shape=[3, STEPS]),
        layer("TimeDistributed", layer=layer("GRU", units=3)),
        layer("LSTM", units=2),
    ],
    indices=WORDS,
)

# Bidirectional.
DIRECTIONS: dict[str, Config] = {
    "simple_rnn": layer("SimpleRNN", units=2),
    "gru": layer("GRU", units=2, reset_after=True),
    "lstm": layer("LSTM", units=2),
    "lstm_backwards": layer("LSTM", units=2, go_backwards=True),
    "rnn": layer("RNN", cell=layer("GRUCell", units=2)),
}
for name, inner in DIRECTIONS.items():
    for mode in ("concat", "sum", "mul", "ave"):
        if name == "lstm" or mode == "concat":
            for suffix, sequences in (("", False), ("_sequences", True)):
                both = layer(inner["class_name"], **inner["config"], return_sequences=sequences)
                arguments = {"layer": both, "merge_mode": mode}
                after_dense(f"bidirectional_{name}_{mode}{suffix}", "Bidirectional", **arguments)
                masked(f"bidirectional_{name}_{mode}_masked{suffix}", "Bidirectional", **arguments)
ARGUMENTS = layer("LSTM", units=2, kernel_regularizer=SMALL_L1_L2, use_bias=False)
after_dense("bidirectional_regularizer", "Bidirectional", layer=ARGUMENTS)
FROZEN = layer("LSTM", units=2)
after_dense("bidirectional_frozen", "Bidirectional", layer=FROZEN, trainable=False)
add(
    "bidirectional_stateful",
    [
        layer("Masking", batch_input_shape=[BATCH, STEPS, FEATURES]),
        layer("Bidirectional", layer=layer("LSTM", units=2, stateful=True, return_sequences=True)),
        layer("Bidirectional", layer=layer("GRU", units=2, stateful=True), merge_mode="sum"),
    ],
)

# ConvLSTM2D.
MOVIE = {"input_shape": [3, 5, 4, 2]}
VARIANTS: dict[str, Config] = {
    "": {},
    "_sequences": {"return_sequences": True},
    "_same": {"padding": "same", "return_sequences": True},
    "_strides": {"strides": [2, 1], "padding": "same"},
    "_dilation": {"dilation_rate": [2, 1]},
    "_backwards": {"go_backwards": True, "return_sequences": True},
    "_no_bias": {"use_bias": False, "recurrent_activation": "sigmoid"},
    "_activation": {"activation": "relu", "kernel_size": [2, 1]},
    "_regularizers": {
        "kernel_regularizer": SMALL_L1_L2,
        "recurrent_regularizer": SMALL_L1_L2,
        "bias_regularizer": SMALL_L1_L2,
        "activity_regularizer": SMALL_L1_L2,
    },
    "_constraints": {"kernel_constraint": UNIT_NORM, "bias_constraint": NON_NEG},
}
for suffix, further in VARIANTS.items():
    config = {"filters": 2, "kernel_size": [2, 2], **further}
    add(f"conv_lstm2d{suffix}", [layer("ConvLSTM2D", **MOVIE, **config)])
add(
    "conv_lstm2d_stateful",
    [
        layer(
            "ConvLSTM2D",
            filters=2,
            kernel_size=2,
            stateful=True,
            batch_input_shape=[BATCH, *MOVIE["input_shape"]],
        ),
        layer("Flatten"),
        layer("Dense", units=2),
    ],
)
add(
    "conv_lstm2d_channels_first",
    [
        layer(
            "ConvLSTM2D",
            filters=2,
            kernel_size=[2, 3],
            data_format="channels_first",
            return_sequences=True,
            input_shape=[3, 2, 5, 4],
        ),
    ],
    image_data_format="channels_first",
)
add(
    "conv_lstm2d_network",
    [
        layer(
            "ConvLSTM2D", filters=3, kernel_size=3, padding="same", return_sequences=True, **MOVIE
        ),
        layer("BatchNormalization", momentum=0.9),
        layer("ConvLSTM2D", filters=2, kernel_size=3, padding="same", return_sequences=True),
        layer("Conv3D", filters=1, kernel_size=2, activation="sigmoid", padding="same"),
    ],
    **BINARY,
)

# Several layers together, after Keras' guide and examples.
add(
    "stacked_lstm",
    [
        layer("LSTM", units=4, input_shape=[8, 3], **ALL),
        layer("LSTM", units=4, **ALL),
        layer("LSTM", units=4),
        layer("Dense", units=3, activation="softmax"),
    ],
    optimizer=optimizer("RMSprop", lr=0.01),
    **CLASSIFIER,
)
add(
    "stacked_lstm_stateful",
    [
        layer("LSTM", units=4, stateful=True, batch_input_shape=[BATCH, 8, 3], **ALL),
        layer("LSTM", units=4, stateful=True, **ALL),
        layer("LSTM", units=4, stateful=True),
        layer("Dense", units=3, activation="softmax"),
    ],
    optimizer=optimizer("RMSprop", lr=0.01),
    **CLASSIFIER,
)
embedded(
    "review_lstm",
    [
        embedding(input_shape=[8]),
        layer("LSTM", units=4, dropout=0.0, recurrent_dropout=0.0),
        layer("Dense", units=1, activation="sigmoid"),
    ],
    optimizer=optimizer("Adam", lr=0.02),
    **BINARY,
)
embedded(
    "review_conv_lstm",
    [
        embedding(input_shape=[12], output_dim=4),
        layer("SpatialDropout1D", rate=0.0),
        layer("Conv1D", filters=4, kernel_size=3, activation="relu"),
        layer("MaxPooling1D", pool_size=2),
        layer("LSTM", units=3),
        layer("Dense", units=1, activation="sigmoid"),
    ],
    **BINARY,
)
TAGGER = [
    embedding(**SHORT, mask_zero=True),
    layer("Bidirectional", layer=layer("LSTM", units=3, **ALL)),
    layer("TimeDistributed", layer=layer("Dense", units=4, activation="softmax")),
]
for loss, kind in (
    ("categorical_crossentropy", "one_hot"),
    ("sparse_categorical_crossentropy", "sparse"),
):
    embedded(f"tagger_{kind}", TAGGER, loss=loss, targets=kind)
    embedded(f"tagger_{kind}_temporal", TAGGER, loss=loss, targets=kind, weights="temporal")
    embedded(f"tagger_{kind}_weights", TAGGER, loss=loss, targets=kind, weights="samples")
embedded(
    "masked_layers",
    [
        embedding(**SHORT, mask_zero=True),
        layer("Dropout", rate=0.0),
        layer("SpatialDropout1D", rate=0.0),
        layer("GRU", units=3, **ALL),
        layer("BatchNormalization", momentum=0.9),
        layer("Activation", activation="tanh"),
        layer("SimpleRNN", units=3, go_backwards=True, **ALL),
        layer("LeakyReLU", alpha=0.2),
        layer("Dense", units=2),
    ],
)
masked("masked_twice", "Masking", layer("LSTM", units=2, **ALL), mask_value=2.0)
add(
    "addition",
    [
        layer("LSTM", units=5, input_shape=[7, 4]),
        layer("RepeatVector", n=3),
        layer("LSTM", units=5, **ALL),
        layer("TimeDistributed", layer=layer("Dense", units=4, activation="softmax")),
    ],
    optimizer=optimizer("Adam", lr=0.02),
    **CLASSIFIER,
)
add(
    "text_generation",
    [
        layer("LSTM", units=5, input_shape=[6, 4]),
        layer("Dense", units=4, activation="softmax"),
    ],
    optimizer=optimizer("RMSprop", lr=0.01),
    **CLASSIFIER,
)
