"""Layers for sequences, and recurrent cells, as users of Keras 2 write them."""

import minikeras as keras
from minikeras import backend as K
from minikeras import constraints, initializers, regularizers
from minikeras.engine.topology import Layer
from minikeras.layers import LSTM


class AttentionPooling(Layer):
    """A weighted mean over the steps that count, written like those of many a text classifier."""

    def __init__(self, W_regularizer=None, W_constraint=None, bias=True, **kwargs):
        self.supports_masking = True
        self.init = initializers.get("glorot_uniform")
        self.W_regularizer = regularizers.get(W_regularizer)
        self.W_constraint = constraints.get(W_constraint)
        self.bias = bias
        super().__init__(**kwargs)

    def build(self, input_shape):
        assert len(input_shape) == 3
        self.W = self.add_weight(
            shape=(input_shape[-1],),
            initializer=self.init,
            name=f"{self.name}_W",
            regularizer=self.W_regularizer,
            constraint=self.W_constraint,
        )
        self.features_dim = input_shape[-1]
        self.step_dim = input_shape[1]
        if self.bias:
            self.b = self.add_weight(
                shape=(input_shape[1],), initializer="zero", name=f"{self.name}_b"
            )
        else:
            self.b = None
        self.built = True

    def compute_mask(self, input, input_mask=None):
        return None

    def call(self, x, mask=None):
        features_dim, step_dim = self.features_dim, self.step_dim
        flat = K.reshape(x, (-1, features_dim))
        e = K.reshape(K.dot(flat, K.reshape(self.W, (features_dim, 1))), (-1, step_dim))
        if self.b is not None:
            e += self.b
        a = K.exp(K.tanh(e))
        if mask is not None:
            a *= K.cast(mask, K.floatx())
        a /= K.cast(K.sum(a, axis=1, keepdims=True) + K.epsilon(), K.floatx())
        return K.sum(x * K.expand_dims(a), axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape[0], self.features_dim

    def get_config(self):
        config = {
            "W_regularizer": regularizers.serialize(self.W_regularizer),
            "W_constraint": constraints.serialize(self.W_constraint),
            "bias": self.bias,
        }
        return {**super().get_config(), **config}


class SelfAttention(Layer):
    def __init__(self, output_dim, **kwargs):
        self.output_dim = output_dim
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(3, input_shape[2], self.output_dim),
            initializer="uniform",
            trainable=True,
        )
        super().build(input_shape)

    def call(self, x):
        WQ = K.dot(x, self.kernel[0])
        WK = K.dot(x, self.kernel[1])
        WV = K.dot(x, self.kernel[2])
        QK = K.batch_dot(WQ, K.permute_dimensions(WK, [0, 2, 1]))
        QK = K.softmax(QK / (self.output_dim**0.5))
        return K.batch_dot(QK, WV)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1], self.output_dim)

    def get_config(self):
        return {**super().get_config(), "output_dim": self.output_dim}


class MaskedMean(Layer):
    """The mean over the steps that count; the mask ends here."""

    supports_masking = True

    def call(self, x, mask=None):
        if mask is None:
            return K.mean(x, axis=1)
        mask = K.cast(mask, "float32")
        mask = K.permute_dimensions(K.repeat(mask, K.int_shape(x)[-1]), (0, 2, 1))
        return K.sum(x * mask, axis=1) / K.maximum(K.sum(mask, axis=1), 1.0)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[2])


class PositionEmbedding(Layer):
    """Sines and cosines of the position, added to the features."""

    def call(self, x):
        size = K.int_shape(x)[-1]
        scale = 1.0 / K.pow(10000.0, 2 * K.arange(size // 2, dtype="float32") / size)
        position = K.expand_dims(K.cumsum(K.ones_like(x[:, :, 0]), 1) - 1, 2)
        angle = K.dot(position, K.expand_dims(scale, 0))
        return x + K.concatenate([K.cos(angle), K.sin(angle)], 2)

    def compute_output_shape(self, input_shape):
        return input_shape


class MinimalRNNCell(keras.layers.Layer):
    """The cell of the documentation of RNN."""

    def __init__(self, units, **kwargs):
        self.units = units
        self.state_size = units
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(input_shape[-1], self.units), initializer="uniform", name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )
        self.built = True

    def call(self, inputs, states):
        prev_output = states[0]
        h = K.dot(inputs, self.kernel)
        output = h + K.dot(prev_output, self.recurrent_kernel)
        return output, [output]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class PeepholeCell(Layer):
    """Two states: a memory, and an output gated by what the memory holds."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = (units, units)
        self.output_size = units

    def build(self, input_shape):
        def gates(name, size):
            return self.add_weight(
                shape=(size, 3 * self.units), initializer="glorot_uniform", name=name
            )

        self.kernel = gates("kernel", input_shape[-1])
        self.recurrent_kernel = gates("recurrent_kernel", self.units)
        self.peephole = self.add_weight("peephole", (self.units,), initializer="ones")
        super().build(input_shape)

    def call(self, inputs, states, training=None):
        h, c = states
        z = K.dot(inputs, self.kernel) + K.dot(h, self.recurrent_kernel)
        write = K.hard_sigmoid(z[:, : self.units])
        read = K.sigmoid(z[:, self.units : 2 * self.units] + self.peephole * c)
        c = (1 - write) * c + write * K.tanh(z[:, 2 * self.units :])
        h = read * K.tanh(c)
        return h, [h, c]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class GatedLSTM(LSTM):
    """An LSTM whose output passes a gate with weights of its own."""

    def build(self, input_shape):
        super().build(input_shape)
        self.gate = self.add_weight(name="gate", shape=(self.units,), initializer="zeros")
        self.built = True

    def call(self, inputs, mask=None, training=None, initial_state=None):
        h = super().call(inputs, mask=mask, training=training, initial_state=initial_state)
        return h * K.sigmoid(self.gate)
