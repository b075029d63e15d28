import hashlib
from collections import Counter

import numpy as np
import pytest

from minikeras.datasets import authors
from minikeras.datasets.authors import AUTHORS


@pytest.fixture(scope="module")
def data():
    return authors.load_data()


def test_form_is_that_of_imdb(data):
    (x_train, y_train), (x_test, y_test) = data

    assert (len(x_train), len(x_test)) == (3684, 916)
    for x, y in (x_train, y_train), (x_test, y_test):
        assert x.dtype == object
        assert x.ndim == 1
        assert y.shape == x.shape
        assert y.dtype == np.int64
        assert {type(words) for words in x} == {list}
        assert {type(word) for words in x for word in words} == {int}
        assert {words[0] for words in x} == {1}
        assert min(min(words[1:]) for words in x) >= 2


def test_passages_have_60_to_120_words_and_authors_about_equally_many(data):
    for x, y in data:
        lengths = [len(words) - 1 for words in x]
        assert min(lengths) >= 60
        assert max(lengths) <= 120
        counts = np.bincount(y, minlength=5)
        assert len(counts) == len(AUTHORS) == 5
        assert counts.max() < 1.25 * counts.min()


def test_words_are_ranked_by_frequency(data):
    index = authors.get_word_index()
    assert sorted(index.values()) == list(range(1, len(index) + 1))
    assert [word for word, rank in index.items() if rank <= 5] == ["the", "and", "of", "to", "a"]

    counts = Counter(word - 3 for x, _ in data for words in x for word in words if word > 3)
    frequencies = [counts[rank] for rank in range(1, len(index))]
    assert frequencies == sorted(frequencies, reverse=True)
    assert frequencies[-1] >= 1


def test_each_passage_stands_in_its_authors_text(data):
    """Words, authors and text agree; all passages of one author together are nearly all of it."""
    words = {rank + 3: word for word, rank in authors.get_word_index().items()}
    for number, author in enumerate(AUTHORS):
        text = " ".join(authors.words_of(authors.load_text(author)))
        found = 0
        for x, y in data:
            for passage in x[y == number]:
                if 2 in passage:  # the rarest word of all
                    continue
                assert " ".join(words[i] for i in passage[1:]) in text
                found += len(passage) - 1
        assert found > 0.99 * len(text.split())


def test_test_passages_are_the_end_of_the_text_and_overlap_nothing():
    with np.load(authors.BUNDLED) as file:
        begin, end = file["begin"], file["end"]
        is_test, author, start = file["is_test"], file["author"], file["start"]

    assert (begin < end).all()
    assert (end[:-1] <= begin[1:]).all()
    assert start.tolist() == sorted(start.tolist())
    for number in range(5):
        mine = author == number
        assert (start[number] <= begin[mine]).all()
        assert (end[mine] <= start[number + 1]).all()
        assert end[mine & ~is_test].max() <= begin[mine & is_test].min()
        assert 0.18 < is_test[mine].mean() < 0.22


def test_arguments_are_those_of_imdb():
    (x_train, y_train), (x_test, _) = authors.load_data(
        num_words=1000, skip_top=10, maxlen=70, seed=1, start_char=None, oov_char=None, index_from=0
    )
    assert max(map(len, x_train)) < 70
    assert {i for x in (x_train, x_test) for words in x for i in words} == set(range(10, 1000))

    shuffled = authors.load_data(num_words=1000, maxlen=70, seed=2)[0]
    assert len(shuffled[1]) < 3684
    assert y_train.tolist() != shuffled[1].tolist()
    with pytest.raises(ValueError, match="maxlen=61 keeps .* shortest sample has 61 words"):
        authors.load_data(maxlen=61)


def test_random_numbers_of_numpy_are_left_alone():
    state = np.random.get_state()[1].copy()
    authors.load_data()
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_text_of_one_author_and_of_all():
    text = authors.load_text()
    assert text == "\n\n".join(authors.load_text(author) for author in AUTHORS)
    assert authors.load_text("Jane Austen").startswith("It is a truth universally acknowledged,")
    assert len(set(text)) < 100
    with pytest.raises(ValueError, match="one of Jane Austen, .*Mark Twain, got 'Mark'"):
        authors.load_text("Mark")


def test_text_is_that_of_the_sources():
    """The hash is of the text as docs/tools/make_bundled_prose.py makes it from the packages."""
    digest = hashlib.sha256(authors.load_text().encode("utf-8")).hexdigest()
    assert digest == "38bc4f9777dcba36260380deb8c4ffbba299b6d58b8d0f91e34dce4d35c0c1b7"


def test_words_alone_tell_the_author_as_often_as_the_readme_says():
    """Naive Bayes on the 5,000 most frequent words; 20 % would be chance."""
    (x_train, y_train), (x_test, y_test) = authors.load_data(
        num_words=5000, start_char=None, oov_char=None, index_from=0
    )
    counts = np.ones((5, 5000))
    for words, author in zip(x_train, y_train, strict=True):
        np.add.at(counts[author], words, 1)
    chances = np.log(counts / counts.sum(axis=1, keepdims=True))
    found = [chances[:, words].sum(axis=1).argmax() for words in x_test]

    assert round(100 * (found == y_test).mean(), 1) == 96.7
