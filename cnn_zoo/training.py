"""Training: a model of the zoo, a data set and a recipe in, a run folder out."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import report, runs
from .build import build_model, compile_model
from .cards import macs_if_known
from .checkpoints import State
from .core.errors import TrainingError, UsageError, check_choice, check_flag, check_seed, unknown
from .core.files import check_seal, checksum, only_writer, write_csv, write_json
from .core.quiet import lacks_kernels
from .data.pipeline import Data, load_data
from .data.sources import may_mirror
from .inference import BATCH, evaluate
from .models.registry import check_model_name, entry
from .nn.fast import fast_layers
from .nn.precision import choose_precision, set_precision
from .recipes import Augment, Recipe, get_recipe
from .runs import CONFIG, HISTORY, METRICS, RESERVED, WEIGHTS, Run, check_folder
from .weights.files import save_weights

SMALL_STEP = 5e8  # multiply-accumulates of a forward pass below which a step takes a hundredth of a second or so
DATA_OPTIONS = (*runs.DATA_OPTIONS, "memory_limit", "progress")


def train(
    model: str = "conv_stack",
    data: str | Path | tuple[Any, Any] | Data = "mnist5k",
    *,
    recipe: str | Recipe = "fast",
    out: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    early_stopping: int | None = None,
    augment: Augment | dict | None = None,
    precision: str = "auto",
    tensorboard: bool = False,
    deterministic: bool = False,
    verbose: str | int = "auto",
    model_options: dict[str, Any] | None = None,
    data_options: dict[str, Any] | None = None,
) -> Run:
    """Train a model of the zoo and judge it once on the test set.

    Args:
        model: one of list_models().
        data: a data set's name, a folder, a pair of arrays, or what load_data returned, whose images and splits are
            used; batches, augmentation and seed are the recipe's and those given here.
        recipe: "fast", "accurate", "muon", "long", "baseline" or a Recipe.
        out: the run folder; None: the first free one of runs/MODEL-DATA, runs/MODEL-DATA-2 …
        resume: go on with the unfinished run in `out`; a finished one is returned as it is; where there is none, begin.
        seed: of the weights, the order of the images and their augmentation.
        epochs, batch_size, learning_rate, early_stopping, augment: in place of the recipe's. With another batch size
            the learning rate of "sgd" changes in proportion, unless one is given; with `augment` the images are changed
            so whatever the data set and the number of epochs, which the recipe's mirror and vary_after look at.
        precision: "auto", "float32" or "mixed_bfloat16": what to compute in while training, whatever Keras' global
            policy is; see precision.choose_precision. The trained model is a float32 one, and is judged as such.
        tensorboard: write logs for TensorBoard into the run folder.
        deterministic: TensorFlow's deterministic operations: the same seed gives the same weights on one machine with
            one number of threads, to the bit. On a CPU it costs less than runs differ (benchmarks/safety.py); it is
            no default because it holds for the rest of the process, where operations without such a version raise.
        verbose: "auto": Keras' progress bar on a terminal, else one line an epoch; 0 nothing, 1 bar, 2 lines.
        model_options: further arguments of build_model.
        data_options: validation, image_size, channels, skip_broken, memory_limit and progress of load_data, for data
            given by name, folder or arrays.

    Returns:
        A Run, whose model is compiled anew with Adam; its folder holds config.json, history.csv, metrics.json,
        model.weights.h5, curves.png, confusion.png, mistakes.png and report.md.

    Raises:
        UsageError, OptionError, DataError, MissingError: as build_model and load_data do.
        RunError: `out` holds another run.
        TrainingError: the loss is not a number any more.
        KeyboardInterrupt: after saving what there is, so that the folder can be used, and the training resumed.
    """
    check_model_name(model)
    seed, model_options = check_seed(seed), model_options or {}
    for flag, value in (("resume", resume), ("tensorboard", tensorboard), ("deterministic", deterministic)):
        check_flag(flag, value)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    if not isinstance(data_options, dict | None):
        raise UsageError(f"data_options must be a dictionary of load_data's options; got {data_options!r:.80}")
    if not isinstance(model_options, dict):
        raise UsageError(f"model_options must be a dictionary of build_model's options; got {model_options!r:.80}")
    for option in model_options:
        if option in RESERVED:
            raise UsageError(f"model_options cannot hold {option}; {RESERVED[option]}")
    changes = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "early_stopping": early_stopping,
    }
    if augment is not None:
        changes |= {"augment": augment, "vary_after": 0, "mirror": False}
    recipe = get_recipe(recipe, large_steps=entry(model).large_steps, **changes)
    if resume and precision == "auto" and out is not None and (Path(out) / CONFIG).is_file():
        precision = runs.read_config(Path(out)).get("precision", precision)  # as it was begun, perhaps elsewhere
    precision = choose_precision(precision)
    if verbose == "auto":
        verbose = 1 if sys.stdout and sys.stdout.isatty() else 2
    if tensorboard and not importlib.util.find_spec("tensorboard"):
        raise UsageError("the package tensorboard is not installed: pip install tensorboard")
    if resume and out is None:
        raise UsageError("resume needs the run folder: out=… (--out FOLDER)")
    say = print if verbose else (lambda message: None)
    if lacks_kernels() and keras.backend.backend() == "tensorflow":
        say("TensorFlow was imported before cnn_zoo, without kernels that train up to twice as fast here")
    if out is not None:
        check_folder(out, resume)
    if not isinstance(data, Data):
        for option in data_options or {}:
            if option not in DATA_OPTIONS:
                raise UsageError(unknown("data option", option, DATA_OPTIONS))
        data = load_data(data, **{"progress": say, **(data_options or {})})
    elif data_options:
        raise UsageError("data_options are for data given by name; pass them to load_data")

    if recipe.early_stopping and not len(data.splits["validation"]):
        raise UsageError(f"early_stopping judges by validation images, of which {data.name} has none")
    recipe = recipe.for_data(len(data.splits["train"]), not data.folder and may_mirror(data.name))
    config = _config(model, data, recipe, seed, precision, deterministic, model_options)
    net = _compiled_model(data, recipe, config)  # before there is a folder: an option may be wrong
    folder = _make_folder(out, model, Path(data.folder).name or data.name.replace("/", "-"))
    with only_writer(folder):
        check_folder(folder, resume, config)
        if resume and runs.read_metrics(folder).get("status") == "complete":
            State.remove_from(folder)
            say(f"{folder} is complete: there is nothing left to train")
            return runs.load_run(folder)
        state = State(net, folder, recipe.early_stopping)
        if resume and (folder / CONFIG).is_file() and state.restore(say):
            begun = runs.read_config(folder)["versions"]
            state.elsewhere, config["versions"] = _changes(begun, config["versions"]), begun
            if state.elsewhere:
                say(f"this will not be what one training would give, for it began with {'; '.join(state.elsewhere)}")
            for name in (METRICS, HISTORY, WEIGHTS):  # of an interruption; metrics first, which vouch for the others
                (folder / name).unlink(missing_ok=True)
        else:
            write_json(folder / CONFIG, config)
            state.save()
        with fast_layers(net):
            _fit(state, data, recipe, config, say, verbose, tensorboard)
        return _finish(state, data, config)


def _changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """What bits can depend on and is not as it was, in words."""
    pairs = {name: (before.get(name), now.get(name)) for name in {**before, **now}}
    return [f"{name} {old or 'unset'}, not {new or 'unset'}" for name, (old, new) in pairs.items() if old != new]


def _compiled_model(data: Data, recipe: Recipe, config: dict) -> keras.Model:
    """The model with its first random weights, compiled with the optimizer of the recipe."""
    keras.utils.set_random_seed(config["seed"])
    if config["deterministic"] and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    options = {"dtype": config["precision"], "compile": False, **config["model_options"]}
    model = build_model(config["model"], data.input_shape, data.num_classes, **options)
    if prepare := entry(config["model"]).prepare:
        enough = 1 + 2_000_000 // math.prod(data.input_shape[:2])  # so many pixels; large photos must fit into memory
        prepare(model, data.sample(min(1000, enough)) / np.float32(255))
    steps = data.steps(recipe.batch_size)
    compile_model(
        model,
        recipe.make_optimizer(config["epochs"] * steps, model.compute_dtype),
        label_smoothing=recipe.label_smoothing,
        steps_per_execution=_steps_per_execution(model, recipe.batch_size, steps),
    )
    return model


def _steps_per_execution(model, batch_size: int, steps: int) -> int:
    """How many steps of a small net to run between two looks at the progress; a divisor of steps.

    Keras runs whole executions: with another number an epoch would take a few steps too many.
    """
    if keras.backend.backend() == "torch" or macs_if_known(model) * batch_size > SMALL_STEP:
        return 1  # Keras' trainer for PyTorch knows no more
    return next(number for number in range(16, 0, -1) if steps % number == 0)


class _Keeper(keras.callbacks.Callback):
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
        finite = all(map(math.isfinite, logs.values()))
        if not finite or not _finite(state.model):
            raise _Diverged("the weights are" if finite else "the loss is")
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


class _Diverged(Exception):
    """A loss or weights that are not finite; the words say which."""


def _finite(model) -> bool:
    return all(np.isfinite(weights).all() for weights in model.get_weights())


@contextlib.contextmanager
def _interruptible():
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


def _fit(state: State, data: Data, recipe: Recipe, config: dict, say, verbose: int, tensorboard: bool) -> None:
    """Run the epochs that are left; on Ctrl-C save what there is and pass the interruption on."""
    epochs, steps = config["epochs"], data.steps(recipe.batch_size)
    if state.epoch == epochs or state.out_of_patience:
        return
    keeper = _Keeper(state, epochs, say if verbose == 2 else None)
    callbacks: list[keras.callbacks.Callback] = [keeper]
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(state.folder / "tensorboard"))
    if verbose:
        say(f"{config['model']} on {data!r}: {epochs} epoch{'s' * (epochs > 1)} of {steps} step{'s' * (steps > 1)}")

    def batches(until):
        options = {"augment": recipe.augment, "batch_size": recipe.batch_size, "seed": config["seed"]}
        return data.epochs(state.epoch, until, **options)

    try:
        with _interruptible() as keeper.interrupted:
            state.model.fit(
                batches(epochs),
                epochs=epochs,
                initial_epoch=state.epoch,
                steps_per_epoch=steps,
                shuffle=False,  # the pipeline shuffles; Keras warns otherwise
                validation_data=data.ordered("validation", BATCH) if len(data.splits["validation"]) else None,
                callbacks=callbacks,
                verbose=1 if verbose == 1 else 0,
            )
    except KeyboardInterrupt as interrupt:
        _write(state, config, data, status="interrupted")
        interrupt.add_note(
            f"interrupted after {state.epoch} of {epochs} epochs; {state.folder} holds the weights as they were; "
            f"the same command goes on with --out {state.folder} --resume"
        )
        raise
    except _Diverged as what:
        epoch, where = state.epoch + 1, ""
        state.restore(say)
        state.model.steps_per_execution, state.model.train_function = 1, None
        state.model.reset_metrics()  # whose loss is not a number
        for step, batch in enumerate(batches(epoch), 1):  # once more, to see in which step
            loss = state.model.train_on_batch(*batch, return_dict=True)["loss"]
            if not math.isfinite(loss) or not _finite(state.model):
                where = f", step {step} of {steps}"
                break
        state.restore(say)
        _write(state, config, data, status="diverged")
        raise TrainingError(
            f"{what} not a number any more in epoch {epoch}{where}; try a lower learning rate (--learning-rate), "
            f"or batch normalisation; {state.folder} holds the state before that epoch"
        ) from None


def _write(state: State, config: dict, data: Data, **metrics: Any) -> Run:
    """Write weights, history and metrics, which vouch for the others; returns the run."""
    folder, images = state.folder, len(data.splits["train"])
    (folder / METRICS).unlink(missing_ok=True)
    save_weights(state.model, folder / WEIGHTS)
    write_csv(folder / HISTORY, state.history or {"epoch": []})
    metrics |= {
        "epochs": state.epoch,
        "fit_seconds": round(state.seconds, 3),
        "images_per_second": round(images * state.epoch / state.seconds, 1) if state.seconds else None,
        "parameters": state.model.count_params(),
        "train_images": images,
        "history_sha256": checksum(folder / HISTORY),
        "weights_sha256": check_seal(folder / WEIGHTS),
    }
    if state.best_epoch:
        metrics["best_epoch"] = state.best_epoch
    if state.elsewhere:
        metrics["resumed_elsewhere"] = state.elsewhere
    write_json(folder / METRICS, metrics)
    return Run(state.model, state.history, metrics, folder, config)


def _finish(state: State, data: Data, config: dict) -> Run:
    """Take the best weights, judge them on the test set, write the run folder."""
    state.model.set_weights(state.best or state.model.get_weights())
    trained = {"steps": int(state.model.optimizer.iterations), "fingerprint": state.fingerprint()}
    set_precision(state.model, "float32")
    compile_model(state.model)  # to be trained on: its optimizer's learning rate has ended at zero
    run = _write(state, config, data, status="trained", **trained)
    result = evaluate(state.model, data)
    if not math.isfinite(result["loss"]):
        raise TrainingError(
            f"the loss on the test images is not a number; try a lower learning rate (--learning-rate); "
            f"{state.folder} holds the weights"
        )
    run.metrics |= {f"test_{key}": result[key] for key in ("accuracy", "loss", "images")}
    report.write_report(run, data, result)
    run.metrics["status"] = "complete"  # last: what is complete has its report
    write_json(run.path / METRICS, run.metrics)
    State.remove_from(run.path)
    return run


def _config(
    model: str, data: Data, recipe: Recipe, seed: int, precision: str, deterministic: bool, model_options: dict
) -> dict:
    config = {
        "format": runs.FORMAT,
        "model": model,
        "model_options": model_options,
        "data": data.folder or data.name,
        "data_options": data.options,
        "images": data.digest,
        "class_names": data.class_names,
        "input_shape": data.input_shape,
        "recipe": dataclasses.asdict(recipe),
        "epochs": recipe.epochs,
        "seed": seed,
        "precision": precision,
        "deterministic": deterministic,
        "versions": runs.versions(),
    }
    try:
        # as it will be read again: tuples are lists
        return json.loads(json.dumps(config, default=np.generic.item, allow_nan=False))
    except (TypeError, ValueError):
        raise UsageError(f"model_options must be finite numbers, texts and lists; got {model_options!r:.200}") from None


def _make_folder(out: str | Path | None, model: str, data: str) -> Path:
    """Make the run folder; without a name, the first one that nobody has taken, also not at this moment."""
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
        return Path(out)
    stem = Path("runs") / f"{model}-{data}"
    stem.parent.mkdir(exist_ok=True)
    for number in itertools.count(1):
        folder = stem if number == 1 else stem.with_name(f"{stem.name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue
