"""A worker that serves the requests of a part on the GPU."""

import importlib
from typing import Any

from bench.common.worker import Answer, Served
from bench.gpu.clock import GpuClock
from bench.gpu.guard import guarded
from minispiral.kernels.cuda import launch


def worker(part: str) -> Served:
    """Answers as the function ``worker`` of ``bench.gpu``'s module of this name."""
    gpu = launch.gpu()
    serve_part = importlib.import_module(f"bench.gpu.{part}").worker(GpuClock())

    def work(request: dict[str, Any]) -> Answer:
        with gpu.in_use():
            answer: Answer = serve_part(request)
        return answer

    return {}, guarded(work, gpu.synchronize)
