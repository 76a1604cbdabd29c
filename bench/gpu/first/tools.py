"""NVIDIA's tools: memory errors and races by compute-sanitizer, hardware counters by ncu.

In a rehearsal the program runs without them, for what it does itself.
"""

import csv
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.common.worker import ROOT
from bench.gpu.first.kernels import files, smallest
from bench.gpu.first.log import Put, latest, read
from bench.gpu.first.machine import tool
from bench.gpu.first.runner import ITEMS
from bench.gpu.first.setting import Setting
from minispiral.kernels.cuda.table import expressions

SECONDS = 75.0  # that one run under a tool may take
RACING = "conv2d_mma", "conv2d_few"  # beginnings of files with most between their barriers
KEPT = 4000  # characters of what a tool printed
MOST_PROFILED = 5  # kernels
# Kernels to profile where none have been timed.
EXPECTED = (
    "conv2d_mma<Large>",
    "conv2d_weight_grad_mma<Large>",
    "conv2d_input_grad_mma<Large>",
    "conv2d_few",
    "apply_grad<float, true>",
)
SECTIONS = (
    "SpeedOfLight",
    "Occupancy",
    "SchedulerStats",
    "WarpStateStats",
    "MemoryWorkloadAnalysis",
    "InstructionStats",
    "LaunchStats",
)


def sanitizer(setting: Setting, put: Put) -> None:
    """memcheck on each kernel's smallest case, then racecheck on some files."""
    program = tool("compute-sanitizer")
    if program is None and not setting.stand_in:
        put({"what": "memcheck", "skipped": "compute-sanitizer is not found"})
        return
    chosen = smallest()
    runs = [("memcheck", file) for file in files()]
    runs += [("racecheck", file) for file in files() if file.startswith(RACING)]

    def check(run: tuple[str, str]) -> None:
        what, file = run
        cases = sorted({chosen[name].case for name in expressions(file) if name in chosen})
        words = [program, "--tool", what, "--print-limit", "20"] if program else []
        found = _watch(setting, words, cases=cases)
        put({"what": what, "file": file, "cases": len(cases), **found})

    with ThreadPoolExecutor(setting.threads) as pool:
        list(pool.map(check, runs))


def ncu(setting: Setting, put: Put) -> None:
    """The counters of the kernels that take longest, each at its first launch in a step."""
    program = tool("ncu")
    if program is None and not setting.stand_in:
        put({"what": "ncu", "skipped": "ncu is not found"})
        return
    kernels = slowest(setting)
    table = setting.folder / "ncu.csv"
    words: list[str] = []
    if program is not None:
        words = [program, "--clock-control", "none", "--profile-from-start", "off", "--csv"]
        words += ["--page", "details", "--log-file", str(table)]
        words += [word for section in SECTIONS for word in ("--section", section)]
    request = {"task": vars(setting.task), "precision": "tf32", "kernels": kernels}
    put({"what": "run", "kernels": kernels, **_watch(setting, words, **request)})
    for kernel, metrics in counters(table):
        put({"what": "counters", "kernel": kernel, "metrics": metrics})


def slowest(setting: Setting) -> list[str]:
    """The kernels that took longest in the launched step of the stage before."""
    for item in latest(read(setting.folder / ITEMS)).get("network", []):
        if item.get("precision") == "tf32" and "kernels" in item:
            return list(item["kernels"])[:MOST_PROFILED]
    return list(EXPECTED)


def counters(path: Path) -> Iterable[tuple[str, dict[str, str]]]:
    """Each profiled kernel, and its metrics with their units, from ncu's table."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), len(lines))
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in csv.DictReader(lines[start:]):
        if row.get("Metric Name"):
            of = found.setdefault((row["ID"], row["Kernel Name"]), {})
            of[row["Metric Name"]] = f"{row['Metric Value']} {row['Metric Unit'] or ''}".strip()
    for (_, kernel), metrics in found.items():
        yield kernel, metrics


def _watch(setting: Setting, words: list[str], **request: Any) -> dict[str, Any]:
    """Run the program under a tool; how it ended, and what was printed if that is of interest."""
    asked = json.dumps({**request, "stand_in": setting.stand_in})
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [*words, sys.executable, "-m", "bench.gpu.first.target", asked],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        text = (error.stdout or b"").decode(errors="replace")
        return {"error": f"not done in {SECONDS:g} s", "output": text[-KEPT:]}
    text = done.stdout.decode(errors="replace")
    print(text)
    found: dict[str, Any] = {"seconds": round(time.perf_counter() - start, 1)}
    if not words:
        found["without"] = "the tool is not here"
    summary = re.search(r"(?:ERROR|RACECHECK) SUMMARY: (\d+)", text)
    if summary is not None:
        found["errors"] = int(summary[1])
    if done.returncode != 0:
        found["error"] = f"exit code {done.returncode}"
    if done.returncode != 0 or found.get("errors") or (words and summary is None):
        problems = [line for line in text.splitlines() if line.startswith("=========")]
        found["output"] = ("\n".join(problems) or text)[:KEPT]
    return found
