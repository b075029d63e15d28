import json

import numpy as np
import pytest

from minikeras.callbacks import BaseLogger, Callback, History
from tests.callbacks.driving import fit


def test_base_logger_averages_by_size():
    logger = BaseLogger()
    logger.set_params({"metrics": ["loss"]})
    logger.on_epoch_begin(0)
    logger.on_batch_end(0, {"size": 3, "loss": 1.0})
    logger.on_batch_end(1, {"size": 1, "loss": 5.0})
    logs = {}

    logger.on_epoch_end(0, logs)

    assert logs == {"loss": 2.0}


def test_base_logger_reports_the_last_value_of_stateful_metrics():
    logger = BaseLogger(stateful_metrics=["recall"])
    logger.set_params({"metrics": ["loss", "recall"]})
    logger.on_epoch_begin(0)
    logger.on_batch_end(0, {"size": 3, "loss": 1.0, "recall": 0.25})
    logger.on_batch_end(1, {"size": 1, "loss": 5.0, "recall": 0.75})
    logs = {}

    logger.on_epoch_end(0, logs)

    assert logs == {"loss": 2.0, "recall": 0.75}


def test_history_holds_plain_numbers_whatever_callbacks_report():
    class Adds(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["lr"] = self.model.optimizer.lr
            logs["single"] = np.float32(0.5)
            logs["double"] = np.float64(0.5)
            logs["array"] = np.array([1.0, 2.0], np.float32)

    history = fit(callbacks=[Adds()], validation_split=0.25).history

    assert type(history.history["lr"][0]) is float
    for name in ("loss", "val_loss", "mean_absolute_error", "single", "double"):
        assert [type(value) for value in history.history[name]] == [float, float]
    assert history.history["lr"] == [0.01, 0.01]
    assert json.loads(json.dumps(history.history))["array"] == [[1.0, 2.0]] * 2
    assert history.epoch == [0, 1]


def test_history_starts_anew_with_each_training():
    history = History()
    history.on_epoch_end(0, {"loss": 1.0})
    history.on_train_begin()

    assert history.epoch == []
    assert history.history == {}


@pytest.mark.parametrize("spelling", ["acc", "accuracy"])
def test_history_finds_both_spellings(spelling):
    history = History()
    history.on_epoch_end(0, {"acc": np.float32(0.5)})
    history.on_epoch_end(1, {"accuracy": 0.75})

    assert history.history[spelling] == [0.5, 0.75]
