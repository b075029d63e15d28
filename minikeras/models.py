"""Models to files, and from files and configurations, at Keras' address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from minikeras.engine.weights import classes_in
from minikeras.sequential import Sequential
from minikeras.utils.registry import CustomObjectScope

__all__ = [
    "Sequential",
    "clone_model",
    "load_model",
    "model_from_config",
    "model_from_json",
    "save_model",
]


def save_model(
    model: Sequential,
    filepath: str | os.PathLike | Any,
    overwrite: bool = True,
    include_optimizer: bool = True,
) -> None:
    """Save a model to a file in Keras 2's HDF5 format, which Keras reads, too.

    Saved are the layers, the weights and, of a compiled model, what `compile` got and the state of
    the optimizer. So `load_model` gives a model that is trained further as if it had not been
    interrupted.

    Parameters
    ----------
    model : Sequential
    filepath : str, PathLike, file object or h5py.Group
        A file object must be open for writing bytes, a group must be empty.
    overwrite : bool
        What to do if the file exists: replace it (True, default) or ask at the terminal (False).
    include_optimizer : bool
        Whether to save how the model is trained. Default True. A model that is not compiled is
        saved without that.

    Raises
    ------
    ValueError
        If the model has not been built, or something in it has a name that HDF5 can't hold.
    FileExistsError
        If `overwrite` is False, the file exists, and there is no terminal to ask at.
    FileNotFoundError
        If the folder does not exist.

    Notes
    -----
    The file is written in one step (see `minikeras.utils.files.atomic_write`): if that fails, or
    the process is killed, the old file is still there. Keras writes into the old file. An
    `h5py.Group` is written to directly, so that what was written before an error remains.

    Losses, metrics and layers of your own are saved by name, and `load_model` needs them in
    ``custom_objects``.

    The states that stateful layers keep are not saved, as in Keras.

    Examples
    --------
    >>> import tempfile
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(2, input_dim=3)])
    >>> model.compile("adam", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(model, folder + "/model.h5")
    ...     again = load_model(folder + "/model.h5")
    >>> again.optimizer.get_config() == model.optimizer.get_config()
    True
    """
    from minikeras.saving.places import write_to
    from minikeras.saving.whole_model import write_model

    write_to(filepath, lambda file: write_model(model, file, include_optimizer), overwrite)


def load_model(
    filepath: str | os.PathLike | Any,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
) -> Sequential:
    """Return a model that was saved by `save_model`, or by Keras 2 with a `Sequential`.

    Parameters
    ----------
    filepath : str, PathLike, file object or h5py.Group
        A file object must be open for reading bytes.
    custom_objects : dict, optional
        Name to class or function, for what is not built in.
    compile : bool
        Whether to compile the model as it was, and to give the optimizer its state. Default True.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If it is no HDF5 file.
    ValueError
        If it holds no model, or one that can't be made here.

    Warns
    -----
    UserWarning
        If the model was not compiled when it was saved, or if the state of the optimizer does
        not fit.

    Notes
    -----
    Nothing that a file holds is run or imported: names stand for what is built in or is in
    `custom_objects`. So the byte code of a `Lambda` layer is refused, where Keras 2 runs it. Links
    and arrays that lead to other files are refused, too.

    Examples
    --------
    See `save_model`.
    """
    from minikeras.saving.places import opened
    from minikeras.saving.whole_model import read_model

    with opened(filepath) as file:
        return read_model(file, model_from_config, custom_objects, compile)


def model_from_config(
    config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> Sequential:
    """Make a model from ``{'class_name': 'Sequential', 'config': ...}``.

    Parameters
    ----------
    config : dict
        A ``build_input_shape`` in it is the input shape of a model whose layers state none.
    custom_objects : dict, optional
        Name to class or function, for what is not built in.
    """
    if not isinstance(config, Mapping) or "config" not in config:
        raise TypeError(
            "model_from_config takes a dict with the keys 'class_name' and 'config', got "
            f"{type(config).__name__}. For what model.get_config() returns, use "
            "Sequential.from_config."
        )
    if not isinstance(config["config"], (Mapping, list)):
        raise ValueError(
            "The configuration of a Sequential must be a dict or a list of layers, got "
            f"{config['config']!r}."
        )
    found = config.get("class_name", "Sequential")
    if found not in ("Sequential", *(custom_objects or {})):
        raise ValueError(f"Only Sequential models can be made here, not {found!r}.")
    cls = (custom_objects or {}).get(found, Sequential)
    content = config["config"]
    model = cls.from_config(content, custom_objects=custom_objects)
    shape = content.get("build_input_shape") if isinstance(content, Mapping) else None
    if shape and not model.built:
        model.build(tuple(shape))
    return model


def model_from_json(
    json_string: str, custom_objects: Mapping[str, Any] | None = None
) -> Sequential:
    """Make a model from what `Sequential.to_json` returned. See `model_from_config`.

    Examples
    --------
    >>> from minikeras.layers import Dense
    >>> text = Sequential([Dense(2, input_dim=3)]).to_json()
    >>> model_from_json(text).output_shape
    (None, 2)
    """
    import json

    try:
        config = json.loads(json_string)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"model_from_json takes what model.to_json() returned, as text; got {json_string!r:.60}"
            f" ({error}). Of a file, that is open(path).read()."
        ) from error
    return model_from_config(config, custom_objects)


def clone_model(model: Sequential) -> Sequential:
    """Return a model of the same configuration with fresh weights.

    Examples
    --------
    >>> from minikeras.layers import Dense
    >>> clone_model(Sequential([Dense(2, input_dim=3)])).count_params()
    8
    """
    clone = type(model)(name=model.name)
    layers: list[Any] = [] if model._input_layer is None else [model._input_layer]
    for layer in layers + model.layers:
        if isinstance(layer, Sequential):
            clone.add(clone_model(layer))
        else:
            with CustomObjectScope(classes_in(layer)):
                clone.add(type(layer).from_config(layer.get_config()))
    return clone


def __getattr__(name: str) -> Any:
    """Tell what to do without the models of Keras that are not a Sequential."""
    if name in ("Model", "Graph"):
        # Not AttributeError, whose text `from minikeras.models import Model` does not show.
        raise ImportError(
            f"minikeras has Sequential models only, and no {name}: layers follow one another. "
            "Instead of x = Dense(10)(x) and Model(inputs, outputs), write model = Sequential() "
            "and model.add(Dense(10)) for each layer; what branches and joins again can be one "
            "layer of your own, with a call(self, x) in functions of K."
        )
    if name == "model_from_yaml":
        raise ImportError(
            "minikeras reads and writes models as JSON, not YAML: model_from_json(model.to_json())."
        )
    raise AttributeError(f"module 'minikeras.models' has no attribute {name!r}")
