"""``python -m bench baselines``: scores without learning, from darkness and edge strength."""

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from minispiral.data.pairs import find_pairs, read_pair

Array = NDArray[Any]

LUMINANCE = np.array([0.299, 0.587, 0.114])  # of R, G, B (ITU-R BT.601)


def darkness(photo: NDArray[np.uint8]) -> Array:
    """Minus the luminance of each pixel: (h, w, 3) -> (h, w)."""
    score: Array = -(photo @ LUMINANCE)
    return score


def sobel(photo: NDArray[np.uint8]) -> Array:
    """The magnitude of the Sobel gradient of the luminance: (h, w, 3) -> (h, w)."""
    p = np.pad(photo @ LUMINANCE, 1, mode="edge")
    across = p[:-2] + 2 * p[1:-1] + p[2:]  # smoothed down the columns, (h, w + 2)
    down = p[:, :-2] + 2 * p[:, 1:-1] + p[:, 2:]
    magnitude: Array = np.hypot(across[:, 2:] - across[:, :-2], down[2:] - down[:-2])
    return magnitude


def best_f1(score: Array, mask: NDArray[np.bool_]) -> float:
    """The highest F1 that ``score >= t`` reaches for any t; the mask is used to choose t."""
    order = np.argsort(-score, axis=None)
    hits = np.cumsum(mask.ravel()[order])
    f1 = 2 * hits / (np.arange(1, mask.size + 1) + np.count_nonzero(mask))
    last_of_ties = np.append(np.diff(score.ravel()[order]) != 0, True)
    return float(f1[last_of_ties].max())


def measure(data: Path) -> dict[str, float | int]:
    """Mean F1 of both baselines on the photographs that have a crack, and how rare cracks are."""
    dark, edges, crack, pixels = [], [], 0, 0
    for pair in find_pairs(data):
        photo, mask = read_pair(pair)
        crack += int(np.count_nonzero(mask))
        pixels += mask.size
        if mask.any():
            dark.append(best_f1(darkness(photo), mask))
            edges.append(best_f1(sobel(photo), mask))
    return {
        "photos_with_crack": len(dark),
        "pixels_per_crack_pixel": pixels / max(crack, 1),
        "darkness_f1": float(np.mean(dark)) if dark else 0.0,
        "sobel_f1": float(np.mean(edges)) if edges else 0.0,
    }


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
def baselines(data: Path) -> None:
    """Score a threshold on darkness and one on the Sobel gradient, each the best of all."""
    click.echo(json.dumps(measure(data), indent=2))
