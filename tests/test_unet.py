"""U-Net: the paper's count, any size, any family as its encoder."""

import keras
import numpy as np
import pytest

from cnn_zoo import build_model, model_card
from cnn_zoo.models.registry import catalogue
from cnn_zoo.nn.inspection import features, shapes_only

FAMILIES = {row["family"]: row["name"] for row in catalogue() if row["task"] == "classification"}  # a net of each


def shape_of(*arguments, **options):
    with shapes_only():
        return build_model("unet", *arguments, compile=False, **options).output_shape


def test_the_papers_net_has_its_parameters_and_costs():
    """Figure 1 of arXiv:1505.04597, counted here from its widths and sizes alone."""
    parameters = macs = 0
    side, channels, sides, widths = 572, 1, [], (64, 128, 256, 512, 1024)

    def conv(size, before, after, positions):
        nonlocal parameters, macs
        parameters += size * size * before * after + after
        macs += size * size * before * after * positions**2

    for width in widths:
        for before in (channels, width):
            side -= 2
            conv(3, before, width, side)
        sides.append(side)
        channels, side = width, side // 2
    side = sides[-1]
    for width in reversed(widths[:-1]):
        conv(2, 2 * width, width, side)  # each position makes four
        side *= 2
        for before in (2 * width, width):
            side -= 2
            conv(3, before, width, side)
    conv(1, widths[0], 2, side)
    with shapes_only():
        model = build_model("unet", (572, 572, 1), 2, layout="paper", compile=False)
    assert model.output_shape == (None, side, side, 2) == (None, 388, 388, 2)
    card = model_card(model)
    assert (card.parameters, card.macs) == (parameters, macs)
    assert parameters == 31_030_658  # as others count this net


@pytest.mark.parametrize("sides", [(64, 64), (1, 1), (61, 47), (130, 200), (37,), (9, 21, 30)])
def test_what_comes_out_is_of_the_inputs_size(sides):
    assert shape_of((*sides, 3), 5) == (None, *sides, 5)


@pytest.mark.parametrize("name", FAMILIES.values())
def test_every_family_can_be_the_encoder(name):
    assert shape_of((33, 62, 3), 4, backbone=name) == (None, 33, 62, 4)


@pytest.mark.parametrize("name", ["alexnet", "resnet50", "inception_v3"])
def test_an_encoder_in_its_paper_layout_begins_with_smaller_maps(name):
    assert shape_of((128, 100, 3), 4, backbone=name) == (None, 128, 100, 4)


def test_an_encoder_is_a_part_of_a_flat_net_under_its_own_names():
    model = build_model("unet", (32, 32, 3), 4, backbone="resnet20", compile=False)
    alone = build_model("resnet20", (32, 32, 3), include_top=False)
    inside = {layer.name: layer for layer in model.layers}
    assert {layer.name for layer in alone.layers} < inside.keys()
    assert not [layer for layer in model.layers if hasattr(layer, "layers")]
    for layer in alone.layers:  # its weights fit, and make the same maps
        inside[layer.name].set_weights(layer.get_weights())
    x = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    last = keras.Model(model.input, inside["stage3_block3_out"].output)
    np.testing.assert_allclose(np.asarray(last(x)), np.asarray(alone(x)), rtol=1e-5, atol=1e-6)


def test_skips_take_the_last_map_of_every_size():
    with shapes_only():
        encoder = build_model("vgg_slim", (32, 32, 3), include_top=False, compile=False)
        model = build_model("unet", (32, 32, 3), backbone="vgg_slim", compile=False)
    maps = [tensor.shape[1:] for tensor in features(encoder).values()]
    skips = [model.get_layer(f"up{stage}_concat").input[0].shape[1:] for stage in range(1, len(maps))]
    assert skips == maps[:-1]


def test_a_step_changes_every_weight_and_probabilities_are_of_pixels(tmp_path):
    keras.utils.set_random_seed(0)
    model = build_model("unet", (16, 16, 1), 3, filters=(4, 8, 8), dropout=0.1)
    x = np.random.default_rng(0).random((4, 16, 16, 1), dtype=np.float32)
    model.optimizer.learning_rate = 0.01
    before = [weight.numpy() for weight in model.trainable_weights]
    losses = model.fit(x, (3 * x[..., 0]).astype(int), epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    assert all((weight.numpy() != old).any() for weight, old in zip(model.trainable_weights, before, strict=True))
    outputs = np.asarray(model(x, training=False))
    assert outputs.shape == (4, 16, 16, 3)
    np.testing.assert_allclose(outputs.sum(-1), 1, rtol=1e-5)
    model.save(tmp_path / "unet.keras")
    again = keras.models.load_model(tmp_path / "unet.keras", compile=False)
    np.testing.assert_allclose(np.asarray(again(x, training=False)), outputs, atol=1e-6)


def test_heads():
    with shapes_only():
        small = {"filters": (4, 8), "compile": False}
        model = build_model("unet", classifier_activation=None, dtype="mixed_bfloat16", **small)
        last = model.layers[-1]
        assert (last.name, type(last).__name__, last.activation.__name__) == ("predictions", "Conv2D", "linear")
        assert last.compute_dtype == "float32"
        assert model.get_layer("stage1_conv1").compute_dtype == "bfloat16"
        headless = build_model("unet", include_top=False, **small)
        assert [layer.name for layer in headless.layers] == [layer.name for layer in model.layers][:-1]
        assert build_model("unet", include_top=False, pooling="avg", **small).output_shape == (None, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnt20"}, "unknown model 'resnt20'; did you mean resnet20"),
        ({"backbone": "unet"}, "backbone must be a classifier .*; got 'unet'"),
        ({"backbone": "squeezenet1_1", "input_shape": (64, 2)}, r"a classifier for inputs such as \(64, 2\)"),
        ({"backbone": "vgg11", "layout": "paper"}, "backbone must be None in the paper layout; got 'vgg11'"),
        ({"backbone": "resnet20", "filters": (4, 8, 16)}, "filters must have 2 entries"),
        ({"layout": "paper", "input_shape": (100, 200, 1)}, r"needs images of at least (\d+)x\1 "),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_model("unet", **options)
    assert "\n" not in str(caught.value)
