"""U-Net: one encoder-decoder with skip connections, which Spiral-Net unfolds (Fig. 1a)."""

from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from minispiral import ops
from minispiral.networks.depths import check_depths
from minispiral.networks.network import Network
from minispiral.networks.table1 import DECODER_CHANNELS, ENCODER_CHANNELS, check_width, scaled
from minispiral.nn import Conv2d, ConvNormReLU
from minispiral.tensor import Tensor


class UNet(Network):
    """Encoders 1 to ``depth`` of Table 1, decoders ``depth`` to 1, and skips between them.

    The deepest decoder sees the output of the deepest encoder. Decoder k above it sees the output
    of decoder k + 1 concatenated with that of encoder k, which has the same size. Decoder 1 gives
    the logits: it has a bias in place of batch norm and ReLU.

    ``width`` scales the 64 to 512 channels of Table 1. Raises `UserError` for a depth outside 1 to
    7 or a width that is not above 0 and at most 16.
    """

    name = "unet"
    inapplicable: ClassVar = {
        "connection": "a U-Net always concatenates",
        "pretrained": "a U-Net has no pretrained weights",
    }
    widening = 1.0

    def __init__(self, depth: int = 7, width: float = 1.0, *, rng: np.random.Generator) -> None:
        super().__init__()
        check_depths([depth])
        check_width(width)
        self.unit = 2**depth
        factor = width * self.widening
        down = [scaled(channels, factor) for channels in ENCODER_CHANNELS[:depth]]
        up = [scaled(channels, factor) for channels in DECODER_CHANNELS[1:depth]]
        self.encoder = [ConvNormReLU(ci, co, rng) for ci, co in pairwise([3, *down])]
        self.decoder: list[ConvNormReLU | Conv2d] = []
        ci = down[-1]
        for co, skip in zip(reversed(up), reversed(down[:-1]), strict=True):
            self.decoder.append(ConvNormReLU(ci, co, rng, transpose=True))
            ci = co + skip
        self.decoder.append(Conv2d(ci, 1, 3, rng, stride=2, transpose=True))

    @classmethod
    def from_options(cls, **options: Any) -> Self:
        """A U-Net is as deep as the deepest module of a Spiral-Net with these ``depths``."""
        depths = options.pop("depths")
        check_depths(depths)
        return cls(max(depths), **options)

    def forward(self, x: Tensor) -> Tensor:
        self.check_side(*x.shape[1:3])
        skips = []
        for encoder in self.encoder:
            x = encoder(x)
            skips.append(x)
        x = self.decoder[0](skips.pop())
        for decoder in self.decoder[1:]:
            x = decoder(ops.concatenate([x, skips.pop()]))
        return x


class WideUNet(UNet):
    """A U-Net with 4/3 of the channels: the 39.9 * 2**20 parameters of Table 5."""

    name = "wide-unet"
    widening = 4 / 3
