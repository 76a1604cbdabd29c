"""The networks, by name."""

from collections.abc import Sequence

import numpy as np

from minispiral.errors import UserError
from minispiral.networks.hed import HED
from minispiral.networks.network import LayerInfo, Network
from minispiral.networks.spiral import SpiralNet, parse_depths
from minispiral.networks.table1 import check_depths
from minispiral.networks.unet import UNet

__all__ = ["HED", "NETWORKS", "LayerInfo", "Network", "SpiralNet", "UNet", "build", "parse_depths"]

NETWORKS: tuple[str, ...] = ("spiral", "unet", "wide-unet", "hed")


ALL_DEPTHS = (1, 2, 3, 4, 5, 6, 7)


def build(
    network: str,
    *,
    depths: Sequence[int] = ALL_DEPTHS,
    connection: str = "concat",
    width: float = 1.0,
    pretrained: str | None = None,
    rng: np.random.Generator,
) -> Network:
    """A freshly initialised network.

    The U-Net is the Spiral-Net folded: it is as deep as the largest of ``depths``, and
    ``connection`` does not apply, for it always concatenates. Neither applies to HED, and
    ``pretrained`` to HED alone: ``vgg16`` or ``vgg16_bn`` fits it to weights of that name.
    ``width`` scales the channels of all; those of ``wide-unet`` are 4/3 of the U-Net's. Raises
    `UserError` for a name or an option that does not exist.
    """
    if network not in NETWORKS:
        raise UserError(f"there is no network {network!r}: choose one of {', '.join(NETWORKS)}")
    if pretrained is not None and network != "hed":
        raise UserError(f"there are no pretrained weights for {network}: choose the network hed")
    if network == "spiral":
        return SpiralNet(depths, connection, width, rng=rng)
    if connection != "concat":
        nature = "HED has no modules" if network == "hed" else "a U-Net always concatenates"
        raise UserError(
            f"{nature}, so the connection {connection!r} does not apply: "
            "leave it out or choose the network spiral"
        )
    if network == "hed":
        if tuple(depths) != ALL_DEPTHS:
            raise UserError(
                f"HED always has the five stages of VGG-16, so the depths {list(depths)} do not "
                "apply: leave them out or choose another network"
            )
        return HED(width, pretrained, rng=rng)
    check_depths(depths)
    return UNet(max(depths), width, wide=network == "wide-unet", rng=rng)
