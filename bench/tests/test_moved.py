"""F1 of straight lines against themselves, moved: what can be counted by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from bench.__main__ import main
from minispiral.data.photos import write_picture


def write(data: Path, *masks: NDArray[np.bool_]) -> None:
    for k, mask in enumerate(masks):
        for part, pixels in (
            ("images", np.zeros((*mask.shape, 3), np.uint8)),
            ("masks", np.uint8(255) * mask),
        ):
            (data / part).mkdir(parents=True, exist_ok=True)
            write_picture(data / part / f"{k}.png", pixels)


def measured(*data: Path) -> dict[str, dict[str, dict[str, float]]]:
    file = data[0] / "kept.json"
    done = CliRunner().invoke(main, ["moved", *map(str, data), "--json", str(file)])
    assert done.exit_code == 0, done.output
    found: dict[str, dict[str, dict[str, float]]] = json.loads(file.read_text())
    return found


def bar(height: int, width: int) -> NDArray[np.bool_]:
    """A line from the top of the picture to the bottom."""
    mask = np.zeros((height, 41), bool)
    mask[:, 20 : 20 + width] = True
    return mask


def test_a_line_across_the_picture(tmp_path: Path, rng: np.random.Generator) -> None:
    h, w = int(rng.integers(25, 60)), int(rng.choice([3, 4, 5]))
    write(tmp_path / "walls", bar(h, w), np.zeros((9, 9), bool))
    [found] = measured(tmp_path / "walls").values()
    assert found["photos_with_crack"] == 1
    # w - 1 columns are left to the left and right, h - 1 rows up and down, both at a corner.
    sideways, along = (w - 1) / w, 2 * (h - 1) / (2 * h - 1)
    corner = 2 * (w - 1) * (h - 1) / (w * h + w * (h - 1))
    expected = (2 * sideways + 2 * along + 4 * corner) / 8
    assert found["moved"] == pytest.approx({"photos": 1, "f1": expected, "f1_within_2": 1})
    assert found["wider"] == pytest.approx(
        {"photos": 1, "f1": 2 * w / (2 * w + 2), "f1_within_2": 1}
    )
    # Only the sides are narrowed: the label goes on beyond the border.
    assert found["narrower"] == pytest.approx(
        {"photos": 1, "f1": 2 * (w - 2) / (2 * w - 2), "f1_within_2": 1}
    )
    # The ends of the line may be thinned away, as far as the label is wide.
    assert found["line"]["f1"] == pytest.approx(2 / (1 + w), abs=2 * w / h / (1 + w))


def test_a_line_of_one_pixel_is_its_own_line_and_cannot_be_narrower(tmp_path: Path) -> None:
    write(tmp_path / "one", bar(30, 1))
    write(tmp_path / "both", bar(30, 1), bar(30, 3))
    found = measured(tmp_path / "one", tmp_path / "both")
    one, both = (
        next(values for name, values in found.items() if name.endswith(end))
        for end in ("one", "both")
    )
    assert one["line"] == {"photos": 1, "f1": 1, "f1_within_2": 1}
    assert one["narrower"] == {"photos": 0, "f1": None, "f1_within_2": None}
    assert one["moved"]["f1"] == pytest.approx(2 * (58 / 59) / 8)  # along itself alone
    assert both["narrower"] == pytest.approx({"photos": 1, "f1": 0.5, "f1_within_2": 1})


def test_a_pixel_that_is_moved_out_of_the_picture_is_missed(tmp_path: Path) -> None:
    mask = np.zeros((9, 7), bool)
    mask[0, 0] = True
    write(tmp_path, mask)
    [found] = measured(tmp_path).values()
    assert found["moved"] == pytest.approx({"photos": 1, "f1": 0, "f1_within_2": 3 / 8})
