"""Serves steps of minispiral: training or inference, plain or profiled."""

import argparse
import hashlib
from typing import Any

import numpy as np

from bench.cpu.network import network_of
from bench.common.task import CRACK, Task
from bench.common.worker import serve
from minispiral.detection.inference import infer
from minispiral.kernels.cpu import parallel
from minispiral.losses import LOSSES
from minispiral.optim import Adam
from minispiral.profiling import profile
from minispiral.tensor import Tensor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int)
    task, options = Task.parse(parser)
    parallel.set_threads(options.threads)

    rng = np.random.default_rng(0)
    network = network_of(task, rng)
    adam = Adam(network.named_parameters(), lr=1e-4)
    pseudo_f1 = LOSSES["pseudo-f1"]
    shape = (task.batch, task.side, task.side)
    x = rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
    mask = rng.random((*shape, 1)) < CRACK
    last = np.zeros(())  # the value that the last step gave

    def train() -> None:
        nonlocal last
        adam.zero_grad()
        loss = pseudo_f1(network(Tensor(x)), mask)
        loss.backward()
        adam.step()
        last = loss.data

    def look() -> None:
        infer(network, x)

    step = train if task.mode == "train" else look
    network.train() if task.mode == "train" else network.eval()

    def profiled() -> dict[str, Any]:
        with profile() as p:
            step()
        return {"profile": p.as_dict()}

    def digest() -> dict[str, Any]:
        """The bits of the last loss, the weights and the running statistics, as a hash."""
        bits = hashlib.sha256(last.tobytes())
        for array in network.state().values():
            bits.update(array.tobytes())
        return {"digest": bits.hexdigest()}

    work = {"step": step, "profile": profiled, "digest": digest}
    layers = network.layers(task.side)
    forward = sum(layer.macs for layer in layers)
    # The weight gradient and the input gradient cost what the forward pass costs, but the first
    # layer, the only one to see the photograph, passes no gradient on.
    macs = forward if task.mode == "infer" else 3 * forward - layers[0].macs
    serve(
        {
            "parameters": sum(p.data.size for p in network.parameters()),
            "gflop": 2 * task.batch * macs / 1e9,
            "threads": parallel.threads(),
        },
        lambda request: work[request](),
    )


if __name__ == "__main__":
    main()
