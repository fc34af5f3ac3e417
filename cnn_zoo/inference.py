"""Using a trained model: predict the class of images, evaluate on a data set."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from typing import Any

import numpy as np

from .cards import macs_if_known
from .core.errors import DataError, UsageError, check_choice, check_flag, check_number
from .data.inputs import batches_of
from .nn.inspection import has_logits

BATCH = 256  # images at a time: more are hardly faster on a CPU and take more memory


def predict(
    run_or_model: Any,
    images: Any,
    *,
    top: int | None = None,
    class_names: list[str] | None = None,
    invert: bool = False,
) -> list:
    """Name the class of images.

    Args:
        run_or_model: a Run, or a classifier of the zoo (or any Keras model that ends in softmax or logits).
        images: a path, a Pillow image, or a list or array of these; or an array, uint8 or float in [0, 1], of shape
            (height, width), (height, width, channels), (n, height, width) or (n, height, width, channels), or a list
            of arrays of single images. Grey becomes colour and colour grey as the model needs; sizes are stretched to
            the model's.
        top: None gives one pair an image; a number gives a list of that many pairs, the most probable first.
        class_names: for a model that does not know its own: a run does, and so does a model with published weights,
            which has an attribute class_names. Default: the labels as text.
        invert: exchange black and white first, for dark digits on light paper.

    Returns:
        For each image (class name, probability), or a list of such pairs.

    Raises:
        MissingError, DataError: a file that cannot be read, an array that is not an image, NaN.
        UsageError: no classifier of images, or another number of names than it has classes.
    """
    model = image_classifier(run_or_model)
    if top is not None:
        check_number("top", top, 1, whole=True)
    check_flag("invert", invert)
    names = _class_names(run_or_model, model, class_names) or [str(label) for label in range(model.output_shape[-1])]
    pairs = []
    for batch, _ in batches_of(images, tuple(model.inputs[0].shape[1:]), BATCH):
        if invert:
            colours = min(batch.shape[-1], 3)  # a fourth channel is opacity
            batch = np.concatenate([1 - batch[..., :colours], batch[..., colours:]], axis=-1)
        probabilities = model_probabilities(model, batch)
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, : top or 1]
        pairs += [[(names[j], float(row[j])) for j in best] for best, row in zip(order, probabilities, strict=True)]
    return pairs if top else [best[0] for best in pairs]


def image_classifier(run_or_model: Any):
    """The model, if it is a classifier of images, built and all."""
    model = getattr(run_or_model, "model", run_or_model)
    tensors = [getattr(model, name, None) or () for name in ("inputs", "outputs")]
    if [len(side) for side in tensors] != [1, 1] or [len(side[0].shape) for side in tensors] != [4, 2]:
        raise UsageError(f"needs a run or a classifier of images (height, width, channels); got {run_or_model!r:.100}")
    channels = model.inputs[0].shape[-1]
    if channels not in (1, 3, 4):
        raise UsageError(f"{model.name} takes {channels} channels; images have 1, 3 or 4")
    has_logits(model)
    return model


def _class_names(run_or_model: Any, model, given: Any = None) -> list[str] | None:
    """The names of the model's classes: those given, else those that the run or the model knows, if it does."""
    names = getattr(run_or_model, "class_names", None) if given is None else given
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise UsageError(f"class_names must be a list of names; got {names!r:.80}")
    names, classes = list(names), model.output_shape[-1]
    if len(names) != classes:
        raise UsageError(f"{model.name} has {classes} classes; class_names has {len(names)}")
    return names


def model_probabilities(model, images: Any) -> np.ndarray:
    """Class probabilities (n, classes) of float images (n, …) or of a dataset of (images, labels)."""
    import keras

    if hasattr(images, "shape"):
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
    else:
        batches = (batch for batch, _ in images)
    parts = [keras.ops.convert_to_numpy(_call(model, batch)) for batch in batches]
    if not parts:
        return np.empty((0, model.output_shape[-1]), np.float32)
    outputs = np.concatenate(parts).astype(np.float32, copy=False)
    if has_logits(model):
        outputs = np.exp(outputs - outputs.max(1, keepdims=True))
        outputs /= outputs.sum(1, keepdims=True)
    return outputs


_CALLS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # model -> what _call knows of it
EAGER_CALLS = 3  # a model that is called more often is compiled
ONE_IMAGE_MACS = 5e7  # below, one image through XLA is faster than operation by operation


def _call(model, batch: Any):
    """The outputs of a model in inference mode.

    `model.predict` takes tens of milliseconds for an image, most of it for setting up a loop over batches, and
    `model(batch)` some. A compiled function takes a fraction of one, but compiling costs more than a few calls do: it
    is made when a model is called repeatedly. It reads the model's variables, so that later training is seen, and is
    made anew when the layers are others.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return model(batch, training=False)
    import tensorflow as tf

    known = _CALLS.get(model)
    if known is None or known["made of"] != _made_of(model):
        known = _CALLS[model] = {"made of": _made_of(model), "dtype": model.inputs[0].dtype, "calls": 0}
    known["calls"] += 1
    if known["calls"] <= EAGER_CALLS:
        return model(batch, training=False)
    one = len(batch) == 1
    if one not in known:
        known[one] = _compile(model, 1 if one else None)
    return known[one](tf.constant(batch, known["dtype"]))


def _made_of(model) -> list:
    """What a compiled function depends on beside the values of the weights."""
    return [(weakref.ref(layer), getattr(layer, "activation", None), layer.dtype_policy) for layer in model.layers]


def _compile(model, size: int | None):
    """A function of a batch of `size` images, or of any number."""
    import tensorflow as tf

    itself = weakref.ref(model)  # the function must not keep the model alive, whose entry in _CALLS it is
    shape = tf.TensorSpec((size, *model.input_shape[1:]), model.inputs[0].dtype)

    def function(jit_compile):
        traced = tf.function(lambda batch: itself()(batch, training=False), jit_compile=jit_compile)
        concrete = traced.get_concrete_function(shape)
        variables = concrete.captured_inputs
        # a call of `concrete` itself binds its one argument anew each time, which takes 0.07 ms
        return lambda batch: concrete._call_flat([batch], variables)

    if size == 1 and macs_if_known(model) < ONE_IMAGE_MACS and not _has_grouped(model):
        try:
            compiled = function(True)
            compiled(tf.zeros(shape.shape, shape.dtype))
            return compiled
        except Exception:
            pass
    return function(False)


def _has_grouped(model) -> bool:
    """Whether a convolution is depthwise or in groups, with which XLA takes several times as long."""
    layers = model._flatten_layers()
    return any(getattr(layer, "depth_multiplier", 0) or getattr(layer, "groups", 1) > 1 for layer in layers)


def evaluate(run_or_model: Any, data: Any = None, split: str = "test") -> dict[str, Any]:
    """Accuracy and loss on a split of a data set.

    Args:
        run_or_model: a Run, or a classifier.
        data: what load_data returned; for a Run also a name or a folder, or None, the data set it was trained on.
        split: "train", "validation" or "test".

    Returns:
        {"accuracy": share of the images, "loss": mean cross-entropy in nats, "images": their number, "confusion":
        int64 (classes, classes), true by predicted, "labels": int64 (images,), "probabilities": float32
        (images, classes)}.

    Raises:
        UsageError: no classifier, no data, or no such split.
        DataError: an empty split, or images or classes that the model does not know.
    """
    model = image_classifier(run_or_model)
    if hasattr(run_or_model, "load_data") and (data is None or isinstance(data, str | os.PathLike)):
        data = run_or_model.load_data(data)
    if not hasattr(data, "splits"):
        raise UsageError("evaluate(model) needs data from load_data; only a run knows its own")
    check_choice("split", split, data.splits)
    if not len(data.splits[split]):
        raise DataError(f"{data.name} has no images in its {split} split")
    classes = model.output_shape[-1]
    if data.num_classes > classes:
        raise DataError(f"{data.name} has {data.num_classes} classes, {model.name} only {classes}: labels out of range")
    sides = zip(model.input_shape[1:], data.input_shape, strict=True)
    if any(wanted not in (None, found) for wanted, found in sides):  # None: a model that takes any
        raise DataError(
            f"{data.name} has images of shape {data.input_shape}, {model.name} takes {tuple(model.input_shape[1:])}; "
            "load them with that image_size and channels"
        )
    names = _class_names(run_or_model, model)
    if names and names != data.class_names:  # the classes of a folder are numbered in its own order
        strange = [name for name in data.class_names if name not in names]
        if strange:
            known = f"it knows {', '.join(names)}"
            if not hasattr(run_or_model, "load_data"):  # a model, whose names are its owner's to change
                known += "; if it was trained on others since, set model.class_names"
            raise DataError(f"{data.name} has a class {strange[0]!r}, which {model.name} does not know: {known}")
    labels = []

    def batches():
        for batch, numbers in data.batches(split, batch_size=BATCH):
            labels.append(numbers.numpy())
            yield batch, numbers

    probabilities = model_probabilities(model, batches())
    labels = np.concatenate(labels)
    if names and names != data.class_names:
        labels = np.array([names.index(name) for name in data.class_names])[labels]
    predicted = probabilities.argmax(1)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    likelihood = np.maximum(probabilities[np.arange(len(labels)), labels], 1e-7)  # as Keras clips it
    return {
        "accuracy": float((predicted == labels).mean()),
        "loss": float(-np.log(likelihood).mean()),
        "images": len(labels),
        "confusion": confusion,
        "labels": labels,
        "probabilities": probabilities,
    }
