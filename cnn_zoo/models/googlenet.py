"""GoogLeNet (Inception v1). Szegedy et al. 2015, arXiv:1409.4842, table 1.

Differs from the paper: no local response normalisation and no auxiliary classifiers. Unlike torchvision's googlenet, it
has the paper's 5x5 kernels and no batch normalisation unless asked for. The small layout is ours: a stem of stride 1
with one pooling.
"""

from functools import partial

from keras import layers

from ..core.errors import check_length
from ..nn.blocks import apply, assemble, conv_norm_act, head, pool
from .registry import register

# 1x1, 3x3 after its reduction, 5x5 after its reduction, 1x1 after pooling; a row a block
BLOCKS = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    ((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
     (256, 160, 320, 32, 128, 128)),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)  # fmt: skip


def inception(x, spec, filters, name):
    """Four branches with windows of different sizes, side by side."""
    ones, threes_reduced, threes, fives_reduced, fives, pooled = filters

    def conv(width, size, branch):
        return conv_norm_act(spec, width, size, name=f"{name}_{branch}")

    branches = (
        conv(ones, 1, "1x1"),
        conv(threes_reduced, 1, "3x3_reduce") + conv(threes, 3, "3x3"),
        conv(fives_reduced, 1, "5x5_reduce") + conv(fives, 5, "5x5"),
        pool(spec, "max", 3, strides=1, padding="same", name=f"{name}_pool") + conv(pooled, 1, "pool_project"),
    )
    return layers.Concatenate(name=f"{name}_out")([apply(x, branch) for branch in branches])


@register("googlenet", year=2014, paper="arXiv:1409.4842", dropout=0.4)
def googlenet(spec, *, blocks=BLOCKS):
    """Nine inception blocks in three stages; `blocks` has six widths a block."""
    if spec.layout == "paper":
        steps = conv_norm_act(spec, 64, 7, strides=2, padding=3, name="stem_conv1")
        steps += pool(spec, "max", 3, strides=2, padding="same", name="stem_pool1")
        steps += conv_norm_act(spec, 64, 1, name="stem_conv2")
    else:
        steps = conv_norm_act(spec, 64, 3, name="stem_conv1")
    steps += conv_norm_act(spec, 192, 3, name="stem_conv3")
    for stage, rows in enumerate(blocks, 1):
        steps += pool(spec, "max", 3, strides=2, padding="same", name=f"stage{stage}_in")
        for block, filters in enumerate(rows, 1):
            check_length(f"blocks[{stage - 1}][{block - 1}]", filters, 6)
            steps.append(partial(inception, spec=spec, filters=filters, name=f"stage{stage}_block{block}"))
    return assemble(spec, steps + head(spec))
