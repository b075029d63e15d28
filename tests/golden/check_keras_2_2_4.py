"""Replays the golden files in Keras 2.2.4 itself, on today's TensorFlow in its version 1 mode.

Optional: the files come from tf-keras (generate.py); this shows that 2.2.4 agrees.

    golden-env/bin/pip install --no-deps --target keras224 keras==2.2.4 \
        keras-applications==1.0.8 keras-preprocessing==1.1.2 pyyaml six scipy
    golden-env/bin/python -m tests.golden.check_keras_2_2_4 keras224

Prints the largest relative difference of each file and every case above `TOLERANCE`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .reader import Case, FunctionCase, iter_cases, iter_functions, read_groups

TOLERANCE = 1e-5
# In float32 1 - 0.999 is 1.3e-5 below 0.001, and so are 2.2.4's second moments.
SLOT_TOLERANCE = 2e-5
Difference = tuple[str, float]


def import_keras(site: str) -> Any:
    """Import Keras 2.2.4 from the folder `site`, with the few old names that it needs."""
    os.environ.update(
        KERAS_BACKEND="tensorflow",
        TF_USE_LEGACY_KERAS="1",
        TF_CPP_MIN_LOG_LEVEL="3",
        TF_ENABLE_ONEDNN_OPTS="0",
    )
    import collections

    import tensorflow.compat.v1 as tf1
    from tensorflow.python.framework import ops
    from tensorflow.python.ops import control_flow_ops

    tf1.disable_v2_behavior()
    # Variables of the old kind may be overwritten while a gradient still needs them.
    tf1.enable_resource_variables()
    tf1.logging.set_verbosity("ERROR")
    for name in [n for n in sys.modules if n == "keras" or n.startswith("keras.")]:
        del sys.modules[name]
    sys.modules["tensorflow"] = tf1
    ops._TensorLike = (tf1.Tensor, tf1.Variable, tf1.SparseTensor)
    ops.is_dense_tensor_like = lambda x: isinstance(x, (tf1.Tensor, tf1.Variable))
    control_flow_ops.while_loop = tf1.while_loop
    # Keras gives it a tuple of tensors, and it takes one apart now.
    transposed = tf1.nn.atrous_conv2d_transpose
    tf1.nn.atrous_conv2d_transpose = lambda value, filters, output_shape, *rest: transposed(
        value, filters, tf1.stack(output_shape), *rest
    )
    collections.Iterable = Iterable  # type: ignore[attr-defined]
    sys.path.insert(0, site)
    import keras

    if keras.__version__ != "2.2.4":
        raise RuntimeError(f"expected Keras 2.2.4 in {site}, found {keras.__version__}")
    return keras


def distance(actual: Any, expected: Any) -> float:
    """Largest difference, relative to the largest expected magnitude."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if actual.shape != expected.shape:
        return float("inf")
    gap, scale = np.abs(actual - expected).max(initial=0), np.abs(expected).max(initial=0)
    return float(gap / scale if scale else gap)


def build(keras: Any, layers: list[dict[str, Any]]) -> Any:
    """The Sequential of a config list."""
    return keras.models.Sequential(
        [
            build(keras, entry["config"]["layers"])
            if entry["class_name"] == "Sequential"
            else getattr(keras.layers, entry["class_name"])(**entry["config"])
            for entry in layers
        ]
    )


def replay(keras: Any, case: Case) -> Iterator[Difference]:
    """Compare one network case, part by part."""
    K = keras.backend
    K.clear_session()
    K.set_image_data_format(case.image_data_format)
    model = build(keras, case.layers)
    model.set_weights(case.weights0)
    yield "output", distance(model.predict(case.x), case.output)
    if case.losses is None or case.optimizer is None:
        return
    optimizer = getattr(keras.optimizers, case.optimizer["class_name"])(**case.optimizer["config"])
    model.compile(optimizer, case.loss, sample_weight_mode=case.sample_weight_mode)
    if "output_training" in case.extra:
        run = K.function([model.input, K.learning_phase()], [model.output])
        yield "output_training", distance(run([case.x, 1])[0], case.extra["output_training"])
    losses = [model.train_on_batch(case.x, case.y, case.sample_weight) for _ in case.losses]
    yield "losses", distance(losses, case.losses)
    for i, (a, b) in enumerate(zip(model.get_weights(), case.weights5, strict=True)):
        yield f"weights5/{i}", distance(a, case.extra.get(f"weights5_tensorflow/{i}", b))
    if case.slots:
        for i, (a, b) in enumerate(zip(optimizer.get_weights(), case.slots, strict=True)):
            yield f"slots/{i}", distance(a, b)
    if "output5" in case.extra:
        model.set_weights(case.weights5)
        yield "output5", distance(model.predict(case.x), case.extra["output5"])


def call(keras: Any, case: FunctionCase) -> Iterator[Difference]:
    """Compare one function case."""
    K, arrays = keras.backend, case.arrays
    homes = (keras.activations, keras.losses, keras.metrics)
    function: Any = next(getattr(h, case.function) for h in homes if hasattr(h, case.function))
    activation = "x" in arrays
    given = ["x"] if activation else ["y_true", "y_pred"]
    result, upstream, derivative = (
        ("y", "dy", "dx") if activation else ("value", "dloss", "dy_pred")
    )
    inputs = [K.placeholder(shape=arrays[key].shape) for key in given]
    value = function(*inputs, **case.kwargs) + 0.0  # a placeholder itself can't be fetched
    feeds = [arrays[key] for key in given]
    actual = K.function(inputs, [value])(feeds)[0]
    if "top_k" in case.function:  # 2.2.4 gives the mean over the batch
        yield result, distance(actual, np.mean(arrays[result]))
    else:
        yield result, distance(actual, arrays[result])
    if upstream in arrays:
        slope = K.gradients(K.sum(value * K.constant(arrays[upstream])), inputs[-1:])
        yield derivative, distance(K.function(inputs, slope)(feeds)[0], arrays[derivative])


def accuracy_meaning(keras: Any, loss: str, shape: list[Any]) -> list[str]:
    """Which metric functions `metrics=["accuracy"]` calls, then the names it reports."""
    module = keras.engine.training.metrics_module
    called: list[str] = []

    def spy(name: str) -> Any:
        def metric(y_true: Any, y_pred: Any) -> Any:
            called.append(name)
            return keras.backend.mean(y_pred, -1)

        return metric

    names = ("binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")
    originals = {name: getattr(module, name) for name in names}
    for name in names:
        setattr(module, name, spy(name))
    try:
        dense = keras.layers.Dense(shape[-1], input_shape=(*shape[1:-1], 2))
        model = keras.models.Sequential([dense])
        model.compile("sgd", loss, metrics=["accuracy"])
    finally:
        for name, original in originals.items():
            setattr(module, name, original)
    return called + model.metrics_names


def accuracy_table(keras: Any) -> Iterator[Difference]:
    """Compare the table of what 'accuracy' stands for."""
    for row in json.loads(str(read_groups("metrics.npz")["accuracy_table"]["json"])):
        found = accuracy_meaning(keras, row["loss"], row["output_shape"])
        good = found == [row["metric"], "loss", row["name"]]
        yield f"accuracy_table {row}", 0.0 if good else float("inf")


def compare(keras: Any, path: str) -> Iterator[Difference]:
    """All comparisons of one file."""
    for case in iter_cases(path + ".npz"):
        yield from ((f"{case}: {part}", gap) for part, gap in replay(keras, case))
    for function in iter_functions(path + ".npz"):
        if function.name == "sparse_categorical_3d":
            continue  # 2.2.4 fails on steps: it compares (batch * steps,) with (batch, steps)
        yield from ((f"{function}: {part}", gap) for part, gap in call(keras, function))
    if path == "metrics":
        yield from accuracy_table(keras)


def main(site: str) -> None:
    """Check all files; exit with 1 if anything is over the tolerance."""
    keras = import_keras(site)
    found = 0
    for path in ("optimizers", "losses", "metrics", "activations", "layers", "convolution"):
        results = list(compare(keras, path))
        print(f"{path}: {len(results)} comparisons, at most {max(g for _, g in results):.1e}")
        for name, gap in results:
            if not gap <= (SLOT_TOLERANCE if ": slots" in name else TOLERANCE):
                found += 1
                print(f"  {path}/{name} differs by {gap:.1e}")
    sys.exit(found > 0)


if __name__ == "__main__":
    main(sys.argv[1])
