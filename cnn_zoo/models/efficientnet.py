"""EfficientNet-B0. Tan & Le 2019, arXiv:1905.11946, table 1; its blocks are MnasNet's (arXiv:1807.11626).

torchvision's net. Differs from the paper in training only: no stochastic depth. keras.applications' net pads the
right and lower side only where strides are 2, and rescales its input itself. The small layout is ours: no stride in the
stem and in the first stage that has one.
"""

from functools import partial

from keras import layers

from ..nn.blocks import apply, assemble, conv_norm_act, head, regularizer
from .registry import register

STAGES = (  # expansion, kernel, filters, blocks, strides of a stage
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)  # fmt: skip
SQUEEZE = 0.25  # of the channels that enter a block
TORCH = (
    ("stem_conv", "features.0.<0|1>"),
    ("stage1_block1_depthwise", "features.1.0.block.0.<0|1>"),
    ("stage1_block1_se_reduce", "features.1.0.block.1.fc1"),
    ("stage1_block1_se_expand", "features.1.0.block.1.fc2"),
    ("stage1_block1_project", "features.1.0.block.2.<0|1>"),
    (r"stage(\d)_block(\d)_expand", r"features.\1.<\2-1>.block.0.<0|1>"),
    (r"stage(\d)_block(\d)_depthwise", r"features.\1.<\2-1>.block.1.<0|1>"),
    (r"stage(\d)_block(\d)_se_reduce", r"features.\1.<\2-1>.block.2.fc1"),
    (r"stage(\d)_block(\d)_se_expand", r"features.\1.<\2-1>.block.2.fc2"),
    (r"stage(\d)_block(\d)_project", r"features.\1.<\2-1>.block.3.<0|1>"),
    ("final_conv", "features.8.<0|1>"),
    ("predictions", "classifier.1"),
)


def squeeze_excite(x, spec, filters, name):
    """Channels weighted by what the whole image says of them (arXiv:1709.01507), through `filters` numbers."""

    def dense(width, activation, name):
        return layers.Conv2D(width, 1, activation=activation, kernel_regularizer=regularizer(spec), name=name)

    s = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    s = dense(filters, spec.activation, f"{name}_reduce")(s)
    s = dense(x.shape[-1], "sigmoid", f"{name}_expand")(s)
    return layers.Multiply(name=f"{name}_scale")([x, s])


def block(x, spec, expansion, kernel_size, filters, strides, name):
    """An inverted residual block with squeeze-and-excitation between its depthwise and its last convolution."""
    y = x
    if expansion > 1:
        y = apply(y, conv_norm_act(spec, expansion * x.shape[-1], 1, name=f"{name}_expand"))
    options = {"strides": strides, "padding": kernel_size // 2}
    y = apply(y, conv_norm_act(spec, None, kernel_size, name=f"{name}_depthwise", **options))
    y = squeeze_excite(y, spec, max(1, int(SQUEEZE * x.shape[-1])), name=f"{name}_se")
    y = apply(y, conv_norm_act(spec, filters, 1, activate=False, name=f"{name}_project"))
    return layers.Add(name=f"{name}_add")([x, y]) if strides == 1 and x.shape[-1] == filters else y


@register(
    "efficientnet_b0",
    year=2019,
    paper="arXiv:1905.11946",
    dropout=0.2,
    batch_norm=True,
    activation="silu",
    torch=TORCH,
    ranks=(2,),
)
def efficientnet(spec):
    """Sixteen blocks in seven stages."""
    small = spec.layout == "small"
    steps = conv_norm_act(spec, 32, 3, strides=1 if small else 2, padding=1, name="stem_conv")
    for stage, (expansion, kernel_size, filters, blocks, strides) in enumerate(STAGES, 1):
        strides = 1 if small and stage == 2 else strides
        for number in range(1, blocks + 1):
            options = {"filters": filters, "strides": strides if number == 1 else 1}
            options |= {"expansion": expansion, "kernel_size": kernel_size, "name": f"stage{stage}_block{number}"}
            steps.append(partial(block, spec=spec, **options))
    return assemble(spec, steps + conv_norm_act(spec, 1280, 1, name="final_conv") + head(spec))
