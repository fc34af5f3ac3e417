"""Figures of convolution, pooling and whole networks."""

import itertools
import math
import re

import numpy as np
from matplotlib.patches import Rectangle

from ...nn.inspection import HEADS, step_of
from ...plots import BLUE, COLOURS, GREEN, GREY, ORANGE, Figure, bare, new_figure, numbered, short, signed_colours

DARK_TO_LIGHT = {"cmap": "gray", "vmin": 0, "vmax": 1}  # images in [0, 1]
TINTS = ("#A6CEE3", "#F6D9A0", "#A8DDC9", "#F1BFA1", "#D9D9D9", "#E3C1D6")


def correlate(image: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """The response of a kernel at every stride-th place of a grey image (height, width), without padding."""
    from scipy import signal

    return signal.correlate2d(image, kernel, mode="valid")[::stride, ::stride]


def sliding_window(image: np.ndarray, kernel: np.ndarray, positions: list[tuple[int, int]]) -> Figure:
    """A kernel at some places of an image, one row each: window, kernel, products, and their sum in the output.

    The output, in which the positions (i, j) lie, is filled up to each; the image (height, width) is in [0, 1].
    """
    outputs = correlate(image, kernel)
    signed = signed_colours(max(np.abs(outputs).max(), np.abs(kernel).max()))
    height, width = kernel.shape
    with new_figure(9.5, 2.5 * len(positions)) as figure:
        rows = figure.subfigures(len(positions), 1, squeeze=False)[:, 0]
        for row, (i, j) in zip(rows, positions, strict=True):
            window = image[i : i + height, j : j + width]
            panels = whole, small, weights, products, result = row.subplots(1, 5, width_ratios=(2, 1, 1, 1, 2))
            whole.imshow(image, **DARK_TO_LIGHT)
            numbered(small, window, **DARK_TO_LIGHT)
            numbered(weights, kernel, **signed)
            numbered(products, window * kernel, **signed)
            filled = outputs.copy()
            filled[i, j + 1 :] = filled[i + 1 :] = np.nan
            result.set_facecolor("#DDDDDD")
            result.imshow(filled, **signed)
            for axes, size in ((whole, (width, height)), (result, (1, 1))):
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), *size, fill=False, edgecolor=ORANGE, linewidth=2.2))
                bare(axes)
            titles = ("image X", f"X[{i}+u, {j}+v]", "× K[u, v]", "= products", "output Y")
            for axes, title in zip(panels, titles, strict=True):
                axes.set_title(title, loc="center", fontsize=9)
            text = f"Y[{i}, {j}] = Σ K[u, v] · X[{i}+u, {j}+v] = {short(outputs[i, j])}"
            row.suptitle(text, x=0.01, ha="left", fontsize=11)
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
            left.set_axis_off()
            response, colours = photo, DARK_TO_LIGHT
            if kernel is not None:
                kernel, response = np.asarray(kernel, float), correlate(photo, kernel, stride)
                numbered(left, kernel, **signed_colours(np.abs(kernel).max()))
                if abs(kernel.sum()) < 1e-6:
                    colours = signed_colours(np.quantile(np.abs(response), 0.99))
            right.imshow(response, **colours, interpolation="nearest")  # pixels as they are
            right.set_title(f"{name}, {response.shape[0]} × {response.shape[1]}", fontsize=10)
            right.set_axis_off()
        return figure


def pooling_windows(x: np.ndarray, results: dict[str, np.ndarray]) -> Figure:
    """A matrix whose windows, side by side, are tinted, and what each kind of pooling makes of them, in the same tints.

    The results, {"max": (rows, columns), …}, have one number for each window.
    """
    rows, columns = next(iter(results.values())).shape
    owner = np.arange(rows * columns).reshape(rows, columns) % len(TINTS)
    with new_figure(2.4 + 1.7 * len(results), 2.7, "One number for each window, whichever the kind") as figure:
        panels = figure.subplots(1, 1 + len(results), width_ratios=[x.shape[1]] + [columns + 0.6] * len(results))
        for axes, (name, values) in zip(panels, {"x": x, **results}.items(), strict=True):
            shown = np.kron(owner, np.ones(np.floor_divide(values.shape, owner.shape), int))
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
    """An image (height, width) or (height, width, 3) in [0, 1] and its pooled map, with the first two windows in both.

    A sum is drawn relative to the largest one.
    """
    pooled = pool(image, kind, size, stride)
    brightest = pooled.max() if kind == "sum" else 1
    meeting = "lie side by side" if stride == size else "overlap" if stride < size else "leave pixels out"
    with new_figure(9, 3.5) as figure:
        left, right = figure.subplots(1, 2)
        for axes, shown in ((left, image), (right, pooled / max(brightest, 1e-9))):
            axes.imshow(shown, **DARK_TO_LIGHT)
            bare(axes)
        for column, colour in ((0, ORANGE), (1, BLUE)):
            for axes, side, step in ((left, size, stride), (right, 1, 1)):
                corner = (column * step - 0.5, -0.5)
                axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor=colour, linewidth=2, clip_on=False))
        left.set_title(f"{size} × {size} windows, one every {stride} pixels: they {meeting}", fontsize=10)
        sizes = " → ".join(f"{shown.shape[0]} × {shown.shape[1]}" for shown in (image, pooled))
        right.set_title(f"{kind}: {sizes}, {100 * (pooled.size / image.size):.0f} % of the numbers left", fontsize=10)
        return figure


def responses(rows: dict[str, list[np.ndarray]], columns: list[str], signed: tuple = (), title: str = "") -> Figure:
    """Maps (height, width) as a table of pictures: rows for inputs, columns for layers.

    Each column has a scale of its own, up to its largest number. In rows that are named in `signed` blue is positive,
    red is negative, white is 0; their strongest colour is the same share of that largest number in all columns.
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
                axes.imshow(maps[column], **(signed_colours(most * tops[column]) if name in signed else one_sided))
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set(visible=True, color="#BBBBBB")
        for axes, name in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        return figure


def window_positions(settings: dict[str, dict]) -> Figure:
    """Which pixels of a row each output sees: a panel for each setting, in it a line for each output.

    The row of pixels is on top, zeros of the padding are marked 0, pixels that no window sees are crossed out. A
    setting is title -> {"n": pixels, "size": of the kernel, "stride": 1, "dilation": 1, "padding": (left, right)}.
    """

    def plan(n, size, stride=1, dilation=1, padding=(0, 0)):
        starts = range(-padding[0], n + padding[1] - dilation * (size - 1), stride)
        return n, *padding, [range(s, s + dilation * size, dilation) for s in starts]

    plans = [plan(**setting) for setting in settings.values()]
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
                colour = (GREEN, BLUE, ORANGE)[line % 3]
                for pixel in window:
                    axes.add_patch(Rectangle((pixel + 0.04, line + 0.24), 0.92, 0.52, facecolor=colour))
            axes.set(xlim=(-1.2, widest + 0.2), ylim=(len(windows) + 1, -0.1), aspect="equal", anchor="NW")
            axes.set_title(f"{title}: {n} → {len(windows)}", fontsize=9.5)
        for axes in panels:
            axes.set_axis_off()
        return figure


def receptive_fields(nets: dict[str, list[tuple[str, int, int, int]]]) -> Figure:
    """What one number of the last layer sees, down to the pixels, in one dimension: a panel for each net.

    A net is title -> its layers from first to last, each (name, size, stride, dilation).
    """
    with new_figure(9.5, 0.62 * max(map(len, nets.values())) + 1.1) as figure:
        for axes, (title, layers) in zip(figure.subplots(1, len(nets), squeeze=False)[0], nets.items(), strict=True):
            pixels, seen = 3, [{1}]  # three numbers of the last layer, of which the middle one is followed
            for _, size, stride, dilation in reversed(layers):
                pixels = (pixels - 1) * stride + dilation * (size - 1) + 1
                seen.append({i * stride + dilation * u for i in seen[-1] for u in range(size)})
            seen.reverse()
            places = [np.arange(pixels, dtype=float)]
            for level, (_, size, stride, dilation) in enumerate(layers, 1):
                last = places[-1]
                middles = last[::stride][: (len(last) - dilation * (size - 1) - 1) // stride + 1]
                places.append(middles + dilation * (size - 1) / 2 * (last[1] - last[0]))
                for i, u in itertools.product(seen[level], range(size)):
                    ends = [places[level][i], last[i * stride + dilation * u]]
                    axes.plot(ends, [level, level - 1], color=BLUE, linewidth=0.7, alpha=0.6)
            for level, (place, inside) in enumerate(zip(places, seen, strict=True)):
                colours = [ORANGE if i in inside else "#CCCCCC" for i in range(len(place))]
                axes.scatter(place, np.full(len(place), level), s=420 / (pixels + 6), marker="s", c=colours, zorder=2)
                axes.text(-1.5, level, layers[level - 1][0] if level else "pixels", ha="right", va="center", fontsize=8)
            axes.set(xlim=(-1 - 0.35 * pixels, pixels), ylim=(-0.5, len(layers) + 0.4))
            axes.set_title(f"{title}: {max(seen[0]) - min(seen[0]) + 1} pixels", fontsize=9.5)
            axes.set_axis_off()
        return figure


def costs(card, marked: dict[str, str]) -> Figure:
    """Shares of layers in the parameters, multiply-accumulates and outputs of a ModelCard; of those with parameters.

    Bars of layers whose names begin as `marked` says have its colour, and their share written on them.
    """
    rows = [row for row in card.layers if row.parameters]
    numbers = [(row.parameters, row.macs, math.prod(row.output_shape)) for row in rows]
    kinds = ("parameters", "multiply-accumulates", "numbers put out")
    with new_figure(9.5, 5.6) as figure:
        for axes, kind, values in zip(figure.subplots(3, 1, sharex=True), kinds, np.transpose(numbers), strict=True):
            total, shares = values.sum(), 100 * values / values.sum()
            bars = axes.bar(range(len(rows)), shares, color="#AAAAAA")
            for start, colour in marked.items():
                inside = [i for i, row in enumerate(rows) if row.name.startswith(start)]
                for i in inside:
                    bars[i].set_color(colour)
                share = shares[inside].sum()
                text = f"{start}: {share:.{2 if share < 0.1 else 1}f} %"
                axes.text(inside[0] - 0.4, shares[inside].max(), text, va="bottom", color=colour, fontsize=9)
            amount = f"{total / 1e9:.1f} billion" if total >= 1e9 else f"{total / 1e6:.1f} million"
            axes.set(title=f"{kind}: {amount}", ylabel="share (%)")
            axes.margins(y=0.25)
        axes.set_xticks(range(len(rows)), [row.name for row in rows], rotation=60, ha="right", fontsize=8)
        return figure


def history_line(events: list[tuple[int, str, str]], title: str = "") -> Figure:
    """Events (year, who, what), in order, on a line of years that is true to scale, with their text beside it."""
    first, last = events[0][0], events[-1][0]
    with new_figure(9.5, 0.42 * len(events) + 0.6) as figure:
        axes = figure.subplots()
        axes.plot([0, 0], [first, last], color=GREY, linewidth=2, solid_capstyle="round")
        for (year, who, what), row in zip(events, np.linspace(first, last, len(events)), strict=True):
            axes.plot([0, 0.045, 0.075], [year, row, row], color=GREY, linewidth=0.8)
            axes.plot(0, year, "o", color=BLUE, markersize=6, zorder=3)
            axes.text(0.085, row, str(year), va="center", fontsize=10, color=BLUE, fontweight="bold")
            axes.text(0.135, row, who, va="center", fontsize=9.5)
            axes.text(0.42, row, what, va="center", fontsize=9)
        margin = 0.6 * (last - first) / max(len(events) - 1, 1)
        axes.set(xlim=(-0.02, 1), ylim=(last + margin, first - margin), title=title)
        axes.set_axis_off()
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
    # of the squares of each layer, above and below the line, in units of `scale` inches
    sides = [factor * np.sqrt([layer[2:] for layer in net]) for net, (*_, factor) in zip(nets, rows, strict=True)]

    def room(scale):  # that is left beside the widest row
        return width - 0.3 - max(sum(np.maximum(least, scale * row.max(1)) + gap) for row in sides)

    scale = brentq(room, 0, 1)
    with new_figure(width, height) as figure:
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.text(0.1, 0.18, title, fontsize=11, va="center")
        for (name, card, factor), net, row in zip(rows, nets, sides, strict=True):
            above, below = scale * row.max(0)
            line = height + 0.3 + above
            larger, made = f", sides drawn {factor:g} times larger" * (factor != 1), sum(layer[2] for layer in net)
            text = f"{name}: {card.parameters:,} parameters below the line, {made:,} activations above it{larger}"
            axes.text(0.1, line - above - 0.14, text, fontsize=9.5, va="center")
            axes.plot([0.1, width - 0.1], [line, line], color="black", linewidth=0.8)
            x = 0.15
            for (label, kind, _, _), (up, down) in zip(net, scale * row, strict=True):
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
    for row in filter(lambda row: row.parameters, card.layers):
        name = step_of(row.name)
        label = "out" if name in HEADS else re.sub(r"^stage(\d+)_conv", r"\1.", name)
        kind = "convolution" if "Conv" in row.type else "fully connected"
        entry = found.setdefault(name, [label, kind, 0, 0])
        entry[2] += 0 if row.name.endswith("_norm") else math.prod(row.output_shape)
        entry[3] += row.parameters
    return [tuple(entry) for entry in found.values()]
