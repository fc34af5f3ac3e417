"""The building blocks that families share: lists of Keras layers, and functions from tensor to tensor.

A step of a network is a layer or a function of a tensor. `assemble` makes a keras.Sequential of steps that are all
layers, a functional keras.Model of others. Layers are always named: stage1_conv1, stage1_conv1_norm, stage1_conv1_act,
stage1_pool … avg_pool, fc1, predictions.
"""

import math
from collections.abc import Callable, Iterable

import keras
import numpy as np
from keras import layers

from .errors import UsageError, check_choice
from .precision import processor_is_fast
from .spec import Spec

EPSILON = 1e-5  # PyTorch's default, which most published weights were trained with; Keras' is 1e-3
MOMENTUM = 0.9  # Keras' 0.99 lags behind in short trainings
AT_ONCE = {"float32": 4, "bfloat16": 16, "float16": 16}  # channels that the kernel of BatchNormalization takes
SATURATING = ("sigmoid", "tanh", "softsign", "hard_sigmoid")

Layers = list[layers.Layer]


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


def conv(
    spec: Spec,
    filters: int | None,
    kernel_size: int | tuple[int, int],
    *,
    name: str,
    strides: int = 1,
    padding: str | int = "same",
    use_bias: bool = True,
    activation=None,
) -> Layers:
    """A convolution: (batch, height, width, channels) -> (batch, height', width', filters); without filters, depthwise.

    Args:
        padding: "same" or "valid" as in Keras; or a number of zeros on every side, as papers and PyTorch count. The two
            differ where strides are 2: there Keras' "same" pads the right and the lower side only.
    """
    stack, padding = _pad(padding, kernel_size, strides, name)
    options = {"strides": strides, "padding": padding, "use_bias": use_bias, "activation": activation, "name": name}
    if filters is None:
        kernel = {"depthwise_initializer": initializer(spec), "depthwise_regularizer": regularizer(spec)}
        if keras.config.dtype_policy().compute_dtype == "bfloat16":  # whose gradients take up to thirty times as long
            kernel["dtype"] = "float32"
        return [*stack, layers.DepthwiseConv2D(kernel_size, **kernel, **options)]
    kernel = {"kernel_initializer": initializer(spec), "kernel_regularizer": regularizer(spec)}
    return [*stack, Conv2D(filters, kernel_size, **kernel, **options)]


def conv_norm_act(
    spec: Spec,
    filters: int | None,
    kernel_size: int | tuple[int, int],
    *,
    name: str,
    use_bias: bool | None = None,
    activate: bool = True,
    epsilon: float = EPSILON,
    **options,
) -> Layers:
    """A convolution, batch normalisation if spec asks for it, and the activation unless `activate` is False.

    Args:
        use_bias: None: only when no batch normalisation, which has its own, follows.
        options: strides and padding, see conv.
    """
    use_bias = not spec.batch_norm if use_bias is None else use_bias
    if spec.batch_norm:
        norm = norm_act(spec, name=name, activate=activate, epsilon=epsilon)
        return conv(spec, filters, kernel_size, name=name, use_bias=use_bias, **options) + norm
    activation = spec.activation if activate else None
    return conv(spec, filters, kernel_size, name=name, use_bias=use_bias, activation=activation, **options)


def norm_act(spec: Spec, *, name: str, activate: bool = True, epsilon: float = EPSILON) -> Layers:
    """Batch normalisation if spec asks for it, and the activation."""
    norm = BatchNormalization(momentum=MOMENTUM, epsilon=epsilon, name=f"{name}_norm")
    act = layers.Activation(spec.activation, name=f"{name}_act")
    return [norm] * spec.batch_norm + [act] * activate


def _pad(padding: str | int, kernel_size: int | tuple[int, int], strides: int, name: str) -> tuple[Layers, str]:
    """Zeros on every side as a layer where Keras' own padding is not the same; and Keras' padding."""
    if isinstance(padding, str):
        return [], padding
    if padding == 0:
        return [], "valid"
    if strides == 1 and kernel_size == 2 * padding + 1:
        return [], "same"
    return [layers.ZeroPadding2D(padding, name=f"{name}_pad")], "valid"


def pool(kind: str, size: int, *, name: str, strides: int | None = None, padding: str | int = "valid") -> Layers:
    """Pooling of kind "max" or "average"; padding as for convolutions.

    A number of zeros is right for the maximum of what a rectifier returns; the average counts them.
    """
    pooling = (
        layers.MaxPooling2D if check_choice("pool_kind", kind, ("max", "average")) == "max" else layers.AveragePooling2D
    )
    if isinstance(padding, str):
        return [pooling(size, strides=strides, padding=padding, name=name)]
    zeros = [layers.ZeroPadding2D(padding, name=f"{name}_pad")] if padding else []
    return [*zeros, pooling(size, strides=strides, name=name)]


def pool_all(x, kind: str, size: int, strides: int, *, name: str):
    """Pooling whose windows reach every position ("ceil mode"): zeros are added at the end where one would not fit."""
    missing = [max((size - side) % strides if side > size else size - side, 0) for side in x.shape[1:3]]
    if any(missing):
        x = layers.ZeroPadding2D(((0, missing[0]), (0, missing[1])), name=f"{name}_pad")(x)
    return apply(x, pool(kind, size, strides=strides, name=name))


def grouped_conv(x, spec: Spec, filters: int, kernel_size: int, *, groups: int, name: str):
    """A convolution in groups of channels that do not see each other, as one convolution a group.

    Keras' Conv2D(groups=…) computes the same; its gradient on a CPU takes several times as long.
    """
    if x.shape[-1] % groups or filters % groups:
        raise ValueError(f"groups must divide {x.shape[-1]} channels and {filters} filters; got {groups}")
    width = x.shape[-1] // groups
    parts = [
        apply(
            Channels(i * width, (i + 1) * width, name=f"{name}_in{i + 1}")(x),
            conv_norm_act(spec, filters // groups, kernel_size, name=f"{name}_group{i + 1}"),
        )
        for i in range(groups)
    ]
    return layers.Concatenate(name=f"{name}_out")(parts)


def grouped_pointwise(x, spec: Spec, filters: int, *, groups: int, name: str, activate: bool = True):
    """A 1x1 convolution in groups, as one matrix product a group, with normalisation and activation."""
    height, width, depth = x.shape[1:]
    if groups == 1:
        return apply(x, conv_norm_act(spec, filters, 1, name=name, activate=activate))
    x = layers.Reshape((height * width, groups, depth // groups), name=f"{name}_split")(x)
    x = layers.EinsumDense(
        "bpgi,gio->bpgo",
        output_shape=(height * width, groups, filters // groups),
        bias_axes=None if spec.batch_norm else "go",
        kernel_initializer=initializer(spec),
        kernel_regularizer=regularizer(spec),
        name=name,
    )(x)
    x = layers.Reshape((height, width, filters), name=f"{name}_join")(x)
    return apply(x, norm_act(spec, name=name, activate=activate))


def shuffle_channels(x, groups: int, *, name: str):
    """Channels of all groups in turn: ShuffleNet's transposition of (groups, channels a group)."""
    height, width, depth = x.shape[1:]
    x = layers.Reshape((height, width, groups, depth // groups), name=f"{name}_split")(x)
    x = layers.Permute((1, 2, 4, 3), name=f"{name}_transpose")(x)
    return layers.Reshape((height, width, depth), name=f"{name}_join")(x)


def squeeze_excite(x, spec: Spec, filters: int, *, name: str):
    """Channels weighted by what the whole image says of them (arXiv:1709.01507), through `filters` numbers."""

    def dense(width, activation, name):
        return Conv2D(width, 1, activation=activation, kernel_regularizer=regularizer(spec), name=name)

    s = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    s = dense(filters, spec.activation, f"{name}_reduce")(s)
    s = dense(x.shape[-1], "sigmoid", f"{name}_expand")(s)
    return layers.Multiply(name=f"{name}_scale")([x, s])


def head(spec: Spec, *, units: Iterable[int] = (), flatten: bool = False) -> Layers:
    """From the last stage to the predictions; without the top, only the pooling that was asked for.

    Args:
        units: widths of the hidden fully connected layers, each followed by dropout.
        flatten: keep every position; otherwise global average pooling.
    """
    if not spec.include_top:
        return headless(spec)
    stack = [layers.Flatten(name="flatten") if flatten else layers.GlobalAveragePooling2D(name="avg_pool")]
    for number, width in enumerate(units, 1):
        stack.append(
            layers.Dense(
                width,
                activation=spec.activation,
                kernel_initializer=initializer(spec),
                kernel_regularizer=regularizer(spec),
                name=f"fc{number}",
            )
        )
        if spec.dropout:
            stack.append(layers.Dropout(spec.dropout, name=f"fc{number}_dropout"))
    if spec.dropout and len(stack) == 1:  # no hidden layer to follow: drop the features themselves
        stack.append(layers.Dropout(spec.dropout, name="dropout"))
    stack.append(
        layers.Dense(
            spec.num_classes,
            activation=spec.classifier_activation,
            kernel_regularizer=regularizer(spec),
            dtype="float32",  # under mixed precision, softmax in 16 bits loses the small probabilities
            name="predictions",
        )
    )
    return stack


def headless(spec: Spec) -> Layers:
    """What follows the last stage without the top: nothing, or global pooling."""
    pooling = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}.get(spec.pooling)
    return [pooling(name=f"{spec.pooling}_pool")] if pooling else []


def initializer(spec: Spec) -> str:
    """He's initialisation (arXiv:1502.01852) for rectifiers, Glorot's for activations that saturate."""
    name = getattr(spec.activation, "__name__", spec.activation)
    return "glorot_uniform" if name in SATURATING else "he_normal"


def regularizer(spec: Spec) -> keras.Regularizer | None:
    """The penalty on kernels, or None."""
    return keras.regularizers.L1L2(spec.l1, spec.l2) if spec.l1 or spec.l2 else None


def apply(x, steps: Iterable[Callable]):
    """Apply layers, or functions of a tensor, one after the other."""
    for step in steps:
        x = step(x)
    return x


def assemble(spec: Spec, steps: list[Callable]) -> keras.Model:
    """A keras.Sequential if every step is a layer, a functional keras.Model if some are functions."""
    inputs = keras.Input(spec.input_shape, name="image")
    if all(isinstance(step, layers.Layer) for step in steps):
        return keras.Sequential([inputs, *steps], name=spec.name)
    return keras.Model(inputs, apply(inputs, steps), name=spec.name)
