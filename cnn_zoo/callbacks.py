"""What happens beside the steps of a training: after each epoch, on Ctrl-C, and when the loss is not a number."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable

import keras
import numpy as np

from .checkpoints import State


class Keeper(keras.callbacks.Callback):
    """After each epoch: history, a checkpoint, early stopping, and an end when the loss is not a number."""

    def __init__(self, state: State, epochs: int, say: Callable[[str], None] | None):
        super().__init__()
        self.state, self.epochs, self.say = state, epochs, say

    def on_train_begin(self, logs=None):
        self.begun = time.perf_counter() - self.state.seconds

    def on_train_batch_begin(self, batch, logs=None):  # the end of a batch would make Keras wait for its results
        if self.interrupted.is_set():
            raise KeyboardInterrupt

    def on_test_batch_begin(self, batch, logs=None):
        self.on_train_batch_begin(batch)

    def on_epoch_end(self, epoch, logs=None):
        state = self.state
        # the loss is from before the last step: the weights tell whether that one was too large
        fine = all(map(math.isfinite, logs.values()))
        if not fine or not finite(state.model):
            raise Diverged("the weights are" if fine else "the loss is")
        seconds = time.perf_counter() - self.begun
        row = {"epoch": epoch + 1, **{key: float(value) for key, value in logs.items()}, "seconds": seconds}
        for key, value in row.items():
            state.history.setdefault(key, []).append(value)
        if state.best_epoch == epoch + 1:
            state.best = state.model.get_weights()
        self.model.stop_training = state.out_of_patience
        if self.say:
            shown = "  ".join(f"{key} {value:.4f}" for key, value in row.items() if key not in ("epoch", "seconds"))
            self.say(f"epoch {epoch + 1}/{self.epochs}  {shown}  {seconds:.1f} s")
        state.seconds = seconds
        state.save()


class Diverged(Exception):
    """A loss or weights that are not finite; the words say which."""


def finite(model) -> bool:
    return all(np.isfinite(weights).all() for weights in model.get_weights())


@contextlib.contextmanager
def interruptible():
    """Ctrl-C sets the event that this yields; a second one interrupts at once.

    As an exception it can come while the interpreter runs a callback of its own, where exceptions are ignored.
    """
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield asked
        return

    def note(number, frame):
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
