"""MobileNets. v1: Howard et al. 2017, arXiv:1704.04861, table 1; v2: Sandler et al. 2018, arXiv:1801.04381, table 2.

v2 is torchvision's; differs from keras.applications' nets, which pad the right and lower side only where strides are 2
and have another epsilon, and whose v1 has ReLU6. The small layout is ours: no stride in the stem and in stage 2.
"""

from functools import partial

from keras import layers

from ..core.errors import check_number
from ..nn.blocks import apply, assemble, blocks_of, conv_norm_act, head
from .registry import register

V1 = ((1, 64, 1), (2, 128, 2), (2, 256, 2), (6, 512, 2), (2, 1024, 2))  # blocks, filters, strides of a stage
V2 = (  # blocks, filters, strides, expansion of a stage
    (1, 16, 1, 1), (2, 24, 2, 6), (3, 32, 2, 6), (4, 64, 2, 6), (3, 96, 1, 6), (3, 160, 2, 6), (1, 320, 1, 6),
)  # fmt: skip
V2_OWN = {"dropout": 0.2, "batch_norm": True, "activation": "relu6"}
TORCH = (
    ("stem_conv", "features.0.<0|1>"), ("final_conv", "features.18.<0|1>"), ("predictions", "classifier.1"),
    ("stage1_block1_depthwise", "features.1.conv.0.<0|1>"), ("stage1_block1_project", "features.1.conv.<1|2>"),
    (r"stage\d_block\d_expand", "features.<block>.conv.0.<0|1>"),
    (r"stage\d_block\d_depthwise", "features.<block>.conv.1.<0|1>"),
    (r"stage\d_block\d_project", "features.<block>.conv.<2|3>"),
)  # fmt: skip


def divisible(filters, by=8):
    """The nearest multiple of 8, but not more than a tenth below: what width multipliers are rounded to."""
    rounded = max(by, int(filters + by / 2) // by * by)
    return rounded if rounded >= 0.9 * filters else rounded + by


def inverted_residual(x, spec, filters, strides, expansion, kernel_size=3, excite=None, *, name):
    """Widen by 1x1, filter each channel, narrow without activation; the input is added where shapes allow.

    excite(y, spec, entering channels, name=…) is what EfficientNet has before the last convolution.
    """
    y, options = x, {"strides": strides, "padding": kernel_size // 2, "name": f"{name}_depthwise"}
    if expansion > 1:
        y = apply(y, conv_norm_act(spec, expansion * x.shape[-1], 1, name=f"{name}_expand"))
    y = apply(y, conv_norm_act(spec, None, kernel_size, **options))
    y = excite(y, spec, x.shape[-1], name=f"{name}_se") if excite else y
    y = apply(y, conv_norm_act(spec, filters, 1, activate=False, name=f"{name}_project"))
    return layers.Add(name=f"{name}_add")([x, y]) if strides == 1 and x.shape[-1] == filters else y


def numbered(spec, rows):
    """(name, filters, strides, …) of each block, of rows (blocks, filters, strides, …) of the stages."""
    for stage, number, name in blocks_of(row[0] for row in rows):
        _, filters, strides, *others = rows[stage - 1]
        first = number == 1 and not (spec.layout == "small" and stage == 2)
        yield name, filters, strides if first else 1, *others


def stem(spec, filters):
    """A 3x3 convolution, which halves the image in the paper layout."""
    return conv_norm_act(spec, filters, 3, strides=2 if spec.layout == "paper" else 1, padding=1, name="stem_conv")


@register("mobilenet_v1", year=2017, paper="arXiv:1704.04861", dropout=0.001, batch_norm=True, ranks=(1, 2))
def mobilenet_v1(spec, *, width=1.0):
    """Thirteen depthwise-separable convolutions; `width` multiplies all filters."""
    check_number("width", width, 0.05)
    steps = stem(spec, int(32 * width))
    for name, filters, strides in numbered(spec, V1):
        steps += conv_norm_act(spec, None, 3, strides=strides, padding=1, name=f"{name}_depthwise")
        steps += conv_norm_act(spec, int(filters * width), 1, name=f"{name}_pointwise")
    return assemble(spec, steps + head(spec))


@register("mobilenet_v2", year=2018, paper="arXiv:1801.04381", torch=TORCH, ranks=(1, 2), **V2_OWN)
def mobilenet_v2(spec, *, width=1.0):
    """Seventeen inverted residual blocks in seven stages; `width` multiplies filters, the last layer's only above 1."""
    check_number("width", width, 0.05)
    steps = stem(spec, divisible(32 * width))
    for name, filters, strides, expansion in numbered(spec, V2):
        options = {"filters": divisible(filters * width), "strides": strides, "expansion": expansion, "name": name}
        steps.append(partial(inverted_residual, spec=spec, **options))
    steps += conv_norm_act(spec, divisible(1280 * max(1.0, width)), 1, name="final_conv")
    return assemble(spec, steps + head(spec))
