"""A worker that searches a photograph in PyTorch, over the tiles that minispiral lays."""

from itertools import islice, product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.common.search import UNIT, Search
from bench.common.task import DEPTHS
from bench.common.worker import Served
from bench.torch.networks import SpiralNet
from bench.torch.step import MEMORY_FORMATS
from minispiral.detection.tiling import tile_axis

TRIAL = 4  # tiles


def worker(search: dict[str, Any], layout: str, compiled: bool = False) -> Served:
    """Searches the whole photograph at a "step", some of its tiles at a "trial".

    All tiles have one size, so code compiled in the trial fits them all.
    """
    photo, factor = Search(**search).photo(), Search(**search).factor
    memory_format = MEMORY_FORMATS[layout]
    network = SpiralNet(range(1, DEPTHS + 1), factor).eval().to(memory_format=memory_format)
    forward = torch.compile(network) if compiled else network

    def predict(most_tiles: int | None) -> NDArray[np.float32]:
        rows, columns = (tile_axis(length, UNIT) for length in photo.shape[:2])
        probability = np.zeros(photo.shape[:2], np.float32)
        for i, j in islice(product(range(rows.count), range(columns.count)), most_tiles):
            pixels = torch.from_numpy(photo[np.ix_(rows.source(i), columns.source(j))])
            x = (pixels.permute(2, 0, 1)[None].float() / 127.5 - 1).contiguous(
                memory_format=memory_format
            )
            tile = torch.sigmoid(forward(x))[0, 0].numpy()
            (top, tile_top), (left, tile_left) = rows.inside(i), columns.inside(j)
            weight = np.outer(rows.weight(i)[tile_top], columns.weight(j)[tile_left])
            probability[top, left] += weight * tile[tile_top, tile_left]
        return probability

    def work(request: dict[str, Any]) -> None:
        with torch.inference_mode():
            predict(TRIAL if request["what"] == "trial" else None)

    return {"threads": torch.get_num_threads()}, work
