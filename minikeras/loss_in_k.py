"""`InTermsOfK`: a loss that is a function in terms of `K`, and its derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minikeras.backend.backpropagation import hand_over
from minikeras.backend.context import Context
from minikeras.backend.deferred import Deferred
from minikeras.backend.function import recompute
from minikeras.backend.running import current, inside
from minikeras.backend.tape import Tensor, value_of

Feeds = Callable[[], dict[int, Any]]


class InTermsOfK:
    """A function in terms of `K` as a loss, with its derivative; what `losses.pair` makes of it.

    Parameters
    ----------
    function : callable
        ``function(y_true, y_pred)``.

    Examples
    --------
    >>> import numpy as np
    >>> from minikeras import backend as K
    >>> def cubic(y_true, y_pred):
    ...     return K.mean(K.pow(K.abs(y_pred - y_true), 3), axis=-1)
    >>> InTermsOfK(cubic).backward(np.ones(1), np.zeros((1, 2)), np.ones((1, 2)))
    array([[1.5, 1.5]])
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def _scores(self, y_true: np.ndarray, y_pred: Tensor, feeds: Feeds | None) -> Any:
        """Call the function, with targets of the type of the prediction, as in Keras."""
        if y_true.dtype.kind in "biuf":
            y_true = y_true.astype(y_pred.dtype, copy=False)
        scores = self.function(y_true, y_pred)
        if scores is None or callable(scores):
            advice = "Call it to get one: loss=make_loss(...)" if scores else "Is a return missing?"
            raise TypeError(
                f"The loss {self.__name__} returned {type(scores).__name__}, not values. {advice}"
            )
        if isinstance(scores, Deferred) and feeds is not None:  # it holds the output of a layer
            part = current().part()
            part.leave_all_as_it_is()
            with inside(part):
                return recompute(scores, feeds())
        return scores

    def forward(
        self, y_true: np.ndarray, y_pred: np.ndarray, feeds: Feeds | None = None
    ) -> np.ndarray:
        """Return the values of the loss; see `record`."""
        # A tensor, so that nothing is changed in place.
        return np.asarray(value_of(self._scores(np.asarray(y_true), Tensor(y_pred), feeds)))

    def record(
        self, y_true: np.ndarray, y_pred: np.ndarray, ctx: Context, feeds: Feeds | None = None
    ) -> tuple[Any, Any]:
        """Return the values, and what `pull` needs to go back.

        Parameters
        ----------
        y_true, y_pred : ndarray
        ctx : Context
        feeds : callable, optional
            Gives the value of the model's input, by the ``id`` of ``model.input``, for a function
            that uses ``layer.output``.
        """
        inner = Tensor(y_pred)
        with inside(ctx):
            scores = self._scores(np.asarray(y_true), inner, feeds)
        if not isinstance(scores, Tensor):
            raise TypeError(
                f"The loss {self.__name__} returned {type(scores).__name__}, which does not depend "
                "on y_pred in a way that can be differentiated. Compute it with functions of K, "
                "operators, or NumPy functions on the tensor, and return the result as it is."
            )
        return scores.value, (inner, scores)

    def pull(self, dloss: np.ndarray, residual: Any, ctx: Context) -> np.ndarray:
        """Return the gradient of `y_pred`, and hand over those of variables in the function."""
        inner, scores = residual
        seed = np.asarray(dloss, scores.dtype).reshape(scores.shape)
        (dy,) = hand_over([(scores, seed)], [inner], ctx)
        if dy is None:
            raise ValueError(
                f"The loss {self.__name__} has no gradient: it depends on y_pred only through "
                "functions that have none, such as K.argmax, K.round, K.greater or a cast to int."
            )
        return dy

    def backward(
        self,
        dloss: np.ndarray,
        y_true: np.ndarray,
        y_pred: np.ndarray,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the gradient of `y_pred`; see `losses.LossPair`."""
        ctx = Context()
        _, residual = self.record(y_true, y_pred, ctx)
        dy = self.pull(dloss, residual, ctx)
        if out is None:
            return dy
        np.copyto(out, dy)
        return out
