"""A worker that serves the requests of a part on the GPU."""

import importlib
from contextlib import ExitStack
from typing import Any

from bench.common.worker import Answer, Served
from bench.gpu.clock import DeviceClock, GpuClock, StandInClock
from bench.gpu.guard import guarded
from minispiral.kernels.cuda import launch

_taken = ExitStack()  # until the process ends


def worker(part: str, stand_in: str | None = None) -> Served:
    """Answers as the function ``worker`` of ``bench.gpu``'s module of this name.

    ``stand_in`` names what takes the GPU's place in a rehearsal; see `take_place`.
    """
    clock = take_place(stand_in) if stand_in else GpuClock()
    gpu = launch.gpu()
    serve_part = importlib.import_module(f"bench.gpu.{part}").worker(clock)

    def work(request: dict[str, Any]) -> Answer:
        with gpu.in_use():
            answer: Answer = serve_part(request)
        return answer

    return {}, guarded(work, gpu.synchronize)


def take_place(stand_in: str) -> DeviceClock:
    """Enter the context that ``module:function`` returns, for good; the clock for its GPU.

    It is named in words, since nothing here imports what runs kernels on the CPU.
    """
    module, _, name = stand_in.partition(":")
    _taken.enter_context(getattr(importlib.import_module(module), name)())
    return StandInClock()
