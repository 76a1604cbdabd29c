"""``python -m bench measure`` draws cracks whose truth is known, and counts what misses it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.measure import command as measure
from bench.measure import synthetic
from bench.measure.render import coverage, straight
from bench.measure.rows import ROWS, Row, single
from bench.measure.score import Scores, Truth, errors
from minispiral.data.crack import Crack
from minispiral.data.synth import Sample


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


def test_lines_that_are_found_missed_and_invented_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """The map holds one of two true cracks, and a line where there is none."""
    length = float(rng.uniform(100, 150))

    def crack(y: float) -> Crack:
        return Crack(np.array([[20.0, y], [20 + length, y]]), np.array([2.0, 2.0]))

    cracks = [crack(30.5), crack(90.5)]
    photo = np.full((180, 200, 3), 160, np.uint8)
    probability = np.zeros((180, 200), np.bool_)
    columns = slice(20, 20 + round(length))
    photo[90:92, columns] = photo[30:32, columns] = photo[150:152, columns] = 60
    probability[90:92, columns] = probability[150:152, columns] = True
    photo += rng.integers(0, 5, photo.shape, np.uint8)
    sample = Sample(photo, probability, probability, cracks)
    monkeypatch.setattr(synthetic, "make_sample", lambda rng, height, width: sample)
    found = synthetic.synthetic(1, (200, 180), rng)
    assert found["length_found"] == pytest.approx(0.5)
    assert found["false_length"] == pytest.approx(0.5, abs=0.02)
    assert found["false_cracks_per_megapixel"] == pytest.approx(1e6 / (200 * 180))
    assert found["length_of_true"] == pytest.approx(0, abs=0.05)


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
