"""losses.npz: every loss in training, weighted and not, and as a plain function."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from . import oracle
from .configs import layer, random_for
from .losses_2_2_4 import LOSSES
from .oracle import Arrays

FEATURES = 3
# case: loss, last activation, shape of the output without the batch, kind of targets
CASES: dict[str, tuple[str, str, tuple[int, ...], str]] = {
    "mean_squared_error": ("mean_squared_error", "linear", (2,), "real"),
    "mean_absolute_error": ("mean_absolute_error", "linear", (2,), "real"),
    "mean_absolute_percentage_error": (
        "mean_absolute_percentage_error",
        "linear",
        (2,),
        "positive",
    ),
    "mean_squared_logarithmic_error": (
        "mean_squared_logarithmic_error",
        "softplus",
        (2,),
        "positive",
    ),
    "squared_hinge": ("squared_hinge", "tanh", (2,), "sign"),
    "hinge": ("hinge", "tanh", (2,), "sign"),
    "hinge_labels_0_1": ("hinge", "linear", (2,), "bits"),
    "categorical_hinge": ("categorical_hinge", "linear", (3,), "one_hot"),
    "logcosh": ("logcosh", "linear", (2,), "real"),
    "categorical_crossentropy": ("categorical_crossentropy", "softmax", (3,), "one_hot"),
    "categorical_crossentropy_softplus": ("categorical_crossentropy", "softplus", (3,), "one_hot"),
    "categorical_crossentropy_soft_targets": (
        "categorical_crossentropy",
        "softmax",
        (3,),
        "distribution",
    ),
    "sparse_categorical_crossentropy": (
        "sparse_categorical_crossentropy",
        "softmax",
        (3,),
        "class",
    ),
    "sparse_categorical_crossentropy_column": (
        "sparse_categorical_crossentropy",
        "softmax",
        (3,),
        "class_column",
    ),
    "sparse_categorical_crossentropy_hard_sigmoid": (
        "sparse_categorical_crossentropy",
        "hard_sigmoid",
        (3,),
        "class",
    ),
    "binary_crossentropy": ("binary_crossentropy", "sigmoid", (1,), "bits"),
    "binary_crossentropy_multilabel": ("binary_crossentropy", "sigmoid", (3,), "bits"),
    "binary_crossentropy_hard_sigmoid": ("binary_crossentropy", "hard_sigmoid", (2,), "bits"),
    "kullback_leibler_divergence": ("kullback_leibler_divergence", "softmax", (3,), "distribution"),
    "poisson": ("poisson", "softplus", (2,), "count"),
    "cosine_proximity": ("cosine_proximity", "linear", (3,), "real"),
    # Probabilities beyond the clip at 1e-7: 2.2.4 lets no gradient through there.
    "saturated_categorical_crossentropy": ("categorical_crossentropy", "softmax", (3,), "one_hot"),
    "saturated_sparse_categorical_crossentropy": (
        "sparse_categorical_crossentropy",
        "softmax",
        (3,),
        "class",
    ),
    "saturated_binary_crossentropy": ("binary_crossentropy", "sigmoid", (2,), "bits"),
    "steps_mean_squared_error": ("mean_squared_error", "linear", (3, 2), "real"),
    "steps_categorical_crossentropy": ("categorical_crossentropy", "softmax", (3, 3), "one_hot"),
    "steps_sparse_categorical_crossentropy": (
        "sparse_categorical_crossentropy",
        "softmax",
        (3, 3),
        "class_column",
    ),
    "weighted_mean_squared_error": ("mean_squared_error", "linear", (2,), "real"),
    "weighted_categorical_crossentropy": ("categorical_crossentropy", "softmax", (3,), "one_hot"),
    "weighted_with_penalty": ("mean_squared_error", "linear", (2,), "real"),
    "weighted_steps": ("mean_squared_error", "linear", (3, 2), "real"),
    "temporal_mean_squared_error": ("mean_squared_error", "linear", (3, 2), "real"),
    "temporal_categorical_crossentropy": ("categorical_crossentropy", "softmax", (3, 3), "one_hot"),
}


def targets(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random targets for an output of `shape` (with the batch)."""
    y: np.ndarray
    if kind == "real":
        y = rng.normal(size=shape)
    elif kind == "positive":
        y = rng.uniform(0.5, 2.0, shape)
    elif kind == "sign":
        y = rng.choice([-1.0, 1.0], shape)
    elif kind == "bits":
        y = rng.integers(0, 2, shape)
    elif kind == "one_hot":
        y = np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]
    elif kind == "distribution":
        y = rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    elif kind == "count":
        y = rng.poisson(1.5, shape)
    else:
        y = rng.integers(0, shape[-1], (*shape[:-1], 1))
        y = y[..., 0] if kind == "class" else y
    return y.astype(np.float32)


def sample_weights(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Weights with some zeros, one per sample or one per step, where the case's name asks."""
    if not name.startswith(("weighted", "temporal")):
        return None
    shape = shape[:2] if name.startswith("temporal") else shape[:1]
    weight = rng.uniform(0.2, 2.0, shape)
    weight.flat[[1, 4]] = 0.0
    return weight.astype(np.float32)


def training_case(name: str, report: list[str]) -> Arrays:
    """Five steps of SGD under one loss, by tf-keras' loss and by 2.2.4's formula."""
    loss, activation, shape, kind = CASES[name]
    rng = random_for(name)
    penalty = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.05}}
    extra = {"kernel_regularizer": penalty} if name.endswith("penalty") else {}
    layers = [
        layer("Dense", units=3, activation="tanh", input_shape=[*shape[:-1], FEATURES], **extra),
        layer("Dense", units=shape[-1], activation=activation),
    ]
    x = rng.normal(size=(oracle.BATCH, *shape[:-1], FEATURES)).astype(np.float32)
    y = targets(kind, (oracle.BATCH, *shape), rng)
    weight = sample_weights(name, (oracle.BATCH, *shape), rng)
    small_steps = {"class_name": "SGD", "config": {"lr": 0.002}}
    optimizer = small_steps if "percentage" in name else oracle.SGD
    model = oracle.build_model(layers)
    start = oracle.random_weights(model, rng)
    if name.startswith("saturated"):
        start[2] *= np.float32(40)
    results = []
    for function in (loss, LOSSES[loss]):
        oracle.set_weights(model, start)
        output = oracle.predict(model, x)
        losses = oracle.train(model, oracle.build_optimizer(optimizer), function, x, y, weight)
        results.append((losses, oracle.get_weights(model)))
    gap = max(
        oracle.distance(results[0][0], results[1][0]),
        oracle.distances(results[0][1], results[1][1]),
    )
    if gap > 1e-5:
        report.append(f"losses/{name}: training differs by {gap:.1e}; 2.2.4's formula stored")
    losses, weights = results[0 if gap <= 1e-5 else 1]
    return oracle.case_arrays(
        name,
        {
            "config": layers,
            "loss": loss,
            "x": x,
            "y": y,
            "optimizer": None if optimizer is oracle.SGD else optimizer,
            "sample_weight": weight,
            "sample_weight_mode": "temporal" if name.startswith("temporal") else None,
            "weights0": start,
            "output": output,
            "losses": losses,
            "weights5": weights,
        },
    )


def predictions(loss: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Random outputs in the range that the loss expects."""
    if loss in ("categorical_crossentropy", "kullback_leibler_divergence"):
        return rng.dirichlet(np.ones(shape[-1]), shape[:-1])
    if loss in ("binary_crossentropy", "sparse_categorical_crossentropy"):
        return rng.uniform(0.05, 0.95, shape)
    if loss in ("poisson", "mean_squared_logarithmic_error"):
        return rng.uniform(0.1, 3.0, shape)
    return rng.normal(size=shape)


TARGET_KIND = {loss: kind for loss, _, _, kind in CASES.values()} | {
    "sparse_categorical_crossentropy": "class_column",
    "hinge": "sign",
    "mean_squared_error": "real",
    "categorical_crossentropy": "one_hot",
}

# Values at the edges: (y_true, y_pred) by loss, in rows.
ONE_HOT = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]]
CORNERS = [[1, 0, 0], [0, 1, 0], [0.25, 0.5, 0.25], [0, 0, 1]]
HARD: dict[str, tuple[list[Any], list[Any]]] = {
    "mean_squared_error": ([[1, 2], [1e4, -1e4]], [[1, 2], [-1e4, 0]]),
    "mean_absolute_error": ([[1, 2], [1e4, -1e4]], [[1, 2.5], [-1e4, 0]]),
    "mean_absolute_percentage_error": ([[0, 1], [1e-9, -2]], [[0.5, 1], [0.25, 0]]),
    "mean_squared_logarithmic_error": ([[0, 1], [-2, 3]], [[0, 5], [1e6, -1]]),
    "squared_hinge": ([[0, 1], [1, 0], [-1, 1]], [[0.5, -2], [3, -1], [100, 100]]),
    "hinge": ([[0, 1], [1, 0], [-1, 1]], [[0.5, -2], [3, -1], [100, 100]]),
    "categorical_hinge": ([[0, 1, 0], [1, 0, 0]], [[-3, -1, -2], [9, 5, 2]]),
    "logcosh": ([[0, 0, 0], [1, 50, -50]], [[100, -100, 1e-3], [1, -50, 50]]),
    "categorical_crossentropy": (ONE_HOT, CORNERS),
    "sparse_categorical_crossentropy": ([[0], [0], [1], [2]], CORNERS),
    "binary_crossentropy": ([[0, 1], [1, 0], [0.5, 0.5]], [[0, 1], [0, 1], [1, 0.5]]),
    "kullback_leibler_divergence": (ONE_HOT, CORNERS),
    "poisson": ([[0, 1], [3, 0]], [[0, 0], [1e-8, 1e4]]),
    "cosine_proximity": ([[0, 0], [1, 0], [1e-7, 0], [3, 4]], [[1, 2], [0, 0], [1, 1], [3, 4]]),
}


def evaluate(function: Any, y_true: np.ndarray, y_pred: np.ndarray, rng: Any) -> list[np.ndarray]:
    """Per-sample values, a random upstream derivative, and the derivative by y_pred."""
    y_pred = tf.constant(y_pred)
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = function(tf.constant(y_true), y_pred)
        dloss = rng.uniform(0.5, 1.5, tuple(value.shape)).astype(np.float32)
        total = tf.reduce_sum(value * dloss)
    return [np.array(value), dloss, np.array(tape.gradient(total, y_pred))]


def function_case(name: str, loss: str, y_true: Any, y_pred: Any, report: list[str]) -> Arrays:
    """One loss as a function, with its derivative; 2.2.4's formula where tf-keras differs."""
    y_true, y_pred = np.array(y_true, np.float32), np.array(y_pred, np.float32)
    theirs = tf_keras.losses.get(oracle.TF_KERAS_LOSS.get(loss, loss))
    seen = evaluate(theirs, y_true, y_pred, random_for(name))
    formula = evaluate(LOSSES[loss], y_true, y_pred, random_for(name))
    for part, a, b in zip(("value", "", "derivative"), seen, formula, strict=True):
        if oracle.distance(a, b) > 1e-5:
            report.append(
                f"losses/{name}: {part} differs by {oracle.distance(a, b):.1e}; "
                "2.2.4's formula stored"
            )
            seen = formula
    return oracle.case_arrays(
        name,
        {
            "function": loss,
            "y_true": y_true,
            "y_pred": y_pred,
            "value": seen[0],
            "dloss": seen[1],
            "dy_pred": seen[2],
        },
    )


def generate(report: list[str]) -> Arrays:
    """All cases; adds a line to `report` for each disagreement."""
    arrays = oracle.case_arrays("common", {"optimizer": oracle.SGD})
    for name in CASES:
        arrays.update(training_case(name, report))
    for loss in LOSSES:
        for suffix, shape in (("2d", (4, 3)), ("3d", (2, 3, 3))):
            rng = random_for(f"{loss}-{suffix}")
            y_true = targets(TARGET_KIND[loss], shape, rng)
            y_pred = predictions(loss, shape, rng)
            arrays.update(function_case(f"{loss}-{suffix}", loss, y_true, y_pred, report))
        arrays.update(function_case(f"{loss}-hard", loss, *HARD[loss], report))
    return arrays
