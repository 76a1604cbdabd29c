"""What TIFF files say of their values, and what Pillow makes of it (TIFF 6.0)."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minispiral.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.TiffImagePlugin import TiffImageFile

BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 258, 259, 262, 277
MAX_VALUE, PLANES, EXTRA_SAMPLES, SAMPLE_FORMAT = 281, 284, 338, 339
COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # samples by photometric interpretation
RGB, CMYK, YCBCR = 2, 5, 6
JPEG = (6, 7)  # compressions

# Pillow takes the values of compressed files for big-endian, but libtiff has made them native.
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}


@dataclass(frozen=True)
class Layout:
    """How the values of a picture are meant, of TIFF or another format.

    ``white`` is the largest value that the file allows, None if it leaves that open; with
    ``white_is_zero`` Pillow leaves it to us to invert; ``signed`` values hold one of their ``bits``
    less. Samples beside the colours are transparency if ``alpha``. Of colours of 16 bits
    Pillow can be made to give the ``second_byte``.
    """

    white: int | None = None
    white_is_zero: bool = False
    signed: bool = False
    bits: int = 16
    alpha: bool = False
    second_byte: bool = True


def prepare(image: TiffImageFile, path: Path) -> Layout:
    """Correct how Pillow is about to decode ``image``, and tell how its values are meant.

    Raises `UserError` for planes kept apart in a way that Pillow garbles.
    """
    tags = image.tag_v2
    samples, bits = tags.get(SAMPLES, 1), _first(tags.get(BITS, (1,)))
    compressed, apart = tags.get(COMPRESSION, 1) != 1, tags.get(PLANES, 1) == 2 and samples > 1
    if apart:
        _check_planes(tags, path)
        if not compressed and bits == 16:
            order = "L" if image.tag_v2.prefix == b"II" else "B"
            _change_raw_mode(image, lambda mode: f"{mode};16{order}")
    elif compressed and sys.byteorder == "little":
        _change_raw_mode(image, lambda mode: NATIVE.get(mode, mode))
    declared = _first(tags.get(MAX_VALUE, (0,)))
    white = None
    if bits < 16:
        white = 2**bits - 1
    elif isinstance(declared, int) and 255 <= declared < 2**bits and not declared & (declared + 1):
        white = declared
    return Layout(
        white=white,
        white_is_zero=tags.get(PHOTOMETRIC, 0) == 0 and image.mode.startswith(("I", "F")),
        signed=_first(tags.get(SAMPLE_FORMAT, (1,))) == 2,
        bits=bits,
        alpha=_first(tags.get(EXTRA_SAMPLES, (0,))) in (1, 2),
        second_byte=not (apart and compressed),
    )


def _check_planes(tags: Mapping[int, Any], path: Path) -> None:
    """Refuse what Pillow reads into the wrong planes."""
    photometric, samples = tags.get(PHOTOMETRIC, 0), tags.get(SAMPLES, 1)
    extra, bits = tags.get(EXTRA_SAMPLES, ()), _first(tags.get(BITS, (1,)))
    plain = photometric in (RGB, CMYK) and samples == COLOURS[photometric] and not extra
    ignored = photometric == RGB and bool(extra) and not any(extra)
    with_alpha = photometric == RGB and samples == 4 and extra == (2,)
    compression = tags.get(COMPRESSION, 1)
    jpeg = photometric == YCBCR and compression in JPEG
    if not (plain or with_alpha or jpeg or (ignored and compression != 1)) or bits not in (8, 16):
        raise UserError(f"{path} is {describe(tags)}, which is not read; {ADVICE}")


ADVICE = "save it as RGB with 8 bits, all samples of a pixel together"


def describe(tags: Mapping[int, Any]) -> str:
    """What the tags say of the samples, for messages."""
    samples, bits = tags.get(SAMPLES, 1), _first(tags.get(BITS, (1,)))
    kind = {2: "signed ", 3: "floating-point "}.get(_first(tags.get(SAMPLE_FORMAT, (1,))), "")
    colours = {0: "grey, white is zero", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"}
    photometric = tags.get(PHOTOMETRIC, 0)
    text = (
        f"a TIFF of {samples} {kind}sample{'s' * (samples != 1)} of {bits} bits "
        f"({colours.get(photometric, f'photometric interpretation {photometric}')}"
    )
    extra = samples - COLOURS.get(photometric, samples)
    if extra > 0:
        text += f" and {extra} more"
    if tags.get(PLANES, 1) == 2:
        text += ", planes apart"
    return f"{text}, compression {tags.get(COMPRESSION, 1)})"


def reason(path: Path) -> str | None:
    """What the TIFF file ``path`` holds that Pillow does not know; None for another file."""
    from PIL.TiffImagePlugin import PREFIXES, ImageFileDirectory_v2

    with contextlib.suppress(Exception), path.open("rb") as file:  # damaged tags raise anything
        header = file.read(8)
        if header.startswith(tuple(PREFIXES)):
            if header[2:4] in (b"\0\x2b", b"\x2b\0"):
                header += file.read(8)
            tags = ImageFileDirectory_v2(header)
            file.seek(tags.next)
            tags.load(file)
            if SAMPLES in tags or BITS in tags:
                return describe(tags)
    return None


def _change_raw_mode(image: TiffImageFile, change: Any) -> None:
    """Let the tiles of ``image`` be decoded with other raw modes."""
    image.tile = [
        with_raw_mode(tile, (change(tile[3][0]), *tile[3][1:]))  # type: ignore[index]
        for tile in image.tile
    ]


def with_raw_mode(tile: Any, args: Any) -> Any:
    """A tile with other arguments of its decoder; older versions of Pillow have plain tuples."""
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) and value else value or 0
