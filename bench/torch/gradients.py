"""The gradients of one training step in PyTorch, in float64 or float32."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.common.task import Task
from bench.torch.networks import network_of, pseudo_f1_grad
from bench.torch.step import MEMORY_FORMATS

# A weight of minispiral is (kh, kw, big, small), for either kind of convolution; PyTorch's is
# (small, big, kh, kw).
TO_TORCH, FROM_TORCH = (3, 2, 0, 1), (2, 3, 1, 0)


def write_gradients(
    task: Task, layout: str, device: Any, dtype: str, given: Path, result: Path
) -> None:
    """Of the parameters in the file ``given``, in minispiral's order and layout, to ``result``.

    ``given`` also holds ``x (n, h, w, 3)`` and ``mask (n, h, w, 1)``.
    """
    arrays = np.load(given)
    kind = getattr(torch, dtype)
    memory_format = MEMORY_FORMATS[layout]
    network = network_of(task).to(device, dtype=kind, memory_format=memory_format).train()
    parameters = list(network.parameters())
    own = [arrays[f"p{i}"] for i in range(len(parameters))]
    with torch.no_grad():
        for parameter, array in zip(parameters, own, strict=True):
            turned = array.transpose(TO_TORCH) if array.ndim == 4 else array
            values = torch.from_numpy(np.ascontiguousarray(turned)).to(parameter)
            if values.shape != parameter.shape:
                raise ValueError(f"a parameter is {parameter.shape}, got {values.shape}")
            parameter.copy_(values)
    x, mask = (
        torch.from_numpy(np.ascontiguousarray(arrays[name].transpose(0, 3, 1, 2))).to(device)
        for name in ("x", "mask")
    )
    logits = network(x.to(kind).contiguous(memory_format=memory_format))
    logits.backward(pseudo_f1_grad(logits.detach(), mask))
    found = {}
    for i, parameter in enumerate(parameters):
        assert parameter.grad is not None
        gradient = parameter.grad.cpu().numpy()
        found[f"p{i}"] = gradient.transpose(FROM_TORCH) if gradient.ndim == 4 else gradient
    np.savez(result, **found)
