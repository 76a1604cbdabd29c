"""What a network is made of: layers, sizes, parameters and multiply-accumulates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from minispiral import networks
from minispiral.networks import LayerInfo

SIDES_OF = {
    "spiral": "sides in the deepest module",
    "unet": "sides from the picture to the logits",
    "wide-unet": "sides from the picture to the logits",
    "hed": "sides of the stages",
}


@dataclass(frozen=True)
class ModuleInfo:
    """A module of a network and the layers it holds."""

    name: str
    layers: list[LayerInfo]

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def sizes(self) -> list[int]:
        """The sides in pixels that a picture takes on its way, beside which HED's outputs lie."""
        way = [layer for layer in self.layers if not layer.name.startswith(("sides.", "fuse"))]
        sides = [way[0].input[0], *(layer.output[0] for layer in way)]
        return [side for side, _ in groupby(sides)]


@dataclass(frozen=True)
class Description:
    """A network for square pictures of ``side`` pixels, module by module."""

    network: str
    depths: tuple[int, ...]
    connection: str
    width: float
    side: int
    modules: list[ModuleInfo]

    @property
    def parameters(self) -> int:
        return sum(module.parameters for module in self.modules)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions for one picture."""
        return sum(module.macs for module in self.modules)

    @property
    def sizes(self) -> list[int]:
        """The sizes in the deepest module; a U-Net and HED have but one."""
        return max((module.sizes for module in self.modules), key=len)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, text, lists and dictionaries under the names above, for JSON."""
        return {
            "network": self.network,
            "depths": list(self.depths),
            "connection": self.connection,
            "width": self.width,
            "side": self.side,
            "parameters": self.parameters,
            "macs": self.macs,
            "sizes": self.sizes,
            "modules": [
                {
                    "name": module.name,
                    "parameters": module.parameters,
                    "macs": module.macs,
                    "sizes": module.sizes,
                    "layers": [vars(layer) for layer in module.layers],
                }
                for module in self.modules
            ],
        }


def describe(
    network: str = "spiral",
    depths: Sequence[int] = (1, 2, 3, 4, 5, 6, 7),
    connection: str = "concat",
    width: float = 1.0,
    side: int = 255,
) -> Description:
    """Describe a network for square pictures of ``side`` pixels.

    Raises `UserError` for options that do not exist and a side the network cannot take.
    """
    built = networks.build(
        network, depths=depths, connection=connection, width=width, rng=np.random.default_rng(0)
    )
    modules = [
        ModuleInfo(name or network, list(layers))
        for name, layers in groupby(built.layers(side), _module_name)
    ]
    return Description(network, tuple(depths), connection, width, side, modules)


def _module_name(layer: LayerInfo) -> str:
    """``stages.3`` of the layer ``stages.3.encoder.0``; empty for those of U-Net and HED."""
    return re.split(r"\.?(?:encoder|decoder|sides)\.|fuse", layer.name)[0]
