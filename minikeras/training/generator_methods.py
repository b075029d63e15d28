"""`fit_generator`, `evaluate_generator` and `predict_generator`: the same loops, by other names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minikeras.training.data import is_generator

if TYPE_CHECKING:
    from minikeras.callbacks import History


class GeneratorMethods:
    """What `Sequential` offers for data that come batch by batch."""

    if TYPE_CHECKING:  # what the trainer provides
        _fit: Callable[..., History]
        _evaluate: Callable[..., float | list[float]]
        predict: Callable[..., np.ndarray]

    def fit_generator(
        self,
        generator: Any,
        steps_per_epoch: int | None = None,
        epochs: int = 1,
        verbose: int = 1,
        callbacks: Iterable[Any] | None = None,
        validation_data: Any = None,
        validation_steps: int | None = None,
        class_weight: dict | None = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        shuffle: bool = True,
        initial_epoch: int = 0,
        **kwargs: Any,
    ) -> History:
        """Train the model on batches that a generator or `Sequence` makes.

        Parameters
        ----------
        generator : generator or Sequence
            Gives tuples ``(x, y)`` or ``(x, y, sample_weight)``, one batch each. A generator is
            expected to go on for ever; of a `minikeras.utils.Sequence`, each batch is used once in
            a pass, and `on_epoch_end` is called after it.
        steps_per_epoch : int, optional
            How many batches make an epoch. Default, for a Sequence only: all it has.
        epochs, verbose, callbacks, class_weight, initial_epoch
            As in `fit`.
        validation_data : tuple, generator or Sequence, optional
            Arrays ``(x, y)`` or ``(x, y, sample_weight)``, which are cut into batches of the size
            that the training has; or what makes such batches. A Sequence starts over for each
            validation. (In Keras 2.2 it goes on where the last one ended.)
        validation_steps : int, optional
            How many batches make a validation, if they come from a generator. Default, for
            a Sequence only: all it has.
        max_queue_size : int
            How many batches may be made ahead; 0: any number. Default 10.
        workers : int
            How many threads or processes make batches ahead. 0: they are made when they are
            needed. A generator, unlike a Sequence, can run in one only. Default 1.
        use_multiprocessing : bool
            Whether the workers are processes: for work that holds Python's interpreter lock.
            Default False.
        shuffle : bool
            Whether the batches of a Sequence come in a new order in each pass. Default True.
        **kwargs
            `validation_freq` as in `fit`.

        Returns
        -------
        History

        Raises
        ------
        ValueError
            If a batch does not fit the model, or the generator ends too early.
        RuntimeError
            If the model has not been compiled, or a worker process was killed.

        Notes
        -----
        An error in a worker is raised here, with its own traceback and the number of the batch.
        However `fit_generator` ends, no thread and no process is left behind.

        After ``np.random.seed``, a run repeats bit for bit, whatever `workers` is, also where
        batches are drawn with ``np.random``: see `minikeras.utils.feeding`.

        Examples
        --------
        >>> from minikeras import Sequential
        >>> from minikeras.layers import Dense
        >>> def batches():
        ...     while True:
        ...         x = np.random.random((8, 2))
        ...         yield x, x.sum(axis=1)
        >>> model = Sequential([Dense(1, input_dim=2)])
        >>> model.compile("sgd", "mse")
        >>> history = model.fit_generator(batches(), steps_per_epoch=5, epochs=2, verbose=0)
        >>> len(history.history["loss"])
        2
        """
        _check("fit_generator", "generator", generator)
        later = {
            **kwargs,
            "max_queue_size": max_queue_size,
            "workers": workers,
            "use_multiprocessing": use_multiprocessing,
        }
        return self._fit(
            "fit_generator",
            generator,
            None,
            None,
            epochs,
            verbose,
            callbacks,
            0.0,
            validation_data,
            shuffle,
            class_weight,
            None,
            initial_epoch,
            steps_per_epoch,
            validation_steps,
            later,
        )

    def evaluate_generator(
        self,
        generator: Any,
        steps: int | None = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        verbose: int = 0,
    ) -> float | list[float]:
        """Return the loss and the metrics on batches that a generator or `Sequence` makes.

        Parameters
        ----------
        generator : generator or Sequence
            Gives tuples ``(x, y)`` or ``(x, y, sample_weight)``.
        steps : int, optional
            How many batches to use. Default, for a Sequence only: all it has, from the first one.
        max_queue_size, workers, use_multiprocessing
            As in `fit_generator`.
        verbose : {0, 1, 2}
            1 shows a progress bar; 0 and 2 show nothing. Default 0.

        Returns
        -------
        float or list of float
            As `evaluate`.
        """
        _check("evaluate_generator", "generator", generator)
        later = {
            "max_queue_size": max_queue_size,
            "workers": workers,
            "use_multiprocessing": use_multiprocessing,
        }
        return self._evaluate(
            "evaluate_generator", generator, None, None, verbose, None, steps, later
        )

    def predict_generator(
        self,
        generator: Any,
        steps: int | None = None,
        max_queue_size: int = 10,
        workers: int = 1,
        use_multiprocessing: bool = False,
        verbose: int = 0,
    ) -> np.ndarray:
        """Return the model's output for batches that a generator or `Sequence` makes.

        Parameters
        ----------
        generator : generator or Sequence
            Gives inputs, or tuples of which the first entry is the inputs.
        steps, max_queue_size, workers, use_multiprocessing, verbose
            As in `evaluate_generator`.

        Returns
        -------
        ndarray, shape (samples, ...)
            In the order of the batches.
        """
        _check("predict_generator", "generator", generator)
        return self.predict(
            generator,
            verbose=verbose,
            steps=steps,
            max_queue_size=max_queue_size,
            workers=workers,
            use_multiprocessing=use_multiprocessing,
        )


def _check(where: str, name: str, data: Any) -> None:
    if not is_generator(data):
        hint = " For arrays, there is " + where.removesuffix("_generator") + "."
        if callable(data):
            hint = f" Did you forget the parentheses? {where}({getattr(data, '__name__', 'f')}())"
        raise ValueError(
            f"{where} takes a generator (an iterator) or a minikeras.utils.Sequence, got "
            f"{type(data).__name__}.{hint}"
        )
