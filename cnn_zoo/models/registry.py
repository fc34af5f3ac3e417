"""The register of models: names, and what the family files say of them.

Listing names imports no framework: they stand in catalogue.csv, which tools/update.py writes from the family files.
"""

import csv
import fnmatch
import functools
import importlib
import inspect
import os
import pkgutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UsageError, unknown
from ..core.machine import quiet_import
from ..core.text import shown

BOTH_LAYOUTS = {"paper": (224, 224, 3), "small": (32, 32, 3)}  # of most families
SAME_FAMILIES = {"multilabel": "classification"}  # tasks that need another head alone
LAYOUTS = ("auto", "paper", "small")
SMALL_BELOW = 96  # pixels: the shorter side below which layout="auto" means "small"
INPUTS = {  # by the rank of the kernels
    1: "signals (length, channels)", 2: "images (height, width, channels)",
    3: "videos (frames, height, width, channels)",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """What a family file registers under one name."""

    name: str
    family: str
    build: Callable[..., Any]
    layouts: dict[str, tuple[int, ...]]  # layout -> the input shape it is published for
    year: int
    paper: str  # DOI or arXiv number; "" for a net of this zoo's own
    dropout: float = 0.0  # this, batch_norm and activation: the family's own setting of these options
    batch_norm: bool | str = False  # or the one layout that has it
    activation: str = "relu"
    torch: tuple[tuple[str, str], ...] = ()  # layer name -> PyTorch module name, see weights/torch.py
    task: str = "classification"  # a name in tasks.TASKS
    large_steps: bool = False  # whether it is trained with the large learning rates of recipes.LARGE_STEPS
    ranks: tuple[int, ...] = tuple(INPUTS)  # of its kernels: (2,) for images alone
    prepare: Callable[..., None] | None = None  # train calls prepare(new model, its images as float32 in [0, 1])

    def options(self) -> dict[str, Any]:
        """The family's own options, beyond those that every model has, and their defaults."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


_ENTRIES: dict[str, Entry] = {}


def register(*names: str, year: int, paper: str, layouts: dict[str, tuple] | None = None, **own: Any) -> Callable:
    """Register a builder under one or more names.

    Args:
        year, paper: of the publication; paper is a DOI or an arXiv number, or "" for a net of this zoo's own.
        layouts: "paper" and/or "small", each with the (height, width, channels) it is published for; the first is
            the default, and for images that are not small. None: 224 x 224 and 32 x 32 in colour.
        own: task, torch, dropout, batch_norm, activation, large_steps, ranks and prepare, as explained in Entry.

    The builder is called as build(spec, **family_options) and returns an uncompiled Keras model; spec.name tells it
    which variant to build. A name that is taken is a UsageError.
    """

    def add(build: Callable) -> Callable:
        family = build.__module__.rpartition(".")[2]
        ours = build.__module__.startswith(f"{__package__}.")
        rows = [] if ours else catalogue()
        taken = {row["name"]: row["family"] for row in rows} | {e.name: e.family for e in _ENTRIES.values()}
        for name in names:
            if name in taken and not (ours and taken[name] == family):  # else imported anew after Ctrl-C, say
                raise UsageError(f"a model named {name!r} is already registered, by {taken[name]}")
            _ENTRIES[name] = Entry(name, family, build, layouts or BOTH_LAYOUTS, year, paper, **own)
        return build

    return add


@functools.cache
def catalogue() -> list[dict[str, str]]:
    """The rows of catalogue.csv: name, layout, family, task, year, paper, input, classes, parameters, macs."""
    with open(Path(__file__).with_name("catalogue.csv"), newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def list_models(pattern: str = "*", task: str | None = None) -> list[str]:
    """Names of the models that match a shell pattern such as "*resnet*", of one task or of all, sorted."""
    for name, value in (("pattern", pattern), ("task", task)):
        if not isinstance(value, str) and not (value is None and name == "task"):
            raise UsageError(f"{name} must be a text; got {shown(value)}")
    tasks = {row["name"]: row["task"] for row in catalogue()} | {e.name: e.task for e in _ENTRIES.values()}
    task = SAME_FAMILIES.get(task, task)
    return sorted(name for name in fnmatch.filter(tasks, pattern) if task in (None, tasks[name]))


def check_model_name(name: str) -> str:
    """Return the name if there is such a model, else raise UsageError naming the closest matches."""
    if not isinstance(name, str):
        raise UsageError(f"a model is given by its name; got {type(name).__name__}")
    if name not in list_models():
        raise UsageError(unknown("model", name, list_models()))
    return name


def entry(name: str) -> Entry:
    """The registered entry of a name; imports the family files, and with them Keras."""
    if isinstance(name, str) and name not in _ENTRIES:
        with quiet_import():
            for module in pkgutil.iter_modules([os.path.dirname(__file__)]):
                importlib.import_module(f"{__package__}.{module.name}")
    return _ENTRIES[check_model_name(name)]


def choose_layout(layouts: Collection[str], layout: str, input_shape: tuple[int | None, ...]) -> str:
    """Which of a model's layouts is meant: its only one, the one that is named, or with "auto" that for such images."""
    if len(layouts) == 1:
        return next(iter(layouts))
    if layout == "auto":
        small = None not in input_shape and min(input_shape[:-1]) < SMALL_BELOW
        return "small" if small else next(iter(layouts))
    return layout
