"""The weights that come with the package."""

import numpy as np

from minispiral.data.synth import make_sample
from minispiral.detection.find import find_cracks
from minispiral.detection.metrics import score_photo
from minispiral.runs import checkpoint
from minispiral.runs.trained import PACKAGED


def test_they_are_small_and_name_nobodys_folders() -> None:
    assert PACKAGED.stat().st_size < 6e6
    config = checkpoint.load_config(PACKAGED)
    assert (config["data"], config["val"], config["init"]) == ("varied", "varied", None)


def test_they_find_cracks_in_photographs_never_seen(rng: np.random.Generator) -> None:
    """Eight times as well as chance, by average precision."""
    network = checkpoint.load_network("pretrained")
    found, chance = [], []
    while len(found) < 8:
        sample = make_sample(rng, 191, 191, kind="varied")
        if sample.mask.any():
            probability = find_cracks(network, sample.photo).probability
            scores = score_photo("", probability, sample.mask)
            found.append(scores.average_precision)
            chance.append(sample.mask.mean())
    assert np.mean(found) > 8 * np.mean(chance)


def test_a_wall_without_a_crack_stays_nearly_empty(rng: np.random.Generator) -> None:
    """An even grey wall with the noise of a sensor."""
    photo = np.clip(rng.normal(150, 3, (160, 200, 3)), 0, 255).astype(np.uint8)
    finding = find_cracks(checkpoint.load_network("pretrained"), photo)
    assert finding.crack_share < 0.002
