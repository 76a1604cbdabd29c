"""Commands in processes of their own, and what is wrong with how they ended."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.resume import experiment
from tests.small import ROOT

# The command line, with the small demonstration of the tests, which takes a few seconds.
MINISPIRAL = """
import sys
from minispiral.cli import main
if sys.argv[1] == "demo":
    from minispiral.training import demo
    from tests.small import TINY_DEMO
    demo.Settings = lambda: TINY_DEMO
main(sys.argv[1:], prog_name="minispiral")
"""


@dataclass(frozen=True)
class Ended:
    """A process that has ended: its exit code, its messages, and its most resident memory."""

    command: str
    exit_code: int
    messages: str
    peak: int  # bytes

    @property
    def fault(self) -> str | None:
        """What is wrong with how it ended; None if it succeeded or refused in one sentence."""
        last = self.messages.splitlines()[-1:]
        for sign in ("Traceback", "Exception ignored"):
            if sign in self.messages:
                return f"{self.command}: {sign}: {self.messages[-400:]}"
        if self.exit_code not in (0, 1):
            return f"{self.command}: exit code {self.exit_code}: {last}"
        if self.exit_code == 1 and not "".join(last).startswith("minispiral: "):
            return f"{self.command}: no reason given: {last}"
        return None


class Started:
    """``minispiral words...`` in a process, under limits such as ``{RLIMIT_FSIZE: 4096}``."""

    def __init__(
        self,
        *words: object,
        limits: Mapping[int, int] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        def limit() -> None:
            for kind, value in (limits or {}).items():
                resource.setrlimit(kind, (value, value))

        self.words = [str(word) for word in words]
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.process = subprocess.Popen(
            [sys.executable, "-c", MINISPIRAL, *self.words],
            env={**os.environ, "PYTHONPATH": paths, **(environment or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=limit,
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended yet; its end is left for `wait` to fetch."""
        state = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return state is None

    def wait(self) -> Ended:
        """Wait until it has ended."""
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            messages = pipe.read().decode(errors="replace")
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        command = " ".join(self.words[:2])
        return Ended(command, self.process.returncode, messages, used.ru_maxrss * 1024)


def half_files(folder: Path) -> list[str]:
    """The files under ``folder`` that are not whole, and those that were left unfinished."""
    left = [f"{path} was left behind" for path in sorted(folder.rglob("*.part"))]
    return experiment.half_files(folder) + left
