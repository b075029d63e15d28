import numpy as np
import pytest

from minikeras.callbacks import LearningRateScheduler, ReduceLROnPlateau
from tests.callbacks.driving import FakeModel, drive, fit, losses, small_model

# LearningRateScheduler


def scheduled(schedule, **kwargs):
    model = fit(callbacks=[LearningRateScheduler(schedule, **kwargs)], epochs=3)
    return model.history.history["lr"]


def test_a_schedule_of_the_epoch():
    assert scheduled(lambda epoch: 0.5**epoch) == [1.0, 0.5, 0.25]


def test_a_schedule_of_the_epoch_and_the_rate():
    assert scheduled(lambda epoch, lr: lr + epoch) == [0.01, 1.01, 3.01]
    assert scheduled(lambda *args: float(len(args))) == [2.0, 2.0, 2.0]
    assert scheduled(lambda epoch, factor=2: factor * 2.0) == [0.02, 0.04, 0.08]  # as in Keras


def test_a_schedule_whose_signature_is_unknown_gets_the_epoch():
    table = {0: 0.5, 1: 0.25, 2: 0.125}

    assert scheduled(table.__getitem__) == [0.5, 0.25, 0.125]


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_the_rate_may_be_any_kind_of_float(kind):
    history = scheduled(lambda epoch: kind(0.5))

    assert history == [0.5] * 3
    assert type(history[0]) is float


@pytest.mark.parametrize("wrong", [1, None, "0.1", [0.1]])
def test_anything_else_is_an_error(wrong):
    with pytest.raises(ValueError, match="must return a float; for epoch 0 it returned") as found:
        scheduled(lambda epoch: wrong)
    assert repr(wrong) in str(found.value)


def test_a_type_error_in_the_schedule_comes_out():
    with pytest.raises(TypeError, match="unsupported operand"):
        scheduled(lambda epoch, lr: lr + "1")


def test_the_rate_that_is_set_is_the_one_in_use():
    model = small_model()
    before = model.get_weights()
    fit(model=model, callbacks=[LearningRateScheduler(lambda epoch: 0.0)])

    assert float(model.optimizer.lr) == 0.0
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_scheduler_verbose(capsys):
    scheduled(lambda epoch: 0.5, verbose=1)
    words = "\nEpoch 00002: LearningRateScheduler setting learning rate to 0.5.\n"
    assert words in capsys.readouterr().out
    scheduled(lambda epoch: 0.5)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("callback", [LearningRateScheduler(float), ReduceLROnPlateau()])
def test_an_optimizer_without_a_rate_is_refused(callback):
    model = FakeModel()
    model.optimizer = object()

    with pytest.raises(ValueError, match="attribute 'lr', and object has none"):
        drive(callback, losses(1.0), model)


# ReduceLROnPlateau


def rates(*values, name="val_loss", **kwargs):
    """Return the rate during each epoch, and the one at the end."""
    epochs = losses(*values, name=name)
    model = drive(ReduceLROnPlateau(name, **kwargs), epochs)
    return [*(logs["lr"] for logs in epochs), model.optimizer.lr]


def test_patience_and_factor():
    flat = [1.0] * 5
    assert rates(*flat, factor=0.5, patience=2) == [0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert rates(*flat, factor=0.5, patience=4) == [0.5] * 5 + [0.25]
    assert rates(*flat, factor=0.1, patience=4)[-1] == pytest.approx(0.05)


def test_the_defaults_of_keras():
    assert rates(*[1.0] * 10) == [0.5] * 11
    assert rates(*[1.0] * 11)[-1] == pytest.approx(0.05)


def test_min_delta():
    falling = [1.0, 0.9, 0.8]
    assert rates(*falling, patience=1, factor=0.5, min_delta=0.05)[-1] == 0.5
    assert rates(*falling, patience=1, factor=0.5, min_delta=0.15)[1:] == [0.5, 0.25, 0.25]


def test_epsilon_is_the_earlier_name_of_min_delta():
    with pytest.warns(UserWarning, match="epsilon is now called min_delta"):
        callback = ReduceLROnPlateau(epsilon=0.25)

    assert callback.min_delta == 0.25


def test_mode():
    assert rates(1.0, 2.0, patience=1, factor=0.5, mode="min")[-1] == 0.25
    assert rates(1.0, 2.0, patience=1, factor=0.5, mode="max")[-1] == 0.5
    assert rates(0.1, 0.2, name="acc", patience=1, factor=0.5)[-1] == 0.5


def test_cooldown():
    flat = [1.0] * 6
    without = rates(*flat, patience=1, factor=0.5)
    assert without == [0.5, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]
    assert rates(*flat, patience=1, factor=0.5, cooldown=2) == [0.5] * 2 + [0.25] * 2 + [
        0.125,
        0.125,
        0.0625,
    ]


def test_min_lr():
    assert rates(*[1.0] * 5, patience=1, factor=0.5, min_lr=0.2)[-3:] == [0.2, 0.2, 0.2]


def test_plateau_verbose(capsys):
    rates(1.0, 1.0, patience=1, factor=0.5, verbose=1)
    words = "\nEpoch 00002: ReduceLROnPlateau reducing learning rate to 0.25.\n"
    assert capsys.readouterr().out == words
    rates(1.0, 1.0, patience=1, factor=0.5)
    assert capsys.readouterr().out == ""


def test_a_second_training_starts_anew():
    callback = ReduceLROnPlateau(patience=2, factor=0.5)
    model = drive(callback, losses(1.0, 1.0))
    drive(callback, losses(5.0, 5.0), model)

    assert model.optimizer.lr == 0.5
    assert callback.best == 5.0


@pytest.mark.parametrize("factor", [1.0, 2])
def test_a_factor_that_does_not_reduce_is_refused(factor):
    with pytest.raises(ValueError, match=f"factor must be less than 1, got {factor}"):
        ReduceLROnPlateau(factor=factor)


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match=r"unknown arguments: \['delta'\]"):
        ReduceLROnPlateau(delta=1)


def test_plateau_in_fit():
    model = fit(callbacks=[ReduceLROnPlateau("loss", factor=0.5, patience=1, mode="max")], epochs=3)

    assert model.history.history["lr"] == [0.01, 0.01, 0.005]
    assert float(model.optimizer.lr) == 0.0025
