"""What the model assumes of the GPU. Each number can be replaced by a measured one."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from rich.table import Table

from bench.common import text
from minispiral.errors import UserError


def _assume(value: float, unit: str, why: str) -> Any:
    return field(default=value, metadata={"unit": unit, "why": why})


@dataclass(frozen=True)
class Assumptions:
    """An H100 SXM of 80 GB. What is called published others have measured; nobody has here."""

    sms: float = _assume(132, "SMs", "data sheet")
    clock: float = _assume(1.755, "GHz", "boost clock under load; the data sheet's most is 1.98")
    busy: float = _assume(
        0.75, "of 1", "share of issue slots and of each pipe that warps manage to use; estimated"
    )
    memory: float = _assume(3.0, "TB/s", "published for copies; data sheet 3.35")
    tensor: float = _assume(
        300, "TFLOP/s", "TF32 by mma.sync; estimated: the data sheet's 495 are for wgmma"
    )
    l2: float = _assume(
        5.5,
        "TB/s",
        "LDGSTS from L2: published for the PCIe card; an A100's bytes per clock give 6.7",
    )
    l2_size: float = _assume(50, "MB", "data sheet; who reads less than half finds it all in L2")
    launch: float = _assume(1.5, "us", "from one kernel of a graph to the next; estimated")
    latency_memory: float = _assume(600, "clocks", "published 480 alone, more under load")
    latency_l2: float = _assume(270, "clocks", "published 263")
    latency_shared: float = _assume(29, "clocks", "published")
    latency_constant: float = _assume(30, "clocks", "LDC; estimated")
    latency_shuffle: float = _assume(23, "clocks", "published")
    latency_special: float = _assume(22, "clocks", "MUFU, conversions, S2R; estimated")
    latency_fp64: float = _assume(8, "clocks", "published for the A100")
    latency_tensor: float = _assume(18, "clocks", "HMMA of 16x8x8 in TF32; published for the A100")
    latency_barrier: float = _assume(20, "clocks", "of warps that arrive together; estimated")
    latency_other: float = _assume(5, "clocks", "4 for FFMA and IADD3, 5 for IMAD; published")
    pipe_fp32: float = _assume(1, "clocks per warp", "FFMA, FADD, FMUL: 128 lanes of an SM")
    pipe_imad: float = _assume(2, "clocks per warp", "IMAD: half of the lanes of FP32")
    pipe_alu: float = _assume(2, "clocks per warp", "IADD3, LOP3, ISETP, SEL, FSETP ..: 64 lanes")
    pipe_fp64: float = _assume(2, "clocks per warp", "64 lanes of an SM; data sheet")
    pipe_special: float = _assume(8, "clocks per warp", "MUFU, I2F, F2I, F2F: 16 lanes of an SM")
    pipe_shared: float = _assume(
        1, "clocks of the SM per 128 bytes", "LDS, STS, LDGSTS, SHFL, LDG and STG; no conflicts"
    )

    def rows(self) -> list[dict[str, Any]]:
        """Name, value, unit and why."""
        values = asdict(self)
        return [{"name": f.name, "value": values[f.name], **f.metadata} for f in fields(self)]

    def tables(self) -> Iterable[Table]:
        shown = text.table("Assumptions", ["name"], ["value"], prose=["unit", "why"])
        for row in self.rows():
            shown.add_row(row["name"], row["unit"], row["why"], f"{row['value']:g}")
        return [shown]


def corrected(changes: Iterable[str]) -> Assumptions:
    """With some numbers replaced, each given as ``name=value``."""
    names = [f.name for f in fields(Assumptions)]
    found = {}
    for change in changes:
        name, _, value = change.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = 0.0
        if name not in names or not found[name] > 0:
            raise UserError(
                f"{change} was given, expected one of {', '.join(names)}, '=' and a number above 0",
                "assume",
            )
    return replace(Assumptions(), **found)
