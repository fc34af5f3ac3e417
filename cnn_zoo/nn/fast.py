"""What Keras' layers compute, faster on CPUs: fused batch normalisation, and gradients of narrow convolutions.

A model is of Keras' own layers, wherever it is saved or sent; `fast_layers` exchanges how they compute for a while.
"""

import contextlib
import math
from types import MethodType

import keras
import tensorflow as tf
from keras import layers

from .inspection import whole_model
from .precision import processor_is_fast

AT_ONCE = {"float32": 4, "bfloat16": 16, "float16": 16}  # channels that the kernel of batch normalisation takes


@contextlib.contextmanager
def fast_layers(model: keras.Model):
    """Let a model's BatchNormalization and Conv2D layers compute faster on a CPU inside the block, as `train` does.

        with cnn_zoo.fast_layers(model):
            model.fit(images, labels)

    They give the same numbers but for rounding, and stay Keras' own: what ModelCheckpoint, say, saves inside the block
    is a plain Keras model. fit, evaluate and predict trace the model anew inside the block and after it. Layers of
    models inside the model are included; other classes and backends stay as they are.
    """
    model = model if isinstance(model, keras.Model) else whole_model(model)  # of a run
    with exchanged(model):
        _forget_compiled(model)
        try:
            yield
        finally:
            _forget_compiled(model)


@contextlib.contextmanager
def exchanged(model: keras.Model):
    """What is traced inside computes faster; what was traced before stays as it is."""
    changed = []
    if keras.backend.backend() == "tensorflow":
        for layer in model._flatten_layers():  # Keras has no public name for those of all models inside
            method, function = FAST.get(type(layer), (None, None))
            if method and method not in vars(layer):  # else inside another such block
                vars(layer)[method] = MethodType(function, layer)  # past __setattr__, which tracks what it is given
                changed.append((layer, method))
    try:
        yield
    finally:
        for layer, method in changed:
            vars(layer).pop(method, None)


def _forget_compiled(model):
    model.train_function = model.test_function = model.predict_function = None


def _normalise(layer, inputs, training=None, mask=None):
    """BatchNormalization.call by TensorFlow's fused kernel.

    Keras computes mean, variance and values in separate float32 passes over the batch, which in a small net on a CPU
    take longer than its convolutions. Its own code remains for what is no batch of images normalised over the last
    axis, and for channels that are no multiple of 4, with which the kernel takes up to three times as long. In 16 bits
    it is slow with channels that are no multiple of 16, too; they go through it in 32 bits, as in Keras.
    """
    size = inputs.shape[-1]
    images = len(inputs.shape) == 4 and layer.axis in (-1, 3)
    at_once = AT_ONCE.get(keras.backend.standardize_dtype(inputs.dtype))
    numbers = at_once and size % AT_ONCE["float32"] == 0 and layer.variable_dtype == "float32"
    special = mask is not None or layer.synchronized or getattr(layer, "renorm", False)  # renorm: not in Keras 3.13
    if not images or not numbers or special:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    training = bool(training and layer.trainable)
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs if size % at_once == 0 else tf.cast(inputs, tf.float32),
        scale=tf.ones(size) if layer.gamma is None else layer.gamma,
        offset=tf.zeros(size) if layer.beta is None else layer.beta,
        mean=tf.zeros(0) if training else layer.moving_mean,
        variance=tf.zeros(0) if training else layer.moving_variance,
        epsilon=layer.epsilon,
        is_training=training,
    )
    if training:
        count = tf.cast(tf.size(inputs) / size, tf.float32)
        variance *= (count - 1) / count  # the kernel's is an estimate for the population; Keras keeps the sample's
        layer.moving_mean.assign(layer.moving_mean * layer.momentum + mean * (1 - layer.momentum))
        layer.moving_variance.assign(layer.moving_variance * layer.momentum + variance * (1 - layer.momentum))
    return tf.cast(outputs, inputs.dtype)


def _convolve(layer, inputs, kernel):
    """Conv2D.convolution_op with a faster gradient of its kernel.

    oneDNN sums the products of that gradient along an image's row, with AMX up to 32 positions at a time, so that maps
    of 8x8, 4x4 or 2x2 leave most of the processor idle. Here rows of several images are laid side by side with zeros
    between them, which is up to twice (AVX512) or five times (AMX) as fast; of a 1x1 kernel it is one matrix product,
    up to a sixth faster or three times as fast. All this in bfloat16 on processors that multiply such numbers.
    """
    ones = {*layer.strides, *layer.dilation_rate, layer.groups} == {1} and layer.data_format == "channels_last"
    half = keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
    if ones and half and processor_is_fast():
        if layer.kernel_size == (1, 1):
            return _convolution(inputs, kernel, _gradient_of_pointwise)
        narrow = 8 if layer.filters >= 128 else 4  # with few, to lay rows side by side costs as much as it saves
        odd = all(size % 2 for size in layer.kernel_size)
        if odd and layer.padding == "same" and (inputs.shape[2] or math.inf) <= narrow:
            return _convolution(inputs, kernel, _gradient_of_narrow)
    return type(layer).convolution_op(layer, inputs, kernel)


FAST = {layers.BatchNormalization: ("call", _normalise), layers.Conv2D: ("convolution_op", _convolve)}


def _convolution(images, kernel, kernel_gradient):
    """A convolution of stride 1, with zeros around the images, and another way to the gradient of its kernel."""

    @tf.custom_gradient
    def convolution(images, kernel):
        def gradients(upstream):
            of_images = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(images), filter=kernel, out_backprop=upstream, strides=[1] * 4, padding="SAME"
            )
            return of_images, kernel_gradient(images, upstream, kernel.shape)

        return tf.nn.conv2d(images, kernel, 1, "SAME"), gradients

    return convolution(images, tf.cast(kernel, images.dtype))  # a variable would have to be treated otherwise


def _gradient_of_pointwise(images, upstream, shape):
    """The gradient of a kernel of shape (1, 1, before, after)."""
    before, after = (tf.reshape(maps, (-1, maps.shape[-1])) for maps in (images, upstream))
    return tf.reshape(tf.matmul(before, after, transpose_a=True), shape)


def _gradient_of_narrow(images, upstream, shape):
    """The gradient of a kernel of odd sides, from rows that are some 64 positions long."""
    gap = shape[1] // 2
    together = 2 ** math.ceil(math.log2(64 / (images.shape[2] + gap)))
    before, after = (_side_by_side(maps, together, gap) for maps in (images, upstream))
    return tf.raw_ops.Conv2DBackpropFilter(
        input=before, filter_sizes=shape, out_backprop=after, strides=[1] * 4, padding="SAME"
    )


def _side_by_side(images, together: int, gap: int):
    """(n, height, width, channels) as (n / together, height, together * (width + gap), channels), zeros in the gaps."""
    height, width, channels = images.shape[1:]
    missing = -tf.shape(images)[0] % together
    padded = tf.pad(images, [[0, missing], [0, 0], [0, gap], [0, 0]])
    rows = tf.reshape(padded, (-1, together, height, (width + gap) * channels))
    return tf.reshape(tf.transpose(rows, (0, 2, 1, 3)), (-1, height, together * (width + gap), channels))
