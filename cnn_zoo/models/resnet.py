"""ResNet. He, Zhang, Ren & Sun 2016, arXiv:1512.03385, table 1 (ImageNet) and section 4.2 (CIFAR-10);
pre-activation: He et al. 2016, arXiv:1603.05027.

Differs from the paper: in bottleneck blocks the stride is on the 3x3 convolution, as in torchvision ("v1.5"). The small
layout of the ImageNet nets has a 3x3 stem of stride 1 and no pooling.
"""

from functools import partial

from keras import layers

from ..core.errors import UsageError, check_choice, check_length
from ..nn.blocks import apply, assemble, blocks_of, conv, conv_norm_act, head, norm_act, norm_act_conv, of_rank, stem
from .registry import register

IMAGENET = {  # block and blocks a stage
    "resnet18": ("basic", (2, 2, 2, 2)), "resnet34": ("basic", (3, 4, 6, 3)), "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)), "resnet152": ("bottleneck", (3, 8, 36, 3)),
}  # fmt: skip
CIFAR = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}  # blocks a stage
TORCH = (
    ("stem_conv", "<conv|bn>1"), (r"stage(\d)_block(\d+)_conv(\d)", r"layer\1.<\2-1>.<conv|bn>\3"),
    (r"stage(\d)_block(\d+)_shortcut", r"layer\1.<\2-1>.downsample.<0|1>"), ("predictions", "fc"),
)  # fmt: skip


def shortcut_of(x, activated, spec, width, strides, name, shortcut, preactivation):
    """The input of a block in the shape of what its branch makes of it."""
    new = width - x.shape[-1]
    if strides == 1 and not new:
        return x
    if shortcut == "projection":
        project = conv if preactivation else partial(conv_norm_act, activate=False)
        return apply(activated, project(spec, width, 1, strides=strides, padding=0, name=f"{name}_shortcut"))
    if new < 0:
        raise UsageError(f"filters must not fall with identity shortcuts; {name} has {x.shape[-1]}, then {width}")
    x = of_rank(spec, "MaxPoolingND")(1, strides=strides, name=f"{name}_subsample")(x)  # every second position
    around = (*[(0, 0)] * (len(spec.sides) - 1), (new // 2, new - new // 2))  # zeros for the channels that are new
    options = {"data_format": "channels_first", "name": f"{name}_widen"}  # so that the channels are the last side
    return of_rank(spec, "ZeroPaddingND")(around if len(around) > 1 else around[0], **options)(x)


def block(x, spec, rows, name, shortcut, residual, preactivation):
    """Convolutions, with normalisation and activation before or after each, and around them the input, which is added.

    A row is a convolution's filters, kernel and strides; no activation is after the last one before a sum.
    """
    steps = []
    for number, (filters, size, strides) in enumerate(rows, 1):
        options = {"strides": strides, "padding": size // 2, "name": f"{name}_conv{number}"}
        if preactivation:
            steps += norm_act_conv(spec, filters, size, **options)
        else:
            steps += conv_norm_act(spec, filters, size, activate=not residual or number < len(rows), **options)
    before = len(norm_act(spec, name=name)) if preactivation else 0
    activated = apply(x, steps[:before])
    y = apply(activated, steps[before:])
    if not residual:
        return y
    source = shortcut_of(x, activated, spec, y.shape[-1], rows[0][2] * rows[1][2], name, shortcut, preactivation)
    y = layers.Add(name=f"{name}_add")([y, source])
    return y if preactivation else layers.Activation(spec.activation, name=f"{name}_out")(y)


@register(*IMAGENET, year=2015, paper="arXiv:1512.03385", batch_norm=True, torch=TORCH)
@register(*CIFAR, layouts={"small": (32, 32, 3)}, year=2015, paper="arXiv:1512.03385", batch_norm=True)
def resnet(spec, *, filters=(), shortcut=None, residual=True, preactivation=False):
    """The stem, stages of blocks of which the first halves the image (but in stage 1), and the head.

    Args:
        filters: of the blocks of each stage, (64, 128, 256, 512), or (16, 32, 64) in the nets for CIFAR-10; bottleneck
            blocks return four times as many.
        shortcut: where a block changes the shape, "projection" by a 1x1 convolution (option B), or "identity" padded
            with zeros (option A). None: A in the nets for CIFAR-10, B in the others.
        residual: False leaves the shortcuts out: the plain net that shows degradation.
        preactivation: normalisation and activation before each convolution.
    """
    cifar = spec.name in CIFAR
    filters = filters or ((16, 32, 64) if cifar else (64, 128, 256, 512))
    kind, depths = ("basic", [CIFAR[spec.name]] * len(filters)) if cifar else IMAGENET[spec.name]
    check_length("filters", filters, len(depths))
    shortcut = check_choice("shortcut", shortcut or ("identity" if cifar else "projection"), ("identity", "projection"))
    options = {"shortcut": shortcut, "residual": residual, "preactivation": preactivation}
    width = 64 if spec.layout == "paper" else filters[0]
    steps = stem(spec, width, 7, conv if preactivation else conv_norm_act)
    for stage, number, name in blocks_of(depths):
        new, strides = filters[stage - 1], 2 if stage > 1 and number == 1 else 1
        bottleneck = ((new, 1, 1), (new, 3, strides), (4 * new, 1, 1))
        rows = ((new, 3, strides), (new, 3, 1)) if kind == "basic" else bottleneck
        steps.append(partial(block, spec=spec, rows=rows, name=name, **options))
    return assemble(spec, steps + (norm_act(spec, name="final") if preactivation else []) + head(spec))
