"""U-Net: one encoder-decoder with skip connections, which Spiral-Net unfolds (Fig. 1a)."""

from itertools import pairwise

import numpy as np

from minispiral import ops
from minispiral.networks.network import LayerInfo, Network, layer_info
from minispiral.networks.table1 import (
    DECODER_CHANNELS,
    ENCODER_CHANNELS,
    check_depths,
    check_width,
    scaled,
)
from minispiral.nn import Conv2d, ConvNormReLU
from minispiral.tensor import Tensor

WIDE = 4 / 3  # reaches the 39.9 * 2**20 parameters of Table 5


class UNet(Network):
    """Encoders 1 to ``depth`` of Table 1, decoders ``depth`` to 1, and skips between them.

    The deepest decoder sees what the deepest encoder made. Decoder k above it sees the output of
    decoder k + 1 and, behind it along the channels, that of encoder k, which has the same size.
    Decoder 1 gives the logits: it has a bias in place of batch norm and ReLU.

    ``width`` scales the 64 to 512 channels of Table 1; ``wide`` scales them by 4/3 more, to the
    wide U-Net of Table 5. Raises `UserError` for a depth outside 1 to 7.
    """

    def __init__(
        self, depth: int = 7, width: float = 1.0, wide: bool = False, *, rng: np.random.Generator
    ) -> None:
        super().__init__()
        check_depths([depth])
        check_width(width)
        self.unit = 2**depth
        factor = width * WIDE if wide else width
        down = [scaled(channels, factor) for channels in ENCODER_CHANNELS[:depth]]
        up = [scaled(channels, factor) for channels in DECODER_CHANNELS[1:depth]]
        self.encoder = [ConvNormReLU(ci, co, rng) for ci, co in pairwise([3, *down])]
        self.decoder: list[ConvNormReLU | Conv2d] = []
        c = down[-1]
        for co, skip in zip(reversed(up), reversed(down[:-1]), strict=True):
            self.decoder.append(ConvNormReLU(c, co, rng, transpose=True))
            c = co + skip
        self.decoder.append(Conv2d(c, 1, 3, rng, stride=2, transpose=True))

    def forward(self, x: Tensor) -> Tensor:
        for side in x.shape[1:3]:
            self.check_side(side)
        skips = []
        for encoder in self.encoder:
            x = encoder(x)
            skips.append(x)
        x = self.decoder[0](skips.pop())
        for decoder in self.decoder[1:]:
            x = decoder(ops.concatenate([x, skips.pop()]))
        return x

    def layers(self, side: int) -> list[LayerInfo]:
        self.check_side(side)
        infos: list[LayerInfo] = []
        size = (side, side, 3)
        for i, encoder in enumerate(self.encoder):
            infos.append(layer_info(f"encoder.{i}", encoder, size))
            size = infos[-1].output
        skips = [0, *(info.output[2] for info in infos[:-1])]  # nothing skips the last decoder
        for i, decoder in enumerate(self.decoder):
            infos.append(layer_info(f"decoder.{i}", decoder, size))
            h, w, c = infos[-1].output
            size = (h, w, c + skips.pop())
        return infos
