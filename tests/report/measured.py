"""Photographs with measured cracks, made at random: what a measurement would hand to the page."""

import numpy as np

from minispiral.measurement.records import (
    Caveat,
    Contrast,
    Estimate,
    MeasuredCrack,
    Measurement,
    Places,
    Reason,
    Rest,
)
from minispiral.measurement.results import ModelCard
from minispiral.measurement.scale import Scale

CARD = ModelCard("Spiral-Net 1-3, 0.4 million parameters", "40 photographs of walls", 0.5, "0.1.0")


def around(rng: np.random.Generator, value: float) -> Estimate:
    """A value with an interval to either side of it."""
    low, high = rng.uniform(0.05, 0.6, 2)
    return Estimate(value, max(0.0, value - low), value + high)


def crack_along(
    rng: np.random.Generator, number: int, points: np.ndarray, widths: np.ndarray
) -> MeasuredCrack:
    """What is known of a crack whose points (n, 2), about 1 px apart, and widths (n,) are true."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    at = np.r_[0.0, np.cumsum(steps)]
    hops = np.arange(6, max(len(points) - 6, 7), 6)
    reasons = tuple(Reason.COUNTED if widths[i] > 0 else Reason.HOLE for i in hops)
    known = np.array([widths[i] for i in hops if widths[i] > 0])
    unknown = Estimate()
    p95, mean, maximum = (
        (np.percentile(known, 95), known.mean(), known.max()) if len(known) else (0, 0, 0)
    )
    x, y = points[-1] - points[0]
    return MeasuredCrack(
        crack=number,
        branch=0,
        points=points,
        length=float(at[-1]),
        bridged=float(rng.choice([0.0, 7.5])),
        mean=around(rng, mean) if len(known) else unknown,
        p95=around(rng, p95) if len(known) else unknown,
        maximum=around(rng, maximum) if len(known) else unknown,
        maximum_at=tuple(points[hops[int(widths[hops].argmax())]]),
        orientation=float(np.degrees(np.arctan2(-y, x)) % 180),
        probability=float(rng.uniform(0.35, 0.98)),
        places=Places(
            at[hops], points[hops], widths[hops], widths[hops] * 0.8, widths[hops] * 1.2, reasons
        ),
        notes=("beside another crack",) if rng.random() < 0.3 else (),
    )


def measurement_of(
    rng: np.random.Generator,
    cracks: list[MeasuredCrack],
    size: tuple[int, int],
    scale: Scale | None = None,
    rests: Rest = Rest.PRIOR,
    caveats: tuple[Caveat, ...] = (),
) -> Measurement:
    """The measurement of a photograph of ``size``, height and width."""
    return Measurement(
        width=size[1],
        height=size[0],
        cracks=tuple(cracks),
        contrast=Contrast(0.68, 0.41, 0.95, rests),
        blur=float(rng.uniform(0.4, 1.4)),
        sharpening=0.0,
        limit=0.3,
        caveats=caveats,
        transfer="srgb",
        scale=scale,
    )


def random_measurement(
    rng: np.random.Generator, scale: Scale | None = None, size: tuple[int, int] = (183, 241)
) -> Measurement:
    """Three wandering cracks, and one whose width is nowhere known, in a small photograph."""
    h, w = size
    cracks = []
    for number in range(1, 5):
        n = int(rng.integers(40, w))
        walk = h / 2 + np.cumsum(rng.normal(0, 0.6, n))
        points = np.stack([np.arange(n) + 0.5, np.clip(walk, 1, h - 1)], axis=1)
        widths = np.full(n, 0.0 if number == 4 else rng.uniform(0.4, 4.0)) * rng.uniform(0.8, 1, n)
        cracks.append(crack_along(rng, number, points, widths))
    return measurement_of(rng, cracks, size, scale)
