"""``python -m bench cpu`` runs, and counts what it says it counts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.common.checks import Check
from bench.common.machine import installed
from bench.common.task import Task
from bench.cpu import scaling
from bench.cpu.command import keep
from bench.cpu.step import grouped

Printed = Callable[..., dict[str, Any]]


def step_gflop(batch: int, side: int) -> float:
    """GFLOP of a step of Spiral-Net with a single channel everywhere, layer by layer."""
    sides = [side]
    while sides[-1] > 1:
        sides.append(sides[-1] // 2)
    taps = 0
    for k in range(1, 8):
        ci = 3 if k == 1 else k - 1
        first = 9 * ci * sides[1] ** 2
        taps += (2 if k == 1 else 3) * first  # module 1 hands the photograph no gradient
        taps += 3 * 9 * sum(sides[i] ** 2 for i in range(2, k + 1))
        taps += 3 * 9 * sum(sides[i] ** 2 for i in range(1, k + 1))
    taps += 3 * 7 * side**2
    return 2 * batch * taps / 1e9


SMALL = ["--batch", "2", "--width", "0.001", "--repeats", "1", "--no-torch", "--json"]


def test_step_prints_parts_that_add_up_to_it(tmp_path: Path, printed: Printed) -> None:
    report = printed("bench", "cpu", "step", *SMALL, "--out", tmp_path)
    assert json.loads((tmp_path / "cpu.json").read_text()) == report
    step = report["step"]
    assert step["gflop"] == pytest.approx(step_gflop(batch=2, side=255), rel=1e-12)
    assert 0 < step["fastest_seconds"] <= step["seconds"] <= step["slowest_seconds"]
    assert step["gflops"] == pytest.approx(step["gflop"] / step["seconds"])
    assert step["share_of_sgemm"] == pytest.approx(step["gflops"] / step["sgemm_gflops"])
    assert 20 < step["peak_mib"] < 2000
    total = pytest.approx(step["profiled_seconds"])
    assert sum(step["parts"].values()) == total
    assert sum(spent["seconds"] for spent in step["kinds"].values()) == total
    assert all(seconds > 0 for seconds in step["parts"].values())
    calls = {kind: spent["calls"] for kind, spent in step["kinds"].items()}
    assert calls["convolution, forward"] == 57
    assert calls["convolution, weight gradient"] == 56  # of the blocks; the last layer is plain
    assert calls["convolution, backward"] == 1
    assert {"stages.6.decoder.6", "mix"} <= {entry["layer"] for entry in step["layers"]}
    assert step["machine"]["cores"] >= 1


def test_a_kind_of_work_belongs_to_the_part_whose_name_it_begins_with() -> None:
    kinds = [
        "convolution, forward",
        "batch norm and ReLU, backward",
        "loss, forward",
        "Add, forward",
    ]
    seconds = {kind: {"calls": 1, "seconds": 2.0**k} for k, kind in enumerate(kinds)}
    assert grouped(seconds) == {
        "convolution": 1,
        "batch norm": 2,
        "loss": 4,
        "optimiser": 0,
        "everything else": 8,
    }


def test_layers_are_all_there_are_in_a_step(tmp_path: Path, printed: Printed) -> None:
    report = printed("bench", "cpu", "layers", *SMALL, "--out", tmp_path)["layers"]
    rows = report["layers"]
    operations = ("forward", "input_grad", "weight_grad")
    gflop = sum(row["gflop"] * row["count"][op] for row in rows for op in operations)
    assert gflop == pytest.approx(step_gflop(batch=2, side=255), rel=1e-12)
    assert len({row["layer"] for row in rows}) == len(rows) < 57
    assert sum(row["count"]["forward"] for row in rows) == 57
    for op in operations:
        sums = sum(row[op]["seconds"] * row["count"][op] for row in rows)
        assert report["sums"][op]["seconds"] == pytest.approx(sums)
        for row in rows:
            assert row[op]["gflops"] == pytest.approx(row["gflop"] / row[op]["seconds"])
            assert (row[op]["torch"], row[op]["ratio"]) == ({}, None)


def test_targets_are_measured_and_checked(tmp_path: Path, printed: Printed) -> None:
    names = ["step-4", "detect", "detect-memory", "threads", "start-up"]
    chosen = [word for name in names for word in ("--target", name)]
    photo = ["--photo", "300", "200"]
    report = printed("bench", "cpu", *chosen, *photo, *SMALL, "--out", tmp_path)["targets"]
    assert list(report) == names
    passed = {
        (name, check["what"]): check["passed"]
        for name, target in report.items()
        for check in target["checks"]
    }
    assert passed["step-4", "time over PyTorch's"] is None
    assert passed["step-4", "share of the sgemm peak"] is False  # of layers of one channel
    assert passed["threads", "results with other bits"] is True
    assert report["threads"]["same_bits"] is True
    assert passed["detect-memory", "GB at the peak"] is True
    assert report["detect"]["minispiral"]["seconds"] > 0
    assert set(report["start-up"]["seconds"]) == {"python", "import", "help"}


@pytest.mark.skipif(installed("torch") is None, reason="needs PyTorch")
def test_the_ratio_is_to_the_fastest_form_of_pytorch(tmp_path: Path, printed: Printed) -> None:
    words = ["--width", "0.02", "--repeats", "1", "--no-compile", "--out", tmp_path, "--json"]
    report = printed("bench", "cpu", "--target", "inference-4", *words)["targets"]["inference-4"]
    assert report["torch"]["errors"] == {}
    forms = {name: form["seconds"] for name, form in report["torch"]["forms"].items()}
    assert set(forms) == {"NCHW", "channels_last"}
    ratio = report["minispiral"]["seconds"] / min(forms.values())
    assert report["ratio"] == report["checks"][0]["value"] == pytest.approx(ratio)
    assert report["checks"][0]["passed"] is (ratio <= 0.95)


@pytest.mark.parametrize(
    ("check", "passed"),
    [
        (Check("", 0.8, 0.8), True),
        (Check("", 0.81, 0.8), False),
        (Check("", 0.8, 0.8, at_least=True), True),
        (Check("", 0.79, 0.8, at_least=True), False),
        (Check("", None, 0.8), None),
    ],
)
def test_a_check_keeps_its_bound(check: Check, passed: bool | None) -> None:
    assert check.passed is passed


def test_earlier_targets_are_kept(tmp_path: Path) -> None:
    keep(tmp_path, "targets", {"a": {"x": 1}, "b": {"x": 2}})
    keep(tmp_path, "step", {"x": 3})
    keep(tmp_path, "targets", {"b": {"y": 4}})
    assert json.loads((tmp_path / "cpu.json").read_text()) == {
        "targets": {"a": {"x": 1}, "b": {"y": 4}},
        "step": {"x": 3},
    }


def test_scaling_times_each_point_once_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scaling, "BATCHES", (1, 2))
    monkeypatch.setattr(scaling, "SIDES", (127, 255))
    monkeypatch.setattr(scaling, "WIDTHS", (1,))
    report = scaling.measure(Task(batch=2, width=0.001), repeats=1)
    batch, side, width = (report["series"][name] for name in ("batch", "side", "width"))
    assert batch[1] is side[1]
    for points in (batch, side):
        ratio = points[1]["gflop"] / points[0]["gflop"]
        pixels = points[1]["megapixels"] / points[0]["megapixels"]
        assert ratio == pytest.approx(pixels, rel=0.05)
    assert width[0]["gflop"] == pytest.approx(step_gflop(batch=2, side=255), rel=1e-12)
    assert scaling.save_plot(report, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_the_fit_finds_a_line_and_a_power() -> None:
    megapixels = [0.1, 0.5, 1.0, 4.0]
    line = scaling.fit([{"megapixels": x, "seconds": 0.2 + 3 * x} for x in megapixels])
    assert line["start_seconds"] == pytest.approx(0.2)
    assert line["seconds_per_megapixel"] == pytest.approx(3)
    assert line["largest_relative_deviation"] < 1e-9
    square = scaling.fit([{"megapixels": x, "seconds": 2 * x**2} for x in megapixels])
    assert square["exponent"] == pytest.approx(2)
    assert square["largest_relative_deviation"] > 0.5
