"""What data sets of word indices share: the order of the samples, and which words are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

Part: TypeAlias = tuple[Sequence[list[int]], np.ndarray]
Data: TypeAlias = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def arrange(
    train: Part,
    test: Part,
    *,
    num_words: int | None,
    skip_top: int,
    maxlen: int | None,
    seed: int,
    start_char: int | None,
    oov_char: int | None,
    index_from: int | None,
) -> Data:
    """Shuffle two parts of a data set and write their words as a model is to see them.

    Parameters
    ----------
    train, test : (sequence of lists of int, array of int)
        Each sample's words by their rank, 1 being the most frequent; and the labels.
    num_words, skip_top, maxlen, seed, start_char, oov_char, index_from
        As in `minikeras.datasets.imdb.load_data`.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Arrays of lists of int, and the labels.

    Raises
    ------
    ValueError
        If `maxlen` leaves nothing in one of the parts.
    """
    random = np.random.RandomState(seed)
    parts = []
    for x, y in (train, test):
        order = np.arange(len(x))
        random.shuffle(order)
        lists = [_shifted(x[i], start_char, index_from) for i in order.tolist()]
        parts.append(_no_longer_than(maxlen, lists, y[order]))

    if not num_words:
        num_words = max((max(words, default=0) for x, _ in parts for words in x), default=0)
    (x_train, y_train), (x_test, y_test) = (
        (_array([_kept(words, skip_top, num_words, oov_char) for words in x]), y) for x, y in parts
    )
    return (x_train, y_train), (x_test, y_test)


def _shifted(words: list[int], start_char: int | None, index_from: int | None) -> list[int]:
    shift = index_from or 0
    start = [] if start_char is None else [start_char]
    return start + [word + shift for word in words]


def _no_longer_than(
    maxlen: int | None, lists: list[list[int]], labels: np.ndarray
) -> tuple[list[list[int]], np.ndarray]:
    """Return the samples that are shorter than `maxlen`, as Keras counts: not equally long ones."""
    if not maxlen:
        return lists, labels
    short = [i for i, words in enumerate(lists) if len(words) < maxlen]
    if not short:
        least = min(map(len, lists), default=0)
        raise ValueError(
            f"maxlen={maxlen} keeps the samples with fewer words than that, and there are none in "
            f"one of the two parts. Its shortest sample has {least} words, the mark of the start "
            "included: maxlen must be greater than that."
        )
    return [lists[i] for i in short], labels[short]


def _kept(words: list[int], skip_top: int, num_words: int, oov_char: int | None) -> list[int]:
    if oov_char is None:
        return [word for word in words if skip_top <= word < num_words]
    return [word if skip_top <= word < num_words else oov_char for word in words]


def _array(lists: list[list[int]]) -> np.ndarray:
    # np.array would make two dimensions of lists that happen to be equally long.
    return np.fromiter(lists, dtype=object, count=len(lists))
