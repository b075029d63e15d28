"""The public methods of a model that train and use it; each checks its arguments and delegates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from minikeras import losses, optimizers
from minikeras.engine import Context, Layer
from minikeras.ops.blas import one_thread
from minikeras.training.data import ArraySource, as_array, check_lengths
from minikeras.training.loop import evaluate_loop, fit_loop, predict_loop
from minikeras.training.step import Step, resolve_metrics
from minikeras.training.targets import check_labels, check_targets
from minikeras.training.weighting import standardize_weights

if TYPE_CHECKING:
    from minikeras.callbacks import History

DEFAULT_BATCH_SIZE = 32


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

        def _accept(self, x: np.ndarray, name: str) -> np.ndarray: ...

    optimizer: Any = None
    loss: Any = None
    stop_training = False
    _step: Step | None = None
    _loss_function: Callable | None = None
    _has_trained_state = False

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
        if sample_weight_mode not in (None, "temporal"):
            raise ValueError(
                f"sample_weight_mode must be None or 'temporal', got {sample_weight_mode!r}."
            )
        if loss is None:
            raise ValueError("compile needs a loss, such as loss='mse'.")
        loss_name = _single(loss, "loss", self._output_name())
        if isinstance(loss_name, str) and loss_name.lower() in optimizers.NAMES:
            raise ValueError(
                f"loss={loss_name!r} is the name of an optimizer: compile takes the optimizer "
                "first, then the loss."
            )
        self._loss_function = losses.get(loss_name)
        losses.pair(self._loss_function)
        self.optimizer = optimizers.get(optimizer)
        self.loss = loss
        self.metrics = metrics
        self.loss_weights = loss_weights
        self.sample_weight_mode = sample_weight_mode
        self.weighted_metrics = weighted_metrics
        self._step = None
        self._has_trained_state = False
        if self._is_built():
            self._ready()

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
        class_weight: dict[int, float] | None = None,
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
            Samples per update. Default 32.
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
            If data and model do not fit.

        Notes
        -----
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
        _refuse_steps(steps_per_epoch=steps_per_epoch, validation_steps=validation_steps)
        batch_size = _check_batch_size(batch_size)
        epochs = _check_epoch(epochs, "epochs")
        initial_epoch = _check_epoch(initial_epoch, "initial_epoch")
        callbacks = _check_callbacks(callbacks)
        if shuffle not in (True, False, "batch"):
            raise ValueError(f"shuffle must be True, False or 'batch', got {shuffle!r}.")
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {verbose!r}.")
        arrays = self._standardize(x, y, sample_weight, class_weight)
        held_out = None
        if validation_data is not None:
            x, y, sample_weight = _unpack_validation(validation_data)
            held_out = self._standardize(x, y, sample_weight, name="validation ")
        elif validation_split:
            arrays, held_out = _split(arrays, validation_split)
        step = self._ready()
        self._warn_if_trainable_changed(step)
        return fit_loop(
            self,
            step,
            self._source(arrays, batch_size, shuffle),
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
        _refuse_steps(steps=steps)
        batch_size = _check_batch_size(batch_size)
        arrays = self._standardize(x, y, sample_weight)
        step = self._ready()
        try:
            results = evaluate_loop(step, self._source(arrays, batch_size), verbose)
        finally:
            step.workspace.clear()
        return _scalar_or_list(results)

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: int = 0, steps: None = None
    ) -> np.ndarray:
        """Return the model's output for given inputs.

        Parameters
        ----------
        x : array_like, shape (samples, ...)
        batch_size : int, optional
            Default 32. It decides memory and speed, not the result.
        verbose : {0, 1}
            Whether to show a progress bar. Default 0.
        steps : None
            Only meaningful for generators, which are not supported yet: ValueError.

        Returns
        -------
        ndarray, shape (samples, ...)
        """
        _refuse_steps(steps=steps)
        batch_size = _check_batch_size(batch_size)
        x = self._standardize_x(x)
        if len(x) <= batch_size and not verbose:
            return self._predict_once(x)
        return predict_loop(self, self._source((x, None, None), batch_size), verbose)

    def train_on_batch(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
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
        step = self._ready()
        step.random.renew()
        return _scalar_or_list(step.train(*self._convert(arrays)))

    def test_on_batch(self, x: Any, y: Any, sample_weight: Any = None) -> float | list[float]:
        """Return the loss and the metrics of one batch, without training. See `train_on_batch`."""
        self._need_compiled("test_on_batch")
        arrays = self._standardize(x, y, sample_weight)
        return _scalar_or_list(self._ready().test(*self._convert(arrays)))

    def predict_on_batch(self, x: Any) -> np.ndarray:
        """Return the model's output for one batch."""
        return self._predict_once(self._standardize_x(x))

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

    def _predict_once(self, x: np.ndarray) -> np.ndarray:
        if self.input_dtype is not None:
            x = x.astype(self.input_dtype, copy=False)
        with one_thread():
            y, _ = self.propagate(x, Context())
        # A model of layers that only pass on or reshape must not hand out the caller's own memory.
        return y.copy() if np.may_share_memory(y, x) else y

    def _ready(self) -> Step:
        """Return the compiled step, made at first use after `compile` or a change of layers."""
        self._need_compiled("this")
        if self._step is None:
            if not self._is_built():
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
                float(_single(factor, "loss_weights", name)),
                self._resolve(self.metrics),
                self._resolve(self.weighted_metrics),
                keep_optimizer_state=self._has_trained_state,
            )
            self._has_trained_state = True
        return self._step

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

    def _is_built(self) -> bool:
        return self.built

    def _output_name(self) -> str | None:
        return self.output_names[0] if self.layers else None

    def _standardize_x(self, x: Any, name: str = "x") -> np.ndarray:
        """Return `x` as an array that fits the model, building the model at first sight of data."""
        if x is None:
            raise ValueError(f"{name} is None: pass an array of shape (samples, ...).")
        return self._accept(as_array(x, name, self.input_names[0] if self.layers else None), name)

    def _standardize(
        self,
        x: Any,
        y: Any,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        name: str = "",
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Check inputs, targets and weights against the model and each other."""
        assert self._loss_function is not None
        x = self._standardize_x(x, f"{name}x")
        if y is None:
            raise ValueError(f"{name}y is None: the loss needs targets.")
        y = as_array(y, f"{name}y", self._output_name())
        if y.ndim == len(self.output_shape) - 1 and self.output_shape[-1] == 1:
            y = y[..., np.newaxis]
        check_lengths(x, y)
        if len(x) == 0:
            raise ValueError(f"{name}x and {name}y hold no samples.")
        check_targets(self._loss_function, y, self.output_shape)
        if self._loss_function is losses.sparse_categorical_crossentropy:
            check_labels(y, self.output_shape[-1] or 1)
        if sample_weight is not None:
            sample_weight = as_array(sample_weight, f"{name}sample_weight", self._output_name())
        weights = standardize_weights(y, sample_weight, class_weight, self.sample_weight_mode)
        return x, y, weights

    def _source(self, arrays: tuple, batch_size: int, shuffle: bool | str = False) -> ArraySource:
        x, y, weights = arrays
        return ArraySource(
            x, y, weights, batch_size, shuffle, self.input_dtype, self._target_dtype()
        )

    def _convert(self, arrays: tuple) -> tuple:
        x, y, weights = arrays
        if self.input_dtype is not None:
            x = x.astype(self.input_dtype, copy=False)
        dtype = self._target_dtype()
        return x, y if dtype is None else y.astype(dtype, copy=False), weights

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


def _single(value: Any, what: str, output_name: str | None) -> Any:
    """Unwrap a list or dict of one entry, which Keras takes for models of several outputs."""
    if isinstance(value, dict):
        if "class_name" in value:
            return value
        if list(value) != [output_name]:
            raise ValueError(
                f"{what} was given as a dict with the keys {list(value)}, but this model has one "
                f"output, '{output_name}'."
            )
        return value[output_name]
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise ValueError(
                f"{what} was given as a list of {len(value)} entries, but a Sequential model has "
                "one output."
            )
        return value[0]
    return value


def _unpack_validation(data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            "validation_data must be a tuple (x, y) or (x, y, sample_weight), got "
            f"{type(data).__name__}{f' of length {len(data)}' if hasattr(data, '__len__') else ''}."
        )
    return (*data, None)[:3]


def _split(arrays: tuple, share: float) -> tuple[tuple, tuple]:
    """Cut the last `share` of the samples off."""
    samples = len(arrays[0])
    if not 0 < share < 1:
        raise ValueError(f"validation_split must be from 0 up to but not including 1, got {share}.")
    cut = int(samples * (1.0 - share))
    if cut in (0, samples):
        raise ValueError(
            f"validation_split={share} of {samples} samples leaves {cut} for training and "
            f"{samples - cut} for validation; both need at least one."
        )
    first = tuple(None if a is None else a[:cut] for a in arrays)
    return first, tuple(None if a is None else a[cut:] for a in arrays)


def _check_batch_size(batch_size: int | None) -> int:
    if batch_size is None:
        return DEFAULT_BATCH_SIZE
    if isinstance(batch_size, bool) or int(batch_size) != batch_size or batch_size < 1:
        raise ValueError(f"batch_size must be an int greater than 0, got {batch_size!r}.")
    return int(batch_size)


def _check_epoch(value: Any, name: str) -> int:
    if isinstance(value, (bool, str)) or int(value) != value or value < 0:
        raise ValueError(f"{name} must be an int of at least 0, got {value!r}.")
    return int(value)


def _check_callbacks(callbacks: Iterable[Any] | None) -> list[Any]:
    if hasattr(callbacks, "set_params") or isinstance(callbacks, type):
        raise TypeError(f"callbacks must be a list: callbacks=[{callbacks!r}].")
    return list(callbacks or ())


def _refuse_steps(**steps: Any) -> None:
    for name, value in steps.items():
        if value is not None:
            raise ValueError(
                f"{name} is for generators, which are not supported yet; with arrays, the number "
                "of steps follows from batch_size."
            )


def _scalar_or_list(results: list[float]) -> float | list[float]:
    return results[0] if len(results) == 1 else results
