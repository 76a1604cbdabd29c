"""Work done on request, each engine in a process of its own.

So engines can take turns without sharing threads or memory. The parent writes a line for all it
wants done; the worker answers each with one JSON object on a line.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.common.machine import peak_mib

ROOT = Path(__file__).resolve().parents[1]

Work = Callable[[str], dict[str, Any] | None]


def serve(facts: dict[str, Any], work: Work) -> None:
    """Answer with ``facts`` once, then do and time ``work(line)`` for each line of standard input.

    An answer holds ``seconds`` and ``peak_mib``, the most memory held so far, and what ``work``
    returned.
    """
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        found = work(line.strip())
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "peak_mib": peak_mib(), **(found or {})}
        print(json.dumps(answer), flush=True)


class WorkerError(Exception):
    """A worker ended before it answered."""


class Worker:
    """A module of this package that serves, the facts it began with and what it answered last."""

    def __init__(self, module: str, *arguments: object) -> None:
        self.module = module
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()
        self.seconds: list[float] = []
        self.peak_mib = 0.0

    def ask(self, request: str = "step") -> dict[str, Any]:
        """Have something done; the answer."""
        assert self.process.stdin is not None
        try:
            print(request, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(self._ended()) from None
        answer = self._answer()
        self.peak_mib = answer["peak_mib"]
        return answer

    def step(self) -> float:
        """Have one step taken; the seconds it took."""
        seconds: float = self.ask()["seconds"]
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
