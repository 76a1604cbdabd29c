"""Photographs and crack masks: picture files to arrays and back."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minispiral.data.formats import open_picture
from minispiral.errors import UserError
from minispiral.files import replacing

if TYPE_CHECKING:
    from PIL import Image

# 25 ordinary photographs of 20 megapixels: room for stitched facades. The limit keeps a
# decompression bomb, a small file that claims to hold a huge picture, from filling the memory.
MAX_PIXELS = 500_000_000

# Formats that do not, or do not always, keep pixel values exactly.
LOSSY_FORMATS = {"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF"}

_pillow_limit = threading.Lock()


def read_photo(path: Path | str, as_stored: bool = False) -> NDArray[np.uint8]:
    """Read a photograph as 8-bit RGB (h, w, 3), rotated as its EXIF orientation says.

    With ``as_stored`` the pixels stay as they lie in the file, whatever EXIF says.

    Grey becomes equal R, G and B; 16-bit values v become ``round(v / 257)``, so that 65535 is
    white; palettes and CMYK are converted; transparency is composited over white. Of a file with
    several pictures the first is read.

    Raises `UserError` for a file that is missing, not a picture, truncated, corrupt or larger than
    500 million pixels, and for floating-point or 32-bit values, in which white is undefined.
    """
    path = Path(path)
    image = _decode(path, as_stored)
    if image.mode.startswith(("I", "F")):
        grey = _eight_bit(np.asarray(image), path)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    return np.array(_over_white(image).convert("RGB"))


def read_mask(path: Path | str, as_stored: bool = False) -> NDArray[np.bool_]:
    """Read a crack mask (h, w), True on crack, rotated as its EXIF orientation says.

    With ``as_stored`` the pixels stay as they lie in the file, whatever EXIF says.

    Any non-zero pixel is crack: 0/1 and 0/255 masks mean the same. What counts is the index in a
    palette mask, not its colour, and any non-zero channel in a colour mask; alpha is ignored.
    Lossy formats (JPEG, JPEG 2000, WebP, AVIF) surround every line with small non-zero values, so
    there only values of at least 128 are crack.

    Raises `UserError` as `read_photo` does, and for a mask in a lossy format whose non-zero values
    are all below 128: they cannot be told from compression artefacts.
    """
    path = Path(path)
    image = _decode(path, as_stored)
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


def write_picture(path: Path | str, array: NDArray[np.uint8]) -> None:
    """Atomically write (h, w) grey or (h, w, 3) RGB as PNG or JPEG, by the suffix of ``path``.

    Raises `UserError` for any other suffix and when the file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    options: dict[str, int]
    match path.suffix.lower():
        case ".png":
            image_format, options = "PNG", {}
        case ".jpg" | ".jpeg":
            # Chroma subsampling would smear hairlines and thin coloured overlays.
            image_format, options = "JPEG", {"quality": 95, "subsampling": 0}
        case _:
            raise UserError(f"Pictures are written as .png or .jpg, not as {path.name}")
    with replacing(path) as file:
        Image.fromarray(array).save(file, image_format, **options)


def _decode(path: Path, as_stored: bool = False) -> Image.Image:
    """Open, check the size before any pixel is decoded, decode, apply the EXIF orientation."""
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with _open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{path} claims {image.width} x {image.height} pixels, more than the "
                    f"{MAX_PIXELS // 10**6} million accepted; cut it into smaller pictures"
                )
            image.verify()  # the checksums of a PNG, which decoding ignores
        with _open(path) as image:
            image.load()
            if not as_stored:
                with contextlib.suppress(Exception):  # damaged EXIF data give no orientation
                    ImageOps.exif_transpose(image, in_place=True)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path} is not a picture in a known format, or its header is damaged; "
            "replace or remove it"
        ) from error
    except Exception as error:  # on damaged files decoders raise almost anything
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"Cannot read {path}: {error.strerror}") from error
        raise UserError(
            f"{path} cannot be decoded ({error or type(error).__name__}), it seems truncated or "
            "corrupt; replace it with an intact copy"
        ) from error
    return image


def _open(path: Path) -> Image.Image:
    """Read the header only, without Pillow's own limit, which warns above 89 megapixels."""
    from PIL import Image

    with _pillow_limit:  # the limit is global
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return open_picture(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _eight_bit(values: NDArray[np.generic], path: Path) -> NDArray[np.uint8]:
    """Scale 16-bit grey, in whichever integer type Pillow holds it, to 8 bits."""
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise UserError(
            f"{path} holds {values.dtype} values from {values.min()} to {values.max()}, expected "
            "8 or 16 bits per channel; save it as an 8-bit picture"
        )
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _over_white(image: Image.Image) -> Image.Image:
    """Composite a picture with any kind of transparency over white."""
    from PIL import Image

    if not image.has_transparency_data:
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA"))
