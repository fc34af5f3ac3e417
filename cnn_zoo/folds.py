"""Cross-validation: as many trainings as folds, each judged on another part of the images."""

import dataclasses
import re
import statistics
from pathlib import Path
from typing import Any

from . import report
from .core.errors import RunError, UsageError, check_flag, check_number
from .core.files import write_csv
from .data.pipeline import Data, load_data
from .inference import judge_split
from .models.registry import check_model_name, entry
from .runs import CONFIG, Run
from .tasks import get_task
from .training import make_folder, train


@dataclasses.dataclass(frozen=True)
class Folds:
    """What cross_validate returns."""

    runs: list[Run]  # one for each fold
    metrics: dict[str, tuple[float, float]]  # {"test_accuracy": (mean, standard deviation), …} over the folds
    result: dict[str, Any]  # of evaluate, of all images together, each judged by the net that was not trained on it
    path: Path  # the folder, with fold1 …, folds.csv and report.md


def cross_validate(
    model: str = "conv_stack",
    data: Any = "mnist5k",
    *,
    folds: int = 5,
    out: str | Path | None = None,
    resume: bool = False,
    **train_options: Any,
) -> Folds:
    """Train a run for each of k parts of the images, which is its test set, and judge all together.

    Args:
        model, data: as train takes them, but for a Data, whose splits are made; a test set of its own is not used.
        folds: how many; at least 2.
        out: the folder of the runs; None: the first free one of runs/MODEL-DATA-folds, -2 …
        resume: go on with the folds in `out`; what is complete stays.
        train_options: of train, such as epochs, class_weight and data_options.

    Errors are those of train; a RunError where `out` holds something else.
    """
    check_model_name(model)
    check_number("folds", folds, 2, whole=True)
    check_flag("resume", resume)
    options = dict(train_options.pop("data_options", None) or {})
    if isinstance(data, Data) or "fold" in options:
        raise UsageError("cross_validate splits the data itself: give it a name, a folder or arrays, and no fold")
    task = get_task(train_options.get("task") or entry(model).task)
    say = print if train_options.get("verbose", "auto") else (lambda message: None)
    folder, runs, judge = None if out is None else _check_folder(Path(out), resume), [], None
    for number in range(1, folds + 1):
        say(f"fold {number} of {folds}")
        part = load_data(data, **{"target": task.target, "progress": say, **options, "fold": (number, folds)})
        folder = folder or make_folder(None, model, f"{Path(part.folder).name or part.name.replace('/', '-')}-folds")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            runs.append(train(model, part, out=folder / f"fold{number}", resume=resume, **train_options))
        except KeyboardInterrupt as interrupt:
            how = f"the same command goes on with --out {folder} --resume"
            interrupt.__notes__ = [f"interrupted in fold {number} of {folds}; {how}"]
            raise
        judge = judge_split(runs[-1], part, "test", judge)
    result = judge.result()
    result["notes"] = [*part.notes, *result.get("notes", [])]
    found = runs[0].metrics.items()
    keys = [key for key, value in found if re.match("test_(?!specificity)", key) and isinstance(value, float)]
    columns = {key: [run.metrics[key] for run in runs] for key in keys}
    metrics = {key: (statistics.mean(values), statistics.stdev(values)) for key, values in columns.items()}
    about = {"fold": list(range(1, folds + 1))}
    about |= {key: [run.metrics[key] for run in runs] for key in ("train_images", "test_images")}
    write_csv(folder / "folds.csv", about | columns)
    report.write_folds_report(runs, metrics, result, folder)
    return Folds(runs, metrics, result, folder)


def _check_folder(folder: Path, resume: bool) -> Path:
    """The folder, if it is empty, or to be gone on with and none of a single run."""
    present = folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())
    if (folder / CONFIG).exists() or (folder.exists() and not folder.is_dir()):
        raise RunError(f"{folder} is a file or holds a run; folds need a folder of their own")
    if present and not (resume and (folder / "fold1").is_dir()):
        raise RunError(f"{folder} is not empty; choose another folder, or go on with the folds in it (--resume)")
    return folder
