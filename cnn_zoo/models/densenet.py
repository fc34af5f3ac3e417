"""DenseNet. Huang, Liu, van der Maaten & Weinberger 2017, arXiv:1608.06993, table 1 and, for CIFAR-10, section 3.

densenet121, 169 and 201 are torchvision's. The "BC" nets for small images have bottlenecks and a compression of one
half. Differs from the paper in nothing known. The small layout of the ImageNet nets has a 3x3 stem of stride 1 and no
pooling.
"""

from functools import partial

from keras import layers

from ..layers import apply, assemble, conv, conv_norm_act, head, norm_act, pool
from ..registry import register

DEPTHS = {"densenet121": (6, 12, 24, 16), "densenet169": (6, 12, 32, 32), "densenet201": (6, 12, 48, 32)}
BC = {"densenet_bc_100_12": (16, 16, 16)}  # (100 - 4) / 6 blocks a stage
BOTTLENECK = 4  # the 1x1 convolution's filters, in growth rates
TORCH = (
    ("stem_conv", "features.conv0"),
    ("stem_conv_norm", "features.norm0"),
    (r"stage(\d)_block(\d+)_conv(\d)", r"features.denseblock\1.denselayer\2.conv\3"),
    (r"stage(\d)_block(\d+)_conv(\d)_norm", r"features.denseblock\1.denselayer\2.norm\3"),
    (r"stage(\d)_transition", r"features.transition<\1-1>.conv"),
    (r"stage(\d)_transition_norm", r"features.transition<\1-1>.norm"),
    ("final_norm", "features.norm5"),
    ("predictions", "classifier"),
)


def pre(spec, filters, kernel_size, name):
    """Normalisation, activation, convolution without bias."""
    return norm_act(spec, name=name) + conv(spec, filters, kernel_size, use_bias=not spec.batch_norm, name=name)


def block(x, spec, growth, name):
    """`growth` new channels, made from all that there are and added to them."""
    new = pre(spec, BOTTLENECK * growth, 1, f"{name}_conv1") + pre(spec, growth, 3, f"{name}_conv2")
    return layers.Concatenate(name=f"{name}_out")([x, apply(x, new)])


def transition(x, spec, compression, name):
    """Fewer channels, and half the height and width."""
    x = apply(x, pre(spec, int(x.shape[-1] * compression), 1, name))
    return apply(x, pool("average", 2, padding="valid" if min(x.shape[1:3]) > 1 else "same", name=f"{name}_pool"))


def densenet(spec, stem, depths, growth, compression):
    steps = list(stem)
    for stage, blocks in enumerate(depths, 1):
        if stage > 1:
            steps.append(partial(transition, spec=spec, compression=compression, name=f"stage{stage}_transition"))
        for number in range(1, blocks + 1):
            steps.append(partial(block, spec=spec, growth=growth, name=f"stage{stage}_block{number}"))
    return assemble(spec, steps + norm_act(spec, name="final") + head(spec))


@register(
    *DEPTHS,
    layouts={"paper": (224, 224, 3), "small": (32, 32, 3)},
    year=2016,
    paper="arXiv:1608.06993",
    batch_norm=True,
    torch=TORCH,
)
def densenet_imagenet(spec, *, growth=32, compression=0.5):
    """Four stages of dense blocks: `growth` channels a block, of which a transition keeps a share of `compression`."""
    if spec.layout == "paper":
        stem = conv_norm_act(spec, 2 * growth, 7, strides=2, padding=3, name="stem_conv")
        stem += pool("max", 3, strides=2, padding=1, name="stem_pool")
    else:
        stem = conv_norm_act(spec, 2 * growth, 3, name="stem_conv")
    return densenet(spec, stem, DEPTHS[spec.name], growth, compression)


@register(*BC, layouts={"small": (32, 32, 3)}, year=2016, paper="arXiv:1608.06993", batch_norm=True)
def densenet_bc(spec, *, growth=12, compression=0.5, depths=None):
    """Three stages for small images; `depths` are the blocks of each stage."""
    stem = conv(spec, 2 * growth, 3, use_bias=not spec.batch_norm, name="stem_conv")
    return densenet(spec, stem, BC[spec.name] if depths is None else depths, growth, compression)
