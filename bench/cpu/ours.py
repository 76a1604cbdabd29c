"""A worker that takes steps in minispiral: training or inference, plain or profiled."""

from typing import Any

import numpy as np

from bench.common.network import digest, gflop, network_of, parameters
from bench.common.task import CRACK, Task
from bench.common.worker import Answer, Served
from minispiral.detection.inference import infer
from minispiral.kernels.cpu import parallel
from minispiral.losses import LOSSES
from minispiral.optim import Adam
from minispiral.profiling import profile
from minispiral.tensor import Tensor


def worker(task: dict[str, Any], threads: int | None = None) -> Served:
    """Takes a "step", or a "profile" of one; a "digest" is a hash of what the last one left."""
    parallel.set_threads(threads)
    what = Task(**task)
    rng = np.random.default_rng(0)
    network = network_of(what, rng)
    adam = Adam(network.named_parameters(), lr=1e-4)
    pseudo_f1 = LOSSES["pseudo-f1"]
    shape = (what.batch, what.side, what.side)
    x = rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
    mask = rng.random((*shape, 1)) < CRACK
    last = np.zeros(())  # the loss of the last step

    def train() -> None:
        nonlocal last
        adam.zero_grad()
        loss = pseudo_f1(network(Tensor(x)), mask)
        loss.backward()
        adam.step()
        last = loss.data

    def step() -> None:
        if what.mode == "train":
            train()
        else:
            infer(network, x)

    def work(request: dict[str, Any]) -> Answer | None:
        if request["what"] == "digest":
            return {"digest": digest(network, last)}
        if request["what"] == "profile":
            with profile() as p:
                step()
            return {"profile": p.as_dict()}
        step()
        return None

    network.train() if what.mode == "train" else network.eval()
    facts = {
        "parameters": parameters(network),
        "gflop": gflop(network, what),
        "threads": parallel.threads(),
    }
    return facts, work
