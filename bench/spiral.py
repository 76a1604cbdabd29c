"""Serves training steps of minispiral's Spiral-Net."""

import argparse

import numpy as np

from bench.worker import serve
from minispiral.kernels import parallel
from minispiral.losses import LOSSES
from minispiral.networks import build
from minispiral.optim import Adam
from minispiral.tensor import Tensor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--width", type=float, required=True)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    network = build("spiral", depths=range(1, 8), connection="concat", width=options.width, rng=rng)
    network.train()
    adam = Adam(network.named_parameters(), lr=1e-4)
    loss = LOSSES["pseudo-f1"]
    shape = (options.batch, options.side, options.side)
    x = rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
    mask = rng.random((*shape, 1)) < 1 / 450

    def step() -> None:
        adam.zero_grad()
        loss(network(Tensor(x)), mask).backward()
        adam.step()

    layers = network.layers(options.side)
    forward = sum(layer.macs for layer in layers)
    # The weight gradient and the input gradient cost what the forward pass costs, but the first
    # layer, the only one to see the photograph, passes no gradient on.
    macs = options.batch * (3 * forward - layers[0].macs)
    serve(
        {
            "parameters": sum(p.data.size for p in network.parameters()),
            "gflop": 2 * macs / 1e9,
            "threads": parallel.threads(),
        },
        step,
    )


if __name__ == "__main__":
    main()
