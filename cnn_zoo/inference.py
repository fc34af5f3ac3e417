"""Using a trained model: predict what images show, evaluate on a data set. Both go batch by batch."""

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .core.errors import DataError, UsageError, check_choice, check_flag, check_number, reason
from .core.files import is_plain
from .core.text import shown
from .data.images import FITS, at_once, batches_of
from .data.pipeline import load_data
from .data.sources import SOURCES, training_images_of
from .data.table import table_files
from .nn.calls import call
from .nn.inspection import has_logits
from .tasks import task_of


class SeenImages(UserWarning):
    """A net is judged on images that it was trained on."""


def predict(
    run_or_model: Any,
    images: Any,
    *,
    top: int | None = None,
    class_names: list[str] | None = None,
    invert: bool = False,
    fit: str | None = None,
    max_pixels: int | None = None,
) -> list:
    """Say what images show.

    Args:
        run_or_model: a Run, or a model of the zoo (or any of images that ends in softmax, sigmoid or logits).
        images: a path, an open file, its bytes, a Pillow image, or a list or array of these; or an array or tensor,
            boolean, of 8 or 16 bits or float in [0, 1], of shape (height, width), (height, width, channels), (n,
            height, width) or (n, height, width, channels), or a list of single ones; or a tf.data.Dataset of such.
            Colours and sizes are changed as the model needs.
        top: of a classifier: a list of that many pairs, the most probable first; None: one pair an image, or, of a net
            for several classes, those of at least 0.5.
        class_names: of a model without an attribute class_names; default: the labels as text.
        invert: exchange black and white first, for dark digits on light paper.
        fit: "stretch", "pad" or "crop" images of other proportions; None: as in the training, of a model "stretch".
        max_pixels: of a file; None: 50 million.

    Returns:
        A list with, for each image, of a classifier (class name, probability), or a list of such pairs; of a
        segmentation net the class numbers of the pixels, uint8 (height, width) in the image's own size.

    Raises:
        MissingError, DataError: a file that cannot be read, an array that is not an image, NaN.
        UsageError: no model of images, or another number of names than it has classes.
    """
    options = {"top": top, "class_names": class_names, "invert": invert, "fit": fit, "max_pixels": max_pixels}
    return list(predictions(run_or_model, images, **options))


def predictions(
    run_or_model, images, *, top=None, class_names=None, invert=False, fit=None, max_pixels=None, skip_broken=False
) -> Iterator:
    """What predict returns, one by one, with no more than a batch of images in memory.

    With skip_broken, which is for files, a DataError or MissingError takes the place of what cannot be read.
    """
    model, task = image_model(run_or_model), task_of(run_or_model)
    options = {} if top is None else {"top": check_number("top", top, 1, whole=True)}
    if options.keys() - set(task.options):
        raise UsageError(f"top is for classifiers; {model.name} is for {task.name}")
    check_flag("invert", invert)
    names = known_names(run_or_model, model, class_names) or [str(label) for label in range(model.output_shape[-1])]
    told = getattr(run_or_model, "config", None)
    reading = reading_of(told) if isinstance(told, dict) else {}
    if fit is not None:
        reading["fit"] = check_choice("fit", fit, FITS)
    if len(model.output_shape) == 4 and reading.get("fit") not in (None, "stretch"):
        raise UsageError(f"masks are stretched with their images; got fit={reading['fit']!r}")
    if max_pixels is not None:
        check_number("max_pixels", max_pixels, 1, whole=True)
    reading |= {"skip_broken": skip_broken, "max_pixels": max_pixels}
    images = table_files(images) if hasattr(images, "columns") else images  # a DataFrame
    for batch, sizes in batches_of(images, tuple(model.inputs[0].shape[1:]), **reading):
        if invert:
            colours = min(batch.shape[-1], 3)  # a fourth channel is opacity
            batch = np.concatenate([1 - batch[..., :colours], batch[..., colours:]], axis=-1)
        own = [size for size in sizes if not isinstance(size, Exception)]
        try:
            found = iter(task.decode(model, call(model, batch), names, own, **options) if own else ())
        except ValueError as error:
            if None not in model.input_shape[1:]:
                raise
            sides = "x".join(map(str, batch.shape[1:3]))
            raise DataError(f"an image of {sides} is too small for {model.name} ({reason(error)})") from None
        yield from (size if isinstance(size, Exception) else next(found) for size in sizes)


def reading_of(config: dict[str, Any]) -> dict[str, Any]:
    """How a run's images were brought to its size and to 8 bits, and so others must be."""
    return {name: config["data_options"].get(name) for name in ("fit", "value_range")}


def image_model(run_or_model: Any):
    """The model, if it takes images and returns one thing, built and all."""
    model = getattr(run_or_model, "model", run_or_model)
    tensors = [getattr(model, name, None) or () for name in ("inputs", "outputs")]
    ranks = [[len(tensor.shape) for tensor in side] for side in tensors]
    if ranks[0] != [4] or ranks[1] not in ([2], [4]):
        raise UsageError(f"needs a run or a model of images (height, width, channels); got {shown(run_or_model)}")
    channels = model.inputs[0].shape[-1]
    if channels not in (1, 3, 4):
        raise UsageError(f"{model.name} takes {channels} channels; images have 1, 3 or 4")
    if task_of(run_or_model).activation:
        has_logits(model, task_of(run_or_model).activation)
    return model


def known_names(run_or_model: Any, model, given: Any = None) -> list[str] | None:
    """The names of the model's classes: those given, else those that the run or the model knows, if it does."""
    names = getattr(run_or_model, "class_names", None) if given is None else given
    if names is None or (given is None and not names):
        return None
    if isinstance(names, str | dict) or not hasattr(names, "__getitem__") or not isinstance(names, Iterable):
        raise UsageError(f"class_names must be a list of names, in the order of the classes; got {shown(names)}")
    names, classes = list(names), model.output_shape[-1]
    if len(names) != classes:
        raise UsageError(f"{model.name} has {classes} classes; class_names has {len(names)}")
    return names


def evaluate(
    run_or_model: Any, data: Any = None, split: str = "test", *, specificity: float | None = None
) -> dict[str, Any]:
    """Judge a model on a split of a data set.

    Args:
        run_or_model: a Run, or a model of images.
        data: what load_data returned, or takes; for a Run also None, the data set it was trained on.
        split: "train", "validation" or "test"; or "all", every image, for a data set that the net has not seen.
        specificity: at which the sensitivity of each class is given; None: 0.95.

    Returns:
        {"loss": mean cross-entropy in nats, "images": their number, "judged": what was judged, in words, "notes": lines
        to stand beside the numbers, "classes": {class name: {"precision", "recall", "f1", "support", "auc" …}}}; of
        labels also "accuracy", "majority_accuracy" (of the commonest class for all), "balanced_accuracy" (the mean
        recall), "top5" of more than 5 classes, "auc" and "average_precision" (means over the classes, each against the
        rest; of two classes the AUC of the second), "confusion", int64 (classes, classes), true by predicted; of
        multi_hot "f1", "average_precision", "auc" and "exact_match"; of masks "mean_iou", "pixel_accuracy" and what all
        background would get, "confusion"; and what the report draws. Numbers are scikit-learn's; None: not defined,
        such as the recall of a class of which there is no image. Intervals hold in 95 of 100 cases.

    Warns:
        SeenImages, a UserWarning: the net was trained on these images, under another name of the data set.

    Raises:
        UsageError: no such model, no data, targets of another kind, or no such split.
        DataError: an empty split, or images or classes that the model does not know.
    """
    if not hasattr(data, "splits"):
        data = _loaded(run_or_model, data)
    result = judge_split(run_or_model, data, split, specificity=specificity).result()
    notes = [*_cautions(run_or_model, data, split), *data.notes, *result.get("notes", [])]
    if seen := _seen_elsewhere(_trained_on(run_or_model), data.folder or data.name, split):
        warnings.warn(seen, SeenImages, stacklevel=2)
        notes.insert(0, seen)
    return result | {"judged": _in_words(result, data, split), "notes": notes}


def _loaded(run_or_model: Any, data: Any):
    """A data set as the model takes it."""
    if hasattr(run_or_model, "load_data"):
        return run_or_model.load_data(data)
    if data is None:
        raise UsageError("evaluate(model) needs a data set; only a run knows its own")
    model = image_model(run_or_model)
    height, width, channels = model.input_shape[1:]
    options = {"image_size": height and (height, width), "channels": channels}
    options |= {"target": task_of(run_or_model).target, "class_names": known_names(run_or_model, model)}
    return load_data(data, **options)


def judge_split(run_or_model: Any, data: Any, split: str, judge: Any = None, *, specificity: float | None = None):
    """A Judge of the task, or the one given, which goes on counting, after a split of the data; see evaluate."""
    model = image_model(run_or_model)
    check_choice("split", split, (*data.splits, "all"))
    if not len(data.indices(split)):
        raise DataError(f"{data.name} has no images in its {split} split")
    task = task_of(run_or_model, data)
    task.check_data(data)
    sides = zip(model.input_shape[1:], data.input_shape, strict=True)
    if any(wanted not in (None, found) for wanted, found in sides):  # None: a model that takes any
        shapes = f"images of shape {data.input_shape}, {model.name} takes {tuple(model.input_shape[1:])}"
        raise DataError(f"{data.name} has {shapes}; load them with that image_size and channels")
    numbers = _numbers(run_or_model, model, data)
    if judge is None:
        names = known_names(run_or_model, model) or data.class_names
        names = names and [*names, *map(str, range(len(names), model.output_shape[-1]))]
        options = {} if specificity is None else {"specificity": check_number("specificity", specificity, most=1)}
        if options.keys() - set(task.judging):
            raise UsageError(f"specificity is for classifiers; {model.name} is for {task.name}")
        judge = task.judge(model, names, **options)
    for inputs, targets in data.batches(split, batch_size=at_once(data.input_shape)):
        targets = targets.numpy()
        if numbers is not None and data.target == "multi_hot":
            columns = np.zeros((len(targets), model.output_shape[-1]), targets.dtype)
            columns[:, numbers[: targets.shape[1]]] = targets
            targets = columns
        elif numbers is not None:
            targets = numbers[targets]
        judge.add(inputs.numpy(), targets, call(model, inputs))
    return judge


def _in_words(result: dict[str, Any], data, split: str) -> str:
    """How many images were judged, of how many classes, and which: "140 images of 2 classes, all of hospital2"."""
    there = sum(bool(found.get("support")) for found in result.get("classes", {}).values())
    words = f"{result['images']:,} image{'s' * (result['images'] > 1)}"
    words += f" of {there} class{'es' * (there > 1)}" if there else ""
    return f"{words}, {'all' if split == 'all' else f'the {split} split'} of {data.name}"


def _trained_on(run_or_model: Any) -> str:
    """The name or folder of what a run was trained on, or a model with published weights; else ""."""
    config = getattr(run_or_model, "config", None)
    return config.get("data", "") if isinstance(config, dict) else getattr(run_or_model, "trained_on", "")


def _seen_elsewhere(trained: str, name: str, split: str) -> str | None:
    """A line if images of that data set were among those that a net was trained on, under another name."""
    if trained in training_images_of(name):
        return f"all images of {name} are training images of {trained}, which the net was trained on: it has seen them"
    if name in training_images_of(trained) and split != "test":
        return f"{trained}, which the net was trained on, is a part of the training images of {name}: it has seen some"
    return None


def _cautions(run_or_model: Any, data, split: str) -> list[str]:
    """Lines to stand beside the numbers: what of the data the net knows already, and what was not judged."""
    known, config = bool(data.folder) or data.name in SOURCES, getattr(run_or_model, "config", None) or {}
    same = _trained_on(run_or_model) == (data.folder or data.name)
    if (same and known) or config.get("images") == data.digest:  # a copy, too
        if split == "validation":
            return [f"the validation split of {data.name} is what epochs and recipes are chosen by: no test of the net"]
        if split != "test":
            these = {"train": "these are", "all": "among these are"}[split]
            return [f"{these} the images that the net was trained on: the numbers say little of others"]
        asked = config.get("data_options", data.options)
        splits = [[str(options.get("groups")), *(options.get("fold") or ())] for options in (asked, data.options)]
        if splits[0] != splits[1]:
            return [f"{data.name} is split otherwise than for the training: test images may have been trained on"]
    elif data.name not in SOURCES and split != "all" and len(data.indices("all")) > len(data.indices(split)):
        return [f'{data.name} has {len(data.indices("all")):,} images in all; split "all" judges every one']
    return []


def plain_result(result: dict[str, Any]) -> dict[str, Any]:
    """What of evaluate's result JSON can hold: all but images and the like; the confusion matrix as lists."""
    found = {key: value.tolist() if key == "confusion" else value for key, value in result.items()}
    return {key: value for key, value in found.items() if is_plain(value)}


def _numbers(run_or_model: Any, model, data) -> np.ndarray | None:
    """The model's number of each class of the data, which numbers them in its own order; None if it is the same."""
    if not data.class_names:
        return None
    classes = model.output_shape[-1]
    if data.num_classes > classes:
        raise DataError(f"{data.name} has {data.num_classes} classes, {model.name} only {classes}: labels out of range")
    names = known_names(run_or_model, model)
    if not names or names == data.class_names:
        return None
    for name in data.class_names:
        if name not in names:
            strange = f"{data.name} has a class {name!r}, which {model.name} does not know: it knows {', '.join(names)}"
            own = not hasattr(run_or_model, "load_data")  # a model, whose names are its owner's to change
            raise DataError(strange + "; if it was trained on others since, set model.class_names" * own)
    numbers = np.arange(max(256, classes))  # beyond the classes: pixels that are not judged
    numbers[: data.num_classes] = [names.index(name) for name in data.class_names]
    return numbers
