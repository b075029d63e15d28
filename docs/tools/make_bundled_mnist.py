"""Make the data files that minikeras ships, from the whole data sets.

    python docs/tools/make_bundled_mnist.py mnist.npz --digits digits.npz

`mnist.npz` is Keras' file of that name. `digits.npz` holds the arrays `images` and `labels`
of scikit-learn's `load_digits()`, as uint8. The arrays come out the same on every machine; the
files as well, given the same zlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

OUT = Path(__file__).resolve().parents[2] / "minikeras" / "datasets"
TRAIN, TEST = 10_000, 1_000  # digits of MNIST to ship: what stays below 2 MB with a margin
DIGITS_TRAIN = 1_437  # of 1,797: four fifths


def evenly(labels: np.ndarray, count: int) -> np.ndarray:
    """Choose `count` samples, equally many of each class, in the order of the source.

    Those of a class are spread evenly over the source. The first half of MNIST's test set is
    easier than the second, so the first so many would not do.
    """
    per_class = count // 10
    chosen = []
    for digit in range(10):
        where = np.flatnonzero(labels == digit)
        chosen.append(where[np.arange(per_class) * len(where) // per_class])
    return np.sort(np.concatenate(chosen))


def make_mnist(source: Path) -> Path:
    """Write the subset of MNIST; return its path."""
    with np.load(source, allow_pickle=False) as file:
        train = evenly(file["y_train"], TRAIN)
        test = evenly(file["y_test"], TEST)
        target = OUT / "mnist_subset.npz"
        np.savez_compressed(
            target,
            x_train=file["x_train"][train],
            y_train=file["y_train"][train],
            x_test=file["x_test"][test],
            y_test=file["y_test"][test],
        )
    return target


def make_digits(source: Path) -> Path:
    """Write the digits with their fixed split; return the path."""
    with np.load(source, allow_pickle=False) as file:
        x, y = file["images"].astype(np.uint8), file["labels"].astype(np.uint8)
    target = OUT / "digits.npz"
    np.savez_compressed(
        target,
        x_train=x[:DIGITS_TRAIN],
        y_train=y[:DIGITS_TRAIN],
        x_test=x[DIGITS_TRAIN:],
        y_test=y[DIGITS_TRAIN:],
    )
    return target


def main() -> None:
    """Make the files that the command line asks for."""
    parser = argparse.ArgumentParser(description="Make the data files that minikeras ships.")
    parser.add_argument("mnist", type=Path, help="Keras' mnist.npz")
    parser.add_argument("--digits", type=Path, help="images and labels of load_digits()")
    arguments = parser.parse_args()
    made = [make_mnist(arguments.mnist)]
    if arguments.digits:
        made.append(make_digits(arguments.digits))
    for path in made:
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
