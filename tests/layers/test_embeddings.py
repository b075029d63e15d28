import copy
import json
import pickle
import tracemalloc

import numpy as np
import pytest

from minikeras import layers, optimizers
from minikeras.backend import context
from minikeras.engine import Context
from minikeras.layers import Dense, Flatten
from minikeras.layers.embeddings import Embedding
from minikeras.models import Sequential
from minikeras.ops import parallel
from minikeras.testing import check_gradients

from .checks import check_weights, dirty_empty, run


def indices(shape=(4, 5), rows=7, seed=0):
    return np.random.RandomState(seed).randint(0, rows, shape)


def built(*args, shape=(None, 5), **kwargs):
    layer = Embedding(*args, **kwargs)
    layer.ensure_built(shape)
    return layer


def small_model(rows=7, width=3, steps=5, **kwargs):
    return Sequential([Embedding(rows, width, input_length=steps, **kwargs), Flatten(), Dense(1)])


# What it computes


@pytest.mark.parametrize("shape", [(4, 5), (4,), (2, 3, 4), (0, 5), (4, 0)])
def test_rows_of_the_table(shape):
    layer, x = built(7, 3, shape=(None, *shape[1:])), indices(shape)
    check_weights(layer)
    table = layer.get_weights()[0]
    y, dx, (gradient,) = run(layer, x)
    np.testing.assert_array_equal(y, table[x])
    assert layer.compute_output_shape(shape) == y.shape
    assert y.dtype == gradient.dtype == "float32"
    assert dx.shape == x.shape
    assert not dx.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("time_major", [False, True])
def test_gradient_against_the_plain_formula(dtype, time_major):
    layer, x = built(7, 3, dtype=dtype), indices()
    dy = np.random.RandomState(1).standard_normal((4, 5, 3)).astype(dtype)
    if time_major:
        dy = dy.transpose(1, 0, 2).copy().transpose(1, 0, 2)
    expected = np.zeros((7, 3))
    np.add.at(expected, x, dy.astype("float64"))
    _, _, (gradient,) = run(layer, x, dy=dy)
    assert gradient.dtype == dtype
    np.testing.assert_allclose(gradient, expected, rtol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("x", [indices(), indices((3, 2, 4)), np.zeros((2, 5), int)])
def test_numerical_gradients(x):
    check_gradients(Embedding(7, 3), x)
    check_gradients(Embedding(7, 3, activity_regularizer="l2"), x)


@pytest.mark.parametrize("regularizer", [None, "l2"])
def test_numerical_gradients_in_a_model(regularizer, monkeypatch):
    monkeypatch.setattr(context, "ROWS_FROM", 0)
    model = small_model(embeddings_regularizer=regularizer, mask_zero=False)
    model.compile("sgd", "mse")
    check_gradients(model, indices(), np.ones((4, 1)))


class BothWays(layers.Layer):
    """Look a sequence up, and the same one backwards, in one table."""

    def __init__(self, inner, **kwargs):
        super().__init__(input_shape=(5,), **kwargs)
        self.inner = inner

    def build(self, input_shape):
        self.inner.ensure_built(input_shape)
        self._trainable_weights = self.inner.trainable_weights

    input_dtype = None

    def compute_output_shape(self, input_shape):
        return self.inner.compute_output_shape(input_shape)

    def forward(self, x, ctx):
        forth, first = self.inner.propagate(x, ctx)
        back, second = self.inner.propagate(x[:, ::-1], ctx)
        return forth * np.sin(back), (forth, back, first, second)

    def backward(self, dy, residual, ctx):
        forth, back, first, second = residual
        self.inner.backpropagate(dy * np.sin(back), first, ctx)
        return self.inner.backpropagate(dy * forth * np.cos(back), second, ctx)


def test_a_table_that_is_used_twice_in_a_model(monkeypatch):
    monkeypatch.setattr(context, "ROWS_FROM", 0)
    model = Sequential([BothWays(Embedding(7, 3)), Flatten(), Dense(1)])
    model.compile("adam", "mse")
    x, y = indices(), np.ones((4, 1), "float32")
    check_gradients(model, x, y)
    step, by_rows = model._ready(), {}
    (table,) = model.layers[0].trainable_weights
    step.compute_gradients(x, y, None)
    expected = step.store.gradients[table].copy()
    step.store.gradients[table].fill(np.nan)
    step.compute_gradients(x, y, None, by_rows)
    assert by_rows == {}
    np.testing.assert_array_equal(step.store.gradients[table], expected)


class Rounded(layers.Layer):
    def forward(self, x, ctx):
        return np.round(10 * x).clip(0, 49), None

    def backward(self, dy, residual, ctx):
        return dy


def test_not_the_first_layer():
    model = Sequential([Dense(5, activation="relu", input_dim=4, name="below")])
    model.add(Rounded())
    model.add(Embedding(50, 3))
    model.add(Flatten())
    model.add(Dense(1))
    model.compile("sgd", "mse")
    below = model.layers[0].get_weights()
    table = model.layers[2].get_weights()[0]
    model.train_on_batch(np.random.RandomState(0).rand(8, 4), np.ones((8, 1)))
    assert (model.layers[2].get_weights()[0] != table).any()
    for one, other in zip(below, model.layers[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_that_were_learned_elsewhere():
    table = np.arange(12.0).reshape(4, 3)
    model = Sequential([Embedding(4, 3, weights=[table], trainable=False, input_length=2)])
    assert model.predict(np.array([[1, 3]])).tolist() == [[[3, 4, 5], [9, 10, 11]]]
    assert model.trainable_weights == []


# Types of indices


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64", "bool"]
)
def test_any_type_of_whole_numbers(dtype):
    model, x = small_model(), indices(rows=2 if dtype == "bool" else 7)
    model.compile("sgd", "mse")
    expected = model.predict(x)
    np.testing.assert_array_equal(model.predict(x.astype(dtype)), expected)
    first = model.train_on_batch(x.astype(dtype), np.ones((4, 1)))
    assert first == pytest.approx(np.mean((expected - 1) ** 2), rel=1e-5)
    assert model.layers[0](x.astype(dtype)).dtype == "float32"


def test_large_indices_do_not_go_through_float32():
    rows = 2**24 + 3  # float32 can't tell the last two apart
    layer = built(4, 1)
    layer.input_dim = rows
    x = np.array([[rows - 2, rows - 1]])
    assert layer._checked(x.astype("float64"), Context()).tolist() == x.tolist()
    assert Sequential([layer]).input_dtype is None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (7, "index 7 at sample 2, step 3 .*input_dim=7 .*0 to 6.*index \\+ 1, which is 8 "),
        (2**40, "index 1099511627776 at sample 2, step 3 .*index \\+ 1, which is 1099511627777 "),
        (-1, "index -1 at sample 2, step 3 of an input of shape \\(4, 5\\).*count from 0"),
        (1.5, "index 1.5 at sample 2, step 3 .*whole numbers"),
        (-0.5, "index -0.5 at sample 2, step 3 .*count from 0"),
        (6.5, "index 6.5 at sample 2, step 3 .*whole numbers"),
        (np.nan, "index nan at sample 2, step 3 .*whole numbers"),
        (np.inf, "index inf at sample 2, step 3 .*index \\+ 1"),
        (1e30, "index 1e\\+30 at sample 2, step 3 .*index \\+ 1"),
    ],
)
def test_an_index_without_a_row(entry, problem):
    x = indices().astype(type(entry))
    x[2, 3] = entry
    model = small_model(name="words")
    model.compile("sgd", "mse")
    before = model.get_weights()
    calls = [
        lambda: model.predict(x),
        lambda: model.fit(x, np.ones((4, 1)), verbose=0, shuffle=False),
        lambda: model.evaluate(x, np.ones((4, 1)), verbose=0),
        lambda: model.layers[0](x),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"Layer 'words' \\(Embedding\\): {problem}"):
            call()
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_largest_unsigned_number_is_not_minus_one():
    with pytest.raises(ValueError, match="index 18446744073709551615 at sample 0, step 0 "):
        built(7, 3)(np.full((1, 1), 2**64 - 1, "uint64"))


def test_where_in_an_input_of_three_axes():
    x = np.zeros((2, 3, 4), int)
    x[1, 2, 3] = 9
    with pytest.raises(ValueError, match="index 9 at sample 1, place \\(2, 3\\) "):
        Embedding(7, 3)(x)


def test_text_is_no_index():
    with pytest.raises(TypeError, match="whole numbers, got an array of dtype <U1"):
        built(7, 3)(np.array([["a"]]))


# Masks


def test_mask_of_padding():
    x = np.array([[1, 2, 0], [3, 0, 0]])
    layer = Embedding(4, 2, mask_zero=True)
    assert layer.supports_masking
    for data in (x, x.astype("float32"), x.tolist()):
        assert layer.compute_mask(data).tolist() == [[True, True, False], [True, False, False]]
    layer.ensure_built((None, 3))
    ctx = Context()
    layer.propagate(x, ctx)
    assert ctx.mask.tolist() == [[True, True, False], [True, False, False]]


def test_no_mask_unless_asked_for():
    layer, ctx = built(4, 2), Context(mask=np.ones((1, 3), bool))
    assert not layer.supports_masking
    layer.propagate(np.array([[1, 2, 0]]), ctx)
    assert ctx.mask is None


def test_the_mask_reaches_the_loss():
    model = Sequential([Embedding(4, 2, mask_zero=True, input_length=3), Dense(1)])
    model.compile("sgd", "mse", sample_weight_mode="temporal")
    x, y = np.array([[1, 2, 0], [3, 0, 0]]), np.zeros((2, 3, 1))
    before = model.get_weights()[0]
    model.train_on_batch(x, y)
    changed = (model.get_weights()[0] != before).any(axis=1)
    assert changed.tolist() == [False, True, True, True]


# Shapes and configuration


def test_input_length():
    assert Sequential([Embedding(7, 3, input_length=5)]).output_shape == (None, 5, 3)
    assert Sequential([Embedding(7, 3)]).output_shape == (None, None, 3)
    assert Embedding(7, 3, input_length=(2, None)).batch_input_shape == (None, 2, None)
    assert Embedding(7, 3, input_length=5, batch_size=4).batch_input_shape == (4, 5)
    assert Embedding(7, 3, input_shape=(5, 2)).batch_input_shape == (None, 5, 2)
    assert Embedding(7, 3, batch_input_shape=(4, 5)).batch_input_shape == (4, 5)
    layer = Embedding(7, 3, input_length=(2, None))
    assert layer.compute_output_shape((None, 2, 4)) == (None, 2, 4, 3)
    assert layer.compute_output_shape((None, None, None)) == (None, 2, None, 3)


@pytest.mark.parametrize("shape", [(4, 6), (4, 5, 1), (4,)])
def test_input_that_contradicts_input_length(shape):
    with pytest.raises(ValueError, match="input_length=5 asks for samples of shape \\(5,\\), but"):
        Embedding(7, 3, input_length=5)(np.zeros(shape, int))


def test_config_has_the_keys_of_keras_2_2_4():
    config = Embedding(7, 3, name="words", mask_zero=True, input_length=5).get_config()
    assert config == {
        "name": "words",
        "trainable": True,
        "batch_input_shape": (None, 5),
        "dtype": "float32",
        "input_dim": 7,
        "output_dim": 3,
        "embeddings_initializer": {
            "class_name": "RandomUniform",
            "config": {"minval": -0.05, "maxval": 0.05, "seed": None},
        },
        "embeddings_regularizer": None,
        "activity_regularizer": None,
        "embeddings_constraint": None,
        "mask_zero": True,
        "input_length": 5,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        {"input_length": np.int64(5), "mask_zero": 1},
        {"input_length": (np.int32(5),)},
        {"embeddings_regularizer": "l2", "embeddings_constraint": "unit_norm", "dtype": "float64"},
        {"embeddings_initializer": "zeros", "activity_regularizer": "l1"},
    ],
)
def test_config_round_trip(arguments):
    layer = built(7, 3, **arguments)
    config = json.loads(json.dumps(layer.get_config()))
    clone = Embedding.from_config(config)
    assert json.dumps(clone.get_config()) == json.dumps(layer.get_config())
    clone.ensure_built((None, 5))
    clone.set_weights(layer.get_weights())
    x = indices()
    np.testing.assert_array_equal(clone(x), layer(x))
    assert clone(x).dtype == layer(x).dtype


def test_the_weight():
    layer = built(7, 3, name="words")
    assert [(w.name, w.shape) for w in layer.weights] == [("words/embeddings:0", (7, 3))]
    assert np.abs(layer.get_weights()[0]).max() <= 0.05


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"input_dim": 0}, "input_dim must be an int greater than 0, got 0"),
        ({"input_dim": 2.0}, "input_dim must be an int"),
        ({"output_dim": -1}, "output_dim must be an int greater than 0, got -1"),
        ({"input_length": 0}, "input_length must be an int greater than 0, got 0"),
        ({"input_length": (3, "a")}, "input_length must be an int greater than 0, got 'a'"),
        ({"dtype": "int32"}, "dtype is the type of the vectors, .*got 'int32'"),
    ],
)
def test_bad_arguments(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        Embedding(**{"input_dim": 7, "output_dim": 3, **arguments})


# Training by rows


def trained(optimizer, steps=5, by_rows=True, monkeypatch=None, **kwargs):
    """Train a model, and return its weights and what the optimizer keeps."""
    np.random.seed(7)
    model = small_model(rows=60, width=4, **kwargs)
    model.compile(optimizer, "mse")
    monkeypatch.setattr(context, "ROWS_FROM", 0 if by_rows else 10**9)
    seen = []
    apply_gradients = model.optimizer.apply_gradients
    monkeypatch.setattr(
        model.optimizer,
        "apply_gradients",
        lambda state, rows=(): (seen.append(len(rows)), apply_gradients(state, rows or None)),
    )
    for number in range(steps):
        model.train_on_batch(indices(rows=60, seed=number), np.ones((4, 1)))
    return [*model.get_weights(), *model.optimizer.get_weights()], set(seen)


@pytest.mark.parametrize("name", ["sgd", "rmsprop", "adagrad", "adadelta", "adam", "nadam"])
def test_training_by_rows_equals_training_in_full(name, monkeypatch):
    by_rows, seen = trained(name, monkeypatch=monkeypatch)
    assert seen == {1}
    in_full, seen = trained(name, by_rows=False, monkeypatch=monkeypatch)
    assert seen == {0}
    for one, other in zip(by_rows, in_full, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ({"embeddings_regularizer": "l2"}, 0),
        ({"embeddings_constraint": "unit_norm"}, 1),
        ({"trainable": False}, 0),
    ],
)
def test_what_goes_with_rows(arguments, kept, monkeypatch):
    by_rows, seen = trained("rmsprop", monkeypatch=monkeypatch, **arguments)
    assert seen == {kept}
    in_full, _ = trained("rmsprop", by_rows=False, monkeypatch=monkeypatch, **arguments)
    for one, other in zip(by_rows, in_full, strict=True):
        np.testing.assert_array_equal(one, other)


def test_large_tables_are_trained_by_rows_and_small_ones_in_full():
    for rows, expected in ((50, 0), (context.ROWS_FROM, 1)):
        model = small_model(rows=rows, width=1)
        model.compile("sgd", "mse")
        found = {}
        model._ready().compute_gradients(indices(), np.ones((4, 1), "float32"), None, found)
        assert len(found) == expected


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_model_trains_by_itself(copied, monkeypatch):
    monkeypatch.setattr(context, "ROWS_FROM", 0)
    model = small_model(rows=60)
    model.compile("rmsprop", "mse")
    y = np.ones((4, 1))
    model.train_on_batch(indices(rows=60), y)
    theirs = copied(model)
    before = model.get_weights()
    expected = theirs.train_on_batch(indices(rows=60, seed=1), y)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.train_on_batch(indices(rows=60, seed=1), y) == expected


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "nadam"])
def test_a_steady_step_allocates_nothing_large(optimizer, monkeypatch):
    # A second thread has scratch memory of its own, from the first time that it wakes up.
    monkeypatch.setenv("MINIKERAS_NUM_THREADS", "1")
    monkeypatch.setattr(parallel, "_helpers", None)
    model = small_model(rows=20_000, width=64, steps=200)
    model.compile(optimizers.get(optimizer), "mse")
    random = np.random.default_rng(0)
    batches = [random.integers(0, most, (16, 200)) for most in [20_000, 900, 20_000, 20_000, 50]]
    y = np.ones((16, 1), "float32")
    step = model._ready()
    for x in [batches[0], *batches[:2]] * 12:  # beyond the first flush
        step.train(x, y, None)
    tracemalloc.start()
    try:
        for x in batches:
            step.train(x, y, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The table has 5 MB, the output 0.8 MB; the sorted indices have 26 kB each.
    assert peak < 400_000


def test_memory_comes_from_the_pass_and_is_written_whole():
    layer, x = built(7, 3), indices()
    asked = []

    def empty(shape, dtype):
        asked.append(shape)
        return dirty_empty(shape, dtype)

    target = {layer.embeddings: np.full((7, 3), np.nan, "float32")}
    ctx = Context(gradients=target)
    ctx.empty = empty
    ctx.needs_input_gradient = False
    y, residual = layer.propagate(x, ctx)
    assert layer.backpropagate(np.ones_like(y), residual, ctx) is None
    assert asked == [(4, 5, 3), (7, 3)]  # no more rows than there are in the table
    assert np.isfinite(target[layer.embeddings]).all()


def test_a_matrix_in_place_of_a_list_of_weights():
    with pytest.raises(TypeError, match=r"\[matrix\] if there is only one"):
        Sequential([Embedding(5, 3, weights=np.ones((5, 3)), input_length=2)])
