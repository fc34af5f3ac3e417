"""Claims print what holds and stop at what does not; exercises are judged; trainings are repeated over seeds."""

import keras
import numpy as np
import pytest
from keras import layers

from cnn_zoo import check, claim, interval, over_seeds
from cnn_zoo.core.errors import UsageError


def test_a_claim_that_holds_is_printed_without_what_was_measured(capsys):
    claim("water is wet", 0.91234, at_least=0.9, at_most=1)
    assert capsys.readouterr().out == "✓ water is wet\n"


@pytest.mark.parametrize(
    ("value", "bounds"), [(0.8, {"at_least": 0.9}), (0.8, {"at_most": 0.7}), (float("nan"), {"at_least": 0})]
)
def test_a_claim_that_does_not_hold_says_what_was_measured(value, bounds, capsys):
    with pytest.raises(AssertionError, match=f"not confirmed: water is wet .measured {value:.6g}, needed at"):
        claim("water is wet", value, **bounds)
    assert capsys.readouterr().out == ""


def test_a_claim_needs_a_bound():
    with pytest.raises(ValueError, match="needs at_least or at_most"):
        claim("anything", 1)


def unattempted(x):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("attempt", "line"),
    [
        (None, "○ not attempted yet"),
        (unattempted, "○ not attempted yet"),
        (lambda x: 2 * x, "✓ right"),
        (lambda x: x + 1, "✗ not yet: twice 3 is 6"),
        (lambda x: 1 / 0, "✗ not yet: twice 1 is 2 (ZeroDivisionError: division by zero)"),
    ],
)
def test_an_exercise_is_right_or_says_why_not(attempt, line, capsys):
    check(attempt, {"twice 1 is 2": lambda f: f(1) == 2, "twice 3 is 6": lambda f: f(3) == 6})
    assert capsys.readouterr().out == line + "\n"


def small():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, "relu"), layers.Dropout(0.5), layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def points():
    x = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    return x, (x[:, 0] > 0).astype("int64")


def test_each_seed_is_a_training_of_its_own(points):
    """The second seed after the first is the second seed by itself: nothing is left of the first."""
    both = over_seeds(small, points, seeds=(1, 2), epochs=3, validation=points, test=points)
    alone = over_seeds(small, points, seeds=(2,), epochs=3, validation=points, test=points)
    assert both["val_loss"].shape == (2, 3)
    assert both["test_accuracy"].shape == (2,)
    for key in both:
        np.testing.assert_allclose(both[key][1], alone[key][0], rtol=1e-5)
    assert not np.allclose(both["loss"][0], both["loss"][1])


def test_over_seeds_takes_batches_and_stops_early(points):
    import tensorflow as tf

    def batches(seed):
        return tf.data.Dataset.from_tensor_slices(points).shuffle(200, seed=seed).batch(50).repeat(4)

    def stop():
        return [keras.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)]

    assert np.isfinite(over_seeds(small, batches, seeds=(0,), epochs=4)["loss"]).all()
    stopped = over_seeds(small, points, seeds=(0,), epochs=4, callbacks=stop)["loss"]
    assert np.isnan(stopped[0]).tolist() == [False, False, True, True]


def test_the_interval_is_students():
    mean, half = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3
    assert half == pytest.approx(2.776445 * np.sqrt(2.5 / 5))
    with pytest.raises(UsageError, match=r"at least two values, which are finite numbers; got .1.0."):
        interval([1.0])
