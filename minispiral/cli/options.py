"""The options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from minispiral.detection.metrics import BEST, THRESHOLD
from minispiral.device import DEVICES, PRECISIONS
from minispiral.networks import CONNECTIONS, NETWORKS
from minispiral.training.config import TrainConfig


class Threshold(click.FloatRange):
    """A probability, or `BEST`."""

    name = f"probability or {BEST!r}"  # in messages

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == BEST else super().convert(value, param, ctx)


PATH = click.Path(path_type=Path)
NETWORK = click.Choice(tuple(NETWORKS))

device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default=TrainConfig.device,
    help="auto uses a GPU if one works; the choice is printed.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default=TrainConfig.precision,
    help="Precision of the convolutions; tf32 needs a GPU.",
)
as_stored_option = click.option(
    "--as-stored",
    is_flag=True,
    help="Leave pictures as they lie in their files, whatever EXIF says.",
)
threshold_option = click.option(
    "--threshold",
    type=Threshold(),
    default=THRESHOLD,
    metavar=f"P|{BEST}",
    help="Pixels of at least this probability are crack; best is the one with the best F1 on the "
    "validation photographs of RUN.",
)
tta_option = click.option(
    "--tta",
    is_flag=True,
    help="Test-time augmentation: the probability is the mean over the eight flips and quarter "
    "turns of the photograph. Takes eight times as long.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
timeout_option = click.option(
    "--timeout",
    type=float,
    default=60.0,
    metavar="SECONDS",
    help="Time that the check of an answer may take.",
)


def dataset_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how a dataset lies: those of `minispiral.data.pairs.find_pairs`."""
    for option in (
        as_stored_option,
        click.option("--recursive", is_flag=True, help="Pair the pictures in subfolders too."),
        click.option(
            "--mask-suffix",
            default="",
            metavar="TEXT",
            show_default=False,
            help="The mask of NAME.jpg is called NAME and TEXT, such as _mask.",
        ),
    ):
        command = option(command)
    return command


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that shape a network: ``--depths``, ``--connection`` and ``--width``."""
    for option in (
        click.option(
            "--width",
            default=TrainConfig.width,
            metavar="FACTOR",
            help="Scale the 64 to 512 channels.",
        ),
        click.option(
            "--connection",
            type=click.Choice(CONNECTIONS),
            default=TrainConfig.connection,
            help="How a module of Spiral-Net takes in the maps of the modules before it.",
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
