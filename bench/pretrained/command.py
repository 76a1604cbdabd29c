"""``python -m bench pretrained``: make the weights that come with the package, from nothing.

The photographs are synthetic, so that no one else has rights in the weights. The same command gives
the same bits, whatever the number of threads.
"""

from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.common.photographs import make_once
from minispiral.cli.progress import TerminalReporter
from minispiral.data.pairs import find_pairs, read_pair
from minispiral.detection.tiling import predict
from minispiral.runs import checkpoint
from minispiral.training import TrainConfig, train

NAME = "pretrained.safetensors"
SIZE = (512, 512)  # px
PHOTOS = {"train": 600, "val": 40}
RECIPE: dict[str, Any] = {
    "depths": (1, 2, 3, 4, 5, 6),
    "width": 0.25,
    "patch": 127,
    "batch": 8,
    "patches_per_image": 20,
    "steps": 8000,
    "lr": 3e-3,
    "schedule": "cosine",
    "warmup": 200,
    "average": True,
    "device": "cpu",
}


@click.command("pretrained")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
def command(folder: Path) -> None:
    """Make photographs, train on them, and write DIR/pretrained.safetensors.

    What DIR holds already is not made again, and a training that was stopped goes on.
    """
    config = TrainConfig(data=folder / "train", val=folder / "val", **RECIPE)
    with TerminalReporter() as terminal:
        for seed, (split, photos) in enumerate(PHOTOS.items()):
            make_once(folder / split, terminal, photos=photos, size=SIZE, seed=seed, kind="varied")
        train(config, folder / "run", resume=True, report=terminal)
    source, packed = folder / "run" / "best.safetensors", folder / NAME
    pack(source, packed)
    difference = largest_difference(source, packed, folder / "val")
    click.echo(
        f"{packed}: {packed.stat().st_size / 1e6:.1f} MB; in half precision its probabilities "
        f"differ by at most {difference:.1g} from those of {source}"
    )


def pack(source: Path, packed: Path) -> None:
    """Keep of a checkpoint what detection needs: convolutions in float16, the rest as it is.

    How long the training took is left out, so that the same weights make the same file.
    """
    whole = checkpoint.load(source)
    tensors = {
        f"network.{name}": values.astype(np.float16) if values.ndim == 4 else values
        for name, values in whole.weights().items()
    }
    config = {**whole.config, "data": "varied", "val": "varied"}
    progress = {name: value for name, value in whole.progress.items() if name != "seconds"}
    checkpoint.save(packed, checkpoint.Checkpoint(whole.step, config, tensors, {}, progress))


def largest_difference(source: Path, packed: Path, data: Path) -> float:
    """Of the probabilities that two checkpoints give for the photographs of ``data``."""
    networks = [checkpoint.load_network(path) for path in (source, packed)]
    largest = 0.0
    for pair in find_pairs(data):
        one, other = (predict(network, read_pair(pair)[0]) for network in networks)
        largest = max(largest, float(np.abs(one - other).max()))
    return largest
