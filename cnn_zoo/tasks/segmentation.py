"""A class for every pixel. Targets are masks (batch, height, width) of class numbers, 255 where nothing is judged;
outputs are probabilities or logits (batch, height, width, classes)."""

from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import UsageError
from ..data.source import NOT_JUDGED
from ..nn.inspection import has_logits, probabilities
from ..recipes import Recipe
from .base import Section, Task, add_task, class_table
from .metrics import LEAST, classes_of

SHOWN = 6  # images in the report


def losses(model, recipe=None) -> dict[str, Any]:
    """Cross-entropy of pixels, in which the recipe may give less weight to the background, and the mean IoU."""
    import keras

    from ..nn.optimization import PixelCrossentropy

    classes = model.output_shape[-1]
    if classes > NOT_JUDGED:
        raise UsageError(f"segmentation takes {NOT_JUDGED} classes at most; {model.name} has {classes}")
    if recipe is None:  # for what is saved: Keras' own
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=has_logits(model), ignore_class=NOT_JUDGED)
    else:
        if model.output_shape[1:-1] != model.input_shape[1:-1]:
            sides = [" x ".join(map(str, shape[1:-1])) for shape in (model.output_shape, model.input_shape)]
            raise UsageError(f"{model.name} returns {sides[0]} pixels of {sides[1]}; the masks are of all of them")
        loss = PixelCrossentropy(recipe.background_weight, from_logits=has_logits(model), ignore_class=NOT_JUDGED)
    iou = keras.metrics.MeanIoU(classes, name="mean_iou", ignore_class=NOT_JUDGED, sparse_y_pred=False)
    return {"loss": loss, "metrics": [iou]}


class Judge:
    """Intersection over union (IoU) of every class and pixel accuracy, beside those of background alone."""

    def __init__(self, model, class_names: list[str]):
        self.model, self.names = model, class_names
        self.confusion, self.loss, self.images = np.zeros((len(class_names),) * 2, np.int64), 0.0, 0
        self.examples: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # image, mask, predicted mask

    def add(self, inputs, targets, outputs) -> None:
        found = probabilities(self.model, outputs)
        predicted, judged = found.argmax(-1).astype(np.uint8), targets != NOT_JUDGED
        classes = len(self.confusion)
        pairs = targets[judged].astype(np.int64) * classes + predicted[judged]
        self.confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
        right = np.take_along_axis(found[judged], targets[judged][:, None].astype(np.int64), 1)
        self.loss -= float(np.log(np.maximum(right, LEAST), dtype=np.float64).sum())
        self.images += len(targets)
        self.examples += list(zip(inputs, targets, predicted, strict=True))[: SHOWN - len(self.examples)]

    def result(self) -> dict[str, Any]:
        background = np.zeros_like(self.confusion)
        background[:, 0] = self.confusion.sum(1)
        pixels, classes = int(self.confusion.sum()), classes_of(self.names, self.confusion, "pixels")
        for found, value in zip(classes.values(), class_iou(self.confusion), strict=True):
            found["iou"] = None if np.isnan(value) else float(value)
            # neighbouring pixels are alike: as if each told something of its own, intervals would be far too narrow
            del found["precision_interval"], found["recall_interval"]
        return {
            "mean_iou": mean_iou(self.confusion),
            "pixel_accuracy": float(np.trace(self.confusion)) / pixels,
            "loss": self.loss / pixels,
            "images": self.images,
            "classes": classes,
            "background_mean_iou": mean_iou(background),
            "background_pixel_accuracy": float(background[0, 0]) / pixels,
            "confusion": self.confusion,
            "examples": self.examples,
        }


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """IoU of each class from counts of pixels, true by predicted; NaN for one that is neither there nor predicted."""
    right = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - right
    return np.where(union > 0, right / np.maximum(union, 1), np.nan)


def mean_iou(confusion: np.ndarray) -> float:
    """The mean over classes that are there or predicted, as keras.metrics.MeanIoU has it."""
    return float(np.nanmean(class_iou(confusion)))


def decode(model, outputs, class_names: list[str], sizes) -> list[np.ndarray]:
    """Class numbers, uint8 (height, width), of each image in its own size: those of the nearest outputs."""
    numbers = np.asarray(outputs).argmax(-1).astype(np.uint8)
    return [
        np.asarray(Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST))
        for mask, (height, width) in zip(numbers, sizes, strict=True)
    ]


def lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Mean IoU and pixel accuracy, each beside that of a net that finds nothing."""
    iou = f"{result['mean_iou']:.4f} over {result['images']:,} images"
    accuracy, baseline = f"{result['pixel_accuracy']:.2%}", f"{result['background_pixel_accuracy']:.2%}"
    return [
        ("mean IoU", f"{iou} ({result['background_mean_iou']:.4f} for all background)"),
        ("pixel accuracy", f"{accuracy} ({baseline} for all background)"),
        ("loss", f"{result['loss']:.4f}"),
    ]


def table(result: dict[str, Any]):
    """IoU, precision and recall of the pixels of each class."""
    columns = {"IoU": "iou", "precision": "precision", "recall": "recall", "F1": "f1", "pixels": "pixels"}
    return class_table(result["classes"], columns, "IoU")


def sections(class_names: list[str], result: dict[str, Any]) -> list[Section]:
    """IoU by class, and the first images of the split with their masks."""
    from .. import plots

    iou = {name: found["iou"] for name, found in result["classes"].items()}
    baseline = ("mean of all background", result["background_mean_iou"])
    bars = plots.shares(iou, "intersection over union", baseline)
    examples = plots.masks(*map(np.array, zip(*result["examples"], strict=True)), class_names)
    words = "Intersection over union: pixels that are of a class and found to be, of those that are or are found to be."
    return [
        Section("How well each class is found", words, "iou.png", bars, "IoU of each class"),
        Section("What it sees", "", "masks.png", examples, "Test images, their masks, and the masks that were found"),
    ]


def draw(image: np.ndarray, mask: np.ndarray, class_names: list[str]):
    """The image beside the mask that was found in it."""
    from .. import plots

    return plots.masks(image[None], None, mask[None], class_names)


def record(mask: np.ndarray, class_names: list[str]) -> dict[str, Any]:
    """The share of the pixels that each class has."""
    shares = np.bincount(mask.ravel(), minlength=len(class_names)) / mask.size
    return {"share_of": dict(zip(class_names, shares.tolist(), strict=True))}


def text(mask: np.ndarray, class_names: list[str]) -> str:
    """The classes with their shares of the pixels, the largest first."""
    shares = record(mask, class_names)["share_of"].items()
    return "   ".join(f"{name} {share:.1%}" for name, share in sorted(shares, key=lambda pair: -pair[1]) if share)


SEGMENTATION = add_task(
    Task(
        "segmentation", target="masks", score="mean_iou", losses=losses, judge=Judge, decode=decode, lines=lines,
        sections=sections, table=table, activation="softmax", text=text, record=record, draw=draw, least=2,
        recipes={
            # 12 epochs. On validation scenes, one seed each (results/scenes.csv): without shifts, 0.02 less mean IoU
            # the weight of the background makes no difference that is seen.
            "fast": Recipe(
                optimizer="adamw", learning_rate=8e-3, schedule="linear", warmup=0.1, batch_size=32, images=48_000,
                weight_decay=0.05, background_weight=0.3, augment={"translate": 0.1},
            )
        },
    )
)  # fmt: skip
