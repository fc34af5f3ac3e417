"""Keras layers of the zoo's own: two that compute what Keras' do, only faster, and two that Keras does not have.

They are saved and read as Keras' own are; see weights.load_model.
"""

import math

import keras
import numpy as np
from keras import layers

from ..core.errors import UsageError
from .precision import processor_is_fast

AT_ONCE = {"float32": 4, "bfloat16": 16, "float16": 16}  # channels that the kernel of BatchNormalization takes


@keras.saving.register_keras_serializable(package="cnn_zoo")
class BatchNormalization(layers.BatchNormalization):
    """keras.layers.BatchNormalization computed by TensorFlow's fused kernel: the same numbers, weights and arguments.

    Keras computes mean, variance and the normalised values in separate float32 passes over the batch, which in a small
    net on a CPU take longer than its convolutions. Images normalised over their last axis go through the kernel on the
    TensorFlow backend; everything else, and other backends, through Keras' own code. So do channels that are no
    multiple of 4, with which the kernel takes up to three times as long as Keras. In 16 bits it is slow with channels
    that are no multiple of 16, too; they go through it in 32 bits, in which Keras normalises them as well.
    """

    def call(self, inputs, training=None, mask=None):
        size = inputs.shape[-1]
        images = len(inputs.shape) == 4 and self.axis in (-1, 3)
        at_once = AT_ONCE.get(keras.backend.standardize_dtype(inputs.dtype))
        numbers = at_once and size % AT_ONCE["float32"] == 0 and self.variable_dtype == "float32"
        special = mask is not None or self.synchronized or getattr(self, "renorm", False)  # renorm: not in Keras 3.13
        if keras.backend.backend() != "tensorflow" or not images or not numbers or special:
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        training = bool(training and self.trainable)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs if size % at_once == 0 else tf.cast(inputs, tf.float32),
            scale=tf.ones(size) if self.gamma is None else self.gamma,
            offset=tf.zeros(size) if self.beta is None else self.beta,
            mean=tf.zeros(0) if training else self.moving_mean,
            variance=tf.zeros(0) if training else self.moving_variance,
            epsilon=self.epsilon,
            is_training=training,
        )
        if training:
            count = tf.cast(tf.size(inputs) / size, tf.float32)
            variance *= (count - 1) / count  # the kernel's is an estimate for the population; Keras keeps the sample's
            self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1 - self.momentum))
            self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1 - self.momentum))
        return tf.cast(outputs, inputs.dtype)


@keras.saving.register_keras_serializable(package="cnn_zoo")
class Conv2D(layers.Conv2D):
    """keras.layers.Conv2D: the same numbers, weights and arguments, with a faster gradient of its kernel.

    oneDNN sums the products of that gradient along an image's row, with AMX up to 32 positions at a time, so that maps
    of 8x8, 4x4 or 2x2 leave most of the processor idle: their gradient takes twice (AVX512) to five times (AMX) as long
    as the convolution itself. Here rows of several images are laid side by side with zeros between them, which makes it
    up to twice (AVX512) or five times (AMX) as fast; of a 1x1 kernel it is one matrix product, up to a sixth faster or
    three times as fast. This is done in bfloat16 on processors that multiply such numbers, on the TensorFlow backend;
    else it is Keras' own code.
    """

    def convolution_op(self, inputs, kernel):
        ones = {*self.strides, *self.dilation_rate, self.groups} == {1} and self.data_format == "channels_last"
        half = keras.backend.standardize_dtype(inputs.dtype) == "bfloat16"
        if ones and half and processor_is_fast():
            if self.kernel_size == (1, 1):
                return _convolution(inputs, kernel, _gradient_of_pointwise)
            odd = all(size % 2 for size in self.kernel_size)
            if odd and self.padding == "same" and _is_narrow(inputs.shape[2], self.filters):
                return _convolution(inputs, kernel, _gradient_of_narrow)
        return super().convolution_op(inputs, kernel)


def _is_narrow(width: int | None, filters: int) -> bool:
    """Whether rows side by side are faster; with few filters, laying them there costs as much as it saves."""
    return width is not None and width <= (8 if filters >= 128 else 4)


def _convolution(images, kernel, kernel_gradient):
    """A convolution of stride 1, with zeros around the images, and another way to the gradient of its kernel."""
    import tensorflow as tf

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
    import tensorflow as tf

    before, after = (tf.reshape(maps, (-1, maps.shape[-1])) for maps in (images, upstream))
    return tf.reshape(tf.matmul(before, after, transpose_a=True), shape)


def _gradient_of_narrow(images, upstream, shape):
    """The gradient of a kernel of odd sides, from rows that are some 64 positions long."""
    import tensorflow as tf

    gap = shape[1] // 2
    together = 2 ** math.ceil(math.log2(64 / (images.shape[2] + gap)))
    before, after = (_side_by_side(maps, together, gap) for maps in (images, upstream))
    return tf.raw_ops.Conv2DBackpropFilter(
        input=before, filter_sizes=shape, out_backprop=after, strides=[1] * 4, padding="SAME"
    )


def _side_by_side(images, together: int, gap: int):
    """(n, height, width, channels) as (n / together, height, together * (width + gap), channels), zeros in the gaps."""
    import tensorflow as tf

    height, width, channels = images.shape[1:]
    missing = -tf.shape(images)[0] % together
    padded = tf.pad(images, [[0, missing], [0, 0], [0, gap], [0, 0]])
    rows = tf.reshape(padded, (-1, together, height, (width + gap) * channels))
    return tf.reshape(tf.transpose(rows, (0, 2, 1, 3)), (-1, height, together * (width + gap), channels))


@keras.saving.register_keras_serializable(package="cnn_zoo")
class Channels(layers.Layer):
    """Channels start … stop - 1. Keras' cropping can do it too, but its gradient takes four times as long on a CPU."""

    def __init__(self, start: int, stop: int, **kwargs):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, inputs):
        return keras.ops.split(inputs, (self.start, self.stop), axis=-1)[1]

    def get_config(self):
        return {**super().get_config(), "start": self.start, "stop": self.stop}


@keras.saving.register_keras_serializable(package="cnn_zoo")
class Whitening(layers.Conv2D):
    """A convolution whose filters, not trained, make what comes out uncorrelated and of variance one.

    Neighbouring pixels are nearly equal: patches vary a thousand times as much in brightness as in anything else, and
    gradient descent is slow along directions that vary little (LeCun et al. 1998, 10.1007/3-540-49430-8_2, section
    4.3). The filters are the principal components of patches of training images, the largest first, each divided by
    its standard deviation; arXiv:2404.00498, section 3.2, begins a net with such a layer. `adapt` computes them; until
    then they are random.
    """

    LEAST_VARIANCE = 5e-4  # added, so that noise is not blown up without limit; of images in [0, 1]

    def __init__(self, filters: int, kernel_size: int | tuple[int, int] = 2, *, trainable: bool = False, **kwargs):
        super().__init__(filters, kernel_size, trainable=trainable, **kwargs)

    def adapt(self, images: np.ndarray) -> None:
        """Compute the filters from float images in [0, 1] of shape (n, height, width, channels)."""
        channels = self.kernel.shape[2]
        if np.ndim(images) != 4 or images.dtype.kind != "f" or images.shape[-1] != channels:
            found = f"{getattr(images, 'dtype', type(images).__name__)} {np.shape(images)}"
            raise UsageError(f"adapt takes float images in [0, 1], (n, height, width, {channels}); got {found}")
        patches = np.lib.stride_tricks.sliding_window_view(images, self.kernel_size, axis=(1, 2))
        patches = np.moveaxis(patches, 3, -1).reshape(-1, math.prod(self.kernel_size) * images.shape[-1])
        variances, directions = np.linalg.eigh(np.cov(patches, rowvar=False))
        largest = np.abs(directions).argmax(0)
        directions *= np.sign(directions[largest, range(len(largest))])  # of the two signs, always the same
        kernel = (directions / np.sqrt(variances + self.LEAST_VARIANCE))[:, ::-1][:, : self.filters]
        self.set_weights([kernel.reshape(self.kernel.shape), -patches.mean(0) @ kernel])
