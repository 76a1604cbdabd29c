"""Runs stages one after another, each as a process that may not outlast its time."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bench.common.worker import ROOT
from bench.gpu.first.log import BEGUN, ENDED, Item, Log
from bench.gpu.first.setting import Setting

ITEMS, OUTPUT = "first.jsonl", "first.log"  # files of the folder
LEAST = 5.0  # seconds without which no stage is begun


class Stage(NamedTuple):
    """A function ``module:name`` that is given the setting and where to put its items."""

    name: str
    function: str
    seconds: float  # that it may take


def run(
    stages: Iterable[Stage],
    setting: Setting,
    limit: float,
    say: Callable[[str], None] = print,
) -> None:
    """Run all that the limit in seconds leaves time for; the log says what became of each."""
    setting.folder.mkdir(parents=True, exist_ok=True)
    start = time.time()
    for stage in stages:
        log = Log(setting.folder / ITEMS, stage.name, start)
        left = limit - (time.time() - start)
        log({"event": BEGUN, "seconds_left": round(left, 1)})
        if left < LEAST:
            ended: Item = {"outcome": "skipped", "why": f"{max(left, 0):.0f} s were left"}
        else:
            ended = _run(stage, setting, start, min(stage.seconds, left))
        log({"event": ENDED, **ended})
        why = f" ({ended['why']})" if "why" in ended else ""
        say(f"{time.time() - start:5.0f} s  {stage.name}: {ended['outcome']}{why}")


def _run(stage: Stage, setting: Setting, start: float, seconds: float) -> Item:
    """One stage; what it prints goes to the file of output."""
    words = [sys.executable, "-m", "bench.gpu.first.child", stage.name, stage.function]
    begun = time.time()
    with (setting.folder / OUTPUT).open("ab") as output:
        output.write(f"\n== {stage.name}\n".encode())
        output.flush()
        process = subprocess.Popen(
            [*words, repr(start), setting.dumped()],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_session(process)  # also what the stage has left running
    took = {"seconds": round(time.time() - begun, 2)}
    if code is None:
        return {"outcome": "out of time", "why": f"ended after {seconds:.0f} s", **took}
    if code < 0:
        return {"outcome": "killed", "why": signal.Signals(-code).name, **took}
    return {"outcome": "done", **took} if code == 0 else {"outcome": "failed", **took}


def end_session(leader: subprocess.Popen[bytes]) -> None:
    """Kill the process that leads a session, and all others of it, whichever groups they formed."""
    for process in _members(leader.pid):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    leader.kill()
    with suppress(subprocess.TimeoutExpired):  # a driver may hold on to it
        leader.wait(5)


def _members(leader: int) -> list[int]:
    """The processes of a session, by Linux's list of processes; none where there is no list."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            after_name = entry.read_text().rpartition(")")[2].split()
            if int(after_name[3]) == leader:
                found.append(int(entry.parent.name))
    return found
