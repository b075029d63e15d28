import pytest

from minikeras.layers import Dense, Flatten
from minikeras.models import Sequential
from minikeras.utils import print_summary


def lines_of(model, **kwargs):
    lines = []
    model.summary(print_fn=lines.append, **kwargs)
    return lines


def model():
    return Sequential([Dense(32, input_shape=(4, 8)), Flatten(), Dense(1, trainable=False)])


def test_layout_is_that_of_keras():
    assert lines_of(model()) == [
        "_" * 65,
        "Layer (type)                 Output Shape              Param #",
        "=" * 65,
        "dense_1 (Dense)              (None, 4, 32)             288",
        "_" * 65,
        "flatten_1 (Flatten)          (None, 128)               0",
        "_" * 65,
        "dense_2 (Dense)              (None, 1)                 129",
        "=" * 65,
        "Total params: 417",
        "Trainable params: 288",
        "Non-trainable params: 129",
        "_" * 65,
    ]


def test_long_cells_are_wrapped_and_never_cut():
    name = "a_layer_with_quite_a_long_name_that_does_not_fit"
    lines = lines_of(Sequential([Dense(3, name=name, input_dim=2)]))

    first_column = "".join(line[:29].strip() for line in lines[3:5])
    assert first_column.startswith(name)
    assert all(len(line) <= 65 for line in lines)


def test_line_length_and_positions():
    narrow = lines_of(model(), line_length=100)
    moved = lines_of(model(), positions=[40, 60, 80])

    assert len(narrow[0]) == 100
    assert moved[1].index("Output Shape") == 40
    assert lines_of(model(), positions=[0.5, 0.75, 1.0])[1].index("Output Shape") == 32


@pytest.mark.parametrize("positions", [[0.5, 1.0], [0.9, 0.5, 1.0], [0, 0.5, 1]])
def test_positions_must_grow(positions):
    with pytest.raises(ValueError, match="growing ends of 3 columns"):
        print_summary(model(), positions=positions)


def test_it_prints_by_default(capsys):
    model().summary()

    assert "Total params: 417" in capsys.readouterr().out


def test_large_numbers_have_separators():
    assert "Total params: 1,001,000" in lines_of(Sequential([Dense(1000, input_dim=1000)]))
