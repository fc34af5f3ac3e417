"""Where images come from: sets that have a name, among them those that a program adds, folders, tables and arrays."""

import dataclasses
import inspect
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import DataError, MissingError, OptionError, UsageError, unknown
from ..core.text import shown
from . import arrays, folder, listing, scenes, table, tfds
from .images import adapt, adapt_masks
from .source import MEMORY_LIMIT, Source

GENERAL = (  # which a reader may ask for by name
    "image_size", "channels", "fit", "skip_broken", "max_pixels", "groups", "class_names", "memory_limit", "progress",
)  # fmt: skip
FILES = "labels", "multi_hot"  # what tables and arrays hold
BATCHING = ("batch_size", "epochs", "augment", "seed")
SOURCES: dict[str, "Reader"] = {}


class Reader(NamedTuple):
    """What add_source was told."""

    read: Callable[..., Source | listing.Listing]
    targets: tuple[str, ...] = ("labels",)
    mirrored: bool = False
    training_images_of: tuple[str, ...] = ()

    @property
    def parameters(self) -> list[str]:
        """What `read` takes beside the target."""
        return list(inspect.signature(self.read).parameters)[1:]


def add_source(
    name: str,
    read: Callable[..., Source],
    *,
    targets: tuple[str, ...] = ("labels",),
    mirrored: bool = False,
    training_images_of: tuple[str, ...] = (),
) -> None:
    """Make a data set known to load_data, train and the command line by a name.

    Args:
        name: its name; UsageError if it is taken.
        read: called with the kind of targets, and by name with those of GENERAL, and `name`, that it has as parameters;
            what else it has are options of its own, which load_data passes on. Sizes and channels are adapted after it.
        targets: the kinds of targets that it can give; the first is meant where none is asked for.
        mirrored: whether an image is known to be of the same class when left and right are exchanged.
        training_images_of: other sets whose training images all its images are: evaluate says so.
    """
    if not isinstance(name, str) or not callable(read):
        raise UsageError(f"a data set has a text as its name and a function that reads it; got {shown((name, read))}")
    if name in SOURCES:
        raise UsageError(f"a data set named {name!r} is already there, read by {SOURCES[name].read.__module__}")
    SOURCES[name] = Reader(read, targets, mirrored, training_images_of)


add_source("mnist5k", scenes.read_digits, training_images_of=("mnist",))
add_source("scenes", scenes.read, targets=("masks", "multi_hot"))
for _name, _mirrored in tfds.MIRRORED.items():
    add_source(_name, tfds.read, mirrored=_mirrored)


def list_datasets() -> list[str]:
    """Names that load_data knows: the embedded sets and the image-classification sets of tensorflow_datasets."""
    return sorted(SOURCES)


def training_images_of(name: str) -> tuple[str, ...]:
    """The data sets whose training images all images of that one are."""
    return SOURCES[name].training_images_of if name in SOURCES else ()


def check_data_name(name: str | Path) -> Reader:
    """The reader of a data set, by a name such as "mnist" or "emnist/letters", or of a folder, else a one-line error.

    A Path is a folder, and so is what has a slash and is there: "./mnist", "mnist/" and "mnist/train" are not MNIST.
    """
    text, is_folder = os.fspath(name), os.path.isdir(name)
    found, slash = SOURCES.get(text.split("/")[0]), "/" in text
    if found and not isinstance(name, Path) and not (slash and (is_folder or "name" not in found.parameters)):
        if slash and not re.fullmatch(r"\w+/\w[\w.-]*", text, re.ASCII):  # tensorflow_datasets reads arguments there
            raise UsageError(f"a data set is NAME or NAME/CONFIG, of letters, digits, _, - and .; got {text!r}")
        return found
    if is_folder:
        return Reader(folder.read)
    ending = os.path.splitext(text)[1].lower()
    if ending in (".csv", ".tsv", ".npz") and os.path.exists(text):
        return Reader(arrays.read_npz if ending == ".npz" else table.read, FILES)
    if os.path.exists(text):
        found = "not a folder; give a folder with one sub-folder of images per class, or a .csv or .npz file"
        raise DataError(f"{text}: {found}")
    if os.sep in text or text.startswith(".") or isinstance(name, Path):
        raise MissingError(f"{text}: no such folder")
    raise UsageError(unknown("data set", text, SOURCES, "cnn-zoo data") + " (nor is there a folder of that name)")


def read_source(name: Any, target: str | None = None, *, own: dict[str, Any] | None = None, **general: Any) -> Source:
    """Read a data set, a folder or arrays, with options of its own and those of GENERAL, as load_data takes them."""
    if isinstance(name, Source):
        found, title = Reader(lambda target: name, (name.target,), name.mirrored), name.name
    elif isinstance(name, tuple | list):
        found, title = Reader(arrays.read_arrays, FILES), "a pair of arrays"
    elif table.is_table(name) and not isinstance(name, str | os.PathLike):
        found, title = Reader(table.read, FILES), "a table"
    elif hasattr(name, "element_spec"):
        found, title = Reader(arrays.read_dataset, FILES), "a tf.data.Dataset"
    elif isinstance(name, str | os.PathLike):
        found, title = check_data_name(name), os.fspath(name)
        if found.read is not folder.read and os.path.isdir(name):
            message = f"{name} is the data set of that name here; write ./{name} for the folder"
            general["progress"](message) if general.get("progress") else warnings.warn(message, stacklevel=3)
    else:
        kinds = "a name, a folder, a table of files, a pair of arrays, a tf.data.Dataset or a Source"
        raise UsageError(f"a data set is {kinds}; got {type(name).__name__}")
    target = found.targets[0] if target is None else target
    if not isinstance(target, str) or target not in found.targets:
        wanted = target if isinstance(target, str) else ""
        others = sorted(other for other, reader in SOURCES.items() if wanted in reader.targets)
        several = ", ".join(others) if len(others) < 6 else "most sets that cnn-zoo data lists"
        hint = f"{target} are in: {several}" if others else f"no data set here has {shown(target, 40)}"
        raise UsageError(f"{title} has {' and '.join(found.targets)}; {hint}")
    for option in own or {}:
        if option in BATCHING:
            raise OptionError(f"{option} is an option of data.batches, not of load_data")
        if option not in found.parameters:
            choices = {*GENERAL, "target", "validation", *found.parameters} - {"name"}
            raise OptionError(unknown(f"option of {title}", option, choices))
    if general.get("groups") is not None and "groups" not in found.parameters:
        raise UsageError(f"groups are found in the paths of files or in a table; {title} has neither")
    general["progress"] = general.get("progress") or (lambda message: None)
    general["fit"] = general.get("fit") or "stretch"
    if target == "masks" and general["fit"] != "stretch":
        raise UsageError(f"masks are stretched with their images; got fit={general['fit']!r}")
    offered = {"name": name, **dict.fromkeys(GENERAL), "memory_limit": MEMORY_LIMIT, **general}
    source = found.read(target, **{key: offered[key] for key in found.parameters if key in offered}, **(own or {}))
    if isinstance(source, listing.Listing):
        others = {"name", "groups", "class_names"}
        source = listing.read(source, **{key: value for key, value in offered.items() if key not in others})
    images = adapt(source.images, *(offered[name] for name in ("image_size", "channels", "memory_limit", "fit")))
    targets = adapt_masks(source.targets, images.shape[1:3]) if target == "masks" else source.targets
    changed = {"images": images, "targets": targets, "mirrored": source.mirrored or found.mirrored}
    return dataclasses.replace(source, **changed, notes=list(source.notes))
