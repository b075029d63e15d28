"""Losses, metrics, regularizers and the rest, as users of Keras 2 write them."""

import numpy as np

import minikeras as keras
from minikeras import backend as K

# --- classification ------------------------------------------------------------------------------


def focal_loss(gamma=2.0, alpha=0.25):
    """What is nearly right counts for little; for binary targets."""

    def focal_loss_fixed(y_true, y_pred):
        pt_1 = K.switch(K.equal(y_true, 1), y_pred, K.ones_like(y_pred))
        pt_0 = K.switch(K.equal(y_true, 0), y_pred, K.zeros_like(y_pred))
        pt_1 = K.clip(pt_1, K.epsilon(), 1.0 - K.epsilon())
        pt_0 = K.clip(pt_0, K.epsilon(), 1.0 - K.epsilon())
        return -K.mean(alpha * K.pow(1.0 - pt_1, gamma) * K.log(pt_1)) - K.mean(
            (1 - alpha) * K.pow(pt_0, gamma) * K.log(1.0 - pt_0)
        )

    return focal_loss_fixed


def categorical_focal_loss(gamma=2.0, alpha=0.25):
    def loss(y_true, y_pred):
        y_pred /= K.sum(y_pred, axis=-1, keepdims=True)
        y_pred = K.clip(y_pred, K.epsilon(), 1 - K.epsilon())
        cross_entropy = -y_true * K.log(y_pred)
        weight = alpha * y_true * K.pow((1 - y_pred), gamma)
        return K.sum(weight * cross_entropy, axis=1)

    return loss


def weighted_categorical_crossentropy(weights):
    """A weight for each class."""
    weights = np.array(weights, "float32")

    def loss(y_true, y_pred):
        p = y_pred / K.sum(y_pred, axis=-1, keepdims=True)
        p = K.clip(p, K.epsilon(), 1 - K.epsilon())
        return -K.sum(y_true * K.log(p) * weights, -1)

    return loss


def smoothed_crossentropy(y_true, y_pred, e=0.1):
    return (1 - e) * keras.losses.categorical_crossentropy(
        y_true, y_pred
    ) + e * keras.losses.categorical_crossentropy(K.ones_like(y_pred) / 3, y_pred)


def sparse_loss(y_true, y_pred):
    """Labels are numbers; they come as one column of floats."""
    labels = K.one_hot(K.cast(K.flatten(y_true), "int32"), K.int_shape(y_pred)[-1])
    return K.categorical_crossentropy(labels, y_pred)


def dice_coef(y_true, y_pred, smooth=1.0):
    y_true_f = K.flatten(y_true)
    y_pred_f = K.flatten(y_pred)
    intersection = K.sum(y_true_f * y_pred_f)
    return (2.0 * intersection + smooth) / (K.sum(y_true_f) + K.sum(y_pred_f) + smooth)


def dice_coef_loss(y_true, y_pred):
    return 1 - dice_coef(y_true, y_pred)


def jaccard_distance_loss(y_true, y_pred, smooth=100):
    intersection = K.sum(K.abs(y_true * y_pred), axis=-1)
    sum_ = K.sum(K.abs(y_true) + K.abs(y_pred), axis=-1)
    jac = (intersection + smooth) / (sum_ - intersection + smooth)
    return (1 - jac) * smooth


def bce_dice_loss(y_true, y_pred):
    return keras.losses.binary_crossentropy(y_true, y_pred) + dice_coef_loss(y_true, y_pred)


# --- regression ----------------------------------------------------------------------------------


def huber_loss(y_true, y_pred, clip_delta=1.0):
    error = y_true - y_pred
    cond = K.abs(error) < clip_delta
    squared_loss = 0.5 * K.square(error)
    linear_loss = clip_delta * (K.abs(error) - 0.5 * clip_delta)
    return K.mean(K.switch(cond, squared_loss, linear_loss), axis=-1)


def huber_by_minimum(y_true, y_pred):
    error = K.abs(y_pred - y_true)
    quadratic = K.minimum(error, 1.0)
    return K.mean(0.5 * quadratic**2 + (error - quadratic))


def tilted_loss(q, y, f):
    e = y - f
    return K.mean(K.maximum(q * e, (q - 1) * e), axis=-1)


def quantile(q):
    return lambda y, f: tilted_loss(q, y, f)


def root_mean_squared_error(y_true, y_pred):
    return K.sqrt(K.mean(K.square(y_pred - y_true)))


def mse_and_mae(y_true, y_pred):
    return keras.losses.mse(y_true, y_pred) + 0.5 * keras.losses.mean_absolute_error(y_true, y_pred)


def correlation_loss(y_true, y_pred):
    xm = y_true - K.mean(y_true)
    ym = y_pred - K.mean(y_pred)
    r_num = K.sum(xm * ym)
    r_den = K.sqrt(K.sum(K.square(xm)) * K.sum(K.square(ym)))
    r = K.maximum(K.minimum(r_num / (r_den + K.epsilon()), 1.0), -1.0)
    return 1 - K.square(r)


def masked_mse(mask_value):
    def f(y_true, y_pred):
        mask_true = K.cast(K.not_equal(y_true, mask_value), K.floatx())
        masked_squared_error = K.square(mask_true * (y_true - y_pred))
        return K.sum(masked_squared_error, axis=-1) / K.sum(mask_true + K.epsilon(), axis=-1)

    return f


def smoothness_loss(y_true, y_pred):
    """Errors, and differences of neighbours, by slices."""
    jumps = K.mean(K.abs(y_pred[:, 1:] - y_pred[:, :-1]), axis=-1)
    return K.mean(K.square(y_true - y_pred), axis=-1) + 0.1 * jumps


def mixture_loss(components):
    """Minus the logarithm of a density: weights, means and widths side by side."""

    def loss(y_true, y_pred):
        logits = y_pred[:, :components]
        mu = y_pred[:, components : 2 * components]
        log_sigma = y_pred[:, 2 * components :]
        log_weights = logits - K.logsumexp(logits, axis=-1, keepdims=True)
        z = (y_true - mu) / K.exp(log_sigma)
        exponent = log_weights - log_sigma - 0.5 * K.square(z) - 0.5 * np.log(2 * np.pi)
        return -K.logsumexp(exponent, axis=-1)

    return loss


# --- embeddings ----------------------------------------------------------------------------------


def contrastive_loss(y_true, y_pred):
    """`y_pred` holds two embeddings side by side; `y_true` says whether they belong together."""
    margin = 1
    size = K.int_shape(y_pred)[-1] // 2
    square = K.sum(K.square(y_pred[:, :size] - y_pred[:, size:]), axis=1, keepdims=True)
    distance = K.sqrt(K.maximum(square, K.epsilon()))
    margin_square = K.square(K.maximum(margin - distance, 0))
    return K.mean(y_true * K.square(distance) + (1 - y_true) * margin_square)


def triplet_loss(y_true, y_pred, alpha=0.4):
    """`y_pred` holds three embeddings side by side; `y_true` is there for the form only."""
    total_length = y_pred.shape.as_list()[-1] if hasattr(y_pred.shape, "as_list") else None
    total_length = total_length or K.int_shape(y_pred)[-1]
    anchor = y_pred[:, 0 : int(total_length * 1 / 3)]
    positive = y_pred[:, int(total_length * 1 / 3) : int(total_length * 2 / 3)]
    negative = y_pred[:, int(total_length * 2 / 3) : int(total_length * 3 / 3)]
    pos_dist = K.sum(K.square(anchor - positive), axis=1)
    neg_dist = K.sum(K.square(anchor - negative), axis=1)
    return K.maximum(pos_dist - neg_dist + alpha, 0.0)


def in_batch_loss(y_true, y_pred):
    """Each embedding finds its class mates among the others of the batch."""
    y_pred = K.l2_normalize(y_pred, axis=-1)
    similarities = K.dot(y_pred, K.transpose(y_pred))
    labels = K.flatten(y_true)
    same = K.cast(K.equal(K.expand_dims(labels, 0), K.expand_dims(labels, 1)), K.floatx())
    return K.mean(K.square(similarities - same), axis=-1)


def ranking_loss(y_true, y_pred):
    """Rows go in pairs, of which the first is the better one."""
    return K.mean(K.softplus(y_pred[1::2] - y_pred[0::2]))


def wasserstein_loss(y_true, y_pred):
    return K.mean(y_true * y_pred)


# --- losses that close over something ------------------------------------------------------------


def center_loss(centers, weight=0.1):
    """Cross-entropy, and the distance to the centre of the right class: a variable."""

    def loss(y_true, y_pred):
        own = K.dot(y_true, centers)
        return K.categorical_crossentropy(y_true, K.softmax(y_pred)) + weight * K.sum(
            K.square(y_pred - own), axis=-1
        )

    return loss


def with_penalty_on(layer, factor=0.1):
    """The squares of a layer's kernel, as a part of the loss."""

    def loss(y_true, y_pred):
        return K.mean(K.square(y_pred - y_true), axis=-1) + factor * K.sum(K.square(layer.kernel))

    return loss


def perceptual_loss(features):
    """What another model sees in the two must be alike."""
    features.trainable = False

    def loss(y_true, y_pred):
        return K.mean(K.square(features(y_true) - features(y_pred)))

    return loss


# --- metrics -------------------------------------------------------------------------------------


def mean_pred(y_true, y_pred):
    return K.mean(y_pred)


def precision(y_true, y_pred):
    true_positives = K.sum(K.round(K.clip(y_true * y_pred, 0, 1)))
    predicted_positives = K.sum(K.round(K.clip(y_pred, 0, 1)))
    return true_positives / (predicted_positives + K.epsilon())


def recall(y_true, y_pred):
    true_positives = K.sum(K.round(K.clip(y_true * y_pred, 0, 1)))
    possible_positives = K.sum(K.round(K.clip(y_true, 0, 1)))
    return true_positives / (possible_positives + K.epsilon())


def f1(y_true, y_pred):
    p, r = precision(y_true, y_pred), recall(y_true, y_pred)
    return 2 * ((p * r) / (p + r + K.epsilon()))


def top_2(y_true, y_pred):
    return K.mean(K.cast(K.in_top_k(y_pred, K.argmax(y_true, axis=-1), 2), K.floatx()), axis=-1)


def r_squared(y_true, y_pred):
    residual = K.sum(K.square(y_true - y_pred))
    total = K.sum(K.square(y_true - K.mean(y_true)))
    return 1 - residual / (total + K.epsilon())


def hit(y_true, y_pred):
    """One value for each sample."""
    return K.cast(K.equal(K.argmax(y_true, axis=-1), K.argmax(y_pred, axis=-1)), K.floatx())


class TruePositives(keras.layers.Layer):
    """A metric over a whole epoch, in the way Keras 2.2 has it."""

    def __init__(self, name="true_positives", **kwargs):
        super().__init__(name=name, **kwargs)
        self.stateful = True
        self.true_positives = K.variable(value=0, dtype="int32")

    def reset_states(self):
        K.set_value(self.true_positives, 0)

    def __call__(self, y_true, y_pred):
        y_true = K.cast(y_true, "int32")
        y_pred = K.cast(K.round(y_pred), "int32")
        correct_preds = K.cast(K.equal(y_pred, y_true), "int32")
        true_pos = K.cast(K.sum(correct_preds * y_true), "int32")
        current_true_pos = self.true_positives * 1
        self.add_update(K.update_add(self.true_positives, true_pos), inputs=[y_true, y_pred])
        return current_true_pos + true_pos


# --- activations, regularizers, constraints, initializers ----------------------------------------


def swish(x):
    return x * K.sigmoid(x)


def mish(x):
    return x * K.tanh(K.softplus(x))


def gelu(x):
    return 0.5 * x * (1 + K.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))


def hard_shrink(x):
    return K.switch(K.abs(x) > 0.3, x, K.zeros_like(x))


def l1_reg(weight_matrix):
    return 0.01 * K.sum(K.abs(weight_matrix))


def orthogonal(w):
    """Columns at right angles and of length 1."""
    w = K.reshape(w, (-1, K.int_shape(w)[-1]))
    product = K.dot(K.transpose(w), w)
    return 0.05 * K.sum(K.square(product - K.eye(K.int_shape(w)[-1])))


class GroupLasso(keras.regularizers.Regularizer):
    """The lengths of the rows."""

    def __init__(self, factor=0.01):
        self.factor = K.cast_to_floatx(factor)

    def __call__(self, x):
        return self.factor * K.sum(K.sqrt(K.sum(K.square(x), axis=-1) + K.epsilon()))

    def get_config(self):
        return {"factor": float(self.factor)}


class KLSparsity:
    """Of any class: the share of activity that a unit should have."""

    def __init__(self, rho=0.05, beta=0.1):
        self.rho, self.beta = rho, beta

    def __call__(self, x):
        rho_hat = K.clip(K.mean(x, axis=0), 1e-4, 1 - 1e-4)
        rho = self.rho
        return self.beta * K.sum(
            rho * K.log(rho / rho_hat) + (1 - rho) * K.log((1 - rho) / (1 - rho_hat))
        )


class WeightClip(keras.constraints.Constraint):
    def __init__(self, c=0.1):
        self.c = c

    def __call__(self, p):
        return K.clip(p, -self.c, self.c)

    def get_config(self):
        return {"name": self.__class__.__name__, "c": self.c}


class UnitRows(keras.constraints.Constraint):
    def __call__(self, w):
        return w / (K.epsilon() + K.sqrt(K.sum(K.square(w), axis=-1, keepdims=True)))


def no_diagonal(w):
    return w * (1 - K.eye(K.int_shape(w)[0]))


def my_init(shape, dtype=None):
    return K.random_normal(shape, dtype=dtype)


class Ramp(keras.initializers.Initializer):
    def __init__(self, scale=0.1):
        self.scale = scale

    def __call__(self, shape, dtype=None):
        values = K.arange(0, int(np.prod(shape)), dtype="float32")
        return K.reshape(self.scale * values, shape)

    def get_config(self):
        return {"scale": self.scale}
