"""What the commands do with many files: tables of predictions, and what is said of a data set."""

import csv
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_zoo import commands, inference
from cnn_zoo.core.files import csv_rows
from cnn_zoo.data import images as images_module
from conftest import ROOT, cli, run_cli


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def pages(tmp_path, digits, monkeypatch):
    """A folder with three digits in folders of folders, which is beside the current one."""
    (tmp_path / "pages/deep/er").mkdir(parents=True)
    for name, digit in zip(
        ("a.png", "deep/b.png", "deep/er/c.png"), digits.images("test")[::300, ..., 0], strict=False
    ):
        Image.fromarray(digit).save(tmp_path / "pages" / name)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "pages"


def test_a_folder_becomes_a_table_with_a_column_for_every_class(run, pages, capsys):
    status, out, err = cli(capsys, "predict", run.path, "../pages", "--csv", "out.csv", "--json", "out.json")
    assert (status, err) == (0, "")
    assert "3 of 3 images in out.csv" in out
    rows, objects = table("out.csv"), json.loads(Path("out.json").read_text())
    paths = ["../pages/a.png", "../pages/deep/b.png", "../pages/deep/er/c.png"]
    assert [row["file"] for row in rows] == [row["file"] for row in objects] == paths
    expected = inference.predict(run, paths, top=10)
    for row, entry, pairs in zip(rows, objects, expected, strict=True):
        assert list(row) == ["file", "class", "probability", *(f"probability_of_{name}" for name in run.class_names)]
        assert row["class"] == entry["class"] == pairs[0][0]
        assert list(entry["probability_of"]) == run.class_names
        for name, probability in pairs:
            assert float(row[f"probability_of_{name}"]) == entry["probability_of"][name] == pytest.approx(probability)
    assert sorted(os.listdir()) == ["out.csv", "out.json"]
    assert cli(capsys, "predict", run.path, "../pages", "--csv", "best.csv", "--top", 2)[0] == 0
    assert list(table("best.csv")[0]) == ["file", "class_1", "probability_1", "class_2", "probability_2"]


def test_a_csv_file_names_images_beside_itself(run, pages, capsys):
    (pages / "list.csv").write_text("\ufeffnumber,file\n1,deep/b.png\n2,a.png\n", "utf-8")
    status, out, err = cli(capsys, "predict", run.path, pages / "list.csv")
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == [str(pages / "deep/b.png"), str(pages / "a.png")]


def test_columns_of_other_names_are_told(run, pages, capsys):
    (pages / "odd.csv").write_text("wo;was\na.png;3\ndeep/b.png;3\n", "utf-8")
    status, _, err = cli(capsys, "predict", run.path, pages / "odd.csv")
    assert (status, "say which is meant with columns={'file': …} (--columns file=…)" in err) == (1, True)
    status, out, _ = cli(capsys, "predict", run.path, pages / "odd.csv", "--columns", "file=wo")
    assert (status, len(out.splitlines())) == (0, 2)
    columns = ("--columns", "file=wo,label=was")
    status, out, _ = cli(capsys, "evaluate", run.path, "--data", pages / "odd.csv", *columns, "--split", "all")
    assert (status, "2 images of 1 class, all of" in out) == (0, True)
    status, _, err = cli(capsys, "data", pages / "odd.csv", "--columns", "file=nowhere")
    assert (status, "has no column 'nowhere'; it has wo, was" in err) == (2, True)


def test_a_broken_file_is_a_row_with_its_error_or_stops_before_any_work(run, pages, capsys, monkeypatch):
    (pages / "bad.png").write_bytes((pages / "a.png").read_bytes()[:90])  # its header is whole
    (pages / "deep/none.png").write_bytes(b"x")
    monkeypatch.setattr(images_module, "BATCH", 1)  # a batch without an image, too
    status, _, err = cli(capsys, "predict", run.path, pages, "--csv", "out.csv", "--skip-broken")
    assert status == 1
    assert "2 of 5 files could not be read" in err
    errors = {os.path.basename(row["file"]): row["error"] for row in table("out.csv")}
    assert {name for name, error in errors.items() if error} == {"bad.png", "none.png"}
    assert "truncated" in errors["bad.png"]
    assert [row["class"] != "" for row in table("out.csv")] == [True, False, True, True, False]
    status, _, err = cli(capsys, "predict", run.path, pages, "--csv", "other.csv")
    assert (status, len(err.splitlines())) == (1, 1)
    assert "--skip-broken leaves such files out" in err
    (pages / "deep/none.png").unlink()
    assert cli(capsys, "predict", run.path, pages, "--csv", "other.csv")[0] == 1  # found when it is decoded
    assert os.listdir() == ["out.csv"]
    alone = cli(capsys, "predict", run.path, pages / "bad.png", "--csv", "other.csv", "--skip-broken")
    assert "none of the files could be read" in alone[2]
    assert os.listdir() == ["out.csv"]


def test_an_interruption_leaves_no_table(run, pages, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        yield from list(original(*arguments, **options))[:2]
        assert any(name.startswith(".cnn_zoo-") for name in os.listdir())
        raise KeyboardInterrupt

    original = inference.predictions
    monkeypatch.setattr(inference, "predictions", interrupted)
    status, out, err = cli(capsys, "predict", run.path, pages, "--csv", "out.csv", "--json", "out.json")
    assert (status, out, err) == (1, "", "cnn-zoo: interrupted\n")
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["pages", "--csv", "there.csv"], 1, "there.csv is there already"),
        (["pages", "--json", "pages"], 1, "pages is a folder; name a file in it"),
        (["pages", "--csv", "no/out.csv"], 1, "there is no folder no"),
        (["pages", "--csv", "out", "--json", "./out"], 2, "--csv and --json are both out"),
        (["pages/a.png", "pages/../pages/a.png"], 2, "pages/../pages/a.png is given twice"),
        (["pages", "pages/deep"], 2, "pages/deep/b.png is given twice"),
        (["there.csv", "pages"], 1, "there.csv"),
        (["empty"], 1, "empty: no images"),
        (["pages", "--max-pixels", "0"], 2, "--max-pixels must be an integer of at least 1"),
        (["pages", "--max-pixels", "99"], 1, "none of the files could be read: pages/a.png: 28x28 is more than"),
        (["pages", "--top", "0"], 2, "--top must be an integer of at least 1"),
        (["pages", "--draw", "out.png"], 2, "--draw is for one image; got 3"),
        (["nowhere", "pages"], 1, "nowhere: no such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_before_the_work(
    arguments, status, message, run, pages, capsys, monkeypatch
):
    monkeypatch.chdir(pages.parent)
    (pages.parent / "empty").mkdir()
    (pages.parent / "there.csv").write_text("height,width\n1,2\n")
    monkeypatch.setattr(inference, "predictions", None)
    before = sorted(os.listdir())
    found, out, err = cli(capsys, "predict", run.path, *arguments)
    assert (found, out, len(err.splitlines())) == (status, "", 1)
    assert message in err
    assert sorted(os.listdir()) == before


def test_many_files_are_read_batch_by_batch(run, pages, capsys, monkeypatch):
    sizes = []
    original = inference.call
    monkeypatch.setattr(inference, "call", lambda model, batch: (sizes.append(len(batch)), original(model, batch))[1])
    monkeypatch.setattr(images_module, "BATCH", 20)
    for number in range(50):
        os.link(pages / "a.png", pages / f"{number}.png")
    assert cli(capsys, "predict", run.path, pages, "--csv", "out.csv")[0] == 0
    assert sizes == [20, 20, 13]
    assert len(table("out.csv")) == 53


def test_a_table_holds_any_name_and_no_formula(tmp_path):
    names = ["=1+1", "-2.png", "@SUM", "+a", "plain, with comma", 'quo"te', "two\nlines", "caf\udce9", "健康"]
    with csv_rows(tmp_path / "out.csv", "error") as write:
        write({"file": "first", "error": "broken"})
        for name in names:
            write({"file": name, "number": -0.12345678901, "share_of": {"=x": 1.0}})
    rows = table(tmp_path / "out.csv")
    assert list(rows[0]) == ["file", "number", "share_of_=x", "error"]
    assert rows[0] == {"file": "first", "number": "", "share_of_=x": "", "error": "broken"}
    assert [row["file"] for row in rows[1:]] == [
        "'=1+1", "'-2.png", "'@SUM", "'+a", *names[4:7], "caf\\udce9", "健康",
    ]  # fmt: skip
    assert {row["number"] for row in rows[1:]} == {"-0.1234568"}


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes there")
def test_a_file_name_that_is_not_utf8(run, pages, tmp_path):
    os.rename(pages / "a.png", os.fsencode(pages) + b"/caf\xe9.png")
    status, _, err = run_cli("predict", run.path, pages, "--csv", "out.csv", "--json", "out.json", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert any("caf\\udce9.png" in row["file"] for row in table(tmp_path / "out.csv"))
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))[0]["file"].endswith("caf\udce9.png")


def test_data_says_how_large_classes_and_images_are_and_what_was_left_out(photos, capsys, tmp_path):
    for number in range(3, 12):
        next((photos / "dim").glob(f"{number}.*")).unlink()
    (photos / "dark/.trash").mkdir()
    shutil.copy(photos / "light/1.png", photos / "light/copy.png")
    Image.fromarray(np.zeros((70, 300), np.uint16)).save(photos / "light/wide.png")
    status, out, err = cli(capsys, "data", photos, "--draw", tmp_path / "sheet.png")
    assert status == 0
    assert "balance     4.7 to 1: light has 14 images, dim 3" in out
    sides = re.search(r"^sizes +\d+ to \d+ pixels high .*, \d+ to (\d+) pixels wide .*; 28 sizes$", out, re.M)
    assert sides[1] == "300"
    formats = re.search(r"^formats +(.*)$", out, re.M)[1].split(", ")
    assert "1 PNG 16-bit grey" in formats
    assert sum(int(text.split()[0]) for text in formats) == 29
    assert "a pair of images is nearly the same, such as light/1.png and light/copy.png" in out
    assert re.search(r"^note +left out: 1 hidden or system folder$", out, re.M)
    assert "left out" not in err  # said once
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width < 800  # read on a telephone without a loss
        assert sheet.height > 300


def test_classes_of_one_size_are_balanced_and_a_set_of_masks_has_a_sheet_too(capsys, tmp_path):
    status, out, _ = cli(capsys, "data", "mnist5k")
    assert (status, "balance  every class has 500 images" in out) == (0, True)
    assert "formats" not in out
    status, out, _ = cli(capsys, "data", "scenes", "--draw", tmp_path / "sheet.png")
    assert (status, "balance" in out) == (0, False)
    assert (tmp_path / "sheet.png").exists()


def test_what_a_run_was_trained_with_is_what_predict_does(photos, tmp_path, capsys, no_report):
    options = ["--fit", "crop", "--groups", r"(\d+)\.", "--max-pixels", "8000", "--epochs", "1", "--batch-size", "8"]
    status, out, _ = cli(
        capsys, "train", "lenet5", "--data", photos, "--image-size", "32", *options, "--out", tmp_path / "run"
    )
    assert status == 0
    assert "12 groups, none of which is divided between splits" in out
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 160, 3), dtype=np.uint8)).save(tmp_path / "wide.png")

    def said(*arguments):
        return cli(capsys, "predict", tmp_path / "run", tmp_path / "wide.png", *arguments)[1]

    assert said() == said("--fit", "crop") != said("--fit", "stretch")
    Image.new("L", (100, 100)).save(photos / "dark/large.png")
    assert "large.png: 100x100 is more than" in cli(capsys, "data", photos, "--max-pixels", "8000")[1]
    assert cli(capsys, "data", photos)[0] == 0


def test_progress_is_told_now_and_then_and_on_a_terminal_in_one_line(monkeypatch, capsys):
    clock = iter(range(0, 100, 3))
    monkeypatch.setattr(commands.time, "monotonic", lambda: next(clock))
    say = commands._Progress(2000, "images")
    for done in range(1, 9):
        say(done)
    assert capsys.readouterr().err == "4 of 2,000 images\n8 of 2,000 images\n"  # every ten seconds
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    say = commands._Progress(2000, "images")
    for done in (1999, 2000):
        say(done)
    assert capsys.readouterr().err == "1,999 of 2,000 images\r2,000 of 2,000 images\n"


def test_the_table_of_awkward_folders_says_what_happens(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import folders

    rows = {row["folder"]: row["cnn_zoo"] for row in table(folders.RESULTS)}
    assert rows.keys() == folders.CASES.keys()
    for text, said in rows.items():
        (found,) = folders.looked_at(text, folders.here)
        assert found.split("(")[0] == said.split("(")[0], text  # in brackets: words of Pillow
