"""What a program that runs the model elsewhere must know, in the model's own properties."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minispiral import __version__
from minispiral.detection.metrics import BEST, THRESHOLD
from minispiral.detection.threshold import choose_threshold
from minispiral.detection.tiling import tile_axis
from minispiral.export.graph import Graph
from minispiral.export.translate import INPUT, OUTPUT
from minispiral.networks import Network
from minispiral.runs.checkpoint import Checkpoint

LARGE = 10**9  # pixels: of a side for which the largest tiles are the cheapest
SHAPING = ("depths", "connection", "width", "pretrained")  # the options of `networks.build`
NOT_STATED = "not stated"


def metadata(
    path: Path,
    checkpoint: Checkpoint,
    network: Network,
    graph: Graph,
    uint8: bool,
    licence: str | None,
) -> dict[str, Any]:
    """JSON values by name, of the network of the checkpoint read from ``path`` and its graph.

    Sides are ``unit * k - 1``, k >= 2. Tiles of ``tile_side`` pixels that overlap by
    ``tile_overlap``, from ``tile_margin`` pixels before the photograph on, are those that
    `minispiral.detection.tiling` lays over a large one. ``graph_parameters`` are what is left of
    ``parameters`` where batch norm is folded: its scales, ``folded_parameters``, are gone.
    """
    axis = tile_axis(LARGE, network.unit)
    threshold, found_by = _threshold(path, checkpoint)
    parameters = sum(p.data.size for p in network.parameters())
    return {
        "network": network.name,
        **{
            name: checkpoint.config.get(name)
            for name in SHAPING
            if name not in network.inapplicable
        },
        "step": checkpoint.step,
        "input": INPUT,
        "input_layout": "batch, height, width, RGB",
        "input_type": "uint8" if uint8 else "float32",
        "input_range": [0, 255] if uint8 else [-1, 1],
        "input_scaling": "in the graph" if uint8 else "v / 127.5 - 1 of pixels v from 0 to 255",
        "output": OUTPUT,
        "output_layout": "batch, height, width",
        "threshold": threshold,
        "threshold_found_by": found_by,
        "unit": network.unit,
        "tile_side": axis.side,
        "tile_overlap": axis.side - axis.step,
        "tile_margin": -axis.first,
        "parameters": parameters,
        "graph_parameters": graph.parameters,
        "folded_parameters": parameters - graph.parameters,
        "licence": licence or NOT_STATED,
        "minispiral": __version__,
    }


def as_properties(values: Mapping[str, Any]) -> dict[str, str]:
    """The same as properties of a model, which are text: JSON, but for what is text already."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }


def _threshold(path: Path, checkpoint: Checkpoint) -> tuple[float, str]:
    """The best threshold on the validation photographs or, where none was kept, the usual one."""
    if checkpoint.progress.get("threshold") is None:
        return THRESHOLD, "default"
    return choose_threshold(path, BEST)
