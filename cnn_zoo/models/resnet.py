"""ResNet. He, Zhang, Ren & Sun 2016, arXiv:1512.03385, table 1 (ImageNet) and section 4.2 (CIFAR-10);
pre-activation: He et al. 2016, arXiv:1603.05027.

Differs from the paper: in bottleneck blocks the stride is on the 3x3 convolution, as in torchvision ("v1.5");
stride_on="1x1" puts it where the paper and keras.applications have it. keras.applications also has biases before batch
normalisation: use_bias=True. The small layout of the ImageNet nets has a 3x3 stem of stride 1 and no pooling.
"""

from functools import partial

from keras import layers

from ..layers import apply, assemble, conv, conv_norm_act, head, norm_act, pad_channels, pool
from ..registry import register

IMAGENET = {  # block and blocks a stage
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
    "resnet152": ("bottleneck", (3, 8, 36, 3)),
}
CIFAR = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}  # blocks a stage
TORCH = (
    ("stem_conv", "conv1"),
    ("stem_conv_norm", "bn1"),
    (r"stage(\d)_block(\d+)_conv(\d)", r"layer\1.<\2-1>.conv\3"),
    (r"stage(\d)_block(\d+)_conv(\d)_norm", r"layer\1.<\2-1>.bn\3"),
    (r"stage(\d)_block(\d+)_shortcut", r"layer\1.<\2-1>.downsample.0"),
    (r"stage(\d)_block(\d+)_shortcut_norm", r"layer\1.<\2-1>.downsample.1"),
    ("predictions", "fc"),
)


def block(x, spec, kind, filters, strides, name, shortcut, residual, preactivation, stride_on, use_bias):
    """Two or three convolutions, and around them the input itself, which is added to what they make of it."""
    if kind == "basic":
        rows = ((filters, 3, strides), (filters, 3, 1))
    else:
        first, second = (strides, 1) if stride_on == "1x1" else (1, strides)
        rows = ((filters, 1, first), (filters, 3, second), (4 * filters, 1, 1))
    width = rows[-1][0]
    changes = strides > 1 or x.shape[-1] != width
    y = source = x
    for number, (depth, size, stride) in enumerate(rows, 1):
        full, options = f"{name}_conv{number}", {"strides": stride, "padding": size // 2}
        if preactivation:
            y = apply(y, norm_act(spec, name=full))
            source = y if changes and number == 1 and shortcut == "projection" else source
            y = apply(y, conv(spec, depth, size, name=full, use_bias=use_bias, **options))
        else:
            activate = not residual or number < len(rows)
            options |= {"activate": activate, "use_bias": use_bias or None}
            y = apply(y, conv_norm_act(spec, depth, size, name=full, **options))
    if not residual:
        return y
    if changes and shortcut == "projection":
        full, options = f"{name}_shortcut", {"strides": strides, "padding": 0, "use_bias": use_bias}
        project = conv if preactivation else partial(conv_norm_act, activate=False)
        source = apply(source, project(spec, width, 1, name=full, **options))
    elif changes:  # every second position, and zeros for the channels that are new
        new = width - x.shape[-1]
        source = layers.MaxPooling2D(1, strides=strides, name=f"{name}_subsample")(x)
        source = pad_channels(source, new // 2, new - new // 2, name=f"{name}_widen")
    y = layers.Add(name=f"{name}_add")([y, source])
    return y if preactivation else layers.Activation(spec.activation, name=f"{name}_out")(y)


def resnet(spec, stem, kind, depths, filters, **options):
    """The stem, stages of blocks of which the first halves the image (but in stage 1), and the head."""
    if options["shortcut"] not in ("identity", "projection"):
        raise ValueError(f"shortcut must be 'identity' or 'projection'; got {options['shortcut']!r}")
    if options["stride_on"] not in ("1x1", "3x3"):
        raise ValueError(f"stride_on must be '1x1' or '3x3'; got {options['stride_on']!r}")
    steps = list(stem)
    for stage, (blocks, width) in enumerate(zip(depths, filters, strict=True), 1):
        for number in range(1, blocks + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            named = {"strides": strides, "name": f"stage{stage}_block{number}"}
            steps.append(partial(block, spec=spec, kind=kind, filters=width, **named, **options))
    if options["preactivation"]:
        steps += norm_act(spec, name="final")
    return assemble(spec, steps + head(spec))


@register(
    *IMAGENET,
    layouts={"paper": (224, 224, 3), "small": (32, 32, 3)},
    year=2015,
    paper="arXiv:1512.03385",
    batch_norm=True,
    torch=TORCH,
)
def resnet_imagenet(
    spec,
    *,
    filters=(64, 128, 256, 512),
    shortcut="projection",
    residual=True,
    preactivation=False,
    stride_on="3x3",
    use_bias=False,
):
    """The ImageNet nets.

    Args:
        filters: of the blocks of each stage; bottleneck blocks return four times as many.
        shortcut: where a block changes the shape, "projection" by a 1x1 convolution (option B), or "identity" padded
            with zeros (option A).
        residual: False leaves the shortcuts out: the plain net that shows degradation.
        preactivation: normalisation and activation before each convolution.
        stride_on: the convolution of a bottleneck block that halves the image, "3x3" or "1x1".
        use_bias: biases also before batch normalisation.
    """
    first = partial(conv, use_bias=use_bias) if preactivation else partial(conv_norm_act, use_bias=use_bias or None)
    if spec.layout == "paper":
        stem = first(spec, 64, 7, strides=2, padding=3, name="stem_conv")
        stem += pool("max", 3, strides=2, padding=1, name="stem_pool")
    else:
        stem = first(spec, filters[0], 3, name="stem_conv")
    options = {"shortcut": shortcut, "residual": residual, "preactivation": preactivation}
    kind, depths = IMAGENET[spec.name]
    return resnet(spec, stem, kind, depths, filters, stride_on=stride_on, use_bias=use_bias, **options)


@register(*CIFAR, layouts={"small": (32, 32, 3)}, year=2015, paper="arXiv:1512.03385", batch_norm=True)
def resnet_cifar(spec, *, filters=(16, 32, 64), shortcut="identity", residual=True, preactivation=False):
    """The nets for small images: three stages of basic blocks; options as for the ImageNet nets."""
    first = partial(conv, use_bias=False) if preactivation else conv_norm_act
    stem = first(spec, filters[0], 3, name="stem_conv")
    options = {"shortcut": shortcut, "residual": residual, "preactivation": preactivation}
    depths = [CIFAR[spec.name]] * len(filters)
    return resnet(spec, stem, "basic", depths, filters, stride_on="3x3", use_bias=False, **options)
