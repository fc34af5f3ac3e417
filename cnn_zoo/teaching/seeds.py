"""Trainings repeated over seeds, which is what a comparison needs."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np

from ..nn.fast import fast_layers


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
    """Train the compiled model that `build` makes from several seeds and return every history.

    Args:
        train: (images, labels), or a function of the seed that returns a tf.data.Dataset of all epochs' batches.
        validation: (images, labels), or a function of the seed that returns them.
        test: (images, labels); judged once, when a training has ended.
        batch_size: of images given as arrays.
        callbacks: makes the callbacks of one training.

    Returns:
        {"loss", "accuracy", "val_loss", …: (seeds, epochs), NaN after an early stop; "test_accuracy": (seeds,)}.
    """
    rows, tested, model = [], [], None
    with contextlib.ExitStack() as fast:
        for seed in seeds:
            keras.utils.set_random_seed(seed)
            fresh = build()
            fresh.optimizer.build(fresh.trainable_variables)
            if model is None:  # the first is trained for all seeds, so that its steps are traced once
                model = fresh
                fast.enter_context(fast_layers(model))
            ours, new = ([*net.variables, *net.optimizer.variables] for net in (model, fresh))
            for variable, value in zip(ours, new, strict=True):
                variable.assign(value)
            model.stop_training = False
            held_out = validation(seed) if callable(validation) else validation
            common = {"epochs": epochs, "validation_data": held_out, "callbacks": list(callbacks()), "verbose": 0}
            if callable(train):
                batches = train(seed)
                fitted = model.fit(batches, steps_per_epoch=len(batches) // epochs, shuffle=False, **common)
            else:
                fitted = model.fit(*train, batch_size=batch_size, **common)
            rows.append(fitted.history)
            if test is not None:
                predicted = model.predict(test[0], batch_size=256, verbose=0).argmax(1)
                tested.append(np.mean(predicted == np.asarray(test[1])))
    padded = {key: [row[key] + [np.nan] * (epochs - len(row[key])) for row in rows] for key in (rows or [{}])[0]}
    found = padded if test is None else padded | {"test_accuracy": tested}
    return {key: np.array(values) for key, values in found.items()}
