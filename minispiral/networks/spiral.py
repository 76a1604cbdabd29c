"""Spiral-Net (Section 2): encoder-decoders of growing depth, each fed the maps of all before it."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from minispiral import ops
from minispiral.errors import UserError
from minispiral.networks.depths import PRESETS, check_depths
from minispiral.networks.network import Network
from minispiral.networks.table1 import DECODER_CHANNELS, ENCODER_CHANNELS, check_width, scaled
from minispiral.nn import Conv2d, ConvNormReLU, Module
from minispiral.tensor import Tensor

CONNECTIONS = ("concat", "sum", "none")


class EncoderDecoder(Module):
    """``depth`` halvings and as many doublings, ``(n, h, w, ci)`` to one map ``(n, h, w, 1)``.

    Each layer is a convolution, batch norm and ReLU, so the map is non-negative.
    """

    def __init__(self, ci: int, depth: int, width: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.encoder: list[ConvNormReLU] = []
        self.decoder: list[ConvNormReLU] = []
        for channels in ENCODER_CHANNELS[:depth]:
            co = scaled(channels, width)
            self.encoder.append(ConvNormReLU(ci, co, rng))
            ci = co
        for channels in reversed(DECODER_CHANNELS[:depth]):
            co = scaled(channels, width) if channels > 1 else 1
            self.decoder.append(ConvNormReLU(ci, co, rng, transpose=True))
            ci = co

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.encoder + self.decoder:
            x = layer(x)
        return x


class SpiralNet(Network):
    """Encoder-decoder modules in sequence, and a 1 x 1 convolution that mixes their maps.

    Module 1 sees the picture. Module k sees, by ``connection``:

    - ``concat``: the maps of modules 1 to k - 1 as channels, and so does the 1 x 1 convolution;
    - ``sum``: the sum of these maps;
    - ``none``: the map of module k - 1 alone.

    ``depths`` are the depths of the modules; ``width`` scales the 64 to 512 channels of Table 1.
    Raises `UserError` for a depth outside 1 to 7, an unknown connection or a width that is not
    above 0 and at most 16.
    """

    name = "spiral"
    inapplicable: ClassVar = {"pretrained": "Spiral-Net has no pretrained weights"}
    sizes_caption = "sides in the deepest module"

    def __init__(
        self,
        depths: Sequence[int] = PRESETS["increasing"],
        connection: str = "concat",
        width: float = 1.0,
        *,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        check_depths(depths)
        check_width(width)
        if connection not in CONNECTIONS:
            raise UserError(
                f"there is no connection {connection!r}: choose one of {', '.join(CONNECTIONS)}"
            )
        self.connection = connection
        self.unit = 2 ** max(depths)
        self.stages: list[EncoderDecoder] = []
        for k, depth in enumerate(depths):
            ci = 3 if k == 0 else self._connected(k)
            self.stages.append(EncoderDecoder(ci, depth, width, rng))
        self.mix = Conv2d(self._connected(len(depths)), 1, 1, rng)
        self.map_titles = tuple(f"module {k}, depth {d}" for k, d in enumerate(depths, start=1))

    def _connected(self, maps: int) -> int:
        """How many channels this many maps become."""
        return maps if self.connection == "concat" else 1

    def _connect(self, maps: list[Tensor]) -> Tensor:
        """What the module or layer after these maps sees."""
        if self.connection == "concat" and len(maps) > 1:
            return ops.concatenate(maps)
        total = maps[-1]
        if self.connection == "sum":
            for earlier in maps[-2::-1]:
                total = total + earlier
        return total

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps ``(n, h, w, 1)`` of all modules (Fig. 3)."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(self._connect(maps) if maps else x))
        return maps

    def logits(self, maps: list[Tensor]) -> Tensor:
        return self.mix(self._connect(maps))

    def forward(self, x: Tensor) -> Tensor:
        self.check_side(*x.shape[1:3])
        return self.logits(self.maps(x))

    def parts(self) -> Iterator[tuple[str, Module]]:
        return self.children()
