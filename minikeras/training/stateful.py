"""The checks of models that keep states from one batch to the next, all before any work.

Sample i of a batch goes on where sample i of the batch before ended. So all batches are of one
size, until `reset_states` starts anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minikeras.utils.warning import warn


def check_epochs(
    model: Any, batch_size: int, samples: Mapping[str, int], shuffle: bool | str = False
) -> None:
    """Check the data of `fit` and `evaluate` against the states of a model; warn of shuffling.

    Parameters
    ----------
    model : Sequential
        One without states passes.
    batch_size : int
    samples : dict of str to int
        Names of data, as errors word them, and how many samples each has.
    shuffle : bool or 'batch'
        As in `fit`. Whether samples, or batches, come in another order each epoch.

    Raises
    ------
    ValueError
        If the samples do not come out even, or the states are those of another batch size.
    """
    if not model.stateful:
        return
    for name, count in samples.items():
        _check_whole_batches(model, name, count, batch_size)
    _check_kept_states(model, batch_size)
    if shuffle and max(samples.values()) > (batch_size if shuffle == "batch" else 1):
        warn(
            f"Model '{model.name}' is stateful, and fit shuffles (shuffle={shuffle!r}): a sample "
            "goes on with the states of one that has nothing to do with it. Pass shuffle=False."
        )


def check_prediction(model: Any, batch_size: int, samples: int) -> None:
    """Check the data of `predict`, where fewer samples than `batch_size` are one batch."""
    if not model.stateful:
        return
    if samples > batch_size:
        _check_whole_batches(model, "x", samples, batch_size)
    _check_kept_states(model, min(batch_size, samples))


def check_batch(model: Any, size: int) -> None:
    """Check the size of a batch against that of the states that the model keeps."""
    if model.stateful:
        _check_kept_states(model, size)


def _check_kept_states(model: Any, size: int) -> None:
    if size == 0:
        raise ValueError(f"Model '{model.name}' is stateful: a batch needs at least one sample.")
    kept = model.state_batch_size
    others = {layer.name: found for layer in model.layers if (found := _kept_size(layer))}
    if len(set(others.values())) > 1:
        raise ValueError(
            f"Model '{model.name}' is stateful, but its layers keep the states of different "
            f"numbers of sequences: {others}. Call model.reset_states() to start anew."
        )
    if kept not in (None, size):
        raise ValueError(
            f"Model '{model.name}' is stateful and keeps the states of {kept} "
            f"{_plural(kept, 'sequence')} from the last batch; it can't go on with a batch of "
            f"{size} {_plural(size, 'sample')}. Call model.reset_states() to start anew, or pass "
            f"batches of {kept}."
        )


def _kept_size(layer: Any) -> int | None:
    return getattr(layer, "state_batch_size", None) if layer.stateful else None


def _check_whole_batches(model: Any, name: str, samples: int, batch_size: int) -> None:
    batches, left = divmod(samples, batch_size)
    if left:
        cut = f"{batches * batch_size} samples of it, or " if batches else ""
        kept = model.state_batch_size
        anew = (
            f" The model keeps the states of {kept} {_plural(kept, 'sequence')}: call "
            "model.reset_states() first to change the batch size."
        )
        raise ValueError(
            f"Model '{model.name}' is stateful: sample i of a batch goes on where sample i of the "
            f"batch before ended, so {name} must make whole batches. Its {samples} "
            f"{_plural(samples, 'sample')} make {batches} {_plural(batches, 'batch')} of "
            f"batch_size={batch_size}, with {left} {_plural(left, 'sample')} left over. Pass "
            f"{cut}a batch_size that divides {samples}.{anew if kept else ''}"
        )


def _plural(count: int, noun: str) -> str:
    if count == 1:
        return noun
    return f"{noun}es" if noun.endswith("ch") else f"{noun}s"
