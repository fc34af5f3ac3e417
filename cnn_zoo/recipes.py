"""Recipes: how long and how a model is trained, and on what images, as data with a reason beside each number."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from .core.errors import UsageError, check_choice, check_flag, check_number, unknown
from .data.augment import Augment


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        optimizer: "adam", "adamw", "sgd" or "muon" (optimization.Muon), the last two with Nesterov momentum 0.9.
        learning_rate: the largest of the training.
        schedule: "constant", or "linear": up from a tenth over `warmup`, then down to zero.
        warmup: fraction of the training in which the learning rate rises; with the schedule "linear".
        batch_size: images a step.
        epochs: passes over the training images; None: as many as show `images` images, within `least` and `most`.
        images, least, most: see epochs.
        weight_decay: of the kernels, times the learning rate; not with "adam" (arXiv:1711.05101).
        label_smoothing: part of the probability that is spread over all classes (arXiv:1512.00567).
        background_weight: of background pixels in the loss of a segmentation; others have 1.
        augment: changes to the training images, an Augment or a dict of its attributes; kept as a dict.
        vary_after: epochs; a training that is not longer sees the images as they are.
        flip: flip images as well where they are known to be of the same class then, as Data.mirrored says.
        early_stopping: stop after so many epochs without a lower validation loss, and keep the best; 0: never.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.0
    batch_size: int = 32
    epochs: int | None = None
    images: int = 60_000
    least: int = 1
    most: int = 100
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    background_weight: float = 1.0
    augment: dict[str, Any] = dataclasses.field(default_factory=dict)
    vary_after: int = 0
    flip: bool = False
    early_stopping: int = 0

    def __post_init__(self):
        check_choice("optimizer", self.optimizer, ("adam", "adamw", "sgd", "muon"))
        check_choice("schedule", self.schedule, ("constant", "linear"))
        counts = {"batch_size": 1, "images": 1, "least": 1, "most": self.least, "early_stopping": 0, "vary_after": 0}
        for name, least in (counts if self.epochs is None else counts | {"epochs": 1}).items():
            check_number(name, getattr(self, name), least, whole=True)
        for name in ("learning_rate", "weight_decay", "background_weight", "warmup", "label_smoothing"):
            check_number(name, getattr(self, name), below=1 if name in ("warmup", "label_smoothing") else math.inf)
        check_flag("flip", self.flip)
        if self.weight_decay and self.optimizer == "adam":
            raise UsageError(f'weight_decay must be 0 with "adam", else use "adamw"; got {self.weight_decay!r}')
        if self.warmup and self.schedule == "constant":
            raise UsageError(f'warmup must be 0 with the schedule "constant"; got {self.warmup!r}')
        object.__setattr__(self, "augment", Augment.of(self.augment).changes())  # the class is frozen for others

    def epochs_for(self, train_images: int) -> int:
        """The number of epochs for a training set of that many images."""
        if self.epochs is not None:
            return self.epochs
        return min(max(math.ceil(self.images / train_images), self.least), self.most)

    def for_data(self, train_images: int, mirrored: bool) -> Recipe:
        """This recipe with the epochs and the augmentation for a data set of that size; mirrored: see Data."""
        epochs = self.epochs_for(train_images)
        flip = {"flip": True} if self.flip and mirrored else {}
        augment = {**self.augment, **flip} if epochs > self.vary_after else {}
        return dataclasses.replace(self, epochs=epochs, augment=augment, vary_after=0, flip=False)

    def make_optimizer(self, steps: int, dtype: str = "float32"):
        """A Keras optimizer for a training of that many steps, whose model computes in that dtype."""
        import keras

        rate = self.learning_rate
        if self.schedule == "linear":
            from .nn.optimization import LinearDecay

            rate = LinearDecay(rate, steps, self.warmup)
        if self.optimizer == "adam":
            return keras.optimizers.Adam(rate)
        if self.optimizer == "adamw":
            optimizer = keras.optimizers.AdamW(rate, weight_decay=self.weight_decay)
        elif self.optimizer == "muon":
            from .nn.optimization import Muon

            decay = {"weight_decay": self.weight_decay, "adam_weight_decay": self.weight_decay}
            dtype = "float32" if dtype == "float16" else dtype  # whose smallest numbers are too large for it
            optimizer = Muon(rate, momentum=0.9, exclude_layers=["predictions"], iteration_dtype=dtype, **decay)
        else:
            decay = self.weight_decay or None
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
        if self.weight_decay:
            optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        return optimizer


RECIPES = {
    # What an introduction would do: Keras' defaults, no augmentation, no schedule.
    "baseline": Recipe(epochs=5),
    # The least time to a good result. Chosen by validation accuracy on a quarter of the embedded training digits, a few
    # seeds each, among Adam, AdamW and SGD, batches of 32 to 128, and weaker and stronger augmentation; many margins
    # were within the seeds' spread.
    "fast": Recipe(
        optimizer="adamw",
        learning_rate=4e-3,  # four times Adam's default, which the warm-up and the decay to zero make safe
        schedule="linear",
        warmup=0.1,
        batch_size=128,  # larger steps are cheaper on a CPU; at 256 a few thousand images make too few of them
        images=72_000,  # twenty epochs of the embedded digits: under half a minute for the stack on two cores
        least=3,  # with fewer, the learning rate falls before the net has seen much
        weight_decay=0.3,  # large because it is multiplied by the learning rate
        augment={"translate": 0.04, "rotate": 10.0, "zoom": 0.1},  # a pixel, ten degrees, a tenth, as handwriting does
    ),
    # The best result in some minutes.
    "accurate": Recipe(
        optimizer="adamw",
        learning_rate=4e-3,
        schedule="linear",
        warmup=0.1,
        batch_size=128,
        images=1_200_000,  # twenty epochs of MNIST
        weight_decay=0.3,
        label_smoothing=0.1,
        augment={"translate": 0.04},
        flip=True,
    ),
    # For colour photos in few epochs: see optimization.Muon. Chosen on CIFAR-10 with zoonet_large alone, by hand
    # (benchmarks/README.md); on Fashion-MNIST conv_stack does without the shifts.
    "muon": Recipe(
        optimizer="muon",
        learning_rate=0.01,  # the only one tried
        schedule="linear",
        warmup=0.25,
        batch_size=128,
        images=400_000,  # eight epochs of CIFAR-10
        weight_decay=0.1,
        label_smoothing=0.1,
        augment={"crop": 0.0625},  # two pixels of 32; 87.0 % of held-out images, 86.7 without
        flip=True,
    ),
    # Almost four times as long, over more varied images. Chosen with zoonet_large too, by 5,000 held-out images of
    # CIFAR-10, single seeds of 24 epochs; thirty are what twelve minutes of two cores with AMX hold.
    "long": Recipe(
        optimizer="muon",
        learning_rate=0.014,  # 0.01 and 0.02 with batches of 128 end within 0.1 points of it
        schedule="linear",
        warmup=0.25,
        batch_size=256,  # as good as 128, and Muon's own work, which is per step, is halved
        images=1_500_000,  # thirty epochs of CIFAR-10
        weight_decay=0.1,
        label_smoothing=0.1,
        augment={"crop": 0.125, "cutout": 0.25},  # four and eight pixels of 32; 93.2 %, without cutout 92.8
        flip=True,
    ),
}
# What these names stand for when the model was seen to bear far larger steps. "fast" was chosen by validation accuracy
# of zoonet on a tenth of MNIST's training images; results/selection.csv has what changes to it are worth, over three
# seeds of one epoch each (benchmarks/selection.py). The numbers of "accurate" were tried on single seeds only.
LARGE_STEPS = {
    "fast": Recipe(
        optimizer="sgd",
        learning_rate=0.8,  # 0.5 and 1.2 are within a standard deviation of it
        schedule="linear",
        warmup=0.25,  # over a tenth: no better
        batch_size=128,  # 64: no better; 256: less accurate
        images=108_000,  # two epochs of MNIST, thirty of the embedded digits
        label_smoothing=0.1,  # without it a quarter of a point less, the largest effect of all
        augment={"translate": 0.04},  # a pixel of 28
        vary_after=2,  # images that are seen once or twice gain nothing from being shifted
    ),
    "accurate": Recipe(
        optimizer="sgd",
        learning_rate=0.5,
        schedule="linear",
        warmup=0.25,
        batch_size=128,
        images=1_200_000,  # twenty epochs of MNIST
        weight_decay=5e-3,  # times the learning rate
        label_smoothing=0.1,
        augment={"translate": 0.0625},  # a pixel or two
        flip=True,
        vary_after=8,  # by hand, Fashion-MNIST, 7 epochs, one seed, validation: 94.0 % as they are, 93.4, 93.6 varied
    ),
}


def get_recipe(
    recipe: str | Recipe, *, large_steps: bool = False, own: Mapping[str, Recipe] | None = None, **changes: Any
) -> Recipe:
    """A recipe by name, or the one given, with changes to its attributes.

    Args:
        recipe: a name in RECIPES, or a Recipe, which is taken as it is.
        large_steps: whether the model bears them: a name may stand for another recipe then.
        own: a task's recipes of these names.
        changes: attributes and their values; None leaves one as it is. With another batch size, the learning rate of
            "sgd" changes in proportion (arXiv:1706.02677), unless one is given.
    """
    if not isinstance(recipe, Recipe):
        named = {**RECIPES, **(LARGE_STEPS if large_steps else {}), **(own or {})}
        if not isinstance(recipe, str) or recipe not in named:
            raise UsageError(unknown("recipe", recipe, named))
        recipe = named[recipe]
    changes = {name: value for name, value in changes.items() if value is not None}
    changed = dataclasses.replace(recipe, **changes)
    if recipe.optimizer == changed.optimizer == "sgd" and "learning_rate" not in changes:
        rate = recipe.learning_rate * changed.batch_size / recipe.batch_size
        changed = dataclasses.replace(changed, learning_rate=rate)
    return changed
