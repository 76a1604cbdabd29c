"""The networks, by name."""

from collections.abc import Sequence
from inspect import signature

import numpy as np

from minispiral.errors import UserError
from minispiral.networks.depths import PRESETS, parse_depths
from minispiral.networks.hed import HED
from minispiral.networks.layers import LayerInfo, ModuleInfo
from minispiral.networks.network import Network
from minispiral.networks.spiral import CONNECTIONS, SpiralNet
from minispiral.networks.unet import UNet, WideUNet

__all__ = [
    "CONNECTIONS",
    "HED",
    "NETWORKS",
    "PRESETS",
    "LayerInfo",
    "ModuleInfo",
    "Network",
    "SpiralNet",
    "UNet",
    "WideUNet",
    "build",
    "parse_depths",
]

NETWORKS: dict[str, type[Network]] = {cls.name: cls for cls in (SpiralNet, UNet, WideUNet, HED)}


def build(
    network: str,
    *,
    depths: Sequence[int] = PRESETS["increasing"],
    connection: str = "concat",
    width: float = 1.0,
    pretrained: str | None = None,
    rng: np.random.Generator,
) -> Network:
    """A freshly initialised network.

    ``depths`` and ``connection`` are those of a Spiral-Net. A U-Net is as deep as the largest of
    ``depths`` and always concatenates; HED takes neither, but ``pretrained``, the name of the
    weights it is made for: ``vgg16`` or ``vgg16_bn``. ``width`` scales the channels of every
    network; ``wide-unet`` has 4/3 of the U-Net's. Raises `UserError` for an unknown name, a value
    that is not valid, and for an option that does not apply and is not at its default.
    """
    if network not in NETWORKS:
        raise UserError(f"there is no network {network!r}: choose one of {', '.join(NETWORKS)}")
    options = {
        "depths": tuple(depths),
        "connection": connection,
        "width": width,
        "pretrained": pretrained,
    }
    for option, reason in NETWORKS[network].inapplicable.items():
        value = options.pop(option)
        if value != signature(build).parameters[option].default:
            others = [name for name, cls in NETWORKS.items() if option not in cls.inapplicable]
            raise UserError(
                f"{reason}: leave out the {option} {value!r} or choose the network "
                f"{' or '.join(others)}"
            )
    return NETWORKS[network].from_options(**options, rng=rng)
