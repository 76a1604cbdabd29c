"""How far apart two trainings are, as the worst relative deviations of their numbers."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from tests.twin.task import Step

LIMIT = 1e-9  # of every deviation
KINDS = ("losses", "gradients", "weights")  # what is compared; running statistics count as weights


class Deviation(NamedTuple):
    """A difference relative to the largest magnitude in its tensor, and the place of it."""

    relative: float
    where: str


def compare(ours: Iterable[Step], theirs: Iterable[Step]) -> dict[str, Deviation]:
    """The worst deviation of losses, gradients and weights over all steps and elements."""
    found: dict[str, list[Deviation]] = {what: [] for what in KINDS}
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True), 1):
        found["losses"].append(Deviation(abs(a.loss / b.loss - 1), f"step {k}"))
        for what, own, other in (
            ("gradients", a.gradients, b.gradients),
            ("weights", a.weights, b.weights),
        ):
            assert own.keys() == other.keys()
            for name, array in other.items():
                assert own[name].shape == array.shape
                relative = deviation(own[name], array, np.abs(array).max())
                found[what].append(Deviation(relative, f"{name}, step {k}"))
    return {what: worst(deviations) for what, deviations in found.items()}


def deviation(ours: Any, theirs: Any, scale: float) -> float:
    """The largest difference over ``scale``; zeros must be zeros on both sides."""
    difference = float(np.abs(np.subtract(ours, theirs)).max())
    return difference / float(scale) if scale else (np.inf if difference else 0.0)


def worst(deviations: Iterable[Deviation]) -> Deviation:
    return max(deviations, key=lambda d: np.inf if np.isnan(d.relative) else d.relative)
