"""What the figures of the notebooks share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle

from ...plots import BLUE, GREEN, ORANGE, PURPLE, RED, Figure, new_figure

DARK_TO_LIGHT = {"cmap": "gray", "vmin": 0, "vmax": 1}  # images in [0, 1]
TINTS = ("#A6CEE3", "#F6D9A0", "#A8DDC9", "#F1BFA1", "#D9D9D9", "#E3C1D6")


def minus(number: str) -> str:
    """A number with a minus sign for its hyphen."""
    return number.replace("-", "\u2212")


def short(value: float) -> str:
    """A number with two decimals at most."""
    return minus(f"{round(float(value), 2) + 0.0:g}")  # + 0.0 turns -0 into 0


def in_turn(*colours: str) -> Iterator[str]:
    """The colours, again and again: what has none would not be drawn."""
    return itertools.cycle(colours or (BLUE, ORANGE, GREEN, RED, PURPLE))


def bare(axes) -> None:
    """No ticks and no frame; a face stays."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def numbered(axes, values: np.ndarray, **image) -> None:
    """A small matrix as coloured cells with its numbers in them."""
    shown = axes.imshow(values, **image)
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = shown.cmap(shown.norm(value))
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(j, i, short(value), ha="center", va="center", fontsize=8, color="black" if light else "white")
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="#BBBBBB", linewidth=0.8))
    bare(axes)


def tables(tables: dict[str, np.ndarray], images: tuple[str, ...] = ()) -> Figure:
    """Small matrices side by side, with their numbers in coloured cells of one size, each under its title.

    Those whose titles are in `images` go from black (0) to white; in the others blue is positive and red negative.
    """
    rows, widths = max(len(table) for table in tables.values()), [np.shape(table)[1] for table in tables.values()]
    with new_figure(0.42 * sum(widths) + 0.9 * len(widths), 0.42 * rows + 0.5) as figure:
        axes = figure.subplots(1, len(tables), width_ratios=widths, squeeze=False)[0]
        figure.get_layout_engine().set(wspace=0.12)
        for axis, (title, table) in zip(axes, tables.items(), strict=True):
            colours = signed_colours(np.abs(table).max()) | ({"cmap": "gray", "vmin": 0} if title in images else {})
            numbered(axis, np.asarray(table), **colours)
            axis.set(ylim=(rows - 0.5, -0.5), title=title)
        return figure


def signed_colours(limit: float) -> dict[str, Any]:
    """Colours of signed numbers: blue is positive, red is negative, white is 0."""
    limit = max(limit, 1e-9)
    return {"cmap": "RdBu", "vmin": -limit, "vmax": limit}
