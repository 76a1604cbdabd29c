"""``python -m bench joints``: false alarms on formwork joints, which look like cracks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from minispiral.data.pairs import find_pairs, read_pair
from minispiral.data.photos import read_mask
from minispiral.detection.tiling import predict
from minispiral.errors import UserError
from minispiral.runs.checkpoint import load_network

FOLDERS = ("joints", "planking")  # next to images/ and masks/, in synth's datasets and in UAV75

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class JointAlarms:
    """Detected pixels that are no crack, on joints and elsewhere, over a set of photographs."""

    joint_pixels: int = 0
    joint_alarms: int = 0
    other_pixels: int = 0
    other_alarms: int = 0

    def __add__(self, other: JointAlarms) -> JointAlarms:
        mine, theirs = vars(self), vars(other)
        return JointAlarms(**{name: mine[name] + theirs[name] for name in mine})

    @property
    def joint_rate(self) -> float | None:
        """The share of the joint pixels that is detected."""
        return self.joint_alarms / self.joint_pixels if self.joint_pixels else None

    @property
    def other_rate(self) -> float | None:
        """The share of the pixels that are neither joint nor crack that is detected."""
        return self.other_alarms / self.other_pixels if self.other_pixels else None


def count(detected: Mask, crack: Mask, joints: Mask) -> JointAlarms:
    """The alarms in one photograph, from its masks (h, w); a crack on a joint is a crack."""
    numbers = []
    for place in (joints & ~crack, ~joints & ~crack):
        numbers += [int(np.count_nonzero(place)), int(np.count_nonzero(detected & place))]
    return JointAlarms(*numbers)


def find_joints(data: Path) -> dict[str, Path] | None:
    """The masks of joints by the photograph's name; None if the dataset marks no joints.

    Raises `UserError` if only some photographs have one.
    """
    for folder in FOLDERS:
        if (data / folder).is_dir():
            masks = {path.stem: path for path in (data / folder).iterdir()}
            missing = [pair.name for pair in find_pairs(data) if pair.name not in masks]
            if missing:
                raise UserError(f"{data / folder} has no mask of joints for {missing[0]}; add it.")
            return masks
    return None


def measure(run: Path, data: Path, threshold: float = 0.5) -> JointAlarms:
    """The false alarms of a run's network in the photographs of a dataset that marks joints."""
    masks = find_joints(data)
    if masks is None:
        raise UserError(f"{data} marks no joints: it has neither {' nor '.join(FOLDERS)} in it.")
    network = load_network(run)

    def each() -> Iterable[JointAlarms]:
        for pair in find_pairs(data):
            photo, crack = read_pair(pair)
            detected = predict(network, photo) >= threshold
            yield count(detected, crack, read_mask(masks[pair.name]))

    return sum(each(), JointAlarms())


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
def joints(run: Path, data: Path) -> None:
    """Count the false alarms of RUN on formwork joints, in a DATA folder that marks them."""
    alarms = measure(run, data)
    rates = {"joint_rate": alarms.joint_rate, "other_rate": alarms.other_rate}
    click.echo(json.dumps(vars(alarms) | rates, indent=2))
