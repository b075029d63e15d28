import math

import numpy as np
import pytest

from minikeras.callbacks import EarlyStopping, LambdaCallback, TerminateOnNaN
from tests.callbacks.driving import FakeModel, drive, fit, losses, small_model


def stop_at(stop, *values, **kwargs):
    """Return after which epoch the training was stopped, counted from 0; None if it was not."""
    model = drive(stop, losses(*values, **kwargs))
    return model.epoch if model.stop_training else None


@pytest.mark.parametrize(("patience", "expected"), [(0, 2), (1, 2), (2, 3), (3, 4), (4, None)])
def test_patience(patience, expected):
    stop = EarlyStopping(patience=patience)

    assert stop_at(stop, 3.0, 2.0, 2.0, 2.5, 2.0) == expected
    assert stop.stopped_epoch == (expected or 0)
    assert stop.best == 2.0


def test_an_improvement_starts_the_waiting_anew():
    assert stop_at(EarlyStopping(patience=2), 3.0, 3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0) == 6


@pytest.mark.parametrize(("delta", "expected"), [(0, None), (0.4, None), (0.5, 1), (1, 1)])
def test_min_delta_is_what_an_improvement_must_exceed(delta, expected):
    assert stop_at(EarlyStopping(min_delta=delta), 2.0, 1.5, 1.0) == expected
    rising = EarlyStopping("acc", min_delta=delta)
    assert stop_at(rising, 0.0, 0.5, 1.0, name="acc") == expected


@pytest.mark.parametrize(("mode", "expected"), [("min", 1), ("max", None)])
def test_mode(mode, expected):
    assert stop_at(EarlyStopping(mode=mode), 1.0, 2.0, 3.0) == expected


def test_monitor():
    epochs = [{"loss": 1.0, "val_loss": 2.0 - epoch} for epoch in range(3)]

    assert drive(EarlyStopping(), epochs).stop_training is False
    assert drive(EarlyStopping("loss"), epochs).epoch == 1


def test_baseline_is_the_first_value_to_beat():
    assert stop_at(EarlyStopping(patience=2, baseline=1.0), 3.0, 2.0, 0.5) == 1
    assert stop_at(EarlyStopping(patience=3, baseline=1.0), 3.0, 2.0, 0.5, 0.25) is None
    assert stop_at(EarlyStopping("acc", baseline=0.5), 0.4, name="acc") == 0


def test_baseline_zero_counts():
    assert stop_at(EarlyStopping(patience=1, baseline=0.0), 1.0) == 0


def test_an_instance_that_is_used_again_starts_anew():
    stop = EarlyStopping(patience=2, restore_best_weights=True)
    assert stop_at(stop, 1.0, 1.0, 1.0) == 2

    model = drive(stop, losses(5.0, 4.0))

    assert model.stop_training is False
    assert (stop.best, stop.wait, stop.stopped_epoch) == (4.0, 0, 0)
    assert model.restored == []
    drive(stop, [])
    assert (stop.best, stop.best_weights, stop.best_epoch) == (math.inf, None, None)


def test_verbose_tells_of_stopping_and_restoring(capsys):
    drive(EarlyStopping(verbose=1, restore_best_weights=True, patience=2), losses(1.0, 2.0, 3.0))

    assert capsys.readouterr().out == (
        "Restoring model weights from the end of the best epoch\nEpoch 00003: early stopping\n"
    )
    drive(EarlyStopping(restore_best_weights=True), losses(1.0, 2.0))
    drive(EarlyStopping(verbose=1), losses(2.0, 1.0))
    assert capsys.readouterr().out == ""


def test_a_stop_in_the_first_epoch_is_told(capsys):
    drive(EarlyStopping(verbose=1, baseline=0.5), losses(1.0))

    assert capsys.readouterr().out == "Epoch 00001: early stopping\n"


# Restoring


def restored(values, stopped_after=None, **kwargs):
    """Return the epochs whose weights were set, in their order."""
    stop = EarlyStopping(restore_best_weights=True, **kwargs)
    model = FakeModel()
    stop.set_params({})
    stop.set_model(model)
    stop.on_train_begin()
    for epoch, value in enumerate(values):
        model.epoch = epoch
        stop.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training or epoch == stopped_after:
            break
    stop.on_train_end()
    return model.restored


def test_the_best_epoch_is_restored_when_patience_ends():
    assert restored([3.0, 1.0, 2.0, 2.0, 9.0], patience=2) == [1]


def test_the_best_epoch_is_restored_when_the_training_ends_by_itself():
    assert restored([3.0, 1.0, 2.0], patience=9) == [1]


def test_the_best_epoch_is_restored_when_another_callback_stops():
    assert restored([3.0, 1.0, 2.0, 0.5], stopped_after=2, patience=9) == [1]


def test_nothing_is_restored_when_the_last_epoch_is_the_best():
    assert restored([3.0, 1.0], patience=9) == []


def test_nothing_is_restored_unless_asked():
    model = drive(EarlyStopping(), losses(1.0, 2.0))

    assert model.restored == []


def test_if_a_baseline_is_never_beaten_the_best_epoch_is_restored():
    assert restored([3.0, 2.0, 2.5, 2.7], patience=4, baseline=1.0) == [1]


def test_nan_from_the_start_restores_nothing_and_says_so():
    with pytest.warns(RuntimeWarning, match="'val_loss' was a number in no epoch"):
        assert restored([math.nan] * 5, patience=2) == []
    assert stop_at(EarlyStopping(patience=2), math.nan, math.nan, math.nan) == 1


def test_nan_later_restores_the_best_epoch():
    assert restored([2.0, 1.0, math.nan, math.nan], patience=2) == [1]


def test_without_the_result_nothing_is_restored_and_one_warning_is_enough():
    with pytest.warns(RuntimeWarning) as found:
        model = drive(EarlyStopping(restore_best_weights=True), [{"loss": 1.0}] * 2)

    assert len(found) == 1
    assert model.restored == []


def weights_after_each_epoch(stop, others=(), **kwargs):
    model, seen = small_model(), []
    remember = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
    fit(model=model, callbacks=[remember, stop, *others], validation_split=0.25, **kwargs)
    return model, seen


@pytest.mark.parametrize("case", ["patience", "end", "other"])
def test_a_real_model_gets_its_best_weights_back(case):
    # More is worse: the first epoch is the best.
    stop = EarlyStopping(
        mode="max", restore_best_weights=True, patience={"patience": 2}.get(case, 9)
    )
    others = []
    if case == "other":
        others.append(
            LambdaCallback(
                on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 1)
            )
        )
    model, seen = weights_after_each_epoch(stop, others, epochs=4)

    assert len(seen) == {"patience": 3, "end": 4, "other": 2}[case]
    assert stop.best_epoch == 0
    for now, best, last in zip(model.get_weights(), seen[0], seen[-1], strict=True):
        assert np.array_equal(now, best)
        assert not np.array_equal(now, last)


def test_after_terminate_on_nan_within_an_epoch_the_best_weights_are_restored(capsys):
    model = small_model()
    spoil = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: (
            model.set_weights([np.full((2, 1), np.nan), np.zeros(1)]) if epoch == 2 else None
        )
    )
    stop = EarlyStopping(patience=9, restore_best_weights=True)
    fit(
        model=model,
        callbacks=[spoil, TerminateOnNaN(), stop],
        validation_split=0.25,
        epochs=5,
    )

    assert model.history.epoch == [0, 1, 2]
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    assert "Batch 0: Invalid loss" in capsys.readouterr().out
