"""The building blocks that families share: lists of Keras layers, and functions from tensor to tensor.

A step of a network is a layer or a function of a tensor. `assemble` makes a keras.Sequential of steps that are all
layers, a functional keras.Model of others. Layers are always named: stage1_conv1, stage1_conv1_norm, stage1_conv1_act,
stage1_pool … avg_pool, fc1, predictions. Nets are of the rank of spec.input_shape: of signals (length, channels),
images (height, width, channels) or videos (frames, height, width, channels).
"""

import weakref
from collections.abc import Callable, Iterable

import keras
from keras import layers

from ..core.errors import check_choice
from .spec import Spec

EPSILON = 1e-5  # PyTorch's default, which most published weights were trained with; Keras' is 1e-3
MOMENTUM = 0.9  # Keras' 0.99 lags behind in short trainings
SATURATING = ("sigmoid", "tanh", "softsign", "hard_sigmoid")

Layers = list[layers.Layer]
Size = int | tuple[int, ...]


def of_rank(spec: Spec, kind: str) -> type[layers.Layer]:
    """A kind of layer for the rank of the input: "MaxPoolingND" is MaxPooling1D, MaxPooling2D or MaxPooling3D."""
    return getattr(layers, kind.replace("ND", f"{len(spec.sides)}D"))


def conv(
    spec: Spec, filters: int | None, kernel_size: Size, *, name: str, strides=1, padding: str | int = "same", **own
) -> Layers:
    """A convolution: (batch, *sides, channels) -> (batch, *new sides, filters); without filters, depthwise.

    Args:
        padding: "same" or "valid" as in Keras; or a number of zeros on every side, as papers and PyTorch count. The two
            differ where strides are 2: there Keras' "same" pads the right and the lower side only.
        own: activation, by default none, and use_bias, by default where batch normalisation has none to follow.
    """
    zeros: Layers = []
    if isinstance(padding, int):
        same = padding and strides == 1 and kernel_size == 2 * padding + 1
        zeros, padding = ([], "same") if same else (_zeros(spec, padding, name), "valid")
    options = {"strides": strides, "padding": padding, "use_bias": not spec.batch_norm, "name": name, **own}
    if filters is not None:
        return [*zeros, of_rank(spec, "ConvND")(filters, kernel_size, **kernel_options(spec), **options)]
    if keras.config.dtype_policy().compute_dtype == "bfloat16":  # whose gradients take up to thirty times as long
        options["dtype"] = "float32"
    return [*zeros, of_rank(spec, "DepthwiseConvND")(kernel_size, **kernel_options(spec, "depthwise"), **options)]


def conv_norm_act(
    spec: Spec, filters: int | None, kernel_size: Size, *, name: str, activate: bool = True, epsilon=EPSILON, **options
) -> Layers:
    """A convolution, see conv, batch normalisation if spec asks for it, and the activation if `activate`."""
    activation = spec.activation if activate and not spec.batch_norm else None
    stack = conv(spec, filters, kernel_size, name=name, activation=activation, **options)
    return stack + norm_act(spec, name=name, activate=activate, epsilon=epsilon) if spec.batch_norm else stack


def norm_act(spec: Spec, *, name: str, activate: bool = True, epsilon: float = EPSILON) -> Layers:
    """Batch normalisation if spec asks for it, and the activation."""
    norm = layers.BatchNormalization(momentum=MOMENTUM, epsilon=epsilon, name=f"{name}_norm")
    act = layers.Activation(spec.activation, name=f"{name}_act")
    return [norm] * spec.batch_norm + [act] * activate


def norm_act_conv(spec: Spec, filters: int, kernel_size: Size, *, name: str, **options) -> Layers:
    """The three in the order of pre-activation (arXiv:1603.05027)."""
    return norm_act(spec, name=name) + conv(spec, filters, kernel_size, name=name, **options)


def _zeros(spec: Spec, padding: int, name: str) -> Layers:
    """So many zeros on every side."""
    return [of_rank(spec, "ZeroPaddingND")(padding, name=f"{name}_pad")] if padding else []


def pool(
    spec: Spec, kind: str, size: int, *, name: str, strides: int | None = None, padding: str | int = "valid"
) -> Layers:
    """Pooling of kind "max" or "average"; padding as for convolutions.

    A number of zeros is right for the maximum of what a rectifier returns; the average counts them.
    """
    make = of_rank(spec, f"{check_choice('pool_kind', kind, ('max', 'average')).capitalize()}PoolingND")
    zeros, padding = ([], padding) if isinstance(padding, str) else (_zeros(spec, padding, name), "valid")
    return [*zeros, make(size, strides=strides, padding=padding, name=name)]


def stem(spec: Spec, filters: int, kernel_size: int, first: Callable = conv_norm_act) -> Layers:
    """What comes before the stages of nets that halve large images twice; a 3x3 convolution in the small layout."""
    if spec.layout == "small":
        return first(spec, filters, 3, name="stem_conv")
    steps = first(spec, filters, kernel_size, strides=2, padding=kernel_size // 2, name="stem_conv")
    return steps + pool(spec, "max", 3, strides=2, padding=1, name="stem_pool")


def head(spec: Spec, *, units: Iterable[int] = (), flatten: bool = False) -> Layers:
    """From the last stage to the predictions; without the top, only the pooling that was asked for.

    Args:
        units: widths of the hidden fully connected layers, each followed by dropout.
        flatten: keep every position; otherwise global average pooling.
    """
    if not spec.include_top:
        return headless(spec)
    stack = [layers.Flatten(name="flatten") if flatten else of_rank(spec, "GlobalAveragePoolingND")(name="avg_pool")]
    for number, width in enumerate(units, 1):
        stack.append(layers.Dense(width, activation=spec.activation, name=f"fc{number}", **kernel_options(spec)))
        if spec.dropout:
            stack.append(layers.Dropout(spec.dropout, name=f"fc{number}_dropout"))
    if spec.dropout and len(stack) == 1:  # no hidden layer to follow: drop the features themselves
        stack.append(layers.Dropout(spec.dropout, name="dropout"))
    return [*stack, _predictions(spec, layers.Dense)]


def headless(spec: Spec) -> Layers:
    """What follows the last stage without the top: nothing, or global pooling."""
    kind = {"avg": "GlobalAveragePoolingND", "max": "GlobalMaxPoolingND"}.get(spec.pooling)
    return [of_rank(spec, kind)(name=f"{spec.pooling}_pool")] if kind else []


def pixels(spec: Spec) -> Layers:
    """The top of a net that gives every position a class: (batch, *sides, channels) -> (batch, *sides, num_classes)."""
    return [_predictions(spec, of_rank(spec, "ConvND"), 1)] if spec.include_top else headless(spec)


def _predictions(spec: Spec, kind: type[layers.Layer], *kernel_size: int) -> layers.Layer:
    """The last layer, in 32 bits: under mixed precision, softmax in 16 loses the small probabilities."""
    options = {"activation": spec.classifier_activation, "kernel_regularizer": regularizer(spec), "dtype": "float32"}
    return kind(spec.num_classes, *kernel_size, name="predictions", **options)


def kernel_options(spec: Spec, kind: str = "kernel") -> dict:
    """Penalty of a kernel, and He's initialisation (arXiv:1502.01852), or Glorot's for activations that saturate."""
    saturates = getattr(spec.activation, "__name__", spec.activation) in SATURATING
    initializer = "glorot_uniform" if saturates else "he_normal"
    return {f"{kind}_initializer": initializer, f"{kind}_regularizer": regularizer(spec)}


def regularizer(spec: Spec) -> keras.Regularizer | None:
    """The penalty on kernels, or None."""
    return keras.regularizers.L1L2(spec.l1, spec.l2) if spec.l1 or spec.l2 else None


def blocks_of(depths: Iterable[int]) -> list[tuple[int, int, str]]:
    """Stage, number in it and name of each block, (1, 1, "stage1_block1") first, where stages have so many."""
    stages = ((stage, range(1, depth + 1)) for stage, depth in enumerate(depths, 1))
    return [(stage, number, f"stage{stage}_block{number}") for stage, numbers in stages for number in numbers]


def apply(x, steps: Iterable[Callable]):
    """Apply layers, or functions of a tensor, one after the other."""
    for step in steps:
        x = step(x)
    return x


def split(x, parts: int, name: str) -> list:
    """The channels of a tensor in equal parts, by an operation, whose gradient is four times as fast as cropping's."""
    split = keras.ops.split(x, parts, axis=-1)
    split[0]._keras_history.operation.name = name  # else numbered in the order of building, and not unique once saved
    return split


class _Ends:
    """By which a keras.Sequential has `input` and `output` as a keras.Model has, which tools that explain nets ask for.

    They are the tensors between its layers, and not those of a call of it, through which no gradient reaches a layer.
    """

    def __init__(self, model):
        self.model = weakref.ref(model)

    input_tensors = property(lambda self: list(self.model().inputs))
    output_tensors = property(lambda self: list(self.model().outputs))


def assemble(spec: Spec, steps: list[Callable]) -> keras.Model:
    """A keras.Sequential if every step is a layer, a functional keras.Model if some are functions."""
    inputs = keras.Input(spec.input_shape, name="image")
    if all(isinstance(step, layers.Layer) for step in steps):
        model = keras.Sequential([inputs, *steps], name=spec.name)
        model._inbound_nodes.append(_Ends(model))  # there is no public name for it
        model.output_names = [steps[-1].name]
        return model
    return keras.Model(inputs, apply(inputs, steps), name=spec.name)
