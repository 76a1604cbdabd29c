"""Light between pixels, and the darkest path."""

import itertools

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from minispiral.errors import UserError
from minispiral.measurement.centre import darkest_path
from minispiral.measurement.light import Light


def test_between_pixels_it_is_the_spline_through_them(rng):
    grey = rng.uniform(0.1, 0.9, (13, 17)).astype(np.float32)
    photo = np.rint(255 * grey).astype(np.uint8)
    light = Light(photo, "linear")
    rows, cols = np.indices(photo.shape) + 0.5
    assert light.at(cols, rows) == pytest.approx(photo / 255, abs=1e-6)
    x, y = rng.uniform(0.5, 16.5, 50), rng.uniform(0.5, 12.5, 50)
    wanted = map_coordinates(photo / 255, [y - 0.5, x - 0.5], order=3, mode="mirror")
    assert light.at(x, y) == pytest.approx(wanted, abs=1e-5)
    beyond = light.at(np.array([-3.0, 30, x[0]]), np.array([y[0], -1, 20]))
    border = light.at(np.array([0.5, 16.5, x[0]]), np.array([y[0], 0.5, 12.5]))
    assert beyond == pytest.approx(border)


def test_it_hardly_blurs_what_it_samples(rng):
    """A wave of four pixels: cubic convolution damps it to 0.92."""
    phase = rng.uniform(0, 2 * np.pi)
    wave = 0.5 + 0.45 * np.cos(np.pi / 2 * (np.arange(400) + 0.5) + phase)
    light = Light(np.tile(np.rint(255 * wave).astype(np.uint8), (9, 1)), "linear")
    x = rng.uniform(20, 380, 4000)
    seen = light.at(x, np.full(4000, 4.5)) - 0.5
    assert 2 * (seen * np.cos(np.pi / 2 * x + phase)).mean() / 0.45 == pytest.approx(1, abs=0.04)


def test_grey_is_the_luminance_of_srgb(rng):
    photo = rng.integers(0, 256, (300, 7, 3), dtype=np.uint8)
    rows, cols = np.indices(photo.shape[:2]) + 0.5
    v = photo / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    weights = [0.2126, 0.7152, 0.0722]
    assert Light(photo).at(cols, rows) == pytest.approx(linear @ weights, abs=1e-5)
    assert Light(photo, "linear").at(cols, rows) == pytest.approx(v @ weights, abs=1e-5)
    one = photo[..., 0]
    assert Light(one).at(cols, rows) == pytest.approx(linear[..., 0], abs=1e-5)


@pytest.mark.parametrize(
    ("photo", "transfer"),
    [
        (np.zeros((5, 6), np.float32), "srgb"),
        (np.zeros((5, 6, 4), np.uint8), "srgb"),
        (np.zeros((5, 6, 3), np.uint8), "gamma"),
    ],
)
def test_what_is_no_photograph_is_refused(photo, transfer):
    with pytest.raises(UserError, match="expected"):
        Light(photo, transfer)


def test_the_darkest_path_costs_least_of_all(rng):
    cost, stiffness = rng.uniform(0, 1, (6, 4)), rng.uniform(0, 0.5)

    def whole(path):
        steps = np.abs(np.diff(path))
        return (
            np.inf if steps.max() > 1 else cost[np.arange(6), path].sum() + stiffness * steps.sum()
        )

    best = min(map(whole, map(np.array, itertools.product(range(4), repeat=6))))
    assert whole(darkest_path(cost, stiffness)) == pytest.approx(best)
