"""What a model costs, layer by layer: multiply-accumulates of one image, as papers count them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from ..core.errors import UsageError


@dataclass(frozen=True)
class LayerRow:
    """One layer of a card. `macs` are for one image; `output_shape` is without the batch."""

    name: str
    type: str
    output_shape: tuple[int | None, ...]
    parameters: int
    macs: int


def layer_rows(model) -> tuple[LayerRow, ...]:
    """What each layer of a model is and costs, with the layers of models inside it in their place.

    Raises:
        UsageError: a layer of a kind whose cost is not known here, or that is used more than once; images of any size;
            several inputs or outputs.
    """
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        counts = f"{len(model.inputs)} inputs and {len(model.outputs)} outputs"
        raise UsageError(f"{model.name} has {counts}; a card is of a model with one of each")
    if None in model.input_shape[1:]:
        raise UsageError(f"{model.name} takes images of any size; what it costs depends on that")
    return tuple(_row(layer) for layer in _flat(model) if type(layer).__name__ != "InputLayer")


def macs_if_known(model) -> float:
    """Multiply-accumulates of an image; infinity where they cannot be counted: strange layers, images of any size."""
    try:
        return sum(row.macs for row in layer_rows(model))
    except (AttributeError, TypeError, UsageError):
        return math.inf


def _flat(model) -> list:
    """The layers of a model, with those of models inside it in their place; UsageError if one is used repeatedly."""
    graph = getattr(model, "_functional", None) or model  # what a Sequential is inside; Keras has no public name for it
    uses = Counter(node.operation.name for nodes in getattr(graph, "_nodes_by_depth", {}).values() for node in nodes)
    for name, times in uses.items():
        if times > 1:
            raise UsageError(f"layer {name!r} is used {times} times, which is not counted here")
    return [inner for layer in model.layers for inner in (_flat(layer) if hasattr(layer, "layers") else [layer])]


def _row(layer) -> LayerRow:
    kind = type(layer).__name__
    shape = tuple(layer.output.shape[1:])
    for base in type(layer).__mro__:  # a subclass costs what its base does
        if base.__name__ in MACS and base.__module__.startswith(("keras.", f"{__package__.partition('.')[0]}.")):
            macs = MACS[base.__name__](layer, shape)
            return LayerRow(layer.name, kind, shape, layer.count_params(), macs)
    raise UsageError(
        f"layer {layer.name!r} is a {kind}, whose cost cnn_zoo.nn.costs does not know; add it to MACS there"
    )


def _positions(layer, shape: tuple) -> int:
    """The number of output positions: all dimensions but the channels."""
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return math.prod(shape[1:] if first else shape[:-1])


def _conv(layer, shape):
    return math.prod(layer.kernel.shape) * _positions(layer, shape)


def _conv_transpose(layer, shape):
    """Every input position is multiplied with the whole kernel."""
    return math.prod(layer.kernel.shape) * _positions(layer, tuple(layer.input.shape[1:]))


def _separable(layer, shape):
    kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return kernels * _positions(layer, shape)


def _einsum(layer, shape):
    """Every weight is used once for each output position that it does not itself span."""
    if "." in layer.equation:
        raise UsageError(f"layer {layer.name!r} computes {layer.equation}, whose cost is not counted here")
    _, kernel, output = re.split(",|->", layer.equation)
    labels = dict(zip(output[1:], shape, strict=True))
    return math.prod(layer.kernel.shape) * math.prod(side for label, side in labels.items() if label not in kernel)


def _free(layer, shape):
    return 0


# Multiply-accumulates of one image by layer class, as papers count them: additions, comparisons, normalisation
# (which folds into the convolution before it) and activations are free. The kernel of a grouped convolution is
# already smaller by the number of groups.
MACS: dict[str, Callable] = {
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv1D", "DepthwiseConv2D", "Dense"), _conv),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _conv_transpose),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
    "EinsumDense": _einsum,
    **dict.fromkeys(
        """Activation ReLU LeakyReLU PReLU ELU Softmax Dropout SpatialDropout1D SpatialDropout2D
        SpatialDropout3D GaussianNoise GaussianDropout Flatten Reshape Permute Identity BatchNormalization
        LayerNormalization GroupNormalization Add Subtract Multiply Average Maximum Minimum Concatenate
        MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D
        GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D
        GlobalMaxPooling2D GlobalMaxPooling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D
        Cropping3D UpSampling1D UpSampling2D UpSampling3D Rescaling Normalization ActivityRegularization""".split(),
        _free,
    ),
}
