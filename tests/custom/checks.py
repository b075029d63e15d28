"""What a user expects of a layer of their own, whatever it computes."""

import json

import numpy as np

import minikeras as keras
from minikeras import backend as K
from minikeras.layers import Dense, Flatten
from minikeras.models import Sequential
from minikeras.testing import check_gradients


def data(input_shape, samples=32):
    """Return normal input, and targets that two sums of it decide."""
    random = np.random.RandomState(7)
    x = random.standard_normal((samples, *input_shape)).astype("float32")
    flat = x.reshape(samples, -1)
    half = flat.shape[1] // 2
    return x, np.stack([flat[:, :half].mean(-1), np.abs(flat[:, half:]).mean(-1)], axis=-1)


def trained(model, x, y, epochs=15, loss="mse", **compile_arguments):
    """Train a model, and assert that the loss falls and stays finite."""
    model.compile(loss=loss, optimizer=keras.optimizers.Adam(0.01), **compile_arguments)
    losses = model.fit(x, y, batch_size=16, epochs=epochs, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0], losses
    return losses


def check_in_float64(target, *arrays, **arguments):
    """Check gradients where ``K.floatx()``, which users' code asks for, says float64, too."""
    before = K.floatx()
    K.set_floatx("float64")
    try:
        return check_gradients(target, *arrays, **arguments)
    finally:
        K.set_floatx(before)


def check_custom_layer(layer, input_shape, training=(False, True), config=True, batch=3):
    """Put a layer that is not built through training, derivatives, cloning and `K.function`.

    `input_shape` is without the batch axis.
    """
    np.random.seed(1)
    for phase in training:
        check_in_float64(layer, input_shape=(batch, *input_shape), training=phase)
    x, y = data(input_shape)
    model = Sequential([Dense(input_shape[-1], input_shape=input_shape), layer])
    check_shapes(layer, model, x)
    if len(model.output_shape) > 2:
        model.add(Flatten())
    model.add(Dense(2))
    trained(model, x, y)
    check_function(model, x)
    if config:
        check_clone(layer, x)
    return model


def check_shapes(layer, model, x):
    """Assert that the stated or inferred output shape is what comes out, whatever the batch."""
    for count in (len(x), 5):
        found = model.predict(x[:count]).shape
        assert layer.output_shape[1:] == found[1:]
        assert layer.output_shape[0] is None
        assert tuple(layer.compute_output_shape((None, *x.shape[1:]))) == layer.output_shape
        assert K.int_shape(model.output) == layer.output_shape


def check_function(model, x):
    """Assert that the symbolic idiom gives what `predict` gives."""
    run = K.function([model.input, K.learning_phase()], [model.output])
    np.testing.assert_allclose(run([x, 0])[0], model.predict(x), rtol=1e-5, atol=1e-6)
    assert run([x, 1])[0].shape == (len(x), *model.output_shape[1:])


def check_clone(layer, x):
    """Assert that the config, by way of JSON text, makes the same layer again."""
    config = json.loads(json.dumps(layer.get_config()))
    clone = type(layer).from_config(config)
    assert clone.get_config() == layer.get_config()
    clone.ensure_built((None, *x.shape[1:]))
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x), layer(x))
