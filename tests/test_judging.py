"""Judging: scikit-learn's numbers, intervals that hold what they say, and words about what was judged."""

import json
import math
import shutil
import warnings

import keras
import numpy as np
import pytest
import sklearn.metrics as sk
from PIL import Image

from cnn_zoo import Source, build_model, cross_validate, evaluate, folds, load_data, load_run, predict, train
from cnn_zoo.cli import main
from cnn_zoo.core.errors import DataError, RunError, UsageError
from cnn_zoo.core.files import read_json, write_json
from cnn_zoo.core.intervals import mean_share, wilson
from cnn_zoo.inference import plain_result
from cnn_zoo.report import summary
from cnn_zoo.tasks import CLASSIFICATION, MULTILABEL, SEGMENTATION, metrics
from cnn_zoo.tasks.metrics import Scores
from conftest import SMALL


def judged(task, targets, outputs, names, batches=1, **options):
    """The result of a judge that is given outputs in so many batches."""
    inputs = keras.Input((4, 4, 1))
    last = keras.layers.Dense(len(names), activation=task.activation)(keras.layers.Flatten()(inputs))
    judge = task.judge(keras.Model(inputs, last), names, **options)
    for part in np.array_split(np.arange(len(targets)), batches):
        judge.add(np.zeros((len(part), 4, 4, 1), np.float32), targets[part], np.float32(outputs[part]))
    return judge.result()


def defined(value):
    """scikit-learn's NaN for what is not defined is our None."""
    return None if math.isnan(value) else pytest.approx(value, abs=1e-12)


def expected_of(positive, scores, specificity):
    """What scikit-learn says of the scores of a class."""
    if not positive.any() or positive.all():
        return {"auc": None, "sensitivity": None}
    wrong, found, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    allowed = wrong <= 1 - specificity + 1e-12
    return {
        "auc": pytest.approx(sk.roc_auc_score(positive, scores), abs=1e-12),
        "sensitivity": pytest.approx(found[allowed].max(), abs=1e-12),
    }


CASES = {  # classes, images, step of the probabilities, classes that are there
    "two classes": (2, 200, 0, (0, 1)), "many": (7, 400, 0, range(7)), "ties": (3, 300, 0.1, range(3)),
    "two with ties": (2, 300, 0.25, (0, 1)), "absent": (6, 100, 0.1, (0, 2, 5)), "one alone": (3, 50, 0.1, (1,)),
    "few": (4, 6, 0.1, range(4)), "perfect": (3, 60, None, range(3)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_numbers_of_classes_are_scikit_learns(case):
    count, images, step, there = CASES[case]
    rng = np.random.default_rng(len(case))
    labels = rng.choice(list(there), images)
    scores = rng.dirichlet(np.ones(count), images) + np.eye(count)[labels] * rng.random((images, 1))
    if step is None:
        scores = np.eye(count)[labels]
    elif step:
        scores = np.round(scores / step) * step
    scores = np.float32(scores / scores.sum(1, keepdims=True))
    names, every, predicted = [f"class {i}" for i in range(count)], list(range(count)), scores.argmax(1)
    result = judged(CLASSIFICATION, labels, scores, names, batches=3, specificity=0.9)
    assert result["accuracy"] == sk.accuracy_score(labels, predicted)
    assert np.array_equal(result["confusion"], sk.confusion_matrix(labels, predicted, labels=every))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are predicted and not there
        assert result["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted), abs=1e-12)
        columns = sk.precision_recall_fscore_support(labels, predicted, labels=every, zero_division=np.nan)
    for number, name in enumerate(names):
        found, positive = result["classes"][name], labels == number
        for key, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
            assert found[key] == defined(float(column[number])), (name, key)
        for key, value in expected_of(positive, scores[:, number], 0.9).items():
            assert found[key] == value, (name, key)
        precision = sk.average_precision_score(positive, scores[:, number]) if positive.any() else math.nan
        assert found["average_precision"] == defined(precision)
    if count > 5:
        assert result["top5"] == sk.top_k_accuracy_score(labels, scores, k=5, labels=every)
    else:
        assert "top5" not in result
    if count == 2:
        assert result["auc"] == pytest.approx(sk.roc_auc_score(labels, scores[:, 1]), abs=1e-12)
    elif set(there) == set(every) and len(set(labels)) == count:
        macro = np.mean([sk.roc_auc_score(labels == number, scores[:, number]) for number in every])
        assert result["auc"] == pytest.approx(macro, abs=1e-12)
        precisions = sk.average_precision_score(np.eye(count)[labels], scores, average="macro")
        assert result["average_precision"] == pytest.approx(precisions, abs=1e-12)
    assert result["majority_accuracy"] == np.bincount(labels).max() / images


def test_images_of_one_class_have_a_recall_and_no_auc():
    labels, scores = np.ones(140, int), np.float32([[0.2, 0.8, 0]] * 133 + [[0.7, 0.2, 0.1]] * 7)
    result = judged(CLASSIFICATION, labels, scores, ["cat", "dog", "fox"])
    dog, cat = result["classes"]["dog"], result["classes"]["cat"]
    assert (dog["recall"], dog["precision"], dog["auc"]) == (0.95, 1, None)
    assert (cat["recall"], cat["precision"], cat["average_precision"]) == (None, 0, None)
    assert (result["auc"], result["balanced_accuracy"]) == (None, 0.95)
    table = CLASSIFICATION.table(result)
    assert table.rows[0] == ("cat", "0.000 (0.00-0.35)", "-", "0.000", "0")
    assert table.heads == ("class", "precision", "recall", "F1", "images")


def test_several_classes_an_image_are_judged_as_scikit_learn_does():
    rng = np.random.default_rng(3)
    targets = (rng.random((300, 4)) < [0.5, 0.2, 0.02, 0]).astype(np.uint8)
    scores = np.float32(np.round((targets * 0.3 + rng.random((300, 4)) * 0.7) * 20) / 20)
    names = list("abcd")
    result = judged(MULTILABEL, targets, scores, names, batches=4)
    columns = sk.precision_recall_fscore_support(targets, scores >= 0.5, zero_division=np.nan)
    for number, name in enumerate(names):
        found = result["classes"][name]
        for key, column in zip(("precision", "recall", "f1", "support"), columns, strict=True):
            assert found[key] == defined(float(column[number])), (name, key)
        for key, value in expected_of(targets[:, number] > 0, scores[:, number], 0.95).items():
            assert found[key] == value, (name, key)
    known = targets[:, :3], scores[:, :3]
    assert result["average_precision"] == pytest.approx(sk.average_precision_score(*known), abs=1e-12)
    assert result["auc"] == pytest.approx(sk.roc_auc_score(*known), abs=1e-12)
    assert result["exact_match"] == sk.accuracy_score(targets, scores >= 0.5)
    every = sk.f1_score(targets[:, :3], np.ones((300, 3)), average="macro")
    assert result["baseline_f1"] == pytest.approx(every)
    same = sk.average_precision_score(targets[:, :3], np.ones((300, 3)))
    assert result["baseline_average_precision"] == pytest.approx(same)
    loss = keras.losses.BinaryCrossentropy()(targets.astype(np.float32), scores)
    assert result["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_classes_of_pixels_are_scikit_learns():
    rng = np.random.default_rng(4)
    masks, outputs = rng.integers(0, 3, (5, 4, 4)), rng.dirichlet(np.ones(4), (5, 4, 4))
    result = judged(SEGMENTATION, masks.astype(np.uint8), outputs, list("abcd"))
    pixels = masks.ravel(), outputs.argmax(-1).ravel()
    columns = sk.precision_recall_fscore_support(*pixels, labels=range(4), zero_division=np.nan)
    iou = sk.jaccard_score(*pixels, labels=range(4), average=None)
    for number, found in enumerate(result["classes"].values()):
        for key, column in zip(("precision", "recall", "f1", "pixels"), columns, strict=True):
            assert found[key] == defined(float(column[number]))
        assert found["iou"] == pytest.approx(iou[number])
        assert "recall_interval" not in found  # pixels are not independent of each other
    assert SEGMENTATION.table(result).rows[3][2] == "0.000"


def test_scores_are_kept_within_a_limit_and_left_out_with_a_word(monkeypatch):
    rng = np.random.default_rng(5)
    labels, scores = rng.integers(0, 3, 40), rng.dirichlet(np.ones(3), 40)
    whole = judged(CLASSIFICATION, labels, scores, list("abc"))
    assert whole["notes"] == []
    monkeypatch.setattr(metrics, "KEPT", 100)
    result = judged(CLASSIFICATION, labels, scores, list("abc"), batches=4)
    [note] = result["notes"]
    assert "AUC, average precision and sensitivity are left out" in note
    assert (result["auc"], result["accuracy"]) == (None, whole["accuracy"])
    assert CLASSIFICATION.lines(result)
    assert "AUC" not in CLASSIFICATION.table(result).heads


def test_of_many_classes_the_table_has_the_worst():
    labels = np.repeat(np.arange(60), 4)
    predicted = labels.copy()
    predicted[::4][:35] = 59  # a mistake in each of 35 classes
    result = judged(CLASSIFICATION, labels, np.eye(61)[predicted], [f"c{i}" for i in range(61)])
    table = CLASSIFICATION.table(result)
    assert len(table.rows) == 40
    assert table.rows[0][0] == "c59"
    assert {row[0] for row in table.rows} > {f"c{i}" for i in range(35)}
    assert "c60" not in {row[0] for row in table.rows}  # of which there is nothing to tell
    assert table.text.startswith("The 40 of 61 classes with the lowest F1.")


def test_wilsons_interval_is_the_published_one():
    """Newcombe 1998, table I, method 3."""
    for part, whole, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        assert wilson(part, whole) == pytest.approx((low, high), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_delongs_error_is_the_published_one():
    """The CT ratings of Hanley and McNeil 1982, as Stata's roctab judges them: 0.8932, 0.0307, 0.83295 to 0.95339."""
    ratings = np.arange(1.0, 6)
    scores = np.concatenate([ratings.repeat([33, 6, 6, 11, 2]), ratings.repeat([3, 2, 2, 11, 33])])
    found = Scores(scores, np.arange(len(scores)) >= 58)
    assert found.auc() == pytest.approx(0.8932, abs=5e-5)
    plain = [found.auc() + side * 1.959964 * found.auc_error() for side in (-1, 1)]
    assert plain == pytest.approx([0.83295, 0.95339], abs=1e-5)
    low, high = found.auc_interval()
    assert plain[0] - 0.02 < low < found.auc() < high < plain[1]
    assert Scores(np.array([0.1, 0.9]), np.array([False, True])).auc_interval() is None


@pytest.mark.parametrize(("shift", "counts"), [(0.5, (40, 40)), (1.8, (60, 20)), (2.5, (100, 100))])
def test_the_interval_of_the_auc_covers_the_true_one(shift, counts):
    rng = np.random.default_rng(6)
    true, positive = 0.5 * (1 + math.erf(shift / 2)), np.arange(sum(counts)) >= counts[0]
    covered = []
    for _ in range(400):
        interval = Scores(rng.normal(size=len(positive)) + shift * positive, positive).auc_interval()
        covered.append(interval is None or interval[0] <= true <= interval[1])
    assert 0.92 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("recalls", [(0.9, 0.6), (0.99, 0.95, 0.5), (0.8, 0.8, 0.8, 0.97)])
def test_the_interval_of_the_balanced_accuracy_covers_the_true_one(recalls):
    rng, totals = np.random.default_rng(7), [120, 15, 30, 40][: len(recalls)]
    covered = []
    for _ in range(1000):
        mean, low, high = mean_share(rng.binomial(totals, recalls).tolist(), totals)
        assert low <= mean <= high
        covered.append(low <= np.mean(recalls) <= high)
    assert 0.93 <= np.mean(covered) <= 0.985
    assert mean_share([20, 10], [20, 10])[1] < 0.95  # all right is no certainty


def test_all_of_a_set_is_judged_and_said_in_words(run, digits):
    result = evaluate(run, digits, "all")
    assert result["images"] == result["confusion"].sum() == 5000
    assert result["judged"] == "5,000 images of 10 classes, all of mnist5k"
    assert result["notes"] == [
        "among these are the images that the net was trained on: the numbers say little of others"
    ]
    parts = [evaluate(run, digits, split) for split in digits.splits]
    assert np.array_equal(result["confusion"], sum(part["confusion"] for part in parts))
    assert [len(part["notes"]) for part in parts] == [1, 1, 0]
    assert parts[2]["judged"] == "1,000 images of 10 classes, the test split of mnist5k"
    assert np.array_equal(digits.indices("all"), np.arange(5000))
    with pytest.raises(UsageError, match="split must be one of 'train', 'validation', 'test', 'all'; got 'al'"):
        evaluate(run, digits, "al")
    with pytest.raises(UsageError, match="specificity must be a number of at least 0 and at most 1; got 95"):
        evaluate(run, digits, specificity=95)


def test_images_that_published_weights_were_trained_on_are_said_to_be_so(digits, run):
    published, note = load_run("lenet5-mnist"), "all images of mnist5k are training images of mnist"
    with pytest.warns(UserWarning, match=note):
        result = evaluate(published, digits)
    assert result["notes"][0].startswith(note)
    with pytest.warns(UserWarning, match=note):
        evaluate(build_model("lenet5", weights="mnist"), digits)
    rng = np.random.default_rng(0)
    mnist = Source("mnist", rng.integers(0, 256, (40, 28, 28, 1), np.uint8), np.arange(40) % 10, digits.class_names)
    part = {"train": np.arange(20), "test": np.arange(20, 40)}
    mnist = load_data(Source(mnist.name, mnist.images, mnist.targets, mnist.class_names, splits=part), validation=0)
    with pytest.warns(
        UserWarning, match="mnist5k, which the net was trained on, is a part of the training images of mni"
    ):
        evaluate(run, mnist, "train")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(run, mnist)["notes"] == evaluate(published, mnist)["notes"] == []
        assert evaluate(build_model("lenet5"), digits)["notes"] == []


def test_a_result_goes_into_json(run, digits):
    result = evaluate(run, digits)
    plain = json.loads(json.dumps(plain_result(result), allow_nan=False))
    assert plain["confusion"] == result["confusion"].tolist()
    assert plain["classes"] == result["classes"]
    assert (plain["judged"], plain["notes"], plain["images"]) == (result["judged"], [], 1000)
    assert "mistakes" not in plain
    again = load_run(run.path)
    assert again.metrics["test_classes"] == result["classes"]
    assert again.metrics["test_balanced_accuracy"] == result["balanced_accuracy"]


def test_the_report_has_a_table_of_the_classes_and_a_baseline(run):
    report = (run.path / "report.md").read_text("utf-8")
    assert "| class | precision | recall | F1 | images | AUC | AP | sens. at 0.95 |" in report
    rows = [line for line in report.splitlines() if line.startswith("| 7 |")]
    found = run.metrics["test_classes"]["7"]
    assert len(rows) == 1
    assert f"| {found['f1']:.3f} | {found['support']} |" in rows[0]
    assert "| test baseline | 10.00% by always naming the commonest class |" in report


@pytest.fixture(scope="module")
def rare(digits):
    """Arrays of 190 threes and 10 eights, and all the others of these digits to judge by."""
    images, labels = (
        np.concatenate([part(split) for split in digits.splits]) for part in (digits.images, digits.targets)
    )
    threes, eights = images[labels == 3], images[labels == 8]
    mixed = np.concatenate([threes[:190], eights[:10]]), np.arange(200) // 190
    others = np.concatenate([threes[190:440], eights[10:260]]), np.arange(500) // 250
    return mixed, load_data(others, validation=0)


def test_balanced_weights_find_more_of_a_rare_class(rare, tmp_path):
    (images, labels), others = rare
    options = {**SMALL, "data": (images, labels), "epochs": 12, "batch_size": 32}
    plain = train(out=tmp_path / "plain", **options)
    run = train(out=tmp_path / "run", class_weight="balanced", **options)
    recalls = [evaluate(each, others, "all")["classes"]["1"]["recall"] for each in (plain, run)]
    assert recalls[1] > recalls[0] + 0.2
    arrays = others.images("all"), others.targets("all")
    result = evaluate(run, arrays, "all")
    assert (result["classes"]["1"]["recall"], result["notes"]) == (recalls[1], [])
    assert evaluate(run, arrays)["notes"] == ['arrays has 500 images in all; split "all" judges every one']
    assert evaluate(run, load_data((images, labels)), "all")["notes"][0].startswith("among these are the images that")
    counts = load_data((images, labels)).class_counts("train")
    assert run.config["class_weight"] == pytest.approx([sum(counts) / (2 * count) for count in counts])
    assert plain.config["class_weight"] == []
    assert "| class weights | 0 " in (run.path / "report.md").read_text("utf-8")
    with pytest.raises(RunError, match="holds another run: its class_weight is"):
        train(out=run.path, resume=True, **options)
    same = train(out=run.path, resume=True, class_weight="balanced", **options)
    assert same.metrics == run.metrics
    shown = dict(CLASSIFICATION.lines(evaluate(run, load_data((images, labels)))))
    assert shown["baseline"] == "95.00% by always naming the commonest class"
    assert "the mean of all recalls (95 % interval" in shown["balanced accuracy"]
    assert "AUC" in shown


@pytest.mark.parametrize(
    ("given", "weights"),
    [({"8": 3}, [1] * 8 + [3.0, 1]), ({8: 3, 0: 0.5}, [0.5] + [1] * 7 + [3.0, 1]), ({}, [1] * 10)],
)
def test_weights_of_classes_are_by_name_or_number(given, weights, digits):
    from cnn_zoo.training import _class_weights

    assert _class_weights(given, CLASSIFICATION, digits) == weights


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("balance", 'class_weight must be "balanced" or a dictionary of classes and numbers; got \'balance\''),
        ({"eight": 3}, "unknown class in class_weight 'eight'"), ({10: 3}, "unknown class in class_weight 10"),
        ({"8": -1}, "class_weight of 8 must be a number of at least 0 .*; got -1"),
        ({"8": 1e300}, "class_weight of 8 must be .* at most 1000000; got 1e[+]300"),
        ([1.0] * 10, "class_weight must be"),
    ],
)  # fmt: skip
def test_weights_that_no_class_can_have_are_refused(given, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        train(out=tmp_path / "run", class_weight=given, **SMALL)
    assert not (tmp_path / "run").exists()


def test_weights_are_for_labels(tmp_path):
    options = {
        "class_weight": "balanced",
        "verbose": 0,
        "data_options": {"counts": [20, 8, 8]},
        "out": tmp_path / "run",
    }
    with pytest.raises(UsageError, match="class_weight is for labels; segmentation has masks"):
        train("unet", "scenes", **options)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A run that learned which of three shapes are in an image, and the images."""
    rng, count = np.random.default_rng(0), 700
    there = rng.random((count, 3)) < [0.5, 0.4, 0.3]
    images = rng.integers(0, 60, (count, 16, 16, 1), np.uint8)
    for image, (bar, beam, block) in zip(images, there, strict=True):
        row, column = rng.integers(1, 14, 2)
        image[:, column] |= 180 * np.uint8(bar)
        image[row] |= 180 * np.uint8(beam)
        image[row : row + 3, column : column + 3] ^= 255 * np.uint8(block)
    source = Source("shapes", images, there.astype(np.uint8), ["bar", "beam", "block"], "multi_hot")
    options = {**SMALL, "epochs": 12, "batch_size": 32, "augment": {}, "learning_rate": 0.01}
    data, out = load_data(source), tmp_path_factory.mktemp("several") / "run"
    return train(data=data, task="multilabel", out=out, **options), data


def test_several_classes_an_image_are_learned_judged_and_named(several):
    run, data = several
    metrics, again = run.metrics, load_run(run.path)
    assert again.config["model_options"]["classifier_activation"] == "sigmoid"
    assert again.model.loss.name == "binary_crossentropy"
    result = evaluate(again, data)
    assert result["average_precision"] == metrics["test_average_precision"]
    assert result["judged"] == f"{len(data.splits['test'])} images of 3 classes, the test split of shapes"
    images, targets = data.images("test"), data.targets("test")
    found, ranked = predict(again, images), predict(again, images, top=3)
    assert [len(pairs) for pairs in ranked] == [3] * len(images)
    for named, pairs in zip(found, ranked, strict=True):
        assert named == [pair for pair in pairs if pair[1] >= 0.5]
        assert [p for _, p in pairs] == sorted((p for _, p in pairs), reverse=True)
    exact = [{name for name, _ in named} for named in found]
    right = [{data.class_names[i] for i in np.flatnonzero(row)} for row in targets]
    assert np.mean([a == b for a, b in zip(exact, right, strict=True)]) == pytest.approx(result["exact_match"])
    [alone] = predict(run.model, images[:1])
    assert [data.class_names[int(name)] for name, _ in alone] == [name for name, _ in found[0]]
    assert evaluate(run.model, data)["f1"] == pytest.approx(result["f1"])
    assert metrics["test_average_precision"] > metrics["test_baseline_average_precision"] + 0.4
    assert metrics["test_f1"] > metrics["test_baseline_f1"] + 0.2
    assert "average_precision" in run.history
    report = (run.path / "report.md").read_text("utf-8")
    assert "by the same answer to every image" in report
    assert "| beam | " in report


def test_heads_and_tasks_that_do_not_fit_are_told(several, digits, tmp_path):
    options = {**SMALL, "out": tmp_path / "run"}
    softmax, sigmoid = (SMALL["model_options"] | {"classifier_activation": kind} for kind in ("softmax", "sigmoid"))
    with pytest.raises(UsageError, match="conv_stack must end in sigmoid or logits; its last layer has softmax"):
        train(data=several[1], task="multilabel", **{**options, "model_options": softmax})
    with pytest.raises(UsageError, match="shapes has multi_hot; classification needs labels"):
        train(data=several[1], **options)
    with pytest.raises(UsageError, match="must end in softmax or logits; its last layer has sigmoid"):
        train(**{**options, "model_options": sigmoid})
    with pytest.raises(UsageError, match="mnist5k has labels; multilabel needs multi_hot"):
        evaluate(several[0], load_data("mnist5k", image_size=16))
    assert not (tmp_path / "run").exists()
    model = build_model("lenet5", num_classes=4, classifier_activation="sigmoid")
    assert model.loss.name == "binary_crossentropy"
    assert len(predict(model, digits.images("test")[:1], top=2)[0]) == 2
    assert build_model("resnet20", num_classes=1, classifier_activation="sigmoid").output_shape == (None, 1)


@pytest.fixture(scope="module")
def folded(rare, tmp_path_factory):
    """Three folds of 300 threes and 60 eights, two of them before and one after an interruption."""
    images, labels = (rare[1].images("all"), rare[1].targets("all"))
    kept = np.concatenate([np.flatnonzero(labels == 0)[:200], np.flatnonzero(labels == 1)[:100]])
    options = {**SMALL, "data": (images[kept], labels[kept]), "epochs": 4, "batch_size": 32, "learning_rate": 0.01}
    out, original = tmp_path_factory.mktemp("folds") / "folds", folds.train

    def stopped(*args, out, **options):
        if out.name == "fold3":
            raise KeyboardInterrupt
        return original(*args, out=out, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(folds, "train", stopped)
        with pytest.raises(KeyboardInterrupt) as stop:
            cross_validate(folds=3, out=out, **options)
    assert stop.value.__notes__ == [f"interrupted in fold 3 of 3; the same command goes on with --out {out} --resume"]
    before = (out / "fold1/metrics.json").stat().st_mtime_ns
    found = cross_validate(folds=3, out=out, resume=True, **options)
    assert (out / "fold1/metrics.json").stat().st_mtime_ns == before
    return found, options


def test_every_image_is_judged_once_by_a_net_that_was_not_trained_on_it(folded):
    found, options = folded
    assert len(found.runs) == 3
    tested = [load_data(options["data"], fold=(number, 3)).splits["test"] for number in (1, 2, 3)]
    assert np.array_equal(np.sort(np.concatenate(tested)), np.arange(300))
    assert found.result["images"] == 300
    assert found.result["confusion"].sum(1).tolist() == [200, 100]
    parts = [run.metrics["test_accuracy"] for run in found.runs]
    assert found.metrics["test_accuracy"] == (pytest.approx(np.mean(parts)), pytest.approx(np.std(parts, ddof=1)))
    assert found.result["accuracy"] == pytest.approx(np.mean(parts))
    assert found.result["accuracy"] > found.result["majority_accuracy"] + 0.1
    rows = (found.path / "folds.csv").read_text().splitlines()
    assert rows[0].startswith("fold,train_images,test_images,test_accuracy,test_loss")
    assert len(rows) == 4
    report = (found.path / "report.md").read_text("utf-8")
    assert f"mean of the folds {np.mean(parts):.4f}, standard deviation {np.std(parts, ddof=1):.4f}" in report
    assert "| 1 | " in report
    assert (found.path / "confusion.png").is_file()


def test_folds_have_a_folder_of_their_own(folded, run, tmp_path):
    found, options = folded
    with pytest.raises(RunError, match="is not empty; choose another folder, or go on with the folds"):
        cross_validate(folds=3, out=found.path, **options)
    with pytest.raises(RunError, match="holds a run; folds need a folder of their own"):
        cross_validate(folds=3, out=run.path, resume=True, **options)
    with pytest.raises(RunError, match="holds another run: its data_options fold"):
        cross_validate(folds=2, out=found.path, resume=True, **options)
    with pytest.raises(UsageError, match="cross_validate splits the data itself"):
        cross_validate(**{**options, "data": load_data("mnist5k")}, out=tmp_path / "x")
    with pytest.raises(UsageError, match="folds must be an integer of at least 2; got 1"):
        cross_validate(folds=1, out=tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def folders(digits, tmp_path_factory):
    """A run on a folder of threes and eights, and folders of other images: one of eights alone, one of both."""
    root, images, labels = tmp_path_factory.mktemp("folders"), digits.images("test"), digits.targets("test")
    for folder, label, part in (
        ("own", 3, slice(0, 40)), ("own", 8, slice(0, 20)), ("one", 8, slice(40, 80)),
        ("both", 3, slice(40, 60)), ("both", 8, slice(40, 45)), ("strange", 3, slice(60, 65)), ("strange", 5, slice(5)),
    ):  # fmt: skip
        (root / folder / f"digit {label}").mkdir(parents=True)
        for number, image in enumerate(images[labels == label][part]):
            Image.fromarray(image[..., 0]).save(root / folder / f"digit {label}" / f"{number}.png")
    return root, train(data=root / "own", out=root / "run", **{**SMALL, "epochs": 15})


def test_a_folder_of_one_class_is_judged_whole(folders):
    root, run = folders
    result = evaluate(run, root / "one", "all")
    assert (result["images"], result["majority_accuracy"]) == (40, 1)
    assert result["judged"].startswith("40 images of 1 class, all of ")
    assert result["classes"]["digit 8"]["recall"] == result["accuracy"]
    assert result["classes"]["digit 3"]["recall"] is None
    both = evaluate(run, root / "both", "all")
    assert [found["support"] for found in both["classes"].values()] == [20, 5]
    found = predict(run, sorted((root / "both").rglob("*.png")))
    named = ["digit 3"] * 20 + ["digit 8"] * 5
    assert both["accuracy"] == np.mean([name == right for (name, _), right in zip(found, named, strict=True)])
    part = evaluate(run, root / "both")
    assert part["images"] == 5
    assert part["notes"] == [f'{load_data(root / "both").name} has 25 images in all; split "all" judges every one']
    with pytest.raises(DataError, match="digit 5"):
        evaluate(run, root / "strange", "all")


def test_judging_on_the_command_line(folders, capsys, tmp_path, monkeypatch):
    root, run = folders
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(run.path), "--data", str(root / "one"), "--split", "all", "--json", "out.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"conv_stack of {run.path}: 40 images of 1 class, all of ")
    assert lines[1].split()[0] == "accuracy"
    assert any(line.split() == ["class", "precision", "recall", "F1", "images"] for line in lines)
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["images"] == 40
    assert written["classes"]["digit 3"]["recall"] is None
    assert main(["evaluate", str(run.path), "--json", "out.json"]) == 1
    assert "out.json is there already" in capsys.readouterr().err
    assert main(["evaluate", str(run.path), "--specificity", "95"]) == 2
    assert "specificity must be a number of at least 0 and at most 1" in capsys.readouterr().err
    assert main(["evaluate", "lenet5-mnist", "--data", "mnist5k", "--specificity", "0.9"]) == 0
    out, errors = capsys.readouterr()
    assert out.count("training images of mnist, which the net was trained on") == 1
    assert "training images" not in errors
    assert "sens. at 0.9" in out
    options = "--epochs 1 --set filters=2,4 --set units=4 --verbose".split()[:-1]
    assert main(["train", "--data", str(root / "own"), "--folds", "2", "--class-weight", "digit 8=2", *options]) == 0
    assert "all images, accuracy" in capsys.readouterr().out
    assert load_run(tmp_path / "runs/conv_stack-own-folds/fold2").config["class_weight"] == [1, 2]
    assert main(["train", "--task", "multilabel", "--data", "scenes", "--out", "several", *options]) == 0
    assert "test mean average precision" in capsys.readouterr().out
    assert main(["train", "--class-weight", "balanced", "--task", "multilabel", "--data", "scenes"]) == 2
    assert "class_weight is for labels; multilabel has multi_hot" in capsys.readouterr().err


def test_classes_are_the_nets_whatever_numbers_and_columns_a_data_set_gives_them(several, digits):
    run, data = several
    order = [2, 0]  # of its classes, in another order
    part = Source("part", data.images("test"), data.targets("test")[:, order], ["block", "bar"], "multi_hot")
    result, whole = evaluate(run, load_data(part, validation=0), "all"), evaluate(run, data)
    for name in part.class_names:
        assert result["classes"][name] == whole["classes"][name]
    assert result["classes"]["beam"]["support"] == 0
    few = load_data((digits.images("test")[:60], np.arange(60) % 3))
    result = evaluate(build_model("lenet5"), few, "all")  # of ten classes
    assert result["confusion"].shape == (10, 10)
    assert result["confusion"].sum(1).tolist() == [20] * 3 + [0] * 7
    assert list(result["classes"]) == [str(number) for number in range(10)]
    assert result["judged"] == "60 images of 3 classes, all of arrays"


@pytest.mark.parametrize(
    "change", [{"test_accuracy": None}, {"test_images": 0}, {"test_classes": {"0": {}}}, {"test_loss": 10**400}]
)
def test_numbers_that_no_judge_gave_are_told_when_a_run_is_summed_up(change, run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    metrics = read_json(run.path / "metrics.json") | change
    write_json(tmp_path / "run/metrics.json", metrics)
    with pytest.raises(RunError, match=r"metrics\.json does not hold what classification is judged by"):
        summary(load_run(tmp_path / "run"))
    write_json(tmp_path / "run/metrics.json", metrics | {"test_classes": {"0": {"recall": "high"}}})
    with pytest.raises(RunError, match="'test_classes' is not a number, nor numbers alone"):
        load_run(tmp_path / "run")
