"""Crack probabilities for a photograph of any size, predicted in overlapping tiles."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from minispiral.detection.inference import evaluating, infer
from minispiral.errors import UserError
from minispiral.kernels import tiles
from minispiral.kernels.arrays import get, like, on_gpu
from minispiral.kernels.cpu import parallel
from minispiral.kernels.cpu.tiles import inside, reflected
from minispiral.kernels.cuda.launch import MOST_ELEMENTS
from minispiral.networks import Network

LEAST_OVERLAP = 64  # neighbouring tiles share at least this many pixels, less one
LARGEST_SIDE = 768  # the default tile side stays below this, so that a batch fits in memory
CPU_BATCH = 2  # tiles: they keep the cores busy; more would only take more memory
GPU_PIXELS = (
    64 * 255**2
)  # of the tiles of a batch: twice those that a step of training fills it with


@dataclass(frozen=True)
class TileAxis:
    """The tiles along one axis of a photograph, in pixels of the photograph.

    Tile ``k`` starts at ``first + k * step`` and has ``side`` pixels; ``first`` is negative and,
    like ``step``, a multiple of the network's unit. The strided convolutions therefore sample
    every tile on the same grid, that of a single pass over the photograph.
    """

    length: int
    first: int
    step: int
    side: int
    count: int

    def start(self, k: int) -> int:
        """Where tile ``k`` begins."""
        return self.first + k * self.step

    def source(self, k: int) -> NDArray[np.intp]:
        """The photograph's pixel under each pixel of tile ``k``, ``(side,)``, edges reflected."""
        return reflected(self.start(k), self.side, self.length)

    def inside(self, k: int) -> tuple[slice, slice]:
        """Where tile ``k`` lies on the photograph, as a slice of the photograph and of the tile."""
        return inside(self.start(k), self.side, self.length)

    def weight(self, k: int) -> NDArray[np.float32]:
        """The weight of tile ``k`` in the average, ``(side,)``; weights of all tiles sum to 1.

        Where the tile overlaps a neighbour the weight is 0 in the outer quarter, where the
        network sees too little context, then a linear ramp, then 1. With an overlap of
        ``2^p - 1`` pixels the ramp consists of multiples of ``2^(1-p)``, so that the sum is exact.
        """
        weight = np.ones(self.side, np.float32)
        overlap = self.side - self.step
        quarter = (overlap + 1) / 4
        ramp = np.clip((np.arange(1, overlap + 1) - quarter) / (2 * quarter), 0, 1)
        if k > 0:
            weight[:overlap] = ramp
        if k < self.count - 1:
            weight[self.step :] = ramp[::-1]
        return weight


def tile_axis(length: int, unit: int, side: int | None = None) -> TileAxis:
    """Lay tiles of at most ``side`` pixels over ``length`` pixels.

    The photograph is extended by at least a quarter of the overlap at both ends, so that its edge
    pixels have context too. Without ``side``, the tile side below 768 that computes the fewest
    pixels is chosen. A single tile is made as small as possible.

    Raises `UserError` if tiles of ``side`` pixels are too small to overlap.
    """
    shared = unit * -(-LEAST_OVERLAP // unit)  # the overlap is one pixel less
    margin = unit * -(-shared // (4 * unit))
    extended = margin + length + shared // 4
    smallest = 2 * shared - 1  # so that a pixel lies on at most two tiles
    if side is not None and side < smallest:
        raise UserError(
            f"tiles of side {side} are too small to overlap without seams for this network, "
            f"expected at least {smallest}",
            "side",
        )

    def lay(side: int) -> TileAxis:
        if extended <= side:
            side = max(unit * -(-(extended + 1) // unit), 2 * unit) - 1
            return TileAxis(length, -margin, side, side, 1)
        step = side + 1 - shared
        return TileAxis(length, -margin, step, side, 1 + -(-(extended - side) // step))

    if side is not None:
        return lay(side)
    sides = range(smallest, max(smallest + 1, LARGEST_SIDE), unit)
    return min(map(lay, sides), key=lambda axis: axis.count * axis.side)


def photo_progress(
    progress: Callable[[float, int], None] | None, done: int, total: int
) -> Callable[[int, int], None] | None:
    """Progress over the tiles of one photograph, told as progress over ``total`` photographs.

    ``done`` of them are finished; the tiles add the fraction of the one in work.
    """
    if progress is None:
        return None
    return lambda tiles_done, tiles: progress(done + tiles_done / tiles, total)


def predict(
    network: Network,
    photo: NDArray[np.uint8],
    side: int | None = None,
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """The probability of crack in every pixel: ``photo`` (h, w, 3) uint8 to (h, w) float32.

    The network runs in evaluation mode on ``batch`` overlapping tiles at a time; the
    probabilities are averaged with separable weights that sum to 1. Wherever the receptive field
    lies inside a tile, the result is that of a single pass over the photograph. Apart from the
    current batch only the result is held in memory, which hardly grows with the photograph. A GPU
    holds the photograph too, which it is sent once, and returns the result once.

    ``side`` is the largest tile side, ``network.unit * k - 1`` (default: the cheapest), and
    ``batch`` by default as many tiles as keep the device busy. ``progress(done, total)`` counts
    tiles, those of a GPU as they are handed to it.

    Raises `UserError` for an array that is not a photograph, a side that the network cannot take
    and a batch below 1.
    """
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8 or photo.size == 0:
        raise UserError(
            f"a photograph of shape {photo.shape} and type {photo.dtype} was given, expected "
            "(height, width, 3) and uint8; read it with minispiral.data.photos.read_photo"
        )
    if batch is not None and batch < 1:
        raise UserError(f"a batch of {batch} tiles was given, expected 1 or more", "batch")
    if side is not None:
        network.check_side(side)
    rows, columns = (tile_axis(length, network.unit, side) for length in photo.shape[:2])
    grid = list(product(range(rows.count), range(columns.count)))
    hw = rows.side, columns.side
    parameter = network.parameters()[0].data
    if batch is None:
        batch = _gpu_batch(len(grid), hw) if on_gpu(parameter) else CPU_BATCH
    # A kernel takes no larger array; the host then cuts and blends.
    held = like(photo, parameter) if photo.size <= MOST_ELEMENTS else photo
    probability = tiles.blank(held)

    try:
        with evaluating(network):
            for done in range(0, len(grid), batch):
                chosen = grid[done : done + batch]
                corners = [(rows.start(i), columns.start(j)) for i, j in chosen]
                weights = [
                    (like(rows.weight(i), held, True), like(columns.weight(j), held, True))
                    for i, j in chosen
                ]
                logits = infer(network, like(tiles.cut(held, corners, hw), parameter))
                if not on_gpu(held):
                    logits = get(logits)
                tiles.blend(probability, logits, corners, weights)
                if progress is not None:
                    progress(done + len(chosen), len(grid))
        return get(probability)
    finally:
        parallel.trim()  # the next arrays, of another photograph or of training, differ in size


# `predict`, or a function that takes and gives the same.
Predict = Callable[..., NDArray[np.float32]]


def _gpu_batch(tiles: int, hw: tuple[int, int]) -> int:
    """Tiles of ``hw`` pixels in a batch: about `GPU_PIXELS` in each, all batches alike."""
    most = max(GPU_PIXELS // (hw[0] * hw[1]), 1)
    batches = -(-tiles // most)
    return -(-tiles // batches)
