"""How 20 megapixels fit into a page: a reduced photograph, and full resolution where cracks are.

The photograph is embedded as one JPEG, reduced by a whole number so that neither side is above
`SIDE`; of the photograph at full resolution there are square tiles, those through which a crack
runs, the widest cracks first, until the photograph's share of the page is used up. The probability
map is a PNG of 16 levels, reduced like the photograph by taking the greatest value of each block,
so that no thin line is lost. (A canvas of more than 16.7 megapixels stays empty in Safari: the
reduced ones are below.)
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.records import MeasuredCrack

if TYPE_CHECKING:
    from PIL import Image

SIDE = 3000  # pixels, at most, of the longer side of the reduced photograph
TILE = 512  # pixels of the photograph
MARGIN = 24  # pixels around a crack that are shown at full resolution too
SHARE = 8_000_000  # bytes of a page for one photograph, at most
PAGE = 240_000_000  # bytes of a page for all photographs, at most: browsers refuse larger ones
QUALITY = 85
LEVELS = 16


@dataclass(frozen=True)
class Pictures:
    """What is embedded of a photograph, as data URLs.

    ``reduction``: how many pixels of the photograph, along a side, became one. ``size``: width and
    height of the reduced photograph. ``tiles``: left, top and picture of each, in pixels of the
    photograph. ``wanted``: how many tiles have a crack.
    """

    reduction: int
    size: tuple[int, int]
    photo: str
    chances: str
    tiles: tuple[tuple[int, int, str], ...]
    wanted: int


def embed(
    pixels: NDArray[np.uint8],
    chances: NDArray[np.uint8],
    cracks: Sequence[MeasuredCrack],
    levels: Sequence[float],
    share: int = SHARE,
) -> Pictures:
    """A photograph (h, w, 3) and its map (h, w) in at most about ``share`` bytes of a page.

    ``levels``: the 15 probabilities, ascending, at which the levels 1 to 15 of the map begin.
    """
    from PIL import Image

    whole = Image.fromarray(pixels)
    side = SIDE
    while True:
        reduction = -(-max(whole.size) // side)
        reduced = whole.reduce(reduction) if reduction > 1 else whole
        photo = _jpeg(reduced)
        if len(photo) <= share // 2 or side <= 400:
            break
        side = side * 2 // 3
    table = np.searchsorted(levels, np.arange(256) / 255, side="right").astype(np.uint8)
    coded = _png(table[_greatest(chances, reduction)])
    left = share - len(photo) - len(coded)
    tiles = []
    wanted = _tiles(cracks, whole.size) if reduction > 1 else []
    for x, y in wanted:
        tile = _jpeg(whole.crop((x, y, min(x + TILE, whole.width), min(y + TILE, whole.height))))
        left -= len(tile)
        if left < 0:
            break
        tiles.append((x, y, tile))
    return Pictures(reduction, reduced.size, photo, coded, tuple(tiles), len(wanted))


def _greatest(values: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """The greatest value of each block of ``block`` x ``block``; those at the edge may be cut."""
    for _ in "yx":
        greatest = values[::block].copy()
        for k in range(1, block):
            below = values[k::block]
            np.maximum(greatest[: len(below)], below, out=greatest[: len(below)])
        values = greatest.T
    return values


def _tiles(cracks: Iterable[MeasuredCrack], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Left and top of the tiles through which cracks run, those of the widest cracks first."""
    columns, rows = (-(-side // TILE) for side in size)
    found: dict[tuple[int, int], None] = {}

    def widest(crack: MeasuredCrack) -> float:
        return crack.maximum.value if crack.maximum.known else 0.0

    for crack in sorted(cracks, key=widest, reverse=True):
        for dx in (-MARGIN, MARGIN):
            for dy in (-MARGIN, MARGIN):
                at = ((crack.points + np.array([dx, dy])) // TILE).astype(int)
                at = np.unique(np.clip(at, 0, (columns - 1, rows - 1)), axis=0)
                found.update(dict.fromkeys((int(x) * TILE, int(y) * TILE) for x, y in at))
    return list(found)


def _jpeg(picture: Image.Image) -> str:
    return _url("jpeg", picture, quality=QUALITY)


def _png(levels: NDArray[np.uint8]) -> str:
    """Levels 0 to 15 as a greyscale of four bits."""
    from PIL import Image

    picture = Image.fromarray(levels, "P")
    picture.putpalette([17 * level for level in range(LEVELS) for _ in "rgb"])
    return _url("png", picture, bits=4)


def _url(kind: str, picture: Image.Image, **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
