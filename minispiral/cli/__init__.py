"""The ``minispiral`` command: parses, calls the jobs, prints what they return.

What a command needs is imported when it runs, so that ``minispiral --help`` is quick.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minispiral import __version__
from minispiral.cli.options import (
    NETWORK,
    PATH,
    announce,
    device_option,
    json_option,
    network_options,
    parse_place,
    parse_size,
    precision_option,
    resume_command,
)
from minispiral.cli.terminal import Commands, Failure, print_json, progress_bar, show, show_profile

if TYPE_CHECKING:
    from minispiral.detection.detect import Detection

SHOWN_FAILURES = 3  # in detail, those that others rest on first; the table has them all


@click.group(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(__version__, prog_name="minispiral")
def main() -> None:
    """Find hairline cracks in photographs of concrete: Spiral-Net, trained for F1.

    \b
    To see it work:       minispiral demo
    With photographs:     minispiral train DATA --out RUN
                          minispiral evaluate RUN DATA
                          minispiral detect RUN PHOTO... --out DIR

    DATA is a folder with photographs in images/ and masks of the same names in masks/; any
    non-zero mask pixel is crack.
    """
    # Pillow warns of damaged files that are reported in one sentence anyway.
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")


@main.command()
@click.option(
    "--out",
    type=PATH,
    default="minispiral-demo",
    metavar="DIR",
    help="Where photographs, runs and pictures go.",
)
@device_option
@precision_option
def demo(out: Path, device: str, precision: str) -> None:
    """Train two small networks and compare them.

    Both start from the same weights and see the same patches; one learns by cross-entropy, the
    other by the pseudo-gradient of F1 (Eq. 11). Takes a few minutes on two cores.

    \b
    Examples: minispiral demo
              minispiral demo --out /tmp/demo
    """
    from minispiral.cli.progress import TerminalReporter
    from minispiral.training.demo import comparison_table
    from minispiral.training.demo import demo as run_demo
    from minispiral.training.interrupt import Interrupted

    announce(device, precision)
    try:
        with TerminalReporter() as report:
            result = run_demo(out, report, device=device, precision=precision)
    except Interrupted as stopped:
        raise Failure(
            "Stopped; run the command again to start over.", stopped.exit_code
        ) from stopped
    show(comparison_table(result.scores))
    for what, path in result.pictures.items():
        click.echo(f"{what}: {path}")


@main.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--photos", default=32, metavar="N", help="How many photographs.")
@click.option(
    "--size",
    callback=parse_size,
    default="1024x768",
    metavar="WxH",
    help="Width and height in pixels.",
)
@click.option("--seed", default=0, metavar="S", help="The same seed makes the same photographs.")
def synth(folder: Path, photos: int, size: tuple[int, int], seed: int) -> None:
    """Make a dataset of synthetic concrete in DIR.

    Beside images/ and masks/ it has joints/ (formwork joints, which are no cracks) and cracks/
    (the course and true width of each crack, as JSON).

    \b
    Examples: minispiral synth concrete
              minispiral synth concrete --photos 100 --size 2048x1536 --seed 1
    """
    from minispiral.data.synth import write_dataset

    try:
        with progress_bar("making photographs") as (progress, _):
            write_dataset(folder, photos, size, seed, progress=progress)
    except KeyboardInterrupt as stopped:
        raise Failure(f"Stopped; remove {folder} and run the command again.", 130) from stopped
    click.echo(f"{photos} photographs with masks: {folder}")


@main.command()
@click.argument("data", type=PATH)
@click.option(
    "--out",
    type=PATH,
    required=True,
    metavar="RUN",
    help="The folder of the run: checkpoints, scores and pictures.",
)
@click.option(
    "--val",
    type=PATH,
    metavar="DATA",
    help="Photographs to validate on; the network with the best F1 there is kept.",
)
@click.option(
    "--network",
    type=NETWORK,
    default="spiral",
    help="A U-Net is as deep as the largest of --depths; wide-unet has 4/3 of its channels; "
    "hed is VGG-16 with side outputs and without --depths.",
)
@network_options
@click.option(
    "--init",
    type=PATH,
    metavar="FILE",
    help="Start HED from VGG-16's weights: .safetensors or .npz, named as in torchvision.",
)
@click.option(
    "--loss",
    type=click.Choice(["pseudo-f1", "f1", "cross-entropy", "balanced", "focal", "linear"]),
    default="pseudo-f1",
    help="Eq. 11, Eq. 8 or Eq. 10 of the paper; by inverse class frequency; focal; or Eq. 9.",
)
@click.option("--focal-alpha", default=0.25, metavar="A", help="Weight of crack in the focal loss.")
@click.option(
    "--focal-gamma", default=2.0, metavar="G", help="Focus of the focal loss on what is wrong."
)
@click.option("--patch", default=255, metavar="SIDE", help="Side of the square patches in pixels.")
@click.option("--batch", default=32, metavar="N", help="Patches per step.")
@click.option(
    "--patches-per-image", default=256, metavar="N", help="Patches per photograph and epoch."
)
@click.option("--epochs", default=200, metavar="N")
@click.option("--steps", type=int, metavar="N", help="Train for N steps, whatever --epochs says.")
@click.option("--lr", default=1e-4, metavar="RATE", help="Learning rate of Adam.")
@click.option("--beta1", default=0.9, metavar="B", help="Decay of Adam's first moment.")
@click.option("--seed", default=0, metavar="S", help="The same seed trains the same network.")
@device_option
@precision_option
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in RUN.")
@click.option("--profile", is_flag=True, help="Show at the end where the time went.")
@click.pass_context
def train(
    ctx: click.Context, /, data: Path, out: Path, depths: str, resume: bool, **options: Any
) -> None:
    """Train a network on the photographs and masks of DATA.

    Ctrl-C stops it with a checkpoint and the command that resumes the run.

    \b
    Examples: minispiral train concrete --out run
              minispiral train concrete --val others --out run --depths 1-5 --width 0.25 --batch 8
              minispiral train concrete --out run --network hed --init vgg16.safetensors
              minispiral train concrete --out run --resume
    """
    from minispiral.cli.progress import TerminalReporter
    from minispiral.device import choose
    from minispiral.errors import UserError
    from minispiral.networks.spiral import parse_depths
    from minispiral.training.config import TrainConfig
    from minispiral.training.interrupt import Interrupted
    from minispiral.training.loop import train as run_training

    profile = options.pop("profile")
    config = TrainConfig(data=data, depths=parse_depths(depths), **options)
    if profile and choose(config.device, config.precision).is_gpu:
        raise UserError(
            "--profile was given, which knows of the CPU's time alone; give --device cpu or leave "
            "it out."
        )
    announce(config.device, config.precision)
    profiled = show_profile() if profile else nullcontext()
    try:
        with profiled, TerminalReporter() as report:
            run_training(config, out, resume, report)
    except Interrupted as stopped:
        raise Failure(
            f"Stopped after step {stopped.step}; go on with: {resume_command(ctx)}",
            stopped.exit_code,
        ) from stopped
    except KeyboardInterrupt as stopped:  # before the first step, or asked for twice
        raise Failure(f"Stopped; go on with: {resume_command(ctx)}", 130) from stopped
    click.echo(f"trained network: {out}")


@main.command()
@click.argument("run", type=PATH)
@click.argument("data", type=PATH)
@click.option(
    "--tolerance",
    type=click.IntRange(min=0),
    default=0,
    metavar="PX",
    help="Take detections within so many pixels of a crack as correct.",
)
@device_option
@precision_option
@json_option
def evaluate(
    run: Path, data: Path, tolerance: int, device: str, precision: str, as_json: bool
) -> None:
    """Score the network of RUN on the photographs of DATA.

    Average precision, precision, recall and F1 of each photograph and their averages;
    photographs without any crack are counted apart, with their false alarms.

    \b
    Examples: minispiral evaluate run concrete
              minispiral evaluate run concrete --tolerance 2 --json
    """
    from minispiral.detection.evaluate import evaluate as run_evaluation
    from minispiral.detection.evaluate import scores_table

    announce(device, precision)
    with progress_bar("evaluating") as (progress, _):
        summary = run_evaluation(
            run,
            data,
            tolerance=tolerance,
            progress=progress,
            device=device,
            precision=precision,
        )
    if as_json:
        print_json(summary.as_dict())
    else:
        show(scores_table(summary))


@main.command()
@click.argument("run", type=PATH)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="Where the results go.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="Pixels of at least this probability are crack.",
)
@device_option
@precision_option
@json_option
def detect(
    run: Path,
    photos: tuple[str, ...],
    out: Path,
    threshold: float,
    device: str,
    precision: str,
    as_json: bool,
) -> None:
    """Find cracks in photographs of any size with the network of RUN.

    PHOTO is a file, a folder or a pattern such as '*.jpg'. For each photograph NAME, DIR receives
    NAME.probability.png, NAME.mask.png and NAME.overlay.jpg of the same size.

    \b
    Examples: minispiral detect run bridge.jpg --out found
              minispiral detect run photos 'more/*.jpg' --out found --threshold 0.3
    """
    from minispiral.detection.detect import detect as run_detection

    announce(device, precision)
    with progress_bar("detecting") as (progress, message):

        def report(result: Detection) -> None:
            message(
                f"{result.photo}: {result.crack_pixels} crack pixels "
                f"({result.crack_share:.3%}), {result.seconds:.1f} s"
                if result.error is None
                else f"minispiral: {result.error}"
            )

        results = run_detection(run, photos, out, threshold, report, progress, device, precision)
    unread = sum(result.error is not None for result in results)
    if as_json:
        print_json({"threshold": threshold, "photos": [result.as_dict() for result in results]})
    else:
        click.echo(f"results for {len(results) - unread} photographs: {out}")
    if unread:
        raise Failure(f"{unread} of {len(results)} photographs could not be read.")


@main.command()
@click.argument("run", type=PATH)
@click.argument("photo", type=PATH)
@click.option(
    "--out", type=PATH, default="maps.png", metavar="FILE.png", help="The picture to draw."
)
@click.option(
    "--at",
    callback=parse_place,
    metavar="X,Y",
    help="Show the surroundings of this pixel [default: where most crack is seen].",
)
@click.option("--size", default=512, metavar="PIXELS", help="Show at most so many pixels square.")
@device_option
@precision_option
def inspect(
    run: Path,
    photo: Path,
    out: Path,
    at: tuple[int, int] | None,
    size: int,
    device: str,
    precision: str,
) -> None:
    """Draw the maps that the modules of RUN make of PHOTO (Fig. 3 of the paper).

    Each map of Spiral-Net, or side output of HED, stands with its weight in the last 1 x 1
    convolution, beside the photograph and the probability of crack.

    \b
    Examples: minispiral inspect run bridge.jpg
              minispiral inspect run bridge.jpg --out maps.png --at 1800,950 --size 300
    """
    from minispiral.detection.maps import inspect as run_inspection

    announce(device, precision)
    run_inspection(run, photo, out, at, size, device, precision)
    click.echo(f"maps: {out}")


@main.command()
@click.argument("network", type=NETWORK, default="spiral")
@network_options
@click.option("--patch", default=255, metavar="SIDE", help="Side of the picture in pixels.")
@json_option
def describe(
    network: str, depths: str, connection: str, width: float, patch: int, as_json: bool
) -> None:
    """List the layers of a network with parameters and multiply-accumulates (MACs).

    \b
    Examples: minispiral describe
              minispiral describe spiral --depths 1-5 --width 0.25 --json
              minispiral describe wide-unet
    """
    from minispiral.networks.describe import describe as describe_network
    from minispiral.networks.describe import layers_table
    from minispiral.networks.spiral import parse_depths

    description = describe_network(network, parse_depths(depths), connection, width, patch)
    if as_json:
        print_json(description.as_dict())
    else:
        show(layers_table(description))


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--seed", default=0, metavar="S", help="Other random numbers to check on.")
@device_option
@json_option
def gradcheck(names: tuple[str, ...], seed: int, device: str, as_json: bool) -> None:
    """Check the gradients of every operation, layer, loss and network.

    Back-propagation in float64, on a GPU too, against complex steps or central differences;
    forward passes against plain loops; Eq. 11, which is no derivative, by what the paper says of
    it. NAME picks what is checked. The exit code is 1 if any check fails, and what failed is
    printed first.

    \b
    Examples: minispiral gradcheck
              minispiral gradcheck conv2d batch_norm
              minispiral gradcheck pseudo-f1 --json
    """
    from minispiral.cli.progress import TerminalReporter
    from minispiral.gradcheck import check_library, reports_table

    announce(device)
    with TerminalReporter() as terminal:
        reports = check_library(
            names,
            seed,
            lambda name, done, total: terminal.show("checking", done, total, name),
            device,
        )
    failed = [report for report in reports if not report.passed]
    if as_json:
        print_json(
            {
                "passed": not failed,
                "seed": seed,
                "seconds": sum(report.seconds for report in reports),
                "checks": [report.as_dict() for report in reports],
            }
        )
    else:
        for report in failed[:SHOWN_FAILURES]:
            click.echo(f"{report}\n")
        show(reports_table(reports))
    if failed:
        raise Failure(f"{len(failed)} of {len(reports)} checks failed, first {failed[0].name}.")


@main.command()
@click.argument("number", required=False)
@click.argument("answer", required=False, metavar="[ANSWER.PY]", type=PATH)
@json_option
def exercise(number: str | None, answer: Path | None, as_json: bool) -> None:
    """Check your answer to an exercise of the book, or list the exercises.

    ANSWER.PY holds the function that exercise NUMBER asks for. It is run, so check only files
    that you trust. The exit code is 1 for an answer that is wrong.

    \b
    Examples: minispiral exercise
              minispiral exercise 3.1 answer.py
    """
    from minispiral.exercises import Wrong
    from minispiral.exercises.catalogue import catalogue, check_answer, exercises_table, find

    if answer is None:
        asked = list(catalogue().values()) if number is None else [find(number)]
        if as_json:
            keys = ("number", "function", "title")
            print_json({"exercises": [{key: vars(e)[key] for key in keys} for e in asked]})
        else:
            show(exercises_table(asked))
        return
    assert number is not None
    wrong = None
    try:
        check_answer(number, answer)
    except Wrong as found:
        wrong = str(found).rstrip(".") + "."
    if as_json:
        print_json({"number": number, "right": wrong is None, "wrong": wrong})
    if wrong is not None:
        raise Failure(f"{number} is not right yet: {wrong}")
    if not as_json:
        click.echo(f"{number} is right.")
