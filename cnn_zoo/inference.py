"""Using a trained model: predict what images show, evaluate on a data set. Both go batch by batch."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .core.errors import DataError, UsageError, check_choice, check_flag, check_number
from .data.images import at_once, batches_of
from .nn.calls import call
from .nn.inspection import has_logits
from .tasks import task_of


def predict(
    run_or_model: Any,
    images: Any,
    *,
    top: int | None = None,
    class_names: list[str] | None = None,
    invert: bool = False,
) -> list:
    """Say what images show.

    Args:
        run_or_model: a Run, or a model of the zoo (or any Keras model of images that ends in softmax or logits).
        images: a path, a Pillow image, or a list or array of these; or an array, uint8 or float in [0, 1], of shape
            (height, width), (height, width, channels), (n, height, width) or (n, height, width, channels), or a list
            of arrays of single images. Colours and sizes are changed, sizes by stretching, as the model needs.
        top: of a classifier: a list of that many pairs, the most probable first; None: one pair an image.
        class_names: of a model without an attribute class_names; default: the labels as text.
        invert: exchange black and white first, for dark digits on light paper.

    Returns:
        A list with, for each image, of a classifier (class name, probability), or a list of such pairs; of a
        segmentation net the class numbers of the pixels, uint8 (height, width) in the image's own size.

    Raises:
        MissingError, DataError: a file that cannot be read, an array that is not an image, NaN.
        UsageError: no model of images, or another number of names than it has classes.
    """
    return list(predictions(run_or_model, images, top=top, class_names=class_names, invert=invert))


def predictions(
    run_or_model: Any,
    images: Any,
    *,
    top: int | None = None,
    class_names: Any = None,
    invert: bool = False,
    skip_broken: bool = False,
    max_pixels: int | None = None,
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
    reading |= {"skip_broken": skip_broken, "max_pixels": max_pixels}
    for batch, sizes in batches_of(images, tuple(model.inputs[0].shape[1:]), **reading):
        if invert:
            colours = min(batch.shape[-1], 3)  # a fourth channel is opacity
            batch = np.concatenate([1 - batch[..., :colours], batch[..., colours:]], axis=-1)
        own = [size for size in sizes if not isinstance(size, Exception)]
        found = iter(task.decode(model, call(model, batch), names, own, **options) if own else ())
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
        raise UsageError(f"needs a run or a model of images (height, width, channels); got {run_or_model!r:.100}")
    channels = model.inputs[0].shape[-1]
    if channels not in (1, 3, 4):
        raise UsageError(f"{model.name} takes {channels} channels; images have 1, 3 or 4")
    if task_of(run_or_model).least:
        has_logits(model)
    return model


def known_names(run_or_model: Any, model, given: Any = None) -> list[str] | None:
    """The names of the model's classes: those given, else those that the run or the model knows, if it does."""
    names = getattr(run_or_model, "class_names", None) if given is None else given
    if names is None or (given is None and not names):
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"class_names must be a list of names; got {names!r:.80}")
    names, classes = list(names), model.output_shape[-1]
    if len(names) != classes:
        raise UsageError(f"{model.name} has {classes} classes; class_names has {len(names)}")
    return names


def evaluate(run_or_model: Any, data: Any = None, split: str = "test") -> dict[str, Any]:
    """Judge a model on a split of a data set.

    Args:
        run_or_model: a Run, or a model of images.
        data: what load_data returned; for a Run also a name or a folder, or None, the data set it was trained on.
        split: "train", "validation" or "test".

    Returns:
        {"loss": mean cross-entropy in nats, "images": their number, "confusion": int64 (classes, classes), true by
        predicted; "accuracy", or of segmentation "mean_iou", "iou" (of each class), "pixel_accuracy" and what all
        background would get; and what the report draws}.

    Raises:
        UsageError: no such model, no data, targets of another kind, or no such split.
        DataError: an empty split, or images or classes that the model does not know.
    """
    model = image_model(run_or_model)
    if hasattr(run_or_model, "load_data") and (data is None or isinstance(data, str | os.PathLike)):
        data = run_or_model.load_data(data)
    if not hasattr(data, "splits"):
        raise UsageError("evaluate(model) needs data from load_data; only a run knows its own")
    check_choice("split", split, data.splits)
    if not len(data.splits[split]):
        raise DataError(f"{data.name} has no images in its {split} split")
    task = task_of(run_or_model, data)
    task.check_data(data)
    sides = zip(model.input_shape[1:], data.input_shape, strict=True)
    if any(wanted not in (None, found) for wanted, found in sides):  # None: a model that takes any
        raise DataError(
            f"{data.name} has images of shape {data.input_shape}, {model.name} takes {tuple(model.input_shape[1:])}; "
            "load them with that image_size and channels"
        )
    numbers = _numbers(run_or_model, model, data)
    judge = task.judge(model, known_names(run_or_model, model) or data.class_names)
    for inputs, targets in data.batches(split, batch_size=at_once(data.input_shape)):
        targets = targets.numpy()
        judge.add(inputs.numpy(), targets if numbers is None else numbers[targets], call(model, inputs))
    return judge.result()


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
    strange = [name for name in data.class_names if name not in names]
    if strange:
        known = f"it knows {', '.join(names)}"
        if not hasattr(run_or_model, "load_data"):  # a model, whose names are its owner's to change
            known += "; if it was trained on others since, set model.class_names"
        raise DataError(f"{data.name} has a class {strange[0]!r}, which {model.name} does not know: {known}")
    numbers = np.arange(max(256, classes))  # beyond the classes: pixels that are not judged
    numbers[: data.num_classes] = [names.index(name) for name in data.class_names]
    return numbers
