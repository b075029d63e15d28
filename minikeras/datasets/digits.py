"""Digits: 1,797 tiny images of handwritten digits, for tests and first steps.

This is the test part of "Optical Recognition of Handwritten Digits" by Ethem Alpaydin and
Cevdet Kaynak, Bogazici University, 1998: bitmaps of 32 x 32 pixels, with the black pixels
of each block of 4 x 4 counted. See README.md beside this file for the licence.

References
----------
E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49
"""

from __future__ import annotations

import os
from typing import TypeAlias

import numpy as np

BUNDLED = os.path.join(os.path.dirname(__file__), "digits.npz")

Data: TypeAlias = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_data() -> Data:
    """Load the digits: 1,437 to train on, 360 to test on.

    They come with the package and need no network. The split is fixed: the first 1,437 in
    the order of the source, and the last 360. Neighbours in that order look alike, so this
    split is harder than a random one: the nearest training digit tells 95.6 % of the test
    digits right here, about 98.4 % after shuffling.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images, uint8 from 0 (white) to 16 (black), of shape `(samples, 8, 8)`, and their
        digits, uint8 from 0 to 9, of shape `(samples,)`.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape
    ((1437, 8, 8), (360, 8, 8))
    >>> int(y_test[0])
    2
    """
    with np.load(BUNDLED, allow_pickle=False) as file:
        return (file["x_train"], file["y_train"]), (file["x_test"], file["y_test"])
