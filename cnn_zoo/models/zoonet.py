"""zoonet: nets of this zoo's own, made to learn much in little time on a CPU. No paper.

Each stage halves the image by pooling straight after its first convolution, so that normalisation and activation have
a quarter of the numbers to work on. Widths are multiples of 16, which the vector units of CPUs take in whole. There are
as many stages as bring the image down to about 4x4. In `zoonet` the first of them is a strided convolution, the
cheapest way to halve an image; `zoonet_wide` spends more on each image, for longer trainings.
"""

import math

from ..layers import assemble, conv, conv_norm_act, head, norm_act, pool
from ..registry import register

VARIANTS = {  # filters of the strided stem, filters of the first stage, convolutions a stage and in the last one
    "zoonet": (16, 32, 1, 2),
    "zoonet_wide": (0, 32, 2, 2),
}
LAST_SIDE = 4  # pixels
MOST_FILTERS = 256


@register("zoonet", layouts={"small": (28, 28, 1)}, year=2026, paper="", batch_norm=True, large_steps=True)
@register("zoonet_wide", layouts={"small": (32, 32, 3)}, year=2026, paper="", batch_norm=True, large_steps=True)
def zoonet(spec, *, filters=()):
    """A strided stem or none, stages, global average pooling.

    Args:
        filters: of each stage; default: doubled from stage to stage up to 256, for as many as the image needs.
    """
    stem, first, convolutions, last = VARIANTS[spec.name]
    stack, halvings = [], max(1, round(math.log2(min(spec.input_shape[:2]) / LAST_SIDE)))
    if stem:
        stack += conv_norm_act(spec, stem, 4, strides=2, name="stem_conv")
    filters = filters or [min(first * 2**i, MOST_FILTERS) for i in range(max(1, halvings - bool(stem)))]
    for stage, width in enumerate(filters, 1):
        name = f"stage{stage}_conv1"
        stack += conv(spec, width, 3, use_bias=not spec.batch_norm, name=name)
        stack += pool("max", 2, name=f"stage{stage}_pool") + norm_act(spec, name=name)
        for number in range(2, 1 + (last if stage == len(filters) else convolutions)):
            stack += conv_norm_act(spec, width, 3, name=f"stage{stage}_conv{number}")
    return assemble(spec, stack + head(spec))
