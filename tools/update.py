"""Write everything in the repository that is derived from something else.

    python tools/update.py            write
    python tools/update.py --check    say what is stale, exit with 1 if anything is

- cnn_zoo/models/catalogue.csv, from the family files: parameters and multiply-accumulates of every model as published
- tests/reference/layers.csv, from the family files: what their layers are called, and are
- the table of models in docs/models.md, from the catalogue
- docs/measurements.md, from results/ and benchmarks/results/
- the table of awkward folders in docs/data.md, from results/folders.csv
- the table of weights in docs/weights.md, from the manifest of published weights and results/published.csv
- every badge, Colab link and address, from `url` in setup.cfg, and the version in CITATION.cff
"""

import argparse
import configparser
import csv
import functools
import hashlib
import io
import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cnn_zoo  # noqa: E402 - this one, not what is installed

SETTINGS = (  # of layers, which all versions of Keras call alike
    "activation", "axis", "cropping", "dims", "epsilon", "equation", "filters", "keepdims", "kernel_size", "momentum",
    "output_shape", "padding", "pool_size", "rate", "start", "stop", "strides", "target_shape", "units", "use_bias",
)  # fmt: skip
CLASSES = {"classification": {"paper": 1000, "small": 10}, "segmentation": {"paper": 2, "small": 11}}
LINKED = ("*.md", "CITATION.cff", "docs/*.md", "benchmarks/*.md", "notebooks/*.md", "notebooks/*.ipynb")


@functools.cache
def published() -> list[tuple]:
    """(entry, layout, model without values) of every model in each of its layouts."""
    from cnn_zoo.build import build_model
    from cnn_zoo.models import registry
    from cnn_zoo.nn.inspection import shapes_only

    registry.entry("conv_stack")  # imports the families
    built = []
    for name, entry in sorted(registry._ENTRIES.items()):
        for layout, shape in entry.layouts.items():
            options = {"num_classes": CLASSES[entry.task][layout], "layout": layout, "dtype": "float32"}
            with shapes_only():
                built.append((entry, layout, build_model(name, shape, compile=False, **options)))
    return built


def catalogue() -> str:
    """The catalogue as it follows from the family files."""
    from cnn_zoo import cards

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("name", "layout", "family", "task", "year", "paper", "input", "classes", "parameters", "macs"))
    for entry, layout, model in published():
        card = cards.model_card(model)
        facts = (cards.shape_text(card.input_shape), card.output_shape[-1], card.parameters, card.macs)
        writer.writerow((entry.name, layout, entry.family, entry.task, entry.year, entry.paper, *facts))
    return out.getvalue()


def model_table(rows: list[dict[str, str]]) -> str:
    """A row for each model and layout."""
    lines = ["| model | layout | input | parameters | MACs | year | paper |", "|---|---|---|---:|---:|---|---|"]
    for row in rows:
        number, macs = f"{int(row['parameters']):,}", f"{int(row['macs']) / 1e6:,.1f}\u00a0M"
        paper = row["paper"]
        link = f"https://arxiv.org/abs/{paper[6:]}" if paper.startswith("arXiv:") else f"https://doi.org/{paper}"
        source = f"[{paper}]({link})" if paper else "ours"
        facts = (f"`{row['name']}`", row["layout"], row["input"], number, macs, row["year"], source)
        lines.append("| " + " | ".join(facts) + " |")
    return "\n".join(lines)


def layer_hashes() -> str:
    """A line a model and layout with hashes of its layers' names, which are a contract, and of what they are.

    A change must be meant: these notice what counts of parameters and shapes do not, such as a maximum in place of an
    average, another initialisation, or a rate of dropout.
    """

    def digest(lines):
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def settings(layer):
        config = layer.get_config()
        known = {key: config[key] for key in SETTINGS if key in config}
        kinds = {key: (config.get(key) or {}).get("class_name") for key in config if key.endswith("_initializer")}
        return json.dumps([type(layer).__name__, known, kinds], sort_keys=True)

    lines = ["model,layout,layers,names,settings"]
    for entry, layout, model in published():
        names = digest(layer.name for layer in model.layers)
        lines.append(f"{entry.name},{layout},{len(model.layers)},{names},{digest(map(settings, model.layers))}")
    return "\n".join(lines) + "\n"


# Folders of benchmarks/results and what they are called. The first that has a result is shown, of the others
# ratios.
PROCESSORS = {  # as benchmarks/common.py names their results, the latest first
    "amx_bf16": "AMX",
    "avx512_bf16": "AVX512-BF16",
    "avx512f": "AVX512",
    "avx2": "AVX2",
    "other": "other",
}


def everywhere(name: str) -> dict[str, dict]:
    """What a benchmark measured on each kind of processor on which it was run."""
    paths = {kind: ROOT / f"benchmarks/results/{kind}/{name}.json" for kind in PROCESSORS}
    return {kind: json.loads(path.read_text("utf-8")) for kind, path in paths.items() if path.exists()}


def results(name: str) -> dict:
    """What a benchmark measured, on the first of them."""
    return next(iter(everywhere(name).values()))


def table(heads: tuple[str, ...], rows: list[tuple], right: str = "") -> str:
    """Markdown; `right` has an r for each column of numbers."""
    rule = ["---:" if side == "r" else "---" for side in right.ljust(len(heads))]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (heads, rule, *rows))


def accuracies() -> dict[str, list[dict[str, str]]]:
    """The rows of results/accuracy.csv by experiment."""
    found = {}
    with open(ROOT / "results/accuracy.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["experiment"], []).append(row)
    return found


def accuracy_table() -> str:
    """Mean, standard deviation and least accuracy over seeds, and the seconds."""
    rows = []
    others = {name: runs for name, runs in accuracies().items() if "-" not in name}  # published weights have a table
    for runs in sorted(others.values(), key=lambda runs: (runs[0]["data"], float(runs[0]["fit_seconds"]))):
        reached = [100 * float(run["test_accuracy"]) for run in runs]
        seconds = [float(run["fit_seconds"]) for run in runs]
        deviation = f" ± {statistics.stdev(reached):.2f}" if len(reached) > 1 else ""
        first = runs[0]
        facts = (
            f"`{first['model']}`",
            f"{int(first['parameters']):,}",
            f"`{first['data']}`",
            f"{int(first['train_images']):,}",
            f"{first['recipe']}, {first['epochs']} epoch{'s' * (first['epochs'] != '1')}",
            len(runs),
        )
        rows.append(
            (
                *facts,
                f"{statistics.mean(reached):.2f}{deviation}",
                f"{min(reached):.2f}",
                f"{statistics.median(seconds):.0f}",
                ", ".join(sorted({PROCESSORS.get(run["processor"].split()[-1], "other") for run in runs})),
            )
        )
    heads = ("model", "parameters", "data", "images", "recipe", "seeds", "test accuracy %", "least %", "seconds", "on")
    return table(heads, rows, " r r rrrr")


def pretrained_table() -> str:
    """The published weights; below, accuracies that others published for the same architecture."""
    from cnn_zoo.weights import pretrained

    rows = []
    for record in pretrained.records().values():
        config = record["config"]
        name, data = config["model"], config["data"]
        options = "".join(f", {option} {value}" for option, value in config["model_options"].items())
        size = f"{record['bytes'] / 1000:,.0f}\u00a0kB"
        trained = f"{record['recipe']}, {config['epochs']} epochs"
        images = "x".join(map(str, config["input_shape"]))
        facts = (f"`{name}`{options}", f"`{data}`", images, f"{record['parameters']:,}", size, trained)
        rows.append((*facts, pretrained.accuracy_text(record).replace(" %", "")))
    heads = ("model", "weights", "images", "parameters", "file", "recipe", "test accuracy %")
    with open(ROOT / "results/published.csv", newline="", encoding="utf-8") as file:
        others = sorted(csv.DictReader(file), key=lambda row: (row["model"], row["data"]))
    found = (
        f"- `{row['model']}`, `{row['data']}`: {row['accuracy']} % ([{row['protocol']}]({row['source']}))"
        for row in others
    )
    title = "\nPublished by others for the same architecture, where nothing else is said:\n"
    return "\n".join((table(heads, rows, "   rr r"), title, *found))


def folders_table() -> str:
    """What becomes of awkward folders, here and with Keras."""
    from cnn_zoo.core.text import markdown

    with open(ROOT / "results/folders.csv", newline="", encoding="utf-8") as file:
        rows = [(row["folder"], markdown(row["cnn_zoo"]), markdown(row["keras"])) for row in csv.DictReader(file)]
    return table(("a folder with", "cnn_zoo", "`image_dataset_from_directory`"), rows)


def compared(name: str, facts, ratio, heads: tuple[str, ...], digits: int = 2, split=dict.items) -> str:
    """A table of a benchmark's rows: facts on the first kind of processor, and a ratio on each of them.

    Args:
        facts: function of a row's name and content to what stands before the ratio.
        ratio: function of a row's content to a number.
        heads: of the facts and the ratio.
        digits: of the ratio, after the point.
        split: function of what a benchmark found, row by row, to the rows of the table, as pairs of name and content.
    """
    found = {kind: dict(split(measured["results"])) for kind, measured in everywhere(name).items()}
    rows = []
    for label, row in next(iter(found.values())).items():
        kinds = [measured.get(label) for measured in found.values()]
        rows.append((*facts(label, row), *(f"{ratio(kind):.{digits}f}" if kind else "" for kind in kinds)))
    others = [f"{heads[-1]}, {PROCESSORS[kind]}" for kind in list(found)[1:]]
    return table((*heads, *others), rows, " " + "r" * (len(heads) + len(others) - 1))


def side_by_side() -> str:
    """Time to 99 % on MNIST, ours and others'."""

    def facts(label, row):
        accuracies = (f"{100 * row[key]:.2f}" for key in ("mean", "least"))
        return label, len(row["runs"]), row["runs"][0]["epochs"], *accuracies, span(row["seconds"])

    heads = ("MNIST", "runs", "epochs", "test accuracy %", "least %", "seconds", "times ours")
    return compared("mnist", facts, lambda row: row["times_zoonet"], heads)


def span(seconds: dict[str, float]) -> str:
    """Median, least and most."""
    return f"{seconds['median']:.1f} ({seconds['least']:.1f} to {seconds['most']:.1f})"


def step_table() -> str:
    """Images a second of fit, plain Keras and as `train` does it; of one also against the usual order of layers."""

    def split(rows):
        for label, row in rows.items():
            yield label, row | {"against": "plain"}
            if "plain, usual order" in row["images_per_second"]:
                yield f"{label}, against pooling last, as is usual", row | {"against": "plain, usual order"}

    def facts(label, row):
        rates = (f"{row['images_per_second'][way]['median']:,.0f}" for way in (row["against"], "ours"))
        return f"`{label}`" if " " not in label else label, row["batch"], *rates

    heads = ("images a second", "batch", "plain Keras", "ours", "ratio")
    return compared("step", facts, lambda row: row[f"ours / {row['against']}"], heads, split=split)


def predict_table() -> str:
    """Milliseconds of a prediction for one image, by Keras and here."""

    def facts(label, row):
        times = row["one_image_milliseconds"]
        return f"`{label}`", *(
            f"{times[way]['median']:.2f}" for way in ("model.predict", "model(x)", "cnn_zoo.predict")
        )

    heads = ("one image, milliseconds", "`model.predict`", "`model(x)`", "`predict`", "`model.predict` / `predict`")
    return compared("inference", facts, lambda row: row["model.predict / cnn_zoo.predict"], heads, digits=0)


def augmentation_ratios() -> str:
    """How many times a function mapped over single images; other processors were measured with code that is gone."""
    rates = results("augmentation")["results"]["images_per_second"].items()
    return ", ".join(f"{row['whole batches / single images']:.1f} times at {shape}" for shape, row in rates)


def pipeline_shares() -> str:
    """How fast trainings are that the pipeline feeds, beside those from batches in memory."""
    rates = results("pipeline")["results"]["images_per_second"]
    return "; ".join(
        f"{row[f'training {model}, augmented'] / row[f'training {model}, from memory']:.0%} (`{model}`, `{data}`)"
        for data, row in rates.items()
        for model in ("lenet5", "conv_stack")
    )


def elsewhere(name: str) -> str:
    """Where a benchmark was run, if not on the processor that the section begins with."""
    processor = results(name)["about"]["processor"]
    return "" if processor == results("mnist")["about"]["processor"] else f", on another machine ({processor})"


def measured() -> str:
    """The page of measurements."""
    folder = results("folder")["results"]
    memory, file = folder["in memory"], folder["from a file"]
    about = results("mnist")["about"]
    starts = {name: row["median"] for name, row in results("startup")["results"]["seconds"].items()}
    main = [float(run["test_accuracy"]) for run in accuracies()["main"]]
    paragraphs = (
        f"Measured on {about['versions']['cores']} shared cores ({about['processor']}) with the scripts in "
        "[benchmarks/](../benchmarks/README.md); compare ratios. Recipes were chosen on held-out training images with "
        "other seeds than those below.",
        f"`cnn-zoo train` reads {statistics.mean(main):.2%} ± {statistics.stdev(main):.2%} of the test digits "
        f"(mean and standard deviation of {len(main)} seeds). That training and others, a row for each in "
        "[results/accuracy.csv](../results/accuracy.csv), seconds of `fit` alone:",
        accuracy_table(),
        "Side by side in one run, until 99 %, and four epochs of one recipe (`python benchmarks/mnist.py` says "
        "what each is):",
        side_by_side(),
        "`fit` on one batch held in memory (`python benchmarks/step.py`): plain Keras in float32 with the kernels that "
        "TensorFlow chooses itself, and what `train` does. Other work on the machine makes single rows uncertain by a "
        "third. The last columns are the ratios on two cores with AVX512-BF16, and on two with AVX2 alone, in float32; "
        "they were measured at other times, with the code of then. Where a "
        f"step goes is in [anatomy.txt](../benchmarks/results/{next(iter(everywhere('step')))}/anatomy.txt):",
        step_table(),
        "`predict` of one image in memory, checking and naming included, beside Keras' ways (`python "
        "benchmarks/inference.py`):",
        predict_table(),
        "Augmentation of whole batches delivers more images a second than a function mapped over single images: "
        f"{augmentation_ratios()}. "
        f"Training from the augmented pipeline runs at {pipeline_shares()} of the speed from batches in memory"
        f"{elsewhere('pipeline')}. "
        "`cnn-zoo list` takes "
        f"{starts['cnn-zoo list'] - starts['python']:.2f} s longer than a bare interpreter.",
        f"A folder of {memory['images']:,} images, {memory['image_megabytes'] / 1000:.1f} GB of pixels, needs "
        f"{memory['memory_above_start_megabytes'] / 1000:.1f} GB held in memory and "
        f"{file['memory_above_start_megabytes'] / 1000:.1f} GB in a file (pages of it that the system keeps while "
        "there is room not counted), at "
        f"{min(memory['images_per_second_epochs']):,} and {min(file['images_per_second_epochs']):,} images a second, "
        f"after a first pass at {min(memory['images_per_second_loading'], file['images_per_second_loading']):,}"
        f"{elsewhere('folder')}.",
    )
    return "\n\n".join(paragraphs)


def between(text: str, name: str, content: str) -> str:
    """The text with what stands between <!-- name --> and <!-- /name --> replaced."""
    before, _, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    assert end, f"no <!-- {name} --> … <!-- /{name} -->"
    return f"{before}<!-- {name} -->\n{content}\n{end}{after}"


def repository() -> str:
    """owner/name from setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"]["url"].removeprefix("https://github.com/").rstrip("/")


def wanted_files() -> dict[Path, str]:
    """What each derived file should hold."""
    files = {ROOT / "cnn_zoo/models/catalogue.csv": catalogue(), ROOT / "tests/reference/layers.csv": layer_hashes()}
    rows = list(csv.DictReader(io.StringIO(files[ROOT / "cnn_zoo/models/catalogue.csv"])))
    before = re.search(r"github\.com/([\w.-]+/[\w-]+)", (ROOT / "CITATION.cff").read_text("utf-8"))[1]
    ours = repository()
    tables = {
        ROOT / "docs/models.md": ("models", model_table(rows)),
        ROOT / "docs/measurements.md": ("measured", measured()),
        ROOT / "docs/data.md": ("folders", folders_table()),
        ROOT / "docs/weights.md": ("pretrained", pretrained_table()),
    }
    for pattern in LINKED:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text("utf-8")
            for site in ("github.com/", "colab.research.google.com/github/"):
                text = text.replace(f"{site}{before}", f"{site}{ours}")
            if path in tables:
                text = between(text, *tables[path])
            if path.name == "CITATION.cff":
                text = re.sub(r"(?m)^version: .*$", f"version: {cnn_zoo.__version__}", text)
            files[path] = text
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = []
    for path, text in wanted_files().items():
        if not path.exists() or path.read_text("utf-8") != text:
            stale.append(path)
            if not check:
                path.write_text(text, "utf-8")
    for path in stale:
        print(f"{'stale' if check else 'wrote'} {path.relative_to(ROOT)}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
