"""VGG: stacks of 3x3 convolutions. Simonyan & Zisserman 2015, arXiv:1409.1556, table 1.

Differs from the paper: no local response normalisation (variant A-LRN), weights start from He's initialisation. The
small layout has global average pooling in place of the two hidden fully connected layers, which hold 119.5 of VGG-16's
138.4 million parameters. With batch normalisation the convolutions keep their biases, as torchvision's do. vgg_slim is
ours: VGG-11 for small images with fewer filters and batch normalisation.
"""

from ..core.errors import check_length
from ..nn.blocks import assemble, conv_norm_act, head, pool
from .registry import register

PAPER = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CONVOLUTIONS = {**PAPER, "vgg_slim": PAPER["vgg11"]}  # of each stage
FILTERS = {**dict.fromkeys(PAPER, (64, 128, 256, 512, 512)), "vgg_slim": (32, 64, 128, 128, 128)}
TORCH = (
    (r"stage\d_conv\d", "features.<index>"), ("fc1", "classifier.0"), ("fc2", "classifier.3"),
    ("predictions", "classifier.6"),
)  # fmt: skip


@register(*PAPER, year=2014, paper="arXiv:1409.1556", dropout=0.5, torch=TORCH)
@register("vgg_slim", layouts={"small": (32, 32, 3)}, year=2026, paper="", batch_norm=True)
def vgg(spec, *, filters=(), units=None, pool_kind="max"):
    """Five stages of 3x3 convolutions and 2x2 pooling.

    Args:
        filters: of the convolutions of each stage; (): (64, 128, 256, 512, 512), and less in vgg_slim.
        units: of the hidden fully connected layers; None: (4096, 4096) in the paper layout, none in the small one.
        pool_kind: "max" or "average".
    """
    filters = check_length("filters", filters or FILTERS[spec.name], len(CONVOLUTIONS[spec.name]))
    stack = []
    for stage, (convolutions, width) in enumerate(zip(CONVOLUTIONS[spec.name], filters, strict=True), 1):
        for number in range(1, convolutions + 1):
            stack += conv_norm_act(spec, width, 3, use_bias=True, name=f"stage{stage}_conv{number}")
        stack += pool(spec, pool_kind, 2, padding="same", name=f"stage{stage}_pool")
    paper = spec.layout == "paper"
    units = ((4096, 4096) if paper else ()) if units is None else units
    return assemble(spec, stack + head(spec, units=units, flatten=paper))
