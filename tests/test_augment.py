"""Augmentation: each change does what it says, to each image its own, and the same for the same seed."""

import numpy as np
import pytest
import tensorflow as tf

from cnn_zoo import Augment
from cnn_zoo.core.errors import UsageError
from cnn_zoo.data.transforms import _shift_and_flip, _transform, augment, to_float

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(1, 256, (64, 12, 10, 3), dtype=np.uint8)
SEED = tf.constant([5, 7], tf.int64)


def changed(images=IMAGES, seed=SEED, **how):
    return augment(tf.constant(images), Augment(**how), seed).numpy()


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
    "how",
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
def test_the_same_seed_changes_alike_and_images_differ(how):
    first = changed(**how)
    assert (first.shape, first.dtype) == (IMAGES.shape, np.float32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert np.array_equal(first, changed(**how))
    assert not np.array_equal(first, changed(seed=SEED + 1, **how))
    alike = changed(images=np.repeat(IMAGES[:1], 64, 0), **how)
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
    mirrored = RNG.random(64) < 0.5
    moved = _shift_and_flip(tf.constant(IMAGES), down, right, mirrored, columns, reflect=fill == "reflect")
    for image, y, x, flip, result in zip(padded, rows + down, columns + right, mirrored, moved.numpy(), strict=True):
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


def test_an_image_is_shifted_and_mirrored_before_it_is_turned():
    images = np.zeros((64, 40, 30, 3), np.uint8)
    images[:, 14:26, 10:20] = IMAGES  # far enough from the border for nothing to be lost
    down, right = (tf.constant(RNG.integers(-3, 4, 64, dtype=np.int32)) for _ in range(2))
    mirrored, degrees = tf.constant(RNG.random(64) < 0.5), tf.constant(RNG.uniform(-20, 20, 64), tf.float32)
    scale, still = tf.constant(RNG.uniform(0.8, 1.2, 64), tf.float32), tf.zeros(64, tf.int32)
    moved = _shift_and_flip(tf.constant(images), down, right, mirrored, 3, reflect=False)
    one_by_one = _transform(to_float(moved), still, still, None, degrees, scale)
    at_once = _transform(to_float(tf.constant(images)), down, right, mirrored, degrees, scale)
    np.testing.assert_allclose(at_once, one_by_one, atol=1e-4)


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
