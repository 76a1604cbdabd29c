"""Photographs of known statistics: a drawn line on noise."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from bench.__main__ import main
from bench.pretrained.appearance import appearance, length
from minispiral.data.photos import write_picture
from minispiral.data.transfer import light_of, values_of

SIDE = 300


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["surfaces", *map(str, words)])


def pictured(grey: NDArray[np.float64], tint: tuple[float, ...] = (1, 1, 1)) -> NDArray[np.uint8]:
    """A photograph of values 0 to 1; rounding is spread, so that it makes no steps."""
    return np.rint(255 * grey[..., np.newaxis] * np.array(tint)).clip(0, 255).astype(np.uint8)


def bands(width: int) -> NDArray[np.bool_]:
    """The mask of a horizontal line of an odd width across the whole picture."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[140 - width // 2 : 141 + width // 2] = True
    return mask


def test_a_line_of_known_width_and_depth_on_noise(rng: np.random.Generator) -> None:
    width, depth = int(rng.choice([3, 5, 7])), rng.uniform(0.2, 0.5)
    tone, sigma = rng.uniform(0.4, 0.6), rng.uniform(0.02, 0.04)
    mask = bands(width)
    inside = values_of(np.asarray((1 - depth) * light_of(np.array(tone), "srgb")), "srgb")
    # A label wider or narrower than its crack changes the width of the label alone.
    labelled = width + int(rng.choice([-2, 2]))
    grey = np.where(mask, inside, tone) + rng.normal(0, sigma, mask.shape)
    found = appearance(pictured(grey, (1, 0.9, 0.8)), bands(labelled))
    whole = tone - (tone - inside) * width / SIDE  # mean of the picture, before the tint
    assert found["crack_share"] == pytest.approx(100 * labelled / SIDE)
    # Thinning takes half a width off each end of the line.
    assert found["width"] == pytest.approx(labelled, rel=(labelled + 1) / (SIDE - labelled))
    # The median of 300 pixels has an error of 0.07 sigma: five of it. Light goes with grey^2.2.
    assert found["depth"] == pytest.approx(depth, abs=0.36 * 2.2 * sigma / tone)
    assert found["deviations"] == pytest.approx((tone - inside) / sigma, abs=0.4)
    assert found["grain"] == pytest.approx(sigma / whole, rel=0.02)
    assert found["brightness"] == pytest.approx(0.9 * whole, abs=0.001)
    assert found["saturation"] == pytest.approx(0.2, abs=0.005)


def test_uneven_light_is_no_deviation_of_the_surroundings(rng: np.random.Generator) -> None:
    tone = np.linspace(0.45, 0.65, SIDE)  # 0.06 of deviation over the picture
    mask = bands(3)
    grey = np.where(mask, 0.8, 1) * (tone + rng.normal(0, 0.02, mask.shape))
    found = appearance(pictured(grey), mask)
    assert found["deviations"] == pytest.approx(0.2 * 0.55 / 0.02, abs=0.6)


def test_slope_and_sharpness_of_known_spectra(rng: np.random.Generator) -> None:
    slope = rng.uniform(0.5, 3)
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, np.newaxis], np.fft.rfftfreq(SIDE)).clip(1e-3)
    noise = np.fft.rfft2(rng.normal(0, 1, (SIDE, SIDE)))
    coloured = np.fft.irfft2(noise * frequency ** (-slope / 2), (SIDE, SIDE))
    photo = pictured(0.5 + 0.1 * coloured / coloured.std())
    found = appearance(photo, np.zeros((SIDE, SIDE), bool))
    assert found["slope"] == pytest.approx(slope, abs=0.15)
    assert not {"width", "depth", "deviations"} & found.keys()
    # A blur of 1 2 1 along the rows, and down the columns, leaves cos(pi f)^4 of the power of each.
    white = rng.normal(0, 1, (SIDE, SIDE))
    for axis in (0, 1):
        white = (np.roll(white, 1, axis) + 2 * white + np.roll(white, -1, axis)) / 4
    fy, fx = np.meshgrid(np.fft.fftfreq(400), np.fft.rfftfreq(400), indexing="ij")
    left = (np.cos(np.pi * fy) * np.cos(np.pi * fx)) ** 4
    radius = np.hypot(fy, fx)
    expected = left[(radius >= 0.4) & (radius < 0.5)].mean() / (
        left[(radius >= 0.2) & (radius < 0.28)].mean()
    )
    found = appearance(pictured(0.5 + 0.3 * white), np.zeros((SIDE, SIDE), bool))
    assert found["sharpness"] == pytest.approx(expected, rel=0.1)


def test_length_counts_diagonal_steps_as_the_square_root_of_two(rng: np.random.Generator) -> None:
    n = int(rng.integers(20, 60))
    line = np.eye(n, dtype=bool)
    assert length(line) == pytest.approx((n - 1) * 2**0.5)
    assert length(line[::-1]) == pytest.approx((n - 1) * 2**0.5)
    stairs = line | np.eye(n, k=1, dtype=bool)  # every step along an axis
    assert length(stairs) == pytest.approx(2 * (n - 1))


def test_a_label_that_fills_its_surroundings_has_a_width_alone() -> None:
    found = appearance(np.full((SIDE, SIDE, 3), 128, np.uint8), bands(61))
    assert found["width"] == pytest.approx(61, rel=0.3)  # its line ends before the border
    assert not {"depth", "deviations"} & found.keys()
    assert found["grain"] == pytest.approx(0, abs=1e-6)


def test_one_row_for_each_dataset_and_the_quantiles_over_its_photographs(tmp_path: Path) -> None:
    tones = [50, 60, 80, 90, 100]
    for k, tone in enumerate(tones):
        for part, pixels in (("images", np.full((80, 90, 3), tone, np.uint8)), ("masks", None)):
            place = tmp_path / "bridge/train" / part
            place.mkdir(parents=True, exist_ok=True)
            crack = np.zeros((80, 90), np.uint8)
            crack[40, : 90 if k else 0] = 255
            write_picture(place / f"{k}.png", crack if pixels is None else pixels)
    file = tmp_path / "kept.json"
    file.write_text('{"other": {"photos": 1}}')
    done = run(tmp_path / "bridge/train", "--json", file)
    assert done.exit_code == 0, done.output
    assert "bridge/train" in done.output
    found = json.loads(file.read_text())
    assert found.keys() == {"other", "bridge/train"}
    one = found["bridge/train"]
    assert (one["photos"], one["photos_with_crack"]) == (5, 4)
    brightness = [value * 255 for value in one["statistics"]["brightness"].values()]
    assert brightness == pytest.approx([54, 80, 96])
    assert one["statistics"]["crack_share"]["median"] == pytest.approx(100 / 80)


def test_what_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "a/wall/test", tmp_path / "b/wall/test")
    assert done.exit_code == 1
    assert "both be called wall/test" in done.output
    for part, shape in (("images", (40, 90, 3)), ("masks", (40, 90))):
        (tmp_path / part).mkdir()
        write_picture(tmp_path / part / "tiny.png", np.zeros(shape, np.uint8))
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "90 x 40" in done.output
