"""The loss, and the precision in which models compute."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnn_zoo import Recipe, build_model
from cnn_zoo.core import machine
from cnn_zoo.core.errors import UsageError
from cnn_zoo.nn import precision
from cnn_zoo.nn.optimization import Muon, SmoothedCrossentropy


@pytest.mark.parametrize("from_logits", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_smoothed_crossentropy_is_keras_of_one_hot_labels(smoothing, from_logits):
    rng = np.random.default_rng(0)
    labels, outputs = rng.integers(0, 5, 20), rng.normal(size=(20, 5)).astype(np.float32)
    if not from_logits:
        outputs = np.asarray(keras.ops.softmax(outputs))
    reference = keras.losses.CategoricalCrossentropy(from_logits=from_logits, label_smoothing=smoothing)
    expected = float(reference(np.eye(5)[labels], outputs))
    loss = SmoothedCrossentropy(smoothing, from_logits)
    assert float(loss(labels, outputs)) == pytest.approx(expected, rel=1e-6)
    assert float(loss(labels[:, None], outputs)) == pytest.approx(expected, rel=1e-6)


def test_muon_treats_the_kernel_of_a_convolution_as_keras_does_the_matrix():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(3, 3, 4, 8)).astype(np.float32)
    kernel, matrix = keras.Variable(start), keras.Variable(start.reshape(36, 8))
    ours, theirs = (kind(0.1, weight_decay=0.1) for kind in (Muon, keras.optimizers.Muon))
    for _ in range(3):
        gradient = rng.normal(size=start.shape).astype(np.float32)
        ours.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        theirs.apply([keras.ops.convert_to_tensor(gradient.reshape(36, 8))], [matrix])
    np.testing.assert_allclose(np.array(kernel).reshape(36, 8), matrix, rtol=1e-5)


def test_muon_in_16_bits_steps_nearly_as_in_32():
    momentum = np.random.default_rng(0).normal(size=(3, 3, 16, 32)).astype(np.float32)
    whole, half = (Muon(0.1, iteration_dtype=dtype) for dtype in ("float32", "bfloat16"))
    expected, found = (np.asarray(muon.zeropower_via_newtonschulz5(momentum, 5)) for muon in (whole, half))
    assert found.dtype == np.float32
    cosine = np.vdot(found, expected) / np.linalg.norm(found) / np.linalg.norm(expected)
    assert 0.99 < cosine < 0.99999  # nearly; were they the same, it would not have been 16 bits
    for dtype, expected in (("bfloat16", "bfloat16"), ("float16", "float32")):
        assert Recipe(optimizer="muon").make_optimizer(100, dtype).iteration_dtype == expected


def test_muon_leaves_vectors_depthwise_kernels_and_the_last_layer_to_adam():
    model = build_model("mobilenet_v1", (32, 32, 3), width=0.25, compile=False)
    optimizer = Recipe(optimizer="muon").make_optimizer(100)
    optimizer.build(model.trainable_variables)
    pairs = zip(model.trainable_variables, optimizer.adam_velocities, strict=True)
    matrices = {variable.path for variable, velocity in pairs if velocity is None}
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert matrices == {layer.kernel.path for layer in convolutions}
    last = build_model("squeezenet1_1", (32, 32, 3), compile=False).get_layer("predictions_conv").kernel
    assert optimizer._should_use_adamw(last)


def test_a_model_of_another_precision_leaves_the_global_policy_alone():
    before = keras.config.dtype_policy()
    model = build_model("resnet20", filters=(4, 4, 4), dtype="mixed_bfloat16")
    assert {layer.compute_dtype for layer in model.layers[1:-1]} == {"bfloat16"}
    assert {w.dtype for w in model.weights} == {"float32"}
    outputs = model(np.random.default_rng(0).random((2, 32, 32, 3), np.float32))
    assert outputs.dtype == "float32"
    assert np.allclose(np.sum(outputs, 1), 1, atol=1e-5)
    with pytest.raises(UsageError):
        build_model("conv_stack", (4, 4, 1), dtype="mixed_bfloat16")
    assert keras.config.dtype_policy() is before
    precision.set_precision(model, "float32")
    same = build_model("resnet20", filters=(4, 4, 4), dtype="float32", compile=False)
    same.set_weights(model.get_weights())
    images = np.random.default_rng(1).random((2, 32, 32, 3), np.float32)
    assert np.array_equal(model(images), same(images))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx512_bf16"}, "mixed_bfloat16"), ({"amx_bf16"}, "mixed_bfloat16"), ({"avx2"}, "float32"), (set(), "float32")],
)
def test_auto_is_16_bits_where_the_processor_multiplies_them(flags, expected, monkeypatch):
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    fast = precision._bfloat16_is_fast.__wrapped__
    monkeypatch.setattr(precision, "_bfloat16_is_fast", fast)
    assert precision.choose_precision() == expected
    assert precision.choose_precision("float32") == "float32"
    assert precision.processor_is_fast.__wrapped__() == (expected != "float32")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert precision.choose_precision() == "float32"


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), "mixed_bfloat16"), ((7, 5), "float32")])
def test_a_gpu_says_itself_what_it_multiplies(capability, expected, monkeypatch):
    monkeypatch.setattr(precision, "processor_flags", lambda: {"amx_bf16"})
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": capability})
    monkeypatch.setattr(precision, "_bfloat16_is_fast", precision._bfloat16_is_fast.__wrapped__)
    assert precision.choose_precision() == expected
    assert not precision.processor_is_fast.__wrapped__()  # whose other ways to gradients are for CPUs


def test_kernels_are_missed_only_where_nobody_left_them_out(monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    for flags, missed in (({"avx2"}, True), ({"avx2", "avx512f"}, False), (set(), False)):
        monkeypatch.setattr(machine, "processor_flags", lambda flags=flags: flags)
        assert machine.lacks_kernels() == missed
    monkeypatch.setattr(machine, "processor_flags", lambda: {"avx2"})
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    machine.ask_for_kernels()
    assert not machine.lacks_kernels()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    machine.ask_for_kernels()
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    assert not machine.lacks_kernels()
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "2")
    machine.ask_for_kernels()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"


def test_an_unknown_precision_is_named():
    with pytest.raises(UsageError, match="unknown precision 'bfloat16'; did you mean mixed_bfloat16"):
        build_model("lenet5", dtype="bfloat16")
