"""The public methods of a model that train and use it; each checks its arguments and delegates."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minikeras.backend.running import fixed_phase
from minikeras.callbacks.calling import CallbackList
from minikeras.engine import Context
from minikeras.ops.blas import one_thread
from minikeras.training.arguments import (
    DEFAULT_BATCH_SIZE,
    Feeding,
    check_batch_size,
    check_callbacks,
    check_epoch,
    check_feeding,
    check_frequency,
    check_steps,
    check_verbose,
    later_arguments,
    scalar_or_list,
)
from minikeras.training.compiling import Compiled
from minikeras.training.data import by_class, is_generator
from minikeras.training.generator_methods import GeneratorMethods
from minikeras.training.inputs import converted, standardize, standardize_x
from minikeras.training.loop import evaluate_loop, fit_loop, predict_loop
from minikeras.training.make_sources import (
    Source,
    array_source,
    array_sources,
    batch_source,
    validation_beside,
)
from minikeras.training.stateful import check_batch, check_epochs, check_prediction
from minikeras.utils.warning import warn

if TYPE_CHECKING:
    from minikeras.callbacks import History


class Trainer(GeneratorMethods, Compiled):
    """A container of layers that can be compiled, trained and used.

    Attributes
    ----------
    history : History
        Of the last `fit`, kept also if it was interrupted.
    stop_training : bool
        Set it in a callback to end the training after the current batch.
    """

    stop_training = False

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int = 1,
        callbacks: Iterable[Any] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: dict | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        **kwargs: Any,
    ) -> History:
        """Train the model for a number of epochs.

        Parameters
        ----------
        x : array_like, shape (samples, ...), or generator or Sequence of batches
            Inputs. A list or dict of one array, the latter by the name of the input, means the
            same. An `HDF5Matrix` or h5py dataset is read batch by batch. A generator or
            `minikeras.utils.Sequence` gives tuples ``(x, y)`` or ``(x, y, sample_weight)``: see
            `fit_generator`.
        y : array_like, shape (samples, ...)
            Targets. Left out if `x` makes batches by itself.
        batch_size : int, optional
            Samples per update. Default: the batch size that the model states, as by
            ``batch_input_shape``; else that of the states a stateful model keeps; else 32.
        epochs : int
            The epoch after which to stop, counted from 1. With `initial_epoch`, fewer are run.
        verbose : {0, 1, 2}
            0: silent, 1: a progress bar, 2: one line an epoch. Default 1.
        callbacks : list of Callback, optional
            See `minikeras.callbacks`.
        validation_split : float
            The part of the data, from 0 up to but not including 1, that is held out to report
            ``val_loss`` and so on: the last samples of `x` and `y`, before any shuffling.
        validation_data : tuple, generator or Sequence, optional
            ``(x, y)`` or ``(x, y, sample_weight)`` in place of `validation_split`; or what makes
            such batches.
        shuffle : bool or 'batch'
            Whether to visit samples, or whole batches, in a new order each epoch. Default True.
            ``'batch'`` suits data on disk, of which rows side by side are read much faster. A
            `Sequence` can shuffle its batches only, a generator nothing.
        class_weight : dict of int to float, optional
            How much the samples of each class count in the loss.
        sample_weight : array_like, optional
            How much each sample counts, ``(samples,)``; or each time step, ``(samples, steps)``,
            with ``sample_weight_mode='temporal'``.
        initial_epoch : int
            The epoch at which to start, counted from 0.
        steps_per_epoch : int, optional
            How many batches of a generator or Sequence make an epoch. With arrays, as in Keras 2.2:
            each step takes all of them as one batch, so `batch_size` must be left out.
        validation_steps : int, optional
            How many batches of a generator or Sequence make a validation. With arrays, it goes
            together with `steps_per_epoch`, and means the same.
        **kwargs
            Arguments that came with later versions of Keras: `workers`, `max_queue_size` and
            `use_multiprocessing` as in `fit_generator`; `validation_freq`, an int (every how many
            epochs to validate) or a list of epochs counted from 1; `validation_batch_size`, by
            default `batch_size`. And `nb_epoch`, the name of `epochs` in Keras 1.

        Returns
        -------
        History
            ``history.history['loss']`` and so on, one float per epoch.

        Raises
        ------
        RuntimeError
            If the model has not been compiled.
        ValueError
            If data and model do not fit; with a stateful model, also if the samples, of training
            or of validation, make no whole number of batches, or batches of another size than
            the states that it keeps.

        Warns
        -----
        UserWarning
            If a stateful model is to be trained on shuffled data.

        Notes
        -----
        A stateful model (see `Sequential`) takes its states along from each batch to the next, also
        from one epoch to the next and from training to validation and back, as in Keras. To
        start each epoch anew, run them one by one::

            for i in range(epochs):
                model.fit(x, y, batch_size=batch_size, epochs=1, shuffle=False)
                model.reset_states()

        Ctrl-C raises KeyboardInterrupt out of `fit`; the model stays usable, and
        ``model.history`` holds the epochs that were completed.

        Examples
        --------
        >>> from minikeras import Sequential
        >>> from minikeras.layers import Dense
        >>> model = Sequential([Dense(1, input_dim=2, kernel_initializer="zeros")])
        >>> model.compile("sgd", "mse")
        >>> x = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> history = model.fit(x, [1.0, 2.0], epochs=3, verbose=0)
        >>> len(history.history["loss"])
        3
        """
        return self._fit(
            "fit",
            x,
            y,
            batch_size,
            epochs,
            verbose,
            callbacks,
            validation_split,
            validation_data,
            shuffle,
            class_weight,
            sample_weight,
            initial_epoch,
            steps_per_epoch,
            validation_steps,
            kwargs,
        )

    def _fit(
        self,
        where: str,
        x: Any,
        y: Any,
        batch_size: int | None,
        epochs: int,
        verbose: int,
        callbacks: Iterable[Any] | None,
        validation_split: float,
        validation_data: Any,
        shuffle: bool | str,
        class_weight: dict | None,
        sample_weight: Any,
        initial_epoch: int,
        steps_per_epoch: int | None,
        validation_steps: int | None,
        kwargs: dict[str, Any],
    ) -> History:
        """Train, as `fit` and `fit_generator` do; `where` is the one that was called."""
        self._need_compiled(where)
        later = later_arguments(
            where,
            kwargs,
            nb_epoch=epochs,
            validation_freq=1,
            validation_batch_size=None,
            workers=1,
            max_queue_size=10,
            use_multiprocessing=False,
        )
        if "nb_epoch" in kwargs:
            warn("nb_epoch is the name of Keras 1: it is epochs now.")
        epochs, validates = later.pop("nb_epoch"), check_frequency(later.pop("validation_freq"))
        held_out_size = later.pop("validation_batch_size")
        if held_out_size is not None:
            held_out_size = check_batch_size(held_out_size, "validation_batch_size")
        feeding = check_feeding(**later)
        epochs = check_epoch(epochs, "epochs")
        initial_epoch = check_epoch(initial_epoch, "initial_epoch")
        callbacks = check_callbacks(callbacks)
        if shuffle not in (True, False, None, "batch"):
            raise ValueError(f"shuffle must be True, False or 'batch', got {shuffle!r}.")
        check_verbose(verbose, (0, 1, 2))
        steps = check_steps(steps_per_epoch, "steps_per_epoch")
        validation_steps = check_steps(validation_steps, "validation_steps")
        runs = max(0, epochs - initial_epoch)
        source: Source
        if is_generator(x):
            given = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
            _refuse_beside_batches(x, given, validation_split=validation_split or None)
            source = batch_source(
                self, x, steps, "steps_per_epoch", feeding, runs, bool(shuffle), class_weight
            )
            held_out = validation_beside(
                source, self, validation_data, validation_steps, held_out_size, feeding, runs
            )
        else:
            _check_steps_of_arrays(batch_size, steps, validation_steps, validation_data)
            source, held_out = array_sources(
                self,
                standardize(self, x, y, sample_weight, class_weight),
                validation_data,
                validation_split,
                self._batch_size(batch_size),
                shuffle or False,
                steps,
                validation_steps,
                held_out_size,
                feeding,
                runs,
            )
        step = self._ready()
        self._warn_if_trainable_changed(step)
        return fit_loop(
            self, step, source, epochs, verbose, callbacks, held_out, initial_epoch, validates
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int = 1,
        sample_weight: Any = None,
        steps: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return the loss and the metrics on given data, without training.

        Parameters
        ----------
        x, y, batch_size, sample_weight
            As in `fit`.
        verbose : {0, 1, 2}
            1 shows a progress bar; 0 and 2 show nothing. Default 1.
        steps : int, optional
            How many batches of a generator to use; None: all that a Sequence has. With arrays, as
            in Keras 2.2: all of them are one batch, so many times.
        **kwargs
            Arguments that came with later versions of Keras: `callbacks`, of which the
            ``on_test_*`` hooks are called; `return_dict`, whether to return a dict of the results
            by name; `workers`, `max_queue_size` and `use_multiprocessing` as in `fit_generator`.

        Returns
        -------
        float or list of float, or dict
            The loss; with metrics, a list in the order of `metrics_names`.
        """
        return self._evaluate("evaluate", x, y, batch_size, verbose, sample_weight, steps, kwargs)

    def _evaluate(
        self,
        where: str,
        x: Any,
        y: Any,
        batch_size: int | None,
        verbose: int,
        sample_weight: Any,
        steps: int | None,
        kwargs: dict[str, Any],
    ) -> Any:
        """Evaluate, as `evaluate` and `evaluate_generator` do."""
        self._need_compiled(where)
        check_verbose(verbose, (0, 1, 2))
        callbacks, feeding, as_dict = _later(where, kwargs, return_dict=False)
        steps = check_steps(steps, "steps")
        source: Source
        if is_generator(x):
            given = {"y": y, "sample_weight": sample_weight, "batch_size": batch_size}
            _refuse_beside_batches(x, given)
            source = batch_source(self, x, steps, "steps", feeding, restarts=True)
        else:
            _check_steps_of_arrays(batch_size, steps)
            size = self._batch_size(batch_size)
            arrays = standardize(self, x, y, sample_weight)
            check_epochs(self, len(arrays[0]) if steps else size, {"x": len(arrays[0])})
            source = array_source(self, arrays, size, repeats=steps)
        step = self._ready()
        hooks = self._hooks(callbacks, source, verbose, step.names)
        results = _closing(source, evaluate_loop, step, source, verbose, hooks)
        return dict(zip(step.names, results, strict=True)) if as_dict else scalar_or_list(results)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int = 0,
        steps: int | None = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Return the model's output for given inputs.

        Parameters
        ----------
        x : array_like, shape (samples, ...), or generator or Sequence of batches
            Of what makes batches, targets and weights beside the inputs are not looked at.
        batch_size : int, optional
            Default as in `fit`. It decides memory and speed, not the result, unless the model is
            stateful: see Notes.
        verbose : {0, 1, 2}
            1 shows a progress bar; 0 and 2 show nothing. Default 0.
        steps : int, optional
            How many batches of a generator to use; None: all that a Sequence has. With arrays, as
            in Keras 2.2: all of them are one batch, so many times.
        **kwargs
            Arguments that came with later versions of Keras: `callbacks`, of which the
            ``on_predict_*`` hooks are called; `workers`, `max_queue_size` and
            `use_multiprocessing` as in `fit_generator`.

        Returns
        -------
        ndarray, shape (samples, ...)

        Raises
        ------
        ValueError
            If `x` does not fit the model or, with a stateful one, its states.

        Notes
        -----
        With a stateful model, each batch goes on with the states that the last one left. Up to
        `batch_size` samples are one batch; more must make a whole number of batches. A batch of
        another size than the states that the model keeps is an error: `reset_states` drops them,
        and the next batch may have any size, whatever ``batch_input_shape`` states. So a model
        trained with 32 sequences at a time can predict one.
        """
        check_verbose(verbose, (0, 1, 2))
        if kwargs or steps is not None or is_generator(x):
            return self._predict(x, batch_size, verbose, check_steps(steps, "steps"), kwargs)
        size = self._batch_size(batch_size)
        x = standardize_x(self, x)
        check_prediction(self, size, len(x))
        if len(x) == 0 or (len(x) <= size and verbose != 1):
            return self._predict_once(x)
        return predict_loop(self, array_source(self, (x, None, None), size), verbose)

    def _predict(
        self, x: Any, batch_size: int | None, verbose: int, steps: int | None, kwargs: dict
    ) -> np.ndarray:
        """Predict from what makes batches, in a number of steps, or with callbacks."""
        callbacks, feeding = _later("predict", kwargs)
        source: Source
        if is_generator(x):
            _refuse_beside_batches(x, {"batch_size": batch_size})
            source = batch_source(self, x, steps, "steps", feeding, restarts=True, only_x=True)
        else:
            _check_steps_of_arrays(batch_size, steps)
            size = self._batch_size(batch_size)
            x = standardize_x(self, x)
            check_prediction(self, len(x) if steps else size, len(x))
            if len(x) == 0:
                return self._predict_once(x)
            source = array_source(self, (x, None, None), size, repeats=steps)
        hooks = self._hooks(callbacks, source, verbose, [])
        return _closing(source, predict_loop, self, source, verbose, hooks)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: dict | None = None,
    ) -> float | list[float]:
        """Do a single gradient update on one batch.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As in `fit`. Older versions of Keras had `class_weight` before `sample_weight`: a dict
            of class weights is known for what it is in either place.

        Returns
        -------
        float or list of float
            The loss before the update; with metrics, a list in the order of `metrics_names`.
        """
        self._need_compiled("train_on_batch")
        if by_class(sample_weight) and not isinstance(class_weight, dict):
            sample_weight, class_weight = class_weight, sample_weight
        arrays = standardize(self, x, y, sample_weight, class_weight)
        check_batch(self, len(arrays[0]))
        step = self._ready()
        step.random.renew()
        return scalar_or_list(step.train(*converted(self, arrays)))

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None) -> float | list[float]:
        """Return the loss and the metrics of one batch, without training. See `train_on_batch`."""
        self._need_compiled("test_on_batch")
        arrays = standardize(self, x, y, sample_weight)
        check_batch(self, len(arrays[0]))
        return scalar_or_list(self._ready().test(*converted(self, arrays)))

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Return the model's output for one batch."""
        x = standardize_x(self, x)
        check_batch(self, len(x))
        return self._predict_once(x)

    def predict_proba(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> np.ndarray:
        """Return what `predict` returns, where that is a probability for each class.

        Warns
        -----
        UserWarning
            If there are values below 0 or above 1.
        """
        y = self.predict(x, batch_size=batch_size, verbose=verbose)
        if y.size and (y.min() < 0 or y.max() > 1):
            warn(
                "predict_proba returns no probabilities, but values below 0 or above 1: end the "
                "model in a sigmoid or softmax, or use predict."
            )
        return y

    def predict_classes(
        self, x: Any, batch_size: int | None = None, verbose: int = 0
    ) -> np.ndarray:
        """Return the class that the model predicts for each sample.

        Parameters
        ----------
        x, batch_size, verbose
            As in `predict`.

        Returns
        -------
        ndarray of int
            The largest of several outputs, ``(samples,)``; whether a single output exceeds 0.5,
            ``(samples, 1)``.
        """
        y = self.predict(x, batch_size=batch_size, verbose=verbose)
        return y.argmax(axis=-1) if y.shape[-1] > 1 else (y > 0.5).astype("int32")

    # How the methods above do it

    def _batch_size(self, given: Any) -> int:
        """Return how many samples a batch has, where the caller may not have said."""
        if given is not None:
            return check_batch_size(given)
        stated = self._input_shape[0] if self._input_shape else None
        return stated or self.state_batch_size or DEFAULT_BATCH_SIZE

    def _hooks(
        self, callbacks: Any, source: Source, verbose: int, names: list[str]
    ) -> CallbackList | None:
        """Return the callbacks of `evaluate` or `predict`, told what there is to tell."""
        found = check_callbacks(callbacks)
        if not found:
            return None
        params = {"steps": source.steps, "verbose": verbose, "metrics": list(names)}
        return CallbackList(found, model=self, params=params)

    def _predict_once(self, x: Any) -> np.ndarray:
        x = converted(self, (x, None, None))[0]
        ctx = Context(fixed_phase(False), records=False)
        with one_thread():
            y, _ = self.propagate(x, ctx)
        ctx.finish()
        # Neither the caller's own memory is handed out, nor a view that keeps a larger array alive.
        return y.copy() if y.base is not None or y is x else y


def _later(where: str, given: dict[str, Any], **more: Any) -> tuple[Any, ...]:
    """Return callbacks, feeding, and more, from the arguments of later versions of Keras."""
    if not given:
        return None, Feeding(), *more.values()
    feeding = {"workers": 1, "max_queue_size": 10, "use_multiprocessing": False}
    later = later_arguments(where, given, callbacks=None, **more, **feeding)
    found = check_feeding(**{name: later[name] for name in feeding})
    return later["callbacks"], found, *(later[name] for name in more)


def _closing(source: Source, loop: Any, *args: Any) -> Any:
    """Run a loop, and close its source."""
    try:
        return loop(*args)
    finally:
        source.close()


def _refuse_beside_batches(x: Any, given: dict[str, Any], **more: Any) -> None:
    """Raise ValueError for arguments that have no meaning where `x` makes batches by itself."""
    for name, value in {**given, **more}.items():
        if value is not None:
            raise ValueError(
                f"{name} can't be given together with a {type(x).__name__} as x, which makes "
                "batches by itself: (inputs, targets) or (inputs, targets, sample_weights)."
            )


def _check_steps_of_arrays(
    batch_size: Any, steps: int | None, validation_steps: int | None = None, validation: Any = ()
) -> None:
    """Check numbers of steps where the data are arrays."""
    if steps and batch_size is not None:
        raise ValueError(
            f"With arrays, a number of steps ({steps}) means: all samples as one batch, so many "
            f"times. It does not go together with batch_size={batch_size}: leave out one of them."
        )
    if validation_steps and not steps and not is_generator(validation):
        raise ValueError(
            "validation_steps goes together with steps_per_epoch, or with a generator or Sequence "
            "as validation_data; with arrays, batch_size decides."
        )
