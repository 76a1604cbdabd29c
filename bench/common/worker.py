"""Workers: each engine in a process of its own, which does what it is asked.

Engines that take turns share neither threads nor memory then. The parent writes each request as a
JSON object on a line, and the worker answers with one. ``python -m bench.common.worker MODULE
OPTIONS`` serves what the module's function ``worker`` returns for the options: facts to report at
once, and a function that does the work.
"""

import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Timer
from typing import Any, TextIO

from bench.common.machine import peak_mib

ROOT = Path(__file__).resolve().parents[2]

Answer = dict[str, Any]
Work = Callable[[dict[str, Any]], Answer | None]
Served = tuple[Answer, Work]  # what a module's ``worker`` returns


def serve(facts: Answer, work: Work, answers: TextIO) -> None:
    """Answer with ``facts`` once, then do and time ``work(request)`` for each line of input.

    An answer holds ``seconds`` and ``peak_mib``, the most memory held so far, and what ``work``
    returned.
    """
    print(json.dumps(facts), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        found = work(request)
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "peak_mib": peak_mib(), **(found or {})}
        print(json.dumps(answer), file=answers, flush=True)


def own_output() -> TextIO:
    """Standard output for answers alone: what anyone else prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


class WorkerError(Exception):
    """A worker ended before it answered, or was ended because it did not answer in time.

    ``traceback`` is its own if it failed at its start.
    """

    def __init__(self, words: str, traceback: str = "") -> None:
        super().__init__(words)
        self.traceback = traceback


class Worker:
    """A process that serves a module of this package; ``facts`` is what it reported first.

    ``launcher`` are the words of the command before Python. A worker that takes longer than
    ``patience`` seconds for an answer, the first one included, is killed.
    """

    launcher: Sequence[str] = ()

    def __init__(self, module: str, *, patience: float | None = None, **options: Any) -> None:
        self.module, self.patience = module, patience
        words = ["bench.common.worker", f"bench.{module}", json.dumps(options)]
        self.process = subprocess.Popen(
            [*self.launcher, sys.executable, "-m", *words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self._answer()
        if "error" in self.facts:
            raise WorkerError(f"bench.{module}: {self.facts['error']}", self.facts["traceback"])
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
        late: list[bool] = []

        def end() -> None:
            late.append(True)
            self.process.kill()

        timer = None if self.patience is None else Timer(self.patience, end)
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            line = self.process.stdout.readline()
        finally:
            if timer is not None:
                timer.cancel()
        if late:
            raise WorkerError(f"bench.{self.module} gave no answer in {self.patience:g} s")
        if not line.endswith("\n"):
            raise WorkerError(self._ended())
        answer: Answer = json.loads(line)
        return answer

    def _ended(self) -> str:
        return f"bench.{self.module} ended with exit code {self.process.wait()}"


def main() -> None:
    module, options = sys.argv[1:]
    answers = own_output()
    try:
        facts, work = importlib.import_module(module).worker(**json.loads(options))
    except Exception as error:
        failure = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        print(json.dumps(failure), file=answers, flush=True)
        raise
    serve(facts, work, answers)


if __name__ == "__main__":
    main()
