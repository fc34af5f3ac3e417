"""MobileNets. v1: Howard et al. 2017, arXiv:1704.04861, table 1; v2: Sandler et al. 2018, arXiv:1801.04381, table 2.

v2 is torchvision's. Differs from keras.applications' nets, which pad the right and lower side only where strides are 2
and have another epsilon, and whose v1 has ReLU6: padding="same", epsilon=1e-3 and activation="relu6" make them. The
small layout is ours: no stride in the stem and in the first stage that has one.
"""

from functools import partial

from keras import layers

from ..core.errors import check_choice, check_number
from ..nn.blocks import EPSILON, apply, assemble, conv_norm_act, head
from .registry import register

V1 = ((1, 64, 1), (2, 128, 2), (2, 256, 2), (6, 512, 2), (2, 1024, 2))  # blocks, filters, strides of a stage
V2 = (  # expansion, filters, blocks, strides of a stage
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
TORCH = (
    ("stem_conv", "features.0.<0|1>"),
    ("stage1_block1_depthwise", "features.1.conv.0.<0|1>"),
    ("stage1_block1_project", "features.1.conv.<1|2>"),
    (r"stage\d_block\d_expand", "features.<block>.conv.0.<0|1>"),
    (r"stage\d_block\d_depthwise", "features.<block>.conv.1.<0|1>"),
    (r"stage\d_block\d_project", "features.<block>.conv.<2|3>"),
    ("final_conv", "features.18.<0|1>"),
    ("predictions", "classifier.1"),
)


def divisible(filters, by=8):
    """The nearest multiple of 8, but not more than a tenth below: what width multipliers are rounded to."""
    rounded = max(by, int(filters + by / 2) // by * by)
    return rounded if rounded >= 0.9 * filters else rounded + by


def inverted_residual(x, conv, expansion, filters, strides, padding, name):
    """Widen by 1x1, filter each channel by 3x3, narrow without activation; the input is added where shapes allow."""
    y = x
    if expansion > 1:
        y = apply(y, conv(expansion * x.shape[-1], 1, name=f"{name}_expand"))
    y = apply(y, conv(None, 3, strides=strides, padding=padding, name=f"{name}_depthwise"))
    y = apply(y, conv(filters, 1, activate=False, name=f"{name}_project"))
    return layers.Add(name=f"{name}_add")([x, y]) if strides == 1 and x.shape[-1] == filters else y


def _padding(padding):
    return 1 if check_choice("padding", padding, ("symmetric", "same")) == "symmetric" else "same"


def _strides(spec, rows):
    """Strides of the stem and of the stages; the small layout leaves out the first two that are not 1."""
    strides, skip = [2, *rows], 2 if spec.layout == "small" else 0
    for i, stride in enumerate(strides):
        if stride > 1 and skip:
            strides[i], skip = 1, skip - 1
    return strides


@register("mobilenet_v1", year=2017, paper="arXiv:1704.04861", dropout=0.001, batch_norm=True, ranks=(1, 2))
def mobilenet_v1(spec, *, width=1.0, padding="symmetric", epsilon=EPSILON):
    """Thirteen depthwise-separable convolutions; `width` multiplies all filters, `epsilon` is batch normalisation's."""
    conv = partial(conv_norm_act, spec, epsilon=epsilon)
    padding, (stem, *strides) = _padding(padding), _strides(spec, [row[2] for row in V1])
    check_number("width", width, 0.05)
    steps = conv(int(32 * width), 3, strides=stem, padding=padding, name="stem_conv")
    for stage, ((blocks, filters, _), stride) in enumerate(zip(V1, strides, strict=True), 1):
        for number in range(1, blocks + 1):
            name, first = f"stage{stage}_block{number}", stride if number == 1 else 1
            steps += conv(None, 3, strides=first, padding=padding, name=f"{name}_depthwise")
            steps += conv(int(filters * width), 1, name=f"{name}_pointwise")
    return assemble(spec, steps + head(spec))


@register(
    "mobilenet_v2",
    year=2018,
    paper="arXiv:1801.04381",
    dropout=0.2,
    batch_norm=True,
    activation="relu6",
    torch=TORCH,
    ranks=(1, 2),
)
def mobilenet_v2(spec, *, width=1.0, padding="symmetric", epsilon=EPSILON):
    """Seventeen inverted residual blocks in seven stages; `width` multiplies filters, the last layer's only above 1."""
    conv = partial(conv_norm_act, spec, epsilon=epsilon)
    padding, (stem, *strides) = _padding(padding), _strides(spec, [row[3] for row in V2])
    check_number("width", width, 0.05)
    steps = conv(divisible(32 * width), 3, strides=stem, padding=padding, name="stem_conv")
    for stage, ((expansion, filters, blocks, _), stride) in enumerate(zip(V2, strides, strict=True), 1):
        for number in range(1, blocks + 1):
            options = {"filters": divisible(filters * width), "strides": stride if number == 1 else 1}
            options |= {"expansion": expansion, "padding": padding, "name": f"stage{stage}_block{number}"}
            steps.append(partial(inverted_residual, conv=conv, **options))
    steps += conv(divisible(1280 * max(1.0, width)), 1, name="final_conv")
    return assemble(spec, steps + head(spec))
