"""Batches drawn ahead by a thread, so that training does not wait for them."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minispiral.data.ahead import Ahead
from minispiral.data.patches import Flips, Mask, PatchSampler, Pixels


@dataclass(frozen=True)
class Batch:
    """What `PatchSampler.draw` returned, and the state of the generator after that draw."""

    pixels: Pixels
    mask: Mask
    flips: Flips
    random_state: dict[str, Any]


def prefetch(
    sampler: PatchSampler, rng: np.random.Generator, batches: int
) -> Generator[Batch, None, None]:
    """Yield ``batches`` batches; a thread draws the next one while the caller uses this one.

    A generator set to the ``random_state`` of a batch (``rng.bit_generator.state``) draws the
    batches that follow it. Until the end ``rng`` itself belongs to the thread, which is one batch
    ahead. Exceptions in the thread are raised in the caller; closing the generator ends the thread.
    """

    def draw() -> Generator[Batch, None, None]:
        for _ in range(batches):
            pixels, mask, flips = sampler.draw(rng)
            yield Batch(pixels, mask, flips, dict(rng.bit_generator.state))

    with Ahead(draw(), "prefetch") as drawn:
        yield from drawn
