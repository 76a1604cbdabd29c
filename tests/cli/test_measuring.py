"""``detect`` measures: a stub instead of the network marks a crack that is really there."""

import csv
import json
import sys

import numpy as np
import pytest
from PIL import Image

from minispiral.detection.find import Finding
from minispiral.measurement import pipeline
from tests.measurement.photograph import photograph, straight, trace
from tests.small import TABLES, command, refusal


@pytest.fixture
def wall(rng, tmp_path, monkeypatch):
    """Photographs a and b with a crack each, the same, and a stub that finds it."""
    line = straight(2.0, float(rng.uniform(0, 180)))
    chances = np.float32(0.9) * trace([line])

    class Network:
        def parameters(self):
            return []

    def found(network, pixels, threshold, progress, predict):
        return Finding(chances, chances >= threshold)

    monkeypatch.setattr("minispiral.detection.detect.load_network", lambda *_, **__: Network())
    monkeypatch.setattr("minispiral.detection.search.find_cracks", found)
    (tmp_path / "photos").mkdir()
    for name in "ab":
        picture = photograph(rng, [line], contrast=0.68)
        Image.fromarray(picture).save(tmp_path / "photos" / f"{name}.png")
    return line


def detect(tmp_path, *words, photos="photos"):
    return command("detect", "run", tmp_path / photos, "--out", tmp_path / "out", *words)


def rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_cracks_in_millimetres(wall, tmp_path):
    done = detect(tmp_path, "--scale", "0.1+-0.002", "--json")
    assert done.exit_code == 0, done.stderr
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} > TABLES
    photos = json.loads(done.stdout)["photos"]
    assert [photo["unmeasured"] for photo in photos] == [None, None]
    table = rows(out / "cracks.csv")
    assert [row["photo"] for row in table] == ["../photos/a.png", "../photos/b.png"]
    for photo, row in zip(photos, table, strict=True):
        [crack] = photo["cracks"]
        assert crack["unit"] == "mm"
        assert crack["length"] == pytest.approx(0.1 * wall.length, rel=0.03)
        assert crack["width_mean"] == pytest.approx(0.2, abs=0.06)
        assert crack["width_mean_interval"][0] < crack["width_mean"]
        assert float(row["length"]) == pytest.approx(crack["length"], abs=0.011)
        for name in ("width_mean", "width_p95", "width_max"):
            assert float(row[name]) == pytest.approx(crack[name], abs=1e-3)
    [scale] = {row["scale_relative_sd"] for row in rows(out / "totals.csv")}
    assert float(scale) == pytest.approx(0.02)
    assert "No scale was given" not in (out / "report.html").read_text()
    assert command("report", out, "--scale", 0.2).exit_code == 0


def test_without_a_scale_everything_is_in_pixels(wall, tmp_path):
    done = detect(tmp_path, "--dxf")
    assert "lengths and widths are in pixels" in done.stderr
    assert {row["unit"] for row in rows(tmp_path / "out" / "cracks.csv")} == {"px"}
    assert (tmp_path / "out" / "cracks.dxf").exists()
    assert "earlier" not in done.stderr
    done = detect(tmp_path)
    assert "cracks.dxf is that of an earlier detection" in done.stderr
    assert "report.html is that" not in done.stderr
    (tmp_path / "out" / "cracks.csv").unlink()
    done = detect(tmp_path, "--no-measure")
    assert done.exit_code == 0
    assert "those of an earlier detection" in done.stderr
    assert not (tmp_path / "out" / "cracks.csv").exists()


def test_a_card_tells_the_contrast(wall, tmp_path):
    x, y = wall.points.mean(axis=0)
    words = ["--scale", 0.1, "--reading", f"{x},{y},0.2"]
    assert detect(tmp_path, *words, photos="photos/a.png").exit_code == 0
    [row] = rows(tmp_path / "out" / "totals.csv")
    assert row["contrast_from"] == "card"
    done = detect(tmp_path, "--scale", 0.1, "--reading", "1,1,0.2", photos="photos/a.png")
    assert done.exit_code == 1
    assert "expected a crack within 15 pixels" in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--scale", -1], "change --scale"),
        (["--scale", 5000], "change --scale"),
        (["--scale", 1, "--distance", 2], "2 ways"),
        (["--focal-length", 50], "change --distance"),
        (["--from-points", "1,1,1,900,5"], "170 x 150 pixels; change --from-points"),
        (["--from-points", "1,1,1,90,-5"], "change --from-points"),
        (["--distance", 2500], "up to 1000; change --distance"),
        (["--distance", 2], "focal length"),
        (["--reading", "1,2,0.3", "--scale", 1], "change --reading"),
        (["--readings", "none.csv"], "change --readings"),
        (["--scales", "none.csv"], "change --scales"),
        (["--no-measure", "--scale", 1], "left out; add --measure"),
    ],
)
def test_what_is_certainly_wrong_is_refused_before_work_starts(words, reason, wall, tmp_path):
    assert reason in refusal(detect(tmp_path, "--device", "cpu", *words))
    assert not (tmp_path / "out").exists()


def test_a_photograph_whose_measurement_fails_costs_no_other(wall, tmp_path, monkeypatch):
    true, calls = pipeline.measure, iter(range(9))

    def fails_once(*arguments):
        if next(calls) == 0:
            raise ValueError("a bug")
        return true(*arguments)

    monkeypatch.setattr("minispiral.measurement.measure", fails_once)
    done = detect(tmp_path, "--json")
    assert done.exit_code == 1
    assert "1 of 2 photographs were not measured" in done.stderr
    a, b = json.loads(done.stdout)["photos"]
    assert (a["cracks"], len(b["cracks"])) == (None, 1)
    assert "a bug" in a["unmeasured"]
    assert (tmp_path / "out" / "a.mask.png").exists()
    assert [row["error"] for row in rows(tmp_path / "out" / "totals.csv")] == [
        "ValueError: a bug",
        "",
    ]
    assert "ValueError: a bug" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("missing", ["scipy", "jinja2", "ezdxf"])
def test_a_missing_extra_costs_only_its_files(missing, wall, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    done = detect(tmp_path, "--dxf")
    assert done.exit_code == 0
    extra = "dxf" if missing == "ezdxf" else "measure"
    [line] = [line for line in done.stderr.splitlines() if "pip install" in line]
    assert f"'minispiral[{extra}]'" in line
    lost = {"scipy": {*TABLES, "cracks.dxf"}, "jinja2": {"report.html"}, "ezdxf": {"cracks.dxf"}}
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {*TABLES, "cracks.dxf"} - names == lost[missing]
    assert {f"a.{kind}" for kind in ("mask.png", "probability.png", "overlay.jpg")} < names


def test_interrupted_leaves_no_half_table(wall, tmp_path, monkeypatch):
    def stopped(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("minispiral.measurement.columns.class_label", stopped)
    monkeypatch.setattr("minispiral.cli.measuring.summary", lambda *_: {"length": 1, "unit": "px"})
    assert detect(tmp_path).exit_code == 130
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names & {*TABLES, "cracks.dxf"} == {"cracks.json"}
    assert not any(name.endswith(".part") for name in names)
