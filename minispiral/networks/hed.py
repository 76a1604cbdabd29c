"""HED (Xie and Tu, ICCV 2015): VGG-16 whose five stages each give a map, and their mix."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from minispiral import ops, profiling
from minispiral.errors import UserError
from minispiral.kernels.dispatch import constant
from minispiral.networks.network import LayerInfo, Network, layer_info
from minispiral.networks.table1 import check_width, scaled
from minispiral.nn import Conv2d, ConvNormReLU, ConvReLU
from minispiral.tensor import Tensor

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # layers, channels (Simonyan 2015)
PRETRAINED = ("vgg16", "vgg16_bn")

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])  # of RGB in [0, 1]
IMAGENET_STD = np.array([0.229, 0.224, 0.225])


class HED(Network):
    """The convolutions of VGG-16, a side output on each of its five stages, and their fusion.

    A stage is two or three 3 x 3 convolutions, each with batch norm and ReLU; 2 x 2 max pooling
    lies between the stages: 255, 127, 63, 31, 15. A side output is a 1 x 1 convolution of a
    stage's last features to one map, enlarged to the picture's size. The prediction is a 1 x 1
    convolution of the five. As in the paper the side outputs start at zero and the prediction as
    their mean. `outputs` gives all six, for the loss is on each.

    ``pretrained`` prepares the network for weights trained on ImageNet, under their name at
    torchvision: ``vgg16`` has biases in place of batch norm, ``vgg16_bn`` has batch norm, and
    both scale the picture as ImageNet's were. ``width`` scales the 64 to 512 channels. Raises
    `UserError` for either where it cannot be.
    """

    unit = 2 ** (len(STAGES) - 1)

    def __init__(
        self, width: float = 1.0, pretrained: str | None = None, *, rng: np.random.Generator
    ) -> None:
        super().__init__()
        check_width(width)
        if pretrained not in (None, *PRETRAINED):
            raise UserError(
                f"there is no pretrained {pretrained!r}: choose one of {', '.join(PRETRAINED)}"
            )
        self.pretrained = pretrained
        block = ConvReLU if pretrained == "vgg16" else ConvNormReLU
        self.encoder: list[ConvNormReLU | ConvReLU] = []
        self.sides: list[Conv2d] = []
        c = 3
        for layers, channels in STAGES:
            for _ in range(layers):
                co = scaled(channels, width)
                self.encoder.append(block(c, co, rng, size=3, stride=1, pad=1))
                c = co
            self.sides.append(Conv2d(c, 1, 1, rng))
            self.sides[-1].w.data.fill(0)
        self.fuse = Conv2d(len(STAGES), 1, 1, rng)
        self.fuse.w.data.fill(1 / len(STAGES))

    def features(self, x: Tensor) -> Iterator[Tensor]:
        """The last features of each stage, ``(n, h, w, c)`` with sides halved, rounded down."""
        if self.pretrained is not None:  # [-1, 1] to [0, 1] to ImageNet's scale
            x = x * (0.5 / IMAGENET_STD) + (0.5 - IMAGENET_MEAN) / IMAGENET_STD
        encoder = iter(self.encoder)
        for k, (layers, _) in enumerate(STAGES):
            if k > 0:
                x = ops.max_pool2d(x, 2)
            for block in islice(encoder, layers):
                x = block(x)
            yield x

    def outputs(self, x: Tensor) -> list[Tensor]:
        h, w = x.shape[1:3]
        for side in (h, w):
            self.check_side(side)
        with profiling.layer(self):
            maps = [
                enlarge(side(features), 2**k, (h, w))
                for k, (side, features) in enumerate(zip(self.sides, self.features(x), strict=True))
            ]
            return [*maps, self.fuse(ops.concatenate(maps))]

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x)[-1]

    def layers(self, side: int) -> list[LayerInfo]:
        self.check_side(side)
        infos, sides = [], []
        encoder = iter(enumerate(self.encoder))
        size = (side, side, 3)
        for k, (layers, _) in enumerate(STAGES):
            factor = 2**k
            n = (side + 1) // factor - 1
            for i, block in islice(encoder, layers):
                infos.append(layer_info(f"encoder.{i}", block, (n, n, size[2])))
                size = infos[-1].output
            info = layer_info(f"sides.{k}", self.sides[k], size)
            if k > 0:
                taps = (2 * factor * n) ** 2
                info = replace(info, kind=f"{info.kind}, bilinear x{factor}", macs=info.macs + taps)
            sides.append(replace(info, output=(side, side, 1)))
        fuse = layer_info("fuse", self.fuse, (side, side, len(STAGES)))
        return [*infos, *sides, fuse]


def enlarge(x: Tensor, factor: int, hw: tuple[int, int]) -> Tensor:
    """Bilinear interpolation between features ``x (n, h, w, 1)`` at every pixel, ``(n, *hw, 1)``.

    Pooling by ``factor`` puts feature i in the middle of the pixels it has seen, at
    ``factor * i + (factor - 1) / 2``. A transposed convolution with a fixed kernel spreads it
    ``factor`` pixels to either side, its weight falling to zero; the crop lays it over its place
    (Long et al. 2015). Outside the outermost features the map goes on as it ends there.
    """
    if factor == 1:
        return x
    fall = 1 - np.abs(np.arange(2 * factor) - (factor - 0.5)) / factor
    kernel = Tensor(constant(np.outer(fall, fall)[:, :, None, None].astype(x.dtype), x.data))
    x = ops.edge_pad(x, 1, 2)
    x = ops.conv_transpose2d(x, kernel, stride=factor)  # feature i at factor * (i + 2) - 1/2
    return ops.crop(x, 3 * factor // 2, hw)
