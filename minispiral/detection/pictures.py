"""Pictures of a run: detections laid over photographs, columns side by side, curves of training.

Where colours carry a meaning they are those of Okabe and Ito, which colour-blind readers tell
apart.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError

Colour = tuple[int, int, int]

DETECTED: Colour = (255, 0, 60)  # no truth to compare with
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
    probability: NDArray[np.float32],
    threshold: float = 0.5,
    truth: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The photograph (h, w, 3) with the pixels of ``probability >= threshold`` painted over.

    With a ``truth`` (h, w), cracks found, cracks missed and false alarms get colours of their
    own, on the photograph in dark grey so that hairlines of each colour show.

    Raises `UserError` for sizes that differ.
    """
    for name, other in (("probability map", probability), ("truth", truth)):
        if other is not None and other.shape != photo.shape[:2]:
            raise UserError(
                f"a photograph of {photo.shape[:2]} pixels and a {name} of {other.shape} were "
                "given, expected the same height and width; choose the pair that belongs together"
            )
    detected = probability >= threshold
    if truth is None:
        picture = photo.copy()
        picture[detected] = DETECTED
        return picture
    truth = truth.astype(bool, copy=False)
    grey = photo[..., 1] // 3  # green carries most of the brightness
    picture = np.stack([grey, grey, grey], axis=2)
    picture[detected & truth] = HIT
    picture[~detected & truth] = MISS
    picture[detected & ~truth] = FALSE_ALARM
    return picture


def side_by_side(
    titles: Sequence[str],
    rows: Sequence[Sequence[NDArray[Any]]],
    captions: Sequence[Sequence[str]] | None = None,
    width: int = 360,
    legend: bool = True,
) -> NDArray[np.uint8]:
    """Pictures in titled columns, ``width`` pixels each, as one picture (h, w, 3) uint8.

    ``rows`` holds one picture per column: uint8 grey or RGB, or a boolean mask; pictures of a
    row have the same proportions. Where all titles are empty, no line is left for them.
    ``captions`` are texts under the pictures, in the same arrangement. ``legend`` explains the
    colours of `overlay` at the foot.

    Raises `UserError` for a row or captions that do not fit the titles.
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
            "expected as many; leave the captions out or give each row its own"
        )
    gap, line = width // 24, width // 10
    size = width // 16  # of the letters, in pixels
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
