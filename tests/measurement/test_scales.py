"""Millimetres per pixel from what a person and a camera know; tables that a person wrote."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from minispiral.data.georeference import Georeference
from minispiral.errors import UserError
from minispiral.measurement.contrast import Reading
from minispiral.measurement.readings import readings_of
from minispiral.measurement.scale import Scale
from minispiral.measurement.scales import Known, against_places, scales_of


def photograph(path: Path, size=(60, 40), **tags: object) -> Path:
    """A picture whose EXIF has ``tags``, by their names."""
    numbers = {
        "focal": 0x920A,
        "focal_35mm": 0xA405,
        "resolution": 0xA20E,
        "unit": 0xA210,
        "taken_x": 0xA002,
        "taken_y": 0xA003,
    }
    exif = Image.Exif()
    ifd = exif.get_ifd(0x8769)
    for name, value in tags.items():
        ifd[numbers[name]] = TiffImagePlugin.IFDRational(value) if "o" in name[:2] else value
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size).save(path, exif=exif)
    return path


def seen(distance_mm, focal_mm, pitch_mm):
    """mm per pixel by similar triangles: the thin lens stands f d / (d - f) before the sensor."""
    image = 1 / (1 / focal_mm - 1 / distance_mm)
    return pitch_mm * distance_mm / image


def test_camera_by_exif_and_by_options(rng, tmp_path):
    focal, distance, pitch = rng.uniform(20, 90), rng.uniform(0.5, 9), rng.uniform(1, 8)
    tags = {"focal": focal, "resolution": 10_000 / pitch, "unit": 3, "taken_x": 60, "taken_y": 40}
    photo = photograph(tmp_path / "a.jpg", **tags)
    [scale], doubts = scales_of([photo], Known(distance=(distance, 0.05)))
    expected = seen(1000 * distance, focal, pitch / 1000)
    assert scale.mm_per_pixel == pytest.approx(expected, rel=1e-4)
    assert scale.relative_sd == pytest.approx(0.05 / distance, rel=0.3)
    assert "EXIF" in scale.source
    assert scale.source in doubts[0]
    plain = photograph(tmp_path / "b.jpg")
    known = Known(distance=(distance, 0.0), focal_mm=focal, pitch_um=pitch)
    [scale], _ = scales_of([plain], known)
    assert scale.mm_per_pixel == pytest.approx(expected, rel=1e-6)
    with pytest.raises(UserError, match="focal length"):
        scales_of([plain], Known(distance=(distance, 0.0)))
    small = photograph(tmp_path / "c.jpg", (30, 20), **tags)
    with pytest.raises(UserError, match="60 x 40: it was cropped or made smaller"):
        scales_of([small], Known(distance=(distance, 0.0)))


@pytest.mark.parametrize("size", [(60, 40), (40, 60), (56, 42)])
def test_full_frame_equivalent_has_the_same_diagonal(size, rng, tmp_path):
    focal, distance = rng.integers(20, 90), rng.uniform(0.3, 1)
    photo = photograph(tmp_path / "a.jpg", size, focal_35mm=int(focal))
    [scale], _ = scales_of([photo], Known(distance=(distance, 0.0)))
    pitch = np.hypot(36, 24) / np.hypot(*size)
    assert scale.mm_per_pixel == pytest.approx(seen(1000 * distance, focal, pitch), rel=0.02)


@pytest.mark.parametrize("semicolons", [False, True])
def test_table_of_scales(semicolons, rng, tmp_path):
    photos = [photograph(tmp_path / name) for name in ("n/a.jpg", "s/a.jpg", "b.jpg", "c.jpg")]
    values = rng.uniform(0.05, 0.4, 3).round(4)
    text = (
        f"photo,mm_per_pixel,relative_sd\nn/a.jpg,{values[0]},0.02\n\ns/a.jpg,{values[1]},\n"
        f"b.jpg,{values[2]}\nelse.jpg,1\n"
    )
    if semicolons:
        text = "\ufeff" + text.replace(",", ";").replace(".", ",").replace(",jpg", ".jpg")
    table = tmp_path / "scales.csv"
    table.write_text(text, encoding="utf-8")
    scales, doubts = scales_of(photos, Known(table=table))
    assert [None if s is None else s.mm_per_pixel for s in scales] == [*values, None]
    assert scales[0].relative_sd == 0.02
    assert "line 6: else.jpg" in doubts[0]
    assert "c.jpg" in doubts[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("photo,mm\na.jpg,1", "no column mm_per_pixel"),
        ("photo,mm_per_pixel\na.jpg,wide", "'wide' as mm_per_pixel in line 2"),
        ("photo,mm_per_pixel\na.jpg,-1", "line 2: A scale of -1"),
        ("photo,mm_per_pixel\na.jpg,1\na.jpg,2", "lines 2 and 3"),
        ("photo,mm_per_pixel\na.jpg,5000", "5000 mm per pixel"),
        ("", "no column"),
    ],
)
def test_wrong_tables_are_refused(text, reason, tmp_path):
    photo = photograph(tmp_path / "a.jpg")
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=reason) as refused:
        scales_of([photo], Known(table=tmp_path / "t.csv"))
    assert refused.value.parameter == "scales"


def test_name_of_two_photographs_is_refused(tmp_path):
    photos = [photograph(tmp_path / name) for name in ("n/a.jpg", "s/a.jpg")]
    (tmp_path / "t.csv").write_text("photo,mm_per_pixel\na.jpg,1")
    with pytest.raises(UserError, match=r"a\.jpg in line 2, of which there are 2"):
        scales_of(photos, Known(table=tmp_path / "t.csv"))


def test_points_lie_in_the_shown_photograph(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "a.tif"):
        photo = tmp_path / name
        Image.new("RGB", (60, 40)).save(photo, exif=exif)
        [scale], _ = scales_of([photo], Known(points=(5, 5, 5, 55, 10)))
        assert scale.mm_per_pixel == pytest.approx(0.2)
        with pytest.raises(UserError, match="40 x 60"):
            scales_of([photo], Known(points=(5, 5, 55, 5, 10)))
        scales_of([photo], Known(points=(5, 5, 55, 5, 10)), as_stored=True)


def test_readings_by_table(rng, tmp_path):
    photos = [photograph(tmp_path / name) for name in ("a.jpg", "b.jpg")]
    table = tmp_path / "cards.csv"
    table.write_text("photo,x,y,mm,sd_mm\nb.jpg,5,6,0.2,\nb.jpg,7,8,0.3,0.05\n")
    scale = Scale(0.1)
    readings, _ = readings_of(photos, [scale, scale], table=table)
    assert [len(each) for each in readings] == [0, 2]
    assert readings[1] == (Reading(5, 6, 0.2, 0.02), Reading(7, 8, 0.3, 0.05))
    with pytest.raises(UserError, match=r"b\.jpg without its scale"):
        readings_of(photos, [scale, None], table=table)
    table.write_text("photo,x,y,mm\nb.jpg,61,6,0.2\n")
    with pytest.raises(UserError, match="60 x 40"):
        readings_of(photos, [scale, scale], table=table)


def test_scale_is_held_against_a_georeference_in_metres():
    place = Georeference((0, 0.003, 5e5, 0.003, 0, 4e6), 25832, metres=True)
    degrees = Georeference((0.003, 0, 9, 0, -0.003, 50), 4326)
    scales = [Scale(3.1), Scale(0.3), None, Scale(0.3), Scale(0.3)]
    given, missing = against_places(scales, [place, place, place, degrees, None])
    assert "0.3 mm per pixel" in given
    assert "at 3 mm per pixel" in missing
