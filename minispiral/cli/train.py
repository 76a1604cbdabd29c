"""``minispiral train``."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from minispiral.cli.group import Failure
from minispiral.cli.options import (
    NETWORK,
    PATH,
    device_option,
    network_options,
    precision_option,
)
from minispiral.cli.terminal import announce, show
from minispiral.losses import SOURCES
from minispiral.training.config import LOSS_OPTIONS, TrainConfig, loss_parameter


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


@click.command()
@click.argument("data", type=PATH)
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
    metavar="FILE",
    help="Start HED from VGG-16's weights: .safetensors or .npz, named as in torchvision.",
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
@click.option(
    "--seed", default=TrainConfig.seed, metavar="S", help="The same seed trains the same network."
)
@device_option
@precision_option
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint in RUN.")
@click.option("--profile", is_flag=True, help="Show at the end where the time went.")
@click.pass_context
def train(
    ctx: click.Context,
    /,
    data: Path,
    out: Path,
    depths: str,
    resume: bool,
    profile: bool,
    **options: Any,
) -> None:
    """Train a network on the photographs and masks in DATA.

    Ctrl-C stops it, writes a checkpoint and prints the command that resumes the run.

    \b
    Examples: minispiral train concrete --out run
              minispiral train concrete --val others --out run --depths 1-5 --width 0.25 --batch 8
              minispiral train concrete --out run --network hed --init vgg16.safetensors
              minispiral train concrete --out run --resume
    """
    from minispiral.cli.progress import TerminalReporter
    from minispiral.device import choose
    from minispiral.networks import parse_depths
    from minispiral.training import loop
    from minispiral.training.interrupt import Interrupted

    config = TrainConfig.from_dict({"data": data, "depths": parse_depths(depths), **options})
    if profile and choose(config.device, config.precision).is_gpu:
        raise Failure("--profile times the CPU alone; give --device cpu or leave it out.")
    announce(config.device, config.precision)
    try:
        with profiled() if profile else nullcontext(), TerminalReporter() as report:
            loop.train(config, out, resume, report)
    except Interrupted as stopped:
        raise Failure(
            f"Stopped after step {stopped.step}; go on with: {resume_command(ctx)}",
            stopped.exit_code,
        ) from stopped
    except KeyboardInterrupt as stopped:  # before the first step, or pressed twice
        raise Failure(f"Stopped; go on with: {resume_command(ctx)}", 130) from stopped
    click.echo(f"trained network: {out}")


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


def resume_command(ctx: click.Context) -> str:
    """The command that resumes the run: what was typed, with ``--resume``."""
    words = ["minispiral", "train"]
    for param in ctx.command.params:
        name = param.name or ""
        if isinstance(param, click.Argument):
            words.append(str(ctx.params[name]))
        elif (
            name not in ("resume", "profile")
            and ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
        ):
            words += [param.opts[0], str(ctx.params[name])]
    return shlex.join([*words, "--resume"])
