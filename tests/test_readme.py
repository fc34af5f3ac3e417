"""Every command and every piece of Python in README.md and docs/ works as it is printed."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from safetensors.numpy import save_file

from cnn_zoo import Recipe
from cnn_zoo.cli import main
from conftest import ROOT, clean_environment, like_torchvision

PAGES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted(ROOT.glob("docs/*.md"))}
PAGES = {"README.md": (ROOT / "README.md").read_text("utf-8"), **PAGES}
LINKING = [*PAGES, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md", "notebooks/README.md"]
# .ci/run runs the two commands that make an environment, from the README itself
INSTALL = ("git clone", "python3 -m venv", "pip install", "cnn-zoo train\n")


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGES[page], re.M | re.S)


def commands():
    """Each once, though several pages print it."""
    lines = [line for page in PAGES for block in blocks(page, "bash") for line in block.splitlines(keepends=True)]
    return [line.strip() for line in dict.fromkeys(lines) if not line.startswith(INSTALL)]


@pytest.fixture
def folder(photos):
    """Not the repository, but with what the pages speak of beside the photos."""
    folder = photos.parent
    Image.new("L", (64, 64)).save(folder / "scene.png")
    tags = ["file,label"]
    for label, name in enumerate(("dark", "dim", "light")):
        for number in range(12):
            image = next((photos / name).glob(f"{number}.*"))
            tags.append(f"photos/{name}/{image.name},{name}{'|grey' * (number % 3 == 0)}")
            copies = [f"new/{label}{number}{image.suffix}"]
            if label < 2:  # three photos of each plant
                plant = f"plant{12 * label + number // 3}_{number}{image.suffix}"
                copies += [f"later/{name}/{image.name}", f"plants/{('healthy', 'sick')[label]}/{plant}"]
            for copy in copies:
                (folder / copy).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(image, folder / copy)
    (folder / "tags.csv").write_text("\n".join(tags), "utf-8")
    return folder


def test_the_commands_and_then_the_python(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Recipe, "epochs_for", lambda self, images: 1)  # not a hundred
        assert len(commands()) >= 10
        for command in commands():
            program, *arguments = shlex.split(command)
            assert program == "cnn-zoo"
            assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
            assert capsys.readouterr().out
    assert (folder / "runs/photos/report.md").exists()

    save_file(like_torchvision("resnet18"), folder / "resnet18.safetensors")
    pages = {page: "\n".join(blocks(page, "python")) for page in PAGES}  # a page is read from top to bottom
    assert sum(map(bool, pages.values())) >= 5
    program = f"for page, text in {pages!r}.items(): exec(compile(text, f'<{{page}}>', 'exec'), {{}})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "138357544" in done.stdout
    warning, *others = filter(str.strip, done.stderr.splitlines())
    assert "UserWarning: zoonet: all layers but 'predictions'" in warning
    assert not others, done.stderr  # no log noise in a script either


def test_the_two_commands_are_those_that_ci_runs():
    ci = (ROOT / ".ci/run").read_text()
    for marker in ("train", "test"):
        assert f"<!-- {marker} -->\n```bash\npython3 -m venv .venv && " in PAGES["README.md"]
        assert f"command_in_readme {marker}" in ci


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) < 200


def anchors(text):
    """Headings as GitHub and Sphinx link to them."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", LINKING)
def test_files_and_sections_that_are_linked_exist(name):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", (ROOT / name).read_text("utf-8")):
        file, _, section = target.partition("#")
        path = (ROOT / name).parent.joinpath(file) if file else ROOT / name
        assert path.exists(), target
        assert not section or section in anchors(path.read_text("utf-8")), target
