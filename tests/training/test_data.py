import numpy as np
import pytest

from minikeras.training.data import check_lengths, readable_shape


def test_lengths_must_agree():
    check_lengths(np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(ValueError, match=r"^x and y must .*: x has 3 \(shape \(3, 2\)\), y has 2 "):
        check_lengths(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(
        ValueError, match=r"^validation x and validation y must .* validation y has 2"
    ):
        check_lengths(np.zeros((3, 2)), np.zeros(2), name="validation ")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((), "()"),
        ((None,), "(samples,)"),
        ((7, None, 3), "(samples, any, 3)"),
    ],
)
def test_shapes_in_words(shape, words):
    assert readable_shape(shape) == words
