"""What goes on inside a model: its weights, the outputs of its layers, gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from minikeras import losses
from minikeras.backend.running import fixed_phase
from minikeras.backend.variables import Variable
from minikeras.callbacks.tensorboard_events import Tags
from minikeras.callbacks.tensorboard_histogram import Histogram
from minikeras.callbacks.tensorboard_images import image_proto, pictures
from minikeras.engine import Context
from minikeras.engine.weights import all_layers
from minikeras.ops.blas import one_thread
from minikeras.utils.warning import warn


def summary_of(
    model: Any, data: Sequence[Any], batch_size: int, gradients: bool, images: bool
) -> Any:
    """Return histograms of weights and outputs as a Summary.

    Parameters
    ----------
    model : Sequential
    data : list of array_like
        Inputs, targets and weights of samples.
    batch_size : int
        How many samples are computed at a time.
    gradients : bool
        Whether there are histograms of the gradients, too; the model must be compiled for that.
    images : bool
        Whether there are images of the weights, too.
    """
    from tensorboardX.proto.summary_pb2 import Summary

    outputs = _outputs(model, data[0], batch_size)
    pulls = _gradients(model, data, batch_size) if gradients else {}
    summary, tags = Summary(), Tags()

    def add(name: str, histogram: Histogram) -> None:
        tag = tags.new(name)
        if histogram.left_out:
            warn(
                f"TensorBoard: '{tag}' holds {histogram.left_out} values that are NaN or infinite "
                f"besides {histogram.count} others. Its histogram leaves them out.",
                RuntimeWarning,
            )
        if histogram.count:
            summary.value.add(tag=tag, histo=histogram.proto())

    # The order decides which of two equal names gets a number behind it.
    for layer, output in zip(model.layers, outputs, strict=True):
        for weight in layer.weights:
            add(weight.name, _histogram(weight.value))
            if weight in pulls:
                add(f"{weight.name}_grad", pulls[weight])
            found = pictures(weight.value) if images else []
            tag = tags.new(weight.name) if found else ""
            for number, picture in enumerate(found):
                summary.value.add(tag=f"{tag}/image/{number}", image=image_proto(picture))
        add(f"{layer.name}_out", output)
    return summary


def outputs_of(
    model: Any, layers: Sequence[Any], data: np.ndarray, batch_size: int
) -> dict[str, np.ndarray]:
    """Return the outputs of some of the model's layers, one row for each sample.

    Parameters
    ----------
    model : Sequential
    layers : list of Layer
    data : array_like
        Inputs of the model.
    batch_size : int
        How many samples are computed at a time.

    Returns
    -------
    dict of str to ndarray, shape (samples, size)
        By the name of the layer.
    """
    found: dict[str, list[np.ndarray]] = {layer.name: [] for layer in layers}

    def look(index: int, y: np.ndarray) -> None:
        name = model.layers[index].name
        if name in found:
            found[name].append(y.reshape(len(y), -1).copy())

    for rows in _batches(data, batch_size):
        _walk(model, np.asarray(data[rows]), look)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _histogram(array: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.add(array)
    return histogram


def _outputs(model: Any, x: Any, batch_size: int) -> list[Histogram]:
    """Return a histogram of each layer's output."""
    histograms = [Histogram() for _ in model.layers]
    for rows in _batches(x, batch_size):
        _walk(model, np.asarray(x[rows]), lambda index, y: histograms[index].add(y))
    return histograms


def _batches(data: Any, batch_size: int) -> Iterator[slice]:
    for start in range(0, len(data), batch_size):
        yield slice(start, start + batch_size)


def _walk(model: Any, x: np.ndarray, look: Callable[[int, np.ndarray], None]) -> None:
    """Show each layer's output to `look`.

    The pass is not finished, so the states of layers stay as they are.
    """
    x = _inputs(model, x)
    with one_thread():
        ctx = Context(fixed_phase(False), records=False)
        for index, layer in enumerate(model.layers):
            x, _ = layer.propagate(x, ctx)
            look(index, x)


def _inputs(model: Any, x: np.ndarray) -> np.ndarray:
    """Return inputs in the type that the model computes with."""
    dtype = model.input_dtype
    return x if dtype is None else x.astype(dtype, copy=False)


def _targets(model: Any, y: np.ndarray) -> np.ndarray:
    """Return targets in the type that the model computes with; class numbers as they are."""
    if model._loss_function is losses.sparse_categorical_crossentropy:
        return y
    return y.astype(model.layers[-1].dtype, copy=False)


def _gradients(model: Any, data: Sequence[Any], batch_size: int) -> dict[Variable, Histogram]:
    """Return a histogram of the gradient by each weight that is trained."""
    step = model._ready()
    tables = _tables(model)
    histograms = {weight: Histogram() for weight in step.trainable}
    for rows in _batches(data[0], batch_size):
        x, y, weights = (np.asarray(array[rows]) for array in data)
        by_rows: dict[Variable, Any] = {}
        with one_thread():
            batch = _inputs(model, x), _targets(model, y), weights
            step.compute_gradients(*batch, by_rows, training=False)
        for weight, histogram in histograms.items():
            if weight in by_rows:
                histogram.add(by_rows[weight].values)
                continue
            gradient = step.store.gradients[weight]
            histogram.add(gradient[gradient.any(axis=1)] if weight in tables else gradient)
    return histograms


def _tables(model: Any) -> set[Variable]:
    """Return the weights of which a batch uses few rows; the others' zeros say nothing."""
    found = (getattr(layer, "embeddings", None) for layer in all_layers(model))
    return {table for table in found if isinstance(table, Variable)}
