"""Figures of whole networks."""

from __future__ import annotations

import math
import re

import numpy as np
from matplotlib.patches import Rectangle

from ...nn.inspection import HEADS, step_of
from ...plots import BLUE, COLOURS, GREY, Figure, new_figure


def costs(card, marked: dict[str, str]) -> Figure:
    """Shares of layers in the parameters, multiply-accumulates and outputs of a ModelCard; of those with parameters.

    Bars of layers whose names begin as `marked` says have its colour, and their share written on them.
    """
    rows = [row for row in card.layers if row.parameters]
    numbers = [(row.parameters, row.macs, math.prod(row.output_shape)) for row in rows]
    kinds = ("parameters", "multiply-accumulates", "numbers put out")
    with new_figure(9.5, 5.6) as figure:
        for axes, kind, values in zip(figure.subplots(3, 1, sharex=True), kinds, np.transpose(numbers), strict=True):
            total = values.sum()
            shares = 100 * values / total
            bars = axes.bar(range(len(rows)), shares, color="#AAAAAA")
            for start, colour in marked.items():
                inside = [i for i, row in enumerate(rows) if row.name.startswith(start)]
                for i in inside:
                    bars[i].set_color(colour)
                share = shares[inside].sum()
                text = f"{start}: {share:.{2 if share < 0.1 else 1}f} %"
                axes.text(inside[0] - 0.4, shares[inside].max(), text, va="bottom", color=colour, fontsize=9)
            amount = f"{total / 1e9:.1f} billion" if total >= 1e9 else f"{total / 1e6:.1f} million"
            axes.set_title(f"{kind}: {amount}")
            axes.set_ylabel("share (%)")
            axes.margins(y=0.25)
        axes.set_xticks(range(len(rows)), [row.name for row in rows], rotation=60, ha="right", fontsize=8)
        return figure


def history_line(events: list[tuple[int, str, str]], title: str = "") -> Figure:
    """Events (year, who, what), in order, on a line of years that is true to scale, with their text beside it."""
    first, last = events[0][0], events[-1][0]
    with new_figure(9.5, 0.42 * len(events) + 0.6) as figure:
        axes = figure.subplots()
        rows = np.linspace(first, last, len(events))
        axes.plot([0, 0], [first, last], color=GREY, linewidth=2, solid_capstyle="round")
        for (year, who, what), row in zip(events, rows, strict=True):
            axes.plot([0, 0.045, 0.075], [year, row, row], color=GREY, linewidth=0.8)
            axes.plot(0, year, "o", color=BLUE, markersize=6, zorder=3)
            axes.text(0.085, row, str(year), va="center", fontsize=10, color=BLUE, fontweight="bold")
            axes.text(0.135, row, who, va="center", fontsize=9.5)
            axes.text(0.42, row, what, va="center", fontsize=9)
        margin = 0.6 * (last - first) / max(len(events) - 1, 1)
        axes.set(xlim=(-0.02, 1), ylim=(last + margin, first - margin))
        axes.set_axis_off()
        axes.set_title(title)
        return figure


def networks_at_scale(rows: list[tuple[str, object, float]], title: str = "", width: float = 9.5) -> Figure:
    """Networks as rows of squares whose areas are numbers, all at one scale.

    Above a network's line, a square for each convolution and fully connected layer has as its area the number of
    activations that the layer returns; below the line, the number of its parameters. A row is (name, ModelCard, how
    much larger its sides are drawn); the width of the figure is in inches.
    """
    from scipy.optimize import brentq

    gap, least, height = 0.09, 0.16, 0.35
    nets = [_costs(card) for _, card, _ in rows]
    sides = [  # of the squares of each layer, above and below the line, in units of `scale` inches
        [(factor * math.sqrt(made), factor * math.sqrt(held)) for _, _, made, held in net]
        for net, (_, _, factor) in zip(nets, rows, strict=True)
    ]

    def room(scale):  # that is left beside the widest row
        return width - 0.3 - max(sum(max(least, scale * max(pair)) + gap for pair in row) for row in sides)

    scale = brentq(room, 0, 1)
    with new_figure(width, height) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.text(0.1, 0.18, title, fontsize=11, va="center")
        for (name, card, factor), net, row in zip(rows, nets, sides, strict=True):
            above, below = (scale * max(column) for column in zip(*row, strict=True))
            line = height + 0.3 + above
            larger = f", sides drawn {factor:g} times larger" if factor != 1 else ""
            made = sum(layer[2] for layer in net)
            text = f"{name}: {card.parameters:,} parameters below the line, {made:,} activations above it{larger}"
            axes.text(0.1, line - above - 0.14, text, fontsize=9.5, va="center")
            axes.plot([0.1, width - 0.1], [line, line], color="black", linewidth=0.8)
            x = 0.15
            for (label, kind, _, _), (up, down) in zip(net, scale * np.array(row), strict=True):
                middle = x + max(least, up, down) / 2
                axes.add_patch(Rectangle((middle - up / 2, line - up), up, up, facecolor=COLOURS[kind], alpha=0.55))
                axes.add_patch(Rectangle((middle - down / 2, line), down, down, facecolor=COLOURS[kind]))
                axes.text(middle, line + down + 0.09, label, fontsize=7.5, ha="center", va="center", color=GREY)
                x += max(least, up, down) + gap
            height = line + below + 0.3
        figure.set_figheight(height)
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        return figure


def _costs(card) -> list[tuple[str, str, int, int]]:
    """(label, kind, activations, parameters) of the convolutions and fully connected layers; groups are one layer."""
    found: dict[str, list] = {}
    for row in card.layers:
        if not row.parameters:
            continue
        name = step_of(row.name)
        label = "out" if name in HEADS else re.sub(r"^stage(\d+)_conv", r"\1.", name)
        kind = "convolution" if "Conv" in row.type else "fully connected"
        entry = found.setdefault(name, [label, kind, 0, 0])
        entry[2] += 0 if row.name.endswith("_norm") else math.prod(row.output_shape)
        entry[3] += row.parameters
    return [tuple(entry) for entry in found.values()]
