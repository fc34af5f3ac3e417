"""What is changed in training images at random, and how much; transforms.py does it."""

import dataclasses
from typing import Any, Self

from ..core.errors import UsageError, check_flag, check_number, unknown
from ..core.text import shown


@dataclasses.dataclass(frozen=True)
class Augment:
    """How much training images are changed at random; 0 or False: not at all.

    Attributes:
        translate: largest shift, as a fraction of the side, by whole pixels; what is uncovered is black.
        crop: the same, filled by reflection: a random crop of the padded image. Not together with translate.
        flip: left and right exchanged, half of the time; in training batches, in every other epoch, the first or the
            second as drawn for each image (arXiv:2404.00498, section 3.6). Never for digits or letters.
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
    def of(cls, value: Self | dict[str, Any] | None) -> Self:
        """An Augment, or one from a dict of its attributes; None: no augmentation."""
        if isinstance(value, cls):
            return value
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise UsageError(f"augment must be a dict such as {{'flip': True}}; got {shown(value)}")
        names = [field.name for field in dataclasses.fields(cls)]
        for name in value.keys() - names:
            raise UsageError(unknown("augmentation", name, names))
        return cls(**value)

    def changes(self) -> dict[str, Any]:
        """The attributes that change something."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}

    def __bool__(self) -> bool:
        return bool(self.changes())
