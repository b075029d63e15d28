import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikeras.ops import embedding as module
from minikeras.ops import parallel
from minikeras.ops.embedding import embedding, embedding_backward


def upstream(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def by_hand(dy, indices, rows):
    """Return the whole gradient of a table, summed place by place."""
    gradient = np.zeros((rows, dy.shape[-1]))
    np.add.at(gradient, indices, dy)
    return gradient


def backward(dy, indices):
    return embedding_backward(dy, indices, np.full((indices.size, dy.shape[-1]), np.nan, dy.dtype))


def check(dy, indices, rows=1000):
    numbers, sums = backward(dy, indices)
    expected = by_hand(dy.astype("float64"), indices, rows)
    assert numbers.tolist() == np.unique(indices).tolist()
    assert sums.dtype == dy.dtype
    tolerance = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-2}[dy.dtype.name]
    np.testing.assert_allclose(sums, expected[numbers], rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 2), (0, 4), (3, 0)])
def test_lookup(shape):
    table = upstream((9, 5))
    indices = np.random.default_rng(1).integers(0, 9, shape)
    out = np.full((*shape, 5), np.nan)
    assert embedding(table, indices, out) is out
    assert np.array_equal(out, table[indices])


def test_lookup_in_blocks_of_any_layout(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 10)
    table, indices = upstream((9, 5)), np.random.default_rng(1).integers(0, 9, (6, 11)).T
    assert np.array_equal(embedding(table, indices, np.empty((11, 6, 5))), table[indices])


@given(
    indices=st.lists(st.integers(0, 12) | st.just(5), max_size=60),
    width=st.integers(1, 5),
    block=st.sampled_from([1, 4, 30, 1 << 17]),
    dtype=st.sampled_from(["float32", "float64", "float16"]),
)
def test_sums_are_those_of_add_at(indices, width, block, dtype):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        check(upstream((len(indices), width), dtype), np.array(indices, np.intp))


@given(st.permutations(range(3)), st.booleans(), st.booleans())
def test_any_layout(axes, gaps, backwards):
    indices = np.random.default_rng(3).integers(0, 20, (4, 5))
    dy = np.empty(np.array([8, 5, 3])[list(axes)]).transpose(np.argsort(axes))
    dy = dy[::2] if gaps else dy[:4]
    dy = dy[:, ::-1] if backwards else dy
    dy[...] = upstream(dy.shape)
    check(dy, indices)


def test_time_major_memory_is_not_copied(monkeypatch):
    monkeypatch.setattr(module, "scratch", None)  # a copy would ask for it
    dy = upstream((5, 4, 3)).transpose(1, 0, 2)
    rows, table = module._as_rows(dy, np.arange(20).reshape(4, 5))
    assert np.shares_memory(rows, dy)
    assert np.array_equal(dy.reshape(20, 3)[table], rows)


@pytest.mark.parametrize("block", [20, 1 << 17])
def test_one_row_that_fills_the_batch(block, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", block)
    check(upstream((3000, 2), "float32"), np.full(3000, 5))


def test_dy_is_left_as_it_is():
    dy = upstream((3, 4, 2))
    before = dy.copy()
    dy.flags.writeable = False
    backward(dy, np.zeros((3, 4), int))
    assert np.array_equal(dy, before)


def test_threads_do_not_change_the_bits(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 64)
    dy = upstream((40, 50, 7), "float32")
    indices = np.minimum(np.random.default_rng(2).zipf(1.2, (40, 50)), 500)
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setenv("MINIKERAS_NUM_THREADS", str(threads))
        monkeypatch.setattr(parallel, "_helpers", None)
        results.append(backward(dy, indices)[1].tobytes())
    assert results[0] == results[1] == results[2]
