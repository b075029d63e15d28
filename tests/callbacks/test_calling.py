"""Which hooks are called, and of what."""

import copy
import pickle
import sys

import pytest

import minikeras
from minikeras import callbacks as cb
from minikeras.callbacks.base import HOOKS, LATER_NAMES
from tests.callbacks.driving import Terminal, fit, small_data, small_model

LATER = tuple(LATER_NAMES.values())
WITH_LOGS_ONLY = [name for name in HOOKS if name.split("_")[1] in ("train", "test", "predict")]
WITH_LOGS_ONLY = [name for name in WITH_LOGS_ONLY if "batch" not in name]


class Recorder:
    """A callback by its methods alone; it has all hooks."""

    def __init__(self):
        self.calls = []

    def set_params(self, params):
        self.params = params

    def set_model(self, model):
        self.model = model


def _record(name):
    return lambda self, *args: self.calls.append((name, *args))


for _name in HOOKS:
    setattr(Recorder, _name, _record(_name))


def test_only_hooks_that_are_defined_are_called():
    class Mine(cb.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.seen = epoch

    mine = Mine()
    calls = cb.CallbackList([mine, cb.Callback()], model=None, params={})

    calls("on_epoch_end", 4, {})

    assert mine.seen == 4
    assert {name: len(found) for name, found in calls._hooks.items() if found} == {
        "on_epoch_end": 1
    }


@pytest.mark.parametrize("name", [*HOOKS, *LATER])
def test_the_list_has_each_hook_as_a_method(name):
    recorder = Recorder()
    hooks = cb.CallbackList()
    hooks.append(recorder)
    stored = {later: first for first, later in LATER_NAMES.items()}.get(name, name)

    if name in WITH_LOGS_ONLY:
        getattr(hooks, name)()
        getattr(hooks, name)({"a": 1})
        assert recorder.calls == [(stored, {}), (stored, {"a": 1})]
    else:
        getattr(hooks, name)(3)
        getattr(hooks, name)(4, logs={"a": 1})
        assert recorder.calls == [(stored, 3, {}), (stored, 4, {"a": 1})]


def test_the_list_as_keras_has_it():
    first, second = Recorder(), Recorder()
    hooks = cb.CallbackList([first])
    hooks.append(second)
    hooks.set_params({"epochs": 1})
    hooks.set_model("model")

    assert list(hooks) == [first, second]
    assert first.params == second.params == {"epochs": 1}
    assert first.model == second.model == "model"


@pytest.mark.parametrize("wrong", [cb.History, "history", None])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(TypeError, match="callbacks holds"):
        cb.CallbackList([wrong])
    with pytest.raises(TypeError, match="callbacks holds"):
        cb.CallbackList().append(wrong)


def test_fit_calls_hooks_in_their_order():
    recorder = Recorder()

    fit(callbacks=[recorder], validation_split=0.25)

    train = ["on_batch_begin", "on_batch_end"] * 3
    test = ["on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"]
    epoch = ["on_epoch_begin", *train, *test, "on_epoch_end"]
    names = [call[0] for call in recorder.calls]
    assert names == ["on_train_begin", *epoch, *epoch, "on_train_end"]


@pytest.mark.parametrize("name", [*HOOKS, *LATER])
def test_each_hook_of_the_base_class_can_be_called_by_a_subclass(name):
    class Mine(cb.Callback):
        pass

    setattr(Mine, name, lambda self, *args: getattr(cb.Callback, name)(self, *args))

    getattr(Mine(), name)(*([{}] if name in WITH_LOGS_ONLY else [0, {}]))


@pytest.mark.parametrize(("first", "later"), LATER_NAMES.items())
def test_the_later_name_of_a_hook_calls_the_first(first, later):
    class Mine(cb.Callback):
        pass

    seen = []
    setattr(Mine, first, lambda self, batch, logs=None: seen.append((batch, logs)))

    getattr(Mine(), later)(2, {"loss": 1})
    assert seen == [(2, {"loss": 1})]


def test_later_names_of_the_batch_hooks():
    seen = []

    class Mine(cb.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            super().on_train_batch_begin(batch, logs)

        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)

        def on_batch_begin(self, batch, logs=None):
            seen.append(-batch)

        def on_batch_end(self, batch, logs=None):
            seen.append(batch)

    fit(callbacks=[Mine()])

    assert seen == [0, 0, -1, 1, -2, 2, -3, 3] * 2


def test_hooks_that_are_assigned_at_a_beginning_are_called():
    seen = []

    class Late(cb.Callback):
        def on_train_begin(self, logs=None):
            self.on_epoch_end = lambda epoch, logs: seen.append(epoch)

        def on_epoch_begin(self, epoch, logs=None):
            self.on_batch_end = lambda batch, logs: seen.append((epoch, batch))

    fit(callbacks=[Late()])

    assert seen == [*((0, i) for i in range(4)), 0, *((1, i) for i in range(4)), 1]


def test_callbacks_need_not_be_subclasses():
    seen = []

    class Duck:
        def set_params(self, params):
            self.params = params

        def set_model(self, model):
            self.model = model

        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, self.params["samples"]))

    fit(callbacks=[Duck()])

    assert seen == [(0, 20), (1, 20)]


def test_lambda_callback_calls_each_function():
    seen = []
    functions = {name: (lambda *args, name=name: seen.append(name)) for name in HOOKS}
    callback = cb.LambdaCallback(**functions, note=3)

    fit(callbacks=[callback], validation_split=0.25)

    assert set(seen) == {name for name in HOOKS if "predict" not in name}
    assert callback.note == 3
    callback.on_predict_end({})
    assert seen[-1] == "on_predict_end"


def test_lambda_callback_takes_later_names():
    seen = []

    fit(callbacks=[cb.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))])

    assert seen == [0, 1, 2, 3] * 2


def test_lambda_callback_has_all_hooks_and_refuses_others():
    cb.LambdaCallback(on_test_end=None).on_test_end({})
    with pytest.raises(TypeError, match="there is no hook 'on_epoch_stop'. Hooks: on_train_begin,"):
        cb.LambdaCallback(on_epoch_stop=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got 3"):
        cb.LambdaCallback(on_epoch_end=3)


@pytest.fixture
def tqdm_callback(monkeypatch):
    """Return tqdm's own callback, for which minikeras is Keras."""
    monkeypatch.setitem(sys.modules, "keras", minikeras)
    monkeypatch.delitem(sys.modules, "tqdm.keras", raising=False)
    from tqdm.keras import TqdmCallback

    yield TqdmCallback
    sys.modules.pop("tqdm.keras", None)


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_tqdm_callback_runs_as_it_is(tqdm_callback, verbose):
    screen = Terminal()
    callback = tqdm_callback(verbose=verbose, file=screen, mininterval=0)
    assert issubclass(tqdm_callback, cb.Callback)

    fit(callbacks=[callback], validation_split=0.25)

    assert callback.epoch_bar.n == callback.epoch_bar.total == 2
    assert "2/2" in screen.getvalue()
    assert "val_loss=" in screen.getvalue()
    if verbose:
        assert callback.batch_bar.n == callback.batch_bar.total == 15
        assert "loss=" in screen.getvalue().split("val_loss=")[0]
    if verbose == 2:  # a bar for each epoch, which stays
        assert screen.getvalue().count("3.0/3.0") >= 2


def test_tqdm_callback_with_sizes_of_its_own(tqdm_callback):
    callback = tqdm_callback(epochs=2, data_size=20, batch_size=5, file=Terminal())

    fit(callbacks=[callback])

    assert callback.batches == 4
    assert callback.epoch_bar.n == 2


def some_of_each(folder):
    return [
        cb.BackupAndRestore(folder),
        cb.BaseLogger(["recall"]),
        cb.CSVLogger(folder / "log.csv"),
        cb.Callback(),
        cb.EarlyStopping(patience=3),
        cb.History(),
        cb.LambdaCallback(on_epoch_end=print),
        cb.LearningRateScheduler(max),
        cb.ModelCheckpoint(folder / "model.h5"),
        cb.ProgbarLogger(),
        cb.ReduceLROnPlateau(),
        cb.RemoteMonitor(),
        cb.TerminateOnNaN(),
    ]


def test_callbacks_can_be_copied_and_pickled(tmp_path):
    for callback in some_of_each(tmp_path):
        for copied in (copy.deepcopy(callback), pickle.loads(pickle.dumps(callback))):
            assert type(copied) is type(callback)
            assert vars(copied).keys() == vars(callback).keys()
    stopping = pickle.loads(pickle.dumps(cb.EarlyStopping("val_acc", patience=3)))
    assert (stopping.patience, stopping.best) == (3, float("-inf"))
    assert stopping.monitor_op(2, 1)


def test_all_names_are_there():
    for name in cb.__all__:
        assert getattr(cb, name) is not None
    assert {type(c).__name__ for c in some_of_each(small_path())} < set(cb.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = cb.Nothing


def small_path():
    from pathlib import Path

    return Path("nowhere")


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_the_hooks_of_evaluate_and_predict(method):
    recorder = Recorder()
    x, y = small_data()
    data = (x, y) if method == "evaluate" else (x,)

    getattr(small_model(), method)(*data, batch_size=10, verbose=0, callbacks=[recorder])

    kind = "test" if method == "evaluate" else "predict"
    batches = [f"on_{kind}_batch_begin", f"on_{kind}_batch_end"] * 2
    assert [call[0] for call in recorder.calls] == [f"on_{kind}_begin", *batches, f"on_{kind}_end"]
