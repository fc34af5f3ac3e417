"""SqueezeNet. Iandola et al. 2016, arXiv:1602.07360, table 1; version 1.1 is the authors' own revision of their code.

torchvision's nets. Differs from the paper in nothing known. The small layout is ours: a 3x3 stem of stride 1.
"""

from functools import partial

from keras import layers

from ..core.errors import check_length
from ..nn.blocks import apply, assemble, conv_norm_act, headless, pool, regularizer
from .registry import register

# stem filters and kernel; fire modules a stage
VARIANTS = {"squeezenet1_0": (96, 7, (3, 4, 1)), "squeezenet1_1": (64, 3, (2, 2, 4))}
SQUEEZE = (16, 16, 32, 32, 48, 48, 64, 64)  # filters of the eight fire modules; they expand to eight times as many
TORCH = (
    ("stem_conv", "features.0"), ("predictions_conv", "classifier.1"),
    (r"stage(\d)_fire(\d)_(\w+)", r"features.<\1+\2>.\3"),  # modules 3, 4, 5, then one later for each pooling
)  # fmt: skip


def pool_all(x, spec, name):
    """3x3 pooling of stride 2 that reaches every position ("ceil mode"): zeros are added where a window lacks some."""
    missing = [(side + 1) % 2 if side > 2 else 3 - side for side in x.shape[1:3]]
    if any(missing):
        x = layers.ZeroPadding2D(((0, missing[0]), (0, missing[1])), name=f"{name}_pad")(x)
    return apply(x, pool(spec, "max", 3, strides=2, name=name))


def fire(x, spec, squeeze, name):
    """Few channels, from which 1x1 and 3x3 convolutions make many."""
    x = apply(x, conv_norm_act(spec, squeeze, 1, name=f"{name}_squeeze"))
    both = (apply(x, conv_norm_act(spec, 4 * squeeze, k, name=f"{name}_expand{k}x{k}")) for k in (1, 3))
    return layers.Concatenate(name=f"{name}_out")(list(both))


@register(*VARIANTS, year=2016, paper="arXiv:1602.07360", dropout=0.5, torch=TORCH, ranks=(2,))
def squeezenet(spec, *, squeeze=SQUEEZE):
    """Eight fire modules in three stages; `squeeze` are the filters of their squeeze layers."""
    filters, kernel_size, depths = VARIANTS[spec.name]
    check_length("squeeze", squeeze, sum(depths))
    if spec.layout == "paper":
        steps = conv_norm_act(spec, filters, kernel_size, strides=2, padding="valid", name="stem_conv")
    else:
        steps = conv_norm_act(spec, filters, 3, name="stem_conv")
    number = 2  # so that the first of eight is the paper's fire2
    for stage, modules in enumerate(depths, 1):
        steps.append(partial(pool_all, spec=spec, name=f"stage{stage}_in"))
        for _ in range(modules):
            steps.append(partial(fire, spec=spec, squeeze=squeeze[number - 2], name=f"stage{stage}_fire{number}"))
            number += 1
    if not spec.include_top:
        return assemble(spec, steps + headless(spec))
    steps += [layers.Dropout(spec.dropout, name="dropout")] if spec.dropout else []
    options = {"activation": spec.activation, "kernel_regularizer": regularizer(spec), "name": "predictions_conv"}
    steps += [
        layers.Conv2D(spec.num_classes, 1, dtype="float32", **options),  # a map for each class, whose mean is its score
        layers.GlobalAveragePooling2D(dtype="float32", name="avg_pool"),
        layers.Activation(spec.classifier_activation, dtype="float32", name="predictions"),
    ]
    return assemble(spec, steps)
