"""Checks of chapter 7: drawing a patch, running statistics, and average precision."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minispiral.detection.metrics import average_precision
from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import expect


@exercise("7.1", function="patch", difficulty=1)
def patch(answer: Callable[..., Any]) -> None:
    """A random patch and its mask."""
    rng = np.random.default_rng()
    h, w, side = 6, 7, 4
    # Every pixel value occurs once, and the mask follows from the photograph.
    photo = rng.permutation(h * w * 3).astype(np.uint8).reshape(h, w, 3)
    mask = photo[..., 0] % 2 == 1
    call = f"patch(photo, mask, {side}, rng) for a photograph of {h} x {w} pixels"
    draws = 4000  # of 48 equally likely outcomes: the chance of missing one is below 1e-34
    windows: dict[bytes, tuple[int, int, int, int]] = {}
    for top in range(h - side + 1):
        for left in range(w - side + 1):
            window = photo[top : top + side, left : left + side]
            for down in (1, -1):
                for right in (1, -1):
                    windows[window[::down, ::right].tobytes()] = top, left, down, right
    seen = set()
    for _ in range(draws):
        result = answer(photo.copy(), mask.copy(), side, rng)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Wrong(f"{call} returned {type(result).__name__}, expected the pair (x, y)")
        x, y = result
        if getattr(x, "shape", None) != (side, side, 3) or x.dtype != np.float32:
            found = f"{x.dtype} of shape {x.shape}" if isinstance(x, np.ndarray) else repr(x)
            raise Wrong(f"{call}: x is {found}, expected float32 of shape {(side, side, 3)}")
        pixels = np.rint((x + 1) * 127.5)
        if np.abs(x).max() > 1 or np.abs(pixels / 127.5 - 1 - x).max() > 1e-5:
            raise Wrong(
                f"{call}: x runs from {x.min():.3g} to {x.max():.3g} and is not v / 127.5 - 1 "
                "of pixels v from 0 to 255"
            )
        place = windows.get(pixels.astype(np.uint8).tobytes())
        if place is None:
            raise Wrong(f"{call}: x is not a window of the photograph, flipped or not")
        pixels_mask = (pixels[..., 0] % 2 == 1).astype(bool)
        if getattr(y, "shape", None) != (side, side) or not np.array_equal(y, pixels_mask):
            raise Wrong(
                f"{call}: y does not belong to x, which begins at row {place[0]}, column "
                f"{place[1]}: cut and flip the mask as the photograph"
            )
        seen.add(place)
    for top, left, down, right in sorted(set(windows.values()) - seen):
        flips = {(1, 1): "not flipped", (-1, 1): "flipped up and down"}
        flips |= {(1, -1): "flipped left and right", (-1, -1): "flipped both ways"}
        raise Wrong(
            f"{call}: in {draws} draws the window at row {top}, column {left}, "
            f"{flips[down, right]}, never came"
        )


@exercise("7.2", function="running", difficulty=1)
def running(answer: Callable[..., Any]) -> None:
    """The running statistics of batch norm."""
    rng = np.random.default_rng()
    for batches, m, channels, momentum in ((1, 5, 1, 0.1), (3, 2, 2, 0.1), (20, 4, 3, 0.3)):
        values = [rng.normal(3, 2, (m, channels)) for _ in range(batches)]
        mean, var = np.zeros(channels), np.ones(channels)
        for x in values:
            mean = mean + momentum * (x.mean(axis=0) - mean)
            var = var + momentum * (x.var(axis=0, ddof=1) - var)
        call = (
            f"for {batches} batches of {m} values and {channels} channels, "
            f"running(batches, {momentum})"
        )
        result = answer([x.copy() for x in values], momentum)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Wrong(f"{call} returned {type(result).__name__}, expected the pair (mean, var)")
        swapped, begun = np.zeros(channels), values[0].mean(axis=0)
        for x in values:
            swapped = momentum * swapped + (1 - momentum) * x.mean(axis=0)
            begun = begun + momentum * (x.mean(axis=0) - begun)
        known = {
            "moves by 1 - momentum; momentum is the weight of the newest batch": swapped,
            "begins at the mean of the first batch, not at 0": begun,
        }
        expect(result[0], mean, f"{call}: mean", known=known)
        biased = np.ones(channels)
        for x in values:
            biased = biased + momentum * (x.var(axis=0) - biased)
        if np.shape(result[1]) == biased.shape and np.allclose(result[1], biased, rtol=1e-9):
            raise Wrong(f"{call}: var is that of the biased variances, which divide by m")
        expect(result[1], var, f"{call}: var")


@exercise("7.3", function="average_precision", difficulty=2)
def average_precision_of(answer: Callable[..., Any]) -> None:
    """Average precision with tied scores."""
    rng = np.random.default_rng()
    for count, levels in ((2, 99), (6, 99), (9, 2), (40, 5), (300, 20)):
        for _ in range(5):
            scores = rng.integers(levels, size=count) / 100
            labels = rng.random(count) < 0.4
            labels[rng.integers(count)] = True
            expected = average_precision(scores, labels)
            result = answer(scores.copy(), labels.copy())
            if not isinstance(result, int | float | np.number):
                raise Wrong(
                    f"average_precision returned {type(result).__name__}, expected a number"
                )
            if not abs(result - expected) < 1e-9:
                order = np.argsort(-scores, kind="stable")
                hits = labels[order]
                one_by_one = (np.cumsum(hits) / np.arange(1, count + 1))[hits].mean()
                if abs(result - one_by_one) < 1e-9:
                    raise Wrong(
                        "average_precision lets equal scores enter one after the other, in the "
                        "order in which they stand; they have one threshold and enter together"
                    )
                given = f"{count} scores with {len(np.unique(scores))} distinct values"
                if count <= 9:
                    given = f"scores {scores.tolist()} and labels {labels.tolist()}"
                raise Wrong(
                    f"for {given} average_precision returned {result:.6g}, expected {expected:.6g}"
                )
