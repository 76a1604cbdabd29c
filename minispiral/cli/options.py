"""The words of a command: options that several share, how they are read, how a run is resumed.

The choices are written out, for the library that has them is slow to import; a test holds the two
together.
"""

import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

PATH = click.Path(path_type=Path)
NETWORK = click.Choice(["spiral", "unet", "wide-unet", "hed"])


def parse_size(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    """``1024x768``: width and height in pixels."""
    width, _, height = value.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a size; give WxH, such as 1024x768.")
    return int(width), int(height)


def parse_place(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """``1800,950``: column and row of a pixel, from 0."""
    if value is None:
        return None
    x, _, y = value.partition(",")
    if not (x.isdecimal() and y.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a pixel; give X,Y, such as 1800,950.")
    return int(x), int(y)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which network is built."""
    for option in (
        click.option(
            "--width", default=1.0, metavar="FACTOR", help="Scale the 64 to 512 channels."
        ),
        click.option(
            "--connection",
            type=click.Choice(["concat", "sum", "none"]),
            default="concat",
            help="How a module of Spiral-Net takes in the maps of those before it.",
        ),
        click.option(
            "--depths",
            default="1-7",
            metavar="1-7|PRESET|LIST",
            help="Depth of each module: a range, a preset or a list such as 3,3,3. "
            "A U-Net is as deep as the largest.",
        ),
    ):
        command = option(command)
    return command


device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="auto takes a GPU where one works, and says which.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["float32", "tf32"]),
    default="float32",
    help="Of the convolutions; tf32 needs a GPU.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def announce(device: str, precision: str = "float32") -> None:
    """Say on standard error where is computed, unless it was asked for by name."""
    if device == "auto":
        from minispiral.device import announcement, choose

        chosen = choose(device, precision)
        with suppress(OSError):  # nobody reads it
            click.echo(announcement(chosen), err=True)


def resume_command(ctx: click.Context) -> str:
    """The command that was typed, made one that resumes its run."""
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
