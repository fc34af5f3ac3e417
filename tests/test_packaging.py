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
    for name in ("README.md", "CITATION.cff", "SECURITY.md", "docs/index.md"):
        for found in re.findall(r"github\.com/([\w.-]+/[\w-]+)", (ROOT / name).read_text()):
            assert found == address, f"{name}: {found}"


def test_derived_files_are_up_to_date():
    spec = importlib.util.spec_from_file_location("update", ROOT / "tools/update.py")
    update = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update)
    stale = [path.name for path, text in update.wanted_files().items() if path.read_text("utf-8") != text]
    assert not stale, "run `python tools/update.py`"


def test_public_names_have_docstrings():
    import cnn_zoo

    for name in cnn_zoo.__all__:
        assert name in dir(cnn_zoo)
        assert len(getattr(cnn_zoo, name).__doc__) > 20, name


def test_a_wrong_public_name_is_an_attribute_error():
    import cnn_zoo

    with pytest.raises(AttributeError, match="bild_model"):
        _ = cnn_zoo.bild_model


# What stands in a row imports only itself and the rows before it. A package comes as a whole.
ORDER = """
core
data nn
plots models recipes
weights tasks
build
runs cards checkpoints
inference report
training
folds
teaching
commands
cli
__main__ __init__
""".split("\n")
RANKS = {name: rank for rank, row in enumerate(ORDER) for name in row.split()}


def imports(path):
    """The modules of cnn_zoo that a file imports, anywhere in it, as dotted names without the package's own."""
    package = ROOT / "cnn_zoo"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*path.relative_to(package).parts[: -node.level], *(node.module or "").split(".")]
            for alias in node.names:
                for parts in ([*base, alias.name], base):
                    parts = [part for part in parts if part]
                    if parts and package.joinpath(*parts).with_suffix(".py").exists():
                        yield ".".join(parts)
                        break
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            assert path.relative_to(package).as_posix() in ("__init__.py", "models/registry.py")


def test_packages_import_each_other_in_one_direction_and_modules_in_no_circle():
    package, found = ROOT / "cnn_zoo", {}
    for path in package.rglob("*.py"):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        found[name] = set(imports(path))
        for imported in found[name]:
            assert RANKS[imported.split(".")[0]] <= RANKS[name.split(".")[0]], f"{name} imports {imported}"
            mine, other = (part.split(".")[0] for part in (name, imported))
            assert mine == other or RANKS[other] < RANKS[mine], f"{name} imports {imported}, beside it"
    assert len(found) > 50
    assert {"core.errors", "models.registry"} <= found["build"]  # that they are found at all
    list(graphlib.TopologicalSorter(found).static_order())  # a circle is a CycleError


def test_a_folder_of_the_same_name_does_not_hide_the_package(tmp_path):
    (tmp_path / "cnn_zoo/cnn_zoo").mkdir(parents=True)  # a clone, beside which a program runs
    program = "from cnn_zoo import list_models; assert list_models()"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
