"""Serves the three operations of a layer by PyTorch."""

import argparse
from typing import Any

import torch
from torch.nn.functional import conv2d, conv_transpose2d

from bench.cpu.layer import Layer, time_operations
from bench.cpu.theirs import LAYOUTS
from bench.worker import serve


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", choices=LAYOUTS, required=True)
    memory_format = LAYOUTS[parser.parse_args().layout]

    def work(request: str) -> dict[str, Any]:
        layer = Layer.requested(request)
        stride = [layer.stride, layer.stride]
        channels = (layer.ci, layer.co) if layer.transpose else (layer.co, layer.ci)
        x, w, gy = (
            torch.randn(shape).contiguous(memory_format=memory_format)
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

        with torch.no_grad():
            return time_operations(
                {
                    "forward": lambda: forward(x, w, stride=stride),
                    "input_grad": lambda: backward(True, False),
                    "weight_grad": lambda: backward(False, True),
                }
            )

    serve({"threads": torch.get_num_threads()}, work)


if __name__ == "__main__":
    main()
