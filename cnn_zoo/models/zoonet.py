"""zoonet: nets of this zoo's own, made to learn much in little time on a CPU. No paper.

Each stage halves the image by pooling straight after its first convolution, so that normalisation and activation have
a quarter of the numbers to work on. Widths are multiples of 16, which the vector units of CPUs take in whole. There are
as many stages as bring the image down to about 4x4. In `zoonet` the first of them is a strided convolution, the
cheapest way to halve an image; `zoonet_wide` spends more on each image, for longer trainings. `zoonet_large` is twice
as wide again and begins with a whitening of pixels, which cnn_zoo.train adapts to the training images; in a training of
your own, call model.get_layer("stem_whitening").adapt(images) first.
"""

import math

from ..nn.blocks import assemble, conv, conv_norm_act, head, norm_act, pool
from ..nn.layers import Whitening
from .registry import register

VARIANTS = {  # stem, filters of the first stage, convolutions a stage and in the last one
    "zoonet": ("strided", 32, 1, 2),
    "zoonet_wide": (None, 32, 2, 2),
    "zoonet_large": ("whitening", 64, 2, 2),
}
LAST_SIDE = 4  # pixels
MOST_FILTERS = 256

OURS = {"year": 2026, "paper": "", "batch_norm": True, "large_steps": True}


@register("zoonet", layouts={"small": (28, 28, 1)}, **OURS)
@register("zoonet_wide", layouts={"small": (32, 32, 3)}, **OURS)
@register("zoonet_large", layouts={"small": (32, 32, 3)}, ranks=(2,), **OURS)
def zoonet(spec, *, filters=()):
    """A stem or none, stages, global average pooling.

    Args:
        filters: of each stage; default: doubled from stage to stage up to 256, for as many as the image needs.
    """
    stem, first, convolutions, last = VARIANTS[spec.name]
    stack, halvings = [], max(1, round(math.log2(min(spec.sides) / LAST_SIDE)))
    if stem == "strided":
        stack += conv_norm_act(spec, 16, 4, strides=2, name="stem_conv")
        halvings -= 1
    elif stem == "whitening":
        stack += [Whitening(4 * spec.input_shape[2], 2, name="stem_whitening")]
    filters = filters or [min(first * 2**i, MOST_FILTERS) for i in range(max(1, halvings))]
    for stage, width in enumerate(filters, 1):
        name = f"stage{stage}_conv1"
        stack += conv(spec, width, 3, use_bias=not spec.batch_norm, name=name)
        stack += pool(spec, "max", 2, name=f"stage{stage}_pool") + norm_act(spec, name=name)
        for number in range(2, 1 + (last if stage == len(filters) else convolutions)):
            stack += conv_norm_act(spec, width, 3, name=f"stage{stage}_conv{number}")
    return assemble(spec, stack + head(spec))
