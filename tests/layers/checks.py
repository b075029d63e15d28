"""What every layer must do, in one function."""

import json

import numpy as np

from minikeras import layers
from minikeras.engine import Context
from minikeras.testing import check_gradients


def sample(shape, dtype="float32", seed=1):
    """Return normal random numbers that can't be written to."""
    x = np.random.RandomState(seed).standard_normal(shape).astype(dtype)
    x.flags.writeable = False
    return x


def dirty_empty(shape, dtype):
    """Return memory in which whatever is read before it is written shows."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 77, dtype)


def run(layer, x, dy=None, training=False, seed=3):
    """Return output, input gradient and weight gradients; memory starts full of NaN."""
    np.random.seed(seed)
    targets = {w: np.full_like(w.value, np.nan) for w in layer.trainable_weights}
    ctx = Context(training=training, gradients=targets)
    ctx.empty = dirty_empty
    y, residual = layer.propagate(x, ctx)
    output = y.copy()
    dy = sample(y.shape, y.dtype, seed=2) if dy is None else dy
    dx = layer.backpropagate(dy.copy("K"), residual, ctx)
    ctx.finish_gradients()
    return output, dx, list(targets.values())


def twin(layer, **changes):
    """Return a layer made from the layer's configuration by way of JSON text."""
    entry = json.loads(json.dumps(layers.serialize(layer)))
    entry["config"].update(changes)
    return layers.deserialize(entry)


def other_layout(x):
    """Return an equal array whose first axis varies fastest in memory, with gaps."""
    other = np.asfortranarray(np.repeat(x, 2, axis=0))[::2]
    other.flags.writeable = False
    assert not other.flags.c_contiguous
    return other


def agree(first, second, rtol=1e-5):
    """Assert that two results of `run` are the same up to rounding."""
    for a, b in zip([*first[:2], *first[2]], [*second[:2], *second[2]], strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-6)


def check_layer(layer, input_shape, gradients=True):
    """Put a layer that has not been built through everything that holds for all layers.

    `input_shape` has the batch axis; a layer must not depend on the batch size.
    """
    x = sample(input_shape)
    promised = layer.ensure_built((None, *input_shape[1:]))
    check_weights(layer)
    for training in (False, True):
        result = run(layer, x, training=training)
        check_result(layer, x, result, promised)
        agree(run(layer, other_layout(x), training=training), result)
        dy = sample(result[0].shape, seed=2)
        agree(run(layer, x, dy=other_layout(dy), training=training), result)
        one = run(layer, x[:1], training=training)
        check_result(layer, x[:1], one, promised)
        if gradients:
            check_gradients(layer, input_shape=input_shape, training=training)
    check_config(layer, x)
    return layer


def check_result(layer, x, result, promised):
    output, dx, gradients = result
    assert output.shape == (len(x), *promised[1:])
    assert layer.compute_output_shape(x.shape) == output.shape
    assert dx.shape == x.shape
    assert [g.shape for g in gradients] == [w.shape for w in layer.trainable_weights]
    for array in (output, dx, *gradients):
        assert array.dtype == x.dtype
        assert np.isfinite(array).all()


def check_weights(layer):
    weights = layer.get_weights()
    assert len(weights) == len(layer.trainable_weights) + len(layer.non_trainable_weights)
    assert layer.count_params() == sum(w.size for w in weights)
    assert all(w.dtype == layer.dtype for w in weights)
    assert all(w.name.startswith(f"{layer.name}/") for w in layer.weights)
    fresh = [np.random.RandomState(4).uniform(0.1, 1.0, w.shape) for w in weights]
    layer.set_weights(fresh)
    for given, kept in zip(fresh, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(given.astype(kept.dtype), kept)
    layer.trainable = False
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == len(weights)
    layer.trainable = True


def check_config(layer, x):
    clone = twin(layer)
    assert type(clone) is type(layer)
    assert json.dumps(clone.get_config()) == json.dumps(layer.get_config())
    clone.ensure_built(x.shape)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x), layer(x))
    precise = twin(layer, dtype="float64")
    precise.ensure_built(x.shape)
    precise.set_weights(layer.get_weights())
    result = run(precise, x.astype("float64"), training=True)
    check_result(precise, x.astype("float64"), result, precise.output_shape)
