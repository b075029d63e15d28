"""Rules that turn gradients into new weights, with the numbers of Keras 2.2.4.

Here are their names, arguments and schedules. The arithmetic is in `minikeras.ops.update`; what
they share, and how to write your own, in `minikeras.optimizer_base`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minikeras.backend.config import epsilon as default_epsilon
from minikeras.backend.variables import Variable
from minikeras.ops import update as rules
from minikeras.optimizer_base import Hyperparameter, Optimizer, checked
from minikeras.utils.registry import Registry, WrongKind, get_custom_objects

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Hyperparameter",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "deserialize",
    "get",
    "nadam",
    "rmsprop",
    "serialize",
    "sgd",
]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum [1]_ on request.

    For each weight `w` with gradient `g` it keeps a velocity `v`:
    ``v = momentum * v - lr * g``, then ``w += v``, or with `nesterov` [2]_
    ``w += momentum * v - lr * g``.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. Default 0.01.
    momentum : float
        From 0 to 1. Default 0.
    decay : float
        At least 0; see `Optimizer`. Default 0.
    nesterov : bool
        Whether to look ahead along the velocity. Default False.
    **kwargs
        `clipnorm`, `clipvalue`, `learning_rate`: see `Optimizer`.

    References
    ----------
    .. [1] B. Polyak, "Some methods of speeding up the convergence of iteration methods",
       USSR Computational Mathematics and Mathematical Physics 4(5), 1964.
    .. [2] I. Sutskever et al., "On the importance of initialization and momentum in deep
       learning", ICML 2013.

    Examples
    --------
    >>> optimizer = SGD(lr=0.1, momentum=0.9, nesterov=True)
    >>> optimizer.lr = 0.05
    >>> optimizer.get_config()
    {'lr': 0.05, 'decay': 0.0, 'momentum': 0.9, 'nesterov': True}
    """

    slots = ("moments",)
    arguments = ("momentum", "nesterov")
    threads_from = 1_000_000
    momentum = Hyperparameter(most=1.0)
    update = staticmethod(rules.sgd)

    def __init__(
        self,
        lr: float = 0.01,
        momentum: float = 0.0,
        decay: float = 0.0,
        nesterov: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.momentum = momentum
        self.nesterov = bool(nesterov)


class RMSprop(Optimizer):
    """Divides the gradient by a running root mean square of itself [1]_.

    ``a = rho * a + (1 - rho) * g**2``, then ``w -= lr * g / (sqrt(a) + epsilon)``.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. Default 0.001.
    rho : float
        How much of the mean square is kept in a step, at least 0 and below 1. Default 0.9.
    epsilon : float, optional
        At least 0. None (default): ``K.epsilon()``.
    decay : float
        At least 0; see `Optimizer`. Default 0.
    **kwargs
        `clipnorm`, `clipvalue`, `learning_rate`: see `Optimizer`.

    References
    ----------
    .. [1] T. Tieleman and G. Hinton, "Lecture 6.5 - RMSProp", COURSERA: Neural Networks for
       Machine Learning, 2012.

    Examples
    --------
    >>> optimizer = RMSprop(decay=0.5)
    >>> f"{optimizer.lr} {optimizer.rho} {optimizer.epsilon}"
    '0.001 0.9 1e-07'
    """

    slots = ("accumulators",)
    arguments = ("rho", "epsilon")
    saves_iterations = False
    rho = Hyperparameter(below=1.0)
    update = staticmethod(rules.rmsprop)

    def __init__(
        self,
        lr: float = 0.001,
        rho: float = 0.9,
        epsilon: float | None = None,
        decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.rho = rho
        self.epsilon = _epsilon_or_default(self, epsilon)


class Adagrad(Optimizer):
    """Divides the gradient by the root of the sum of all its squares so far [1]_.

    ``a += g**2``, then ``w -= lr * g / (sqrt(a) + epsilon)``. The sum starts at 0.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. Default 0.01.
    epsilon : float, optional
        At least 0. None (default): ``K.epsilon()``.
    decay : float
        At least 0; see `Optimizer`. Default 0.
    **kwargs
        `clipnorm`, `clipvalue`, `learning_rate`: see `Optimizer`.

    References
    ----------
    .. [1] J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning
       and stochastic optimization", Journal of Machine Learning Research 12, 2011.

    Examples
    --------
    >>> Adagrad(learning_rate=0.1).get_config()
    {'lr': 0.1, 'decay': 0.0, 'epsilon': 1e-07}
    """

    slots = ("accumulators",)
    arguments = ("epsilon",)
    saves_iterations = False
    update = staticmethod(rules.adagrad)

    def __init__(
        self, lr: float = 0.01, epsilon: float | None = None, decay: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.epsilon = _epsilon_or_default(self, epsilon)


class Adadelta(Optimizer):
    """Gives each step the size of recent steps in proportion to recent gradients [1]_.

    ``a = rho * a + (1 - rho) * g**2``, ``u = g * sqrt(d + epsilon) / sqrt(a + epsilon)``,
    ``w -= lr * u``, ``d = rho * d + (1 - rho) * u**2``.

    Parameters
    ----------
    lr : float
        At least 0. Default 1, the rule as it was published.
    rho : float
        How much of the mean squares is kept in a step, at least 0 and below 1. Default 0.95.
    epsilon : float, optional
        At least 0. None (default): ``K.epsilon()``.
    decay : float
        At least 0; see `Optimizer`. Default 0.
    **kwargs
        `clipnorm`, `clipvalue`, `learning_rate`: see `Optimizer`.

    References
    ----------
    .. [1] M. Zeiler, "ADADELTA: an adaptive learning rate method", arXiv:1212.5701, 2012.

    Examples
    --------
    >>> Adadelta().get_config()
    {'lr': 1.0, 'decay': 0.0, 'rho': 0.95, 'epsilon': 1e-07}
    """

    slots = ("accumulators", "delta_accumulators")
    arguments = ("rho", "epsilon")
    saves_iterations = False
    rho = Hyperparameter(below=1.0)
    update = staticmethod(rules.adadelta)

    def __init__(
        self,
        lr: float = 1.0,
        rho: float = 0.95,
        epsilon: float | None = None,
        decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.rho = rho
        self.epsilon = _epsilon_or_default(self, epsilon)


class Adam(Optimizer):
    """Running means of the gradient and of its square, freed of their start at zero [1]_.

    ``m = beta_1 * m + (1 - beta_1) * g``, ``v = beta_2 * v + (1 - beta_2) * g**2``, then
    ``w -= lr_t * m / (sqrt(v) + epsilon)`` with
    ``lr_t = lr * sqrt(1 - beta_2**t) / (1 - beta_1**t)`` in step `t` (the first is 1).

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. Default 0.001.
    beta_1, beta_2 : float
        How much of the means is kept in a step, at least 0 and below 1. Default 0.9 and 0.999.
    epsilon : float, optional
        At least 0. None (default): ``K.epsilon()``.
    decay : float
        At least 0; see `Optimizer`. Default 0.
    amsgrad : bool
        Whether to divide by the largest ``v`` so far [2]_. Default False.
    **kwargs
        `clipnorm`, `clipvalue`, `learning_rate`: see `Optimizer`.

    References
    ----------
    .. [1] D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
       the variant at the end of section 2.
    .. [2] S. Reddi, S. Kale and S. Kumar, "On the convergence of Adam and beyond", ICLR 2018.

    Examples
    --------
    >>> Adam(lr=0.01, beta_1=0.5).get_config()
    {'lr': 0.01, 'decay': 0.0, 'beta_1': 0.5, 'beta_2': 0.999, 'epsilon': 1e-07, 'amsgrad': False}
    """

    arguments = ("beta_1", "beta_2", "epsilon", "amsgrad")
    beta_1 = Hyperparameter(below=1.0)
    beta_2 = Hyperparameter(below=1.0)

    def __init__(
        self,
        lr: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        decay: float = 0.0,
        amsgrad: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = _epsilon_or_default(self, epsilon)
        self.amsgrad = bool(amsgrad)
        self.slots = ("ms", "vs", "vhats") if amsgrad else ("ms", "vs")

    def step_constants(self, lr: float, t: int) -> tuple[float, ...]:
        """Return the numbers that `update` takes last."""
        beta_1, beta_2 = float(self.beta_1), float(self.beta_2)
        lr *= (1 - beta_2**t) ** 0.5 / (1 - beta_1**t)
        return lr, beta_1, beta_2, self.epsilon

    @property
    def update(self) -> Any:
        """The rule, with or without `amsgrad`."""
        return rules.amsgrad if self.amsgrad else rules.adam

    @property
    def weights(self) -> list[Variable]:
        """The state as in Keras 2.2.4, which without amsgrad ends in an unused zero per weight."""
        found = super().weights
        if found and not self.amsgrad:
            for variable in found[1 : 1 + (len(found) - 1) // 2]:
                name = variable.name.replace("/ms:0", "/vhats:0")
                found.append(Variable(np.zeros(1, variable.dtype), name, trainable=False))
        return found


class Adamax(Optimizer):
    """Adam by the largest gradient of late in place of the root mean square [1]_.

    ``m = beta_1 * m + (1 - beta_1) * g``, ``u = max(beta_2 * u, abs(g))``, then
    ``w -= lr / (1 - beta_1**t) * m / (u + epsilon)`` in step `t` (the first is 1).

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. Default 0.002.
    beta_1, beta_2 : float
        How much is kept in a step, at least 0 and below 1. Default 0.9 and 0.999.
    epsilon : float, optional
        At least 0. None (default): ``K.epsilon()``.
    decay : float
        At least 0; see `Optimizer`. Default 0.
    **kwargs
        `clipnorm`, `clipvalue`, `learning_rate`: see `Optimizer`.

    References
    ----------
    .. [1] D. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015,
       section 7.

    Examples
    --------
    >>> Adamax().get_config()
    {'lr': 0.002, 'decay': 0.0, 'beta_1': 0.9, 'beta_2': 0.999, 'epsilon': 1e-07}
    """

    slots = ("ms", "us")
    arguments = ("beta_1", "beta_2", "epsilon")
    beta_1 = Hyperparameter(below=1.0)
    beta_2 = Hyperparameter(below=1.0)
    update = staticmethod(rules.adamax)

    def __init__(
        self,
        lr: float = 0.002,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(lr, decay, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = _epsilon_or_default(self, epsilon)

    def step_constants(self, lr: float, t: int) -> tuple[float, ...]:
        """Return the numbers that `update` takes last."""
        beta_1 = float(self.beta_1)
        return lr / (1 - beta_1**t), beta_1, float(self.beta_2), self.epsilon


class Nadam(Optimizer):
    """Adam with Nesterov's look ahead [1]_, and a momentum that grows to `beta_1`.

    The momentum of step `t` (the first is 1) is
    ``c(t) = beta_1 * (1 - 0.96**(t * schedule_decay) / 2)``; ``C(t) = c(1) * ... * c(t)``.
    With Adam's ``m`` and ``v``, ``w -= lr * n / (sqrt(v / (1 - beta_2**t)) + epsilon)`` where
    ``n = (1 - c(t)) * g / (1 - C(t)) + c(t + 1) * m / (1 - C(t + 1))``.

    Parameters
    ----------
    lr : float
        Learning rate, at least 0. Default 0.002.
    beta_1, beta_2 : float
        How much of the means is kept in a step, at least 0 and below 1. Default 0.9 and 0.999.
    epsilon : float, optional
        At least 0. None (default): ``K.epsilon()``.
    schedule_decay : float
        How fast the momentum grows, at least 0. Default 0.004.
    **kwargs
        `clipnorm`, `clipvalue`, `learning_rate`: see `Optimizer`. There is no `decay`, as in
        Keras.

    Notes
    -----
    Keras 2.2.4 does not save ``C``, and begins with ``C(1)`` again after its state was loaded.
    Here it follows from `iterations`, so training goes on as if it had not been interrupted.

    References
    ----------
    .. [1] T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop.

    Examples
    --------
    >>> sorted(Nadam().get_config())
    ['beta_1', 'beta_2', 'epsilon', 'lr', 'schedule_decay']
    """

    slots = ("ms", "vs")
    arguments = ("beta_1", "beta_2", "epsilon", "schedule_decay")
    beta_1 = Hyperparameter(below=1.0)
    beta_2 = Hyperparameter(below=1.0)
    update = staticmethod(rules.nadam)

    def __init__(
        self,
        lr: float = 0.002,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        schedule_decay: float = 0.004,
        **kwargs: Any,
    ) -> None:
        if "decay" in kwargs:
            raise TypeError("Nadam takes no 'decay', only 'schedule_decay' for its momentum.")
        super().__init__(lr, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = _epsilon_or_default(self, epsilon)
        self.schedule_decay = checked("Nadam", "schedule_decay", schedule_decay)
        # A step, and the product of the momenta up to it.
        self._schedule = (0, 1.0)

    def step_constants(self, lr: float, t: int) -> tuple[float, ...]:
        """Return the numbers that `update` takes last."""
        beta_1, beta_2 = float(self.beta_1), float(self.beta_2)
        now, following = self._momentum(t), self._momentum(t + 1)
        product = self._product_before(t) * now
        self._schedule = (t, product)
        # The factor of v goes from below the root to the factors outside.
        root = (1 - beta_2**t) ** 0.5
        by_gradient = lr * root * (1 - now) / (1 - product)
        by_mean = lr * root * following / (1 - product * following)
        return by_gradient, by_mean, beta_1, beta_2, self.epsilon * root

    def _momentum(self, t: int) -> float:
        return float(self.beta_1) * (1 - 0.5 * 0.96 ** (t * self.schedule_decay))

    def _product_before(self, t: int) -> float:
        """Return the product of the momenta of all steps before `t`."""
        last, product = self._schedule
        if last == t - 1:
            return product
        product = 1.0
        for step in range(1, t):
            product *= self._momentum(step)
            if product < 1e-30:  # nothing beside 1, which is what it is subtracted from
                break
        return product

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an optimizer like this one, with Keras' keys."""
        config = super().get_config()
        del config["decay"]
        return config


def _epsilon_or_default(optimizer: Optimizer, epsilon: float | None) -> float:
    if epsilon is None:
        return default_epsilon()
    return checked(type(optimizer).__name__, "epsilon", epsilon)


# Keras 2.2 has these names, too.
sgd = SGD
rmsprop = RMSprop
adagrad = Adagrad
adadelta = Adadelta
adam = Adam
adamax = Adamax
nadam = Nadam

_CLASSES = {cls.__name__: cls for cls in (SGD, RMSprop, Adagrad, Adadelta, Adam, Adamax, Nadam)}
_registry = Registry("optimizer", _CLASSES, base=Optimizer)
#: Lower-case name to class name.
NAMES = {name.lower(): name for name in _CLASSES}


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Return a config from which `deserialize` makes an optimizer like this one.

    Examples
    --------
    >>> serialize(SGD(lr=0.5))["class_name"]
    'SGD'
    """
    config: dict[str, Any] = _registry.serialize(optimizer)
    return config


def deserialize(
    config: str | Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> Optimizer:
    """Make an optimizer from its name or its config.

    Parameters
    ----------
    config : str or dict
        A name in any letter case, or what `serialize` returned.
    custom_objects : dict, optional
        Names of further classes.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> float(deserialize({"class_name": "sgd", "config": {"lr": 0.5}}).lr)
    0.5
    """
    if isinstance(config, str):
        config = {"class_name": config, "config": {}}
    if isinstance(config, Mapping) and isinstance(config.get("class_name"), str):
        name = config["class_name"]
        if name not in (custom_objects or {}) and name not in get_custom_objects():
            config = {**config, "class_name": NAMES.get(name.lower(), name)}
    found: Optimizer = _registry.deserialize(config, custom_objects)
    return found


def get(identifier: Any) -> Optimizer:
    """Return the optimizer that `identifier` names.

    Parameters
    ----------
    identifier : str, dict, class or Optimizer
        A name in any letter case such as ``'rmsprop'``, a config, a class (made with its
        defaults), or an optimizer, which is returned as it is.

    Raises
    ------
    ValueError
        If a name is unknown.
    WrongKind
        If it is none of these.

    Examples
    --------
    >>> type(get("adam")).__name__
    'Adam'
    """
    if isinstance(identifier, (str, Mapping)):
        return deserialize(identifier)
    if isinstance(identifier, (int, float)):
        raise WrongKind(
            f"Could not take {identifier} as optimizer: expected a name such as 'adam' or an "
            f"Optimizer. If it is the learning rate, write SGD(lr={identifier}) or another class."
        )
    found: Optimizer = _registry.get(identifier)
    return found
