"""What a model costs, layer by layer: multiply-accumulates of one image, as papers count them."""

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
    """What each layer of a model is and costs; UsageError where that cannot be counted."""
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
    kind, shape = type(layer).__name__, tuple(layer.output.shape[1:])
    for base in type(layer).__mro__:  # a subclass costs what its base does
        cost = MACS.get(re.sub(r"[123]D", "", base.__name__))
        if cost and base.__module__.startswith(("keras.", f"{__package__.partition('.')[0]}.")):
            return LayerRow(layer.name, kind, shape, layer.count_params(), cost(layer, shape))
    raise UsageError(f"layer {layer.name!r} is a {kind}, whose cost cnn_zoo.nn.costs.MACS does not hold; add it there")


def _conv(layer, shape):
    """Every position is multiplied with the whole kernel, or both kernels of a separable convolution."""
    kernels = (weight.shape for weight in layer.weights if weight.name.endswith("kernel"))
    sides = shape[1:] if getattr(layer, "data_format", "") == "channels_first" else shape[:-1]
    return sum(map(math.prod, kernels)) * math.prod(sides)


def _einsum(layer, shape):
    """Every weight is used once for each output position that it does not itself span."""
    if "." in layer.equation:
        raise UsageError(f"layer {layer.name!r} computes {layer.equation}, whose cost is not counted here")
    _, kernel, output = re.split(",|->", layer.equation)
    labels = dict(zip(output[1:], shape, strict=True))
    return math.prod(layer.kernel.shape) * math.prod(side for label, side in labels.items() if label not in kernel)


# Multiply-accumulates of one image by kind of layer, without its 1D, 2D or 3D, as papers count them: additions,
# comparisons, normalisation (which folds into the convolution before it) and activations are free. The kernel of a
# grouped convolution is already smaller by the number of groups.
_FREE = """Activation ReLU LeakyReLU PReLU ELU Softmax Dropout SpatialDropout GaussianNoise GaussianDropout Flatten
    Reshape Permute Identity BatchNormalization LayerNormalization GroupNormalization Add Subtract Multiply Average
    Maximum Minimum Concatenate MaxPooling AveragePooling GlobalAveragePooling GlobalMaxPooling ZeroPadding Cropping
    UpSampling Rescaling Normalization ActivityRegularization"""
MACS: dict[str, Callable] = {
    **dict.fromkeys(("Conv", "DepthwiseConv", "SeparableConv", "Dense"), _conv),
    "ConvTranspose": lambda layer, _: _conv(layer, layer.input.shape[1:]),
    "EinsumDense": _einsum,
    **dict.fromkeys(_FREE.split(), lambda *_: 0),
}
