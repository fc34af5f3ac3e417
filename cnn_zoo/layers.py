"""The building blocks that families share. Each returns a list of Keras layers.

A chain strings such lists together in a keras.Sequential; a graph applies them to a tensor with `apply`. Layers are
always named: stage1_conv1, stage1_conv1_norm, stage1_conv1_act, stage1_pool … avg_pool, fc1, predictions.
"""

from collections.abc import Iterable

import keras
from keras import layers

from .registry import Spec

BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}  # PyTorch's defaults; Keras' momentum of 0.99 lags in short trainings
SATURATING = ("sigmoid", "tanh", "softsign", "hard_sigmoid")


def conv_norm_act(
    spec: Spec,
    filters: int,
    kernel_size: int | tuple[int, int],
    *,
    name: str,
    strides: int = 1,
    padding: str = "same",
    use_bias: bool | None = None,
) -> list[layers.Layer]:
    """A convolution, batch normalisation if spec asks for it, and the activation.

    (batch, height, width, channels) -> (batch, height', width', filters). The convolution has a bias unless batch
    normalisation, which has its own, follows; `use_bias` says otherwise.
    """
    conv = layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=not spec.batch_norm if use_bias is None else use_bias,
        activation=None if spec.batch_norm else spec.activation,
        kernel_initializer=initializer(spec),
        kernel_regularizer=regularizer(spec),
        name=name,
    )
    if not spec.batch_norm:
        return [conv]
    return [
        conv,
        layers.BatchNormalization(name=f"{name}_norm", **BATCH_NORM),
        layers.Activation(spec.activation, name=f"{name}_act"),
    ]


def pool(kind: str, size: int, *, name: str, strides: int | None = None, padding: str = "valid") -> list[layers.Layer]:
    """A pooling layer of kind "max" or "average"."""
    kinds = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}
    if kind not in kinds:
        raise ValueError(f"pool must be 'max' or 'average'; got {kind!r}")
    return [kinds[kind](size, strides=strides, padding=padding, name=name)]


def head(spec: Spec, *, units: Iterable[int] = (), flatten: bool = False) -> list[layers.Layer]:
    """From the last stage to the predictions; without the top, only the pooling that was asked for.

    Args:
        units: widths of the hidden fully connected layers, each followed by dropout.
        flatten: keep every position; otherwise global average pooling.
    """
    if not spec.include_top:
        pooling = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}.get(spec.pooling)
        return [pooling(name=f"{spec.pooling}_pool")] if pooling else []
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


def initializer(spec: Spec) -> str:
    """He's initialisation (arXiv:1502.01852) for rectifiers, Glorot's for activations that saturate."""
    return "glorot_uniform" if spec.activation in SATURATING else "he_normal"


def regularizer(spec: Spec) -> keras.Regularizer | None:
    """The penalty on kernels, or None."""
    return keras.regularizers.L1L2(spec.l1, spec.l2) if spec.l1 or spec.l2 else None


def chain(spec: Spec, stack: list[layers.Layer]) -> keras.Sequential:
    """A model that is a chain of layers."""
    return keras.Sequential([keras.Input(spec.input_shape, name="image"), *stack], name=spec.name)


def apply(x, stack: list[layers.Layer]):
    """Apply layers one after the other to a tensor."""
    for layer in stack:
        x = layer(x)
    return x
