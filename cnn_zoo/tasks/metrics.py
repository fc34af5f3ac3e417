"""Numbers of judged classes, from counts and from scores: those of scikit-learn. None: not defined.

A class that is in no image has no recall, one that is never predicted no precision; scores of a class say nothing where
it is in all images or in none. Means are over the classes for which a number is defined.
"""

import math
import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..core.intervals import wilson

KEPT = 50_000_000  # probabilities at most, for what needs all of them: 200 MB
SPECIFICITY = 0.95  # at which the sensitivity is given
TOP = 5
LEAST = 1e-7  # of a probability in the cross-entropy, as Keras clips it


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the numbers that are defined; None if none is."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def from_counts(right: int, predicted: int, support: int, unit: str = "support") -> dict[str, Any]:
    """Precision, recall and F1 of a class with `support` images, to which `right` of those `predicted` to be belong; of
    the first two, 95 % intervals too."""
    found = {}
    for name, whole in (("precision", predicted), ("recall", support)):
        found[name] = right / whole if whole else None
        found[f"{name}_interval"] = list(wilson(right, whole)) if whole else None
    return found | {"f1": 2 * right / (predicted + support) if predicted + support else None, unit: support}


def classes_of(class_names: list[str], confusion: np.ndarray, unit: str = "support") -> dict[str, dict[str, Any]]:
    """What from_counts says of each class of a confusion matrix, true by predicted."""
    columns = (np.diag(confusion), confusion.sum(0), confusion.sum(1))
    return {name: from_counts(*map(int, row), unit) for name, *row in zip(class_names, *columns, strict=True)}


def in_top(scores: np.ndarray, labels: np.ndarray) -> int:
    """How many labels are among the TOP highest scores of their row; of equal ones, the later are before."""
    own = scores[np.arange(len(labels)), labels][:, None]
    later = np.arange(scores.shape[1]) > labels[:, None]
    return int((((scores > own) | ((scores == own) & later)).sum(1) < TOP).sum())


class Scores:
    """The probabilities of a class for images, and whether they are of it: a ROC and a precision-recall curve."""

    def __init__(self, scores: np.ndarray, positive: np.ndarray):
        order = np.argsort(-scores, kind="stable")
        last = np.append(np.diff(scores[order]) != 0, True)[: len(order)]  # of equal scores, which no threshold parts
        self.found, self.places = np.cumsum(positive[order])[last], np.flatnonzero(last) + 1
        self.positives = int(positive.sum())
        self.negatives = len(positive) - self.positives
        self.wrongly = self.places - self.found

    def auc(self) -> float | None:
        """The area under the ROC curve: how often an image of the class has the higher score, ties counted half."""
        if not self.positives or not self.negatives:
            return None
        found, wrongly = np.append(0, self.found), np.append(0, self.wrongly)
        area = (np.diff(wrongly) * (found[1:] + found[:-1])).sum() / 2  # in whole and half numbers, which are exact
        return float(area) / (self.positives * self.negatives)

    def auc_interval(self) -> list[float] | None:
        """Its 95 % interval by DeLong's variance (1988, 10.2307/2531595) of the logit, which stays between 0 and 1;
        None where there is no variance to see: where the scores part the class from the rest, or of one image."""
        auc = self.auc()
        if auc in (None, 0.0, 1.0) or min(self.positives, self.negatives) < 2:
            return None
        error = self.auc_error() / (auc * (1 - auc))
        logit = math.log(auc / (1 - auc))
        return [1 / (1 + math.exp(-(logit + side * 1.959964 * error))) for side in (-1, 1)]

    def auc_error(self) -> float:
        """DeLong's standard error of the area."""
        variances = []
        own, other = np.diff(self.found, prepend=0), np.diff(self.wrongly, prepend=0)
        for mine, theirs, count, others in (
            (own, other, self.positives, self.negatives), (other, own, self.negatives, self.positives),
        ):  # fmt: skip
            above = (np.cumsum(theirs) - theirs / 2) / others  # share of the others with a higher score
            middle = (mine * above).sum() / count
            variances.append((mine * (above - middle) ** 2).sum() / (count - 1) / count)
        return math.sqrt(sum(variances))

    def average_precision(self) -> float | None:
        """The mean of the precision over the images of the class, at the threshold of each."""
        if not self.positives:
            return None
        return float((np.diff(self.found, prepend=0) * (self.found / self.places)).sum() / self.positives)

    def sensitivity(self, specificity: float) -> float | None:
        """The largest share of the class that is found where at least that share of the rest is not."""
        if not self.positives or not self.negatives:
            return None
        allowed = (self.negatives - self.wrongly) / self.negatives >= specificity
        return float(self.found[allowed].max(initial=0)) / self.positives

    def numbers(self, specificity: float) -> dict[str, Any]:
        """All of these."""
        numbers = {"auc": self.auc(), "auc_interval": self.auc_interval()}
        return numbers | {"average_precision": self.average_precision(), "sensitivity": self.sensitivity(specificity)}


class Kept:
    """Probabilities and targets of batch after batch, while they are at most KEPT numbers."""

    def __init__(self):
        self.parts: list[tuple[np.ndarray, np.ndarray]] | None = []
        self.size = 0

    def add(self, scores: np.ndarray, targets: np.ndarray) -> None:
        self.size += scores.size
        if self.size > KEPT:
            self.parts = None
        if self.parts is not None:
            self.parts.append((scores.astype(np.float32), targets.copy()))

    def judge(self, classes: dict[str, dict[str, Any]], specificity: float) -> dict[str, Any]:
        """Add to what is said of each class the numbers that need all scores; returns their means, or a note."""
        if self.parts is None:
            why = f"AUC, average precision and sensitivity are left out: they need more than {KEPT:,} probabilities"
            return {"auc": None, "average_precision": None, "specificity": specificity, "notes": [why]}
        scores, targets = (np.concatenate(column) for column in zip(*self.parts, strict=True))
        for number, found in enumerate(classes.values()):
            positive = targets[:, number] > 0 if targets.ndim == 2 else targets == number
            found |= Scores(scores[:, number], positive).numbers(specificity)
        means = {key: mean(found[key] for found in classes.values()) for key in ("auc", "average_precision")}
        return {**means, "specificity": specificity, "notes": []}
