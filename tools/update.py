"""Write everything in the repository that is derived from something else.

    python tools/update.py            write
    python tools/update.py --check    say what is stale, exit with 1 if anything is

- cnn_zoo/catalogue.csv, from the family files: parameters and multiply-accumulates of every model as published
- the table of models in README.md, from the catalogue
- every badge, Colab link and address, from `url` in setup.cfg
"""

import argparse
import configparser
import csv
import io
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

ADDRESS = re.compile(
    r"(?<=https://github\.com/)[\w.-]+/[\w.-]+?(?=/(?:blob|actions|issues|tree)|[)\s\"#.]|\.git|$)", re.M
)
COLAB = re.compile(r"(?<=https://colab\.research\.google\.com/github/)[\w.-]+/[\w.-]+(?=/)")
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
        facts = (f"`{row['name']}`", row["layout"], row["input"], number, macs, row["year"], f"[{paper}]({link})")
        lines.append("| " + " | ".join(facts) + " |")
    return "\n".join(lines)


def repository() -> str:
    """owner/name from setup.cfg."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return config["metadata"]["url"].removeprefix("https://github.com/").rstrip("/")


def wanted_files() -> dict[Path, str]:
    """What each derived file should hold."""
    files = {ROOT / "cnn_zoo/catalogue.csv": catalogue()}
    rows = list(csv.DictReader(io.StringIO(files[ROOT / "cnn_zoo/catalogue.csv"])))
    ours = repository()
    for pattern in LINKED:
        for path in sorted(ROOT.glob(pattern)):
            text = ADDRESS.sub(lambda found: ours if "cnn_zoo" in found[0] else found[0], path.read_text("utf-8"))
            text = COLAB.sub(ours, text)
            if path.name == "README.md" and path.parent == ROOT:
                before, _, rest = text.partition("<!-- models -->")
                _, end, after = rest.partition("<!-- /models -->")
                text = f"{before}<!-- models -->\n{model_table(rows)}\n{end}{after}"
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
