"""Spiral-Net, U-Net and Eq. 11 in PyTorch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.common.task import Task

ENCODER = (64, 128, 256, 512, 512, 512, 512)
DECODER = (1, 64, 128, 256, 512, 512, 512)


def scaled(channels: Sequence[int], width: float) -> list[int]:
    return [c if c == 1 else max(1, round(c * width)) for c in channels]


def block(layer: type[nn.Conv2d | nn.ConvTranspose2d], ci: int, co: int) -> nn.Sequential:
    """Convolution, batch norm and ReLU."""
    return nn.Sequential(
        layer(ci, co, 3, stride=2, bias=False), nn.BatchNorm2d(co), nn.ReLU(inplace=True)
    )


def encoder_decoder(ci: int, depth: int, width: float) -> nn.Sequential:
    """From ``ci`` channels down ``depth`` halvings of the side and up again to one channel."""
    down = [ci, *scaled(ENCODER[:depth], width)]
    up = [*scaled(DECODER[:depth], width), down[-1]]
    return nn.Sequential(
        *(block(nn.Conv2d, down[i], down[i + 1]) for i in range(depth)),
        *(block(nn.ConvTranspose2d, up[i + 1], up[i]) for i in reversed(range(depth))),
    )


class SpiralNet(nn.Module):
    """The first module sees the photograph, the others all maps before them."""

    def __init__(self, depths: Sequence[int], width: float) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            encoder_decoder(k or 3, depth, width) for k, depth in enumerate(depths)
        )
        self.mix = nn.Conv2d(len(depths), 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps: list[Tensor] = []
        for stage in self.stages:
            maps.append(stage(torch.cat(maps, 1) if maps else x))
        logits: Tensor = self.mix(torch.cat(maps, 1))
        return logits


class UNet(nn.Module):
    """One encoder-decoder; each decoder but the deepest also sees the encoder of its size."""

    def __init__(self, depth: int, width: float) -> None:
        super().__init__()
        down = scaled(ENCODER[:depth], width)
        up = scaled(DECODER[:depth], width)
        seen = [up[i + 1] + down[i] for i in range(depth - 1)] + down[-1:]
        self.encoder = nn.ModuleList(
            block(nn.Conv2d, ci, co) for ci, co in zip([3, *down], down, strict=False)
        )
        self.decoder = nn.ModuleList(
            block(nn.ConvTranspose2d, seen[i], up[i]) for i in reversed(range(1, depth))
        )
        self.decoder.append(nn.ConvTranspose2d(seen[0], 1, 3, stride=2))

    def forward(self, x: Tensor) -> Tensor:
        encoded = []
        for layer in self.encoder:
            x = layer(x)
            encoded.append(x)
        x = self.decoder[0](encoded.pop())
        for layer in self.decoder[1:]:
            x = layer(torch.cat([x, encoded.pop()], 1))
        return x


def network_of(task: Task) -> nn.Module:
    """Spiral-Net with modules of depth 1 to the task's, or a U-Net of that depth."""
    if task.network == "spiral":
        return SpiralNet(range(1, task.depths + 1), task.width)
    return UNet(task.depths, task.width)


def pseudo_f1_grad(logits: Tensor, mask: Tensor) -> Tensor:
    """Eq. 11, with ``1 - sigma`` computed as ``sigma(-x)``."""
    sigma = torch.sigmoid(logits)
    negative = 1 / (mask.sum() + sigma.sum())
    positive = 1 / (sigma * mask).sum() - negative
    return torch.where(mask, -positive * torch.sigmoid(-logits), negative * sigma)
