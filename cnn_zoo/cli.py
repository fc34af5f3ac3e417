"""The command line: cnn-zoo list | info | train | reproduce | evaluate | predict | data.

Names and numbers are checked before TensorFlow and Keras are imported, which takes some seconds; what needs them, such
as the options of a model, and the run folder, after it.
"""

from __future__ import annotations

import argparse
import ast
import functools
import os
import re
import shlex
import sys
import textwrap
import warnings
from typing import Any

from . import __version__
from .core.errors import UsageError, ZooError, check_number, check_seed, unknown
from .core.intervals import prediction_interval
from .models.registry import LAYOUTS, catalogue, check_model_name, choose_layout, list_models
from .nn.inspection import shapes_only
from .nn.precision import PRECISIONS
from .recipes import RECIPES, Recipe, get_recipe
from .weights.pretrained import accuracy_text, find_record, names_data, records_of

RUN_HELP = "a run folder, or published weights such as lenet5-mnist"


class _Parser(argparse.ArgumentParser):
    """argparse, with one line on standard error for a bad argument."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for a usage error, 1 for a failure."""
    parser = _make_parser()
    args, strange = parser.parse_known_args(arguments)
    if strange:
        command = f"{parser.prog} {args.command}" if args.command else parser.prog
        parser.exit(2, f"{command}: unrecognized arguments: {' '.join(strange)} (see {command} --help)\n")
    if not args.command:
        parser.print_help()
        return 0
    plain, warnings.formatwarning = warnings.formatwarning, lambda message, *_, **__: f"{parser.prog}: {message}\n"
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
    print(f"cnn-zoo: {' '.join(message.split())}", file=sys.stderr)
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

    add = commands.add_parser("list", help="the models", description="List the models of the zoo.")
    add.add_argument("pattern", nargs="?", default="*", help='a shell pattern such as "vgg*"')
    add.set_defaults(run=_list)

    add = commands.add_parser(
        "info",
        help="layers, parameters and cost of a model",
        description="Say what a model is: its layers, parameters, cost, options, and the weights that come with it.",
    )
    add.add_argument("model", help="see cnn-zoo list")
    add.add_argument("--input-shape", type=_shape, metavar="HxWxC", help="such as 32x32x3; default: the family's own")
    add.add_argument("--num-classes", type=int, help="default: as published")
    add.add_argument("--layout", choices=LAYOUTS, default="auto", help="auto: small below 96 pixels")
    add.add_argument("--plot", metavar="FILE", type=_png, help="draw the architecture into a PNG file")
    _add_set(add)
    add.set_defaults(run=_info)

    add = commands.add_parser(
        "train",
        help="train a model and write a run folder",
        description="Train a model on a data set, judge it on the test set and write a run folder with the weights, "
        "the history, figures and a report.",
    )
    add.add_argument("model", nargs="?", default="conv_stack", help="see cnn-zoo list (default: %(default)s)")
    add.add_argument(
        "--data",
        default="mnist5k",
        help="a data set (see cnn-zoo data) or a folder with a sub-folder of images per class (default: %(default)s)",
    )
    _add_out(add)
    add.add_argument("--recipe", default="fast", help=f"{', '.join(RECIPES)} (default: %(default)s)")
    add.add_argument("--epochs", type=int, help="default: by the recipe and the size of the data set")
    add.add_argument("--batch-size", type=int, help="default: the recipe's")
    add.add_argument("--learning-rate", type=float, help="the largest of the training; default: the recipe's")
    add.add_argument(
        "--early-stopping",
        type=int,
        metavar="N",
        help="stop after N epochs without a lower validation loss, keep the best",
    )
    add.add_argument("--seed", type=int, default=0, help="of weights, order and augmentation (default: %(default)s)")
    add.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="what to compute in: auto is 16-bit where the processor is faster so (default: %(default)s)",
    )
    add.add_argument("--deterministic", action="store_true", help="the same weights from the same seed on this machine")
    add.add_argument("--tensorboard", action="store_true", help="write logs for TensorBoard into the run folder")
    _add_set(add)
    _add_data_options(add)
    add.set_defaults(run=_train)

    add = commands.add_parser(
        "reproduce",
        help="train published weights again and compare with the record",
        description="Train a model with the recipe and options of its published weights, and compare the test accuracy "
        "with those on record. Exits with 1 when it is not within the 99 % interval that they give for another seed.",
    )
    add.add_argument("model", help="see cnn-zoo list")
    add.add_argument("data", help="the data set; cnn-zoo list shows which models have weights for which")
    add.add_argument("--seed", type=int, help="default: one that is not on record yet")
    _add_out(add)
    add.set_defaults(run=_reproduce)

    add = commands.add_parser("evaluate", help="accuracy of a run on its test set, or on another data set")
    add.add_argument("run_folder", metavar="RUN", help=RUN_HELP)
    add.add_argument("--data", help="default: what it was trained on")
    add.add_argument("--split", choices=("train", "validation", "test"), default="test")
    add.add_argument("--skip-broken", action="store_true", help="leave out files that cannot be read")
    add.set_defaults(run=_evaluate)

    add = commands.add_parser(
        "predict",
        help="name the class of image files",
        description="Name the most probable classes of image files. Images of any size, grey or colour, are brought to "
        "the size and channels that the model was trained with. Brightness is not guessed: the digits of MNIST are "
        "light on dark, so for ink on paper use --invert.",
    )
    add.add_argument("run_folder", metavar="RUN", help=RUN_HELP)
    add.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG, BMP, GIF or WebP")
    add.add_argument("--top", type=int, default=3, help="how many classes (default: %(default)s)")
    add.add_argument("--invert", action="store_true", help="exchange black and white first")
    add.add_argument("--skip-broken", action="store_true", help="report files that cannot be read and go on")
    add.set_defaults(run=_predict)

    add = commands.add_parser(
        "data",
        help="the data sets, or what is in one",
        description="List the names of the data sets; or check one, or a folder of images, and say what is in it.",
    )
    add.add_argument("data", nargs="?", help="a data set or a folder")
    _add_data_options(add)
    add.set_defaults(run=_data)
    return parser


def _add_out(parser) -> None:
    parser.add_argument("--out", metavar="FOLDER", help="the run folder (default: runs/MODEL-DATA, -2 …)")
    parser.add_argument("--resume", action="store_true", help="go on with the unfinished run in --out")


def _add_set(parser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], type=_setting, metavar="OPTION=VALUE", dest="settings",
        help="an argument of build_model, such as filters=32,64 or dropout=0.5; may be repeated",
    )  # fmt: skip


def _add_data_options(parser) -> None:
    parser.add_argument(
        "--validation",
        type=float,
        default=0.1,
        metavar="FRACTION",
        help="of the training images to set aside, where there are no validation images (default: %(default)s)",
    )
    parser.add_argument("--image-size", type=_size, metavar="N or HxW", help="resize images to this")
    parser.add_argument("--channels", type=int, choices=(1, 3, 4), help="1 grey, 3 colour, 4 with opacity")
    parser.add_argument("--skip-broken", action="store_true", help="leave out files that cannot be read")


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+x\d+x\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form HxWxC, such as 32x32x3")
    return tuple(map(int, text.split("x")))


def _size(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(x\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form N or HxW, such as 64 or 48x64")
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def _png(text: str) -> str:
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png")
    return text


def _setting(text: str) -> tuple[str, Any]:
    """filters=32,64 -> ("filters", (32, 64)); what is not a Python literal is text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form OPTION=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return name, value


def _list(args) -> None:
    from .cards import text_table

    names = list_models(args.pattern)
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
    check_model_name(args.model)
    flags = {"name": "MODEL", "input_shape": "--input-shape", "num_classes": "--num-classes", "layout": "--layout"}
    for option, _ in args.settings:
        if option in flags:
            raise UsageError(f"--set {option}=…: use {flags[option]}")
        if option == "compile":
            raise UsageError("--set compile=…: info does not compile")
    from . import model_card

    options = {**_named(args, "input_shape", "layout"), **dict(args.settings), "num_classes": _classes(args)}
    card = model_card(args.model, **options)
    print(card)
    others: dict[tuple, list[str]] = {}
    for data, record in records_of(args.model).items():
        others.setdefault(tuple(record["config"]["input_shape"]), []).append(data)
    for shape, sets in others.items():
        if shape != card.input_shape:
            images = "x".join(map(str, shape))
            print(f"\nThere are weights for {' and '.join(sets)} too, with images of {images}.")
    if args.plot:
        from . import build_model, plots

        with shapes_only():
            model = build_model(args.model, compile=False, **options)
        plots.save(plots.architecture(model), args.plot)
        print(f"\ndrawn in {args.plot}")


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


def _train(args) -> None:
    from .data.sources import check_data_name

    check_model_name(args.model)
    check_data_name(args.data)
    check_seed(args.seed)
    if args.resume and not args.out:
        raise UsageError("--resume needs the run folder: --out FOLDER")
    changes = _named(args, "epochs", "batch_size", "learning_rate", "early_stopping")
    get_recipe(args.recipe, **changes)
    from .report import summary
    from .runs import DATA_OPTIONS, check_folder

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
    for name, text in summary(run):
        print(f"{name:15}{text}")
    print(f"{'run folder':15}{run.path}")
    print(f"\nSee {run.path / 'report.md'}; name an image with: cnn-zoo predict {shlex.quote(str(run.path))} IMAGE")


def _reproduce(args) -> int:
    check_model_name(args.model)
    record = find_record(args.model, args.data)
    config, reached = record["config"], list(record["seeds"].values())
    from .runs import check_folder

    if args.out:
        check_folder(args.out, args.resume)
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
    low, high = prediction_interval(reached)
    accuracy = run.metrics["test_accuracy"]
    print(f"\nreached    {accuracy:.2%} with seed {run.config['seed']}, in {run.path}")
    print(f"on record  {accuracy_text(record)}; another one is between {low:.2%} and {high:.2%} in 99 of 100 cases")
    return 0 if low <= accuracy <= high else _fail(f"{accuracy:.2%} is not between {low:.2%} and {high:.2%}")


def _evaluate(args) -> None:
    from .data.sources import check_data_name

    if args.data:
        check_data_name(args.data)
    from .report import share_text
    from .runs import load_run

    run = load_run(args.run_folder)
    from .inference import evaluate

    options = {"skip_broken": True} if args.skip_broken else {}
    data = run.load_data(args.data, **options)
    result = evaluate(run, data, args.split)
    print(f"{run.config['model']} of {run.path} on {data.name}, {args.split} split")
    print(f"accuracy  {share_text(result['accuracy'], result['images'])}")
    print(f"loss      {result['loss']:.4f}")


def _predict(args) -> int:
    check_number("--top", args.top, 1, whole=True)
    from pathlib import Path

    from .runs import read_config

    height, width, channels = read_config(Path(args.run_folder))["input_shape"]
    from .core.errors import DataError, MissingError
    from .data.images import read_image

    arrays, readable, failed = [], [], 0
    for path in args.images:  # before the framework is loaded: a wrong file name is told at once
        try:
            arrays.append(read_image(path, (height, width), channels))
            readable.append(path)
        except (DataError, MissingError) as error:
            if not args.skip_broken:
                raise
            failed = _fail(f"skipped {error}")
    if not arrays:
        raise DataError("none of the files could be read")
    from .inference import predict
    from .runs import load_run

    longest = max(map(len, readable))
    named = predict(load_run(args.run_folder), arrays, **_named(args, "top", "invert"))
    for path, best in zip(readable, named, strict=True):
        print(f"{path:{longest}}  " + "   ".join(f"{name} {probability:.1%}" for name, probability in best))
    return failed


def _data(args) -> int:
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
    from .runs import DATA_OPTIONS

    options = _named(args, *DATA_OPTIONS) | {"skip_broken": True}  # to name every file that cannot be read
    data = load_data(args.data, **options, progress=functools.partial(print, file=sys.stderr))
    from .cards import shape_text, text_table

    print(f"{data.name}: {shape_text(data.input_shape)}, {data.num_classes} classes")
    statistics = {key: ", ".join(f"{v:.4f}" for v in values) for key, values in data.statistics.items()}
    print(f"training images in [0, 1]: mean {statistics['mean']}, standard deviation {statistics['std']}")
    columns = [[*data.class_counts(split), len(data.splits[split])] for split in data.splits]
    texts = [[f"{count:,}" for count in column] for column in columns]
    rows = list(zip([*data.class_names, "all"], *texts, strict=True))
    print(text_table(("class", *data.splits), rows, right=(1, 2, 3)))
    for line in data.skipped:
        print(f"{'skipped' if args.skip_broken else 'broken:'} {line}")
    if data.skipped and not args.skip_broken:
        count = f"{len(data.skipped)} file{'s' * (len(data.skipped) > 1)}"
        return _fail(f"{count} cannot be read; mend or remove them, or leave such files out with --skip-broken")
    return 0
