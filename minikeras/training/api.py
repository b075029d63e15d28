"""The public methods of a model that train and use it; each checks its arguments and delegates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minikeras import losses, optimizers
from minikeras.backend.running import fixed_phase
from minikeras.engine import Context, Layer
from minikeras.ops.blas import one_thread
from minikeras.optimizer_base import OptimizerState
from minikeras.training.arguments import (
    DEFAULT_BATCH_SIZE,
    check_batch_size,
    check_callbacks,
    check_epoch,
    check_verbose,
    read_only,
    refuse_steps,
    scalar_or_list,
    single,
    split,
    unpack_validation,
)
from minikeras.training.data import ArraySource, as_array, check_lengths
from minikeras.training.loop import evaluate_loop, fit_loop, predict_loop
from minikeras.training.stateful import check_batch, check_epochs, check_prediction
from minikeras.training.step import Step, resolve_metrics
from minikeras.training.targets import check_labels, check_targets
from minikeras.training.weighting import standardize_weights

if TYPE_CHECKING:
    from minikeras.callbacks import History


class Trainer(Layer):
    """A container of layers that can be compiled, trained and used.

    Attributes
    ----------
    optimizer : Optimizer
    loss : str or callable
        As passed to `compile`; likewise `metrics`, `loss_weights`, `sample_weight_mode` and
        `weighted_metrics`.
    history : History
        Of the last `fit`, kept also if it was interrupted.
    stop_training : bool
        Set it in a callback to end the training after the current batch.
    """

    if TYPE_CHECKING:  # what the container provides
        layers: list[Layer]

        @property
        def input_names(self) -> list[str]:
            """Names of the inputs, by which a dict of data goes."""

        @property
        def output_names(self) -> list[str]:
            """Names of the outputs."""

        @property
        def state_batch_size(self) -> int | None:
            """The batch size of the states that stateful layers keep."""

        def _accept(self, x: np.ndarray, name: str) -> np.ndarray: ...

        def signature(self) -> tuple:
            """Return what tells whether layers have been exchanged."""

    optimizer: Any = None
    loss: Any = None
    metrics: Any = None
    loss_weights: Any = None
    sample_weight_mode: str | None = None
    weighted_metrics: Any = None
    stop_training = False
    _step: Step | None = None
    _loss_function: Callable | None = None
    _optimizer_state: OptimizerState | None = None

    def compile(
        self,
        optimizer: Any,
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        sample_weight_mode: str | None = None,
        weighted_metrics: Any = None,
        target_tensors: None = None,
        **kwargs: Any,
    ) -> None:
        """Configure the model for training.

        Parameters
        ----------
        optimizer : str, dict or Optimizer
            See `minikeras.optimizers`.
        loss : str or callable
            See `minikeras.losses`. A list or dict of one entry, the latter by the name of the
            last layer, means the same.
        metrics : list of str or callable, optional
            What to report besides the loss, such as ``['accuracy']``. See `minikeras.metrics`.
        loss_weights : float, or list or dict of one float, optional
            Factor of the loss. Default 1.
        sample_weight_mode : {None, 'temporal'}
            With ``'temporal'``, `sample_weight` has one weight per time step. Default None.
        weighted_metrics : list of str or callable, optional
            Like `metrics`, but samples count by their weights.
        target_tensors : None
            Not supported: there is no symbolic graph into which a tensor could be fed.

        Raises
        ------
        ValueError
            If an argument is invalid.

        Examples
        --------
        >>> from minikeras import Sequential
        >>> from minikeras.layers import Dense
        >>> model = Sequential([Dense(1, input_dim=4)])
        >>> model.compile(optimizer="sgd", loss="mse", metrics=["mae"])
        >>> model.metrics_names
        ['loss', 'mean_absolute_error']
        """
        if target_tensors is not None:
            raise ValueError(
                "target_tensors is not supported: targets are NumPy arrays, passed to fit as y."
            )
        if kwargs:
            raise TypeError(
                f"compile got unknown arguments: {sorted(kwargs)}. (Arguments for a TensorFlow "
                "session have no meaning here.)"
            )
        sample_weight_mode = single(sample_weight_mode, "sample_weight_mode", self._output_name())
        if sample_weight_mode not in (None, "temporal"):
            raise ValueError(
                f"sample_weight_mode must be None or 'temporal', got {sample_weight_mode!r}."
            )
        if loss is None:
            raise ValueError("compile needs a loss, such as loss='mse'.")
        loss_name = single(loss, "loss", self._output_name())
        if isinstance(loss_name, str) and loss_name.lower() in optimizers.NAMES:
            raise ValueError(
                f"loss={loss_name!r} is the name of an optimizer: compile takes the optimizer "
                "first, then the loss."
            )
        loss_function = losses.get(loss_name)
        losses.pair(loss_function)
        before = self.__dict__.copy()
        self.__dict__.update(
            optimizer=optimizers.get(optimizer),
            loss=loss,
            metrics=metrics,
            loss_weights=loss_weights,
            sample_weight_mode=sample_weight_mode,
            weighted_metrics=weighted_metrics,
            _loss_function=loss_function,
            _step=None,
            _optimizer_state=None,
        )
        try:
            if self.built:
                self._ready()
        except BaseException:  # a model that was compiled stays as it was
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` and `train_on_batch` return: the loss, then the metrics."""
        return list(self._ready().names)

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
        steps_per_epoch: None = None,
        validation_steps: None = None,
    ) -> History:
        """Train the model for a number of epochs.

        Parameters
        ----------
        x : array_like, shape (samples, ...)
            Inputs. A list or dict of one array, the latter by the name of the input, means the
            same.
        y : array_like, shape (samples, ...)
            Targets.
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
        validation_data : tuple, optional
            ``(x, y)`` or ``(x, y, sample_weight)`` in place of `validation_split`.
        shuffle : bool or 'batch'
            Whether to visit samples, or whole batches, in a new order each epoch. Default True.
        class_weight : dict of int to float, optional
            How much the samples of each class count in the loss.
        sample_weight : array_like, optional
            How much each sample counts, ``(samples,)``; or each time step, ``(samples, steps)``,
            with ``sample_weight_mode='temporal'``.
        initial_epoch : int
            The epoch at which to start, counted from 0.
        steps_per_epoch, validation_steps : None
            Only meaningful for generators, which are not supported yet: ValueError.

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
        self._need_compiled("fit")
        refuse_steps(steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
        batch_size = self._batch_size(batch_size)
        epochs = check_epoch(epochs, "epochs")
        initial_epoch = check_epoch(initial_epoch, "initial_epoch")
        callbacks = check_callbacks(callbacks)
        if shuffle not in (True, False, None, "batch"):
            raise ValueError(f"shuffle must be True, False or 'batch', got {shuffle!r}.")
        check_verbose(verbose, (0, 1, 2))
        arrays = self._standardize(x, y, sample_weight, class_weight)
        held_out = None
        if validation_data is not None:
            x, y, sample_weight = unpack_validation(validation_data)
            held_out = self._standardize(x, y, sample_weight, name="validation ")
            samples = {"x": len(arrays[0]), "validation x": len(held_out[0])}
        elif validation_split:
            arrays, held_out = split(arrays, validation_split)
            held = f"what validation_split={validation_split} "
            samples = {f"{held}leaves": len(arrays[0]), f"{held}holds out": len(held_out[0])}
        else:
            samples = {"x": len(arrays[0])}
        check_epochs(self, batch_size, samples, shuffle or False)
        step = self._ready()
        self._warn_if_trainable_changed(step)
        return fit_loop(
            self,
            step,
            self._source(arrays, batch_size, shuffle or False),
            epochs,
            verbose,
            callbacks,
            None if held_out is None else self._source(held_out, batch_size),
            initial_epoch,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int = 1,
        sample_weight: Any = None,
        steps: None = None,
    ) -> float | list[float]:
        """Return the loss and the metrics on given data, without training.

        Parameters
        ----------
        x, y, batch_size, sample_weight
            As in `fit`.
        verbose : {0, 1}
            Whether to show a progress bar. Default 1.
        steps : None
            Only meaningful for generators, which are not supported yet: ValueError.

        Returns
        -------
        float or list of float
            The loss; with metrics, a list in the order of `metrics_names`.
        """
        self._need_compiled("evaluate")
        refuse_steps(steps=steps)
        check_verbose(verbose, (0, 1))
        batch_size = self._batch_size(batch_size)
        arrays = self._standardize(x, y, sample_weight)
        check_epochs(self, batch_size, {"x": len(arrays[0])})
        results = evaluate_loop(self._ready(), self._source(arrays, batch_size), verbose)
        return scalar_or_list(results)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: int = 0, steps: None = None
    ) -> np.ndarray:
        """Return the model's output for given inputs.

        Parameters
        ----------
        x : array_like, shape (samples, ...)
        batch_size : int, optional
            Default as in `fit`. It decides memory and speed, not the result, unless the model is
            stateful: see Notes.
        verbose : {0, 1}
            Whether to show a progress bar. Default 0.
        steps : None
            Only meaningful for generators, which are not supported yet: ValueError.

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
        refuse_steps(steps=steps)
        check_verbose(verbose, (0, 1))
        batch_size = self._batch_size(batch_size)
        x = self._standardize_x(x)
        check_prediction(self, batch_size, len(x))
        if len(x) == 0 or (len(x) <= batch_size and not verbose):
            return self._predict_once(x)
        return predict_loop(self, self._source((x, None, None), batch_size), verbose)

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
            As in `fit`.

        Returns
        -------
        float or list of float
            The loss before the update; with metrics, a list in the order of `metrics_names`.
        """
        self._need_compiled("train_on_batch")
        arrays = self._standardize(x, y, sample_weight, class_weight)
        check_batch(self, len(arrays[0]))
        step = self._ready()
        step.random.renew()
        return scalar_or_list(step.train(*self._convert(arrays)))

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None) -> float | list[float]:
        """Return the loss and the metrics of one batch, without training. See `train_on_batch`."""
        self._need_compiled("test_on_batch")
        arrays = self._standardize(x, y, sample_weight)
        check_batch(self, len(arrays[0]))
        return scalar_or_list(self._ready().test(*self._convert(arrays)))

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Return the model's output for one batch."""
        x = self._standardize_x(x)
        check_batch(self, len(x))
        return self._predict_once(x)

    def predict_proba(self, x: Any, batch_size: int | None = None, verbose: int = 0) -> np.ndarray:
        """Return what `predict` returns, where that is a probability for each class."""
        return self.predict(x, batch_size=batch_size, verbose=verbose)

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

    def _predict_once(self, x: np.ndarray) -> np.ndarray:
        x = self._converted(read_only(x))
        ctx = Context(fixed_phase(False), records=False)
        with one_thread():
            y, _ = self.propagate(x, ctx)
        ctx.finish()
        # Neither the caller's own memory is handed out, nor a view that keeps a larger array alive.
        return y.copy() if y.base is not None or y is x else y

    def _ready(self) -> Step:
        """Return the compiled step, made at first use after `compile` or a change of layers."""
        self._need_compiled("it")
        self._notice_changes()
        if self._step is None:
            if not self.built:
                raise RuntimeError(
                    "The model's input shape is not known yet: give the first layer an "
                    "input_shape, or call fit or predict on data first."
                )
            assert self._loss_function is not None
            name = self._output_name()
            factor = 1.0 if self.loss_weights is None else self.loss_weights
            self._step = Step(
                self,
                self.optimizer,
                self._loss_function,
                float(single(factor, "loss_weights", name)),
                self._resolve(self.metrics),
                self._resolve(self.weighted_metrics),
                previous=self._optimizer_state,
            )
            self._optimizer_state = self._step.state
        return self._step

    def _notice_changes(self) -> None:
        """Drop the compiled step, and work out the shapes anew, if layers have been exchanged."""
        if self._step is not None and self._step.signature != self.signature():
            self.build(self.input_shape)
            self._step = None

    def _resolve(self, identifiers: Any) -> list[tuple[str, Callable]]:
        assert self._loss_function is not None
        return resolve_metrics(
            identifiers, self._loss_function, self.output_shape, self._output_name()
        )

    def _need_compiled(self, what: str) -> None:
        if self.optimizer is None:
            raise RuntimeError(
                f"The model must be compiled before {what} is used: call "
                "model.compile(optimizer, loss) first."
            )

    def _input_name(self) -> str | None:
        return self.input_names[0] if self.layers else None

    def _output_name(self) -> str | None:
        return self.output_names[0] if self.layers else None

    def _standardize_x(self, x: Any, name: str = "x") -> np.ndarray:
        """Return `x` as an array that fits the model, building the model at first sight of data."""
        if x is None:
            raise ValueError(f"{name} is None: pass an array of shape (samples, ...).")
        key = self._input_name() if isinstance(x, dict) else None
        return self._accept(as_array(x, name, key), name)

    def _standardize(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: dict | None = None,
        name: str = "",
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Check inputs, targets and weights against the model and each other."""
        assert self._loss_function is not None
        self._notice_changes()
        if x is None or y is None:
            missing = "x" if x is None else "y"
            raise ValueError(f"{name}{missing} is None: pass an array of shape (samples, ...).")
        x = as_array(x, f"{name}x", self._input_name())
        y = as_array(y, f"{name}y", self._output_name())
        check_lengths(x, y, name=name)
        if len(x) == 0:
            raise ValueError(f"{name}x and {name}y hold no samples.")
        x = self._accept(x, f"{name}x")
        if y.ndim == len(self.output_shape) - 1 and self.output_shape[-1] == 1:
            y = y[..., np.newaxis]
        check_targets(self._loss_function, y, self.output_shape, name=name)
        if self._loss_function is losses.sparse_categorical_crossentropy:
            check_labels(y, self.output_shape[-1] or 1, name=name)
        if sample_weight is not None:
            sample_weight = as_array(sample_weight, f"{name}sample_weight", self._output_name())
        if isinstance(class_weight, dict) and self._output_name() in class_weight:
            class_weight = single(class_weight, "class_weight", self._output_name())
        weights = standardize_weights(
            y,
            sample_weight,
            class_weight,
            self.sample_weight_mode,
            name=name,
            output_rank=len(self.output_shape),
        )
        return x, y, weights

    def _source(self, arrays: tuple, batch_size: int, shuffle: bool | str = False) -> ArraySource:
        x, y, weights = arrays
        return ArraySource(
            x, y, weights, batch_size, shuffle, self.input_dtype, self._target_dtype()
        )

    def _converted(self, x: np.ndarray) -> np.ndarray:
        dtype = self.input_dtype
        return x if dtype is None else x.astype(dtype, copy=False)

    def _convert(self, arrays: tuple) -> tuple:
        x, y, weights = map(read_only, arrays)
        dtype = self._target_dtype()
        return self._converted(x), y if dtype is None else y.astype(dtype, copy=False), weights

    def _target_dtype(self) -> str | None:
        """Return the type of the targets: the last layer's; class numbers stay what they are."""
        if self._loss_function is losses.sparse_categorical_crossentropy:
            return None
        return self.layers[-1].dtype

    def _warn_if_trainable_changed(self, step: Step) -> None:
        if set(step.trainable) != set(self.trainable_weights):
            warnings.warn(
                "The trainable weights have changed since compile: layer.trainable takes effect "
                "only when the model is compiled again.",
                stacklevel=3,
            )
