"""LeNet-5. LeCun, Bottou, Bengio & Haffner 1998, 10.1109/5.726791, section II.B.

Differs from the paper: ReLU unless activation="tanh" is asked for; C3 is connected to all of S2 (900 weights more than
the paper's table I); subsampling has no trained coefficients (44 fewer); the output is a fully connected layer with
softmax (850 more) and not radial basis functions. Hence 61,706 parameters, where the paper has 60,000.
"""

from ..nn.blocks import assemble, conv_norm_act, head, pool
from .registry import register


@register("lenet5", layouts={"small": (28, 28, 1)}, year=1998, paper="10.1109/5.726791")
def lenet5(spec, *, filters=(6, 16), pool_kind="average", units=(120, 84)):
    """C1, S2, C3, S4 and three fully connected layers.

    Images below 32 pixels are padded by two, as the paper's 28-pixel digits are centred in 32.

    Args:
        filters: of C1 and C3.
        pool_kind: "average" as in the paper, or "max".
        units: of C5 (here fully connected, which at 32 pixels it is in the paper too) and F6.
    """
    stack = []
    for stage, width in enumerate(filters, 1):
        padding = "same" if stage == 1 and min(spec.sides) < 32 else "valid"
        stack += conv_norm_act(spec, width, 5, padding=padding, name=f"stage{stage}_conv1")
        stack += pool(spec, pool_kind, 2, name=f"stage{stage}_pool")
    return assemble(spec, stack + head(spec, units=units, flatten=True))
