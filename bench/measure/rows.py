"""The rows of the table: what varies in the rendered photographs of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.measure.render import SIZE, Case, Look, arc, rough, sine, straight, taken
from minispiral.data.crack import Crack

BINS = ((0.5, 1.0), (1.0, 1.5), (1.5, 2.5), (2.5, 4.0), (4.0, 5.0), (5.0, 8.0))  # px

Draw = Callable[[np.random.Generator, float], list[Crack]]


def single(rng: np.random.Generator, width: float) -> list[Crack]:
    """A crack alone in its photograph, straight at any angle or curved."""
    if rng.random() < 0.3:
        return [sine(width, 14, 90)]
    return [straight(width, rng.uniform(0, 180), shift=rng.uniform(-9, 9))]


def curved(rng: np.random.Generator, width: float) -> list[Crack]:
    return [arc(width, rng.uniform(40, 90)) if rng.random() < 0.5 else sine(width, 6, 40)]


def tapering(rng: np.random.Generator, width: float) -> list[Crack]:
    """From a third of the width up to it."""
    return [straight((width / 3, width), rng.uniform(0, 360))]


def crossing(rng: np.random.Generator, width: float) -> list[Crack]:
    turn = rng.uniform(0, 180)
    return [straight(width, turn), straight(width, turn + rng.uniform(50, 90))]


def branching(rng: np.random.Generator, width: float) -> list[Crack]:
    turn = rng.uniform(0, 180)
    other = straight(0.8 * width, turn + rng.uniform(40, 90))
    half = len(other.points) // 2
    return [straight(width, turn), Crack(other.points[half:], other.widths[half:])]


def stony(rng: np.random.Generator, width: float) -> list[Crack]:
    return [rough(rng, width, rng.uniform(0, 180))]


def beside_wide(rng: np.random.Generator, width: float) -> list[Crack]:
    turn = rng.uniform(0, 180)
    return [straight(width, turn, shift=-45), straight(4.0, turn, shift=45)]


def pair(rng: np.random.Generator, width: float) -> list[Crack]:
    """Two cracks 12 px apart."""
    turn = rng.uniform(0, 180)
    return [straight(width, turn, shift=-6), straight(width, turn, shift=6)]


@dataclass(frozen=True)
class Row:
    """``look``: what is not drawn at random; ``card``: one reading is given; ``bins``: widths."""

    draw: Draw = single
    look: dict[str, Any] = field(default_factory=dict)
    card: bool = False
    bins: tuple[tuple[float, float], ...] = BINS


ROWS = {
    "alone": Row(),
    "contrast 0.35": Row(look={"contrast": 0.35}),
    "contrast 0.95": Row(look={"contrast": 0.95}),
    "JPEG 75": Row(look={"jpeg": 75}),
    "JPEG 85": Row(look={"jpeg": 85}),
    "sharpened 0.8": Row(look={"sharpen": 0.8}),
    "S-curve 0.5": Row(look={"tone": 0.5}),
    "sensor noise 0.03": Row(look={"sensor": 0.03}),
    "sand 0.06": Row(look={"sand": 0.06}),
    "light slope 0.5": Row(look={"slope": 0.5}),
    "dirt 0.1": Row(look={"dirt": 0.1}),
    "one reading": Row(card=True, bins=BINS[1:5]),
    "beside 4 px": Row(beside_wide, bins=BINS[:4]),
    "curved": Row(curved, bins=BINS[1:5]),
    "tapering": Row(tapering, bins=BINS[2:]),
    "crossing": Row(crossing, bins=BINS[1:5]),
    "branching": Row(branching, bins=BINS[1:5]),
    "rough": Row(stony, bins=BINS[1:5]),
    "12 px apart": Row(pair, bins=BINS[1:4]),
}


def random_look(rng: np.random.Generator, fixed: dict[str, Any]) -> Look:
    """Everything that a photograph may differ in, within what the method promises to hold for."""
    drawn = {
        "contrast": rng.uniform(0.45, 0.90),
        "blur": rng.uniform(0.4, 1.5),
        "sand": rng.uniform(0.02, 0.045),
        "sensor": rng.uniform(0.005, 0.015),
        "slope": rng.uniform(0, 0.3),
        "wall": rng.uniform(0.3, 0.6),
        "jpeg": int(rng.integers(88, 98)),
    }
    return Look(**{**drawn, "size": SIZE, **fixed})


def case_of(row: Row, low: float, high: float, rng: np.random.Generator) -> Case:
    """One photograph of a row whose crack is ``low`` to ``high`` px wide."""
    width = rng.uniform(low, high)
    return taken(rng, row.draw(rng, width), random_look(rng, row.look))
