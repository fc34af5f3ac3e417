"""Model cards: what a model is and what it costs, counted from the layers of the built model; facts of data sets."""

import html
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from .build import build_model
from .core.errors import OptionError
from .core.text import printable, shown
from .models.registry import entry, list_models
from .nn.costs import LayerRow, layer_rows
from .nn.inspection import shapes_only, whole_model
from .weights.pretrained import accuracy_text, find_record, names_data, records_of


@dataclass(frozen=True)
class ModelCard:
    """What model_card returns; printed, it is a table.

    Attributes:
        name: of the model.
        input_shape, output_shape: without the batch.
        parameters: all of them, moving means and variances of batch normalisation included.
        trainable: those that training changes.
        macs: multiply-accumulates for one image; one is a multiplication and an addition, 2 FLOP.
        layers: a LayerRow each, in the order of the model.
        paper, task: its DOI or arXiv number, "" for a net of the zoo's own, and what it is for; None outside the zoo.
        accuracy: data set -> test accuracy of the published weights for a model of this name and these parameters.
        options: the family's own arguments of build_model: as given, or those of the weights, or the defaults.
    """

    name: str
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    parameters: int
    trainable: int
    macs: int
    layers: tuple[LayerRow, ...]
    paper: str | None
    task: str | None
    accuracy: dict[str, str]
    options: dict[str, Any]

    def __str__(self) -> str:
        facts = [
            ("input", shape_text(self.input_shape)),
            ("output", shape_text(self.output_shape)),
            ("parameters", f"{self.parameters:,} ({self.trainable:,} trainable)"),
            ("multiply-accumulates", f"{self.macs:,} an image"),
            ("paper", self.paper),
            ("options", ", ".join(f"{name}={shown(value, 40)}" for name, value in self.options.items())),
            *((f"weights for {data}", accuracy) for data, accuracy in self.accuracy.items()),
        ]
        rows = [(r.name, r.type, shape_text(r.output_shape), f"{r.parameters:,}", f"{r.macs:,}") for r in self.layers]
        table = text_table(("layer", "type", "output", "parameters", "MACs"), rows, right=(2, 3, 4))
        return "\n".join([self.name, facts_text([fact for fact in facts if fact[1]], indent=2), "", table])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def model_card(model: Any = "conv_stack", **build_options: Any) -> ModelCard:
    """Count parameters and multiply-accumulates of a model, layer by layer.

    Args:
        model: a name, with build_model's arguments, or any built Keras model made of standard layers; or a Run.

    Errors are those of build_model; a UsageError for a layer of a kind whose cost is not known here, or used more than
    once, for images of any size, several inputs or outputs; an OptionError for options of a model not given by name.
    """
    options = build_options
    if isinstance(model, str):
        if names_data(build_options.get("weights")):  # whose options are the defaults then
            options = find_record(model, build_options["weights"])["config"]["model_options"] | options
        with shapes_only():  # counting needs shapes, not 138 million numbers
            model = build_model(model, **build_options | {"compile": False})
    elif build_options:
        raise OptionError(f"{', '.join(build_options)}: only a model that is given by name can take options")
    model = whole_model(model)
    rows, parameters = layer_rows(model), model.count_params()
    known = entry(model.name) if model.name in list_models() else None
    return ModelCard(
        name=model.name,
        input_shape=tuple(model.input_shape[1:]),
        output_shape=tuple(model.output_shape[1:]),
        parameters=parameters,
        trainable=sum(math.prod(v.shape) for v in model.trainable_variables),
        macs=sum(row.macs for row in rows),
        layers=rows,
        paper=known and known.paper,
        task=known and known.task,
        options={} if known is None else {o: options.get(o, default) for o, default in known.options().items()},
        accuracy={d: accuracy_text(r) for d, r in records_of(model.name).items() if r["parameters"] == parameters},
    )


def data_facts(data) -> list[tuple[str, str]]:
    """What cnn-zoo data says of a data set beside its counts, as (name, text)."""
    facts, headers = [], [header for header in data.headers if not isinstance(header, Exception)]
    if data.target != "masks" and data.class_names:
        totals = data.class_counts("all")
        most, least = max(totals), min(totals)
        commonest, rarest = (data.class_names[totals.index(count)] for count in (most, least))
        words = f"{most / max(least, 1):.1f} to 1: {commonest} has {most:,} images, {rarest} {least:,}"
        words += "; --class-weight balanced makes up for it" * (most > 1.5 * least and data.target == "labels")
        facts.append(("balance", words if most > least else f"every class has {most:,} images"))
    if headers:
        sides = []
        for word, found in zip(("high", "wide"), zip(*(header.size for header in headers), strict=True), strict=True):
            least, most = min(found), max(found)
            several = f"{least} to {most} pixels {word} (median {sorted(found)[len(found) // 2]})"
            sides.append(several if least < most else f"{least} pixels {word}")
        sizes = len({header.size for header in headers})
        facts.append(("sizes", f"{', '.join(sides)}; {sizes:,} size{'s' * (sizes > 1)}"))
        kinds = Counter(f"{h.format} {'16-bit ' * h.wide}{'colour' if h.colour else 'grey'}" for h in headers)
        facts.append(("formats", ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())))
    mean, deviation = (", ".join(f"{value:.4f}" for value in data.statistics[key]) for key in ("mean", "std"))
    some = data.sample(1000)
    found = f"{some.min() / 255:.2f} to {some.max() / 255:.2f}, mean {mean}, standard deviation {deviation}"
    facts.append(("values", f"training images {found}"))
    if data.files and data.duplicates:
        pairs = len(data.duplicates)
        one, other = (data.files[place] for place in data.duplicates[0])
        words = f"{pairs:,} pairs of images are" if pairs > 1 else "a pair of images is"
        facts.append(("duplicates", f"{words} nearly the same, such as {one} and {other}"))
    return facts + [("note", note) for note in data.notes]


def shape_text(shape: tuple) -> str:
    """(28, 28, 1) -> "28x28x1"."""
    return "x".join("?" if side is None else str(side) for side in shape)


def facts_text(facts: list[tuple[str, str]], indent: int = 0) -> str:
    """Pairs of a name and a text, in two columns."""
    width = 2 + max(len(name) for name, _ in facts)
    return "\n".join(f"{'':{indent}}{name:{width}}{printable(text)}" for name, text in facts)


def text_table(head: tuple[str, ...], rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """Rows of text under their heads, in columns; those whose numbers are in `right` are set to the right."""
    rows = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    line = "  ".join(f"{{:{'>' if i in right else '<'}{width}}}" for i, width in enumerate(widths))
    return "\n".join(line.format(*row).rstrip() for row in (head, *rows))
