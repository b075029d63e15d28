"""Which value is watched, and which direction is better: for all callbacks that watch one."""

import math
import warnings

import numpy as np
import pytest

from minikeras.callbacks import EarlyStopping, Logs, ModelCheckpoint, ReduceLROnPlateau
from tests.callbacks.driving import drive, fit, losses

CLASSES = {
    EarlyStopping: lambda **kwargs: EarlyStopping(patience=9, **kwargs),
    ModelCheckpoint: lambda **kwargs: ModelCheckpoint("model.h5", save_best_only=True, **kwargs),
    ReduceLROnPlateau: lambda **kwargs: ReduceLROnPlateau(**kwargs),
}
watchers = pytest.mark.parametrize("make", CLASSES.values(), ids=lambda make: "")


@watchers
@pytest.mark.parametrize(
    ("monitor", "mode", "better"),
    [
        ("val_loss", "auto", np.less),
        ("val_acc", "auto", np.greater),
        ("accuracy", "auto", np.greater),
        ("top_k_categorical_accuracy", "auto", np.greater),
        ("fmeasure", "auto", np.greater),
        ("val_fmeasure", "auto", np.less),  # as in Keras: it asks for the beginning
        ("loss", "max", np.greater),
        ("acc", "min", np.less),
    ],
)
def test_direction(make, monitor, mode, better):
    watcher = make(monitor=monitor, mode=mode)

    assert watcher.monitor_op is better
    assert watcher.best == (math.inf if better is np.less else -math.inf)


@watchers
def test_an_unknown_mode_warns_and_is_auto(make):
    with pytest.warns(RuntimeWarning, match=r"mode 'most' is unknown \(known: auto, min, max\)"):
        watcher = make(monitor="val_acc", mode="most")

    assert (watcher.mode, watcher.monitor_op) == ("auto", np.greater)


def caught(callback, epochs, **kwargs):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        drive(callback, epochs, **kwargs)
    return [(w.category, str(w.message)) for w in found]


@watchers
def test_a_missing_result_warns_once_in_a_training(make):
    watcher = make()

    for _ in range(2):
        ((category, words),) = caught(watcher, [{"loss": 1.0, "acc": 0.5}] * 3)
        assert category is RuntimeWarning
        assert words.startswith(type(watcher).__name__)
        assert "pass validation_data or validation_split to fit, or monitor 'loss'" in words
        assert "Known: loss, acc" in words


@watchers
@pytest.mark.parametrize("reported", [{"loss": 1.0, "val_loss": 1.0}, {"loss": 1.0}, {}])
def test_a_misspelt_result_gets_no_such_hint(make, reported):
    watcher = make(monitor="val_los")

    ((_, words),) = caught(watcher, [reported])
    assert "validation_data" not in words
    assert "Unknown result to monitor 'val_los'" in words
    assert ("Did you mean 'val_loss'" in words) == ("val_loss" in reported)


@watchers
def test_what_is_promised_may_be_missing_in_an_epoch(make):
    """So it is if a training is stopped within an epoch, or does not always validate."""
    assert caught(make(), [{"loss": 1.0}] * 2, promised=["loss", "val_loss"]) == []
    assert caught(make(monitor="val_accuracy"), [{}], promised=["val_acc"]) == []


@watchers
def test_either_spelling_of_accuracy_is_found(make):
    watcher = make(monitor="val_accuracy")

    assert caught(watcher, [Logs(val_acc=0.5)]) == []
    assert watcher.best == 0.5


@watchers
def test_nothing_is_better_than_nan(make):
    watcher = make()

    drive(watcher, losses(math.nan, 1.0, math.nan))

    assert watcher.best == 1.0


def test_in_fit_the_hint_is_to_validate():
    with pytest.warns(RuntimeWarning, match="no 'val_loss' without validation") as found:
        model = fit(callbacks=[EarlyStopping()], epochs=3)

    assert len(found) == 1
    assert model.history.epoch == [0, 1, 2]
