"""AlexNet, as published and as simplified. Krizhevsky, Sutskever & Hinton 2012, 10.1145/3065386, section 3.5;
Krizhevsky 2014, "One weird trick", arXiv:1404.5997.

Differs from the papers: no local response normalisation. `alexnet` takes 227 pixels, with which the paper's 55x55 maps
follow from its strides (it says 224), and has the two groups of channels that two graphics processors made necessary;
groups=1 leaves them out. `alexnet_owt` is torchvision's alexnet, but for dropout, which is behind fc1 and fc2 here and
before them there: its fourth convolution has 256 filters, as in Krizhevsky's published code, where a footnote of the
second paper has 384. The small layout is ours: a 3x3 stem of stride 1, padded pooling, and 1,024 units in the hidden
layers.
"""

from functools import partial

from keras import layers

from ..core.errors import check_length, check_number
from ..nn.blocks import apply, assemble, conv_norm_act, head, pool, split
from .registry import register

LAYOUTS = {"paper": (227, 227, 3), "small": (32, 32, 3)}
# filters, padding of the stem, groups
VARIANTS = {"alexnet": ((96, 256, 384, 384, 256), 0, 2), "alexnet_owt": ((64, 192, 384, 256, 256), 2, 1)}
IN_GROUPS = (2, 4, 5)  # the convolutions that see only half of the channels before them
TORCH = (
    (r"stage\d_conv\d", "features.<index>"), ("fc1", "classifier.1"), ("fc2", "classifier.4"),
    ("predictions", "classifier.6"),
)  # fmt: skip


def grouped_conv(x, spec, filters, kernel_size, groups, name):
    """What Keras' Conv2D(groups=…) computes, whose gradient on a CPU takes several times as long."""
    if x.shape[-1] % groups or filters % groups:
        raise ValueError(f"groups must divide {x.shape[-1]} channels and {filters} filters; got {groups}")
    parts = [
        apply(part, conv_norm_act(spec, filters // groups, kernel_size, name=f"{name}_group{number}"))
        for number, part in enumerate(split(x, groups, name=f"{name}_split"), 1)
    ]
    return layers.Concatenate(name=f"{name}_out")(parts)


@register("alexnet", layouts=LAYOUTS, year=2012, paper="10.1145/3065386", dropout=0.5)
@register("alexnet_owt", year=2014, paper="arXiv:1404.5997", dropout=0.5, torch=TORCH)
def alexnet(spec, *, filters=(), units=None, groups=None):
    """Five convolutions in three stages, each stage followed by overlapping pooling.

    Args:
        filters: of the convolutions; (): as published.
        units: of the hidden fully connected layers; None: (4096, 4096), or (1024, 1024) in the small layout.
        groups: of channels that do not see each other, 1 for none; None: 2 in `alexnet`, 1 in `alexnet_owt`.
    """
    paper = spec.layout == "paper"
    published, padding, published_groups = VARIANTS[spec.name]
    filters = check_length("filters", filters or published, 5)
    groups = check_number("groups", published_groups if groups is None else groups, 1, whole=True)
    stem = {"strides": 4, "padding": padding} if paper else {}
    steps = conv_norm_act(spec, filters[0], 11 if paper else 3, name="stage1_conv1", **stem)
    steps += pool(spec, "max", 3, strides=2, padding="valid" if paper else "same", name="stage1_pool")
    for number, name in ((2, "stage2_conv1"), (3, "stage3_conv1"), (4, "stage3_conv2"), (5, "stage3_conv3")):
        size, width = 5 if number == 2 else 3, filters[number - 1]
        if groups > 1 and number in IN_GROUPS:
            steps += [partial(grouped_conv, spec=spec, filters=width, kernel_size=size, groups=groups, name=name)]
        else:
            steps += conv_norm_act(spec, width, size, name=name)
        if number in (2, 5):
            steps += pool(spec, "max", 3, strides=2, padding="valid" if paper else "same", name=f"{name[:6]}_pool")
    units = ((4096, 4096) if paper else (1024, 1024)) if units is None else units
    return assemble(spec, steps + head(spec, units=units, flatten=True))
