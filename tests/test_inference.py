"""Predicting: every kind of image means the same, and what is not an image is named."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from cnn_zoo import build_model, evaluate, load_data, predict
from cnn_zoo.core.errors import DataError, MissingError, UsageError
from cnn_zoo.data import source
from cnn_zoo.data.images import batches_of, to_array


@pytest.fixture(scope="module")
def some(digits):
    return digits.images("test")[:5]


def as_batch(images, input_shape):
    (batch, _), *others = batches_of(images, input_shape, 100)
    assert not others
    return batch


def close(a, b, tolerance=1e-5):
    assert [name for name, _ in a] == [name for name, _ in b]
    np.testing.assert_allclose([p for _, p in a], [p for _, p in b], atol=tolerance)


def test_every_kind_of_image_gives_the_same(run, some, tmp_path):
    expected = predict(run, some)
    assert len(expected) == 5
    assert all(name in run.class_names and 0 < probability <= 1 for name, probability in expected)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path, image in zip(paths, some, strict=True):
        Image.fromarray(image[..., 0]).save(path)
    close(predict(run, some / np.float32(255)), expected)
    close(predict(run, some / 255.0), expected)
    close(predict(run, some[..., 0]), expected)
    close(predict(run, list(some)), expected)
    close(predict(run, paths), expected)
    close(predict(run, [str(path) for path in paths]), expected)
    close(predict(run, np.array([str(path) for path in paths])), expected)
    close(predict(run, np.array(paths)), expected)
    close(predict(run, [Image.open(path) for path in paths]), expected)
    close(predict(run, np.repeat(some, 3, -1)), expected)  # grey as colour
    close(predict(run, np.repeat(some, 3, -1) / 255.0), expected, 1e-4)
    close(predict(run.model, some), expected)
    for one in (paths[0], some[0], some[0, ..., 0], Image.open(paths[0])):
        close(predict(run, one), expected[:1])


def test_other_sizes_are_brought_to_the_models(run, some):
    large = np.repeat(np.repeat(some, 4, 1), 4, 2)
    for images in (large, large / 255.0):
        batch = as_batch(images, (28, 28, 1))
        assert np.abs(batch - some / 255).mean() < 0.03  # the antialiasing filter looks at the neighbours too
        close(predict(run, images), predict(run, batch))
    wide = as_batch(np.zeros((10, 90, 3), np.uint8), (28, 28, 1))
    assert wide.shape == (1, 28, 28, 1)


def test_images_are_read_batch_by_batch_and_come_with_their_own_sizes(tmp_path, some):
    rng, exif, sizes = np.random.default_rng(0), Image.Exif(), [(9, 12), (30, 20), (28, 28), (5, 50), (40, 40)]
    paths, pictures = [tmp_path / f"{i}.png" for i in range(5)], []
    exif[0x0112] = 6  # lies on its side
    for path, (height, width) in zip(paths, sizes, strict=True):
        picture = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        sideways = Image.fromarray(np.ascontiguousarray(np.rot90(np.asarray(picture))))
        sideways.save(path, exif=exif)
        pictures.append(picture)
    expected = [to_array(picture, (28, 28), 1).astype(np.float32) / np.float32(255) for picture in pictures]
    for images in (paths, pictures, [np.asarray(picture) for picture in pictures]):
        found = list(batches_of(images, (28, 28, 1), 2))
        assert [len(batch) for batch, _ in found] == [2, 2, 1]
        assert [own for _, part in found for own in part] == sizes
        np.testing.assert_array_equal(np.concatenate([batch for batch, _ in found]), expected)
        assert {batch.dtype for batch, _ in found} == {np.dtype(np.float32)}
    found = list(batches_of(some, (28, 28, 1), 2))
    assert [len(batch) for batch, _ in found] == [2, 2, 1]
    assert [own for _, part in found for own in part] == [(28, 28)] * 5

    def endless():  # no more is asked for than a batch
        yield from paths[:2]
        pytest.fail("was read ahead")

    assert len(next(batches_of(endless(), (28, 28, 1), 2))[0]) == 2
    with pytest.raises(MissingError, match=r"none\.png: no such file"):
        list(batches_of([*paths, tmp_path / "none.png"], (28, 28, 1), 4))
    with pytest.raises(DataError, match="images of different sizes need a model with a fixed input size"):
        list(batches_of(paths[:2], (None, None, 1), 1))


def test_a_batch_of_large_images_is_small():
    images, sizes = np.zeros((300, 4, 4, 3), np.uint8), (32, 224, 4096)
    found = {side: len(next(batches_of(images, (side, side, 3), 256))[0]) for side in sizes}
    assert found == {32: 256, 224: 27, 4096: 1}  # 17 MB


def test_the_best_classes_in_order(run, some):
    ranked = predict(run, some, top=3)
    assert [len(pairs) for pairs in ranked] == [3] * 5
    for pairs, (name, probability) in zip(ranked, predict(run, some), strict=True):
        assert pairs[0] == (name, probability)
        assert [p for _, p in pairs] == sorted((p for _, p in pairs), reverse=True)
    assert sum(p for _, p in predict(run, some[:1], top=10)[0]) == pytest.approx(1, abs=1e-5)


def test_inverting_exchanges_black_and_white(run, some):
    close(predict(run, 255 - some, invert=True), predict(run, some))
    model, rng = build_model("lenet5", (28, 28, 4)), np.random.default_rng(0)
    seen = rng.integers(0, 256, (2, 28, 28, 4), np.uint8)  # the fourth channel is opacity, which stays
    inverted = np.concatenate([255 - seen[..., :3], seen[..., 3:]], axis=-1)
    close(predict(model, inverted, invert=True), predict(model, seen))


def test_logits_become_probabilities(some):
    model = build_model("lenet5", classifier_activation=None)
    assert sum(p for _, p in predict(model, some[:1], top=10)[0]) == pytest.approx(1, abs=1e-5)


def test_names_of_classes_for_a_model(some):
    model = build_model("lenet5", num_classes=3)
    assert predict(model, some)[0][0] in ("0", "1", "2")
    assert predict(model, some, class_names=["a", "b", "c"])[0][0] in ("a", "b", "c")
    assert predict(model, some, class_names=np.array(["a", "b", "c"]))[0][0] in ("a", "b", "c")
    with pytest.raises(UsageError, match="has 3 classes; class_names has 2"):
        predict(model, some, class_names=["a", "b"])
    for wrong in (3, "abc"):
        with pytest.raises(UsageError, match="class_names must be a list of names"):
            predict(model, some, class_names=wrong)


@pytest.mark.parametrize("names", [["a"], list("abcdefghijkl")])
def test_a_model_that_was_told_too_few_or_too_many_names_is_not_judged(names):
    model = build_model("lenet5")
    model.class_names = names
    with pytest.raises(UsageError, match=f"lenet5 has 10 classes; class_names has {len(names)}"):
        evaluate(model, load_data("mnist5k"))


def test_no_images_no_predictions(run):
    assert predict(run, []) == []
    assert predict(run, np.empty((0, 28, 28, 1), np.uint8)) == []
    any_size = keras.Sequential([keras.Input((None, None, 1)), keras.layers.GlobalAveragePooling2D()])
    any_size.add(keras.layers.Dense(3, activation="softmax"))
    assert predict(any_size, []) == []


def test_a_softmax_layer_is_not_applied_twice(some):
    layers = keras.layers
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(3), layers.Softmax()])
    expected = model.predict(some / np.float32(255), verbose=0).max(1)
    np.testing.assert_allclose([p for _, p in predict(model, some)], expected, rtol=1e-5)


def test_a_classifier_with_its_own_normalisation(some):
    inner = build_model("lenet5", compile=False)
    inputs = keras.Input((28, 28, 1))
    outer = keras.Model(inputs, inner(keras.layers.Normalization(mean=[0.5], variance=[0.25])(inputs)))
    expected = np.asarray(inner((some / np.float32(255) - 0.5) / 0.5)).max(1)
    np.testing.assert_allclose([p for _, p in predict(outer, some)], expected, rtol=1e-4)


def test_a_model_that_is_no_classifier_of_images_is_refused(run):
    other = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1, "tanh")])
    with pytest.raises(UsageError, match=r"must end in softmax or logits; its last layer has tanh"):
        predict(other, np.zeros((8, 8)))
    with pytest.raises(UsageError, match="needs a run or a model of images"):
        predict(keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)]), np.zeros((8, 8)))
    with pytest.raises(UsageError, match="needs a run or a model of images"):
        predict("runs/x", np.zeros((8, 8)))
    with pytest.raises(UsageError, match="top must be an integer of at least 1; got 0"):
        predict(run, np.zeros((28, 28)), top=0)


def test_a_model_of_two_channels_has_no_images():
    with pytest.raises(UsageError, match="lenet5 takes 2 channels; images have 1, 3 or 4"):
        predict(build_model("lenet5", (28, 28, 2), compile=False), np.zeros((28, 28), np.uint8))


def test_a_model_of_any_size_is_judged(digits):
    layers = [keras.Input((None, None, 1)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10, "softmax")]
    assert evaluate(keras.Sequential(layers), digits)["images"] == 1000


def test_images_are_resized_in_memory_however_many(monkeypatch):
    limits, empty = [], source.empty
    monkeypatch.setattr("cnn_zoo.data.images.empty", lambda *shape: limits.append(shape[3]) or empty(*shape))
    assert as_batch(np.zeros((5, 9, 9), np.uint8), (8, 8, 1)).shape == (5, 8, 8, 1)
    assert limits == [float("inf")]


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.full((1, 28, 28, 1), np.nan), DataError, "NaN or infinite"),
        (np.full((28, 28), np.inf), DataError, "NaN or infinite"),
        (np.full((28, 28), 200.0), DataError, r"must be in \[0, 1\]; these are in \[200, 200\]: divide by 255"),
        (np.zeros((28, 28), int), DataError, "uint8, uint16 or bool, or floats .*; got int64"),
        (np.zeros(28), DataError, r"an array of images is .* got \(28,\)"),
        (np.zeros((2, 28, 28, 5)), DataError, r"got \(2, 28, 28, 5\)"),
        (np.zeros((0, 0)), DataError, r"got \(1, 0, 0, 1\)"),
        (np.zeros((28, 28, 2)), DataError, "1, 3 or 4 channels"),
        ([np.zeros((2, 28, 28, 1), np.uint8)], DataError, "one image an entry"),
        ([np.zeros((5, 28, 28), np.uint8)], DataError, r"one image an entry; one has shape \(5, 28, 28\)"),
        ("none.png", MissingError, "none.png: no such file"),
        (3, UsageError, "got int"),
        (tf.data.Dataset.range(3), DataError, r"an array of images is .* got \(\)"),
        ([np.zeros((28, 28)), np.zeros((28, 29, 2))], DataError, "1, 3 or 4 channels"),
        ([[1, 2], [3]], DataError, "one image an entry|is not an array|got"),
        (np.ma.masked_array(np.zeros((28, 28)), np.eye(28)), DataError, "a masked array hides pixels"),
        (np.zeros((28, 28), complex), DataError, "holds numbers; got complex128"),
    ],
)
def test_what_is_not_an_image_is_named(run, images, error, message):
    with pytest.raises(error, match=message):
        predict(run, images)


@pytest.mark.parametrize(("name", "shape"), [("lenet5", (28, 28, 1)), ("resnet20", (32, 32, 3))])
def test_one_image_after_another_gives_what_a_batch_gives(name, shape):
    model = build_model(name, shape, compile=False)
    images = np.random.default_rng(0).random((8, *shape), np.float32)
    expected = np.asarray(model(images, training=False))
    for _ in range(2):  # first directly, then compiled; alone and together
        for image, row in zip(images, expected, strict=True):
            [(label, probability)] = predict(model, image)
            assert int(label) == row.argmax()
            assert probability == pytest.approx(row.max(), abs=1e-4)
        together = predict(model, images, top=10)
        assert [dict(pairs)[str(i)] for pairs in together for i in range(10)] == pytest.approx(
            expected.ravel().tolist(), abs=1e-4
        )


def test_predictions_follow_the_weights_and_do_not_keep_the_model():
    import gc
    import weakref

    model = build_model("lenet5", compile=False)
    image = np.random.default_rng(0).random((28, 28, 1), np.float32)
    before = [predict(model, image, top=10)[0] for _ in range(6)][-1]
    model.set_weights([w + 0.1 for w in model.get_weights()])
    [after] = predict(model, image, top=10)
    assert dict(after) != dict(before)
    direct = np.asarray(model(image[None], training=False))[0]
    assert dict(after) == pytest.approx({str(i): p for i, p in enumerate(direct)}, abs=1e-5)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_models_with_strange_layers_or_of_any_size_are_predicted_with_too():
    strange = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.RandomFlip(), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    )
    inputs = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(inputs))
    convolutional = keras.Model(inputs, keras.layers.Softmax()(pooled))
    image = np.random.default_rng(0).random((8, 8), np.float32)
    for model in (strange, convolutional):
        results = [predict(model, image, top=3) for _ in range(6)]
        for result in results[1:]:
            assert dict(result[0]) == pytest.approx(dict(results[0][0]), abs=1e-5)


def test_predictions_follow_changes_of_the_layers():
    model = build_model("lenet5", compile=False)
    image = np.random.default_rng(0).random((28, 28, 1), np.float32)
    before = [predict(model, image, top=10)[0] for _ in range(6)][-1]
    model.layers[-1].activation = keras.activations.linear  # logits now, of which predict takes the softmax
    for _ in range(6):
        assert dict(predict(model, image, top=10)[0]) == pytest.approx(dict(before), abs=1e-5)
    model.pop()
    model.add(keras.layers.Dense(5, activation="softmax"))
    for _ in range(6):
        assert len(predict(model, image, top=10)[0]) == 5


def test_what_is_called_repeatedly_is_compiled(monkeypatch):
    from cnn_zoo.nn import calls

    model, made = build_model("lenet5", compile=False), []
    original = calls._compile
    monkeypatch.setattr(calls, "_compile", lambda model, size: made.append(size) or original(model, size))
    image = np.zeros((28, 28), np.uint8)
    for _ in range(calls.EAGER_CALLS):
        predict(model, image)
    assert made == []
    for images in (image, image, np.zeros((3, 28, 28), np.uint8), np.zeros((4, 28, 28), np.uint8)):
        predict(model, images)
    assert made == [1, None]


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [("zoonet_wide", 1, True), ("zoonet_wide", None, False), ("vgg11", 1, False), ("shufflenet_v2", 1, False)],
)
def test_one_image_goes_through_xla_where_that_is_faster(name, size, expected, monkeypatch):
    """Not with many multiplications, nor with depthwise convolutions, which XLA computes several times as slowly."""
    from cnn_zoo.nn import calls

    model, asked = build_model(name, (32, 32, 3), compile=False), []
    original = tf.function
    monkeypatch.setattr(tf, "function", lambda *f, **options: asked.append(options) or original(*f, **options))
    calls._compile(model, size)
    assert asked[0] == {"jit_compile": expected}  # Keras' layers ask for functions too
