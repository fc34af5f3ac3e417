"""U-Net. Ronneberger, Fischer & Brox 2015, arXiv:1505.04597, figure 1.

Differs from the paper: dropout at the end of the contracting path only if asked for. The small layout is ours: padded
convolutions, so that what comes out is of the input's size, batch normalisation, and fewer filters and convolutions
where there are many pixels. A backbone is any other family in place of the contracting path.
"""

from dataclasses import replace

import keras
from keras import layers

from ..core.errors import UsageError, check_length
from ..nn.blocks import apply, conv_norm_act, kernel_options, of_rank, pixels, pool
from ..nn.inspection import features
from .registry import choose_layout, entry, register

PAPER = (64, 128, 256, 512, 1024)
SMALL = (16, 32, 64, 128)
LAYOUTS = {"small": (64, 64, 1), "paper": (572, 572, 1)}
MOST_FILTERS = 256  # of the expanding path on a backbone


def padding(spec):
    """Of all that has a window: the paper's nets lose a border."""
    return "valid" if spec.layout == "paper" else "same"


def convolutions(x, spec, filters, count, name):
    """So many 3x3 convolutions."""
    for number in range(1, count + 1):
        x = apply(x, conv_norm_act(spec, filters, 3, padding=padding(spec), name=f"{name}_conv{number}"))
    return x


def contracting(spec, filters):
    """The paper's path: stages between which maps are halved. Returns the input and the map of each stage by stride."""
    inputs = x = keras.Input(spec.input_shape, name="image")
    maps = {}
    for stage, width in enumerate(filters, 1):
        if stage > 1:
            x = apply(x, pool(spec, "max", 2, padding=padding(spec), name=f"stage{stage}_in"))
        count = 1 if spec.layout == "small" and stage == 1 else 2
        maps[2 ** (stage - 1)] = x = convolutions(x, spec, width, count, f"stage{stage}")
    return inputs, maps


def encoder(spec, backbone):
    """The same of another family without its top, with its own settings and layer names."""
    found = entry(backbone)
    if found.task != "classification" or len(spec.sides) not in found.ranks:
        raise UsageError(f"backbone must be a classifier for inputs such as {spec.input_shape}; got {backbone!r}")
    layout = choose_layout(found.layouts, "auto", spec.input_shape)
    own = {"dropout": 0.0, "activation": found.activation, "batch_norm": found.batch_norm in (True, layout)}
    model = found.build(replace(spec, name=backbone, layout=layout, include_top=False, pooling=None, **own))
    return model.inputs[0], features(model)


def fit(x, spec, sides, name):
    """The map cut, or filled up with zeros, to these sides, alike before and after."""
    more = [new - old for new, old in zip(sides, x.shape[1:-1], strict=True)]
    for kind, sign, part in (("CroppingND", -1, "crop"), ("ZeroPaddingND", 1, "pad")):
        both = [max(0, sign * change) for change in more]
        if any(both):
            around = tuple((number // 2, number - number // 2) for number in both)
            x = of_rank(spec, kind)(around if len(around) > 1 else around[0], name=f"{name}_{part}")(x)
    return x


def up(x, spec, filters, strides, name):
    """The up-convolution: a square of `strides` by `strides` positions from each."""
    make = of_rank(spec, "ConvNDTranspose")
    return make(filters, strides, strides=strides, name=f"{name}_up", **kernel_options(spec))(x)


@register("unet", task="segmentation", layouts=LAYOUTS, year=2015, paper="arXiv:1505.04597", batch_norm="small")
def unet(spec, *, backbone=None, filters=()):
    """The contracting path or a backbone, the expanding path, and a class for every pixel.

    In the paper layout what comes out is smaller than the input: 388x388 of 572x572.

    Args:
        backbone: the name of a classifier of the zoo, with its default options; None: the contracting path.
        filters: of the stages of both paths, the largest maps first; (): (64, 128, 256, 512, 1024), in the small layout
            (16, 32, 64, 128). On a backbone, of the expanding path alone, a number for each of its strides but the
            last; (): 16, 32, … up to 256.
    """
    paper = spec.layout == "paper"
    if backbone is not None:
        if paper:
            raise UsageError(f"backbone must be None in the paper layout; got {backbone!r}")
        inputs, maps = encoder(spec, backbone)
        levels = max(1, len(maps) - 1)
        filters = filters or [min(SMALL[0] * 2**i, MOST_FILTERS) for i in range(levels)]
        check_length("filters", filters, levels)
    else:
        filters = filters or (PAPER if paper else SMALL)
        inputs, maps = contracting(spec, filters)
    *skips, (stride, x) = maps.items()
    if spec.dropout:
        x = layers.Dropout(spec.dropout, name="dropout")(x)
    for stage, ((finer, skip), width) in reversed(list(enumerate(zip(skips, filters, strict=False), 1))):
        name = f"up{stage}"
        x = up(x, spec, width, stride // finer, name)
        if paper:
            skip = fit(skip, spec, x.shape[1:-1], name)
        else:
            x = fit(x, spec, skip.shape[1:-1], name)
        x = layers.Concatenate(name=f"{name}_concat")([skip, x])
        x, stride = convolutions(x, spec, width, 2 if paper else 1, name), finer
    if not paper:
        x = up(x, spec, filters[0], stride, "up0") if stride > 1 else x
        x = fit(x, spec, spec.sides, "up0")
    return keras.Model(inputs, apply(x, pixels(spec)), name=spec.name)
