import copy
import pickle

import numpy as np
import pytest

from minikeras.backend.store import WeightBlock, WeightStore
from minikeras.backend.variables import Variable


def variables():
    return [
        Variable(np.arange(6, dtype="float32").reshape(2, 3), name="dense/kernel:0"),
        Variable(np.array([6, 7, 8], "float32"), name="dense/bias:0"),
        Variable(np.float32(9), name="scale:0"),
    ]


def test_block_lays_values_end_to_end():
    weights = variables()
    block = WeightBlock(weights)
    assert block.values.tolist() == list(range(10))
    assert block.values.dtype == block.gradients.dtype == np.float32
    block.values *= 2
    assert weights[0].value.tolist() == [[0, 2, 4], [6, 8, 10]]
    assert weights[2].value.shape == ()
    weights[1].assign([-1, -1, -1])
    assert block.values[6:9].tolist() == [-1, -1, -1]


def test_gradients_start_at_zero():
    assert WeightBlock(variables()).gradients.tolist() == [0] * 10


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_vectors_start_at_a_cache_line(size):
    block = WeightBlock([Variable(np.ones(size, "float32"))])
    assert block.values.ctypes.data % 64 == 0
    assert block.gradients.ctypes.data % 64 == 0


def test_split_gives_views():
    block = WeightBlock(variables())
    vector = np.zeros(10)
    kernel, bias, scale = block.split(vector)
    kernel[1, 2], bias[0], scale[...] = 1, 2, 3
    assert vector.tolist() == [0, 0, 0, 0, 0, 1, 2, 0, 0, 3]


def test_claim_takes_back_a_variable_with_its_present_value():
    weights = variables()
    first = WeightBlock(weights)
    second = WeightBlock(weights[1:])
    second.values[:] = [1, 2, 3, 4]
    first.claim()
    assert first.values[6:].tolist() == [1, 2, 3, 4]
    first.values[6:] = 5
    assert weights[1].value.tolist() == [5, 5, 5]
    second.claim()
    assert second.values.tolist() == [5, 5, 5, 5]


def test_claim_does_nothing_when_all_is_in_place():
    weights = variables()
    block = WeightBlock(weights)
    before = [w.value for w in weights]
    block.claim()
    assert all(w.value is view for w, view in zip(weights, before, strict=True))


def test_store_has_one_block_for_each_type_and_each_variable_once():
    weights = variables()
    double = Variable(np.ones(2), name="double:0")
    store = WeightStore([weights[0], double, weights[1], weights[0]])
    assert [b.variables for b in store.blocks] == [weights[:2], [double]]
    assert [b.values.dtype for b in store.blocks] == [np.float32, np.float64]


def test_store_knows_where_each_gradient_goes():
    weights = variables()
    store = WeightStore(weights)
    store.gradients[weights[0]][...] = 1
    store.gradients[weights[2]][...] = 2
    assert store.blocks[0].gradients.tolist() == [1] * 6 + [0] * 3 + [2]


def test_store_without_weights():
    store = WeightStore([])
    store.claim()
    assert store.blocks == []
    assert store.gradients == {}
    assert copy.deepcopy(store).blocks == []


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_stands_by_itself(copied):
    weights = variables()
    store = WeightStore(weights)
    # As a model holds them: the variables, their store, and what else refers to its blocks.
    their_weights, their_store, their_block = copied((weights, store, store.blocks[0]))
    assert their_store.blocks[0] is their_block
    assert their_block.variables == their_weights
    their_store.claim()
    their_block.values += 1
    assert their_weights[1].value.tolist() == [7, 8, 9]
    assert weights[1].value.tolist() == [6, 7, 8]
    their_store.gradients[their_weights[1]][...] = 3
    assert their_block.gradients[6:9].tolist() == [3, 3, 3]
    assert store.blocks[0].gradients.tolist() == [0] * 10
