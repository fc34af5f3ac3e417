"""Run folders: what they hold, that they can be read again, and that what is wrong in one is noticed."""

import math
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file

from cnn_zoo import (
    build_model,
    evaluate,
    feature_extractor,
    freeze,
    load_run,
    load_torch_weights,
    model_card,
    report,
    save_weights,
    train,
    training,
)
from cnn_zoo.core.errors import DataError, RunError, UsageError
from cnn_zoo.core.files import MAX_RECORD, only_writer, read_json, write_json
from cnn_zoo.core.intervals import wilson
from conftest import SMALL, equal

FILES = {
    "config.json", "history.csv", "metrics.json", "model.safetensors",
    "curves.png", "confusion.png", "mistakes.png", "report.md",
}  # fmt: skip


@pytest.mark.parametrize(
    "function",
    [
        model_card,
        feature_extractor,
        freeze,
        lambda model: load_torch_weights(model, {}),
        lambda model: save_weights(model, "m.safetensors"),
    ],
)
def test_what_takes_a_model_says_so(function):
    for wrong in (None, 3, keras.Sequential([keras.layers.Dense(2)]), keras.layers.Dense(2)):
        with pytest.raises(UsageError, match="needs a run or a built Sequential or functional model; got"):
            function(wrong)


def test_a_run_stands_for_its_model(run):
    assert model_card(run) == model_card(run.model)
    assert feature_extractor(run, "stage1").output is run.model.get_layer("stage1_pool").output
    with pytest.raises(UsageError, match="conv_stack has no counterpart in torchvision"):
        load_torch_weights(run, {})


def test_what_is_no_path_is_no_run():
    with pytest.raises(UsageError, match="a run must be a path; got None"):
        load_run(None)


def test_a_record_larger_than_any_is_refused(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy")
    with open(tmp_path / "copy/config.json", "ab") as file:
        file.truncate(MAX_RECORD + 1)
    with pytest.raises(RunError, match=r"config\.json is damaged \(larger than 10 MB\)"):
        load_run(tmp_path / "copy")


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
    assert equal(again.model.get_weights(), run.model.get_weights())
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
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (digits.targets("test"), run.model.predict(digits.test, verbose=0).argmax(1)), 1)
    assert np.array_equal(result["confusion"], expected)  # rows are true classes
    np.fill_diagonal(expected, 0)
    true, predicted = divmod(int(expected.argmax()), 10)
    assert (
        f"Most often {true} is taken for {predicted}: {expected.max()} times." in (run.path / "report.md").read_text()
    )


def test_saved_weights_are_the_model_alone(run):
    assert len(load_file(run.path / "model.safetensors")) == len(run.model.weights)
    again = build_model("conv_stack", filters=(4, 8), units=(16,), weights=run.path / "model.safetensors")
    assert equal(again.get_weights(), run.model.get_weights())


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("metrics.json", {"epochs": "2"}, "'epochs' is missing or not a int"),
        ("metrics.json", {"fit_seconds": -1.0}, "'fit_seconds' is -1.0"),
        ("metrics.json", {"test_accuracy": "high"}, "'test_accuracy' is not a number"),
        ("metrics.json", {"status": None}, "'status' is missing or not a str"),
        ("config.json", {"recipe": {"learning_rate": "fast"}}, "learning_rate must be a number"),
        ("config.json", {"recipe": {"speed": 1}}, "unexpected keyword argument 'speed'"),
        ("config.json", {"task": "guessing"}, "unknown task 'guessing'"),
        ("config.json", {"class_names": ["one"]}, "'class_names' must be 2 texts or more"),
        ("config.json", {"versions": {"keras": 3}}, "'versions' must be texts"),
        ("config.json", {"seed": True}, "'seed' is missing or not a int"),
        ("config.json", {"format": 2, "class_weight": None}, "written in format 2; this version reads 3"),
        ("config.json", {"model_options": {"filters": [4, 8], "units": [60_000, 60_000]}}, "weights of another model"),
    ],
)
def test_what_a_training_does_not_write_is_refused_under_a_right_checksum(run, tmp_path, name, change, message):
    shutil.copytree(run.path, tmp_path / "copy")
    write_json(tmp_path / "copy" / name, read_json(run.path / name) | change)
    with pytest.raises(RunError, match=message):  # the last one before there are 3.6 thousand million weights
        load_run(tmp_path / "copy")


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
    arguments = {"data": few, "epochs": 1, "out": tmp_path / "run", **SMALL}
    with monkeypatch.context() as patched:
        patched.setattr(report, "write_report", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            train(**arguments)
    assert load_run(tmp_path / "run").metrics["status"] == "trained"
    run = train(resume=True, **arguments)
    assert run.metrics["status"] == "complete"
    assert {path.name for path in run.path.iterdir()} == FILES


def test_a_resume_that_differs_says_in_what(run):
    arguments = {"out": run.path, "verbose": 0, "model_options": run.config["model_options"]}
    with pytest.raises(RunError, match="holds another run: its recipe epochs is 2, not 3"):
        train(epochs=3, resume=True, **arguments)


def test_a_run_of_a_folder_judges_others_by_the_names_of_classes_and_not_itself_when_it_has_changed(photos, tmp_path):
    options = {"image_size": (24, 32)}
    run = train("conv_stack", photos, epochs=1, out=tmp_path / "run", verbose=0, data_options=options)
    assert run.model.input_shape == (None, 24, 32, 3)
    assert evaluate(load_run(run.path))["images"] == 6
    shutil.copytree(photos, tmp_path / "two")
    shutil.rmtree(tmp_path / "two/dark")
    other = run.load_data(tmp_path / "two")
    for option, name in (("validation", None), ("image_size", None), ("channels", tmp_path / "two")):
        with pytest.raises(UsageError, match=f"{option} is the run's own; got 3"):
            run.load_data(name, **{option: 3})
    result = evaluate(run, other)
    judged = dict(zip(run.class_names, result["confusion"].sum(1).tolist(), strict=True))
    assert judged == {"dark": 0} | dict(zip(other.class_names, other.class_counts("test"), strict=True))
    (tmp_path / "two/dim").rename(tmp_path / "two/unheard")
    with pytest.raises(DataError, match=r"a class .unheard., which is not known: known are dark, dim, light"):
        evaluate(run, tmp_path / "two")
    shutil.copy(photos / "dim/1.png", photos / "dim/new.png")
    with pytest.raises(DataError, match="has changed since"):
        evaluate(load_run(run.path))


def test_class_names_are_drawn_whatever_they_are(photos, tmp_path, recwarn):
    for folder, name in (("dark", "$\\foo$"), ("dim", "猫"), ("light", "a b")):
        (photos / folder).rename(photos / name)
    run = train("lenet5", photos, epochs=1, out=tmp_path / "run", verbose=0, data_options={"image_size": 32})
    assert (run.path / "report.md").exists()
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_default_folders_do_not_collide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [str(training.make_folder(None, "conv_stack", "arrays")) for _ in range(2)]
    assert paths == ["runs/conv_stack-arrays", "runs/conv_stack-arrays-2"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    Path("runs").symlink_to("/nonexistent/disk")
    with pytest.raises(OSError, match="runs"):
        training.make_folder(None, "conv_stack", "arrays")


def test_a_run_of_two_classes_is_read_again(few, tmp_path):
    even_or_odd = few.images("train"), few.targets("train") % 2
    run = train(data=even_or_odd, epochs=1, out=tmp_path / "run", **SMALL)
    assert load_run(run.path).class_names == ["0", "1"]


def test_a_config_names_no_other_file(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy")
    for key, option in (("model_options", "weights"), ("data_options", "memory_limit")):
        write_json(tmp_path / "copy/config.json", run.config | {key: run.config[key] | {option: "x.safetensors"}})
        with pytest.raises(RunError, match=f"has {option}, an option that train does not write"):
            load_run(tmp_path / "copy")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"deterministic": 1}, "deterministic must be True or False; got 1"),
        ({"data": [0, 1]}, r"images must be .*; got \(\)"),
        ({"data": None}, "a data set is a name, a folder, .* or a Source; got NoneType"),
        ({"model": "conv_stack", "model_options": {"l2": math.inf}}, "must be finite numbers, texts and lists"),
        ({"model_options": {"activation": abs}}, "must be finite numbers, texts and lists"),
        ({"model_options": [1]}, r"model_options must be a dictionary of build_model's options; got \[1\]"),
    ],
)
def test_what_a_run_cannot_write_down_is_refused_before_there_is_a_folder(few, tmp_path, arguments, message):
    with pytest.raises((UsageError, DataError), match=message):
        train(**{"data": few, "out": tmp_path / "run", **arguments})
    assert not (tmp_path / "run").exists()


def test_weights_of_another_run_are_noticed(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "copy")
    other = build_model("conv_stack", filters=(4, 8), units=(16,))
    save_weights(other, tmp_path / "copy/model.safetensors")
    with pytest.raises(RunError, match="the weights of another run than its"):
        load_run(tmp_path / "copy")


def test_the_interval_of_a_proportion_is_wilsons():
    # Brown, Cai & DasGupta 2001 (10.1214/ss/1009213286), their formula (4), for 18 of 20
    assert wilson(18, 20) == pytest.approx((0.698966, 0.972137), abs=1e-5)
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12)


def test_two_processes_do_not_write_to_one_run_folder(few, tmp_path):
    program = "import pathlib; from cnn_zoo.core.files import only_writer\nwith only_writer(pathlib.Path('run')): 0"
    (tmp_path / "run").mkdir()
    with only_writer(tmp_path / "run"):
        (tmp_path / "run/.cnn_zoo-12.checkpoint.safetensors").write_text("half-written by a process that was killed")
        (tmp_path / "run/.2024.notes").write_text("somebody's")
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
        assert "is being written to by another process" in done.stderr.splitlines()[-1]
        with pytest.raises(RunError, match="is being written to by another process"):
            train(data=few, epochs=1, out=tmp_path / "run", **SMALL)
        assert (tmp_path / "run/.cnn_zoo-12.checkpoint.safetensors").exists()
    run = train(data=few, epochs=1, out=tmp_path / "run", **SMALL)
    assert {path.name for path in run.path.iterdir()} == FILES | {".2024.notes"}


def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_what_comes_next(tmp_path, monkeypatch):
    path, seen = tmp_path / "x.json", []

    def sync(descriptor):
        seen.append(("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file", path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    write_json(path, {})
    assert seen == [("file", False), ("folder", True)]
