"""A small sound picture of every format, mode and compression that Pillow writes here."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

SIDES = (53, 37)  # odd, and found nowhere else in a header

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F")

# Beside the plain form of each format.
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "TIFF": [
        {"compression": name}
        for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4", "zstd")
    ],
    "JPEG": [{"progressive": True}, {"subsampling": 2, "quality": 30}],
    "WEBP": [{"lossless": True}],
    "PNG": [{"compress_level": 0}],
    "JPEG2000": [{"irreversible": True}, {"no_jp2": True}],
    "TGA": [{"compression": "tga_rle"}],
}
# libtiff complains on standard error of other modes.
MODES_OF_COMPRESSION = {"jpeg": ("L", "RGB", "CMYK", "YCbCr"), "group4": ("1",)}
SEVERAL = {"GIF", "MPO", "PNG", "TIFF", "WEBP", "AVIF", "PDF"}  # pictures in one file


def samples(rng: np.random.Generator) -> dict[str, bytes]:
    """The files by the names of their format, mode and options."""
    found: dict[str, bytes] = {}
    for image_format in _formats():
        for mode in MODES:
            image = _image(mode, rng)
            for options in _options(image_format):
                content = _written(image, image_format, options)
                if content is not None:
                    words = [f"{k}={v}" for k, v in options.items() if k in _SHOWN]
                    found["-".join([image_format, mode.replace(";", "_"), *words])] = content
    return found


_SHOWN = {"compression", "progressive", "lossless", "quality", "save_all", "no_jp2", "exif"}


def _formats() -> list[str]:
    Image.init()
    formats = set(Image.SAVE)
    try:
        import pillow_heif
    except ImportError:
        return sorted(formats)
    pillow_heif.register_heif_opener()
    return sorted(formats | {"HEIF"})


def _options(image_format: str) -> Iterator[dict[str, Any]]:
    yield {}
    yield from VARIANTS.get(image_format, [])
    if image_format in {"JPEG", "PNG", "TIFF", "WEBP", "AVIF", "HEIF", "MPO"}:
        exif = Image.Exif()
        exif[0x0112], exif[0x010E] = 6, "a wall"
        yield {"exif": exif}
    if image_format in SEVERAL:
        yield {"save_all": True}


def _image(mode: str, rng: np.random.Generator) -> Image.Image:
    """A light surface with a dark line, in ``mode``."""
    grey = np.clip(rng.normal(170, 12, SIDES[::-1]), 0, 255)
    grey[SIDES[1] // 2 :: 9] = 40
    match mode:
        case "I;16":
            return Image.fromarray((grey * 257).astype(np.uint16))
        case "I":
            return Image.fromarray((grey * 257).astype(np.int32))
        case "F":
            return Image.fromarray(grey.astype(np.float32))
        case _:
            return Image.fromarray(grey.astype(np.uint8)).convert("RGB").convert(mode)


def _written(image: Image.Image, image_format: str, options: dict[str, Any]) -> bytes | None:
    """The file, None where Pillow does not write such a one."""
    if image.mode not in MODES_OF_COMPRESSION.get(options.get("compression", ""), MODES):
        return None
    if "save_all" in options:
        options = {**options, "append_images": [image.transpose(Image.Transpose.ROTATE_180)]}
    if image_format == "ICNS":
        options = {**options, "sizes": [(16, 16)]}
    file = io.BytesIO()
    try:
        image.save(file, image_format, **options)
    except Exception:  # encoders raise almost anything for modes that they do not write
        return None
    return file.getvalue()
