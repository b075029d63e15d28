import numpy as np

from minikeras import Sequential
from minikeras import backend as K
from minikeras.backend.context import Context
from minikeras.backend.running import inside
from minikeras.backend.session import clear_session
from minikeras.layers import Dense


def test_names_start_anew():
    Dense(1)
    clear_session()
    assert Dense(1).name == "dense_1"
    assert K.variable(1.0).name == "variable_1"


def test_the_phase_is_forgotten():
    K.set_learning_phase(1)
    clear_session()
    assert K.is_placeholder(K.learning_phase())


def test_seeds_start_anew():
    def drawn():
        with inside(Context()):
            return K.random_uniform((3,), seed=5)

    first, second = drawn(), drawn()
    assert not np.array_equal(first, second)
    clear_session()
    np.testing.assert_array_equal(drawn(), first)
    np.testing.assert_array_equal(drawn(), second)


def test_models_and_functions_live_on():
    model = Sequential([Dense(2, input_shape=(3,))])
    run = K.function([model.input], [model.output])
    w = K.variable([1.0, 2.0])
    doubled = w * 2.0
    x = np.ones((1, 3))
    before = model.predict(x)
    clear_session()
    np.testing.assert_array_equal(model.predict(x), before)
    np.testing.assert_allclose(run([x])[0], before, rtol=1e-6)
    assert K.eval(doubled).tolist() == [2.0, 4.0]


def test_twice_is_no_error_and_settings_stay():
    K.set_floatx("float64")
    clear_session()
    clear_session()
    assert K.floatx() == "float64"
