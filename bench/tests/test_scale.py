"""``python -m bench scale`` counts what a step exchanges, and predicts by formulas it states."""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from bench.common import results
from bench.common.task import Task
from bench.common.worker import WorkerError
from bench.scale import local, naive, prediction, two_cores
from bench.scale.command import FILE, PARTS, PLOT, scale
from bench.scale.model import LIMITS, Line, Workload, predict
from bench.scale.networks import Cluster, Link
from bench.scale.ranks import Serving, mpiexec
from bench.scale.recorder import Event, Recorder, Recording
from minispiral.errors import UserError


@pytest.mark.parametrize("network", ["spiral", "unet"])
def test_a_recording_has_every_gather_and_every_gradient(network: str) -> None:
    depth, side = 3, 31
    processes = 2
    task = Task(network, batch=processes, side=side, width=0.1, depths=depth)
    serving = Serving(task, Recorder(processes))
    recording = Recording.from_dict(json.loads(json.dumps(serving.events())))
    parameters = dict(serving.network.named_parameters())
    channels = [p.data.size for name, p in parameters.items() if name.endswith("gamma")]
    # A count, a mean and a sum of squares forward; two sums backward; in float64.
    assert recording.gathers() == {
        "batch norm, forward": (len(channels), 8 * sum(1 + 2 * c for c in channels)),
        "batch norm, backward": (len(channels), 8 * sum(2 * c for c in channels)),
        "loss": (1, 24),
        "totals": (1, 24),
    }
    assert sum(recording.buckets) == 4 * sum(p.data.size for p in parameters.values())
    at = [event.at for event in recording.events]
    assert at == sorted(at)
    assert 0 < at[0] < at[-1] < recording.seconds


LINK = Link("a", hop=0.001, bandwidth=1e6, source="", base=0.01)
SLOW = Link("b", hop=0.1, bandwidth=1e5, source="")
STEP = Recording(
    [
        Event("gather", 1.0, 24),
        Event("sum", 2.0, 4_000_000),
        Event("sum", 3.0, 1_000_000),
        Event("wait", 4.0, 4_000_000),
        Event("wait", 4.0, 1_000_000),
    ],
    seconds=5.0,
)


def test_a_step_on_one_machine_by_hand() -> None:
    work = Workload(STEP, Line(1, 2), Line(1.5, 2.5), merging=1e-3)
    alone = predict(work, Cluster("", LINK, 4, SLOW), 1, 3)
    assert (alone.seconds, alone.useful, alone.fixed) == (7, 6, 1)

    step = predict(work, Cluster("", LINK, 4, SLOW), 4, 6)  # 6 patches: two processes have one more
    computing = 1.5 + 2 * 2.5
    assert (step.useful, step.crowding, step.imbalance) == (3, 0.75, 0.5 * 2.5)
    assert step.latency == pytest.approx(0.012)
    assert step.volume == pytest.approx(3 * 24 / 1e6 + 1e-3 * 4 * 24)
    large, small = (0.01 + 2 * 2 * 0.001 + 1.5 * size / 1e6 for size in (4_000_000, 1_000_000))
    # The second bucket starts when the first has gone, which lasts from 2/5 of the computing on;
    # backward is done at 4/5.
    assert step.gradients == pytest.approx(large + small - 0.4 * computing)
    stopping = predict(work, Cluster("", LINK, 4, SLOW), 4, 6, overlap=False)
    assert stopping.gradients == pytest.approx(large + small)
    quick = Link("", 0.001, 1e9, "")
    assert predict(work, Cluster("", quick, 4, SLOW), 4, 6).gradients == 0


def test_a_step_on_several_machines_by_hand() -> None:
    cluster = Cluster("", LINK, 4, SLOW, links=2)
    assert cluster.gather_latency(32) == pytest.approx(0.01 + 2 * 0.001 + 3 * 0.1)
    assert cluster.gather_volume(32, 100) == pytest.approx(28 * 100 / 2e5 + 31 * 100 / 1e6)
    hops = 0.01 + 4 * 0.001 + 6 * 0.1
    moved = 2 * 3 / 4 * 800 / 1e6 + 2 * 7 / 8 * 800 / 2e5
    assert cluster.sum_seconds(32, 800) == pytest.approx(hops + moved)
    assert cluster.shape(9) == (4, 3)


def test_the_parts_of_a_step_add_up(rng: np.random.Generator) -> None:
    for _ in range(50):
        start, slope, hop, merging = rng.uniform(0, 1, 4)
        ranks, batch = map(int, rng.integers(1, 200, 2))
        link = Link("", hop / 100, 10 ** rng.uniform(4, 9), "")
        work = Workload(STEP, Line(start, slope), Line(2 * start, 2 * slope), merging / 1e6)
        step = predict(work, Cluster("", link, 8, link), ranks, batch, bool(rng.random() < 0.5))
        parts = [step.useful, *(getattr(step, part) for part in LIMITS)]
        assert min(parts) >= 0
        assert sum(parts) == pytest.approx(step.seconds)
        assert getattr(step, step.limit()) == max(parts[1:])
        assert getattr(step, step.limit(step.fixed)) == max(
            p for part, p in zip(LIMITS, parts[1:], strict=True) if part != "fixed"
        )


def test_a_line_goes_through_its_points(rng: np.random.Generator) -> None:
    start, slope = rng.uniform(0, 1, 2)
    line = Line.through({n: start + slope * n for n in (2, 3, 7)})
    assert line(5) == pytest.approx(start + 5 * slope)
    assert Line.through({1: 1.0, 2: 3.0}).start == 0  # noise: computing nothing takes no time
    with pytest.raises(WorkerError, match="too busy"):
        Line.through({1: 2.0, 2: 1.9})


def test_shared_sums_are_those_of_the_whole_batch_and_averages_are_not(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(naive, "PHOTOS", 2)
    monkeypatch.setattr(naive, "PHOTO_SIDE", 150)
    plan = naive.Plan(seeds=1, side=63, depths=2, width=0.1)
    found = naive.compare(plan, processes=3, each=2, seed=int(rng.integers(1000)))
    assert found[naive.OURS]["relative"] < 1e-10
    assert found[naive.OURS]["cosine"] == pytest.approx(1)
    for way in (naive.NAIVE, naive.SYNCHRONISED):
        assert found[way]["relative"] > 1e-3


def measurements(seconds_of_a_patch: float) -> dict[str, Any]:
    """What the part local finds, made up."""
    seconds = {str(n): n * seconds_of_a_patch for n in (2, 4)}
    computing = {"seconds": {"alone": seconds, "shared": seconds}, "recording": STEP.as_dict()}
    mpi = {"gather_seconds": {"24": 1e-5}, "sum_bytes": 1_000_000, "sum_seconds": 1e-3}
    return {
        "computing": dict.fromkeys(local.MEASURED, computing),
        "mpi": {"2": mpi, "4": mpi},
        "merging_seconds_per_byte": 0.0,
    }


def test_the_link_of_this_machine_gives_back_what_was_measured() -> None:
    here = local.link(measurements(1), 2)
    cluster = Cluster("", here, 2, here)
    assert cluster.gather_latency(2) == pytest.approx(1e-5)
    assert cluster.sum_seconds(2, 1_000_000) == pytest.approx(1e-3)


def test_predictions_are_kept_and_drawn(tmp_path: Path) -> None:
    missing = CliRunner().invoke(scale, ["prediction", "--out", str(tmp_path)])
    assert isinstance(missing.exception, UserError)
    results.keep(tmp_path / FILE, {"local": measurements(0.5)})
    done = CliRunner().invoke(scale, ["prediction", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert (tmp_path / PLOT).stat().st_size > 1000
    kept = json.loads((tmp_path / FILE).read_text())["prediction"]
    assert len(kept["workloads"]) == 3
    for scalings in kept["workloads"].values():
        for series in scalings["weak"].values():
            for how in prediction.HOWS:
                shares = [row[how]["efficiency"] for row in series.values()]
                assert shares[0] == pytest.approx(1)
                assert all(a >= b - 1e-12 for a, b in pairwise(shares))
        for series in scalings["strong"].values():
            for ranks, row in series.items():
                each = prediction.BATCH / int(ranks)
                assert (row["stopping"]["imbalance"] > 0) == (each != math.ceil(each))
                assert row["overlapping"]["seconds"] <= row["stopping"]["seconds"]


@pytest.mark.usefixtures("mpiexec")
def test_steps_of_this_machine_are_measured_and_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MEASURED", ("a",))
    monkeypatch.setattr(local, "PROCESSES", (2,))
    monkeypatch.setattr(local, "CALLS", 3)
    monkeypatch.setattr(local, "at_once", lambda: 1)
    monkeypatch.setitem(local.NETWORKS, "a", Task(width=0.05, depths=1))
    plan = local.Plan(repeats=1, patches=(1, 2), side=31)
    found = json.loads(json.dumps(local.measure(plan)))
    assert found["mpi"]["2"]["sum_seconds"] > 0
    checked = local.check(plan, found)["networks"]["a"]
    assert set(checked) == {"1", "2"}
    for row in checked.values():
        assert row["ratio"] == pytest.approx(row["measured"] / row["predicted"])
    seconds = found["computing"]["a"]["seconds"]
    assert list(seconds) == ["alone", "shared"]
    assert all(set(by_patches) == {"1", "2"} for by_patches in seconds.values())


@pytest.mark.usefixtures("mpiexec")
def test_two_processes_race_threads_and_two_that_never_speak() -> None:
    plan = two_cores.Plan(rounds=1, steps=1, width=0.05, side=63)
    found = two_cores.measure("narrow", plan)
    assert list(found["seconds"]) == [
        two_cores.RANKS,
        two_cores.ONE,
        two_cores.TWO,
        two_cores.APART,
    ]
    ours = found["seconds"][two_cores.RANKS]["seconds"]
    for who, ratios in found["two_processes_over"].items():
        assert ratios["median"] == pytest.approx(ours / found["seconds"][who]["seconds"])
    for waits in found["waiting"]:
        assert 0 < waits["other processes, small sums"] < waits["step"]
    table = PARTS["two-cores"]({"networks": {"narrow": {"machine": {"load_before": 0}, **found}}})
    assert table[0].row_count == 4


def test_without_mpiexec_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no mpiexec here; install .*minispiral\[mpi\]"):
        mpiexec()
