"""The paper's tables: its numbers, what is trained for them, and how results are reported."""

import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.common.worker import ROOT
from bench.paper import claims, joints, rates, report
from bench.paper.cell import score
from bench.paper.order import Order
from bench.paper.plot import save_plot
from bench.paper.runner import Cell
from bench.paper.tables import TABLES, Row, Table
from minispiral.data.synth import write_dataset
from minispiral.errors import UserError
from minispiral.networks import PRESETS
from minispiral.networks.hed import STAGES
from minispiral.runs.checkpoint import load
from minispiral.training.config import TrainConfig
from minispiral.training.loop import train

RUN = {
    "checkpoint": "best",
    "steps": 7,
    "seconds": 3.0,
    "threads": 1,
    "version": "0",
    "config": {"width": 0.5, "batch": 2, "patch": 255, "lr": 0.1, "loss": "cross-entropy"},
}


def paper(table: str) -> dict[str, tuple[float | None, ...]]:
    return {row.name: row.paper for row in TABLES[table].rows}


def test_the_papers_numbers() -> None:
    assert [len(table.rows) for table in TABLES.values()] == [11, 3, 24, 4]
    table2 = paper("table2")
    assert table2["increasing / 1-2-3-4-5-6-7"] == (80.91, 71.76, 86.56, 62.89)
    assert table2["triangle / 1-3-5-7-6-4-2"] == (79.03, 70.82, 85.39, 62.38)
    assert table2["uniform / 3-3-3-3-3-3-3"] == (78.33, 67.99, 88.71, 58.50)
    failed = [name for name, scores in table2.items() if not any(scores)]
    assert failed == [
        "decreasing / 7-6-5-4-3-2-1",
        "uniform / 6-6-6-6-6-6-6",
        "uniform / 7-7-7-7-7-7-7",
    ]
    assert paper("table3")["sum"] == (79.16, 71.14, 87.12, 61.46)
    table4 = paper("table4")
    assert table4["(b) balanced / HED (fine-tuned)"] == (67.44, 22.51, 12.98, 94.49)
    assert table4["(c) focal, alpha 0.25 / HED (fine-tuned)"] == (53.86, 0.98, 64.21, 0.50)
    assert table4["(e) F1, Eq. 8 / U-Net"] == (63.06, 68.97, 81.63, 64.85)
    assert table4["(f) pseudo-F1, Eq. 11 / Spiral-Net"] == (85.61, 79.04, 78.44, 79.81)
    for name, scores in paper("table5").items():  # those of Table 4f, where it has them
        same = table4.get(f"(f) pseudo-F1, Eq. 11 / {name}".replace("HED", "HED (scratch)"))
        assert scores == (same[:2] if same else (77.01, 69.69))


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_row_says_how_it_is_trained(table: Table) -> None:
    assert len({row.key for row in table.rows}) == len(table.rows)
    for row in table.rows:
        assert len(row.labels) == len(table.headings)
        assert len(row.paper) == len(table.scores)
        TrainConfig.from_dict({"data": "", **row.options})


def test_a_row_of_several_tables_is_trained_once() -> None:
    keys = {name: {row.key for row in table.rows} for name, table in TABLES.items()}
    assert len(keys["table2"] & keys["table3"] & keys["table4"]) == 1
    assert len(keys["table5"] - keys["table4"]) == 1  # the wide U-Net
    assert [row.options["depths"] for row in TABLES["table2"].rows] == list(PRESETS.values())


def write_run(folder: Path, row: Row, seed: int, f1: float | None, on_joints: float) -> None:
    """Scores as a finished run has them; the other three of the paper are half of F1."""
    half = f1 and f1 / 2
    scores = {"average_precision": half, "precision": half, "recall": half, "f1": f1, "photos": []}
    alarms = {"false_alarms_on_joints": on_joints, "false_alarms_elsewhere": 0.001}
    run = report.run_folder(folder, row, seed)
    run.mkdir(parents=True)
    (run / "scores-test.json").write_text(json.dumps({"scores": scores, **alarms, **RUN}))


FACTS = {
    "command": "the command",
    "photos": 3,
    "seeds": 2,
    "jobs": 2,
    "left_out": " The reason.",
    "machine": {"processor": "a processor"},
}


def test_a_table_of_made_up_results(tmp_path: Path) -> None:
    table = TABLES["table3"]
    write_run(tmp_path, table.rows[0], 0, 0.5, 0.02)
    write_run(tmp_path, table.rows[0], 1, 0.6, 0.04)
    write_run(tmp_path, table.rows[1], 0, 0.25, 0.0)
    results = report.collect(table, tmp_path, seeds=2)
    assert results[0]["mean"]["f1"] == pytest.approx(55)
    assert results[0]["spread"]["f1"] == pytest.approx(10 / np.sqrt(2))
    assert results[1]["spread"]["f1"] is None
    lines = report.markdown(table, FACTS, results).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:7]]
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[2][3:5] == ["55.00 ± 7.07", "71.76"]
    assert rows[2][9:] == ["3.000 ± 1.414", "0.100 ± 0.000"]
    assert rows[3][3:5] == ["25.00", "71.14"]
    assert rows[4][3:5] == ["", "0.00"]
    assert lines[-1] == "Not trained: none. The reason."
    json.dumps(results, allow_nan=False)
    picture = tmp_path / "plot.png"
    assert save_plot(table, results, picture)
    assert picture.stat().st_size > 10_000


def test_table5_counts_the_parameters_of_the_code(tmp_path: Path) -> None:
    results = report.collect(TABLES["table5"], tmp_path, seeds=1)
    printed = {(f"{r['parameters'] / 2**20:.1f}", f"{r['paper_parameters']}") for r in results}
    assert {pair for pair in printed if pair[0] != pair[1]} == {("14.0", "14.1")}  # HED's
    text = report.markdown(TABLES["table5"], FACTS, results)
    assert re.search(r"\| Spiral-Net \| 39.70 \| 39.7 \|", text)


def table_of(**f1: list[float]) -> list[dict[str, Any]]:
    """Rows of Table 3 as a JSON file has them, with an F1 for each seed."""
    return [
        {"labels": {"connection": name}, "runs": [{"scores": {"f1": value}} for value in values]}
        for name, values in f1.items()
    ]


@pytest.mark.parametrize(
    ("total", "without", "verdict"),
    [
        ([0.5, 0.52, 0.54], [0.1, 0.1, 0.2], "confirmed"),
        ([0.5, 0.6, 0.7], [0.1, 0.1, 0.2], "undecided"),  # 10 points, standard error 6
        ([0.8, 0.82, 0.84], [0.1, 0.1, 0.2], "refuted"),
        ([0.5], [0.1], "undecided"),  # no spread
    ],
)
def test_claims_at_two_standard_errors(
    total: list[float], without: list[float], verdict: str
) -> None:
    rows = table_of(concatenation=[0.7, 0.7, 0.7], sum=total, none=without)
    judged = claims.judge({"table3": rows})
    [found] = [claim for claim in judged if claim["claim"].startswith("Concatenation")]
    assert found["verdict"] == verdict
    if len(total) > 1:
        first = found["comparisons"][0]
        assert first["difference"] == pytest.approx(100 * (0.7 - np.mean(total)))
        assert first["error"] == pytest.approx(100 * np.std(total, ddof=1) / np.sqrt(3))
    others = {claim["verdict"] for claim in judged if claim is not found}
    assert others == {"undecided"}  # their tables are not there
    assert f"| {verdict} |" in claims.markdown(judged)


def test_claims_name_rows_that_exist() -> None:
    sides = [
        side
        for claim in claims.CLAIMS
        for comparison in claim.comparisons
        for side in (comparison.higher, comparison.lower)
    ]
    assert {(side.table, side.row) for side in sides} <= {
        (name, row.name) for name, table in TABLES.items() for row in table.rows
    }
    assert [len(claim.comparisons) for claim in claims.CLAIMS] == [5, 5, 5, 6, 6, 2, 2, 10, 2, 1]


def test_each_loss_has_the_rate_that_is_best_for_it(tmp_path: Path) -> None:
    rows = rates.candidates((1e-3, 1e-2))
    assert len(rows) == 12
    f1 = {"balanced": (0.2, 0.1), "focal-0.25": (0.0, 0.0)}
    ap = {"focal-0.25": (0.1, 0.3)}
    trials = [
        rates.trial(
            row,
            {
                "scores": {
                    "f1": f1.get(row.loss, (0.3, 0.4))[k := int(row.options["lr"] == 1e-2)],
                    "average_precision": ap.get(row.loss, (0.5, 0.1))[k],
                },
                "seconds": 1.0,
            },
        )
        for row in rows
    ]
    chosen = rates.choose(trials)
    assert chosen.pop("balanced") == 1e-3
    assert set(chosen.values()) == {1e-2}
    assert len(chosen) == 5
    with pytest.raises(UserError, match="paper rates"):
        rates.chosen(tmp_path)


def test_a_budget_of_small_patches(tmp_path: Path) -> None:
    """Modules that its patches have no room for are left out; a row without any is not trained."""
    (tmp_path / "rates.json").write_text('{"rates": {"cross-entropy": 0.02}}')
    order = Order(
        what="table2", data=None, dataset="synthetic", budget="night", steps=None, seeds=3,
        rows=(), runs=tmp_path, out=tmp_path, jobs=1, vgg=None,
    )  # fmt: skip
    rows, trained, why = order.prepare(TABLES["table2"].rows)
    assert [row.labels for row in rows] == [row.labels for row in TABLES["table2"].rows]
    assert "depths up to 6" in why
    assert len(trained) == 10
    depths = {row.labels[1]: row.options["depths"] for row in trained}
    assert depths["1-3-5-7-6-4-2"] == (1, 3, 5, 6, 4, 2)
    assert {row.options["lr"] for row in trained} == {0.02}
    config = TrainConfig.from_dict({"data": "", **order.options, **trained[0].options})
    assert (config.patch + 1) / 2 ** max(config.depths) >= 1

    some, trained, why = dataclasses.replace(order, rows=("triangle / 1-3", "3-3-3")).prepare(
        TABLES["table2"].rows
    )
    assert some == rows  # what was trained before stays in the table
    assert [row.labels[1] for row in trained] == ["1-3-5-7-6-4-2", "3-3-3-3-3-3-3"]
    assert "Only rows with triangle / 1-3 or 3-3-3" in why
    with pytest.raises(UserError, match="no row has 'U-Net'"):
        dataclasses.replace(order, rows=("U-Net",)).prepare(TABLES["table2"].rows)


def vgg16(co: int) -> dict[str, np.ndarray]:
    """VGG-16 under torchvision's names, every weight 0, with ``co`` channels in every layer."""
    found, ci, place = {}, 3, 0
    for layers, _ in STAGES:
        for _ in range(layers):
            found[f"features.{place}.weight"] = np.zeros((co, ci, 3, 3), np.float32)
            found[f"features.{place}.bias"] = np.zeros(co, np.float32)
            ci, place = co, place + 2  # a ReLU follows
        place += 1  # max pooling
    return found


def test_a_finished_cell_from_pretrained_weights_is_known_to_be_finished(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(data, 2, (64, 64), 0)
    np.savez(tmp_path / "vgg.npz", **vgg16(1))
    options = {"network": "hed", "init": str(tmp_path / "vgg.npz"), "width": 1e-3}
    config = {**options, "data": str(data), "patch": 31, "batch": 2, "steps": 1}
    cell = Cell("HED", tmp_path / "run", data, config)
    assert not cell.is_finished()
    train(TrainConfig.from_dict(config), cell.run)
    (cell.run / "scores-data.json").write_text(json.dumps(score(cell.run, data)))
    assert cell.is_finished()
    with pytest.raises(UserError, match="another loss"):
        dataclasses.replace(cell, config={**config, "loss": "linear"}).is_finished()


def test_joints_are_counted_as_loops_count_them(rng: np.random.Generator) -> None:
    detected, crack, joint = rng.random((3, 13, 17)) < 0.4
    expected = dict.fromkeys(vars(joints.JointAlarms()), 0)
    for at in np.ndindex(13, 17):
        if not crack[at]:
            place = "joint" if joint[at] else "other"
            expected[f"{place}_pixels"] += 1
            expected[f"{place}_alarms"] += bool(detected[at])
    alarms = joints.count(detected, crack, joint)
    assert vars(alarms) == expected
    assert alarms.joint_rate == alarms.joint_alarms / alarms.joint_pixels
    assert vars(alarms + alarms) == {name: 2 * value for name, value in expected.items()}
    nowhere = joints.count(detected, crack, np.zeros_like(crack))
    assert nowhere.joint_rate is None


def test_joints_of_a_dataset(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 2, (64, 64), 0)
    assert sorted(joints.find_joints(tmp_path / "data") or {}) == ["0000", "0001"]
    (tmp_path / "data" / "joints" / "0001.png").unlink()
    with pytest.raises(UserError, match="0001"):
        joints.find_joints(tmp_path / "data")
    (tmp_path / "data" / "joints").rename(tmp_path / "data" / "other")
    assert joints.find_joints(tmp_path / "data") is None


def test_a_table_is_stopped_and_resumed(tmp_path: Path) -> None:
    """The smallest budget, through the command; what was done is not done again."""
    command = [sys.executable, "-m", "bench", "paper", "table3", "--budget", "smoke"]
    command += [
        "--steps",
        "5",
        "--runs",
        str(tmp_path / "runs"),
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "2",
    ]
    runs = tmp_path / "runs" / "synthetic-smoke-5"

    def finished() -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in runs.glob("*/scores-test.json")}

    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not finished():
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("Stopped; go on with: python -m bench paper table3")
    before = finished()
    assert 1 <= len(before) < 3
    assert not (tmp_path / "out").exists()

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert before.items() <= finished().items()
    assert len(finished()) == 3
    assert (tmp_path / "out" / "table3.md").read_text() == done.stdout.removesuffix("\n")
    written = json.loads((tmp_path / "out" / "table3.json").read_text())
    assert [row["paper"]["mAP"] for row in written["rows"]] == [80.91, 79.16, 0.0]
    for row in written["rows"]:
        [run] = row["runs"]
        assert 0 < run["scores"]["average_precision"] <= 1
        assert run["config"]["loss"] == "cross-entropy"
        assert load(runs / run["run"] / "last.safetensors").step == run["steps"] == 5
    assert written["command"] == ("python -m bench paper table3 --budget smoke --steps 5 --seeds 1")
    assert (tmp_path / "out" / "table3.png").exists()
    assert str(tmp_path) not in json.dumps(written)
