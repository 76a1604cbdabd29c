"""The options that several commands have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.common.worker import ROOT

Decorator = Callable[[Any], Any]


def batch(default: int, what: str) -> Decorator:
    return click.option(
        "--batch", default=default, show_default=True, type=click.IntRange(2), help=what
    )


def repeats(what: str) -> Decorator:
    return click.option(
        "--repeats", default=7, show_default=True, type=click.IntRange(1), help=what
    )


def out(what: str) -> Decorator:
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=ROOT / "bench/results",
        metavar="DIR",
        help=f"Where {what} [default: bench/results].",
    )


width = click.option("--width", default=1.0, show_default=True, help="Scales the 64..512 channels.")
photo = click.option(
    "--photo",
    type=(click.IntRange(1), click.IntRange(1)),
    default=(5472, 3678),
    show_default=True,
    metavar="WIDTH HEIGHT",
    help="Pixels of the photograph that is searched for cracks.",
)
torch = click.option(
    "--torch/--no-torch", default=True, help="Time PyTorch too where it is installed."
)
compiled = click.option(
    "--compile/--no-compile", "compiled", default=True, help="Time torch.compile too."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
json_file = click.option(
    "--json",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the numbers there too, beside those of other datasets that it holds.",
)
