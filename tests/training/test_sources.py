import numpy as np
import pytest

from minikeras.training.sources import ArraySource


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
@pytest.mark.parametrize("dtype", [None, "float32"], ids=["as it is", "converted"])
def test_batches_cannot_be_written_to(shuffle, dtype):
    x, y, weights = np.arange(5.0), np.arange(5.0), np.ones(5)
    source = ArraySource(x, y, weights, 2, shuffle, x_dtype=dtype, y_dtype=dtype)

    for _ in range(2):
        seen = []
        for batch in source.batches():
            seen += batch[0].tolist()
            for array in batch:
                with pytest.raises(ValueError, match="read-only"):
                    array += 1
        assert sorted(seen) == [0, 1, 2, 3, 4]
    assert all(array.flags.writeable for array in (x, y, weights))


def test_arrays_cannot_be_written_to():
    x = np.arange(5.0)

    for array in ArraySource(x, x, x, 2).arrays():
        with pytest.raises(ValueError, match="read-only"):
            array += 1


@pytest.mark.parametrize("shuffle", [False, True, "batch"])
def test_a_batch_size_beyond_all_bounds_is_one_batch(shuffle):
    source = ArraySource(np.arange(5), None, None, 10**30, shuffle)

    batches = [x.tolist() for x, _, _ in source.batches()]

    assert len(batches) == source.steps == 1
    assert sorted(batches[0]) == [0, 1, 2, 3, 4]
    assert source.batch_size == 10**30


def test_batch_shuffle_keeps_batches_whole_and_the_rest_last():
    np.random.seed(0)
    source = ArraySource(np.arange(9), None, None, 2, "batch")

    batches = [x.tolist() for x, _, _ in source.batches()]

    assert batches[-1] == [8]
    assert batches[:-1] != [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert sorted(batches[:-1]) == [[0, 1], [2, 3], [4, 5], [6, 7]]
