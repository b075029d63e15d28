import math

import numpy as np
import pytest

from minikeras.callbacks import TerminateOnNaN
from minikeras.layers import Dense
from minikeras.models import Sequential
from tests.callbacks.driving import FakeModel, small_data, small_model


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_an_invalid_loss_stops(loss, capsys):
    callback = TerminateOnNaN()
    callback.set_model(small_model())

    callback.on_batch_end(7, {"loss": loss})

    assert callback.model.stop_training is True
    out = capsys.readouterr().out
    assert out.startswith("Batch 7: Invalid loss, terminating training\n")
    assert f"The loss is {loss}. All weights are finite." in out


@pytest.mark.parametrize("logs", [{"loss": 1e30}, {}, None, {"acc": math.nan}])
def test_anything_else_does_not(logs, capsys):
    callback = TerminateOnNaN()
    callback.set_model(FakeModel())

    callback.on_batch_end(0, logs)

    assert callback.model.stop_training is False
    assert capsys.readouterr().out == ""


def spoilt(x):
    x = x.copy()
    x[11] = np.nan
    return x


def test_the_training_ends_with_the_batch(capsys):
    x, y = small_data()
    model = small_model()
    model.fit(spoilt(x), y, 5, epochs=3, verbose=0, shuffle=False, callbacks=[TerminateOnNaN()])

    assert model.history.epoch == [0]
    # Of four batches there were three, and the model has seen no other.
    assert int(model.optimizer.iterations) == 3
    assert capsys.readouterr().out.startswith("Batch 2: Invalid loss")


def test_the_training_ends_with_the_batch_of_a_generator(capsys):
    x, y = small_data()
    x = spoilt(x)
    model = small_model()

    def batches():
        for start in range(0, 20, 5):
            yield x[start : start + 5], y[start : start + 5]

    model.fit_generator(batches(), 4, epochs=1, verbose=0, callbacks=[TerminateOnNaN()])

    assert int(model.optimizer.iterations) == 3
    assert capsys.readouterr().out.startswith("Batch 2: Invalid loss")


def test_it_names_the_first_layer_that_is_not_finite(capsys):
    inner = Sequential([Dense(2, input_dim=2, name="inner")])
    model = Sequential([Dense(2, input_dim=2, name="first"), inner, Dense(1, name="last")])
    model.compile("sgd", "mse")
    kernel, bias = inner.get_weights()
    inner.set_weights([kernel, bias + np.inf])

    callback = TerminateOnNaN()
    callback.set_model(model)
    callback.on_batch_end(0, {"loss": math.nan})

    out = capsys.readouterr().out
    assert "The first weights that are not finite: inner/bias:0 of layer 'inner'." in out
