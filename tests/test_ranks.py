"""The same families for signals, images and videos."""

import math

import keras
import numpy as np
import pytest

from cnn_zoo import build_model, model_card
from cnn_zoo.models.registry import catalogue, entry
from cnn_zoo.nn.inspection import block_of, features, shapes_only, stage_of, step_of

SIGNAL, VIDEO = (1000, 1), (8, 32, 32, 3)
ANY_RANK = {  # options for few weights
    "conv_stack": {"filters": (4, 8), "units": (16,), "padding": "same"},
    "vgg11": {"filters": (2, 3, 4, 5, 6), "layout": "small"},
    "resnet20": {"filters": (4, 6, 8)},
    "zoonet": {"filters": (4, 8)},
}
FAMILIES = {row["family"]: row["name"] for row in catalogue() if row["task"] == "classification"}  # a net of each


class Count:
    """Parameters and multiply-accumulates of a chain, from sides and channels alone."""

    def __init__(self, shape):
        *self.sides, self.channels = shape
        self.parameters = self.macs = 0

    def halve(self, up=False):
        self.sides = [-(-side // 2) if up else side // 2 for side in self.sides]

    def conv(self, size, filters, bias=True, norm=False, strides=1):
        self.sides = [-(-side // strides) for side in self.sides]
        kernel = size ** len(self.sides) * self.channels * filters
        self.parameters += kernel + bias * filters + 4 * norm * filters
        self.macs += kernel * math.prod(self.sides)
        self.channels = filters

    def dense(self, units):
        self.parameters += (self.channels + 1) * units
        self.macs += self.channels * units
        self.channels = units


def conv_stack(count):
    for filters in (4, 8):
        count.conv(3, filters)
        count.halve()
    count.channels *= math.prod(count.sides)
    count.dense(16)


def vgg11(count):
    for convolutions, filters in ((1, 2), (1, 3), (2, 4), (2, 5), (2, 6)):
        for _ in range(convolutions):
            count.conv(3, filters)
        count.halve(up=True)


def resnet20(count):
    count.conv(3, 4, bias=False, norm=True)
    for stage, filters in enumerate((4, 6, 8)):
        for number in range(6):
            count.conv(3, filters, bias=False, norm=True, strides=2 if stage and not number else 1)


def zoonet(count):
    count.conv(4, 16, bias=False, norm=True, strides=2)
    count.conv(3, 4, bias=False, norm=True)
    count.halve()
    count.conv(3, 8, bias=False, norm=True)
    count.halve()
    count.conv(3, 8, bias=False, norm=True)


@pytest.mark.parametrize("shape", [SIGNAL, (32, 32, 3), VIDEO])
@pytest.mark.parametrize("by_hand", [conv_stack, vgg11, resnet20, zoonet])
def test_parameters_and_multiply_accumulates_are_those_counted_by_hand(by_hand, shape):
    count = Count(shape)
    by_hand(count)
    count.dense(5)
    card = model_card(by_hand.__name__, input_shape=shape, num_classes=5, **ANY_RANK[by_hand.__name__])
    assert (card.parameters, card.macs) == (count.parameters, count.macs)


@pytest.mark.parametrize("shape", [SIGNAL, VIDEO])
@pytest.mark.parametrize("name", ANY_RANK)
def test_a_step_of_training_changes_every_weight_and_leaves_it_finite(name, shape):
    keras.utils.set_random_seed(0)
    model = build_model(name, shape, 3, **ANY_RANK[name])
    x = np.random.default_rng(0).random((6, *shape), dtype=np.float32)
    outputs = np.asarray(model(x))
    assert outputs.shape == (6, 3)
    np.testing.assert_allclose(outputs.sum(1), 1, rtol=1e-5)
    before = [weight.numpy() for weight in model.trainable_weights]
    assert np.isfinite(model.train_on_batch(x, np.arange(6) % 3)[0])
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.isfinite(weight.numpy()).all()
        assert (weight.numpy() != old).any(), weight.path


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("conv_stack", {"padding": "same", "pool_kind": None, "filters": (4, 8), "units": (8,)}),
        ("vgg_slim", {"filters": (4, 4, 8, 8, 8)}),
        ("resnet20", {"filters": (4, 8, 8)}),
        ("resnet50", {"filters": (2, 2, 4, 4), "layout": "paper"}),
        ("densenet_bc_22_16", {"growth": 4}),
        ("googlenet", {"blocks": (((4,) * 6,),) * 2}),
        ("mobilenet_v2", {"width": 0.25}),
        ("unet", {"filters": (4, 8)}),
    ],
)
@pytest.mark.parametrize("sides", [(32,), (8, 8)])
def test_a_net_for_a_side_more_computes_the_same_of_inputs_that_are_one_position_wide_there(name, options, sides):
    """With the smaller net's kernels in the middle of its own, and zeros around them."""
    if len(sides) + 1 not in entry(name).ranks:
        pytest.skip("has no such kernels")
    less, more = (build_model(name, (*first, *sides, 2), 3, compile=False, **options) for first in ((), (1,)))
    for layer in less.layers:
        values = layer.get_weights()
        peers = more.get_layer(layer.name).weights
        for i, (value, peer) in enumerate(zip(values, peers, strict=True)):
            if value.ndim < len(peer.shape):
                middle = np.zeros(peer.shape, np.float32)
                middle[(peer.shape[0] - 1) // 2] = value
                values[i] = middle
        more.get_layer(layer.name).set_weights(values)
    x = np.random.default_rng(0).random((3, *sides, 2), dtype=np.float32)
    one = np.asarray(more(x[:, None], training=False)).reshape(np.shape(less(x, training=False)))
    np.testing.assert_allclose(one, np.asarray(less(x, training=False)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(96, 2), (12, 40, 33, 2)])
@pytest.mark.parametrize("name", FAMILIES.values())
def test_every_family_builds_for_the_ranks_it_names_and_refuses_others(name, shape):
    options = {"filters": (4, 8)} if name == "conv_stack" else {}
    with shapes_only():
        if len(shape) - 1 in entry(name).ranks:
            assert build_model(name, shape, 7, layout="small", compile=False, **options).output_shape == (None, 7)
            return
        with pytest.raises(ValueError, match=rf"{name} has .*2-D kernels, for .*images \(height.*; got .*{shape[0]}"):
            build_model(name, shape)


def test_layouts_go_by_the_shortest_side():
    for shape, last in (((95, 1), "avg_pool"), ((96, 1), "flatten"), ((8, 200, 200, 1), "avg_pool")):
        with shapes_only():
            names = [layer.name for layer in build_model("vgg11", shape, compile=False, filters=(4,) * 5).layers]
        assert last in names


@pytest.mark.parametrize(("shape", "kind"), [((5, 1), "signals"), ((8, 32, 32, 3), "videos")])
def test_too_small_an_input_is_told_the_least_size(shape, kind):
    least = "x".join(["22"] * (len(shape) - 1))
    with pytest.raises(ValueError, match=f"conv_stack needs {kind} of at least {least} with"):
        build_model("conv_stack", shape)
    assert build_model("conv_stack", (*[22] * (len(shape) - 1), 1), compile=False).output_shape == (None, 10)


MAPS = {  # of 64x64 pixels, in the small layout: the layer of each stride, from 1 or 2 on, before the next halves it
    "alexnet_owt": "stage1_conv1 stage2_conv1 stage3_conv3 stage3_pool",
    "conv_stack": "stage1_conv1 stage2_conv1 stage3_conv1 stage3_pool",
    "densenet_bc_22_16": "stage2_transition stage3_transition final_act",
    "efficientnet_b0": "stage3_block1_expand_act stage4_block1_expand_act stage6_block1_expand_act final_conv_act",
    "googlenet": "stem_conv3 stage1_block2_out stage2_block5_out stage3_block2_out",
    "inception_v3": "stem_2b_3x3_act stage1_5d_out stage2_6e_out stage3_7c_out",
    "lenet5": "stage1_conv1 stage2_conv1 stage2_pool",
    "mobilenet_v2": "stage3_block1_expand_act stage4_block1_expand_act stage6_block1_expand_act final_conv_act",
    "resnet56": "stage1_block9_out stage2_block9_out stage3_block9_out",
    "shufflenet_v2": "stem_conv_act stage1_block4_shuffle_join stage2_block8_shuffle_join final_conv_act",
    "squeezenet1_1": "stem_conv stage1_fire3_out stage2_fire5_out stage3_fire9_out",
    "vgg_slim": "stage1_conv1_act stage2_conv1_act stage3_conv2_act stage4_conv2_act stage5_conv2_act stage5_pool",
    "zoonet_wide": "stage1_conv1 stage2_conv1 stage3_conv1 stage4_conv1 stage4_conv2_act",
}
LOSE_A_BORDER = ("conv_stack", "lenet5")


@pytest.mark.parametrize("name", FAMILIES.values())
def test_maps_come_by_stride_each_the_last_before_the_next_reduction(name):
    with shapes_only():
        model = build_model(name, (64, 64, 3), layout="small", include_top=False, compile=False)
    maps = features(model)
    assert " ".join(tensor._keras_history.operation.name for tensor in maps.values()) == MAPS[name]
    assert list(maps) == [2**i for i in range(len(maps))]
    assert maps[2 ** (len(maps) - 1)] is model.outputs[0]
    for stride, tensor in maps.items():
        side = tensor.shape[1]
        assert side < 64 // stride if name in LOSE_A_BORDER else side == 64 // stride


def test_maps_of_nets_that_begin_with_a_stride_or_reduce_by_three():
    with shapes_only():
        resnet = build_model("resnet50", include_top=False, compile=False)
        stack = build_model("conv_stack", (96, 96, 1), pool_size=3, include_top=False, compile=False)
    assert {stride: tensor.shape[1:] for stride, tensor in features(resnet).items()} == {
        2: (112, 112, 64), 4: (56, 56, 256), 8: (28, 28, 512), 16: (14, 14, 1024), 32: (7, 7, 2048),
    }  # fmt: skip
    assert list(features(stack)) == [1, 3, 9, 27]


def test_names_of_layers_are_stage_block_and_part():
    assert [stage_of(name) for name in ("stage12_conv1", "stem_conv", "predictions")] == ["stage12", None, None]
    blocks = {
        "stage2_block10_conv1_norm": "stage2_block10",
        "stage1_fire3_out": "stage1_fire3",
        "stage3_7c": "stage3_7c",
    }
    blocks |= {"stage1_conv1": None, "stage2_blocks": None, "stem_block1": None}
    assert {name: block_of(name) for name in blocks} == blocks
    steps = {"stage1_conv1_norm": "stage1_conv1", "stage2_conv1_group2_act": "stage2_conv1", "fc1_dropout": "fc1"}
    assert {name: step_of(name) for name in steps} == steps
