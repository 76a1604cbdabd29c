"""``minispiral describe``."""

import click

from minispiral.cli.options import NETWORK, json_option, network_options
from minispiral.cli.terminal import print_json, show
from minispiral.training.config import TrainConfig


@click.command()
@click.argument("network", type=NETWORK, default=TrainConfig.network)
@network_options
@click.option(
    "--patch", default=TrainConfig.patch, metavar="SIDE", help="Side of the picture in pixels."
)
@json_option
def describe(
    network: str, depths: str, connection: str, width: float, patch: int, as_json: bool
) -> None:
    """List the layers of a network with their parameters and MACs.

    MACs are the multiply-accumulates of the convolutions for one picture.

    \b
    Examples: minispiral describe
              minispiral describe spiral --depths 1-5 --width 0.25 --json
              minispiral describe wide-unet
    """
    from minispiral.cli import tables
    from minispiral.networks import describe as job
    from minispiral.networks import parse_depths

    description = job.describe(network, parse_depths(depths), connection, width, patch)
    if as_json:
        print_json(description.as_dict())
    else:
        show(tables.layers(description))
