"""The image-classification sets of tensorflow_datasets."""

import contextlib
import csv
import io
import math
import os
from pathlib import Path

import numpy as np

from ..core.errors import DataError, MissingError, UsageError, reason
from ..core.machine import quiet_import
from .images import adapt
from .source import DEFAULT_SIDE, LARGEST_DEFAULT, Source, empty

# Those of version 4.9.10 whose supervised pair is an Image and a ClassLabel; a configuration is "emnist/letters". Not
# mirrored are those whose classes are not the same in a mirror: writing, chests, rooms with a way out on one side.
with open(Path(__file__).with_name("sets.csv"), newline="", encoding="utf-8") as _file:
    MIRRORED = {row["name"]: row["mirrored"] == "yes" for row in csv.DictReader(_file)}
TFDS = MIRRORED.keys()


def read(target: str, *, name, image_size, channels, memory_limit, progress) -> Source:
    """A set of tensorflow_datasets, its official test split (or else its validation split) as the test set."""
    with quiet_import():
        import tensorflow_datasets as tfds
    tfds.disable_progress_bar()
    builder = _prepared(tfds, name, progress)
    image_key, label_key = builder.info.supervised_keys
    feature, label = builder.info.features[image_key], builder.info.features[label_key]
    if "train" not in builder.info.splits:
        raise DataError(f"{name} has no training images; its splits are {', '.join(builder.info.splits)}")
    if feature.shape[2] not in (None, 1, 3, 4) or feature.np_dtype != np.uint8:
        found = f"{feature.np_dtype} of {feature.shape[2]} channels"
        raise DataError(f"{name} has no 8-bit images in grey or colour, but {found}")
    fixed = feature.shape[:2] if None not in feature.shape[:2] else None
    own = fixed if fixed and max(fixed) <= LARGEST_DEFAULT else (DEFAULT_SIDE, DEFAULT_SIDE)
    size, channels = image_size or own, channels or feature.shape[2] or 3
    there = [split for split in ("test", "validation", "val") if split in builder.info.splits]
    ours = {"train": "train", **dict(zip(("test", "validation"), there, strict=False))}
    counts = {split: builder.info.splits[theirs].num_examples for split, theirs in ours.items()}
    images = empty(sum(counts.values()), size, channels, memory_limit)
    labels = np.empty(len(images), np.int64)
    order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)  # one file after another: always alike
    splits, done = {}, 0
    for split, count in counts.items():
        progress(f"reading {name}: {ours[split]}, {count:,} images")
        dataset = builder.as_dataset(split=ours[split], shuffle_files=False, read_config=order)
        dataset = dataset.map(lambda row: (row[image_key], row[label_key])).batch(512 if fixed else 1)
        places = np.arange(done, done + count)
        for batch, batch_labels in dataset.as_numpy_iterator():
            part = slice(done, done + len(batch))
            images[part], labels[part], done = adapt(batch, size, channels, math.inf), batch_labels, part.stop
        splits[split] = places[labels[places] >= 0]  # tfds marks missing labels with -1
    splits = {split: indices for split, indices in splits.items() if len(indices)}
    return Source(name, images, labels, list(label.names), splits=splits)


def _prepared(tfds, name: str, progress):
    """The builder of a set whose files are there, downloaded now if they were not."""
    import absl.logging
    from tensorflow_datasets.core.download import downloader
    from tensorflow_datasets.core.utils import gcs_utils

    gcs_utils._is_gcs_disabled = True  # else a set that is not there first asks a bucket, at length
    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, 0  # else a dead network is tried for 200 s
    level = absl.logging.get_verbosity()
    absl.logging.set_verbosity("error")
    builder = None
    try:
        builder = tfds.builder(name)
        if not builder.is_prepared():
            progress(f"downloading {name} to {builder.data_dir}")
            with contextlib.redirect_stdout(io.StringIO()):  # tfds prints there, results do too
                builder.download_and_prepare()
        return builder
    except Exception as error:
        if builder is None:
            raise UsageError(f"{name}: {reason(error)}") from error
        if isinstance(error, AssertionError):  # with which tfds says where to get and to put such files
            raise MissingError(f"{name} must be fetched by hand: {reason(error, 400)}") from error
        found = f"{name} is not in {os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')}"
        advice = f"copy a prepared {name.split('/')[0]} folder there, or set TFDS_DATA_DIR to a folder that has it"
        found += f" and could not be downloaded ({type(error).__name__}); connect to the network once, or {advice}"
        raise MissingError(found) from error
    finally:
        downloader.MAX_RETRIES = retries
        absl.logging.set_verbosity(level)
