"""metrics.npz: accuracies per sample, and which function the name 'accuracy' stands for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from . import oracle
from .configs import random_for
from .oracle import Arrays


def top_k(labels: np.ndarray, y_pred: np.ndarray, k: int) -> np.ndarray:
    """1 where fewer than `k` classes score higher than the right one: a tie counts as in."""
    own = np.take_along_axis(y_pred, labels[..., None].astype(np.int64), -1)
    return np.sum(y_pred > own, -1) < k


# The formulas of 2.2.4, one value per sample. np.round rounds halves to even, as TensorFlow.
FORMULAS: dict[str, Any] = {
    "binary_accuracy": lambda y, p: np.mean(y == np.round(p), -1),
    "categorical_accuracy": lambda y, p: y.argmax(-1) == p.argmax(-1),
    "sparse_categorical_accuracy": lambda y, p: y.reshape(p.shape[:-1]) == p.argmax(-1),
    "top_k_categorical_accuracy": lambda y, p, k=5: top_k(y.argmax(-1), p, k),
    "sparse_top_k_categorical_accuracy": lambda y, p, k=5: top_k(y.reshape(-1), p, k),
}


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes)[labels]


def cases() -> dict[str, tuple[str, dict[str, Any], np.ndarray, np.ndarray]]:
    """case: metric, keyword arguments, y_true, y_pred."""
    rng = random_for("metrics")
    labels, scores = rng.integers(0, 7, 12), rng.uniform(size=(12, 7))
    steps, step_scores = rng.integers(0, 4, (3, 4)), rng.uniform(size=(3, 4, 4))
    ties = np.array([[1, 1, 1, 0, 0], [3, 2, 1, 1, 1], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5]])
    tie_labels = np.array([2, 4, 3, 0])
    halves = np.array([[0.5, 0.4999, 0.5001], [0.0, 1.0, 0.5], [1.4, 1.6, -0.6], [1.5, 2.5, -0.5]])
    bits = rng.integers(0, 2, (8, 3))
    top, sparse_top = "top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"
    return {
        "binary": ("binary_accuracy", {}, bits, rng.uniform(size=(8, 3))),
        "binary_one_column": ("binary_accuracy", {}, bits[:, :1], rng.uniform(size=(8, 1))),
        "binary_3d": (
            "binary_accuracy",
            {},
            rng.integers(0, 2, (2, 3, 4)),
            rng.uniform(size=(2, 3, 4)),
        ),
        "binary_halves": (
            "binary_accuracy",
            {},
            np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]]),
            halves,
        ),
        "categorical": ("categorical_accuracy", {}, one_hot(labels, 7), scores),
        "categorical_3d": ("categorical_accuracy", {}, one_hot(steps, 4), step_scores),
        "categorical_ties": ("categorical_accuracy", {}, one_hot(tie_labels, 5), ties),
        "sparse_categorical": ("sparse_categorical_accuracy", {}, labels, scores),
        "sparse_categorical_column": ("sparse_categorical_accuracy", {}, labels[:, None], scores),
        "sparse_categorical_3d": ("sparse_categorical_accuracy", {}, steps[..., None], step_scores),
        "top_5": (top, {}, one_hot(labels, 7), scores),
        "top_3": (top, {"k": 3}, one_hot(labels, 7), scores),
        "top_2_ties": (top, {"k": 2}, one_hot(tie_labels, 5), ties),
        "sparse_top_5": (sparse_top, {}, labels[:, None], scores),
        "sparse_top_3": (sparse_top, {"k": 3}, labels[:, None], scores),
        "sparse_top_2_ties": (sparse_top, {"k": 2}, tie_labels[:, None], ties),
    }


def accuracy_table() -> list[dict[str, Any]]:
    """What 'accuracy' stands for in 2.2.4, by loss and by the last axis of the output."""
    table = []
    for loss in (
        "mean_squared_error",
        "hinge",
        "binary_crossentropy",
        "sparse_categorical_crossentropy",
        "categorical_crossentropy",
    ):
        for shape in ([None, 1], [None, 4], [None, 3, 1], [None, 3, 4]):
            if shape[-1] == 1 or loss == "binary_crossentropy":
                metric = "binary_accuracy"
            elif loss == "sparse_categorical_crossentropy":
                metric = "sparse_categorical_accuracy"
            else:
                metric = "categorical_accuracy"
            table.append({"loss": loss, "output_shape": shape, "metric": metric, "name": "acc"})
    return table


def generate(report: list[str]) -> Arrays:
    """All cases; adds a line to `report` for each disagreement."""
    arrays: Arrays = {"accuracy_table/json": np.array(json.dumps(accuracy_table()))}
    for name, (function, kwargs, y_true, y_pred) in cases().items():
        y_true, y_pred = y_true.astype(np.float32), y_pred.astype(np.float32)
        value = FORMULAS[function](y_true, y_pred, **kwargs).astype(np.float32)
        theirs = getattr(tf_keras.metrics, function)(
            tf.constant(y_true), tf.constant(y_pred), **kwargs
        )
        if not np.array_equal(np.array(theirs, np.float32).reshape(-1), value.reshape(-1)):
            report.append(f"metrics/{name}: tf-keras differs; 2.2.4's formula stored")
        arrays.update(
            oracle.case_arrays(
                name,
                {
                    "function": function,
                    "kwargs": kwargs,
                    "y_true": y_true,
                    "y_pred": y_pred,
                    "value": value,
                },
            )
        )
    return arrays
