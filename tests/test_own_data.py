"""Folders, tables and arrays as people have them: the right classes and splits, or one line of words."""

import contextlib
import csv
import io
import json
import os
import shutil
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnn_zoo import evaluate, load_data, load_run, predict, train
from cnn_zoo.core.errors import DataError, MissingError, UsageError
from cnn_zoo.data.duplicates import near_duplicates
from cnn_zoo.data.files import files_in, ignored, image_files, words_for
from cnn_zoo.data.folder import scan, split_word
from cnn_zoo.data.sources import read_source
from conftest import SMALL

RNG = np.random.default_rng(0)


def photo(path, value=None, size=(16, 16)):
    """A file of noise about a brightness."""
    path.parent.mkdir(parents=True, exist_ok=True)
    middle = RNG.integers(40, 200) if value is None else value
    Image.fromarray(np.clip(RNG.normal(middle, 20, size), 0, 255).astype(np.uint8)).save(path)


def folder_of(root, **counts):
    """root/cat and root/dog with images, cats dark and dogs bright; "split/cat" where a split is named."""
    for name, count in counts.items():
        for i in range(count):
            photo(root / name.replace("__", "/") / f"{i:02}.png", 60 + 120 * name.endswith("dog"))
    return root


def sizes(data):
    return {split: len(indices) for split, indices in data.splits.items()}


@pytest.mark.parametrize(
    ("training", "other", "split"),
    [
        ("training_set", "test_set", "test"),
        ("seg_train", "seg_test", "test"),
        ("train", "dev", "validation"),
        ("train", "eval", "test"),
        ("train", "holdout", "test"),
        ("Train", "Evaluation", "test"),
        ("train_images", "test_images", "test"),
        ("training_data", "testing_data", "test"),
        ("train", "val_data", "validation"),
        ("images_train", "images_test", "test"),
        ("TrainData", "TestData", "test"),
        ("TRAIN", "TEST", "test"),
    ],
)
def test_folders_that_are_splits_by_their_names_are_no_classes(training, other, split, tmp_path):
    for name, count in ((training, 12), (other, 4)):
        folder_of(tmp_path, **{f"{name}__cat": count, f"{name}__dog": count})
    data = load_data(tmp_path)
    assert data.class_names == ["cat", "dog"]
    assert sizes(data)[split] == 8
    assert all(data.files[i].startswith(other) for i in data.splits[split])
    told = [note for note in data.notes if "taken as splits" in note]
    assert bool(told) == (training.lower() != "train" or other.lower() not in ("test", "dev") or other == "dev")
    assert not told or f"{other} ({split})" in told[0]


@pytest.mark.parametrize(
    "tops", [("fold0", "fold1"), ("hospital_A", "hospital_B"), ("train_1", "train_2"), ("a", "b", "training_set")]
)
def test_folders_without_images_that_hold_the_same_folders_are_refused(tops, tmp_path):
    for top in tops:
        folder_of(tmp_path, **{f"{top}__cat": 3, f"{top}__dog": 3})
    why = r"hold folders of the same names \(cat, dog\) .*; are they splits|by their names these are splits"
    with pytest.raises(DataError, match=why):
        load_data(tmp_path)
    photo(tmp_path / tops[0] / "sample.png")  # one of their own does not make a class
    (tmp_path / tops[1] / "LICENSE").write_text("free")
    with pytest.raises(DataError, match=why):
        load_data(tmp_path)


def test_splits_of_one_kind_and_what_is_none_beside_them_are_refused(tmp_path):
    for top in ("trainA", "trainB", "testA", "testB"):
        photo(tmp_path / "gan" / top / "1.png")
    with pytest.raises(DataError, match=r"these are splits, one of each kind at most, .*trainA \(train\), trainB"):
        load_data(tmp_path / "gan")
    folder_of(tmp_path / "kaggle", **{f"seg_{s}__seg_{s}__{c}": 3 for s in ("train", "test") for c in ("cat", "dog")})
    with pytest.raises(DataError, match=r"only one, 'seg_train'; is .*seg_train, with cat, dog, the folder of classes"):
        load_data(tmp_path / "kaggle")
    photo(tmp_path / "kaggle/seg_pred/seg_pred/1.png")
    with pytest.raises(DataError, match=r"seg_pred \(none\), seg_test \(test\), seg_train \(train\)"):
        load_data(tmp_path / "kaggle")
    for hospital, other in (("A", "dog"), ("B", "bird")):
        folder_of(tmp_path / "clinics", **{f"hospital_{hospital}__cat": 3, f"hospital_{hospital}__{other}": 3})
    with pytest.raises(DataError, match=r"hold folders of the same names \(cat\)"):
        load_data(tmp_path / "clinics")
    for top in ("images", "masks"):
        photo(tmp_path / "pairs" / top / "1.png")
    with pytest.raises(DataError, match="images and masks are images and what belongs to them, and no classes"):
        load_data(tmp_path / "pairs")
    folder_of(tmp_path / "shop", car=3)
    for i in range(3):
        photo(tmp_path / "shop/train" / f"{i}.png")  # a class of this name
    photo(tmp_path / "shop/runs/conv_stack-shop/curves.png")
    (tmp_path / "shop/runs/conv_stack-shop/config.json").write_text("{}")
    assert load_data(tmp_path / "shop").class_names == ["car", "train"]


def test_one_level_too_high_and_images_beside_their_masks_are_told(tmp_path):
    folder_of(tmp_path / "zip", dataset__cat=3, dataset__dog=3)
    with pytest.raises(DataError, match=r"only one, 'dataset'; is .*dataset, with cat, dog, the folder of classes"):
        load_data(tmp_path / "zip")
    folder_of(tmp_path / "lungs", ill__images=3, ill__masks=3, well__images=3, well__masks=3)
    with pytest.raises(DataError, match=r"folders of the same names \(images, masks\)"):
        load_data(tmp_path / "lungs")
    folder_of(tmp_path / "more", training_set__cat=3, training_set__dog=3, test_set__cat=3, test_set__dog=3)
    photo(tmp_path / "more/single_prediction/1.png")
    with pytest.raises(DataError, match="these are splits"):
        load_data(tmp_path / "more")
    folder_of(tmp_path / "dates", **{"cat__2022": 3, "cat__2023": 3, "dog__2023": 4})  # as it comes from a camera
    assert load_data(tmp_path / "dates").class_counts("all") == [6, 4]


def test_words_of_splits_are_whole_words():
    named = {"seg_test": "test", "TestData": "test", "val-2017": "validation", "contest": None, "train_test": None}
    assert {name: split_word(name) for name in named} == named


RUBBISH = (
    ".ipynb_checkpoints/0-checkpoint.png", ".picasaoriginals/0.png", ".thumbnails/normal/0.png",
    ".Trash-1000/files/dog.png", "__MACOSX/._0.png",
    "@eaDir/0.png/THUMB_M.jpg", "$RECYCLE.BIN/0.png", "#recycle/0.png", "lost+found/0.png",
    "System Volume Information/x", "Previews.lrdata/0.png", "thumbnails/0.png", "1.jpg_original", "Thumbs.db",
    "desktop.ini", "0.png.part", "~$0.png", "old.png~",
)  # fmt: skip


@pytest.mark.parametrize("inside", ["", "cat/", "cat/deeper/"])
def test_what_programs_leave_behind_is_left_out_at_every_depth_and_counted(inside, tmp_path):
    folder_of(tmp_path, cat=6, dog=6)
    photo(tmp_path / "cat/deeper/7.png")
    (tmp_path / "cat/labels.TXT").write_text("cats")
    for name in RUBBISH:
        path = tmp_path / inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((tmp_path / "dog/00.png").read_bytes())
    data = load_data(tmp_path)
    assert (data.class_names, data.class_counts("all")) == (["cat", "dog"], [7, 6])
    assert data.notes == ["left out: 6 hidden or system files, 12 hidden or system folders, 1 text, table or film"]
    assert not any(map(ignored, ("cat", "1.png", "5$ note", "@home", "test_tube", "lost", "photo 1.jpg")))


def test_links_are_followed_once_and_dead_ones_are_counted(tmp_path):
    folder_of(tmp_path / "set", cat=6, dog=6)
    folder_of(tmp_path / "elsewhere", more=4)
    os.symlink(tmp_path / "elsewhere/more", tmp_path / "set/cat/more")
    os.symlink("/nowhere.png", tmp_path / "set/cat/gone.png")
    os.symlink(tmp_path / "set/cat", tmp_path / "set/cat/loop")
    data = load_data(tmp_path / "set")
    assert data.class_counts("all") == [10, 6]
    assert data.notes == ["left out: 1 linked folder that was read already, 1 link to nothing"]
    left = Counter()
    assert len(files_in(tmp_path / "set/dog", left)) == 6
    assert words_for(left) == []


def test_links_to_folders_above_or_beside_are_not_classes_of_their_own(tmp_path):
    folder_of(tmp_path, cat=6, dog=6)
    os.symlink(tmp_path, tmp_path / "cat/up")
    os.symlink("/nowhere", tmp_path / "gone")
    data = load_data(tmp_path)
    assert data.class_counts("all") == [6, 6]
    assert data.notes == ["left out: 1 linked folder that was read already, 1 link to nothing"]
    os.symlink(tmp_path / "cat", tmp_path / "kitty")
    with pytest.raises(DataError, match="kitty: no images"):
        load_data(tmp_path)


def test_folders_of_groups_inside_classes_may_have_the_same_names(tmp_path):
    for label in ("healthy", "sick"):
        folder_of(tmp_path, **{f"{label}__plant{i}": 3 for i in range(1, 6)})
    with pytest.raises(DataError, match="hold folders of the same names"):
        load_data(tmp_path)
    data = load_data(tmp_path, groups=r"plant\d")
    assert data.class_names == ["healthy", "sick"]
    plants = {split: {data.files[i].split("/")[1] for i in places} for split, places in data.splits.items()}
    assert sum(map(len, plants.values())) == 5
    (tmp_path / "sick/plant1").rename(tmp_path / "sick/other")
    (tmp_path / "healthy").rename(tmp_path / "Sick")
    assert (
        "the names of some classes differ in capital letters alone"
        in load_data(tmp_path, groups=r"plant\d|other").notes
    )


def test_files_of_a_folder_for_predict(tmp_path):
    folder_of(tmp_path, cat=2, dog=1)
    photo(tmp_path / "@eaDir/x.png")
    found, notes = image_files(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["cat/00.png", "cat/01.png", "dog/00.png"]
    assert notes == ["left out: 1 hidden or system folder"]
    with pytest.raises(MissingError, match="nowhere: no such folder"):
        image_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: no images"):
        image_files(tmp_path / "empty")


def deep(path, value):
    """Sixteen bits of which few are used, as of a thermal or medical camera."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(value - 20, value + 20, (16, 16)).astype(np.uint16)).save(path)


def test_values_of_twelve_bits_are_told_apart_in_training_and_in_predict(tmp_path):
    for i in range(40):
        deep(tmp_path / "set/cold" / f"{i}.png", 300)
        deep(tmp_path / "set/warm" / f"{i}.tif", 370)
    data = load_data(tmp_path / "set")
    least, largest = data.options["value_range"]
    assert (least, largest) == pytest.approx((280, 389), abs=2)
    assert data.notes[-1].startswith("images have more than 8 bits")
    assert f"{least:g} … {largest:g}" in data.notes[-1]
    assert data.images("train").max() == 255
    run = train(**SMALL, data=data, epochs=8, batch_size=8, out=tmp_path / "run")
    assert run.metrics["test_accuracy"] == 1
    assert json.loads((tmp_path / "run/config.json").read_text())["data_options"]["value_range"] == [least, largest]
    again = load_run(tmp_path / "run")
    deep(tmp_path / "new.png", 370)
    values = np.asarray(Image.open(tmp_path / "new.png"))
    for picture in (tmp_path / "new.png", Image.open(tmp_path / "new.png"), values, [values]):
        assert predict(again, picture)[0][0] == "warm"
    assert len({found[1] for found in predict(again, [tmp_path / "new.png", Image.open(tmp_path / "new.png")])}) == 1
    for i in range(3):
        deep(tmp_path / "other/warm" / f"{i}.png", 370)
    assert evaluate(again, tmp_path / "other", split="all")["accuracy"] == 1


def test_values_that_a_range_does_not_fit_are_told(tmp_path):
    run = train(**SMALL, data=folder_of(tmp_path / "set", cat=9, dog=9), epochs=1, out=tmp_path / "run")
    for i in range(4):
        deep(tmp_path / "deep/cat" / f"{i}.png", 300)
    data = run.load_data(tmp_path / "deep")
    assert data.options["value_range"] == (0, 65535)  # as predict takes it
    assert data.notes[0].endswith("by one range, 0 … 65535")
    assert "fit that range badly: much is black or white" in data.notes[1]
    run.config["data_options"]["value_range"] = [30_000, 60_000]
    assert "fit that range badly" in run.load_data(tmp_path / "deep").notes[1]
    with pytest.warns(UserWarning, match=r"0.png has values from 2.. to 3.., all beyond 30000 … 60000 of the training"):
        predict(run, tmp_path / "deep/cat/0.png")
    assert run.load_data(tmp_path / "set").notes == [
        "these images have 8 bits, and the range of values is one of more: 0 … 255 is taken as brought to it already"
    ]


def test_a_set_without_training_images_judges_a_run(tmp_path):
    run = train(**SMALL, data=folder_of(tmp_path / "set", cat=9, dog=9), epochs=1, out=tmp_path / "run")
    folder_of(tmp_path / "other", test__cat=5, test__dog=3)
    for split in ("test", "all"):
        assert evaluate(run, tmp_path / "other", split=split)["images"] == 8
    rows = [(f"other/test/cat/{i:02}.png", "cat", "test") for i in range(5)]
    path = table(tmp_path / "list.csv", rows, ("file", "label", "split"))
    assert evaluate(run, path)["images"] == 5
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    (note,) = evaluate(run, tmp_path / "copy", split="all")["notes"]
    assert note.startswith("among these are the images that the net was trained on")
    with pytest.raises(DataError, match="no image is of the split train; there are test"):
        load_data(path)


def test_images_beside_the_folders_of_classes_are_counted(tmp_path):
    folder_of(tmp_path, cat=5, dog=5)
    photo(tmp_path / "loose.png")
    assert load_data(tmp_path).notes == ["left out: 1 file beside the folders of classes"]


def test_eight_and_more_bits_in_one_set(tmp_path):
    folder_of(tmp_path, cat=8, dog=8)
    deep(tmp_path / "dog/deep.png", 1000)
    data = load_data(tmp_path, image_size=8)
    assert data.notes[-1].startswith("1 of 17 images have more than 8 bits: their values")
    eight = load_data(tmp_path, image_size=8, value_range=(0, 65535))
    index = data.files.index("dog/deep.png")
    others = np.setdiff1d(np.arange(17), index)
    assert np.array_equal(data._images[others], eight._images[others])
    assert eight._images[index].max() < 10
    with pytest.raises(UsageError, match=r"more than 8 bits have no opacity here; ask for 1 or 3 channels$"):
        load_data(tmp_path, image_size=8, channels=4)
    with pytest.raises(UsageError, match=r"value_range must be a pair \(least, largest\); got 7"):
        load_data(tmp_path, value_range=7)


def table(path, rows, head=("file", "label"), separator=","):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=separator).writerows([head, *rows])
    return path


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """Forty images in a folder without classes: those of even number are dark."""
    root = tmp_path_factory.mktemp("flat")
    for i in range(40):
        photo(root / "images" / f"{i}.png", 60 + 120 * (i % 2))
    return root


def test_a_table_of_files_is_a_data_set(flat):
    rows = [(f"images/{i}.png", ("dark", "bright")[i % 2], f"person {i // 4}") for i in range(40)]
    path = table(flat / "list.csv", rows, ("file", "label", "patient"))
    data = load_data(path)
    assert (data.class_names, data.class_counts("all")) == (["bright", "dark"], [20, 20])
    assert data.folder == str(path)
    assert data.notes[:2] == [
        "columns: file (file), label (label), patient (group)", "10 groups, none of which is divided between splits",
    ]  # fmt: skip
    of_person = {split: {int(data.files[i][7:-4]) // 4 for i in places} for split, places in data.splits.items()}
    assert not of_person["train"] & of_person["test"]
    assert not of_person["train"] & of_person["validation"]
    assert min(map(len, of_person.values()))
    semicolons = table(flat / "semicolons.csv", [row[:2] for row in rows], separator=";")
    semicolons.write_bytes(b"\xef\xbb\xbf" + semicolons.read_bytes())
    assert load_data(semicolons).class_counts("all") == [20, 20]
    without = table(flat / "ham.csv", [(f"images/{i}", ("nv", "mel")[i % 2]) for i in range(40)], ("image_id", "dx"))
    assert load_data(without).class_names == ["mel", "nv"]
    rows_of_lines = "sep=;\r\n file ;label;;\r\n" + "".join(f"images/{i}.png; {'ab'[i % 2]};;\r\n" for i in range(40))
    for encoding in ("utf-8", "utf-16"):
        (flat / "sheet.csv").write_bytes((rows_of_lines + " ; ;;\r\n").encode(encoding))
        assert load_data(flat / "sheet.csv").class_counts("all") == [20, 20]
    named = table(flat / "named.csv", [(row[1], row[0]) for row in rows], ("what", "which"))
    assert load_data(named, columns={"file": "which", "label": "what"}).class_counts("all") == [20, 20]
    split = [(*row[:2], ("train", "train", "val", "test")[i % 4]) for i, row in enumerate(rows)]
    assert sizes(load_data(table(flat / "split.csv", split, ("file", "label", "split")))) == {
        "train": 20, "validation": 10, "test": 10,
    }  # fmt: skip


class Frame(dict):
    """As much of a pandas DataFrame as is asked of one."""

    columns = property(dict.keys)

    def to_dict(self, orient):
        return {"list": dict(self)}[orient]


def test_a_data_frame_is_a_table(flat):
    frame = Frame(path=[str(flat / "images" / f"{i}.png") for i in range(40)], label=[i % 2 for i in range(40)])
    data = load_data(frame)
    assert (data.class_names, data.class_counts("all")) == (["0", "1"], [20, 20])
    net = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    assert predict(net, frame) == predict(net, frame["path"])
    lists = Frame(path=frame["path"], label=[["a"], ["a", "b"]] * 20)
    assert load_data(lists, target="multi_hot").class_counts("all") == [40, 20]
    with pytest.raises(DataError, match="the table has no rows"):
        load_data(Frame(path=[], label=[]))
    with pytest.raises(DataError, match="row 2 of the table names no file"):
        load_data(Frame(path=[frame["path"][0], None], label=["a", "b"]))


def test_several_labels_an_image_are_multi_hot(flat):
    names = [("dark", "bright|round", "", "round")[i % 4] for i in range(40)]
    path = table(flat / "several.csv", [(f"images/{i}.png", name) for i, name in enumerate(names)])
    data = load_data(path, target="multi_hot")
    assert data.class_names == ["bright", "dark", "round"]
    assert data.targets("all")[:4].tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1]]
    with pytest.raises(DataError, match=r"images/1.png has 2 labels \(bright\|round\), and there is one an image"):
        load_data(path)
    columns = [(f"images/{i}.png", i % 2, 1.0) for i in range(40)]
    commas = table(flat / "commas.csv", [(f"images/{i}.png", ("a, b", "b")[i % 2]) for i in range(40)])
    assert load_data(commas, target="multi_hot").class_counts("all") == [20, 40]
    wide = load_data(table(flat / "wide.csv", columns, ("image", "odd", "all")), target="multi_hot")
    assert wide.notes == ["columns: image (file), odd, all (a class each)"]
    assert (wide.class_names, wide.targets("all")[:2].tolist()) == (["all", "odd"], [[1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        ([("images/0.png", "a"), ("./images/0.png", "b")], ("file", "label"), "images/0.png is there twice"),
        ([("images/0.png", "a"), ("images/1.png", "nan")], ("file", "label"), "images/1.png has no label"),
        (
            [("images/0.png", "a", "x"), ("images/1.png", "b", "")],
            ("file", "label", "patient"),
            "images/1.png has no group in patient",
        ),
        (
            [("images/0.png", "a", "Training set"), ("images/1.png", "b", "Test set")],
            ("file", "label", "set"),
            "class 'b' has no image of the split train",
        ),
        (
            [("images/0.png", 0, 1, 1), ("images/1.png", 1, 0, -1), ("images/2.png", 1, 0, 0)],
            ("file", "cat", "dog", "bird"),
            "the column bird has '-1' beside 0 and 1, and so is no class",
        ),
        ([("images/0.png", "a", "trn"), ("images/1.png", "b", "tst")], ("file", "label", "split"), "'trn' is no split"),
        (
            [("images/0.png", "a")] * 2,
            ("picture", "label"),
            r"no column file, filename.* picture, label; .*columns={.file",
        ),
        ([("images/0.png", "a"), ("images/1.png", "b")], ("file", "thing"), "no column label, class.*columns={.label"),
        ([("images/0.png", "a"), ("images/1.png", "")], ("file", "label"), "images/1.png has no label"),
        ([("images/0.png", "a"), ("none.png", "b")], ("file", "label"), r"none\.png: no such file"),
        ([("images/0.png", "a"), ("images/1.png",)], ("file", "label"), "line 3 has 1 columns, the first has 2"),
        (
            [("images/0.png", "a", "train"), ("images/1.png", "a", "extra")],
            ("file", "label", "split"),
            "'extra' is no split; there are train, validation and test",
        ),
        ([("images/0.png", "a", "x")] * 2, ("file", "label", "label"), "the column 'label' is there twice"),
        ([], ("file", "label"), "needs a line of column names and a line for each image"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(rows, head, message, flat):
    with pytest.raises(DataError, match=message):
        load_data(table(flat / "wrong.csv", rows, head))


def test_groups_are_found_in_the_names_of_files(tmp_path):
    for patient in range(12):
        for i in range(1 + patient % 3):
            photo(tmp_path / ("ill", "well")[patient % 2] / f"p{patient:02}_{i}.png")
    data = load_data(tmp_path, groups=r"(p\d+)_")
    patients = {split: {data.files[i].split("/")[1][:3] for i in places} for split, places in data.splits.items()}
    assert not patients["train"] & patients["test"]
    assert sum(map(len, patients.values())) == 12
    assert min(data.class_counts("test")) > 0
    assert load_data(tmp_path, **json.loads(json.dumps(data.options))).digest == data.digest
    with pytest.raises(DataError, match=r"ill/p00_0.png does not match 'q\(.\)'"):
        load_data(tmp_path, groups="q(.)")
    with pytest.raises(UsageError, match=r"groups must be a regular expression; got '\(' "):
        load_data(tmp_path, groups="(")
    with pytest.raises(UsageError, match="groups are found in the paths of files or in a table; mnist5k has neither"):
        load_data("mnist5k", groups="x")
    with pytest.raises(DataError, match="class 'ill' is in one group alone"):
        load_data(tmp_path, groups="(ill|p.*)")
    folder_of(tmp_path / "split", train__cat=4, train__dog=4, test__cat=4, test__dog=4)
    with pytest.raises(DataError, match="are of one group, but one is in train and one in test"):
        load_data(tmp_path / "split", groups=r"(\d+)\.png")


def test_every_image_is_tested_once_in_the_folds(tmp_path):
    folder_of(tmp_path, cat=11, dog=7)
    folds = [load_data(tmp_path, fold=(i, 3)) for i in (1, 2, 3)]
    assert sorted(np.concatenate([data.splits["test"] for data in folds])) == list(range(18))
    assert {tuple(data.class_counts("test")) for data in folds} <= {(4, 2), (4, 3), (3, 2), (3, 3)}
    assert all(min(data.class_counts("train")) > 2 for data in folds)
    with pytest.raises(DataError, match="class 'dog' has 7 images, too few for 8 folds"):
        load_data(tmp_path, fold=(1, 8))
    with pytest.raises(UsageError, match="the fold must be an integer of at least 1 and at most 3; got 4"):
        load_data(tmp_path, fold=(4, 3))


def test_folds_of_groups_divide_none(flat):
    rows = [(f"images/{i}.png", ("dark", "bright")[i % 2], f"{i // 4}") for i in range(40)]
    path = table(flat / "folds.csv", rows, ("file", "label", "group"))
    folds = [load_data(path, fold=(i, 4), validation=0.2) for i in range(1, 5)]
    assert sorted(np.concatenate([data.splits["test"] for data in folds])) == list(range(40))
    for data in folds:
        groups = {split: {int(i) // 4 for i in places} for split, places in data.splits.items()}
        assert sum(map(len, groups.values())) == 10
        assert 8 <= len(data.splits["test"]) <= 12


def test_images_for_judging_are_in_mixed_order_the_same_each_time(digits):
    labels = digits.targets("test")
    assert len(set(labels[:40].tolist())) == 10
    assert len({int(label) for _, some in digits.test.take(2) for label in some}) == 10
    assert np.array_equal(labels, load_data("mnist5k").targets("test"))


def test_arrays_as_keras_datasets_gives_them():
    images, labels = RNG.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8), np.arange(60)[:, None] % 3
    data = load_data(((images[:40], labels[:40]), (images[40:], labels[40:])))
    assert sizes(data) == {"train": 37, "validation": 3, "test": 20}
    assert set(data.splits["test"]) == set(range(40, 60))
    for same in (labels, labels[:, 0].astype(float), keras.utils.to_categorical(labels), labels.tolist()):
        assert load_data((images, same)).digest == load_data((images, labels[:, 0])).digest
    named = load_data((images, np.array(["a", "b", "c"])[labels[:, 0]]))
    assert (named.class_names, named.class_counts("all")) == (["a", "b", "c"], [20, 20, 20])
    assert load_data((images, labels[:, 0] > 0)).class_counts("all") == [20, 40]
    several = load_data((images, keras.utils.to_categorical(labels)), target="multi_hot")
    assert (several.target, several.num_classes) == ("multi_hot", 3)


def test_classes_without_training_images_are_told():
    images, labels = np.zeros((20, 8, 8), np.uint8), np.arange(20) % 2
    data = load_data(((images, labels), (images[:4], np.arange(4))))
    assert data.notes == ["2 classes have no training image, such as 2"]
    with pytest.raises(DataError, match=r"the names of classes must differ; got \['a', 'a'\]"):
        load_data((images, labels), class_names=["a", "a"])


def test_wide_arrays_take_the_range_of_the_training_images():
    images = RNG.integers(300, 400, (60, 8, 8)).astype(np.uint16)
    data = load_data(((images[:40], np.arange(40) % 2), (images[40:] + 1000, np.arange(20) % 2)), validation=0)
    assert data.options["value_range"] == (images[:40].min(), images[:40].max())
    source = read_source((images, np.arange(60) % 2))
    told = [load_data(source).notes for _ in range(2)]  # a source that is loaded again is as it was
    assert told[0] == told[1]
    assert source.notes == []
    assert (data.images("test") == 255).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ((1, 2, 3), "arrays are .images, labels., or two such pairs"),
        (((1, 2, 3), (1, 2)), "arrays are|not an array|images must be"),
        ((np.zeros((4, 8, 8)), ["a", "a", "a", "a"]), "at least two classes; all are 'a'"),
        (["cats/", "dogs/"], "a data set is one folder or a table of files .*; got a list of paths"),
        ((np.zeros((4, 8, 8)), ["a", float("nan"), "b", "a"]), "image 1 has no label, but 'nan'"),
        ((tf.data.Dataset.range(3), tf.data.Dataset.range(3)), "pass one tf.data.Dataset"),
        (tf.data.Dataset.range(0), "holds no images"),
        ((np.zeros((4, 8, 8)), [{}, {}, {}, {}]), "labels must be 4 integers; got object"),
        ((np.zeros((4, 8, 8)), [1, 2, 3]), "labels must be 4 integers"),
        ((np.zeros((0, 8, 8)), np.zeros(0, int)), "images must be|there are no images"),
        ((np.zeros((4, 8, 8)), np.ma.masked_array([0, 1, 0, 1], True)), "a masked array"),
    ],
)
def test_what_is_wrong_with_arrays_is_said_in_one_line(name, message):
    with pytest.raises((DataError, UsageError), match=message):
        load_data(name)


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": np.zeros(3)}, {"target": 10**5000}, {"image_size": np.zeros(2)}, {"image_size": int},
        {"image_size": ["a", "b"]}, {"progress": np.zeros(3)}, {"progress": 3}, {"class_names": True},
        {"class_names": {"a", "b"}}, {"class_names": "cat"}, {"fold": 10**5000}, {"value_range": 10**5000},
        {"max_pixels": "many"}, {"groups": 7}, {"fit": np.zeros(2)},
    ],
)  # fmt: skip
def test_arguments_of_the_wrong_kind_are_named(arguments):
    with pytest.raises((UsageError, DataError)):
        load_data("mnist5k", **arguments)


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_an_archive_of_medmnist_is_a_data_set(tmp_path):
    images, labels = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8), np.arange(30)[:, None] % 2
    arrays = {f"{s}_images": images[i::3] for i, s in enumerate(("train", "val", "test"))}
    arrays |= {f"{s}_labels": labels[i::3] for i, s in enumerate(("train", "val", "test"))}
    data = load_data(archive(tmp_path / "mnist.npz", **arrays))
    assert sizes(data) == {"train": 10, "validation": 10, "test": 10}
    assert data.input_shape == (28, 28, 1)
    run = train(**SMALL, data=tmp_path / "mnist.npz", epochs=1, out=tmp_path / "run")
    assert load_run(run.path).load_data().digest == data.digest
    with pytest.raises(DataError, match="needs train_images and train_labels, as MedMNIST has; it holds x"):
        load_data(archive(tmp_path / "other.npz", x=images))
    with pytest.raises(DataError, match="no archive of plain arrays"):
        load_data(archive(tmp_path / "pickle.npz", train_images=np.array([{}] * 3), train_labels=labels[:3]))
    for value in range(0, 256, 5):
        damaged = bytearray((tmp_path / "mnist.npz").read_bytes())
        for place in RNG.integers(len(damaged), size=3):
            damaged[place] = value
        (tmp_path / "damaged.npz").write_bytes(damaged)
        with contextlib.suppress(DataError):  # or what it holds by now
            load_data(tmp_path / "damaged.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "mnist.npz").read_bytes()[:999])
    with pytest.raises(DataError, match="damaged, or no archive"):
        load_data(tmp_path / "cut.npz")


def test_tf_data_sets_are_trained_on_judged_and_predicted(tmp_path):
    images, labels = RNG.random((60, 8, 8, 1), dtype=np.float32), np.arange(60) % 2
    dataset = tf.data.Dataset.from_tensor_slices((images, labels))
    run = train("lenet5", dataset.batch(7), epochs=1, out=tmp_path / "run", verbose=0, data_options={"image_size": 28})
    found = evaluate(run, dataset, split="all")
    assert found["images"] == 60
    anew = dataset.shuffle(60, reshuffle_each_iteration=True).batch(7)
    assert evaluate(run, anew, split="all")["notes"] == found["notes"]
    assert "among these are the images that the net was trained on" in found["notes"][0]
    by_arrays = predict(run, images)
    for same in (dataset.batch(7), tf.data.Dataset.from_tensor_slices(images)):
        found = predict(run, same)
        assert [name for name, _ in found] == [name for name, _ in by_arrays]
        np.testing.assert_allclose([share for _, share in found], [share for _, share in by_arrays], atol=1e-5)
    by_name = dataset.map(lambda image, label: (image, tf.gather(["cat", "dog"], label)))
    assert load_data(by_name.batch(9)).class_names == load_data(by_name).class_names == ["cat", "dog"]
    with pytest.raises(DataError, match=r"the tf.data.Dataset stops: "):
        load_data(dataset.map(lambda image, label: (tf.debugging.check_numerics(image / 0, "not finite here"), label)))
    grey = dataset.map(lambda image, label: (image[..., 0], label)).batch(9)
    assert load_data(grey).digest == load_data(dataset).digest
    with pytest.raises(DataError, match="never ends; give one without repeat"):
        load_data(dataset.repeat())
    with pytest.raises(DataError, match="divide by 255"):
        load_data(dataset.map(lambda image, label: (image * 255, label)))
    with pytest.raises(DataError, match=r"has elements \(image, label\)"):
        load_data(dataset.map(lambda image, label: image))
    with pytest.raises(UsageError, match=r"was trained on .*which it does not keep"):
        load_run(run.path).load_data()


def test_nearly_the_same_photo_in_two_splits_is_told(tmp_path):
    noise = np.random.default_rng(1).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    photos = [Image.fromarray(pixels).resize((96, 96), Image.BICUBIC) for pixels in noise]
    for i, image in enumerate(photos):
        path = tmp_path / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        image.save(path)
    assert load_data(tmp_path).notes == []
    again = photos[0].resize((40, 40), Image.BILINEAR)
    for split, which in (("train", range(24)), ("test", range(2))):
        for i in which:
            path = tmp_path / "set" / split / ("cat", "dog")[i % 2] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = photos[i] if split == "train" else again if i == 0 else Image.new("RGB", (9, 9))
            image.save(path, quality=70)
    data = load_data(tmp_path / "set", validation=0)
    assert data.notes == [
        "a pair of images that is nearly the same and in two splits, such as test/cat/0.jpg (test) and train/cat/0.jpg "
        "(train): the score will flatter"
    ]
    flat_ones = np.zeros((3, 8, 8, 1), np.uint8)
    flat_ones[1] = 9
    assert near_duplicates(flat_ones) == [(0, 2)]


def test_a_folder_of_one_class_judges_a_run(tmp_path):
    run = train(**SMALL, data=folder_of(tmp_path / "set", cat=20, dog=20), epochs=1, out=tmp_path / "run")
    found = evaluate(run, folder_of(tmp_path / "one", dog=5), split="all")
    assert found["images"] == 5
    assert found["confusion"][0].sum() == 0
    folder_of(tmp_path / "strange", dog=5, wolf=5)
    with pytest.raises(DataError, match="has a class 'wolf', which is not known: known are cat, dog"):
        evaluate(run, tmp_path / "strange", split="all")
    photo(tmp_path / "none/1.png")
    with pytest.raises(DataError, match="needs a sub-folder for each class, named as it; found none, but 1 file"):
        evaluate(run, tmp_path / "none", split="all")
    assert scan(tmp_path / "one", ["cat", "dog"]).targets.tolist() == [1] * 5


def test_class_names_that_cannot_be_printed_are_those_of_a_run_all_the_same(tmp_path):
    for name in ("cat\x1b[2J", "d\u202eog"):
        for i in range(8):
            photo(tmp_path / "set" / name / f"{i}.png")
    run = train(**SMALL, data=tmp_path / "set", epochs=1, out=tmp_path / "run")
    assert run.class_names == [r"cat\x1b[2J", r"d\u202eog"]
    assert evaluate(load_run(run.path), tmp_path / "set", split="all")["images"] == 16


def test_eight_bits_for_a_net_of_more_and_dark_sixteen_bits_are_told(tmp_path):
    run = train(**SMALL, data=folder_of(tmp_path / "set", cat=9, dog=9), epochs=1, out=tmp_path / "run")
    deep(tmp_path / "dark.png", 300)
    with pytest.warns(UserWarning, match="dark.png uses values up to 3.. of 65535, and so is nearly black here"):
        predict(run, tmp_path / "dark.png")
    run.config["data_options"]["value_range"] = [280, 390]
    with pytest.warns(UserWarning, match="trained on images of more than 8 bits, .*; this has 8 bits"):
        predict(run, tmp_path / "set/cat/00.png")


def test_fit_is_kept_and_used_again(tmp_path):
    for name, column in (("left", 0), ("right", 40)):
        for i in range(12):
            pixels = RNG.integers(0, 60, (20, 60), dtype=np.uint8)
            pixels[:, column : column + 20] += 180
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "set" / name / f"{i}.png")
    data = load_data(tmp_path / "set", image_size=28, fit="pad")
    assert (data.images("all")[:, 0] == 0).all()
    assert load_data(tmp_path / "set", image_size=28, fit="crop").images("all").max() < 90
    run = train(**SMALL, data=data, epochs=1, out=tmp_path / "run")
    path = tmp_path / "set/left/0.png"
    with Image.open(path) as image:
        page = Image.new("L", (60, 60))
        page.paste(image, (0, 20))
    (name, share), (other, same) = predict(load_run(run.path), [path, page])
    assert name == other
    assert share == pytest.approx(same, abs=0.08)
    with pytest.raises(UsageError, match="fit must be one of 'stretch', 'pad', 'crop'; got 'fill'"):
        load_data(tmp_path / "set", fit="fill")
    with pytest.raises(UsageError, match="masks are stretched with their images; got fit='pad'"):
        load_data("scenes", fit="pad")


def test_bytes_of_an_upload_are_predicted(tmp_path):
    run = train(**SMALL, data=folder_of(tmp_path / "set", cat=20, dog=20), epochs=1, out=tmp_path / "run")
    path = tmp_path / "set/dog/00.png"
    upload = path.read_bytes()
    ((name, share),) = predict(run, path)
    for holder in (upload, io.BytesIO(upload), [upload]):
        ((same, of_it),) = predict(run, holder)
        assert (same, of_it) == (name, pytest.approx(share, abs=1e-5))
