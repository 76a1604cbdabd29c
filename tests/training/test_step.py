"""A training step on the CPU; that on a GPU is compared with it in tests/cuda_on_cpu."""

import numpy as np
import pytest

from minispiral.detection.running_metrics import RunningSums
from minispiral.device import CPU
from minispiral.losses import LOSSES
from minispiral.networks import build
from minispiral.optim import Adam
from minispiral.training.step import TrainingStep, training_step


def make_step(seed: int) -> TrainingStep:
    network = build("spiral", depths=(1, 2), width=0.05, rng=np.random.default_rng(seed))
    return training_step(CPU, network, Adam(network.named_parameters(), lr=1e-2))


def make_batch(rng: np.random.Generator):
    pixels = rng.integers(256, size=(5, 15, 15, 3), dtype=np.uint8)
    return pixels, rng.random((5, 15, 15, 1)) < 0.1, rng.random((5, 2)) < 0.5


def state(step: TrainingStep) -> dict[str, bytes]:
    arrays = {**step.network.state(), **step.adam.state()}
    return {name: array.tobytes() for name, array in arrays.items()}


def test_patches_are_flipped_with_their_masks(rng):
    """As by reversing the axes of each patch before the step."""
    seed = int(rng.integers(2**32))
    flipping, flipped = make_step(seed), make_step(seed)
    for _ in range(3):
        pixels, mask, flips = make_batch(rng)
        flipping(pixels, mask, flips)
        axes = [np.flatnonzero(patch) for patch in flips]
        flipped(
            *(
                np.stack([np.flip(patch, ax) for patch, ax in zip(images, axes, strict=True)])
                for images in (pixels, mask)
            )
        )
    assert state(flipping) == state(flipped)
    assert flipping.sums() == flipped.sums()


def test_sums_are_counted_on_from_those_of_a_checkpoint(rng):
    seed, batches = int(rng.integers(2**32)), [make_batch(rng) for _ in range(4)]
    straight, resumed = make_step(seed), make_step(seed)
    for batch in batches[:2]:
        straight(*batch)
        resumed(*batch)
    before = resumed.sums()
    resumed.reset(RunningSums())
    resumed.reset(before)
    for batch in batches[2:]:
        straight(*batch)
        resumed(*batch)
    assert resumed.sums() == straight.sums()
    assert straight.sums().crack == sum(int(mask.sum()) for _, mask, _ in batches)


def test_a_batch_whose_loss_is_nan_changes_the_sums_alone(rng, monkeypatch: pytest.MonkeyPatch):
    def broken(logits, mask):
        loss = LOSSES["cross-entropy"](logits, mask)
        loss.data = np.array(np.nan, loss.dtype)
        return loss

    monkeypatch.setitem(LOSSES, "pseudo-f1", broken)
    step = make_step(0)
    parameters = {name: p.data.copy() for name, p in step.network.named_parameters()}
    step(*make_batch(rng))
    for name, p in step.network.named_parameters():
        np.testing.assert_array_equal(p.data, parameters[name])
    assert step.adam.steps == 0
    assert step.sums().nan_losses == 1
