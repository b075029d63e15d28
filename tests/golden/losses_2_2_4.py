"""The losses of Keras 2.2.4 in TensorFlow, one value per sample, to check tf-keras against."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

EPSILON = 1e-7


def _floor(x: Any) -> Any:
    return tf.maximum(x, EPSILON)


def _probability(p: Any) -> Any:
    return tf.clip_by_value(p, EPSILON, 1.0 - EPSILON)


def mean_squared_error(y_true, y_pred):
    return tf.reduce_mean((y_pred - y_true) ** 2, -1)


def mean_absolute_error(y_true, y_pred):
    return tf.reduce_mean(tf.abs(y_pred - y_true), -1)


def mean_absolute_percentage_error(y_true, y_pred):
    return 100.0 * tf.reduce_mean(tf.abs((y_true - y_pred) / _floor(tf.abs(y_true))), -1)


def mean_squared_logarithmic_error(y_true, y_pred):
    difference = tf.math.log(_floor(y_pred) + 1.0) - tf.math.log(_floor(y_true) + 1.0)
    return tf.reduce_mean(difference**2, -1)


def hinge(y_true, y_pred):
    return tf.reduce_mean(tf.nn.relu(1.0 - y_true * y_pred), -1)


def squared_hinge(y_true, y_pred):
    return tf.reduce_mean(tf.nn.relu(1.0 - y_true * y_pred) ** 2, -1)


def categorical_hinge(y_true, y_pred):
    right = tf.reduce_sum(y_true * y_pred, -1)
    wrong = tf.reduce_max((1.0 - y_true) * y_pred, -1)
    return tf.nn.relu(1.0 + wrong - right)


def logcosh(y_true, y_pred):
    error = y_pred - y_true
    return tf.reduce_mean(error + tf.nn.softplus(-2.0 * error) - tf.math.log(2.0), -1)


def categorical_crossentropy(y_true, y_pred):
    share = y_pred / tf.reduce_sum(y_pred, -1, keepdims=True)
    return -tf.reduce_sum(y_true * tf.math.log(_probability(share)), -1)


def sparse_categorical_crossentropy(y_true, y_pred):
    # The logarithms of the clipped outputs serve as logits: normalised again after clipping.
    labels = tf.reshape(tf.cast(y_true, tf.int64), tf.shape(y_pred)[:-1])
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, tf.math.log(_probability(y_pred)))


def binary_crossentropy(y_true, y_pred):
    p = _probability(y_pred)
    logits = tf.math.log(p / (1.0 - p))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y_true, logits), -1)


def kullback_leibler_divergence(y_true, y_pred):
    y_true, y_pred = (tf.clip_by_value(y, EPSILON, 1.0) for y in (y_true, y_pred))
    return tf.reduce_sum(y_true * tf.math.log(y_true / y_pred), -1)


def poisson(y_true, y_pred):
    return tf.reduce_mean(y_pred - y_true * tf.math.log(y_pred + EPSILON), -1)


def cosine_proximity(y_true, y_pred):
    return -tf.reduce_sum(tf.nn.l2_normalize(y_true, -1) * tf.nn.l2_normalize(y_pred, -1), -1)


LOSSES = {
    function.__name__: function
    for function in (
        mean_squared_error,
        mean_absolute_error,
        mean_absolute_percentage_error,
        mean_squared_logarithmic_error,
        squared_hinge,
        hinge,
        categorical_hinge,
        logcosh,
        categorical_crossentropy,
        sparse_categorical_crossentropy,
        binary_crossentropy,
        kullback_leibler_divergence,
        poisson,
        cosine_proximity,
    )
}
