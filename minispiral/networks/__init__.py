"""The networks, by name."""

from collections.abc import Sequence

import numpy as np

from minispiral.errors import UserError
from minispiral.networks.network import LayerInfo, Network
from minispiral.networks.spiral import SpiralNet, parse_depths
from minispiral.networks.table1 import check_depths
from minispiral.networks.unet import UNet

__all__ = ["NETWORKS", "LayerInfo", "Network", "SpiralNet", "UNet", "build", "parse_depths"]

NETWORKS: tuple[str, ...] = ("spiral", "unet", "wide-unet")


def build(
    network: str,
    *,
    depths: Sequence[int] = (1, 2, 3, 4, 5, 6, 7),
    connection: str = "concat",
    width: float = 1.0,
    rng: np.random.Generator,
) -> Network:
    """A freshly initialised network.

    The U-Net is the Spiral-Net folded: it is as deep as the largest of ``depths``, and
    ``connection`` does not apply, for it always concatenates. ``width`` scales the channels of
    all; those of ``wide-unet`` are 4/3 of the U-Net's. Raises `UserError` for a name or an
    option that does not exist.
    """
    if network not in NETWORKS:
        raise UserError(f"there is no network {network!r}: choose one of {', '.join(NETWORKS)}")
    if network == "spiral":
        return SpiralNet(depths, connection, width, rng=rng)
    if connection != "concat":
        raise UserError(
            f"a U-Net always concatenates, so the connection {connection!r} does not apply: "
            "leave it out or choose the network spiral"
        )
    check_depths(depths)
    return UNet(max(depths), width, wide=network == "wide-unet", rng=rng)
