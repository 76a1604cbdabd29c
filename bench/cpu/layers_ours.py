"""Serves the three operations of a layer by minispiral's kernels."""

from typing import Any

import numpy as np

from bench.common.layer import Layer, time_operations
from bench.common.worker import serve
from minispiral.kernels.cpu import conv2d as convolution
from minispiral.kernels.cpu import parallel


def work(request: str) -> dict[str, Any]:
    layer = Layer.requested(request)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((layer.n, layer.h, layer.h, layer.ci), np.float32)
    gy = rng.standard_normal((layer.n, layer.oh, layer.oh, layer.co), np.float32)
    big, small = (layer.co, layer.ci) if layer.transpose else (layer.ci, layer.co)
    w = rng.standard_normal((layer.size, layer.size, big, small), np.float32)
    stride, kernel_hw = layer.stride, w.shape[:2]
    if layer.transpose:
        return time_operations(
            {
                "forward": lambda: convolution.conv2d_input_grad(x, w, gy.shape[1:3], stride),
                "input_grad": lambda: convolution.conv2d(gy, w, stride),
                "weight_grad": lambda: convolution.conv2d_weight_grad(gy, x, kernel_hw, stride),
            }
        )
    return time_operations(
        {
            "forward": lambda: convolution.conv2d(x, w, stride),
            "input_grad": lambda: convolution.conv2d_input_grad(gy, w, x.shape[1:3], stride),
            "weight_grad": lambda: convolution.conv2d_weight_grad(x, gy, kernel_hw, stride),
        }
    )


if __name__ == "__main__":
    serve({"threads": parallel.threads()}, work)
