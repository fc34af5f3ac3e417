"""ShuffleNets. v1: Zhang et al. 2018, arXiv:1707.01083, table 1; v2: Ma et al. 2018, arXiv:1807.11164, table 5.

v2 is torchvision's. In v1 the first unit of stage 1 (the paper's stage 2) has no groups in its first convolution, as
section 3.2 says. Differs from the papers in nothing known. The small layout of both has a stem of stride 1 and no
pooling.
"""

from functools import partial

from keras import layers

from ..core.errors import check_choice, check_number
from ..nn.blocks import apply, assemble, blocks_of, conv_norm_act, head, kernel_options, norm_act, pool, split, stem
from .registry import register

REPEATS = (4, 8, 4)
V1 = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}  # groups: channels of stage 1, doubled in each stage after it
V2 = {0.5: (48, 96, 192, 1024), 1: (116, 232, 464, 1024), 1.5: (176, 352, 704, 1024), 2: (244, 488, 976, 2048)}
STEM = 24
TORCH = (
    ("stem_conv", "conv1.<0|1>"), ("final_conv", "conv5.<0|1>"), ("predictions", "fc"),
    (r"stage(\d)_block(\d)_shortcut_depthwise", r"stage<\1+1>.<\2-1>.branch1.<0|1>"),
    (r"stage(\d)_block(\d)_shortcut_conv", r"stage<\1+1>.<\2-1>.branch1.<2|3>"),
    (r"stage(\d)_block(\d)_conv1", r"stage<\1+1>.<\2-1>.branch2.<0|1>"),
    (r"stage(\d)_block(\d)_depthwise", r"stage<\1+1>.<\2-1>.branch2.<3|4>"),
    (r"stage(\d)_block(\d)_conv2", r"stage<\1+1>.<\2-1>.branch2.<5|6>"),
)  # fmt: skip


def grouped_pointwise(x, spec, filters, groups, name, activate=True):
    """A 1x1 convolution in groups, as one matrix product a group, with normalisation and activation."""
    height, width, depth = x.shape[1:]
    if groups == 1:
        return apply(x, conv_norm_act(spec, filters, 1, name=name, activate=activate))
    x = layers.Reshape((height * width, groups, depth // groups), name=f"{name}_split")(x)
    options = {"bias_axes": None if spec.batch_norm else "go", "name": name, **kernel_options(spec)}
    x = layers.EinsumDense("bpgi,gio->bpgo", (height * width, groups, filters // groups), **options)(x)
    x = layers.Reshape((height, width, filters), name=f"{name}_join")(x)
    return apply(x, norm_act(spec, name=name, activate=activate))


def shuffle_channels(x, groups, name):
    """Channels of all groups in turn: ShuffleNet's transposition of (groups, channels a group)."""
    height, width, depth = x.shape[1:]
    if height is width is None:
        raise ValueError("only one side of what is reshaped can be free")
    x = layers.Reshape((height, width, groups, depth // groups), name=f"{name}_split")(x)
    x = layers.Permute((1, 2, 4, 3), name=f"{name}_transpose")(x)
    return layers.Reshape((height, width, depth), name=f"{name}_join")(x)


def unit_v1(x, spec, filters, groups, strides, ungrouped, name):
    """Grouped 1x1, shuffle, depthwise 3x3, grouped 1x1; added to the input, or beside it where strides are 2."""
    y = grouped_pointwise(x, spec, filters // 4, groups=1 if ungrouped else groups, name=f"{name}_conv1")
    y = shuffle_channels(y, groups, name=f"{name}_shuffle") if groups > 1 else y
    y = apply(y, conv_norm_act(spec, None, 3, strides=strides, padding=1, activate=False, name=f"{name}_depthwise"))
    width = filters - x.shape[-1] if strides > 1 else filters
    y = grouped_pointwise(y, spec, width, groups=groups, activate=False, name=f"{name}_conv2")
    if strides == 1:
        y = layers.Add(name=f"{name}_add")([x, y])
    else:
        x = apply(x, pool(spec, "average", 3, strides=2, padding=1, name=f"{name}_shortcut"))
        y = layers.Concatenate(name=f"{name}_concat")([x, y])
    return layers.Activation(spec.activation, name=f"{name}_out")(y)


def unit_v2(x, spec, filters, strides, name):
    """Half of the channels pass, half are convolved; where strides are 2, both halves come from all. Then a shuffle."""
    half = filters // 2

    def depthwise(name):
        return conv_norm_act(spec, None, 3, strides=strides, padding=1, activate=False, name=f"{name}_depthwise")

    left, right = split(x, 2, name=f"{name}_split") if strides == 1 else (x, x)
    if strides > 1:
        left = apply(x, depthwise(f"{name}_shortcut") + conv_norm_act(spec, half, 1, name=f"{name}_shortcut_conv"))
    convs = conv_norm_act(spec, half, 1, name=f"{name}_conv1") + depthwise(name)
    right = apply(right, convs + conv_norm_act(spec, half, 1, name=f"{name}_conv2"))
    return shuffle_channels(layers.Concatenate(name=f"{name}_concat")([left, right]), 2, name=f"{name}_shuffle")


@register("shufflenet_v1", year=2017, paper="arXiv:1707.01083", batch_norm=True, ranks=(2,))
def shufflenet_v1(spec, *, groups=3, width=1.0):
    """Sixteen units; `groups` of the 1x1 convolutions (1, 2, 3, 4 or 8) sets the channels, which `width` multiplies.

    Multiplied, the channels are rounded down to what four times the groups divide, but stay more than the stem's.
    """
    check_choice("groups", groups, V1)
    check_number("width", width, 0.05)
    step = 4 * groups  # so many channels in each unit's narrow part are a multiple of the groups
    channels = max(int(V1[groups] * width) // step, STEM // step + 1) * step
    steps = stem(spec, STEM, 3)
    for stage, number, name in blocks_of(REPEATS):
        options = {"filters": channels * 2 ** (stage - 1), "groups": groups, "strides": 2 if number == 1 else 1}
        steps.append(partial(unit_v1, spec=spec, ungrouped=stage == number == 1, name=name, **options))
    return assemble(spec, steps + head(spec))


@register("shufflenet_v2", year=2018, paper="arXiv:1807.11164", batch_norm=True, torch=TORCH, ranks=(2,))
def shufflenet_v2(spec, *, width=1):
    """Sixteen units and a 1x1 convolution; `width` is 0.5, 1, 1.5 or 2."""
    check_choice("width", width, V2)
    *filters, last = V2[width]
    steps = stem(spec, STEM, 3)
    for stage, number, name in blocks_of(REPEATS):
        options = {"filters": filters[stage - 1], "strides": 2 if number == 1 else 1, "name": name}
        steps.append(partial(unit_v2, spec=spec, **options))
    return assemble(spec, steps + conv_norm_act(spec, last, 1, name="final_conv") + head(spec))
