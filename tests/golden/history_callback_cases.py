"""Cases of histories.json: callbacks, what they are told and what they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .history_cases import Data, add, case, dense, digest, fit, network, sgd, told
from .history_use_cases import SIZES, classifier, generated, pair_sequence, sequence, stream

HOOKS = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end")
BATCH_HOOKS = ("on_batch_begin", "on_batch_end")
LATER_HOOKS = tuple(
    f"on_{phase}_{part}"
    for phase in ("train", "test", "predict")
    for part in ("begin", "end", "batch_begin", "batch_end")
)


def hooked(keras: Any, **hooks: Callable) -> Any:
    """A callback with these methods."""
    return type("Hooked", (keras.callbacks.Callback,), hooks)()


def recorder(keras: Any, events: list, hooks: tuple[str, ...] = HOOKS + BATCH_HOOKS) -> Any:
    """Writes down each hook with its number, if it has one, and the names in its logs."""

    def noting(hook: str) -> Callable:
        def note(self: Any, *given: Any, logs: Any = None) -> None:
            *number, logs = given if logs is None else (*given, logs)
            events.append([hook, *number, list(logs or {})])

        return note

    return hooked(keras, **{hook: noting(hook) for hook in hooks})


# What callbacks are told


@case()
def events_of_arrays(keras: Any, data: Data) -> Any:
    events: list = []
    found = fit(classifier(keras, data), *data.one_hot(), callbacks=[recorder(keras, events)])
    return [found, events]


@case()
def events_with_validation(keras: Any, data: Data) -> Any:
    events: list = []
    callbacks = [recorder(keras, events)]
    model = classifier(keras, data)
    found = fit(model, *data.one_hot(), epochs=2, callbacks=callbacks, validation_split=0.3)
    return [found, events]


@case()
def events_of_steps(keras: Any, data: Data) -> Any:
    events: list = []
    given = {"callbacks": [recorder(keras, events)], "batch_size": None, "steps_per_epoch": 2}
    return [fit(classifier(keras, data), *data.one_hot(9), **given), events]


@case()
def events_of_a_generator(keras: Any, data: Data) -> Any:
    events: list = []
    model = classifier(keras, data)
    given = {"callbacks": [recorder(keras, events)], "validation_data": data.one_hot(9)}
    batches = stream(data.one_hot(), *SIZES)
    return [generated(model, batches, 2, steps_per_epoch=4, **given), events]


@case()
def events_of_two_callbacks(keras: Any, data: Data) -> Any:
    """Each hook of the first comes before that of the second; an epoch's logs are handed on."""
    events: list = []

    def append(self: Any, epoch: int, logs: dict) -> None:
        logs["added"] = epoch * 2.0

    callbacks = [
        recorder(keras, events),
        hooked(keras, on_epoch_end=append),
        recorder(keras, events, HOOKS),
    ]
    found = fit(classifier(keras, data), *data.one_hot(9), epochs=2, callbacks=callbacks)
    return [found, events]


def add_params(name: str, make: Callable[[Any, Data], tuple], **given: Any) -> None:
    """What `params`, `validation_data` and the attributes of the model are in an epoch."""

    def run(keras: Any, data: Data) -> Any:
        seen: list = []

        def look(self: Any, epoch: int, logs: Any = None) -> None:
            # Where nothing is held out, 2.2.4 has an empty list or None.
            shapes = [list(np.shape(array)) for array in self.validation_data or []]
            here = [self.model.stop_training, self.model.history is not None]
            seen.append([dict(sorted(self.params.items())), shapes, *here])

        train = generated if "of_a_" in name else fit
        model = classifier(keras, data, weighted_metrics=["acc"])
        arrays = {key: make(keras, data) for key, make in given.items() if callable(make)}
        callbacks = [hooked(keras, on_epoch_begin=look)]
        train(model, *make(keras, data), **{**given, **arrays}, callbacks=callbacks)
        return seen

    add(name, run)


def arrays(keras: Any, data: Data) -> tuple:
    return data.one_hot()


def few_arrays(keras: Any, data: Data) -> tuple:
    return data.one_hot(11)


def a_generator(keras: Any, data: Data) -> tuple:
    return (stream(data.one_hot(), *SIZES),)


def a_sequence(keras: Any, data: Data) -> tuple:
    return (pair_sequence(keras, data),)


add_params("params_of_arrays", arrays)
add_params("params_with_validation", arrays, validation_data=few_arrays, initial_epoch=1)
add_params("params_of_steps", arrays, batch_size=None, steps_per_epoch=2)
add_params("params_of_a_generator", a_generator, steps_per_epoch=4, validation_data=few_arrays)
add_params("params_of_a_sequence", a_sequence, validation_data=pair_sequence)


@case()
def results_of_batches(keras: Any, data: Data) -> Any:
    """The results of each batch are its own; weights have changed when it ends."""
    seen: list = []

    def before(batch: int, logs: dict) -> None:
        seen.append([batch, logs["size"], digest(model.get_weights())])

    def after(batch: int, logs: dict) -> None:
        seen.append([logs["loss"] * 1.0, logs["acc"] * 1.0, digest(model.get_weights())])

    model = classifier(keras, data)
    callback = keras.callbacks.LambdaCallback(on_batch_begin=before, on_batch_end=after)
    found = fit(model, *data.one_hot(), epochs=2, callbacks=[callback])
    return [found, [[float(v) if isinstance(v, np.floating) else v for v in s] for s in seen]]


# Stopping


def stopping(keras: Any, hook: str, number: int, epoch: int = 0) -> Any:
    """Stops in a hook, in or after an epoch."""

    def count(self: Any, index: int, logs: Any = None) -> None:
        self.running = index

    def stop(self: Any, index: int, logs: Any = None) -> None:
        if index == number and getattr(self, "running", 0) >= epoch:
            self.model.stop_training = True

    return hooked(keras, **{"on_epoch_begin": count, hook: stop})


@case()
def stop_in_a_batch(keras: Any, data: Data) -> Any:
    given = {"callbacks": [stopping(keras, "on_batch_end", 1, 1)], "validation_split": 0.3}
    return fit(classifier(keras, data), *data.one_hot(), epochs=4, **given)


@case()
def stop_in_the_last_batch(keras: Any, data: Data) -> Any:
    given = {"callbacks": [stopping(keras, "on_batch_end", 3)], "validation_data": data.one_hot(9)}
    return fit(classifier(keras, data), *data.one_hot(), epochs=4, **given)


@case()
def stop_before_a_batch(keras: Any, data: Data) -> Any:
    """The batch is trained on, still."""
    given = {"callbacks": [stopping(keras, "on_batch_begin", 1)]}
    return fit(classifier(keras, data), *data.one_hot(), epochs=4, **given)


@case()
def stop_before_an_epoch(keras: Any, data: Data) -> Any:
    """One batch of it is trained on, still."""
    given = {"callbacks": [stopping(keras, "on_epoch_begin", 1)]}
    return fit(classifier(keras, data), *data.one_hot(), epochs=4, **given)


@case()
def stop_after_an_epoch_and_go_on(keras: Any, data: Data) -> Any:
    given = {"callbacks": [stopping(keras, "on_epoch_end", 1)], "validation_split": 0.3}
    model = classifier(keras, data)
    x, y = data.one_hot()
    return [fit(model, x, y, epochs=4, **given), fit(model, x, y, epochs=2)]


def stop_repeated_arrays(keras: Any, data: Data) -> Any:
    """The same with a large array: the epoch that is cut short has no results of validation."""
    held_out, callbacks = data.one_hot(9), [stopping(keras, "on_batch_end", 1, 1)]
    model = classifier(keras, data)
    x, y = (np.concatenate([array] * 3) for array in data.one_hot())
    given = {"validation_data": held_out, "callbacks": callbacks, "batch_size": 30}
    return fit(model, x, y, epochs=4, **given)


RULES = "2.2.4 has three loops and three rules; minikeras' one loop has that of fit on arrays"


@case(instead=stop_repeated_arrays, why=RULES)
def stop_in_steps(keras: Any, data: Data) -> Any:
    """2.2.4 looks at what is held out, although the epoch was cut short."""
    given = {"steps_per_epoch": 3, "validation_data": data.one_hot(9), "validation_steps": 1}
    given["callbacks"] = [stopping(keras, "on_batch_end", 1, 1)]
    return fit(classifier(keras, data), *data.one_hot(), batch_size=None, epochs=4, **given)


def stop_arrays_in_the_last_batch(keras: Any, data: Data) -> Any:
    held_out, callbacks = data.one_hot(9), [stopping(keras, "on_batch_end", 3, 1)]
    given = {"validation_data": held_out, "callbacks": callbacks}
    x, y = data.one_hot(32)
    return fit(classifier(keras, data), x, y, epochs=4, **given)


@case(instead=stop_arrays_in_the_last_batch, why=RULES)
def stop_a_generator_in_the_last_batch(keras: Any, data: Data) -> Any:
    """2.2.4 looks at what is held out before it stops."""
    given = {"validation_data": data.one_hot(9), "steps_per_epoch": 4}
    callbacks = [stopping(keras, "on_batch_end", 3, 1)]
    batches = stream(data.one_hot(32), 8, 8, 8, 8)
    return generated(classifier(keras, data), batches, 4, callbacks=callbacks, **given)


@case()
def stop_a_generator_in_the_first_epoch(keras: Any, data: Data) -> Any:
    given = {"validation_data": data.one_hot(9), "steps_per_epoch": 4}
    callbacks = [stopping(keras, "on_batch_end", 1)]
    batches = stream(data.one_hot(), *SIZES)
    return generated(classifier(keras, data), batches, 4, callbacks=callbacks, **given)


def stop_arrays(keras: Any, data: Data) -> Any:
    """The same run with arrays: the epoch that is cut short has no results of validation."""
    held_out, callbacks = data.one_hot(9), [stopping(keras, "on_batch_end", 1, 1)]
    x, y = data.one_hot(32)
    model = classifier(keras, data)
    return fit(model, x, y, epochs=4, callbacks=callbacks, validation_data=held_out)


@case(instead=stop_arrays, why="2.2.4 reports the results of the last epoch's validation again")
def stop_a_generator(keras: Any, data: Data) -> Any:
    held_out, callbacks = data.one_hot(9), [stopping(keras, "on_batch_end", 1, 1)]
    batches = stream(data.one_hot(32), 8, 8, 8, 8)
    given = {"validation_data": held_out, "steps_per_epoch": 4}
    return generated(classifier(keras, data), batches, 4, callbacks=callbacks, **given)


def add_nan(name: str, run_with: Callable[[Any, tuple, list], Any], scale: float) -> None:
    def run(keras: Any, data: Data) -> Any:
        events: list = []
        model = network(keras, data, keras.layers.Dense(1, input_shape=(3,)))
        model.compile(sgd(keras, scale), "mse")
        callbacks = [keras.callbacks.TerminateOnNaN(), recorder(keras, events)]
        found = run_with(model, data.regression(), callbacks)
        return [found["epoch"], found["history"], events]

    add(name, run)


def fit_until_nan(model: Any, arrays: tuple, callbacks: list) -> Any:
    return fit(model, *arrays, callbacks=callbacks, epochs=2, validation_split=0.2)


def generate_until_nan(model: Any, arrays: tuple, callbacks: list) -> Any:
    return generated(model, stream(arrays, *SIZES), 2, steps_per_epoch=4, callbacks=callbacks)


add_nan("terminate_on_nan", fit_until_nan, 1e15)
add_nan("terminate_on_nan_generator", generate_until_nan, 1e15)
add_nan("terminate_on_nan_not_needed", fit_until_nan, 0.1)


# Learning rates


def add_rate(name: str, make: Callable[[Any], list], epochs: int = 4, **given: Any) -> None:
    def run(keras: Any, data: Data) -> Any:
        model = dense(keras, data)
        model.compile(keras.optimizers.SGD(0.2, momentum=0.5), "mse", metrics=["mae"])
        held_out = data.regression(9)
        found = fit(
            model,
            *data.regression(),
            epochs=epochs,
            callbacks=make(keras),
            validation_data=held_out,
            **given,
        )
        return [found, float(keras.backend.get_value(model.optimizer.lr))]

    add(name, run)


def halving(keras: Any, hook: str) -> list:
    """Half the rate, by hand."""
    K = keras.backend

    def halve(self: Any, index: int, logs: Any = None) -> None:
        K.set_value(self.model.optimizer.lr, float(K.get_value(self.model.optimizer.lr)) / 2)

    return [hooked(keras, **{hook: halve})]


def plateau(**given: Any) -> Callable[[Any], list]:
    return lambda keras: [keras.callbacks.ReduceLROnPlateau(**given)]


add_rate(
    "schedule_of_epochs",
    lambda keras: [keras.callbacks.LearningRateScheduler(lambda epoch: 0.2 / (1 + epoch))],
)
add_rate(
    "schedule_of_epochs_and_rates",
    lambda keras: [keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.7)],
)
add_rate(
    "schedule_from_a_later_epoch",
    lambda keras: [keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * epoch)],
    initial_epoch=2,
)
add_rate("rate_changed_after_batches", lambda keras: halving(keras, "on_batch_end"), epochs=2)
add_rate("rate_changed_after_epochs", lambda keras: halving(keras, "on_epoch_end"))
add_rate("plateau", plateau(patience=2, min_delta=10.0, factor=0.5), epochs=8)
add_rate("plateau_of_defaults", plateau(patience=1))
add_rate("plateau_cooldown", plateau(patience=1, cooldown=2, min_delta=10.0), epochs=8)
add_rate(
    "plateau_least_rate", plateau(patience=1, min_lr=0.05, min_delta=10.0, factor=0.4), epochs=6
)
add_rate("plateau_of_loss", plateau(monitor="loss", patience=1, min_delta=10.0), epochs=5)
add_rate("plateau_upwards", plateau(monitor="loss", mode="max", patience=1, factor=0.5), epochs=5)
add_rate(
    "schedule_and_plateau",
    lambda keras: [
        keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr * 1.1),
        keras.callbacks.ReduceLROnPlateau(patience=1, min_delta=10.0, factor=0.5),
    ],
    epochs=5,
)


# Early stopping


def worsening(keras: Any, data: Data) -> tuple[Any, dict[str, Any]]:
    """A model, and data held out of which it knows less and less."""
    model = dense(keras, data, 1, "sigmoid")
    model.compile(sgd(keras), "binary_crossentropy", metrics=["acc"])
    x, y = data.binary()
    return model, {"x": x, "y": y, "validation_data": (x, 1 - y)}


def add_stopping(name: str, epochs: int = 8, **given: Any) -> None:
    def run(keras: Any, data: Data) -> Any:
        model, arrays = worsening(keras, data)
        callback = keras.callbacks.EarlyStopping(**given)
        found = fit(model, epochs=epochs, callbacks=[callback], **arrays)
        return [found, callback.stopped_epoch]

    add(name, run)


add_stopping("early_stopping")
add_stopping("early_stopping_patience", patience=2)
add_stopping("early_stopping_restores", patience=2, restore_best_weights=True)
add_stopping("early_stopping_not_needed", monitor="loss", epochs=3)
add_stopping("early_stopping_min_delta", monitor="loss", min_delta=0.02, patience=1)
add_stopping("early_stopping_upwards", monitor="val_loss", mode="max", epochs=4)
add_stopping("early_stopping_of_accuracy", monitor="acc", patience=2, min_delta=0.5)
add_stopping("early_stopping_baseline", monitor="loss", baseline=0.1, patience=2)
add_stopping("early_stopping_baseline_reached", monitor="loss", baseline=10.0, epochs=3)
add_stopping(
    "early_stopping_accuracy_restores", monitor="val_acc", patience=3, restore_best_weights=True
)


def best_of_three(keras: Any, data: Data) -> Any:
    """Three epochs, and the weights that the first one ended with."""
    weights: list = []
    model, arrays = worsening(keras, data)
    note = hooked(keras, on_epoch_end=lambda self, *_: weights.append(self.model.get_weights()))
    found = fit(model, callbacks=[note], **arrays)
    return {**found, "weights": digest(weights[0])}


@case(instead=best_of_three, why="2.2.4 restores only if it stops the training itself")
def early_stopping_restores_at_the_end(keras: Any, data: Data) -> Any:
    model, arrays = worsening(keras, data)
    callback = keras.callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    return fit(model, callbacks=[callback], **arrays)


@case()
def early_stopping_used_twice(keras: Any, data: Data) -> Any:
    model, arrays = worsening(keras, data)
    callback = keras.callbacks.EarlyStopping(patience=1)
    return [fit(model, epochs=5, callbacks=[callback], **arrays) for _ in range(2)]


# Files


def add_files(name: str, filename: str, epochs: int = 4, **given: Any) -> None:
    """After each epoch, which files there are; they are taken away then."""

    def run(keras: Any, data: Data) -> Any:
        seen: list = []

        def look(self: Any, epoch: int, logs: Any = None) -> None:
            seen.append(sorted(path.name for path in data.folder.iterdir()))
            for path in data.folder.iterdir():
                path.unlink()

        model, arrays = worsening(keras, data)
        checkpoint = keras.callbacks.ModelCheckpoint(str(data.folder / filename), **given)
        callbacks = [checkpoint, hooked(keras, on_epoch_end=look)]
        return [fit(model, epochs=epochs, callbacks=callbacks, **arrays), seen]

    add(name, run)


add_files("checkpoint", "model.h5")
add_files("checkpoint_of_weights", "w.{epoch:03d}-{val_loss:.2f}.hdf5", save_weights_only=True)
add_files("checkpoint_names", "{epoch}_{acc:.1f}_{loss:.3f}_{val_acc:.1f}.h5")
add_files("checkpoint_of_the_best", "best.h5", save_best_only=True)
add_files("checkpoint_of_the_best_loss", "b{epoch}.h5", save_best_only=True, monitor="loss")
add_files("checkpoint_of_the_largest", "b{epoch}.h5", save_best_only=True, mode="max")
add_files("checkpoint_of_the_best_accuracy", "b.h5", save_best_only=True, monitor="val_acc")
add_files("checkpoint_every_second", "{epoch}.h5", epochs=5, period=2)
add_files(
    "checkpoint_best_of_three", "{epoch}.h5", 7, period=3, save_best_only=True, monitor="loss"
)


def table(path: Any, separator: str = ",") -> Any:
    """The cells of a file; numbers as such. And how its lines end."""
    text = path.read_bytes().decode()

    def cell(word: str) -> Any:
        try:
            return int(word) if word.isdigit() else float(word)
        except ValueError:
            return word

    lines = [[cell(word) for word in line.split(separator)] for line in text.splitlines()]
    return [lines, text.count("\r\n"), text.count("\n")]


@case()
def csv(keras: Any, data: Data) -> Any:
    path = data.folder / "log.csv"
    model, arrays = worsening(keras, data)
    return [fit(model, callbacks=[keras.callbacks.CSVLogger(str(path))], **arrays), table(path)]


@case()
def csv_appended(keras: Any, data: Data) -> Any:
    path = data.folder / "log.csv"
    model, arrays = worsening(keras, data)
    for epochs in (2, 1):
        logger = keras.callbacks.CSVLogger(str(path), separator=";", append=True)
        fit(model, epochs=epochs, callbacks=[logger], **arrays)
    return table(path, ";")


@case()
def csv_written_anew(keras: Any, data: Data) -> Any:
    path = data.folder / "log.csv"
    path.write_text("old")
    model, arrays = worsening(keras, data)
    fit(model, epochs=1, callbacks=[keras.callbacks.CSVLogger(str(path))], **arrays)
    return table(path)


@case()
def csv_with_rates(keras: Any, data: Data) -> Any:
    """The rate of a callback before it; and `NA` for what an epoch that is cut short lacks."""
    path = data.folder / "log.csv"
    model, arrays = worsening(keras, data)
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / (1 + epoch)),
        stopping(keras, "on_batch_end", 1, 1),
        keras.callbacks.CSVLogger(str(path), separator="\t"),
    ]
    return [fit(model, epochs=4, callbacks=callbacks, **arrays), table(path, "\t")]


# Functions as callbacks


@case()
def functions_as_callbacks(keras: Any, data: Data) -> Any:
    events: list = []

    def note(hook: str) -> Callable:
        return lambda *given: events.append([hook, *given[:-1], list(given[-1])])

    hooks = {hook: note(hook) for hook in (*HOOKS, *BATCH_HOOKS)}
    callback = keras.callbacks.LambdaCallback(**hooks)
    return [fit(classifier(keras, data), *data.one_hot(9), callbacks=[callback]), events]


@case()
def a_history_of_ones_own(keras: Any, data: Data) -> Any:
    """A History that the user adds sees what comes before it in the list only."""
    history = keras.callbacks.History()

    def append(self: Any, epoch: int, logs: dict) -> None:
        logs["later"] = 1.0

    model = classifier(keras, data)
    callbacks = [history, hooked(keras, on_epoch_end=append)]
    found = fit(model, *data.one_hot(), callbacks=callbacks, validation_split=0.3)
    return [found, told(model, history), told(model, model.history)]


# The hooks of later Keras; the names in their logs are not compared


def later_events(keras: Any, use: Callable[[Any, tuple, list], Any], data: Data) -> list:
    events: list = []
    model = dense(keras, data)
    model.compile(sgd(keras), "mse")
    use(model, data.regression(21), [recorder(keras, events, LATER_HOOKS + HOOKS[2:])])
    return [event[:-1] for event in events]


@case(oracle="tf_keras")
def later_hooks(keras: Any, data: Data) -> Any:
    def use(model: Any, arrays: tuple, callbacks: list) -> None:
        given = {"validation_data": arrays, "callbacks": callbacks, "verbose": 0}
        model.fit(*arrays, batch_size=8, epochs=2, shuffle=False, **given)

    return later_events(keras, use, data)


@case(oracle="tf_keras")
def later_hooks_of_a_sequence(keras: Any, data: Data) -> Any:
    def use(model: Any, arrays: tuple, callbacks: list) -> None:
        batches = sequence(keras, arrays, 8)
        given = {"validation_data": batches, "callbacks": callbacks, "verbose": 0}
        model.fit(batches, epochs=2, shuffle=False, **given)

    return later_events(keras, use, data)


@case(oracle="tf_keras")
def later_hooks_of_evaluate(keras: Any, data: Data) -> Any:
    def use(model: Any, arrays: tuple, callbacks: list) -> None:
        model.evaluate(*arrays, batch_size=8, verbose=0, callbacks=callbacks)

    return later_events(keras, use, data)


@case(oracle="tf_keras")
def later_hooks_of_predict(keras: Any, data: Data) -> Any:
    def use(model: Any, arrays: tuple, callbacks: list) -> None:
        model.predict(arrays[0], batch_size=8, verbose=0, callbacks=callbacks)

    return later_events(keras, use, data)


@case(oracle="tf_keras")
def batch_hooks_by_either_name(keras: Any, data: Data) -> Any:
    """A callback with the old names of the hooks is called as well."""
    events: list = []
    model = dense(keras, data)
    model.compile(sgd(keras), "mse")
    callbacks = [
        recorder(keras, events, BATCH_HOOKS),
        recorder(keras, events, ("on_train_batch_begin", "on_train_batch_end")),
    ]
    model.fit(*data.regression(21), batch_size=8, verbose=0, shuffle=False, callbacks=callbacks)
    return [event[:-1] for event in events]
