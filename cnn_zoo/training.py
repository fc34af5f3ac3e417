"""Training: a model of the zoo, a data set and a recipe in, a run folder out."""

import contextlib
import dataclasses
import importlib.util
import itertools
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from . import report, runs
from .build import build_model
from .checkpoints import Diverged, Keeper, State, finite, interruptible
from .core.errors import TrainingError, UsageError, check_choice, check_flag, check_number, check_seed, unknown
from .core.files import checksum, is_plain, only_writer, write_csv, write_json
from .core.machine import check_memory, lacks_kernels
from .core.text import printable, shell, shown
from .data.augment import Augment
from .data.images import at_once
from .data.pipeline import Data, load_data
from .inference import evaluate
from .models.registry import check_model_name, entry, list_models
from .nn.costs import layer_rows, macs_if_known
from .nn.fast import fast_layers
from .nn.precision import choose_precision, policy, set_precision
from .recipes import Recipe, get_recipe
from .runs import CONFIG, HISTORY, METRICS, RESERVED, WEIGHTS, Run, check_folder
from .tasks import Task, get_task
from .weights.files import save_weights

SMALL_STEP = 5e8  # multiply-accumulates of a forward pass below which a step takes a hundredth of a second or so


@policy()
def train(
    model: str = "conv_stack",
    data: Any = "mnist5k",
    *,
    recipe: str | Recipe = "fast",
    task: str | Task | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    early_stopping: int | None = None,
    augment: Augment | dict | None = None,
    class_weight: str | dict[Any, float] | None = None,
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
        data: what load_data takes, such as the name of a data set, a folder or a pair of arrays; or what it returned.
        recipe: "fast", "accurate", "muon", "long", "baseline" or a Recipe.
        task: what the net is to learn, if not what its family is for.
        out: the run folder; None: the first free one of runs/MODEL-DATA, runs/MODEL-DATA-2 …
        resume: go on with the unfinished run in `out`; a finished one is returned as it is; where there is none, begin.
        seed: of the weights, the order of the images and their augmentation.
        epochs, batch_size, learning_rate, early_stopping, augment: in place of the recipe's, see recipes.get_recipe;
            `augment` whatever its flip and vary_after say.
        class_weight: how much the images of each class count in the loss, by name or number, 1 where none is given; or
            "balanced": the number of training images by that of classes and of images of the class. For labels.
        precision: "auto", "float32", "mixed_bfloat16" or "mixed_float16", for which Keras scales the loss: what to
            compute in while training; see choose_precision. The trained model is a float32 one, and is judged as such.
        tensorboard: write logs for TensorBoard into the run folder.
        deterministic: TensorFlow's deterministic operations, for the rest of the process: the same seed gives the same
            weights on one machine with one number of threads, to the bit (benchmarks/safety.py has what it costs).
        verbose: "auto": Keras' progress bar on a terminal, else one line an epoch; 0 nothing, 1 bar, 2 lines.
        model_options: further arguments of build_model.
        data_options: further arguments of load_data, for data given by name, folder or arrays.

    Returns:
        A Run, whose model is compiled anew with Adam. Its folder holds what runs.py says.

    Raises:
        UsageError, OptionError, DataError, MissingError: as build_model and load_data do.
        RunError: `out` holds another run.
        TrainingError: the loss is not a number any more.
        KeyboardInterrupt: after saving what there is, so that the folder can be used, and the training resumed.
    """
    check_model_name(model)
    found = entry(model)
    task = get_task(found.task if task is None else task)
    fitting = list_models(task=task.name)  # none for a task of one's own
    if fitting and model not in fitting:
        raise UsageError(f"{model} is for {found.task}; for {task.name} there are {', '.join(fitting)}")
    seed, model_options = check_seed(seed), {} if model_options is None else model_options
    for flag, value in (("resume", resume), ("tensorboard", tensorboard), ("deterministic", deterministic)):
        check_flag(flag, value)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    for name, options, function in (("data", data_options, "load_data"), ("model", model_options, "build_model")):
        if not isinstance(options, dict | None):
            raise UsageError(f"{name}_options must be a dictionary of {function}'s options; got {shown(options)}")
    for option in model_options:
        if option in RESERVED:
            raise UsageError(f"model_options cannot hold {option}; {RESERVED[option]}")
    changes = {} if augment is None else {"augment": augment, "vary_after": 0, "flip": False}
    changes |= {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    changes["early_stopping"] = early_stopping
    recipe = get_recipe(recipe, large_steps=found.large_steps, own=task.recipes, **changes)
    if resume and precision == "auto" and out is not None and (Path(out) / CONFIG).is_file():
        precision = runs.read_config(Path(out))["precision"]  # as it was begun, perhaps elsewhere
    precision = choose_precision(precision)
    if verbose == "auto":
        verbose = 1 if sys.stdout and sys.stdout.isatty() else 2
    if tensorboard and not importlib.util.find_spec("tensorboard"):
        raise UsageError("the package tensorboard is not installed: pip install tensorboard")
    if resume and out is None:
        raise UsageError("resume needs the run folder: out=… (--out FOLDER)")
    say = (lambda line: print(printable(line))) if verbose else (lambda line: None)
    if lacks_kernels() and keras.backend.backend() == "tensorflow":
        say("TensorFlow was imported before cnn_zoo, without kernels that train up to twice as fast here")
    if out is not None:
        check_folder(out, resume)
    if not isinstance(data, Data):
        data = load_data(data, **{"target": task.target, "progress": say, **(data_options or {})})
    elif data_options:
        raise UsageError("data_options are for data given by name; pass them to load_data")
    task.check_data(data)
    for note in data.notes:
        say(note)
    weights = _class_weights(class_weight, task, data)
    if recipe.early_stopping and not len(data.splits["validation"]):
        raise UsageError(f"early_stopping judges by validation images, of which {data.name} has none")
    if tensorboard and any("\ud800" <= letter <= "\udfff" for letter in str(out or data.folder)):
        raise UsageError(f"TensorBoard needs a run folder whose name is UTF-8; got {out or data.folder}")

    recipe = recipe.for_data(len(data.splits["train"]), data.mirrored)
    if task.activation not in ("", "softmax"):  # what build_model ends in unless it is told
        model_options = {"classifier_activation": task.activation} | model_options
    options = {"model_options": model_options, "precision": precision, "deterministic": deterministic}
    options["class_weight"] = weights
    config = _config(data, recipe, task=task.name, model=model, seed=seed, **options)
    training = Training(task, data, recipe, config, say, verbose, tensorboard)
    net = training.compiled_model()  # before there is a folder: an option may be wrong
    training.check_memory(net)
    folder = make_folder(out, model, Path(data.folder).name or data.name.replace("/", "-"))
    with only_writer(folder):
        check_folder(folder, resume, config)
        if resume and runs.read_metrics(folder)["status"] == "complete":
            State.remove_from(folder)
            say(f"{folder} is complete: there is nothing left to train")
            return runs.load_run(folder)
        try:
            state = training.begin(net, folder, resume)
            with fast_layers(net):
                training.fit(state)
            return training.finish(state)
        except KeyboardInterrupt as interrupt:
            held = getattr(interrupt, "__notes__", ["interrupted"])[0]
            interrupt.__notes__ = [f"{held}; the same command goes on with --out {shell(folder)} --resume"]
            raise


def _steps_per_execution(model, batch_size: int, steps: int) -> int:
    """How many steps of a small net to run between two looks at the progress: a divisor, for Keras runs whole ones."""
    if keras.backend.backend() == "torch" or macs_if_known(model) * batch_size > SMALL_STEP:
        return 1  # Keras' trainer for PyTorch knows no more
    if keras.backend.backend() == "tensorflow" and tf.distribute.has_strategy():
        return 1  # several at once fail in TensorFlow
    return next(number for number in range(16, 0, -1) if steps % number == 0)


@dataclasses.dataclass(frozen=True)
class Training:
    """What does not change while a net is trained, and the steps from a new net to a finished run."""

    task: Task
    data: Data
    recipe: Recipe
    config: dict[str, Any]
    say: Callable[[str], None]
    verbose: int
    tensorboard: bool

    def compiled_model(self) -> keras.Model:
        """The model with its first random weights, compiled with the optimizer of the recipe."""
        config, data, recipe = self.config, self.data, self.recipe
        keras.utils.set_random_seed(config["seed"])
        if config["deterministic"] and keras.backend.backend() == "tensorflow":
            tf.config.experimental.enable_op_determinism()
        options = {"dtype": config["precision"], "compile": False, **config["model_options"]}
        model = build_model(config["model"], data.input_shape, data.num_classes, **options)
        prepare = entry(config["model"]).prepare
        if prepare:  # two million pixels are enough, and large photos must fit into memory
            enough = 1 + 2_000_000 // math.prod(data.input_shape[:2])
            prepare(model, data.sample(min(1000, enough)) / np.float32(255))
        steps = data.steps(recipe.batch_size)
        optimizer = recipe.make_optimizer(config["epochs"] * steps, model.compute_dtype)
        execution = _steps_per_execution(model, recipe.batch_size, steps)
        self.task.compile(model, optimizer, recipe, steps_per_execution=execution)
        return model

    @property
    def class_weight(self) -> dict[int, float] | None:
        """As Keras' fit takes it."""
        return dict(enumerate(self.config["class_weight"])) or None

    def check_memory(self, net) -> None:
        """ShortOfMemory where there is no room for what a step needs at least, for TensorFlow ends the process there.

        That is, of each weight its gradient and two numbers of the optimizer, and what every layer with weights returns
        of a batch. Where address space is limited, a training of conv_stack takes 0.8 GB more, for threads and code,
        and one of vgg16 with small images four times as much as the above.
        """
        size, kept = 2 if "16" in net.compute_dtype else 4, 0
        with contextlib.suppress(UsageError):
            kept = sum(math.prod(row.output_shape) for row in layer_rows(net) if row.macs) * self.recipe.batch_size
        what = f"a step of {net.name} with batches of {self.recipe.batch_size}"
        needed = 12 * net.count_params() + size * kept
        check_memory(what, needed, room=8e8 + 3 * needed)

    def begin(self, net, folder: Path, resume: bool) -> State:
        """Where the training stands: at its beginning, or where the one in the folder was stopped."""
        state = State(net, folder, self.recipe.early_stopping)
        if not (resume and (folder / CONFIG).is_file() and state.restore(self.say)):
            write_json(folder / CONFIG, self.config)
            state.save()
            return state
        now, begun = self.config["versions"], runs.read_config(folder)["versions"]
        pairs = {name: (begun.get(name) or "unset", now.get(name) or "unset") for name in {**begun, **now}}
        state.elsewhere = [f"{name} {old}, not {new}" for name, (old, new) in pairs.items() if old != new]
        self.config["versions"] = begun
        if state.elsewhere:
            self.say(f"this will not be what one training would give, for it began with {'; '.join(state.elsewhere)}")
        for name in (METRICS, HISTORY, WEIGHTS):  # of an interruption; metrics first, which vouch for the others
            (folder / name).unlink(missing_ok=True)
        return state

    def batches(self, model, first: int, last: int):
        """The training batches of epochs first … last - 1, as the loss wants them."""
        options = {"batch_size": self.recipe.batch_size, "augment": self.recipe.augment, "seed": self.config["seed"]}
        return self._encoded(model, self.data.batches("train", epochs=(first, last), **options))

    def _encoded(self, model, batches):
        return batches.map(self.task.encode(model)) if self.task.encode else batches

    def fit(self, state: State) -> None:
        """Run the epochs that are left; on Ctrl-C save what there is and pass the interruption on."""
        config, data, say, model = self.config, self.data, self.say, state.model
        epochs, steps = config["epochs"], data.steps(self.recipe.batch_size)
        if state.epoch == epochs or state.out_of_patience:
            return
        keeper = Keeper(state, epochs, say if self.verbose == 2 else None)
        logs = [keras.callbacks.TensorBoard(state.folder / "tensorboard")] if self.tensorboard else []
        if self.verbose:
            say(f"{config['model']} on {data!r}: {epochs} epoch{'s' * (epochs > 1)} of {steps} step{'s' * (steps > 1)}")
        validation = self._encoded(model, data.batches("validation", batch_size=at_once(data.input_shape)))
        try:
            with interruptible() as keeper.interrupted:
                model.fit(
                    self.batches(model, state.epoch, epochs),
                    epochs=epochs,
                    initial_epoch=state.epoch,
                    steps_per_epoch=steps,
                    shuffle=False,  # the pipeline shuffles; Keras warns otherwise
                    validation_data=validation if len(data.splits["validation"]) else None,
                    class_weight=self.class_weight,
                    callbacks=[keeper, *logs],
                    verbose=1 if self.verbose == 1 else 0,
                )
        except KeyboardInterrupt as interrupt:
            self.write(state, status="interrupted")
            done = f"interrupted after {state.epoch} of {epochs} epochs"
            interrupt.add_note(f"{done}; {state.folder} holds the weights as they were")
            raise
        except Diverged as what:
            where = self._diverging_step(state)
            self.write(state, status="diverged")
            raise TrainingError(
                f"{what} not a number any more in epoch {state.epoch + 1}{where}; try a lower learning rate "
                f"(--learning-rate), or batch normalisation; {state.folder} holds the state before that epoch"
            ) from None

    def _diverging_step(self, state: State) -> str:
        """Go through the epoch once more to see in which step the loss or a weight becomes infinite; in words."""
        model, where = state.model, ""
        state.restore(self.say)
        model.steps_per_execution, model.train_function = 1, None
        model.reset_metrics()  # whose loss is not a number
        for step, batch in enumerate(self.batches(model, state.epoch, state.epoch + 1), 1):
            loss = model.train_on_batch(*batch, class_weight=self.class_weight, return_dict=True)["loss"]
            if not math.isfinite(loss) or not finite(model):
                where = f", step {step} of {self.data.steps(self.recipe.batch_size)}"
                break
        state.restore(self.say)
        return where

    def write(self, state: State, **metrics: Any) -> Run:
        """Write weights, history and metrics, which vouch for the others; returns the run."""
        folder, images = state.folder, len(self.data.splits["train"])
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
            "weights_sha256": checksum(folder / WEIGHTS),
        }
        if state.best_epoch:
            metrics["best_epoch"] = state.best_epoch
        if state.elsewhere:
            metrics["resumed_elsewhere"] = state.elsewhere
        write_json(folder / METRICS, metrics)
        return Run(state.model, state.history, metrics, folder, self.config)

    def finish(self, state: State) -> Run:
        """Take the best weights, judge them on the test set, write the run folder."""
        model = state.model
        if state.best:
            model.set_weights(state.best)
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))  # a copy on each device, inside a strategy
        trained = {"steps": steps, "fingerprint": state.fingerprint()}
        set_precision(model, "float32")
        self.task.compile(model)  # to be trained on: its optimizer's learning rate has ended at zero
        run = self.write(state, status="trained", **trained)
        result = evaluate(run, self.data)
        if not math.isfinite(result["loss"]):
            advice = f"try a lower learning rate (--learning-rate); {state.folder} holds the weights"
            raise TrainingError(f"the loss on the test images is not a number; {advice}")
        run.metrics |= {f"test_{key}": value for key, value in result.items() if is_plain(value, int | float | None)}
        report.write_report(run, result)
        run.metrics["status"] = "complete"  # last: what is complete has its report
        write_json(run.path / METRICS, run.metrics)
        State.remove_from(run.path)
        return run


def _class_weights(asked: Any, task: Task, data: Data) -> list[float]:
    """The weight of each class, by number; [] where none are asked for."""
    if asked is None:
        return []
    if task.target != "labels":
        raise UsageError(f"class_weight is for labels; {task.name} has {task.target}")
    if isinstance(asked, str) and asked == "balanced":
        counts = data.class_counts("train")
        return [len(data.splits["train"]) / (len(counts) * count) if count else 1.0 for count in counts]
    if not isinstance(asked, dict):
        raise UsageError(f'class_weight must be "balanced" or a dictionary of classes and numbers; got {shown(asked)}')
    weights = dict.fromkeys(range(data.num_classes), 1.0)
    for name, weight in asked.items():
        number = data.class_names.index(name) if name in data.class_names else name
        if number not in weights:
            raise UsageError(unknown("class in class_weight", name, data.class_names))
        weights[number] = check_number(f"class_weight of {name}", weight, most=1_000_000)
    return list(weights.values())


def _config(data: Data, recipe: Recipe, **asked: Any) -> dict[str, Any]:
    """What config.json holds, as it will be read again: tuples are lists."""
    config = {"format": runs.FORMAT, **asked, "data": data.folder or data.name, "data_options": data.options}
    config |= {"images": data.digest, "class_names": data.class_names, "input_shape": data.input_shape}
    config |= {"recipe": dataclasses.asdict(recipe), "epochs": recipe.epochs, "versions": runs.versions()}
    try:
        return json.loads(json.dumps(config, default=np.generic.item, allow_nan=False))
    except (TypeError, ValueError):
        options = asked["model_options"]
        raise UsageError(f"model_options must be finite numbers, texts and lists; got {shown(options)}") from None


def make_folder(out: str | Path | None, model: str, data: str) -> Path:
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
