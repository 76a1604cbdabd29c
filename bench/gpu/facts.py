"""Which GPU this is, and what drives it."""

from typing import Any

from bench.gpu.clock import Clock
from minispiral.kernels.cuda import launch


def worker(clock: Clock) -> Any:
    """Answers with the description."""

    def work(request: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {"name": launch.gpu().describe(), "free_bytes": clock.free()}
        return found | clock.facts()

    return work
