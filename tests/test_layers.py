"""Fast layers compute what Keras' own do; blocks, and the whitening of zoonet_large."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnn_zoo import build_model, fast_layers, train
from cnn_zoo.core.errors import UsageError
from cnn_zoo.models.zoonet import whiten
from cnn_zoo.nn import fast
from cnn_zoo.nn.blocks import apply, conv, split
from cnn_zoo.nn.spec import Spec
from conftest import equal


@pytest.fixture(autouse=True)
def blocks():
    """Blocks of fast_layers that end with the test."""
    with contextlib.ExitStack() as stack:
        yield stack


def make_fast(blocks, layer):
    blocks.enter_context(fast_layers(keras.Sequential([layer])))
    return layer


def both(blocks, channels=16, **options):
    """A fast layer and Keras' own with the same weights, which are not those that they start with."""
    pair, shape = [keras.layers.BatchNormalization(**options) for _ in range(2)], (6, 5, 7, channels)
    rng = np.random.default_rng(1)
    for layer in pair:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, w.shape) for w in pair[0].weights]
    for layer in pair:
        layer.set_weights(weights)
    return make_fast(blocks, pair[0]), pair[1]


def results(layer, images, training):
    """Outputs, gradients and moving statistics, all as float32 arrays."""
    x = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        loss = tf.reduce_sum(
            tf.cast(y, tf.float32) * tf.constant(np.cos(np.arange(images.size)).reshape(images.shape), tf.float32)
        )
    gradients = tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])
    return [np.asarray(tf.cast(a, tf.float32)) for a in (y, *gradients, *(v.value for v in layer.weights))]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"momentum": 0.8, "epsilon": 0.1}])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("mixed_bfloat16", 0.02)])
def test_it_computes_what_keras_computes(options, training, dtype, tolerance, blocks):
    _compare_with_keras(blocks, training, tolerance, 16, dtype=dtype, **options)


@pytest.mark.parametrize("training", [True, False])
def test_it_normalises_in_32_bits_as_keras_does_what_the_kernel_takes_slowly_in_16(training, blocks):
    _compare_with_keras(blocks, training, 0.005, 20, dtype="mixed_bfloat16")


def _compare_with_keras(blocks, training, tolerance, channels, **options):
    images = np.random.default_rng(0).normal(2, 3, (6, 5, 7, channels)).astype(np.float32)
    ours, theirs = (results(layer, images, training) for layer in both(blocks, channels, **options))
    assert len(ours) == len(theirs) >= 5
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))
    assert ours[0].std() > 0.1


@pytest.mark.parametrize(
    ("dtype", "channels", "fused"),
    [("float32", 20, "float32"), ("float32", 58, None), ("mixed_bfloat16", 32, "bfloat16"),
     ("mixed_bfloat16", 24, "float32"), ("mixed_bfloat16", 58, None)],
)  # fmt: skip
def test_channels_go_through_the_kernel_in_the_dtype_that_it_is_fast_with(dtype, channels, fused, blocks):
    layer = make_fast(blocks, keras.layers.BatchNormalization(dtype=dtype))
    shape = tf.TensorSpec((2, 4, 4, channels), layer.compute_dtype)
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(shape).graph
    kernels = [op.inputs[0].dtype.name for op in graph.get_operations() if op.type == "FusedBatchNormV3"]
    assert kernels == [fused] * bool(fused)
    assert graph.outputs[0].dtype.name == layer.compute_dtype


def test_a_frozen_layer_keeps_its_statistics(blocks):
    for layer in both(blocks):
        layer.trainable = False
        before = [np.array(w) for w in layer.get_weights()]
        layer(np.ones((2, 3, 3, 16), np.float32), training=True)
        assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_one_value_a_channel_has_no_variance(blocks):
    layer, reference = both(blocks)
    image = np.ones((1, 1, 1, 16), np.float32)
    assert np.allclose(layer(image, training=True), reference(image, training=True))
    assert np.allclose(layer.moving_variance, reference.moving_variance)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((5, 4), {}), ((2, 4, 3, 3), {"axis": 1}), ((2, 3, 5, 5, 4), {}), ((2, 5, 5, 16), {"dtype": "bfloat16"})],
)
def test_what_the_kernel_cannot_do_is_left_to_keras(shape, options, blocks):
    values, outputs = np.random.default_rng(0).random(shape, np.float32), []
    for change in (lambda layer: make_fast(blocks, layer), lambda layer: layer):
        layer = change(keras.layers.BatchNormalization(**options))
        outputs.append([np.asarray(layer(values, training=True)), *map(np.asarray, layer.get_weights())])
    assert all(np.array_equal(a, b) for a, b in zip(*outputs, strict=True))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_depthwise_convolutions_stay_in_32_bits(dtype):
    model = build_model("mobilenet_v1", (32, 32, 3), dtype=dtype, compile=False)
    kinds = {type(layer).__name__: layer.compute_dtype for layer in model.layers[1:-1]}
    assert kinds["DepthwiseConv2D"] == "float32"
    assert kinds["Conv2D"] == dtype.removeprefix("mixed_")


@pytest.mark.parametrize(
    ("batch", "height", "width", "kernel"),
    [(1, 4, 4, 3), (13, 4, 4, 3), (5, 7, 8, (3, 5)), (40, 2, 2, 3), (3, 1, 1, 1), (9, 6, 5, 1), (3, 5, 5, (7, 1))],
)
def test_gradients_by_other_ways_are_those_of_keras(batch, height, width, kernel):
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(size=(batch, height, width, 3)).astype(np.float32))
    layer = keras.layers.Conv2D(4, kernel, padding="same")
    layer.build(images.shape)
    upstream = rng.normal(size=(batch, height, width, 4)).astype(np.float32)
    way = fast._gradient_of_pointwise if kernel == 1 else fast._gradient_of_narrow
    found = []
    for operation in (lambda images, kernel: fast._convolution(images, kernel, way), layer.convolution_op):
        with tf.GradientTape() as tape:
            tape.watch(sources := [images, tf.constant(layer.kernel)])
            outputs = operation(*sources)
        found.append([outputs, *tape.gradient(outputs, sources, upstream)])
    for number, expected in zip(*found, strict=True):
        np.testing.assert_allclose(number, expected, rtol=1e-4, atol=1e-4)


def test_gradients_go_other_ways_only_where_that_is_faster(monkeypatch, blocks):
    taken = []
    monkeypatch.setattr(fast, "_convolution", lambda images, kernel, way: taken.append((images.shape[2], way)))
    options = {"filters": 3, "kernel_size": 3, "padding": "same", "use_bias": False}

    def ask(side, dtype="bfloat16", **changes):
        layer = make_fast(blocks, keras.layers.Conv2D(**options | changes))
        layer.build((2, side, side, 3))
        layer.convolution_op(tf.zeros((2, side, side, 3), dtype), tf.cast(layer.kernel, dtype))

    monkeypatch.setattr(fast, "processor_is_fast", lambda: False)
    ask(4)
    ask(4, kernel_size=1)
    monkeypatch.setattr(fast, "processor_is_fast", lambda: True)
    for side, changes in ((32, {}), (6, {}), (9, {"filters": 128})):
        ask(side, **changes)
    for change in ({"strides": 2}, {"padding": "valid"}, {"dilation_rate": 2}, {"kernel_size": 2}, {"groups": 3}):
        ask(4, **change)
    ask(4, "float32")
    ask(4, kernel_size=1, strides=2)
    assert not taken
    ask(4)
    ask(8, filters=128)
    ask(32, kernel_size=1, padding="valid")
    narrow, pointwise = fast._gradient_of_narrow, fast._gradient_of_pointwise
    assert taken == [(4, narrow), (8, narrow), (32, pointwise)]


def test_a_net_in_16_bits_learns_as_with_keras_gradient(monkeypatch):
    """The whole way through fit, with a last batch that is smaller."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((21, 8, 8, 1), np.float32), rng.integers(0, 3, 21)
    results = []
    for is_fast in (False, True):
        monkeypatch.setattr(fast, "processor_is_fast", lambda is_fast=is_fast: is_fast)
        keras.utils.set_random_seed(0)
        model = build_model("zoonet_wide", (8, 8, 1), 3, filters=[16], dtype="mixed_bfloat16")
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        kernel = model.get_layer("stage1_conv2").kernel
        before = kernel.numpy()
        with fast_layers(model):
            model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
            assert np.isfinite(model(images)).all()  # operation by operation, without a graph
        results.append(kernel.numpy() - before)
    assert np.linalg.norm(results[0] - results[1]) < 0.1 * np.linalg.norm(results[0])
    assert model.get_layer("stage1_conv2").output.shape[2] == 4


def test_channels_are_split_by_a_named_operation_that_a_saved_model_can_be_built_upon(tmp_path):
    inputs = keras.Input((3, 3, 6))
    model = keras.Model(inputs, split(inputs, 3, name="parts"))
    x = np.random.default_rng(0).random((2, 3, 3, 6), np.float32)
    assert equal(model(x), np.split(x, 3, axis=-1))
    assert [operation.name for operation in model.operations[1:]] == ["parts"]
    first, second = (build_model("shufflenet_v2", compile=False).to_json() for _ in range(2))
    assert first == second
    model.save(tmp_path / "model.keras")
    keras.utils.clear_session()  # as in another process, where Keras numbers names from the beginning
    again = keras.models.load_model(tmp_path / "model.keras")
    more = keras.Model(again.input, keras.ops.split(again.outputs[0], 2, axis=-1))
    assert equal(more(x), (x[..., :1], x[..., 1:2]))


def test_a_number_of_zeros_is_added_on_every_side():
    """As papers and PyTorch count them; Keras' own "same" looks at other windows where strides are 2."""
    spec, inputs = Spec("x", (4, 4, 1)), keras.Input((4, 4, 1))
    for padding, counted in ((1, [[4, 6], [6, 9]]), ("same", [[9, 6], [6, 4]])):
        stack = conv(spec, 1, 3, strides=2, padding=padding, use_bias=False, name="conv")
        model = keras.Model(inputs, apply(inputs, stack))
        model.set_weights([np.ones((3, 3, 1, 1))])
        assert np.array_equal(np.asarray(model(np.ones((1, 4, 4, 1))))[0, ..., 0], counted)


def stem(filters, shape):
    """A net of the first layer of zoonet_large alone."""
    layer = keras.layers.Conv2D(filters, 2, trainable=False, name="stem_whitening")
    return keras.Sequential([keras.Input(shape), layer])


def test_whitened_patches_are_uncorrelated_and_of_variance_one():
    rng = np.random.default_rng(0)
    brightness = rng.normal(0.5, 0.25, (200, 1, 1, 1))
    images = (brightness + rng.normal(0, 0.1, (200, 9, 7, 3)) * (1, 0.5, 2)).astype(np.float32)
    model, again, few = (stem(filters, images.shape[1:]) for filters in (12, 12, 5))
    whiten(model, images)
    white = np.asarray(model(images)).reshape(-1, 12)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-4)
    covariance = np.cov(white, rowvar=False)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3
    assert (np.diag(covariance) > 0.7).all()  # less than one where a variance is near what is added to it
    assert (np.diag(covariance) < 1).all()
    assert np.diag(covariance)[0] == pytest.approx(1, abs=0.01)  # the largest first, brightness
    kernel, bias = model.get_weights()
    whiten(again, images[::-1])
    np.testing.assert_allclose(again.get_weights()[0], kernel, atol=1e-3)  # signs and all
    whiten(few, images)
    assert np.array_equal(few.get_weights()[1], bias[:5])
    for wrong in ((255 * images).astype(np.uint8), images[..., :1], images[0], None):
        with pytest.raises(UsageError, match=r"whiten takes float images in \[0, 1\], \(n, height, width, 3\); got"):
            whiten(few, wrong)


def test_a_training_computes_the_whitening_and_leaves_it(few, tmp_path, no_report):
    run = train("zoonet_large", few, epochs=1, out=tmp_path / "run", verbose=0, model_options={"filters": [4, 4]})
    expected = stem(4, (28, 28, 1))
    whiten(expected, few.sample(1000) / np.float32(255))
    assert len(few.sample(1000)) == len(few.splits["train"])
    assert not run.model.get_layer("stem_whitening").trainable
    assert equal(run.model.get_layer("stem_whitening").get_weights(), expected.get_weights())


def test_fit_is_fast_inside_the_block_only_whenever_it_was_traced(monkeypatch):
    calls, original = [], fast._normalise

    def count(layer, *args, **kwargs):
        calls.append(layer.name)
        return original(layer, *args, **kwargs)

    monkeypatch.setitem(fast.FAST, keras.layers.BatchNormalization, ("call", count))
    rng = np.random.default_rng(0)
    images, labels = rng.random((16, 32, 32, 3), np.float32), rng.integers(0, 10, 16)

    def fit(model):
        calls.clear()
        model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
        return set(calls)

    trained = []
    for inside in (False, True):
        keras.utils.set_random_seed(0)
        inner = build_model("resnet20", filters=(4, 4, 8), include_top=False, pooling="avg")
        model = keras.Sequential([keras.Input((32, 32, 3)), inner, keras.layers.Dense(10, activation="softmax")])
        model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
        start = model.get_weights()
        assert not fit(model)
        model.set_weights(start)
        if inside:
            with fast_layers(model):
                assert len(fit(model)) == 19
                with fast_layers(model):
                    pass
                assert len(fit(model)) == 19
                model.set_weights(start)
                fit(model)
                before = np.asarray(model(images))
            assert not [layer for layer in inner.layers if {"call", "convolution_op"} & set(vars(layer))]
            np.testing.assert_allclose(model(images), before, rtol=1e-4, atol=1e-5)
        else:
            fit(model)
        trained.append(model.get_weights())
        assert not fit(model)
    for weights, theirs, first in zip(*trained, start, strict=True):
        np.testing.assert_allclose(weights, theirs, rtol=1e-3, atol=1e-4)
        assert not np.array_equal(weights, first) or not weights.any()


def test_an_exception_inside_the_block_leaves_the_model_plain():
    model = build_model("conv_stack", filters=(4,), batch_norm=True)
    with pytest.raises(KeyboardInterrupt), fast_layers(model):
        assert "call" in vars(model.get_layer("stage1_conv1_norm"))
        raise KeyboardInterrupt
    assert "call" not in vars(model.get_layer("stage1_conv1_norm"))
