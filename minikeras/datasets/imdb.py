"""IMDB: 50,000 film reviews, each a list of word indices, and whether they are for the film.

Collected by Andrew Maas and others from the Internet Movie Database. They state no licence and ask
for the citation below.

References
----------
A. L. Maas, R. E. Daly, P. T. Pham, D. Huang, A. Y. Ng, C. Potts, "Learning Word Vectors for
Sentiment Analysis", Proceedings of the 49th Annual Meeting of the Association for Computational
Linguistics, 142-150, 2011.
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np

from minikeras.datasets.word_sequences import Data, Part, arrange
from minikeras.utils.data_utils import cached_file, get_file
from minikeras.utils.warning import warn

_FOLDER = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
URL = _FOLDER + "imdb.npz"
SHA256 = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
INDEX_URL = _FOLDER + "imdb_word_index.json"
INDEX_MD5 = "bfafd718b763782e994055a2d397834f"  # Keras publishes no other hash of this file


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
    **kwargs: Any,
) -> Data:
    """Load the reviews: 25,000 to train on, 25,000 to test on, as lists of word indices.

    A file that is already in `~/.keras/datasets` or `~/.minikeras/datasets` is used.
    Otherwise it is downloaded (17 MB) and its hash is checked. A file that you put there
    yourself may have another hash; its contents must have the form below.

    Parameters
    ----------
    path : str, default "imdb.npz"
        Name of the file in the cache; or the absolute path of a file anywhere, which is
        then not downloaded.
    num_words : int, optional
        Words whose index is not below this are left out. The index counts `index_from`:
        with `num_words=20000` the 19,996 most frequent words remain. None or 0: the highest
        index that occurs (see the notes).
    skip_top : int, default 0
        Words whose index is below this are left out: the most frequent ones, and the marks.
    maxlen : int, optional
        Keep only the reviews that are shorter than this, counting the mark of the start.
        Nothing is cut off: for that, see `preprocessing.sequence.pad_sequences`.
    seed : int, default 113
        Seed of the order of the reviews.
    start_char : int or None, default 1
        Marks the start of each review, for 0 is for padding. None: no mark.
    oov_char : int or None, default 2
        Stands for each word that is left out. None: nothing stands for it.
    index_from : int or None, default 3
        Is added to the rank of a word: the most frequent one has index 4.
    nb_words : int, optional
        The older name of `num_words`.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Arrays of lists of int, and arrays of labels: 1 for the film, 0 against it.

    Raises
    ------
    ValueError
        If the file does not hold word indices and labels in Keras' form, or `maxlen` is so
        low that it leaves nothing to train or to test on.
    TypeError
        If there is a keyword argument of another name.
    FileNotFoundError
        If `path` is absolute and there is no such file.
    RuntimeError
        If the download fails. The message says where to put the file by hand.

    See Also
    --------
    get_word_index : the rank of each word.
    minikeras.datasets.authors : prose in the same form that comes with the package.

    Notes
    -----
    The file holds its lists as a pickle, and a pickle can run any code when it is loaded. It
    is read by an unpickler that builds lists and numbers and nothing else, whatever the hash
    of the file: one with anything else in it is refused.

    The arrays are those of Keras 2.2.4, with these differences. Keras seeds `np.random` with
    `seed`; here it is left alone. With `maxlen`, 2.2.4 moves test reviews into the training
    set to fill it up; here, as in later Keras, each review stays where it belongs. As in Keras,
    without `num_words` the word with the highest index is left out too.
    """
    if "nb_words" in kwargs:
        warn("nb_words is the older name of num_words: use that one.")
        num_words = kwargs.pop("nb_words")
    if kwargs:
        raise TypeError(
            f"imdb.load_data has no argument {', '.join(sorted(kwargs))}. It takes path, "
            "num_words, skip_top, maxlen, seed, start_char, oov_char and index_from."
        )
    train, test = _read(_find(path, URL, SHA256))
    return arrange(
        train,
        test,
        num_words=num_words,
        skip_top=skip_top,
        maxlen=maxlen,
        seed=seed,
        start_char=start_char,
        oov_char=oov_char,
        index_from=index_from,
    )


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """Return the rank of each of the 88,584 words, 1 being the most frequent one.

    In what `load_data` gives, `index_from` has been added to it. The file is looked for, and
    downloaded if need be, as that of the reviews.

    Parameters
    ----------
    path : str, default "imdb_word_index.json"
        Name of the file in the cache, or the absolute path of a file anywhere.

    Returns
    -------
    dict of str to int
        From the word, in small letters, to its rank.

    Raises
    ------
    ValueError
        If the file does not hold such a dict.
    FileNotFoundError
        If `path` is absolute and there is no such file.
    RuntimeError
        If the download fails. The message says where to put the file by hand.
    """
    import json

    path = _find(path, INDEX_URL, INDEX_MD5)
    with open(path, encoding="utf-8") as file:
        try:
            index = json.load(file)
        except ValueError as error:
            raise _not_imdb(path, f"expected JSON, got {error}") from error
    if not isinstance(index, dict) or not all(type(rank) is int for rank in index.values()):
        raise _not_imdb(path, "expected a dict from words to whole numbers")
    return index


def _find(path: str, url: str, file_hash: str) -> str:
    import os

    if os.path.isabs(path):
        return path
    return cached_file(path) or get_file(path, origin=url, file_hash=file_hash)


def _read(path: str) -> tuple[Part, Part]:
    """Read a file with the arrays of Keras' imdb.npz; check that it is one."""
    parts = []
    with open(path, "rb") as opened:
        for part in ("train", "test"):
            try:
                x, y = _lists(opened, f"x_{part}"), _numbers(opened, f"y_{part}")
            except Exception as error:  # zipfile, zlib and pickle have many of their own
                raise _not_imdb(path, str(error)) from error
            if y.shape != (len(x),) or y.dtype.kind not in "iu":
                expected = f"whole numbers of shape ({len(x)},)"
                found = f"{y.dtype} of shape {y.shape}"
                raise _not_imdb(path, f"y_{part}: expected {expected}, got {found}")
            parts.append((x, y))
    return parts[0], parts[1]


def _numbers(opened: IO[bytes], name: str) -> np.ndarray:
    opened.seek(0)
    with np.load(opened, allow_pickle=False) as file:
        return file[name]


def _lists(opened: IO[bytes], name: str) -> list[list[int]]:
    """Return the lists in an array of objects, without letting its pickle run anything."""
    import zipfile

    with zipfile.ZipFile(opened) as archive, archive.open(name + ".npy") as member:
        shape, dtype = _header(member)
        if not dtype.hasobject or len(shape) != 1:
            raise ValueError(f"{name}: expected lists, got an array of {dtype}, shape {shape}")
        lists = _unpickle(member)
    if len(lists) != shape[0] or not all(map(_is_list_of_numbers, lists)):
        raise ValueError(f"{name}: expected {shape[0]} lists of whole numbers, 0 or greater")
    return lists


def _header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Read the head of a file in NumPy's format."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(member)
    if version not in readers:
        raise ValueError(f"expected format 1.0 or 2.0, got {version[0]}.{version[1]}")
    shape, _, dtype = readers[version](member)
    return shape, dtype


def _is_list_of_numbers(words: object) -> bool:
    return type(words) is list and set(map(type, words)) <= {int} and min(words, default=0) >= 0


def _unpickle(member: Any) -> list[Any]:
    """Return what a pickled array of objects holds.

    NumPy pickles an array as a call of `_reconstruct`, which makes an empty one, and a state
    that has the elements in the last place. Harmless stand-ins take all that; no name from the
    file is looked up anywhere.
    """
    import pickle

    class Array:
        def __init__(self, *arguments: object) -> None:
            self.state: Any = ()

        def __setstate__(self, state: object) -> None:
            self.state = state

    needed = {
        (module, name)
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "ndarray", "dtype")
    }
    needed.add(("_codecs", "encode"))  # writes bytes in the older protocols

    class ListsOnly(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in needed:
                return Array
            raise ValueError(f"it asks for {module}.{name}, and may only hold lists of numbers")

    # Python 2 wrote the files of old: latin1 keeps its bytes as they are.
    array = ListsOnly(member, encoding="latin1").load()
    if type(array) is not Array or not (isinstance(array.state, tuple) and array.state):
        raise ValueError("expected a pickled array")
    elements = array.state[-1]
    if type(elements) is not list:
        raise ValueError(f"expected a list of lists, got {type(elements).__name__}")
    return elements


def _not_imdb(path: str, what: str) -> ValueError:
    return ValueError(
        f"{path} does not hold IMDB's data as Keras keeps them: {what}. "
        "Put the right file there, or delete it to have it downloaded."
    )
