"""What each function of the library is in ONNX.

An entry gets the graph, the function as it stands on the tape, and its inputs: names of values of
the graph, or tensors where nothing computed them. It adds nodes and returns the name of the output.
Your own function needs a line of its own::

    TABLE[LeakyReLU] = lambda graph, f, x: graph.node("LeakyRelu", x, alpha=f.slope)
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral import fused, ops, tensor
from minispiral.export.graph import Graph
from minispiral.kernels import batchnorm
from minispiral.tensor import Function, Tensor

Array = NDArray[Any]
Entry = Callable[..., str]  # (graph, function, *inputs)

CHANNELS_FIRST = (0, 2, 3, 1)  # where ONNX has each axis of (n, h, w, c)
SMALL_FIRST = (3, 2, 0, 1)  # the axes of weights (kh, kw, big, small) as ONNX has them


def elementwise(operator: str) -> Entry:
    """The entry of a function that is an operator of ONNX, element by element."""

    def entry(graph: Graph, f: Function, *xs: str | Tensor) -> str:
        return graph.node(operator, *map(graph.image, xs))

    return entry


def convolution(operator: str) -> Entry:
    """The entry of a convolution without a bias, transposed or not."""

    def entry(graph: Graph, f: ops.Conv2d, x: str, w: Tensor) -> str:
        weights = graph.constant(w.data.transpose(SMALL_FIRST), w)
        return graph.node(operator, x, weights, **geometry(f.stride, f.pad))

    return entry


def conv_norm_relu(
    graph: Graph, f: fused.ConvNormReLU, x: str, w: Tensor, gamma: Tensor, beta: Tensor
) -> str:
    """Batch norm is folded in: it scales the weights of each output channel and adds a bias."""
    scale, shift = scale_shift(f, gamma, beta)
    stride, pad, transpose = f.conv
    folded = w.data * (scale[:, None] if transpose else scale)
    y = graph.node(
        "ConvTranspose" if transpose else "Conv",
        x,
        graph.constant(folded.transpose(SMALL_FIRST), w),
        graph.constant(shift, beta),
        **geometry(stride, pad),
    )
    return graph.node("Relu", y)


def geometry(stride: int, pad: int) -> dict[str, Any]:
    """The attributes of ONNX for the same stride and padding on all sides."""
    return {"strides": [stride] * 2, "pads": [pad] * 4}


def scale_shift(
    f: fused.ConvNormReLU | ops.BatchNorm, gamma: Tensor, beta: Tensor
) -> tuple[Array, Array]:
    """Batch norm by constant moments as ``scale * x + shift``, in float64 until it is stored."""
    return batchnorm.scale_shift(np.float64, f.mean, f.var, gamma.data, beta.data, f.eps)


def batch_norm(graph: Graph, f: ops.BatchNorm, x: str, gamma: Tensor, beta: Tensor) -> str:
    """Where no convolution stands right before it, or it is not fused with that."""
    scale, shift = (values[:, None, None] for values in scale_shift(f, gamma, beta))
    scaled = graph.node("Mul", x, graph.constant(scale, gamma))
    return graph.node("Add", scaled, graph.constant(shift, beta))


def concatenate(graph: Graph, f: ops.Concatenate, *xs: str | Tensor) -> str:
    return graph.node("Concat", *map(graph.image, xs), axis=CHANNELS_FIRST[f.axis])


def edge_pad(graph: Graph, f: ops.EdgePad, x: str) -> str:
    before, after = f.rim
    pads = graph.constant([0, 0, before, before, 0, 0, after, after])
    return graph.node("Pad", x, pads, mode="edge")


def crop(graph: Graph, f: ops.Crop, x: str) -> str:
    """What is cut off is taken to be the same for images of any size."""
    ends = [f.start + n - whole for n, whole in zip(f.hw, f.in_hw, strict=True)]  # from the end
    ends = [end if end < 0 else np.iinfo(np.int64).max for end in ends]
    bounds = [f.start] * 2, ends, [2, 3]
    return graph.node("Slice", x, *map(graph.constant, bounds))


def max_pool(graph: Graph, f: ops.MaxPool2d, x: str) -> str:
    return graph.node("MaxPool", x, kernel_shape=[f.size] * 2, strides=[f.stride] * 2)


TABLE: dict[type[Function], Entry] = {
    fused.ConvNormReLU: conv_norm_relu,
    ops.Conv2d: convolution("Conv"),
    ops.ConvTranspose2d: convolution("ConvTranspose"),
    ops.BatchNorm: batch_norm,
    ops.MaxPool2d: max_pool,
    ops.Concatenate: concatenate,
    ops.EdgePad: edge_pad,
    ops.Crop: crop,
    ops.ReLU: elementwise("Relu"),
    ops.Sigmoid: elementwise("Sigmoid"),
    ops.Log: elementwise("Log"),
    tensor.Add: elementwise("Add"),
    tensor.Subtract: elementwise("Sub"),
    tensor.Multiply: elementwise("Mul"),
    tensor.Divide: elementwise("Div"),
    tensor.Negate: elementwise("Neg"),
}
