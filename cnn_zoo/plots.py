"""Figures for the reports of runs and for notebooks. Each function returns a matplotlib Figure."""

from __future__ import annotations

import contextlib
import math
import re
import warnings
from collections.abc import Iterator

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from .files import atomic

# Okabe and Ito's colours, which the colour-blind can tell apart
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.grid": False,
    "font.size": 10,
    "figure.dpi": 110,
}


@contextlib.contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    with rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # class names may be in any script; a box stands for it
        figure.savefig(temporary)


def plain(name: str, length: int) -> str:
    """A class name as a figure shows it: cut to length, and no mathematics in it."""
    name = name if len(name) <= length else name[: length - 1] + "…"
    return name.replace("$", r"\$")


def curves(history: dict[str, list[float]], best_epoch: int | None = None) -> Figure:
    """Loss and accuracy by epoch, training and validation; history as in a run's history.csv."""
    with _figure(9, 3.4) as figure:
        epochs = history["epoch"]
        for axes, key, unit in zip(figure.subplots(1, 2), ("loss", "accuracy"), ("", " (%)"), strict=True):
            series = [(key, "training", BLUE, "-"), (f"val_{key}", "validation", ORANGE, "--")]
            for column, label, colour, line in series:
                if column in history:
                    values = np.multiply(history[column], 100 if unit else 1)
                    label = f"{label}, at the end {values[-1]:.{1 if unit else 3}f}"
                    axes.plot(epochs, values, line, color=colour, marker="o", markersize=3, label=label)
            if best_epoch:
                axes.axvline(best_epoch, color=GREY, linewidth=0.8, linestyle=":", label="best epoch, kept")
            axes.set_title(key.capitalize() + unit)
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.legend(frameon=False, loc="lower right" if unit else "upper right")
        return figure


def confusion(matrix: np.ndarray, class_names: list[str]) -> Figure:
    """A confusion matrix: rows are true classes, columns predicted ones, colour the share of the row."""
    matrix = np.asarray(matrix)
    count = len(class_names)
    side = min(12, max(4.2, 1.8 + 0.42 * count))
    with _figure(side + 0.6, side) as figure:
        axes = figure.subplots()
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        correct, total = int(np.trace(matrix)), int(matrix.sum())
        axes.set_title(f"{total - correct:,} of {total:,} test images are put in a wrong class")
        axes.set(xlabel="predicted class", ylabel="true class")
        if count <= 40:
            names = [plain(name, 16) for name in class_names]
            upright = max(map(len, names)) <= 2
            axes.set_xticks(range(count), names, rotation=0 if upright else 90)
            axes.set_yticks(range(count), names)
        if count <= 20:
            for i, j in np.ndindex(matrix.shape):
                if matrix[i, j]:
                    colour = "white" if share[i, j] > 0.5 else RED if i != j else "black"
                    axes.text(j, i, f"{matrix[i, j]}", ha="center", va="center", fontsize=8, color=colour)
        return figure


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: list[str],
    rows: int = 3,
    columns: int = 8,
) -> Figure:
    """The test images that the model is most wrong about: highest probability for a wrong class first."""
    predicted = probabilities.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][: rows * columns]
    if not len(worst):
        with _figure(6, 1) as figure:
            figure.text(0.5, 0.5, "no test image is misclassified", ha="center", va="center")
            return figure
    captions = []
    for i in worst:
        true, wrongly = (plain(class_names[label], 14) for label in (labels[i], predicted[i]))
        captions.append(f"{true}\n→ {wrongly} {probabilities[i, predicted[i]]:.0%}")
    figure = gallery(images[worst], captions, columns, rows)
    figure.suptitle(
        f"Surest mistakes, {len(worst)} of {len(wrong):,}: true class → predicted class", x=0.01, ha="left", fontsize=11
    )
    return figure


COLOURS = {"input": GREY, "convolution": BLUE, "pooling": ORANGE, "fully connected": GREEN, "block": "#56B4E9"}


def architecture(model) -> Figure:
    """A model as a row of boxes: as high as the maps that come out, as wide as their number (square roots of both).

    A block of several layers is one box, with a stripe for each of its parallel branches, and an arc where its input is
    added to what it computes. Equal neighbours are drawn once, with their number.
    """
    boxes = _boxes(model)
    sides = max(box["shape"][0] for box in boxes if len(box["shape"]) == 3)
    most = max(box["shape"][-1] for box in boxes)
    with _figure(max(6.0, 0.62 * len(boxes) + 1.2), 4.2) as figure:
        axes, x = figure.subplots(), 0.0
        for box in boxes:
            maps = len(box["shape"]) == 3
            width = 0.25 + 0.95 * math.sqrt(box["shape"][-1] / most) if maps else 0.25
            height = 0.3 + 3.0 * math.sqrt((box["shape"][0] if maps else box["shape"][-1] * sides / most) / sides)
            stripes = box["branches"]
            for i in range(stripes):
                part = height / stripes
                axes.add_patch(
                    Rectangle(
                        (x, -height / 2 + i * part + 0.02),
                        width,
                        part - 0.04,
                        facecolor=COLOURS[box["kind"]],
                        edgecolor="white",
                        alpha=0.85,
                    )
                )
            if box["residual"]:
                ends = ((x - 0.1, height / 2), (x + width + 0.1, height / 2))
                axes.add_patch(
                    FancyArrowPatch(
                        *ends, connectionstyle="arc3,rad=-0.45", arrowstyle="-|>", mutation_scale=8, color=RED
                    )
                )
            count = f" ×{box['count']}" if box["count"] > 1 else ""
            shape = "×".join(map(str, box["shape"]))
            axes.text(
                x + width / 2, -1.95, f"{box['name']}{count}\n{shape}", rotation=90, ha="center", va="top", fontsize=7.5
            )
            axes.plot([x - 0.22, x - 0.02], [0, 0], color=GREY, linewidth=1, zorder=0)
            x += width + 0.24
        kinds = [kind for kind in COLOURS if any(box["kind"] == kind for box in boxes)]
        handles = [Rectangle((0, 0), 1, 1, facecolor=COLOURS[kind], alpha=0.85) for kind in kinds]
        axes.legend(
            handles, kinds, frameon=False, ncols=len(kinds), loc="lower left", bbox_to_anchor=(0, 1), fontsize=8
        )
        axes.set_title(f"{model.name}: {model.count_params():,} parameters", pad=24)
        axes.set(xlim=(-0.35, x), ylim=(-3.9, 2.15))
        axes.set_axis_off()
        return figure


def _boxes(model) -> list[dict]:
    """What `architecture` draws: groups of layers with their kind, output shape and structure, in order."""
    groups: dict[str, list] = {}
    for layer in model.layers:
        block = re.match(r"stage\d+_(block\d+|fire\d+|\d[a-e])(?=_)", layer.name)
        name = block[0] if block else re.sub(r"_(norm|act|pad|in\d+|group\d+(_\w+)?|out|dropout)$", "", layer.name)
        groups.setdefault(name, []).append(layer)
    boxes = [
        {"name": "image", "shape": tuple(model.input_shape[1:]), "kind": "input", "branches": 1, "residual": False}
    ]
    for name, group in groups.items():
        kinds = [type(layer).__name__ for layer in group]
        if kinds[0] == "InputLayer" or (name == "dropout"):
            continue
        joins = [len(layer.input) for layer in group if type(layer).__name__ == "Concatenate"]
        pools = all("Pooling" in kind or kind == "ZeroPadding2D" for kind in kinds)
        kind = "pooling" if pools else "convolution" if any("Conv" in kind for kind in kinds) else "fully connected"
        kind = "block" if re.match(r"stage\d+_(block|fire|\d[a-e])", name) else kind
        if kind == "fully connected" and "Dense" not in kinds:
            continue  # an activation or a flattening by itself
        box = {"name": name, "shape": tuple(group[-1].output.shape[1:]), "kind": kind}
        boxes.append(box | {"branches": max(joins, default=1), "residual": "Add" in kinds})
    merged: list[dict] = []
    for box in boxes:
        alike = ("shape", "kind", "branches", "residual")
        last = merged[-1] if merged else {}
        if (
            box["kind"] == "block"
            and last
            and all(box[key] == last[key] for key in alike)
            and box["name"][:6] == last["name"][:6]
        ):
            last["count"] += 1
        else:
            merged.append(box | {"count": 1})
    return merged


def gallery(images: np.ndarray, captions: list[str], columns: int = 8, rows: int | None = None) -> Figure:
    """Images (n, height, width, channels), each with its caption above it, in as many rows as they need."""
    rows = rows or math.ceil(len(images) / columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    with _figure(max(5.5, 1.15 * columns), (1.1 + 0.17 * lines) * rows + 0.4) as figure:
        for axes, image, caption in zip(
            np.ravel(figure.subplots(rows, columns, squeeze=False)), images, captions, strict=False
        ):
            image = image[..., 0] if image.shape[-1] == 1 else image
            axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1)
            axes.set_title(caption, fontsize=7.5, loc="center", pad=2)
        for axes in figure.axes:
            axes.set_axis_off()
        return figure
