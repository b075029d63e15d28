"""Keras layer descriptions as PyTorch modules.

Shapes are inferred by running one batch through each module as it is made. Inputs arrive with the
channels last, as Keras has them. 2D convolutions see the same memory as channels-first: PyTorch's
`channels_last` format, which for `mnist_cnn` and `vgg_like` was up to a tenth faster than the
plain one. PyTorch has no such format for sequences, and was 6 % faster on `conv1d` with inputs
that are transposed once, before the clock runs (`transposed`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.protocol import Unsupported
from benchmarks.workloads import Config


class Swap(nn.Module):
    """Move the channel axis: to the second place, or back to the last."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.source, self.target = (-1, 1) if first else (1, -1)

    def forward(self, x: Tensor) -> Tensor:
        """Return a view of `x`."""
        return x.movedim(self.source, self.target)


class Recurrent(nn.Module):
    """A recurrent layer that gives its whole sequence or only its last output."""

    def __init__(self, layer: nn.RNNBase, sequences: bool) -> None:
        super().__init__()
        self.layer, self.sequences = layer, sequences

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, time, features)` to `(batch, time, units)` or `(batch, units)`."""
        y = self.layer(x)[0]
        return y if self.sequences else y[:, -1]


class RecurrentStep(nn.Module):
    """A recurrent layer over one step that goes on with the state of its last call.

    A cell takes half the time of the layer for sequences.
    """

    def __init__(self, cell: nn.RNNCellBase) -> None:
        super().__init__()
        self.cell = cell
        self.state: Any = None

    def forward(self, x: Tensor) -> Tensor:
        """Map `(batch, 1, features)` to `(batch, units)`."""
        self.state = state = self.cell(x[:, 0], self.state)
        return state[0] if isinstance(state, tuple) else state


class Mean(nn.Module):
    """Global average pooling over the axes between batch and channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Return shape `(batch, channels)`."""
        return x.mean(tuple(range(1, x.ndim - 1)))


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=-1),
}

Maker = Callable[[Config, int], nn.Module]  # config, input channels
Layers = tuple[tuple[str, Config], ...]  # class names and configs, as in a workload


def conv(kind: type[nn.Module]) -> Maker:
    """Return the maker of a convolution."""

    def make(config: Config, channels: int) -> nn.Module:
        return kind(
            channels,
            config["filters"],
            config["kernel_size"],
            stride=config.get("strides", 1),
            padding=config.get("padding", "valid"),
            dilation=config.get("dilation_rate", 1),
        )

    return make


def pool(kind: type[nn.Module]) -> Maker:
    """Return the maker of a pooling layer."""

    def make(config: Config, channels: int) -> nn.Module:
        if config.get("padding", "valid") != "valid":
            raise Unsupported("pooling with padding")
        return kind(config.get("pool_size", 2), stride=config.get("strides"))

    return make


def recurrent(kind: type[nn.RNNBase], cell: type[nn.RNNCellBase], computes: Config) -> Maker:
    """Return the maker of a recurrent layer, of which PyTorch has one kind: `computes`."""

    def make(config: Config, channels: int) -> nn.Module:
        ours = {"units", "return_sequences", "stateful", "activation", *computes}
        if set(config) - ours or any(config.get(name) != value for name, value in computes.items()):
            raise Unsupported(f"{kind.__name__} of {config}; it needs {computes}")
        if config.get("activation", "tanh") != "tanh":
            raise Unsupported(f"{kind.__name__} with another activation than tanh")
        if config.get("stateful"):
            if config.get("return_sequences"):
                raise Unsupported("states kept between batches of sequences")
            return RecurrentStep(cell(channels, config["units"]))
        layer = kind(channels, config["units"], batch_first=True)
        return Recurrent(layer, config.get("return_sequences", False))

    return make


def embedding(config: Config, _: int) -> nn.Module:
    """Return an embedding that starts as Keras' does; PyTorch's own numbers are 35 times larger."""
    layer = nn.Embedding(config["input_dim"], config["output_dim"])
    nn.init.uniform_(layer.weight, -0.05, 0.05)
    return layer


# Layers that want channels in the second place.
SPATIAL: dict[str, Maker] = {
    "Conv1D": conv(nn.Conv1d),
    "Conv2D": conv(nn.Conv2d),
    "Conv3D": conv(nn.Conv3d),
    "MaxPooling1D": pool(nn.MaxPool1d),
    "MaxPooling2D": pool(nn.MaxPool2d),
    "MaxPooling3D": pool(nn.MaxPool3d),
    "AveragePooling1D": pool(nn.AvgPool1d),
    "AveragePooling2D": pool(nn.AvgPool2d),
    "AveragePooling3D": pool(nn.AvgPool3d),
}

IMAGES = ("Conv2D", "MaxPooling2D", "AveragePooling2D")
SEQUENCES = ("Conv1D", "MaxPooling1D", "AveragePooling1D")

# Layers that want them last.
OTHER: dict[str, Maker] = {
    "Dense": lambda config, channels: nn.Linear(channels, config["units"]),
    "Embedding": embedding,
    "Flatten": lambda config, _: nn.Flatten(),
    "GlobalAveragePooling1D": lambda config, _: Mean(),
    "GlobalAveragePooling2D": lambda config, _: Mean(),
    "GRU": recurrent(nn.GRU, nn.GRUCell, {"recurrent_activation": "sigmoid", "reset_after": True}),
    "LSTM": recurrent(nn.LSTM, nn.LSTMCell, {"recurrent_activation": "sigmoid"}),
}

# Layers that don't care.
POINTWISE: dict[str, Maker] = {
    "Activation": lambda config, _: nn.Identity(),
    "Dropout": lambda config, _: nn.Dropout(config["rate"]),
}


def transposed(layers: Layers) -> bool:
    """Return whether inputs should come to these layers with the channels in the second place."""
    return layers[0][0] in SEQUENCES


def build(layers: Layers, sample: Tensor) -> nn.Sequential:
    """Return the network of some Keras layers.

    Parameters
    ----------
    layers : tuple of (class name, config)
        As in a workload.
    sample : Tensor
        One batch of inputs, for the shapes; the channels are where `transposed` says.

    Raises
    ------
    Unsupported
        When a layer has no translation here.
    """
    network = nn.Sequential()
    channels_first = transposed(layers)

    def add(module: nn.Module) -> None:
        nonlocal sample
        network.append(module)
        with torch.no_grad():
            sample = module(sample)

    for class_name, config in layers:
        maker = {**SPATIAL, **OTHER, **POINTWISE}.get(class_name)
        if maker is None:
            raise Unsupported(f"no translation of layer {class_name}")
        activation = config.get("activation", "linear")
        wanted = class_name in SPATIAL
        indifferent = class_name in POINTWISE and activation != "softmax"
        if wanted != channels_first and not indifferent:
            add(Swap(wanted))
            channels_first = wanted
        module = maker(config, sample.shape[1 if channels_first else -1])
        # Only kernels of rank 4 have this format; the inputs come in it from `Swap`.
        add(module.to(memory_format=torch.channels_last) if class_name in IMAGES else module)
        # Recurrent layers hold their own activations; PyTorch's are Keras' defaults.
        if activation != "linear" and not isinstance(network[-1], (Recurrent, RecurrentStep)):
            add(ACTIVATIONS[activation]())
    return network
