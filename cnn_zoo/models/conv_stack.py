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
    """One stage per entry of `filters`, then fully connected layers of `units`.

    Batch normalisation comes after the pooling, where there are fewer numbers to normalise.

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
        name, plain = f"stage{stage}_conv1", not spec.batch_norm
        activation = spec.activation if plain else None
        stack += conv(spec, width, kernel_size, padding=padding, use_bias=plain, activation=activation, name=name)
        if pool_kind:
            stack += pool(spec, pool_kind, pool_size, name=f"stage{stage}_pool")
        if spec.batch_norm:
            stack += norm_act(spec, name=name)
    return assemble(spec, stack + head(spec, units=units, flatten=True))
