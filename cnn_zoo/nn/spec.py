"""What a builder is told."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Spec:
    """What build_model was asked for, checked, with the family's defaults filled in. Builders read it."""

    name: str
    input_shape: tuple[int | None, ...]  # the sides, None where they are free, and the channels
    num_classes: int = 10
    layout: str = "small"
    include_top: bool = True
    pooling: str | None = None
    activation: Any = "relu"
    classifier_activation: str | None = "softmax"
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    batch_norm: bool = False

    @property
    def sides(self) -> tuple[int | None, ...]:
        """(length,), (height, width) or (frames, height, width)."""
        return self.input_shape[:-1]
