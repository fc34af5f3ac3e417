"""Checkpoints: where a training stands, in one file from which it goes on to the same bits; written after each epoch.

No pickle. The file carries its checksum, is written beside the old one and renamed, and the one before it is kept: a
crash at any moment leaves at least one that is whole.
"""

import contextlib
import json
import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from .core.errors import RunError
from .core.files import digest, read_tensors, write_tensors

# there only while a training is unfinished
CHECKPOINT, PREVIOUS = "checkpoint.safetensors", "checkpoint-previous.safetensors"


class State:
    """Where a training stands: all that its rest depends on."""

    def __init__(self, model, folder: Path, patience: int):
        self.model, self.folder = model, folder  # compiled, with the optimizer of the training; of the run
        self.patience = patience  # epochs without a lower validation loss after which the training ends; 0: never
        model.optimizer.build(model.trainable_variables)
        self.history: dict[str, list[float]] = {}  # of the finished epochs: {"epoch": [1, 2, …], "loss": […] …}
        self.seconds = 0.0  # of training up to the end of the last finished epoch
        self.best: list[np.ndarray] | None = None  # weights of the lowest validation loss; None without patience
        self.elsewhere: list[str] = []  # what has changed since the training began, if resumed: versions, threads …

    @property
    def epoch(self) -> int:
        """Finished epochs."""
        return len(self.history.get("epoch", []))

    @property
    def best_epoch(self) -> int | None:
        losses = self.history.get("val_loss")
        return 1 + int(np.nanargmin(losses)) if losses and self.patience else None

    @property
    def out_of_patience(self) -> bool:
        return bool(self.best_epoch) and self.epoch - self.best_epoch >= self.patience

    def _variables(self) -> list:
        return [*self.model.variables, *self.model.optimizer.variables]  # with the states of random generators

    def _arrays(self) -> dict[str, np.ndarray]:
        arrays = {f"variable{i}": keras.ops.convert_to_numpy(v) for i, v in enumerate(self._variables())}
        return arrays | {f"best{i}": value for i, value in enumerate(self.best or [])}

    def fingerprint(self) -> str:
        """SHA-256 of everything but the clock: equal for two trainings that went the same way to the bit."""
        history = {name: values for name, values in self.history.items() if name != "seconds"}
        return digest(self._arrays(), {"history": json.dumps(history, sort_keys=True)})

    def save(self) -> None:
        """Write a checkpoint; the one that is there becomes the previous one."""
        path, previous = self.folder / CHECKPOINT, self.folder / PREVIOUS
        if path.exists():  # under two names for a moment, so that there is never none
            previous.unlink(missing_ok=True)
            try:
                os.link(path, previous)
            except OSError:  # a file system without hard links
                shutil.copyfile(path, previous)
        about = {"history": self.history, "seconds": self.seconds}
        write_tensors(path, self._arrays(), {name: json.dumps(value) for name, value in about.items()})

    def restore(self, say: Callable[[str], None]) -> bool:
        """Go back to the last checkpoint that is whole; False where there is none, RunError where none is whole."""
        failed = None
        for path in (self.folder / CHECKPOINT, self.folder / PREVIOUS):
            if not path.is_file():
                continue
            try:
                self._read(path)
                if failed:  # the damaged one must not become the previous one of the next
                    os.replace(path, self.folder / CHECKPOINT)
                return True
            except RunError as error:
                say(f"{error}; looking for the one before it")
                failed = failed or error
        if failed:
            raise RunError(f"{failed}, and no other is left; remove the checkpoints to begin anew")
        return False

    def _read(self, path: Path) -> None:
        variables = self._variables()
        arrays, about = read_tensors(path)
        try:
            history, seconds = json.loads(about["history"]), float(json.loads(about["seconds"]))
            if len({len(column) for column in history.values()}) > 1:
                raise ValueError("columns of its history differ in length")
            [float(value) for column in history.values() for value in column]
            values = [arrays[f"variable{i}"] for i in range(len(variables))]
            best = [arrays[f"best{i}"] for i in range(len(self.model.weights))] if "best0" in arrays else None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise RunError(f"{path}: not a checkpoint of this training ({error})") from None
        wanted = [tuple(variable.shape) for variable in [*variables, *(self.model.weights if best else ())]]
        if [value.shape for value in [*values, *(best or ())]] != wanted:
            raise RunError(f"{path}: the checkpoint of another model")
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        self.history, self.seconds, self.best = history, seconds, best

    @staticmethod
    def remove_from(folder: Path) -> None:
        """Remove the checkpoints, which a finished training does not need."""
        for name in (CHECKPOINT, PREVIOUS):
            (folder / name).unlink(missing_ok=True)


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

    on_test_batch_begin = on_train_batch_begin

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
