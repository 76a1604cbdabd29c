"""The three operations of a layer by minispiral's kernels, on the CPU or on the GPU."""

from functools import partial
from typing import Any

import numpy as np

from bench.common.layer import Layer, Operations
from minispiral.kernels.conv2d import conv2d, conv2d_input_grad, conv2d_weight_grad

Array = Any


def random_arrays(layer: Layer, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """The input, the weights and the gradient of the output: standard normal, in float32."""
    big, small = (layer.co, layer.ci) if layer.transpose else (layer.ci, layer.co)
    shapes = (
        (layer.n, layer.h, layer.h, layer.ci),
        (layer.size, layer.size, big, small),
        (layer.n, layer.oh, layer.oh, layer.co),
    )
    x, w, gy = (rng.standard_normal(shape, np.float32) for shape in shapes)
    return x, w, gy


def operations(layer: Layer, x: Array, w: Array, gy: Array) -> Operations:
    """Forward pass, input gradient and weight gradient, on the device that holds the arrays."""
    stride, kernel_hw = layer.stride, w.shape[:2]
    if layer.transpose:
        return {
            "forward": partial(conv2d_input_grad, x, w, gy.shape[1:3], stride),
            "input_grad": partial(conv2d, gy, w, stride),
            "weight_grad": partial(conv2d_weight_grad, gy, x, kernel_hw, stride),
        }
    return {
        "forward": partial(conv2d, x, w, stride),
        "input_grad": partial(conv2d_input_grad, gy, w, x.shape[1:3], stride),
        "weight_grad": partial(conv2d_weight_grad, x, gy, kernel_hw, stride),
    }
