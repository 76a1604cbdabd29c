"""Serves training steps of the same Spiral-Net in PyTorch."""

import argparse

import torch

from bench.torch_networks import SpiralNet, pseudo_f1_grad
from bench.worker import serve


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
    network = SpiralNet(range(1, 8), options.width).train().to(memory_format=memory_format)
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
