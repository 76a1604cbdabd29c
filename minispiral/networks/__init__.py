"""The networks, by name."""

from collections.abc import Sequence

import numpy as np

from minispiral.errors import UserError
from minispiral.networks.network import LayerInfo, Network
from minispiral.networks.spiral import SpiralNet, parse_depths

__all__ = ["NETWORKS", "LayerInfo", "Network", "SpiralNet", "build", "parse_depths"]

NETWORKS: tuple[str, ...] = ("spiral",)


def build(
    network: str,
    *,
    depths: Sequence[int] = (1, 2, 3, 4, 5, 6, 7),
    connection: str = "concat",
    width: float = 1.0,
    rng: np.random.Generator,
) -> Network:
    """A freshly initialised network.

    Raises `UserError` for a name or an option that does not exist.
    """
    if network not in NETWORKS:
        raise UserError(f"there is no network {network!r}: choose one of {', '.join(NETWORKS)}")
    return SpiralNet(depths, connection, width, rng=rng)
