"""``python -m bench.gpu.worker PART OPTIONS``: serves the requests of a part on the GPU.

Requests and answers are JSON objects, one a line. What goes wrong is answered too.
"""

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from bench.gpu.clock import GpuClock
from bench.common.worker import serve
from minispiral.kernels.cuda import launch

Request = dict[str, Any]
Answer = dict[str, Any]
Work = Callable[[Request], Answer]


def guarded(work: Work, synchronize: Callable[[], object]) -> Callable[[str], Answer]:
    """``work`` on a line; ``error`` and ``traceback`` in the answer if it raises.

    ``lost`` says whether the GPU answers nothing any more, which is when ``synchronize`` raises.
    """

    def answer(line: str) -> Answer:
        try:
            found = work(json.loads(line))
            synchronize()  # an error of a kernel shows here, in its own answer
            return found
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            found = {"error": words, "traceback": traceback.format_exc(), "lost": False}
        try:
            synchronize()
        except Exception:
            found["lost"] = True
        return found

    return answer


def main() -> None:
    part, options = sys.argv[1], json.loads(sys.argv[2])
    module = importlib.import_module(f"bench.gpu.{part}")
    with launch.gpu().in_use():
        work = module.worker(GpuClock(), **options)
        serve({}, guarded(work, launch.gpu().synchronize))


if __name__ == "__main__":
    main()
