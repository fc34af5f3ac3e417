"""The convolution stack that introductions to CNNs begin with: [3x3 convolution, 2x2 pooling] with 32, 64, 128 filters.

No paper has this very net: the pattern is Fukushima's and LeCun's (10.1162/neco.1989.1.4.541), the widths are those of
many tutorials.
"""

from ..core.errors import check_choice
from ..nn.blocks import assemble, conv, head, norm_act, pool
from .registry import register


@register("conv_stack", layouts={"small": (28, 28, 1)}, year=1989, paper="10.1162/neco.1989.1.4.541")
def conv_stack(
    spec, *, filters=(32, 64, 128), kernel_size=3, padding="valid", pool_kind="max", pool_size=2, units=(128,)
):
    """Convolution and pooling for each of `filters`; batch normalisation after the pooling, of fewer numbers.

    Args:
        filters: of each convolution.
        kernel_size: of all convolutions, an integer or a pair.
        padding: "valid" or "same", of the convolutions.
        pool_kind: "max" or "average", or None for no pooling.
        pool_size: side and stride of the pooling window.
        units: widths of the hidden fully connected layers.
    """
    check_choice("padding", padding, ("valid", "same"))
    check_choice("pool_kind", pool_kind, ("max", "average", None))
    stack = []
    for stage, width in enumerate(filters, 1):
        name, activation = f"stage{stage}_conv1", None if spec.batch_norm else spec.activation
        stack += conv(spec, width, kernel_size, padding=padding, activation=activation, name=name)
        if pool_kind:
            stack += pool(spec, pool_kind, pool_size, name=f"stage{stage}_pool")
        if spec.batch_norm:
            stack += norm_act(spec, name=name)
    return assemble(spec, stack + head(spec, units=units, flatten=True))
