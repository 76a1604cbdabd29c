"""Tiled prediction against one pass over the whole photograph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.kernels.layout import scale_pixels
from minispiral.networks import build
from minispiral.tensor import Tensor


class StandIn:
    """A network whose logits are a given function of its input (n, h, w, 3)."""

    def __init__(self, respond, unit=4):
        self.respond, self.unit = respond, unit
        self.training = True
        self.seen = []  # shapes of the batches, and whether they came in training mode

    def check_side(self, side):
        if (side + 1) % self.unit:
            raise UserError(f"side {side} is not valid")

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def parameters(self):
        return [Tensor(np.zeros(1, np.float32))]

    def __call__(self, x):
        assert not self.training
        assert x.dtype == np.float32
        for side in x.shape[1:3]:
            self.check_side(side)
        self.seen.append(x.shape)
        logits = self.respond(x.data).astype(np.float32)
        assert logits.shape == (*x.shape[:3], 1)
        return Tensor(logits)


def random_photo(rng, h, w):
    return rng.integers(0, 256, (h, w, 3), np.uint8)


def brightness(x):
    return 3 * x.mean(axis=-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


SIZES = [(1, 1), (1, 200), (2, 3), (97, 311), (127, 128), (300, 65), (383, 517)]


@pytest.mark.parametrize("unit", [2, 4, 64, 128])
@pytest.mark.parametrize("size", SIZES)
def test_a_constant_response_comes_out_exactly(rng, unit, size):
    network = StandIn(lambda x: np.zeros((*x.shape[:3], 1)), unit)
    probability = predict(network, random_photo(rng, *size), side=255)
    assert probability.dtype == np.float32
    assert probability.shape == size
    assert np.all(probability == 0.5)  # shares that miss a pixel, or overlap it wrongly, show


@pytest.mark.parametrize("unit", [2, 4, 64, 128])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [255, None])
def test_a_response_to_single_pixels_has_no_seams(rng, unit, size, side):
    photo = random_photo(rng, *size)
    probability = predict(StandIn(brightness, unit), photo, side)
    expected = sigmoid(brightness(photo / 127.5 - 1)[..., 0])
    np.testing.assert_allclose(probability, expected, atol=1e-6)


@pytest.mark.parametrize("unit", [4, 128])
def test_the_border_of_a_tile_never_shows(rng, unit):
    """An error within a quarter of the overlap from a tile's border has no weight."""
    quarter = max(unit, 64) // 4

    def wrong_at_the_border(x):
        logits = np.full((*x.shape[:3], 1), 1e4)
        logits[:, quarter:-quarter, quarter:-quarter] = 0
        return logits

    network = StandIn(wrong_at_the_border, unit)
    assert np.all(predict(network, random_photo(rng, 401, 150), side=255) == 0.5)


@pytest.mark.parametrize("unit", [4, 16, 128])
def test_every_tile_lies_on_the_grid_of_the_whole_photo(rng, unit):
    def phase(x):
        y, x_ = np.ogrid[: x.shape[1], : x.shape[2]]
        logits = ((y % unit) * 3 + x_ % unit) / (2 * unit) - 1
        return np.broadcast_to(logits[..., None], (*x.shape[:3], 1))

    photo = random_photo(rng, 345, 500)
    expected = sigmoid(phase(photo[None])[0, ..., 0])
    probability = predict(StandIn(phase, unit), photo, side=255)
    np.testing.assert_allclose(probability, expected, atol=1e-6)


def test_edges_are_extended_by_reflection(rng):
    """A response to a pixel's neighbourhood, compared with the padded photograph's."""
    reach = 9

    def blur(x):
        padded = np.pad(x.mean(axis=3), ((0, 0), (reach, reach), (reach, reach)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 1), (1, 2))
        rows = windows.mean(axis=(3, 4))
        windows = np.lib.stride_tricks.sliding_window_view(rows, 2 * reach + 1, 2)
        return 9 * windows.mean(axis=3)[..., None]

    for size in ((5, 4), (101, 230)):
        photo = random_photo(rng, *size)
        wide = np.pad(photo, ((32, 32), (32, 32), (0, 0)), "reflect")
        expected = sigmoid(blur(wide[None] / 127.5 - 1)[0, 32:-32, 32:-32, 0])
        probability = predict(StandIn(blur, 4), photo, side=127)
        np.testing.assert_allclose(probability, expected, atol=1e-5)


NETWORKS = [  # from no output pixel further than the 16 pixels that have no weight
    *(("spiral", depths) for depths in ((1,), (2, 1), (1, 2), (3,))),
    *(("unet", (depth,)) for depth in (1, 2, 3)),
]


@given(
    network=st.sampled_from(NETWORKS),
    size=st.tuples(st.integers(1, 330), st.integers(1, 330)),
    side=st.sampled_from((127, 159, 191, None)),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=40, deadline=None)
def test_tiles_agree_with_one_pass_of_a_real_network(network, size, side, seed):
    rng, (name, depths) = np.random.default_rng(seed), network
    network = build(name, depths=depths, width=0.05, rng=rng)
    network.eval()
    photo = random_photo(rng, *size)
    around = [(32, 32 + -(n + 65) % network.unit) for n in size]  # on the network's grid
    one_pass = np.pad(photo, (*around, (0, 0)), "reflect")
    logits = network(Tensor(scale_pixels(one_pass)[None])).data
    expected = sigmoid(logits[0, 32 : 32 + size[0], 32 : 32 + size[1], 0])
    probability = predict(network, photo, side, batch=3)
    np.testing.assert_allclose(probability, expected, atol=2e-6)
    assert photo.size < 100 or np.ptp(expected) > 1e-3


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_batches_and_progress(rng, batch):
    network, calls = StandIn(brightness, 64), []
    photo = random_photo(rng, 400, 333)
    probability = predict(network, photo, 127, batch, lambda *call: calls.append(call))
    np.testing.assert_array_equal(probability, predict(StandIn(brightness, 64), photo, 127))
    done, totals = zip(*calls, strict=True)
    assert set(totals) == {sum(n for n, *_ in network.seen)} == {done[-1]}
    assert max(n for n, *_ in network.seen) == -(-min(batch, totals[0]) // 2)  # halves
    assert list(done) == sorted(set(done))
    assert network.training  # as it was before


def test_a_large_photo_is_not_computed_many_times_over(rng):
    network = StandIn(lambda x: np.zeros((*x.shape[:3], 1)), 128)
    predict(network, random_photo(rng, 1500, 2000))
    assert sum(n * h * w for n, h, w, _ in network.seen) < 2.2 * 1500 * 2000
    assert max(max(shape) for shape in network.seen) < 800
    small = StandIn(brightness, 4)
    predict(small, random_photo(rng, 50, 60))
    assert small.seen == [(1, 83, 95, 3)]


def test_extreme_logits_stay_finite(rng):
    network = StandIn(lambda x: 1e4 * np.sign(brightness(x)))
    with np.errstate(all="raise", under="ignore"):
        probability = predict(network, random_photo(rng, 20, 30))
    assert set(np.unique(probability)) <= {0, 0.5, 1}


@pytest.mark.parametrize(
    ("photo", "options", "message"),
    [
        (np.zeros((9, 9), np.uint8), {}, r"\(9, 9\)"),
        (np.zeros((9, 9, 3), np.float32), {}, "float32"),
        (np.zeros((0, 9, 3), np.uint8), {}, r"\(0, 9, 3\)"),
        (np.zeros((9, 9, 3), np.uint8), {"batch": 0}, "batch of 0"),
        (np.zeros((9, 9, 3), np.uint8), {"side": 128}, "side 128 is not valid"),
        (np.zeros((9, 9, 3), np.uint8), {"side": 63}, "at least 127"),
    ],
)
def test_refuses(photo, options, message):
    with pytest.raises(UserError, match=message):
        predict(StandIn(brightness), photo, **options)
