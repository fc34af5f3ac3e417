"""EfficientNet-B0. Tan & Le 2019, arXiv:1905.11946, table 1; its blocks are MnasNet's (arXiv:1807.11626).

torchvision's net. Differs from the paper in training only: no stochastic depth. keras.applications' net pads the
right and lower side only where strides are 2, and rescales its input itself. The small layout is ours: no stride in the
stem and in stage 2.
"""

from functools import partial

from keras import layers

from ..nn.blocks import assemble, conv_norm_act, head, regularizer
from .mobilenet import inverted_residual, numbered, stem
from .registry import register

STAGES = (  # blocks, filters, strides, expansion, kernel of a stage
    (1, 16, 1, 1, 3), (2, 24, 2, 6, 3), (2, 40, 2, 6, 5), (3, 80, 2, 6, 3), (3, 112, 1, 6, 5), (4, 192, 2, 6, 5),
    (1, 320, 1, 6, 3),
)  # fmt: skip
SQUEEZE = 0.25  # of the channels that enter a block
OWN = {"dropout": 0.2, "batch_norm": True, "activation": "silu"}
TORCH = (
    ("stem_conv", "features.0.<0|1>"), ("final_conv", "features.8.<0|1>"), ("predictions", "classifier.1"),
    ("stage1_block1_depthwise", "features.1.0.block.0.<0|1>"), ("stage1_block1_project", "features.1.0.block.2.<0|1>"),
    ("stage1_block1_se_reduce", "features.1.0.block.1.fc1"), ("stage1_block1_se_expand", "features.1.0.block.1.fc2"),
    (r"stage(\d)_block(\d)_expand", r"features.\1.<\2-1>.block.0.<0|1>"),
    (r"stage(\d)_block(\d)_depthwise", r"features.\1.<\2-1>.block.1.<0|1>"),
    (r"stage(\d)_block(\d)_se_reduce", r"features.\1.<\2-1>.block.2.fc1"),
    (r"stage(\d)_block(\d)_se_expand", r"features.\1.<\2-1>.block.2.fc2"),
    (r"stage(\d)_block(\d)_project", r"features.\1.<\2-1>.block.3.<0|1>"),
)  # fmt: skip


def squeeze_excite(x, spec, entering, name):
    """Channels weighted by what the whole image says of them (arXiv:1709.01507), through few numbers."""
    conv = partial(layers.Conv2D, kernel_size=1, kernel_regularizer=regularizer(spec))
    s = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pool")(x)
    s = conv(max(1, int(SQUEEZE * entering)), activation=spec.activation, name=f"{name}_reduce")(s)
    s = conv(x.shape[-1], activation="sigmoid", name=f"{name}_expand")(s)
    return layers.Multiply(name=f"{name}_scale")([x, s])


@register("efficientnet_b0", year=2019, paper="arXiv:1905.11946", torch=TORCH, ranks=(2,), **OWN)
def efficientnet(spec):
    """Sixteen inverted residual blocks in seven stages, with squeeze-and-excitation."""
    steps = stem(spec, 32)
    for name, filters, strides, expansion, kernel_size in numbered(spec, STAGES):
        options = {"filters": filters, "strides": strides, "expansion": expansion, "kernel_size": kernel_size}
        steps.append(partial(inverted_residual, spec=spec, excite=squeeze_excite, name=name, **options))
    return assemble(spec, steps + conv_norm_act(spec, 1280, 1, name="final_conv") + head(spec))
