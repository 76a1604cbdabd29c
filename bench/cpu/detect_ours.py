"""Serves searches of a photograph by minispiral: "step" for all of it, "trial" for a corner."""

import argparse

import numpy as np

from bench.common.search import Search
from bench.common.worker import serve
from minispiral.detection.tiling import predict
from minispiral.kernels.cpu import parallel
from minispiral.networks import build

CORNER = 500  # pixels


def main() -> None:
    search, _ = Search.parse(argparse.ArgumentParser())
    network = build("spiral", width=search.factor, rng=np.random.default_rng(0))
    photo = search.photo()
    pictures = {"step": photo, "trial": photo[:CORNER, :CORNER]}

    def work(request: str) -> None:
        predict(network, pictures[request])

    serve({"threads": parallel.threads()}, work)


if __name__ == "__main__":
    main()
