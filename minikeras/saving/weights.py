"""The weights of layers, to an HDF5 group and back.

Each layer has a group of its name, also one without weights. The order of the layers, and that of
the weights of a layer, are attributes: ``layer_names`` and ``weight_names``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from minikeras.engine.connected import Chain
from minikeras.engine.weights import all_layers
from minikeras.saving import KERAS_VERSION
from minikeras.saving.guard import dataset_at, group_at, read_numbers
from minikeras.saving.names import (
    Misfit,
    check_name,
    read_names,
    read_text,
    unique_names,
    write_names,
)
from minikeras.saving.places import opened
from minikeras.utils.warning import warn

# What Keras would say of kernels like ours. Its Theano reads them upside down, and turns round
# what another backend has written, if it knows that backend's name.
BACKEND = "tensorflow"
CONVOLUTIONS = {"Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D"}

Assignments = list[tuple[Any, np.ndarray]]


class StoredLayer(NamedTuple):
    """A layer in a file.

    Parameters
    ----------
    name : str
    group : h5py.Group
    weight_names : list of str
    """

    name: str
    group: Any
    weight_names: list[str]


def layers_of(model: Any) -> list[Any]:
    """Return the layers of a model, each once.

    Raises
    ------
    ValueError
        If it has not been built.
    """
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' has no weights yet: its input shape is not known. Give the "
            "first layer an input_shape, call build((None, ...)), or fit it first."
        )
    return list(dict.fromkeys(model.layers))


def ordered(layer: Any) -> list[Any]:
    """Return the weights of a layer in the order of Keras' files.

    First those that training changes, then the others. In a nested model that goes for its
    layers, be the model itself frozen or not: its configuration does not say so.
    """
    if not isinstance(layer, Chain):
        return layer.weights
    trainable, others = _sorted_out(layer)
    return list(dict.fromkeys([*trainable, *others]))


def _sorted_out(layer: Any) -> tuple[list[Any], list[Any]]:
    if not isinstance(layer, Chain):
        return layer.trainable_weights, layer.non_trainable_weights
    pairs = [_sorted_out(part) for part in layer.layers]
    return [w for pair in pairs for w in pair[0]], [w for pair in pairs for w in pair[1]]


def write_layers(group: Any, layers: Sequence[Any]) -> None:
    """Write the weights of layers to an empty group.

    Parameters
    ----------
    group : h5py.Group
    layers : list of Layer

    Raises
    ------
    ValueError
        If the name of a layer or of a weight can't be one in a file.
    """
    write_names(group, "layer_names", [layer.name for layer in layers])
    group.attrs["backend"] = BACKEND.encode()
    group.attrs["keras_version"] = KERAS_VERSION.encode()
    for layer in layers:
        own = group.create_group(check_name(layer.name, "a layer"))
        write_arrays(own, [(weight.name, weight.value) for weight in ordered(layer)])


def write_arrays(group: Any, arrays: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write arrays to a group, and their names, in their order, to its ``weight_names``."""
    arrays = list(arrays)
    names = unique_names(
        check_name(name or f"param_{number}", "a weight") for number, (name, _) in enumerate(arrays)
    )
    write_names(group, "weight_names", names)
    for name, (_, array) in zip(names, arrays, strict=True):
        group.create_dataset(name, data=array)


def load_weights(model: Any, source: Any, named: bool, skip_mismatch: bool, reshape: bool) -> None:
    """Read the weights of a model and set them. See `Sequential.load_weights`."""
    if skip_mismatch and not named:
        raise ValueError(
            "skip_mismatch=True needs by_name=True: without names, all weights must fit."
        )
    layers = layers_of(model)
    with opened(source) as file:
        group = weights_group(file)
        if named:
            found = by_name(group, layers, skip_mismatch, reshape)
        else:
            found = by_order(group, layers, reshape)
    assign(found)


def weights_group(file: Any) -> Any:
    """Return where a file holds weights, be it one of weights alone or of a whole model."""
    named = "layer_names" in file.attrs or "layer_names0" in file.attrs
    if not named and "model_weights" in file:
        return group_at(file, "model_weights")
    if not named:
        raise Misfit("There are no weights of Keras in it: it has no 'layer_names'.")
    return file


def by_order(group: Any, layers: Sequence[Any], reshape: bool = False) -> Assignments:
    """Read the weights of layers, the first stored layer being for the first one, and so on.

    Layers without weights are left out on both sides.

    Parameters
    ----------
    group : h5py.Group
    layers : list of Layer
    reshape : bool
        Whether the kernel of a convolution may have another shape of the same size.

    Returns
    -------
    list of (Variable, ndarray)
        For `assign`.

    Raises
    ------
    ValueError
        If the weights do not fit the layers.
    """
    _refuse_theano(group, layers)
    stored = [layer for layer in _stored_layers(group) if layer.weight_names]
    own = [layer for layer in layers if ordered(layer)]
    if len(stored) != len(own):
        raise Misfit(
            f"It holds weights of {len(stored)} layers, the model has {len(own)} layers with "
            f"weights. In the file: {_listed(stored)}. In the model: {_listed(own)}."
        )
    found: Assignments = []
    for layer, source in zip(own, stored, strict=True):
        found += _for_layer(layer, source, reshape, skip_mismatch=False)
    return found


def by_name(
    group: Any, layers: Sequence[Any], skip_mismatch: bool = False, reshape: bool = False
) -> Assignments:
    """Read the weights of those layers whose names are in the file. See `by_order`.

    Parameters
    ----------
    group, layers, reshape
        As in `by_order`.
    skip_mismatch : bool
        Whether weights that do not fit are left out, with a warning, or are an error (default).

    Warns
    -----
    UserWarning
        If weights are left out, or no layer of the model is in the file.
    """
    _refuse_theano(group, layers)
    stored = {layer.name: layer for layer in _stored_layers(group)}
    both = [layer for layer in layers if layer.name in stored]
    if not both:
        warn(
            f"No weights were loaded: no layer has the name of one in the file. In the file: "
            f"{_listed(stored.values())}. In the model: {_listed(layers)}."
        )
    found: Assignments = []
    for layer in both:
        found += _for_layer(layer, stored[layer.name], reshape, skip_mismatch)
    return found


def assign(assignments: Assignments) -> None:
    """Set weights to what was read for them."""
    for weight, array in assignments:
        weight.assign(array)


def _listed(layers: Iterable[Any]) -> str:
    return ", ".join(f"'{layer.name}'" for layer in layers) or "none"


def _stored_layers(group: Any) -> list[StoredLayer]:
    found = []
    for name in read_names(group, "layer_names"):
        own = group_at(group, name)
        found.append(StoredLayer(name, own, read_names(own, "weight_names")))
    return found


def _for_layer(layer: Any, source: StoredLayer, reshape: bool, skip_mismatch: bool) -> Assignments:
    """Read the weights of one layer."""
    own, names = ordered(layer), source.weight_names
    where = f"layer '{layer.name}'" + (
        f" (in the file '{source.name}')" if source.name != layer.name else ""
    )
    if len(names) != len(own):
        wanted = ", ".join(f"{w.name} {w.shape}" for w in own) or "none"
        message = (
            f"{where} has {len(own)} weights ({wanted}), but the file holds {len(names)} "
            f"({', '.join(names) or 'none'})."
        )
        return _skip(message) if skip_mismatch else _refuse(message)
    found: Assignments = []
    for number, (weight, name) in enumerate(zip(own, _arranged(names, own), strict=True)):
        dataset = dataset_at(source.group, name)
        kernel = number == 0 and type(layer).__name__ in CONVOLUTIONS
        shape = weight.shape
        if reshape and kernel and dataset.shape and math.prod(dataset.shape) == weight.size:
            shape = dataset.shape
        if dataset.shape != shape:
            message = (
                f"weight '{weight.name}' of {where} has shape {weight.shape}, but '{name}' in the "
                f"file has shape {dataset.shape}."
            )
            found += _skip(message) if skip_mismatch else _refuse(message)
        else:
            array = read_numbers(dataset, shape, f"'{name}' of {where}")
            found.append((weight, array.reshape(weight.shape)))
    return found


def _arranged(names: list[str], weights: Sequence[Any]) -> list[str]:
    """Return the stored names in the order of the weights.

    Freezing a layer of a nested model changes the order of its weights. If the names are the
    same, they tell which is which. Else the order counts, as in Keras.
    """
    own = [weight.name for weight in weights]
    return own if len(set(own)) == len(own) and set(own) == set(names) else names


def _refuse(message: str) -> Assignments:
    raise Misfit(message[0].upper() + message[1:])


def _skip(message: str) -> Assignments:
    warn(f"Not loaded: {message}")
    return []


def _refuse_theano(group: Any, layers: Iterable[Any]) -> None:
    """Refuse kernels that are stored upside down, which would give wrong results in silence."""
    if read_text(group, "backend") == "theano":
        found = [layer.name for layer in layers if _convolves(layer)]
        if found:
            raise Misfit(
                f"It was written by Keras on Theano, which turns the kernels of convolutions "
                f"(layers {', '.join(found)}) upside down. Load and save it in Keras on TensorFlow."
            )


def _convolves(layer: Any) -> bool:
    return any("Conv" in type(part).__name__ for part in all_layers(layer))
