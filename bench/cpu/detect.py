"""A worker that searches a photograph in minispiral."""

from typing import Any

import numpy as np

from bench.common.search import Search
from bench.common.worker import Served
from minispiral.detection.tiling import predict
from minispiral.kernels.cpu import parallel
from minispiral.networks import build

CORNER = 500  # pixels


def worker(search: dict[str, Any]) -> Served:
    """Searches the whole photograph at a "step", a corner of it at a "trial"."""
    photo = Search(**search).photo()
    network = build("spiral", width=Search(**search).factor, rng=np.random.default_rng(0))
    pictures = {"step": photo, "trial": photo[:CORNER, :CORNER]}

    def work(request: dict[str, Any]) -> None:
        predict(network, pictures[request["what"]])

    return {"threads": parallel.threads()}, work
