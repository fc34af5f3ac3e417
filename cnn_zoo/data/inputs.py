"""Arrays of images of any kind as the ones that a net takes."""

from __future__ import annotations

import numpy as np

from ..core.errors import DataError
from .images import to_array
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
