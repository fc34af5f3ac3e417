"""What a run says of itself: lines for the terminal, and report.md with its figures."""

from pathlib import Path
from typing import Any

from .core.errors import RunError, reason
from .core.files import write_text
from .core.text import markdown, shell
from .runs import METRICS, Run
from .tasks import Table, Task, get_task

FOUND = ("images", "least", "most")  # of a recipe, which the number of epochs follows from


def summary(run: Run) -> list[tuple[str, str]]:
    """What came out, as (name, text), for the terminal and the report."""
    metrics, config, task = run.metrics, run.config, get_task(run.config["task"])
    epochs = f"{metrics['epochs']} epoch{'s' * (metrics['epochs'] > 1)} in {metrics['fit_seconds']:.1f} s"
    classes = f" in {len(run.class_names)} classes" * bool(run.class_names)
    facts = [
        ("model", f"{config['model']}, {metrics['parameters']:,} parameters"),
        ("data", f"{config['data']}, {metrics['train_images']:,} training images{classes}"),
        ("training", f"{epochs}, seed {config['seed']}, {config['precision']}"),
    ]
    result = {key.removeprefix("test_"): value for key, value in metrics.items() if key.startswith("test_")}
    if config["class_weight"]:
        weights = zip(run.class_names, config["class_weight"], strict=False)
        facts.append(("class weights", ", ".join(f"{name} {weight:.3g}" for name, weight in weights)))
    try:
        said = task.lines(result) if result else []
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise RunError(f"{run.path / METRICS} does not hold what {task.name} is judged by: {reason(error)}") from None
    return facts + [(f"test {name}", text) for name, text in said]


def _facts(facts: list[tuple[str, str]]) -> str:
    """Pairs of a name and a text as a table in Markdown."""
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {markdown(text)} |" for name, text in facts)])


def markdown_table(table: Table) -> str:
    """A table in Markdown, the numbers to the right."""
    rule = "| --- |" + " ---: |" * (len(table.heads) - 1)
    head, *rows = (f"| {' | '.join(map(markdown, row))} |" for row in (table.heads, *table.rows))
    return "\n".join([head, rule, *rows])


def _judged(task: Task, class_names: list[str], result: dict[str, Any], folder: Path) -> list[str]:
    """What the report shows of a judge's result: notes, the table of the classes, and figures, which are drawn."""
    from . import plots

    notes = [f"- {markdown(note)}" for note in result.get("notes", [])]
    paragraphs = ["## To know\n\n" + "\n".join(notes)] if notes else []
    if table := task.table(result):
        paragraphs += ["## Each class", table.text, markdown_table(table)]
    for section in task.sections(class_names, result):
        if section.file:
            plots.save(section.figure, folder / section.file)
        image = f"![{section.description}]({section.file})" if section.file else ""
        paragraphs += [f"## {section.title}", section.text, image]
    return paragraphs


def write_report(run: Run, result: dict[str, Any]) -> None:
    """Draw the figures of a run and of its task, and write report.md, which shows them."""
    from . import plots

    config, task = run.config, get_task(run.config["task"])
    plots.save(plots.curves(run.history, run.metrics.get("best_epoch"), task.score), run.path / "curves.png")
    recipe = [f"{key} {value}" for key, value in config["recipe"].items() if value and key not in FOUND]
    versions = [f"{key} {value}" for key, value in config["versions"].items() if value]
    facts = [*summary(run), ("recipe", ", ".join(recipe)), ("versions", ", ".join(versions))]
    smoothed = "The losses of the training are those with label smoothing, which are larger."
    folder = shell(run.path)
    paragraphs = [
        f"# {config['model']} on {markdown(Path(config['data']).name)}",
        _facts(facts),
        "The test images were used once, after the training had ended. Other seeds give other numbers.",
        "## How it went",
        f"![Loss and {task.score} by epoch](curves.png)",
        smoothed if config["recipe"].get("label_smoothing") else "",
    ]
    paragraphs += _judged(task, run.class_names, result, run.path)
    paragraphs.append(f"## Use it\n\n```bash\ncnn-zoo predict {folder} photo.png\ncnn-zoo evaluate {folder}\n```")
    write_text(run.path / "report.md", "\n\n".join(filter(None, paragraphs)) + "\n")


def folds_summary(runs: list[Run], metrics: dict[str, tuple[float, float]], result: dict) -> list[tuple[str, str]]:
    """What came out of a cross-validation, as (name, text)."""
    config, images = runs[0].config, sum(run.metrics["test_images"] for run in runs)
    words = "mean of the folds {:.4f}, standard deviation {:.4f}"
    return [
        ("model", f"{config['model']}, {runs[0].metrics['parameters']:,} parameters"),
        ("data", f"{config['data']}, {images:,} images"),
        ("training", f"{len(runs)} folds, seed {config['seed']}, {config['precision']}"),
        *((key.replace("_", " "), words.format(*pair)) for key, pair in metrics.items()),
        *((f"all images, {name}", text) for name, text in get_task(config["task"]).lines(result)),
    ]


def write_folds_report(runs: list[Run], metrics: dict, result: dict[str, Any], folder: Path) -> None:
    """Write report.md of a cross-validation, with figures of all images, each judged by a net that has not seen it."""
    first, task = runs[0], get_task(runs[0].config["task"])
    links = [f"[fold{i}](fold{i}/report.md)" for i in range(1, len(runs) + 1)]
    paragraphs = [
        f"# {first.config['model']} on {markdown(Path(first.config['data']).name)}, {len(runs)} folds",
        _facts(folds_summary(runs, metrics, result)),
        "Each image was judged once, by the net that was not trained on it. The standard deviation says how much folds "
        "differ; it is no interval, for their training images are mostly the same. For a net to use, train on all.",
        *_judged(task, first.class_names, result, folder),
        f"## Folds\n\n{', '.join(links)}; numbers are in [folds.csv](folds.csv).",
    ]
    write_text(folder / "report.md", "\n\n".join(filter(None, paragraphs)) + "\n")
