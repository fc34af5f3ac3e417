"""Figures of runs, models and data sets, and the style and the parts of all figures.

Images are uint8, or floats in [0, 1], (n, height, width, channels); class names are by label.
"""

import contextlib
import io
import itertools
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as PlainFigure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text

from .core.files import atomic
from .core.fonts import choose_fonts, warn_of
from .core.text import printable
from .nn.inspection import block_of, stage_of, step_of

# Okabe and Ito's colours, which the colour-blind can tell apart
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#666666"
STYLE = {
    "axes.spines.top": False, "axes.spines.right": False, "axes.titlelocation": "left", "axes.titlesize": 11,
    "axes.grid": False, "font.size": 10, "figure.dpi": 110, "text.usetex": False,
}  # fmt: skip


class Figure(PlainFigure):
    """A figure that notebooks show as it is, pyplot or not, and whose texts may be in any script."""

    lacking = ""  # letters that no font has

    def draw(self, renderer) -> None:
        for axes in self.findobj(Axes):  # which make the texts of their ticks now
            _ = axes.get_xticklabels(), axes.get_yticklabels()
        lacking = choose_fonts(self.findobj(Text))
        if lacking != self.lacking:  # once a figure, which is drawn twice for its layout
            warn_of(lacking)
            self.lacking = lacking
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # which has been said
            super().draw(renderer)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


@contextlib.contextmanager
def new_figure(width: float, height: float, title: str | None = None) -> Iterator[Figure]:
    """A figure of so many inches, drawn in the style of all figures here."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11)
        yield figure


def save(figure: Figure, path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic(path) as temporary:
        figure.savefig(temporary)


def plain(name: str, length: int) -> str:
    """A class name as a figure shows it: printable, cut to length, and no mathematics in it."""
    return printable(name, length).replace("$", r"\$")


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
        light = np.dot(shown.cmap(shown.norm(value))[:3], (0.299, 0.587, 0.114)) > 0.5
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


def curves(history: dict[str, list[float]], best_epoch: int | None = None, score: str = "accuracy") -> Figure:
    """Loss and a score between 0 and 1 by epoch, training and validation, and a line at the epoch that was kept.

    The history is a run's: {"epoch": [1, 2, …], "loss": […], "accuracy": […], "val_loss": […], …}.
    """
    columns = {"loss": ""} | ({score: " (%)"} if score in history else {})
    with new_figure(4.5 * len(columns), 3.4) as figure:
        epochs = history["epoch"]
        for axes, (key, unit) in zip(figure.subplots(1, len(columns), squeeze=False)[0], columns.items(), strict=True):
            for prefix, label, colour, line in (("", "training", BLUE, "-"), ("val_", "validation", ORANGE, "--")):
                if prefix + key in history:
                    values = np.multiply(history[prefix + key], 100 if unit else 1)
                    label = f"{label}, at the end {values[-1]:.{1 if unit else 3}f}"
                    axes.plot(epochs, values, line, color=colour, marker="o", markersize=3, label=label)
            if best_epoch:
                axes.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle=":", label="best epoch, kept")
            axes.set(title=key[0].upper() + key[1:].replace("_", " ") + unit, xlabel="epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            if len(epochs) == 1:
                axes.set(xlim=(epochs[0] - 1, epochs[0] + 1), xticks=epochs)
            axes.legend(frameon=False, loc="best")
        return figure


def confusion(matrix: np.ndarray, class_names: list[str]) -> Figure:
    """A confusion matrix of counts (true classes, predicted ones), as evaluate returns it; colour: share of the row.

    Names are written up to 40 classes, counts up to 20.
    """
    matrix, count = np.asarray(matrix), len(class_names)
    side = min(12, max(4.2, 1.8 + 0.42 * count))
    title = f"{matrix.sum() - np.trace(matrix):,} of {matrix.sum():,} test images are put in a wrong class"
    with new_figure(side + 0.6, side, title) as figure:
        axes = figure.subplots()
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="predicted class", ylabel="true class")
        if count <= 40:
            names = [plain(name, 16) for name in class_names]
            axes.set_xticks(range(count), names, rotation=0 if max(map(len, names)) <= 2 else 90)
            axes.set_yticks(range(count), names)
        if count <= 20:
            for i, j in np.argwhere(matrix):
                colour = "white" if share[i, j] > 0.5 else RED if i != j else "black"
                axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", fontsize=8, color=colour)
        return figure


def mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: list[str], rows: int = 3, total=None
) -> Figure:
    """The test images that the model is most wrong about: highest probability for a wrong class first.

    Args:
        labels, probabilities: true labels (n,), and what the model says, (n, classes).
        rows: of eight images, how many to show at most.
        total: how many mistakes there are, if not all of them are given.
    """
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][: 8 * rows]
    if not len(worst):
        with new_figure(6, 1) as figure:
            figure.text(0.5, 0.5, "no test image is misclassified", ha="center", va="center")
            return figure
    columns = math.ceil(len(worst) / math.ceil(len(worst) / 8))  # rows of nearly equal length
    names = [plain(name, 12) for name in class_names]
    captions = [f"{names[labels[i]]}\n→ {names[predicted[i]]} ({100 * probabilities[i].max():.0f} %)" for i in worst]
    title = f"Surest mistakes, {len(worst)} of {total or len(wrong):,}: true class → predicted class"
    return gallery(images[worst], captions, columns, title)


COLOURS = {"input": GREY, "convolution": BLUE, "pooling": ORANGE, "fully connected": GREEN, "block": "#56B4E9"}


def architecture(model) -> Figure:
    """A model as a row of boxes: as high as the maps that come out, as wide as their number (square roots of both).

    A block of several layers is one box, with a stripe for each of its parallel branches, and an arc where its input is
    added to what it computes. Equal neighbours are drawn once, with their number.
    """
    boxes = _boxes(model)
    sides = max(box["shape"][0] for box in boxes if len(box["shape"]) > 1)
    most = max(box["shape"][-1] for box in boxes)
    for box in boxes:
        count = f" ×{box['count']}" if box["count"] > 1 else ""
        box["text"] = f"{box['name']}{count}\n{'×'.join(map(str, box['shape']))}"
    longest = max(len(line) for box in boxes for line in box["text"].splitlines())
    upright = longest > 9  # a name that is not would reach its neighbour's
    bottom = -2.05 - (0.11 * longest if upright else 0.5)
    with new_figure(max(6.0, 0.62 * len(boxes) + 1.2), 0.7 * (2.15 - bottom)) as figure:
        axes, x = figure.subplots(), 0.0
        for box in boxes:
            maps = len(box["shape"]) > 1
            width = 0.25 + 0.95 * math.sqrt(box["shape"][-1] / most) if maps else 0.25
            height = 0.3 + 3.0 * math.sqrt((box["shape"][0] if maps else box["shape"][-1] * sides / most) / sides)
            part, colour = height / box["branches"], {"facecolor": COLOURS[box["kind"]], "alpha": 0.85}
            for i in range(box["branches"]):
                axes.add_patch(Rectangle((x, -height / 2 + i * part + 0.02), width, part - 0.04, **colour))
            if box["residual"]:
                arc = {"connectionstyle": "arc3,rad=-0.45", "arrowstyle": "-|>", "mutation_scale": 8, "color": RED}
                axes.add_patch(FancyArrowPatch((x - 0.1, height / 2), (x + width + 0.1, height / 2), **arc))
            axes.text(x + width / 2, -1.95, box["text"], rotation=90 * upright, ha="center", va="top", fontsize=7.5)
            axes.plot([x - 0.22, x - 0.02], [0, 0], color=GREY, linewidth=1, zorder=0)
            x += width + 0.24
        kinds = [kind for kind in COLOURS if any(box["kind"] == kind for box in boxes)]
        keys = [Rectangle((0, 0), 1, 1, facecolor=COLOURS[kind], alpha=0.85) for kind in kinds]
        axes.legend(keys, kinds, ncols=len(kinds), loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8)
        axes.set_title(f"{plain(model.name, 60)}: {model.count_params():,} parameters", pad=24)
        axes.set(xlim=(-0.35, x), ylim=(bottom, 2.15))
        axes.set_axis_off()
        return figure


def _boxes(model) -> list[dict]:
    """What `architecture` draws: groups of layers with their kind, output shape and structure, in order."""
    groups: dict[str, list] = {}
    for layer in model.layers:
        groups.setdefault(block_of(layer.name) or step_of(layer.name), []).append(layer)
    image = {"kind": "input", "shape": tuple(model.input_shape[1:]), "residual": False, "branches": 1}
    boxes = [image | {"name": "image", "count": 1}]
    for name, group in groups.items():
        kinds = [type(layer).__name__ for layer in group]
        if block_of(name):
            kind = "block"
        elif all("Pooling" in kind or "ZeroPadding" in kind for kind in kinds):
            kind = "pooling"
        elif any("Conv" in kind for kind in kinds):
            kind = "convolution"
        elif "Dense" in kinds:
            kind = "fully connected"
        else:
            continue  # an activation, a flattening or a dropout by itself
        branches = max((len(layer.input) for layer in group if type(layer).__name__ == "Concatenate"), default=1)
        shape, last = tuple(group[-1].output.shape[1:]), boxes[-1]
        box = {"kind": kind, "shape": shape, "residual": "Add" in kinds, "branches": branches}
        if kind == "block" and box.items() <= last.items() and stage_of(name) == stage_of(last["name"]):
            last["count"] += 1
        else:
            boxes.append(box | {"name": name, "count": 1})
    return boxes


def gallery(images: np.ndarray, captions: list[str], columns: int = 8, title: str | None = None) -> Figure:
    """Images, each with its caption, of one line or more, above it; so many columns, and as many rows as they need."""
    rows = math.ceil(len(images) / columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    column, row = 1.15, 1.1 + 0.17 * lines  # inches
    with new_figure(max(5.5, column * columns), row * rows + 0.2, title) as figure:
        axes = figure.subplots()  # one for all: laying out many takes a second
        height, width = np.multiply(1.05 / max(images.shape[1:3]), images.shape[1:3])
        for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
            x, y = i % columns * column, -(i // columns) * row
            extent = (x - width / 2, x + width / 2, y - height / 2, y + height / 2)
            axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, extent=extent)
            axes.text(x, y + height / 2 + 0.04, caption, fontsize=7.5, ha="center", va="bottom")
        top = 0.57 + 0.17 * lines
        axes.set(xlim=(-column / 2, (columns - 0.5) * column), ylim=(top - row * rows, top))
        axes.set_axis_off()
        return figure


def sheet(rows: list[tuple[str, np.ndarray]]) -> Figure:
    """Rows of images, all of one size, each row under its caption; to be read on a telephone, too."""
    columns = max(len(images) for _, images in rows)
    height, width = rows[0][1].shape[1:3]
    wide, caption = 6 / columns, 0.34  # inches
    tall = wide * height / width
    with new_figure(6.2, len(rows) * (tall + caption) + 0.2) as figure:
        axes = figure.subplots()  # one for all: laying out many takes a second
        for i, (text, images) in enumerate(rows):
            top = -i * (tall + caption)
            axes.text(0, top + 0.05, plain(text, 60), fontsize=13, va="bottom")
            for j, image in enumerate(images):
                extent = (j * wide, (j + 0.96) * wide, top - 0.96 * tall, top)
                axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent)
        axes.set(xlim=(0, 6), ylim=(caption - len(rows) * (tall + caption), caption), aspect="equal")
        axes.set_axis_off()
        return figure


def shares(values: dict[str, float | None], title: str, baseline: tuple[str, float]) -> Figure:
    """A share for each name, as bars, the lowest of them where there are more than 40; a line for a baseline, named."""
    if len(values) > 40:
        values = dict(sorted(values.items(), key=lambda pair: 2 if pair[1] is None else pair[1])[:40])
        title += ", the 40 lowest"
    with new_figure(7, 0.9 + 0.26 * len(values)) as figure:
        axes = figure.subplots()
        axes.barh(range(len(values)), [value or 0 for value in values.values()], color=BLUE, height=0.7)
        for place, value in enumerate(values.values()):
            axes.text((value or 0) + 0.01, place, "none" if value is None else f"{value:.2f}", va="center", fontsize=8)
        axes.axvline(baseline[1], color=RED, linewidth=1, linestyle="--", label=baseline[0])
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), fontsize=8)
        axes.set_yticks(range(len(values)), [plain(name, 24) for name in values])
        axes.set(xlim=(0, 1.08), xticks=[0, 0.25, 0.5, 0.75, 1], xlabel=title)
        axes.set_ylim(len(values) - 0.4, -0.6)  # the first on top
        return figure


def masks(images: np.ndarray, truth: np.ndarray | None, predicted: np.ndarray, class_names: list[str]) -> Figure:
    """Images over the masks that are right, if they are known, and those that were predicted.

    Masks are class numbers (n, height, width): 0 is the background, 255 is not judged, and white.
    """
    rows = {"image": images} | ({} if truth is None else {"mask": truth}) | {"predicted": predicted}
    count, found = len(images), np.unique([part for part in (truth, predicted) if part is not None])
    known = [label for label in found if label < len(class_names)]
    palette = np.ones((256, 3))
    palette[0] = 0  # the background is black; the others are as far from each other as there is room
    palette[1 : len(class_names)] = colormaps["gist_rainbow"](np.linspace(0, 1, len(class_names) - 1))[:, :3]
    side = 1.3 if count > 1 else 2.6  # inches
    width = 1.15 + side * count
    with new_figure(width, 0.5 + (side + 0.05) * len(rows)) as figure:
        grid = figure.subplots(len(rows), count, squeeze=False)
        for line, (name, values) in zip(grid, rows.items(), strict=True):
            for axes, value in zip(line, values, strict=True):
                shown_as = {"cmap": "gray", "vmin": 0, "vmax": 255 if value.dtype == np.uint8 else 1}
                axes.imshow(value if name == "image" else palette[value], **shown_as, interpolation="nearest")
                axes.set(xticks=[], yticks=[])
            line[0].set_ylabel(name)
        handles = [Rectangle((0, 0), 1, 1, facecolor=palette[label], edgecolor=GREY) for label in known]
        names = [plain(class_names[label], 12) for label in known]
        place = {"loc": "outside lower center", "ncols": min(len(names), int(width / 1.1)), "frameon": False}
        figure.legend(handles, names, fontsize=8, **place)
        return figure
