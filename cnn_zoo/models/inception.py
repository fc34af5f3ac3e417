"""Inception-v3. Szegedy et al. 2016, arXiv:1512.00567, table 1 and figures 5 to 7.

The paper leaves the widths of the 17x17 blocks open; these are torchvision's, without its auxiliary classifier. Differs
from keras.applications' variant, which leaves out batch normalisation's gamma (17,216 parameters fewer) and averages
over the image's own pixels at its borders, where torchvision counts the padding zeros. The small layout is ours: one
pooling in the stem, and "same" padding.
"""

from functools import partial

from keras import layers

from ..nn.blocks import apply, assemble, conv_norm_act, head, pool
from .registry import register

EPSILON = 1e-3
OWN = {"layouts": {"paper": (299, 299, 3), "small": (32, 32, 3)}, "dropout": 0.5, "batch_norm": True}


# Branches of each block, by torchvision's names: (filters, kernel, strides), a pooling, or a tuple of two kernels whose
# results stand side by side.


def _35(pooled):
    """A 5x5 branch, and two 3x3 in a row."""
    threes = [(64, 1), (96, 3), (96, 3)]
    return {"1x1": [(64, 1)], "5x5": [(48, 1), (64, 5)], "3x3dbl": threes, "_pool": ["average", (pooled, 1)]}


def _17(width):
    """7x7 as 1x7 and 7x1."""
    long = [(width, 1), (width, (7, 1)), (width, (1, 7)), (width, (7, 1)), (192, (1, 7))]
    short = [(width, 1), (width, (1, 7)), (192, (7, 1))]
    return {"1x1": [(192, 1)], "7x7": short, "7x7dbl": long, "_pool": ["average", (192, 1)]}


_FORK = ((384, (1, 3)), (384, (3, 1)))
_8 = {
    "1x1": [(320, 1)], "3x3": [(384, 1), _FORK], "3x3dbl": [(448, 1), (384, 3), _FORK], "_pool": ["average", (192, 1)],
}  # fmt: skip
_TO_17 = {"3x3": [(384, 3, 2)], "3x3dbl": [(64, 1), (96, 3), (96, 3, 2)], "_pool": ["max"]}
_SEVENS = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)]
_TO_8 = {"3x3": [(192, 1), (320, 3, 2)], "7x7x3": _SEVENS, "_pool": ["max"]}
BLOCKS = (
    {"5b": _35(32), "5c": _35(64), "5d": _35(64)},
    {"6a": _TO_17, "6b": _17(128), "6c": _17(160), "6d": _17(160), "6e": _17(192)},
    {"7a": _TO_8, "7b": _8, "7c": _8},
)
STEM = {"1a_3x3": (32, 3, 2), "2a_3x3": (32, 3), "2b_3x3": (64, 3), "3b_1x1": (80, 1), "4a_3x3": (192, 3)}
TORCH = (
    (r"stem_(\d[ab]_\dx\d)", r"Conv2d_\1.<conv|bn>"), ("predictions", "fc"),
    (r"stage\d_(\d[a-e])_(branch\w+)", r"Mixed_\1.\2.<conv|bn>"),
)  # fmt: skip


def block(x, spec, branches, name):
    """Branches side by side."""
    reduce = "valid" if spec.layout == "paper" else "same"

    def conv(y, filters, size, strides=1, *, name):
        options = {"strides": strides, "padding": "same" if strides == 1 else reduce, "epsilon": EPSILON}
        return apply(y, conv_norm_act(spec, filters, size, name=name, **options))

    outputs = []
    for branch, steps in branches.items():
        y, convolutions = x, sum(not isinstance(step, str) for step in steps)
        for number, step in enumerate(steps, 1):
            full = f"{name}_branch{branch}" + f"_{number}" * (convolutions > 1)
            if isinstance(step, str):
                strides, padding = (1, 1) if step == "average" else (2, reduce)
                y = apply(y, pool(spec, step, 3, strides=strides, padding=padding, name=f"{full}_{step}"))
            elif isinstance(step[0], tuple):
                fork = [conv(y, *kernel, name=f"{full}{letter}") for letter, kernel in zip("ab", step, strict=True)]
                y = layers.Concatenate(name=f"{full}_fork")(fork)
            else:
                y = conv(y, *step, name=full)
        outputs.append(y)
    return layers.Concatenate(name=f"{name}_out")(outputs)


@register("inception_v3", year=2015, paper="arXiv:1512.00567", torch=TORCH, ranks=(2,), **OWN)
def inception_v3(spec):
    """Eleven blocks in three stages of 35, 17 and 8 pixels (at 299)."""
    steps, paper = [], spec.layout == "paper"
    padding = "valid" if paper else "same"
    for name, (filters, size, *strides) in STEM.items():
        options = {"padding": "same" if name == "2b_3x3" else padding, "strides": 2 if strides and paper else 1}
        steps += conv_norm_act(spec, filters, size, epsilon=EPSILON, name=f"stem_{name}", **options)
        if name == "2b_3x3" or (name == "4a_3x3" and paper):
            steps += pool(spec, "max", 3, strides=2, padding=padding, name=f"stem_{name}_pool")
    for stage, blocks in enumerate(BLOCKS, 1):
        for name, branches in blocks.items():
            steps.append(partial(block, spec=spec, branches=branches, name=f"stage{stage}_{name}"))
    return assemble(spec, steps + head(spec))
