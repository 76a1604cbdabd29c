"""The program that NVIDIA's tools watch: ``python -m bench.gpu.first.target REQUEST``.

The request is a JSON object: ``cases`` are the numbers of calls to make, each with memory of its
own, so that the tools see where an array ends; or ``kernels`` are to be profiled in one step of
``task``, each at its first launch.
"""

import json
import sys
from typing import Any

from bench.common.task import Task
from bench.gpu.around import Around
from bench.gpu.first.kernels import run_case
from bench.gpu.ours import Steps
from bench.gpu.worker import take_place
from minispiral.kernels.cuda import launch
from minispiral.kernels.cuda.table import Kernel


class Profiled(Around):
    """A GPU that starts the profiler around the first launch of each of some kernels."""

    def __init__(self, device: Any, kernels: list[str]) -> None:
        super().__init__(device)
        self.left = set(kernels)

    def launch(
        self, kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], arguments: list[Any]
    ) -> None:
        if kernel.expression not in self.left:
            self.device.launch(kernel, grid, block, arguments)
            return
        self.left.remove(kernel.expression)
        profiler = self.device.cupy.cuda.profiler
        self.device.synchronize()
        profiler.start()
        self.device.launch(kernel, grid, block, arguments)
        self.device.synchronize()
        profiler.stop()
        print("profiled", kernel.expression, grid, flush=True)


def main() -> None:
    request = json.loads(sys.argv[1])
    if request["stand_in"]:
        take_place(request["stand_in"])
    gpu: Any = launch.gpu()
    with gpu.in_use():
        if "cases" in request:
            gpu.cupy.cuda.set_allocator(None)
            for case in request["cases"]:
                print("case", case, flush=True)
                run_case(case)
                gpu.synchronize()
            return
        steps = Steps(Task(**request["task"]), request["precision"], graph=False)
        steps()
        profiled: Any = Profiled(gpu, request["kernels"])
        with launch.using(profiled):
            steps()


if __name__ == "__main__":
    main()
