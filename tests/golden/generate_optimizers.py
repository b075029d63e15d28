"""optimizers.npz: one small regression network under every optimizer, with its slots."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import oracle
from .configs import Config, layer, random_for
from .optimizers_2_2_4 import RULES, Optimizer
from .oracle import Arrays

LAYERS = [layer("Dense", units=4, activation="tanh", input_shape=[3]), layer("Dense", units=2)]

# lr is large where the rule allows it, so that five steps move the weights visibly.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd_nesterov_without_momentum": ("SGD", {"lr": 0.1, "nesterov": True}),
    "sgd_decay": ("SGD", {"lr": 0.1, "momentum": 0.5, "decay": 0.5}),
    "sgd_clipvalue": ("SGD", {"lr": 0.1, "clipvalue": 0.2}),
    "sgd_clipnorm": ("SGD", {"lr": 0.1, "clipnorm": 1.0}),
    "sgd_clipnorm_clipvalue": ("SGD", {"lr": 0.1, "clipnorm": 1.0, "clipvalue": 0.3}),
    "rmsprop": ("RMSprop", {"lr": 0.01}),
    "rmsprop_rho_decay_epsilon": (
        "RMSprop",
        {"lr": 0.05, "rho": 0.5, "decay": 0.3, "epsilon": 0.1},
    ),
    "adagrad": ("Adagrad", {"lr": 0.05}),
    "adagrad_decay_epsilon": ("Adagrad", {"lr": 0.1, "decay": 0.3, "epsilon": 0.05}),
    "adadelta": ("Adadelta", {"lr": 1.0, "rho": 0.95}),
    "adadelta_rho_decay_epsilon": (
        "Adadelta",
        {"lr": 2.0, "rho": 0.7, "decay": 0.2, "epsilon": 0.01},
    ),
    "adam": ("Adam", {"lr": 0.02}),
    "adam_amsgrad": ("Adam", {"lr": 0.2, "amsgrad": True, "beta_2": 0.5}),
    "adam_decay_betas": ("Adam", {"lr": 0.05, "beta_1": 0.7, "beta_2": 0.9, "decay": 0.2}),
    "adam_big_epsilon": ("Adam", {"lr": 0.1, "epsilon": 0.5}),
    "adam_clipnorm": ("Adam", {"lr": 0.02, "clipnorm": 1.0}),
    "adamax": ("Adamax", {"lr": 0.02}),
    "adamax_decay_epsilon": ("Adamax", {"lr": 0.1, "decay": 0.3, "epsilon": 0.1}),
    "nadam": ("Nadam", {"lr": 0.02, "schedule_decay": 0.004}),
    "nadam_schedule": ("Nadam", {"lr": 0.02, "schedule_decay": 2.0, "epsilon": 0.01}),
}


def loss_and_gradients(
    weights: list[np.ndarray], x: np.ndarray, y: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    """Mean squared error of `LAYERS` and its gradients, by hand."""
    kernel1, bias1, kernel2, bias2 = weights
    hidden = np.tanh(x @ kernel1 + bias1)
    error = hidden @ kernel2 + bias2 - y
    d_output = 2 * error / error.size
    d_hidden = (d_output @ kernel2.T) * (1 - hidden**2)
    gradients = [x.T @ d_hidden, d_hidden.sum(0), hidden.T @ d_output, d_output.sum(0)]
    return float(np.mean(error**2)), gradients


def by_formula(
    optimizer: Config, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray
) -> tuple[list[np.ndarray], list[float], Optimizer]:
    """Five steps by 2.2.4's rule, all in float64."""
    weights = [w.astype(np.float64) for w in weights]
    rule = RULES[optimizer["class_name"]](weights, optimizer["config"])
    losses = []
    for _ in range(oracle.STEPS):
        loss, gradients = loss_and_gradients(weights, x.astype(np.float64), y.astype(np.float64))
        losses.append(loss)
        weights = rule.step(weights, gradients)
    return weights, losses, rule


def tf_keras_slots(optimizer: Config, theirs: Any, rule: Optimizer) -> float:
    """Distance of tf-keras' slots from the rule's, where tf-keras has them; NaN where not."""
    slots = [np.asarray(value) for value in theirs.get_weights()[1:]]
    if optimizer["class_name"] == "Nadam":
        slots = slots[1:]  # its first is the momentum schedule
    ours = rule.get_weights()[int(rule.saves_iterations) :]
    if optimizer["class_name"] == "Adam" and not optimizer["config"].get("amsgrad"):
        ours = ours[:8]
    return oracle.distances(slots, ours) if slots else float("nan")


def generate(report: list[str]) -> Arrays:
    """All cases; adds a line to `report` for each disagreement."""
    rng = random_for("optimizers")
    x = rng.normal(size=(oracle.BATCH, 3)).astype(np.float32)
    y = (3 * rng.normal(size=(oracle.BATCH, 2))).astype(np.float32)
    start = oracle.random_weights(oracle.build_model(LAYERS), rng)
    untrained = oracle.build_model(LAYERS)
    oracle.set_weights(untrained, start)
    arrays = oracle.case_arrays(
        "common",
        {
            "config": LAYERS,
            "loss": "mean_squared_error",
            "x": x,
            "y": y,
            "weights0": start,
            "output": oracle.predict(untrained, x),
        },
    )
    for name, (class_name, config) in CASES.items():
        optimizer = {"class_name": class_name, "config": config}
        model = oracle.build_model(LAYERS)
        oracle.set_weights(model, start)
        theirs = oracle.build_optimizer(optimizer)
        losses = oracle.train(model, theirs, "mean_squared_error", x, y)
        weights = oracle.get_weights(model)
        ours, our_losses, rule = by_formula(optimizer, start, x, y)
        if "clip" in name and not rule.clipped:
            raise AssertionError(f"{name}: the clipping never acted")
        gap = max(oracle.distances(weights, ours), oracle.distance(losses, our_losses))
        slot_gap = tf_keras_slots(optimizer, theirs, rule)
        # In float32 1 - 0.999 is 1.3e-5 below 0.001, and so are tf-keras' second moments.
        if slot_gap > 2e-5:
            report.append(f"optimizers/{name}: slots differ by {slot_gap:.1e}")
        if gap > 1e-5:
            report.append(f"optimizers/{name}: differs by {gap:.1e}; 2.2.4's formula stored")
            weights, losses = ours, np.array(our_losses)
        arrays.update(
            oracle.case_arrays(
                name,
                {
                    "optimizer": optimizer,
                    "losses": losses,
                    "weights5": weights,
                    "slots": rule.get_weights(),
                },
            )
        )
    return arrays
