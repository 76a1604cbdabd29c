"""Which GPU this is, and its software."""

from bench.common.worker import Answer, Work
from bench.gpu.clock import DeviceClock
from minispiral.kernels.cuda import launch


def worker(clock: DeviceClock) -> Work:
    """Answers with the description."""

    def work(request: Answer) -> Answer:
        return {"name": launch.gpu().describe(), "free_bytes": clock.free(), **clock.facts()}

    return work
