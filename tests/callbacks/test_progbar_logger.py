"""What `fit` prints while it trains."""

import sys

import pytest

from minikeras.callbacks import LambdaCallback, ProgbarLogger
from minikeras.utils.progress import Bar
from tests.callbacks.driving import Terminal, fit, small_data


def test_verbose_0_prints_nothing(capsys):
    fit(0)

    assert capsys.readouterr() == ("", "")


def test_verbose_1_in_a_file_is_one_bar_an_epoch(capsys):
    fit(1, validation_split=0.25)

    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == "Train on 15 samples, validate on 5 samples"
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    bars = [line for line in lines if line.startswith("15/15 [====")]
    assert len(bars) == 2
    for name in ("loss: ", "mean_absolute_error: ", "val_loss: "):
        assert name in bars[0]
    assert len(lines) == 5


def test_verbose_1_in_a_terminal_moves_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(Bar, "INTERVAL", 0.0)

    fit(1)

    first_epoch = terminal.getvalue().split("Epoch 2/2")[0]
    for count in ("0/20", "5/20", "10/20", "15/20", "20/20"):
        assert count in first_epoch
    assert "loss: " in first_epoch


def test_quick_epochs_are_not_drawn_in_a_terminal(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(Bar, "INTERVAL", 3600.0)

    fit(1, epochs=20)

    lines = terminal.getvalue().splitlines()
    assert "\r" not in terminal.getvalue()
    assert len([line for line in lines if line]) == 40


class Tee:
    """A logger in the place of the standard output, that can write and nothing else."""

    def __init__(self):
        self.written = ""

    def write(self, text):
        self.written += text


@pytest.mark.parametrize("verbose", [1, 2])
def test_standard_output_may_be_a_tee_or_none(monkeypatch, verbose):
    tee = Tee()
    monkeypatch.setattr(sys, "stdout", tee)
    fit(verbose)
    assert tee.written.count("loss: ") == 2

    monkeypatch.setattr(sys, "stdout", None)
    assert fit(verbose).history.epoch == [0, 1]


def test_verbose_2_is_one_line_an_epoch(capsys):
    fit(2)

    out = capsys.readouterr().out.splitlines()
    assert sum(" - loss: " in line and "mean_absolute_error" in line for line in out) == 2
    assert not [line for line in out if "[==" in line]


def test_evaluate_and_predict_show_a_bar_when_asked(capsys):
    x, y = small_data()
    model = fit(0)

    model.evaluate(x, y, verbose=1)
    assert capsys.readouterr().out.startswith("20/20 [===")
    model.predict(x, verbose=1)
    assert capsys.readouterr().out.startswith("20/20 [===")
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    assert capsys.readouterr().out == ""


def test_progbar_logger_counts_steps(capsys):
    fit(1, callbacks=[ProgbarLogger("steps")])

    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("4/4 [====") and "/step - loss: " in line for line in lines) == 2


@pytest.mark.parametrize(
    ("mode", "params", "expected"),
    [
        ("samples", {"steps": 2}, "8/Unknown - "),
        ("steps", {"steps": 2}, "2/2 [======"),
        ("steps", {"steps": None}, "2/Unknown - "),
        ("steps", {"steps": None, "samples": 7, "batch_size": 4}, "2/2 [======"),
        ("samples", {"samples": 16}, "8/16 [===============               ]"),
    ],
)
def test_what_the_training_does_not_know_is_counted_without_an_end(mode, params, expected, capsys):
    logger = ProgbarLogger(mode)
    logger.set_params({"verbose": 1, "epochs": 1, "metrics": ["loss"], **params})

    logger.on_train_begin()
    logger.on_epoch_begin(0)
    for batch in range(2):
        logger.on_batch_end(batch, {"size": 4, "loss": 1.0})
    logger.on_epoch_end(0, {"loss": 2.0})

    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith(expected)
    assert line.endswith(" - loss: 2.0000")


def test_progbar_logger_shows_the_last_value_of_stateful_metrics(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(Bar, "INTERVAL", 0.0)
    logger = ProgbarLogger(stateful_metrics=["recall"])
    logger.set_params({"verbose": 1, "epochs": 1, "samples": 4, "metrics": ["loss", "recall"]})

    logger.on_train_begin()
    logger.on_epoch_begin(0)
    logger.on_batch_end(0, {"size": 2, "loss": 1.0, "recall": 0.25})
    logger.on_batch_end(1, {"size": 2, "loss": 2.0, "recall": 0.75})
    logger.close()

    assert "loss: 1.5000 - recall: 0.7500" in terminal.getvalue()


def test_progbar_logger_is_silent_where_fit_is(capsys):
    fit(0, callbacks=[ProgbarLogger()])

    assert capsys.readouterr().out == ""


def test_progbar_logger_counts_nothing_else():
    with pytest.raises(ValueError, match="'samples' or 'steps', got 'batches'"):
        ProgbarLogger("batches")


def test_an_interrupted_training_leaves_the_terminal_tidy(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(Bar, "INTERVAL", 0.0)

    def interrupt(batch, logs):
        if batch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(1, callbacks=[LambdaCallback(on_batch_end=interrupt)])

    assert terminal.getvalue().endswith("\r")
    assert "20/20" not in terminal.getvalue()
