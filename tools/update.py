"""Write everything in the repository that is derived from something else.

    python tools/update.py            write
    python tools/update.py --check    say what is stale, exit with 1 if anything is

- cnn_zoo/catalogue.csv, from the family files: parameters and multiply-accumulates of every model as published
- tests/reference/layer_names.csv, from the family files
- the table of models in README.md, from the catalogue
- the paragraph of measurements in README.md, from benchmarks/results
- every badge, Colab link and address, from `url` in setup.cfg
"""

import argparse
import configparser
import csv
import hashlib
import io
import json
import re
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LINKED = ("README.md", "CITATION.cff", "CHANGELOG.md", "notebooks/*.md", "notebooks/*.ipynb")


def catalogue() -> str:
    """The catalogue as it follows from the family files."""
    from cnn_zoo import cards, registry

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("name", "layout", "family", "year", "paper", "input", "classes", "parameters", "macs"))
    registry.entry("conv_stack")  # imports the families
    for name, entry in sorted(registry._ENTRIES.items()):
        for layout, shape in entry.layouts.items():
            classes = 1000 if layout == "paper" else 10
            card = cards.model_card(name, input_shape=shape, num_classes=classes, layout=layout)
            facts = (cards.shape_text(shape), classes, card.parameters, card.macs)
            writer.writerow((name, layout, entry.family, entry.year, entry.paper, *facts))
    return out.getvalue()


def model_table(rows: list[dict[str, str]]) -> str:
    """The README's table, a row for each model and layout."""
    lines = ["| model | layout | input | parameters | MACs | year | paper |", "|---|---|---|---:|---:|---|---|"]
    for row in rows:
        number, macs = f"{int(row['parameters']):,}", f"{int(row['macs']) / 1e6:,.1f} M"
        paper = row["paper"]
        link = f"https://arxiv.org/abs/{paper[6:]}" if paper.startswith("arXiv:") else f"https://doi.org/{paper}"
        source = f"[{paper}]({link})" if paper else "ours"
        facts = (f"`{row['name']}`", row["layout"], row["input"], number, macs, row["year"], source)
        lines.append("| " + " | ".join(facts) + " |")
    return "\n".join(lines)


def layer_names() -> str:
    """A line a model with the number and a hash of its layer names, which are a contract: a change must be meant."""
    import keras

    from cnn_zoo import registry

    lines = ["model,layers,sha256"]
    for name in sorted(registry._ENTRIES):
        with keras.StatelessScope(initialize_variables=False):
            names = [layer.name for layer in registry.build_model(name, compile=False).layers]
        lines.append(f"{name},{len(names)},{hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:16]}")
    return "\n".join(lines) + "\n"


def measured() -> str:
    """The README's sentences about what was measured."""

    def read(name):
        return json.loads((ROOT / f"benchmarks/results/{name}.json").read_text("utf-8"))

    seeds, rates, folder = read("seeds"), read("pipeline")["results"]["images_per_second"], read("folder")["results"]
    accuracies = seeds["results"]["test_accuracy"]
    seconds = statistics.mean(seeds["results"]["fit_seconds"])
    memory, file = folder["in memory"], folder["from a file"]
    fastest = {name: max(rate for what, rate in row.items() if "training" in what) for name, row in rates.items()}
    ratio = min(row["pipeline, augmented"] / fastest[name] for name, row in rates.items())
    sentences = (
        f"Measured on {seeds['about']['versions']['cores']} cores ({seeds['about']['processor']}) with the scripts in",
        f"[benchmarks/](benchmarks/README.md): `cnn-zoo train` reaches {statistics.mean(accuracies):.1%} ±",
        f"{statistics.stdev(accuracies):.1%} of the test digits (mean and standard deviation of seeds 0 to",
        f"{len(accuracies) - 1}) after {seconds:.0f} s of training. The augmented pipeline delivers",
        f"at least {ratio:.1f} times as many images a second as the fastest of the trainings takes. A folder of",
        f"{memory['images']:,} images, {memory['image_megabytes'] / 1000:.1f} GB of pixels, needs",
        f"{memory['memory_above_start_megabytes'] / 1000:.1f} GB held in memory and",
        f"{file['memory_above_start_megabytes'] / 1000:.1f} GB read from a file, at",
        f"{min(memory['images_per_second_epochs']):,} and {min(file['images_per_second_epochs']):,} images a second,",
        f"after a first pass at {min(memory['images_per_second_loading'], file['images_per_second_loading']):,}.",
    )
    return " ".join(sentences)


def between(text: str, name: str, content: str) -> str:
    """The text with what stands between <!-- name --> and <!-- /name --> replaced."""
    before, _, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    assert end, f"README.md has no <!-- {name} --> … <!-- /{name} -->"
    return f"{before}<!-- {name} -->\n{content}\n{end}{after}"


def repository() -> str:
    """owner/name from setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"]["url"].removeprefix("https://github.com/").rstrip("/")


def wanted_files() -> dict[Path, str]:
    """What each derived file should hold."""
    files = {ROOT / "cnn_zoo/catalogue.csv": catalogue(), ROOT / "tests/reference/layer_names.csv": layer_names()}
    rows = list(csv.DictReader(io.StringIO(files[ROOT / "cnn_zoo/catalogue.csv"])))
    before = re.search(r"github\.com/([\w.-]+/[\w-]+)", (ROOT / "CITATION.cff").read_text("utf-8"))[1]
    ours = repository()
    for pattern in LINKED:
        for path in sorted(ROOT.glob(pattern)):
            text = path.read_text("utf-8")
            for site in ("github.com/", "colab.research.google.com/github/"):
                text = text.replace(f"{site}{before}", f"{site}{ours}")
            if path.name == "README.md" and path.parent == ROOT:
                text = between(text, "models", model_table(rows))
                text = between(text, "measured", measured())
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
