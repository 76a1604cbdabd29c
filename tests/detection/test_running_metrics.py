"""Running loss and scores against plain loops over the pixels."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from minispiral.detection.running_metrics import RunningSums
from minispiral.kernels import statistics


def test_running_scores_pool_the_pixels_of_all_batches(rng):
    totals = RunningSums().as_totals()
    masks = [rng.random((2, 5, 7, 1)) < density for density in (0.2, 0.0, 0.5)]
    logits = [rng.standard_normal((2, 5, 7, 1)).astype(np.float32) for _ in masks]
    for loss, z, mask in zip((1.0, np.inf, 4.0), logits, masks, strict=True):
        statistics.add_batch(totals, np.float32(loss), z, mask)
    sums = RunningSums.from_totals(totals)
    hits = sum(
        bool(label) and 1 / (1 + np.exp(-float(z))) >= 0.5
        for z_batch, mask in zip(logits, masks, strict=True)
        for z, label in zip(z_batch.flat, mask.flat, strict=True)
    )
    detected = sum(int((z >= 0).sum()) for z in logits)
    crack = sum(int(mask.sum()) for mask in masks)
    assert sums.loss == 2.5
    assert sums.batches_without_crack == 1
    assert sums.precision == pytest.approx(hits / detected)
    assert sums.recall == pytest.approx(hits / crack)
    assert sums.f1 == pytest.approx(2 / (detected / hits + crack / hits))


def test_sums_without_any_batch_have_no_scores():
    sums = RunningSums()
    assert sums.loss is sums.precision is sums.recall is sums.f1 is None


def test_sums_come_back_from_totals_and_from_json():
    sums = RunningSums(2.5, 2, crack=7, detected=5, correct=3, nan_losses=1)
    assert RunningSums.from_totals(sums.as_totals()) == sums
    assert RunningSums(**json.loads(json.dumps(asdict(sums)))) == sums
