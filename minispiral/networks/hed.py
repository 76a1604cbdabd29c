"""HED (Xie and Tu, ICCV 2015): VGG-16 with a side output on each of its five stages, fused."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import ClassVar

import numpy as np

from minispiral import ops
from minispiral.errors import UserError
from minispiral.kernels.arrays import like
from minispiral.networks.layers import ModuleInfo, layer_info
from minispiral.networks.network import Network
from minispiral.networks.table1 import check_width, scaled
from minispiral.nn import Conv2d, ConvNormReLU, ConvReLU
from minispiral.tensor import Tensor, around

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # layers, channels (Simonyan 2015)
PRETRAINED = ("vgg16", "vgg16_bn")

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])  # of RGB in [0, 1]
IMAGENET_STD = np.array([0.229, 0.224, 0.225])


class SideOutput(Conv2d):
    """A 1 x 1 convolution of features ``(n, h, w, ci)`` to one map, enlarged to the picture.

    ``factor`` is how much smaller than the picture the features are. The weights start at zero.
    """

    def __init__(self, ci: int, factor: int, rng: np.random.Generator) -> None:
        super().__init__(ci, 1, 1, rng)
        self.factor = factor
        self.w.data.fill(0)

    def __str__(self) -> str:
        kind = super().__str__()
        return kind if self.factor == 1 else f"{kind}, bilinear x{self.factor}"

    def forward(self, x: Tensor) -> Tensor:
        return enlarge(super().forward(x), self.factor)


class HED(Network):
    """The convolutions of VGG-16, a side output on each of its five stages, and their fusion.

    A stage is two or three 3 x 3 convolutions, each with batch norm and ReLU; 2 x 2 max pooling
    lies between the stages: 255, 127, 63, 31, 15. The prediction is a 1 x 1 convolution of the five
    side outputs. As in the paper the side outputs start at zero and the prediction as their mean.
    The loss is taken of all six maps (`outputs`).

    ``pretrained`` prepares the network for weights trained on ImageNet, called as in torchvision:
    ``vgg16`` has biases in place of batch norm, ``vgg16_bn`` has batch norm, and both scale the
    picture as ImageNet's were. ``width`` scales the 64 to 512 channels. Raises `UserError` for an
    unknown name or a width that is not above 0 and at most 16.
    """

    name = "hed"
    inapplicable: ClassVar = {
        "depths": "HED always has the five stages of VGG-16",
        "connection": "HED has no modules to connect",
    }
    sizes_caption = "sides of the stages"
    map_titles = tuple(f"side output {k}" for k in range(1, len(STAGES) + 1))
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
        self.sides: list[SideOutput] = []
        ci = 3
        for k, (layers, channels) in enumerate(STAGES):
            co = scaled(channels, width)
            for _ in range(layers):
                self.encoder.append(block(ci, co, rng, size=3, stride=1, pad=1))
                ci = co
            self.sides.append(SideOutput(co, 2**k, rng))
        self.fuse = Conv2d(len(STAGES), 1, 1, rng)
        self.fuse.w.data.fill(1 / len(STAGES))

    def features(self, x: Tensor) -> Iterator[Tensor]:
        """The last features of each stage, ``(n, h, w, c)``, with sides halved and rounded down."""
        if self.pretrained is not None:  # [-1, 1] to [0, 1] to ImageNet's scale
            x = x * (0.5 / IMAGENET_STD) + (0.5 - IMAGENET_MEAN) / IMAGENET_STD
        encoder = iter(self.encoder)
        for k, (layers, _) in enumerate(STAGES):
            if k > 0:
                x = ops.max_pool2d(x, 2)
            for block in islice(encoder, layers):
                x = block(x)
            yield x

    def maps(self, x: Tensor) -> list[Tensor]:
        """The five side outputs ``(n, h, w, 1)``."""
        return [side(stage) for side, stage in zip(self.sides, self.features(x), strict=True)]

    def logits(self, maps: list[Tensor]) -> Tensor:
        return self.fuse(ops.concatenate(maps))

    def outputs(self, x: Tensor) -> list[Tensor]:
        self.check_side(*x.shape[1:3])
        with around(self, "call"):
            maps = self.maps(x)
            return [*maps, self.logits(maps)]

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x)[-1]

    def describe(self, side: int) -> list[ModuleInfo]:
        self.check_side(side)
        encoder, outputs = [], []
        blocks = iter(enumerate(self.encoder))
        for k, (layers, _) in enumerate(STAGES):
            factor = self.sides[k].factor
            n = (side + 1) // factor - 1
            for i, block in islice(blocks, layers):
                encoder.append(layer_info(f"encoder.{i}", block, n))
            info = layer_info(f"sides.{k}", self.sides[k], n)
            taps = (2 * factor * n) ** 2 if factor > 1 else 0
            outputs.append(replace(info, output=(side, side, 1), macs=info.macs + taps))
        fuse = layer_info("fuse", self.fuse, side)
        return [ModuleInfo(self.name, encoder, [*outputs, fuse])]


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Bilinear interpolation of ``x (n, h, w, 1)`` by ``factor``, a power of two.

    Pooling a picture with sides ``factor * (h + 1) - 1`` by ``factor`` puts feature i in the middle
    of the pixels it has seen, at ``factor * i + (factor - 1) / 2``. A transposed convolution with a
    fixed kernel spreads it ``factor`` pixels to either side with a weight that falls to zero; the
    crop aligns the result with the picture (Long et al. 2015). Beyond the outermost features their
    values continue unchanged.
    """
    if factor == 1:
        return x
    h, w = (factor * (n + 1) - 1 for n in x.shape[1:3])
    fall = 1 - np.abs(np.arange(2 * factor) - (factor - 0.5)) / factor
    kernel = np.outer(fall, fall)[:, :, None, None].astype(x.dtype)
    x = ops.edge_pad(x, 1, 2)
    # feature i at factor * (i + 2) - 1/2
    x = ops.conv_transpose2d(x, Tensor(like(kernel, x.data, constant=True)), stride=factor)
    return ops.crop(x, 3 * factor // 2, (h, w))
