import io
import sys

import numpy as np
import pytest

from minikeras.callbacks import (
    BaseLogger,
    Callback,
    CallbackList,
    LambdaCallback,
    Logs,
    ProgbarLogger,
)
from minikeras.layers import Dense
from minikeras.models import Sequential
from minikeras.utils.progress import Bar


class Terminal(io.StringIO):
    """What looks like a terminal to those who ask."""

    def isatty(self):
        return True


def fit(verbose, **kwargs):
    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse", metrics=["mae"])
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 2))
    model.fit(x, x[:, 0], batch_size=5, epochs=2, verbose=verbose, **kwargs)
    return model, x


def test_logs_keep_one_spelling_and_find_both():
    logs = Logs(val_acc=0.25)

    assert logs["val_accuracy"] == 0.25
    assert logs.get("val_accuracy", 1) == 0.25
    assert logs.get("accuracy", 1) == 1
    assert "val_accuracy" in logs
    assert "accuracy" not in logs
    with pytest.raises(KeyError):
        logs["acc"]
    assert dict(logs) == {"val_acc": 0.25}


@pytest.mark.parametrize(("stored", "other"), [("acc", "accuracy"), ("val_accuracy", "val_acc")])
def test_logs_change_the_spelling_that_is_stored(stored, other):
    logs = Logs({stored: [1]})

    logs.setdefault(other, []).append(2)
    assert dict(logs) == {stored: [1, 2]}
    logs[other] = 3
    assert dict(logs) == {stored: 3}
    logs.update({other: 4})
    assert dict(logs) == {stored: 4}
    assert logs.pop(other) == 4
    assert logs.pop(other, None) is None
    assert dict(logs) == {}
    with pytest.raises(KeyError, match=other):
        logs.pop(other)
    logs[stored] = 5
    del logs[other]
    assert dict(logs) == {}


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
    model, _ = fit(verbose)
    assert model.history.epoch == [0, 1]


def test_a_bar_ends_with_its_context(capsys):
    with Bar(2) as bar:
        bar.add(2, {})
    assert capsys.readouterr().out.startswith("2/2 [===")

    with Bar(2) as bar:
        bar.close({"loss": 1.0})
    assert capsys.readouterr().out.count("\n") == 1


def test_a_bar_has_no_last_line_after_an_exception(capsys, monkeypatch):
    with pytest.raises(ZeroDivisionError), Bar(2) as bar:
        bar.add(1 // 0, {})
    assert capsys.readouterr().out == ""

    monkeypatch.setattr(sys, "stdout", Terminal())
    with pytest.raises(ZeroDivisionError), Bar(2) as bar:
        bar.add(1 // 0, {})
    assert bar._bar.disable  # tqdm's word for a bar that was closed


def test_the_bar_is_drawn_at_most_so_often(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(Bar, "INTERVAL", 3600.0)

    bar = Bar(1000)
    for _ in range(1000):
        bar.add(1, {"loss": 1.0})
    bar.close({"loss": 1.0})

    assert terminal.getvalue().count("\r") < 10
    assert "1000/1000" in terminal.getvalue()


def test_verbose_2_is_one_line_an_epoch(capsys):
    fit(2)

    out = capsys.readouterr().out.splitlines()
    assert [line for line in out if " - loss: " in line and "mean_absolute_error" in line] == [
        out[2],
        out[4],
    ]


def test_evaluate_and_predict_show_a_bar_when_asked(capsys):
    model, x = fit(0)

    model.evaluate(x, x[:, 0], verbose=1)
    assert capsys.readouterr().out.startswith("20/20 [===")
    model.predict(x, verbose=1)
    assert capsys.readouterr().out.startswith("20/20 [===")
    model.evaluate(x, x[:, 0], verbose=0)
    model.predict(x)
    assert capsys.readouterr().out == ""


def test_only_hooks_that_are_defined_are_called():
    class Mine(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.seen = epoch

    mine = Mine()
    calls = CallbackList([mine, Callback()], model=None, params={})

    calls("on_epoch_end", 4, {})

    assert mine.seen == 4


def test_a_hook_that_is_assigned_on_train_begin_is_called():
    seen = []

    class Late(Callback):
        def on_train_begin(self, logs=None):
            self.on_epoch_end = lambda epoch, logs: seen.append(epoch)

    fit(0, callbacks=[Late()])

    assert seen == [0, 1]


def test_later_names_of_the_batch_hooks():
    seen = []

    class Mine(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    fit(0, callbacks=[Mine()])

    assert seen == [0, 1, 2, 3] * 2


def test_callbacks_need_not_be_subclasses():
    seen = []

    class Duck:
        def set_params(self, params):
            self.params = params

        def set_model(self, model):
            self.model = model

        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, self.params["samples"]))

    fit(0, callbacks=[Duck()])

    assert seen == [(0, 20), (1, 20)]


def test_lambda_callback_calls_each_function():
    seen = []
    hooks = ("on_train_begin", "on_epoch_begin", "on_batch_begin")
    ends = ("on_batch_end", "on_epoch_end", "on_train_end")
    names = (*hooks, *ends)
    functions = {name: (lambda *args, name=name: seen.append(name)) for name in names}

    fit(0, callbacks=[LambdaCallback(**functions, note=3)])

    assert list(dict.fromkeys(seen)) == list(names)
    assert LambdaCallback(note=3).note == 3


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


def test_progbar_logger_counts_steps(capsys):
    fit(1, callbacks=[ProgbarLogger("steps")])

    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("4/4 [====") and "/step - loss: " in line for line in lines) == 2


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
