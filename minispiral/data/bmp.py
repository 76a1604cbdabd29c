"""BMP files in black and white, of which Pillow misreads some."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minispiral.data.tiff import with_raw_mode
from minispiral.errors import UserError

if TYPE_CHECKING:
    from PIL import ImageFile


def prepare(image: ImageFile.ImageFile, path: Path) -> None:
    """Let a picture whose palette is black and white be decoded with the bits that it has.

    Pillow takes it for 1 bit per pixel whatever the header says. Raises `UserError` for 4.
    """
    if image.mode != "1" or image.tile[0][0] != "raw":
        return
    with path.open("rb") as file:
        file.seek(14 if image.format == "BMP" else 0)  # a DIB has no file header
        header = file.read(16)
    old = header[:4] == b"\x0c\0\0\0"  # OS/2 1.x has shorter fields
    bits = int.from_bytes(header[10:12] if old else header[14:16], "little")
    if bits == 8:
        image.tile = [
            with_raw_mode(tile, ("1;8", *tile[3][1:]))  # type: ignore[index]
            for tile in image.tile
        ]
    elif bits != 1:
        raise UserError(
            f"{path} is a BMP in black and white with {bits} bits per pixel, which is not read; "
            "save it as PNG"
        )
