"""Augmentation of whole batches, stateless: the same seed gives the same images.

A batch is changed as a whole, shifts and flips on its 8-bit pixels: that is several times as fast as mapping a function
over single images (benchmarks/augmentation.py).
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from .errors import UsageError, check_flag, check_number, unknown


@dataclasses.dataclass(frozen=True)
class Augment:
    """How much training images are changed at random; 0 or False: not at all.

    Attributes:
        translate: largest shift, as a fraction of the side, by whole pixels; what is uncovered is black.
        crop: the same with what is uncovered filled by reflection: a random crop of the padded image. Only one of the
            two can be asked for.
        flip: left and right exchanged, half of the time; by load_data and train, in every other epoch: which of the
            two comes first is drawn for each image (arXiv:2404.00498, section 3.6). Never for digits or letters.
        rotate: largest angle in degrees, either way; bilinear, corners black.
        zoom: largest change of scale, as a fraction, either way; bilinear, borders black.
        cutout: side of a black square at a random place, as a fraction of the shorter side (arXiv:1708.04552).
        brightness: largest number added to all pixels of an image in [0, 1], either way; the result is clipped.
    """

    translate: float = 0.0
    crop: float = 0.0
    flip: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    cutout: float = 0.0
    brightness: float = 0.0

    def __post_init__(self):
        limits = {"translate": 1, "crop": 1, "rotate": 181, "zoom": 1, "cutout": 1, "brightness": 1.01}
        for name, below in limits.items():
            check_number(f"augmentation {name}", getattr(self, name), below=below)
        check_flag("augmentation flip", self.flip)
        if self.translate and self.crop:
            raise UsageError("augmentation shifts images by translate or by crop, not both")

    @classmethod
    def of(cls, value: Augment | dict[str, Any] | None) -> Augment:
        """An Augment, or one from a dict of its attributes; None: no augmentation."""
        if isinstance(value, cls):
            return value
        if not isinstance(value or {}, dict):
            raise UsageError(f"augment must be a dict such as {{'flip': True}}; got {value!r}")
        names = [field.name for field in dataclasses.fields(cls)]
        for name in value or {}:
            if name not in names:
                raise UsageError(unknown("augmentation", name, names))
        return cls(**(value or {}))

    def __bool__(self) -> bool:
        return any(dataclasses.astuple(self))


def augment(images: tf.Tensor, how: Augment, seed: tf.Tensor, mirrored: tf.Tensor | None = None) -> tf.Tensor:
    """Augment a batch.

    Args:
        images: uint8 of shape (batch, height, width, channels).
        how: which changes, and how much.
        seed: two integers; the same seed and batch shape give the same result.
        mirrored: bool of shape (batch,): which images to flip, if images are flipped at all; None: drawn.

    Returns:
        float32 in [0, 1] of the same shape.
    """
    batch = tf.shape(images)[0]
    height, width = images.shape[1:3]
    # eight numbers in [-1, 1) an image, drawn in one go and used in this order whatever is switched on
    u = tf.random.stateless_uniform((batch, 8), seed, -1.0, 1.0)
    fy, fx, flip, angle, scale, cy, cx, light = tf.unstack(u, axis=1)
    if how.translate or how.crop or how.flip:
        reach = max(how.translate, how.crop)
        shifts = [_shift(side, u, reach) for side, u in ((height, fy), (width, fx))]
        fill = "constant" if how.translate else "reflect"
        mirrored = how.flip & (flip >= 0 if mirrored is None else mirrored)
        move = partial(_shift_and_flip, fill)
        floats = tf.numpy_function(move, [images, *shifts, mirrored], tf.float32, stateful=False)
        images = tf.ensure_shape(floats, images.shape)
    else:
        images = to_float(images)
    if how.rotate or how.zoom:
        images = _rotate_and_zoom(images, angle * how.rotate, 1 + scale * how.zoom)
    if how.cutout:
        side = max(1, round(how.cutout * min(height, width)))
        images *= tf.cast(~(_square(height, cy, side)[:, :, None] & _square(width, cx, side)[:, None, :]), tf.float32)[
            ..., None
        ]
    if how.brightness:
        images = tf.clip_by_value(images + (light * how.brightness)[:, None, None, None], 0.0, 1.0)
    return images


def to_float(images: tf.Tensor) -> tf.Tensor:
    """uint8 0 … 255 to float32 0 … 1; by NumPy, whose division is several times as fast as TensorFlow's."""
    floats = tf.numpy_function(_to_float, [images], tf.float32, stateful=False)
    return tf.ensure_shape(floats, images.shape)


def _to_float(images: np.ndarray) -> np.ndarray:
    floats = images.astype(np.float32)
    floats /= np.float32(255)
    return floats


def _shift(side: int, u: tf.Tensor, reach: float) -> tf.Tensor:
    """Whole pixels, evenly from -reach * side to reach * side."""
    pixels = max(1, round(reach * side)) if reach else 0
    return tf.cast(tf.floor((u + 1) / 2 * (2 * pixels + 1)), tf.int32) - pixels


def _shift_and_flip(fill: str, images: np.ndarray, down: np.ndarray, right: np.ndarray, mirrored: np.ndarray):
    """Windows of the padded images, some of them mirrored, as floats."""
    count, height, width, channels = images.shape
    rows, columns = int(np.abs(down).max(initial=0)), int(np.abs(right).max(initial=0))
    padded = _pad(images, rows, columns, fill)
    lines = padded.reshape(count, height + 2 * rows, -1)  # a window's line is one run of bytes, with all channels
    windows = np.lib.stride_tricks.sliding_window_view(lines, (height, width * channels), axis=(1, 2))
    out = windows[np.arange(count), down + rows, (right + columns) * channels].reshape(images.shape)
    before = out[mirrored]
    after = np.empty_like(before)
    for channel in range(channels):  # long runs of one channel rather than short ones of all
        after[..., channel] = before[:, :, ::-1, channel]
    out[mirrored] = after
    return _to_float(out)


def _pad(images: np.ndarray, rows: int, columns: int, fill: str) -> np.ndarray:
    """What np.pad returns, in a half to a quarter of its time: most of it is one copy of the images."""
    count, height, width, channels = images.shape
    padded = np.zeros((count, height + 2 * rows, width + 2 * columns, channels), images.dtype)
    inner = slice(columns, columns + width)
    padded[:, rows : rows + height, inner] = images
    if fill == "constant":
        return padded
    source = np.pad(np.arange(height), rows, fill)
    for row in (*range(rows), *range(rows + height, len(source))):
        padded[:, row, inner] = images[:, source[row]]
    source = columns + np.pad(np.arange(width), columns, fill)
    for column in (*range(columns), *range(columns + width, len(source))):
        for channel in range(channels):  # long runs of one channel rather than short ones of all
            padded[:, :, column, channel] = padded[:, :, source[column], channel]
    return padded


def _square(side: int, u: tf.Tensor, length: int) -> tf.Tensor:
    """Which positions lie in a stretch of `length` whose centre is anywhere on the side; (batch, side)."""
    start = tf.cast(tf.floor((u + 1) / 2 * side), tf.int32) - length // 2
    positions = tf.range(side)[None, :]
    return (positions >= start[:, None]) & (positions < start[:, None] + length)


def _rotate_and_zoom(images: tf.Tensor, degrees: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Rotate about the centre and magnify by `scale`, one angle and scale an image; bilinear, black outside."""
    height, width = images.shape[1:3]
    y, x = (height - 1) / 2, (width - 1) / 2
    radians = degrees * (3.141592653589793 / 180)
    cos, sin = tf.cos(radians) / scale, tf.sin(radians) / scale
    zero = tf.zeros_like(cos)
    # output (column, row) is read from the input at (a0 column + a1 row + a2, b0 column + b1 row + b2)
    transforms = tf.stack([cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
