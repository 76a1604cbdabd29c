"""Serves the same steps in PyTorch."""

import argparse

import torch

from bench.common.task import CRACK, Task
from bench.torch.networks import network_of, pseudo_f1_grad
from bench.common.worker import serve

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", choices=LAYOUTS, required=True)
    parser.add_argument("--compile", action="store_true")
    task, options = Task.parse(parser)

    torch.manual_seed(0)
    memory_format = LAYOUTS[options.layout]
    network = network_of(task).to(memory_format=memory_format)
    network.train(task.mode == "train")
    forward = torch.compile(network) if options.compile else network
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    shape = (task.batch, 1, task.side, task.side)
    x = torch.empty(task.batch, 3, task.side, task.side).uniform_(-1, 1)
    x = x.contiguous(memory_format=memory_format)
    mask = torch.rand(shape) < CRACK

    def train() -> None:
        adam.zero_grad(set_to_none=True)
        logits = forward(x)
        logits.backward(pseudo_f1_grad(logits.detach(), mask))
        adam.step()

    def infer() -> None:
        with torch.inference_mode():
            forward(x)

    step = train if task.mode == "train" else infer
    serve(
        {
            "parameters": sum(p.numel() for p in network.parameters()),
            "threads": torch.get_num_threads(),
        },
        lambda request: step(),
    )


if __name__ == "__main__":
    main()
