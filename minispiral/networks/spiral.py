"""Spiral-Net (Section 2): encoder-decoders of growing depth, each fed the maps of all before it."""

from collections.abc import Sequence

import numpy as np

from minispiral import ops
from minispiral.errors import UserError
from minispiral.networks.network import LayerInfo, Network, layer_info
from minispiral.networks.table1 import (
    DECODER_CHANNELS,
    ENCODER_CHANNELS,
    check_depths,
    check_width,
    scaled,
)
from minispiral.nn import Conv2d, ConvNormReLU, Module
from minispiral.tensor import Tensor

CONNECTIONS = ("concat", "sum", "none")

PRESETS: dict[str, tuple[int, ...]] = {  # Table 2
    "increasing": (1, 2, 3, 4, 5, 6, 7),
    "decreasing": (7, 6, 5, 4, 3, 2, 1),
    "triangle": (1, 2, 3, 4, 3, 2, 1),
    "triangle-7": (1, 3, 5, 7, 6, 4, 2),
    **{f"uniform-{k}": (k,) * 7 for k in range(1, 8)},
}


class EncoderDecoder(Module):
    """``depth`` halvings and as many doublings, ``(n, h, w, ci)`` to one map ``(n, h, w, 1)``.

    Each of its layers is convolution, batch norm and ReLU, so the map is not negative.
    """

    def __init__(self, ci: int, depth: int, width: float, rng: np.random.Generator) -> None:
        super().__init__()
        self.depth = depth
        self.encoder: list[ConvNormReLU] = []
        self.decoder: list[ConvNormReLU] = []
        c = ci
        for channels in ENCODER_CHANNELS[:depth]:
            co = scaled(channels, width)
            self.encoder.append(ConvNormReLU(c, co, rng))
            c = co
        for channels in reversed(DECODER_CHANNELS[:depth]):
            co = scaled(channels, width) if channels > 1 else 1
            self.decoder.append(ConvNormReLU(c, co, rng, transpose=True))
            c = co

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.encoder + self.decoder:
            x = layer(x)
        return x


class SpiralNet(Network):
    """Encoder-decoder modules in sequence, and a 1 x 1 convolution that mixes their maps.

    Module 1 sees the picture. Module k sees, by ``connection``:

    - ``concat``: the maps of all modules before it side by side, and so does the last layer;
    - ``sum``: the sum of these maps;
    - ``none``: the map of the module before it alone.

    ``depths`` are the depths of the modules, ``width`` scales the 64 to 512 channels of Table 1.
    Raises `UserError` for a depth outside 1 to 7 or an unknown connection.
    """

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
        if connection not in CONNECTIONS:
            raise UserError(
                f"there is no connection {connection!r}: choose one of {', '.join(CONNECTIONS)}"
            )
        check_width(width)
        self.depths, self.connection = tuple(depths), connection
        self.unit = 2 ** max(depths)
        self.stages: list[EncoderDecoder] = []
        for k, depth in enumerate(depths):
            ci = 3 if k == 0 else self._connected(k)
            self.stages.append(EncoderDecoder(ci, depth, width, rng))
        self.mix = Conv2d(self._connected(len(depths)), 1, 1, rng)

    def _connected(self, maps: int) -> int:
        """Channels that ``maps`` one-channel maps make on their way to the next module."""
        return maps if self.connection == "concat" else 1

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps ``(n, h, w, 1)`` of all modules (Fig. 3)."""
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(self._connect(maps) if maps else x))
        return maps

    def forward(self, x: Tensor) -> Tensor:
        for side in x.shape[1:3]:
            self.check_side(side)
        return self.mix(self._connect(self.maps(x)))

    def _connect(self, maps: list[Tensor]) -> Tensor:
        if self.connection == "concat":
            return ops.concatenate(maps)
        total = maps[-1]
        if self.connection == "sum":
            for earlier in maps[-2::-1]:
                total = total + earlier
        return total

    def layers(self, side: int) -> list[LayerInfo]:
        self.check_side(side)
        infos = []
        for k, stage in enumerate(self.stages):
            size = (side, side, 3 if k == 0 else self._connected(k))
            for part in ("encoder", "decoder"):
                for i, layer in enumerate(getattr(stage, part)):
                    infos.append(layer_info(f"stages.{k}.{part}.{i}", layer, size))
                    size = infos[-1].output
        mixed = (side, side, self._connected(len(self.stages)))
        return [*infos, layer_info("mix", self.mix, mixed)]


def parse_depths(text: str) -> tuple[int, ...]:
    """Depths from a range ``1-7``, a list ``1,3,5`` or the name of a preset.

    Raises `UserError` for anything else.
    """
    text = text.strip()
    if text in PRESETS:
        return PRESETS[text]
    try:
        if "-" in text:
            first, last = (int(part) for part in text.split("-"))
            step = 1 if last >= first else -1
            depths = tuple(range(first, last + step, step))
        else:
            depths = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"{text!r} gives no depths: write a range like 1-7, a list like 1,3,5 "
            f"or one of {', '.join(PRESETS)}"
        ) from None
    check_depths(depths)
    return depths
