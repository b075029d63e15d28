"""Layers as users of Keras 2 write them: kinds known from its documentation and from the field.

Nothing here knows that it is not Keras: it is the user's side of the interface. Layers for
sequences are in sequences.py, losses and the rest in losses.py.
"""

import numpy as np

import minikeras as keras
from minikeras import activations, constraints, initializers
from minikeras import backend as K
from minikeras.engine.topology import InputSpec, Layer
from minikeras.layers import Conv2D, Dense, Lambda

# --- dense and elementwise ---------------------------------------------------------------------


class MyDense(Layer):
    """The layer of the page about writing one's own: weights, call, output shape."""

    def __init__(self, output_dim, **kwargs):
        self.output_dim = output_dim
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[1], self.output_dim),
            initializer="uniform",
            trainable=True,
        )
        super().build(input_shape)

    def call(self, x):
        return K.dot(x, self.kernel)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)

    def get_config(self):
        base = super().get_config()
        return dict([*base.items(), ("output_dim", self.output_dim)])


class MyDenseWithoutShape(MyDense):
    """The same, where the output shape must be found out."""

    def compute_output_shape(self, input_shape):
        return Layer.compute_output_shape(self, input_shape)


def antirectify(inputs):
    """Centre and scale each sample, then keep its positive and its negative part."""
    inputs -= K.mean(inputs, axis=1, keepdims=True)
    inputs = K.l2_normalize(inputs, axis=1)
    return K.concatenate([K.relu(inputs), K.relu(-inputs)], axis=1)


def antirectified_shape(input_shape):
    shape = list(input_shape)
    assert len(shape) == 2
    shape[-1] *= 2
    return tuple(shape)


class Antirectifier(Layer):
    def compute_output_shape(self, input_shape):
        return antirectified_shape(input_shape)

    def call(self, inputs):
        return antirectify(inputs)


class MyPReLU(Layer):
    """A rectifier with a slope of its own for each feature, below zero."""

    def __init__(self, alpha_initializer="zeros", alpha_constraint=None, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_constraint = constraints.get(alpha_constraint)

    def build(self, input_shape):
        shape = list(input_shape[1:])
        self.alpha = self.add_weight(
            shape=shape,
            name="alpha",
            initializer=self.alpha_initializer,
            constraint=self.alpha_constraint,
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={1: input_shape[1]})
        self.built = True

    def call(self, inputs, mask=None):
        return K.relu(inputs) - self.alpha * K.relu(-inputs)

    def get_config(self):
        config = {
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_constraint": constraints.serialize(self.alpha_constraint),
        }
        base_config = super().get_config()
        return dict(list(base_config.items()) + list(config.items()))

    def compute_output_shape(self, input_shape):
        return input_shape


class Highway(Layer):
    """A gate between a transformation of the input and the input itself."""

    def __init__(self, activation="relu", transform_gate_bias=-1, **kwargs):
        self.activation = activations.get(activation)
        self.transform_gate_bias = transform_gate_bias
        super().__init__(**kwargs)

    def build(self, input_shape):
        dim = input_shape[-1]
        bias = initializers.Constant(self.transform_gate_bias)
        self.W = self.add_weight("W", (dim, dim), initializer="glorot_uniform")
        self.b = self.add_weight("b", (dim,), initializer="zeros")
        self.W_gate = self.add_weight("W_gate", (dim, dim), initializer="glorot_uniform")
        self.b_gate = self.add_weight("b_gate", (dim,), initializer=bias)
        super().build(input_shape)

    def call(self, x):
        gate = K.sigmoid(K.bias_add(K.dot(x, self.W_gate), self.b_gate))
        transformed = self.activation(K.bias_add(K.dot(x, self.W), self.b))
        return gate * transformed + (1.0 - gate) * x

    def get_config(self):
        config = super().get_config()
        config["activation"] = activations.serialize(self.activation)
        config["transform_gate_bias"] = self.transform_gate_bias
        return config


class RBF(Layer):
    """Bells around centres that are learnt."""

    def __init__(self, units, gamma=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.gamma = K.cast_to_floatx(gamma)

    def build(self, input_shape):
        self.mu = self.add_weight(
            name="mu", shape=(int(input_shape[1]), self.units), initializer="uniform"
        )
        super().build(input_shape)

    def call(self, inputs):
        diff = K.expand_dims(inputs) - self.mu
        l2 = K.sum(K.pow(diff, 2), axis=1)
        return K.exp(-1 * self.gamma * l2)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "gamma": float(self.gamma)}


class MinibatchDiscrimination(Layer):
    """How close each sample is to the others of its batch: a piece of many GANs."""

    def __init__(self, nb_kernels, kernel_dim, **kwargs):
        self.nb_kernels = nb_kernels
        self.kernel_dim = kernel_dim
        super().__init__(**kwargs)

    def build(self, input_shape):
        shape = (self.nb_kernels, input_shape[1], self.kernel_dim)
        self.W = self.add_weight(shape=shape, initializer="glorot_uniform", name="kernel")
        self.built = True

    def call(self, x):
        features = K.reshape(
            K.dot(x, K.reshape(K.permute_dimensions(self.W, (1, 0, 2)), (K.int_shape(x)[1], -1))),
            (-1, self.nb_kernels, self.kernel_dim),
        )
        diffs = K.expand_dims(features, 3) - K.expand_dims(
            K.permute_dimensions(features, [1, 2, 0]), 0
        )
        distances = K.sum(K.abs(diffs), axis=2)
        return K.concatenate([x, K.sum(K.exp(-distances), axis=2)], 1)

    def compute_output_shape(self, input_shape):
        assert len(input_shape) == 2
        return input_shape[0], input_shape[1] + self.nb_kernels

    def get_config(self):
        config = {"nb_kernels": self.nb_kernels, "kernel_dim": self.kernel_dim}
        return {**super().get_config(), **config}


# --- subclasses of built-in layers, layers that hold layers --------------------------------------


class CosineDense(Dense):
    """A Dense layer over directions: kernel and input are scaled to length 1."""

    def call(self, inputs):
        inputs = K.l2_normalize(inputs, axis=-1)
        output = K.dot(inputs, K.l2_normalize(self.kernel, axis=0))
        if self.use_bias:
            output = K.bias_add(output, self.bias, data_format="channels_last")
        return self.activation(output) if self.activation is not None else output


class ResidualDense(Dense):
    def call(self, x):
        return x + super().call(x)


class ResidualConv2D(Conv2D):
    """The input is added to the convolution of it."""

    def __init__(self, filters, kernel_size, **kwargs):
        kwargs["padding"] = "same"
        super().__init__(filters, kernel_size, **kwargs)

    def call(self, inputs):
        return K.relu(inputs + super().call(inputs))


class StandardizedConv2D(Conv2D):
    """The kernel is standardized before it is used."""

    def call(self, inputs):
        mean = K.mean(self.kernel, axis=[0, 1, 2], keepdims=True)
        std = K.std(self.kernel, axis=[0, 1, 2], keepdims=True)
        outputs = K.conv2d(
            inputs,
            (self.kernel - mean) / (std + 1e-5),
            strides=self.strides,
            padding=self.padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )
        if self.use_bias:
            outputs = K.bias_add(outputs, self.bias, data_format=self.data_format)
        return self.activation(outputs)


class Bottleneck(Layer):
    """Two layers inside of a layer, which collects their weights as Keras 2 asks for."""

    def __init__(self, units, rate=0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.rate = rate

    def build(self, input_shape):
        self.narrow = Dense(self.units, activation="tanh", name=self.name + "_narrow")
        self.narrow.build(input_shape)
        self.wide = Dense(input_shape[-1], name=self.name + "_wide")
        self.wide.build((*input_shape[:-1], self.units))
        self.dropout = keras.layers.Dropout(self.rate)
        self.trainable_weights = self.narrow.trainable_weights + self.wide.trainable_weights
        super().build(input_shape)

    def call(self, x, training=None):
        return x + self.wide(self.dropout(self.narrow(x), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "rate": self.rate}


# --- dropout, noise, normalization ---------------------------------------------------------------


class MyDropout(Layer):
    def __init__(self, rate, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.supports_masking = True

    def call(self, inputs, training=None):
        def dropped():
            return K.dropout(inputs, self.rate, noise_shape=K.shape(inputs))

        return K.in_train_phase(dropped, inputs, training=training)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}


class MyNoise(Layer):
    """Noise in training only, without an argument `training`."""

    def call(self, x):
        noisy = x * K.random_uniform(K.shape(x), 0.5, 1.5) + K.random_normal(
            shape=K.shape(x), mean=0.0, stddev=0.1
        )
        return K.in_train_phase(noisy, x)


class MyBatchNorm(Layer):
    def __init__(self, momentum=0.9, epsilon=1e-3, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, name="gamma", initializer="one")
        self.beta = self.add_weight(shape=shape, name="beta", initializer="zero")
        self.moving_mean = self.add_weight(
            shape=shape, name="moving_mean", initializer="zeros", trainable=False
        )
        self.moving_variance = self.add_weight(
            shape=shape, name="moving_variance", initializer="ones", trainable=False
        )
        self.built = True

    def call(self, inputs, training=None):
        axes = list(range(K.ndim(inputs) - 1))

        def normalize_inference():
            return K.batch_normalization(
                inputs,
                self.moving_mean,
                self.moving_variance,
                self.beta,
                self.gamma,
                epsilon=self.epsilon,
            )

        if training in (0, False):
            return normalize_inference()
        normed, mean, variance = K.normalize_batch_in_training(
            inputs, self.gamma, self.beta, axes, epsilon=self.epsilon
        )
        self.add_update(
            [
                K.moving_average_update(self.moving_mean, mean, self.momentum),
                K.moving_average_update(self.moving_variance, variance, self.momentum),
            ],
            inputs,
        )
        return K.in_train_phase(normed, normalize_inference, training=training)

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "epsilon": self.epsilon}


class LayerNorm(Layer):
    def __init__(self, eps=1e-6, **kwargs):
        self.eps = eps
        super().__init__(**kwargs)

    def build(self, input_shape):
        ones, zeros = initializers.Ones(), initializers.Zeros()
        self.gamma = self.add_weight(name="gamma", shape=input_shape[-1:], initializer=ones)
        self.beta = self.add_weight(name="beta", shape=input_shape[-1:], initializer=zeros)
        super().build(input_shape)

    def call(self, x):
        mean = K.mean(x, axis=-1, keepdims=True)
        std = K.std(x, axis=-1, keepdims=True)
        return self.gamma * (x - mean) / (std + self.eps) + self.beta

    def compute_output_shape(self, input_shape):
        return input_shape


class DivergenceLayer(Layer):
    """Hand mean and logarithm of the variance on; add how far they are from a normal code."""

    def call(self, inputs):
        size = K.int_shape(inputs)[-1] // 2
        mu, log_var = inputs[:, :size], inputs[:, size:]
        kl_batch = -0.5 * K.sum(1 + log_var - K.square(mu) - K.exp(log_var), axis=-1)
        self.add_loss(0.01 * K.mean(kl_batch), inputs=inputs)
        return inputs


def sampling(args, size=2):
    """Draw a code: its mean, and noise of its own size."""
    z_mean, z_log_var = args[:, :size], args[:, size:]
    noise = K.random_normal(shape=(K.shape(z_mean)[0], size), mean=0.0, stddev=1.0)
    return z_mean + K.exp(z_log_var / 2) * noise


# --- images, capsules, graphs --------------------------------------------------------------------


def squash(x, axis=-1):
    s_squared_norm = K.sum(K.square(x), axis, keepdims=True) + K.epsilon()
    scale = K.sqrt(s_squared_norm) / (0.5 + s_squared_norm)
    return scale * x


def softmax_over(x, axis=-1):
    ex = K.exp(x - K.max(x, axis=axis, keepdims=True))
    return ex / K.sum(ex, axis=axis, keepdims=True)


class Capsules(Layer):
    """Capsules with routing by agreement."""

    def __init__(self, num_capsule, dim_capsule, routings=3, activation="squash", **kwargs):
        super().__init__(**kwargs)
        self.num_capsule = num_capsule
        self.dim_capsule = dim_capsule
        self.routings = routings
        self.activation = squash if activation == "squash" else activations.get(activation)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="capsule_kernel",
            shape=(1, input_shape[-1], self.num_capsule * self.dim_capsule),
            initializer="glorot_uniform",
            trainable=True,
        )
        super().build(input_shape)

    def call(self, inputs):
        votes = K.conv1d(inputs, self.kernel)
        batch_size = K.shape(inputs)[0]
        count = K.shape(inputs)[1]
        votes = K.reshape(votes, (batch_size, count, self.num_capsule, self.dim_capsule))
        votes = K.permute_dimensions(votes, (0, 2, 1, 3))
        agreement = K.zeros_like(votes[:, :, :, 0])
        for i in range(self.routings):
            coupling = softmax_over(agreement, 1)
            output = self.activation(K.batch_dot(coupling, votes, [2, 2]))
            if i < self.routings - 1:
                agreement += K.batch_dot(output, votes, [2, 3])
        return output

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_capsule, self.dim_capsule)

    def get_config(self):
        config = {"num_capsule": self.num_capsule, "dim_capsule": self.dim_capsule}
        return {**super().get_config(), **config, "routings": self.routings}


class GraphConvolution(Layer):
    """Features of a node from those of its neighbours, in a graph that is given."""

    def __init__(self, units, adjacency, activation=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.adjacency = adjacency
        self.activation = activations.get(activation)

    def build(self, input_shape):
        degrees = np.sum(self.adjacency, axis=1, keepdims=True)
        self.A = K.constant(np.asarray(self.adjacency) / degrees)
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer="glorot_uniform"
        )
        super().build(input_shape)

    def call(self, x):
        mixed = K.permute_dimensions(K.dot(self.A, x), (1, 0, 2))
        return self.activation(K.dot(mixed, self.kernel))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        config = {"units": self.units, "adjacency": np.asarray(self.adjacency).tolist()}
        config["activation"] = activations.serialize(self.activation)
        return {**super().get_config(), **config}


class SpatialSoftmax(Layer):
    """Where each map is active on the average: two numbers from -1 to 1."""

    def call(self, x):
        _, height, width, channels = K.int_shape(x)
        maps = K.reshape(K.permute_dimensions(x, (0, 3, 1, 2)), (-1, height * width))
        attention = K.reshape(K.softmax(maps), (-1, channels, height, width))
        xs = K.constant(np.linspace(-1.0, 1.0, width))
        ys = K.reshape(K.constant(np.linspace(-1.0, 1.0, height)), (height, 1))
        expected_x = K.sum(attention * xs, axis=[2, 3])
        expected_y = K.sum(attention * ys, axis=(2, 3))
        return K.concatenate([expected_x, expected_y])


class LocalResponse(Layer):
    """Divide by what the neighbouring channels hold."""

    def __init__(self, alpha=0.1, k=1, beta=0.75, n=3, **kwargs):
        super().__init__(**kwargs)
        self.alpha, self.k, self.beta, self.n = alpha, k, beta, n

    def call(self, x):
        half = self.n // 2
        squared = K.square(x)
        extra = K.spatial_2d_padding(
            K.permute_dimensions(squared, (0, 1, 3, 2)), padding=((0, 0), (half, half))
        )
        extra = K.permute_dimensions(extra, (0, 1, 3, 2))
        scale = self.k
        for i in range(self.n):
            scale += self.alpha * extra[:, :, :, i : i + K.int_shape(x)[3]]
        return x / scale**self.beta

    def get_config(self):
        config = {"alpha": self.alpha, "k": self.k, "beta": self.beta, "n": self.n}
        return {**super().get_config(), **config}


class SqueezeExcite(Layer):
    """Weigh channels by what they hold on the average."""

    def __init__(self, ratio=2, **kwargs):
        super().__init__(**kwargs)
        self.ratio = ratio

    def build(self, input_shape):
        channels = input_shape[-1]
        self.down = self.add_weight(
            "down", (channels, channels // self.ratio), initializer="he_normal"
        )
        self.up = self.add_weight("up", (channels // self.ratio, channels), initializer="he_normal")
        super().build(input_shape)

    def call(self, x):
        pooled = K.mean(x, axis=[1, 2])
        weights = K.sigmoid(K.dot(K.relu(K.dot(pooled, self.down)), self.up))
        return x * K.reshape(weights, (-1, 1, 1, K.int_shape(x)[-1]))

    def get_config(self):
        return {**super().get_config(), "ratio": self.ratio}


def lambdas():
    """Lambda layers as they stand in scripts, by name, each with the shape of its input."""
    return {
        "antirectifier": (Lambda(antirectify, output_shape=antirectified_shape), (6,)),
        "antirectifier, shape inferred": (Lambda(antirectify), (6,)),
        "square": (Lambda(lambda x: x**2), (5,)),
        "scale": (Lambda(lambda x, factor: x / factor, arguments={"factor": 2.0}), (5,)),
        "one of K's": (Lambda(K.tanh), (5,)),
        "mean over time": (Lambda(lambda x: K.mean(x, axis=1), output_shape=(4,)), (3, 4)),
        "last step": (Lambda(lambda x: x[:, -1, :]), (3, 4)),
        "flatten": (Lambda(lambda x: K.reshape(x, (K.shape(x)[0], -1))), (3, 4)),
        "batch_flatten": (Lambda(K.batch_flatten), (3, 4)),
        "unit length": (Lambda(lambda x: K.l2_normalize(x, axis=-1), name="unit"), (4,)),
        "distance of halves": (
            Lambda(
                lambda v: K.sqrt(
                    K.maximum(
                        K.sum(K.square(v[:, :3] - v[:, 3:]), axis=1, keepdims=True), K.epsilon()
                    )
                ),
                output_shape=(1,),
            ),
            (6,),
        ),
        "resize": (Lambda(lambda x: K.resize_images(x, 2, 2, "channels_last")), (2, 2, 3)),
        "softmax": (Lambda(lambda x: K.softmax(x / 0.5)), (4,)),
        "squash": (Lambda(squash), (3, 4)),
        "spread": (Lambda(lambda x: K.stack([K.mean(x, -1), K.std(x, -1)], axis=-1)), (4,)),
    }
