"""Prose by five authors: who wrote this passage? It comes with the package, in IMDB's form.

From each author a part of one book, 70,000 words, cut into passages of 60 to 120 words. The books
are in the public domain; README.md beside this file names them and where they are from.
"""

from __future__ import annotations

import os

import numpy as np

from minikeras.datasets.word_sequences import Data, arrange

BUNDLED = os.path.join(os.path.dirname(__file__), "authors.npz")

AUTHORS = ("Jane Austen", "Arthur Conan Doyle", "Herman Melville", "Isaac Newton", "Mark Twain")

# What Keras' Tokenizer takes for spaces.
_NO_LETTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'
_TO_SPACES = str.maketrans(_NO_LETTERS, " " * len(_NO_LETTERS))


def load_data(
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Data:
    """Load the passages as lists of word indices, and who wrote them.

    The indices and the arguments mean what they mean in `imdb.load_data`. The words are ranked
    by how often they occur in all the passages.

    The test passages are from the last fifth of each author's words, the training passages
    from what comes before, so none of the one overlaps one of the other. Most people and places
    of a test passage have been met in training; Conan Doyle's are new, for his are short stories.

    Parameters
    ----------
    num_words : int, optional
        Words whose index is not below this are left out. None or 0: the highest index that
        occurs, so that, as in Keras, the word with that index is left out.
    skip_top : int, default 0
        Words whose index is below this are left out: the most frequent ones, and the marks.
    maxlen : int, optional
        Keep only the passages that are shorter than this, counting the mark of the start.
    seed : int, default 113
        Seed of the order of the passages. The random numbers of `np.random` are left alone.
    start_char : int or None, default 1
        Marks the start of each passage. None: no mark.
    oov_char : int or None, default 2
        Stands for each word that is left out. None: nothing stands for it.
    index_from : int or None, default 3
        Is added to the rank of a word: the most frequent one has index 4.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Arrays of lists of int, and arrays of indices into `AUTHORS`.

    Raises
    ------
    ValueError
        If `maxlen` is so low that it leaves nothing to train or to test on.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data(num_words=5000)
    >>> len(x_train), len(x_test)
    (3684, 916)
    >>> words = {index + 3: word for word, index in get_word_index().items()}
    >>> " ".join(words.get(index, "...") for index in x_train[0][:9])
    '... mother said he was quite right to make'
    >>> AUTHORS[y_train[0]]
    'Arthur Conan Doyle'
    """
    passages, labels, is_test = _passages()
    ranks = _ranks(passages)
    lists = [[ranks[word] for word in words] for words in passages]
    train, test = np.flatnonzero(~is_test), np.flatnonzero(is_test)
    return arrange(
        ([lists[i] for i in train], labels[train]),
        ([lists[i] for i in test], labels[test]),
        num_words=num_words,
        skip_top=skip_top,
        maxlen=maxlen,
        seed=seed,
        start_char=start_char,
        oov_char=oov_char,
        index_from=index_from,
    )


def get_word_index() -> dict[str, int]:
    """Return the rank of each word, 1 being the most frequent one.

    As in `imdb.get_word_index`: in what `load_data` gives, `index_from` has been added.

    Returns
    -------
    dict of str to int
        From the word, in small letters, to its rank. Of equally frequent words, the one that
        occurs first comes first.

    Examples
    --------
    >>> get_word_index()["the"]
    1
    """
    return _ranks(_passages()[0])


def load_text(author: str | None = None) -> str:
    """Return the prose itself, to train on letter by letter for example.

    Parameters
    ----------
    author : str, optional
        One of `AUTHORS`. None: all of them, one after the other.

    Returns
    -------
    str
        Paragraphs, each one line, with an empty line between two.

    Raises
    ------
    ValueError
        If there is nothing by that author.

    Examples
    --------
    >>> load_text("Herman Melville")[:16]
    'Call me Ishmael.'
    """
    if author is not None and author not in AUTHORS:
        raise ValueError(f"author must be None or one of {', '.join(AUTHORS)}, got {author!r}.")
    with np.load(BUNDLED, allow_pickle=False) as file:
        text, starts = _text(file), file["start"]
    if author is None:
        return text.rstrip()
    number = AUTHORS.index(author)
    return text[starts[number] : starts[number + 1]].rstrip()


def words_of(text: str) -> list[str]:
    r"""Return the words of a text as Keras' Tokenizer finds them.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    list of str
        What is between spaces and the marks that count as such (all but the apostrophe), in
        small letters.

    Examples
    --------
    >>> words_of('"Hang the boy, can\'t I never learn anything?"')
    ['hang', 'the', 'boy', "can't", 'i', 'never', 'learn', 'anything']
    """
    return text.lower().translate(_TO_SPACES).split()


def _passages() -> tuple[list[list[str]], np.ndarray, np.ndarray]:
    """Return the words of each passage, whose it is, and whether it is for testing."""
    with np.load(BUNDLED, allow_pickle=False) as file:
        text = _text(file)
        places = zip(file["begin"].tolist(), file["end"].tolist(), strict=True)
        labels, is_test = file["author"].astype(np.int64), file["is_test"]
    return [words_of(text[begin:end]) for begin, end in places], labels, is_test


def _text(file: np.lib.npyio.NpzFile) -> str:
    return file["text"].tobytes().decode("utf-8")


def _ranks(passages: list[list[str]]) -> dict[str, int]:
    from collections import Counter
    from itertools import chain

    # Equally frequent words stay in the order in which they first occur.
    counted = Counter(chain.from_iterable(passages)).most_common()
    return {word: rank for rank, (word, _) in enumerate(counted, start=1)}
