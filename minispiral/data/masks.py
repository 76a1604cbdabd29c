"""Crack masks: picture files to where there is crack, and what is doubtful about them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minispiral.data.decode import Picture, decode
from minispiral.data.palette import shown_values
from minispiral.data.problems import Problem
from minispiral.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]

# Grey values: what is dark, as the ringing of JPEG about a line is, and what is bright.
DARK, MIDDLE, BRIGHT = 32, 128, 224

# A grey picture with this many values, most of it dark, is a line that was blurred; fewer values
# may be classes.
MANY = 16


def read_mask(path: Path | str, as_stored: bool = False) -> Mask:
    """Read a crack mask (h, w), True on crack, rotated as its EXIF orientation says.

    With ``as_stored`` the pixels stay as they lie in the file, whatever EXIF says.

    What a person sees decides: black is background, what is not black is crack.

    - Any non-zero grey value is crack, and so is any non-zero channel: 0/1 and 0/255 masks mean
      the same.
    - In a palette the colours count, so index 0 may be white. Palettes of classes have black
      at 0, and in one of them index 255 is void, which is no crack. Where no colour is dark, white
      is the background if most of the picture is white, otherwise index 0 is.
    - Alpha is ignored, unless the colour is the same everywhere, or half of the picture or more is
      transparent: there what is drawn on the transparent layer is crack, in black too.
    - Lossy formats (JPEG, JPEG 2000, WebP, AVIF, also inside a TIFF) surround every line with small
      non-zero values, so there only values of at least 128 are crack. The same holds for a grey
      picture that such a format, resizing or anti-aliasing has left many values in, while three
      quarters of it are dark.

    Black on white is not turned over: white is crack. `examine_mask` tells what is doubtful.

    Raises `UserError` as `read_photo` does for files, for a mask in a lossy format whose non-zero
    values are all below 128: they cannot be told from compression artefacts; and for NaN.
    """
    return examine_mask(path, as_stored)[0]


def examine_mask(path: Path | str, as_stored: bool = False) -> tuple[Mask, list[Problem]]:
    """Read a mask as `read_mask` does, and tell what is doubtful about it.

    The kinds of doubt are "inverted" (more than half is crack), "soft" (grey values, those of at
    least 128 are crack), "values" (several values, all are crack), "void" (index 255), "palette"
    (no colour of it is dark) and "white" (drawn on white).
    """
    path = Path(path)
    picture = decode(path, as_stored)
    image, doubts = picture.image, dict[str, str]()
    if image.mode.startswith(("I", "F")):
        mask = _of_wide_values(picture, path, doubts)
    else:
        mask = _of_bytes(image, picture.lossy, path, doubts)
    if 2 * np.count_nonzero(mask) > mask.size:
        doubts["inverted"] = f"is {mask.mean():.0%} crack; is it inverted?"
    return mask, [Problem(path, kind, text) for kind, text in doubts.items()]


def _of_wide_values(picture: Picture, path: Path, doubts: dict[str, str]) -> Mask:
    """The mask of grey values that are not bytes: any that is not zero, unless blurred."""
    values: NDArray[Any] = np.asarray(picture.image)
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise UserError(f"Mask {path} holds NaN, expected zero and other numbers; save it as PNG")
    if picture.layout.white_is_zero and values.dtype.kind != "f":
        values = (picture.layout.white or 2**picture.layout.bits - 1) - values
    lowest, highest = values.min(), values.max()
    if lowest < 0:
        doubts["values"] = f"holds negative values, down to {lowest}; all but 0 count as crack"
        return np.asarray(values != 0)
    full = next((top for top in (1, 255, 65535) if highest <= top), None)
    if full is None or (full == 1 and values.dtype.kind != "f"):
        return np.asarray(values != 0)
    grey = (values * (255 / full)).astype(np.uint8) if full != 255 else values.astype(np.uint8)
    soft = _blurred(grey, doubts, classes=True)
    if soft is not None:
        return soft
    if highest > 255 and not doubts and (number := np.count_nonzero(np.unique(values))) >= MANY:
        doubts["values"] = (  # of 12 bits that were smeared, say: which of them is white?
            f"has {number} values up to {highest} beside 0, expected one; all count as crack"
        )
    return np.asarray(values != 0)


def _of_bytes(image: Image.Image, lossy: str, path: Path, doubts: dict[str, str]) -> Mask:
    """The mask of a picture of 8 bits or fewer."""
    colours = image.mode not in ("1", "L", "LA", "La")
    if image.mode in ("P", "PA"):
        values, colours = shown_values(image, doubts)
    else:
        values = _brightest_channel(image)
    layer = _layer(image, values)
    if layer is not None:
        values, colours = layer, False
        doubts.clear()  # those about colours
    if lossy:
        mask = np.asarray(values >= MIDDLE)
        if values.any() and not mask.any():
            raise UserError(
                f"Mask {path} has no value above {values.max()}, which {lossy} compression "
                "cannot be trusted to keep; save the mask as PNG"
            )
        return mask
    soft = _blurred(values, doubts, classes=not colours)
    if soft is not None:
        return soft
    mask = values.view(np.bool_) if values.max() <= 1 else np.asarray(values != 0)
    if image.mode not in ("P", "PA") and values.min() >= DARK:
        mask = _drawn_on_white(image, mask, doubts)
    return mask


def _brightest_channel(image: Image.Image) -> Bytes:
    """The largest of R, G and B, or the grey value, without alpha; 0 and 1 of one bit."""
    if image.mode in ("1", "L"):
        return np.asarray(image).view(np.uint8)
    if image.mode in ("La", "RGBa"):  # multiplied by alpha
        image = image.convert(image.mode.upper())
    if image.mode not in ("LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    bands = [np.asarray(band) for band in image.split()]
    colours = bands[: len(image.mode.removesuffix("A"))]
    brightest: Bytes = colours[0]
    for band in colours[1:]:
        brightest = np.maximum(brightest, band)
    return brightest


def _layer(image: Image.Image, values: Bytes) -> Bytes | None:
    """What is drawn on a transparent layer, None if alpha does not matter."""
    if not image.has_transparency_data:
        return None
    if image.mode == "La":
        image = image.convert("LA")
    alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    if alpha.min() == alpha.max():
        return None
    if values.min() == values.max():
        return alpha
    drawn = alpha != 0
    if 2 * np.count_nonzero(drawn) > drawn.size:
        return None
    visible = values[drawn]
    if visible.any() and not visible.all():  # black and other colours: black is background
        return np.where(drawn, values, np.uint8(0))
    return alpha


def _blurred(values: Bytes, doubts: dict[str, str], classes: bool) -> Mask | None:
    """The bright part of a mask that was sharp once, None if there is no telling.

    The doubts of grey ``classes``, of which all are crack, are told too.
    """
    from PIL import Image

    if np.count_nonzero(values == values.max()) == np.count_nonzero(values):
        return None  # one value, as in most masks: faster than to count all
    counts = np.array(Image.fromarray(values).histogram())
    levels = np.flatnonzero(counts[1:]) + 1
    if len(levels) < 2 or levels[-1] < MIDDLE:
        return None
    dark = counts[:DARK].sum() / values.size
    ends = levels[(levels < DARK) | (levels >= BRIGHT)]
    sharp = len(ends) == len(levels) >= 4 and np.count_nonzero(ends >= BRIGHT) >= 2
    if dark >= 0.75 and (sharp or (len(levels) >= MANY and levels[-1] >= 192)):
        doubts["soft"] = (
            f"has {len(levels)} grey values, as JPEG, resizing or anti-aliasing leave; those of "
            f"at least {MIDDLE} count as crack"
        )
        return np.asarray(values >= MIDDLE)
    if classes or len(levels) >= MANY:
        some = ", ".join(map(str, levels[:4])) + (" ..." if len(levels) > 4 else "")
        doubts["values"] = f"has the values {some} beside 0, expected one; all count as crack"
    return None


def _drawn_on_white(image: Image.Image, mask: Mask, doubts: dict[str, str]) -> Mask:
    """Where there is no black, what is not white, if most of the picture is."""
    shown = image.convert("RGB")
    white = np.logical_and.reduce([np.asarray(band) >= BRIGHT for band in shown.split()])
    if white.all() or 2 * np.count_nonzero(white) <= white.size:
        return mask
    doubts.pop("values", None)
    doubts["white"] = "is drawn on white; what is not white counts as crack"
    return np.asarray(~white)
