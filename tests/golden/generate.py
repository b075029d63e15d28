"""Writes the golden .npz files in this folder, from tf-keras. The suite only reads them.

    python -m venv golden-env
    golden-env/bin/pip install tensorflow-cpu tf-keras
    golden-env/bin/python -m tests.golden.generate        # from the root of the repository

Every case has a random generator of its own, seeded by the case's name, so a run repeats its
numbers, up to the last bit or two on another processor. README.md says what is in the files.
recurrent.npz has a script of its own, generate_recurrent.py.
"""

from __future__ import annotations

import os
from pathlib import Path

# Before TensorFlow is imported. oneDNN reorders sums by processor.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = Path(__file__).resolve().parent


def main() -> None:
    """Write all files; print their sizes and where tf-keras and 2.2.4 disagree."""
    import numpy as np
    import tensorflow as tf
    import tf_keras

    from . import (
        generate_activations,
        generate_convolution,
        generate_layers,
        generate_losses,
        generate_metrics,
        generate_optimizers,
    )
    from .reader import read_groups

    report: list[str] = []
    total = 0
    print(f"tensorflow {tf.__version__}, tf-keras {tf_keras.__version__}, numpy {np.__version__}")
    for module in (
        generate_optimizers,
        generate_losses,
        generate_metrics,
        generate_activations,
        generate_layers,
        generate_convolution,
    ):
        path = HERE / (module.__name__.rpartition("generate_")[2] + ".npz")
        arrays = module.generate(report)
        np.savez_compressed(path, **arrays)
        cases = read_groups(path)
        total += path.stat().st_size
        print(f"{path.name:17} {len(cases):3} cases {path.stat().st_size:7,} bytes")
    print(f"{'together':27} {total:7,} bytes")
    print("tf-keras and Keras 2.2.4 disagree, the file has 2.2.4's number:")
    for line in report:
        print("  " + line)


if __name__ == "__main__":
    main()
