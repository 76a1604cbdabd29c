"""Light between pixels, and the darkest path."""

import itertools

import numpy as np
import pytest

from minispiral.errors import UserError
from minispiral.measurement.centre import darkest_path
from minispiral.measurement.light import Light


def test_between_pixels_a_parabola_is_exact(rng):
    light = Light(np.zeros((13, 17), np.uint8), "linear")
    a, b, c, d = rng.uniform(-1, 1, 4)
    rows, cols = np.indices((13, 17)) + 0.5
    light.grey = (a * cols**2 + b * rows**2 + c * cols * rows + d).astype(np.float32)
    x, y = rng.uniform(2, 15, 50), rng.uniform(2, 11, 50)
    assert light.at(x, y) == pytest.approx(a * x**2 + b * y**2 + c * x * y + d, abs=2e-4)


def test_grey_is_the_luminance_of_srgb(rng):
    photo = rng.integers(0, 256, (300, 7, 3), dtype=np.uint8)
    v = photo / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    assert Light(photo).grey == pytest.approx(linear @ [0.2126, 0.7152, 0.0722], abs=1e-6)
    assert Light(photo, "linear").grey == pytest.approx(v @ [0.2126, 0.7152, 0.0722], abs=1e-6)
    one = photo[..., 0]
    assert Light(one).grey == pytest.approx(linear[..., 0], abs=1e-6)


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
