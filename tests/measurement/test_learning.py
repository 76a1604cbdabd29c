"""What a photograph's profiles tell: how much the contrast differs, and how sure a width is."""

import io

import numpy as np
import pytest
from PIL import Image

from minispiral.measurement import measure
from minispiral.measurement.bar import bar
from minispiral.measurement.learning import learn
from minispiral.measurement.profiles import Profiles, offsets_of
from minispiral.measurement.settings import Settings
from tests.measurement.photograph import photograph, straight, trace


def test_the_contrast_from_place_to_place_is_learnt(rng):
    settings, count = Settings(), 41
    offsets = offsets_of(settings)
    width, contrast, noise = rng.uniform(1, 3), rng.uniform(0.5, 0.8), 0.004
    at = settings.hop * np.arange(count, dtype=float)
    learnt = {}
    for spread in (0.0, 0.04, 0.15):
        k = contrast + spread * rng.standard_normal(count)
        values = 1 - k[:, None] * bar(offsets, width, 0.7)
        values += noise * rng.standard_normal(values.shape)
        profiles = Profiles(
            values,
            np.zeros(count, np.intp),
            at,
            np.stack([at, at], axis=1),
            np.full(count, 99.0),
            np.zeros(count),
        )
        covariance = noise**2 * np.eye(len(offsets))
        found = learn(profiles, np.ones(count, bool), covariance, settings)
        learnt[spread] = found.local
    assert learnt[0.0] == pytest.approx(settings.contrast_steady)
    assert settings.contrast_steady < learnt[0.04] < settings.contrast_local
    assert learnt[0.15] == pytest.approx(settings.contrast_local)


def test_compression_makes_intervals_wider(rng):
    line = straight(rng.uniform(3, 4), rng.uniform(0, 180))
    photo = photograph(rng, [line], blur=0.7)
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=60)
    spans = []
    for each in (photo, np.array(Image.open(file))):
        mean = measure(each, trace([line])).cracks[0].mean
        assert mean.low < line.widths[0] < mean.high
        spans.append(mean.high - mean.low)
    assert spans[1] > spans[0]
