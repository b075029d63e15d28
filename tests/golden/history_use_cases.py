"""Cases of histories.json: steps, stateful metrics, the methods besides `fit`, generators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .history_cases import Data, add, case, dense, digest, fit, sgd, tagger, told

SIZES = (8, 5, 8, 9)  # of the 30 samples


def classifier(keras: Any, data: Data, **given: Any) -> Any:
    model = dense(keras, data, 3, "softmax")
    given = {"metrics": ["accuracy"], **given}
    model.compile(sgd(keras), "categorical_crossentropy", **given)
    return model


# Steps: all arrays are one batch, over and over


@case()
def steps_with_arrays(keras: Any, data: Data) -> Any:
    model = classifier(keras, data)
    x, y = data.one_hot()
    return fit(model, x, y, batch_size=None, steps_per_epoch=3)


@case()
def steps_with_arrays_and_validation(keras: Any, data: Data) -> Any:
    model = classifier(keras, data, weighted_metrics=["acc"])
    x, y = data.one_hot()
    held_out = (*data.one_hot(9), data.weights(9))
    given = {"steps_per_epoch": 2, "validation_steps": 3, "validation_data": held_out}
    return fit(model, x, y, batch_size=None, sample_weight=data.weights(30), **given)


@case()
def steps_in_evaluate_and_predict(keras: Any, data: Data) -> Any:
    model = classifier(keras, data, weighted_metrics=["acc"])
    x, y = data.one_hot(6)
    weighted = {"sample_weight": data.weights(6)}
    return [
        model.evaluate(x, y, steps=3, verbose=0),
        model.evaluate(x, y, steps=1, verbose=0, **weighted),
        model.predict(x, steps=2).tolist(),
    ]


# Metrics with a state


def true_positives(keras: Any, adds: bool = False) -> Any:
    """Counts over all batches since it was reset.

    With `adds` it reads the count and then adds to it. TensorFlow may do that in either order, so
    the numbers of Keras come from the other way.
    """
    K = keras.backend

    class TruePositives(keras.layers.Layer):
        def __init__(self, name: str = "true_positives", **given: Any) -> None:
            super().__init__(name=name, **given)
            self.stateful = True
            self.count = K.variable(0, dtype="int32")

        def reset_states(self) -> None:
            K.set_value(self.count, 0)

        def __call__(self, y_true: Any, y_pred: Any) -> Any:
            found = K.cast(K.sum(y_true * K.round(y_pred)), "int32")
            total = self.count + found
            update = K.update_add(self.count, found) if adds else K.update(self.count, total)
            self.add_update(update, inputs=[y_true, y_pred])
            return total

    return TruePositives()


def ratio(keras: Any) -> Any:
    """Right answers per sample: two counters."""
    K = keras.backend

    class Ratio(keras.layers.Layer):
        def __init__(self, **given: Any) -> None:
            super().__init__(name="ratio", **given)
            self.stateful = True
            self.right, self.seen = K.variable(0.0), K.variable(0.0)

        def reset_states(self) -> None:
            K.set_value(self.right, 0.0)
            K.set_value(self.seen, 0.0)

        def __call__(self, y_true: Any, y_pred: Any) -> Any:
            hits = K.sum(K.cast(K.equal(y_true, K.round(y_pred)), "float32"))
            size = K.sum(K.ones_like(y_true))
            right, seen = self.right + hits, self.seen + size
            updates = [K.update(self.right, right), K.update(self.seen, seen)]
            self.add_update(updates, inputs=[y_true, y_pred])
            return right / seen

    return Ratio()


def counting(keras: Any, data: Data, *metrics: Any) -> Any:
    model = dense(keras, data, 1, "sigmoid")
    model.compile(sgd(keras, 0.5), "binary_crossentropy", metrics=["acc", *metrics])
    return model


@case()
def stateful_metric(keras: Any, data: Data, adds: bool = False) -> Any:
    model = counting(keras, data, true_positives(keras, adds))
    x, y = data.binary()
    found = fit(model, x, y, validation_data=data.binary(21))
    return [found, model.evaluate(x, y, batch_size=7, verbose=0), model.metrics_names]


@case()
def stateful_metrics_of_two_counters(keras: Any, data: Data) -> Any:
    model = counting(keras, data, ratio(keras), "mse")
    x, y = data.binary()
    found = fit(model, x, y, validation_split=0.3)
    return [found, model.evaluate(x, y, batch_size=7, verbose=0), model.metrics_names]


@case()
def stateful_metric_batch_by_batch(keras: Any, data: Data) -> Any:
    """`train_on_batch` goes on counting, and so does `test_on_batch`."""
    model = counting(keras, data, true_positives(keras))
    x, y = data.binary()
    found = [model.train_on_batch(x[i : i + 8], y[i : i + 8]) for i in (0, 8, 16)]
    found += [model.test_on_batch(x[i : i + 8], y[i : i + 8]) for i in (0, 8)]
    found.append(model.evaluate(x, y, verbose=0))
    return found


@case()
def stateful_metric_in_steps(keras: Any, data: Data) -> Any:
    model = counting(keras, data, true_positives(keras))
    x, y = data.binary(12)
    given = {"steps_per_epoch": 2, "validation_steps": 3, "validation_data": data.binary(9)}
    found = fit(model, x, y, batch_size=None, **given)
    return [found, model.evaluate(x, y, steps=2, verbose=0)]


@case()
def stateful_metric_and_generators(keras: Any, data: Data) -> Any:
    model = counting(keras, data, true_positives(keras))
    arrays = data.binary()
    given = {"validation_data": stream(data.binary(), *SIZES), "validation_steps": 4}
    found = generated(model, stream(arrays, *SIZES), steps_per_epoch=4, **given)
    return [found, model.evaluate_generator(stream(arrays, *SIZES), steps=4, workers=0)]


# One batch, and no training


@case()
def batch_by_batch(keras: Any, data: Data) -> Any:
    model = classifier(keras, data, weighted_metrics=["acc"])
    x, y = data.one_hot(12)
    weights = {0: 0.5, 1: 2.0, 2: 1.0}
    return [
        model.train_on_batch(x, y),
        model.train_on_batch(x, y, sample_weight=data.weights(12)),
        model.train_on_batch(x, y, class_weight=weights),
        model.train_on_batch(x[:1], y[:1]),
        model.test_on_batch(x, y),
        model.test_on_batch(x, y, sample_weight=data.weights(12)),
        model.predict_on_batch(x).tolist(),
        digest(model.get_weights()),
    ]


@case()
def batch_by_batch_of_steps(keras: Any, data: Data) -> Any:
    model = tagger(keras, data)
    model.compile(
        keras.optimizers.RMSprop(0.05),
        "categorical_crossentropy",
        metrics=["acc"],
        sample_weight_mode="temporal",
        weighted_metrics=["acc"],
    )
    x, y = data.words(9)
    weights = data.weights(*y.shape[:2])
    found = [model.train_on_batch(x, y), model.train_on_batch(x, y, sample_weight=weights)]
    return [*found, model.test_on_batch(x, y, sample_weight=weights)]


@case()
def batch_by_batch_without_metrics(keras: Any, data: Data) -> Any:
    model = dense(keras, data)
    model.compile(keras.optimizers.Adam(0.05), "mae")
    x, y = data.regression()
    found = [model.train_on_batch(x, y), model.train_on_batch(x, y), model.test_on_batch(x, y)]
    return [*found, model.evaluate(x, y, batch_size=7, verbose=0)]


@case()
def evaluate_in_batches(keras: Any, data: Data) -> Any:
    """A mean of batches' results, each of which is weighted by its own."""
    model = classifier(keras, data, weighted_metrics=["acc", "mse"])
    x, y = data.one_hot()
    weights = data.weights(30)
    return [
        model.evaluate(x, y, batch_size=size, sample_weight=given, verbose=0)
        for given in (None, weights)
        for size in (None, 7, 10, 30, 64)
    ]


@case()
def predict_in_batches(keras: Any, data: Data) -> Any:
    model = classifier(keras, data)
    x = data.x(10)
    return [
        model.predict(x, batch_size=4).tolist(),
        model.predict_classes(x, batch_size=3).tolist(),
        model.predict_proba(x).tolist(),
    ]


# Generators


def stream(arrays: tuple, *sizes: int) -> Iterator[tuple]:
    """Batches of these sizes, again and again."""
    while True:
        begin = 0
        for size in sizes:
            yield tuple(array[begin : begin + size] for array in arrays)
            begin += size


def sequence(keras: Any, arrays: tuple, size: int) -> Any:
    """Batches of one size, the last of which may be short."""

    class Batches(keras.utils.Sequence):
        def __len__(self) -> int:
            return math.ceil(len(arrays[0]) / size)

        def __getitem__(self, index: int) -> tuple:
            return tuple(array[index * size : (index + 1) * size] for array in arrays)

    return Batches()


def generated(model: Any, batches: Any, epochs: int = 3, workers: int = 0, **given: Any) -> Any:
    given = {"verbose": 0, "shuffle": False, **given}
    return told(model, model.fit_generator(batches, epochs=epochs, workers=workers, **given))


def add_generated(
    name: str,
    batches: Callable[[Any, Data], Any],
    held_out: Callable[[Any, Data], Any] | None = None,
    instead: Callable[[Any, Data], Any] | None = None,
    why: str = "",
    **given: Any,
) -> None:
    """A classifier that is trained by a generator, and validated by what `held_out` makes."""

    def run(keras: Any, data: Data) -> Any:
        model = classifier(keras, data, weighted_metrics=["acc"])
        source = batches(keras, data)
        if held_out is not None:
            given["validation_data"] = held_out(keras, data)
        return generated(model, source, **given)

    add(name, run, instead=instead, why=why)


def pairs(keras: Any, data: Data) -> Any:
    return stream(data.one_hot(), *SIZES)


def triples(keras: Any, data: Data) -> Any:
    return stream((*data.one_hot(), data.weights(30)), *SIZES)


def lists(keras: Any, data: Data) -> Any:
    return (([x], [y]) for x, y in pairs(keras, data))


def pair_sequence(keras: Any, data: Data) -> Any:
    return sequence(keras, data.one_hot(), 8)


def triple_sequence(keras: Any, data: Data) -> Any:
    return sequence(keras, (*data.one_hot(), data.weights(30)), 8)


def held_pair(keras: Any, data: Data) -> Any:
    return data.one_hot(21)


def held_triple(keras: Any, data: Data) -> Any:
    return (*data.one_hot(21), data.weights(21))


def arrays_in_eights(keras: Any, data: Data) -> Any:
    """The same with arrays."""
    model = classifier(keras, data, weighted_metrics=["acc"])
    x, y = data.one_hot()
    weights = data.weights(30)
    return fit(model, x, y, sample_weight=weights, validation_data=held_triple(keras, data))


def first_of_validation(keras: Any, data: Data) -> Any:
    """The same with arrays: the first two batches of what is held out."""
    model = classifier(keras, data, weighted_metrics=["acc"])
    x, y = data.one_hot()
    held_out = tuple(array[:16] for array in data.one_hot())
    return fit(model, x, y, validation_data=held_out)


CUT = "2.2.4 cuts the validation arrays by the size of the last batch of training, which was short"
ON = "2.2.4 goes on where the last epoch's validation ended, so epochs can't be compared"
CLASS_WEIGHT = {0: 0.5, 1: 2.0, 2: 1.0}
for workers in (0, 1):
    end = f"_{workers}_workers"
    many: dict[str, Any] = {"steps_per_epoch": 4, "workers": workers}
    few: dict[str, Any] = {"workers": workers}
    add_generated(f"generator{end}", pairs, **many)
    add_generated(f"generator_weights{end}", triples, held_pair, **many)
    add_generated(f"generator_in_generator{end}", pairs, triples, **many, validation_steps=4)
    add_generated(f"generator_sequence{end}", pairs, triple_sequence, **many)
    add_generated(f"sequence{end}", pair_sequence, **few)
    add_generated(
        f"sequence_weights{end}", triple_sequence, held_triple, arrays_in_eights, CUT, **few
    )
    add_generated(f"sequence_in_sequence{end}", pair_sequence, pair_sequence, **few)
    add_generated(f"sequence_generator{end}", pair_sequence, pairs, **few, validation_steps=3)
add_generated("generator_of_lists", lists, steps_per_epoch=4)
add_generated(
    "generator_class_weight", pairs, held_pair, steps_per_epoch=4, class_weight=CLASS_WEIGHT
)
add_generated("generator_goes_on", pairs, pairs, steps_per_epoch=3, validation_steps=3)
add_generated("generator_initial_epoch", pairs, steps_per_epoch=4, initial_epoch=2)
add_generated("sequence_class_weight", pair_sequence, class_weight=CLASS_WEIGHT)
part: dict[str, Any] = {"instead": first_of_validation, "why": ON, "validation_steps": 2}
add_generated("sequence_part_of_validation", pair_sequence, pair_sequence, **part)
add_generated("sequence_goes_on", pair_sequence, steps_per_epoch=3)
add_generated("sequence_goes_round", pair_sequence, steps_per_epoch=6)
# The validation arrays are cut by the size of the last batch of training, which is the largest.
add_generated("generator_validation_batches", pairs, held_triple, steps_per_epoch=4)


def add_used(name: str, batches: Callable[[Any, Data], Any], steps: int | None) -> None:
    def run(keras: Any, data: Data) -> Any:
        model = classifier(keras, data, weighted_metrics=["acc"])
        found = []
        for workers in (0, 1):
            given = {"steps": steps, "workers": workers}
            found.append(model.evaluate_generator(batches(keras, data), **given))
            found.append(model.predict_generator(batches(keras, data), **given).tolist())
        return found

    add(name, run)


add_used("use_generator", pairs, 4)
add_used("use_generator_weights", triples, 4)
add_used("use_generator_once", pairs, 1)
add_used("use_sequence", pair_sequence, None)
add_used("use_sequence_weights", triple_sequence, None)
add_used("use_sequence_part", pair_sequence, 2)


@case()
def predict_generator_of_inputs(keras: Any, data: Data) -> Any:
    model = classifier(keras, data)
    x = data.x(10)
    return model.predict_generator(iter([x[:4], x[4:8], x[8:]]), steps=3, workers=0).tolist()


# What later Keras does through fit, evaluate and predict. Weights without zeros, and the loss
# alone: later Keras divides by the number of samples, and calls metrics by the names given.


def later(model: Any, *batches: Any, **given: Any) -> Any:
    given = {"verbose": 0, "epochs": 3, "shuffle": False, **given}
    found = told(model, model.fit(*batches, **given))
    # 2.2.4 has the validation's results first, later Keras has them last.
    return {**found, "history": dict(sorted(found["history"].items()))}


def regressor(keras: Any, data: Data) -> Any:
    model = dense(keras, data)
    model.compile(sgd(keras), "mse")
    return model


@case(oracle="tf_keras")
def fit_sequence(keras: Any, data: Data) -> Any:
    return later(regressor(keras, data), sequence(keras, data.regression(), 8))


@case(oracle="tf_keras")
def fit_sequence_with_validation(keras: Any, data: Data) -> Any:
    held_out = sequence(keras, data.regression(21), 8)
    weights = data.weights(30) + 0.5
    batches = sequence(keras, (*data.regression(), weights), 8)
    return later(regressor(keras, data), batches, validation_data=held_out)


@case(oracle="tf_keras")
def fit_generator_by_steps(keras: Any, data: Data) -> Any:
    batches = stream(data.regression(), *SIZES)
    # Of a generator for validation, later Keras loses a batch between two epochs.
    given = {"steps_per_epoch": 4, "validation_data": data.regression(11)}
    return later(regressor(keras, data), batches, **given)


@case(oracle="tf_keras")
def evaluate_and_predict_sequence(keras: Any, data: Data) -> Any:
    model = regressor(keras, data)
    batches = sequence(keras, data.regression(21), 8)
    return [model.evaluate(batches, verbose=0), model.predict(batches, verbose=0).tolist()]
