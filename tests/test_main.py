"""`python -m minikeras script.py`: Keras scripts run as they are."""

import subprocess
import sys

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


def run(*arguments):
    command = [sys.executable, "-m", "minikeras", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_script_that_imports_keras(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "neighbour.py").write_text("import keras")

    done = run(str(script), "--epochs", "3")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "arguments ['--epochs', '3']",
        "minikeras has no module for 'keras.applications'.",
    ]


def test_a_script_that_is_not_there():
    done = run("nofile.py")

    assert done.returncode == 1
    assert done.stderr == "python -m minikeras: there is no file 'nofile.py'\n"


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--help",), 0)])
def test_usage(arguments, code):
    done = run(*arguments)

    assert done.returncode == code
    assert "usage: python -m minikeras script.py" in done.stdout
