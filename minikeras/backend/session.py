"""`clear_session`: forgetting what the process remembers."""

from __future__ import annotations

from minikeras.backend.naming import reset_uids
from minikeras.backend.random_functions import restart_seeds
from minikeras.backend.running import forget_phase


def clear_session() -> None:
    """Forget automatic names, `set_learning_phase`, and how often a seed of `K` has been used.

    A script calls it before it builds a fresh model. There is no graph to destroy here: memory of
    a model is freed with the model.

    Examples
    --------
    >>> from minikeras import backend as K
    >>> K.clear_session()
    >>> K.get_uid("dense"), K.get_uid("dense")
    (1, 2)
    """
    reset_uids()
    forget_phase()
    restart_seeds()
