"""The way back along the tape, from results to what they were computed from."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minikeras.backend.operators import TensorLike
from minikeras.backend.running import inside
from minikeras.backend.tape import Tensor
from minikeras.backend.variables import Variable
from minikeras.utils.warning import warn

_FIRST = (0,)
_LISTS = (list, tuple)
_by_number = operator.attrgetter("number")


def history(outputs: Iterable[Any]) -> tuple[list[Tensor], list[TensorLike]]:
    """Return what `outputs` were computed from.

    Returns
    -------
    nodes : list of Tensor
        Those that were computed, in the order in which they were; `outputs` are among them.
    leaves : list of TensorLike
        Variables, and tensors that were given.
    """
    nodes: dict[int, Tensor] = {}
    leaves: dict[int, TensorLike] = {}
    stack = [tuple(outputs)]
    while stack:
        for item in stack.pop():
            kind = type(item)
            if kind is Tensor and item.op is not None:
                if id(item) not in nodes:
                    nodes[id(item)] = item
                    stack.append(item.args)
            elif kind is list or kind is tuple:
                stack.append(item)
            elif isinstance(item, TensorLike) and id(item) not in leaves:
                leaves[id(item)] = item
                stack.append(getattr(item, "args", ()))
    return sorted(nodes.values(), key=_by_number), list(leaves.values())


def backpropagate(
    seeds: Iterable[tuple[Any, np.ndarray]], targets: Sequence[TensorLike]
) -> list[np.ndarray | None]:
    """Return the gradients of some tensors or variables.

    Parameters
    ----------
    seeds : iterable of (Tensor, ndarray)
        Where to begin, and the gradients there.
    targets : list of TensorLike
        Variables, or tensors that were given or computed on the way.

    Returns
    -------
    list of ndarray or None
        None for what had no influence. Several may share memory: write to none of them.
    """
    seeds = list(seeds)
    nodes, _ = history([tensor for tensor, _ in seeds])
    return pull_back(nodes, seeds, targets)


def pull_back(
    nodes: Sequence[Tensor],
    seeds: Iterable[tuple[Any, np.ndarray]],
    targets: Sequence[TensorLike],
) -> list[np.ndarray | None]:
    """Do the work of `backpropagate`, given the nodes that `history` has found.

    It runs once for each operation of a user's loss, so calls are saved in its loops.
    """
    needed = {id(target) for target in targets}
    kept = needed.copy()
    plan: list[tuple[Tensor, Sequence[int]]] = []
    for node in nodes:
        derivatives, args = node.op.derivatives, node.args
        if len(derivatives) == 1 and id(args[0]) in needed:
            wanted: Sequence[int] = () if derivatives[0] is None else _FIRST
        else:
            wanted = []
            for i, (derivative, arg) in enumerate(zip(derivatives, args, strict=False)):
                leads = id(arg) in needed or (type(arg) in _LISTS and _leads_to(arg, needed))
                if leads and derivative is not None:
                    wanted.append(i)
        if wanted:
            needed.add(id(node))
            plan.append((node, wanted))
    gradients: dict[int, np.ndarray] = {}
    for tensor, dy in seeds:
        _accumulate(gradients, needed, tensor, dy)
    for node, wanted in reversed(plan):
        key = id(node)
        if key not in gradients:
            continue
        dy = gradients[key] if key in kept else gradients.pop(key)
        op, args = node.op, node.args
        found = op.pull(dy, node, wanted) if op.pull else None
        for i in wanted:
            if found is None:
                gradient = op.derivatives[i](dy, node.kept, *node.values, **node.kwargs)
            else:
                gradient = found[i]
            arg = args[i]
            key = id(arg)
            if key not in needed or gradient is None or gradient.dtype != arg.value.dtype:
                _accumulate(gradients, needed, arg, gradient)
            elif key in gradients:
                gradients[key] = gradients[key] + gradient
            else:
                gradients[key] = gradient
    return [gradients.get(id(target)) for target in targets]


def _leads_to(arg: Any, needed: set[int]) -> bool:
    if id(arg) in needed:
        return True
    return isinstance(arg, (list, tuple)) and any(_leads_to(item, needed) for item in arg)


def _accumulate(
    gradients: dict[int, np.ndarray], needed: set[int], arg: Any, gradient: Any
) -> None:
    """Add to the gradient of an argument, in a new array: the old one may be somebody else's."""
    if gradient is None:
        return
    key = id(arg)
    if key in needed:
        dtype = arg.value.dtype
        if gradient.dtype != dtype:
            gradient = gradient.astype(dtype)
        before = gradients.get(key)
        gradients[key] = gradient if before is None else before + gradient
    elif isinstance(arg, (list, tuple)):
        for item, part in zip(arg, gradient, strict=True):
            _accumulate(gradients, needed, item, part)


def hand_over(
    seeds: Iterable[tuple[Any, np.ndarray]], inputs: Sequence[Tensor], ctx: Any
) -> list[Any]:
    """Go back from some tensors in a pass: to its variables, and to what it was given.

    Parameters
    ----------
    seeds : iterable of (TensorLike, ndarray)
        Where to begin, and the gradients there.
    inputs : list of Tensor
    ctx : Context
        It says which variables' gradients are wanted, and gets them.

    Returns
    -------
    list of ndarray or None
        The gradients of the inputs, which may be overwritten; None for what had no influence.
    """
    seeds = list(seeds)
    nodes, leaves = history([tensor for tensor, _ in seeds])
    variables = [leaf for leaf in leaves if isinstance(leaf, Variable) and ctx.wants(leaf)]
    with inside(ctx):
        found = pull_back(nodes, seeds, [*variables, *inputs])
    for variable, gradient in zip(variables, found, strict=False):
        if gradient is not None:
            ctx.add_gradient(variable, gradient)
    of_inputs = found[len(variables) :]
    return [g if g is None or g.flags.writeable else g.copy() for g in of_inputs]


def warn_of_variables(y: Tensor, what: str) -> None:
    """Warn of variables whose gradient would get lost, once for each place in the code."""
    names = [leaf.name for leaf in history([y])[1] if isinstance(leaf, Variable)]
    if names:
        warn(
            f"{what} uses {', '.join(names)}, which get no gradient there and are not trained by "
            "it. Compute it in the `call` of a layer instead."
        )


def or_zeros(gradient: np.ndarray | None, x: Tensor) -> np.ndarray:
    """Return a gradient of `x`, zeros for None."""
    return np.zeros(x.shape, x.dtype) if gradient is None else gradient
