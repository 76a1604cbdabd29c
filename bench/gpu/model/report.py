"""The model's result as one JSON object, and as tables."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from bench.common import text
from bench.gpu.model import cost, traffic
from bench.gpu.model.code import Code
from bench.gpu.model.estimate import Estimate

FAMILIES = {
    "convolutions on tensor cores": traffic.TENSOR_CORES,
    "convolutions of few channels": (
        *("conv2d_few", "conv2d_weight_grad_few"),
        *("conv2d_input_grad_few", "conv2d_input_grad_few_3x3"),
        *("conv2d_pointwise", "conv2d_input_grad_pointwise", "conv2d_weight_grad_pointwise"),
        *("conv2d", "conv2d_input_grad", "conv2d_weight_grad"),
    ),
    "batch norm over all pixels": (
        "block_moments",
        "normalize",
        "block_grad_sums",
        "apply_grad",
        "apply_grad_of_parts",
    ),
    "second passes": (
        *("merge_moments", "merge_norm_moments", "merge_grad_sums"),
        *("finish_parts", "sum_parts"),
    ),
    "copies and sums": ("join_channels", "split_channels", "add_all", "add"),
    "running moments": ("blend",),
    "Adam": ("count_step", "adam_scales", "adam"),
}
REST = "loss, input and the rest"

Sums = dict[str, Any]


def family(estimate: Estimate) -> str:
    name = traffic.name_of(estimate.launch)
    return next((of for of, names in FAMILIES.items() if name in names), REST)


def expression(estimate: Estimate) -> str:
    return estimate.launch.kernel.expression


def sums(estimates: Sequence[Estimate]) -> Sums:
    """Of these launches; ``bound_ms`` divides the model's time by what takes longest."""
    bounds: dict[str, float] = {}
    for one in estimates:
        bounds[one.bound] = bounds.get(one.bound, 0.0) + 1e3 * one.model
    return {
        "launches": len(estimates),
        "gigabytes": round(sum(one.bytes for one in estimates) / 1e9, 6),
        "floor_ms": round(1e3 * sum(one.floor for one in estimates), 6),
        "model_ms": round(1e3 * sum(one.model for one in estimates), 6),
        "bound_ms": {
            what: round(ms, 6) for what, ms in sorted(bounds.items(), key=lambda item: -item[1])
        },
    }


def step(estimates: Sequence[Estimate], codes: Mapping[str, Code]) -> dict[str, Any]:
    """A step: its sums, those of each family and each kernel, and the kernels' hot loops."""
    kernels = _grouped(estimates, expression)
    return {
        **sums(estimates),
        "families": {name: sums(found) for name, found in _grouped(estimates, family).items()},
        "kernels": {
            name: {**sums(found), "hot_loop": _hot_loop(found, codes[name])}
            for name, found in kernels.items()
        },
    }


def _grouped(
    estimates: Sequence[Estimate], by: Callable[[Estimate], str]
) -> dict[str, list[Estimate]]:
    """Those that take longest first."""
    found: dict[str, list[Estimate]] = {}
    for one in estimates:
        found.setdefault(by(one), []).append(one)
    return dict(sorted(found.items(), key=lambda item: -sum(one.model for one in item[1])))


def _hot_loop(estimates: Sequence[Estimate], code: Code) -> dict[str, Any]:
    """Where most slots go: what an iteration has, and its share of the kernel's slots."""
    slots: dict[int | None, float] = {}
    for one in estimates:
        for loop, count in one.slots.items():
            head = None if loop is None else loop.head
            slots[head] = slots.get(head, 0.0) + count
    hot = max(slots, key=lambda head: slots[head])
    loop = next((loop for loop in code.function.loops if loop.head == hot), None)
    found = cost.counts(code.function.own_code(loop))
    return {
        "share": round(slots[hot] / sum(slots.values()), 4),
        "in_a_loop": hot is not None,
        **found,
    }


def tables(report: Mapping[str, Any], precisions: Iterable[str]) -> Iterable[Table]:
    """For a person to read."""
    task = report["task"]
    for precision in precisions:
        found = report[precision]
        shown = text.table(
            f"A training step, {precision}, {task['batch']} patches of {task['side']}, by count",
            ["kernels"],
            ["launches", "GB", "floor ms", "model ms"],
            prose=["bound by, ms"],
        )
        for name, row in found["families"].items():
            shown.add_row(name, *_cells(row))
        shown.add_section()
        shown.add_row("all", *_cells(found))
        yield shown
    yield _kernels(report, precisions)


def _cells(row: Sums) -> tuple[str, ...]:
    bounds = ", ".join(f"{what} {ms:.2f}" for what, ms in row["bound_ms"].items() if ms >= 0.005)
    numbers = f"{row['gigabytes']:.2f}", f"{row['floor_ms']:.2f}", f"{row['model_ms']:.2f}"
    return bounds, str(row["launches"]), *numbers


def _kernels(report: Mapping[str, Any], precisions: Iterable[str]) -> Table:
    """What the kernels of a step take, and their hot loops."""
    shown = text.table(
        "Kernels of at least 0.1 ms in a step, sm_90",
        ["kernel"],
        ["model ms", "registers", "spilled", "shared KB", "warps", "share"],
        "warps: resident on an SM; share: the hot loop's, of all issue slots.",
        prose=["hot loop, an iteration"],
    )
    seen: set[str] = set()
    for precision in precisions:
        for name, row in report[precision]["kernels"].items():
            if name in seen or row["model_ms"] < 0.1:
                continue
            seen.add(name)
            code, hot = report["code"]["sm_90"][name], dict(row["hot_loop"])
            share, in_a_loop, slots = (hot.pop(key) for key in ("share", "in_a_loop", "slots"))
            words = ", ".join(f"{count} {what}" for what, count in hot.items())
            where = "" if in_a_loop else "no loop: "
            shared = sum(code["shared_bytes"].values()) / 1024
            shown.add_row(
                name,
                f"{where}{slots} slots: {words}",
                f"{row['model_ms']:.2f}",
                str(code["registers"]),
                str(code["spilled_bytes"]),
                f"{shared:.0f}",
                str(code["resident_warps"]),
                f"{share:.0%}",
            )
    return shown
