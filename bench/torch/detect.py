"""Serves the same searches by PyTorch, over the tiles that minispiral lays.

A "trial" takes only some of the tiles, for they have one size: code compiled for it fits them all.
"""

import argparse
from itertools import islice, product

import numpy as np
import torch
from numpy.typing import NDArray

from bench.common.search import UNIT, Search
from bench.common.task import DEPTHS
from bench.torch.cpu import LAYOUTS
from bench.torch.networks import SpiralNet
from bench.common.worker import serve
from minispiral.detection.tiling import tile_axis

TRIAL = 4  # tiles


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--layout", choices=LAYOUTS, required=True)
    parser.add_argument("--compile", action="store_true")
    search, options = Search.parse(parser)
    memory_format = LAYOUTS[options.layout]
    network = SpiralNet(range(1, DEPTHS + 1), search.factor).eval()
    network = network.to(memory_format=memory_format)
    forward = torch.compile(network) if options.compile else network
    photo = search.photo()

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

    def work(request: str) -> None:
        with torch.inference_mode():
            predict(TRIAL if request == "trial" else None)

    serve({"threads": torch.get_num_threads()}, work)


if __name__ == "__main__":
    main()
