import sys
from types import SimpleNamespace

import pytest

from minikeras.utils import progress
from minikeras.utils.generic_utils import Progbar
from minikeras.utils.progress import Bar, Means
from tests.callbacks.driving import Terminal


class Clock:
    """Stands for the module `time`: it runs when it is told to."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def in_terminal(monkeypatch):
    """Make the standard output a terminal. (A fixture can't: pytest sets it before the test.)"""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    return terminal


@pytest.fixture
def notebook(monkeypatch):
    """A notebook's kernel, for those who ask: IPython is not installed."""
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    ipython = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)


def test_means_go_by_how_much_each_value_counts():
    means = Means(stateful=["recall"])

    means.add("loss", 1.0, 3)
    means.add("recall", 0.5, 3)
    means.add("loss", 5.0, 1)
    means.add("recall", 0.25, 1)
    means.add("late", 2.0, 1)
    means.add("at_the_end", 7.0, 0)

    assert means.values() == {"loss": 2.0, "recall": 0.25, "late": 2.0, "at_the_end": 7.0}


def test_a_bar_ends_with_its_context(capsys):
    with Bar(2) as bar:
        bar.add(2, {})
    assert capsys.readouterr().out.startswith("2/2 [===")

    with Bar(2) as bar:
        bar.close({"loss": 1.0})
    assert capsys.readouterr().out.count("\n") == 1


def test_a_bar_has_no_last_line_after_an_exception(capsys):
    with pytest.raises(ZeroDivisionError), Bar(2) as bar:
        bar.add(1 // 0, {})
    assert capsys.readouterr().out == ""


def test_the_bar_in_a_terminal_goes_away_at_an_exception(monkeypatch):
    terminal = in_terminal(monkeypatch)
    bar = Bar(2, interval=0)
    bar.add(1, {})
    with pytest.raises(ZeroDivisionError), bar:
        bar.add(1 // 0, {})

    assert "1/2 [==" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
    assert bar._bar.disable  # tqdm's word for a bar that was closed


def test_width_and_unit_are_those_asked_for(capsys):
    with Bar(4, "step", width=8) as bar:
        bar.add(2, {})
    assert capsys.readouterr().out.startswith("2/4 [====    ] - 0s ")

    with Bar(4, "step", width=8) as bar:
        bar.add(8, {})  # more than was said
    line = capsys.readouterr().out
    assert line.startswith("8/4 [========] - 0s ")
    assert line.endswith("/step\n")


def test_a_bar_without_an_end(capsys):
    with Bar(None) as bar:
        bar.add(7, {"loss": 1.0})
        assert capsys.readouterr().out == ""
    assert capsys.readouterr().out.startswith("7/Unknown - 0s ")


def test_a_bar_without_an_end_in_a_terminal(monkeypatch):
    terminal = in_terminal(monkeypatch)
    with Bar(None, interval=0) as bar:
        bar.add(7, {"loss": 1.0})

    assert "7/Unknown - 00:00, loss: 1.0000" in terminal.getvalue()


def test_the_bar_is_drawn_at_most_so_often(clock, monkeypatch):
    terminal = in_terminal(monkeypatch)
    bar = Bar(1000)
    for _ in range(1000):
        clock.now += 0.01
        bar.add(1, {"loss": 1.0})
    bar.close({"loss": 1.0})

    assert 90 <= terminal.getvalue().count("loss: ") <= 110
    assert terminal.getvalue().count("\n") == 1
    assert "1000/1000 [====" in terminal.getvalue().splitlines()[-1]


def test_a_long_run_is_drawn_more_seldom(clock, monkeypatch):
    terminal = in_terminal(monkeypatch)
    bar = Bar(100_000)
    for _ in range(100_000):
        clock.now += 3.6  # a hundred hours
        bar.add(1, {})
    bar.close({})

    # Every tenth of a second it would be drawn 100,000 times here, and 3,600,000 in general.
    assert 500 <= terminal.getvalue().count("ETA") <= 6000


def test_the_time_left_counts_from_the_beginning(clock, monkeypatch):
    terminal = in_terminal(monkeypatch)
    bar = Bar(100, interval=50)
    clock.now = 60.0
    bar.add(50, {})
    bar.close(None)

    # Half of the work has taken a minute.
    last = terminal.getvalue().rpartition("50/100")[2]
    assert "ETA: 01:00" in last or "ETA: 00:59" in last


def test_nothing_is_drawn_into_a_file(capsys, clock):
    bar = Bar(10)
    for _ in range(10):
        clock.now += 60
        bar.add(1, {"loss": 1.0})
    assert capsys.readouterr().out == ""
    bar.close({"loss": 1.0})

    out = capsys.readouterr().out
    assert out == f"10/10 [{'=' * 30}] - 600s 60s/sample - loss: 1.0000\n"


def test_a_notebook_gets_a_moving_bar_and_a_last_line(capsys, notebook, clock, monkeypatch):
    import tqdm.auto

    widgets = []

    class Widget(tqdm.auto.tqdm):
        def __init__(self, *args, **kwargs):
            widgets.append(kwargs)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(tqdm.auto, "tqdm", Widget)

    bar = Bar(4)
    bar.add(1, {"loss": 1.0})
    assert widgets == []  # quick epochs fill no notebook with widgets
    clock.now = 1.0
    bar.add(1, {"loss": 2.0})
    bar.close({"loss": 3.0})

    (made,) = widgets
    assert made["leave"] is False
    assert "{bar}" in made["bar_format"]  # tqdm's notebook puts the widget there
    out = capsys.readouterr().out
    assert "2/4 [" in out
    assert "loss: 1.5000" in out
    assert out.splitlines()[-1].startswith("2/4 [===============               ] - 1s")
    assert out.endswith("loss: 3.0000\n")


def test_a_shell_without_a_kernel_is_no_notebook(capsys, monkeypatch):
    shells = [None, SimpleNamespace(config={}), SimpleNamespace()]
    for shell in shells:
        ipython = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        assert not Bar(3).live


# Keras' own interface


def test_progbar_at_its_address():
    from minikeras.utils import generic_utils

    assert generic_utils.Progbar is progress.Progbar


def test_progbar_prints_its_line_when_the_target_is_reached(capsys):
    bar = Progbar(10, width=5)
    bar.update(4, [("loss", 1.0)])
    bar.update(6)
    assert capsys.readouterr().out == ""
    bar.update(10, [("loss", 2.0), ("acc", 0.0001)])

    out = capsys.readouterr().out
    assert out.startswith("10/10 [=====] - 0s ")
    assert out.endswith("/step - loss: 1.5000 - acc: 1.0000e-04\n")


def test_progbar_adds(capsys):
    bar = Progbar(3)
    for loss in (1.0, 2.0, 3.0):
        bar.add(1, values=[("loss", loss)])

    assert capsys.readouterr().out.endswith("loss: 2.0000\n")


def test_progbar_takes_results_that_come_after_the_end(capsys):
    bar = Progbar(2)
    bar.update(2, [("loss", 1.0)])
    bar.update(2, [("val_loss", 3.0)])

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("loss: 1.0000 - val_loss: 3.0000")


def test_progbar_shows_the_last_value_of_stateful_metrics(capsys):
    bar = Progbar(2, stateful_metrics=["recall"])
    bar.add(1, [("recall", 0.75)])
    bar.add(1, [("recall", 0.25)])

    assert capsys.readouterr().out.endswith("recall: 0.2500\n")


def test_progbar_verbose_0_is_silent(monkeypatch):
    terminal = in_terminal(monkeypatch)
    for target in (2, None):
        bar = Progbar(target, verbose=0, interval=0)
        bar.add(1, [("loss", 1.0)])
        bar.add(1, [("loss", 1.0)])

    assert terminal.getvalue() == ""


def test_progbar_verbose_2_is_a_line_of_results(monkeypatch):
    terminal = in_terminal(monkeypatch)
    bar = Progbar(2, verbose=2, interval=0)
    bar.add(1, [("loss", 1.0)])
    assert terminal.getvalue() == ""
    bar.add(1, [("loss", 2.0)])
    assert terminal.getvalue() == " - 0s - loss: 1.5000\n"

    bar = Progbar(None, verbose=2)
    bar.add(1, [("loss", 1.0)])
    bar.add(1)
    assert terminal.getvalue().count(" - 0s - loss: 1.0000\n") == 2


def test_progbar_moves_in_a_terminal(clock, monkeypatch):
    terminal = in_terminal(monkeypatch)
    bar = Progbar(100, interval=0.5)
    for _ in range(100):
        clock.now += 0.1
        bar.add(1, [("loss", 1.0)])

    assert 15 <= terminal.getvalue().count("loss: 1.0000") <= 25
    assert terminal.getvalue().splitlines()[-1].startswith("100/100 [====")


def test_progbar_without_a_target_in_a_terminal(monkeypatch):
    terminal = in_terminal(monkeypatch)
    bar = Progbar(None, interval=0)
    bar.update(3, [("loss", 1.0)])

    assert "3/Unknown - 00:00, loss: 1.0000" in terminal.getvalue()
    assert "\n" not in terminal.getvalue()


def test_progbar_without_a_target_in_a_file_is_bounded(capsys, clock):
    bar = Progbar(None)
    for _ in range(100_000):
        bar.add(1, [("loss", 1.0)])
        clock.now += 0.1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1/Unknown - 0s")
    assert 10 <= len(lines) <= 30


def test_progbar_checks_verbose():
    with pytest.raises(ValueError, match="verbose must be 0, 1 or 2, got 3"):
        Progbar(2, verbose=3)
