"""Arrays of images of any kind as the ones that a net takes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from ..core.errors import DataError, UsageError
from .images import read_image, to_array
from .memory import empty


def adapt(images: np.ndarray, size: tuple[int, int] | None, channels: int | None, memory_limit: float) -> np.ndarray:
    """Resize images (n, h, w, c) and change between grey and colour, as a file of the same pixels would be."""
    from PIL import Image

    size, channels = size or images.shape[1:3], channels or images.shape[3]
    if images.shape[1:] == (*size, channels):
        return images
    adapted = empty(len(images), size, channels, memory_limit)
    for i, image in enumerate(images[..., 0] if images.shape[3] == 1 else images):
        adapted[i] = to_array(Image.fromarray(image), size, channels)
    return adapted


def adapt_masks(masks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks (n, h, w) of that (height, width): of each pixel the class at its centre."""
    if masks.shape[1:] == size:
        return masks
    (rows, columns) = (
        (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(size, masks.shape[1:], strict=True)
    )
    return masks[:, rows[:, None], columns]


def as_uint8(images: np.ndarray) -> np.ndarray:
    """uint8 as it is; floats in [0, 1] to the nearest of 256 steps; anything else is a DataError."""
    if images.dtype == np.uint8:
        return images
    return np.rint(check_floats(images) * 255).astype(np.uint8)


def check_floats(images: np.ndarray) -> np.ndarray:
    """The images if they are floats in [0, 1], else a DataError that says what they are."""
    if not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"images must be uint8 or floats in [0, 1]; got {images.dtype}")
    if not np.isfinite(images).all():
        raise DataError("images contain NaN or infinite values")
    if images.size and (images.min() < 0 or images.max() > 1):
        raise DataError(
            f"float images must be in [0, 1]; these are in [{images.min():g}, {images.max():g}]: "
            "divide by 255 or pass uint8"
        )
    return images


# TEMPORARY until the data branch brings it
def batches_of(images, input_shape, batch_size):
    batch = as_batch(images, input_shape)
    height, width = input_shape[:2]
    sizes = [(height, width)] * len(batch)
    for start in range(0, len(batch), batch_size):
        yield batch[start : start + batch_size], sizes[start : start + batch_size]


def as_batch(images: Any, input_shape: tuple[int, int, int]) -> np.ndarray:
    """Images of any kind that predict takes, as float32 in [0, 1] of shape (n, *input_shape)."""
    height, width, channels = input_shape
    size = (height or None) and (height, width)
    if hasattr(images, "__array__") and not isinstance(images, Image.Image):
        images = np.asarray(images)
        if images.dtype.kind not in "OU":
            stack = _image_array(images)
            return _floats(stack, size, channels) if len(stack) else _no_images(input_shape)
        images = images.tolist()  # paths or Pillow images
    if isinstance(images, str | os.PathLike | Image.Image):
        images = [images]
    if hasattr(images, "element_spec"):
        raise UsageError("a tf.data.Dataset has labels too: use evaluate, or the images that Data.images returns")
    if not isinstance(images, Iterable):
        raise UsageError(f"images must be paths, Pillow images or arrays; got {type(images).__name__}")
    batch = [_one(image, size, channels) for image in images]
    if not batch:
        return _no_images(input_shape)
    if len({image.shape for image in batch}) > 1:
        raise DataError("images of different sizes need a model with a fixed input size")
    return np.stack(batch)


def _no_images(input_shape: tuple[int | None, ...]) -> np.ndarray:
    return np.empty((0, *(side or 1 for side in input_shape)), np.float32)


def _image_array(array: np.ndarray) -> np.ndarray:
    """An array of images as (n, height, width, channels)."""
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4)):
        array = array[None]
    elif array.ndim == 3 and array.shape[2] == 2:
        raise DataError(f"an image has 1, 3 or 4 channels; got {array.shape}")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4) or 0 in array.shape[1:]:
        raise DataError(
            f"an array of images is (height, width), (height, width, channels), (n, height, width) or "
            f"(n, height, width, channels) with 1, 3 or 4 channels; got {array.shape}"
        )
    return array


def _one(image: Any, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    if isinstance(image, str | os.PathLike | Image.Image):
        read = to_array if isinstance(image, Image.Image) else read_image
        return read(image, size, channels).astype(np.float32) / np.float32(255)
    stack = _image_array(np.asarray(image))
    if len(stack) != 1:
        raise DataError(f"a list holds one image an entry; one has shape {np.shape(image)}")
    return _floats(stack, size, channels)[0]


def _floats(stack: np.ndarray, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """Images (n, height, width, channels) as a model needs them."""
    fits = stack.shape[1:] == (*(size or stack.shape[1:3]), channels)
    if fits and stack.dtype != np.uint8:
        return check_floats(stack).astype(np.float32, copy=False)
    pixels = as_uint8(stack)  # what must be changed is changed as a file of the same pixels would be
    return (pixels if fits else adapt(pixels, size, channels, math.inf)).astype(np.float32) / np.float32(255)
