"""Initializers: what the weights of a layer are before training.

An initializer is called with the shape and the type of a weight and returns an array. Random ones
draw from `minikeras.backend.random`: without a seed, ``np.random.seed`` makes a script repeat;
with one, each call with the same shape returns the same values, whatever was drawn before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minikeras.backend import floatx
from minikeras.backend.random import new_generator
from minikeras.ops import draw
from minikeras.utils.generic_utils import to_snake_case
from minikeras.utils.registry import Registry

Shape = Sequence[int]

# The standard deviation of a standard normal distribution cut off at -2 and 2.
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer:
    """The base class of initializers.

    A subclass defines ``__call__(shape, dtype=None)`` and, to be saved with a model, `get_config`.
    A plain function ``f(shape, dtype=None)`` serves as an initializer, too.

    Examples
    --------
    >>> class Halves(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.full(shape, 0.5, dtype or "float32")
    >>> get(Halves)((2,)).tolist()
    [0.5, 0.5]
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        """Return the values of a weight.

        Parameters
        ----------
        shape : sequence of int
        dtype : str or numpy.dtype, optional
            Default: ``K.floatx()``.
        """
        raise NotImplementedError(
            f"The initializer {type(self).__name__} does not say what it makes: define "
            "__call__(self, shape, dtype=None)."
        )

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Initializer:
        """Make an initializer from what `get_config` returned."""
        return cls(**config)


class _BuiltIn(Initializer):
    """What the initializers of this module share.

    The attributes of each are the arguments of its constructor, and nothing else.
    """

    def __call__(self, shape: Shape, dtype: Any = None) -> np.ndarray:
        """Return the values of a weight; see `Initializer`."""
        return self._values(tuple(shape), np.dtype(dtype or floatx()))

    def _values(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return dict(vars(self))


class _Random(_BuiltIn):
    """What the random ones share. NumPy draws float32 or float64; the weight's type may differ."""

    seed: int | None

    def _values(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if dtype.kind != "f":
            raise ValueError(
                f"{type(self).__name__} makes floating-point numbers only; a weight of type "
                f"{dtype} needs another initializer, such as Zeros."
            )
        drawn = np.float64 if dtype.itemsize > 4 else np.float32
        values = self._draw(new_generator(self.seed), shape, drawn)
        return np.ascontiguousarray(values, dtype).reshape(shape)

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
        raise NotImplementedError


class Zeros(_BuiltIn):
    """All zeros.

    Examples
    --------
    >>> Zeros()((2, 2)).tolist()
    [[0.0, 0.0], [0.0, 0.0]]
    """

    def _values(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return np.zeros(shape, dtype)


class Ones(_BuiltIn):
    """All ones.

    Examples
    --------
    >>> Ones()((3,)).tolist()
    [1.0, 1.0, 1.0]
    """

    def _values(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        return np.ones(shape, dtype)


class Constant(_BuiltIn):
    """One value everywhere, or values that are given.

    Parameters
    ----------
    value : float or array_like
        An array must broadcast to the shape of the weight. Default 0.

    Examples
    --------
    >>> Constant(2)((2, 2)).tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    """

    def __init__(self, value: Any = 0) -> None:
        self.value = value

    def _values(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        filled = np.empty(shape, dtype)
        try:
            filled[...] = self.value
        except ValueError as error:
            raise ValueError(
                f"The value of Constant has shape {np.shape(self.value)}, which does not "
                f"broadcast to the shape {shape} of the weight."
            ) from error
        return filled

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments, an array as nested lists."""
        value = self.value
        return {"value": value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value}


class _Normal(_Random):
    """What the normal distributions share."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed


class RandomNormal(_Normal):
    """Normally distributed values.

    Parameters
    ----------
    mean, stddev : float
        Default 0 and 0.05.
    seed : int, optional

    Examples
    --------
    >>> abs(float(RandomNormal(mean=3.0, stddev=0.1, seed=1)((100, 100)).mean()) - 3) < 0.01
    True
    """

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
        return _scaled(generator.standard_normal(shape, dtype), self.stddev, self.mean)


class RandomUniform(_Random):
    """Values of equal probability between two bounds.

    Parameters
    ----------
    minval, maxval : float
        Default -0.05 and 0.05.
    seed : int, optional

    Examples
    --------
    >>> values = RandomUniform(1.0, 2.0, seed=1)((100,))
    >>> bool(values.min() >= 1), bool(values.max() <= 2)
    (True, True)
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        self.minval = minval
        self.maxval = maxval
        self.seed = seed

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
        return _scaled(generator.random(shape, dtype), self.maxval - self.minval, self.minval)


class TruncatedNormal(_Normal):
    """Normally distributed values, those beyond two standard deviations drawn again.

    Parameters
    ----------
    mean, stddev : float
        Of the distribution before values are drawn again: the standard deviation of what is
        returned is 0.88 times `stddev`. Default 0 and 0.05.
    seed : int, optional

    Examples
    --------
    >>> values = TruncatedNormal(stddev=1.0, seed=1)((1000,))
    >>> bool(abs(values).max() <= 2)
    True
    """

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
        return _scaled(draw.truncated_normal(generator, shape, dtype), self.stddev, self.mean)


class VarianceScaling(_Random):
    """Random values whose variance is ``scale / n``, where n fits the shape of the weight.

    A kernel ``(inputs, units)`` has ``fan_in = inputs`` and ``fan_out = units``. In a convolution
    kernel ``(..., inputs, filters)`` both are multiplied by the number of positions.

    Parameters
    ----------
    scale : float
        Greater than 0. Default 1.
    mode : {'fan_in', 'fan_out', 'fan_avg'}
        What n is: the first, the second or the mean of the two. Default ``'fan_in'``.
    distribution : {'normal', 'uniform', 'truncated_normal', 'untruncated_normal'}
        ``'normal'`` (default) is cut off at two standard deviations, and widened so that the
        variance is right all the same. Later versions of Keras call it ``'truncated_normal'``;
        it is stored as ``'normal'``.
    seed : int, optional

    Raises
    ------
    ValueError
        If an argument is none of the above.

    References
    ----------
    Glorot and Bengio (2010), "Understanding the difficulty of training deep feedforward neural
    networks"; He et al. (2015), "Delving Deep into Rectifiers", arXiv:1502.01852.

    Examples
    --------
    >>> kernel = VarianceScaling(scale=2.0, seed=1)((400, 300))
    >>> abs(float(kernel.var()) - 2 / 400) < 1e-4
    True
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "normal",
        seed: int | None = None,
    ) -> None:
        if not scale > 0:
            raise ValueError(f"scale of VarianceScaling must be greater than 0, got {scale!r}.")
        self.scale = scale
        self.mode = _one_of(mode, ("fan_in", "fan_out", "fan_avg"), "mode")
        known = ("normal", "uniform", "truncated_normal", "untruncated_normal")
        distribution = _one_of(distribution, known, "distribution")
        self.distribution = "normal" if distribution == "truncated_normal" else distribution
        self.seed = seed

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
        stddev = math.sqrt(self._variance(shape))
        if self.distribution == "uniform":
            limit = math.sqrt(3) * stddev
            return _scaled(generator.random(shape, dtype), 2 * limit, -limit)
        if self.distribution == "untruncated_normal":
            return _scaled(generator.standard_normal(shape, dtype), stddev)
        return _scaled(draw.truncated_normal(generator, shape, dtype), stddev / _TRUNCATED_STDDEV)

    def _variance(self, shape: Shape) -> float:
        fan_in, fan_out = _compute_fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        return self.scale / max(1.0, n)


class Orthogonal(_Random):
    """A random orthogonal matrix: its columns, or its rows if those are fewer, are orthonormal.

    A weight of more than two axes is filled as the matrix of all axes but the last by the last.

    Parameters
    ----------
    gain : float
        Factor of the matrix. Default 1.
    seed : int, optional

    References
    ----------
    Saxe et al. (2014), "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", arXiv:1312.6120.

    Examples
    --------
    >>> q = Orthogonal(seed=1)((3, 3), "float64")
    >>> bool(np.allclose(q.T @ q, np.eye(3)))
    True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = gain
        self.seed = seed

    def _draw(self, generator: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
        if len(shape) < 2:
            raise ValueError(
                f"Orthogonal can only fill a weight of two or more axes, not one of shape {shape}."
            )
        matrix = draw.orthogonal(generator, math.prod(shape[:-1]), shape[-1], dtype)
        return _scaled(matrix, self.gain)


class Identity(_BuiltIn):
    """The identity matrix.

    Where one side of the matrix is a multiple of the other, identity matrices fill it side by
    side, as in Keras 2.2. Later versions fill the rest with zeros.

    Parameters
    ----------
    gain : float
        Factor of the matrix. Default 1.

    Examples
    --------
    >>> Identity()((2, 4)).tolist()
    [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def _values(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        if len(shape) != 2:
            raise ValueError(f"Identity can only fill a matrix, not a weight of shape {shape}.")
        short, long = sorted(shape)
        if short == 0 or long % short:
            raise ValueError(
                f"Identity can't fill a matrix of shape {shape}: one side must be a multiple of "
                "the other."
            )
        square = np.eye(short) * self.gain
        return np.tile(square, (shape[0] // short, shape[1] // short)).astype(dtype)


def lecun_uniform(seed: int | None = None) -> VarianceScaling:
    """Return the initializer of LeCun et al. (1998): uniform, variance 1/fan_in.

    Parameters
    ----------
    seed : int, optional
    """
    return VarianceScaling(1.0, "fan_in", "uniform", seed)


def lecun_normal(seed: int | None = None) -> VarianceScaling:
    """Return a truncated normal of variance 1/fan_in, for 'selu' (arXiv:1706.02515).

    Parameters
    ----------
    seed : int, optional
    """
    return VarianceScaling(1.0, "fan_in", "normal", seed)


def glorot_uniform(seed: int | None = None) -> VarianceScaling:
    """Return the initializer of Glorot and Bengio (2010): uniform, variance 2/(fan_in+fan_out).

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> kernel = glorot_uniform(seed=1)((2, 4))
    >>> bool(abs(kernel).max() <= 1)
    True
    """
    return VarianceScaling(1.0, "fan_avg", "uniform", seed)


def glorot_normal(seed: int | None = None) -> VarianceScaling:
    """Return the truncated normal initializer of variance 2/(fan_in+fan_out).

    Parameters
    ----------
    seed : int, optional
    """
    return VarianceScaling(1.0, "fan_avg", "normal", seed)


def he_normal(seed: int | None = None) -> VarianceScaling:
    """Return the initializer of He et al. (2015): truncated normal, variance 2/fan_in.

    Parameters
    ----------
    seed : int, optional
    """
    return VarianceScaling(2.0, "fan_in", "normal", seed)


def he_uniform(seed: int | None = None) -> VarianceScaling:
    """Return the uniform initializer of variance 2/fan_in.

    Parameters
    ----------
    seed : int, optional
    """
    return VarianceScaling(2.0, "fan_in", "uniform", seed)


# Keras 2.2 writes classes in small letters, too; later versions write functions as classes.
zero = zeros = Zeros
one = ones = Ones
constant = Constant
uniform = random_uniform = RandomUniform
normal = random_normal = RandomNormal
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
orthogonal = Orthogonal
identity = Identity
LecunUniform, LecunNormal = lecun_uniform, lecun_normal
GlorotUniform, GlorotNormal = glorot_uniform, glorot_normal
HeNormal, HeUniform = he_normal, he_uniform

_CLASSES = (
    Zeros,
    Ones,
    Constant,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Orthogonal,
    Identity,
)
_FUNCTIONS = (lecun_uniform, lecun_normal, glorot_uniform, glorot_normal, he_normal, he_uniform)

_registry = Registry(
    "initializer",
    {made.__name__: made for made in (*_CLASSES, *_FUNCTIONS)},
    aliases={
        **{to_snake_case(made.__name__): made.__name__ for made in _CLASSES},
        **{made.__name__.title().replace("_", ""): made.__name__ for made in _FUNCTIONS},
        "zero": "Zeros",
        "one": "Ones",
        "uniform": "RandomUniform",
        "normal": "RandomNormal",
    },
    factories=[made.__name__ for made in _FUNCTIONS],
)


def get(identifier: Any) -> Any:
    """Return the initializer that `identifier` names.

    Parameters
    ----------
    identifier : str, dict, class or callable
        A name such as ``'glorot_uniform'``, a config, a class or one of the functions of this
        module; an initializer or a function ``f(shape, dtype=None)`` is returned as it is.

    Raises
    ------
    ValueError
        If a name is unknown.
    TypeError
        If `identifier` is none of these.

    Examples
    --------
    >>> get("he_normal").get_config()
    {'scale': 2.0, 'mode': 'fan_in', 'distribution': 'normal', 'seed': None}
    """
    return deserialize(identifier) if isinstance(identifier, Mapping) else _registry.get(identifier)


def serialize(initializer: Any) -> Any:
    """Return the config of an initializer, or the name of a function.

    Examples
    --------
    >>> serialize(Constant(2))
    {'class_name': 'Constant', 'config': {'value': 2}}
    """
    return _registry.serialize(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make an initializer from its name or its config.

    Parameters
    ----------
    config : str or dict
        What `serialize` returned, or a later version of Keras.
    custom_objects : dict, optional
        Names that are known in this call only.

    Examples
    --------
    >>> deserialize({"class_name": "Ones", "config": {}})((2,)).tolist()
    [1.0, 1.0]
    """
    return _registry.deserialize(_without_dtype(config), custom_objects)


def _without_dtype(config: Any) -> Any:
    """Drop the type that tf.keras 1 stored with each initializer: the weight decides it."""
    if not isinstance(config, Mapping) or config.get("class_name") not in _registry.entries:
        return config
    arguments = config.get("config")
    if not isinstance(arguments, Mapping):
        return config
    return {**config, "config": {k: v for k, v in arguments.items() if k != "dtype"}}


def _compute_fans(shape: Shape, data_format: str = "channels_last") -> tuple[float, float]:
    """Return how many inputs reach one output of a weight, and how many outputs one input.

    Shapes of three to five axes are those of convolution kernels: ``(..., inputs, filters)``
    for ``'channels_last'``, ``(filters, inputs, ...)`` for ``'channels_first'``. For one axis
    or none, or more than five, both are the root of the number of entries.
    """
    shape = tuple(shape)
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f"data_format must be 'channels_last' or 'channels_first', got {data_format!r}."
        )
    if len(shape) == 2:
        return shape[0], shape[1]
    if len(shape) not in (3, 4, 5):
        root = math.sqrt(math.prod(shape))
        return root, root
    if data_format == "channels_first":
        positions = math.prod(shape[2:])
        return shape[1] * positions, shape[0] * positions
    positions = math.prod(shape[:-2])
    return shape[-2] * positions, shape[-1] * positions


def _one_of(value: str, known: tuple[str, ...], name: str) -> str:
    lower = value.lower() if isinstance(value, str) else value
    if lower not in known:
        names = ", ".join(map(repr, known))
        raise ValueError(f"{name} of VarianceScaling must be one of {names}; got {value!r}.")
    return lower


def _scaled(values: Any, factor: float, offset: float = 0.0) -> np.ndarray:
    """Return ``values * factor + offset``, written over `values`."""
    values = np.asarray(values)  # NumPy draws a scalar weight as a scalar
    values *= factor
    if offset:
        values += offset
    return values
