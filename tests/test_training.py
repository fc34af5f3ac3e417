"""Training: the same seed the same bits, resuming after any end, and what happens when things go wrong."""

import errno
import shutil
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from cnn_zoo import Recipe, build_model, checkpoints, evaluate, load_run, report, runs, train, training
from cnn_zoo.checkpoints import CHECKPOINT, PREVIOUS, State
from cnn_zoo.core import files
from cnn_zoo.core.errors import RunError, TrainingError, UsageError
from cnn_zoo.core.files import write_tensors
from cnn_zoo.nn.inspection import shapes_only
from conftest import SMALL, clean_environment, equal

pytestmark = pytest.mark.usefixtures("no_report")


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(few, tmp_path):
    runs = [
        train(data=few, epochs=2, seed=seed, out=tmp_path / name, **SMALL)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    weights, prints = [run.model.get_weights() for run in runs], [run.metrics["fingerprint"] for run in runs]
    assert equal(weights[0], weights[1])
    assert not equal(weights[0], weights[2])
    assert prints[0] == prints[1] != prints[2]


def test_deterministic_operations_repeat_a_training_with_dropout_bit_for_bit(tmp_path):
    program = (
        "import sys; from cnn_zoo import report, train; from cnn_zoo.data.sources import read_source\n"
        "from tensorflow.python.framework.config import is_op_determinism_enabled\n"
        "source, report.write_report = read_source('mnist5k'), lambda *_: None\n"
        "data = source.images[::25], source.targets[::25]\n"
        "prints = [train('lenet5', data, epochs=2, deterministic=True, verbose=0, out=f'{sys.argv[1]}/{name}',"
        " model_options={'dropout': 0.2, 'batch_norm': True}).metrics['fingerprint'] for name in 'ab']\n"
        "assert is_op_determinism_enabled() and prints[0] == prints[1], prints"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True, timeout=120)


def test_augmentation_that_is_given_replaces_the_recipes(few, tmp_path):
    options = {"recipe": "accurate", "epochs": 1, "augment": {"rotate": 5, "zoom": 0}}
    run = train(data=few, out=tmp_path / "run", **options, **SMALL)
    assert run.config["recipe"]["augment"] == {"rotate": 5}
    assert not run.config["recipe"]["flip"]
    assert not run.config["recipe"]["vary_after"]


def test_a_training_in_sixteen_bits_leaves_a_model_of_thirty_two(few, tmp_path):
    run = train(data=few, epochs=1, out=tmp_path / "run", **SMALL | {"precision": "mixed_bfloat16"})
    assert {layer.compute_dtype for layer in run.model.layers} == {"float32"}
    assert evaluate(load_run(run.path), few)["accuracy"] == run.metrics["test_accuracy"]


@pytest.mark.parametrize("recipe", ["fast", "muon"])
def test_a_training_in_float16_learns_scales_the_loss_and_goes_on_to_the_bit(few, tmp_path, monkeypatch, recipe):
    options = {"epochs": 4, "recipe": recipe, **SMALL, "model": "zoonet", "precision": "mixed_float16"}
    options["model_options"] = {"filters": [16, 16], "batch_norm": True}
    whole, original = train(data=few, out=tmp_path / "whole", **options), State.save
    kinds = []

    def save(state):
        kinds.append((type(state.model.optimizer).__name__, state.model.compute_dtype))
        original(state)
        if state.epoch == 2:
            raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(State, "save", save)
        train(data=few, out=tmp_path / "parts", **options)
    assert set(kinds) == {("LossScaleOptimizer", "float16")}
    resumed = train(data=few, out=tmp_path / "parts", resume=True, **options)
    assert resumed.metrics["fingerprint"] == whole.metrics["fingerprint"]
    assert resumed.metrics["steps"] == whole.metrics["steps"] == 4 * few.steps(whole.config["recipe"]["batch_size"])
    exact = train(data=few, out=tmp_path / "exact", **options | {"precision": "float32"})
    assert whole.history["loss"] == pytest.approx(exact.history["loss"], rel=0.05)
    assert whole.history["loss"][-1] < 0.95 * whole.history["loss"][0]
    assert {layer.compute_dtype for layer in whole.model.layers} == {"float32"}
    assert type(whole.model.optimizer).__name__ == "Adam"
    assert evaluate(load_run(tmp_path / "parts"), few)["accuracy"] == whole.metrics["test_accuracy"]


def test_early_stopping_keeps_the_best_epoch(few, tmp_path):
    options = {"epochs": 50, "early_stopping": 2, "learning_rate": 0.02}
    run = train(data=few, out=tmp_path / "run", **options, **SMALL)
    losses = run.history["val_loss"]
    assert run.metrics["best_epoch"] == 1 + int(np.argmin(losses))
    assert len(losses) == run.metrics["best_epoch"] + 2 < 50
    assert evaluate(run, few, "validation")["loss"] == pytest.approx(min(losses), rel=1e-3)


@pytest.fixture(scope="module")
def stopped(few, tmp_path_factory):
    """(arguments, a training of four epochs, the folder of one that was stopped after the third)."""
    arguments = {"data": few, "epochs": 4, **SMALL, "verbose": 2}
    arguments["recipe"] = Recipe(learning_rate=3e-3, early_stopping=9, augment={"translate": 0.1})
    arguments["model_options"] = {**SMALL["model_options"], "dropout": 0.3, "batch_norm": True}
    original, folder = checkpoints.Keeper.on_epoch_end, tmp_path_factory.mktemp("stopped")

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 2:
            raise SystemExit  # as sudden as it gets without killing pytest

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report, "write_report", lambda *_: None)
        whole = train(out=folder / "whole", **arguments)
        patched.setattr(checkpoints.Keeper, "on_epoch_end", stop)
        with pytest.raises(SystemExit):
            train(out=folder / "broken", **arguments)
    return arguments, whole, folder / "broken"


@pytest.fixture
def broken(stopped, tmp_path):
    """A copy of the folder of the training that was stopped."""
    shutil.copytree(stopped[2], tmp_path / "broken")
    return tmp_path / "broken"


def test_a_training_that_was_killed_goes_on_to_the_same_weights(stopped, broken):
    arguments, whole, _ = stopped
    with pytest.raises(RunError, match=r"model\.safetensors is missing.*--resume"):
        load_run(broken)
    resumed = train(out=broken, resume=True, **arguments)
    assert equal(resumed.model.get_weights(), whole.model.get_weights())
    assert resumed.metrics["fingerprint"] == whole.metrics["fingerprint"]
    assert {key: resumed.history[key] for key in ("loss", "val_loss")} == {
        key: whole.history[key] for key in ("loss", "val_loss")
    }
    assert resumed.metrics["best_epoch"] == whole.metrics["best_epoch"]
    assert not list(broken.glob("checkpoint*"))
    # a finished run is returned as it is
    assert equal(train(out=broken, resume=True, **arguments).model.get_weights(), whole.model.get_weights())


def test_the_best_weights_are_kept_across_a_stop(few, tmp_path, monkeypatch):
    """The best epoch is the first, before the stop: every loss on the validation images is larger than the last."""
    arguments = {"data": few, "epochs": 4, "early_stopping": 9, **SMALL, "out": tmp_path / "run"}
    original = checkpoints.Keeper.on_epoch_end

    def worse(self, epoch, logs=None):
        if epoch == 2 and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            raise SystemExit
        original(self, epoch, logs | {"val_loss": 1.0 + epoch})
        if epoch == 0:
            best.extend(self.model.get_weights())

    best = []
    monkeypatch.setattr(checkpoints.Keeper, "on_epoch_end", worse)
    with pytest.raises(SystemExit):
        train(**arguments)
    run = train(resume=True, **arguments)
    assert (run.metrics["best_epoch"], run.metrics["epochs"]) == (1, 4)
    assert equal(run.model.get_weights(), best)


def test_a_loss_that_is_not_a_number_ends_the_training_with_the_step_and_advice(few, tmp_path):
    options = {"optimizer": "sgd", "batch_size": 16, "epochs": 3, "augment": {"translate": 0.1}}
    arguments = {"data": few, "out": tmp_path / "run", **SMALL}
    with pytest.raises(
        TrainingError, match=r"(loss is|weights are) not .* epoch 1, step \d of 9; try a lower learning"
    ):
        train(recipe=Recipe(learning_rate=1e8, **options), **arguments)
    left = load_run(tmp_path / "run")
    assert left.metrics["status"] == "diverged"
    assert all(np.isfinite(weights).all() for weights in left.model.get_weights())


def test_what_was_good_is_kept_when_a_later_epoch_fails(few, tmp_path, monkeypatch):
    """The weights are spoilt in the second epoch, as a bad step would."""
    original = checkpoints.Keeper.on_train_batch_begin

    def spoil(self, batch, logs=None):
        original(self, batch, logs)
        if self.state.epoch == 1:
            first = self.model.weights[0]
            first.assign(np.full(first.shape, np.nan))

    monkeypatch.setattr(checkpoints.Keeper, "on_train_batch_begin", spoil)
    options = {"optimizer": "sgd", "learning_rate": 1e-2, "batch_size": 28, "epochs": 3}
    with pytest.raises(TrainingError, match="in epoch 2; try"):  # not seen again when the epoch is repeated
        train(data=few, recipe=Recipe(**options), out=tmp_path / "run", **SMALL)
    monkeypatch.undo()
    left = load_run(tmp_path / "run")
    assert (left.metrics["status"], left.metrics["epochs"], left.history["epoch"]) == ("diverged", 1, [1])
    resumed = train(data=few, recipe=Recipe(**options), out=tmp_path / "run", resume=True, **SMALL)
    assert resumed.metrics["status"] == "complete"


@pytest.mark.parametrize("damage", ["torn", "altered", "both"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(stopped, broken, capsys, damage):
    arguments, whole, _ = stopped
    before = (broken / PREVIOUS).read_bytes()
    for name in (CHECKPOINT, PREVIOUS) if damage == "both" else (CHECKPOINT,):
        content = bytearray((broken / name).read_bytes())
        content[len(content) // 2] ^= 1
        (broken / name).write_bytes(content[: len(content) // 2] if damage == "torn" else content)
    if damage == "both":
        with pytest.raises(RunError, match="does not fit, and no other is left; remove the checkpoints to begin anew"):
            train(out=broken, resume=True, **arguments)
        return
    original, seen = training.Training.fit, []

    def fit(*given):
        seen.append((broken / CHECKPOINT).read_bytes())
        original(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training.Training, "fit", fit)
        resumed = train(out=broken, resume=True, **arguments)
    said = [line for line in capsys.readouterr().out.splitlines() if "checkpoint" in line]
    assert len(said) == 1
    assert said[0].endswith("looking for the one before it")
    assert seen == [before]  # in the place of the damaged one, which the next would make the previous one
    assert resumed.metrics["fingerprint"] == whole.metrics["fingerprint"]


def test_a_checkpoint_with_a_right_checksum_and_wrong_content_is_refused(few, tmp_path):
    model = build_model("conv_stack", **SMALL["model_options"])
    state = State(model, tmp_path, 0)
    for history in ([1, 2], {"epoch": [1], "loss": []}, {"loss": ["a"]}, {"loss": 1}):
        state.history = history
        state.save()
        state.history = {}
        with pytest.raises(RunError, match=f"{CHECKPOINT}: not a checkpoint of this training"):
            state.restore(lambda _: None)
        for path in tmp_path.glob("checkpoint*"):
            path.unlink()
    write_tensors(tmp_path / CHECKPOINT, {"variable0": np.zeros(3)})
    with pytest.raises(RunError, match=f"{CHECKPOINT}: not a checkpoint of this training"):
        state.restore(lambda _: None)
    state.best = [np.zeros(3)] * len(model.weights)
    state.save()
    with pytest.raises(RunError, match="the checkpoint of another model"):
        state.restore(lambda _: None)


def test_a_resume_under_other_circumstances_says_so(few, tmp_path, monkeypatch, capsys):
    arguments = {"data": few, "epochs": 1, "out": tmp_path / "run", **SMALL, "verbose": 2}
    for setting in runs.SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    with monkeypatch.context() as patched:
        patched.setattr(training.Training, "finish", lambda *_: (_ for _ in ()).throw(SystemExit))
        patched.setattr(runs, "versions", lambda: {"keras": "3.0.0", "settings": "OMP_NUM_THREADS=1"})
        with pytest.raises(SystemExit):
            train(**arguments)
    monkeypatch.setattr(training, "lacks_kernels", lambda: True)
    run = train(resume=True, **arguments)
    said = capsys.readouterr().out
    assert "TensorFlow was imported before cnn_zoo" in said
    assert "it began with keras 3.0.0, not 3." in said
    assert any("OMP_NUM_THREADS=1, not unset" in text for text in run.metrics["resumed_elsewhere"])
    assert run.config["versions"]["keras"] == "3.0.0"


def test_weights_that_the_last_step_destroyed_are_noticed(few, tmp_path):
    images = few.images("train"), few.targets("train")
    arguments = {"data": images, "precision": "float32", "verbose": 0, "data_options": {"validation": 0.0}}
    huge = Recipe(optimizer="sgd", learning_rate=1e300, batch_size=500, epochs=1)
    with pytest.raises(TrainingError, match="weights are not a number any more in epoch 1, step 1 of 1"):
        train(recipe=huge, out=tmp_path / "run", **arguments)
    large = Recipe(learning_rate=1e38, batch_size=500, epochs=1)  # numbers still, and none comes out
    with pytest.raises(TrainingError, match="loss on the test images is not a number; try a lower learning rate"):
        train(recipe=large, out=tmp_path / "large", **arguments)


@pytest.mark.parametrize("written", [0, 5])
def test_a_full_disk_is_one_clear_error_and_leaves_no_half_file(few, tmp_path, monkeypatch, written):
    whole, original = [], files.os.fsync

    def full(descriptor):
        if len(whole) == written:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole.append(descriptor)
        original(descriptor)

    arguments = {"data": few, "epochs": 2, "out": tmp_path / "run", **SMALL}
    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            train(**arguments)
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == ({"config.json", CHECKPOINT, PREVIOUS} if written else set())
    assert train(resume=bool(written), **arguments).metrics["status"] == "complete"


def test_interrupting_a_training_leaves_a_usable_run(tmp_path):
    command = [sys.executable, "-m", "cnn_zoo", "train", "--epochs", "200", "--out", "run"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell makes what it starts in the background ignore this signal, and its children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("epoch 2/"):
            time.sleep(0.2)
            process.send_signal(signal.SIGINT)
            break
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1, stderr
    assert "Traceback" not in stderr
    assert len(stderr.strip().splitlines()) == 1
    assert "interrupted after" in stderr
    assert "--resume" in stderr
    again = load_run(tmp_path / "run")
    assert again.metrics["status"] == "interrupted"
    assert len(again.history["loss"]) == again.metrics["epochs"] >= 2
    assert evaluate(again)["accuracy"] > 0.5


def test_executions_of_several_steps_add_up_to_an_epoch():
    with shapes_only():
        small, large = build_model("zoonet", compile=False), build_model("vgg11", (32, 32, 3), compile=False)
    for steps in (1, 7, 29, 96, 422):
        together = training._steps_per_execution(small, 128, steps)
        assert together == max(n for n in range(1, 17) if steps % n == 0)
        assert training._steps_per_execution(large, 128, steps) == 1


def test_the_training_step_is_traced_once(few, tmp_path, monkeypatch):
    traced, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda model, batch: traced.append(model) or step(model, batch))
    train(data=few, out=tmp_path / "run", epochs=2, **SMALL)
    assert len(traced) == 1


def test_early_stopping_needs_images_to_judge_by(tmp_path):
    arguments = {"early_stopping": 2, "data_options": {"validation": 0.0}, "out": tmp_path / "run", **SMALL}
    with pytest.raises(UsageError, match="judges by validation images, of which mnist5k has none"):
        train(data="mnist5k", **arguments)


def test_the_learning_rate_ends_with_the_last_epoch(few, tmp_path, monkeypatch):
    made = []
    original = Recipe.make_optimizer
    monkeypatch.setattr(Recipe, "make_optimizer", lambda self, *args: made.append(args[0]) or original(self, *args))
    train(data=few, epochs=3, batch_size=16, out=tmp_path / "run", **SMALL)
    assert made == [3 * few.steps(16)]


def test_tensorboard_is_asked_for_before_the_training(tmp_path, monkeypatch, few):
    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        train(data=few, tensorboard=True, out=tmp_path / "run", **SMALL)


def test_tensorboard_logs(tmp_path, few):
    pytest.importorskip("tensorboard")
    run = train(data=few, epochs=1, tensorboard=True, out=tmp_path / "run", **SMALL)
    assert list((run.path / "tensorboard").rglob("events.*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resume": "no"}, "resume must be True or False; got 'no'"),
        ({"tensorboard": 1}, "tensorboard must be True or False; got 1"),
        ({"verbose": "loud"}, "verbose must be one of 'auto', 0, 1, 2; got 'loud'"),
        ({"data_options": [1]}, r"data_options must be a dictionary of load_data's options; got \[1\]"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_read(arguments, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        train(out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()
