import math
import os
from pathlib import Path

import numpy as np
import pytest

from minikeras.callbacks import Logs, ModelCheckpoint
from tests.callbacks.driving import FakeModel, drive, fit, losses, small_data, small_model


def saved(checkpoint, epochs, **kwargs):
    """Return the names of the files that were written."""
    return [path for _, path, _ in drive(checkpoint, epochs, **kwargs).saved]


def test_the_model_is_saved_after_each_epoch():
    model = drive(ModelCheckpoint("model.h5"), losses(1.0, 2.0))

    assert model.saved == [("model", "model.h5", True)] * 2


def test_save_weights_only():
    model = drive(ModelCheckpoint("w.h5", save_weights_only=True), losses(1.0))

    assert model.saved == [("weights", "w.h5", True)]


def test_save_best_only():
    best = ModelCheckpoint("{epoch}.h5", save_best_only=True)

    assert saved(best, losses(2.0, 3.0, 1.0, 1.0, math.nan, 0.5)) == ["1.h5", "3.h5", "6.h5"]
    assert best.best == 0.5


def test_the_best_value_is_kept_from_one_training_to_the_next():
    best = ModelCheckpoint("{epoch}.h5", save_best_only=True)

    assert saved(best, losses(2.0)) == ["1.h5"]
    assert saved(best, losses(3.0, 1.0)) == ["2.h5"]


def test_monitor_and_mode():
    def with_best(**kwargs):
        epochs = [
            {"loss": 1.0, "acc": 0.5},
            {"loss": 0.5, "acc": 0.25},
            {"loss": 0.75, "acc": 0.75},
        ]
        return saved(ModelCheckpoint("{epoch}", save_best_only=True, **kwargs), epochs)

    assert with_best(monitor="loss") == ["1", "2"]
    assert with_best(monitor="loss", mode="max") == ["1"]
    assert with_best(monitor="acc") == ["1", "3"]
    assert with_best(monitor="acc", mode="min") == ["1", "2"]


@pytest.mark.parametrize(("period", "expected"), [(1, "12345"), (2, "24"), (5, "5"), (6, "")])
def test_period(period, expected):
    assert "".join(saved(ModelCheckpoint("{epoch}", period=period), losses(*[1.0] * 5))) == expected


@pytest.mark.parametrize("best_only", [False, True])
def test_period_counts_on_from_one_training_to_the_next(best_only):
    checkpoint = ModelCheckpoint("{epoch}", period=3, save_best_only=best_only)

    assert saved(checkpoint, losses(1.0, 1.0)) == []
    assert saved(checkpoint, losses(1.0, 1.0)) == ["1"]


def test_results_in_the_name():
    checkpoint = ModelCheckpoint("w.{epoch:02d}-{val_loss:.2f}-{val_accuracy:.1f}.h5")

    assert checkpoint.file_for(6, {"val_loss": np.float32(0.123), "val_acc": 0.5}) == (
        "w.07-0.12-0.5.h5"
    )
    assert checkpoint.file_for(6, Logs(val_loss=1, val_accuracy=0.5)) == "w.07-1.00-0.5.h5"


def test_a_path_may_be_a_path():
    assert saved(ModelCheckpoint(Path("a") / "{epoch}.h5"), losses(1.0)) == [
        os.path.join("a", "1.h5")
    ]


def test_an_unknown_name_in_the_template_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match="names 'val_los', which is not reported. Known: epoch, "):
        saved(ModelCheckpoint("{val_los}.h5"), [{"loss": 1.0, "val_loss": 1.0}])


@pytest.mark.parametrize("template", ["{}.h5", "{0}", "{epoch:q}", "{epoch.name}", "{epoch"])
def test_a_template_that_is_none(template):
    with pytest.raises(ValueError, match="can't be filled in"):
        saved(ModelCheckpoint(template), losses(1.0))


def test_a_result_that_an_epoch_goes_without_is_nan():
    promised = ["loss", "val_loss", "val_acc"]
    checkpoint = ModelCheckpoint("{epoch}-{val_loss:.2f}-{val_accuracy}")

    assert saved(checkpoint, [{"loss": 1.0}], promised=promised) == ["1-nan-nan"]


def test_verbose_words_it_as_keras(capsys):
    drive(ModelCheckpoint("m.h5", verbose=1), losses(1.0))
    assert capsys.readouterr().out == "\nEpoch 00001: saving model to m.h5\n"

    drive(ModelCheckpoint("m.h5", verbose=1, save_best_only=True), losses(2.0, 3.0, 0.5))
    assert capsys.readouterr().out == (
        "\nEpoch 00001: val_loss improved from inf to 2.00000, saving model to m.h5\n"
        "\nEpoch 00002: val_loss did not improve from 2.00000\n"
        "\nEpoch 00003: val_loss improved from 2.00000 to 0.50000, saving model to m.h5\n"
    )
    drive(ModelCheckpoint("m.h5"), losses(1.0))
    drive(ModelCheckpoint("m.h5", save_best_only=True), losses(1.0, 2.0))
    assert capsys.readouterr().out == ""


def test_save_freq_counts_batches_over_epochs():
    checkpoint = ModelCheckpoint("{epoch}-{batch}-{loss:.1f}", save_freq=3)
    model = FakeModel()
    checkpoint.set_model(model)
    checkpoint.set_params({"metrics": ["loss", "val_loss"]})
    checkpoint.on_train_begin({})
    for epoch in range(2):
        checkpoint.on_epoch_begin(epoch, {})
        for batch in range(4):
            logs = {"batch": batch, "size": 5, "loss": batch / 2}
            checkpoint.on_batch_end(batch, logs)
            assert logs["batch"] == batch
        checkpoint.on_epoch_end(epoch, {"loss": 9.0})

    assert [path for _, path, _ in model.saved] == ["1-3-1.0", "2-2-0.5"]


def test_save_freq_with_the_best_only_and_a_wrong_name():
    best = ModelCheckpoint("{batch}", "loss", save_best_only=True, save_freq=1)
    best.set_model(FakeModel())
    for batch, loss in enumerate([2.0, 3.0, 1.0]):
        best.on_batch_end(batch, {"loss": loss})
    assert [path for _, path, _ in best.model.saved] == ["1", "3"]

    best = ModelCheckpoint("{batch}", save_best_only=True, save_freq=1)
    best.set_params({"metrics": ["loss", "val_loss"]})
    with pytest.warns(RuntimeWarning, match="There is no 'val_loss'"):  # no batch has one
        best.on_batch_end(0, {"loss": 1.0})

    wrong = ModelCheckpoint("{val_loss}", save_freq=1)
    wrong.set_params({"metrics": ["loss", "val_loss"]})
    with pytest.raises(ValueError, match="names 'val_loss', which is not reported"):
        wrong.on_batch_end(0, {"loss": 1.0})


@pytest.mark.parametrize("save_freq", ["batch", 0, -1, 1.5, True, None])
def test_save_freq_is_checked(save_freq):
    with pytest.raises(ValueError, match="save_freq must be 'epoch' or a number of batches"):
        ModelCheckpoint("m.h5", save_freq=save_freq)


def test_period_is_checked():
    with pytest.raises(ValueError, match="period must be at least 1, got 0"):
        ModelCheckpoint("m.h5", period=0)
    with pytest.raises(ValueError, match="period=2 counts epochs and save_freq=3 counts batches"):
        ModelCheckpoint("m.h5", period=2, save_freq=3)


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="initial_value_threshold"):
        ModelCheckpoint("m.h5", initial_value_threshold=1.0)


def test_real_files_can_be_loaded(tmp_path):
    from minikeras.models import load_model

    whole = ModelCheckpoint(tmp_path / "whole-{epoch}.h5")
    weights = ModelCheckpoint(tmp_path / "weights-{epoch}.h5", save_weights_only=True)
    model = fit(callbacks=[whole, weights])

    assert sorted(os.listdir(tmp_path)) == [
        f"{a}-{b}.h5" for a in ("weights", "whole") for b in "12"
    ]
    x, y = small_data()
    loaded = load_model(tmp_path / "whole-2.h5")
    assert np.array_equal(loaded.predict(x), model.predict(x))
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    other = small_model()
    other.load_weights(tmp_path / "weights-2.h5")
    assert np.array_equal(other.predict(x), model.predict(x))
    other.load_weights(tmp_path / "weights-1.h5")
    assert not np.array_equal(other.predict(x), model.predict(x))
