"""The fused batch normalisation is Keras' own, only faster."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnn_zoo import Recipe, build_model, load_model, train
from cnn_zoo.core.errors import MissingError, RunError, UsageError
from cnn_zoo.nn import layers
from cnn_zoo.nn.blocks import apply, conv
from cnn_zoo.nn.layers import BatchNormalization, Channels, Conv2D, Whitening
from cnn_zoo.nn.spec import Spec
from cnn_zoo.tasks import CLASSIFICATION
from conftest import clean_environment, equal


def both(channels=16, **options):
    """Our layer and Keras' with the same weights, which are not those that they start with."""
    pair, shape = (BatchNormalization(**options), keras.layers.BatchNormalization(**options)), (6, 5, 7, channels)
    rng = np.random.default_rng(1)
    for layer in pair:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, w.shape) for w in pair[0].weights]
    for layer in pair:
        layer.set_weights(weights)
    return pair


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
def test_it_computes_what_keras_computes(options, training, dtype, tolerance):
    _compare_with_keras(training, tolerance, 16, dtype=dtype, **options)


@pytest.mark.parametrize("training", [True, False])
def test_it_normalises_in_32_bits_as_keras_does_what_the_kernel_takes_slowly_in_16(training):
    _compare_with_keras(training, 0.005, 20, dtype="mixed_bfloat16")


def _compare_with_keras(training, tolerance, channels, **options):
    images = np.random.default_rng(0).normal(2, 3, (6, 5, 7, channels)).astype(np.float32)
    ours, theirs = (results(layer, images, training) for layer in both(channels, **options))
    assert len(ours) == len(theirs) >= 5
    for a, b in zip(ours, theirs, strict=True):
        assert np.allclose(a, b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max()))
    assert ours[0].std() > 0.1


@pytest.mark.parametrize(
    ("dtype", "channels", "fused"),
    [("float32", 20, "float32"), ("float32", 58, None), ("mixed_bfloat16", 32, "bfloat16"),
     ("mixed_bfloat16", 24, "float32"), ("mixed_bfloat16", 58, None)],
)  # fmt: skip
def test_channels_go_through_the_kernel_in_the_dtype_that_it_is_fast_with(dtype, channels, fused):
    layer = BatchNormalization(dtype=dtype)
    shape = tf.TensorSpec((2, 4, 4, channels), layer.compute_dtype)
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(shape).graph
    kernels = [op.inputs[0].dtype.name for op in graph.get_operations() if op.type == "FusedBatchNormV3"]
    assert kernels == [fused] * bool(fused)
    assert graph.outputs[0].dtype.name == layer.compute_dtype


def test_a_frozen_layer_keeps_its_statistics():
    for layer in both():
        layer.trainable = False
        before = [np.array(w) for w in layer.get_weights()]
        layer(np.ones((2, 3, 3, 16), np.float32), training=True)
        assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_one_value_a_channel_has_no_variance():
    layer, reference = both()
    image = np.ones((1, 1, 1, 16), np.float32)
    assert np.allclose(layer(image, training=True), reference(image, training=True))
    assert np.allclose(layer.moving_variance, reference.moving_variance)


@pytest.mark.parametrize(
    ("shape", "options"),
    [((5, 4), {}), ((2, 4, 3, 3), {"axis": 1}), ((2, 3, 5, 5, 4), {}), ((2, 5, 5, 16), {"dtype": "bfloat16"})],
)
def test_what_the_kernel_cannot_do_is_left_to_keras(shape, options):
    values, outputs = np.random.default_rng(0).random(shape, np.float32), []
    for kind in (BatchNormalization, keras.layers.BatchNormalization):
        layer = kind(**options)
        outputs.append([np.asarray(layer(values, training=True)), *map(np.asarray, layer.get_weights())])
    assert all(np.array_equal(a, b) for a, b in zip(*outputs, strict=True))


def test_a_saved_model_is_read_by_a_program_that_only_imports_the_package(tmp_path):
    model = build_model("resnet20", num_classes=3, filters=(4, 4, 4), compile=False)
    recipe = Recipe(optimizer="muon", schedule="linear", warmup=0.25, label_smoothing=0.1)
    CLASSIFICATION.compile(model, recipe.make_optimizer(10), recipe)
    model.optimizer.build(model.trainable_variables)  # as fit does, so that there is a state to be read again
    model.save(tmp_path / "model.keras")
    assert isinstance(load_model(tmp_path / "model.keras").get_layer("stem_conv_norm"), BatchNormalization)
    program = "import sys, cnn_zoo; print(cnn_zoo.load_model(sys.argv[1]).count_params())"
    command = [sys.executable, "-c", program, tmp_path / "model.keras"]
    assert int(subprocess.check_output(command, text=True, env=clean_environment())) == model.count_params()
    with pytest.raises(MissingError, match="no such model file"):
        load_model(tmp_path / "none.keras")
    code = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)])
    code.save(tmp_path / "code.keras")
    with pytest.raises(RunError, match=r"not a .keras model that can be read .*Lambda"):
        load_model(tmp_path / "code.keras")
    (tmp_path / "model.keras").write_bytes(b"PK nothing")
    with pytest.raises(RunError, match=r"not a .keras model that can be read"):
        load_model(tmp_path / "model.keras")


def test_its_weights_are_those_of_keras_layer(tmp_path):
    model = build_model("resnet20", filters=(4, 4, 4), compile=False)
    plain = keras.models.clone_model(
        model,
        clone_function=lambda layer: (
            keras.layers.BatchNormalization.from_config(layer.get_config())
            if isinstance(layer, BatchNormalization)
            else layer.__class__.from_config(layer.get_config())
        ),
    )
    model.save_weights(tmp_path / "ours.weights.h5")
    plain.load_weights(tmp_path / "ours.weights.h5")
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    assert np.allclose(plain(images), model(images), atol=1e-5)
    assert not any(isinstance(layer, BatchNormalization) for layer in plain.layers)


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
    ours, theirs = (kind(4, kernel, padding="same") for kind in (Conv2D, keras.layers.Conv2D))
    theirs.build(images.shape)
    upstream = rng.normal(size=(batch, height, width, 4)).astype(np.float32)
    way = layers._gradient_of_pointwise if kernel == 1 else layers._gradient_of_narrow
    found = []
    for operation in (lambda images, kernel: layers._convolution(images, kernel, way), ours.convolution_op):
        with tf.GradientTape() as tape:
            tape.watch(sources := [images, tf.constant(theirs.kernel)])
            outputs = operation(*sources)
        found.append([outputs, *tape.gradient(outputs, sources, upstream)])
    for number, expected in zip(*found, strict=True):
        np.testing.assert_allclose(number, expected, rtol=1e-4, atol=1e-4)


def test_gradients_go_other_ways_only_where_that_is_faster(monkeypatch):
    taken = []
    monkeypatch.setattr(layers, "_convolution", lambda images, kernel, way: taken.append((images.shape[2], way)))
    options = {"filters": 3, "kernel_size": 3, "padding": "same", "use_bias": False}

    def ask(side, dtype="bfloat16", **changes):
        layer = Conv2D(**options | changes)
        layer.build((2, side, side, 3))
        layer.convolution_op(tf.zeros((2, side, side, 3), dtype), tf.cast(layer.kernel, dtype))

    monkeypatch.setattr(layers, "processor_is_fast", lambda: False)
    ask(4)
    ask(4, kernel_size=1)
    monkeypatch.setattr(layers, "processor_is_fast", lambda: True)
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
    narrow, pointwise = layers._gradient_of_narrow, layers._gradient_of_pointwise
    assert taken == [(4, narrow), (8, narrow), (32, pointwise)]


def test_a_net_in_16_bits_learns_as_with_keras_gradient(monkeypatch):
    """The whole way through fit, with a last batch that is smaller."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((21, 8, 8, 1), np.float32), rng.integers(0, 3, 21)
    results = []
    for fast in (False, True):
        monkeypatch.setattr(layers, "processor_is_fast", lambda fast=fast: fast)
        keras.utils.set_random_seed(0)
        model = build_model("zoonet_wide", (8, 8, 1), 3, filters=[16], dtype="mixed_bfloat16")
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
        kernel = model.get_layer("stage1_conv2").kernel
        before = kernel.numpy()
        model.fit(images, labels, batch_size=8, shuffle=False, verbose=0)
        results.append(kernel.numpy() - before)
    assert np.linalg.norm(results[0] - results[1]) < 0.1 * np.linalg.norm(results[0])
    assert np.isfinite(model(images)).all()  # operation by operation, without a graph
    assert model.get_layer("stage1_conv2").output.shape[2] == 4


def test_channels_are_cut_out_and_their_gradient_is_zero_elsewhere():
    x = tf.constant(np.random.default_rng(0).random((2, 3, 3, 6), np.float32))
    for start, stop in ((0, 2), (2, 5), (3, 6), (0, 6)):
        layer = Channels.from_config(Channels(start, stop, name="cut").get_config())
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        assert np.array_equal(y, x[..., start:stop])
        inside = (np.arange(6) >= start) & (np.arange(6) < stop)
        assert np.array_equal(tape.gradient(y, x), np.broadcast_to(inside, x.shape))
        assert layer(keras.Input((3, 3, 6))).shape == (None, 3, 3, stop - start)


def test_a_number_of_zeros_is_added_on_every_side():
    """As papers and PyTorch count them; Keras' own "same" looks at other windows where strides are 2."""
    spec, inputs = Spec("x", (4, 4, 1)), keras.Input((4, 4, 1))
    for padding, counted in ((1, [[4, 6], [6, 9]]), ("same", [[9, 6], [6, 4]])):
        stack = conv(spec, 1, 3, strides=2, padding=padding, use_bias=False, name="conv")
        model = keras.Model(inputs, apply(inputs, stack))
        model.set_weights([np.ones((3, 3, 1, 1))])
        assert np.array_equal(np.asarray(model(np.ones((1, 4, 4, 1))))[0, ..., 0], counted)


def test_whitened_patches_are_uncorrelated_and_of_variance_one():
    rng = np.random.default_rng(0)
    brightness = rng.normal(0.5, 0.25, (200, 1, 1, 1))
    images = (brightness + rng.normal(0, 0.1, (200, 9, 7, 3)) * (1, 0.5, 2)).astype(np.float32)
    layer = Whitening(12, 2)
    layer.build(images.shape)
    layer.adapt(images)
    white = np.asarray(layer(images)).reshape(-1, 12)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-4)
    covariance = np.cov(white, rowvar=False)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3
    assert (np.diag(covariance) > 0.7).all()  # less than one where a variance is near what is added to it
    assert (np.diag(covariance) < 1).all()
    assert np.diag(covariance)[0] == pytest.approx(1, abs=0.01)  # the largest first, brightness
    kernel, bias = layer.get_weights()
    again = Whitening.from_config(layer.get_config())
    again.build(images.shape)
    again.adapt(images[::-1])
    np.testing.assert_allclose(again.get_weights()[0], kernel, atol=1e-3)  # signs and all
    assert not again.trainable_weights
    few = Whitening(5, 2)
    few.build(images.shape)
    few.adapt(images)
    assert np.array_equal(few.get_weights()[1], bias[:5])
    for wrong in ((255 * images).astype(np.uint8), images[..., :1], images[0], None):
        with pytest.raises(UsageError, match=r"adapt takes float images in \[0, 1\], \(n, height, width, 3\); got"):
            few.adapt(wrong)


def test_a_training_adapts_the_whitening_and_leaves_it(few, tmp_path, no_report):
    run = train("zoonet_large", few, epochs=1, out=tmp_path / "run", verbose=0, model_options={"filters": [4, 4]})
    layer = Whitening(4, 2)
    layer.build((None, 28, 28, 1))
    layer.adapt(few.sample(1000) / np.float32(255))
    assert len(few.sample(1000)) == len(few.splits["train"])
    assert equal(run.model.get_layer("stem_whitening").get_weights(), layer.get_weights())
