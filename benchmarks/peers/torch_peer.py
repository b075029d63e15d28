"""Worker: PyTorch, eager, in the plain loop a careful user writes.

Tensors are made beforehand; each epoch draws a permutation and each batch is one index; softmax or
sigmoid is fused with its loss, targets are class numbers, no metric is computed. That is less work
than Keras' `fit` does: a strict peer.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.peers.protocol import Runner, Unsupported, numpy_versions, serve
from benchmarks.peers.torch_layers import build, transposed
from benchmarks.workloads import Config, Workload

Loss = Callable[[Tensor, Tensor], Tensor]

FUSED: dict[tuple[str, type], Loss] = {
    ("categorical_crossentropy", nn.Softmax): functional.cross_entropy,
    ("binary_crossentropy", nn.Sigmoid): functional.binary_cross_entropy_with_logits,
}
# Keras' defaults; `foreach` measured up to a tenth faster than the plain loop over weights.
OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], Config]] = {
    "SGD": (torch.optim.SGD, {"lr": 0.01}),
    "RMSprop": (torch.optim.RMSprop, {"lr": 1e-3, "alpha": 0.9, "eps": 1e-7}),
    "Adam": (torch.optim.Adam, {"lr": 1e-3, "eps": 1e-7}),
    "Adadelta": (torch.optim.Adadelta, {"lr": 1.0, "rho": 0.95, "eps": 1e-7}),
}
PLAIN: dict[str, Loss] = {"mse": functional.mse_loss, "mean_squared_error": functional.mse_loss}


def split_loss(network: nn.Sequential, name: str) -> tuple[nn.Sequential, Loss]:
    """Return the network to train and its loss, the last activation inside the loss if it can."""
    fused = FUSED.get((name, type(network[-1])))
    if fused:
        return network[:-1], fused
    if name in PLAIN:
        return network, PLAIN[name]
    raise Unsupported(f"loss {name} after {type(network[-1]).__name__}")


def make_optimizer(name: str, config: Config, network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer with Keras' formula and defaults."""
    if name not in OPTIMIZERS:
        raise Unsupported(f"no translation of optimizer {name}")
    kind, defaults = OPTIMIZERS[name]
    arguments = {key: value for key, value in config.items() if key != "decay"}
    unknown = set(arguments) - {"lr", "rho", "momentum", "nesterov"}
    if unknown:
        raise Unsupported(f"no translation of {name}'s {', '.join(sorted(unknown))}")
    return kind(network.parameters(), foreach=True, **{**defaults, **arguments})


def make_fit(workload: Workload, network: nn.Sequential, x: Tensor, y: Tensor) -> Runner:
    """Return the training loop."""
    name, config = workload.optimizer
    network, loss = split_loss(network, workload.loss)
    if loss is functional.cross_entropy:
        y = y.argmax(-1)
    optimizer = make_optimizer(name, config, network)
    lr, decay = optimizer.param_groups[0]["lr"], config.get("decay", 0.0)
    counter = count()

    def run(steps: int) -> int:
        network.train()
        epochs = -(-steps // workload.epoch_steps)
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(workload.batch_size):
                if decay:
                    optimizer.param_groups[0]["lr"] = lr / (1 + decay * next(counter))
                optimizer.zero_grad()
                loss(network(x[index]), y[index]).backward()
                optimizer.step()
        return epochs * workload.epoch_steps

    return run


def make_predict(network: nn.Sequential, row: Tensor) -> Runner:
    """Return the loop of predictions."""
    network.eval()

    def run(steps: int) -> int:
        with torch.inference_mode():
            for _ in range(steps):
                network(row).numpy()
        return steps

    return run


def prepare(workload: Workload, x: np.ndarray, y: np.ndarray) -> Runner:
    """Return the runner of a workload."""
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    if transposed(workload.layers):
        inputs = inputs.movedim(-1, 1).contiguous()
    network = build(workload.layers, inputs[: workload.batch_size])
    if workload.kind == "fit":
        if workload.stateful:
            raise Unsupported("training with states kept between batches")
        return make_fit(workload, network, inputs, targets)
    if workload.stateful:
        torch.set_num_threads(1)  # a step of one sequence is too small for two: they only wait
    return make_predict(network, inputs[: workload.batch_size])


def versions() -> dict[str, str]:
    """Return what is measured here."""
    mkldnn = "oneDNN" if torch.backends.mkldnn.is_available() else "no oneDNN"
    mkl = "MKL" if torch.backends.mkl.is_available() else "no MKL"
    blas = {"torch BLAS": f"{mkl}, {mkldnn}, {torch.get_num_threads()} threads"}
    return {"torch": torch.__version__, "numpy": numpy_versions()["numpy"], **blas}


if __name__ == "__main__":
    serve(prepare, versions)
