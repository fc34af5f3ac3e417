"""Every model of the registry keeps the contract; options do what they say."""

import csv
import re
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from cnn_zoo import build_model, feature_extractor, list_models, model_card, register
from cnn_zoo.core.errors import UsageError
from cnn_zoo.models.registry import entry
from cnn_zoo.nn.inspection import shapes_only, stages
from conftest import ROOT

TINY = {  # options that make a model small enough to train and save many times
    "conv_stack": {"filters": (4, 8), "units": (8,)},
    **{name: {"filters": (4, 4, 8, 8, 8), "units": (8,)} for name in ("alexnet", "alexnet_owt")},
    **{name: {"filters": (4, 4, 8, 8, 8)} for name in list_models("vgg*")},
    "googlenet": {"blocks": (((4,) * 6,) * 2, ((4,) * 6,) * 5, ((4,) * 6,) * 2)},
    **{f"resnet{depth}": {"filters": (4, 8, 8, 8)} for depth in (18, 34, 50, 101, 152)},
    **{f"resnet{depth}": {"filters": (4, 8, 8)} for depth in (20, 32, 44, 56, 110)},
    **{name: {"growth": 2} for name in list_models("densenet*")},
    **{name: {"squeeze": (2,) * 8} for name in list_models("squeezenet*")},
    **{name: {"width": 0.25} for name in ("mobilenet_v1", "mobilenet_v2", "shufflenet_v1")},
    "shufflenet_v2": {"width": 0.5},
}
ALL = list_models(task="classification")
with open(ROOT / "results/families.csv", newline="") as file:  # written by benchmarks/families.py, which lists them
    # One of each builder, for what takes seconds a net; the others differ from them in a row of a table.
    KINDS = [row["model"] for row in csv.DictReader(file)]
QUICK = ("conv_stack", "lenet5", "alexnet", "vgg11", "resnet20", "squeezenet1_1", "mobilenet_v1")


def slowly(names):
    """Names as parameters, those that take long marked as slow."""
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


def tiny(name, input_shape=(32, 32, 1), **options):
    keras.utils.set_random_seed(0)
    return build_model(name, input_shape, **{**TINY.get(name, {}), **options})


def images(model, count=4, seed=0):
    return np.random.default_rng(seed).random((count, *model.input_shape[1:]), dtype=np.float32)


def relative_difference(a, b):
    return float(np.max(np.abs(a - b)) / (np.max(np.abs(b)) + 1e-12))


def outputs_of(model, x):
    """What the model computes; model.predict would trace a graph first, which takes longer."""
    return np.asarray(model(x, training=False))


def test_every_builder_was_seen_to_learn():
    assert {entry(name).build for name in ALL} == {entry(name).build for name in KINDS}


@pytest.mark.parametrize("name", slowly(ALL))
def test_outputs_are_probabilities_of_the_right_shape(name):
    model = tiny(name)
    outputs = outputs_of(model, images(model))
    assert outputs.shape == (4, 10)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", slowly(ALL))
def test_every_size_number_of_channels_and_number_of_classes_builds(name):
    published = entry(name).layouts
    cases = [(shape, 1000 if layout == "paper" else 10) for layout, shape in published.items()] + [((28, 28, 1), 2)]
    for shape, classes in cases + [((40, 56, 4), 100)] * (name in KINDS):
        with shapes_only():  # shapes only
            assert build_model(name, shape, classes, compile=False).output_shape == (None, classes)


@pytest.mark.parametrize("name", slowly(KINDS))
def test_every_trainable_weight_gets_a_finite_gradient_that_is_not_zero(name):
    import tensorflow as tf

    model = tiny(name, dropout=0.0)
    x, y = images(model, 16), np.arange(16) % 10
    with tf.GradientTape() as tape:
        loss = keras.losses.SparseCategoricalCrossentropy()(y, model(x, training=True))
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert np.isfinite(gradient).all(), weight.path
        assert np.abs(gradient).max() > 0, weight.path


@pytest.mark.parametrize("name", slowly(KINDS))
def test_a_saved_model_computes_the_same(name, tmp_path):
    model = tiny(name, compile=False)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = images(model)
    assert relative_difference(outputs_of(again, x), outputs_of(model, x)) < 1e-6


@pytest.mark.parametrize("name", slowly(KINDS))
def test_without_the_top_plus_its_head_is_the_whole(name):
    whole, features = tiny(name), tiny(name, include_top=False)
    shared = {layer.name for layer in features.layers}
    for layer in features.layers:
        layer.set_weights(whole.get_layer(layer.name).get_weights())
    x = images(whole)
    outputs = keras.ops.convert_to_tensor(outputs_of(features, x))
    assert len(outputs.shape) == 4
    for layer in whole.layers:
        if layer.name not in shared:
            outputs = layer(outputs)
    assert relative_difference(np.asarray(outputs), outputs_of(whole, x)) < 1e-6
    assert not features.compiled


@pytest.mark.parametrize("name", slowly(KINDS))
def test_pooling_without_the_top_gives_a_vector(name):
    maps = tiny(name, include_top=False)
    x = images(maps)
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = tiny(name, include_top=False, pooling=pooling)
        assert relative_difference(outputs_of(pooled, x), reduce(outputs_of(maps, x), axis=(1, 2))) < 1e-5


@pytest.mark.parametrize("name", slowly(KINDS))
def test_mixed_precision_leaves_float32_outputs(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tiny(name)
        kinds = {layer.compute_dtype for layer in model.layers if type(layer).__name__ == "Conv2D"}
        assert "bfloat16" in kinds
        heads = [layer for layer in model.layers if layer.name.startswith("predictions")]
        assert {layer.compute_dtype for layer in heads} == {"float32"}
        assert keras.ops.dtype(model(images(model))) == "float32"
    finally:
        keras.config.set_dtype_policy(before)


class StopWhenPerfect(keras.callbacks.Callback):
    """Ends a training whose accuracy is 1."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = logs["accuracy"] == 1


@pytest.mark.parametrize(
    ("name", "side", "options"),
    [
        ("alexnet", 16, {"filters": (8, 16, 32, 32, 16), "units": (32,), "dropout": 0}),
        ("vgg11", 16, {"filters": (8, 16, 32, 32, 32), "batch_norm": True, "dropout": 0}),
        pytest.param("googlenet", 16, {"blocks": (((16,) * 6,),) * 3, "dropout": 0}, marks=pytest.mark.slow),
        ("resnet20", 16, {}),
        pytest.param("densenet_bc_100_12", 16, {"depths": (2, 2, 2)}, marks=pytest.mark.slow),
        pytest.param("squeezenet1_1", 16, {"dropout": 0, "batch_norm": True}, marks=pytest.mark.slow),
        pytest.param("mobilenet_v2", 16, {"width": 0.25, "dropout": 0}, marks=pytest.mark.slow),
        pytest.param("shufflenet_v1", 16, {"width": 0.5}, marks=pytest.mark.slow),
        pytest.param("shufflenet_v2", 16, {"width": 0.5}, marks=pytest.mark.slow),
    ],
)
def test_a_small_batch_is_learnt_by_heart(name, side, options):
    keras.utils.set_random_seed(0)
    model = build_model(name, (side, side, 1), **options)
    x, y = images(model, 32), np.arange(32) % 10
    model.optimizer.learning_rate = 3e-3
    accuracy = model.fit(x, y, batch_size=32, epochs=80, callbacks=[StopWhenPerfect()], verbose=0).history["accuracy"]
    assert accuracy[0] < 0.5
    assert max(accuracy) == 1


@pytest.mark.parametrize("name", slowly(ALL))
def test_layer_names_say_where_a_layer_is(name):
    """That they stay is seen by test_derived_files_are_up_to_date, which compares layers.csv."""
    with shapes_only():
        first = [layer.name for layer in build_model(name, compile=False).layers]
    assert len(set(first)) == len(first)
    assert first[-1] == "predictions"
    places = ("image", "stem", "stage", "final", "flatten", "avg_pool", "fc", "dropout", "predictions")
    assert all(layer.startswith(places) for layer in first), first


def test_layer_names_of_the_stack():
    assert [layer.name for layer in build_model().layers] == [
        "stage1_conv1", "stage1_pool", "stage2_conv1", "stage2_pool", "stage3_conv1", "stage3_pool",
        "flatten", "fc1", "predictions",
    ]  # fmt: skip


@pytest.mark.parametrize("name", slowly(ALL))
def test_features_of_every_stage(name):
    with shapes_only():
        model = build_model(name, compile=False)
        maps = feature_extractor(model).output_shape
    assert len(maps) == len(stages(model)) >= 2
    assert [m[1] for m in maps] == sorted((m[1] for m in maps), reverse=True)


def test_named_features_and_a_wrong_name():
    model = tiny("lenet5")
    assert feature_extractor(model, ["stage1", "fc1"]).output_shape == [(None, 14, 14, 6), (None, 120)]
    assert feature_extractor(model, "fc2").output_shape == (None, 84)
    with warnings.catch_warnings(action="error"):  # Keras warns of a list of one input
        assert [maps.shape for maps in feature_extractor(model)(np.zeros((2, 32, 32, 1)))] == [
            (2, 14, 14, 6),
            (2, 5, 5, 16),
        ]
    with pytest.raises(ValueError, match=r"'fc3'; did you mean fc2"):
        feature_extractor(model, ["fc3"])
    with pytest.raises(ValueError, match="no layers named stage1_"):
        feature_extractor(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))


def test_the_net_written_out_in_plain_keras_is_what_the_builder_makes():
    page, written = (ROOT / "cnn_zoo/models/README.md").read_text("utf-8"), {}
    exec(re.search(r"^```python\n(.*?)^```", page, re.M | re.S)[1], written)
    by_hand, ours = written["vgg11"], build_model("vgg11", (32, 32, 3), compile=False)
    assert [(type(a), a.get_config()) for a in by_hand.layers] == [(type(b), b.get_config()) for b in ours.layers]
    assert by_hand.name == ours.name
    assert by_hand.count_params() == ours.count_params()
    ours.set_weights(by_hand.get_weights())
    x = images(ours)
    np.testing.assert_array_equal(outputs_of(ours, x), outputs_of(by_hand, x))


def test_a_variant_is_a_row_as_the_page_beside_the_families_says(monkeypatch):
    from cnn_zoo.models import vgg
    from cnn_zoo.nn.spec import Spec

    page = (ROOT / "cnn_zoo/models/README.md").read_text("utf-8")
    name, row = re.search(r'`"(\w+)": (\(.*?\))`', page).groups()
    monkeypatch.setitem(vgg.CONVOLUTIONS, name, eval(row))
    monkeypatch.setitem(vgg.FILTERS, name, (2, 2, 4, 4, 4))
    convolutions = [layer for layer in vgg.vgg(Spec(name, (32, 32, 3))).layers if "_conv" in layer.name]
    assert len(convolutions) == sum(eval(row)) == 11


def test_chains_are_sequential_and_compiled_to_match_their_head():
    for classifier_activation, from_logits in (("softmax", False), (None, True)):
        model = build_model(classifier_activation=classifier_activation)
        assert isinstance(model, keras.Sequential)
        assert model.loss.from_logits is from_logits
    x, y = images(model), np.array([1, 2, 3, 4])
    log_probabilities = keras.ops.log_softmax(outputs_of(model, x))
    expected = -np.mean(np.asarray(log_probabilities)[np.arange(4), y])
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] == pytest.approx(expected, rel=1e-5)
    assert not build_model(compile=False).compiled


def test_options_reach_the_layers():
    model = build_model(
        "conv_stack", l1=0.1, l2=0.2, batch_norm=True, dropout=0.3, activation="tanh", pool_kind="average",
        kernel_size=5, padding="same", filters=(4, 8), units=(16, 16),
    )  # fmt: skip
    conv = model.get_layer("stage1_conv1")
    assert (conv.kernel_regularizer.l1, conv.kernel_regularizer.l2) == (pytest.approx(0.1), pytest.approx(0.2))
    assert conv.kernel_size == (5, 5)
    assert not conv.use_bias  # batch normalisation has its own
    assert isinstance(model.get_layer("stage2_conv1_norm"), keras.layers.BatchNormalization)
    assert model.get_layer("stage2_conv1_act").activation is keras.activations.tanh
    assert isinstance(model.get_layer("stage1_pool"), keras.layers.AveragePooling2D)
    assert model.get_layer("fc2_dropout").rate == 0.3
    assert model.get_layer("predictions").kernel_regularizer is not None


@pytest.mark.parametrize("name", ["lenet5", "mobilenet_v1", "shufflenet_v1", "efficientnet_b0"])
def test_penalties_on_all_kernels_are_part_of_the_loss(name):
    model = tiny(name, l2=0.5)
    kernels = [w for w in model.trainable_weights if w.name == "kernel"]
    expected = 0.5 * sum(float(np.sum(np.square(w))) for w in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)


def test_layout_follows_the_size_of_the_images():
    assert build_model("vgg11", (95, 95, 3), filters=(4,) * 5).layers[-2].name == "dropout"
    paper = build_model("vgg11", (96, 96, 3), filters=(4,) * 5, units=(8, 8))
    assert [layer.name for layer in paper.layers][-6:] == [
        "flatten", "fc1", "fc1_dropout", "fc2", "fc2_dropout", "predictions",
    ]  # fmt: skip
    assert build_model("vgg11", (95, 200, 3), filters=(4,) * 5).layers[-3].name == "avg_pool"  # the shorter side
    assert build_model("vgg11", (32, 32, 3), layout="paper", filters=(4,) * 5, units=(8,)).layers[-3].name == "fc1"


def test_a_plain_net_is_the_residual_one_without_its_shortcuts():
    with shapes_only():
        plain, residual = (build_model("resnet20", residual=flag, compile=False) for flag in (False, True))
    assert not [layer for layer in plain.layers if isinstance(layer, keras.layers.Add)]
    assert len([layer for layer in residual.layers if isinstance(layer, keras.layers.Add)]) == 9
    assert plain.count_params() == residual.count_params()
    with pytest.raises(ValueError, match="shortcut must be one of 'identity', 'projection'; got 'none'"):
        build_model("resnet20", shortcut="none")


@pytest.mark.parametrize("name", ["resnet20", "resnet50"])
def test_with_pre_activation_the_sum_is_left_as_it_is(name):
    with shapes_only():
        model, usual = (build_model(name, (32, 32, 3), compile=False, preactivation=flag) for flag in (True, False))
    names = [layer.name for layer in model.layers]
    assert not [layer for layer in names if layer.endswith("_out")]
    assert [layer.name for layer in usual.layers if layer.name.endswith("_out")]
    assert names.index("stage1_block1_conv1_norm") < names.index("stage1_block1_conv1")
    assert names[-4:-2] == ["final_norm", "final_act"]


def test_option_a_keeps_the_channels_and_adds_zeros():
    model = build_model("resnet20", (8, 8, 3))
    widened = keras.Model(model.input, [model.get_layer(f"stage2_block1_{n}").output for n in ("subsample", "widen")])
    few, many = (np.asarray(m) for m in widened(images(model)))
    assert np.array_equal(many[..., 8:24], few)
    assert not many[..., :8].any()
    assert not many[..., 24:].any()


@pytest.mark.parametrize(("groups", "published"), [(1, 143), (2, 140), (4, 133), (8, 137)])
def test_shufflenet_v1_costs_what_its_paper_says_for_every_number_of_groups(groups, published):
    """arXiv:1707.01083, table 2: millions of multiply-accumulates at width 1."""
    assert model_card("shufflenet_v1", num_classes=1000, groups=groups).macs / 1e6 == pytest.approx(published, rel=0.03)


def test_groups_of_channels_do_not_see_each_other():
    """Keras' grouped convolution computes the same as ours, for kernels of any size."""
    from cnn_zoo.models.alexnet import grouped_conv
    from cnn_zoo.models.shufflenet import grouped_pointwise
    from cnn_zoo.nn.spec import Spec

    spec, inputs = Spec("x", (6, 6, 8), activation="linear"), keras.Input((6, 6, 8))
    x = np.random.default_rng(0).random((2, 6, 6, 8), dtype=np.float32)
    ours = keras.Model(inputs, grouped_conv(inputs, spec, 12, 3, groups=2, name="g"))
    peer = keras.layers.Conv2D(12, 3, groups=2, padding="same")
    peer.build(x.shape)
    kernels = [ours.get_layer(f"g_group{i}").get_weights() for i in (1, 2)]
    peer.set_weights([np.concatenate([k[i] for k in kernels], -1) for i in (0, 1)])
    np.testing.assert_allclose(np.asarray(ours(x)), np.asarray(peer(x)), atol=1e-5)
    ours = keras.Model(inputs, grouped_pointwise(inputs, spec, 12, groups=4, name="p"))
    peer = keras.layers.Conv2D(12, 1, groups=4)
    peer.build(x.shape)
    kernel, bias = ours.get_layer("p").get_weights()  # (groups, in, out)
    peer.set_weights([kernel.transpose(1, 0, 2).reshape(1, 1, 2, 12), bias.reshape(-1)])
    np.testing.assert_allclose(np.asarray(ours(x)), np.asarray(peer(x)), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnt"}, "unknown model 'resnt'"),
        ({"name": 3}, "a model is given by its name; got int"),
        ({"name": "lenet5", "weights": True}, "weights must be the name of a data set or a path; got True"),
        ({"name": "vgg61"}, "did you mean .*vgg16"),
        ({"num_classes": 1}, "num_classes must be an integer of at least 2; got 1"),
        ({"num_classes": 2.5}, "got 2.5"),
        ({"name": "densenet121", "depths": (200, 200, 200)}, "depths must be 400 blocks in all at most; got 600"),
        (
            {"name": "resnet20", "input_shape": (28,)},
            r"positive integers .*channels\); got \(28,\)",
        ),
        ({"input_shape": (28, 0, 1)}, r"got \(28, 0, 1\)"),
        ({"input_shape": (28, -28, 1)}, r"got \(28, -28, 1\)"),
        ({"input_shape": (28.5, 28, 1)}, "input_shape must be positive integers"),
        ({"input_shape": "28x28x1"}, "input_shape must be positive integers"),
        ({"layout": "tiny"}, "layout must be one of 'auto', 'paper', 'small'; got 'tiny'"),
        ({"pooling": "mean", "include_top": False}, "pooling must be one of None, 'avg', 'max'"),
        ({"activation": "rellu"}, "unknown activation 'rellu'; did you mean relu"),
        ({"classifier_activation": "relu"}, "classifier_activation must be one of 'softmax', 'sigmoid', None"),
        ({"dropout": 1.0}, "dropout must be a number of at least 0 and below 1; got 1.0"),
        ({"l2": -1}, "l2 must be a number of at least 0; got -1"),
        ({"l1": "much"}, "l1 must be a number"),
        ({"padding": "full"}, "padding must be one of 'valid', 'same'; got 'full'"),
        ({"pool_kind": "sum"}, "pool_kind must be one of 'max', 'average', None; got 'sum'"),
        ({"filters": (np.array([8, 16]),)}, "conv_stack: filters must be positive integers such as"),
        ({"filters": np.array([8, 16])}, "conv_stack: filters must be positive integers such as"),
        ({"name": "vgg11", "filters": (1, 2)}, "filters must have 5 entries"),
        ({"name": "alexnet", "filters": (4, 8)}, "filters must have 5 entries"),
        ({"name": "resnet18", "filters": (4, 8)}, "filters must have 4 entries"),
        ({"name": "squeezenet1_1", "squeeze": (4, 8)}, "squeeze must have 8 entries"),
        ({"name": "alexnet", "groups": 5}, "alexnet: groups must divide 96 channels and 256 filters; got 5"),
        ({"name": "alexnet", "groups": 0}, "groups must be an integer of at least 1"),
        ({"name": "densenet121", "growth": 0}, "growth must be an integer of at least 1"),
        (
            {"name": "densenet121", "compression": 2},
            "compression must be a number of at least 0.1 and at most 1; got 2",
        ),
        ({"name": "resnet20", "filters": (32, 16, 8)}, "filters must not fall .* stage2_block1 has 32, then 16"),
        (
            {"name": "resnet18", "layout": "paper", "shortcut": "identity", "filters": (16, 32, 64, 128)},
            "filters must not fall .* stage1_block1 has 64, then 16",
        ),
        ({"name": "googlenet", "blocks": (((1, 2),),)}, r"blocks\[0\]\[0\] must have 6 entries; got \(1, 2\)"),
        ({"name": "mobilenet_v1", "width": float("inf")}, "width must be a number of at least 0.05; got inf"),
        ({"name": "mobilenet_v2", "width": -1}, "width must be a number of at least 0.05; got -1"),
        ({"name": "googlenet", "blocks": 3}, "googlenet: an option has a wrong value"),
        ({"compile": "no"}, "compile must be True or False; got 'no'"),
        ({"weights": "no_such.weights.h5"}, "no_such.weights.h5"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(arguments, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        build_model(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("preactivation", [False, True])
def test_without_normalisation_every_convolution_of_a_resnet_has_biases(preactivation):
    with shapes_only():
        options = {"batch_norm": False, "preactivation": preactivation, "shortcut": "projection", "compile": False}
        model = build_model("resnet20", **options)
    assert all(layer.use_bias for layer in model.layers if isinstance(layer, keras.layers.Conv2D))


def test_an_activation_starts_alike_by_its_name_and_as_a_function():
    kinds = [
        type(build_model("lenet5", activation=activation).layers[0].kernel_initializer)
        for activation in ("tanh", keras.activations.tanh, "relu", keras.activations.relu)
    ]
    assert kinds == [keras.initializers.GlorotUniform] * 2 + [keras.initializers.HeNormal] * 2


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("width", [0.05, 0.3, 0.5])
def test_a_narrow_shufflenet_has_channels_that_its_groups_divide(groups, width):
    model = build_model("shufflenet_v1", (32, 32, 3), groups=groups, width=width, compile=False)
    assert model.get_layer("stage1_block2_out").output.shape[-1] % (4 * groups) == 0


def test_a_plain_net_may_have_fewer_filters_in_later_stages():
    model = build_model("resnet20", filters=(32, 16, 8), residual=False, compile=False)
    assert model.get_layer("predictions").kernel.shape == (8, 10)


def test_one_number_of_units_stands_for_itself():
    assert build_model("vgg11", (32, 32, 3), units=8, compile=False).get_layer("fc1").units == 8


def test_a_wrong_option_is_a_type_error_that_names_the_nearest():
    with pytest.raises(TypeError, match=r"conv_stack: unknown option 'kernel_size2'; did you mean kernel_size"):
        build_model("conv_stack", kernel_size2=2)
    with pytest.raises(TypeError, match=r"unknown option 'droput'; did you mean dropout"):
        build_model("lenet5", droput=0.5)


@pytest.mark.parametrize(("name", "options"), [("conv_stack", {}), ("conv_stack", {"kernel_size": 7}), ("lenet5", {})])
def test_too_small_an_image_is_told_the_least_size_that_works(name, options):
    with pytest.raises(ValueError, match=r"images of at least (\d+)x\1 ") as caught:
        build_model(name, (5, 64, 1), **options)
    least = int(str(caught.value).split("at least ")[1].split("x")[0])
    assert build_model(name, (least, 64, 1), **options).output_shape == (None, 10)
    with pytest.raises(ValueError, match=f"at least {least}x"):
        build_model(name, (least - 1, 64, 1), **options)


def test_registering_a_model_of_ones_own(monkeypatch):
    from cnn_zoo.models import registry
    from cnn_zoo.nn.blocks import assemble, head

    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))

    @register("mine", layouts={"small": (8, 8, 1)}, year=2026, paper="none", dropout=0.25)
    def mine(spec, *, units=(4,)):
        return assemble(spec, head(spec, units=units, flatten=True))

    assert "mine" in list_models("mi*")
    assert build_model("mine", units=(3,)).get_layer("fc1_dropout").rate == 0.25
    with pytest.raises(UsageError, match="already registered"):
        register("mine", layouts={"small": (8, 8, 1)}, year=2026, paper="none")(mine)
    assert entry("mine").options().keys() == {"units"}


def test_a_name_of_the_zoo_is_refused_before_the_families_are_imported():
    program = """
import cnn_zoo
try:
    cnn_zoo.register("vgg11", year=2026, paper="")(lambda spec: None)
except cnn_zoo.ZooError as error:
    print(error)
for name in ("lenet5", "vgg11", "zoonet"):
    cnn_zoo.build_model(name, compile=False)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "a model named 'vgg11' is already registered, by vgg\n"


def test_a_family_that_cannot_be_imported_is_imported_anew_the_next_time():
    program = """
import sys
from cnn_zoo.models.registry import entry
sys.modules["cnn_zoo.models.zoonet"] = None  # which makes the import fail
try:
    entry("lenet5")
except ImportError:
    del sys.modules["cnn_zoo.models.zoonet"]
print(entry("lenet5").family, entry("zoonet").family)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "lenet zoonet\n"


def test_list_models_takes_a_pattern():
    assert list_models("vgg1[16]") == ["vgg11", "vgg16"]
    assert list_models("nothing*") == []
    assert list_models() == sorted(list_models())


def test_building_leaves_numpys_random_state_and_keras_policy_alone():
    def state():
        return str(np.random.get_state()), keras.config.dtype_policy().name, keras.config.image_data_format()  # noqa: NPY002

    np.random.seed(4711)  # noqa: NPY002
    np.random.rand()  # noqa: NPY002
    before = state()
    build_model()
    assert state() == before


@pytest.mark.parametrize(("side", "stages"), [(8, 1), (28, 2), (32, 2), (64, 3), (96, 4), (224, 5)])
def test_zoonet_has_as_many_stages_as_the_image_needs(side, stages):
    with shapes_only():
        model = build_model("zoonet", (side, side, 3), compile=False)
    maps = feature_extractor(model).outputs
    assert len(maps) == stages
    assert 2 <= maps[-1].shape[1] <= 5
    widths = [m.shape[-1] for m in maps]
    assert widths == sorted(widths)
    assert all(width % 16 == 0 and width <= 256 for width in widths)


def test_a_model_of_shapes_leaves_nothing_behind_that_is_filled_later():
    """Keras would give the variables of all models so built their values when the next layer is built."""
    from keras.src.backend.common import global_state

    with shapes_only():
        huge = build_model("conv_stack", num_classes=2**40, compile=False)
    with pytest.raises(UsageError), shapes_only():
        build_model("conv_stack", (2, 2, 1), num_classes=2**40)
    assert not global_state.get_global_attribute("uninitialized_variables")
    assert build_model("conv_stack", compile=False).output_shape == (None, 10)  # and not out of memory
    assert huge.count_params() > 2**40
