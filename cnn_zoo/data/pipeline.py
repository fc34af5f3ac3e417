"""tf.data pipelines: splits, order, batches. Images stay uint8 until they are in a batch.

The order of the training images and their augmentation are pure functions of (seed, epoch, index). Every dataset has a
known cardinality, because Keras takes an extra optimizer step an epoch for one that has not.
"""

import functools
import hashlib
import numbers
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import tensorflow as tf

from ..core.errors import UsageError, check_choice, check_flag, check_number, check_seed
from ..core.text import printable, shown
from . import transforms
from .augment import Augment
from .duplicates import near_duplicates
from .images import FITS, check_range
from .source import ALIGNMENT, MEMORY_LIMIT, Source
from .sources import read_source
from .transforms import to_float

ALWAYS = ("target", "validation", "image_size", "channels", "skip_broken")  # in Data.options


class Data:
    """Images and their targets as tf.data pipelines; made by load_data.

    `train`, `validation` and `test`, as what `batches` returns, are tf.data.Datasets of batches: images, float32 in
    [0, 1] of shape (batch, height, width, channels), and targets: labels int64 (batch,), masks uint8 (batch, height,
    width), others as their source has them.

    Attributes:
        train: shuffled anew each time it is iterated over: the k-th time is epoch k.
        validation, test: in fixed order; of no batches where there is no validation split.
        name, folder, target, class_names, skipped, mirrored, notes, files, headers: those of the Source.
        num_classes: how many class names there are; 1 where there are none.
        input_shape: (height, width, channels).
        splits: {"train": …, "validation": …, "test": …}, indices of the images of each; no image is in two. Those for
            judging are in mixed order, the same each time, so that a part of them is of all classes.
        options: load_data's arguments that lead to the same images, targets and splits again.
    """

    def __init__(self, source: Source, options: dict[str, Any]):
        judging = options.get("class_names") is not None
        self.splits = source.split(options["validation"], options.get("fold"), lone=judging)
        for split in ("validation", "test"):
            self.splits[split] = np.random.default_rng(0).permutation(self.splits[split])
        value_range = source.in_8_bits(self.splits["train"], options.get("value_range"), judging)
        self.name, self.folder, self.target = source.name, source.folder, source.target
        self.class_names, self.skipped, self.mirrored = source.class_names, source.skipped, source.mirrored
        self.notes, self.files, self.headers = list(source.notes), source.files, source.headers
        self.num_classes = len(source.class_names) or 1
        self.input_shape = tuple(source.images.shape[1:])
        options = options | {"value_range": value_range}
        self.options = {name: value for name, value in options.items() if value is not None or name in ALWAYS}
        self._images, self._targets = source.images, source.targets
        if self.target == "labels" and self.class_names and not judging:
            unseen = [
                name for name, count in zip(self.class_names, self.class_counts("train"), strict=True) if not count
            ]
            if unseen:
                what = "classes have" if len(unseen) > 1 else "class has"
                self.notes.append(f"{len(unseen)} {what} no training image, such as {unseen[0]}")
        alike = len({name.casefold() for name in self.class_names}) < len(self.class_names)
        self.notes += ["the names of some classes differ in capital letters alone"] * alike
        with tf.device("CPU"):
            self._tensors = _shared(source.images), _shared(source.targets)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(indices):,} {split}" for split, indices in self.splits.items())
        shape, targets = "x".join(map(str, self.input_shape)), f"{self.target} of " * (self.target != "labels")
        return f"<{self.name}: {shape}, {targets}{self.num_classes} class{'es' * (self.num_classes > 1)}, {sizes}>"

    train = functools.cached_property(lambda self: self.batches("train"))
    validation = functools.cached_property(lambda self: self.batches("validation"))
    test = functools.cached_property(lambda self: self.batches("test"))

    def batches(
        self, split: str, *, batch_size=32, epochs: tuple | None = None, augment: Augment | dict | None = None, seed=0
    ) -> tf.data.Dataset:
        """The batches of a split; the last of an epoch may be smaller.

        Args:
            split: "train", in an order of its own in each epoch; "validation", "test" or "all", in fixed order.
            epochs: (start, stop): training epochs start … stop - 1 in one dataset. None: one epoch, which is epoch k
                the k-th time that the dataset is iterated over.
            augment: changes to training images, such as {"translate": 0.1, "flip": True}; see Augment. Masks move too.
            seed: of the order and augmentation of training images.
        """
        size, seed = check_number("batch_size", batch_size, 1, whole=True), check_seed(seed)
        augment = Augment.of(augment)
        indices = self.indices(split)
        if split == "train":
            return self._training(size, epochs, augment, seed)
        if augment or epochs is not None:
            raise UsageError(f"only training images are shuffled by epoch and augmented, not those of {split!r}")
        steps, indices = -(-len(indices) // size), tf.constant(indices)

        def batch(step):
            images, targets = self._gather(indices[step * size : (step + 1) * size])
            return to_float(images), targets

        return _finish(tf.data.Dataset.range(steps), batch, steps)

    def steps(self, batch_size: int = 32) -> int:
        """Training batches an epoch."""
        return -(-len(self.splits["train"]) // check_number("batch_size", batch_size, 1, whole=True))

    def images(self, split: str) -> np.ndarray:
        """The images of a split, uint8 (n, height, width, channels), in the order of `splits`."""
        return self._images[self.indices(split)]

    def targets(self, split: str) -> np.ndarray:
        """The targets of a split, in the same order."""
        return self._targets[self.indices(split)]

    def sample(self, count: int) -> np.ndarray:
        """At most that many training images, spread evenly over the set; uint8."""
        train, count = self.splits["train"], check_number("count", count, 1, whole=True)
        return self._images[train[np.linspace(0, len(train) - 1, min(count, len(train))).astype(int)]]

    def examples(self, count: int) -> dict[str, np.ndarray]:
        """At most that many images of each class, uint8, spread evenly over the set; of masks, those that hold it."""
        indices = np.sort(np.concatenate(list(self.splits.values())))
        if not self.class_names:
            return {self.target: self.sample(count)}
        targets, found = self._targets[indices], {}
        for label, name in enumerate(self.class_names):
            of_class = targets[:, label] > 0 if self.target == "multi_hot" else targets == label
            inside = indices[of_class.reshape(len(indices), -1).any(1)]
            if len(inside):
                found[name] = self._images[inside[np.linspace(0, len(inside) - 1, min(count, len(inside))).astype(int)]]
        return found

    @functools.cached_property
    def digest(self) -> str:
        """What identifies the data: a hash of targets, splits and a hundred of the images."""
        digest, hundred = hashlib.sha256(), np.linspace(0, len(self._images) - 1, 100).astype(int)
        for part in (self._targets, *map(np.sort, self.splits.values()), self._images[hundred]):
            digest.update(part.tobytes())
        return digest.hexdigest()[:16]

    @functools.cached_property
    def statistics(self) -> dict[str, list[float]]:
        """Mean and standard deviation of the training images in [0, 1], a number a channel."""
        train, (height, width, channels) = self.splits["train"], self.input_shape
        sums = np.zeros((2, channels))
        for part in np.array_split(train, max(1, len(train) // 1000)):
            images = self._images[part] / 255
            sums += images.sum((0, 1, 2)), (images**2).sum((0, 1, 2))
        mean, square = sums / (len(train) * height * width)
        return {"mean": mean.tolist(), "std": np.sqrt(square - mean**2).tolist()}

    @functools.cached_property
    def duplicates(self) -> list[tuple[int, int]]:
        """Pairs of images, by their places among all, that are nearly the same; see near_duplicates."""
        return near_duplicates(self._images, self.indices("all"))

    def leaks(self) -> list[str]:
        """A line on images that are nearly the same and in two splits, if there are."""
        split_of = {int(place): split for split, places in self.splits.items() for place in places}
        pairs = [pair for pair in self.duplicates if split_of[pair[0]] != split_of[pair[1]]]
        if not pairs:
            return []
        one, other = (f"{self.files[i] if self.files else i} ({split_of[i]})" for i in pairs[0])
        count = f"{len(pairs):,} pairs of images that are" if len(pairs) > 1 else "a pair of images that is"
        return [f"{count} nearly the same and in two splits, such as {one} and {other}: the score will flatter"]

    def class_counts(self, split: str) -> list[int]:
        """Images of each class in a split, by number; of masks, pixels of each class."""
        if not self.class_names:
            raise UsageError(f"{self.name} has no classes to count, but {self.target}")
        if self.target == "multi_hot":
            return self.targets(split).sum(0, dtype=np.int64).tolist()
        return np.bincount(self.targets(split).ravel(), minlength=self.num_classes)[: self.num_classes].tolist()

    def indices(self, split: str) -> np.ndarray:
        """The places of a split's images, or of all that are in a split, among the source's."""
        if check_choice("split", split, (*self.splits, "all")) == "all":
            return np.sort(np.concatenate(list(self.splits.values())))
        return self.splits[split]

    def _gather(self, chosen: tf.Tensor) -> list[tf.Tensor]:
        return [tf.gather(tensor, chosen) for tensor in self._tensors]

    def _training(self, size: int, epochs: tuple[int, int] | None, augment: Augment, seed: int) -> tf.data.Dataset:
        indices, steps = tf.constant(self.splits["train"]), self.steps(size)
        if epochs is None:
            passes = tf.Variable(0, dtype=tf.int64, trainable=False)  # how often the dataset has been iterated over
            numbers, count = tf.data.Dataset.from_tensors(0).map(lambda _: passes.assign_add(1) - 1), 1
        else:
            if not isinstance(epochs, tuple | list) or len(epochs) != 2:
                raise UsageError(f"epochs must be a pair (start, stop); got {epochs!r:.80}")
            start = check_number("the start of epochs", epochs[0], whole=True)
            stop = check_number("the stop of epochs", epochs[1], start, whole=True)
            numbers, count = tf.data.Dataset.range(start, stop), stop - start
        # in even epochs these images are flipped, in odd ones the others
        even = tf.random.stateless_uniform(self._targets.shape[:1], (seed, 0), maxval=2, dtype=tf.int64)

        def chosen_indices(epoch):
            order = tf.random.experimental.stateless_shuffle(indices, seed=tf.stack([tf.cast(seed, tf.int64), epoch]))
            return tf.data.Dataset.range(steps).map(lambda step: (epoch, step, order[step * size : (step + 1) * size]))

        def batch(epoch, step, chosen):
            images, targets = self._gather(chosen)
            if not augment:
                return to_float(images), targets
            draw = tf.random.experimental.stateless_fold_in(tf.stack([tf.cast(seed, tf.int64), epoch]), step)
            flipped = (tf.gather(even, chosen) + epoch) % 2 == 1
            return transforms.augment(images, targets, augment, draw, flipped, self.target)

        return _finish(numbers.flat_map(chosen_indices), batch, count * steps)


def _shared(array: np.ndarray) -> tf.Tensor:
    """An array as a tensor: in the same memory, as `empty` allocates it, or a copy where TensorFlow needs one."""
    if array.ctypes.data % ALIGNMENT or not (array.flags.c_contiguous and array.flags.writeable):
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _finish(steps: tf.data.Dataset, batch: Callable, count: int) -> tf.data.Dataset:
    """The batch of each step, two of them ahead; known cardinality."""
    options = tf.data.Options()
    options.autotune.enabled = False  # which can hold `fit` after its last batch
    options.experimental_optimization.apply_default_optimizations = False  # which copy the graph with all images in it
    batches = steps.map(batch, num_parallel_calls=2, deterministic=True)
    return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)


def load_data(
    name: Any = "mnist5k",
    *,
    target: str | None = None,
    validation: float = 0.1,
    fold: tuple[int, int] | None = None,
    groups: str | None = None,
    image_size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    fit: str = "stretch",
    value_range: tuple[float, float] | None = None,
    class_names: list[str] | None = None,
    max_pixels: int | None = None,
    skip_broken: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    progress: Callable[[str], None] | None = None,
    **source_options: Any,
) -> Data:
    """Load a data set: float32 images in [0, 1], NHWC, and their targets, as tf.data pipelines.

    Args:
        name: one of list_datasets(); a folder with a sub-folder of images per class (or with such folders under
            train, test and perhaps validation), as a Path or, where it is called as a data set is, as "./mnist"; a
            CSV file or DataFrame of files and labels (see data.table.read); an .npz file as MedMNIST's; a pair of
            arrays (images, labels), or two for training and testing: uint8, uint16, bool, or floats in [0, 1], which
            are rounded to 8 bits, (n, height, width) or (n, height, width, 1, 3 or 4), and integers 0, 1, 2 …, one-hot
            rows or texts; a tf.data.Dataset of such; or a Source.
        target: what is to be learned of an image: "labels", "multi_hot" or "masks"; None: the first that the set has.
        validation: fraction of the training images that is set aside, of each class where there are labels, unless the
            set comes with validation images. The test set is the official one where there is one (of a set without,
            the official validation images), else a fifth, set aside likewise. Neither depends on a seed.
        fold: (i, k): the test set is the i-th, from 1, of k equal parts of the training images, for cross-validation.
        groups: what must not be divided between splits, such as a patient's images: a regular expression that is
            searched in each path below the folder, whose first group (or all that matches) names the group; or a
            column of the table.
        image_size: side, or (height, width), that images are brought to, antialiased. None: their own if all are of
            one size of at most 224 pixels, else 64 x 64; arrays stay as they are.
        channels: 1 grey, 3 colour, 4 colour and opacity; None: as they are.
        fit: of other proportions, "stretch" images, "pad" them with black, or "crop" their middle.
        value_range: (least, largest) value of images of more than 8 bits, which become black and white. None: those of
            the training images.
        class_names: the classes in their order, of which not all need to be there: to judge a net on other images.
        max_pixels: of a file; None: 50 million.
        skip_broken: leave out files that cannot be read instead of stopping; they are listed in Data.skipped.
        memory_limit: bytes of images held in memory; more are in a temporary file, of which the system keeps in memory
            what there is room for. Arrays that need no resizing are held in any case.
        progress: called with a line of text now and then while images are read.
        source_options: options of the data set's own.

    Errors are a ZooError, with one line that says what to do.
    """
    validation = check_number("validation", validation, below=1)
    size, channels = _check_size(image_size), check_choice("channels", channels, (None, 1, 3, 4))
    reading = {"image_size": size, "channels": channels, "skip_broken": check_flag("skip_broken", skip_broken)}
    reading |= {"fit": None if check_choice("fit", fit, FITS) == "stretch" else fit}
    reading |= {"groups": groups, "max_pixels": max_pixels}
    if max_pixels is not None:
        check_number("max_pixels", max_pixels, 1, whole=True)
    fold, value_range = _check_fold(fold), check_range(value_range)
    memory_limit = check_number("memory_limit", memory_limit)
    if not (progress is None or callable(progress)):
        raise UsageError(f"progress must be a function of a line of text; got {shown(progress)}")
    class_names = _check_names(class_names)
    general = reading | {"class_names": class_names, "memory_limit": memory_limit, "progress": progress}
    source = read_source(name, target, own=source_options, **general)
    options = {"validation": validation, "fold": fold, "value_range": value_range, "class_names": class_names}
    data = Data(source, {"target": source.target, **options, **reading, **source_options})
    if data.files:  # of a person's own, in which nobody has looked for them
        data.notes += data.leaks()
    return data


def _check_fold(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise UsageError(f"fold must be a pair (which, of how many); got {shown(value)}")
    count = check_number("the number of folds", value[1], 2, whole=True)
    return check_number("the fold", value[0], 1, most=count, whole=True), count


def _check_size(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    sides = value if isinstance(value, tuple | list) else (value, value)
    whole = all(isinstance(s, numbers.Integral) and not isinstance(s, bool) and 1 <= s <= 4096 for s in sides)
    if len(sides) != 2 or not whole:
        raise UsageError(f"image_size must be a side or (height, width) from 1 to 4096 pixels; got {shown(value)}")
    return int(sides[0]), int(sides[1])


def _check_names(value: Any) -> list[str] | None:
    if value is not None and (isinstance(value, str | set) or not isinstance(value, Collection)):
        raise UsageError(f"class_names must be a list of names; got {shown(value)}")
    return None if value is None else [printable(name) for name in value]
