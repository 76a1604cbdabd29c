"""A training step or an inference in PyTorch, on the CPU or on the GPU."""

from typing import Any

import torch

from bench.common.task import CRACK, Task
from bench.torch.networks import network_of, pseudo_f1_grad

MEMORY_FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


class Step:
    """Call it to take a step of the task; ``parameters`` says how many there are.

    With ``capturable`` Adam counts its steps on the GPU, so that the step can be captured as a
    CUDA graph.
    """

    def __init__(
        self,
        task: Task,
        layout: str,
        compiled: bool,
        device: Any = "cpu",
        capturable: bool = False,
    ) -> None:
        torch.manual_seed(0)
        memory_format = MEMORY_FORMATS[layout]
        network = network_of(task).to(device, memory_format=memory_format)
        network.train(task.mode == "train")
        self.task = task
        self.parameters = sum(p.numel() for p in network.parameters())
        self.forward = torch.compile(network) if compiled else network
        self.grad = torch.compile(pseudo_f1_grad) if compiled else pseudo_f1_grad
        self.adam = torch.optim.Adam(
            network.parameters(), lr=1e-4, fused=True, capturable=capturable
        )
        n, side = task.batch, task.side
        x = torch.empty(n, 3, side, side, device=device).uniform_(-1, 1)
        self.x = x.contiguous(memory_format=memory_format)
        self.mask = torch.rand((n, 1, side, side), device=device) < CRACK

    def __call__(self) -> None:
        if self.task.mode == "infer":
            with torch.inference_mode():
                self.forward(self.x)
            return
        self.adam.zero_grad(set_to_none=True)
        logits = self.forward(self.x)
        logits.backward(self.grad(logits.detach(), self.mask))
        self.adam.step()
