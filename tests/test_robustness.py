"""Strange names, paths, settings of the machine and of Keras: right all the same, or one line that says what to do."""

import configparser
import html
import io
import json
import os
import pickle
import re
import subprocess
import sys
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from PIL import Image

from cnn_zoo import (
    Source,
    build_model,
    evaluate,
    list_models,
    load_data,
    load_run,
    load_torch_weights,
    model_card,
    plots,
    predict,
    report,
    train,
)
from cnn_zoo.build import ANY_SIZE
from cnn_zoo.cli import main
from cnn_zoo.core import machine
from cnn_zoo.core.errors import DataError, MissingError, RunError, ShortOfMemory, UsageError
from cnn_zoo.core.files import only_writer, write_csv, write_json, write_tensors
from cnn_zoo.core.text import markdown, printable, shell, shown
from cnn_zoo.models.registry import catalogue, entry
from cnn_zoo.nn.inspection import shapes_only
from cnn_zoo.nn.precision import policy
from conftest import ROOT, run_cli

ONCE = {"derandomize": True, "deadline": None, "database": None}
HOSTILE = "\x1b[2J\x1b]0;title\x07\n\u202eabc|<img src=x onerror=alert(1)>`c`![x](y)"
KEPT = "健康　病害 é e\u0301 نعم می\u200cخواهم क्\u200dष สวัสดี 👨\u200d👩\u200d👧 👩🏽\u200d💻 ❤\ufe0f\u200d🔥 C:\\x 50 %"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb\tc\r\nd\x9b", r"a\x1b[31mb\tc\r\nd\x9b"),
        ("\u202eabc\u2066\u200f\u061c", r"\u202eabc\u2066\u200f\u061c"),
        ("a\u200bb\u200dc\u2060d\ufeff\u3164", r"a\u200bb\u200dc\u2060d\ufeff\u3164"),
        ("x\u2028y\u2029z", r"x\u2028y\u2029z"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\udcc3\udca4 \udce7\udc8c\udcab", "ä 猫"),  # of UTF-8, read by a Python that is told ASCII
        ("\ud800 \U000e0041", r"\ud800 \U000e0041"),
        (KEPT, KEPT),
    ],
)
def test_what_a_reader_would_not_see_is_written_as_an_escape(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


@settings(max_examples=300, **ONCE)
@given(st.text(st.characters() | st.sampled_from(HOSTILE + KEPT + "\u200d\u200c\ufe0f")))
def test_every_text_becomes_one_line_that_can_be_written_and_stays_so(text):
    line = printable(text)
    assert {unicodedata.category(c) for c in line if c not in "\u200c\u200d"}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})
    assert printable(line.encode().decode()) == line
    assert len(printable(text, 7)) <= 7
    # what is left in Markdown are letters: without the escapes, the same text
    marked = markdown(text)
    assert html.unescape(re.sub(r"\\([\\`*_\[\]!#~$])", r"\1", marked)) == line
    assert not set(re.sub(r"\\.", "", marked)) & set("<>|`*_[]!")


def test_a_value_is_shown_in_one_bounded_line_even_if_it_has_no_text():
    assert shown("a\nb") == r"'a\nb'"
    assert shown(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    assert shown(10**5000) == "a int"
    assert len(shown("x" * 1000)) == 80


@pytest.mark.parametrize("error", [UsageError, MissingError, RunError, DataError])
def test_an_error_is_one_bounded_printable_line_whatever_it_names(error):
    raised = error(HOSTILE + os.fsdecode(b"\xff") + ": no such file")
    assert str(raised) == printable(HOSTILE) + r"\xff: no such file"
    assert str(pickle.loads(pickle.dumps(raised))) == str(raised)
    assert len(str(error("x" * 10**6))) < 2000


def test_a_shell_reads_the_word_as_the_path():
    for path in ("plain", "a b", "it's", os.fsdecode(b"caf\xe9 'x' \\n"), "a\x1b\n\u202eb"):
        read = subprocess.run(["bash", "-c", f"printf %s {shell(path)}"], capture_output=True, check=True,
                              env={"LC_ALL": "C.UTF-8"})  # fmt: skip
        assert read.stdout == os.fsencode(path)


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A run whose classes, data and folder have names that a terminal or Markdown would obey."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12, 1), np.uint8)
    names = [f"{HOSTILE}{i}" for i in range(3)]
    data = load_data(Source(f"set {HOSTILE}", pixels, np.arange(60) % 3, names))
    folder = tmp_path_factory.mktemp("strange") / "run \x1b[31m`x`"
    options = {"filters": [4], "units": [4]}
    return train("conv_stack", data, epochs=1, out=folder, precision="float32", model_options=options)


def safe_line(line):
    return line == printable(line)


def test_what_the_terminal_shows_of_strange_names_is_harmless(strange, tmp_path, capsys):
    plots.save(plots.tables({"x": np.eye(3)}), tmp_path / "a\x1b\u202e.png")
    assert main(["predict", str(strange.path), str(tmp_path / "a\x1b\u202e.png")]) == 0
    assert main(["predict", str(strange.path), str(tmp_path / "b\x1b\n.png")]) == 1
    assert main(["evaluate", str(strange.path)]) == 2
    for folder in ("c\x1b[31m", "d"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for i in range(4):
            plots.save(plots.tables({"x": np.eye(3)}), tmp_path / "set" / folder / f"{i}.png")
    (tmp_path / "set/d/broken\x1b\nline.png").write_bytes(b"x")
    assert main(["data", str(tmp_path / "set")]) == 1
    out, err = capsys.readouterr()
    assert all(map(safe_line, (out + err).splitlines()))
    assert r"\x1b[2J" in out
    assert r"broken\x1b\nline.png" in out
    assert len(err.splitlines()) == 5  # two of them tell what is read
    assert strange.class_names == [f"{printable(HOSTILE)}{i}" for i in range(3)]
    assert safe_line(repr(strange))


def test_a_report_of_strange_names_holds_neither_html_nor_cells_nor_links_of_theirs(strange):
    text = (strange.path / "report.md").read_text()
    assert all(map(safe_line, text.splitlines()))
    assert "<img" not in text
    assert "![x]" not in text
    assert "`c`" not in text
    tables = [table.splitlines() for table in text.split("\n\n") if table.startswith("| ")]
    assert len(tables) == 2
    for table in tables:
        assert len({row.count("|") for row in table}) == 1


def test_names_in_a_config_that_no_training_writes_are_refused(strange, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("model.safetensors", "metrics.json", "history.csv"):
        (copy / name).write_bytes((strange.path / name).read_bytes())
    config = json.loads((strange.path / "config.json").read_text())
    del config["sha256"]
    write_json(copy / "config.json", config)
    assert load_run(copy).class_names == strange.class_names
    write_json(copy / "config.json", config | {"class_names": [HOSTILE, "b", "c"]})
    with pytest.raises(RunError, match="'class_names' must be printable"):
        load_run(copy)


def test_data_and_run_in_folders_whose_names_are_not_utf_8(tmp_path, capsys):
    odd = os.fsdecode(b"caf\xe9")
    for name in (odd, "b"):
        (tmp_path / f"set {odd}" / name).mkdir(parents=True)
        for i in range(6):
            pixels = np.random.default_rng(i).integers(0, 256, (24, 24), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"set {odd}" / name / f"{i}{odd}.png")
    small = ["--epochs", "1", "--set", "filters=4", "--set", "units=4"]
    command = ["train", "--data", str(tmp_path / f"set {odd}"), *small, "--out", str(tmp_path / odd)]
    assert main([*command, "--tensorboard"]) == 2  # which cannot write there, and says so before there is a folder
    assert not (tmp_path / odd).exists()
    assert main(command) == 0
    assert sorted(os.listdir(tmp_path)) == sorted([f"set {odd}", odd])
    assert "report.md" in os.listdir(tmp_path / odd)
    assert main([*command, "--resume"]) == 0
    assert main(["evaluate", str(tmp_path / odd)]) == 0
    assert main(["predict", str(tmp_path / odd), str(tmp_path / f"set {odd}/b/0{odd}.png")]) == 0
    out, err = capsys.readouterr()
    assert all(map(safe_line, (out + err).splitlines()))
    run = load_run(tmp_path / odd)
    assert run.config["data"] == str(tmp_path / f"set {odd}")
    assert run.class_names == ["b", r"caf\xe9"]


@pytest.fixture
def other_settings():
    """What somebody's keras.json or program may have set: channels first, and 16 bits for everything."""
    before = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_image_data_format("channels_first")
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("float16")
    yield
    found = keras.config.image_data_format(), keras.config.floatx(), keras.config.dtype_policy().name
    keras.config.set_image_data_format(before[0])
    keras.config.set_floatx(before[1])
    keras.config.set_dtype_policy(before[2])
    assert found == ("channels_first", "float16", "float16")  # whatever was built meanwhile


def shapes(name):
    with shapes_only():
        model = build_model(name, compile=False)
    outputs = [(layer.name, layer.dtype_policy.name, layer.output.shape) for layer in model.layers]
    return outputs, [(weight.path, weight.dtype, weight.shape) for weight in model.weights], model.inputs[0].dtype


def test_every_net_is_the_same_whatever_keras_is_set_to(request):
    one_each = {entry(name).family: name for name in reversed(list_models())} | {"alexnet": "alexnet"}
    wanted = {name: shapes(name) for name in one_each.values()}
    request.getfixturevalue("other_settings")
    for name, expected in wanted.items():
        assert shapes(name) == expected, name
    assert model_card("vgg16", num_classes=1000).parameters == 138_357_544


def test_building_in_threads_leaves_keras_as_it_was(other_settings):
    with ThreadPoolExecutor(8) as threads:
        kernels = threads.map(lambda number: build_model("lenet5").layers[0].kernel.shape, range(40))
    assert set(kernels) == {(5, 5, 1, 6)}
    with policy():
        with policy():  # as of another thread
            pass
        assert (keras.config.image_data_format(), keras.config.floatx()) == ("channels_last", "float32")


def test_training_and_all_that_follows_it_do_not_depend_on_what_keras_is_set_to(few, tmp_path, request):
    def trained():
        options = {"model_options": {"filters": [4, 8], "batch_norm": True}, "precision": "float32", "verbose": 0}
        return train("zoonet", few, epochs=2, out=tmp_path / str(len(list(tmp_path.iterdir()))), **options)

    def judged(run):
        again = load_run(run.path)
        return evaluate(again, few)["loss"], predict(again, few.images("test")[:3], top=2), evaluate(run, few)["loss"]

    wanted = trained()
    answers = judged(wanted)
    request.getfixturevalue("other_settings")
    run = trained()
    assert run.metrics["fingerprint"] == wanted.metrics["fingerprint"]
    assert judged(run) == answers
    again = load_run(run.path).model
    assert {weight.dtype for weight in again.weights} | {again.loss.dtype} == {"float32"}


@pytest.mark.parametrize("module", ["cnn_zoo.cli", "argparse", "cnn_zoo.recipes"])
def test_an_interruption_while_modules_load_is_one_line(module):
    program = f"""
import sys
class Interrupted:
    def find_spec(name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted)
sys.modules.pop({module!r}, None)
import runpy
sys.argv = ["cnn-zoo", "list"]
runpy.run_module("cnn_zoo", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "cnn-zoo: interrupted\n")


def test_the_installed_command_is_the_one_that_can_be_interrupted_from_the_first_moment():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options.entry_points"]["console_scripts"].strip() == "cnn-zoo = cnn_zoo.__main__:main"


def test_a_start_in_a_folder_that_is_gone_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["train", "--out", str(tmp_path / "run")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("the folder in which this was started is gone")
    monkeypatch.chdir(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_the_lock_of_a_folder_touches_nothing_that_is_in_it(tmp_path):
    (tmp_path / "link").mkdir()
    (tmp_path / "link/.lock").symlink_to(tmp_path / "outside")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe/.lock")
    for folder in ("link", "pipe"):
        with only_writer(tmp_path / folder), pytest.raises(RunError, match="another process"):
            only_writer(tmp_path / folder).__enter__()
        assert os.listdir(tmp_path / folder) == [".lock"]
    assert not (tmp_path / "outside").exists()


def test_weights_beyond_float32_are_refused(tmp_path):
    write_tensors(tmp_path / "w.safetensors", {"predictions/bias": np.full(10, 1e300)})
    with pytest.raises(RunError, match="predictions/bias holds something other than finite numbers of 16 or 32 bits"):
        build_model("lenet5", weights=tmp_path / "w.safetensors")
    with pytest.raises(RunError, match="not finite"):
        load_torch_weights(build_model("resnet18", (32, 32, 3)), {"fc.bias": np.full(10, 1e300)})


def test_an_interruption_while_the_report_is_drawn_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    command = ["train", "--epochs", "1", "--set", "filters=2", "--set", "units=2", "--out", str(tmp_path / "a run")]

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(report, "write_report", interrupted)
        assert main(command) == 1
    err = capsys.readouterr().err
    assert f"interrupted; the same command goes on with --out '{tmp_path / 'a run'}' --resume" in err
    assert main([*command, "--resume"]) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KERAS_BACKEND": "nothing"}, "look at KERAS_BACKEND=nothing"),
        ({"MPLBACKEND": "nothing"}, "look at MPLBACKEND=nothing"),
        ({"PYTHONWARNINGS": "error"}, None),
    ],
)
def test_settings_under_which_keras_does_not_start_are_named_in_one_line(settings, said, tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")  # without LaTeX, nothing could be drawn
    command = ["train", "--epochs", "1", "--set", "filters=2", "--set", "units=2", "--out", "run"]
    status, _, err = run_cli(*command, cwd=tmp_path, **settings)
    assert (status, err.count("\n")) == ((2, 1) if said else (0, 0))
    assert (said or "") in err
    assert (tmp_path / "run/report.md").exists() == (not said)


def test_what_does_not_fit_into_memory_is_said_before_there_is_a_folder(tmp_path, capsys, monkeypatch):
    with pytest.raises(ShortOfMemory, match=r"^out of memory: lenet5 of 850,000,000,060,856 weights takes 3,400,000"):
        build_model("lenet5", num_classes=10**13)
    monkeypatch.setattr(machine, "_kilobytes", lambda path: {"MemAvailable": 60_000, "SwapFree": 0, "VmSize": 0})
    command = ["train", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert main(["train", "vgg11", *command[1:]]) == 1
    err = capsys.readouterr().err
    assert re.search(r"(?m)^cnn-zoo: out of memory: a step of vgg11 with batches of 128 takes 0\.\d GB", err)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr("resource.getrlimit", lambda what: (10**9, 10**9))
    monkeypatch.setattr(machine, "_kilobytes", lambda path: {"VmSize": 500_000})
    machine.check_memory("this", 4e8)
    with pytest.raises(ShortOfMemory, match=r"this takes 0.6 GB at least, and 0.5 GB are free"):
        machine.check_memory("this", 4e8, room=2e8)


def test_nets_of_more_layers_than_keras_can_connect_are_refused_in_one_line():
    with shapes_only(), pytest.raises(UsageError, match="resnet20 has too many layers with these options"):
        build_model("resnet20", filters=[4] * 64, compile=False)
    with shapes_only():
        assert build_model("densenet121", depths=[100] * 4, compile=False).count_params() == 222_848_922


FREE = {
    "densenet_bc_22_16": {}, "efficientnet_b0": {}, "googlenet": {}, "inception_v3": {},
    "mobilenet_v1": {"width": 0.25}, "resnet20": {}, "vgg_slim": {}, "zoonet": {"filters": [16, 16]},
}  # fmt: skip


@pytest.mark.parametrize(("name", "options"), FREE.items())
def test_a_net_whose_sides_are_free_computes_what_one_of_fixed_sides_does(name, options):
    options = {"layout": "small", "num_classes": 3, "compile": False, **options}
    free = build_model(name, (None, None, 3), **options)
    for sides in ((64, 64), (75, 96)):
        fixed = build_model(name, (*sides, 3), **options)
        fixed.set_weights(free.get_weights())
        image = np.random.default_rng(0).random((1, *sides, 3), np.float32)
        np.testing.assert_allclose(predict_raw(free, image), predict_raw(fixed, image), atol=1e-6)


def test_an_image_too_small_for_a_net_of_free_sides_is_one_line():
    net = build_model("inception_v3", (None, None, 3), 3, compile=False)
    with pytest.raises(DataError, match="an image of 64x80 is too small for inception_v3"):
        predict(net, [np.zeros((64, 80, 3), np.uint8)])


def predict_raw(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


def test_every_net_takes_free_sides_or_says_that_it_must_know_them():
    takes = {}
    smallest = sorted(catalogue(), key=lambda row: -int(row["parameters"]))
    for row in {(row["family"], row["layout"]): row for row in smallest}.values():
        found = takes.setdefault(row["family"], set())
        with shapes_only():
            try:
                found.add(build_model(row["name"], (None, None, 3), layout=row["layout"], compile=False).output_shape)
            except UsageError as error:
                found.add(str(error).partition("; class")[0].partition(" ")[2])
    refused = "must know the size of its inputs with these options; input_shape is (None, None, 3)"
    assert {family for family, found in takes.items() if found == {(None, 10)}} == set(ANY_SIZE)
    assert set.union(*takes.values()) == {(None, 10), refused}
    with pytest.raises(UsageError, match="must know the size"):
        build_model("shufflenet_v2", (None, None, 3))
    with pytest.raises(UsageError, match="filters must have 4 entries"):  # what is wrong is not the size then
        build_model("resnet18", (None, None, 3), filters=[4])
    with shapes_only():
        assert build_model("resnet18", (None, 3), compile=False).output_shape == (None, 10)
        assert build_model("vgg11", (None, None, 1), include_top=False, pooling="avg", compile=False)


@pytest.mark.parametrize("name", ["lenet5", "conv_stack", "zoonet", "vgg_slim", "resnet20"])
def test_the_steps_of_grad_cam_as_keras_shows_it_work_on_chains_and_graphs(name):
    model = build_model(name, (32, 32, 3), filters=[4] * {"vgg_slim": 5, "resnet20": 3}.get(name, 2))
    assert isinstance(model, keras.Sequential) == (name != "resnet20")
    image = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    layer = [layer.name for layer in model.layers if "conv" in layer.name][-1]
    grad_model = keras.models.Model(model.inputs, [model.get_layer(layer).output, model.output])
    with tf.GradientTape() as tape:
        maps, found = grad_model(image)
        score = tf.reduce_max(found, axis=1)
    gradients = tape.gradient(score, maps)
    assert np.abs(gradients).max() > 0
    np.testing.assert_allclose(found, model(image), atol=1e-6)
    assert model.input is model.inputs[0]
    assert model.output_names == ["predictions"]
    assert model.output is model.outputs[0]


def test_a_chain_stays_one_that_keras_saves_nests_shows_and_changes(tmp_path):
    model = build_model("lenet5")
    nested = keras.Sequential([model, keras.layers.Dense(2)])
    outer = keras.Model(inputs := keras.Input((28, 28, 1)), keras.layers.Dense(2)(model(inputs)))
    for whole in (model, nested, outer, keras.models.clone_model(outer)):
        whole.save(tmp_path / "model.keras")
        image = np.random.default_rng(0).random((1, 28, 28, 1), np.float32)
        again = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(again(image), whole(image))
        whole.summary(print_fn=lambda text: None, expand_nested=True)
    model.pop()
    assert model.output.shape == (None, 84)
    history = build_model("lenet5").fit(np.zeros((8, 28, 28, 1)), np.zeros(8), verbose=0).history
    assert set(history) == {"accuracy", "loss"}


MIRRORED = """
import sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import cnn_zoo
from cnn_zoo import checkpoints
few = cnn_zoo.load_data("mnist5k")
few.splits["train"] = few.splits["train"][::10]
options = {"model_options": {"filters": [4, 8], "batch_norm": True}, "precision": "float32", "verbose": 0}
def interrupted(keeper, epoch, logs=None):
    after(keeper, epoch, logs)
    raise KeyboardInterrupt
after = checkpoints.Keeper.on_epoch_end
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    whole = cnn_zoo.train("conv_stack", few, epochs=2, out="whole", **options)
    checkpoints.Keeper.on_epoch_end = interrupted
    try:
        cnn_zoo.train("conv_stack", few, epochs=2, out="parts", **options)
    except KeyboardInterrupt:
        checkpoints.Keeper.on_epoch_end = after
run = cnn_zoo.train("conv_stack", few, epochs=2, out="parts", resume=True, **options)
print(whole.metrics["steps"], len(run.history["loss"]), run.metrics["steps"], cnn_zoo.evaluate(run, few)["images"])
print(run.history["loss"][0] == whole.history["loss"][0], abs(run.history["loss"][1] - whole.history["loss"][1]) < 0.05)
"""


def test_training_inside_a_mirrored_strategy_and_going_on_outside_of_it(tmp_path):
    done = subprocess.run([sys.executable, "-c", MIRRORED], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "6 2 6 1000\nTrue True\n", done.stderr


HAN = "健康病害"


def make_font(path, family, letters, style="Regular"):
    """A font whose glyphs are bars, so that a test needs none installed."""
    builder, pen = FontBuilder(1000, isTTF=True), TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 800), (300, 800), (300, 0)):
        pen.lineTo(point)
    pen.closePath()
    bar, names = pen.glyph(), [".notdef", *(f"u{ord(letter):X}" for letter in letters)]
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:], strict=True)})
    builder.setupGlyf(dict.fromkeys(names, bar))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": style})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    builder.setupPost()
    builder.save(path)
    font_manager.fontManager.addfont(path)


@pytest.fixture
def no_font_of_han(monkeypatch):
    """As where no font of this script is installed; those that a test adds are forgotten after it."""
    known = [font for font in font_manager.fontManager.ttflist if "DejaVu" in font.name]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", known)


def drawn(names):
    figure = plots.confusion(np.array([[5, 1], [0, 6]]), names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = figure._repr_png_()
        figure.savefig(io.BytesIO())
    return figure, pixels, [str(warning.message) for warning in caught]


def test_letters_that_no_font_has_are_named_once_in_a_figure(no_font_of_han):
    _, _, said = drawn(["健康", "病害"])
    assert said == [
        "no installed font has 健害康病 (CJK): the figure shows boxes for them; "
        "install a font of that script, such as one of Noto's"
    ]
    assert drawn(["é ß ж ω", "→ ☃"])[2] == []  # which matplotlib's own font has


def test_a_font_that_has_the_letters_is_taken_of_those_that_are_installed(no_font_of_han, tmp_path):
    without = drawn(["健康", "病害"])[1]
    make_font(tmp_path / "a.ttf", "Aaa Sans", "健康", style="Bold")
    make_font(tmp_path / "b.ttf", "Zzz Serif", HAN)
    make_font(tmp_path / "c.ttf", "Ccc Sans", HAN)
    make_font(tmp_path / "d.ttf", "Ddd Sans", "abc")
    figure, pixels, said = drawn(["健康", "病害"])
    families = {tuple(text.get_fontfamily()) for text in figure.axes[0].get_xticklabels()}
    assert families == {("sans-serif", "Ccc Sans")}
    assert said == []
    assert pixels != without
    assert figure.axes[0].title.get_fontfamily() == ["sans-serif"]
    assert drawn(["健の", "病"])[2][0].startswith("no installed font has の (HIRAGANA)")


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.safetensors", lambda path: write_tensors(path, {"a": np.zeros(5000)})),
        ("a.json", lambda path: write_json(path, {"a": "x" * 50_000})),
        ("a.csv", lambda path: write_csv(path, {"a": list(range(50_000))})),
        ("a.png", lambda path: plots.save(plots.tables({"x": np.eye(3)}), path)),
    ],
)
def test_a_file_for_which_there_is_no_room_is_named_and_leaves_nothing(name, write, tmp_path):
    import resource

    (tmp_path / name).write_bytes(b"old")
    before, limits = (tmp_path / name).read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large|too large") as caught:
            write(tmp_path / name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_bytes() == before
