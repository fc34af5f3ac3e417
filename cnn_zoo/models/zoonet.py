"""zoonet: nets of this zoo's own, made to learn much in little time on a CPU. No paper.

Each stage halves the image by pooling straight after its first convolution, so that normalisation and activation have
a quarter of the numbers to work on. Widths are multiples of 16, which the vector units of CPUs take in whole. There are
as many stages as bring the image down to about 4x4. In `zoonet` the first of them is a strided convolution, the
cheapest way to halve an image; `zoonet_wide` spends more on each image, for longer trainings. `zoonet_large` is twice
as wide again and begins with a whitening of pixels, which cnn_zoo.train computes from the training images; before a
training of your own call whiten(model, images).
"""

import math

import numpy as np
from keras import layers

from ..core.errors import UsageError
from ..nn.blocks import assemble, conv, conv_norm_act, head, norm_act, pool
from .registry import register

# stem, filters of the first stage, convolutions a stage and in the last one
VARIANTS = {"zoonet": ("strided", 32, 1, 2), "zoonet_wide": (None, 32, 2, 2), "zoonet_large": ("whitening", 64, 2, 2)}
OURS = {"year": 2026, "paper": "", "batch_norm": True, "large_steps": True}
LAST_SIDE = 4  # pixels
MOST_FILTERS = 256
LEAST_VARIANCE = 5e-4  # added, so that noise is not blown up without limit; of images in [0, 1]


def whiten(model, images: np.ndarray) -> None:
    """Compute the filters of zoonet_large's first layer, which is not trained, from the images that it is to learn.

    Patches of pixels vary a thousand times as much in brightness as in anything else, and gradient descent is slow
    along directions that vary little (LeCun et al. 1998, 10.1007/3-540-49430-8_2, section 4.3). The filters are the
    principal components of patches, the largest first, each divided by its standard deviation: what comes out is
    uncorrelated and of variance one (arXiv:2404.00498, section 3.2). `images` are floats in [0, 1], (n, height, width,
    channels).
    """
    layer = model.get_layer("stem_whitening")
    channels = layer.kernel.shape[2]
    if np.ndim(images) != 4 or images.dtype.kind != "f" or images.shape[-1] != channels:
        found = f"{getattr(images, 'dtype', type(images).__name__)} {np.shape(images)}"
        raise UsageError(f"whiten takes float images in [0, 1], (n, height, width, {channels}); got {found}")
    patches = np.lib.stride_tricks.sliding_window_view(images, layer.kernel_size, axis=(1, 2))
    patches = np.moveaxis(patches, 3, -1).reshape(-1, math.prod(layer.kernel.shape[:-1]))
    variances, directions = np.linalg.eigh(np.cov(patches, rowvar=False))
    largest = np.abs(directions).argmax(0)
    directions *= np.sign(directions[largest, range(len(largest))])  # of the two signs, always the same
    kernel = (directions / np.sqrt(variances + LEAST_VARIANCE))[:, ::-1][:, : layer.filters]
    layer.set_weights([kernel.reshape(layer.kernel.shape), -patches.mean(0) @ kernel])


@register("zoonet", layouts={"small": (28, 28, 1)}, **OURS)
@register("zoonet_wide", layouts={"small": (32, 32, 3)}, **OURS)
@register("zoonet_large", layouts={"small": (32, 32, 3)}, ranks=(2,), prepare=whiten, **OURS)
def zoonet(spec, *, filters=()):
    """A stem or none, stages, global average pooling.

    Args:
        filters: of each stage; default: doubled from stage to stage up to 256, for as many as the image needs.
    """
    stem, first, convolutions, last = VARIANTS[spec.name]
    stack = conv_norm_act(spec, 16, 4, strides=2, name="stem_conv") if stem == "strided" else []
    if not filters:
        halvings = max(1, round(math.log2(min(spec.sides) / LAST_SIDE))) - bool(stack)
        filters = [min(first * 2**i, MOST_FILTERS) for i in range(max(1, halvings))]
    if stem == "whitening":
        stack += [layers.Conv2D(4 * spec.input_shape[2], 2, trainable=False, name="stem_whitening")]
    for stage, width in enumerate(filters, 1):
        name = f"stage{stage}_conv1"
        stack += conv(spec, width, 3, name=name) + pool(spec, "max", 2, name=f"stage{stage}_pool")
        stack += norm_act(spec, name=name)
        for number in range(2, 1 + (last if stage == len(filters) else convolutions)):
            stack += conv_norm_act(spec, width, 3, name=f"stage{stage}_conv{number}")
    return assemble(spec, stack + head(spec))
