"""Run folders: config.json, history.csv, metrics.json, model.safetensors, report.md, figures; and how they are read."""

import copy
import csv
import dataclasses
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from .build import LARGEST_SIDE, build_model
from .core.errors import DataError, MissingError, RunError, UsageError
from .core.files import as_path, checksum, is_plain, read_json, read_text
from .core.machine import BFLOAT16_FLAGS, cores, processor_flags
from .core.text import printable, shown
from .models.registry import check_model_name
from .nn.inspection import shapes_only
from .nn.precision import PRECISIONS, policy
from .recipes import Recipe
from .tasks import get_task
from .weights import pretrained
from .weights.files import read_weights
from .weights.transfer import initialize

CONFIG, HISTORY, METRICS, WEIGHTS = "config.json", "history.csv", "metrics.json", "model.safetensors"
RESERVED = {  # arguments of build_model that a training sets itself, or cannot do without
    "name": "it is the argument model", "input_shape": "it follows from the data: set image_size and channels",
    "num_classes": "it follows from the data", "weights": "a run starts from random ones", "dtype": "set precision",
    "compile": "the recipe compiles", "include_top": "a run trains a whole net", "pooling": "a run trains a whole net",
}  # fmt: skip
SETTINGS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS")
FORMAT = 3
CONFIG_TYPES = {
    "format": int, "task": str, "model": str, "model_options": dict, "data": str, "data_options": dict,
    "class_names": list, "input_shape": list, "recipe": dict, "epochs": int, "seed": int, "precision": str,
    "deterministic": bool, "versions": dict, "images": str, "class_weight": list,
}  # fmt: skip
METRICS_TYPES = {"epochs": int, "fit_seconds": float, "parameters": int, "train_images": int}


@dataclasses.dataclass
class Run:
    """A training: its model, what it was told and how it went.

    Attributes:
        model: the trained, compiled Keras model.
        history: {"epoch": [1, 2, …], "loss": […], "accuracy": […], …}, a number an epoch.
        metrics: test_accuracy (or another score of its task), test_loss, fit_seconds, epochs, parameters, status …;
            of published weights the first, parameters and status alone.
        path: the run folder, or the file of published weights.
        config: what was asked for: task, model, data, recipe, seed, versions …
    """

    model: Any
    history: dict[str, list[float]]
    metrics: dict[str, Any]
    path: Path
    config: dict[str, Any]

    def __repr__(self) -> str:
        score = get_task(self.config["task"]).score
        reached = self.metrics.get(f"test_{score}")
        result = f"{reached:.2%} test {score}" if isinstance(reached, float) else self.metrics.get("status")
        return printable(f"<{self.config['model']} on {self.config['data']}: {result}, {self.path}>")

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, by label; empty for a task without."""
        return self.config["class_names"]

    def load_data(self, name: Any = None, **options: Any):
        """The data set it was trained on (or another, `name`) with the image size and channels of the model.

        Raises:
            UsageError: it was trained on arrays, which it does not keep, and no other is named; or an option that the
                run settles: image_size and channels, and of its own data, validation.
            DataError: what it was trained on has changed since.
            And as load_data does, whose `options` may be given.
        """
        from .data.pipeline import load_data

        own, known = name is None, self.config["data_options"]
        for option in ("image_size", "channels", "fit", "value_range", *["validation"] * own):
            if option in options:
                raise UsageError(f"{option} is the run's own; got {shown(options[option])}")
        if own:
            name = self.config["data"]
            if name in ("arrays", "dataset", "table"):  # which have no file
                raise UsageError(f"{self.path} was trained on {name} in memory, which it does not keep; pass them")
            options = {**known, **options}
        else:
            reading = {option: known[option] for option in ("fit", "value_range") if option in known}
            options = {"class_names": self.class_names or None, **reading, **options}
        *size, channels = self.config["input_shape"]
        target = get_task(self.config["task"]).target
        data = load_data(name, **{"target": target, **options, "image_size": tuple(size), "channels": channels})
        if own and data.digest != self.config["images"]:
            what = f"{name} has changed since {self.path} was trained on it, so that its test images may be among those"
            raise DataError(f"{what}; name the data to judge it on all the same")
        return data


def versions() -> dict[str, str]:
    """What a result can depend on: versions, backend, processor, threads."""
    import keras

    found = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for package in ("keras", "tensorflow", "numpy"):
        found[package] = metadata.version(package)
    flags = sorted(processor_flags() & (BFLOAT16_FLAGS | {"avx2", "avx512f"}))
    settings = [f"{name}={os.environ[name]}" for name in SETTINGS if os.environ.get(name)]
    machine = " ".join([platform.machine(), *flags])
    return found | {"machine": machine, "cores": str(cores()), "settings": " ".join(settings)}


@policy()
def load_run(path: str | Path) -> Run:
    """Read a run folder, or published weights by their name, such as "lenet5-mnist", as a run without a history.

    Raises:
        MissingError: there is no such folder.
        RunError: a file is missing or damaged, or the weights are those of another model.
        UsageError: no path.
    """
    path = as_path("a run", path)
    config = read_config(path)
    if record := _published(path):
        options = {"num_classes": len(config["class_names"]), "weights": config["data"], **config["model_options"]}
        model = build_model(config["model"], **options)
        metrics = {key: record[key] for key in ("test_accuracy", "parameters")} | {"status": "complete"}
        return Run(model, {}, metrics, pretrained.weights_file(record), config)
    if not (path / WEIGHTS).is_file():
        begun = any(path.glob("checkpoint*"))
        hint = f"; its training is unfinished: the command that began it goes on with --out {path} --resume" * begun
        raise RunError(f"{path} is incomplete: {WEIGHTS} is missing{hint}")
    metrics = read_metrics(path)
    history = read_history(path, metrics.get("history_sha256"))
    if metrics.get("weights_sha256") not in (None, checksum(path / WEIGHTS)):
        raise RunError(f"{path / WEIGHTS}: damaged, or the weights of another run than its {METRICS}")
    weights = read_weights(path / WEIGHTS)
    arguments = (config["model"], config["input_shape"], max(1, len(config["class_names"])))
    try:
        with shapes_only():  # whatever a file asks for
            model = build_model(*arguments, compile=False, **config["model_options"])
    except (UsageError, TypeError) as error:
        raise RunError(f"{path / CONFIG} does not describe a model of this zoo: {error}") from None
    initialize(model, weights, str(path / WEIGHTS))
    get_task(config["task"]).compile(model)
    return Run(model, history, metrics, path, config)


def _published(path: Path) -> dict[str, Any] | None:
    """The record of published weights, if that is what is named and not a folder."""
    return None if os.path.exists(path) else pretrained.records().get(str(path))


def read_config(path: Path) -> dict[str, Any]:
    """The checked config.json of a run folder, or the config of published weights."""
    if record := _published(path):
        return copy.deepcopy(record["config"])
    if not os.path.exists(path):
        near = [name for name in pretrained.records() if name.startswith(f"{path}-")]
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise MissingError(f"{path}: no such run folder, and no published weights have that name{hint}")
    if not (path / CONFIG).is_file():
        raise RunError(f"{path} is not a run folder: it has no {CONFIG}")
    config = read_json(path / CONFIG)
    if config.get("format", FORMAT) != FORMAT:  # before what another one need not have
        raise RunError(f"{path / CONFIG}: written in format {shown(config['format'])}; this version reads {FORMAT}")
    _check_types(config, CONFIG_TYPES, path / CONFIG)

    def check(condition: bool, message: str) -> None:
        if not condition:
            raise RunError(f"{path / CONFIG}: {message}")

    sides = config["input_shape"]
    whole = len(sides) == 3 and all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides)
    check(whole and sides[2] in (1, 3, 4), "'input_shape' must be height, width and 1, 3 or 4 channels")
    check(config["precision"] in PRECISIONS, f"'precision' must be one of {', '.join(PRECISIONS)}")
    names = config["class_names"]
    check(all(isinstance(name, str) and name == printable(name) for name in names), "'class_names' must be printable")
    check(all(type(weight) in (int, float) for weight in config["class_weight"]), "'class_weight' must be numbers")
    check(all(isinstance(text, str) for text in config["versions"].values()), "'versions' must be texts")
    strange = config["data_options"].keys() & {"memory_limit", "progress"} | config["model_options"].keys() & RESERVED
    check(not strange, f"has {', '.join(sorted(strange))}, an option that train does not write")
    try:
        check_model_name(config["model"])
        least = get_task(config["task"]).least
        Recipe(**config["recipe"])
    except (UsageError, TypeError) as error:
        raise RunError(f"{path / CONFIG}: {error}") from None
    check(len(config["class_names"]) >= least, f"'class_names' must be {least} texts or more")
    return config


def _check_types(found: dict[str, Any], types: dict[str, type], path: Path) -> None:
    """RunError if a value is missing or of another type than that; a float may be whole."""
    for key, kind in types.items():
        value = found.get(key)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise RunError(f"{path}: {key!r} is missing or not a {kind.__name__}")


def check_folder(folder: str | Path, resume: bool, config: dict[str, Any] | None = None) -> None:
    """Refuse an output folder that holds something else or cannot be written, before any work is done."""
    folder = as_path("out", folder)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; a run needs a folder")
    present = folder.is_dir() and [path for path in folder.iterdir() if not path.name.startswith(".")]
    if present and not (folder / CONFIG).is_file():
        raise RunError(f"{folder} is not empty and not a run folder; choose another one for the run")
    if present and not resume:
        raise RunError(f"{folder} already holds a run; choose another folder, or resume it (--resume)")
    if present and config:
        old = read_config(folder)
        for key in config:
            if key != "versions" and old.get(key) != config[key]:
                raise RunError(f"{folder} holds another run: its {_difference(key, old.get(key), config[key])}")
    parent = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(parent, os.W_OK):
        raise RunError(f"no permission to write in {parent}")


def _difference(key: str, old: Any, new: Any) -> str:
    """The first thing that two values do not have in common."""
    if isinstance(old, dict) and isinstance(new, dict):
        inner = next(name for name in {**old, **new} if old.get(name) != new.get(name))
        return _difference(f"{key} {inner}", old.get(inner), new.get(inner))
    return f"{key} is {json.dumps(old):.60}, not {json.dumps(new):.60}"


def read_metrics(path: Path) -> dict[str, Any]:
    """metrics.json of a run folder; {"status": "unfinished"} when it is not there yet."""
    if not (path / METRICS).is_file():
        return {"status": "unfinished"}
    metrics = read_json(path / METRICS)
    _check_types(metrics, {"status": str, **METRICS_TYPES}, path / METRICS)
    for key, value in metrics.items():
        if key in METRICS_TYPES and value < 0:
            raise RunError(f"{path / METRICS}: {key!r} is {value}")
        if key.startswith("test_") and not is_plain(value, int | float | None):
            raise RunError(f"{path / METRICS}: {key!r} is not a number, nor numbers alone")
    return metrics


def read_history(path: Path, expected: str | None) -> dict[str, list[float]]:
    """history.csv of a run folder as columns of numbers, {} when there is none; its SHA-256 is in metrics.json."""
    if not (path / HISTORY).is_file():
        if expected is not None:
            raise RunError(f"{path} is incomplete: {HISTORY} is missing")
        return {}
    if expected is not None and checksum(path / HISTORY) != expected:
        raise RunError(f"{path / HISTORY} is damaged or was changed since it was written: its checksum does not fit")
    text = read_text(path / HISTORY)
    try:
        head, *rows = csv.reader(text.splitlines())
        kinds = [int if name == "epoch" else float for name in head]
        return {name: [kinds[i](row[i]) for row in rows] for i, name in enumerate(head)}
    except (ValueError, IndexError, OverflowError, csv.Error) as error:
        raise RunError(f"{path / HISTORY} is damaged ({error})") from None
