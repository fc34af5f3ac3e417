"""Augmentation of whole batches, stateless: the same seed gives the same images.

A batch is changed as a whole, shifts and flips on its 8-bit pixels: that is several times as fast as mapping a function
over single images (benchmarks/augmentation.py). All of it is TensorFlow's own: NumPy's functions are as fast alone, but
in a pipeline they wait for Python's lock.
"""

from __future__ import annotations

import math

import tensorflow as tf

from .augment import Augment


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
    margin = _pixels(width, how)
    down, right = _shift(fy, _pixels(height, how)), _shift(fx, margin)
    if not how.flip:
        mirrored = None
    elif mirrored is None:
        mirrored = flip >= 0
    turned = how.rotate or how.zoom
    if how.crop or ((how.translate or how.flip) and not turned):
        images = _shift_and_flip(images, down, right, mirrored, margin, reflect=bool(how.crop))
        down, right, mirrored = tf.zeros_like(down), tf.zeros_like(right), None
    images = to_float(images)
    if turned:
        images = _transform(images, down, right, mirrored, angle * how.rotate, 1 + scale * how.zoom)
    if how.cutout:
        side = max(1, round(how.cutout * min(height, width)))
        images *= tf.cast(~(_square(height, cy, side)[:, :, None] & _square(width, cx, side)[:, None, :]), tf.float32)[
            ..., None
        ]
    if how.brightness:
        images = tf.clip_by_value(images + (light * how.brightness)[:, None, None, None], 0.0, 1.0)
    return images


def to_float(images: tf.Tensor) -> tf.Tensor:
    """uint8 0 … 255 to float32 0 … 1."""
    # a plain division by a constant may become a product with 1/255, which rounds otherwise than NumPy's division
    return tf.math.divide_no_nan(tf.cast(images, tf.float32), 255.0)


def _pixels(side: int, how: Augment) -> int:
    """The largest shift along a side."""
    if how.crop:
        return min(max(1, round(how.crop * side)), side - 1)  # a mirror image has no more
    return max(1, round(how.translate * side)) if how.translate else 0


def _shift(u: tf.Tensor, pixels: int) -> tf.Tensor:
    """Whole pixels, evenly from -pixels to pixels."""
    return tf.cast(tf.floor((u + 1) / 2 * (2 * pixels + 1)), tf.int32) - pixels


def _shift_and_flip(
    images: tf.Tensor, down: tf.Tensor, right: tf.Tensor, mirrored: tf.Tensor | None, margin: int, *, reflect: bool
) -> tf.Tensor:
    """Each image as seen through a window that far down and, at most `margin`, to the right; some are mirrored.

    What lies outside an image is black or, with reflect, its mirror image beyond the outermost pixels. Images that move
    alike sideways are brought together and moved as one: to gather pixel by pixel takes twice as long.
    """
    height, width, channels = images.shape[1:]
    batch, ways = tf.shape(images)[0], 2 * margin + 1
    way, starts = margin + right, list(range(ways))
    if mirrored is not None:  # mirror images come first; in them, left is right
        way, starts = tf.where(mirrored, margin - right, way + ways), starts * 2
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
    if mirrored is not None:
        flipped = height * tf.math.count_nonzero(mirrored, dtype=tf.int32)
        lines = tf.concat([tf.reverse(lines[:flipped], [1]), lines[flipped:]], axis=0)

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


def _transform(
    images: tf.Tensor,
    down: tf.Tensor,
    right: tf.Tensor,
    mirrored: tf.Tensor | None,
    degrees: tf.Tensor,
    scale: tf.Tensor,
) -> tf.Tensor:
    """Shift, mirror, then rotate about the centre and magnify by `scale`, in one go; bilinear, black outside."""
    height, width = images.shape[1:3]
    y, x = (height - 1) / 2, (width - 1) / 2
    radians = degrees * (math.pi / 180)
    cos, sin = tf.cos(radians) / scale, tf.sin(radians) / scale
    down, right = tf.cast(down, tf.float32), tf.cast(right, tf.float32)
    zero = tf.zeros_like(cos)
    way = zero + 1 if mirrored is None else tf.where(mirrored, -1.0, 1.0)
    # output (column, row) is read from the input at (a0 column + a1 row + a2, b0 column + b1 row + b2)
    a0, a1, a2 = way * cos, -way * sin, x + right + way * (sin * y - cos * x)
    b0, b1, b2 = sin, cos, y + down - sin * x - cos * y
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
