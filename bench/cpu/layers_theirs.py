"""Serves the three operations of a layer by PyTorch."""

import argparse
from typing import Any

import torch

from bench.cpu.layer import Layer, time_operations
from bench.cpu.theirs import LAYOUTS
from bench.torch_layers import operations
from bench.worker import serve


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
