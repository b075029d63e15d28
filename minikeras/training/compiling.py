"""`compile`, and what it makes of a model, an optimizer, a loss and metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minikeras import losses, optimizers
from minikeras.backend.operators import TensorLike
from minikeras.engine import Layer
from minikeras.optimizer_base import OptimizerState
from minikeras.training.arguments import loss_factor, single, unknown_arguments
from minikeras.training.measuring import resolve_metrics
from minikeras.training.step import Step
from minikeras.training.targets import check_activation
from minikeras.utils.warning import warn


class Compiled(Layer):
    """A container of layers that can be compiled.

    Attributes
    ----------
    optimizer : Optimizer
    loss : str or callable
        As passed to `compile`; likewise `metrics`, `loss_weights`, `sample_weight_mode` and
        `weighted_metrics`.
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
    _step: Step | None = None
    _loss_function: Callable | None = None
    _targets: Any = None
    _optimizer_state: OptimizerState | None = None

    def compile(
        self,
        optimizer: Any,
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        sample_weight_mode: str | None = None,
        weighted_metrics: Any = None,
        target_tensors: Any = None,
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
        target_tensors : K.placeholder, tensor or array, or list or dict of one, optional
            A placeholder means what None means: targets are passed to `fit` and the others as `y`.
            A tensor with a value, such as a `K.variable`, stands for `y` where that is not given.

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
        if kwargs:
            raise TypeError(
                f"{unknown_arguments('compile', sorted(kwargs))} (Arguments for a TensorFlow "
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
            _targets=_targets(single(target_tensors, "target_tensors", self._output_name())),
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

    @property
    def stateful_metric_names(self) -> list[str]:
        """Names of the metrics that count over a whole epoch."""
        return self._ready().stateful_names

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
            activation, units = self.output_activation, self.output_shape[-1]
            check_activation(self._loss_function, activation, units, self.metrics)
            self._step = Step(
                self,
                self.optimizer,
                self._loss_function,
                loss_factor(self.loss_weights, name),
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

    def _output_name(self) -> str | None:
        return self.output_names[0] if self.layers else None

    @property
    def _targets_given(self) -> Any:
        """What stands for `y` where it is not given: the value of `target_tensors`."""
        return self._targets.value if isinstance(self._targets, TensorLike) else self._targets

    def _warn_if_trainable_changed(self, step: Step) -> None:
        if set(step.trainable) != set(self.trainable_weights):
            warn(
                "The trainable weights have changed since compile: layer.trainable takes effect "
                "only when the model is compiled again."
            )


def _targets(tensor: Any) -> Any:
    """Return what stands for targets that are not given; None for nothing."""
    if isinstance(tensor, TensorLike):
        return None if tensor.value is None else tensor
    if tensor is None or isinstance(tensor, np.ndarray):
        return tensor
    raise ValueError(
        "target_tensors must be a K.placeholder, a tensor or an array of targets; got "
        f"{tensor!r}. Or leave it out, and pass targets to fit as y."
    )
