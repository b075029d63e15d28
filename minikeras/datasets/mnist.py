"""MNIST: 70,000 images of handwritten digits, and a small part of it that needs no network.

The digits are from NIST's Special Databases 1 and 3, chosen and centred by Yann LeCun,
Corinna Cortes and Christopher J. C. Burges. See README.md beside this file for the licence.

References
----------
Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
recognition", Proceedings of the IEEE 86(11), 2278-2324, 1998.
"""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np

from minikeras.utils.data_utils import cached_file, get_file

URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
BUNDLED = os.path.join(os.path.dirname(__file__), "mnist_subset.npz")

Data: TypeAlias = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_data(path: str = "mnist.npz") -> Data:
    """Load the MNIST data: 60,000 digits to train on, 10,000 to test on.

    A file that is already in `~/.keras/datasets` or `~/.minikeras/datasets` is used.
    Otherwise it is downloaded (11 MB) and its hash is checked. A file that you put there
    yourself may have another hash; its contents must have the form below.

    Parameters
    ----------
    path : str, default "mnist.npz"
        Name of the file in the cache; or the absolute path of a file anywhere, which is
        then not downloaded.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images, uint8 from 0 (background) to 255, of shape `(samples, 28, 28)`, and their
        digits, uint8 from 0 to 9, of shape `(samples,)`.

    Raises
    ------
    ValueError
        If the file does not hold MNIST in this form.
    FileNotFoundError
        If `path` is absolute and there is no such file.
    RuntimeError
        If the download fails. The message says where to put the file by hand.

    See Also
    --------
    load_bundled : the part of MNIST that comes with the package.
    """
    if os.path.isabs(path):
        return _read(path)
    return _read(cached_file(path) or get_file(path, origin=URL, file_hash=SHA256))


def load_bundled() -> Data:
    """Load the part of MNIST that comes with the package: 10,000 + 1,000 digits.

    It needs no network and no cache. The test digits are from the official test set, so
    no one who wrote them wrote training digits. Each digit occurs equally often in both
    parts. README.md beside this file says how the digits were chosen.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        As from `load_data`, with 10,000 training and 1,000 test samples.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_bundled()
    >>> x_train.shape, x_test.shape
    ((10000, 28, 28), (1000, 28, 28))
    """
    return _read(BUNDLED)


def _read(path: str) -> Data:
    """Read a file with the arrays of Keras' mnist.npz; check that it is one."""
    arrays = _arrays(path)
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim != 3 or x.shape[1:] != (28, 28) or y.shape != x.shape[:1]:
            expected = "(samples, 28, 28) and (samples,)"
            raise _not_mnist(path, f"x_{part} and y_{part}", expected, f"{x.shape} and {y.shape}")
        if x.dtype != np.uint8 or y.dtype != np.uint8:
            raise _not_mnist(path, f"x_{part} and y_{part}", "uint8", f"{x.dtype} and {y.dtype}")
        if y.size and y.max() > 9:
            raise _not_mnist(path, f"y_{part}", "digits from 0 to 9", str(y.max()))
    return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])


def _arrays(path: str) -> dict[str, np.ndarray]:
    names = ["x_train", "y_train", "x_test", "y_test"]
    try:
        # Opened here, for NumPy leaves a damaged file open.
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except OSError:  # missing or not readable: the error says so itself
        raise
    except Exception as error:  # NumPy lets through the errors of zipfile and zlib
        raise _not_mnist(path, "the file", f"the arrays {', '.join(names)}", str(error)) from error


def _not_mnist(path: str, what: str, expected: str, found: str) -> ValueError:
    return ValueError(
        f"{path} does not hold MNIST as Keras keeps it: expected {what} to have {expected}, "
        f"got {found}. Put the right file there, or delete it to have it downloaded."
    )
