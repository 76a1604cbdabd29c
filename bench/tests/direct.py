"""Workers that are asked in the process of the test."""

import importlib
import json

from bench.gpu.clock import StandInClock
from bench.gpu.guard import guarded
from bench.gpu.session import RequestFailed
from minispiral.kernels.cuda import launch


class Direct:
    """Asks a worker's function in this process, in words that a pipe could carry."""

    def __init__(self, work):
        self.answer = guarded(work, lambda: None)

    def ask(self, **request):
        answer = json.loads(json.dumps(self.answer(json.loads(json.dumps(request)))))
        if "error" in answer:
            raise RequestFailed(answer["error"], answer["traceback"], answer["lost"])
        return answer

    def close(self):
        pass


def open_directly(part):
    """The worker of a part, on the GPU in use."""
    work = importlib.import_module(f"bench.gpu.{part}").worker(StandInClock())

    def in_use(request):
        with launch.gpu().in_use():
            return work(request)

    return Direct(in_use)
