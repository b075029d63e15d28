import pytest

from minikeras.utils import generic_utils, registry
from minikeras.utils.generic_utils import to_list, to_snake_case


def test_to_list():
    same = [1, 2]
    assert to_list(same) is same
    assert to_list(1) == [1]
    assert to_list(None) == [None]
    assert to_list("ab") == ["ab"]
    assert to_list((1, 2)) == [(1, 2)]
    assert to_list((1, 2), allow_tuple=True) == [1, 2]
    assert to_list(1, allow_tuple=True) == [1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dense", "dense"),
        ("BatchNormalization", "batch_normalization"),
        ("Conv2D", "conv2d"),
        ("Conv2DTranspose", "conv2d_transpose"),
        ("ELU", "elu"),
        ("PReLU", "p_re_lu"),
        ("LeakyReLU", "leaky_re_lu"),
        ("ThresholdedReLU", "thresholded_re_lu"),
        ("ReLU", "re_lu"),
        ("LSTM", "lstm"),
        ("CuDNNLSTM", "cu_dnnlstm"),
        ("MaxPooling1D", "max_pooling1d"),
        ("SpatialDropout3D", "spatial_dropout3d"),
        ("_Hidden", "private__hidden"),
        ("already_snake", "already_snake"),
    ],
)
def test_to_snake_case_gives_the_names_of_keras(name, expected):
    assert to_snake_case(name) == expected


def test_what_keras_has_here_is_here():
    for name in generic_utils.__all__:
        if hasattr(registry, name):
            assert getattr(generic_utils, name) is getattr(registry, name)
    assert {"CustomObjectScope", "has_arg", "to_list"} <= set(generic_utils.__all__)
