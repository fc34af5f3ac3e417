"""Data sets: splits share nothing, order and augmentation follow from the seed, errors name the file."""

import contextlib
import errno
import gc
import hashlib
import io
import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn_zoo import Augment, Recipe, list_datasets, load_data, train
from cnn_zoo.core.errors import DataError, MissingError, OptionError, UsageError
from cnn_zoo.data.source import Source, empty
from cnn_zoo.data.sources import SOURCES, add_source
from cnn_zoo.data.tfds import TFDS
from conftest import clean_environment, in_source_order


def batches(dataset):
    return [(x.numpy(), y.numpy()) for x, y in dataset]


def same(a, b):
    return len(a) == len(b) and all(
        np.array_equal(p, q) for x, y in zip(a, b, strict=True) for p, q in zip(x, y, strict=True)
    )


def test_the_embedded_digits(digits):
    assert (digits.name, digits.input_shape, digits.num_classes) == ("mnist5k", (28, 28, 1), 10)
    assert digits.class_names == list("0123456789")
    assert {split: len(indices) for split, indices in digits.splits.items()} == {
        "train": 3600,
        "validation": 400,
        "test": 1000,
    }
    for split, each in (("train", 360), ("validation", 40), ("test", 100)):
        assert digits.class_counts(split) == [each] * 10
    for dataset, count in ((digits.train, 113), (digits.validation, 13), (digits.test, 32)):
        assert int(dataset.cardinality()) == count == len(batches(dataset))
    images, labels = next(iter(digits.batches("train", batch_size=100)))
    assert (images.shape, images.dtype.name, labels.shape, labels.dtype.name) == (
        (100, 28, 28, 1),
        "float32",
        (100,),
        "int64",
    )
    assert images.numpy().min() == 0
    assert images.numpy().max() == 1


def test_no_image_is_in_two_splits(digits):
    everything = np.concatenate(list(digits.splits.values()))
    assert len(np.unique(everything)) == len(everything) == 5000
    rows = {split: {image.tobytes() for image in digits.images(split)} for split in digits.splits}
    assert not rows["train"] & rows["test"]
    assert not rows["train"] & rows["validation"]
    assert not rows["validation"] & rows["test"]


def test_no_image_of_a_folder_or_of_arrays_is_in_two_splits(photos):
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (60, 6, 6, 1), dtype=np.uint8), np.arange(60) % 3
    for data in (load_data(photos, image_size=16), load_data(arrays, validation=0.2)):
        rows = [image.tobytes() for split in data.splits for image in data.images(split)]
        assert len(set(rows)) == len(rows) == sum(map(len, data.splits.values()))
        assert all(len(indices) for indices in data.splits.values())


def test_batches_do_not_depend_on_the_number_of_threads():
    program = (
        "import hashlib, numpy as np; from cnn_zoo import load_data\n"
        "changes = {'translate': 0.1, 'rotate': 10, 'zoom': 0.1, 'cutout': 0.3, 'brightness': 0.2, 'flip': True}\n"
        "data, digest = load_data('mnist5k').batches('train', batch_size=500, augment=changes), hashlib.sha256()\n"
        "[digest.update(x.numpy().tobytes() + y.numpy().tobytes()) for x, y in data]\n"
        "print(digest.hexdigest())"
    )
    environment = clean_environment(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    one = subprocess.check_output([sys.executable, "-c", program], text=True, env=environment, timeout=120)
    with contextlib.redirect_stdout(io.StringIO()) as many:  # as many as there are cores
        exec(program, {})
    assert one == many.getvalue()


@pytest.mark.parametrize("memory_limit", [2**30, 1000])
def test_a_script_may_end_before_its_batches_do(memory_limit):
    program = (
        "from cnn_zoo import load_data\n"
        f"data = load_data(image_size=96, channels=3, memory_limit={memory_limit})\n"
        "how = {'batch_size': 512, 'epochs': (0, 20), 'augment': {'translate': 0.04, 'rotate': 10}}\n"
        "started = [iter(data.batches('train', **how)) for _ in range(4)]\n"
        "[next(batches) for batches in started]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=clean_environment(), timeout=120)


def test_two_batches_of_an_epoch_are_changed_differently():
    data = load_data((np.tile(np.eye(28, dtype=np.uint8) * 255, (80, 1, 1)), np.arange(80) % 2))
    epoch = data.batches("train", batch_size=16, augment={"translate": 0.2})
    first, second = (x.numpy() for x, _ in list(epoch)[:2])
    assert not np.array_equal(first, second)


def test_photos_on_their_side_are_turned_and_keep_their_proportions(tmp_path):
    upright = np.zeros((40, 20, 3), np.uint8)
    upright[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise brings it upright
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.fromarray(np.rot90(upright)).save(tmp_path / name / f"{i}.png", exif=exif)
    data = load_data(tmp_path)
    assert data.input_shape == (40, 20, 3)
    assert np.array_equal(data.images("train")[0], upright)


def test_images_that_were_read_are_not_copied():
    program = (
        "import resource, numpy as np\n"
        "from cnn_zoo import load_data\n"
        "from cnn_zoo.data.source import Source, empty\n"
        "images = empty(4_000, (160, 160), 3, 1e9)\n"
        "images[:] = 7\n"
        "def first(count):\n"
        "    data = load_data(Source('made up', images[:count], np.arange(count) % 2, ['a', 'b']), validation=0)\n"
        "    next(iter(data.batches('train', batch_size=8, augment={'crop': 0.1})))\n"
        "first(99)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "first(4_000)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    more = subprocess.check_output([sys.executable, "-c", program], text=True, env=clean_environment(), timeout=120)
    assert int(more) < 150_000  # kB, of 300,000


def test_labels_that_begin_with_1_are_told():
    images, labels = np.zeros((40, 6, 6, 1), np.uint8), np.arange(40) % 2 + 1
    with pytest.warns(UserWarning, match="no image has the label 0, which is a class all the same; the least is 1"):
        assert load_data((images, labels)).num_classes == 3


def test_arrays_may_change_after_they_were_taken():
    images = np.random.default_rng(0).integers(0, 256, (60, 5, 4, 3), np.uint8)
    frozen = images.copy()
    frozen.flags.writeable = False
    for given in (images.copy(), frozen, np.asfortranarray(images), images.copy()[::-1]):
        expected = given.copy()
        data = load_data((given, np.arange(60) % 2), validation=0)
        if given.flags.writeable:
            given[:] = 0
        batch, _ = next(iter(data.test))
        np.testing.assert_array_equal(batch, expected[data.splits["test"]] / np.float32(255))
        np.testing.assert_array_equal(data.images("test"), expected[data.splits["test"]])


def test_statistics_are_those_of_the_training_images(digits):
    images = digits.images("train") / 255
    assert digits.statistics["mean"] == pytest.approx([images.mean()], rel=1e-9)
    assert digits.statistics["std"] == pytest.approx([images.std()], rel=1e-9)


def test_every_training_image_comes_once_an_epoch_in_an_order_of_its_own(digits):
    epochs = [batches(digits.batches("train", epochs=(epoch, epoch + 1))) for epoch in (0, 1)]
    first, second = (np.concatenate([labels for _, labels in epoch]) for epoch in epochs)
    assert sorted(first) == sorted(second) == sorted(digits.targets("train"))
    assert not np.array_equal(first, second)


def test_an_image_is_flipped_in_every_other_epoch():
    """which of the two comes first is drawn for each image and seed."""
    images = np.zeros((64, 8, 8, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(1, 65)  # its number in its left upper corner, or the right one where it is flipped
    data = load_data((images, np.arange(64) % 2), validation=0.25)

    def flipped(epoch, seed=0):
        options = {"batch_size": 10, "augment": {"flip": True}, "seed": seed}
        seen = np.concatenate([x for x, _ in batches(data.batches("train", epochs=(epoch, epoch + 1), **options))])
        first, last = (np.rint(seen[:, 0, column, 0] * 255) for column in (0, -1))
        assert ((first == 0) != (last == 0)).all()
        assert len(seen) == len(data.splits["train"])
        return dict(zip(first + last, first == 0, strict=True))

    first = flipped(0)
    assert len(first) / 4 < sum(first.values()) < len(first) * 3 / 4
    assert flipped(1) == {number: not was for number, was in first.items()}
    assert flipped(2) == first != flipped(0, seed=1)


@pytest.mark.parametrize(
    "augment", [None, {"translate": 0.1, "rotate": 10, "zoom": 0.1, "cutout": 0.3, "brightness": 0.2, "flip": True}]
)
def test_the_same_seed_gives_the_same_batches_and_another_seed_others(augment, digits):
    def train(seed, epochs=None, data=digits):
        return data.batches("train", batch_size=500, epochs=epochs, augment=augment, seed=seed)

    passes = [batches(one) + batches(one) for one in (train(3), train(3, data=load_data("mnist5k")), train(4))]
    assert same(passes[0], passes[1])
    assert not same(passes[0], passes[2])
    # the k-th pass is epoch k, and an epoch does not depend on what came before it
    assert same(passes[0], batches(train(3, (0, 2))))
    assert same(batches(train(3, (1, 2))), batches(train(3, (0, 2)))[8:])
    # test images are the same for every seed, and never augmented
    assert same(batches(digits.test), batches(digits.batches("test", seed=4)))


def test_batches_and_their_augmentation_are_those_of_the_runs_on_record(digits):
    changes = {"crop": 0.125, "rotate": 10, "zoom": 0.1, "cutout": 0.3, "brightness": 0.2, "flip": True}
    digest = hashlib.sha256()
    for images, labels in digits.batches("train", batch_size=500, epochs=(1, 2), augment={"crop": 0.125, "flip": True}):
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
    assert digest.hexdigest()[:16] == "f2118d1c55e38b31"
    total = sum(
        images.numpy().sum(dtype="float64") for images, _ in digits.batches("train", epochs=(1, 2), augment=changes)
    )
    assert total == pytest.approx(448095.263, rel=1e-5)  # sines and cosines differ in the last bits between processors


def test_a_dataset_counts_its_own_passes(digits):
    """Also when nothing else holds it than what was made of it."""
    first, second = digits.batches("train").unbatch().batch(3600), digits.batches("train").unbatch().batch(3600)
    gc.collect()
    epochs = [batches(digits.batches("train", epochs=(e, e + 1), batch_size=3600)) for e in (0, 1)]
    assert same(batches(first), epochs[0])
    assert same(batches(first), epochs[1])
    assert same(batches(second), epochs[0])


@pytest.mark.parametrize("kind", ["embedded", "arrays", "folder", "from a file", "augmented"])
def test_training_takes_as_many_steps_as_there_are_batches(kind, photos, tmp_path):
    """The last batch of an epoch may be smaller; several steps an execution change nothing."""
    options = {}
    rng = np.random.default_rng(0)
    arrays = rng.integers(0, 256, (75, 28, 28, 1), dtype=np.uint8), np.arange(75) % 3
    source = {"embedded": "mnist5k", "folder": photos, "from a file": photos}.get(kind, arrays)
    if source is photos:
        options = {"image_size": 28, "channels": 1, **({"memory_limit": 10_000} if kind == "from a file" else {})}
    data, size = load_data(source, **options), 500 if kind == "embedded" else 7
    augment = Augment(translate=0.1) if kind == "augmented" else None
    batches = data.batches("train", batch_size=size, epochs=(0, 3), augment=augment)
    assert data.steps(size) == -(-len(data.splits["train"]) // size)
    assert int(batches.cardinality()) == 3 * data.steps(size) == sum(1 for _ in batches)
    if kind == "augmented":
        recipe = Recipe(augment={"translate": 0.1}, epochs=3, batch_size=size)
        run = train("lenet5", data, recipe=recipe, out=tmp_path / "run", verbose=0)
        assert run.metrics["steps"] == 3 * data.steps(size)


def test_resizing_and_channels_on_request():
    data = load_data("mnist5k", image_size=(20, 24), channels=3, validation=0)
    assert data.input_shape == (20, 24, 3)
    assert len(data.splits["validation"]) == 0 == int(data.validation.cardinality())
    expected = np.asarray(
        Image.fromarray(load_data("mnist5k").images("test")[0, ..., 0]).resize((24, 20), Image.BILINEAR)
    )
    assert np.array_equal(data.images("test")[0], np.stack([expected] * 3, -1))


def test_arrays_are_a_data_set():
    rng = np.random.default_rng(0)
    images, labels = rng.random((60, 8, 8)), rng.permutation(60) % 3
    data = load_data((images, labels))
    assert (data.input_shape, data.num_classes) == ((8, 8, 1), 3)
    np.testing.assert_allclose(data.images("test")[..., 0] / 255, images[data.splits["test"]], atol=0.5 / 255)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 2]), "labels must be 4 integers"),
        (
            np.zeros((4, 8, 8), np.uint8),
            np.array([0, 1, -1, 0]),
            "of at least two classes; these are from -1",
        ),
        (np.zeros((4, 8, 8), np.uint8), np.array([0.5, 1, 1, 0]), "integers; got float64"),
        (np.zeros((4, 8, 8), np.uint8), np.array([[0, 1], [1, 1], [1, 0], [1, 0]]), "must be one-hot"),
        ([np.zeros((8, 8)), np.zeros((9, 9))], np.array([0, 1]), "list is not an array of images of one size"),
        (np.zeros((4, 3, 8, 8)), np.array([0, 1, 1, 0]), r"channels come last: np.moveaxis\(images, 1, -1\)"),
        (np.full((4, 8, 8), np.nan), np.array([0, 1, 1, 0]), "NaN"),
        (np.full((4, 8, 8), 255.0), np.array([0, 1, 1, 0]), "divide by 255"),
        (np.zeros((4, 8, 8), np.int32), np.array([0, 1, 1, 0]), "uint8, .* or floats .*; got int32"),
        (np.zeros((4, 8), np.uint8), np.array([0, 1, 1, 0]), r"images must be .* got \(4, 8\)"),
    ],
)
def test_arrays_that_are_not_images_and_labels(images, labels, message):
    with pytest.raises(DataError, match=message):
        load_data((images, labels))


def test_a_folder_of_photos(photos):
    data = load_data(photos)
    assert data.class_names == ["dark", "dim", "light"]
    assert data.input_shape == (64, 64, 3)  # of different sizes and colours
    assert [sum(data.class_counts(split)) for split in data.splits] == [27, 3, 6]
    brightness = [data.images("train")[data.targets("train") == label].mean() for label in range(3)]
    assert brightness == sorted(brightness)
    assert load_data(photos, image_size=16, channels=1).input_shape == (16, 16, 1)


def test_a_folder_of_images_of_one_size_keeps_it(photos):
    for path in photos.rglob("*.*"):
        Image.new("L", (30, 20)).save(path)
    assert load_data(photos).input_shape == (20, 30, 1)


def test_the_order_of_files_on_disk_does_not_matter(photos, tmp_path):
    copy = tmp_path / "copy"
    for path in sorted(photos.rglob("*.*"), reverse=True):
        target = copy / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert same(batches(load_data(photos).train), batches(load_data(copy).train))


def test_folders_for_splits_are_used_as_they_are(photos, tmp_path):
    for split in ("train", "test", "val"):
        for name in ("dark", "light"):
            target = tmp_path / "split" / split / name
            target.mkdir(parents=True)
            for path in sorted((photos / name).iterdir())[: {"train": 6, "test": 4, "val": 2}[split]]:
                (target / path.name).write_bytes(path.read_bytes())
    data = load_data(tmp_path / "split")
    assert [sum(data.class_counts(split)) for split in ("train", "validation", "test")] == [12, 4, 8]
    (tmp_path / "split/test/unseen").mkdir()
    with pytest.raises(DataError, match="'unseen' is not among the training classes"):
        load_data(tmp_path / "split")
    (tmp_path / "split/test/unseen").rmdir()
    (tmp_path / "split/valid/dark").mkdir(parents=True)
    with pytest.raises(DataError, match="two folders for one split among test, train, val, valid"):
        load_data(tmp_path / "split")
    (tmp_path / "split/valid").rename(tmp_path / "split/masks")
    with pytest.raises(DataError, match="'masks' is neither a class nor a split"):
        load_data(tmp_path / "split")
    (tmp_path / "split/masks").rename(tmp_path / "masks")
    for name in ("dark", "light"):
        (tmp_path / "split/test" / name).rename(tmp_path / name)
    with pytest.raises(DataError, match="test: needs a sub-folder for each class, as train has"):
        load_data(tmp_path / "split")


def test_folders_for_splits_by_other_names_and_a_class_of_that_name(photos, tmp_path):
    for split in ("Training", "Testing"):
        (tmp_path / "split" / split).mkdir(parents=True)
        for name in ("dark", "light"):
            (tmp_path / "split" / split / name).symlink_to(photos / name)
    assert load_data(tmp_path / "split", image_size=8).class_names == ["dark", "light"]
    (photos / "dim").rename(photos / "train")
    assert load_data(photos, image_size=8).class_names == ["dark", "light", "train"]


def test_grey_images_stay_grey_also_with_opacity(photos):
    for path in photos.glob("*/*.*"):
        with Image.open(path) as image:
            image.convert("LA").save(path.with_suffix(".png"))
        if path.suffix != ".png":
            path.unlink()
    assert load_data(photos, image_size=8).input_shape == (8, 8, 1)


def test_what_file_managers_leave_behind_is_ignored(photos):
    before = load_data(photos).splits["train"]
    (photos / ".DS_Store").write_text("x")
    (photos / "dark" / "Thumbs.db").write_text("x")
    (photos / ".git").mkdir()
    assert np.array_equal(load_data(photos).splits["train"], before)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n truncated"])
def test_a_broken_file_is_named_and_can_be_skipped(photos, content):
    (photos / "dim" / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=r"dim/bad\.png: .*skip_broken \(--skip-broken\)"):
        load_data(photos)
    data = load_data(photos, skip_broken=True)
    assert len(data.skipped) == 1
    assert "dim/bad.png" in data.skipped[0]
    assert sum(len(indices) for indices in data.splits.values()) == 36


def test_a_class_whose_files_are_all_broken_is_an_error_even_when_skipping(photos):
    for path in (photos / "dim").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(DataError, match="class 'dim' has no readable image"):
        load_data(photos, skip_broken=True)


def test_folders_that_are_no_data_set(tmp_path):
    with pytest.raises(MissingError, match="no such folder"):
        load_data(tmp_path / "missing")
    with pytest.raises(MissingError, match="mnist5kk: no such folder"):
        load_data(Path("mnist5kk"))
    with pytest.raises(DataError, match="at least two classes; found none"):
        load_data(tmp_path)
    (tmp_path / "only").mkdir()
    with pytest.raises(DataError, match="found only one, 'only'"):
        load_data(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="only: no images"):
        load_data(tmp_path)
    for name in ("only", "other"):
        Image.new("L", (8, 8)).save(tmp_path / name / "0.png")
    with pytest.raises(DataError, match="has one image left, and so none to set aside"):
        load_data(tmp_path)
    with pytest.raises(UsageError, match="skip_broken must be True or False; got 'no'"):
        load_data(tmp_path, skip_broken="no")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="not a folder"):
        load_data(tmp_path / "file")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "minst"}, r"unknown data set 'minst'; did you mean mnist"),
        ({"validation": 1.0}, "validation must be a number of at least 0 and below 1; got 1.0"),
        ({"image_size": 0}, "image_size must be a side"),
        ({"image_size": (8, 8, 1)}, "image_size must be a side"),
        ({"image_size": True}, "image_size must be a side .* got True"),
        ({"memory_limit": "much"}, "memory_limit must be a number of at least 0; got 'much'"),
        ({"channels": 2}, "channels must be one of None, 1, 3, 4; got 2"),
        ({"name": 7}, "a data set is a name, a folder, .* or a Source; got int"),
        ({"target": "masks"}, "mnist5k has labels; masks are in: scenes"),
        ({"target": "boxs"}, "mnist5k has labels; no data set here has 'boxs'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(UsageError, match=message):
        load_data(**arguments)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda data: data.images("tst"), "split must be one of 'train', .* 'all'; got 'tst'"),
        (lambda data: data.targets("tst"), "split must be one of"),
        (lambda data: data.batches("tst"), "split must be one of"),
        (lambda data: data.class_counts("tst"), "split must be one of"),
        (lambda data: data.batches("test", batch_size=0), "batch_size must be an integer of at least 1; got 0"),
        (lambda data: data.batches("test", epochs=(0, 1)), "only training images are shuffled .*, not those of 'test'"),
        (lambda data: data.batches("validation", augment={"flip": True}), "augmented, not those of 'validation'"),
        (lambda data: data.steps(1.5), "batch_size must be an integer of at least 1; got 1.5"),
        (lambda data: data.batches("train", epochs=(2, 1)), "stop of epochs must be an integer of at least 2; got 1"),
        (lambda data: data.batches("train", epochs=2), r"epochs must be a pair \(start, stop\); got 2"),
        (lambda data: data.batches("train", seed=-1), "seed must be an integer of at least 0"),
        (lambda data: data.batches("train", augment={"rotation": 3}), "augmentation 'rotation'; did you mean rotate"),
        (lambda data: data.batches("train", augment={"translate": 2}), "translate must be a number .* below 1; got 2"),
        (lambda data: data.batches("train", augment={"flip": 1}), "flip must be True or False"),
        (lambda data: data.sample(-1), "count must be an integer of at least 1; got -1"),
    ],
)
def test_what_data_does_not_have_is_named(digits, ask, message):
    with pytest.raises(UsageError, match=message):
        ask(digits)


def test_images_larger_than_the_limit_come_from_a_file_and_are_the_same(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path))
    in_memory, on_disk = load_data(photos), load_data(photos, memory_limit=1000)
    assert in_memory._images.base.base is None
    assert isinstance(on_disk._images.base.base.obj, mmap.mmap)
    assert os.listdir(tmp_path) == [photos.name]  # the file of the images has no name
    assert same(batches(in_memory.train), batches(on_disk.train))
    assert same(batches(in_memory.test), batches(on_disk.test))
    assert in_memory.statistics == on_disk.statistics


def test_a_file_of_images_that_does_not_fit_the_disk_is_refused():
    with pytest.raises(DataError, match="GB free; ask for smaller ones"):
        empty(10**9, (1000, 1000), 3, 0)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot set room aside")
def test_a_disk_that_is_full_all_the_same_is_named(monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(DataError, match=f"the images need .* GB in .*{os.strerror(errno.EDQUOT)}.*; ask for smaller"):
        load_data("mnist5k", image_size=32, memory_limit=1000)


@pytest.mark.parametrize(
    "name",
    [
        "mnist/file_format=tfrecord,data_dir=hostile",  # arguments, to tensorflow_datasets
        "mnist/data_dir=hostile",
        "emnist/letters/1.0.0",
        "emnist/letters\n",
        "emnist/",
        "emnist/../kmnist",
        "emnist/let ters",
    ],
)
def test_names_that_say_more_than_a_set_and_its_configuration_are_refused(name, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tfds, "builder", lambda *_: pytest.fail("tensorflow_datasets was asked"))
    with pytest.raises(UsageError, match=r"a data set is NAME or NAME/CONFIG, of letters, digits, _, - and .; got"):
        load_data(name)
    assert not list(tmp_path.iterdir())


def test_an_option_that_the_data_set_does_not_have_is_named(photos):
    with pytest.raises(OptionError, match="unknown option of mnist5k 'image_siz'; did you mean image_size"):
        load_data("mnist5k", image_siz=3)
    with pytest.raises(OptionError, match=f"unknown option of {photos} 'skipbroken'; did you mean skip_broken"):
        load_data(photos, skipbroken=True)
    with pytest.raises(OptionError, match=r"batch_size is an option of data\.batches, not of load_data"):
        load_data("mnist5k", batch_size=64)


def test_a_program_adds_a_data_set_with_targets_of_its_own(monkeypatch):
    monkeypatch.setattr("cnn_zoo.data.sources.SOURCES", dict(SOURCES))
    told = []

    def read(target, *, progress, most=5):
        progress("counting")
        counts = np.random.default_rng(0).integers(0, most, (50, 1)).astype(np.float32)
        images = np.zeros((50, 8, 10, 3), np.uint8)
        images[:, 0, 0] = np.arange(50)[:, None]
        splits = {"test": np.arange(10), "train": np.arange(10, 50)}
        return Source("dots", images, counts, [], target=target, splits=splits)

    add_source("dots", read, targets=("count",), mirrored=True)
    data = load_data("dots", most=3, image_size=(4, 5), channels=1, validation=0.2, progress=told.append)
    assert told == ["counting"]
    assert (data.target, data.num_classes, data.class_names, data.input_shape) == ("count", 1, [], (4, 5, 1))
    assert data.mirrored
    assert [len(data.splits[split]) for split in ("train", "validation", "test")] == [32, 8, 10]
    assert data.options == {
        "target": "count", "validation": 0.2, "image_size": (4, 5), "channels": 1, "skip_broken": False, "most": 3,
    }  # fmt: skip
    assert load_data("dots", **data.options).digest == data.digest != load_data("dots").digest
    _, counts = next(iter(data.test))
    assert counts.dtype == "float32"
    np.testing.assert_array_equal(counts, data.targets("test"))
    with pytest.raises(UsageError, match="dots has no classes to count, but count"):
        data.class_counts("test")
    with pytest.raises(UsageError, match="dots has count; labels are in: most sets that cnn-zoo data lists"):
        load_data("dots", target="labels")
    with pytest.raises(UsageError, match="a data set named 'dots' is already there, read by test_data"):
        add_source("dots", read)
    assert "dots" in repr(data)


def test_a_source_is_taken_as_it_is():
    rng = np.random.default_rng(0)
    images, masks = rng.integers(0, 256, (20, 6, 8, 1), np.uint8), rng.integers(0, 3, (20, 6, 8), np.uint8)
    masks[:, 0, 0] = 255  # belongs to no class
    source = Source("spots", images, masks, ["none", "one", "two"], target="masks")
    data = load_data(source, validation=0.5)
    assert data.class_counts("test") == [(data.targets("test") == number).sum() for number in range(3)]
    smaller = load_data(source, image_size=(3, 4))
    assert np.array_equal(smaller.targets("test"), data.targets("test")[:, 1::2, 1::2])  # no class in between
    with pytest.raises(UsageError, match="spots has masks; labels are in"):
        load_data(source, target="labels")
    with pytest.raises(DataError, match=r"got spots: masks uint8 \(20, 6\), images uint8 \(20, 6, 8, 1\)"):
        Source("spots", images, masks[:, :, 0], [], target="masks")
    with pytest.raises(DataError, match="every image has one target"):
        Source("spots", images[:3], masks, [], target="spots")


def test_names_of_data_sets():
    assert {"mnist5k", "mnist", "fashion_mnist", "cifar10"} <= set(list_datasets())


def test_the_names_of_tfds_sets_are_known_to_tfds():
    import tensorflow_datasets as tfds

    assert set(tfds.list_builders()) >= TFDS


@pytest.mark.parametrize("name", ["kmnist", "rock_paper_scissors", "pneumonia_mnist"])
def test_a_set_of_tfds_is_read_split_by_split(name, tmp_path):
    """Twelve images in the place of a set that is not prepared here."""
    import tensorflow_datasets as tfds

    known = tfds.builder(name)
    if known.is_prepared():
        pytest.skip(f"{name} is prepared in TFDS_DATA_DIR")
    shape, names = known.info.features["image"].shape, known.info.features["label"].names
    rng, rows = np.random.default_rng(0), {}
    counts = {"train": 8, "test": 4} | ({"val": 3} if name == "pneumonia_mnist" else {})
    for split, count in counts.items():
        images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
        rows[split] = [{"image": image, "label": i % len(names)} for i, image in enumerate(images)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        str(known.version),
        data_dir=tmp_path,
        features=known.info.features,
        split_datasets={split: list(enumerate(examples)) for split, examples in rows.items()},
        disable_shuffling=True,
    )
    tfds.core.add_data_dir(tmp_path)
    told = []
    data = load_data(name, validation=0, image_size=shape[:2], progress=told.append)
    assert told == [f"reading {name}: {split}, {count} images" for split, count in counts.items()]
    for split, examples in rows.items():
        images, labels = in_source_order(data, {"val": "validation"}.get(split, split))
        assert np.array_equal(images, [row["image"] for row in examples])
        assert labels.tolist() == [row["label"] for row in examples]
    assert data.class_names == names
    assert load_data(name, validation=0).input_shape == (shape if shape[0] <= 224 else (64, 64, 3))  # as of a folder


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_full_sets_where_they_are_prepared(name):
    import tensorflow_datasets as tfds

    if not tfds.builder(name).is_prepared():
        pytest.skip(f"{name} is not prepared in TFDS_DATA_DIR")
    data = load_data(name)
    sizes = [len(data.splits[split]) for split in ("train", "validation", "test")]
    assert sum(sizes) == {"mnist": 70_000, "fashion_mnist": 70_000, "cifar10": 60_000}[name]
    assert sizes[1] == pytest.approx(0.1 * (sizes[0] + sizes[1]), abs=5)  # rounded class by class
    assert sizes[2] == 10_000
    official = next(tfds.load(name, split="test", as_supervised=True).batch(100).as_numpy_iterator())
    images, labels = in_source_order(data, "test")
    assert np.array_equal(images[:100], official[0])
    assert np.array_equal(labels[:100], official[1])


def test_what_looks_like_a_path_is_a_folder_and_a_bare_name_a_data_set(photos, tmp_path, monkeypatch, no_report):
    monkeypatch.chdir(tmp_path)
    photos.rename("mnist5k")
    with pytest.warns(UserWarning, match="mnist5k is the data set of that name here; write ./mnist5k for the folder"):
        data = load_data("mnist5k")
    assert (data.num_classes, data.folder) == (10, "")
    for name in ("./mnist5k", "mnist5k/", tmp_path / "mnist5k"):
        data = load_data(name, image_size=16)
        assert (data.num_classes, data.folder) == (3, str(tmp_path / "mnist5k"))
    run = train("conv_stack", data, epochs=1, out="run", verbose=0, model_options={"padding": "same"})
    assert run.config["data"] == str(tmp_path / "mnist5k")
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "mnist5k").rename("cifar10/train")
    assert load_data("cifar10/train", image_size=16).num_classes == 3
    run = train("conv_stack", "cifar10/train", recipe="accurate", epochs=1, verbose=0, data_options={"image_size": 28})
    assert "flip" not in run.config["recipe"]["augment"]  # CIFAR-10 may be flipped; these may be letters
    assert str(run.path) == "runs/conv_stack-train"
