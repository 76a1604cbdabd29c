"""Workers: each engine in a process of its own, which does what it is asked.

Engines that take turns share neither threads nor memory then. The parent writes each request as a
JSON object on a line, and the worker answers with one. ``python -m bench.common.worker MODULE
OPTIONS`` serves what the module's function ``worker`` returns for the options: facts to report at
once, and a function that does the work.
"""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.common.machine import peak_mib

ROOT = Path(__file__).resolve().parents[2]

Answer = dict[str, Any]
Work = Callable[[dict[str, Any]], Answer | None]
Served = tuple[Answer, Work]  # what a module's ``worker`` returns


def serve(facts: Answer, work: Work) -> None:
    """Answer with ``facts`` once, then do and time ``work(request)`` for each line of input.

    An answer holds ``seconds`` and ``peak_mib``, the most memory held so far, and what ``work``
    returned.
    """
    print(json.dumps(facts), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        found = work(request)
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "peak_mib": peak_mib(), **(found or {})}
        print(json.dumps(answer), flush=True)


class WorkerError(Exception):
    """A worker ended before it answered."""


class Worker:
    """A process that serves a module of this package; ``facts`` is what it reported first.

    ``launcher`` are the words of the command before Python.
    """

    launcher: Sequence[str] = ()

    def __init__(self, module: str, **options: Any) -> None:
        self.module = module
        words = ["bench.common.worker", f"bench.{module}", json.dumps(options)]
        self.process = subprocess.Popen(
            [*self.launcher, sys.executable, "-m", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()
        self.seconds: list[float] = []
        self.peak_mib = 0.0

    def ask(self, **request: Any) -> Answer:
        """The answer to a request."""
        self.send(**request)
        return self.receive()

    def send(self, **request: Any) -> None:
        """Make a request, whose answer is to be received."""
        assert self.process.stdin is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise WorkerError(self._ended()) from None

    def receive(self) -> Answer:
        """Wait for the answer to what was sent."""
        answer = self._answer()
        self.peak_mib = answer["peak_mib"]
        return answer

    def step(self) -> float:
        """Have a step taken; the seconds it took."""
        seconds: float = self.ask(what="step")["seconds"]
        return seconds

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _answer(self) -> Answer:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(self._ended())
        answer: Answer = json.loads(line)
        return answer

    def _ended(self) -> str:
        return f"bench.{self.module} ended with exit code {self.process.wait()}"


def main() -> None:
    module, options = sys.argv[1:]
    serve(*importlib.import_module(module).worker(**json.loads(options)))


if __name__ == "__main__":
    main()
