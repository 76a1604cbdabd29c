"""What the items of the log come to: what failed, how fast it is, what the model should assume."""

import json
from collections.abc import Iterable
from statistics import median
from typing import Any

from rich.table import Table

from bench.common import text
from bench.common.engines import OURS
from bench.common.worker import ROOT
from bench.gpu.first.log import Item, latest, outcomes
from bench.gpu.first.setting import Setting
from bench.gpu.model.assumptions import Assumptions

MODEL = ROOT / "bench/results/gpu-model.json"
# The keys that tell items of a stage apart.
WORDS = "what", "file", "kernel", "name", "ceiling", "layer", "form", "run", "precision", "step"
WARP_SLOTS = 2 * 128  # float32 operations of a multiprocessor in a clock


def summary(items: list[Item], setting: Setting) -> Item:
    """The last line of the log."""
    found = latest(items)
    return {
        "stages": {stage: of["outcome"] for stage, of in outcomes(items).items()},
        "errors": list(errors(found)),
        "skipped": [
            f"{stage}: {_words(item)}: {item['skipped']}"
            for stage, of in found.items()
            for item in of
            if "skipped" in item and item.get("what") != "attributes"
        ],
        "step_ms": steps(found),
        "assume": assume(found),
        "kernels": kernels(found, setting),
    }


def errors(found: dict[str, list[Item]]) -> Iterable[str]:
    """Everything that failed or was wrong, each in a line."""
    for stage, items in found.items():
        for item in items:
            bad = item.get("error")
            if bad is None and (item.get("right") is False or item.get("passed") is False):
                bad = "wrong"
            if bad is None and (item.get("same_bits") is False or item.get("errors")):
                bad = "other bits" if "same_bits" in item else f"{item['errors']} errors"
            if bad is None and (item.get("share") or 0) > 1:
                bad = f"{item['share']:.3g} times the tolerance"
            if bad is None and item.get("wrong"):
                bad = f"{len(item['wrong'])} cases were wrong"
            if bad is not None:
                yield f"{stage}: {_words(item)}: {str(bad).splitlines()[0][:200]}"


def _words(item: Item) -> str:
    """Which item it is."""
    return " ".join(str(item[key]) for key in WORDS if key in item)


def steps(found: dict[str, list[Item]]) -> dict[str, dict[str, float]]:
    """Median milliseconds of a training step (and of inference) of each form, by precision."""
    times: dict[str, dict[str, list[float]]] = {}
    for stage in ("network", "torch", "compile", "inference"):
        for item in found.get(stage, []):
            if "ms" in item and "form" in item:
                of = times.setdefault(f"{item['what']} {item['precision']}", {})
                of.setdefault(item["form"], []).append(item["ms"])
    return {
        kind: {form: round(median(ms), 4) for form, ms in of.items()} for kind, of in times.items()
    }


def assume(found: dict[str, list[Item]]) -> list[str]:
    """Options for `bench gpu model`, as far as the ceilings and the GPU's facts tell."""
    rates = {i["ceiling"]: i["rate"] for i in found.get("ceilings", []) if "rate" in i}
    facts = next((i for i in found.get("facts", []) if "multiprocessors" in i), {})
    values: dict[str, float] = {}
    if facts:
        values["sms"] = facts["multiprocessors"]
    if facts.get("l2_bytes"):
        values["l2_size"] = facts["l2_bytes"] / 1e6
    copies = [rates[name] for name in ("copy", "driver's copy") if name in rates]
    if copies:
        values["memory"] = max(copies) / 1e3
    if "mma" in rates:
        values["tensor"] = rates["mma"]
    if "l2" in rates:
        values["l2"] = rates["l2"] / 1e3
    if "launch" in rates:
        values["launch"] = rates["launch"]
    if "fma" in rates and facts:  # a loop of multiply-adds fills its pipe
        values["clock"] = 1e3 * rates["fma"] / (WARP_SLOTS * facts["multiprocessors"])
    known = {row["name"] for row in Assumptions().rows()}
    assert values.keys() <= known
    return [f"--assume {name}={value:.4g}" for name, value in values.items() if value > 0]


def kernels(found: dict[str, list[Item]], setting: Setting) -> dict[str, dict[str, Item]]:
    """By precision and kernel: launches and milliseconds, measured and by the model's count."""
    model: dict[str, Any] = {}
    if MODEL.exists():
        model = json.loads(MODEL.read_text(encoding="utf-8"))
    same = model.get("task") == json.loads(json.dumps(vars(setting.task)))
    rows: dict[str, dict[str, Item]] = {}
    for item in found.get("network", []):
        if "kernels" not in item:
            continue
        counted = model.get(item["precision"], {}).get("kernels", {}) if same else {}
        of = rows[item["precision"]] = {}
        for name, row in item["kernels"].items():
            of[name] = {"launches": row["launches"], "ms": round(row["ms"], 4)}
            if name in counted:
                of[name] |= {
                    "model_launches": counted[name]["launches"],
                    "model_ms": round(counted[name]["model_ms"], 4),
                    "over_model": round(row["ms"] / counted[name]["model_ms"], 2),
                }
    return rows


def tables(found: Item) -> Iterable[Table]:
    """For a person to read."""
    if found["step_ms"]:
        forms = list(dict.fromkeys(form for of in found["step_ms"].values() for form in of))
        shown = text.table("Milliseconds of a step", ["form"], list(found["step_ms"]))
        for form in forms:
            cells = [of.get(form) for of in found["step_ms"].values()]
            name = form if form.startswith(OURS) else f"PyTorch {form}"
            shown.add_row(name, *("-" if ms is None else f"{ms:.2f}" for ms in cells))
        yield shown
    for precision, of in found["kernels"].items():
        shown = text.table(
            f"A launched step kernel by kernel, {precision}",
            ["kernel"],
            ["launches", "ms", "model: launches", "model: ms", "over model"],
        )
        for name, row in of.items():
            if row["ms"] >= 0.05:
                model = (row.get("model_launches"), row.get("model_ms"), row.get("over_model"))
                counted = ("-" if value is None else f"{value:g}" for value in model)
                shown.add_row(name, str(row["launches"]), f"{row['ms']:.2f}", *counted)
        yield shown


def lines(found: Item) -> Iterable[str]:
    """What failed, what was skipped, and what the model should assume."""
    yield from found["errors"]
    yield from (f"skipped: {words}" for words in found["skipped"])
    if found["assume"]:
        yield f"python -m bench gpu model {' '.join(found['assume'])}"
