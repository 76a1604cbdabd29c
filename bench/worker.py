"""Training steps on request, each engine in a process of its own.

So engines can take turns without sharing threads or memory. The parent writes a line for every
step it wants; the worker answers each with one JSON object on a line.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def peak_mib() -> float:
    """The most memory this process has held so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory from before exec
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def serve(facts: dict[str, Any], step: Callable[[], None]) -> None:
    """Answer with ``facts`` once, then take and time one step for each line of standard input."""
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}), flush=True)


class WorkerError(Exception):
    """A worker ended before it answered."""


class Worker:
    """A module of this package that serves steps, and what it answered."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.module = module
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()
        self.seconds: list[float] = []
        self.peak_mib = 0.0

    def step(self) -> float:
        """Have one step taken; the seconds it took."""
        assert self.process.stdin is not None
        try:
            print("step", file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(self._ended()) from None
        answer = self._answer()
        self.peak_mib = answer["peak_mib"]
        seconds: float = answer["seconds"]
        return seconds

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(self._ended())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ended(self) -> str:
        return f"bench.{self.module} ended with exit code {self.process.wait()}"
