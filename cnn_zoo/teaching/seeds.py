"""Trainings repeated over seeds, which is what a comparison needs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


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

    What `build` makes for the first seed is trained for all: it gets the weights of a fresh model, and its optimizer
    starts anew.

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

    from ..nn.fast import fast_layers

    rows, tested, model = [], [], None
    with contextlib.ExitStack() as fast:
        for seed in seeds:
            keras.utils.set_random_seed(seed)
            fresh = build()
            fresh.optimizer.build(fresh.trainable_variables)
            if model is None:  # and its steps are traced once for all seeds
                model = fresh
                fast.enter_context(fast_layers(model))
            variables = zip(
                [*model.variables, *model.optimizer.variables],
                [*fresh.variables, *fresh.optimizer.variables],
                strict=True,
            )
            for variable, value in variables:
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
                predicted = model.predict(test[0], batch_size=256, verbose=0).argmax(1)
                tested.append(float(np.mean(predicted == np.asarray(test[1]))))
    padded = {
        key: np.array([row[key] + [np.nan] * (epochs - len(row[key])) for row in rows]) for key in (rows or [{}])[0]
    }
    return padded | ({"test_accuracy": np.array(tested)} if test is not None else {})
