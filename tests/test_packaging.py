"""Metadata agrees with itself, and what is derived is up to date."""

import configparser
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


def test_the_public_address_stands_once_and_the_rest_follows():
    address = SETUP["metadata"]["url"].removeprefix("https://github.com/")
    for name in ("README.md", "CITATION.cff"):
        for found in re.findall(r"github\.com/([\w.-]+/[\w-]+)", (ROOT / name).read_text()):
            assert found in (address, "github/" + address), f"{name}: {found}"


def test_derived_files_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "tools/update.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run `python tools/update.py`:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("name", ["build_model", "train", "load_data", "feature_extractor", "model_card", "predict"])
def test_public_names_have_docstrings(name):
    import cnn_zoo

    assert name in dir(cnn_zoo)
    assert len(getattr(cnn_zoo, name).__doc__.splitlines()) > 3


def test_a_wrong_public_name_is_an_attribute_error():
    import cnn_zoo

    with pytest.raises(AttributeError, match="bild_model"):
        _ = cnn_zoo.bild_model
