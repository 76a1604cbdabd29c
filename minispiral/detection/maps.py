"""What a network sees on its way to the cracks: Spiral-Net's maps (Fig. 3), HED's side outputs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.photos import read_photo, scaled, write_picture
from minispiral.detection.pictures import side_by_side
from minispiral.detection.tiling import TileAxis, predict, tile_axis
from minispiral.device import choose
from minispiral.errors import UserError
from minispiral.kernels.cpu import parallel
from minispiral.kernels.dispatch import to_host
from minispiral.networks import HED, Network, SpiralNet
from minispiral.ops import sigmoid
from minispiral.runs.checkpoint import load_network
from minispiral.tensor import Tensor, no_grad

WINDOW = 512  # pixels, the side of the part of a large photograph that is shown
WHITE = 99.9  # percentile of a map that is drawn white


@dataclass(frozen=True)
class Stage:
    """A map (h, w) that a network makes on its way, and what it is."""

    title: str
    values: NDArray[np.float32]


@dataclass(frozen=True)
class Inspection:
    """The maps of a network in a part of a photograph, and where that part begins."""

    photo: NDArray[np.uint8]
    probability: NDArray[np.float32]
    stages: list[Stage]
    left: int
    top: int

    def picture(self, width: int = 420) -> NDArray[np.uint8]:
        """All maps with their titles beside the photograph and the probability of crack.

        Black is zero or, where a map has negative values, the least of them.
        """
        cells = [self.photo, np.rint(self.probability * 255).astype(np.uint8)]
        captions = ["photograph", "probability of crack"]
        for stage in self.stages:
            cells.append(_grey(stage.values))
            captions.append(stage.title)
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
) -> Inspection:
    """Draw the maps that the network of ``run`` makes of a photograph into the picture ``out``.

    A photograph larger than ``size`` pixels is shown in part: around the pixel ``at`` (x, y), or
    where the network sees the most cracks. ``device`` and ``precision`` are those of
    `minispiral.device.choose`.

    Raises `UserError` for a network without maps, a photograph that cannot be read, a pixel
    outside it and a file that cannot be written.
    """
    computing = choose(device, precision)
    network = load_network(run, device=computing)
    _check_has_maps(network, run)
    with computing.in_use():
        inspection = look(network, read_photo(photo), at, size)
    write_picture(out, inspection.picture())
    return inspection


def look(
    network: Network,
    photo: NDArray[np.uint8],
    at: tuple[int, int] | None = None,
    size: int = WINDOW,
) -> Inspection:
    """The maps of a network in evaluation mode; see `inspect`."""
    if size < 1:
        raise UserError(f"a part of {size} pixels was asked for, expected at least 1")
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
        top, left = _fullest(predict(network, photo), part_h, part_w)
    rows = _around(top, part_h, h, network.unit)
    columns = _around(left, part_w, w, network.unit)
    pixels = photo[np.ix_(rows.source(0), columns.source(0))][np.newaxis]
    inside = (
        slice(top - rows.first, top - rows.first + part_h),
        slice(left - columns.first, left - columns.first + part_w),
    )
    try:
        with no_grad():
            titles, maps, logits = _maps(network, Tensor(scaled(network.place(pixels))))
            probability = to_host(sigmoid(logits).data)[0, ..., 0][inside].copy()
    finally:
        parallel.trim()
    stages = [
        Stage(title, to_host(one.data)[0, ..., 0][inside].copy())
        for title, one in zip(titles, maps, strict=True)
    ]
    window = photo[top : top + part_h, left : left + part_w]
    return Inspection(window, probability, stages, left, top)


def _check_has_maps(network: Network, run: Path | str) -> None:
    if not isinstance(network, SpiralNet | HED):
        raise UserError(
            f"{run} holds a U-Net, which makes no maps on its way to the cracks; give a run of a "
            "Spiral-Net or of HED."
        )


def _maps(network: Network, x: Tensor) -> tuple[list[str], list[Tensor], Tensor]:
    """Titles and maps of all modules or stages, and the logits."""
    if isinstance(network, HED):
        *sides, logits = network.outputs(x)
        weights = to_host(network.fuse.w.data)[0, 0, :, 0]
        titles = [f"side output {k} ({weight:+.3f})" for k, weight in enumerate(weights, start=1)]
        return titles, sides, logits
    assert isinstance(network, SpiralNet)
    maps = network.maps(x)
    titles = [
        f"module {k}, depth {depth}{_weight(network, k)}"
        for k, depth in enumerate(network.depths, start=1)
    ]
    return titles, maps, network(x)


def _weight(network: SpiralNet, k: int) -> str:
    """The weight of module ``k``, from 1, in the last 1 x 1 convolution, in parentheses."""
    weights = to_host(network.mix.w.data)[0, 0, :, 0]
    if network.connection == "none" and k < len(network.depths):
        return ""  # the last module alone goes on
    return f" ({weights[k - 1 if network.connection == 'concat' else 0]:+.3f})"


def _fullest(probability: NDArray[np.float32], h: int, w: int) -> tuple[int, int]:
    """Top and left of the window of ``h`` x ``w`` pixels that holds the most probability."""
    sums = np.pad(probability.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
    held = sums[h:, w:] - sums[:-h, w:] - sums[h:, :-w] + sums[:-h, :-w]
    top, left = np.unravel_index(held.argmax(), held.shape)
    return int(top), int(left)


def _around(start: int, size: int, length: int, unit: int) -> TileAxis:
    """One tile around ``size`` pixels from ``start``, on the grid of a whole photograph."""
    lone = tile_axis(size + start % unit, unit, side=10**9)  # one tile, whatever its size
    return TileAxis(length, start - start % unit + lone.first, lone.side, lone.side, 1)


def _grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    black, white = min(float(values.min()), 0.0), float(np.percentile(values, WHITE))
    share = (values - black) / (white - black) if white > black else np.zeros_like(values)
    grey: NDArray[np.uint8] = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
    return grey
