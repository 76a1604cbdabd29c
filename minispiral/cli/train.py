"""``minispiral train``."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from minispiral.cli.group import Failure, with_advice
from minispiral.cli.job import SharedCommand
from minispiral.cli.options import (
    NETWORK,
    PATH,
    dataset_options,
    device_option,
    network_options,
    precision_option,
)
from minispiral.cli.printable import shell_word
from minispiral.cli.terminal import announce, say, show
from minispiral.distributed import world
from minispiral.distributed.launch import launched
from minispiral.losses import SOURCES
from minispiral.training.config import LOSS_OPTIONS, SCHEDULES, TrainConfig, loss_parameter


def loss_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each parameter of each loss, such as ``--focal-alpha``."""
    for option, (_, name) in reversed(LOSS_OPTIONS.items()):
        parameter = loss_parameter(option)
        command = click.option(
            f"--{option.replace('_', '-')}",
            default=parameter.default,
            metavar=name[0].upper(),
            help=parameter.meaning,
        )(command)
    return command


def recipe_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of the recipe beyond the paper; all are off by default."""
    for option in (
        click.option(
            "--clip",
            type=float,
            metavar="NORM",
            help="Shorten the gradient of a step, that of all weights as one vector, to NORM where "
            "it is longer; of Eq. 11 it is usually a few units, such as --clip 20.",
        ),
        click.option(
            "--crack-share",
            default=TrainConfig.crack_share,
            metavar="S",
            help="Draw this share of the patches around a crack pixel, such as 0.5. Crack then "
            "seems likelier to the network than it is.",
        ),
        click.option(
            "--augment",
            is_flag=True,
            help="Quarter turns, scale 0.7 to 1.4, light, colour, blur, noise and JPEG, at random.",
        ),
        click.option(
            "--average-decay",
            default=TrainConfig.average_decay,
            metavar="D",
            help="Of --average: it reaches back over the last ninth of the run, but at most about "
            "1 / (1 - D) steps.",
        ),
        click.option(
            "--average",
            is_flag=True,
            help="Validate, choose and use the moving average of the weights and statistics.",
        ),
        click.option(
            "--warmup",
            default=TrainConfig.warmup,
            metavar="N",
            help="Raise the learning rate to --lr in the first N steps.",
        ),
        click.option(
            "--schedule",
            type=click.Choice(SCHEDULES),
            default=TrainConfig.schedule,
            help="Keep the learning rate, or let it fall to nothing along half a cosine. With "
            "cosine a resumed run may not change the number of its steps.",
        ),
    ):
        command = option(command)
    return command


@click.command(cls=SharedCommand)
@click.argument("data", type=PATH, required=False)
@click.option(
    "--out",
    type=PATH,
    required=True,
    metavar="RUN",
    help="Folder of the run: checkpoints, scores and pictures.",
)
@click.option(
    "--val",
    type=PATH,
    metavar="DATA",
    help="Photographs to validate on; the network with the best F1 on them is kept.",
)
@dataset_options
@click.option(
    "--network",
    type=NETWORK,
    default=TrainConfig.network,
    help="A U-Net is as deep as the largest of --depths; wide-unet has 4/3 of its channels; "
    "hed is VGG-16 with side outputs and has no --depths.",
)
@network_options
@click.option(
    "--init",
    type=PATH,
    metavar="RUN|FILE|pretrained",
    help="Start from the weights of a trained network: of a run (its best checkpoint, else its "
    "last), of a checkpoint, or those that come with the package. Options of the network that are "
    "not given are its own. HED also starts from VGG-16's: .safetensors or .npz, named as in "
    "torchvision.",
)
@click.option(
    "--loss",
    type=click.Choice(tuple(SOURCES)),
    default=TrainConfig.loss,
    help=", ".join(f"{name} ({source})" for name, source in SOURCES.items()) + ".",
)
@loss_options
@click.option(
    "--patch",
    default=TrainConfig.patch,
    metavar="SIDE",
    help="Side of the square patches in pixels.",
)
@click.option("--batch", default=TrainConfig.batch, metavar="N", help="Patches per step.")
@click.option(
    "--patches-per-image",
    default=TrainConfig.patches_per_image,
    metavar="N",
    help="Patches per photograph and epoch.",
)
@click.option("--epochs", default=TrainConfig.epochs, metavar="N", help="Train for N epochs.")
@click.option("--steps", type=int, metavar="N", help="Train for N steps, whatever --epochs says.")
@click.option("--lr", default=TrainConfig.lr, metavar="RATE", help="Learning rate of Adam.")
@click.option(
    "--beta1", default=TrainConfig.beta1, metavar="B", help="Decay of Adam's first moment."
)
@recipe_options
@click.option(
    "--seed", default=TrainConfig.seed, metavar="S", help="The same seed trains the same network."
)
@device_option
@precision_option
@click.option(
    "--resume",
    is_flag=True,
    help="Continue from the last checkpoint in RUN; no other option is needed. DATA and --val may "
    "have moved; --mask-suffix, --recursive, --epochs, --steps, --device and --precision may "
    "change.",
)
@click.option("--profile", is_flag=True, help="Show at the end where the time went.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    out: Path,
    resume: bool,
    profile: bool,
    **options: Any,
) -> None:
    """Train a network on the photographs and masks in DATA.

    Ctrl-C stops it, writes a checkpoint and prints the command that resumes the run. DATA is left
    out when the run is resumed, unless its photographs have moved.

    \b
    Examples: minispiral train concrete --out run
              minispiral train concrete --val others --out run --depths 1-5 --width 0.25 --batch 8
              minispiral train concrete --out run --schedule cosine --warmup 100 --average --augment
              minispiral train mine --out other --init run --lr 3e-5 --steps 500
              minispiral train concrete --out run --network hed --init vgg16.safetensors
              minispiral train --out run --resume
    """
    from minispiral.cli.progress import TerminalReporter
    from minispiral.device import choose
    from minispiral.networks import parse_depths
    from minispiral.runs.folder import NotResumable
    from minispiral.training import loop
    from minispiral.training.interrupt import Interrupted
    from minispiral.training.resume import new_config, resumed_config

    if options["data"] is None and not resume:
        raise click.UsageError("Missing argument 'DATA'.", ctx)
    options["depths"] = parse_depths(options["depths"])
    given = {name: options[name] for name in typed(ctx, options)}
    config = world().from_first(lambda: resumed_config(out, given) if resume else new_config(given))
    if profile and choose(config.device, config.precision).is_gpu:
        raise Failure("--profile times the CPU alone; give --device cpu or leave it out.")
    announce(config.device, config.precision)
    try:
        with profiled() if profile else nullcontext(), TerminalReporter() as report:
            loop.train(config, out, resume, report)
    except NotResumable as refused:
        told = with_advice(refused, ctx.command).rstrip(".")
        raise Failure(
            f"{told}, or begin another run from the weights of this one with "
            f"--init {shell_word(str(out))} and another --out."
        ) from refused
    except Interrupted as stopped:
        raise Failure(
            f"Stopped after step {stopped.step}; go on with: {resume_command(ctx, config)}",
            stopped.exit_code,
        ) from stopped
    except KeyboardInterrupt as stopped:  # before the first step, or pressed twice
        raise Failure(f"Stopped; go on with: {resume_command(ctx, config)}", 130) from stopped
    say(f"trained network: {out}")


@contextmanager
def profiled() -> Iterator[None]:
    """Profile what runs inside and print the tables on standard error, after an exception too."""
    from minispiral.cli import tables
    from minispiral.profiling import profile

    try:
        with profile() as p:
            yield
    finally:
        if any(layer for layer, _ in p.spent):  # at least one step was taken
            show(tables.profile_by_layer(p), err=True)
            show(tables.profile_by_kind(p), err=True)


def typed(ctx: click.Context, names: Iterable[str]) -> list[str]:
    """Those of the parameters ``names`` that the user gave."""
    return [name for name in names if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE]


def resume_command(ctx: click.Context, config: TrainConfig) -> str:
    """The command that resumes the run; all that was typed, if the run has not saved it yet."""
    from minispiral.training.resume import is_saved

    out, here = ctx.params["out"], launched()
    words = ["minispiral", "train"]
    if here.size > 1:
        words = [here.launcher, "-n", str(here.size), *words]
    if is_saved(config, out):
        words += ["--out", str(out)]
    else:
        given = {*typed(ctx, ctx.params)} - {"resume", "profile"}
        for param in (param for param in ctx.command.params if param.name in given):
            if isinstance(param, click.Option):
                words.append(param.opts[0])
            if not getattr(param, "is_flag", False):
                words.append(str(ctx.params[str(param.name)]))
    return " ".join(map(shell_word, [*words, "--resume"]))
