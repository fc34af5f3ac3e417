"""What a run says of itself: lines for the terminal, and report.md with its figures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from .core.files import write_text
from .core.intervals import wilson
from .runs import FOUND, Run


def share_text(share: float, images: int) -> str:
    """A share of images with its 95 % interval."""
    low, high = wilson(round(share * images), images)
    return f"{share:.2%} of {images:,} images (95 % interval {low:.1%} to {high:.1%})"


def summary(run: Run) -> list[tuple[str, str]]:
    """What came out, as (name, text), for the terminal and the report."""
    metrics, config = run.metrics, run.config
    epochs = f"{metrics['epochs']} epoch{'s' * (metrics['epochs'] > 1)} in {metrics['fit_seconds']:.1f} s"
    facts = [
        ("model", f"{config['model']}, {metrics['parameters']:,} parameters"),
        ("data", f"{config['data']}, {metrics['train_images']:,} training images in {len(run.class_names)} classes"),
        ("training", f"{epochs}, seed {config['seed']}, {config['precision']}"),
    ]
    if "test_accuracy" in metrics:
        facts.append(("test accuracy", share_text(metrics["test_accuracy"], metrics["test_images"])))
        smoothed = ", without the label smoothing of the training" * bool(config["recipe"].get("label_smoothing"))
        facts.append(("test loss", f"{metrics['test_loss']:.4f}{smoothed}"))
    return facts


def write_report(run: Run, data, result: dict[str, Any]) -> None:
    """Draw curves.png, confusion.png and mistakes.png, and write report.md, which shows them."""
    from . import plots

    best = run.metrics.get("best_epoch")
    plots.save(plots.curves(run.history, best), run.path / "curves.png")
    plots.save(plots.confusion(result["confusion"], run.class_names), run.path / "confusion.png")
    images = data.images("test") if len(result["labels"]) <= 20_000 else None
    if images is not None:
        figure = plots.mistakes(images, result["labels"], result["probabilities"], run.class_names)
        plots.save(figure, run.path / "mistakes.png")
    confused = np.array(result["confusion"])
    np.fill_diagonal(confused, 0)
    worst = np.unravel_index(confused.argmax(), confused.shape)
    smoothed = run.config["recipe"].get("label_smoothing")
    facts = [
        *summary(run),
        (
            "recipe",
            ", ".join(f"{key} {value}" for key, value in run.config["recipe"].items() if value and key not in FOUND),
        ),
        ("versions", ", ".join(f"{key} {value}" for key, value in run.config["versions"].items() if value)),
    ]
    often = f"Most often {run.class_names[worst[0]]} is taken for {run.class_names[worst[1]]}: {confused.max()} times."
    once = "No class is taken for the same other one more than once."
    folder = shlex.quote(str(run.path))
    paragraphs = [
        f"# {run.config['model']} on {Path(run.config['data']).name}",
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in facts)]),
        "The test images were used once, after the training had ended. The interval is what the number of test images "
        "alone leaves open; other seeds differ too.",
        "## How it went",
        "![Loss and accuracy by epoch](curves.png)",
        "The losses of the training are those with label smoothing, which are larger." if smoothed else "",
        "## What it confuses",
        (often if confused.max() > 1 else once) if confused.any() else "Nothing.",
        "![Confusion matrix](confusion.png)",
        "" if images is None else "## Where it is surest and wrong\n\n![Misclassified test images](mistakes.png)",
        f"## Use it\n\n```bash\ncnn-zoo predict {folder} photo.png\ncnn-zoo evaluate {folder}\n```",
    ]
    write_text(run.path / "report.md", "\n\n".join(filter(None, paragraphs)) + "\n")
