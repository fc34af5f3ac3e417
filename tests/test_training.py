"""Training: what a run folder holds, that it can be read again, and what happens when things go wrong."""

import errno
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cnn_zoo import Augment, Recipe, build_model, evaluate, load_data, load_run, train
from cnn_zoo.errors import MissingError, RunError, TrainingError, UsageError
from cnn_zoo.files import read_json, seal, write_json
from cnn_zoo.recipes import RECIPES, get_recipe
from conftest import clean_environment

SMALL = {"model": "conv_stack", "verbose": 0, "model_options": {"filters": [4, 8], "units": [16]}}
FILES = {
    "config.json", "history.csv", "metrics.json", "model.weights.h5",
    "curves.png", "confusion.png", "mistakes.png", "report.md",
}  # fmt: skip


@pytest.fixture(scope="module")
def few():
    """240 digits: enough to train on for a second."""
    from cnn_zoo.sources import read_source

    source = read_source("mnist5k")
    chosen = np.arange(0, 5000, 25)
    return load_data((source.images[chosen], source.labels[chosen]), batch_size=32)


def weights_of(run):
    return run.model.get_weights()


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_run_folder_holds_what_was_promised(run):
    assert {path.name for path in run.path.iterdir()} == FILES
    metrics = read_json(run.path / "metrics.json")
    assert metrics == run.metrics
    assert {"test_accuracy", "test_loss", "fit_seconds", "epochs", "parameters"} <= metrics.keys()
    assert metrics["epochs"] == 2 == len(run.history["loss"])
    assert metrics["parameters"] == run.model.count_params()
    assert metrics["train_images"] == 3600
    assert metrics["test_accuracy"] > 0.3
    report = (run.path / "report.md").read_text()
    for figure in ("curves.png", "confusion.png", "mistakes.png"):
        assert f"]({figure})" in report
        assert (run.path / figure).read_bytes().startswith(b"\x89PNG")
    assert f"{metrics['test_accuracy']:.2%}" in report


def test_a_run_is_read_again_as_it_was(run):
    again = load_run(run.path)
    assert equal(weights_of(again), weights_of(run))
    assert again.history == run.history
    assert again.metrics == run.metrics
    assert again.class_names == list("0123456789")


def test_what_was_measured_is_what_keras_measures(run, digits):
    keras_says = run.model.evaluate(digits.test, verbose=0, return_dict=True)
    assert run.metrics["test_accuracy"] == pytest.approx(keras_says["accuracy"], abs=1e-6)
    assert run.metrics["test_loss"] == pytest.approx(keras_says["loss"], rel=1e-4)
    result = evaluate(load_run(run.path))
    assert result["accuracy"] == run.metrics["test_accuracy"]
    assert result["confusion"].sum() == 1000
    assert np.trace(result["confusion"]) == round(1000 * result["accuracy"])


def test_saved_weights_are_the_model_alone_and_plain_keras_reads_them(run):
    import h5py

    with h5py.File(run.path / "model.weights.h5") as file:
        names = []
        file.visit(names.append)
    assert not [name for name in names if "optimizer" in name]
    from cnn_zoo import build_model

    fresh = build_model("conv_stack", filters=(4, 8), units=(16,), compile=False)
    fresh.load_weights(run.path / "model.weights.h5")
    assert equal(fresh.get_weights(), weights_of(run))
    again = build_model("conv_stack", filters=(4, 8), units=(16,), weights=run.path / "model.weights.h5")
    assert equal(again.get_weights(), weights_of(run))


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(few, tmp_path):
    runs = [
        train(data=few, epochs=2, seed=seed, out=tmp_path / name, **SMALL)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert equal(weights_of(runs[0]), weights_of(runs[1]))
    assert not equal(weights_of(runs[0]), weights_of(runs[2]))


def test_deterministic_operations_repeat_a_training_with_dropout_bit_for_bit(tmp_path):
    program = (
        "import sys, hashlib; from cnn_zoo import train\n"
        "run = train('lenet5', 'mnist5k', epochs=1, deterministic=True, verbose=0, out=sys.argv[1],"
        " model_options={'dropout': 0.2, 'batch_norm': True})\n"
        "print(hashlib.sha256(b''.join(w.tobytes() for w in run.model.get_weights())).hexdigest())"
    )
    hashes = [subprocess.check_output([sys.executable, "-c", program, tmp_path / name], text=True) for name in "ab"]
    assert hashes[0] == hashes[1]


def test_steps_are_epochs_times_batches(few, tmp_path):
    run = train(data=few, epochs=3, batch_size=16, out=tmp_path / "run", **SMALL)
    assert run.metrics["steps"] == 3 * few.steps(16)


def test_early_stopping_keeps_the_best_epoch(few, tmp_path):
    options = {"epochs": 50, "early_stopping": 2, "learning_rate": 0.02, "precision": "float32"}
    run = train(data=few, out=tmp_path / "run", **options, **SMALL)
    losses = run.history["val_loss"]
    assert run.metrics["best_epoch"] == 1 + int(np.argmin(losses))
    assert len(losses) == run.metrics["best_epoch"] + 2 < 50
    assert evaluate(run, few, "validation")["loss"] == pytest.approx(min(losses), rel=1e-3)


def test_a_training_that_was_killed_goes_on_to_the_same_weights(few, tmp_path, monkeypatch):
    arguments = {"data": few, "epochs": 4, **SMALL, "model_options": {**SMALL["model_options"], "dropout": 0.3}}
    whole = train(out=tmp_path / "whole", **arguments)

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            raise SystemExit  # as sudden as it gets without killing pytest

    from cnn_zoo import training

    original = training._Keeper.on_epoch_end
    monkeypatch.setattr(training._Keeper, "on_epoch_end", stop)
    with pytest.raises(SystemExit):
        train(out=tmp_path / "broken", **arguments)
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"model\.weights\.h5 is missing.*--resume"):
        load_run(tmp_path / "broken")
    resumed = train(out=tmp_path / "broken", resume=True, **arguments)
    assert equal(weights_of(resumed), weights_of(whole))
    assert resumed.history["loss"] == whole.history["loss"]
    assert not (tmp_path / "broken/checkpoint.npz").exists()
    # a finished run is returned as it is
    assert equal(weights_of(train(out=tmp_path / "broken", resume=True, **arguments)), weights_of(whole))


def test_a_loss_that_is_not_a_number_ends_the_training_with_the_step_and_advice(few, tmp_path):
    options = {"optimizer": "sgd", "batch_size": 16, "epochs": 3, "augment": {"translate": 0.1}}
    arguments = {"data": few, "out": tmp_path / "run", **SMALL, "precision": "float32"}
    with pytest.raises(
        TrainingError, match=r"(loss is|weights are) not .* epoch 1, step \d of 9; try a lower learning"
    ):
        train(recipe=Recipe(learning_rate=1e8, **options), **arguments)
    left = load_run(tmp_path / "run")
    assert left.metrics["status"] == "diverged"
    assert all(np.isfinite(weights).all() for weights in weights_of(left))


def test_what_was_good_is_kept_when_a_later_epoch_fails(few, tmp_path, monkeypatch):
    """The weights are spoilt in the second epoch, as a bad step would."""
    from cnn_zoo import training

    original = training._Keeper.on_train_batch_begin

    def spoil(self, batch, logs=None):
        original(self, batch, logs)
        if self.state.epoch == 1:
            first = self.model.weights[0]
            first.assign(np.full(first.shape, np.nan))

    monkeypatch.setattr(training._Keeper, "on_train_batch_begin", spoil)
    options = {"optimizer": "sgd", "learning_rate": 1e-2, "batch_size": 28, "epochs": 3}
    with pytest.raises(TrainingError, match="in epoch 2; try"):  # not seen again when the epoch is repeated
        train(data=few, recipe=Recipe(**options), out=tmp_path / "run", **SMALL)
    monkeypatch.undo()
    left = load_run(tmp_path / "run")
    assert (left.metrics["status"], left.metrics["epochs"], left.history["epoch"]) == ("diverged", 1, [1])
    resumed = train(data=few, recipe=Recipe(**options), out=tmp_path / "run", resume=True, **SMALL)
    assert resumed.metrics["status"] == "complete"


@pytest.mark.parametrize("damage", ["torn", "altered", "both"])
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_used(few, tmp_path, monkeypatch, capsys, damage):
    from cnn_zoo import training
    from cnn_zoo.checkpoints import CHECKPOINT, PREVIOUS

    arguments = {"data": few, "epochs": 4, **SMALL, "verbose": 2}
    whole = train(out=tmp_path / "whole", **arguments)
    original = training._Keeper.on_epoch_end

    def stop(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 2:
            raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(training._Keeper, "on_epoch_end", stop)
        with pytest.raises(SystemExit):
            train(out=tmp_path / "run", **arguments)
    for name in (CHECKPOINT, PREVIOUS) if damage == "both" else (CHECKPOINT,):
        content = bytearray((tmp_path / "run" / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / "run" / name).write_bytes(content[: len(content) // 2] if damage == "torn" else content)
    capsys.readouterr()
    if damage == "both":
        with pytest.raises(RunError, match="does not fit, and no other is left; remove the checkpoints to begin anew"):
            train(out=tmp_path / "run", resume=True, **arguments)
        return
    resumed = train(out=tmp_path / "run", resume=True, **arguments)
    said = [line for line in capsys.readouterr().out.splitlines() if "checkpoint" in line]
    assert len(said) == 1
    assert said[0].endswith("looking for the one before it")
    assert resumed.metrics["fingerprint"] == whole.metrics["fingerprint"]


def test_two_processes_do_not_write_to_one_run_folder(few, tmp_path):
    from cnn_zoo.files import only_writer

    program = "import sys; from cnn_zoo import train; train(out=sys.argv[1], epochs=1, verbose=0)"
    (tmp_path / "run").mkdir()
    with only_writer(tmp_path / "run"):
        (tmp_path / "run/.cnn_zoo-12.checkpoint.npz").write_text("half-written by a process that was killed")
        (tmp_path / "run/.2024.notes").write_text("somebody's")
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "run"], capture_output=True, text=True, check=False
        )
        assert "is being written to by another process" in done.stderr.splitlines()[-1]
        assert (tmp_path / "run/.cnn_zoo-12.checkpoint.npz").exists()
    run = train(data=few, epochs=1, out=tmp_path / "run", **SMALL)
    assert {path.name for path in run.path.iterdir()} == FILES | {".2024.notes"}


def test_a_checkpoint_with_a_right_checksum_and_wrong_content_is_refused(few, tmp_path):
    from cnn_zoo.checkpoints import CHECKPOINT, State
    from cnn_zoo.registry import compile_model

    model = build_model("conv_stack", compile=False, **SMALL["model_options"])
    compile_model(model)
    state = State(model, tmp_path, 0)
    for history in ([1, 2], {"epoch": [1], "loss": []}, {"loss": ["a"]}, {"loss": 1}):
        state.history = history
        state.save()
        state.history = {}
        with pytest.raises(RunError, match=f"{CHECKPOINT}: not a checkpoint of this training"):
            state.restore(lambda _: None)
        for path in tmp_path.glob("*.npz"):
            path.unlink()
    state.best = [np.zeros(3)] * len(model.weights)
    state.save()
    with pytest.raises(RunError, match="the checkpoint of another model"):
        state.restore(lambda _: None)


def test_averaged_weights_are_validated_and_kept(few, tmp_path):
    options = {"epochs": 3, "learning_rate": 0.01, "batch_size": 16}
    arguments = {"data": few, **SMALL, "precision": "float32"}
    plain = train(recipe=Recipe(**options), out=tmp_path / "plain", **arguments)
    averaged = train(recipe=Recipe(ema=0.9, **options), out=tmp_path / "averaged", **arguments)
    assert averaged.history["loss"] == plain.history["loss"]  # the same steps
    assert averaged.history["val_loss"] != plain.history["val_loss"]
    assert not equal(weights_of(averaged), weights_of(plain))
    judged = evaluate(averaged, few, "validation")["loss"]
    assert judged == pytest.approx(averaged.history["val_loss"][-1], rel=1e-3)
    patient = train(recipe=Recipe(ema=0.9, early_stopping=5, **options), out=tmp_path / "patient", **arguments)
    best = patient.history["val_loss"][patient.metrics["best_epoch"] - 1]
    assert evaluate(patient, few, "validation")["loss"] == pytest.approx(best, rel=1e-3)


def test_a_resume_under_other_circumstances_says_so(few, tmp_path, monkeypatch, capsys):
    from cnn_zoo import runs, training

    arguments = {"data": few, "epochs": 1, "out": tmp_path / "run", **SMALL, "verbose": 2}
    with monkeypatch.context() as patched:
        patched.setattr(training, "_finish", lambda *_: (_ for _ in ()).throw(SystemExit))
        patched.setattr(runs, "versions", lambda: {"keras": "3.0.0", "settings": "OMP_NUM_THREADS=1"})
        with pytest.raises(SystemExit):
            train(**arguments)
    run = train(resume=True, **arguments)
    assert "it began with keras 3.0.0, not 3." in capsys.readouterr().out
    assert any("OMP_NUM_THREADS=1, not unset" in text for text in run.metrics["resumed_elsewhere"])
    assert run.config["versions"]["keras"] == "3.0.0"


def test_the_fingerprint_tells_trainings_apart(few, tmp_path):
    prints = [
        train(data=few, epochs=1, seed=seed, out=tmp_path / name, **SMALL).metrics["fingerprint"]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert prints[0] == prints[1] != prints[2]


def test_a_folder_that_holds_something_else_is_left_alone(run, few, tmp_path):
    arguments = {"data": few, "epochs": 1, **SMALL}
    with pytest.raises(RunError, match="already holds a run"):
        train(out=run.path, **arguments)
    with pytest.raises(RunError, match="holds another run: its "):
        train(out=run.path, resume=True, **arguments)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("dear")
    with pytest.raises(RunError, match="not empty and not a run folder"):
        train(out=tmp_path / "full", **arguments)
    with pytest.raises(RunError, match="is a file"):
        train(out=tmp_path / "full/letter.txt", **arguments)
    with pytest.raises(UsageError, match="resume needs the run folder"):
        train(resume=True, **arguments)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_a_run_that_was_stopped_before_its_report_gets_it_on_resuming(few, tmp_path, monkeypatch):
    from cnn_zoo import runs

    arguments = {"data": few, "epochs": 1, "out": tmp_path / "run", **SMALL}
    with monkeypatch.context() as patched:
        patched.setattr(runs, "write_report", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            train(**arguments)
    assert load_run(tmp_path / "run").metrics["status"] == "tested"
    run = train(resume=True, **arguments)
    assert run.metrics["status"] == "complete"
    assert {path.name for path in run.path.iterdir()} == FILES


def test_weights_that_the_last_step_destroyed_are_noticed(few, tmp_path):
    with pytest.raises(TrainingError, match=r"weights are not a number any more|loss is not"):
        train(data=few, epochs=1, batch_size=500, learning_rate=1e38, out=tmp_path / "run", verbose=0)


def test_a_resume_that_differs_says_in_what(few, tmp_path):
    arguments = {"data": few, "out": tmp_path / "run", **SMALL}
    train(epochs=1, **arguments)
    with pytest.raises(RunError, match="holds another run: its recipe epochs is 1, not 2"):
        train(epochs=2, resume=True, **arguments)


def test_a_folder_that_has_changed_is_not_judged_on_images_it_was_trained_on(photos, tmp_path):
    run = train("lenet5", photos, epochs=1, out=tmp_path / "run", verbose=0, data_options={"image_size": 32})
    assert evaluate(load_run(run.path))["images"] == 6
    shutil.copy(photos / "dim/1.png", photos / "dim/new.png")
    with pytest.raises(ValueError, match="has changed since"):
        evaluate(load_run(run.path))


def test_classes_of_another_folder_are_matched_by_name(photos, tmp_path):
    run = train("lenet5", photos, epochs=1, out=tmp_path / "run", verbose=0, data_options={"image_size": 32})
    shutil.copytree(photos, tmp_path / "two")
    shutil.rmtree(tmp_path / "two/dark")
    result = evaluate(run, tmp_path / "two")
    assert set(result["labels"]) == {1, 2}  # as the run numbers dim and light
    (tmp_path / "two/dim").rename(tmp_path / "two/unheard")
    with pytest.raises(
        ValueError, match="has a class 'unheard', which the run does not know; it knows dark, dim, light"
    ):
        evaluate(run, tmp_path / "two")


@pytest.mark.parametrize("name", ["$\\foo$", "猫", "a b"])
def test_class_names_are_drawn_whatever_they_are(photos, tmp_path, name, recwarn):
    (photos / "dim").rename(photos / name)
    run = train("lenet5", photos, epochs=1, out=tmp_path / "run", verbose=0, data_options={"image_size": 32})
    assert (run.path / "report.md").exists()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_default_folders_do_not_collide(few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [str(train(data=few, epochs=1, **SMALL).path) for _ in range(2)]
    assert paths == ["runs/conv_stack-arrays", "runs/conv_stack-arrays-2"]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("config.json", "is not a run folder: it has no config.json"),
        ("model.weights.h5", "is incomplete: model.weights.h5 is missing"),
    ],
)
def test_an_incomplete_run_says_what_is_missing(run, tmp_path, file, message):
    shutil.copytree(run.path, tmp_path / "copy")
    (tmp_path / "copy" / file).unlink()
    with pytest.raises(RunError, match=message):
        load_run(tmp_path / "copy")
    with pytest.raises(MissingError, match="no such run folder"):
        load_run(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", b"{", "config.json is damaged"),
        ("config.json", b"[]", "config.json is damaged"),
        ("config.json", b'{"format": 1}', "config.json is damaged or was changed"),
        ("config.json", b"[" * 100_000, "config.json is damaged"),
        ("config.json", b" " * 60_000_000, "config.json is damaged .larger than 50 MB"),
        ("history.csv", b"epoch,loss\n1,0.5\n", "history.csv is damaged or was changed"),
        ("metrics.json", b"\xff", "metrics.json is damaged"),
        ("model.weights.h5", b"", "truncated, or not written by cnn_zoo"),
        ("model.weights.h5", b"\x89HDF\r\n\x1a\n" + b"x" * 100, "truncated, or not written by cnn_zoo"),
        ("model.weights.h5", b"x" * 50_000_000, "larger than the weights of conv_stack can be"),
    ],
)
def test_a_damaged_file_is_named(run, tmp_path, file, content, message):
    shutil.copytree(run.path, tmp_path / "copy")
    (tmp_path / "copy" / file).write_bytes(content)
    with pytest.raises(RunError, match=message):
        load_run(tmp_path / "copy")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model", "os.system", "unknown model 'os.system'"),
        ("recipe", None, "'recipe' is missing or not a dict"),
        ("model", "lenet5", "does not describe a model of this zoo: lenet5: unknown option 'filtres'"),
        ("input_shape", [-1, 28, 1], "'input_shape' must be height, width"),
        ("input_shape", [28, 28], "'input_shape' must be height, width"),
        ("input_shape", ["a", {}, None], "'input_shape' must be height, width"),
        ("input_shape", [8000, 8000, 3], "weights of another model|larger"),
        ("model_options", {"filters": [60000, 60000]}, "weights of another model"),
        ("model_options", {"filters": [4] * 3000}, "does not describe a model"),
        ("model_options", {"num_classes": 3}, "does not describe a model"),
        ("data_options", {"foo": 1}, "'data_options' has options"),
        ("class_names", [1, 2], "'class_names' must be two texts or more"),
        ("format", 99, "written in format 99"),
    ],
)
def test_a_config_that_was_tampered_with_is_refused(run, tmp_path, key, value, message):
    shutil.copytree(run.path, tmp_path / "copy")
    config = read_json(run.path / "config.json") | {key: value}
    if value == "lenet5":
        config["model_options"] = {"filtres": [1]}
    write_json(tmp_path / "copy/config.json", config)
    with pytest.raises(RunError, match=message):
        load_run(tmp_path / "copy")


def test_weights_of_another_model_are_refused(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy")
    config = read_json(run.path / "config.json")
    config["model_options"] = {"filters": [4, 9], "units": [16]}
    write_json(tmp_path / "copy/config.json", config)
    with pytest.raises(RunError, match="the weights of another model"):
        load_run(tmp_path / "copy")


def test_weights_that_are_not_finite_or_not_plain_are_refused(run, tmp_path):
    import h5py

    from cnn_zoo.weights import load_weights

    path = tmp_path / "bad.weights.h5"
    shutil.copy(run.path / "model.weights.h5", path)
    with h5py.File(path, "r+") as file:
        file["layers/dense/vars/1"][0] = np.nan
    before = weights_of(run)
    with pytest.raises(RunError, match="does not end in a checksum"):
        load_weights(run.model, path)
    seal(path)  # as somebody would who means harm
    with pytest.raises(RunError, match="not finite"):
        load_weights(run.model, path)
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.ExternalLink("/etc/passwd", "/")
    seal(path)
    with pytest.raises(RunError, match="holds a link"):
        load_weights(run.model, path)
    with h5py.File(path, "w") as file:
        file.create_dataset("huge", (10**6, 10**6), "f4")
    seal(path)
    with pytest.raises(RunError, match="more than the file can hold"):
        load_weights(run.model, path)
    with pytest.raises(RunError, match=r"not a \.weights\.h5 file"):
        load_weights(run.model, __file__)
    assert equal(weights_of(run), before)


def test_evaluating_on_other_data_needs_matching_classes_and_images(run, few):
    rng = np.random.default_rng(0)
    many = load_data((rng.integers(0, 256, (48, 28, 28), dtype=np.uint8), np.arange(48) % 12))
    with pytest.raises(ValueError, match="has 12 classes, conv_stack only 10: labels out of range"):
        evaluate(run, many)
    wide = load_data((rng.integers(0, 256, (30, 28, 30), dtype=np.uint8), np.arange(30) % 2))
    with pytest.raises(ValueError, match=r"images of shape \(28, 30, 1\), conv_stack takes \(28, 28, 1\)"):
        evaluate(run, wide)
    assert 0 <= evaluate(run, few)["accuracy"] <= 1
    with pytest.raises(UsageError, match="split must be one of train, validation, test"):
        evaluate(run, few, "tset")
    with pytest.raises(UsageError, match="needs data"):
        evaluate(run.model)


def test_a_full_disk_is_one_clear_error_and_leaves_no_half_file(few, tmp_path, monkeypatch):
    from cnn_zoo import files

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        train(data=few, epochs=1, out=tmp_path / "run", **SMALL)
    assert list((tmp_path / "run").iterdir()) == []


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "conv_stak"}, "unknown model 'conv_stak'; did you mean conv_stack"),
        ({"data": "mnist5"}, "unknown data set 'mnist5'; did you mean mnist5k"),
        ({"recipe": "slow"}, "unknown recipe 'slow'"),
        ({"epochs": 0}, "epochs must be an integer of at least 1; got 0"),
        ({"epochs": 1.5}, "epochs must be an integer"),
        ({"batch_size": -4}, "batch_size must be an integer of at least 1; got -4"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"augment": {"blur": 1}}, "unknown augmentation 'blur'"),
        ({"model_options": {"weights": "x"}}, "model_options cannot hold weights; a run starts from random ones"),
        ({"model_options": {"include_top": False}}, "model_options cannot hold include_top"),
        ({"data_options": {"size": 3}}, "unknown data option 'size'"),
        ({"learning_rate": float("inf")}, "learning_rate must be a number of at least 0; got inf"),
        ({"seed": 2**32}, "seed must be an integer from 0 to"),
        ({"recipe": ["fast"]}, "unknown recipe"),
        ({"model_options": {"activation": abs}}, "model_options must be plain"),
    ],
)
def test_wrong_arguments_are_named_before_any_work(arguments, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        train(**{"out": tmp_path / "run", "verbose": 0, **arguments})
    assert not (tmp_path / "run").exists()


def test_recipes_choose_epochs_by_the_size_of_the_data_set():
    fast = RECIPES["fast"]
    assert fast.epochs_for(3_600) > fast.epochs_for(54_000) >= fast.least
    assert fast.epochs_for(10**9) == fast.least
    assert fast.epochs_for(1) == fast.most
    assert get_recipe("fast", epochs=7, batch_size=None).epochs_for(123) == 7
    with pytest.raises(UsageError, match="unknown optimizer 'adm'; did you mean adam"):
        Recipe(optimizer="adm")


def test_a_model_that_bears_large_steps_gets_another_recipe():
    plain, large = (get_recipe("fast", large_steps=flag) for flag in (False, True))
    assert large.learning_rate > 10 * plain.learning_rate
    own = Recipe(learning_rate=0.123)
    assert get_recipe(own, large_steps=True) == own


def test_the_learning_rate_of_sgd_follows_the_batch_size():
    large = get_recipe("fast", large_steps=True)
    assert get_recipe("fast", large_steps=True, batch_size=32).learning_rate == pytest.approx(large.learning_rate / 4)
    assert get_recipe("fast", large_steps=True, batch_size=32, learning_rate=0.3).learning_rate == 0.3
    assert get_recipe("fast", batch_size=32).learning_rate == get_recipe("fast").learning_rate


def test_images_are_mirrored_only_where_that_is_known_to_be_right():
    from cnn_zoo.sources import may_mirror

    assert not any(may_mirror(name) for name in ("mnist", "mnist5k", "emnist/letters", "svhn_cropped", "photos"))
    assert may_mirror("fashion_mnist")
    recipe = RECIPES["accurate"]
    assert recipe.for_data(54_000, True).augment == {**recipe.augment, "flip": True}
    assert recipe.for_data(54_000, False).augment == recipe.augment
    assert RECIPES["fast"].for_data(54_000, True).augment == RECIPES["fast"].augment


def test_images_that_are_seen_once_or_twice_are_not_varied(few, tmp_path):
    recipe = get_recipe("fast", large_steps=True)
    assert recipe.for_data(54_000, False).augment == {}
    assert recipe.for_data(3_600, False).augment == recipe.augment
    assert get_recipe(recipe, epochs=3).for_data(54_000, False).augment == recipe.augment


@pytest.mark.parametrize(
    ("given", "kept"), [({"flip": True}, {"flip": True}), ({}, {}), (Augment(crop=0.1), {"crop": 0.1})]
)
def test_augmentation_that_is_asked_for_replaces_the_recipes(given, kept, few, tmp_path, monkeypatch):
    from cnn_zoo import training

    monkeypatch.setattr(training, "may_mirror", lambda name: True)
    run = train("zoonet", few, recipe="accurate", epochs=1, augment=given, out=tmp_path / "run", verbose=0)
    assert run.config["recipe"]["augment"] == kept


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", ["lenet5", "zoonet"])
def test_every_recipe_trains_nets_of_both_kinds(recipe, model, few, tmp_path):
    run = train(model, few, recipe=recipe, epochs=6, out=tmp_path / "run", verbose=0)
    assert run.history["loss"][-1] < run.history["loss"][0]
    assert run.config["recipe"]["learning_rate"] == get_recipe(recipe, large_steps=model == "zoonet").learning_rate


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_whatever_it_was_trained_in_the_model_is_a_float32_one(precision, few, tmp_path):
    arguments = {"epochs": 2, "batch_size": 16, "precision": precision, "verbose": 0}
    run = train("zoonet", few, out=tmp_path / "run", **arguments)
    assert run.config["precision"] == precision
    assert {layer.compute_dtype for layer in run.model.layers} == {"float32"}
    again = load_run(run.path)
    images = few.images("test").astype(np.float32) / 255
    assert np.array_equal(again.model(images), run.model(images))
    assert evaluate(again, few)["accuracy"] == run.metrics["test_accuracy"]
    assert run.metrics["steps"] == 2 * few.steps(16)
    run.model.fit(few.train, verbose=0, shuffle=False)  # and can be trained on
    assert not np.array_equal(run.model.get_layer("predictions").kernel, again.model.get_layer("predictions").kernel)


def test_a_training_is_resumed_in_the_precision_that_it_was_begun_in(few, tmp_path, monkeypatch):
    from cnn_zoo import training

    arguments = {"data": few, "epochs": 2, "out": tmp_path / "run", **SMALL}
    monkeypatch.setattr(training, "_fit", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        train(precision="mixed_bfloat16", **arguments)
    monkeypatch.undo()
    with pytest.raises(RunError, match='its precision is "mixed_bfloat16", not "float32"'):
        train(precision="float32", resume=True, **arguments)
    monkeypatch.setattr(training, "choose_precision", lambda precision: {"auto": "float32"}.get(precision, precision))
    assert train(resume=True, **arguments).config["precision"] == "mixed_bfloat16"


def test_executions_of_several_steps_add_up_to_an_epoch():
    from cnn_zoo.training import _steps_per_execution

    small, large = build_model("zoonet", compile=False), build_model("vgg11", (32, 32, 3), compile=False)
    for steps in (1, 7, 29, 96, 422):
        together = _steps_per_execution(small, 128, steps)
        assert steps % together == 0
        assert together == max(n for n in range(1, 17) if steps % n == 0)
        assert _steps_per_execution(large, 128, steps) == 1


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(optimizer=o, schedule=s, warmup=w)
        for o in ("adam", "adamw", "sgd")
        for s, w in (("constant", 0.0), ("linear", 0.0), ("linear", 0.25))
    ],
)
def test_learning_rates_follow_the_schedule(recipe):
    optimizer = recipe.make_optimizer(100)
    rate = optimizer._learning_rate
    if recipe.schedule == "constant":
        assert float(rate) == pytest.approx(1e-3)
        return
    rates = [float(rate(step)) for step in range(101)]
    peak = round(100 * recipe.warmup)
    assert rates[peak] == pytest.approx(1e-3) == max(rates)
    assert rates[100] == pytest.approx(0, abs=1e-9)
    if recipe.warmup:
        assert rates[0] == pytest.approx(1e-4)


def test_tensorboard_is_asked_for_before_the_training(tmp_path, monkeypatch, few):
    from cnn_zoo import training

    monkeypatch.setattr(training.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        train(data=few, tensorboard=True, out=tmp_path / "run", **SMALL)


def test_tensorboard_logs(tmp_path, few):
    pytest.importorskip("tensorboard")
    run = train(data=few, epochs=1, tensorboard=True, out=tmp_path / "run", **SMALL)
    assert list((run.path / "tensorboard").rglob("events.*"))
