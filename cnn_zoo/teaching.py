"""What the notebooks say things with: claims and exercises that are checked, and trainings repeated over seeds."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .errors import UsageError

# build -> what it builds, without the numbers that Keras gives to names; a model that is traced; its optimizer's start
_TRACED = weakref.WeakKeyDictionary()


def claim(statement: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
    """Print a statement that a measured value confirms, or stop with the value when it does not.

    The measured digits are not printed, so that a notebook's output is the same on every machine; draw them instead.

    Args:
        statement: what is claimed, in words.
        value: what was measured.
        at_least, at_most: the bounds that make the statement true; at least one of them.

    Raises:
        AssertionError: with the value and the bound that it misses.
        UsageError: neither bound is given.
    """
    if at_least is None and at_most is None:
        raise UsageError("claim needs at_least or at_most")
    if at_least is not None and not value >= at_least:
        raise AssertionError(f"not confirmed: {statement} (measured {value:.6g}, needed at least {at_least:.6g})")
    if at_most is not None and not value <= at_most:
        raise AssertionError(f"not confirmed: {statement} (measured {value:.6g}, needed at most {at_most:.6g})")
    print(f"✓ {statement}")


def check(attempt: Any, conditions: dict[str, Callable[[Any], bool]]) -> None:
    """Say in one line whether the answer to an exercise is right, or why not.

    Args:
        attempt: the learner's function, number, model, …; None or ..., or a function that raises NotImplementedError,
            is one that was not attempted yet.
        conditions: what a right answer fulfils, in words, and a function of the attempt that says whether it does;
            tried in order.
    """
    if attempt is None or attempt is ...:
        print("○ not attempted yet")
        return
    for words, holds in conditions.items():
        try:
            right = bool(holds(attempt))
        except NotImplementedError:
            print("○ not attempted yet")
            return
        except Exception as error:
            print(f"✗ not yet: {words} ({type(error).__name__}: {error})")
            return
        if not right:
            print(f"✗ not yet: {words}")
            return
    print("✓ right")


def over_seeds(
    build: Callable[[], Any],
    train: tuple | Callable[[int], Any],
    *,
    seeds: Iterable[int],
    epochs: int,
    validation: tuple | Callable[[int], tuple] | None = None,
    test: tuple | None = None,
    batch_size: int = 64,
    callbacks: Callable[[], Sequence] = tuple,
) -> dict[str, np.ndarray]:
    """Train a model from several seeds and return every history.

    What `build` makes is traced once: for each further seed, and when the same function is passed again, it gets the
    weights of a fresh model, and its optimizer starts anew.

    Args:
        build: makes the compiled model.
        train: (images, labels), or a function of the seed that returns a tf.data.Dataset of all epochs' batches.
        seeds: integers.
        epochs: passes over the training images.
        validation: (images, labels), or a function of the seed that returns them.
        test: (images, labels); judged once, when a training has ended.
        batch_size: of images given as arrays.
        callbacks: makes the callbacks of one training.

    Returns:
        {"loss", "accuracy", "val_loss", …: (seeds, epochs), NaN after an early stop; "test_accuracy": (seeds,)}.
    """
    import keras

    from .inference import model_probabilities

    rows, tested = [], []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        fresh = build()
        design = re.sub(r"""["']name["']: ["']\w*["']""", "", f"{fresh.to_json()} {fresh.get_compile_config()}")
        if build not in _TRACED or _TRACED[build][0] != design:  # what `build` reads may have changed
            fresh.optimizer.build(fresh.trainable_variables)
            start = [keras.ops.convert_to_numpy(variable) for variable in fresh.optimizer.variables]
            _TRACED[build] = design, fresh, start
        _, model, start = _TRACED[build]
        for variable, value in zip(model.variables, fresh.variables, strict=True):
            variable.assign(value)
        for variable, value in zip(model.optimizer.variables, start, strict=True):
            variable.assign(value)
        model.stop_training = False
        held_out = validation(seed) if callable(validation) else validation
        common = {"epochs": epochs, "validation_data": held_out, "callbacks": list(callbacks()), "verbose": 0}
        if callable(train):
            batches = train(seed)
            history = model.fit(batches, steps_per_epoch=len(batches) // epochs, shuffle=False, **common)
        else:
            history = model.fit(*train, batch_size=batch_size, **common)
        rows.append(history.history)
        if test is not None:
            predicted = model_probabilities(model, test[0]).argmax(1)
            tested.append(float(np.mean(predicted == np.asarray(test[1]))))
    padded = {
        key: np.array([row[key] + [np.nan] * (epochs - len(row[key])) for row in rows]) for key in (rows or [{}])[0]
    }
    return padded | ({"test_accuracy": np.array(tested)} if test is not None else {})
