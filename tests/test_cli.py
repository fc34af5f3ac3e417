"""The command line: exit status, one line for a mistake, and no framework before it is needed."""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import cnn_zoo
from cnn_zoo import cli as cli_module
from cnn_zoo import commands, load_data
from cnn_zoo.cli import main
from conftest import clean_environment, cli, run_cli


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["--version"], 0),
        ([], 0),
        (["list"], 0),
        (["list", "vgg*"], 0),
        (["data"], 0),
        (["train", "--help"], 0),
        (["trian"], 2),
        (["train", "conv_stak"], 2),
        (["train", "--data", "mnst"], 2),
        (["train", "--recipe", "slow"], 2),
        (["train", "--epochs", "0"], 2),
        (["train", "--epochs", "many"], 2),
        (["train", "--data", "./no/such/folder"], 1),
        (["info", "resnt"], 2),
        (["list", "nothing*"], 2),
        (["predict", "runs/none", "x.png"], 1),
        (["train", "--image-size", "1x2x3"], 2),
        (["train", "--set", "filters"], 2),
        (["train", "--out", os.devnull], 1),
        (["evaluate", "lenet5"], 1),
    ],
)
def test_an_answer_that_needs_no_framework_imports_none(arguments, status, tmp_path):
    program = (
        "import sys; from cnn_zoo.cli import main\n"
        "try: status = main(sys.argv[1:])\n"
        "except SystemExit as stop: status = stop.code\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'torch', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == (1 if status else 0), done.stderr
    assert bool(done.stdout) == (status == 0)
    assert os.listdir(tmp_path) == []


def test_listing_models_in_python_imports_no_framework():
    program = (
        "import sys, cnn_zoo; cnn_zoo.list_models(); cnn_zoo.list_datasets()\n"
        "assert not {'keras', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_list_and_info(capsys):
    status, out, _ = cli(capsys, "list")
    assert status == 0
    assert re.search(r"conv_stack +conv_stack +small +28x28x1 +10 +110,474 +3.1 M", out)
    assert "138,357,544" in out
    status, out, _ = cli(capsys, "info", "vgg16")
    assert status == 0
    assert "138,357,544" in out
    assert "15,470,264,320" in out
    status, out, _ = cli(
        capsys, "info", "conv_stack", "--input-shape", "32x32x3", "--set", "filters=32,64", "--set", "padding=same"
    )
    assert "545,098" in out
    status, out, _ = cli(capsys, "info", "vgg16", "--layout", "small")
    assert "14,719,818" in out
    for arguments in (("--input-shape", "32x32x3"), ("--set", "weights=fashion_mnist", "--set", "width=0.35")):
        status, out, _ = cli(capsys, "info", "mobilenet_v2", *arguments)
        assert status == 0
        assert re.search(r"output +10\n", out)  # as many as the small layout is published for


def test_info_draws_the_architecture(capsys, tmp_path):
    status, out, _ = cli(capsys, "info", "resnet20", "--plot", tmp_path / "net.png")
    assert (status, (tmp_path / "net.png").read_bytes()[:4]) == (0, b"\x89PNG")
    assert "271,098" in out
    assert cli(capsys, "info", "resnet20", "--plot", tmp_path / "net.tiff")[0] == 2


def test_training_from_start_to_end_on_a_folder_of_photos(photos, tmp_path, capsys):
    (photos / "dim/.trash").mkdir()
    status, out, err = run_cli(
        "train", "lenet5", "--data", photos, "--image-size", 32, "--epochs", 3, "--batch-size", 8, "--out", "run",
        "--set", "batch_norm=True", cwd=tmp_path,
    )  # fmt: skip
    assert status == 0, err
    assert err == ""  # no log noise
    assert len(re.findall(r"^epoch \d+/3 ", out, re.M)) == 3
    assert out.count("left out: 1 hidden or system folder\n") == 1
    assert "- left out: 1 hidden or system folder\n" in (tmp_path / "run/report.md").read_text()
    assert re.search(r"^test accuracy +\d", out, re.M)
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["class_names"] == ["dark", "dim", "light"]
    assert config["input_shape"] == [32, 32, 3]
    with open(tmp_path / "run/history.csv") as file:
        assert len(list(csv.DictReader(file))) == 3

    run = tmp_path / "run"
    status, out, err = cli(capsys, "predict", run, photos / "dark/0.jpg", photos / "light/1.png", "--top", 2)
    assert (status, err) == (0, "")
    assert re.fullmatch(r".*dark/0\.jpg +(\w+ \d+\.\d% *){2}", out.splitlines()[0])

    status, out, err = cli(capsys, "evaluate", run)
    assert (status, err) == (0, "")
    accuracy = json.loads((tmp_path / "run/metrics.json").read_text())["test_accuracy"]
    assert f"accuracy  {accuracy:.2%} of 6 images" in out


def test_data_says_what_is_in_a_folder_and_which_files_are_broken(photos, capsys):
    (photos / "dim/bad.png").write_bytes(b"x")
    (photos / "dark/bad.jpg").write_bytes(b"x")
    status, out, err = cli(capsys, "data", photos)
    assert status == 1
    assert re.search(r"^dim +9 +1 +2$", out, re.M)
    assert re.findall(r"^broken: \S+?(\w+/bad.\w+): not an image", out, re.M) == ["dark/bad.jpg", "dim/bad.png"]
    assert "2 files cannot be read" in err.splitlines()[-1]
    status, out, err = cli(capsys, "data", photos, "--skip-broken")
    assert status == 0
    assert out.count("\nskipped ") == 2


def test_predict_names_a_broken_file_or_skips_it(run, capsys, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(np.zeros((50, 40), np.uint8)).save(good)
    bad.write_bytes(good.read_bytes()[:40])
    status, out, err = cli(capsys, "predict", run.path, good, bad)
    assert (status, out) == (1, "")
    assert "bad.png" in err
    assert len(err.splitlines()) == 1
    status, out, err = cli(capsys, "predict", run.path, good, bad, "--skip-broken")
    assert status == 1  # done as far as possible, and not all
    assert out.startswith(str(good))
    assert "skipped" in err
    assert cli(capsys, "predict", run.path, bad, "--skip-broken")[0] == 1
    assert cli(capsys, "predict", run.path, good, "--top", "0")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "--set", "kernel_size2=2"], 2, "unknown option 'kernel_size2'; did you mean kernel_size"),
        (["train", "--image-size", "5"], 2, r"conv_stack needs images of at least \d+x\d+"),
        (["train", "--set", "filters=abc"], 2, "conv_stack: filters must be positive integers such as"),
        (["train", "--set", "batch_norm=no"], 2, "batch_norm must be True or False; got 'no'"),
        (["train", "--set", "include_top=False"], 2, "model_options cannot hold include_top"),
        (["info", "lenet5", "--set", "layout=paper"], 2, "use --layout"),
        (["train", "lenet5", "--lr", "0.1"], 2, r"unrecognized arguments: --lr 0.1 \(see cnn-zoo train --help\)"),
        (["train", "lenet5", "--resume"], 2, "--resume needs the run folder: --out FOLDER"),
        (["info", "conv_stack", "--set", "padding=full"], 2, "padding must be one of 'valid', 'same'; got 'full'"),
        (["info", "lenet5", "--num-classes", "1"], 2, "num_classes must be an integer of at least 2"),
        (["info", "lenet5", "--input-shape", "0x28x1"], 2, "input_shape must be positive integers"),
        (["evaluate", "nowhere"], 1, "nowhere: no such run folder"),
        (["evaluate", "."], 1, "not a run folder"),
        (["evaluate", "lenet5-mnist5k", "--json", "no/out.json"], 1, "out.json: there is no folder no"),
        (["data", "mnist5k", "--draw", "no/sheet.png"], 2, "no/sheet.png: there is no folder no"),
    ],
)
def test_a_mistake_is_one_line_with_its_status(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, _out, err = cli(capsys, *arguments)
    assert found == status
    assert re.search(message, err)
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_train_is_told_it_passes_on(run, capsys, monkeypatch):
    told = {}
    monkeypatch.setattr(cnn_zoo, "train", lambda *given, **options: told.update(options, given=given) or run)
    status, out, _ = cli(
        capsys, *"""train zoonet --data mnist --out x --resume --recipe accurate --epochs 3 --batch-size 9 --seed 7
        --learning-rate 0.5 --early-stopping 4 --precision float32 --deterministic --tensorboard --set dropout=0.5
        --image-size 20x30 --channels 3 --skip-broken --validation 0.3 --fit pad --groups p. --max-pixels 99
        --task multilabel --class-weight cat=2,dog=0.5""".split(),
    )  # fmt: skip
    assert (status, told) == (
        0,
        {
            "given": ("zoonet", "mnist"), "out": "x", "resume": True, "recipe": "accurate", "epochs": 3,
            "batch_size": 9, "seed": 7, "learning_rate": 0.5, "early_stopping": 4, "precision": "float32",
            "deterministic": True, "tensorboard": True, "model_options": {"dropout": 0.5},
            "data_options": {"validation": 0.3, "image_size": (20, 30), "channels": 3, "skip_broken": True,
                             "fit": "pad", "groups": "p.", "max_pixels": 99},
            "task": "multilabel", "class_weight": {"cat": 2, "dog": 0.5},
        },
    )  # fmt: skip
    assert "test accuracy" in out


def test_evaluate_and_predict_heed_their_options(run, capsys, tmp_path):
    assert "3,600 images" in cli(capsys, "evaluate", run.path, "--split", "train")[1]
    assert "400 images" in cli(capsys, "evaluate", run.path, "--split", "validation", "--data", "mnist5k")[1]
    digit = load_data("mnist5k").images("test")[-1, ..., 0]
    for name, pixels in (("a", digit), ("b", 255 - digit)):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    light, dark = (cli(capsys, "predict", run.path, tmp_path / f"{name}.png")[1].split()[1:] for name in "ab")
    assert light != dark
    assert cli(capsys, "predict", run.path, tmp_path / "b.png", "--invert")[1].split()[1:] == light


def test_a_run_is_not_overwritten(run, capsys):
    before = (run.path / "model.safetensors").read_bytes()
    status, _, err = cli(capsys, "train", "--out", run.path)
    assert status == 1
    assert "already holds a run" in err
    assert (run.path / "model.safetensors").read_bytes() == before


def test_a_folder_without_permission(tmp_path, capsys, monkeypatch):
    (tmp_path / "locked").mkdir(mode=0o500)
    if os.access(tmp_path / "locked", os.W_OK):  # root may write anywhere
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    status, _, err = cli(capsys, "train", "--out", tmp_path / "locked/run")
    assert status == 1
    assert "no permission to write" in err
    assert list((tmp_path / "locked").iterdir()) == []


def test_a_set_that_cannot_be_downloaded_says_how_to_get_it(tmp_path):
    dead = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    status, out, err = run_cli("data", "kmnist", cwd=tmp_path, TFDS_DATA_DIR=str(tmp_path / "data"), **dead, timeout=60)
    assert (status, out) == (1, "")
    assert err.splitlines()[0].startswith("downloading kmnist")
    assert len(err.splitlines()) == 2
    assert "could not be downloaded" in err
    assert "TFDS_DATA_DIR" in err


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m cnn_zoo list | head -1", shell=True, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("model")
    assert done.stderr == ""


@pytest.mark.parametrize(("command", "status"), [("list", 0), ("train", 1), ("reproduce lenet5 mnist", 1)])
def test_a_pipe_that_closes_before_the_end_is_a_failure_of_what_has_work_to_do(command, status, monkeypatch):
    def interrupted(args):
        raise BrokenPipeError

    original = getattr(commands, f"do_{command.split()[0]}")
    interrupted.__name__, interrupted.__doc__ = original.__name__, original.__doc__
    monkeypatch.setattr(os, "dup2", lambda *descriptors: None)
    monkeypatch.setattr(cli_module, "COMMANDS", {interrupted: cli_module.COMMANDS[original]})
    assert main(command.split()) == status


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
@pytest.mark.parametrize("command", ["list", "info lenet5 --set weights=mnist --num-classes 4"])
def test_a_closed_output_is_no_error(command, closed):
    done = subprocess.run(
        f"{sys.executable} -m cnn_zoo {command} {closed}", shell=True, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    if closed == ">&-" and "weights" in command:  # a warning is one line, without the source of it
        assert re.search(r"(?m)^cnn-zoo: lenet5: all layers but .*4 classes in place of 10$", done.stderr)
        assert "build_model(" not in done.stderr


def test_on_a_terminal_keras_shows_its_progress_bar(tmp_path):
    pty = pytest.importorskip("pty")
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "cnn_zoo", "train", "--epochs", "2", "--set", "filters=4,4", "--out", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    assert process.wait(timeout=60) == 0
    assert "Epoch 2/2" in (text := shown.decode())
    assert "29/29" in text  # 3,600 images in steps of 128
    assert "I0000" not in text
    assert "WARNING" not in text
