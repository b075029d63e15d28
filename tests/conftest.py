"""Every test starts from the same state, whatever ran before it."""

import numpy as np
import pytest
from hypothesis import settings

import minikeras.backend as K
from minikeras.utils.generic_utils import get_custom_objects

# Derandomized: a test that passes on one machine passes on the next. No deadline: a slow machine
# is no failure. No database: a run leaves nothing behind.
settings.register_profile(
    "minikeras", derandomize=True, deadline=None, database=None, max_examples=50
)
settings.load_profile("minikeras")


@pytest.fixture(autouse=True)
def fresh_state():
    np.random.seed(0)
    yield
    K.clear_session()
    K.set_floatx("float32")
    K.set_epsilon(1e-7)
    K.set_image_data_format("channels_last")
    K.set_check_numerics(False)
    get_custom_objects().clear()
