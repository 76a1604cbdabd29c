"""The three operations of a layer in PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import conv2d, conv_transpose2d

from bench.common.layer import Layer


def operations(
    layer: Layer, memory_format: Any, device: Any = None
) -> dict[str, Callable[[], object]]:
    """Forward, input gradient and weight gradient on random numbers; run them without a tape."""
    stride = [layer.stride, layer.stride]
    channels = (layer.ci, layer.co) if layer.transpose else (layer.co, layer.ci)
    x, w, gy = (
        torch.randn(shape, device=device).contiguous(memory_format=memory_format)
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
