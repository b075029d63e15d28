import math

import numpy as np
import pytest

from minikeras.callbacks import CSVLogger, LambdaCallback, LearningRateScheduler
from tests.callbacks.driving import drive, fit, small_model


def rows(path, separator=","):
    return [line.split(separator) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.csv"


def test_columns_are_the_epoch_and_the_results_in_order(path):
    model = fit(
        callbacks=[LearningRateScheduler(lambda epoch: 0.5), CSVLogger(str(path))],
        validation_split=0.25,
    )

    table = rows(path)
    assert table[0] == [
        "epoch",
        "loss",
        "lr",
        "mean_absolute_error",
        "val_loss",
        "val_mean_absolute_error",
    ]
    assert [row[0] for row in table[1:]] == ["0", "1"]
    for column, name in enumerate(table[0][1:], 1):
        assert [float(row[column]) for row in table[1:]] == model.history.history[name]


def test_the_bytes_are_those_of_keras(path):
    drive(CSVLogger(path), [{"loss": 0.5, "acc": np.float32(0.25), "note": "a,b"}])

    assert path.read_bytes() == b'epoch,acc,loss,note\r\n0,0.25,0.5,"a,b"\r\n'


def test_separator(path):
    drive(CSVLogger(path, separator=";"), [{"loss": 0.5}])

    assert rows(path, ";") == [["epoch", "loss"], ["0", "0.5"]]


@pytest.mark.parametrize(("wrong", "error"), [("", ValueError), ("ab", ValueError), (1, TypeError)])
def test_a_separator_is_one_character(path, wrong, error):
    with pytest.raises(error, match="separator must be"):
        CSVLogger(path, separator=wrong)


def test_a_file_is_started_anew_unless_it_is_appended_to(path):
    for _ in range(2):
        drive(CSVLogger(path), [{"loss": 0.5}])
    assert rows(path) == [["epoch", "loss"], ["0", "0.5"]]

    for _ in range(2):
        drive(CSVLogger(path, append=True), [{"loss": 0.25}])
    assert rows(path) == [["epoch", "loss"], ["0", "0.5"], ["0", "0.25"], ["0", "0.25"]]


def test_appending_to_no_file_or_an_empty_one_writes_a_header(path):
    drive(CSVLogger(path, append=True), [{"loss": 0.5}])
    assert rows(path)[0] == ["epoch", "loss"]

    path.write_text("")
    drive(CSVLogger(path, append=True), [{"loss": 0.5}])
    assert rows(path) == [["epoch", "loss"], ["0", "0.5"]]


def test_an_instance_can_be_used_again(path):
    logger = CSVLogger(path)
    drive(logger, [{"loss": 0.5}])
    drive(logger, [{"acc": 0.25}])

    assert rows(path) == [["epoch", "acc"], ["0", "0.25"]]


def test_an_epoch_that_is_stopped_early_has_na(path):
    stop = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: setattr(stop, "late", epoch == 1),
        on_batch_end=lambda batch, logs: setattr(stop.model, "stop_training", stop.late),
    )
    fit(callbacks=[stop, CSVLogger(path)], epochs=5, validation_split=0.25)

    table = rows(path)
    assert len(table) == 3
    assert table[1][3] not in ("NA", "nan")
    assert table[2][3:] == ["NA", "NA"]


def test_what_is_promised_has_a_column_from_the_first_epoch(path):
    epochs = [{"loss": 1.0}, {"loss": 0.5, "val_loss": 2.0}]
    drive(CSVLogger(path), epochs, promised=["loss", "val_loss"])

    assert rows(path) == [["epoch", "loss", "val_loss"], ["0", "1.0", "NA"], ["1", "0.5", "2.0"]]


def test_results_without_a_column_are_left_out_with_one_warning(path):
    path.write_text("epoch,accuracy,val_loss\n0,0.5,1.0\n")

    with pytest.warns(UserWarning, match="has no column for loss, only for epoch, acc") as found:
        drive(CSVLogger(path, append=True), [{"acc": 0.75, "loss": 1.0}] * 2)

    assert len(found) == 1
    assert rows(path)[2:] == [["0", "0.75", "NA"], ["1", "0.75", "NA"]]


def test_values_of_several_entries_are_one_cell(path):
    drive(CSVLogger(path), [{"a": np.array([1, 2]), "b": np.array(3.5), "c": [4], "d": math.nan}])

    assert path.read_text().splitlines()[1] == '0,"""[1, 2]""",3.5,"""[4]""",nan'


def test_every_finished_epoch_is_there_when_a_training_fails(path):
    def fail(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    logger = CSVLogger(path)
    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=[logger, LambdaCallback(on_epoch_begin=fail)], epochs=5)

    assert [row[0] for row in rows(path)] == ["epoch", "0", "1"]
    path.unlink()  # nobody holds it: also on Windows


def test_a_file_that_cannot_be_written_is_an_error_before_the_training(tmp_path):
    model = small_model()
    before = model.get_weights()

    with pytest.raises(FileNotFoundError):
        fit(model=model, callbacks=[CSVLogger(tmp_path / "nowhere" / "log.csv")])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_line_that_a_crash_has_cut_stays_a_line_of_its_own(path):
    path.write_text("epoch,loss\n0,0.5\n1,0.2")
    fit(model=small_model(metrics=()), callbacks=[CSVLogger(path, append=True)], epochs=1)
    lines = path.read_text().splitlines()
    assert lines[:3] == ["epoch,loss", "0,0.5", "1,0.2"]
    assert lines[3].startswith("0,")
