"""Where images come from: sets that have a name, among them those that a program adds, folders and arrays."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import DataError, MissingError, OptionError, UsageError, unknown
from . import arrays, folder, scenes, tfds
from .images import adapt, adapt_masks
from .source import MEMORY_LIMIT, Source

GENERAL = ("image_size", "channels", "skip_broken", "memory_limit", "progress")  # which a reader may ask for by name
BATCHING = ("batch_size", "epochs", "augment", "seed")


@dataclasses.dataclass(frozen=True)
class Reader:
    """What add_source was told."""

    read: Callable[..., Source]
    targets: tuple[str, ...] = ("labels",)
    mirrored: bool = False

    @property
    def parameters(self) -> list[str]:
        """What `read` takes beside the target."""
        return list(inspect.signature(self.read).parameters)[1:]


SOURCES: dict[str, Reader] = {}


def add_source(
    name: str, read: Callable[..., Source], *, targets: tuple[str, ...] = ("labels",), mirrored: bool = False
) -> None:
    """Make a data set known to load_data, train and the command line by a name.

    Args:
        name: its name; UsageError if it is taken.
        read: called with the kind of targets, and by name with those of GENERAL, and `name`, that it has as parameters;
            what else it has are options of its own, which load_data passes on. Images of a reader that has no
            image_size or channels are adapted here.
        targets: the kinds of targets that it can give; the first is meant where none is asked for.
        mirrored: whether an image is known to be of the same class when left and right are exchanged.
    """
    if name in SOURCES:
        raise UsageError(f"a data set named {name!r} is already there, read by {SOURCES[name].read.__module__}")
    SOURCES[name] = Reader(read, targets, mirrored)


add_source("mnist5k", arrays.read_digits)
add_source("scenes", scenes.read, targets=("masks",))
for _name in tfds.TFDS:
    add_source(_name, tfds.read, mirrored=_name not in tfds.HANDED)


def list_datasets() -> list[str]:
    """Names that load_data knows: the embedded sets and the image-classification sets of tensorflow_datasets."""
    return sorted(SOURCES)


def reader(name: str | Path) -> Reader | None:
    """The reader of a data set, by a name such as "mnist" or "emnist/letters"; None if a folder is meant.

    A Path is a folder, and so is what has a slash and is there: "./mnist", "mnist/" and "mnist/train" are not MNIST.
    """
    text = os.fspath(name)
    found = SOURCES.get(text.split("/")[0])
    if found is None or isinstance(name, Path):
        return None
    if "/" in text:
        if os.path.isdir(text) or "name" not in found.parameters:
            return None
        if not re.fullmatch(r"\w+/\w[\w.-]*", text, re.ASCII):  # tensorflow_datasets reads arguments out of others
            raise UsageError(f"a data set is NAME or NAME/CONFIG, of letters, digits, _, - and .; got {text!r}")
    return found


def check_data_name(name: str | Path) -> str | Path:
    """Return the name if it is a known data set or a folder, else raise a one-line error."""
    text = os.fspath(name)
    if reader(name) or os.path.isdir(text):
        return name
    if os.path.exists(text):
        raise DataError(f"{text}: not a folder; give a folder with one sub-folder of images per class")
    if os.sep in text or text.startswith(".") or isinstance(name, Path):
        raise MissingError(f"{text}: no such folder")
    message = unknown("data set", text, SOURCES, "cnn-zoo data")
    raise UsageError(f"{message} (nor is there a folder of that name)")


def read_source(name: Any, target: str | None = None, *, own: dict[str, Any] | None = None, **general: Any) -> Source:
    """Read a data set, a folder or arrays, with options of its own and those of GENERAL, as load_data takes them."""
    if isinstance(name, Source):
        found, title = Reader(lambda target: name, (name.target,), name.mirrored), name.name
    elif isinstance(name, tuple):
        found, title = Reader(arrays.read), "a pair of arrays"
    elif isinstance(name, str | os.PathLike):
        check_data_name(name)
        found, title = reader(name) or Reader(folder.read), os.fspath(name)
        if found.read is not folder.read and os.path.isdir(name):
            message = f"{name} is the data set of that name here; write ./{name} for the folder"
            general["progress"](message) if general.get("progress") else warnings.warn(message, stacklevel=3)
    else:
        raise UsageError(f"a data set is a name, a folder, a pair of arrays or a Source; got {type(name).__name__}")
    target = found.targets[0] if target is None else target
    if target not in found.targets:
        others = sorted(other for other, reader in SOURCES.items() if target in reader.targets)
        hint = f"{target} are in: {', '.join(others)}" if others else f"no data set here has {target!r:.40}"
        raise UsageError(f"{title} has {' and '.join(found.targets)}; {hint}")
    for option in own or {}:
        if option in BATCHING:
            raise OptionError(f"{option} is an option of data.batches, not of load_data")
        if option not in found.parameters:
            choices = {*GENERAL, "target", "validation", *found.parameters} - {"name"}
            raise OptionError(unknown(f"option of {title}", option, choices))
    general["progress"] = general.get("progress") or (lambda message: None)
    offered = {"name": name, **dict.fromkeys(GENERAL), "memory_limit": MEMORY_LIMIT, **general}
    source = found.read(target, **{key: offered[key] for key in found.parameters if key in offered}, **(own or {}))
    size, channels = offered["image_size"], offered["channels"]
    images = adapt(source.images, size, channels, offered["memory_limit"])
    targets = adapt_masks(source.targets, images.shape[1:3]) if target == "masks" else source.targets
    return dataclasses.replace(source, images=images, targets=targets, mirrored=source.mirrored or found.mirrored)
