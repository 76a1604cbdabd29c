"""``python -m bench.gpu.first``, also ``python -m bench gpu first``: the first minutes on a GPU."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench.gpu.first import summary
from bench.gpu.first.log import Log, read
from bench.gpu.first.runner import ITEMS, OUTPUT, Stage, run
from bench.gpu.first.setting import Setting, rehearsal
from bench.gpu.first.stages import FIRST, SECOND

LIMIT = 540.0  # seconds
REHEARSING = 4  # times the limits of a stage, since processors compile slowly and may be busy
NAMES = [stage.name for stage in (*FIRST, *SECOND)]


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help=f"Where {ITEMS} and {OUTPUT} go; items are added to what is there.",
)
@click.option(
    "--limit",
    default=LIMIT,
    show_default=True,
    type=click.FloatRange(1),
    metavar="SECONDS",
    help="For all stages together.",
)
@click.option("--second", is_flag=True, help="What is left for a second call: see below.")
@click.option(
    "--stage",
    "names",
    multiple=True,
    type=click.Choice(NAMES),
    metavar="NAME",
    help=f"Only this one, and again for more: {', '.join(NAMES)}.",
)
@click.option("--rehearse", is_flag=True, help="Tiny sizes on the CPU, where there is no GPU.")
def first(out: Path, limit: float, second: bool, names: tuple[str, ...], rehearse: bool) -> None:
    """Learn as much as can be learnt of these kernels in the first minutes on a GPU.

    \b
    facts        the GPU, its driver, the software and where CUDA's headers are
    kernels      each file compiled, each kernel described and launched once
    tiny         a tiny network beside NumPy: launched, captured as a graph, replayed
    checks       every kernel against its NumPy twin
    ceilings     memory, L2, arithmetic, tensor cores and launches at their best
    network      the full network as a graph and launched, then kernel by kernel
    torch        PyTorch in both layouts and precisions, eager
    gradients    those of a full step against float64
    sanitizer    compute-sanitizer on each kernel's smallest case
    determinism  whether the same steps give the same bits
    ncu          hardware counters of the kernels that take longest
    nccl         the captured step with NCCL's calls in it

    With --second: detection, inference, torch.compile.

    Each stage is a process with its own time limit, so that one which crashes or hangs costs itself
    only. Each item is on disk as soon as it is known. The last line is a summary: what failed, what
    was skipped, and what `bench gpu model` should assume. The exit code is 1 if anything failed.
    """
    signal.signal(signal.SIGTERM, stop)
    stages: tuple[Stage, ...] = SECOND if second else FIRST
    if names:
        stages = tuple(stage for stage in (*FIRST, *SECOND) if stage.name in names)
    setting = rehearsal(out) if rehearse else Setting(str(out))
    if rehearse:  # slowly, with a folder in which its processes share what they compile
        stages = tuple(s._replace(seconds=REHEARSING * s.seconds) for s in stages)
        folder = out.resolve() / "libraries"
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.setdefault("CUDA_ON_CPU_FOLDER", str(folder))
    start = time.time()
    try:
        run(stages, setting, limit, lambda line: click.echo(line, err=True))
    finally:
        found = conclude(setting, start)
    Console(width=None if sys.stdout.isatty() else 160).print(*summary.tables(found))
    for line in summary.lines(found):
        click.echo(line)
    if found["errors"] or any(of not in ("done", "skipped") for of in found["stages"].values()):
        sys.exit(1)


def stop(*_: Any) -> None:
    """End the stage in hand and sum up, in the seconds that are left, however often one is told."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def conclude(setting: Setting, start: float) -> dict[str, Any]:
    """Put the summary of all there is at the end of the log."""
    found = summary.summary(read(setting.folder / ITEMS), setting)
    Log(setting.folder / ITEMS, "summary", start)({"event": "summary", **found})
    return found
