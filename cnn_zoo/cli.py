"""The command line: cnn-zoo list | info | train | reproduce | evaluate | predict | data.

Names and numbers are checked before TensorFlow and Keras are imported, which takes some seconds.
"""

import argparse
import ast
import os
import re
import sys
import textwrap
import warnings
from typing import Any

from . import __version__
from .core.errors import UsageError, ZooError, check_number, check_seed, unknown
from .core.intervals import prediction_interval
from .core.text import printable, shell
from .models.registry import LAYOUTS, catalogue, check_model_name, choose_layout, list_models
from .nn.inspection import shapes_only
from .nn.precision import PRECISIONS
from .recipes import RECIPES, Recipe, get_recipe
from .weights.pretrained import accuracy_text, find_record, names_data, records_of

DATA_OPTIONS = ("validation", "image_size", "channels", "skip_broken")


class _Parser(argparse.ArgumentParser):
    """argparse, with one line on standard error for a bad argument."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {printable(message)} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for a usage error, 1 for a failure."""
    parser = _make_parser()
    args, strange = parser.parse_known_args(arguments)
    if strange:
        command = f"{parser.prog} {args.command or ''}".rstrip()
        parser.exit(2, f"{command}: unrecognized arguments: {printable(' '.join(strange))} (see {command} --help)\n")
    if not args.command:
        parser.print_help()
        return 0
    plain = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"{parser.prog}: {printable(message)}\n"
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names in any script, on any terminal
    try:
        status = args.run(args)
        if sys.stdout:
            sys.stdout.flush()
        return status or 0
    except ZooError as error:
        return _fail(str(error), error.exit_status)
    except KeyboardInterrupt as interrupt:
        return _fail("; ".join(getattr(interrupt, "__notes__", [])) or "interrupted")
    except BrokenPipeError:  # the reader of a pipe, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return int(args.command in ("train", "reproduce"))  # a listing has done its work then, a training has not
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}")
    except Exception as error:
        if type(error).__name__ not in ("MemoryError", "ResourceExhaustedError"):  # the second one is TensorFlow's
            raise
        return _fail("out of memory: try smaller images (--image-size), a smaller model or smaller batches")
    finally:
        warnings.formatwarning = plain


def _fail(message: str, status: int = 1) -> int:
    print(f"cnn-zoo: {printable(message)}", file=sys.stderr)
    return status


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cnn-zoo",
        description="Build, train and use convolutional networks.",
        epilog="cnn-zoo COMMAND --help says more. Without arguments, cnn-zoo train trains a small net on 3,600 digits "
        "in half a minute.",
    )
    parser.add_argument("--version", action="version", version=f"cnn-zoo {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for run, names in COMMANDS.items():
        about = run.__doc__.partition("\n\n")
        description = " ".join((about[2] or about[0]).split())
        add = commands.add_parser(run.__name__[1:], help=about[0][0].lower() + about[0][1:-1], description=description)
        for name in names.split():
            add.add_argument(name, **OPTIONS.get(f"{run.__name__[1:]} {name}", OPTIONS.get(name)))
        add.set_defaults(run=run)
    return parser


def _matching(pattern: str, text: str, form: str) -> str:
    if not re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form {form}")
    return text


def _shape(text: str) -> tuple[int, ...]:
    return tuple(map(int, _matching(r"\d+(x\d+){1,3}", text, "HxWxC, such as 32x32x3").split("x")))


def _size(text: str) -> tuple[int, ...]:
    height, _, width = _matching(r"\d+(x\d+)?", text, "N or HxW, such as 64 or 48x64").partition("x")
    return int(height), int(width or height)


def _png(text: str) -> str:
    return _matching(r".*\.png", text, "NAME.png")


def _setting(text: str) -> tuple[str, Any]:
    """filters=32,64 -> ("filters", (32, 64)); what is not a Python literal is text."""
    name, _, value = _matching(r"[^\W\d]\w*=.*", text, "OPTION=VALUE").partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


def _list(args) -> None:
    """List the models of the zoo."""
    from .cards import text_table

    names = list_models(args.pattern, args.task)
    if not names:
        raise UsageError(unknown("model", args.pattern, list_models()))
    heads = ("model", "family", "layout", "input", "classes", "parameters", "MACs", "year", "paper", "weights")
    rows = []
    for row in catalogue():
        if row["name"] in names:
            numbers = (f"{int(row['parameters']):,}", f"{int(row['macs']) / 1e6:,.1f} M")
            about = [row[key] for key in ("name", "family", "layout", "input", "classes")]
            trained = ", ".join(records_of(row["name"])) if row["layout"] == "small" else ""
            rows.append((*about, *numbers, row["year"], row["paper"], trained))
    print(text_table(heads, rows, right=(4, 5, 6)))


def _info(args) -> None:
    """Say what a model is: layers, parameters, cost, options, and the weights that come with it."""
    check_model_name(args.model)
    for option, _ in args.settings:
        if option in ("name", "input_shape", "num_classes", "layout"):
            raise UsageError(
                f"--set {option}=…: use {'MODEL' if option == 'name' else '--' + option.replace('_', '-')}"
            )
    from . import model_card

    options = {**_named(args, "input_shape", "layout"), **dict(args.settings), "num_classes": _classes(args)}
    card = model_card(args.model, **options)
    print(card)
    for data, record in records_of(args.model).items():
        if tuple(record["config"]["input_shape"]) != card.input_shape:
            images = "x".join(map(str, record["config"]["input_shape"]))
            print(f"\nThere are weights for {data} too, with images of {images}.")
    if args.plot:
        from . import build_model, plots

        with shapes_only():
            plots.save(plots.architecture(build_model(args.model, compile=False, **options)), args.plot)
        print(f"\ndrawn in {printable(args.plot)}")


def _classes(args) -> int:
    """How many classes were asked for; else those of the weights, or those for which the layout was published."""
    if args.num_classes is not None:
        return args.num_classes
    weights = dict(args.settings).get("weights")
    if names_data(weights):
        return len(find_record(args.model, weights)["config"]["class_names"])
    published = {row["layout"]: int(row["classes"]) for row in catalogue() if row["name"] == args.model}
    if args.layout == "auto" and not args.input_shape:
        return next(iter(published.values()))
    return published[choose_layout(published, args.layout, args.input_shape)]


def _named(args, *names: str) -> dict[str, Any]:
    """Some of the arguments of a command, which are called as those of the function that it calls."""
    return {name: getattr(args, name) for name in names}


def _print_facts(facts) -> None:
    """Pairs of a name and a text, in two columns."""
    print("\n".join(f"{name:{2 + max(len(name) for name, _ in facts)}}{printable(text)}" for name, text in facts))


def _train(args) -> None:
    """Train a model and write a run folder.

    Train a model, judge it on the test set and write a run folder with the weights, the history, figures and a report.
    """
    from .data.sources import check_data_name

    check_model_name(args.model)
    check_data_name(args.data)
    check_seed(args.seed)
    if args.resume and not args.out:
        raise UsageError("--resume needs the run folder: --out FOLDER")
    changes = _named(args, "epochs", "batch_size", "learning_rate", "early_stopping")
    get_recipe(args.recipe, **changes)
    from .report import summary
    from .runs import check_folder

    if args.out:
        check_folder(args.out, args.resume)
    from . import train

    run = train(
        args.model,
        args.data,
        **_named(args, "recipe", "out", "resume", "seed", "precision", "tensorboard", "deterministic"),
        **changes,
        model_options=dict(args.settings),
        data_options=_named(args, *DATA_OPTIONS),
    )
    print()
    _print_facts([*summary(run), ("run folder", run.path)])
    print(f"\nSee {printable(run.path / 'report.md')}; name an image with: cnn-zoo predict {shell(run.path)} IMAGE")


def _reproduce(args) -> int:
    """Train published weights again and compare with the record.

    Train a model with the recipe and options of its published weights, and compare the test accuracy with those on
    record. Exits with 1 when it is not within the 99 % interval that they give for another seed.
    """
    check_model_name(args.model)
    record = find_record(args.model, args.data)
    config, reached = record["config"], list(record["seeds"].values())
    from . import train

    run = train(
        config["model"],
        config["data"],
        recipe=Recipe(**config["recipe"]),
        seed=1 + max(map(int, record["seeds"])) if args.seed is None else args.seed,
        out=args.out,
        resume=args.resume,
        model_options=config["model_options"],
        data_options={"validation": config["data_options"]["validation"]},
    )
    (low, high), accuracy = prediction_interval(reached), run.metrics["test_accuracy"]
    print(f"\nreached    {accuracy:.2%} with seed {run.config['seed']}, in {printable(run.path)}")
    print(f"on record  {accuracy_text(record)}; another one is between {low:.2%} and {high:.2%} in 99 of 100 cases")
    return 0 if low <= accuracy <= high else _fail(f"{accuracy:.2%} is not between {low:.2%} and {high:.2%}")


def _evaluate(args) -> None:
    """Judge a run on its test set, or on another data set."""
    from .data.sources import check_data_name

    if args.data:
        check_data_name(args.data)
    from .runs import load_run

    run = load_run(args.run_folder)  # what is no run is told before the framework is loaded
    from .inference import evaluate
    from .tasks import get_task

    data = run.load_data(args.data, **{"skip_broken": True} if args.skip_broken else {})
    result = evaluate(run, data, args.split)
    print(printable(f"{run.config['model']} of {run.path} on {data.name}, {args.split} split"))
    _print_facts(get_task(run.config["task"]).lines(result))


def _predict(args) -> int:
    """Say what image files show.

    Name the most probable classes of image files, or of their pixels. Images of any size, grey or colour, are brought
    to the size and channels that the model was trained with. Brightness is not guessed: the digits of MNIST are light
    on dark, so for ink on paper use --invert.
    """
    check_number("--top", args.top, 1, whole=True)
    from .core.errors import DataError, MissingError
    from .data.images import open_image, read_image

    readable, failed = [], 0
    for path in args.images:  # before the framework is loaded: a wrong file name is told at once
        try:
            with open_image(path, decode=args.skip_broken):
                readable.append(path)
        except (DataError, MissingError) as error:
            if not args.skip_broken:
                raise
            failed = _fail(f"skipped {error}")
    if not readable:
        raise DataError("none of the files could be read")
    if args.draw and len(readable) > 1:
        raise UsageError(f"--draw is for one image; got {len(readable)}")
    from .runs import load_run

    run = load_run(args.run_folder)
    from .inference import predictions
    from .tasks import get_task

    task, longest = get_task(run.config["task"]), max(len(printable(path)) for path in readable)
    if args.draw and not task.draw:
        raise UsageError(f"--draw: there is nothing to draw of {task.name}")
    found_in = predictions(run, readable, **_named(args, *task.options, "invert"))
    for path, found in zip(readable, found_in, strict=True):
        print(f"{printable(path):{longest}}  {printable(task.text(found, run.class_names))}")
        if args.draw:
            from . import plots

            plots.save(task.draw(read_image(path), found, run.class_names), args.draw)
    return failed


def _data(args) -> int:
    """List the data sets, or check one, or a folder of images, and say what is in it."""
    from .data.sources import check_data_name
    from .data.tfds import TFDS

    if not args.data:
        print("mnist5k: 5,000 MNIST digits, embedded, no download")
        print("scenes: 5,000 scenes of those, with masks")
        print("\nthrough tensorflow_datasets, downloaded at first use:")
        print(textwrap.fill(", ".join(sorted(TFDS)), 100, initial_indent="  ", subsequent_indent="  "))
        print("\nor a folder with a sub-folder of images per class")
        return 0
    check_data_name(args.data)
    from . import load_data

    options = _named(args, *DATA_OPTIONS) | {"skip_broken": True}  # to name every file that cannot be read
    data = load_data(args.data, **options, progress=lambda line: print(printable(line), file=sys.stderr))
    from .cards import shape_text, text_table

    print(f"{printable(data.name)}: {shape_text(data.input_shape)}, {data.num_classes} classes")
    statistics = {key: ", ".join(f"{v:.4f}" for v in values) for key, values in data.statistics.items()}
    print(f"training images in [0, 1]: mean {statistics['mean']}, standard deviation {statistics['std']}")
    columns = [[*data.class_counts(split), len(data.splits[split])] for split in data.splits]
    texts = [[f"{count:,}" for count in column] for column in columns]
    rows = list(zip([*data.class_names, "all"], *texts, strict=True))
    print(text_table(("class", *data.splits), rows, right=(1, 2, 3)))
    for line in data.skipped:
        print(f"{'skipped' if args.skip_broken else 'broken:'} {printable(line)}")
    if not data.skipped or args.skip_broken:
        return 0
    count = f"{len(data.skipped)} file{'s' * (len(data.skipped) > 1)}"
    return _fail(f"{count} cannot be read; mend or remove them, or leave such files out with --skip-broken")


FLAG = {"action": "store_true"}
OPTIONS = {  # of commands; some are another thing in one of them
    "pattern": {"nargs": "?", "default": "*", "help": 'a shell pattern such as "vgg*"'},
    "model": {"help": "see cnn-zoo list"},
    "train model": {"nargs": "?", "default": "conv_stack", "help": "see cnn-zoo list (default: %(default)s)"},
    "run_folder": {"metavar": "RUN", "help": "a run folder, or published weights such as lenet5-mnist"},
    "images": {"nargs": "+", "metavar": "IMAGE", "help": "PNG, JPEG, BMP, GIF or WebP"},
    "data": {"nargs": "?", "help": "a data set or a folder"},
    "reproduce data": {"help": "the data set; cnn-zoo list shows which models have weights for which"},
    "--data": {"help": "default: what it was trained on"},
    "train --data": {"default": "mnist5k", "help": "see cnn-zoo data; or a folder of images (default: %(default)s)"},
    "--task": {"help": "list those for it alone, such as segmentation"},
    "--split": {"choices": ("train", "validation", "test"), "default": "test"},
    "--input-shape": {"type": _shape, "metavar": "HxWxC", "help": "such as 32x32x3; default: the family's own"},
    "--num-classes": {"type": int, "help": "default: as published"},
    "--layout": {"choices": LAYOUTS, "default": "auto", "help": "auto: small below 96 pixels"},
    "--plot": {"metavar": "FILE", "type": _png, "help": "draw the architecture into a PNG file"},
    "--out": {"metavar": "FOLDER", "help": "the run folder (default: runs/MODEL-DATA, -2 …)"},
    "--resume": {**FLAG, "help": "go on with the unfinished run in --out"},
    "--recipe": {"default": "fast", "help": f"{', '.join(RECIPES)} (default: %(default)s)"},
    "--epochs": {"type": int, "help": "default: by the recipe and the size of the data set"},
    "--batch-size": {"type": int, "help": "default: the recipe's"},
    "--learning-rate": {"type": float, "help": "the largest of the training; default: the recipe's"},
    "--early-stopping": {"type": int, "metavar": "N", "help": "stop after N epochs without a lower validation loss"},
    "--seed": {"type": int, "help": "default: one that is not on record yet"},
    "train --seed": {"type": int, "default": 0, "help": "of weights, order and augmentation (default: %(default)s)"},
    "--precision": {"choices": PRECISIONS, "default": "auto", "help": "auto: 16-bit where the processor is faster so"},
    "--deterministic": {**FLAG, "help": "the same weights from the same seed on this machine"},
    "--tensorboard": {**FLAG, "help": "write logs for TensorBoard into the run folder"},
    "--set": {
        "action": "append", "default": [], "type": _setting, "metavar": "OPTION=VALUE", "dest": "settings",
        "help": "an argument of build_model, such as filters=32,64 or dropout=0.5; may be repeated",
    },
    "--validation": {
        "type": float, "default": 0.1, "metavar": "FRACTION",
        "help": "of the training images to set aside, where there are no validation images (default: %(default)s)",
    },
    "--image-size": {"type": _size, "metavar": "N or HxW", "help": "resize images to this"},
    "--channels": {"type": int, "choices": (1, 3, 4), "help": "1 grey, 3 colour, 4 with opacity"},
    "--skip-broken": {**FLAG, "help": "leave out files that cannot be read"},
    "--top": {"type": int, "default": 3, "help": "how many classes of an image (default: %(default)s)"},
    "--draw": {"metavar": "FILE", "type": _png, "help": "draw what was found in the image into a PNG file"},
    "--invert": {**FLAG, "help": "exchange black and white first"},
}  # fmt: skip
DATA = "--validation --image-size --channels --skip-broken"
COMMANDS = {  # their docstrings are what --help says
    _list: "pattern --task",
    _info: "model --input-shape --num-classes --layout --plot --set",
    _train: "model --data --out --resume --recipe --epochs --batch-size --learning-rate --early-stopping --seed "
    f"--precision --deterministic --tensorboard --set {DATA}",
    _reproduce: "model data --seed --out --resume",
    _evaluate: "run_folder --data --split --skip-broken",
    _predict: "run_folder images --top --draw --invert --skip-broken",
    _data: f"data {DATA}",
}
