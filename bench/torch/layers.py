"""The three operations of a layer in PyTorch."""

from typing import Any

import torch
from torch.nn.functional import conv2d, conv_transpose2d

from bench.common.layer import Layer, Operations, time_operations
from bench.common.worker import Answer, Served
from bench.torch.step import MEMORY_FORMATS


def operations(layer: Layer, layout: str, device: Any = "cpu") -> Operations:
    """Forward, input gradient and weight gradient on random numbers; run them without a tape."""
    stride = [layer.stride, layer.stride]
    channels = (layer.ci, layer.co) if layer.transpose else (layer.co, layer.ci)
    x, w, gy = (
        torch.randn(shape, device=device).contiguous(memory_format=MEMORY_FORMATS[layout])
        for shape in (
            (layer.n, layer.ci, layer.h, layer.h),
            (*channels, layer.size, layer.size),
            (layer.n, layer.co, layer.oh, layer.oh),
        )
    )
    forward = conv_transpose2d if layer.transpose else conv2d

    def backward(input_grad: bool, weight_grad: bool) -> Any:
        return torch.ops.aten.convolution_backward(
            *(gy, x, w, None, stride, [0, 0], [1, 1], layer.transpose, [0, 0], 1),
            [input_grad, weight_grad, False],
        )

    return {
        "forward": lambda: forward(x, w, stride=stride),
        "input_grad": lambda: backward(True, False),
        "weight_grad": lambda: backward(False, True),
    }


def worker(layout: str) -> Served:
    """Times the operations of the layer in each request, on the CPU."""

    def work(request: dict[str, Any]) -> Answer:
        with torch.no_grad():
            return time_operations(operations(Layer(**request["layer"]), layout))

    return {"threads": torch.get_num_threads()}, work
