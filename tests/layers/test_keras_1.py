"""``Conv2D(32, 3, 3)``: what Keras 2.2 makes of it, and refuses."""

import inspect

import pytest

from minikeras import layers


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("Conv2D", (3, 5)),
        ("Conv2DTranspose", (3, 5)),
        ("SeparableConv2D", (3, 5)),
        ("LocallyConnected2D", (3, 5)),
        ("Conv3D", (3, 5, 2)),
        ("Conv3DTranspose", (3, 5, 2)),
    ],
)
def test_window_by_position(name, window):
    cls = getattr(layers, name)
    with pytest.warns(UserWarning, match=rf"{name}\(8, 3, 5.* window of \(3, 5") as found:
        layer = cls(8, *window, activation="relu")
    assert found[0].filename == __file__
    assert (layer.filters, layer.kernel_size) == (8, window)
    assert set(layer.strides) == {1}
    with pytest.raises(ValueError, match=r"with padding=\.\.\. may mean two things"):
        cls(8, *window, padding="valid")
    assert "strides" in inspect.signature(cls).parameters


def test_more_by_position():
    with pytest.raises(ValueError, match=r"Conv2D\(8, 3, 2, 'same'\) may mean two things"):
        layers.Conv2D(8, 3, 2, "same")
    layer = layers.Conv2D(8, (3, 5), 2, "same")
    assert (layer.kernel_size, layer.strides, layer.padding) == ((3, 5), (2, 2), "same")
