"""From what the user passes to arrays that fit the model: one home for `fit` and all the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from minikeras import losses
from minikeras.training.arguments import read_only, single
from minikeras.training.data import as_array, check_lengths, missing_data
from minikeras.training.disk import loaded
from minikeras.training.targets import check_labels, check_targets
from minikeras.training.weighting import standardize_weights


def standardize_x(model: Any, x: Any, name: str = "x") -> Any:
    """Return `x` as an array that fits the model, building the model at first sight of data."""
    if x is None:
        raise ValueError(f"{name} is None: pass an array of shape (samples, ...).")
    key = model.input_names[0] if isinstance(x, dict) and model.layers else None
    return model._accept(as_array(x, name, key), name)


def standardize(
    model: Any,
    x: Any,
    y: Any,
    sample_weight: Any = None,
    class_weight: dict | None = None,
    name: str = "",
) -> tuple[Any, Any, np.ndarray | None]:
    """Check inputs, targets and weights against the model and each other.

    Parameters
    ----------
    model : Sequential
        Must be compiled.
    x, y, sample_weight, class_weight
        As in `Sequential.fit`.
    name : str
        What stands before their names in errors, as ``'validation '``.

    Returns
    -------
    tuple
        Inputs, targets, and the weights of samples and classes in one array or None. Inputs and
        targets on disk stay there.

    Raises
    ------
    ValueError
        If they do not fit.
    """
    model._notice_changes()
    output = model._output_name()
    if y is None and x is not None:
        y = model._targets_given
    if x is None or y is None:
        raise ValueError(missing_data(x, y, name))
    key = model.input_names[0] if model.layers else None
    x = as_array(x, f"{name}x", key)
    y = as_array(y, f"{name}y", output)
    built = model.built
    if built:  # a shape that does not fit tells more than a length
        x = model._accept(x, f"{name}x")
    check_lengths(x, y, name=name)
    if len(x) == 0:
        raise ValueError(f"{name}x and {name}y hold no samples.")
    if not built:
        x = model._accept(x, f"{name}x")
    shape = model.output_shape
    if y.ndim == len(shape) - 1 and shape[-1] == 1:
        y = loaded(y)[..., np.newaxis]
    check_targets(model._loss_function, y.shape, shape, name=name)
    if model._loss_function is losses.sparse_categorical_crossentropy:
        check_labels(loaded(y), shape[-1] or 1, name=name)
    if sample_weight is not None:
        sample_weight = loaded(as_array(sample_weight, f"{name}sample_weight", output))
    if isinstance(class_weight, dict) and output in class_weight:
        class_weight = single(class_weight, "class_weight", output)
    weights = standardize_weights(
        y,
        sample_weight,
        class_weight,
        model.sample_weight_mode,
        name=name,
        output_rank=len(shape),
    )
    return x, y, weights


def converted(model: Any, arrays: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return one batch in the types that the model computes with; nobody can write to it."""
    x, y, weights = (read_only(loaded(array)) for array in arrays)
    return _as(x, model.input_dtype), _as(y, target_dtype(model)), weights


def target_dtype(model: Any) -> str | None:
    """Return the type of the targets: the last layer's; class numbers stay what they are."""
    if model._loss_function is losses.sparse_categorical_crossentropy:
        return None
    return model.layers[-1].dtype


def _as(array: Any, dtype: str | None) -> Any:
    return array if array is None or dtype is None else array.astype(dtype, copy=False)


def unpack(item: Any, where: str) -> tuple[Any, Any, Any]:
    """Return inputs, targets and weights (or None) of what a generator or Sequence gave.

    Raises
    ------
    ValueError
        If it is no tuple of two or three.
    """
    if isinstance(item, (tuple, list)) and len(item) in (2, 3):
        return (*item, None)[:3]
    length = f" of length {len(item)}" if isinstance(item, (tuple, list)) else ""
    raise ValueError(
        f"{where} must be a tuple (inputs, targets) or (inputs, targets, sample_weights), got "
        f"{type(item).__name__}{length}."
    )


def unpack_x(item: Any, where: str) -> Any:
    """Return the inputs of what a generator or Sequence gave, which may have targets with it."""
    if not isinstance(item, tuple):
        return item
    if len(item) not in (1, 2, 3):
        raise ValueError(
            f"{where} must be an array of inputs or a tuple (inputs, targets), got a tuple of "
            f"length {len(item)}."
        )
    return item[0]
