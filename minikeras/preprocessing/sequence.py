"""Sequences: made equally long, and cut into pairs of neighbouring words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


def pad_sequences(
    sequences: Sequence[ArrayLike] | np.ndarray,
    maxlen: int | None = None,
    dtype: DTypeLike = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Make sequences equally long: fill up the short ones, cut off the long ones.

    Parameters
    ----------
    sequences : list or array of sequences
        Lists or arrays, each of any length; a step may itself be an array, of the same shape
        in all of them.
    maxlen : int, optional
        Length to bring them to, 1 or greater. None: that of the longest.
    dtype : dtype, default "int32"
        Of the result. Numbers are converted as NumPy converts an array: to an integer type,
        fractions are cut off. For strings a type with a width, such as "<U8", or object.
    padding : {"pre", "post"}, default "pre"
        Where the value is filled in: before a sequence or after it.
    truncating : {"pre", "post"}, default "pre"
        What is cut off: the beginning of a sequence or its end.
    value : float or str, default 0.0
        What is filled in.

    Returns
    -------
    ndarray
        The sequences, of shape `(len(sequences), maxlen, ...)`.

    Raises
    ------
    ValueError
        If an argument is out of its range, something in `sequences` has no length, the steps
        differ in shape, a string is to be filled into numbers, or, without `maxlen`, there
        are no sequences.

    Examples
    --------
    >>> pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2)
    array([[0, 1],
           [2, 3],
           [5, 6]], dtype=int32)
    >>> pad_sequences([[1], [2, 3]], maxlen=3, dtype="float32", padding="post", value=-1)
    array([[ 1., -1., -1.],
           [ 2.,  3., -1.]], dtype=float32)
    """
    for name, choice in (("padding", padding), ("truncating", truncating)):
        if choice not in ("pre", "post"):
            raise ValueError(f"pad_sequences: {name} must be 'pre' or 'post', got {choice!r}.")
    dtype = _checked_dtype(dtype, value)
    length = _longest(sequences) if maxlen is None else maxlen
    if maxlen is not None and maxlen < 1:
        raise ValueError(f"pad_sequences: maxlen must be 1 or greater, or None, got {maxlen}.")
    lengths = _lengths(sequences)
    # Empty sequences do not tell the shape of a step.
    first = next((s for s, n in zip(sequences, lengths, strict=True) if n), ())
    step_shape = np.asarray(first).shape[1:]

    x = np.full((len(lengths), length, *step_shape), value, dtype)
    for i, sequence in enumerate(sequences):
        if not lengths[i]:
            continue
        kept: Any = sequence
        kept = np.asarray(kept[-length:] if truncating == "pre" else kept[:length], dtype)
        if kept.shape[1:] != step_shape:
            raise ValueError(
                f"pad_sequences: all steps must have the same shape; the first have {step_shape}, "
                f"those of the sequence at position {i} have {kept.shape[1:]}."
            )
        if padding == "pre":
            x[i, length - len(kept) :] = kept
        else:
            x[i, : len(kept)] = kept
    return x


def _lengths(sequences: Sequence[ArrayLike] | np.ndarray) -> list[int]:
    if not hasattr(sequences, "__len__"):
        raise ValueError(
            f"pad_sequences: sequences must be a list, got {type(sequences).__name__}."
        )
    lengths = []
    sequence: Any
    for i, sequence in enumerate(sequences):
        if not hasattr(sequence, "__len__"):
            raise ValueError(
                "pad_sequences: sequences must be a list of lists or arrays; at position "
                f"{i} there is {sequence!r}."
            )
        lengths.append(len(sequence))
    return lengths


def _longest(sequences: Sequence[ArrayLike] | np.ndarray) -> int:
    lengths = _lengths(sequences)
    if not lengths:
        raise ValueError(
            "pad_sequences: there are no sequences, so none is the longest: give maxlen."
        )
    return max(lengths)


def _checked_dtype(dtype: DTypeLike, value: object) -> np.dtype:
    checked = np.dtype(dtype)
    if checked.kind in "US" and not checked.itemsize:
        raise ValueError(
            f"pad_sequences: dtype {dtype!r} does not say how long a string may be. "
            "Use one that does, such as '<U8', or object."
        )
    if isinstance(value, str) and checked.kind not in "USO":
        raise ValueError(
            f"pad_sequences: dtype {checked} cannot hold the value {value!r}. For strings use "
            "dtype=object."
        )
    return checked


def make_sampling_table(size: int, sampling_factor: float = 1e-5) -> np.ndarray:
    r"""Return with what probability to keep a word when pairs of words are drawn.

    Frequent words tell little about their neighbours, so they are kept more rarely. How
    frequent a word is follows from its rank, by Zipf's law.

    Parameters
    ----------
    size : int
        Number of words, 1 or greater.
    sampling_factor : float, default 1e-5
        Words rarer than this share of the text are always kept.

    Returns
    -------
    ndarray
        Probabilities by rank, float64 of shape `(size,)`. Rank 0, which no word has, has that
        of rank 1.

    Raises
    ------
    ValueError
        If there is no word, or the factor is not above 0.

    Notes
    -----
    .. math::

        p(r) = \min\left(1, \sqrt{s / f(r)}\right),
        \quad 1 / f(r) = r (\ln r + \gamma) + \frac{1}{2} - \frac{1}{12 r}

    with s the factor and Euler's constant :math:`\gamma` taken as 0.577. The harmonic numbers
    that 1/f approximates are the sum of Zipf's shares 1/r.

    References
    ----------
    T. Mikolov, I. Sutskever, K. Chen, G. Corrado, J. Dean, "Distributed Representations of
    Words and Phrases and their Compositionality", 2013, https://arxiv.org/abs/1310.4546

    Examples
    --------
    >>> make_sampling_table(4).round(5)
    array([0.00315, 0.00315, 0.00548, 0.00742])
    """
    if size < 1:
        raise ValueError(f"make_sampling_table: size must be 1 or greater, got {size}.")
    if not sampling_factor > 0:
        raise ValueError(
            f"make_sampling_table: sampling_factor must be greater than 0, got {sampling_factor}."
        )
    rank = np.maximum(np.arange(size), 1)
    inverse_frequency = rank * (np.log(rank) + 0.577) + 0.5 - 1 / (12 * rank)
    return np.minimum(1, np.sqrt(sampling_factor * inverse_frequency))


def skipgrams(
    sequence: Sequence[int],
    vocabulary_size: int,
    window_size: int = 4,
    negative_samples: float = 1.0,
    shuffle: bool = True,
    categorical: bool = False,
    sampling_table: Sequence[float] | np.ndarray | None = None,
    seed: int | None = None,
) -> tuple[list[list[int]], list[Any]]:
    """Return pairs of words, and which of them are neighbours in a text.

    Each word is paired with every word up to `window_size` places before and after it (label
    1), and with words drawn at random (label 0). Index 0 stands for no word and is skipped.

    Parameters
    ----------
    sequence : sequence of int
        The words of the text by their index.
    vocabulary_size : int
        One more than the greatest index; random words are drawn below it.
    window_size : int, default 4
        How far a neighbour may be.
    negative_samples : float, default 1.0
        Random pairs for each pair of neighbours, 0 or greater.
    shuffle : bool, default True
        Mix the pairs. Otherwise the random ones are at the end.
    categorical : bool, default False
        Give labels as `[0, 1]` for neighbours and `[1, 0]`.
    sampling_table : sequence of float, optional
        With what probability each word, by its index, gets pairs; see `make_sampling_table`.
    seed : int, optional
        Seed of the mixing. None: drawn at random.

    Returns
    -------
    (list of [int, int], list of int or of [int, int])
        The pairs and their labels.

    Raises
    ------
    ValueError
        If random pairs are asked for and the vocabulary has no word but 0.

    Notes
    -----
    Random numbers come from Python's `random`, as in Keras: `random.seed(n)` makes a call
    repeatable. Keras leaves `random` seeded with `seed`; here the mixing has a generator of
    its own.

    References
    ----------
    T. Mikolov, K. Chen, G. Corrado, J. Dean, "Efficient Estimation of Word Representations in
    Vector Space", 2013, https://arxiv.org/abs/1301.3781

    Examples
    --------
    >>> skipgrams([5, 3, 8], 10, window_size=1, negative_samples=0, shuffle=False)
    ([[5, 3], [3, 5], [3, 8], [8, 3]], [1, 1, 1, 1])
    """
    import random

    if negative_samples > 0 and vocabulary_size < 2:
        raise ValueError(
            "skipgrams: random pairs need a vocabulary_size of 2 or more (0 is no word), "
            f"got {vocabulary_size}."
        )
    couples = []
    for i, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        around = [*sequence[max(0, i - window_size) : i], *sequence[i + 1 : i + 1 + window_size]]
        couples += [[word, other] for other in around if other]
    near, far = ([0, 1], [1, 0]) if categorical else (1, 0)
    labels: list[Any] = [near] * len(couples)

    if negative_samples > 0:
        count = int(len(couples) * negative_samples)
        words = [word for word, _ in couples]
        random.shuffle(words)
        last = vocabulary_size - 1
        couples += [[words[i % len(words)], random.randint(1, last)] for i in range(count)]
        labels += [far] * count

    if shuffle:
        if seed is None:
            seed = random.randint(0, 10_000_000)
        # The same seed twice, so that both are mixed in the same way.
        random.Random(seed).shuffle(couples)
        random.Random(seed).shuffle(labels)
    return couples, labels
