"""Figures of convolution and pooling."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.patches import Rectangle

from ...plots import BLUE, GREEN, GREY, ORANGE, Figure, new_figure
from .common import DARK_TO_LIGHT, TINTS, bare, numbered, short, signed_colours


def correlate(image: np.ndarray, kernel: np.ndarray, stride: int = 1) -> np.ndarray:
    """The response of a kernel at every stride-th place of a grey image (height, width), without padding."""
    from scipy import signal

    return signal.correlate2d(image, kernel, mode="valid")[::stride, ::stride]


def sliding_window(image: np.ndarray, kernel: np.ndarray, positions: list[tuple[int, int]]) -> Figure:
    """A kernel at some places of an image, one row each: window, kernel, products, and their sum in the output.

    The output is filled in reading order, as far as the window has come. The image (height, width) is in [0, 1], the
    positions are (i, j) of the output.
    """
    outputs = correlate(image, kernel)
    signed = signed_colours(max(np.abs(outputs).max(), np.abs(kernel).max()))
    height, width = kernel.shape
    with new_figure(9.5, 2.5 * len(positions)) as figure:
        rows = figure.subfigures(len(positions), 1, squeeze=False)[:, 0]
        for row, (i, j) in zip(rows, positions, strict=True):
            window = image[i : i + height, j : j + width]
            whole, small, weights, products, result = row.subplots(1, 5, width_ratios=(2, 1, 1, 1, 2))
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
            for axes, title in zip((whole, small, weights, products, result), titles, strict=True):
                axes.set_title(title, loc="center", fontsize=9)
            sum_of = f"Y[{i}, {j}] = Σ K[u, v] · X[{i}+u, {j}+v]"
            row.suptitle(f"{sum_of} = {short(outputs[i, j])}", x=0.01, ha="left", fontsize=11)
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
    size = (x.shape[0] // rows, x.shape[1] // columns)
    owner = np.arange(rows * columns).reshape(rows, columns) % len(TINTS)
    with new_figure(2.4 + 1.7 * len(results), 2.7, "One number for each window, whichever the kind") as figure:
        ratios = (x.shape[1], *(columns + 0.6 for _ in results))
        panels = figure.subplots(1, 1 + len(results), width_ratios=ratios)
        for axes, (name, values) in zip(panels, {"x": x, **results}.items(), strict=True):
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
    """An image (height, width) or (height, width, 3) in [0, 1] and its pooled map, with the first two windows in both.

    A sum is drawn relative to the largest one.
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
        text = f"{kind}: {height} × {width} → {rows} × {columns}, {100 * shares:.0f} % of the numbers left"
        right.set_title(text, fontsize=10)
        for axes in (left, right):
            bare(axes)
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

    A net is title -> its layers from first to last, each (name, size, stride, dilation).
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
