"""The update rules of Keras 2.2.4 in float64 NumPy, to check tf-keras against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = list[np.ndarray]

DEFAULTS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.0, "nesterov": False},
    "RMSprop": {"rho": 0.9},
    "Adagrad": {},
    "Adadelta": {"rho": 0.95},
    "Adam": {"beta_1": 0.9, "beta_2": 0.999, "amsgrad": False},
    "Adamax": {"beta_1": 0.9, "beta_2": 0.999},
    "Nadam": {"beta_1": 0.9, "beta_2": 0.999, "schedule_decay": 0.004},
}


class Optimizer:
    """Shared by all: clipping (by the norm of all gradients together, then by value), decay."""

    # How many slots a weight has, and whether get_weights() begins with the step count.
    slot_count = 1
    saves_iterations = True

    def __init__(self, weights: Arrays, config: dict[str, Any]) -> None:
        self.config = {"decay": 0.0, "epsilon": 1e-7, **DEFAULTS[type(self).__name__], **config}
        self.iterations = 0
        self.clipped = False
        self.slots = [[np.zeros_like(w) for w in weights] for _ in range(self.slot_count)]

    def clip(self, gradients: Arrays) -> Arrays:
        """Clip as `clipnorm` and `clipvalue` ask."""
        before = gradients
        if "clipnorm" in self.config:
            norm = np.sqrt(sum(np.sum(g * g) for g in gradients))
            if norm >= self.config["clipnorm"]:
                gradients = [g * self.config["clipnorm"] / norm for g in gradients]
        if "clipvalue" in self.config:
            bound = self.config["clipvalue"]
            gradients = [np.clip(g, -bound, bound) for g in gradients]
        self.clipped |= any(
            not np.array_equal(a, b) for a, b in zip(before, gradients, strict=True)
        )
        return gradients

    def step(self, weights: Arrays, gradients: Arrays) -> Arrays:
        """Return the new weights."""
        lr = self.config["lr"] / (1.0 + self.config["decay"] * self.iterations)
        self.begin(self.iterations + 1)
        updated = []
        for i, (w, g) in enumerate(zip(weights, self.clip(gradients), strict=True)):
            slots = [slot[i] for slot in self.slots]
            change, new_slots = self.update(g, lr, self.iterations + 1, *slots)
            for slot, value in zip(self.slots, new_slots, strict=True):
                slot[i] = value
            updated.append(w + change)
        self.iterations += 1
        return updated

    def begin(self, t: int) -> None:
        """Called once before step `t`, counted from 1."""

    def update(self, g: np.ndarray, lr: float, t: int, *slots: Any) -> tuple[Any, list[Any]]:
        """Return the change of one weight, and its new slots."""
        raise NotImplementedError

    def get_weights(self) -> Arrays:
        """The optimizer's state in the order of 2.2.4."""
        head = [np.array(self.iterations, np.int64)] if self.saves_iterations else []
        return head + [array for slot in self.slots for array in slot]


class SGD(Optimizer):
    def update(self, g, lr, t, *slots):
        momentum = self.config["momentum"]
        v = momentum * slots[0] - lr * g
        return (momentum * v - lr * g if self.config["nesterov"] else v), [v]


class RMSprop(Optimizer):
    saves_iterations = False

    def update(self, g, lr, t, *slots):
        rho = self.config["rho"]
        a = rho * slots[0] + (1 - rho) * g**2
        return -lr * g / (np.sqrt(a) + self.config["epsilon"]), [a]


class Adagrad(Optimizer):
    saves_iterations = False

    def update(self, g, lr, t, *slots):
        a = slots[0] + g**2
        return -lr * g / (np.sqrt(a) + self.config["epsilon"]), [a]


class Adadelta(Optimizer):
    slot_count = 2
    saves_iterations = False

    def update(self, g, lr, t, *slots):
        rho, epsilon = self.config["rho"], self.config["epsilon"]
        a = rho * slots[0] + (1 - rho) * g**2
        change = g * np.sqrt(slots[1] + epsilon) / np.sqrt(a + epsilon)
        return -lr * change, [a, rho * slots[1] + (1 - rho) * change**2]


class Adam(Optimizer):
    slot_count = 3

    def update(self, g, lr, t, *slots):
        b1, b2 = self.config["beta_1"], self.config["beta_2"]
        m = b1 * slots[0] + (1 - b1) * g
        v = b2 * slots[1] + (1 - b2) * g**2
        v_hat = np.maximum(slots[2], v) if self.config["amsgrad"] else np.zeros(1)
        denominator = np.sqrt(v_hat if self.config["amsgrad"] else v) + self.config["epsilon"]
        lr_t = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
        return -lr_t * m / denominator, [m, v, v_hat]


class Adamax(Optimizer):
    slot_count = 2

    def update(self, g, lr, t, *slots):
        b1, b2 = self.config["beta_1"], self.config["beta_2"]
        m = b1 * slots[0] + (1 - b1) * g
        u = np.maximum(b2 * slots[1], np.abs(g))
        return -lr / (1 - b1**t) * m / (u + self.config["epsilon"]), [m, u]


class Nadam(Optimizer):
    slot_count = 2
    schedule = 1.0  # product of the momentum cache so far; 2.2.4 does not save it

    def momentum_cache(self, t: int) -> float:
        return self.config["beta_1"] * (1 - 0.5 * 0.96 ** (t * self.config["schedule_decay"]))

    def begin(self, t: int) -> None:
        self.schedule *= self.momentum_cache(t)

    def update(self, g, lr, t, *slots):
        b1, b2 = self.config["beta_1"], self.config["beta_2"]
        now, following = self.momentum_cache(t), self.momentum_cache(t + 1)
        m = b1 * slots[0] + (1 - b1) * g
        v = b2 * slots[1] + (1 - b2) * g**2
        g_prime = g / (1 - self.schedule)
        m_prime = m / (1 - self.schedule * following)
        m_bar = (1 - now) * g_prime + following * m_prime
        return -lr * m_bar / (np.sqrt(v / (1 - b2**t)) + self.config["epsilon"]), [m, v]


RULES: dict[str, Callable[[Arrays, dict[str, Any]], Optimizer]] = {
    rule.__name__: rule for rule in (SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam)
}
