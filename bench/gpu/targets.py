"""What has to be reached on the GPU, judged from what the other parts measured."""

from collections.abc import Callable, Iterable
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.checks import Check
from bench.common.engines import OURS
from bench.gpu import gradients
from bench.gpu.steps import best, is_eager, is_theirs

Report = dict[str, Any]


def checks(report: Report) -> list[Check]:
    """All targets; a value is None if its part was not run or failed."""
    steps = report.get("steps") or {}

    def ours(kind: str) -> float | None:
        found = best(steps.get(kind), lambda name: name in (OURS, f"{OURS} graph"))
        return found[1] if found else None

    def over(kind: str, chosen: Callable[[str], bool]) -> float | None:
        theirs, own = best(steps.get(kind), chosen), ours(kind)
        return own / theirs[1] if own is not None and theirs is not None else None

    step = ours("train tf32")
    bits = report.get("determinism") or {}
    return [
        Check("kernels that are wrong", wrong(report.get("checks")), 0),
        Check(
            "gradients of a full step that are wrong", gradients.wrong(report.get("gradients")), 0
        ),
        Check("step, TF32, over PyTorch's eager", over("train tf32", is_eager), 0.75),
        Check("step, TF32, over PyTorch's best form", over("train tf32", is_theirs), 1.0),
        Check("ms of a step, TF32", None if step is None else 1e3 * step, 16.0),
        Check("step, float32, over PyTorch's best form", over("train float32", is_theirs), 0.6),
        Check("inference, TF32, over PyTorch's eager", over("infer tf32", is_eager), 0.75),
        Check(
            "seconds of detection, TF32",
            (report.get("detection") or {}).get("tf32", {}).get("seconds"),
            1.0,
        ),
        *(
            Check(f"runs with other bits, {precision}", other_bits(bits.get(precision)), 0)
            for precision in ("tf32", "float32")
        ),
        Check("runs with other bits, NCCL", other_bits(report.get("nccl")), 0),
    ]


def wrong(found: Report | None) -> float | None:
    """The number of cases that were wrong and of kernels that no case ran."""
    if not found:
        return None
    bad = sum("error" in c or c["share"] is None or c["share"] > 1 for c in found["cases"])
    return float(bad + len(found["kernels_not_run"]))


def other_bits(found: Report | None) -> float | None:
    """How many results there were besides the first; None if not all runs came to an end."""
    if not found or found["errors"]:
        return None
    return float(len(set(found["digests"].values())) - 1)


def tables(report: Report) -> Iterable[Table]:
    """The targets for a person to read."""
    shown = text.table("Targets", ["what"], ["measured", "bound", ""])
    for check in report["targets"]:
        shown.add_row(*Check.from_dict(check).cells)
    return [shown]
