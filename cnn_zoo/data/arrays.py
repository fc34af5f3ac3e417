"""Pairs of arrays as a data set."""

from __future__ import annotations

import math
import warnings

import numpy as np

from ..core.errors import DataError, UsageError
from .inputs import adapt, as_uint8
from .memory import empty
from .source import Source


def read(target: str, *, name, image_size, channels, memory_limit) -> Source:
    """(images, labels): uint8, or floats in [0, 1] which are rounded to 8 bits; (n, h, w) or (n, h, w, c)."""
    if len(name) != 2:
        raise UsageError(f"arrays are given as a pair (images, labels); got {len(name)} things")
    images, labels = as_uint8(np.asarray(name[0])), np.asarray(name[1])
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4):
        raise DataError(f"images must be (n, height, width) or (n, height, width, 1, 3 or 4); got {images.shape}")
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels must be {len(images)} integers; got {labels.dtype} of shape {labels.shape}")
    if 0 in images.shape:
        raise DataError(f"images must not be empty; got {images.shape}")
    if labels.min() < 0 or labels.max() >= len(labels) or len(np.unique(labels)) < 2:
        found = f"these are from {labels.min()} to {labels.max()} for {len(labels)} images"
        raise DataError(f"labels must be 0, 1, 2 … of at least two classes; {found}")
    if labels.min():
        warnings.warn(
            f"no image has the label 0, which is a class all the same; the least is {labels.min()}", stacklevel=4
        )
    class_names = [str(label) for label in range(int(labels.max()) + 1)]
    adapted = adapt(images, image_size, channels, memory_limit)
    if adapted is images:  # perhaps the caller's own, who may go on to change it
        adapted = empty(len(images), images.shape[1:3], images.shape[3], math.inf)
        adapted[:] = images
    return Source("arrays", adapted, labels.astype(np.int64), class_names)
