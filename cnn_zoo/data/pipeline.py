"""tf.data pipelines: splits, order, batches.

The order of the training images and their augmentation are pure functions of (seed, epoch, index): no shuffle
buffer, no random state. Images stay uint8 until they are in a batch. Every dataset has a known cardinality, because
Keras takes an extra optimizer step an epoch for one that has not.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..core.errors import DataError, UsageError, check_choice, check_flag, check_number, check_seed
from .augment import Augment
from .memory import ALIGNMENT, MEMORY_LIMIT
from .source import Source
from .sources import read_source
from .transforms import augment, to_float

TEST_FRACTION = 0.2  # of a set that comes without a test split
_SPLIT_SEED = 0  # splits do not depend on the user's seed: every seed is judged on the same test images


class Data:
    """Images and labels as tf.data pipelines; made by load_data.

    `train`, `validation` and `test`, as what `epochs` and `ordered` return, are tf.data.Datasets of batches: images,
    float32 in [0, 1] of shape (batch, height, width, channels), and labels, int64 of shape (batch,).

    Attributes:
        name: of the data set, or the folder's path; "arrays".
        folder: the absolute path of a folder; "" for other sets.
        class_names: list of str, by label.
        num_classes: their number.
        input_shape: (height, width, channels).
        batch_size: images a batch.
        seed: of order and augmentation.
        augment: what `train` does to images, an Augment.
        splits: {"train": …, "validation": …, "test": …}, indices of the images of each; no image is in two.
        labels: int64, of all images.
        skipped: one line for each file that was left out.
        options: load_data's arguments that lead to the same images and splits again.
    """

    def __init__(self, source: Source, *, batch_size: int, seed: int, how: Augment, options: dict):
        self.name = source.name
        self.folder = source.folder
        self.labels = source.labels
        self.class_names = source.class_names
        self.num_classes = len(source.class_names)
        self.input_shape = tuple(source.images.shape[1:])
        self.batch_size = batch_size
        self.seed = seed
        self.augment = how
        self.skipped = source.skipped
        self.options = options
        self.splits = _split(source, options["validation"])
        self._images = source.images
        with tf.device("CPU"):
            self._image_tensor = _shared(source.images)
            self._label_tensor = tf.constant(self.labels)
        self._passes = tf.Variable(0, dtype=tf.int64, trainable=False)  # how often `train` has been iterated over

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(indices):,} {split}" for split, indices in self.splits.items())
        shape = "x".join(map(str, self.input_shape))
        return f"<{self.name}: {shape}, {self.num_classes} classes, {sizes}>"

    @functools.cached_property
    def train(self) -> tf.data.Dataset:
        """Training batches, shuffled and augmented anew each time it is iterated over: the k-th time is epoch k."""
        epoch = tf.data.Dataset.from_tensors(0).map(lambda _: self._passes.assign_add(1) - 1)
        return self._training(epoch, 1, self.augment, self.batch_size, self.seed)

    @functools.cached_property
    def validation(self) -> tf.data.Dataset:
        """Validation batches, in fixed order; empty when there is no validation split."""
        return self.ordered("validation")

    @functools.cached_property
    def test(self) -> tf.data.Dataset:
        """Test batches, in fixed order."""
        return self.ordered("test")

    def epochs(
        self,
        start: int,
        stop: int,
        *,
        augment: Augment | dict | None = None,
        batch_size: int | None = None,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """The training batches of epochs start … stop - 1 in one dataset; what is None is as load_data was told.

        Raises:
            UsageError: numbers that are none, or `stop` before `start`.
        """
        how = self.augment if augment is None else Augment.of(augment)
        seed = self.seed if seed is None else check_seed(seed)
        start = check_number("start", start, whole=True)
        stop = check_number("stop", stop, start, whole=True)
        epochs = tf.data.Dataset.range(start, stop)
        return self._training(epochs, stop - start, how, self._size(batch_size), seed)

    def steps(self, batch_size: int | None = None) -> int:
        """Training batches an epoch."""
        return -(-len(self.splits["train"]) // self._size(batch_size))

    def ordered(self, split: str, batch_size: int | None = None) -> tf.data.Dataset:
        """The batches of a split, "train", "validation" or "test", in fixed order, without augmentation."""
        indices, size = tf.constant(self._indices(split)), self._size(batch_size)
        steps = -(-len(indices) // size)

        def batch(step):
            chosen = indices[step * size : (step + 1) * size]
            return to_float(tf.gather(self._image_tensor, chosen)), tf.gather(self._label_tensor, chosen)

        return _finish(tf.data.Dataset.range(steps).map(batch, num_parallel_calls=2, deterministic=True), steps)

    def images(self, split: str) -> np.ndarray:
        """The images of a split as uint8 (n, height, width, channels), in the order of `ordered`.

        That is the order of the source, which may be by class, as mnist5k's is: shuffle before you take a part of it.
        """
        return self._images[self._indices(split)]

    def sample(self, count: int) -> np.ndarray:
        """That many training images, or all if there are fewer, spread evenly over the set; uint8."""
        train, count = self.splits["train"], check_number("count", count, 1, whole=True)
        return self._images[train[np.linspace(0, len(train) - 1, min(count, len(train))).astype(int)]]

    @functools.cached_property
    def digest(self) -> str:
        """What identifies the images and their splits: a hash of labels, splits and a hundred of the images."""
        digest = hashlib.sha256(self.labels.tobytes())
        for indices in self.splits.values():
            digest.update(indices.tobytes())
        for index in np.linspace(0, len(self.labels) - 1, 100).astype(int):
            digest.update(self._images[index].tobytes())
        return digest.hexdigest()[:16]

    @functools.cached_property
    def statistics(self) -> dict[str, list[float]]:
        """Mean and standard deviation of the training images in [0, 1], a number a channel."""
        total, squares, count = 0.0, 0.0, 0
        for part in np.array_split(self.splits["train"], max(1, len(self.splits["train"]) // 1000)):
            images = self._images[part].astype(np.float64) / 255
            total, squares = total + images.sum((0, 1, 2)), squares + (images**2).sum((0, 1, 2))
            count += images[..., 0].size
        mean = total / count
        return {"mean": mean.tolist(), "std": np.sqrt(squares / count - mean**2).tolist()}

    def class_counts(self, split: str) -> list[int]:
        """Images of each class in a split, by label."""
        return np.bincount(self.labels[self._indices(split)], minlength=self.num_classes).tolist()

    def _indices(self, split: str) -> np.ndarray:
        """The places of a split's images among all."""
        return self.splits[check_choice("split", split, self.splits)]

    def _size(self, batch_size: int | None) -> int:
        """Images a batch, where None is what load_data was told."""
        return self.batch_size if batch_size is None else check_number("batch_size", batch_size, 1, whole=True)

    def _training(self, epochs: tf.data.Dataset, number: int, how: Augment, size: int, seed: int) -> tf.data.Dataset:
        indices, steps = tf.constant(self.splits["train"]), self.steps(size)
        turns = tf.random.stateless_uniform(self.labels.shape, (seed, 0), maxval=2, dtype=tf.int64)

        def chosen_indices(epoch):
            order = tf.random.experimental.stateless_shuffle(indices, seed=tf.stack([tf.cast(seed, tf.int64), epoch]))
            return tf.data.Dataset.range(steps).map(lambda step: (epoch, step, order[step * size : (step + 1) * size]))

        def batch(epoch, step, chosen):
            images = tf.gather(self._image_tensor, chosen)
            if how:
                draw = tf.random.experimental.stateless_fold_in(tf.stack([tf.cast(seed, tf.int64), epoch]), step)
                images = augment(images, how, draw, (tf.gather(turns, chosen) + epoch) % 2 == 1)
            else:
                images = to_float(images)
            return images, tf.gather(self._label_tensor, chosen)

        dataset = epochs.flat_map(chosen_indices).map(batch, num_parallel_calls=2, deterministic=True)
        return _finish(dataset, number * steps)


def _shared(images: np.ndarray) -> tf.Tensor:
    """The images as a tensor: in the same memory, as sources.py allocates it, or a copy where TensorFlow needs one."""
    if images.ctypes.data % ALIGNMENT or not (images.flags.c_contiguous and images.flags.writeable):
        return tf.constant(images)
    return tf.experimental.dlpack.from_dlpack(images.__dlpack__())


def _finish(dataset: tf.data.Dataset, steps: int) -> tf.data.Dataset:
    """Known cardinality, two batches ahead.

    Without autotuning, which can hold `fit` after its last batch, and without optimisations of the graph, for which it
    is copied with all images in it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    return dataset.prefetch(2).with_options(options)


def load_data(
    name: str | Path | tuple[Any, Any] = "mnist5k",
    *,
    batch_size: int = 32,
    validation: float = 0.1,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    augment: Augment | dict | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    progress: Callable[[str], None] | None = None,
) -> Data:
    """Load a data set as tf.data pipelines of (float32 images in [0, 1], NHWC; int64 labels), batched.

    Args:
        name: one of list_datasets(); a folder with a sub-folder of images per class (or with such folders under
            train, test and perhaps validation), as a Path or, where it is called as a data set is, as "./mnist"; or a
            pair of arrays (images, labels): images uint8 or floats in [0, 1], which are rounded to 8 bits, of shape
            (n, height, width) or (n, height, width, 1, 3 or 4), which are copied; labels integers 0, 1, 2 … of shape
            (n,).
        batch_size: images a batch; the last of an epoch may be smaller.
        validation: fraction of the training images, stratified, that is set aside, unless a folder has validation
            images of its own. The test set is the official one where there is one (of a set without, the official
            validation images), else a stratified fifth. Neither depends on `seed`.
        image_size: side, or (height, width), that images are resized to (stretched, antialiased). None: their own if
            all are of one size of at most 224 pixels, else 64 x 64; arrays always stay as they are.
        channels: 1 grey, 3 colour, 4 colour and opacity; None: as they are.
        augment: changes to training images, such as {"translate": 0.1, "flip": True}; see recipes.Augment.
        seed: of the order and augmentation of training images.
        skip_broken: leave out files that cannot be read instead of stopping; they are listed in Data.skipped.
        memory_limit: bytes of images held in memory, 2 GiB if not said; more are in a temporary file, of which the
            system keeps in memory what there is room for. Arrays that need no resizing are held in any case.
        progress: called with a line of text now and then while images are read.

    Raises:
        UsageError, MissingError, DataError: with one line that says what to do.
    """
    validation = check_number("validation", validation, below=1)
    reading = {
        "image_size": _check_size(image_size),
        "channels": check_choice("channels", channels, (None, 1, 3, 4)),
        "skip_broken": check_flag("skip_broken", skip_broken),
    }
    batch_size, seed = check_number("batch_size", batch_size, 1, whole=True), check_seed(seed)
    memory_limit = check_number("memory_limit", memory_limit)
    how = Augment.of(augment)
    source = read_source(name, **reading, memory_limit=memory_limit, progress=progress)
    return Data(source, batch_size=batch_size, seed=seed, how=how, options={"validation": validation, **reading})


def _split(source: Source, validation: float) -> dict[str, np.ndarray]:
    """Disjoint indices of train, validation and test."""
    splits = dict(source.splits)
    train = splits.get("train", splits.get("all", np.arange(len(source.labels))))
    test = splits.get("test")
    if test is None:
        train, test = _set_aside(source, train, TEST_FRACTION)
    kept = splits.get("validation")
    if kept is None:
        train, kept = _set_aside(source, train, validation)
    return {"train": train, "validation": kept, "test": test}


def _set_aside(source: Source, indices: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Split indices in two, class by class: (the rest, about `fraction` of each class but at least one)."""
    if not fraction:
        return indices, indices[:0]
    rng = np.random.default_rng(_SPLIT_SEED)
    aside = []
    for label, class_name in enumerate(source.class_names):
        members = indices[source.labels[indices] == label]
        if len(members) == 1:
            raise DataError(
                f"{source.name}: class {class_name!r} has one image left, and so none to set aside; add some"
            )
        part = min(max(1, round(fraction * len(members))), len(members) - 1)  # some stay
        aside.append(rng.permutation(members)[:part] if len(members) else members)
    chosen = np.sort(np.concatenate(aside))
    return np.setdiff1d(indices, chosen), chosen


def _check_size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = value if isinstance(value, tuple | list) else (value, value)
    if len(sides) != 2 or not all(
        hasattr(s, "__index__") and not isinstance(s, bool) and 1 <= s <= 4096 for s in sides
    ):
        raise UsageError(f"image_size must be a side or (height, width) from 1 to 4096 pixels; got {value!r}")
    return int(sides[0]), int(sides[1])
