"""Figures of data pipelines and training."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle

from ...core.intervals import interval
from ...plots import BLUE, GREEN, GREY, ORANGE, RED, Figure, in_turn, minus, new_figure, numbered, signed_colours


def bands(
    histories: dict[str, dict], keys: Sequence[str] = ("loss", "accuracy"), *, title: str = "", steps: int | None = None
) -> Figure:
    """Curves of several trainings over seeds, training solid and validation dashed: mean, and worst to best as a band.

    Histories are label -> what over_seeds returned. A panel for each key, over epochs, or steps, so many an epoch.
    """
    with new_figure(4.6 * len(keys), 3.4, title) as figure:
        for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
            scale, unit = (100, " (%)") if key == "accuracy" else (1, "")
            for (label, history), colour in zip(histories.items(), in_turn(), strict=False):
                for name, line in ((key, "-"), (f"val_{key}", "--")):
                    if name in history:
                        values = scale * np.asarray(history[name])
                        epochs = np.arange(1, values.shape[1] + 1) * (steps or 1)
                        axes.plot(epochs, values.mean(0), line, color=colour, label=label if line == "-" else None)
                        axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
            axes.set(title=key.capitalize() + unit, xlabel="step" if steps else "epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            handles, labels = axes.get_legend_handles_labels()
            if any(f"val_{key}" in history for history in histories.values()):
                handles += [Line2D([], [], color=GREY, linestyle=line) for line in ("-", "--")]
                labels += ["training", "validation"]
            axes.legend(handles, labels, frameon=False, fontsize=8)
        return figure


def forest(effects: dict[str, np.ndarray], *, unit: str, title: str) -> Figure:
    """A row for each treatment: its effect in every repetition as dots, their mean and 95 % interval as a bar.

    The effects are label -> differences to the untreated, one for each seed, in a unit.
    """
    with new_figure(8.5, 1.2 + 0.36 * len(effects)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=GREY, linewidth=0.8)
        for row, values in enumerate(effects.values()):
            mean, half = interval(values)
            colour = GREEN if mean - half > 0 else RED if mean + half < 0 else GREY
            axes.plot(values, np.full(len(values), row + 0.22), ".", color=colour, markersize=4, alpha=0.6)
            axes.errorbar(mean, row, xerr=half, fmt="o", color=colour, capsize=3, markersize=5)
            beside = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 9, "color": colour}
            axes.text(1.01, row, minus(f"{mean:+z.1f} ± {half:.1f}"), **beside)
        axes.set_yticks(range(len(effects)), list(effects))
        axes.set(ylim=(len(effects) - 0.4, -0.6), xlabel=unit, title=title)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        return figure


def epoch_orders(pipelines: dict[str, list[list[np.ndarray]]]) -> Figure:
    """What comes out of pipelines (title -> epochs -> batches of integers from 0), a line an epoch, a gap a batch."""
    count = sum(map(len, next(iter(pipelines.values()))[0]))
    with new_figure(4.7 * 2, 1.75 * math.ceil(len(pipelines) / 2)) as figure:
        panels = np.ravel(figure.subplots(math.ceil(len(pipelines) / 2), 2, squeeze=False))
        for axes in panels:
            axes.set_axis_off()
        for axes, (title, epochs) in zip(panels, pipelines.items(), strict=False):
            for row, batches in enumerate(epochs):
                axes.text(-0.35, row, f"epoch {row + 1}", ha="right", va="center", fontsize=8.5)
                x = 0.0
                for batch in batches:
                    for element in np.ravel(batch).tolist():
                        shade = element / max(count - 1, 1)
                        axes.add_patch(Rectangle((x, row - 0.42), 0.94, 0.84, facecolor=colormaps["viridis"](shade)))
                        colour = "white" if shade < 0.6 else "black"
                        axes.text(x + 0.47, row, element, ha="center", va="center", fontsize=8, color=colour)
                        x += 1
                    x += 0.35
            axes.set_title(title, fontsize=9.5)
            axes.set(xlim=(-2.6, x), ylim=(len(epochs) - 0.45, -0.55))
        return figure


def pipeline_timeline(runs: dict[str, list[tuple[str, float, float]]], title: str = "") -> Figure:
    """When each part of a pipeline was at work: one panel a pipeline, one line a part, all on one time axis.

    A run is pipeline -> (part, start, end) in seconds, in any order; a part called "epoch" is the start of one.
    """
    parts = list(dict.fromkeys(part for events in runs.values() for part, *_ in events if part != "epoch"))
    last = max(end for events in runs.values() for _, _, end in events)
    with new_figure(9.5, 1.05 * len(runs) + 0.9, title) as figure:
        panels = np.ravel(figure.subplots(len(runs), 1, sharex=True, squeeze=False))
        for axes, (name, events) in zip(panels, runs.items(), strict=True):
            for row, (part, colour) in enumerate(zip(parts, in_turn(), strict=False)):
                spans = [(1000 * start, 1000 * (end - start)) for which, start, end in events if which == part]
                axes.broken_barh(spans, (row - 0.4, 0.8), color=colour, linewidth=0)
            for which, start, _ in events:
                if which == "epoch":
                    axes.axvline(1000 * start, color=GREY, linewidth=0.8, linestyle=":")
            end = 1000 * max(end for *_, end in events)
            axes.axvline(end, color="black", linewidth=1)
            axes.text(end + 4 * last, (len(parts) - 1) / 2, f"{end:.0f} ms", va="center", fontsize=9)
            axes.set_yticks(range(len(parts)), parts)
            axes.set(ylim=(len(parts) - 0.5, -0.5), xlim=(0, 1090 * last))
            axes.set_title(name, fontsize=9.5)
        panels[-1].set_xlabel("milliseconds since the start (dotted: an epoch begins)")
        return figure


def descent(loss, paths: dict[str, np.ndarray], *, reach: float, minimum: tuple[float, float], title: str) -> Figure:
    """Paths of gradient descent over the loss, a function of two weights, and the loss at each of their steps.

    The paths, name -> (steps + 1, 2), are drawn until they leave the axes from -reach to reach; a star is the minimum.
    """
    with new_figure(9.5, 3.9, title) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
        side = np.linspace(-reach, reach, 41)
        surface = np.array([[loss(np.array([a, b])) for a in side] for b in side])
        left.contour(side, side, np.sqrt(surface), levels=14, colors="#BBBBBB", linewidths=0.8)
        styles = zip(in_turn(RED, ORANGE, GREEN, BLUE, GREY), itertools.cycle("sD^ov"), strict=False)
        for (name, path), (colour, marker) in zip(paths.items(), styles, strict=False):
            leaves = [*np.flatnonzero(np.abs(path).max(1) > reach), len(path)][0]
            left.plot(*path[: leaves + 1].T, color=colour, marker=marker, markersize=3.5, linewidth=1)
            right.plot([loss(weights) for weights in path], color=colour, marker=marker, markersize=3.5, label=name)
        left.plot(*minimum, "*", color="black", markersize=11)
        left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="K[0]", ylabel="K[1]")
        left.set_title("lines of equal loss", fontsize=10)
        right.set(yscale="log", xlabel="step", ylabel="loss")
        right.legend(frameon=False, fontsize=8.5)
        right.set_title("loss by step", fontsize=10)
        return figure


def kernel_learning(kernels: dict[str, np.ndarray], losses: dict[str, np.ndarray], title: str) -> Figure:
    """A kernel as it is learned ("step 0" -> (u, v), …; blue is positive, red is negative), the loss below it.

    The losses are name -> the loss before each step; both axes are logarithmic.
    """
    colours = signed_colours(max(np.abs(kernel).max() for kernel in kernels.values()))
    with new_figure(9.5, 4.4, title) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.45))
        for axes, (name, kernel) in zip(upper.subplots(1, len(kernels)), kernels.items(), strict=True):
            numbered(axes, kernel, **colours)
            axes.set_title(name, fontsize=9.5, loc="center")
        axes = lower.subplots()
        styles = zip(in_turn(), itertools.cycle(("-", "--")), strict=False)
        for (name, loss), (colour, style) in zip(losses.items(), styles, strict=False):
            axes.plot(np.arange(1, len(loss) + 1), loss, style, color=colour, label=name)
        axes.set(xscale="log", yscale="log", xlabel="step", ylabel="loss")
        axes.legend(frameon=False, fontsize=9)
        return figure


def chain(names: list[str], values: list[float], slopes: list[float], gradients: list[float], title: str) -> Figure:
    """A chain of quantities, each computed from the one before it, the loss last.

    Values go forwards, gradients of the loss in each quantity backwards, by the slopes of each in the one before it.
    """
    with new_figure(1.65 * len(names) + 0.4, 2.3) as figure:
        axes = figure.subplots()
        for i, (name, value, gradient) in enumerate(zip(names, values, gradients, strict=True)):
            axes.text(i, 0.12, name, ha="center", va="center", fontsize=10.5)
            axes.text(i, -0.14, minus(f"{value:.3g}"), ha="center", va="center", color=BLUE)
            axes.add_patch(Rectangle((i - 0.33, -0.3), 0.66, 0.6, fill=False, edgecolor=GREY))
            axes.text(i, -0.62, minus(f"{gradient:.3g}"), ha="center", va="center", color=RED)
        for i, slope in enumerate(slopes):
            forwards = {"arrowstyle": "-|>", "mutation_scale": 10, "color": BLUE}
            axes.add_patch(FancyArrowPatch((i + 0.33, 0), (i + 0.67, 0), **forwards))
            axes.add_patch(FancyArrowPatch((i + 0.78, -0.62), (i + 0.22, -0.62), **(forwards | {"color": RED})))
            axes.text(i + 0.5, -0.8, minus(f"× {slope:.3g}"), ha="center", va="center", fontsize=8.5, color=RED)
        axes.text(-0.42, 0, "value", ha="right", va="center", color=BLUE)
        axes.text(-0.42, -0.62, "gradient", ha="right", va="center", color=RED)
        axes.set(xlim=(-1.0, len(names) - 0.6), ylim=(-0.95, 0.4), title=title)
        axes.set_axis_off()
        return figure
