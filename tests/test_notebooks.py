"""The notebooks are as they should be to be read, opened in Colab and compared by `pytest --nbval`."""

import csv
import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if not path.stem.startswith("00_")]


ENDING = ("Said often, and wrong", "Your turn", "Three questions", "Sources")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param, nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook[1].cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 10


def test_every_cell_was_run_in_order_by_the_plain_kernel(notebook):
    assert notebook[1].metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook[1].metadata  # their saved state is large and goes stale
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


def test_how_much_room_each_claim_has_was_measured(notebook):
    with open(ROOT / "results/claims.csv", newline="") as file:  # written by benchmarks/claims.py
        measured = {row["claim"] for row in csv.DictReader(file) if row["notebook"] == notebook[0].stem}
    texts = [out.text for cell in code_cells(notebook) for out in cell.outputs if out.output_type == "stream"]
    assert {line[2:] for line in "".join(texts).splitlines() if line.startswith("✓ ")} == measured


def test_it_opens_with_a_title_a_badge_and_what_it_takes(notebook):
    path, contents = notebook
    first = contents.cells[0].source
    assert first.startswith("# ")
    assert f"/blob/main/notebooks/{path.name})" in first
    for words in ("**You will learn**", "**You need**", "**Time:**"):
        assert words in first
    assert len(contents.cells) <= 45


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_ends_with_mistakes_an_exercise_questions_sources_and_the_way_on(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    places = [text.index(f"\n## {heading}") for heading in ENDING]
    assert places == sorted(places)
    questions = text[places[2] : places[3]]
    assert questions.count("<summary>Answer</summary>") == 3
    assert re.search(r"https://(doi\.org|arxiv\.org)/", text[places[3] :])
    around = [other.name for other in NOTEBOOKS if abs(NOTEBOOKS.index(other) - NOTEBOOKS.index(path)) == 1]
    for name in around:
        assert f"({name})" in text.splitlines()[-1]
    figures = [o for cell in cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
    assert 1 <= len(figures) <= 9


def run(source, namespace):
    exec(compile(TransformerManager().transform_cell(source), "cell", "exec"), namespace)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_solution_of_the_exercise_is_right_and_the_stub_is_not_attempted(path, capsys):
    cells = nbformat.read(path, as_version=4).cells
    tagged = {
        tag: [c.source for c in cells if tag in c.metadata.get("tags", [])] for tag in ("context", "exercise", "check")
    }
    text = "\n".join(cell.source for cell in cells)
    solution = re.search(r"<summary>Solution</summary>\s*```python\n(.*?)```", text, re.S)
    namespace = {"display": lambda *_: None}
    for source in tagged["context"]:
        run(source, namespace)
    for answer, line in ((tagged["exercise"][0], "○ not attempted yet"), (solution[1], "✓ right")):
        run(answer, namespace)
        capsys.readouterr()
        run(tagged["check"][0], namespace)
        assert capsys.readouterr().out.splitlines()[-1] == line


def test_links_to_files_resolve(notebook):
    path, contents = notebook
    for cell in contents.cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\((?!https?:|#)([^)]+)\)", cell.source):
                file, _, anchor = target.partition("#")
                assert (path.parent / file).exists(), target
                assert not anchor or f"# {anchor}\n" in (path.parent / file).read_text("utf-8").lower(), target


def test_a_changed_output_is_noticed(tmp_path):
    """What proves that the comparison is alive: of two cells one has a stored digit changed, and nbval must object."""

    def cell(number, stored):
        outputs = [nbformat.v4.new_output("stream", text=stored)]
        return nbformat.v4.new_code_cell("print(6 * 7)", execution_count=number, outputs=outputs)

    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=[cell(1, "42\n"), cell(2, "43\n")], metadata=kernel), tmp_path / "x.ipynb"
    )
    shutil.copy(ROOT / "conftest.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "x.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
