"""Every command and every piece of Python in the README works as it is printed."""

import re
import shlex
import subprocess
import sys

import pytest
from safetensors.numpy import save_file

from cnn_zoo import Recipe
from cnn_zoo.cli import main
from conftest import ROOT, clean_environment, like_torchvision

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", README, re.M | re.S)
# .ci/run runs the two commands that make an environment, from the README itself
INSTALL = ("git clone", "python3 -m venv")


def commands():
    lines = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
    return [line for line in lines if not line.startswith(INSTALL)]


@pytest.fixture
def elsewhere(photos, monkeypatch):
    """A folder that is not the repository, with the photos that the README speaks of."""
    monkeypatch.chdir(photos.parent)
    return photos.parent


def test_the_commands(elsewhere, capsys, monkeypatch):
    assert len(commands()) >= 7
    monkeypatch.setattr(Recipe, "epochs_for", lambda self, images: min(self.epochs or 2, 2))  # not a hundred
    for command in commands():
        program, *arguments = shlex.split(command)
        assert program == "cnn-zoo"
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
        assert capsys.readouterr().out
    assert (elsewhere / "runs/photos/report.md").exists()


def test_the_python(elsewhere):
    save_file(like_torchvision("resnet18"), elsewhere / "resnet18.safetensors")
    program = "\n".join(block for kind, block in BLOCKS if kind == "python")
    (elsewhere / "program.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"], env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "138357544" in done.stdout
    assert "UserWarning: zoonet: all layers but 'predictions'" in done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr  # with its line; no log noise in a script either


def test_the_two_commands_are_those_that_ci_runs():
    ci = (ROOT / ".ci/run").read_text()
    for marker in ("train", "test"):
        assert f"<!-- {marker} -->\n```bash\npython3 -m venv .venv && " in README
        assert f"command_in_readme {marker}" in ci


@pytest.mark.parametrize(
    "name",
    ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "notebooks/README.md"],
)
def test_files_that_are_linked_exist(name):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text()):
        assert (ROOT / name).parent.joinpath(target).exists(), target
