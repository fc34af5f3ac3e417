"""Augmentation of whole batches (benchmarks/augmentation.py), without NumPy, which would wait for Python's lock."""

import math
from typing import NamedTuple

import tensorflow as tf

from .augment import Augment


class Motion(NamedTuple):
    """How each image of a batch moves: by whole pixels, then flipped, then rotated about its centre and magnified."""

    down: tf.Tensor  # int32 (batch,): how much further down each pixel is read
    right: tf.Tensor
    flipped: tf.Tensor | None  # bool (batch,)
    degrees: tf.Tensor  # float32 (batch,)
    scale: tf.Tensor

    def matrix(self, height: int, width: int) -> tf.Tensor:
        """(batch, 8): pixel (column, row) is read at (m0 column + m1 row + m2, m3 column + m4 row + m5); two zeros."""
        y, x = (height - 1) / 2, (width - 1) / 2
        radians = self.degrees * (math.pi / 180)
        cos, sin = tf.cos(radians) / self.scale, tf.sin(radians) / self.scale
        down, right = tf.cast(self.down, tf.float32), tf.cast(self.right, tf.float32)
        zero = tf.zeros_like(cos)
        way = zero + 1 if self.flipped is None else tf.where(self.flipped, -1.0, 1.0)
        columns = way * cos, -way * sin, x + right + way * (sin * y - cos * x)
        rows = sin, cos, y + down - sin * x - cos * y
        return tf.stack([*columns, *rows, zero, zero], axis=1)


def augment(
    images: tf.Tensor, targets: tf.Tensor, augment: Augment, seed: tf.Tensor, flipped=None, target: str = "labels"
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augment a batch; masks move with their images.

    Args:
        images: uint8 of shape (batch, height, width, channels).
        targets: of the kind `target`; "masks": uint8 of shape (batch, height, width).
        seed: two integers; the same seed and batch shape give the same result.
        flipped: bool of shape (batch,): which images to flip, if images are flipped at all; None: drawn.

    Returns:
        Images, float32 in [0, 1], and targets, both of the same shape.
    """
    height, width, channels = images.shape[1:]
    # eight numbers in [-1, 1) an image, drawn in one go and used in this order whatever is switched on
    u = tf.random.stateless_uniform((tf.shape(images)[0], 8), seed, -1.0, 1.0)
    fy, fx, flip, angle, scale, cy, cx, light = tf.unstack(u, axis=1)
    margin = _pixels(width, augment)
    down, right = _shift(fy, _pixels(height, augment)), _shift(fx, margin)
    flipped = (flip >= 0 if flipped is None else flipped) if augment.flip else None
    motion = Motion(down, right, flipped, angle * augment.rotate, 1 + scale * augment.zoom)
    masks = targets[..., None] if target == "masks" else None
    affine = augment.rotate or augment.zoom
    if augment.crop or ((augment.translate or augment.flip) and not affine):
        planes = images if masks is None else tf.concat([images, masks], axis=-1)
        planes = _shift_and_flip(planes, motion, margin, reflect=bool(augment.crop))
        images, masks = planes[..., :channels], planes[..., channels:]
        motion = motion._replace(down=tf.zeros_like(down), right=tf.zeros_like(right), flipped=None)
    images = to_float(images)
    if affine:
        matrix = motion.matrix(height, width)
        images = _warp(images, matrix, "BILINEAR")
        masks = None if masks is None else _warp(masks, matrix, "NEAREST")
    if augment.cutout:
        side = max(1, round(augment.cutout * min(height, width)))
        hole = _square(height, cy, side)[:, :, None] & _square(width, cx, side)[:, None, :]
        images *= tf.cast(~hole, tf.float32)[..., None]
    if augment.brightness:
        images = tf.clip_by_value(images + (light * augment.brightness)[:, None, None, None], 0.0, 1.0)
    return images, masks[..., 0] if target == "masks" else targets


def to_float(images: tf.Tensor) -> tf.Tensor:
    """uint8 0 … 255 to float32 0 … 1, rounded as NumPy does; a plain division may become a product with 1/255."""
    return tf.math.divide_no_nan(tf.cast(images, tf.float32), 255.0)


def _pixels(side: int, augment: Augment) -> int:
    """The largest shift along a side."""
    if augment.crop:
        return min(max(1, round(augment.crop * side)), side - 1)  # a reflection has no more
    return max(1, round(augment.translate * side)) if augment.translate else 0


def _shift(u: tf.Tensor, pixels: int) -> tf.Tensor:
    """Whole pixels, evenly from -pixels to pixels."""
    return tf.cast(tf.floor((u + 1) / 2 * (2 * pixels + 1)), tf.int32) - pixels


def _shift_and_flip(images: tf.Tensor, motion: Motion, margin: int, *, reflect: bool) -> tf.Tensor:
    """Images moved, at most `margin` to the side, and flipped; outside is 0 or, with reflect, their mirror image."""
    # those that move alike sideways are brought together and moved as one: pixel by pixel takes twice as long
    down, right, flipped = motion[:3]
    height, width, channels = images.shape[1:]
    batch, ways = tf.shape(images)[0], 2 * margin + 1
    way, starts = margin + right, list(range(ways))
    if flipped is not None:  # those come first; in them, left is right
        way, starts = tf.where(flipped, margin - right, way + ways), starts * 2
    order = tf.argsort(way, stable=True)
    rows, first = tf.range(height) + tf.gather(down, order)[:, None], order[:, None] * height
    lines = tf.reshape(images, (-1, width * channels))
    if reflect:
        last = height - 1
        places = first + last - tf.abs(last - rows % max(1, 2 * last))
    else:
        lines = tf.concat([lines, tf.zeros((1, width * channels), images.dtype)], axis=0)
        places = tf.where((rows >= 0) & (rows < height), first + rows, batch * height)
    lines = tf.reshape(tf.gather(lines, places), (-1, width, channels))
    if flipped is not None:
        first = height * tf.math.count_nonzero(flipped, dtype=tf.int32)
        lines = tf.concat([tf.reverse(lines[:first], [1]), lines[first:]], axis=0)
    if reflect:
        sides = [tf.reverse(side, [1]) for side in (lines[:, 1 : margin + 1], lines[:, width - 1 - margin : width - 1])]
    else:
        sides = [tf.zeros((batch * height, margin, channels), images.dtype)] * 2
    lines = tf.reshape(tf.concat([sides[0], lines, sides[1]], axis=1), (batch, height, -1))
    sizes, window = tf.math.bincount(way, minlength=len(starts), maxlength=len(starts)), (-1, height, width * channels)
    groups = zip(starts, tf.split(lines, sizes, num=len(starts)), strict=True)
    moved = tf.concat([tf.slice(group, (0, 0, start * channels), window) for start, group in groups], axis=0)
    return tf.reshape(tf.gather(moved, tf.math.invert_permutation(order)), tf.shape(images))


def _square(side: int, u: tf.Tensor, length: int) -> tf.Tensor:
    """Which positions lie in a stretch of `length` whose centre is anywhere on the side; (batch, side)."""
    start = tf.cast(tf.floor((u + 1) / 2 * side), tf.int32) - length // 2
    positions = tf.range(side)[None, :]
    return (positions >= start[:, None]) & (positions < start[:, None] + length)


def _warp(images: tf.Tensor, matrix: tf.Tensor, interpolation: str) -> tf.Tensor:
    """Images whose pixels are read where a matrix says, 0 outside."""
    fill = {"fill_value": 0.0, "fill_mode": "CONSTANT", "interpolation": interpolation}
    fill["output_shape"] = images.shape[1:3]
    return tf.raw_ops.ImageProjectiveTransformV3(images=images, transforms=matrix, **fill)
