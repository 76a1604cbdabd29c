"""Serves the three operations of a layer by PyTorch."""

import argparse
from typing import Any

import torch

from bench.common.layer import Layer, time_operations
from bench.torch.cpu import LAYOUTS
from bench.torch.layers import operations
from bench.common.worker import serve


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", choices=LAYOUTS, required=True)
    memory_format = LAYOUTS[parser.parse_args().layout]

    def work(request: str) -> dict[str, Any]:
        layer = Layer.requested(request)
        with torch.no_grad():
            return time_operations(operations(layer, memory_format))

    serve({"threads": torch.get_num_threads()}, work)


if __name__ == "__main__":
    main()
