"""The totals of a training run, counted by hand."""

import numpy as np
import pytest

from minispiral.kernels.statistics import TOTALS, add_batch


def test_two_batches_counted_by_hand():
    """A probability of 0.5 is detected; a batch without crack has no finite loss."""
    totals = np.zeros(len(TOTALS))
    logits = np.array([-1.0, 0.0, 2.0, -3.0, 0.5]).reshape(1, 5, 1, 1)
    mask = np.array([True, True, False, False, True]).reshape(logits.shape)
    add_batch(totals, np.array(1.5), logits, mask)
    add_batch(totals, np.array(np.inf), logits, np.zeros_like(mask))
    assert dict(zip(TOTALS, totals.tolist(), strict=True)) == {
        "loss_sum": 1.5,
        "finite_losses": 1,
        "crack": 3,
        "detected": 6,
        "correct": 2,
        "batches_without_crack": 1,
        "nan_losses": 0,
    }


def test_a_loss_that_is_not_a_number_is_only_counted():
    totals = np.zeros(len(TOTALS))
    logits, mask = np.zeros((1, 2, 2, 1)), np.ones((1, 2, 2, 1), bool)
    add_batch(totals, np.array(np.nan), logits, mask)
    assert totals.tolist() == [0, 0, 4, 4, 4, 0, 1]


@pytest.mark.parametrize("mask", [np.zeros((2, 3, 3), bool), np.zeros((2, 3, 3, 1))])
def test_a_mask_that_does_not_fit_is_refused(mask):
    with pytest.raises(ValueError, match="boolean mask"):
        add_batch(np.zeros(len(TOTALS)), np.array(0.0), np.zeros((2, 3, 3, 1)), mask)
