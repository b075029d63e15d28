"""What `import minikeras` loads, and the import paths that Keras 2 scripts use."""

import os
import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

import minikeras

ROOT = Path(__file__).resolve().parents[1]

# Modules beyond NumPy's own that `import minikeras` may load, other than its own. Each costs a
# fraction of a millisecond to several; the budget keeps the sum from growing unseen.
BUDGET = 12

LATE = [
    "asyncio",
    "concurrent.futures",
    "csv",
    "dataclasses",
    "difflib",
    "gzip",
    "h5py",
    "inspect",
    "json",
    "logging",
    "lzma",
    "multiprocessing",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "tarfile",
    "tempfile",
    "tqdm",
    "unittest",
    "urllib.request",
    "zipfile",
]


def run(code):
    """Run `code` in a fresh interpreter and return the words that it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def loaded():
    """What `import minikeras` adds to the modules that NumPy and its random numbers load."""
    return run(
        "import sys, numpy, numpy.random\n"
        "before = set(sys.modules)\n"
        "import minikeras\n"
        "print(*sorted(set(sys.modules) - before))"
    )


def test_import_loads_nothing_heavy(loaded):
    assert [name for name in LATE if name in loaded] == []


def test_import_stays_within_its_budget(loaded):
    others = [name for name in loaded if name.partition(".")[0] != "minikeras"]
    assert len(others) <= BUDGET, others


def test_import_starts_no_thread():
    assert run("import minikeras, threading; print(threading.active_count())") == ["1"]


def test_import_leaves_numpy_as_it_was():
    code = (
        "import numpy as np\n"
        "errors, options, state = np.geterr(), np.get_printoptions(), np.random.get_state()\n"
        "import minikeras\n"
        "same = np.array_equal(np.random.get_state()[1], state[1])\n"
        "print(errors == np.geterr(), options == np.get_printoptions(), same)"
    )
    assert run(code) == ["True", "True", "True"]


def test_works_by_attribute_after_a_plain_import():
    code = (
        "import minikeras as keras\n"
        "print(keras.layers.Dense.__name__, keras.models.Sequential.__name__)\n"
        "print(keras.utils.to_categorical([1], 3).tolist() == [[0.0, 1.0, 0.0]])\n"
        "print(keras.backend.floatx(), keras.losses.mean_squared_error.__name__)\n"
        "print(keras.datasets.mnist.load_data.__name__, keras.Sequential.__name__)\n"
    )
    assert run(code) == [
        "Dense",
        "Sequential",
        "True",
        "float32",
        "mean_squared_error",
        "load_data",
        "Sequential",
    ]


def test_version_is_that_of_the_installed_package():
    try:
        installed = metadata.version("minikeras")
    except metadata.PackageNotFoundError:
        pytest.skip("minikeras is not installed: run `pip install -e .`")
    assert minikeras.__version__ == installed


# Module by module, the names that Keras 2.2 scripts and custom layers import.
PATHS = {
    "minikeras": "Input Sequential __version__ activations backend callbacks constraints "
    "datasets engine initializers layers losses metrics models objectives optimizers "
    "preprocessing regularizers utils",
    "minikeras.activations": "elu get hard_sigmoid linear relu selu sigmoid softmax softplus "
    "softsign tanh exponential",
    "minikeras.backend": "epsilon floatx image_data_format set_epsilon set_floatx "
    "set_image_data_format clear_session get_uid",
    "minikeras.callbacks": "BackupAndRestore BaseLogger CSVLogger Callback EarlyStopping History "
    "LambdaCallback LearningRateScheduler ModelCheckpoint ProgbarLogger ReduceLROnPlateau "
    "RemoteMonitor TensorBoard TerminateOnNaN",
    "minikeras.constraints": "MaxNorm MinMaxNorm NonNeg UnitNorm get max_norm non_neg unit_norm",
    "minikeras.datasets.authors": "AUTHORS get_word_index load_data load_text",
    "minikeras.datasets.imdb": "get_word_index load_data",
    "minikeras.datasets.mnist": "load_data",
    "minikeras.preprocessing": "sequence",
    "minikeras.preprocessing.sequence": "make_sampling_table pad_sequences skipgrams",
    "minikeras.engine": "InputSpec Layer Input",
    "minikeras.engine.base_layer": "InputSpec Layer",
    "minikeras.engine.input_layer": "Input InputLayer",
    "minikeras.engine.topology": "Input InputLayer InputSpec Layer",
    "minikeras.initializers": "Constant Identity Ones Orthogonal RandomNormal RandomUniform "
    "TruncatedNormal VarianceScaling Zeros get glorot_normal glorot_uniform he_normal he_uniform "
    "lecun_normal lecun_uniform",
    "minikeras.layers": "Activation ActivityRegularization AlphaDropout BatchNormalization Dense "
    "Dropout ELU Flatten GaussianDropout GaussianNoise Input InputLayer InputSpec Layer LeakyReLU "
    "PReLU Permute ReLU RepeatVector Reshape Softmax SpatialDropout1D SpatialDropout2D "
    "SpatialDropout3D ThresholdedReLU",
    "minikeras.layers.advanced_activations": "ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU",
    "minikeras.layers.core": "Activation ActivityRegularization Dense Dropout Flatten Permute "
    "RepeatVector Reshape SpatialDropout1D SpatialDropout2D SpatialDropout3D",
    "minikeras.layers.noise": "AlphaDropout GaussianDropout GaussianNoise",
    "minikeras.layers.normalization": "BatchNormalization",
    "minikeras.losses": "binary_crossentropy categorical_crossentropy get mean_squared_error mse "
    "MSE sparse_categorical_crossentropy",
    "minikeras.metrics": "binary_accuracy categorical_accuracy get sparse_categorical_accuracy "
    "top_k_categorical_accuracy",
    "minikeras.models": "Sequential clone_model load_model model_from_config model_from_json "
    "save_model",
    "minikeras.objectives": "mean_squared_error",
    "minikeras.optimizers": "Adadelta Adagrad Adam Adamax Nadam Optimizer RMSprop SGD get",
    "minikeras.regularizers": "L1L2 Regularizer get l1 l1_l2 l2",
    "minikeras.testing": "",
    "minikeras.utils": "CustomObjectScope custom_object_scope get_custom_objects get_file "
    "to_categorical set_random_seed Sequence HDF5Matrix GeneratorEnqueuer OrderedEnqueuer Progbar",
    "minikeras.utils.data_utils": "get_file GeneratorEnqueuer OrderedEnqueuer Sequence",
    "minikeras.utils.io_utils": "HDF5Matrix",
    "minikeras.utils.generic_utils": "Progbar CustomObjectScope custom_object_scope "
    "get_custom_objects deserialize_keras_object serialize_keras_object",
    "minikeras.utils.layer_utils": "print_summary",
    "minikeras.utils.np_utils": "normalize to_categorical",
}


@pytest.mark.parametrize("module", PATHS)
def test_import_path(module):
    found = import_module(module)
    assert [name for name in PATHS[module].split() if not hasattr(found, name)] == []
