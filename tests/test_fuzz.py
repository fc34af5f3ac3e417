"""Whatever is passed in, either it works or the documented error is raised: never another exception, never a crash.

benchmarks/damage.py tries thousands of damaged files; here are a few of each kind, the same ones on every machine.
"""

import inspect
import io
import shutil
import string

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st
from PIL import Image

import cnn_zoo
import cnn_zoo.training
from cnn_zoo import ZooError, build_model, list_models, load_data, load_run, predict
from cnn_zoo.core.errors import DataError, OptionError, RunError, UsageError
from cnn_zoo.nn.inspection import shapes_only

ONCE = {"derandomize": True, "deadline": None, "database": None}
KEPT = [HealthCheck.function_scoped_fixture]  # what a fixture made is not changed, or put back
ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=8),
    st.lists(st.integers(-3, 300), max_size=4), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip
SENSIBLE = {
    "input_shape": st.none() | st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    "num_classes": st.integers(2, 12),
    "include_top": st.booleans(),
    "pooling": st.sampled_from([None, "avg", "max"]),
    "layout": st.sampled_from(["auto", "paper", "small"]),
    "activation": st.sampled_from(["relu", "tanh", "gelu", None]),
    "classifier_activation": st.sampled_from(["softmax", None]),
    "dropout": st.floats(0, 0.9),
    "l1": st.floats(0, 0.1),
    "l2": st.floats(0, 0.1),
    "batch_norm": st.booleans() | st.none(),
    "dtype": st.sampled_from([None, "float32", "mixed_bfloat16", "auto"]),
    "width": st.sampled_from([0.25, 0.5, 1]),
}


@st.composite
def arguments_of_build_model(draw):
    """A few arguments; every fifth value is anything at all."""
    names = draw(st.lists(st.sampled_from(sorted(SENSIBLE)), max_size=4, unique=True))
    return {name: draw(ANYTHING if draw(st.integers(0, 4)) == 4 else SENSIBLE[name]) for name in names}


KNOWN = st.sampled_from(sorted(list_models()))
NAMES = KNOWN | KNOWN | KNOWN | st.text(string.ascii_letters, max_size=12)


def said_well(error, *kinds):
    """Whether an error is a documented one, in one line of bearable length."""
    return isinstance(error, kinds) and "\n" not in str(error) and len(str(error)) < 2000


@settings(max_examples=150, **ONCE)
@given(NAMES, arguments_of_build_model())
@example("conv_stack", {"input_shape": (2**40, 1, 1)})
@example("conv_stack", {"num_classes": 2**70})
@example("conv_stack", {"dropout": float("nan")})
@example("lenet5", {"input_shape": "abc"})
def test_build_model_builds_or_says_what_is_wrong(name, arguments):
    try:
        with shapes_only():  # shapes cost nothing
            model = build_model(name, compile=False, **arguments)
    except ZooError as error:
        event(type(error).__name__)
        good = said_well(error, UsageError, OptionError)
    else:
        event("built")
        good = True
        assert model.output_shape[0] is None
        assert all(side is None or side >= 1 for side in model.output_shape)
    assert good


def encoded(kind, height, width):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


IMAGES = st.builds(encoded, st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]), st.integers(1, 9), st.integers(1, 9))
NAME = st.text(string.ascii_letters + " ._-é猫$", min_size=1, max_size=6)


@st.composite
def class_folders(draw):
    """Files by class; most folders are good ones."""
    names = draw(st.lists(NAME, min_size=draw(st.sampled_from([2, 2, 2, 0])), max_size=3, unique=True))
    sizes = [draw(st.sampled_from([4, 5, 6] * 4 + [2, 0])) for _ in names]
    broken = draw(st.sampled_from([0, 0, 0, 0, 1, 5]))  # every so many-th
    rows = [[draw(IMAGES) for _ in range(size)] for size in sizes]
    if broken:
        rows = [[b"\xff" * i if i % broken == broken - 1 else file for i, file in enumerate(row)] for row in rows]
    return dict(zip(names, rows, strict=True))


@settings(max_examples=60, suppress_health_check=KEPT, **ONCE)
@given(class_folders(), st.booleans(), st.sampled_from([8, (4, 6), None]))
def test_load_data_reads_a_folder_or_says_what_is_wrong(tmp_path_factory, folders, skip_broken, size):
    top = tmp_path_factory.mktemp("fuzz")
    written = 0
    for name, files in folders.items():
        assume(name.strip(". ") and name == name.strip())
        (top / name).mkdir()
        for number, content in enumerate(files):
            (top / name / f"{number}.png").write_bytes(content)
            written += 1
    try:
        data = load_data(top, image_size=size, skip_broken=skip_broken)
    except ZooError as error:
        event(type(error).__name__)
        good = said_well(error, UsageError, DataError)
    else:
        event("read")
        good = True
        images = [len(data.splits[split]) for split in ("train", "validation", "test")]
        assert sum(images) <= written
        assert sum(images) == written or skip_broken
        assert data.images("train").shape[1:] == data.input_shape
        assert all(set(data.targets(split)) <= set(range(data.num_classes)) for split in data.splits)
    assert good


@pytest.fixture(scope="module")
def kept(run):
    """The files of a run, and how to put them back."""
    return {name: (run.path / name).read_bytes() for name in ("config.json", "history.csv", "metrics.json")} | {
        "model.safetensors": (run.path / "model.safetensors").read_bytes()
    }


@settings(max_examples=60, suppress_health_check=KEPT, **ONCE)
@given(st.data())
def test_a_changed_run_is_never_loaded(run, kept, tmp_path_factory, data):
    copy = tmp_path_factory.mktemp("run")
    for name, content in kept.items():
        (copy / name).write_bytes(content)
    name = data.draw(st.sampled_from(sorted(kept)))
    content = kept[name]
    at = data.draw(st.integers(0, len(content) - 1))
    new = data.draw(st.binary(max_size=4))
    changed = content[:at] + new + content[at + data.draw(st.integers(0, 4)) :]
    assume(changed != content)
    (copy / name).write_bytes(changed)
    with pytest.raises(RunError) as raised:
        load_run(copy)
    assert said_well(raised.value, RunError)


@settings(max_examples=100, suppress_health_check=KEPT, **ONCE)
@given(st.one_of(st.binary(max_size=200), IMAGES), st.integers(0, 200), st.binary(max_size=3))
def test_predict_answers_or_says_what_is_wrong(run, tmp_path_factory, content, at, new):
    path = tmp_path_factory.mktemp("image") / "image.png"
    path.write_bytes(content[:at] + new + content[at + len(new) :])
    try:
        [answer] = predict(run, [path])
    except ZooError as error:
        event("refused")
        good = said_well(error, DataError)
    else:
        event("answered")
        good = True
        chances = [chance for _, chance in answer] if isinstance(answer, list) else [answer[1]]
        assert all(0 <= chance <= 1 + 1e-6 for chance in chances)
    assert good


class WithoutText:
    """Something whose repr fails, as of a half-made object."""

    def __repr__(self):
        raise RuntimeError("no text")


STRANGE = st.sampled_from([
    None, True, False, 0, -1, 3, 2**70, 10**400, 10**5000, float("nan"), float("inf"), 1j, "", "x" * 5000, "a\0b",
    "\ud800", "\x1b[2J\n", b"x", bytearray(b"x"), [], [[]], [1, [2, 3]], (True, True), {"a": 1}, {1, 2}, {"b", "a"},
    np.zeros(3), np.zeros((2, 2)), np.array(["a", "b"]), np.array([object(), None]), np.float32(1), np.bool_(True),
    np.zeros((0, 5)), object(), WithoutText(), int, range(3), iter([1]), slice(1), [None], (10**10,) * 3, (True, 28, 1),
    [float("nan")] * 3, {"filters": True}, {1: 2}, {"x": object()}, keras.layers.Dense(2), lambda *_: 1 / 0,
])  # fmt: skip
OPTIONS = {  # of families, by one of each
    "conv_stack": ("filters", "kernel_size", "padding", "pool_kind", "pool_size", "units"),
    "unet": ("backbone", "filters"),
    "densenet_bc_22_16": ("growth", "compression", "depths"), "mobilenet_v2": ("width",),
    "resnet20": ("filters", "residual"),
    "alexnet": ("groups",), "shufflenet_v1": ("groups",), "squeezenet1_1": ("squeeze",), "zoonet": ("filters",),
}  # fmt: skip


def parameters(function):
    return [name for name, one in inspect.signature(function).parameters.items() if one.kind is not one.VAR_KEYWORD]


def survives(function, arguments):
    """Whether a call works or says in one line what is wrong with its arguments."""
    try:
        return function(**arguments) is not ZooError
    except ZooError as error:
        event(type(error).__name__)
        return said_well(error, ZooError)


@settings(max_examples=400, **ONCE)
@given(st.sampled_from([("lenet5", name) for name in parameters(build_model) if name != "compile"] + [
    (name, option) for name, options in OPTIONS.items() for option in options]), STRANGE)  # fmt: skip
def test_no_argument_of_build_model_is_a_raw_error(place, value):
    name, option = place
    with shapes_only():
        assert survives(build_model, {"name": name, "compile": False, option: value})


@settings(max_examples=500, suppress_health_check=KEPT, **ONCE)
@given(st.data(), STRANGE)
def test_no_argument_of_what_is_public_is_a_raw_error(run, few, tmp_path_factory, data, value):
    folder = tmp_path_factory.getbasetemp()
    good = {
        cnn_zoo.model_card: {"model": "lenet5"},
        load_run: {"path": "no run"},
        list_models: {},
        predict: {"run_or_model": run, "images": np.zeros((28, 28))},
        cnn_zoo.evaluate: {"run_or_model": run, "data": few},
        cnn_zoo.feature_extractor: {"model": run},
        cnn_zoo.save_weights: {"model": run, "path": folder / "weights.safetensors"},
        cnn_zoo.load_torch_weights: {"model": run, "source": {}},
        cnn_zoo.interval: {"values": [1, 2]},
        cnn_zoo.fast_layers: {"model": run},
        cnn_zoo.Recipe: {},
        cnn_zoo.train: {"data": few, "model_options": {"filters": [2]}, "out": folder / "fuzz", "verbose": 0},
    }  # fmt: skip
    function = data.draw(st.sampled_from(list(good)))
    option = data.draw(st.sampled_from(parameters(function)))
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for step in ("fit", "finish"):  # what comes before them looks at the arguments
            patched.setattr(cnn_zoo.training.Training, step, lambda *_: None)
        shutil.rmtree(folder / "fuzz", ignore_errors=True)
        assert survives(function, good[function] | {option: value}), (function, option)


def test_flags_and_sets_are_not_taken_for_numbers_and_names(run):
    for option in ({"kernel_size": True}, {"filters": (True, True)}, {"pool_size": [2, False]}):
        with pytest.raises(UsageError, match="is not a flag; got"):
            build_model("conv_stack", **option)
    with pytest.raises(UsageError, match="a list of names, in the order of the classes"):
        predict(run, np.zeros((28, 28)), class_names={str(i) for i in range(10)})
