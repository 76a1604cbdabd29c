"""Photographs and crack masks: from picture files to arrays and back."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minispiral.errors import UserError
from minispiral.files import replacing
from minispiral.kernels.dispatch import layout

if TYPE_CHECKING:
    from PIL import Image

# Twenty-five times an ordinary 20-megapixel photograph: room for stitched facades. Beyond it a
# small file that claims a huge picture (a decompression bomb) would fill the memory.
MAX_PIXELS = 500_000_000

# These formats do not keep pixel values exactly (some of them only optionally).
LOSSY_FORMATS = {"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF"}

_pillow_limit = threading.Lock()


def read_photo(path: Path | str) -> NDArray[np.uint8]:
    """A photograph as 8-bit RGB (h, w, 3), turned upright as its EXIF orientation says.

    Grey becomes equal R, G and B; 16-bit values v become round(v / 257), so that 65535 is
    white; palette and CMYK colours are converted; transparency is laid over white. Of a file
    with several pictures the first is read.

    Raises `UserError` for a file that is missing, no picture, truncated, corrupt, above 500
    million pixels, or holds floating-point or 32-bit values, for which white is not defined.
    """
    path = Path(path)
    image = _decode(path)
    if image.mode.startswith(("I", "F")):
        grey = _eight_bit(np.asarray(image), path)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    return np.array(_over_white(image).convert("RGB"))


def read_mask(path: Path | str) -> NDArray[np.bool_]:
    """A crack mask (h, w), True on crack, turned upright as its EXIF orientation says.

    Any non-zero pixel is crack: 0/1 and 0/255 masks mean the same. In a palette mask the index
    counts, not its colour; in a colour mask any non-zero channel; an alpha channel is ignored.
    A lossy format (JPEG, JPEG 2000, WebP, AVIF) surrounds every line with small non-zero
    values, therefore only values of at least 128 are crack there.

    Raises `UserError` as `read_photo` does, and for a mask in a lossy format whose non-zero
    values are all below 128, because they cannot be told from the traces of the compression.
    """
    path = Path(path)
    image = _decode(path)
    image_format = image.format
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    values = np.asarray(image)
    if image.mode in ("LA", "PA", "RGBA", "RGBX"):
        values = values[..., :-1]
    if values.ndim == 3:
        values = values.max(axis=2)
    if image_format not in LOSSY_FORMATS:
        return np.asarray(values != 0)
    mask = np.asarray(values >= 128)
    if values.any() and not mask.any():
        raise UserError(
            f"Mask {path} has no value above {values.max()}, which {image_format} compression "
            "cannot be trusted to keep; save the mask as PNG"
        )
    return mask


def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels as networks take them, in training and after it: 0 to 255 onto -1 to 1."""
    x: NDArray[np.float32] = layout.scale_pixels(pixels)
    return x


def write_picture(path: Path | str, array: NDArray[np.uint8]) -> None:
    """Write (h, w) grey or (h, w, 3) RGB as PNG or JPEG, as the suffix of ``path`` says.

    An existing picture is replaced whole or not at all.

    Raises `UserError` for another suffix and where the file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    options: dict[str, int]
    match path.suffix.lower():
        case ".png":
            image_format, options = "PNG", {}
        case ".jpg" | ".jpeg":
            # Chroma at half resolution would smear hairlines and thin coloured overlays.
            image_format, options = "JPEG", {"quality": 95, "subsampling": 0}
        case _:
            raise UserError(f"Pictures are written as .png or .jpg, not as {path.name}")
    with replacing(path) as file:
        Image.fromarray(array).save(file, image_format, **options)


def _decode(path: Path) -> Image.Image:
    """Open, check the size before any pixel is decoded, decode, turn upright."""
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with _open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{path} claims {image.width} x {image.height} pixels, more than the "
                    f"{MAX_PIXELS // 10**6} million accepted; cut it into smaller pictures"
                )
            image.verify()  # the checksums of a PNG, which decoding alone passes over
        with _open(path) as image:
            image.load()
            with contextlib.suppress(Exception):  # damaged EXIF data tell no orientation
                ImageOps.exif_transpose(image, in_place=True)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path} is not a picture in a known format, or its beginning is damaged; "
            "replace or remove it"
        ) from error
    except Exception as error:  # decoders raise almost anything on damaged files
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"Cannot read {path}: {error.strerror}") from error
        raise UserError(
            f"{path} cannot be decoded ({error or type(error).__name__}), it seems truncated or "
            "corrupt; replace it by an intact copy"
        ) from error
    return image


def _open(path: Path) -> Image.Image:
    """Read the header alone, without Pillow's limit, which would warn from 89 megapixels on."""
    from PIL import Image

    with _pillow_limit:  # the limit is one for the whole process
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _eight_bit(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """Scale 16-bit grey, whichever integer type Pillow keeps it in, to 8 bit."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"{path} holds {values.dtype} values from {values.min()} to {values.max()}, where "
            "8 or 16 bits per channel were expected; save it as an 8-bit picture"
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _over_white(image: Image.Image) -> Image.Image:
    """Lay a picture with transparency of any kind over white."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))
