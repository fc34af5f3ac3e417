"""Metadata agrees with itself, and what is derived is up to date."""

import ast
import configparser
import graphlib
import importlib.util
import re
import subprocess
import sys

import pytest

from conftest import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def requirements(text):
    return {line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")}


def environment():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    return {line.strip().removeprefix("- ") for line in lines if line.strip().startswith("- ")}


def test_environment_yml_asks_for_the_same_versions_as_setup_cfg():
    wanted = requirements(SETUP["options"]["install_requires"]) | requirements(SETUP["options.extras_require"]["test"])
    python = f"python{SETUP['options']['python_requires']}"
    assert environment() - {"conda-forge", "pip", "pip:", "-e ."} == wanted | {python}


def test_the_oldest_versions_that_ci_tries_are_those_of_setup_cfg():
    every = requirements(SETUP["options"]["install_requires"]) | requirements(SETUP["options.extras_require"]["test"])
    least = dict(line.split(">=") for line in every if not line.startswith("ruff"))
    tried = dict(line.split("==") for line in requirements((ROOT / ".ci/oldest.txt").read_text()))
    assert tried.keys() == least.keys()
    for name, version in tried.items():
        assert version.removesuffix(".*") == least[name], name


def test_the_public_address_stands_once_and_the_rest_follows():
    address = SETUP["metadata"]["url"].removeprefix("https://github.com/")
    for name in ("README.md", "CITATION.cff", "SECURITY.md"):
        text = re.sub(r"<!-- pretrained -->.*<!-- /pretrained -->", "", (ROOT / name).read_text(), flags=re.DOTALL)
        for found in re.findall(r"github\.com/([\w.-]+/[\w-]+)", text):  # but for what others published
            assert found == address, f"{name}: {found}"


def test_derived_files_are_up_to_date():
    spec = importlib.util.spec_from_file_location("update", ROOT / "tools/update.py")
    update = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update)
    stale = [path.name for path, text in update.wanted_files().items() if path.read_text("utf-8") != text]
    assert not stale, "run `python tools/update.py`"


def test_the_faults_that_tools_make_are_still_to_be_made():
    spec = importlib.util.spec_from_file_location("faults", ROOT / "tools/faults.py")
    faults = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(faults)
    for name, right, _, tests in faults.FAULTS:
        assert (ROOT / "cnn_zoo" / name).read_text("utf-8").count(right) == 1, (name, right)
        assert (ROOT / "tests" / tests).is_file()


def test_public_names_have_docstrings():
    import cnn_zoo

    for name in cnn_zoo.__all__:
        assert name in dir(cnn_zoo)
        assert len(getattr(cnn_zoo, name).__doc__) > 20, name


def test_a_wrong_public_name_is_an_attribute_error():
    import cnn_zoo

    with pytest.raises(AttributeError, match="bild_model"):
        _ = cnn_zoo.bild_model


def test_modules_import_each_other_in_no_circle():
    package = ROOT / "cnn_zoo"
    imported = {}
    for path in package.rglob("*.py"):
        found = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                found |= {name for name in names if (package / f"{name}.py").exists()}
        imported[path.relative_to(package).with_suffix("").as_posix()] = found
    order = list(graphlib.TopologicalSorter(imported).static_order())  # a circle is a CycleError
    assert len(order) == len(imported) > 30
    assert order.index("layers") < order.index("blocks") < order.index("models/resnet")
    assert order.index("registry") < order.index("training")


def test_a_folder_of_the_same_name_does_not_hide_the_package(tmp_path):
    (tmp_path / "cnn_zoo/cnn_zoo").mkdir(parents=True)  # a clone, beside which a program runs
    program = "from cnn_zoo import list_models; assert list_models()"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
