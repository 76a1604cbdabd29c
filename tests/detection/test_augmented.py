"""Test-time augmentation against predictions of turned photographs, one after another."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from minispiral.detection import augmented
from minispiral.detection.augmented import predict_augmented
from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.networks import Network, build
from tests.detection.test_tiling import StandIn, brightness, random_photo


def mean_of_eight(
    network: Network, photo: NDArray[np.uint8], side: int | None = None
) -> NDArray[np.float64]:
    """The mean of the predictions of every turn of the photograph and of its mirror image."""
    total = np.zeros(photo.shape[:2])
    for quarters in range(4):
        there = np.rot90(photo, quarters)
        total += np.rot90(predict(network, there.copy(), side), -quarters)
        there = np.rot90(np.fliplr(photo), quarters)
        total += np.fliplr(np.rot90(predict(network, there.copy(), side), -quarters))
    return total / 8


@pytest.fixture
def network(rng: np.random.Generator) -> Network:
    return build("spiral", depths=(1, 2), width=0.05, rng=rng)


def test_it_is_the_mean_of_the_predictions_of_all_eight_positions(rng, network) -> None:
    photo = random_photo(rng, 151, 89)
    found = predict_augmented(network, photo, side=127)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, mean_of_eight(network, photo, 127), rtol=0, atol=1e-6)
    assert np.abs(found - predict(network, photo, side=127)).max() > 1e-3


def test_a_turned_photograph_gives_the_turned_map(rng, network) -> None:
    photo = random_photo(rng, 151, 89)
    expected = predict_augmented(network, photo, 127)
    for turn in (np.rot90, np.fliplr, np.flipud):
        found = predict_augmented(network, turn(photo), 127)
        np.testing.assert_allclose(found, turn(expected), rtol=0, atol=1e-6)


def test_progress_counts_the_tiles_of_all_eight(rng) -> None:
    network, calls = StandIn(brightness, 64), []
    predict_augmented(
        network, random_photo(rng, 300, 133), 127, 1, lambda *call: calls.append(call)
    )
    tiles = sum(n for n, *_ in network.seen)
    assert tiles > 8
    assert calls == [(done, tiles) for done in range(1, tiles + 1)]


def test_it_holds_one_map_beside_the_sum_and_a_turned_photograph(rng, monkeypatch) -> None:
    held = []

    def stand_in(network, photo, *rest):
        found = np.full(photo.shape[:2], 0.25, np.float32)
        held.append(tracemalloc.get_traced_memory()[0])
        return found

    photo = random_photo(rng, 401, 307)
    monkeypatch.setattr(augmented, "predict", stand_in)
    tracemalloc.start()
    try:
        found = predict_augmented(StandIn(brightness), photo)
    finally:
        tracemalloc.stop()
    assert np.all(found == 0.25)
    assert len(held) == 8
    assert max(held) < (3 + 4 + 4 + 1) * found.size  # bytes


@pytest.mark.parametrize("shape", [(9,), (9, 9), (0, 9, 3)])
def test_refuses_what_is_no_photograph(shape) -> None:
    with pytest.raises(UserError, match="a photograph of shape"):
        predict_augmented(StandIn(brightness), np.zeros(shape, np.uint8))
