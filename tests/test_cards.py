"""Counts equal the published ones, and costs are counted right."""

import csv

import keras
import pytest

from cnn_zoo import build_model, feature_extractor, list_models, model_card
from cnn_zoo.core.errors import OptionError, UsageError
from cnn_zoo.models.registry import catalogue
from conftest import ROOT

with open(ROOT / "tests/reference/architectures.csv", newline="") as file:
    PUBLISHED = list(csv.DictReader(file))


def published_arguments(row):
    """("resnet20(shortcut='projection')", …) -> name and build_model's arguments."""
    name, _, options = row["name"].partition("(")
    options = eval(f"dict({options}") if options else {}
    return name, {
        "input_shape": tuple(map(int, row["input"].split("x"))),
        "num_classes": int(row["classes"]),
        "layout": row["layout"],
        **options,
    }


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: f"{row['name']}-{row['input']}")
def test_counts_equal_the_published_ones(row):
    name, arguments = published_arguments(row)
    card = model_card(name, **arguments)
    assert card.trainable == int(row["trainable"])
    assert card.parameters == int(row["total"])
    assert round(card.macs / 1e6, 3) == pytest.approx(float(row["mmacs"]), abs=0.0011)


def test_a_card_of_a_name_equals_the_card_of_the_model():
    by_name, by_model = model_card("lenet5"), model_card(build_model("lenet5"))
    assert by_name.layers == by_model.layers
    assert by_name.parameters == build_model("lenet5").count_params()
    assert by_model.paper == "10.1109/5.726791"


def test_rows_add_up_and_both_texts_hold_them():
    card = model_card("vgg11", input_shape=(32, 32, 3), batch_norm=True)
    assert sum(row.parameters for row in card.layers) == card.parameters > card.trainable
    assert sum(row.macs for row in card.layers) == card.macs
    for text in (str(card), card._repr_html_()):
        assert all(row.name in text for row in card.layers)
        assert f"{card.parameters:,}" in text


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (keras.layers.Conv1D(4, 3, padding="same"), (10, 2), 10 * 3 * 2 * 4),
        (keras.layers.Conv2D(8, 3, strides=2, groups=2), (9, 9, 4), 4 * 4 * 9 * 2 * 8),
        (keras.layers.Conv2D(8, 3, dilation_rate=2), (9, 9, 4), 5 * 5 * 9 * 4 * 8),
        (keras.layers.Conv3D(2, 2), (4, 4, 4, 3), 27 * 8 * 3 * 2),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 4), 9 * 9 * 8),
        (keras.layers.SeparableConv2D(6, 3), (5, 5, 4), 9 * (9 * 4 + 4 * 6)),
        (keras.layers.Conv2DTranspose(6, 3, strides=2), (5, 5, 4), 25 * 9 * 4 * 6),
        (keras.layers.Dense(7), (5,), 35),
        (keras.layers.Dense(7), (3, 5), 105),
        (keras.layers.BatchNormalization(), (5, 5, 4), 0),
    ],
)
def test_multiply_accumulates_by_hand(layer, shape, macs):
    assert model_card(keras.Sequential([keras.Input(shape), layer])).macs == macs


def test_a_nested_model_is_counted_layer_by_layer():
    inner = build_model("lenet5", include_top=False)
    outer = keras.Sequential([keras.Input((28, 28, 1)), inner, keras.layers.Flatten(), keras.layers.Dense(10)])
    assert model_card(outer).macs == model_card(inner).macs + 400 * 10


def test_a_layer_of_unknown_cost_is_an_error_and_not_a_zero():
    attention = keras.layers.LSTM(3)
    with pytest.raises(UsageError, match="is a LSTM"):
        model_card(keras.Sequential([keras.Input((4, 4)), attention]))
    image = keras.Input((8, 8, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", name="twice")
    with pytest.raises(UsageError, match="'twice' is used 2 times"):
        model_card(keras.Model(image, twice(twice(image))))
    dots = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.EinsumDense("...i,io->...o", (8, 8, 4))])
    with pytest.raises(UsageError, match="whose cost is not counted"):
        model_card(dots)
    with pytest.raises(UsageError, match="takes images of any size"):
        model_card(keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)]))


def test_a_model_inside_another_one_is_counted_still():
    inner = build_model("lenet5", compile=False)
    before = model_card(inner)
    image = keras.Input((28, 28, 1))
    outer = keras.Model(image, inner(keras.layers.Rescaling(2.0)(image)))
    assert model_card(inner) == before
    assert model_card(outer).macs == before.macs


def test_a_model_of_several_outputs_has_no_card():
    with pytest.raises(UsageError, match="has 1 inputs and 3 outputs"):
        model_card(feature_extractor(build_model("conv_stack")))


def test_options_are_those_that_were_given():
    card = model_card("conv_stack", input_shape=(32, 32, 3), filters=(16, 32), dropout=0.1)
    assert card.options["filters"] == (16, 32)
    assert card.options["padding"] == "valid"
    assert "dropout" not in card.options
    assert model_card("mobilenet_v2", weights="fashion_mnist").options["width"] == 0.35
    assert "blocks=(((64, 96, 128, 16, 32, 32), (128, 128,…" in str(model_card("googlenet"))


def test_options_need_a_name():
    with pytest.raises(OptionError, match="num_classes: only a model that is given by name"):
        model_card(build_model("lenet5"), num_classes=3)


def test_every_family_is_held_against_a_published_count():
    published = {row["name"].split("(")[0] for row in PUBLISHED}
    assert published <= set(list_models())
    families = {row["family"] for row in catalogue() if row["paper"]}  # ours have published nothing
    assert {row["family"] for row in catalogue() if row["name"] in published} == families


def test_the_recorded_trainings_show_that_every_family_learns():
    with open(ROOT / "results/families.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    families = {row["name"]: row["family"] for row in catalogue() if row["task"] == "classification"}
    assert {families[row["model"]] for row in rows} == set(families.values())
    for row in rows:
        assert float(row["last_loss"]) < float(row["first_loss"]), row["model"]


def test_a_card_takes_every_argument_of_build_model():
    assert model_card("lenet5", compile=True).parameters == model_card("lenet5").parameters
