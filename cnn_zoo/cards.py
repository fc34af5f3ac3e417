"""Model cards: what a model is and what it costs, counted from the layers of the built model."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Any

from .build import build_model
from .core.errors import OptionError
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
        task: what it is for; None for a model that is not in the zoo.
        paper: its DOI or arXiv number, "" for a net of the zoo's own, None for a model that is not in it.
        accuracy: data set -> test accuracy of the published weights for a model of this name and these parameters.
        options: the family's own arguments of build_model, as they were given, or those of the weights, or their
            defaults; of a model that is not given by name, the defaults.
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

    def _facts(self) -> list[tuple[str, str]]:
        facts = [
            ("input", shape_text(self.input_shape)),
            ("output", shape_text(self.output_shape)),
            ("parameters", f"{self.parameters:,} ({self.trainable:,} trainable)"),
            ("multiply-accumulates", f"{self.macs:,} an image"),
        ]
        if self.paper:
            facts.append(("paper", self.paper))
        if self.options:
            facts.append(("options", ", ".join(f"{name}={_short(value)}" for name, value in self.options.items())))
        return facts + [(f"weights for {data}", accuracy) for data, accuracy in self.accuracy.items()]

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (row.name, row.type, shape_text(row.output_shape), f"{row.parameters:,}", f"{row.macs:,}")
            for row in self.layers
        ]

    def __str__(self) -> str:
        table = text_table(("layer", "type", "output", "parameters", "MACs"), self._cells(), right=(2, 3, 4))
        facts = self._facts()
        width = 2 + max(len(key) for key, _ in facts)
        return "\n".join([self.name, *(f"  {key:{width}}{value}" for key, value in facts), "", table])

    def _repr_html_(self) -> str:
        def row(cells, tag="td"):
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        facts = "<br>".join(f"{html.escape(key)}: {html.escape(value)}" for key, value in self._facts())
        head = row(("layer", "type", "output", "parameters", "MACs"), "th")
        body = "".join(map(row, self._cells()))
        return f"<b>{html.escape(self.name)}</b><br>{facts}<table>{head}{body}</table>"


def model_card(model: Any = "conv_stack", **build_options: Any) -> ModelCard:
    """Count parameters and multiply-accumulates of a model, layer by layer.

    Args:
        model: a name, with build_model's arguments, or any built Keras model made of standard layers; or a Run.

    Returns:
        A ModelCard: .parameters, .trainable, .macs, .layers, .paper and more; as text a table, in notebooks HTML.

    Raises:
        UsageError: as build_model does; or a layer of a kind whose cost is not known here, a layer that is used more
            than once, images of any size, or several inputs or outputs.
        OptionError: as build_model does; or options of a model that is not given by name.
    """
    options = dict(build_options)
    if isinstance(model, str):
        if names_data(build_options.get("weights")):  # whose options are the defaults then
            options = find_record(model, build_options["weights"])["config"]["model_options"] | options
        with shapes_only():  # counting needs shapes, not 138 million numbers
            model = build_model(model, **build_options | {"compile": False})
    elif build_options:
        raise OptionError(f"{', '.join(build_options)}: only a model that is given by name can take options")
    model = whole_model(model)
    rows = layer_rows(model)
    known = entry(model.name) if model.name in list_models() else None
    return ModelCard(
        name=model.name,
        input_shape=tuple(model.input_shape[1:]),
        output_shape=tuple(model.output_shape[1:]),
        parameters=model.count_params(),
        trainable=sum(math.prod(v.shape) for v in model.trainable_variables),
        macs=sum(row.macs for row in rows),
        layers=rows,
        paper=known and known.paper,
        task=known and known.task,
        options={} if known is None else {o: options.get(o, default) for o, default in known.options().items()},
        accuracy={
            data: accuracy_text(record)
            for data, record in records_of(model.name).items()
            if record["parameters"] == model.count_params()
        },
    )


def _short(value: Any) -> str:
    """A value as one would write it, cut to forty characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def shape_text(shape: tuple) -> str:
    """(28, 28, 1) -> "28x28x1"."""
    return "x".join("?" if side is None else str(side) for side in shape)


def text_table(head: tuple[str, ...], rows: list[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """Rows of text under their heads, in columns; those whose numbers are in `right` are set to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )
