"""A recurrent layer of two dozen lines, to test wrappers by the interface of layers alone."""

import numpy as np

from minikeras.engine import Layer


class Tiny(Layer):
    """``h = tanh(scale * x + keep * h)`` for each feature by itself."""

    supports_masking = True

    def __init__(
        self,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        activity_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.activity_regularizer = activity_regularizer
        self.state = None

    def build(self, input_shape):
        features = input_shape[-1:]
        self.scale = self.add_weight("scale", features, initializer="ones")
        self.keep = self.add_weight("keep", features, initializer="random_normal")
        self.built = True

    def forward(self, x, ctx):
        mask = np.ones(x.shape[:2], bool) if ctx.mask is None else ctx.mask
        order = range(x.shape[1])[:: -1 if self.go_backwards else 1]
        hs = [np.zeros_like(x[:, 0]) if self.state is None else self.state]
        for t in order:
            h = np.tanh(self.scale.value * x[:, t] + self.keep.value * hs[-1])
            hs.append(np.where(mask[:, t, np.newaxis], h, hs[-1]))
        if self.stateful:
            self.state = hs[-1].copy()
        y = np.stack(hs[1:], axis=1) if self.return_sequences else hs[-1].copy()
        return [y, hs[-1].copy()] if self.return_state else y, (x, mask, order, hs)

    def backward(self, dy, residual, ctx):
        x, mask, order, hs = residual
        dy, dh = dy if self.return_state else (dy, np.zeros_like(hs[0]))
        if not self.return_sequences:
            dh = dh + dy
        dx = np.zeros_like(x)
        dscale, dkeep = np.zeros_like(hs[0]), np.zeros_like(hs[0])
        for k in reversed(range(len(order))):
            if self.return_sequences:
                dh = dh + dy[:, k]
            counts = mask[:, order[k], np.newaxis]
            dz = np.where(counts, dh * (1 - hs[k + 1] ** 2), 0)
            dscale += dz * x[:, order[k]]
            dkeep += dz * hs[k]
            dx[:, order[k]] = dz * self.scale.value
            dh = np.where(counts, dz * self.keep.value, dh)
        ctx.add_gradient(self.scale, dscale.sum(axis=0))
        ctx.add_gradient(self.keep, dkeep.sum(axis=0))
        dy[...] = np.nan  # it may be overwritten, so somebody will
        return dx

    @property
    def state_batch_size(self):
        return None if self.state is None else len(self.state)

    def reset_states(self, states=None):
        self.state = None if states is None else np.array(states[0])

    def compute_output_shape(self, input_shape):
        batch, _, features = input_shape
        y = tuple(input_shape) if self.return_sequences else (batch, features)
        return [y, (batch, features)] if self.return_state else y

    def compute_mask(self, inputs, mask=None):
        found = mask if self.return_sequences else None
        return [found, None] if self.return_state else found

    def get_config(self):
        names = ("return_sequences", "return_state", "go_backwards", "stateful")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "activity_regularizer": self.activity_regularizer,
        }
