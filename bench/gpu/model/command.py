"""``python -m bench gpu model``: a training step's time, counted from machine code."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench.common import options, results
from bench.common.task import DEPTHS, SIDE, Task
from bench.gpu.model import assumptions, compiler, recording, report
from bench.gpu.model.assumptions import Assumptions
from bench.gpu.model.code import ARCHITECTURES, codes
from bench.gpu.model.estimate import Model
from minispiral.errors import UserError
from minispiral.kernels.cuda import sources, table

FILE = "gpu-model.json"
MODELLED = "sm_90"  # which the assumptions are for
PRECISIONS = "tf32", "float32"


@click.command()
@click.option("--network", type=click.Choice(["spiral", "unet"]), default="spiral")
@options.batch(32, "Patches.")
@click.option(
    "--side", default=SIDE, show_default=True, type=click.IntRange(1), help="Pixels of a patch."
)
@options.width
@click.option(
    "--depths",
    default=DEPTHS,
    show_default=True,
    type=click.IntRange(1),
    help="Modules of the Spiral-Net, or depth of the U-Net.",
)
@click.option(
    "--assume",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replace an assumption, and again for more; names and units are in the last table. "
    "The result is then not kept.",
)
@options.as_json
@options.out("gpu-model.json goes")
def model(
    network: str,
    batch: int,
    side: int,
    width: float,
    depths: int,
    assume: tuple[str, ...],
    as_json: bool,
    out: Path,
) -> None:
    """Count what a training step takes on an H100. No GPU is needed.

    All kernels are compiled for sm_80 and sm_90 and disassembled. A step is recorded on a GPU that
    is not there. Its floor is the time for memory and tensor cores; its model adds issue slots,
    pipes and latencies, counted in the machine code for sm_90, and the launches. The same sources
    and compilers give the same numbers. What is assumed of the GPU is printed below.

    \b
    It needs NVRTC and nvdisasm: pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-nvdisasm
    """
    problem = compiler.missing()
    if problem is not None:
        raise UserError(problem)
    assumed = assumptions.corrected(assume)
    task = Task(network=network, batch=batch, side=side, width=width, depths=depths)
    found = measure(task, assumed)
    if not assume:
        results.keep(out / FILE, found)
    if as_json:
        click.echo(json.dumps(found))
        return
    console = Console(width=None if Console().is_terminal else 160)
    console.print(*report.tables(found, PRECISIONS), *assumed.tables())


def measure(task: Task, assumed: Assumptions) -> dict[str, Any]:
    """The JSON object."""
    compiled = {}
    for arch in ARCHITECTURES:
        click.echo(f"compiling all kernels for {arch}, or reading them if known", err=True)
        compiled[arch] = codes(arch)
    steps = {}
    for precision in PRECISIONS:
        launches = recording.step(task, precision)
        estimates = Model(compiled[MODELLED], assumed).step(launches)
        steps[precision] = report.step(estimates, compiled[MODELLED])
    return {
        "task": asdict(task),
        "compilers": compiler.versions(),
        "sources": {
            file: sources.digest(file) for file in sorted({k.file for k in table.KERNELS.values()})
        },
        "assumptions": assumed.rows(),
        **steps,
        "code": {
            arch: {name: code.counts(loops=arch == MODELLED) for name, code in found.items()}
            for arch, found in compiled.items()
        },
    }
