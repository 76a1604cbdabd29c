"""The tables, the GeoJSON and the drawing against the measurements they were written from."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.data.georeference import Georeference
from minispiral.measurement import results, tables
from minispiral.measurement.columns import CRACK_COLUMNS, TOTAL_COLUMNS
from minispiral.measurement.dxf import write_dxf
from minispiral.measurement.scale import Scale
from tests.report.measured import CARD, random_measurement
from tests.small import ROOT

NAMES = ("=wall.jpg", "brücke, 桥.jpg")


def written(rng, folder, scales, places=(), names=NAMES):
    """The tables of photographs in ``folder`` itself, the last one unread; what was measured."""
    measured = [random_measurement(rng, scale) for scale in scales]
    with results.writing(folder, CARD) as add:
        for name, each in zip(names, measured, strict=True):
            Image.new("RGB", (each.width, each.height)).save(folder / name)
            add(results.PhotoResult(folder / name, {}, each))
        add(results.PhotoResult(folder / "gone.jpg", error="gone.jpg is truncated, alas"))
    tables.write_tables(folder, results.read(folder), places)
    return measured


def rows(path: Path) -> list[dict[str, str]]:
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_crack_in_its_unit(rng, tmp_path):
    mm = rng.uniform(0.05, 0.3)
    measured = written(rng, tmp_path, [Scale(mm, 0.03), None])
    found = rows(tmp_path / "cracks.csv")
    assert list(found[0]) == [column.name for column in CRACK_COLUMNS]
    cracks = [(each, crack) for each in measured for crack in each.cracks]
    assert [row["photo"] for row in found] == ["./=wall.jpg"] * 4 + [NAMES[1]] * 4
    for row, (each, crack) in zip(found, cracks, strict=True):
        factor, unit = (mm, "mm") if each is measured[0] else (1, "px")
        assert (row["unit"], int(row["crack"])) == (unit, crack.crack)
        assert float(row["length"]) == pytest.approx(crack.length * factor, abs=0.01)
        assert float(row["bridged"]) == pytest.approx(crack.bridged * factor, abs=0.01)
        if not np.isfinite(crack.p95.value):
            assert {row[name] for name in ("width_mean", "width_p95_low", "class")} == {""}
            continue
        doubt = 1.96 * 0.03 * crack.p95.value * (unit == "mm")
        high = crack.p95.value + np.hypot(crack.p95.high - crack.p95.value, doubt)
        assert float(row["width_p95"]) == pytest.approx(factor * crack.p95.value, abs=1e-3)
        assert float(row["width_p95_high"]) == pytest.approx(factor * high, abs=1e-3)
        assert float(row["width_mean_low"]) <= float(row["width_mean"])
        bounds = [0, 0.05, 0.1, 0.2, 0.3] if unit == "mm" else [0, 0.5, 1, 2, 3]
        low = max(bound for bound in bounds if bound <= factor * crack.p95.value)
        words = f"{low:g} " if low else "below"
        assert row["class"].startswith(words)
        assert float(row["x_widest"]) == pytest.approx(crack.maximum_at[0], abs=0.06)


def test_totals_are_the_sums_of_the_rows(rng, tmp_path):
    mm = rng.uniform(0.05, 0.3)
    measured = written(rng, tmp_path, [Scale(mm, 0.03), None])
    found = rows(tmp_path / "totals.csv")
    assert list(found[0]) == [column.name for column in TOTAL_COLUMNS]
    cracks = rows(tmp_path / "cracks.csv")
    for row, each in zip(found[:2], measured, strict=True):
        own = [crack for crack in cracks if crack["photo"] == row["photo"]]
        length = sum(float(crack["length"]) for crack in own)
        assert float(row["length"]) == pytest.approx(length, abs=0.05)
        parts = [float(row[name]) for name in row if name.startswith("length_")]
        assert sum(parts) == pytest.approx(length, abs=0.05)
        unknown = sum(float(crack["length"]) for crack in own if not crack["class"])
        assert float(row["length_unknown"]) == pytest.approx(unknown, abs=0.02) != 0
        assert int(row["width"]) == each.width
    wall = measured[0].width * mm / 1000 * measured[0].height * mm / 1000
    length = float(found[0]["length"]) / 1000
    assert float(found[0]["density"]) == pytest.approx(length / wall, rel=1e-3)
    assert found[1]["density"] == found[1]["area"] == ""
    assert found[2]["error"] == "gone.jpg is truncated, alas"


def apart(points, line):
    """The greatest distance from points to a polyline."""
    a, b = line[:-1], line[1:]
    steps = b - a
    share = ((points[:, None] - a) * steps).sum(axis=2) / (steps**2).sum(axis=1)
    nearest = a + share.clip(0, 1)[..., None] * steps
    return np.hypot(*(points[:, None] - nearest).transpose(2, 0, 1)).min(axis=1).max()


def test_geojson_in_pixels_or_in_the_world(rng, tmp_path):
    side = rng.uniform(1e-3, 1e-2)
    place = Georeference((0, side, 5e5, side, 0, 4e6), 25832)  # mirrored along the diagonal
    measured = written(rng, tmp_path, [Scale(1000 * side), None], [place, None, None])
    found = json.loads((tmp_path / "cracks.geojson").read_text())
    assert "crs" not in found  # one photograph is not georeferenced
    cracks = [crack for each in measured for crack in each.cracks]
    table = rows(tmp_path / "cracks.csv")
    for k, (feature, crack, row) in enumerate(zip(found["features"], cracks, table, strict=True)):
        line = np.array(feature["geometry"]["coordinates"])
        if k < 4:
            line = (line[:, ::-1] - (4e6, 5e5)) / side
            assert float(row["world_x"]) == pytest.approx(5e5 + side * float(row["y"]), abs=side)
        else:
            assert row["world_x"] == row["world_y"] == ""
        assert apart(crack.points, line) < 0.15
        own = feature["properties"]
        assert own["coordinates"] == ("world" if k < 4 else "pixel")
        assert own["number"] == crack.number
        assert str(own["width_p95"] or "") == row["width_p95"]
    tables.write_tables(tmp_path, results.read(tmp_path), [place] * 3)
    crs = json.loads((tmp_path / "cracks.geojson").read_text())["crs"]
    assert crs["properties"]["name"] == "urn:ogc:def:crs:EPSG::25832"


@pytest.mark.parametrize("way", ["mm", "px", "world"])
def test_drawing(way, rng, tmp_path):
    ezdxf = pytest.importorskip("ezdxf")
    mm = 0.2 if way == "mm" else 1.0
    places = [Georeference((0.01, 0, 7, 0, -0.01, 9), 25832, True)] * 3 if way == "world" else []
    measured = written(rng, tmp_path, [Scale(0.2) if way == "mm" else None] * 2, places)
    found = results.read(tmp_path)
    path = write_dxf(tmp_path, tables.crack_rows(tmp_path, found, places), way == "mm", places)
    drawing = ezdxf.readfile(path)
    assert not drawing.audit().errors
    assert drawing.units == {"mm": 4, "px": 0, "world": 6}[way]
    space = drawing.modelspace()
    frames = [
        np.array(line.get_points("xy"))
        for line in space.query('*[layer=="PHOTOGRAPHS"]')
        if line.dxftype() == "LWPOLYLINE"
    ]
    assert len(frames) == 2
    if way != "world":
        assert frames[0][:, 0].max() < frames[1][:, 0].min()
        assert np.ptp(frames[0][:, 0]) == pytest.approx(measured[0].width * mm)
    lines = [line for line in space.query("LWPOLYLINE") if line.dxf.layer != "PHOTOGRAPHS"]
    cracks = [crack for each in measured for crack in each.cracks]
    for k, (line, crack) in enumerate(zip(lines, cracks, strict=True)):
        size = 0.01 if way == "world" else mm
        assert line.dxf.layer.startswith("CRACKS ")
        points = np.array(line.get_points("xy"))
        assert np.ptp(points[:, 0]) == pytest.approx(size * np.ptp(crack.points[:, 0]), abs=size)
        above = points[0, 1] - frames[k // 4][:, 1].min()
        height = measured[0].height - crack.points[0, 1]
        assert above == pytest.approx(size * height, abs=size / 10)
    texts = {text.dxf.text for text in space.query("TEXT")}
    assert {"./=wall.jpg", NAMES[1]} < texts


def test_the_how_to_page_lists_every_column():
    page = (ROOT / "docs" / "how-to" / "measure-cracks.md").read_text(encoding="utf-8")
    for heading, columns in (("## cracks.csv", CRACK_COLUMNS), ("## totals.csv", TOTAL_COLUMNS)):
        section = page.partition(heading)[2].partition("\n## ")[0]
        lines = [line for line in section.splitlines() if line.startswith("| `")]
        assert lines == [f"| `{each.name}` | {each.unit} | {each.meaning} |" for each in columns]
