"""The page of a folder, made from what was written into it."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from minispiral.measurement import results
from minispiral.measurement.scale import Scale
from tests.report.measured import CARD, random_measurement
from tests.small import command, refusal


def write_folder(rng, tmp_path, names=("wall", "b & <i>"), scale=None):
    """A folder as detect leaves it, its photographs beside it; and the measurements."""
    photos, out = tmp_path / "photos", tmp_path / "found"
    for folder in (photos, out):
        folder.mkdir()
    measured = [random_measurement(rng, scale) for _ in names]
    with results.writing(out, CARD) as add:
        for name, each in zip(names, measured, strict=True):
            size = each.height, each.width
            files = {
                "probability": out / f"{name}.probability.png",
                "overlay": out / f"{name}.overlay.jpg",
            }
            for path in (photos / f"{name}.png", files["overlay"]):
                Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
            grey = rng.integers(0, 255, size, dtype=np.uint8)
            Image.fromarray(grey).save(files["probability"])
            add(results.PhotoResult(photos / f"{name}.png", files, each))
        add(results.PhotoResult(photos / "gone.jpg", error="photos/gone.jpg is truncated"))
    return out, measured


def test_results_come_back_as_they_were_written(rng, tmp_path):
    scale = Scale(0.13, 0.02, "card")
    out, measured = write_folder(rng, tmp_path, scale=scale)
    text = (out / "cracks.json").read_text()
    assert json.loads(text)["photos"][0]["photo"] == "../photos/wall.png"
    assert len(text.splitlines()) == 1 + 3 + 1
    found = results.read(out)
    assert found.card == CARD
    assert [photo.error is None for photo in found.photos] == [True, True, False]
    for photo, true in zip(found.photos, measured, strict=False):
        assert photo.photo.samefile(tmp_path / "photos" / photo.photo.name)
        assert photo.measurement.to_json() == true.to_json()
        assert photo.measurement.scale == scale


def test_report_is_made_anew_with_another_scale_and_threshold(rng, tmp_path):
    out, measured = write_folder(rng, tmp_path)
    done = command("report", out, "--scale", "0.25", "--threshold", "0.6")
    assert done.exit_code == 1
    assert "gone.jpg: photos/gone.jpg is truncated" in done.stderr
    page = (out / "report.html").read_text()
    assert "b &amp; &lt;i&gt;" in page
    assert "photos/gone.jpg is truncated" in page
    assert re.search(r'"levels": \[.*0\.6[,\]]', page)
    longest = max(crack.length for crack in measured[0].cracks) * 0.25
    values = [float(value) for value in re.findall(r'<td data-value="([0-9.]+)">', page)]
    assert any(value == pytest.approx(longest, abs=0.01) for value in values)
    assert "No scale was given" not in page


def test_photograph_that_moved_is_shown_by_its_overlay(rng, tmp_path):
    out, _ = write_folder(rng, tmp_path, names=("wall",))
    (tmp_path / "photos" / "wall.png").unlink()
    done = command("report", out)
    assert "is no longer there: the picture is wall.overlay.jpg" in done.stderr
    assert (out / "report.html").read_text().count('class="base"') == 1
    (out / "wall.overlay.jpg").unlink()
    command("report", out)
    page = (out / "report.html").read_text()
    assert 'class="base"' not in page
    assert "The photograph is not shown" in page


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "has no cracks.json"),
        ("{", "is no JSON"),
        ("[]", "is of version None, expected 1"),
        ('{"version": 2}', "is of version 2, expected 1"),
        ('{"version": 1, "photos": []}', "is not as detect wrote it"),
    ],
)
def test_folder_without_results_is_refused(tmp_path, text, said):
    if text is not None:
        (tmp_path / "cracks.json").write_text(text)
    assert said in refusal(command("report", tmp_path))
    assert not (tmp_path / "report.html").exists()
