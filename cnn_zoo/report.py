"""What a run says of itself: lines for the terminal, and report.md with its figures."""

from pathlib import Path
from typing import Any

from .core.files import write_text
from .core.text import markdown, shell
from .runs import Run
from .tasks import Table, get_task

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
    weights = [f"{name} {weight:.3g}" for name, weight in zip(run.class_names, config["class_weight"], strict=False)]
    facts += [("class weights", ", ".join(weights))] * bool(weights)
    return facts + [(f"test {name}", text) for name, text in task.lines(result)] * bool(result)


def markdown_table(table: Table) -> str:
    """A table in Markdown, the numbers to the right."""
    rule = "| --- |" + " ---: |" * (len(table.heads) - 1)
    head, *rows = (f"| {' | '.join(map(markdown, row))} |" for row in (table.heads, *table.rows))
    return "\n".join([head, rule, *rows])


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
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {markdown(text)} |" for name, text in facts)]),
        "The test images were used once, after the training had ended. Other seeds give other numbers.",
        "## How it went",
        f"![Loss and {task.score} by epoch](curves.png)",
        smoothed if config["recipe"].get("label_smoothing") else "",
    ]
    table = task.table(result)
    if table:
        paragraphs += ["## Each class", table.text, markdown_table(table)]
    for section in task.sections(run.class_names, result):
        if section.file:
            plots.save(section.figure, run.path / section.file)
        image = f"![{section.description}]({section.file})" if section.file else ""
        paragraphs += [f"## {section.title}", section.text, image]
    paragraphs.append(f"## Use it\n\n```bash\ncnn-zoo predict {folder} photo.png\ncnn-zoo evaluate {folder}\n```")
    write_text(run.path / "report.md", "\n\n".join(filter(None, paragraphs)) + "\n")
