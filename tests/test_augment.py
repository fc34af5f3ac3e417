"""Augmentation: each change does what it says, to each image its own, and the same for the same seed."""

import numpy as np
import pytest
import tensorflow as tf

from cnn_zoo import Augment
from cnn_zoo.core.errors import UsageError
from cnn_zoo.data.transforms import Motion, _shift_and_flip, _warp, augment, to_float

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (64, 12, 10, 3), dtype=np.uint8)
SEED = tf.constant([5, 7], tf.int64)


def changed(images=IMAGES, seed=SEED, **changes):
    return augment(tf.constant(images), tf.zeros(len(images)), Augment(**changes), seed)[0].numpy()


def motion(down, right, flipped=None, degrees=0.0, scale=1.0):
    degrees, scale = (tf.constant(np.broadcast_to(np.float32(value), (64,))) for value in (degrees, scale))
    return Motion(tf.constant(down), tf.constant(right), flipped, degrees, scale)


def shifted(image, dy, dx):
    """The image moved up by dy and left by dx, black where nothing was."""
    out = np.zeros_like(image)
    height, width = image.shape[:2]
    for i in range(height):
        for j in range(width):
            if 0 <= i + dy < height and 0 <= j + dx < width:
                out[i, j] = image[i + dy, j + dx]
    return out


def find(result, candidates):
    return next(
        (key for key, image in candidates.items() if np.allclose(result, image / np.float32(255), atol=1e-6)), None
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"translate": 0.2},
        {"crop": 0.2},
        {"flip": True},
        {"rotate": 20},
        {"zoom": 0.2},
        {"cutout": 0.4},
        {"brightness": 0.3},
    ],
)
def test_the_same_seed_changes_alike_and_images_differ(changes):
    first = changed(**changes)
    assert (first.shape, first.dtype) == (IMAGES.shape, np.float32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, changed(**changes))
    assert not np.array_equal(first, changed(seed=SEED + 1, **changes))
    alike = changed(images=np.repeat(IMAGES[:1], 64, 0), **changes)
    assert len({image.tobytes() for image in alike}) > 1


def test_images_are_shifted_one_way():
    with pytest.raises(UsageError, match="by translate or by crop, not both"):
        Augment(translate=0.1, crop=0.1)


def test_nothing_asked_nothing_changed():
    np.testing.assert_array_equal(changed(), IMAGES / np.float32(255))
    assert not Augment()
    assert Augment(zoom=0.1)


def test_translation_moves_by_whole_pixels_up_to_the_limit_and_leaves_black():
    results = changed(translate=0.2)  # 2 pixels either way
    seen = set()
    for image, result in zip(IMAGES, results, strict=True):
        seen.add(find(result, {(dy, dx): shifted(image, dy, dx) for dy in range(-3, 4) for dx in range(-3, 4)}))
    assert None not in seen
    assert {dy for dy, _ in seen} == {dx for _, dx in seen} == {-2, -1, 0, 1, 2}


def test_crop_fills_by_reflection():
    padded = np.pad(IMAGES, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    seen = set()
    for i, result in enumerate(changed(crop=0.2)):
        windows = {(y, x): padded[i, y : y + 12, x : x + 10] for y in range(5) for x in range(5)}
        seen.add(find(result, windows))
    assert None not in seen
    assert len(seen) > 15


@pytest.mark.parametrize("fill", ["constant", "reflect"])
@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (2, 3), (0, 1), (11, 9), (25, 9)])
def test_what_lies_outside_is_that_of_numpy(fill, rows, columns):
    padded = np.pad(IMAGES, ((0, 0), (rows, rows), (columns, columns), (0, 0)), fill)
    down, right = (RNG.integers(-most, most + 1, 64, dtype=np.int32) for most in (rows, columns))
    flipped = RNG.random(64) < 0.5
    moved = _shift_and_flip(tf.constant(IMAGES), motion(down, right, flipped), columns, reflect=fill == "reflect")
    for image, y, x, flip, result in zip(padded, rows + down, columns + right, flipped, moved.numpy(), strict=True):
        window = image[y : y + 12, x : x + 10]
        np.testing.assert_array_equal(result, window[:, ::-1] if flip else window)


def test_whole_bytes_are_divided_as_numpy_divides():
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    in_graph = tf.function(to_float)  # where the optimiser has its say
    np.testing.assert_array_equal(in_graph(tf.constant(levels)).numpy(), levels / np.float32(255))


def test_flip_exchanges_left_and_right_of_half_of_the_images():
    kinds = [find(r, {"as it was": i, "flipped": i[:, ::-1]}) for i, r in zip(IMAGES, changed(flip=True), strict=True)]
    assert 20 < kinds.count("flipped") < 44
    assert None not in kinds


def test_flip_and_translation_together():
    for image, result in zip(IMAGES, changed(flip=True, translate=0.1), strict=True):
        candidates = {
            (f, dy, dx): shifted(image, dy, dx)[:, ::f] for f in (1, -1) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
        }
        assert find(result, candidates) is not None


def test_rotation_keeps_the_centre_and_stays_within_the_angle():
    bar = np.zeros((64, 21, 31, 1), np.uint8)  # wider than high: rows and columns cannot be exchanged
    bar[:, 2:19, 15] = 255
    results = changed(bar, rotate=30)
    np.testing.assert_allclose(results[:, 10, 15, 0], 1, atol=1e-5)
    y, x = np.mgrid[-10:11, -15:16]
    angles = []
    for image in results[..., 0]:
        covariance = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=image.ravel())
        vector = np.linalg.eigh(covariance)[1][:, 1]
        angles.append(np.degrees(np.arctan(vector[0] / vector[1])))
    assert -31 < min(angles) < -20
    assert 20 < max(angles) < 31


def test_an_image_is_shifted_and_flipped_before_it_is_rotated():
    images = np.zeros((64, 40, 30, 3), np.uint8)
    images[:, 14:26, 10:20] = IMAGES  # far enough from the border for nothing to be lost
    down, right = (RNG.integers(-3, 4, 64, dtype=np.int32) for _ in range(2))
    flipped, still = tf.constant(RNG.random(64) < 0.5), np.zeros(64, np.int32)
    degrees, scale = RNG.uniform(-20, 20, 64), RNG.uniform(0.8, 1.2, 64)
    moved = to_float(_shift_and_flip(tf.constant(images), motion(down, right, flipped), 3, reflect=False))
    one_by_one = _warp(moved, motion(still, still, None, degrees, scale).matrix(40, 30), "BILINEAR")
    at_once = motion(down, right, flipped, degrees, scale).matrix(40, 30)
    np.testing.assert_allclose(_warp(to_float(tf.constant(images)), at_once, "BILINEAR"), one_by_one, atol=1e-4)


def test_the_faster_way_of_whole_pixels_does_what_the_matrix_says():
    for height, width in ((12, 10), (11, 9)):
        images = tf.constant(IMAGES[:, :height, :width])
        down, right = (RNG.integers(-4, 5, 64, dtype=np.int32) for _ in range(2))
        move = motion(down, right, tf.constant(RNG.random(64) < 0.5))
        slow = _warp(images, move.matrix(height, width), "NEAREST")
        np.testing.assert_array_equal(_shift_and_flip(images, move, 4, reflect=False), slow)


@pytest.mark.parametrize(
    "changes",
    [
        {"translate": 0.2},
        {"crop": 0.2},
        {"flip": True},
        {"crop": 0.2, "flip": True, "rotate": 20, "zoom": 0.2},
        {"translate": 0.2, "flip": True, "rotate": 40, "zoom": 0.2, "cutout": 0.5, "brightness": 0.5},
    ],
)
def test_masks_move_with_their_images(changes):
    """A mask that is a blurred image above its half is that again when both have moved, but at its edge."""
    blobs = np.zeros((64, 33, 40), np.float32)
    y, x = np.mgrid[:33, :40]
    for blob in blobs:
        for _ in range(3):
            cy, cx, width = RNG.uniform(6, 27), RNG.uniform(6, 34), RNG.uniform(3, 6)
            np.maximum(blob, np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / width**2), out=blob)
    images, masks = np.uint8(blobs * 255)[..., None], np.uint8(7 * (blobs > 0.5))
    options = Augment(**changes)
    moved, seen = augment(tf.constant(images), tf.constant(masks), options, SEED, target="masks")
    assert (seen.dtype, seen.shape) == (tf.uint8, masks.shape)
    assert set(np.unique(seen)) == {0, 7}  # nothing in between
    np.testing.assert_array_equal(moved, changed(images, **changes))  # images do not change otherwise for having masks
    if not options.cutout and not options.brightness:
        expected = moved.numpy()[..., 0]
        wrong = (seen.numpy() > 0) != (expected > 0.5)
        assert wrong.mean() < 0.02
        assert (abs(expected[wrong] - 0.5) < 0.25).all()
        assert ((masks > 0) != (seen > 0)).numpy().mean() > 0.05  # had they stayed
    else:  # which masks are not touched by
        plain = {key: value for key, value in changes.items() if key not in ("cutout", "brightness")}
        _, same = augment(tf.constant(images), tf.constant(masks), Augment(**plain), SEED, target="masks")
        np.testing.assert_array_equal(seen, same)


def test_zoom_scales_about_the_centre():
    square = np.zeros((64, 21, 31, 1), np.uint8)
    square[:, 6:15, 11:20] = 255
    zoomed = changed(square, zoom=0.3)
    assert np.allclose(zoomed, zoomed[:, ::-1, ::-1], atol=1e-5)
    areas = zoomed.sum((1, 2, 3)) / 81
    assert 0.45 < areas.min() < 0.6
    assert 1.5 < areas.max() < 1.75


def test_cutout_blackens_one_square():
    black = (changed(np.repeat(IMAGES, 20, 0), cutout=0.4) == 0).all(-1)  # a side of 4
    assert black.sum((1, 2)).max() == 16
    assert black.sum((1, 2)).min() >= 4  # at a corner, a quarter of it
    assert black.any(0).all()  # its centre may be anywhere: no pixel is spared
    assert black[:, 0].any(1).mean() == pytest.approx(3 / 12, abs=0.05)  # centres of rows 0, 1 and 2 reach the edge


def test_brightness_adds_one_number_to_an_image():
    grey = np.full((64, 4, 4, 1), 128, np.uint8)
    results = changed(grey, brightness=0.25)
    assert np.ptp(results, axis=(1, 2, 3)).max() == 0
    offsets = results[:, 0, 0, 0] - np.float32(128 / 255)
    assert -0.25 <= offsets.min() < -0.15
    assert 0.15 < offsets.max() <= 0.25
