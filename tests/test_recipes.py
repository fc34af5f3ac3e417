"""Recipes: what the numbers in them do."""

import keras
import numpy as np
import pytest

from cnn_zoo import Augment, Recipe, build_model
from cnn_zoo.core.errors import UsageError
from cnn_zoo.data.sources import SOURCES
from cnn_zoo.recipes import RECIPES, get_recipe


def test_recipes_choose_epochs_by_the_size_of_the_data_set():
    fast = RECIPES["fast"]
    assert fast.epochs_for(3_600) > fast.epochs_for(54_000) >= fast.least
    assert fast.epochs_for(10**9) == fast.least
    assert fast.epochs_for(1) == fast.most
    assert get_recipe("fast", epochs=7, batch_size=None).epochs_for(123) == 7
    with pytest.raises(UsageError, match="optimizer must be one of 'adam', 'adamw', 'sgd', 'muon'; got 'adm'"):
        Recipe(optimizer="adm")
    with pytest.raises(UsageError, match="flip must be True or False; got 'no'"):
        Recipe(flip="no")
    for wrong in (["flip"], Augment):
        with pytest.raises(UsageError, match="augment must be a dict"):
            Recipe(augment=wrong)
    for same in (Augment(flip=True), {"flip": True, "zoom": 0}):
        assert Recipe(augment=same).augment == {"flip": True}
    with pytest.raises(UsageError, match="unknown augmentation 'flp'; did you mean flip"):
        Recipe(augment={"flp": True})


def test_a_recipe_takes_nothing_that_would_have_no_effect():
    with pytest.raises(UsageError, match=r'weight_decay must be 0 with "adam", else use "adamw"; got 0\.1'):
        Recipe(weight_decay=0.1)
    with pytest.raises(UsageError, match=r'warmup must be 0 with the schedule "constant"; got 0\.1'):
        Recipe(warmup=0.1)


def test_a_model_that_bears_large_steps_gets_another_recipe():
    plain, large = (get_recipe("fast", large_steps=flag) for flag in (False, True))
    assert large.learning_rate > 10 * plain.learning_rate
    own = Recipe(learning_rate=0.123)
    assert get_recipe(own, large_steps=True) == own


def test_the_learning_rate_of_sgd_follows_the_batch_size():
    large = get_recipe("fast", large_steps=True)
    assert get_recipe("fast", large_steps=True, batch_size=32).learning_rate == pytest.approx(large.learning_rate / 4)
    assert get_recipe("fast", large_steps=True, batch_size=32, learning_rate=0.3).learning_rate == 0.3
    assert get_recipe("fast", batch_size=32).learning_rate == get_recipe("fast").learning_rate


def test_images_are_flipped_only_where_that_is_known_to_be_right():
    assert not any(SOURCES[name].mirrored for name in ("mnist", "mnist5k", "emnist", "svhn_cropped"))
    assert SOURCES["fashion_mnist"].mirrored
    recipe = RECIPES["accurate"]
    assert recipe.for_data(54_000, True).augment == {**recipe.augment, "flip": True}
    assert recipe.for_data(54_000, False).augment == recipe.augment
    assert RECIPES["fast"].for_data(54_000, True).augment == RECIPES["fast"].augment


def test_images_that_are_seen_once_or_twice_are_not_varied():
    recipe = get_recipe("fast", large_steps=True)
    assert recipe.for_data(54_000, False).augment == {}
    assert recipe.for_data(3_600, False).augment == recipe.augment
    assert get_recipe(recipe, epochs=3).for_data(54_000, False).augment == recipe.augment


@pytest.mark.parametrize(("schedule", "warmup"), [("constant", 0.0), ("linear", 0.0), ("linear", 0.25)])
def test_learning_rates_follow_the_schedule(schedule, warmup):
    rate = Recipe(schedule=schedule, warmup=warmup).make_optimizer(100)._learning_rate
    if schedule == "constant":
        assert float(rate) == pytest.approx(1e-3)
        return
    rates = [float(rate(step)) for step in range(101)]
    assert rates[round(100 * warmup)] == pytest.approx(1e-3) == max(rates)
    assert rates[100] == pytest.approx(0, abs=1e-9)
    if warmup:
        assert rates[0] == pytest.approx(1e-4)


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_kernels_decay_and_nothing_else_does(name):
    model = build_model("conv_stack", filters=(4,), units=(), batch_norm=True, compile=False)
    optimizer = Recipe(optimizer=name, learning_rate=0.1, weight_decay=0.5).make_optimizer(100)
    before = {v.path: np.array(v) for v in model.trainable_variables}
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable in model.trainable_variables:
        kept = 1 - 0.1 * 0.5 if variable.path.endswith("kernel") else 1.0
        np.testing.assert_allclose(variable, kept * before[variable.path], rtol=1e-6, err_msg=variable.path)


def test_sgd_looks_ahead():
    variable = keras.Variable([0.0])
    optimizer = Recipe(optimizer="sgd", learning_rate=1.0).make_optimizer(100)
    for _ in range(2):
        optimizer.apply([keras.ops.ones(1)], [variable])
    # Nesterov: the first step is 1 + 0.9, the second 1 + 0.9 (1 + 0.9)
    assert float(variable[0]) == pytest.approx(-(1.9 + 2.71))
