"""Any number of classes for every image. Targets are multi_hot, 0 or 1 (batch, classes); outputs are probabilities or
logits (batch, classes), each class on its own."""

from typing import Any

import numpy as np

from ..core.intervals import share_text
from ..nn.inspection import has_logits, probabilities
from .base import Section, Task, add_task
from .classification import table, text
from .metrics import LEAST, SPECIFICITY, Kept, from_counts, mean

SHOWN = 16  # images in the report
THRESHOLD = 0.5  # of the probability of a class that is said to be there


def losses(model, recipe=None) -> dict[str, Any]:
    """Binary cross-entropy of each class, and Keras' estimate of the mean average precision, by 200 thresholds."""
    import keras

    logits = has_logits(model, "sigmoid")
    smoothing = recipe.label_smoothing if recipe else 0.0
    loss = keras.losses.BinaryCrossentropy(from_logits=logits, label_smoothing=smoothing)
    options = {"multi_label": True, "num_labels": model.output_shape[-1], "from_logits": logits}
    return {"loss": loss, "metrics": [keras.metrics.AUC(curve="PR", name="average_precision", **options)]}


class Judge:
    """Average precision, AUC and F1 of every class and their means, and the images with the largest mistakes.

    The score is the mean average precision (mAP), by which such nets are compared since PASCAL VOC: unlike F1 it needs
    no threshold, above which a net that has learned little finds nothing at all.
    """

    def __init__(self, model, class_names: list[str], specificity: float = SPECIFICITY):
        self.model, self.names, self.specificity = model, class_names, specificity
        self.right, self.found, self.support = np.zeros((3, len(class_names)), np.int64)
        self.loss, self.images, self.exact, self.kept = 0.0, 0, 0, Kept()
        self.examples: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # image, target, probabilities; worst first

    def add(self, inputs, targets, outputs) -> None:
        scores = probabilities(self.model, outputs, "sigmoid")
        there, found = targets > 0, scores >= THRESHOLD
        self.right += (there & found).sum(0)
        self.found += found.sum(0)
        self.support += there.sum(0)
        self.exact += int((there == found).all(1).sum())
        self.loss -= float(np.log(np.maximum(np.where(there, scores, 1 - scores), LEAST), dtype=np.float64).sum())
        self.images += len(targets)
        self.kept.add(scores, targets)
        self.examples += zip(inputs, there, scores, strict=True)
        self.examples = sorted(self.examples, key=lambda row: -np.abs(row[1] - row[2]).max())[:SHOWN]

    def result(self) -> dict[str, Any]:
        counts = zip(self.right.tolist(), self.found.tolist(), self.support.tolist(), strict=True)
        classes = {name: from_counts(*row) for name, row in zip(self.names, counts, strict=True)}
        frequencies = [count / self.images for count in self.support.tolist() if count]
        result = {
            "f1": mean(found["f1"] for found in classes.values()) or 0.0,
            "exact_match": self.exact / self.images,
            "loss": self.loss / (self.images * len(self.names)),
            "images": self.images,
            "baseline_f1": mean(2 * share / (1 + share) for share in frequencies) or 0.0,
            "baseline_average_precision": mean(frequencies) or 0.0,
        }
        return result | self.kept.judge(classes, self.specificity) | {"classes": classes, "examples": self.examples}


def decode(model, outputs, class_names: list[str], sizes=None, top: int | None = None) -> list[list]:
    """(class name, probability) of each class of at least 0.5, none perhaps, or of the `top` most probable ones."""
    scores = probabilities(model, outputs, "sigmoid")
    least = 0.0 if top else THRESHOLD
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top]
    rows = zip(order, scores, strict=True)
    return [[(class_names[j], float(row[j])) for j in best if row[j] >= least] for best, row in rows]


def said(pairs, class_names: list[str]) -> str:
    """The classes with their probabilities."""
    return text(pairs, class_names) or f"nothing of {THRESHOLD:.0%} or more"


def record(pairs, class_names: list[str]) -> dict[str, Any]:
    """The classes of at least 0.5, and the probability of each that is known."""
    named = [name for name, probability in pairs if probability >= THRESHOLD]
    found = dict(pairs)
    return {"classes": named, "probability_of": {name: found.get(name) for name in class_names}}


def lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Mean F1 and average precision, each beside what needs no net, how often all is right, and the loss."""
    facts = [
        ("mean F1", f"{result['f1']:.4f} ({result['baseline_f1']:.4f} by always naming every class)"),
        ("all classes right", share_text(result["exact_match"], result["images"])),
        ("loss", f"{result['loss']:.4f}"),
    ]
    if result["average_precision"] is not None:
        chance = f"{result['baseline_average_precision']:.4f} by the same answer to every image"
        facts.insert(0, ("mean average precision", f"{result['average_precision']:.4f} ({chance})"))
    return facts


def sections(class_names: list[str], result: dict[str, Any]) -> list[Section]:
    """Average precision of each class, and the images of whose classes the net is most wrong."""
    from .. import plots

    found = {name: numbers.get("average_precision") for name, numbers in result["classes"].items()}  # where kept
    baseline = ("mean by the same answer to every image", result["baseline_average_precision"])
    bars, captions = plots.shares(found, "average precision", baseline), []
    for _, there, scores in result["examples"]:
        sides = (", ".join(np.array(class_names)[flags]) for flags in (there, scores >= THRESHOLD))
        captions.append("\n→ ".join(plots.plain(side or "nothing", 14) for side in sides))
    images = np.array([image for image, *_ in result["examples"]])
    figure = plots.gallery(images, captions, 8, "Largest mistakes: what is there → what is named")
    return [
        Section("How well each class is found", "", "average_precision.png", bars, "Average precision of each class"),
        Section("Where it is most wrong", "", "mistakes.png", figure, "Test images with the largest mistakes"),
    ]


MULTILABEL = add_task(
    Task(
        "multilabel", target="multi_hot", score="average_precision", losses=losses, judge=Judge, decode=decode,
        lines=lines, sections=sections, table=table, options={"top": None}, judging=("specificity",),
        activation="sigmoid", text=said, record=record, least=1,
    )
)  # fmt: skip
