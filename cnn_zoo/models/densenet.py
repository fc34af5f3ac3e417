"""DenseNet. Huang, Liu, van der Maaten & Weinberger 2017, arXiv:1608.06993, table 1 and, for CIFAR-10, section 3.

densenet121, 169 and 201 are torchvision's. The "BC" nets for small images have bottlenecks and a compression of one
half. Differs from the paper in nothing known. The small layout of the ImageNet nets has a 3x3 stem of stride 1 and no
pooling. densenet_bc_22_16, named as the paper would by layers and growth, is ours: for a CPU, whose kernels are fastest
with multiples of 16 channels.
"""

from functools import partial

from keras import layers

from ..core.errors import check_number
from ..nn.blocks import apply, assemble, blocks_of, conv, conv_norm_act, head, norm_act, norm_act_conv, pool, stem
from .registry import register

IMAGENET = {"densenet121": (6, 12, 24, 16), "densenet169": (6, 12, 32, 32), "densenet201": (6, 12, 48, 32)}
BC = {"densenet_bc_100_12": (16, 16, 16), "densenet_bc_22_16": (3, 3, 3)}  # (100 - 4) / 6 blocks a stage
GROWTH = {"densenet_bc_100_12": 12, "densenet_bc_22_16": 16}
BOTTLENECK = 4  # the 1x1 convolution's filters, in growth rates
TORCH = (
    ("stem_conv", "features.<conv|norm>0"), ("final", "features.norm5"), ("predictions", "classifier"),
    (r"stage(\d)_block(\d+)_conv(\d)", r"features.denseblock\1.denselayer\2.<conv|norm>\3"),
    (r"stage(\d)_transition", r"features.transition<\1-1>.<conv|norm>"),
)  # fmt: skip


def block(x, spec, growth, name):
    """`growth` new channels, made from all that there are and added to them."""
    new = norm_act_conv(spec, BOTTLENECK * growth, 1, name=f"{name}_conv1")
    new += norm_act_conv(spec, growth, 3, name=f"{name}_conv2")
    return layers.Concatenate(name=f"{name}_out")([x, apply(x, new)])


def transition(x, spec, compression, name):
    """Fewer channels, and half the height and width."""
    padding = "same" if 1 in x.shape[1:-1] else "valid"
    steps = norm_act_conv(spec, int(x.shape[-1] * compression), 1, name=name)
    return apply(x, steps + pool(spec, "average", 2, padding=padding, name=f"{name}_pool"))


@register(*IMAGENET, year=2016, paper="arXiv:1608.06993", batch_norm=True, torch=TORCH)
@register("densenet_bc_100_12", layouts={"small": (32, 32, 3)}, year=2016, paper="arXiv:1608.06993", batch_norm=True)
@register("densenet_bc_22_16", layouts={"small": (32, 32, 3)}, year=2026, paper="", batch_norm=True)
def densenet(spec, *, growth=None, compression=0.5, depths=()):
    """Stages of dense blocks.

    Args:
        growth: channels that a block adds; None: as published, 32 in the nets for ImageNet.
        compression: the share of the channels that a transition keeps, from 0.1 to 1.
        depths: blocks of each stage; (): as published.
    """
    growth = check_number("growth", GROWTH.get(spec.name, 32) if growth is None else growth, 1, whole=True)
    check_number("compression", compression, 0.1, most=1)
    depths = depths or (BC | IMAGENET)[spec.name]
    steps = stem(spec, 2 * growth, 7, conv if spec.name in BC else conv_norm_act)
    for stage, number, name in blocks_of(depths):
        if stage > 1 and number == 1:
            steps.append(partial(transition, spec=spec, compression=compression, name=f"stage{stage}_transition"))
        steps.append(partial(block, spec=spec, growth=growth, name=name))
    return assemble(spec, steps + norm_act(spec, name="final") + head(spec))
