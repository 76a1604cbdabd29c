"""The benchmark runs and counts what it says it counts."""

import pytest
from small import measurement


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


def test_step_prints_one_json_object() -> None:
    size = ["--batch", "2", "--width", "0.001", "--repeats", "2"]
    report = measurement("step", *size, "--no-torch")
    assert report["gflop_per_step"] == pytest.approx(step_gflop(batch=2, side=255), rel=1e-12)
    assert report["torch"] is None
    ours = report["minispiral"]
    assert 0 < ours["fastest_seconds"] <= ours["step_seconds"] <= ours["slowest_seconds"]
    assert ours["gflops"] == pytest.approx(report["gflop_per_step"] / ours["step_seconds"])
    assert ours["share_of_sgemm"] == pytest.approx(ours["gflops"] / report["sgemm_gflops"])
    assert 20 < ours["peak_mib"] < 2000
