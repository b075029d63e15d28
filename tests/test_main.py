"""`python -m minikeras script.py`: Keras scripts run as they are."""

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import numpy as np
import keras
import keras.backend as K
from keras.models import Sequential
from keras.layers.core import Dense, Activation
from keras import optimizers
from keras.utils import np_utils
from keras.utils.np_utils import to_categorical
import minikeras
import neighbour

assert neighbour.keras is keras
assert keras is minikeras
assert keras.layers.Dense is Dense
assert keras.__spec__.name == "minikeras"
import keras.losses
assert keras.losses.__spec__.name == "minikeras.losses"
assert not hasattr(keras.losses, "__path__")
def annotated(n: int): ...
assert annotated.__annotations__ == {"n": int}  # a string if our __future__ imports leaked
assert sys.modules["__main__"].annotated is annotated
assert __name__ == "__main__"
model = Sequential([Dense(2, input_dim=3), Activation("softmax")])
model.compile(optimizers.SGD(lr=0.1), "categorical_crossentropy")
model.fit(np.ones((4, 3)), to_categorical([0, 1, 0, 1]), verbose=0)
print("arguments", sys.argv[1:])
try:
    import keras.applications
except ModuleNotFoundError as error:
    print(error)
"""


PARALLEL = """
import multiprocessing
import sys
import keras
from keras.layers import Dense

class Job:
    def __init__(self, units):
        self.units = units

def units(job):
    return keras.Sequential([Dense(job.units, input_dim=3)]).output_shape[1]

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(pool.map(units, [Job(1), Job(2)]))
"""


def run(*arguments, **kwargs):
    command = [sys.executable, "-m", "minikeras", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **kwargs
    )


def test_a_script_that_imports_keras(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "neighbour.py").write_text("import keras")

    done = run(str(script), "--epochs", "3")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "arguments ['--epochs', '3']",
        "minikeras has no module for 'keras.applications'. It has no trained models.",
    ]


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_processes_that_a_script_starts(tmp_path, method):
    script = tmp_path / "script.py"
    script.write_text(PARALLEL)

    done = run(str(script), method)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "[1, 2]\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH came with Python 3.11")
def test_safe_path_keeps_its_first_entry(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(sys.path[:2])")
    root = str(Path(__file__).resolve().parents[1])

    done = run(str(script), env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": root})

    assert done.stdout == f"{[str(tmp_path), root]}\n", done.stderr


def test_a_script_that_is_not_there():
    done = run("nofile.py")

    assert done.returncode == 1
    assert done.stderr == "python -m minikeras: there is no file 'nofile.py'\n"


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--help",), 0)])
def test_usage(arguments, code):
    done = run(*arguments)

    assert done.returncode == code
    assert "usage: python -m minikeras script.py" in done.stdout
