"""What a layer costs: multiply-accumulates of one image, as papers count them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from ..core.errors import UsageError


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
