"""The maps of a network: those it mixes, where they are, and a picture that shows them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minispiral.detection import tiling
from minispiral.detection.maps import inspect, look
from minispiral.errors import UserError
from minispiral.networks import Network, build
from minispiral.runs.checkpoint import load_network
from tests.small import command, make_photo, refusal

DEPTHS = (1, 2, 3)


@pytest.fixture
def network(rng: np.random.Generator) -> Network:
    built = build("spiral", depths=DEPTHS, width=0.1, rng=rng)
    built.eval()
    return built


def test_the_maps_and_their_weights_make_the_probability(
    rng: np.random.Generator, network: Network
) -> None:
    photo, _ = make_photo(rng, 61, 90)
    inspection = look(network, photo)
    np.testing.assert_array_equal(inspection.photo, photo)
    weights = [float(one.title.partition("(")[2].rstrip(")")) for one in inspection.maps]
    np.testing.assert_allclose(weights, network.mix.w.data[0, 0, :, 0], atol=6e-4)
    assert [one.title.partition(" (")[0] for one in inspection.maps] == [
        f"module {k}, depth {k}" for k in DEPTHS
    ]
    maps = np.stack([one.values for one in inspection.maps], axis=-1)
    assert maps.shape == (61, 90, 3)
    assert maps.min() >= 0
    logits = maps @ network.mix.w.data[0, 0, :, 0] + network.mix.b.data
    np.testing.assert_allclose(inspection.probability, 1 / (1 + np.exp(-logits)), atol=1e-5)
    np.testing.assert_allclose(inspection.probability, tiling.predict(network, photo), atol=1e-5)


def test_a_network_in_training_is_looked_at_in_evaluation_and_trains_on(
    rng: np.random.Generator, network: Network
) -> None:
    photo, _ = make_photo(rng, 61, 90)
    before = {name: array.copy() for name, array in network.state().items()}
    expected = look(network, photo)
    network.train()
    found = look(network, photo)
    assert network.training
    np.testing.assert_array_equal(found.probability, expected.probability)
    for name, array in network.state().items():  # the running statistics too
        np.testing.assert_array_equal(array, before[name])


def test_side_outputs_of_hed_and_their_weights_make_the_probability(rng) -> None:
    hed = build("hed", width=0.03, rng=rng).eval()
    for p in hed.parameters():
        p.data += rng.normal(0, 0.1, p.shape).astype(np.float32)
    photo, _ = make_photo(rng, 61, 90)
    inspection = look(hed, photo)
    assert [one.title[:13] for one in inspection.maps] == [f"side output {k}" for k in range(1, 6)]
    maps = np.stack([one.values for one in inspection.maps], axis=-1)
    logits = maps @ hed.fuse.w.data[0, 0, :, 0] + hed.fuse.b.data
    np.testing.assert_allclose(inspection.probability, 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert np.ptp(inspection.probability) > 0
    assert inspection.picture().ndim == 3


@pytest.mark.parametrize("at", [(0, 0), (100, 77), (310, 199)])
def test_a_part_shows_what_the_whole_photograph_has_there(
    rng: np.random.Generator, network: Network, at: tuple[int, int]
) -> None:
    photo, _ = make_photo(rng, 200, 311)
    part = look(network, photo, at, size=60)
    assert part.left <= at[0] < part.left + 60
    assert part.top <= at[1] < part.top + 60
    place = slice(part.top, part.top + 60), slice(part.left, part.left + 60)
    np.testing.assert_array_equal(part.photo, photo[place])
    whole = look(network, photo)
    np.testing.assert_allclose(part.probability, whole.probability[place], atol=1e-5)
    for one, other in zip(part.maps, whole.maps, strict=True):
        np.testing.assert_allclose(one.values, other.values[place], atol=1e-4)


def test_the_part_with_the_most_crack_is_shown(rng: np.random.Generator, network: Network) -> None:
    photo, _ = make_photo(rng, 70, 83)
    probability = tiling.predict(network, photo)
    held = {
        (top, left): probability[top : top + 40, left : left + 40].sum(dtype=np.float64)
        for top in range(31)
        for left in range(44)
    }
    part = look(network, photo, size=40)
    assert held[part.top, part.left] == pytest.approx(max(held.values()), rel=1e-9)


@pytest.mark.parametrize("connection", ["sum", "none"])
def test_weights_of_other_connections(rng: np.random.Generator, connection: str) -> None:
    network = build("spiral", depths=DEPTHS, connection=connection, width=0.1, rng=rng)
    network.eval()
    titles = [one.title for one in look(network, make_photo(rng, 40, 40)[0]).maps]
    weighted = [f"({network.mix.w.data.item():+.3f})" in title for title in titles]
    assert weighted == ([True] * 3 if connection == "sum" else [False, False, True])


def test_refusals(rng: np.random.Generator, network: Network) -> None:
    photo, _ = make_photo(rng, 40, 50)
    with pytest.raises(UserError, match=r"50,3 is outside.* 50 x 40 .*0 to 49"):
        look(network, photo, (50, 3))
    with pytest.raises(UserError, match="0 pixels"):
        look(network, photo, size=0)


def test_the_command_draws_every_map(trained: Path, tmp_path: Path) -> None:
    photo = trained / "data" / "images" / "a.png"
    out = tmp_path / "maps.png"
    result = command("inspect", trained / "run", photo, "--out", out, "--size", 40)
    assert result.exit_code == 0, result.output
    assert str(out) in result.stdout
    picture = np.asarray(Image.open(out))
    inspection = inspect(trained / "run", photo, tmp_path / "again.png", size=40)
    np.testing.assert_array_equal(picture, inspection.picture())
    network = load_network(trained / "run")
    assert len(inspection.maps) == len(network.stages)
    assert picture.shape[1] > 2 * 420  # photograph, probability and two maps, two by two


def test_the_command_refuses_in_one_line(trained: Path, tmp_path: Path) -> None:
    photo = trained / "data" / "images" / "a.png"
    run = tmp_path / "unet"
    words = ["--network", "unet", "--depths", "1-2", "--width", "0.06", "--patch", "31"]
    command("train", trained / "data", "--out", run, *words, "--batch", "2", "--steps", "1")
    assert "holds the network unet" in refusal(command("inspect", run, photo))
    assert "outside" in refusal(command("inspect", trained / "run", photo, "--at", "999,3"))
    assert command("inspect", trained / "run", photo, "--at", "here").exit_code == 2
    out = tmp_path / "maps.tiff"
    assert "maps.tiff" in refusal(command("inspect", trained / "run", photo, "--out", out))
