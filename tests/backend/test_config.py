import numpy as np
import pytest

from minikeras import backend as K


def test_defaults():
    assert K.floatx() == "float32"
    assert K.epsilon() == 1e-7
    assert K.image_data_format() == "channels_last"
    assert K.check_numerics() is False


@pytest.mark.parametrize("value", ["float16", "float32", "float64"])
def test_floatx(value):
    K.set_floatx(value)
    assert K.floatx() == value


@pytest.mark.parametrize("value", ["float128", "int32", "FLOAT32", np.float32, None])
def test_bad_floatx(value):
    with pytest.raises(ValueError, match="floatx must be one of 'float16', 'float32', 'float64'"):
        K.set_floatx(value)
    assert K.floatx() == "float32"


def test_epsilon():
    K.set_epsilon(np.float32(1e-3))
    assert K.epsilon() == pytest.approx(1e-3)
    assert type(K.epsilon()) is float


@pytest.mark.parametrize("value", [0, -1e-7, float("nan"), float("inf"), "small", None])
def test_bad_epsilon(value):
    with pytest.raises(ValueError, match="epsilon must be a positive number, got"):
        K.set_epsilon(value)
    assert K.epsilon() == 1e-7


def test_image_data_format():
    K.set_image_data_format("channels_first")
    assert K.image_data_format() == "channels_first"
    with pytest.raises(ValueError, match=r"data_format must be one of .* got 'first'"):
        K.set_image_data_format("first")
    assert K.image_data_format() == "channels_first"


def test_normalize_data_format():
    assert K.normalize_data_format(None) == "channels_last"
    assert K.normalize_data_format("Channels_First") == "channels_first"
    K.set_image_data_format("channels_first")
    assert K.normalize_data_format(None) == "channels_first"
    assert K.normalize_data_format("channels_last") == "channels_last"
    for bad in ("last", 3, ("channels_last",)):
        with pytest.raises(ValueError, match="data_format must be one of"):
            K.normalize_data_format(bad)


def test_check_numerics():
    try:
        K.set_check_numerics(1)
        assert K.check_numerics() is True
    finally:
        K.set_check_numerics(False)
    assert K.check_numerics() is False


def test_image_layout_by_its_names_in_keras_1():
    assert K.image_dim_ordering() == "tf"
    K.set_image_dim_ordering("th")
    try:
        assert (K.image_data_format(), K.image_dim_ordering()) == ("channels_first", "th")
    finally:
        K.set_image_dim_ordering("tf")
    assert K.image_data_format() == "channels_last"
    with pytest.raises(ValueError, match="dim_ordering must be one of 'tf', 'th'; got 'last'"):
        K.set_image_dim_ordering("last")
