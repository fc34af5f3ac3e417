"""A class for every image. Targets are labels, integers from 0; outputs are probabilities or logits
(batch, classes)."""

from typing import Any

import numpy as np

from ..core.intervals import interval_text, mean_share, share_text
from ..core.text import markdown
from ..nn.inspection import has_logits, probabilities
from .base import Section, Table, Task, add_task, class_table
from .metrics import LEAST, SPECIFICITY, TOP, Kept, classes_of, in_top

SHOWN = 24  # mistakes in the report
UNBALANCED = 1.5  # times as many images of one class as of another, for which the balanced accuracy is named


def losses(model, recipe=None) -> dict[str, Any]:
    """Cross-entropy that matches the head, smoothed if the recipe wants it, and accuracy."""
    import keras

    logits = has_logits(model)
    if recipe and recipe.label_smoothing:
        from ..nn.optimization import SmoothedCrossentropy

        loss = SmoothedCrossentropy(recipe.label_smoothing, from_logits=logits)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    # a metric by its name would make its variables in the first step, and TensorFlow would trace that step twice
    return {"loss": loss, "metrics": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]}


class Judge:
    """Accuracy, cross-entropy in nats, what is said of each class, and the surest mistakes."""

    def __init__(self, model, class_names: list[str], specificity: float = SPECIFICITY):
        self.model, self.names, self.specificity = model, class_names, specificity
        self.confusion, self.loss = np.zeros((len(class_names),) * 2, np.int64), 0.0
        self.kept, self.top = Kept(), 0
        self.mistakes: list[tuple[np.ndarray, int, np.ndarray]] = []  # image, label, probabilities; the surest first

    def add(self, inputs, targets, outputs) -> None:
        found = probabilities(self.model, outputs)
        predicted, right = found.argmax(1), found[np.arange(len(targets)), targets]
        np.add.at(self.confusion, (targets, predicted), 1)
        self.loss -= float(np.log(np.maximum(right, LEAST), dtype=np.float64).sum())
        self.top += in_top(found, targets)
        self.kept.add(found, targets)
        self.mistakes += [(inputs[i], int(targets[i]), found[i]) for i in np.flatnonzero(predicted != targets)]
        self.mistakes = sorted(self.mistakes, key=lambda mistake: -mistake[2].max())[:SHOWN]

    def result(self) -> dict[str, Any]:
        images, right, support = int(self.confusion.sum()), int(np.trace(self.confusion)), self.confusion.sum(1)
        there = support > 0
        balanced, *around = mean_share(np.diag(self.confusion)[there].tolist(), support[there].tolist())
        found = {"accuracy": right / images, "loss": self.loss / images, "images": images}
        found |= {"majority_accuracy": int(support.max()) / images, "balanced_accuracy": balanced}
        found["balanced_accuracy_interval"] = around
        if len(self.names) > TOP:
            found["top5"] = self.top / images
        classes = classes_of(self.names, self.confusion)
        found |= self.kept.judge(classes, self.specificity)
        if len(classes) == 2:  # the usual one, of the second class
            found |= {key: list(classes.values())[1].get(key) for key in ("auc", "auc_interval")}
        columns = [np.array(column) for column in zip(*self.mistakes, strict=True)] or [np.empty((0, 1))] * 3
        mistakes = dict(zip(("images", "labels", "probabilities"), columns, strict=True)) | {"total": images - right}
        return found | {"classes": classes, "confusion": self.confusion, "mistakes": mistakes}


def decode(model, outputs, class_names: list[str], sizes=None, top: int | None = None) -> list:
    """(class name, probability) of the most probable class, or a list of so many such pairs."""
    found = probabilities(model, outputs)
    order = np.argsort(-found, axis=1, kind="stable")[:, : top or 1]
    pairs = [[(class_names[j], float(row[j])) for j in best] for best, row in zip(order, found, strict=True)]
    return pairs if top else [best[0] for best in pairs]


def text(pairs, class_names: list[str]) -> str:
    """The classes with their percentages."""
    pairs = [pairs] if isinstance(pairs, tuple) else pairs
    return "   ".join(f"{name} {probability:.1%}" for name, probability in pairs)


def record(pairs, class_names: list[str]) -> dict[str, Any]:
    """The most probable class and the probability of each; or the most probable ones, if these are not all."""
    if len(pairs) < len(class_names):
        ranks = [{f"class_{i}": name, f"probability_{i}": found} for i, (name, found) in enumerate(pairs, 1)]
        return {key: value for rank in ranks for key, value in rank.items()}
    (best, highest), found = pairs[0], dict(pairs)
    return {"class": best, "probability": highest, "probability_of": {name: found[name] for name in class_names}}


def lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Accuracy with its interval beside that of the commonest class; of unbalanced classes the mean of the recalls; of
    two classes the AUC; the loss."""
    baseline = f"{result['majority_accuracy']:.2%} by always naming the commonest class"
    said = [("accuracy", share_text(result["accuracy"], result["images"])), ("baseline", baseline)]
    counts = [found["support"] for found in result["classes"].values() if found["support"]]
    if max(counts) > UNBALANCED * min(counts):
        around = interval_text(*result["balanced_accuracy_interval"])
        said.append(("balanced accuracy", f"{result['balanced_accuracy']:.2%}, the mean of all recalls {around}"))
    if result.get("auc_interval"):
        said.append(("AUC", f"{result['auc']:.4f} {interval_text(*result['auc_interval'], '.3f')}"))
    return [*said, ("loss", f"{result['loss']:.4f}")]


def table(result: dict[str, Any]) -> Table:
    """Precision, recall and F1 of each class with their intervals, and what its scores are worth, if they are kept."""
    scores = {"AUC": "auc", "AP": "average_precision", f"sens. at {result['specificity']:g}": "sensitivity"}
    columns = {"precision": "precision", "recall": "recall", "F1": "f1", "images": "support"}
    return class_table(result["classes"], columns | (scores if result["auc"] is not None else {}), "F1")


def sections(class_names: list[str], result: dict[str, Any]) -> list[Section]:
    """The confusion matrix, and the mistakes of which the net is surest."""
    from .. import plots

    confusion = result["confusion"]
    confused = confusion - np.diag(np.diag(confusion))
    worst = np.unravel_index(confused.argmax(), confused.shape)
    words = "Nothing."
    if confused.max() > 1:
        true, wrongly = (markdown(class_names[label]) for label in worst)
        words = f"Most often {true} is taken for {wrongly}: {confused.max()} times."
    elif confused.any():
        words = "No class is taken for the same other one more than once."
    figure = plots.mistakes(**result["mistakes"], class_names=class_names)
    matrix = plots.confusion(confusion, class_names)
    return [
        Section("What it confuses", words, "confusion.png", matrix, "Confusion matrix"),
        Section("Where it is surest and wrong", "", "mistakes.png", figure, "Misclassified test images"),
    ]


CLASSIFICATION = add_task(
    Task(
        "classification", target="labels", score="accuracy", losses=losses, judge=Judge, decode=decode, lines=lines,
        sections=sections, table=table, options={"top": 3}, judging=("specificity",), activation="softmax", text=text,
        record=record, least=2,
    )
)  # fmt: skip
