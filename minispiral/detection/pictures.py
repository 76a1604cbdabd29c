"""Pictures of detections: overlays on photographs, and pictures side by side.

Colours that carry a meaning are from the palette of Okabe and Ito, which colour-blind readers can
tell apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError

Colour = tuple[int, int, int]

DETECTED: Colour = (255, 0, 60)  # without a truth to compare with
HIT: Colour = (86, 180, 233)
MISS: Colour = (240, 228, 66)
FALSE_ALARM: Colour = (213, 94, 0)
LEGEND: tuple[tuple[str, Colour], ...] = (
    ("crack found", HIT),
    ("crack missed", MISS),
    ("false alarm", FALSE_ALARM),
)


def overlay(
    photo: NDArray[np.uint8],
    crack: NDArray[np.bool_],
    truth: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Paint the detected ``crack`` (h, w) over the photograph (h, w, 3).

    With a ``truth`` (h, w), cracks found, cracks missed and false alarms have colours of their
    own, on a dark grey photograph so that hairlines of each colour show.

    Raises `UserError` for sizes that differ.
    """
    for name, other in (("crack mask", crack), ("truth", truth)):
        if other is not None and other.shape != photo.shape[:2]:
            raise UserError(
                f"a photograph of {photo.shape[:2]} pixels and a {name} of {other.shape} were "
                "given, expected the same height and width"
            )
    if truth is None:
        picture = photo.copy()
        for row, here in zip(picture, crack, strict=True):  # many at once take memory by the crack
            row[here] = DETECTED
        return picture
    truth = truth.astype(bool, copy=False)
    grey = photo[..., 1] // 3  # green carries most of the luminance
    picture = np.stack([grey, grey, grey], axis=2)
    picture[crack & truth] = HIT
    picture[~crack & truth] = MISS
    picture[crack & ~truth] = FALSE_ALARM
    return picture


def side_by_side(
    titles: Sequence[str],
    rows: Sequence[Sequence[NDArray[Any]]],
    captions: Sequence[Sequence[str]] | None = None,
    width: int = 360,
    legend: bool = True,
) -> NDArray[np.uint8]:
    """Arrange pictures in titled columns of ``width`` pixels: one picture (h, w, 3) uint8.

    Each of ``rows`` has one picture per column, uint8 grey or RGB or a boolean mask, all with the
    same aspect ratio. If all titles are empty, they take no space. ``captions`` are texts below
    the pictures, in the same arrangement. ``legend`` explains the colours of `overlay` at the
    bottom.

    Raises `UserError` for rows or captions that do not match the titles.
    """
    from PIL import Image, ImageDraw, ImageFont

    for cells in (*rows, *(captions or ())):
        if len(cells) != len(titles):
            raise UserError(
                f"a row of {len(cells)} entries was given for {len(titles)} titles, "
                "expected as many; give each column one picture, and one caption if any"
            )
    if captions is not None and len(captions) != len(rows):
        raise UserError(
            f"{len(captions)} rows of captions were given for {len(rows)} rows of pictures, "
            "expected as many"
        )
    gap, line = width // 24, width // 10
    size = width // 16  # font size in pixels
    heights = [max(round(width * row[0].shape[0] / row[0].shape[1]), 1) for row in rows]
    caption_line = line if captions is not None else 0
    top = gap + (line if any(titles) else 0)
    sheet = Image.new(
        "RGB",
        (
            gap + len(titles) * (width + gap),
            top + sum(heights) + len(rows) * (caption_line + gap) + (line if legend else 0),
        ),
        "white",
    )
    draw = ImageDraw.Draw(sheet)

    def write(x: int, y: int, text: str, anchor: str = "mm") -> None:
        font = ImageFont.load_default(size)
        shrink = min(1.0, width / max(font.getlength(text), 1))
        font = ImageFont.load_default(size * shrink)
        draw.text((x, y + line // 2), text, "black", font, anchor)

    lefts = [gap + k * (width + gap) for k in range(len(titles))]
    for left, title in zip(lefts, titles, strict=True):
        write(left + width // 2, gap // 2, title)
    for i, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for k, (left, cell) in enumerate(zip(lefts, row, strict=True)):
            pixels = cell * np.uint8(255) if cell.dtype == bool else cell
            larger = width > cell.shape[1]
            picture = Image.fromarray(pixels).convert("RGB")
            method = Image.Resampling.NEAREST if larger else Image.Resampling.LANCZOS
            sheet.paste(picture.resize((width, height), method), (left, top))
            if captions is not None:
                write(left + width // 2, top + height, captions[i][k])
        top += height + caption_line + gap
    if legend:
        x = gap
        for text, colour in LEGEND:
            box = (x, top + (line - size) // 2, x + size, top + (line + size) // 2)
            draw.rectangle(box, colour, "black")
            write(x + size + gap // 2, top, text, "lm")
            x += round(ImageFont.load_default(size).getlength(text)) + size + 2 * gap
    return np.asarray(sheet)
