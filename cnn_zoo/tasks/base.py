"""The contract of a task: what a target is, and all that follows from it.

train, evaluate, predict, the run folder, its report and the command line know tasks through these fields alone. All of
them are pure functions; add_task makes a task known, and a run folder keeps its name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..core.errors import UsageError, unknown
from ..nn.inspection import activation_of
from ..recipes import Recipe

LONGEST = 40  # rows of a table of classes


class Judge(Protocol):
    """Takes the batches of a split one at a time and keeps counts, never all outputs."""

    def add(self, inputs: np.ndarray, targets: np.ndarray, outputs: np.ndarray) -> None:
        """A batch: what the net was given, what is right, and what it returned."""

    def result(self) -> dict[str, Any]:
        """At least the task's score, "loss" and "images"; numbers, lists and dictionaries of them go into metrics.json
        as test_…; "notes" are lines to stand beside them."""


class Section(NamedTuple):
    """A part of report.md: a title, text, and a figure with its file name and its description."""

    title: str
    text: str = ""
    file: str = ""
    figure: Any = None
    description: str = ""


class Table(NamedTuple):
    """Rows of texts under their heads, and a line about them."""

    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    text: str = ""


def class_table(classes: dict[str, dict[str, Any]], columns: dict[str, str], worst: str) -> Table:
    """What a judge says of each class; of more than LONGEST, those that are lowest in the column `worst`.

    Args:
        classes: {class name: {key: a number, or None where it is not defined; key_interval: (low, high)}}.
        columns: {head: key}.
    """
    words, names = "", list(classes)
    if len(names) > LONGEST:
        words = f"The {LONGEST} of {len(names):,} classes with the lowest {worst}."
        places = {name: classes[name].get(columns[worst]) for name in names}
        names = sorted(names, key=lambda name: np.inf if places[name] is None else places[name])[:LONGEST]
    rows = [(name, *(_cell(classes[name], key) for key in columns.values())) for name in names]
    if any("(" in cell for _, *cells in rows for cell in cells):
        words = f"{words} In brackets: 95 % intervals.".strip()
    return Table(("class", *columns), rows, words)


def _cell(numbers: dict[str, Any], key: str) -> str:
    value, interval = numbers.get(key), numbers.get(f"{key}_interval")
    if value is None:
        return "-"
    around = f" ({interval[0]:.2f}-{interval[1]:.2f})" if interval and key in ("precision", "recall") else ""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}{around}"


@dataclass(frozen=True)
class Task:
    """What a net is for.

    Attributes:
        name: "classification"; a run folder keeps it.
        target: the kind of targets that its data must have, such as "labels" or "masks"; see data.source.Source.
        score: the number of the judge's result that records and `reproduce` compare, and the metric of each epoch.
        losses: (model, recipe or None) -> {"loss": …, "metrics": […]}, for the model's compile.
        judge: (model, class names) -> a Judge.
        decode: (model, outputs of a batch, class names, own (height, width) of each image, **options) ->
            a prediction each.
        lines: (judge's result) -> [(name, text)], what is said of it on the terminal and in the report.
        sections: (class names, judge's result) -> [Section], what the report shows of it.
        table: (judge's result) -> a Table of the classes, for the terminal and the report, or None.
        options: arguments of predict that decode takes, and what the command line gives them unless it is told.
        judging: arguments of evaluate that judge takes.
        activation: "softmax" or "sigmoid": what its nets end in, if not in logits; "" for a task that takes any.
        text: (prediction, class names) -> a line for the terminal.
        record: (prediction, class names) -> {name: value}, its part of a table of predictions; a value may be a text, a
            number, a list of texts, or a dictionary by class, which is a column for each class.
        draw: (image, prediction, class names) -> a figure for `predict --draw`; None: there is none.
        encode: (model) -> a function of a batch's (inputs, targets) that gives what the loss compares; None: they
            are compared as they are.
        least: classes that there must be, 0 for a task without.
        recipes: in place of those of that name in recipes.RECIPES.
    """

    name: str
    target: str
    score: str
    losses: Callable[..., dict[str, Any]]
    judge: Callable[..., Judge]
    decode: Callable[..., list]
    lines: Callable[[dict[str, Any]], list[tuple[str, str]]]
    sections: Callable[..., list[Section]] = lambda class_names, result: []
    table: Callable[[dict[str, Any]], Table | None] = lambda result: None
    options: Mapping[str, Any] = field(default_factory=dict)
    judging: tuple[str, ...] = ()
    activation: str = ""
    text: Callable[[Any, list[str]], str] = lambda prediction, class_names: str(prediction)
    record: Callable[[Any, list[str]], dict[str, Any]] = lambda prediction, class_names: {"prediction": prediction}
    draw: Callable[..., Any] | None = None
    encode: Callable[..., Callable] | None = None
    least: int = 0
    recipes: Mapping[str, Recipe] = field(default_factory=dict)

    def compile(self, model, optimizer: Any = "adam", recipe: Recipe | None = None, **options: Any) -> None:
        """Compile a model with the losses and metrics of this task."""
        model.compile(optimizer=optimizer, **self.losses(model, recipe), **options)

    def check_data(self, data) -> None:
        """UsageError if the data has other targets, or fewer classes than it takes."""
        if data.target != self.target:
            raise UsageError(f"{data.name} has {data.target}; {self.name} needs {self.target}")
        if len(data.class_names) < self.least:
            raise UsageError(f"{data.name} has {len(data.class_names)} classes; {self.name} needs {self.least} or more")


TASKS: dict[str, Task] = {}


def add_task(task: Task) -> Task:
    """Make a task known by its name; UsageError if the name is taken."""
    if TASKS.setdefault(task.name, task) is not task:
        raise UsageError(f"a task named {task.name!r} is there already")
    return task


def get_task(task: str | Task) -> Task:
    """A task by its name, or the one given."""
    if isinstance(task, Task):
        return task
    if not isinstance(task, str) or task not in TASKS:
        raise UsageError(unknown("task", task, TASKS))
    return TASKS[task]


def task_of(run_or_model: Any, data: Any = None) -> Task:
    """The task of a run; of a model, the one for such data, or else for outputs of that shape."""
    config = getattr(run_or_model, "config", None)
    if isinstance(config, dict) and "task" in config:
        return get_task(config["task"])
    if data is not None:
        fitting = [task for task in TASKS.values() if task.target == data.target]
        if fitting:
            return fitting[0]
        raise UsageError(f"{data.name} has {data.target}, which no task is for; there are {', '.join(TASKS)}")
    outputs = getattr(run_or_model, "outputs", None)
    if not outputs:
        return TASKS["classification"]
    if len(outputs[0].shape) == 4:
        return TASKS["segmentation"]
    return TASKS["multilabel" if activation_of(run_or_model) == "sigmoid" else "classification"]
