"""Photographs: picture files to arrays and back."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minispiral.data.decode import Picture, decode
from minispiral.data.depth import QUARTER, to_bytes
from minispiral.data.masks import read_mask
from minispiral.data.tiff import Layout
from minispiral.errors import UserError
from minispiral.files import replacing

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["encode_picture", "read_mask", "read_photo", "write_picture"]


def read_photo(path: Path | str, as_stored: bool = False) -> NDArray[np.uint8]:
    """Read a photograph as 8-bit RGB (h, w, 3), rotated as its EXIF orientation says.

    With ``as_stored`` the pixels stay as they lie in the file, whatever EXIF says.

    Grey becomes equal R, G and B; 16-bit values v become ``round(v / 257)``, so that 65535 is
    white, and 12 bits and bytes that are stored in 16 or 32 are scaled by their own white
    (`minispiral.data.depth.to_bytes`); palettes and CMYK are converted; transparency is composited
    over white, unless it is total. Of a file with several pictures the first is read. A JPEG that
    lacks only its end marker is read, and so is a PNG whose metadata alone are damaged.

    Raises `UserError` for a file that is missing, not a picture, truncated, corrupt or larger than
    500 million pixels, and for values in which white is not certain: floating-point ones, those
    above 65535, negative ones, those of 16 bits that use less than a quarter of them and are not
    known to have 12; and for a TIFF in which near-infrared is declared to be transparency.
    """
    path = Path(path)
    picture = decode(path, as_stored)
    image = picture.image
    if image.mode.startswith(("I", "F")):
        grey = to_bytes(np.asarray(image), picture.layout, path)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if picture.layout.signed and image.mode == "L":
        signed = np.asarray(image).view(np.int8)
        grey = to_bytes(signed, Layout(white=127, bits=8), path)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if picture.deep:
        image = _deep_colour(picture, path, as_stored)
    if picture.file_format == "TIFF":
        image = _without_infrared(image, picture.layout, path)
    image = _over_white(image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def write_picture(path: Path | str, array: NDArray[np.uint8]) -> None:
    """Atomically write (h, w) grey or (h, w, 3) RGB as PNG or JPEG, by the suffix of ``path``.

    Raises `UserError` for any other suffix and when the file cannot be written.
    """
    path = Path(path)
    encoded = encode_picture(path, array)
    with replacing(path) as file:
        file.write(encoded)


def encode_picture(
    path: Path, array: NDArray[np.uint8], metadata: Mapping[str, bytes] | None = None
) -> memoryview:
    """What `write_picture` writes to ``path``, with ``metadata`` as of `jpeg_metadata`.

    Raises `UserError` for a suffix that it does not know.
    """
    from PIL import Image

    options: dict[str, int]
    match path.suffix.lower():
        case ".png":
            image_format, options = "PNG", {}
        case ".jpg" | ".jpeg":
            # Chroma subsampling would smear hairlines and thin coloured overlays.
            image_format, options = "JPEG", {"quality": 95, "subsampling": 0}
        case _:
            raise UserError(f"Pictures are written as .png or .jpg, not as {path.name}")
    image = Image.fromarray(array)
    del array  # of RGB the image is a copy: one is enough
    encoded = io.BytesIO()  # Pillow passes over what a full disk takes of a file only in part
    image.save(encoded, image_format, **options, **(metadata or {}))
    return encoded.getbuffer()


def _deep_colour(picture: Picture, path: Path, as_stored: bool) -> Image.Image:
    """A picture of 16 bits per sample in colour, scaled by its own white where that is lower.

    Pillow gives the first byte of each sample. Where all are small the second is needed too.
    """
    from PIL import Image

    image = picture.image
    colours = len(image.mode.rstrip("A"))
    first = np.asarray(image)
    largest = int(first[..., :colours].max())
    if largest >= QUARTER // 256 or image.mode == "CMYK":
        return image
    known = picture.layout.second_byte and not picture.raw_mode.startswith(("LA", "RGBa"))
    if not known:
        raise UserError(
            f"{path} holds values up to {largest * 256 + 255} in 16 bits, so it is not certain "
            "which value is white; save it as an 8-bit picture"
        )
    second = np.asarray(decode(path, as_stored, low_bytes=True).image)
    values = first[..., :3] * np.uint16(256) + second[..., :3]
    colour = to_bytes(values, picture.layout, path)
    return Image.fromarray(np.concatenate([colour, first[..., 3:]], axis=2))


def _without_infrared(image: Image.Image, layout: Layout, path: Path) -> Image.Image:
    """Drop a further band of a TIFF that Pillow takes for transparency though it is none.

    Transparency is 0 or 255 almost everywhere. A band that varies and is neither, but for one
    pixel in forty, is a photograph, such as near-infrared.

    Raises `UserError` if the file says that such a band is transparency.
    """
    if image.mode not in ("RGBA", "LA"):
        return image
    band = np.asarray(image.getchannel("A"))
    clear = np.count_nonzero((band == 0) | (band == 255))
    if clear * 40 >= band.size or band.min() == band.max():
        return image
    if layout.alpha:
        raise UserError(
            f"{path} has a band of its own, such as near-infrared, declared to be transparency; "
            "save it without the band, as RGB"
        )
    return image.convert(image.mode.removesuffix("A"))


def _over_white(image: Image.Image) -> Image.Image:
    """Composite a picture with any kind of transparency over white.

    A picture that is transparent everywhere is none to be seen: its fourth byte is not alpha.
    """
    from PIL import Image

    if not image.has_transparency_data:
        return image
    if image.mode in ("La", "RGBa"):  # multiplied by alpha
        image = image.convert(image.mode.upper())
    shown = image.convert("RGBA")
    if not shown.getchannel("A").getbbox():
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), shown)
