"""What each command of the command line does, with its arguments as argparse gives them; cli.py says what these are.

Names and numbers are checked before TensorFlow and Keras are imported, which takes some seconds. A function's docstring
is what --help says; it returns the exit status, None for 0.
"""

import shlex
import sys
import textwrap
from typing import Any

from .core.errors import UsageError, check_number, check_seed, unknown
from .core.intervals import prediction_interval
from .models.registry import catalogue, check_model_name, choose_layout, list_models
from .nn.inspection import shapes_only
from .recipes import Recipe, get_recipe
from .weights.pretrained import accuracy_text, find_record, names_data, records_of

DATA_OPTIONS = ("validation", "image_size", "channels", "skip_broken")


def fail(message: str, status: int = 1) -> int:
    print(f"cnn-zoo: {' '.join(message.split())}", file=sys.stderr)
    return status


def do_list(args) -> None:
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


def do_info(args) -> None:
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


def _print_facts(facts) -> None:
    """Pairs of a name and a text, in two columns."""
    print("\n".join(f"{name:{2 + max(len(name) for name, _ in facts)}}{text}" for name, text in facts))


def do_train(args) -> None:
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
    print(f"\nSee {run.path / 'report.md'}; name an image with: cnn-zoo predict {shlex.quote(str(run.path))} IMAGE")


def do_reproduce(args) -> int:
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
    print(f"\nreached    {accuracy:.2%} with seed {run.config['seed']}, in {run.path}")
    print(f"on record  {accuracy_text(record)}; another one is between {low:.2%} and {high:.2%} in 99 of 100 cases")
    return 0 if low <= accuracy <= high else fail(f"{accuracy:.2%} is not between {low:.2%} and {high:.2%}")


def do_evaluate(args) -> None:
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
    print(f"{run.config['model']} of {run.path} on {data.name}, {args.split} split")
    _print_facts(get_task(run.config["task"]).lines(result))


def do_predict(args) -> int:
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
            failed = fail(f"skipped {error}")
    if not readable:
        raise DataError("none of the files could be read")
    if args.draw and len(readable) > 1:
        raise UsageError(f"--draw is for one image; got {len(readable)}")
    from .runs import load_run

    run = load_run(args.run_folder)
    from .inference import predictions
    from .tasks import get_task

    task, longest = get_task(run.config["task"]), max(map(len, readable))
    if args.draw and not task.draw:
        raise UsageError(f"--draw: there is nothing to draw of {task.name}")
    found_in = predictions(run, readable, **_named(args, *task.options, "invert"))
    for path, found in zip(readable, found_in, strict=True):
        print(f"{path:{longest}}  {task.text(found, run.class_names)}")
        if args.draw:
            from . import plots

            plots.save(task.draw(read_image(path), found, run.class_names), args.draw)
    return failed


def do_data(args) -> int:
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
    data = load_data(args.data, **options, progress=lambda line: print(line, file=sys.stderr))
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
    if not data.skipped or args.skip_broken:
        return 0
    count = f"{len(data.skipped)} file{'s' * (len(data.skipped) > 1)}"
    return fail(f"{count} cannot be read; mend or remove them, or leave such files out with --skip-broken")
