"""Serves training steps of the same Spiral-Net in PyTorch."""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.worker import serve

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
    """Modules of depth 1 to 7; the first sees the photograph, the others all maps before them."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            encoder_decoder(k - 1 or 3, depth=k, width=width) for k in range(1, 8)
        )
        self.mix = nn.Conv2d(7, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps: list[Tensor] = []
        for part in self.parts:
            maps.append(part(torch.cat(maps, 1) if maps else x))
        logits: Tensor = self.mix(torch.cat(maps, 1))
        return logits


def pseudo_f1_grad(logits: Tensor, mask: Tensor) -> Tensor:
    """Eq. 11, with ``1 - sigma`` computed as ``sigma(-x)``."""
    sigma = torch.sigmoid(logits)
    negative = 1 / (mask.sum() + sigma.sum())
    positive = 1 / (sigma * mask).sum() - negative
    return torch.where(mask, -positive * torch.sigmoid(-logits), negative * sigma)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--width", type=float, required=True)
    parser.add_argument("--layout", choices=["NCHW", "channels_last"], required=True)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()

    torch.manual_seed(0)
    memory_format = (
        torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    )
    network = SpiralNet(options.width).train().to(memory_format=memory_format)
    forward = torch.compile(network) if options.compile else network
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    shape = (options.batch, 1, options.side, options.side)
    x = torch.empty(options.batch, 3, options.side, options.side).uniform_(-1, 1)
    x = x.contiguous(memory_format=memory_format)
    mask = torch.rand(shape) < 1 / 450

    def step() -> None:
        adam.zero_grad(set_to_none=True)
        logits = forward(x)
        logits.backward(pseudo_f1_grad(logits.detach(), mask))
        adam.step()

    serve(
        {
            "parameters": sum(p.numel() for p in network.parameters()),
            "version": torch.__version__,
            "threads": torch.get_num_threads(),
        },
        step,
    )


if __name__ == "__main__":
    main()
