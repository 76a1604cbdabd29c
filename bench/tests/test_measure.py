"""``python -m bench measure`` draws cracks whose truth is known, and counts what misses it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.measure import command as measure
from bench.measure.render import coverage, straight
from bench.measure.rows import ROWS, Row, single
from bench.measure.score import Scores, Truth, errors


def test_a_rendered_crack_covers_its_area(rng: np.random.Generator) -> None:
    width = rng.uniform(0.5, 5)
    crack = straight(width, rng.uniform(0, 180), side=128)
    area = float(coverage([crack], 128, rng.uniform(0.4, 1.2)).sum())
    ends = np.pi * width**2 / 4  # they are round
    length = float(np.hypot(*(crack.points[-1] - crack.points[0])))
    assert area == pytest.approx(width * length + ends, rel=0.03)
    truth = Truth.of([crack])
    assert truth.widths == pytest.approx(width)


def test_errors_are_of_the_places_that_count_beside_a_crack(rng: np.random.Generator) -> None:
    true = np.array([1.0, 1.0, 2.0, 1.0])
    value = true + np.array([0.3, -0.1, 5.0, 5.0])
    far, counted = np.array([0.0, 1.0, 0.0, 9.0]), np.array([True, True, False, True])
    of = Scores(
        true, far, value, value - 0.2, value + 0.2, counted, true + 2, true - 1,
        np.zeros((0, 3, 4)), np.zeros((1, 3)),
    )  # fmt: skip
    found = errors(of)
    assert found["places"] == 2
    assert found["counted"] == pytest.approx(2 / 3)
    assert found["bias"] == pytest.approx(0.1)
    assert found["rmse"] == pytest.approx(np.sqrt(0.05))
    assert found["inside"] == 0.5
    assert (found["distance_transform_rmse"], found["half_depth_rmse"]) == (2, 1)
    assert errors(of, 1.5, 3) == {"places": 0, "counted": 0.0}


def test_the_command_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(measure, "ROWS", {"alone": Row(single, bins=((2.0, 3.0),), card=True)})
    seed = str(rng.integers(1 << 30))
    arguments = ["rows", "--photos", "1", "--seed", seed, "--out", str(tmp_path)]
    done = CliRunner().invoke(measure.command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    found = json.loads((tmp_path / measure.FILE).read_text())["rows"]
    assert found["seed"] == int(seed)
    assert found["rows"]["alone"]["2-3"]["rmse"] < 1
    assert "alone" in done.output
    assert set(ROWS) >= {"alone", "JPEG 75", "one reading", "beside 4 px"}
