"""Figures of the notebooks, in the style of plots.py."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle

from .intervals import interval
from .plots import BLUE, COLOURS, GREEN, GREY, ORANGE, PURPLE, RED, Figure, new_figure

DARK_TO_LIGHT = {"cmap": "gray", "vmin": 0, "vmax": 1}  # images in [0, 1]


def correlate(image: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """The response of a kernel at every stride-th place of a grey image (height, width), without padding."""
    from scipy import signal

    return signal.correlate2d(image, kernel, mode="valid")[::stride, ::stride]


def _minus(number: str) -> str:
    """A number with a minus sign for its hyphen."""
    return number.replace("-", "\u2212")


def _short(value: float) -> str:
    """A number with two decimals at most."""
    return _minus(f"{round(float(value), 2) + 0.0:g}")  # + 0.0 turns -0 into 0


def _colours(*colours: str) -> Iterator[str]:
    """The colours in turn, from the first one again after the last: what has none would not be drawn."""
    return itertools.cycle(colours or (BLUE, ORANGE, GREEN, RED, PURPLE))


def _bare(axes) -> None:
    """No ticks and no frame; a face stays."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _numbers(axes, values: np.ndarray, **image) -> None:
    """A small matrix as coloured cells with its numbers in them."""
    shown = axes.imshow(values, **image)
    for (i, j), value in np.ndenumerate(values):
        red, green, blue, _ = shown.cmap(shown.norm(value))
        light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
        axes.text(j, i, _short(value), ha="center", va="center", fontsize=8, color="black" if light else "white")
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="#BBBBBB", linewidth=0.8))
    _bare(axes)


def tables(tables: dict[str, np.ndarray], images: tuple[str, ...] = ()) -> Figure:
    """Small matrices side by side, with their numbers in coloured cells of one size, each under its title.

    Args:
        tables: title -> (rows, columns).
        images: titles of those that are images, shown from black (0) to white; in the others blue is positive and red
            negative.
    """
    rows, widths = max(len(table) for table in tables.values()), [np.shape(table)[1] for table in tables.values()]
    with new_figure(0.42 * sum(widths) + 0.9 * len(widths), 0.42 * rows + 0.5) as figure:
        axes = figure.subplots(1, len(tables), width_ratios=widths, squeeze=False)[0]
        figure.get_layout_engine().set(wspace=0.12)
        for axis, (title, table) in zip(axes, tables.items(), strict=True):
            colours = _signed(np.abs(table).max()) | ({"cmap": "gray", "vmin": 0} if title in images else {})
            _numbers(axis, np.asarray(table), **colours)
            axis.set(ylim=(rows - 0.5, -0.5), title=title)
        return figure


def sliding_window(image: np.ndarray, kernel: np.ndarray, positions: list[tuple[int, int]]) -> Figure:
    """A kernel at some places of an image, one row each: window, kernel, products, and their sum in the output.

    The output is filled in reading order, as far as the window has come.

    Args:
        image: (height, width), in [0, 1].
        kernel: (u, v).
        positions: (i, j) of the output.
    """
    outputs = correlate(image, kernel)
    signed = _signed(max(np.abs(outputs).max(), np.abs(kernel).max()))
    height, width = kernel.shape
    with new_figure(9.5, 2.5 * len(positions)) as figure:
        rows = figure.subfigures(len(positions), 1, squeeze=False)[:, 0]
        for row, (i, j) in zip(rows, positions, strict=True):
            window = image[i : i + height, j : j + width]
            whole, small, weights, products, result = row.subplots(1, 5, width_ratios=(2, 1, 1, 1, 2))
            whole.imshow(image, **DARK_TO_LIGHT)
            _numbers(small, window, **DARK_TO_LIGHT)
            _numbers(weights, kernel, **signed)
            _numbers(products, window * kernel, **signed)
            filled = outputs.copy()
            filled[i, j + 1 :] = filled[i + 1 :] = np.nan
            result.set_facecolor("#DDDDDD")
            result.imshow(filled, **signed)
            for axes, size in ((whole, (width, height)), (result, (1, 1))):
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), *size, fill=False, edgecolor=ORANGE, linewidth=2.2))
                _bare(axes)
            titles = ("image X", f"X[{i}+u, {j}+v]", "× K[u, v]", "= products", "output Y")
            for axes, title in zip((whole, small, weights, products, result), titles, strict=True):
                axes.set_title(title, loc="center", fontsize=9)
            sum_of = f"Y[{i}, {j}] = Σ K[u, v] · X[{i}+u, {j}+v]"
            row.suptitle(f"{sum_of} = {_short(outputs[i, j])}", x=0.01, ha="left", fontsize=11)
        return figure


def kernel_responses(photo: np.ndarray, kernels: dict[str, np.ndarray], stride: int = 1) -> Figure:
    """A grey photo (height, width) in [0, 1], and beside each kernel its response.

    The response of a kernel whose numbers sum to 0 is signed: blue is positive, red is negative, white is 0.
    """
    count = math.ceil((len(kernels) + 1) / 2)
    with new_figure(9.5, 2.5 * count) as figure:
        cells = np.ravel(figure.subfigures(count, 2, squeeze=False))
        for cell, (name, kernel) in zip(cells, {"the photo": None, **kernels}.items(), strict=False):
            left, right = cell.subplots(1, 2, width_ratios=(1, 3))
            response, colours = photo, DARK_TO_LIGHT
            if kernel is None:
                left.set_axis_off()
            else:
                kernel, response = np.asarray(kernel, float), correlate(photo, kernel, stride)
                _numbers(left, kernel, **_signed(np.abs(kernel).max()))
                if abs(kernel.sum()) < 1e-6:
                    colours = _signed(np.quantile(np.abs(response), 0.99))
            right.imshow(response, **colours, interpolation="nearest")  # pixels as they are
            right.set_title(f"{name}, {response.shape[0]} × {response.shape[1]}", fontsize=10)
            right.set_axis_off()
        return figure


def _signed(limit: float) -> dict[str, Any]:
    """Colours of signed numbers: blue is positive, red is negative, white is 0."""
    limit = max(limit, 1e-9)
    return {"cmap": "RdBu", "vmin": -limit, "vmax": limit}


def bands(
    histories: dict[str, dict[str, np.ndarray]],
    keys: Sequence[str] = ("loss", "accuracy"),
    *,
    title: str | None = None,
    steps: int | None = None,
) -> Figure:
    """Curves of several trainings over seeds, training solid and validation dashed: mean, and worst to best as a band.

    Args:
        histories: label -> what over_seeds returned: arrays of shape (seeds, epochs), by name.
        keys: what to draw, a panel each.
        title: what is found.
        steps: training steps an epoch, to draw over steps; None draws over epochs.
    """
    with new_figure(4.6 * len(keys), 3.4, title) as figure:
        for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
            scale, unit = (100, " (%)") if key == "accuracy" else (1, "")
            for (label, history), colour in zip(histories.items(), _colours(), strict=False):
                for name, line in ((key, "-"), (f"val_{key}", "--")):
                    if name not in history:
                        continue
                    values = scale * np.asarray(history[name])
                    epochs = np.arange(1, values.shape[1] + 1) * (steps or 1)
                    axes.plot(epochs, values.mean(0), line, color=colour, label=label if line == "-" else None)
                    axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
            axes.set_title(key.capitalize() + unit)
            axes.set_xlabel("step" if steps else "epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            handles, labels = axes.get_legend_handles_labels()
            if any(f"val_{key}" in history for history in histories.values()):
                handles += [Line2D([], [], color=GREY, linestyle=line) for line in ("-", "--")]
                labels += ["training", "validation"]
            axes.legend(handles, labels, frameon=False, fontsize=8)
        return figure


def forest(effects: dict[str, np.ndarray], *, unit: str, title: str) -> Figure:
    """A row for each treatment: its effect in every repetition as dots, their mean and 95 % interval as a bar.

    Args:
        effects: label -> differences to the untreated, one for each seed.
        unit: of the differences.
        title: what is found.
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
            axes.text(1.01, row, _minus(f"{mean:+z.1f} ± {half:.1f}"), **beside)
        axes.set_yticks(range(len(effects)), list(effects))
        axes.set_ylim(len(effects) - 0.4, -0.6)
        axes.set_xlabel(unit)
        axes.set_title(title)
        axes.spines["left"].set_visible(False)
        axes.tick_params(left=False)
        return figure


def epoch_orders(pipelines: dict[str, list[list[np.ndarray]]]) -> Figure:
    """What comes out of some pipelines of numbered elements, epoch by epoch, a gap between batches.

    Args:
        pipelines: title -> epochs -> batches of integers from 0.
    """
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

    Args:
        runs: pipeline -> (part, start, end) in seconds, in any order; a part called "epoch" is the start of one.
        title: of the figure.
    """
    parts = list(dict.fromkeys(part for events in runs.values() for part, *_ in events if part != "epoch"))
    last = max(end for events in runs.values() for _, _, end in events)
    with new_figure(9.5, 1.05 * len(runs) + 0.9, title) as figure:
        panels = np.ravel(figure.subplots(len(runs), 1, sharex=True, squeeze=False))
        for axes, (name, events) in zip(panels, runs.items(), strict=True):
            for row, (part, colour) in enumerate(zip(parts, _colours(), strict=False)):
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


TINTS = ("#A6CEE3", "#F6D9A0", "#A8DDC9", "#F1BFA1", "#D9D9D9", "#E3C1D6")


def pooling_windows(x: np.ndarray, results: dict[str, np.ndarray]) -> Figure:
    """A matrix whose windows are tinted, and beside it what each kind of pooling makes of them, in the same tints.

    Args:
        x: (height, width); its windows lie side by side.
        results: {"max": (rows, columns), …}, one number for each window.
    """
    rows, columns = next(iter(results.values())).shape
    size = (x.shape[0] // rows, x.shape[1] // columns)
    owner = np.arange(rows * columns).reshape(rows, columns) % len(TINTS)
    with new_figure(2.4 + 1.7 * len(results), 2.7, "One number for each window, whichever the kind") as figure:
        ratios = (x.shape[1], *(columns + 0.6 for _ in results))
        for axes, (name, values) in zip(
            figure.subplots(1, 1 + len(results), width_ratios=ratios), {"x": x, **results}.items(), strict=True
        ):
            shown = np.kron(owner, np.ones(size, int)) if name == "x" else owner
            for (i, j), value in np.ndenumerate(values):
                axes.add_patch(Rectangle((j, i), 1, 1, facecolor=TINTS[shown[i, j]], edgecolor="white"))
                axes.text(j + 0.5, i + 0.5, f"{value:g}", ha="center", va="center", fontsize=12)
            axes.set(xlim=(0, values.shape[1]), ylim=(values.shape[0], 0), aspect="equal")
            axes.set_title(name, loc="center")
            axes.set_axis_off()
        return figure


def pool(image: np.ndarray, kind: str, size: int, stride: int) -> np.ndarray:
    """Pool an image (height, width) or (height, width, channels): the "max", "average" or "sum" of every window."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), (0, 1))[::stride, ::stride]
    return {"max": np.max, "average": np.mean, "sum": np.sum}[kind](windows, axis=(-2, -1))


def pooling(image: np.ndarray, kind: str = "max", size: int = 2, stride: int = 2) -> Figure:
    """An image and its pooled map, with the first two windows and the two numbers that stand for them.

    Args:
        image: (height, width) or (height, width, 3), in [0, 1].
        kind: "max", "average" or "sum"; a sum is drawn relative to the largest one.
        size, stride: of the windows, in pixels.
    """
    pooled = pool(image, kind, size, stride)
    brightest = pooled.max() if kind == "sum" else 1
    meeting = "lie side by side" if stride == size else "overlap" if stride < size else "leave pixels out"
    with new_figure(9, 3.5) as figure:
        left, right = figure.subplots(1, 2)
        left.imshow(image, **DARK_TO_LIGHT)
        right.imshow(pooled / max(brightest, 1e-9), **DARK_TO_LIGHT)
        for column, colour in ((0, ORANGE), (1, BLUE)):
            for axes, side, step in ((left, size, stride), (right, 1, 1)):
                corner = (column * step - 0.5, -0.5)
                axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=2, clip_on=False))
        shares = np.size(pooled) / np.size(image)
        left.set_title(f"{size} × {size} windows, one every {stride} pixels: they {meeting}", fontsize=10)
        (height, width), (rows, columns) = image.shape[:2], pooled.shape[:2]
        right.set_title(
            f"{kind}: {height} × {width} → {rows} × {columns}, {100 * shares:.0f} % of the numbers left", fontsize=10
        )
        for axes in (left, right):
            _bare(axes)
        return figure


def responses(
    rows: dict[str, list[np.ndarray]], columns: list[str], signed: tuple[str, ...] = (), title: str = ""
) -> Figure:
    """Maps (height, width) as a table of pictures: rows for inputs, columns for layers.

    Each column has a scale of its own, up to its largest number. In rows that are named in `signed` blue is positive,
    red is negative, white is 0; their strongest colour is the same share of that largest number in all columns, so that
    where there is next to nothing, there is next to no colour.
    """
    plain = [maps for name, maps in rows.items() if name not in signed]
    tops = [max([maps[column].max() for maps in plain], default=1) for column in range(len(columns))]
    shares = [np.abs(rows[name][column]).max() / top for name in signed for column, top in enumerate(tops) if top]
    most = max(shares, default=1)
    with new_figure(1.35 * len(columns) + 1.3, 1.4 * len(rows) + 0.3, title) as figure:
        grid = figure.subplots(len(rows), len(columns), squeeze=False)
        for column, heading in enumerate(columns):
            grid[0, column].set_title(heading, fontsize=9.5, loc="center")
            for axes, (name, maps) in zip(grid[:, column], rows.items(), strict=True):
                one_sided = {"cmap": "viridis" if column else "gray", "vmin": 0, "vmax": tops[column]}
                axes.imshow(maps[column], **(_signed(most * tops[column]) if name in signed else one_sided))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(visible=True, color="#BBBBBB")
        for axes, name in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        return figure


def descent(loss, paths: dict[str, np.ndarray], *, reach: float, minimum: tuple[float, float], title: str) -> Figure:
    """Paths of gradient descent over the loss of two weights, and the loss at each of their steps.

    Args:
        loss: a function of two weights.
        paths: name -> (steps + 1, 2), the weights from the start on.
        reach: both axes run from -reach to reach; a path is drawn until it leaves them.
        minimum: the weights with the least loss, marked by a star.
        title: of the figure.
    """
    with new_figure(9.5, 3.9, title) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.35))
        side = np.linspace(-reach, reach, 41)
        surface = np.array([[loss(np.array([a, b])) for a in side] for b in side])
        left.contour(side, side, np.sqrt(surface), levels=14, colors="#BBBBBB", linewidths=0.8)
        styles = zip(_colours(RED, ORANGE, GREEN, BLUE, GREY), itertools.cycle("sD^ov"), strict=False)
        for (name, path), (colour, marker) in zip(paths.items(), styles, strict=False):
            outside = np.flatnonzero(np.abs(path).max(1) > reach)
            inside = path[: outside[0] + 1] if len(outside) else path
            left.plot(*inside.T, color=colour, marker=marker, markersize=3.5, linewidth=1)
            right.plot([loss(weights) for weights in path], color=colour, marker=marker, markersize=3.5, label=name)
        left.plot(*minimum, "*", color="black", markersize=11)
        left.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="K[0]", ylabel="K[1]")
        left.set_title("lines of equal loss", fontsize=10)
        right.set(yscale="log", xlabel="step", ylabel="loss")
        right.legend(frameon=False, fontsize=8.5)
        right.set_title("loss by step", fontsize=10)
        return figure


def kernel_learning(kernels: dict[str, np.ndarray], losses: dict[str, np.ndarray], title: str) -> Figure:
    """A kernel as it is learned, the loss below it.

    Args:
        kernels: "step 0" -> (u, v), …, in order; blue is positive, red is negative.
        losses: name -> the loss before each step; both axes are logarithmic.
        title: of the figure.
    """
    colours = _signed(max(np.abs(kernel).max() for kernel in kernels.values()))
    with new_figure(9.5, 4.4, title) as figure:
        upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.45))
        for axes, (name, kernel) in zip(upper.subplots(1, len(kernels)), kernels.items(), strict=True):
            _numbers(axes, kernel, **colours)
            axes.set_title(name, fontsize=9.5, loc="center")
        axes = lower.subplots()
        styles = zip(_colours(), itertools.cycle(("-", "--")), strict=False)
        for (name, loss), (colour, style) in zip(losses.items(), styles, strict=False):
            axes.plot(np.arange(1, len(loss) + 1), loss, style, color=colour, label=name)
        axes.set(xscale="log", yscale="log", xlabel="step", ylabel="loss")
        axes.legend(frameon=False, fontsize=9)
        return figure


def chain(names: list[str], values: list[float], slopes: list[float], gradients: list[float], title: str) -> Figure:
    """A chain of quantities, each computed from the one before it: values forwards, gradients backwards.

    Args:
        names: of the quantities, the loss last.
        values: of each.
        slopes: of each quantity in the one before it, one less than there are names.
        gradients: of the loss in each quantity.
    """
    with new_figure(1.65 * len(names) + 0.4, 2.3) as figure:
        axes = figure.subplots()
        for i, (name, value, gradient) in enumerate(zip(names, values, gradients, strict=True)):
            axes.text(i, 0.12, name, ha="center", va="center", fontsize=10.5)
            axes.text(i, -0.14, _minus(f"{value:.3g}"), ha="center", va="center", color=BLUE)
            axes.add_patch(Rectangle((i - 0.33, -0.3), 0.66, 0.6, fill=False, edgecolor=GREY))
            axes.text(i, -0.62, _minus(f"{gradient:.3g}"), ha="center", va="center", color=RED)
        for i, slope in enumerate(slopes):
            forwards = {"arrowstyle": "-|>", "mutation_scale": 10, "color": BLUE}
            axes.add_patch(FancyArrowPatch((i + 0.33, 0), (i + 0.67, 0), **forwards))
            axes.add_patch(FancyArrowPatch((i + 0.78, -0.62), (i + 0.22, -0.62), **(forwards | {"color": RED})))
            times = _minus(f"× {slope:.3g}")
            axes.text(i + 0.5, -0.8, times, ha="center", va="center", fontsize=8.5, color=RED)
        axes.text(-0.42, 0, "value", ha="right", va="center", color=BLUE)
        axes.text(-0.42, -0.62, "gradient", ha="right", va="center", color=RED)
        axes.set(xlim=(-1.0, len(names) - 0.6), ylim=(-0.95, 0.4))
        axes.set_axis_off()
        axes.set_title(title)
        return figure


def window_positions(settings: dict[str, dict]) -> Figure:
    """Which pixels of a row each output sees: a panel for each setting, in it a line for each output.

    The row of pixels is on top, zeros of the padding are marked 0, pixels that no window sees are crossed out.

    Args:
        settings: title -> {"n": pixels, "size": of the kernel, "stride": 1, "dilation": 1, "padding": (0, 0)}, the
            last being the zeros on the left and on the right.
    """
    plans = []
    for setting in settings.values():
        left, right = setting.get("padding", (0, 0))
        stride, dilation = setting.get("stride", 1), setting.get("dilation", 1)
        reach = dilation * (setting["size"] - 1)
        starts = range(-left, setting["n"] + right - reach, stride)
        plans.append((setting["n"], left, right, [range(s, s + reach + 1, dilation) for s in starts]))
    widest, columns = max(n + right for n, _, right, _ in plans), min(3, len(plans))
    heights = [1.5 + max(len(p[3]) for p in plans[i : i + columns]) for i in range(0, len(plans), columns)]
    with new_figure(9.5, 0.29 * sum(heights) + 0.3 * len(heights)) as figure:
        panels = np.ravel(figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights))
        for axes, title, (n, left, right, windows) in zip(panels, settings, plans, strict=False):
            seen = {pixel for window in windows for pixel in window}
            for pixel in range(-left, n + right):
                real = 0 <= pixel < n
                style = {"facecolor": "#BBBBBB" if real else "white", "edgecolor": "white" if real else GREY}
                axes.add_patch(Rectangle((pixel + 0.04, 0.04), 0.92, 0.92, **style))
                mark = "0" if not real else "" if pixel in seen else "×"
                axes.text(pixel + 0.5, 0.5, mark, ha="center", va="center", fontsize=9)
            for line, window in enumerate(windows, 1):
                for pixel in window:
                    colour = (BLUE, ORANGE, GREEN)[line % 3 - 1]
                    axes.add_patch(Rectangle((pixel + 0.04, line + 0.24), 0.92, 0.52, facecolor=colour))
            axes.set(xlim=(-1.2, widest + 0.2), ylim=(len(windows) + 1, -0.1), aspect="equal", anchor="NW")
            axes.set_title(f"{title}: {n} → {len(windows)}", fontsize=9.5)
        for axes in panels:
            axes.set_axis_off()
        return figure


def receptive_fields(nets: dict[str, list[tuple[str, int, int, int]]]) -> Figure:
    """What one number of the last layer sees, down to the pixels, in one dimension: a panel for each net.

    Args:
        nets: title -> layers from first to last, each (name, size, stride, dilation).
    """
    with new_figure(9.5, 0.62 * max(map(len, nets.values())) + 1.1) as figure:
        for axes, (title, layers) in zip(figure.subplots(1, len(nets), squeeze=False)[0], nets.items(), strict=True):
            counts, seen = [3], [{1}]  # three numbers of the last layer, of which the middle one is followed
            for _, size, stride, dilation in reversed(layers):
                counts.append((counts[-1] - 1) * stride + dilation * (size - 1) + 1)
                seen.append({i * stride + dilation * u for i in seen[-1] for u in range(size)})
            counts.reverse()
            seen.reverse()
            places = [np.arange(counts[0], dtype=float)]
            for _, size, stride, dilation in layers:
                last = places[-1]
                middles = last[::stride][: (len(last) - dilation * (size - 1) - 1) // stride + 1]
                places.append(middles + dilation * (size - 1) / 2 * (last[1] - last[0]))
            for level, (_, size, stride, dilation) in enumerate(layers, 1):
                for i in seen[level]:
                    for u in range(size):
                        below = places[level - 1][i * stride + dilation * u]
                        axes.plot([places[level][i], below], [level, level - 1], color=BLUE, linewidth=0.7, alpha=0.6)
            side = 420 / (counts[0] + 6)
            for level, (place, inside) in enumerate(zip(places, seen, strict=True)):
                colours = [ORANGE if i in inside else "#CCCCCC" for i in range(len(place))]
                axes.scatter(place, np.full(len(place), level), s=side, marker="s", c=colours, zorder=2)
                name = layers[level - 1][0] if level else "pixels"
                axes.text(-1.5, level, name, ha="right", va="center", fontsize=8)
            axes.set(xlim=(-1 - 0.35 * counts[0], counts[0]), ylim=(-0.5, len(layers) + 0.4))
            axes.set_title(f"{title}: {max(seen[0]) - min(seen[0]) + 1} pixels", fontsize=9.5)
            axes.set_axis_off()
        return figure


def costs(card, marked: dict[str, str]) -> Figure:
    """Shares of a model's layers in its parameters, its multiply-accumulates and the numbers that its layers put out.

    Args:
        card: a ModelCard; layers without parameters are left out.
        marked: how names of layers begin -> the colour of their bars; their shares are written on them.
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
    """Events on a line of years that is true to scale, each with a row of text beside it.

    Args:
        events: (year, who, what), in order; dollar signs in the text are mathematics.
        title: of the figure.
    """
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
    activations that the layer returns; below the line, the number of its parameters.

    Args:
        rows: (name, ModelCard, how many times larger the sides are drawn; 1 is the common scale).
        title: of the figure.
        width: of the figure in inches.
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
        name = re.sub(r"_(group\d+|norm).*$", "", row.name)
        stage = re.match(r"stage(\d+)_conv(\d+)$", name)
        label = f"{stage[1]}.{stage[2]}" if stage else {"predictions": "out"}.get(name, name)
        kind = "convolution" if "Conv" in row.type else "fully connected"
        entry = found.setdefault(name, [label, kind, 0, 0])
        entry[2] += 0 if row.name.endswith("_norm") else math.prod(row.output_shape)
        entry[3] += row.parameters
    return [tuple(entry) for entry in found.values()]
