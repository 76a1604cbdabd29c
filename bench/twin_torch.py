"""PyTorch's side of the twin."""

from collections.abc import Iterator
from typing import Any

import torch

from bench.torch_networks import SpiralNet, UNet, f1_loss, pseudo_f1_grad
from bench.twin_task import Array, Step, Task, batch, weights


def steps(task: Task) -> Iterator[Step]:
    """Train as ``task`` says, from the weights and on the batches that minispiral gets."""
    torch.set_num_threads(1)  # more gain little here and wait for each other on a busy machine
    if task.network == "spiral":
        network = SpiralNet(task.depths, task.width)
    else:
        network = UNet(max(task.depths), task.width)
    network.double().train()
    state = {
        our_name(name): tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    start = weights({name: our_layout(tensor).shape for name, tensor in state.items()})
    for name, tensor in state.items():
        array = torch.from_numpy(start[name])
        tensor.copy_(array.permute(3, 2, 0, 1) if array.ndim == 4 else array)
    adam = torch.optim.Adam(network.parameters(), lr=task.lr)
    for k in range(task.steps):
        x, mask = (torch.from_numpy(a).permute(0, 3, 1, 2) for a in batch(k, task.batch, task.side))
        adam.zero_grad()
        logits = network(x)
        logits.backward(pseudo_f1_grad(logits.detach(), mask))
        adam.step()
        yield Step(
            float(f1_loss(logits.detach(), mask)),
            {our_name(name): our_layout(p.grad) for name, p in network.named_parameters()},
            {name: our_layout(tensor) for name, tensor in state.items()},
        )


def our_name(name: str) -> str:
    weight, bias = ("gamma", "beta") if ".norm." in name else ("w", "b")
    return name.replace("weight", weight).replace("bias", bias)


def our_layout(tensor: Any) -> Array:
    """A copy as minispiral has it: ``(kh, kw, big, small)`` for the weights of a convolution."""
    array: Array = tensor.detach().numpy()
    return (array.transpose(2, 3, 1, 0) if array.ndim == 4 else array).copy()
