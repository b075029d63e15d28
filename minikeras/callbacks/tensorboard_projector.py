"""Files for TensorBoard's projector, which shows vectors as points."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from minikeras.utils.files import atomic_write


def write_points(
    log_dir: str, points: Mapping[str, np.ndarray], metadata: Mapping[str, Any]
) -> None:
    """Write vectors, and the configuration that tells TensorBoard of them.

    Parameters
    ----------
    log_dir : str
    points : dict of str to ndarray, shape (samples, size)
        By the name of the layer.
    metadata : dict of str to str
        Files with one line of text for each sample, by the name of the layer.

    Notes
    -----
    Files that were there before are replaced; at no moment is one of them half written.
    """
    os.makedirs(log_dir, exist_ok=True)
    entries = []
    for name, vectors in points.items():
        file = f"{name.replace('/', '_')}_embedding.tsv"
        lines = ("\t".join(f"{value:.9g}" for value in row) + "\n" for row in vectors.tolist())
        _replace(os.path.join(log_dir, file), "".join(lines))
        fields = {"tensor_name": f"{name}_embedding:0", "tensor_path": file}
        if name in metadata:
            fields["metadata_path"] = os.fspath(metadata[name])
        body = "".join(f"  {key}: {_quoted(value)}\n" for key, value in fields.items())
        entries.append(f"embeddings {{\n{body}}}\n")
    # After the vectors: TensorBoard fails at a configuration whose files are not there.
    _replace(os.path.join(log_dir, "projector_config.pbtxt"), "".join(entries))


def _quoted(text: str) -> str:
    """Return a string as protobuf's text format has it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _replace(path: str, text: str) -> None:
    """Write a file in one step."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
