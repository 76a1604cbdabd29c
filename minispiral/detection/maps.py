"""The maps from which a network makes its logits: Spiral-Net's (Fig. 3), HED's side outputs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.photos import read_photo, write_picture
from minispiral.detection.inference import evaluating
from minispiral.detection.pictures import side_by_side
from minispiral.detection.tiling import TileAxis, predict, tile_axis
from minispiral.device import choose
from minispiral.errors import UserError
from minispiral.kernels import arithmetic, tiles
from minispiral.kernels.arrays import Array, get, like
from minispiral.kernels.cpu import parallel
from minispiral.memory import memory_for
from minispiral.networks import Network
from minispiral.runs.checkpoint import load_network
from minispiral.tensor import Tensor, no_grad

WINDOW = 512  # pixels, the side of the window of a large photograph that is shown
WHITE = 99.9  # the percentile of a map that is drawn white


@dataclass(frozen=True)
class Map:
    """A map (h, w) of a network, and what it is."""

    title: str
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Inspection:
    """The maps of a network in a window of a photograph, and the window's top left pixel."""

    photo: NDArray[np.uint8]
    probability: NDArray[np.float32]
    maps: list[Map]
    left: int
    top: int

    def picture(self, width: int = 420) -> NDArray[np.uint8]:
        """The photograph, the probability of crack and all maps with their titles, in a grid.

        Black is zero or, in a map with negative values, the least of them. ``width`` is that of a
        cell in pixels.
        """
        cells = [self.photo, np.rint(self.probability * 255).astype(np.uint8)]
        captions = ["photograph", "probability of crack"]
        for one in self.maps:
            cells.append(_grey(one.values))
            captions.append(one.title)
        columns = int(np.ceil(np.sqrt(len(cells))))
        missing = -len(cells) % columns
        cells += [np.full_like(self.photo, 255)] * missing
        captions += [""] * missing
        rows = range(0, len(cells), columns)
        return side_by_side(
            [""] * columns,
            [cells[i : i + columns] for i in rows],
            [captions[i : i + columns] for i in rows],
            width,
            legend=False,
        )


def inspect(
    run: Path | str,
    photo: Path | str,
    out: Path | str,
    at: tuple[int, int] | None = None,
    size: int = WINDOW,
    device: str = "auto",
    precision: str = "float32",
    as_stored: bool = False,
) -> Inspection:
    """Draw the maps that the network of ``run`` makes of a photograph into the picture ``out``.

    Of a photograph larger than ``size`` pixels a window is shown: around the pixel ``at`` (x, y),
    or where the probability of crack is highest. ``device`` and ``precision`` are those of
    `minispiral.device.choose`, ``as_stored`` is that of `read_photo`.

    Raises `UserError` for a network without maps, a photograph that cannot be read or
    does not fit in memory, a pixel outside it and a file that cannot be written.
    """
    computing = choose(device, precision)
    network = load_network(run, device=computing)
    if not network.map_titles:
        raise UserError(
            f"{run} holds the network {network.name}, which makes no maps on its way to the "
            "logits; give a run of another network."
        )
    with memory_for(Path(photo)), computing.in_use():
        inspection = look(network, read_photo(photo, as_stored), at, size)
        write_picture(out, inspection.picture())
    return inspection


def look(
    network: Network,
    photo: NDArray[np.uint8],
    at: tuple[int, int] | None = None,
    size: int = WINDOW,
) -> Inspection:
    """The maps that a network makes in evaluation mode; see `inspect`.

    It clears the gradients of the network's parameters.
    """
    if size < 1:
        raise UserError(f"a window of {size} pixels was asked for, expected at least 1", "size")
    h, w = photo.shape[:2]
    part_h, part_w = min(size, h), min(size, w)
    if at is not None:
        x, y = at
        if not (0 <= x < w and 0 <= y < h):
            raise UserError(
                f"pixel {x},{y} is outside the photograph of {w} x {h} pixels; give x from 0 to "
                f"{w - 1} and y from 0 to {h - 1}"
            )
        left = min(max(x - part_w // 2, 0), w - part_w)
        top = min(max(y - part_h // 2, 0), h - part_h)
    elif (part_h, part_w) == (h, w):
        left = top = 0
    else:
        top, left = _likeliest(predict(network, photo), part_h, part_w)
    rows = _one_tile(top, part_h, h, network.unit)
    columns = _one_tile(left, part_w, w, network.unit)
    tile = tiles.cut(photo, [(rows.first, columns.first)], (rows.side, columns.side))
    inside = (
        slice(top - rows.first, top - rows.first + part_h),
        slice(left - columns.first, left - columns.first + part_w),
    )
    try:
        with evaluating(network), no_grad():
            maps = network.maps(Tensor(like(tile, network.parameters()[0].data)))
            probability = _cut(arithmetic.sigmoid(network.logits(maps).data), inside)
    finally:
        parallel.trim()
    weights = ["" if weight is None else f" ({weight:+.3f})" for weight in _weights(network)]
    shown = [
        Map(title + weight, _cut(one.data, inside))
        for title, weight, one in zip(network.map_titles, weights, maps, strict=True)
    ]
    window = photo[top : top + part_h, left : left + part_w]
    return Inspection(window, probability, shown, left, top)


def _cut(values: Array, inside: tuple[slice, slice]) -> NDArray[np.float32]:
    """The window of a map ``(1, h, w, 1)``, without the memory of the rest."""
    window: NDArray[np.float32] = get(values)[0, ..., 0][inside].copy()
    return window


def _weights(network: Network) -> list[float | None]:
    """The derivative of the logits by each map: its weight, or None if it is not connected."""
    pixel = like(np.ones((1, 1, 1, 1), np.float32), network.parameters()[0].data)
    maps = [Tensor(pixel, requires_grad=True) for _ in network.map_titles]
    with evaluating(network):
        network.logits(maps).backward()
    for p in network.parameters():
        p.grad = None
    return [None if one.grad is None else float(get(one.grad).item()) for one in maps]


def _likeliest(probability: NDArray[np.float32], h: int, w: int) -> tuple[int, int]:
    """Top and left of the window of ``h`` x ``w`` pixels with the largest sum of probabilities."""
    integral = np.pad(probability.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    sums = integral[h:, w:] - integral[:-h, w:] - integral[h:, :-w] + integral[:-h, :-w]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top), int(left)


def _one_tile(start: int, size: int, length: int, unit: int) -> TileAxis:
    """One tile around ``size`` pixels from ``start``, on the grid of the whole photograph."""
    alone = tile_axis(size + start % unit, unit, side=10**9)  # one tile, whatever its size
    return TileAxis(length, start - start % unit + alone.first, alone.side, alone.side, 1)


def _grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    black, white = min(float(values.min()), 0.0), float(np.percentile(values, WHITE))
    share = (values - black) / (white - black) if white > black else np.zeros_like(values)
    grey: NDArray[np.uint8] = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    return grey
