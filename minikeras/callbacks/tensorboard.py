"""`TensorBoard`: a training's course in files that TensorBoard shows."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minikeras.callbacks.base import Callback
from minikeras.callbacks.tensorboard_events import EventFile, load_tensorboardx
from minikeras.callbacks.tensorboard_graph import graph_of
from minikeras.callbacks.tensorboard_projector import write_points
from minikeras.callbacks.tensorboard_watching import outputs_of, summary_of
from minikeras.utils.warning import warn

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Write what TensorBoard shows: losses, metrics, histograms, images, the model, vectors.

    Needs the extra ``minikeras[tensorboard]``; TensorFlow is not needed. Each training writes a new
    file. ``tensorboard --logdir=./logs`` shows all of them.

    Parameters
    ----------
    log_dir : str or path-like
        Where the files go. It is made if it is not there. Default ``'./logs'``.
    histogram_freq : int
        After every so many epochs, histograms of the weights and of the layers' outputs for the
        validation data, which must be arrays then. Default 0: never.
    batch_size : int
        How many samples are computed at a time for histograms and vectors. Default 32.
    write_graph : bool
        Whether the model is drawn. Default True.
    write_grads : bool
        With `histogram_freq`: histograms of the gradients for the validation data, too.
        Default False.
    write_images : bool
        With `histogram_freq`: the weights as images, too. Default False.
    embeddings_freq : int
        After every so many epochs, what `embeddings_data` become in some layers, as points for the
        projector. Default 0: never.
    embeddings_layer_names : list of str, optional
        Which layers those are. Default: all `Embedding` layers.
    embeddings_metadata : str or dict of str to str, optional
        Files with one line of text for each sample of `embeddings_data`, by the name of the layer;
        one file for all may be given by itself. Paths count from `log_dir`, and TensorBoard reads
        no others than those in there.
    embeddings_data : array_like, optional
        Inputs of the model.
    update_freq : {'epoch', 'batch'} or int
        When losses and metrics are written: after each epoch; after each batch, too; after the
        batch that completes so many samples, too. Default ``'epoch'``.

    Attributes
    ----------
    writer : EventFile
        ``writer.add_summary(summary, step)`` adds what else there is to show.

    Raises
    ------
    ImportError
        If tensorboardX can't be imported.
    ValueError
        If an argument is out of its range; when training begins, if there are no data for
        histograms or vectors.

    Notes
    -----
    Tags and steps are those of Keras 2.2.4: a step is the epoch, or the number of samples seen with
    another `update_freq`. What differs:

    - There is one histogram for each tag and epoch, over all validation data; Keras
      writes one for each batch. Gradients are those before clipping, and there are none of weights
      that are not trained, where Keras fails. Of the table of an `Embedding` only those rows count
      that a batch uses.
    - Values that are NaN or infinite are left out with a warning; Keras ends the training.
    - The graph has a node for each layer, not for each operation.
    - Points are in ``<layer>_embedding.tsv``, always those of the last time; Keras keeps five
      checkpoints.

    Examples
    --------
    >>> import tempfile
    >>> from minikeras import Sequential
    >>> from minikeras.layers import Dense
    >>> model = Sequential([Dense(1, input_dim=2)])
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as logs:
    ...     board = TensorBoard(logs)
    ...     history = model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[board])
    ...     print(os.listdir(logs))
    ['events.out.tfevents...']
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "./logs",
        histogram_freq: int = 0,
        batch_size: int = 32,
        write_graph: bool = True,
        write_grads: bool = False,
        write_images: bool = False,
        embeddings_freq: int = 0,
        embeddings_layer_names: Sequence[str] | None = None,
        embeddings_metadata: str | os.PathLike[str] | Mapping[str, Any] | None = None,
        embeddings_data: Any = None,
        update_freq: str | float = "epoch",
    ) -> None:
        super().__init__()
        load_tensorboardx()
        self.log_dir = _local(log_dir)
        self.histogram_freq = _whole(histogram_freq, "histogram_freq", 0)
        self.batch_size = _whole(batch_size, "batch_size", 1)
        self.write_graph = write_graph
        self.write_grads = write_grads
        self.write_images = write_images
        self.embeddings_freq = _whole(embeddings_freq, "embeddings_freq", 0)
        self.embeddings_layer_names = embeddings_layer_names
        self.embeddings_metadata = embeddings_metadata or {}
        self.embeddings_data = embeddings_data
        self.update_freq = _update_freq(update_freq)
        self.samples_seen = 0
        self.samples_seen_at_last_write = 0
        self._writer: EventFile | None = None
        self._closing: Any = None
        self._warn_of_idle_arguments()

    def _warn_of_idle_arguments(self) -> None:
        """Say so where an argument has no effect without another one."""
        without = {
            "histogram_freq": ["write_grads", "write_images"],
            "embeddings_freq": ["embeddings_layer_names", "embeddings_metadata", "embeddings_data"],
        }
        for needed, names in without.items():
            idle = [name for name in names if _is_given(getattr(self, name))]
            if idle and not getattr(self, needed):
                warn(
                    f"TensorBoard: {' and '.join(idle)} will have no effect without {needed}: give "
                    f"{needed}=1 for every epoch."
                )

    # The file

    @property
    def writer(self) -> EventFile:
        """The event file, which is made when it is first asked for."""
        if self._writer is None:
            self._writer = EventFile(self.log_dir)
            # Also closes the file when an exception has ended the training.
            self._closing = weakref.finalize(self, self._writer.close)
            if self.write_graph and self.model is not None:
                self._writer.add_graph(graph_of(self.model))
        return self._writer

    def _close(self) -> None:
        if self._closing is not None:
            self._closing()
        self._writer = self._closing = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file out: a copy makes one of its own."""
        return {**self.__dict__, "_writer": None, "_closing": None}

    # The hooks

    def set_model(self, model: Any) -> None:
        """Receive the model. What follows goes to a new file."""
        self._close()
        super().set_model(model)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Make the file."""
        self.writer.flush()

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Check that the data for histograms and vectors are there, before the work of an epoch."""
        self._check_data()

    def on_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Write the results of the batch, if it is time."""
        if self.update_freq == "epoch":
            return
        logs = logs or {}
        self.samples_seen += logs.get("size", 1)
        if self.samples_seen - self.samples_seen_at_last_write >= self.update_freq:
            self._write_logs(logs, self.samples_seen)
            self.samples_seen_at_last_write = self.samples_seen
            self.writer.flush_if_due()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the results of the epoch, and what else is due."""
        self._check_data()
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            summary = summary_of(
                self.model,
                self.validation_data,
                self.batch_size,
                gradients=self.write_grads,
                images=self.write_images,
            )
            self.writer.add_summary(summary, epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings()
        self._write_logs(logs or {}, epoch if self.update_freq == "epoch" else self.samples_seen)
        self.writer.flush()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the file."""
        self._close()

    def _check_data(self) -> None:
        if self.histogram_freq and not self.validation_data:
            raise ValueError(
                f"TensorBoard: histogram_freq={self.histogram_freq} needs validation data, as "
                "arrays and not from a generator: give fit a validation_split or "
                "validation_data=(x, y)."
            )
        if self.embeddings_freq and self.embeddings_data is None:
            raise ValueError(
                f"TensorBoard: embeddings_freq={self.embeddings_freq} needs embeddings_data, the "
                "inputs of the model whose vectors are to be shown."
            )

    def _write_logs(self, logs: Mapping[str, Any], index: int) -> None:
        for name, value in logs.items():
            if name not in ("batch", "size"):
                self.writer.add_scalar(name, _number(name, value), index)

    def _write_embeddings(self) -> None:
        layers = self._embedding_layers()
        metadata = self.embeddings_metadata
        if not isinstance(metadata, Mapping):
            metadata = {layer.name: metadata for layer in layers}
        unknown = sorted(set(metadata) - {layer.name for layer in layers})
        if unknown:
            raise ValueError(
                f"TensorBoard: embeddings_metadata names the layers {unknown}, whose vectors are "
                f"not written; those of {[layer.name for layer in layers]} are."
            )
        data = self.model._accept(_single_array(self.embeddings_data), "embeddings_data")
        write_points(self.log_dir, outputs_of(self.model, layers, data, self.batch_size), metadata)

    def _embedding_layers(self) -> list[Any]:
        """Return the layers whose outputs are shown as vectors."""
        if self.embeddings_layer_names:
            return [self.model.get_layer(name) for name in self.embeddings_layer_names]
        found = [layer for layer in self.model.layers if _is_embedding(layer)]
        if not found:
            raise ValueError(
                f"TensorBoard: embeddings_freq={self.embeddings_freq} was given, but model "
                f"'{self.model.name}' has no Embedding layer: name layers in "
                f"embeddings_layer_names. It has {[layer.name for layer in self.model.layers]}."
            )
        return found


def _local(log_dir: Any) -> str:
    """Return `log_dir` as the path of a directory."""
    path = os.path.expanduser(os.fspath(log_dir))
    if "://" in path:
        raise ValueError(f"log_dir must be a directory on this computer, got {path!r}.")
    return path


def _whole(value: Any, name: str, least: int) -> int:
    """Return a whole number."""
    if isinstance(value, str) or value is None or int(value) != value or value < least:
        raise ValueError(
            f"TensorBoard: {name} must be a whole number from {least} on, got {value!r}."
        )
    return int(value)


def _update_freq(value: Any) -> Any:
    """Return `update_freq`; every batch completes one sample."""
    if value == "batch":
        return 1
    if value != "epoch" and (isinstance(value, str) or value is None or not value > 0):
        raise ValueError(
            "TensorBoard: update_freq must be 'epoch', 'batch' or a number of samples greater than "
            f"0, got {value!r}."
        )
    return value


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, (bool, dict, list)) and not value)


def _is_embedding(layer: Any) -> bool:
    return any(cls.__name__ == "Embedding" for cls in type(layer).__mro__)


def _single_array(data: Any) -> np.ndarray:
    """Return an array, which may be the only one in a list or dict, as Keras takes it."""
    if isinstance(data, Mapping):
        data = list(data.values())
    if isinstance(data, (list, tuple)) and all(np.ndim(entry) for entry in data):
        shapes = {np.shape(entry) for entry in data}
        if len(data) == 1 and hasattr(data[0], "shape"):
            data = data[0]
        elif len(shapes) > 1:
            raise ValueError(
                "TensorBoard: embeddings_data must be one array of inputs, got arrays of shapes "
                f"{sorted(shapes)}."
            )
    return np.asarray(data)


def _number(name: str, value: Any) -> float:
    try:
        return float(np.asarray(value).item())
    except (TypeError, ValueError) as error:
        raise TypeError(f"TensorBoard: logs[{name!r}] must be a number, got {value!r}.") from error
