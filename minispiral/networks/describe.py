"""What a network is made of: layers, sizes, parameters and multiply-accumulates."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minispiral import networks
from minispiral.networks import PRESETS, ModuleInfo


@dataclass(frozen=True)
class Description:
    """A network for square pictures of ``side`` pixels, module by module."""

    network: str
    depths: tuple[int, ...]
    connection: str
    width: float
    side: int
    modules: list[ModuleInfo]
    sizes_caption: str

    @property
    def parameters(self) -> int:
        return sum(module.parameters for module in self.modules)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions for one picture."""
        return sum(module.macs for module in self.modules)

    @property
    def sizes(self) -> list[int]:
        """The sides in pixels that a picture has in the deepest module, as `sizes_caption` says."""
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
    depths: Sequence[int] = PRESETS["increasing"],
    connection: str = "concat",
    width: float = 1.0,
    side: int = 255,
) -> Description:
    """Describe a network for square pictures of ``side`` pixels.

    Raises `UserError` for options that `minispiral.networks.build` refuses and a side that is not
    valid.
    """
    built = networks.build(
        network, depths=depths, connection=connection, width=width, rng=np.random.default_rng(0)
    )
    return Description(
        network,
        tuple(depths),
        connection,
        width,
        side,
        modules=built.describe(side),
        sizes_caption=built.sizes_caption,
    )
