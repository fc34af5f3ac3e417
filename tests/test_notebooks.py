"""The notebooks are as they should be to be read, opened in Colab and compared by `pytest --nbval`."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param, nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook[1].cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_every_cell_was_run_in_order_by_the_plain_kernel(notebook):
    assert notebook[1].metadata.kernelspec.name == "python3"
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_nothing_hides_an_output_from_the_comparison(notebook):
    for cell in code_cells(notebook):
        assert "NBVAL" not in cell.source
        assert not {"nbval-ignore-output", "nbval-skip", "raises-exception"} & set(cell.metadata.get("tags", []))
        assert not cell.source.rstrip().endswith(";")


def test_outputs_are_short_clean_and_the_same_on_every_machine(notebook):
    for cell in code_cells(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.get("text")
            assert "image/svg+xml" not in output.get("data", {})
            text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            assert not re.search(r"0x[0-9a-f]{6,}|/(home|tmp|root|work|usr)/", text), text
            assert text.count("\n") < 50


def test_it_opens_with_a_title_a_badge_and_what_it_takes(notebook):
    path, contents = notebook
    first = contents.cells[0].source
    assert first.startswith("# ")
    assert f"/blob/main/notebooks/{path.name})" in first
    for words in ("**You will learn**", "**You need**", "**Time:**"):
        assert words in first
    assert len(contents.cells) <= 45


def test_links_to_files_resolve(notebook):
    path, contents = notebook
    for cell in contents.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", cell.source):
                assert (path.parent / target).exists(), target


def test_a_changed_output_is_noticed(tmp_path):
    """What proves that the comparison is alive: one stored digit is changed, and nbval must object."""
    contents = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(
                "print(6 * 7)", execution_count=1, outputs=[nbformat.v4.new_output("stream", text="42\n")]
            )
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    shutil.copy(ROOT / "conftest.py", tmp_path)
    for stored, status in (("42\n", 0), ("43\n", 1)):
        contents.cells[0].outputs[0].text = stored
        nbformat.write(contents, tmp_path / "one.ipynb")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--nbval", "-q", "one.ipynb"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
