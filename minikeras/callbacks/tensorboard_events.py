"""Event files: what TensorBoard reads, written by tensorboardX."""

from __future__ import annotations

import itertools
import os
import re
import time
from typing import Any

_numbers = itertools.count()

#: What is written while an epoch runs reaches the disk after so many seconds at the latest.
FLUSH_SECONDS = 1.0


def load_tensorboardx() -> Any:
    """Import tensorboardX.

    Raises
    ------
    ImportError
        If it can't be imported. The message tells how to install it.
    """
    try:
        import tensorboardX
    except ImportError as error:
        raise ImportError(
            "TensorBoard writes its files by tensorboardX, which can't be imported "
            f"({error}). It comes with the extra 'tensorboard' of minikeras: "
            'pip install "minikeras[tensorboard]"'
        ) from error
    return tensorboardX


class EventFile:
    """A new event file in a directory, which is made if it is not there.

    Everything is written by the calling thread. tensorboardX's own `FileWriter` has a thread and a
    queue, which a training that ends in an exception would leave behind.

    Parameters
    ----------
    log_dir : str

    Attributes
    ----------
    path : str
        Where the file is. The name holds time, computer, process and a number: each file is new.
    """

    def __init__(self, log_dir: str) -> None:
        import socket

        load_tensorboardx()
        from tensorboardX import RecordWriter
        from tensorboardX.proto.event_pb2 import Event

        os.makedirs(log_dir, exist_ok=True)
        # TensorBoard reads the files of a directory in the order of their names.
        name = (
            f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}."
            f"{os.getpid()}.{next(_numbers):06d}"
        )
        self.path = os.path.join(log_dir, name)
        self._event = Event
        self._records = RecordWriter(self.path)
        self._flushed = time.monotonic()
        self._add(file_version="brain.Event:2")
        self.flush()

    def add_summary(self, summary: Any, global_step: int | None = None) -> None:
        """Append a summary.

        Parameters
        ----------
        summary : Summary or bytes
            tensorboardX's, TensorFlow's, or one that is serialized already.
        global_step : int, optional
        """
        content = summary if isinstance(summary, bytes) else summary.SerializeToString()
        event = self._event(wall_time=time.time(), step=int(global_step or 0))
        event.summary.MergeFromString(content)
        self._records.write(event.SerializeToString())

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Append a number."""
        from tensorboardX.proto.summary_pb2 import Summary

        self.add_summary(Summary(value=[Summary.Value(tag=tag, simple_value=value)]), step)

    def add_graph(self, graph: Any) -> None:
        """Append a GraphDef."""
        self._add(graph_def=graph.SerializeToString())

    def _add(self, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())

    def flush(self) -> None:
        """Bring to the disk what has been appended."""
        self._records.flush()
        self._flushed = time.monotonic()

    def flush_if_due(self) -> None:
        """Flush unless that was done a moment ago: it takes long on some disks."""
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def close(self) -> None:
        """Flush and close the file. Nothing can be appended any more."""
        self._records.flush()
        self._records.close()


class Tags:
    """Makes tags out of names as TensorFlow does: valid, and each of them new.

    Examples
    --------
    >>> tags = Tags()
    >>> tags.new("dense_1/kernel:0"), tags.new("dense_1/kernel:0"), tags.new("my layer_out")
    ('dense_1/kernel_0', 'dense_1/kernel_0_1', 'my_layer_out')
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, name: str) -> str:
        """Return `name` as a tag, with a number behind it if it was given out before."""
        tag = candidate = re.sub(r"[^-/\w.]", "_", name).lstrip("/")
        number = 0
        while candidate in self._taken:
            number += 1
            candidate = f"{tag}_{number}"
        self._taken.add(candidate)
        return candidate
