"""Published weights are what their record says, load into what they fit, and are refused when anything is wrong."""

import csv
import dataclasses
import functools
import json
import shutil
import statistics
import warnings

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import cnn_zoo
from cnn_zoo import (
    build_model,
    evaluate,
    freeze,
    load_data,
    load_run,
    model_card,
    predict,
    save_weights,
)
from cnn_zoo.cli import main
from cnn_zoo.core.errors import MissingError, RunError, UsageError
from cnn_zoo.core.files import checksum, read_json, read_tensors, write_tensors
from cnn_zoo.core.intervals import prediction_interval
from cnn_zoo.weights import pretrained
from conftest import ROOT, equal

RECORDS = pretrained.records()
NAMES = sorted(RECORDS)
assert len(NAMES) >= 4
DIGITS = [name for name in NAMES if name.endswith("-mnist")]


@functools.cache
def built(name, **options):
    config = RECORDS[name]["config"]
    return build_model(config["model"], weights=config["data"], **options)


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_that_were_written_down(name):
    expected = json.loads((ROOT / "tests/reference/pretrained.json").read_text())[name]
    model = built(name, classifier_activation=None)
    images = np.random.default_rng(0).random((2, *model.input_shape[1:]), np.float32)
    np.testing.assert_allclose(np.asarray(model(images)), expected, atol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_record_agrees_with_its_file_its_model_and_the_trainings(name):
    record = RECORDS[name]
    path = pretrained.weights_file(record)
    assert (path.stat().st_size, checksum(path)) == (record["bytes"], record["sha256"])
    assert built(name).count_params() == record["parameters"]
    with open(ROOT / "results/accuracy.csv", newline="") as file:
        rows = {row["seed"]: float(row["test_accuracy"]) for row in csv.DictReader(file) if row["experiment"] == name}
    assert record["seeds"] == rows
    assert record["config"]["seed"] == 0
    assert record["test_accuracy"] == pytest.approx(rows["0"], abs=5e-4)  # what 16 bits changed


def test_all_files_together_are_small_and_none_is_strange():
    sizes = {path.name: path.stat().st_size for path in pretrained.PUBLISHED.iterdir()}
    assert sizes.keys() == {f"{name}.safetensors" for name in NAMES} | {pretrained.MANIFEST}
    assert max(sizes.values()) < 4e6
    assert sum(sizes.values()) < 16e6


@pytest.mark.parametrize("name", DIGITS)
def test_the_digits_that_are_here_are_read(name, digits):
    assert evaluate(built(name), digits)["accuracy"] > 0.98


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_the_one_on_record(name):
    import tensorflow_datasets as tfds

    data = RECORDS[name]["config"]["data"]
    if data != "mnist5k" and not tfds.builder(data).is_prepared():
        pytest.skip(f"{data} is not prepared in TFDS_DATA_DIR")
    data = load_data(data, validation=0.0)
    assert evaluate(built(name), data)["accuracy"] == pytest.approx(RECORDS[name]["test_accuracy"], abs=1e-4)


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """A copy of the published files, to be damaged."""
    shutil.copytree(pretrained.PUBLISHED, tmp_path / "published")
    monkeypatch.setattr(pretrained, "PUBLISHED", tmp_path / "published")
    return tmp_path / "published"


def tampered(content):
    content = bytearray(content)
    content[len(content) // 2] ^= 1
    return bytes(content)


@pytest.mark.parametrize("change", [tampered, lambda content: content[:-100], lambda content: b""])
def test_a_changed_file_is_refused(copies, change):
    path = copies / "lenet5-mnist.safetensors"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RunError, match=r"lenet5-mnist\.safetensors is not the file that was published.*another"):
        build_model("lenet5", weights="mnist")


def test_a_file_under_another_name_is_refused(copies):
    shutil.copy(copies / "lenet5-fashion_mnist.safetensors", copies / "lenet5-mnist.safetensors")
    with pytest.raises(RunError, match="is not the file that was published"):
        build_model("lenet5", weights="mnist")
    (copies / "lenet5-mnist.safetensors").unlink()
    with pytest.raises(MissingError, match="install cnn_zoo again"):
        build_model("lenet5", weights="mnist")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictions/bias": np.full(10, np.nan, np.float32)}, "predictions/bias holds something other than finite"),
        ({"predictions/bias": np.full(10, 1e300)}, "predictions/bias holds something other than finite"),
        ({"predictions/bias": np.arange(10)}, "predictions/bias holds something other than finite"),
        (
            {"predictions/bias": np.zeros((), np.float32)},
            r"another model: \(\) predictions/bias for the \(10,\) of lenet5",
        ),
        ({"predictions/scale": np.zeros(10, np.float32)}, "predictions/scale is no weight of lenet5"),
        ({"stage9_conv1/bias": np.zeros(10, np.float32)}, "stage9_conv1/bias is no weight of lenet5"),
        ({"fc1/bias": None}, r"another model: no fc1/bias for the \(120,\) of lenet5"),
    ],
)
def test_hostile_contents_are_refused_under_a_right_checksum(tmp_path, change, message):
    tensors, about = read_tensors(pretrained.weights_file(RECORDS["lenet5-mnist"]))
    changed = {name: value for name, value in {**tensors, **change}.items() if value is not None}
    write_tensors(tmp_path / "w.safetensors", changed, about)
    with pytest.raises(RunError, match=message):
        build_model("lenet5", weights=tmp_path / "w.safetensors")


def test_a_file_without_our_checksum_is_refused_and_one_that_is_changed_too(tmp_path):
    tensors, _ = read_tensors(pretrained.weights_file(RECORDS["lenet5-mnist"]))
    save_file(tensors, tmp_path / "foreign.safetensors")
    with pytest.raises(RunError, match="not written by cnn_zoo, for it holds no checksum; load_torch_weights reads"):
        build_model("lenet5", weights=tmp_path / "foreign.safetensors")
    save_weights(build_model("lenet5"), tmp_path / "own.safetensors")
    (tmp_path / "own.safetensors").write_bytes(tampered((tmp_path / "own.safetensors").read_bytes()))
    with pytest.raises(RunError, match="damaged or changed since it was written: its checksum does not fit"):
        build_model("lenet5", weights=tmp_path / "own.safetensors")


def test_weights_are_named_by_layer(tmp_path):
    model = build_model("resnet20", (16, 16, 3), filters=(4, 4, 4))
    save_weights(model, tmp_path / "w.safetensors")
    names = set(load_file(tmp_path / "w.safetensors"))
    assert {"stem_conv/kernel", "stage1_block1_conv1_norm/moving_mean", "predictions/bias"} <= names
    assert len(names) == len(model.weights)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")], name="inner")
    outer = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2, name="dense")])
    save_weights(outer, tmp_path / "nested.safetensors")
    assert set(load_file(tmp_path / "nested.safetensors")) == {
        "inner/dense/kernel", "inner/dense/bias", "dense/kernel", "dense/bias"
    }  # fmt: skip


def test_a_changed_manifest_is_refused(copies):
    path = copies / pretrained.MANIFEST
    path.write_text(path.read_text().replace("lenet5-mnist", "lenet5_mnist"))
    pretrained.records.cache_clear()
    try:
        with pytest.raises(RunError, match=r"manifest\.json is damaged or was changed"):
            build_model("lenet5", weights="mnist")
    finally:
        pretrained.records.cache_clear()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg19", "weights": "mnist"}, "vgg19 has no published weights, for 'mnist' or others; .*lenet5"),
        ({"name": "lenet5", "weights": "mnst"}, "unknown weights of lenet5 'mnst'; did you mean mnist"),
        (
            {"name": "lenet5", "weights": "mnist", "batch_norm": True},
            "lenet5 for mnist: the weights of another model: no stage1_conv1_norm/gamma",
        ),
        (
            {"name": "lenet5", "weights": "mnist", "input_shape": (32, 32, 3)},
            r"\(5, 5, 1, 6\) stage1_conv1/kernel for the \(5, 5, 3, 6\)",
        ),
        (
            {"name": "lenet5", "weights": "mnist", "input_shape": (40, 40, 1)},
            r"\(400, 120\) fc1/kernel for the \(784, 120\)",
        ),
        (
            {"name": "lenet5", "weights": "mnist", "classifier_activation": "sigmoid"},
            "are for classifier_activation=.softmax.; got .sigmoid",
        ),
        ({"name": "lenet5", "weights": "mnist", "activation": "tanh"}, "mnist are for activation='relu'; got 'tanh'"),
        ({"name": "lenet5", "weights": "mnist", "pool_kind": "max"}, "are for pool_kind='average'; got 'max'"),
        ({"name": "lenet5", "weights": "mnist", "units": (120,)}, r"are for units=\(120, 84\); got \(120,\)"),
        ({"name": "conv_stack", "weights": "mnist", "units": ()}, r"are for units=.*; got \(\)"),
        (
            {"name": "zoonet_wide", "weights": "fashion_mnist", "input_shape": (14, 14, 1), "include_top": False},
            "is no weight of zoonet_wide",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(arguments, message):
    with pytest.raises(UsageError, match=message) as raised:
        build_model(**arguments)
    assert "\n" not in str(raised.value)


def test_a_model_for_other_classes_takes_all_but_the_last_layer_and_says_so():
    whole = build_model("zoonet", weights="mnist")
    with pytest.warns(UserWarning, match="all layers but 'predictions' .* random, for 5 classes in place of 10"):
        model = build_model("zoonet", weights="mnist", num_classes=5)
    for layer, other in zip(model.layers[:-2], whole.layers[:-2], strict=True):
        for mine, theirs in zip(layer.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert not hasattr(model, "class_names")
    with warnings.catch_warnings(action="error"):
        headless = build_model("zoonet", weights="mnist", include_top=False, pooling="avg")
        larger = build_model("zoonet", (32, 32, 1), weights="mnist")
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    head = whole.get_layer("predictions").get_weights()
    logits = headless.predict(images, verbose=0) @ head[0] + head[1]
    np.testing.assert_array_equal(logits.argmax(1), whole.predict(images, verbose=0).argmax(1))
    assert larger.output_shape == (None, 10)


@pytest.mark.parametrize("name", ["lenet5", "conv_stack", "zoonet"])
def test_layers_without_weights_and_what_only_training_minds_may_differ(name, tmp_path):
    whole = build_model(name, weights="mnist", compile=False)
    save_weights(whole, tmp_path / "w.safetensors")
    with warnings.catch_warnings(action="error"):
        same = build_model(name, weights="mnist", dropout=0.25, l2=1e-4, activation=keras.activations.relu)
        pooled = [
            build_model(name, weights=weights, include_top=False, pooling="avg")
            for weights in ("mnist", tmp_path / "w.safetensors")
        ]
    assert equal(same.get_weights(), whole.get_weights())
    assert [layer.rate for layer in same.layers if isinstance(layer, keras.layers.Dropout)][-1] == 0.25
    for model in pooled:
        assert model.layers[-1].name == "avg_pool"
        assert equal(model.get_layer("stage1_conv1").get_weights(), whole.get_layer("stage1_conv1").get_weights())


def test_a_familys_options_are_those_that_were_trained_unless_others_are_given(run, copies, monkeypatch):
    name = f"conv_stack-{run.config['data']}"
    save_weights(run.model, copies / f"{name}.safetensors")
    record = {"config": run.config, "sha256": checksum(copies / f"{name}.safetensors")}
    monkeypatch.setattr(pretrained, "records", lambda: {name: record})
    model = build_model("conv_stack", weights=run.config["data"])
    assert equal(model.get_weights(), run.model.get_weights())
    with pytest.raises(UsageError, match=r"are for filters=\(4, 8\); got \(5, 8\)"):
        build_model("conv_stack", weights=run.config["data"], filters=(5, 8))


def test_weights_of_a_run_fill_the_same_net_for_other_classes_or_without_its_top(run):
    path, options = run.path / "model.safetensors", {**run.config["model_options"], "compile": False}
    with pytest.warns(UserWarning, match=r"have the weights of .*model\.safetensors; .* 4 classes in place of 10"):
        few = build_model("conv_stack", num_classes=4, weights=path, **options)
    bare = build_model("conv_stack", include_top=False, weights=str(path), **options)
    for model in (few, bare):
        assert len(model.layers) >= 4
        for layer in model.layers[: -1 if model is few else None]:
            assert equal(layer.get_weights(), run.model.get_layer(layer.name).get_weights())
    with pytest.raises(
        RunError, match=r"the weights of another model: \(3, 3, 1, 4\) stage1_conv1/kernel for the \(3, 3, 1, 5\)"
    ):
        build_model("conv_stack", weights=path, **{**options, "filters": (5, 8)})


def test_a_net_whose_last_weights_are_those_of_a_convolution_is_transferred(tmp_path):
    options = {"squeeze": (2,) * 8, "compile": False}
    whole = build_model("squeezenet1_1", (32, 32, 3), **options)
    save_weights(whole, tmp_path / "w.safetensors")
    with pytest.warns(UserWarning, match="all layers but 'predictions_conv' .* random, for 5 classes"):
        model = build_model("squeezenet1_1", (32, 32, 3), 5, weights=tmp_path / "w.safetensors", **options)
    assert equal(model.get_layer("stem_conv").get_weights(), whole.get_layer("stem_conv").get_weights())
    freeze(model)
    assert [layer.name for layer in model.layers if layer.trainable and layer.weights] == ["predictions_conv"]


def test_a_large_top_is_left_out(tmp_path):
    options = {"filters": (4,), "units": (20_000,), "compile": False}
    whole = build_model("conv_stack", **options)
    save_weights(whole, tmp_path / "w.safetensors")
    bare = build_model("conv_stack", include_top=False, weights=tmp_path / "w.safetensors", **options)
    assert equal(bare.get_weights(), whole.get_weights()[:2])


def test_what_one_does_to_a_record_stays_with_oneself():
    load_run("lenet5-mnist").class_names[0] = "zero"
    build_model("lenet5", weights="mnist").class_names[1] = "one"
    assert load_run("lenet5-mnist").class_names == list("0123456789")


def test_predictions_have_names():
    model = build_model("lenet5", weights="fashion_mnist")
    assert model.class_names[0] == "T-shirt/top"
    assert predict(model, np.zeros((28, 28), np.uint8))[0][0] in model.class_names


def test_published_weights_are_a_run(digits):
    run = load_run("lenet5-mnist")
    assert run.class_names == list("0123456789")
    assert run.metrics["test_accuracy"] == RECORDS["lenet5-mnist"]["test_accuracy"]
    with pytest.raises(MissingError, match="no published weights have that name"):
        load_run("lenet5-mnst")


def test_a_card_has_the_accuracy_on_record():
    reached = RECORDS["lenet5-mnist"]["seeds"].values()
    text = f"{100 * statistics.mean(reached):.2f} ± {100 * statistics.stdev(reached):.2f} %"
    assert text in str(model_card("lenet5"))
    assert text in model_card("lenet5")._repr_html_()
    assert "weights for" not in str(model_card("lenet5", num_classes=5))


def test_frozen_layers_keep_their_weights_and_statistics():
    with pytest.warns(UserWarning, match="random, for 3 classes"):
        model = build_model("zoonet_wide", weights="fashion_mnist", num_classes=3)
    assert freeze(model, until="stage2") is model
    last = [layer.name for layer in model.layers].index("stage2_conv2_act")
    assert [layer.trainable for layer in model.layers] == [i > last for i in range(len(model.layers))]
    before = {layer.name: layer.get_weights() for layer in model.layers}
    rng = np.random.default_rng(0)
    model.fit(rng.random((32, 28, 28, 1), np.float32), np.arange(32) % 3, epochs=1, verbose=0, shuffle=False)
    for i, layer in enumerate(model.layers):
        same = [np.array_equal(a, b) for a, b in zip(before[layer.name], layer.get_weights(), strict=True)]
        assert all(same) if i <= last else not any(same), layer.name
    assert len(model.trainable_variables) < len(model.variables)


def test_freezing_again_frees_what_comes_later_and_keeps_the_way_it_is_compiled():
    model = freeze(load_run("zoonet-mnist"), until="stage1")
    assert next(layer.name for layer in model.layers if layer.trainable) == "stage2_conv1"
    model = build_model("zoonet")
    model.compile(keras.optimizers.SGD(0.125), "sparse_categorical_crossentropy")
    freeze(model)
    assert [layer.name for layer in model.layers if layer.trainable and layer.weights] == ["predictions"]
    assert type(model.optimizer) is keras.optimizers.SGD
    assert float(model.optimizer.learning_rate) == 0.125
    assert not freeze(model, "stem_conv").get_layer("stem_conv").trainable
    assert model.get_layer("stage1_conv1").trainable
    assert not freeze(build_model("lenet5", compile=False), "stage1").compiled
    with pytest.raises(UsageError, match="no layer with weights to freeze before the last one"):
        freeze(keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]))
    with pytest.raises(UsageError, match="unknown layer of zoonet 'stage9'; did you mean stage"):
        freeze(model, "stage9")
    with pytest.raises(UsageError, match="until must be the name of a stage or layer; got \\['stage1'\\]"):
        freeze(model, ["stage1"])


def test_a_model_with_a_loss_of_ones_own_is_frozen_and_to_be_compiled_again():
    def mean_output(labels, outputs):
        return keras.ops.mean(outputs)

    model = build_model("lenet5", compile=False)
    model.compile("adam", mean_output)
    with pytest.warns(UserWarning, match="lenet5: compile it again before it is trained; Keras cannot make its loss"):
        freeze(model, "stage1")
    assert not model.get_layer("stage1_conv1").trainable
    with pytest.raises(ValueError, match="compile"):
        model.fit(np.zeros((1, 28, 28, 1)), np.zeros(1), verbose=0)


def test_the_command_line_takes_the_name_of_weights(capsys, tmp_path):
    from PIL import Image

    assert main(["evaluate", "lenet5-mnist", "--data", "mnist5k"]) == 0
    assert "lenet5-mnist.safetensors: 1,000 images of 10 classes" in capsys.readouterr().out
    data = load_data("mnist5k")
    Image.fromarray(data.images("test")[0, ..., 0]).save(tmp_path / "0.png")
    assert main(["predict", "lenet5-mnist", str(tmp_path / "0.png")]) == 0
    assert capsys.readouterr().out.split()[1] == str(data.targets("test")[0])
    assert main(["list", "lenet5"]) == 0
    assert "fashion_mnist, mnist" in capsys.readouterr().out
    assert main(["info", "zoonet_wide"]) == 0
    assert "There are weights for fashion_mnist too, with images of 28x28x1." in capsys.readouterr().out
    with pytest.warns(UserWarning, match="4 classes in place of 10"):
        assert main(["info", "zoonet_wide", "--set", "weights=fashion_mnist", "--num-classes", "4"]) == 0
    shown = capsys.readouterr()
    assert "28x28x1" in shown.out
    assert "There are weights" not in shown.out


@pytest.mark.parametrize(("reached", "status"), [([0.0, 1.0], 0), ([0.1, 0.1001], 1), ([0.5], 0)])
def test_reproducing_trains_again_and_compares(run, tmp_path, monkeypatch, capsys, reached, status):
    config = run.config | {"data_options": run.config["data_options"] | {"validation": 0.1}}
    record = {"config": config, "parameters": 0, "seeds": {str(seed): value for seed, value in enumerate(reached)}}
    monkeypatch.setattr(pretrained, "records", lambda: {"conv_stack-mnist5k": record})
    if reached != [0.0, 1.0]:  # one training is enough
        monkeypatch.setattr(cnn_zoo, "train", lambda *_, seed, **__: dataclasses.replace(run, config={"seed": seed}))
    assert main(["reproduce", "conv_stack", "mnist5k", "--out", str(tmp_path / "run")]) == status
    shown = capsys.readouterr()
    assert f"with seed {len(reached)}" in shown.out
    assert ("is not between" in shown.err) == bool(status)
    if reached == [0.0, 1.0]:
        written = read_json(tmp_path / "run/config.json")
        for key in ("recipe", "epochs", "model_options", "images", "class_names"):
            assert written[key] == config[key], key
    assert main(["reproduce", "conv_stack", "mnist", "--out", str(tmp_path / "other")]) == 2
    assert "unknown weights of conv_stack" in capsys.readouterr().err


def test_an_interval_for_another_value_is_that_of_the_textbook():
    low, high = prediction_interval([1.0, 2.0, 3.0], 0.95)
    assert (low, high) == pytest.approx((2 - 4.302653 * (4 / 3) ** 0.5, 2 + 4.302653 * (4 / 3) ** 0.5))


def test_weights_in_16_bits_are_half_as_large_and_close(run, tmp_path):
    save_weights(run.model, tmp_path / "half.safetensors", dtype="float16")
    save_weights(run.model, tmp_path / "full.safetensors")
    options = {"filters": (4, 8), "units": (16,)}
    half = build_model("conv_stack", weights=tmp_path / "half.safetensors", **options)
    for mine, theirs in zip(half.get_weights(), run.model.get_weights(), strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, theirs, rtol=0 if mine.ndim == 1 else 2**-11, atol=1e-7)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[1] - sizes[0] > 2 * sum(w.size for w in half.get_weights() if w.ndim > 1) - 4096
    with pytest.raises(UsageError, match="dtype must be one of 'float32', 'float16'"):
        save_weights(run.model, tmp_path / "x.safetensors", dtype="int8")
