"""Scenes of digits: the same bits everywhere, and each rule of how they are made."""

import hashlib
import json

import numpy as np
import pytest

from cnn_zoo import load_data
from cnn_zoo.core.errors import DataError, OptionError, UsageError
from cnn_zoo.data.scenes import compose, paint, resized
from conftest import in_source_order

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def scenes():
    return load_data("scenes")


@pytest.fixture(scope="module")
def composed(digits):
    """200 scenes as lists of digits, of the training split."""
    images, labels = digits.images("train")[..., 0], digits.targets("train")
    return [compose(np.random.default_rng(i), images, labels, (64, 64), (1, 4), (14, 30)) for i in range(200)]


def bounds(pixels):
    """What is not black, as bytes."""
    rows, columns = (np.flatnonzero(pixels.any(axis)) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].tobytes()


def test_a_scene_has_the_same_bits_on_every_machine(scenes):
    pinned = {
        "train": ("53b7536e320b242a", "b33d7c66533b04d6"),
        "validation": ("bf8b9439b9fb3989", "d1aab26baa3f64bc"),
        "test": ("b55328aceaaa6d41", "e8a5c2365862794d"),
    }
    for split in SPLITS:
        arrays = in_source_order(scenes, split)
        assert tuple(hashlib.sha256(array.tobytes()).hexdigest()[:16] for array in arrays) == pinned[split], split


def test_scenes_with_masks_are_a_data_set(scenes):
    assert (scenes.target, scenes.num_classes, scenes.input_shape) == ("masks", 11, (64, 64, 1))
    assert scenes.class_names == ["background", *"0123456789"]
    assert [len(scenes.splits[split]) for split in SPLITS] == [4000, 500, 500]
    assert not scenes.mirrored
    images, masks = next(iter(scenes.batches("train", batch_size=20)))
    assert (images.shape, images.dtype, masks.shape, masks.dtype) == ((20, 64, 64, 1), "float32", (20, 64, 64), "uint8")
    counts = scenes.class_counts("test")
    assert sum(counts) == 500 * 64 * 64
    assert min(counts[1:]) > 5000
    assert len({image.tobytes() for image in scenes.images("train")}) == 4000


def test_digits_of_a_scene_are_those_of_its_own_split_and_its_mask_is_their_ink_above_three_tenths(digits):
    data = load_data("scenes", counts=(60, 60, 60), digits=(1, 1), digit_size=(28, 28), noise=0.0)
    pairs = {split: zip(digits.images(split)[..., 0], digits.targets(split), strict=True) for split in SPLITS}
    known = {split: {bounds(image): label for image, label in pairs[split]} for split in SPLITS}
    for split in SPLITS:
        others = set().union(*(known[other] for other in SPLITS if other != split))
        for image, mask in zip(data.images(split)[..., 0], data.targets(split), strict=True):
            digit = bounds(image)
            assert digit not in others
            np.testing.assert_array_equal(mask, (known[split][digit] + 1) * (image / 255 > 0.3))


def test_numbers_and_sizes_of_digits_are_within_their_limits(composed):
    assert {len(scene) for scene in composed} == {1, 2, 3, 4}
    assert {len(digit.ink) for scene in composed for digit in scene} == set(range(14, 31))
    assert {digit.label for scene in composed for digit in scene} == set(range(10))
    for digit in (digit for scene in composed for digit in scene):
        assert min(digit.row, digit.column) >= 0
        assert max(digit.row, digit.column) + len(digit.ink) <= 64


def test_later_digits_lie_over_earlier_ones_and_hide_at_most_a_third_of_their_ink(composed):
    shares = []
    for scene in composed:
        page, top = paint(scene, (64, 64))
        inks = np.zeros((len(scene), 64, 64), int)
        for ink, digit in zip(inks, scene, strict=True):
            ink[digit.row : digit.row + len(digit.ink), digit.column : digit.column + len(digit.ink)] = digit.ink
        solid = inks / 255 > 0.3
        highest = np.max(np.arange(1, len(scene) + 1)[:, None, None] * solid, axis=0)
        np.testing.assert_array_equal(top, highest)
        chosen = np.take_along_axis(inks, np.maximum(highest, 1)[None] - 1, 0)[0]
        np.testing.assert_array_equal(page[highest > 0], chosen[highest > 0])
        for number, (ink, mine) in enumerate(zip(inks, solid, strict=True), 1):
            shares.append(ink[mine & (highest == number)].sum() / ink[mine].sum())
    assert 2 / 3 <= min(shares) < 0.75
    assert 0.05 < np.mean(np.array(shares) < 1) < 0.5


def test_noise_is_gaussian_and_cut_off_at_black(scenes):
    background = scenes.images("test")[..., 0][:, :8, :8][scenes.targets("test")[:, :8, :8] == 0] / 255
    background = background[background < 0.25]  # the faint edges of digits
    assert background.mean() == pytest.approx(0.05 / np.sqrt(2 * np.pi), rel=0.05)
    assert (background > 0.05).mean() == pytest.approx(0.159, abs=0.02)


def test_fewer_scenes_are_the_first_of_more_and_options_lead_to_the_same_again(scenes):
    few = load_data("scenes", counts=[7, 2, 3], target="masks")
    for split, count in zip(SPLITS, (7, 2, 3), strict=True):
        for some, all_of_them in zip(in_source_order(few, split), in_source_order(scenes, split), strict=True):
            np.testing.assert_array_equal(some, all_of_them[:count])
    options = {"counts": (7, 2, 3), "digits": (2, 2), "digit_size": (20, 24), "noise": 0.1, "image_size": (48, 80)}
    other = load_data("scenes", **options)
    assert other.input_shape == (48, 80, 1)
    assert load_data("scenes", **json.loads(json.dumps(other.options))).digest == other.digest != few.digest


def test_masks_of_a_batch_move_with_their_images(scenes):
    clean = load_data("scenes", counts=(64, 2, 2), noise=0.0, digits=(1, 1))
    changes = {"crop": 0.1, "flip": True}
    for images, masks in clean.batches("train", batch_size=64, epochs=(0, 2), augment=changes):
        assert np.array_equal(masks > 0, images[..., 0] > 0.3)
        assert not np.array_equal(masks, clean.targets("train"))


def test_the_size_of_a_digit_changes_as_area_does():
    ramp = np.arange(28, dtype=np.uint8)[:, None] * 9 + np.zeros(28, np.uint8)
    for side in (14, 21, 30):
        expected = ((np.arange(side) + 0.5) * 28 / side - 0.5) * 9
        np.testing.assert_allclose(resized(ramp, side)[3:-3, 5], expected[3:-3], atol=0.51)
    np.testing.assert_array_equal(resized(ramp, 28), ramp)
    assert (resized(np.full((28, 28), 255, np.uint8), 17) == 255).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": (5, 5)}, r"counts must be 3 integers; got \(5, 5\)"),
        ({"counts": 5000}, "counts must be 3 integers; got 5000"),
        ({"digits": (0, 3)}, "digits must be an integer of at least 1; got 0"),
        ({"digits": (3, 2)}, "the most of digits must be an integer of at least 3; got 2"),
        ({"digit_size": (14, 30), "image_size": 24}, "the most of digit_size must be .* at most 24; got 30"),
        ({"noise": 2}, "noise must be a number of at least 0 and at most 1; got 2"),
        ({"digits": (40, 40), "counts": (1, 1, 1)}, r"no room for \d+ digits, .* in scenes of 64x64"),
        ({"target": "labels"}, "scenes has masks and multi_hot; labels are in: most sets that cnn-zoo data lists"),
        ({"count": 3}, "unknown option of scenes 'count'; did you mean counts"),
    ],
)
def test_what_scenes_cannot_be_is_said(options, message):
    with pytest.raises((UsageError, OptionError, DataError), match=message):
        load_data("scenes", **options)
