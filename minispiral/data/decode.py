"""Any picture file to a decoded picture of Pillow, or the reason why not."""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minispiral.data import bmp, exif, tiff
from minispiral.data.formats import open_picture
from minispiral.data.jpeg import decode_without_end
from minispiral.data.png import SIGNATURE, check_png, sound_png
from minispiral.errors import UserError
from minispiral.memory import is_memory_error

if TYPE_CHECKING:
    from PIL import Image, ImageFile

# 25 ordinary photographs of 20 megapixels: room for stitched facades. The limit keeps a
# decompression bomb, a small file that claims to hold a huge picture, from filling the memory.
MAX_PIXELS = 500_000_000

# Formats that do not, or do not always, keep pixel values exactly.
LOSSY_FORMATS = {"JPEG", "MPO", "JPEG2000", "WEBP", "AVIF", "HEIF"}
LOSSY_TIFF = {"jpeg", "tiff_jpeg", "webp"}

# Formats in which Pillow scales values of any depth, which it knows, to 8 or 16 bits.
SCALED_FORMATS = {"PPM", "JPEG2000"}

_pillow_limit = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded picture; ``layout`` says how its values are meant.

    ``lossy`` is the name of a format that does not keep values, or "". ``raw_mode`` is how Pillow
    names the samples in the file.
    """

    image: Image.Image
    file_format: str
    layout: tiff.Layout
    lossy: str
    raw_mode: str

    @property
    def deep(self) -> bool:
        """Whether the file holds colours of 16 bits per sample, of which Pillow gives a byte."""
        return self.raw_mode[-4:-1] == ";16" and not self.image.mode.startswith("I")


def decode(path: Path, as_stored: bool = False, low_bytes: bool = False) -> Picture:
    """Open, check the size before any pixel is decoded, decode, apply the EXIF orientation.

    With ``as_stored`` the orientation is not applied; with ``low_bytes`` of a deep picture, the
    second byte of each sample is given instead of the first.

    Raises `UserError`, with the reason, for what cannot be decoded.
    """
    from PIL import UnidentifiedImageError

    try:
        png = _is_png(path)
        if png:
            check_png(path)
        try:
            with _open(path) as image:
                return _decode(image, path, as_stored, low_bytes)
        except UserError:
            raise
        except Exception as error:  # perhaps for its metadata alone
            if not png or is_memory_error(error):
                raise
        with _open(sound_png(path)) as image:
            return _decode(image, path, as_stored, low_bytes)
    except UserError:
        raise
    except UnidentifiedImageError as error:
        if held := tiff.reason(path):
            raise UserError(f"{path} is {held}, which is not read; {tiff.ADVICE}") from error
        raise UserError(
            f"{path} is not a picture in a known format, or its header is damaged; "
            "replace or remove it"
        ) from error
    except Exception as error:  # on damaged files decoders raise almost anything
        if is_memory_error(error):
            raise MemoryError(str(error)) from error
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"Cannot read {path}: {error.strerror}") from error
        raise UserError(
            f"{path} cannot be decoded ({error or type(error).__name__}), it seems truncated or "
            "corrupt; replace it with an intact copy"
        ) from error


def orientation_of(path: Path) -> int:
    """The EXIF orientation of the picture ``path``, 1 to 8; 1 too if it cannot be read."""
    try:
        with head_of(path) as image:
            return exif.orientation(image)
    except Exception:  # reading the pixels will tell
        return 1


def head_of(path: Path, as_is: bool = False) -> ImageFile.ImageFile:
    """The picture ``path`` with its head alone, whatever is wrong with the metadata of a PNG.

    It tells format, mode, size and EXIF; pixels are read by `decode`. With ``as_is`` a PNG tells
    the other metadata too, and its EXIF only if that stands before the pixels. Raises what Pillow
    raises.
    """
    return _open(path if as_is or not _is_png(path) else sound_png(path, pixels=False))


def _is_png(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def _open(source: Path | io.BytesIO) -> ImageFile.ImageFile:
    """Read the header only, without Pillow's own limit, which warns above 89 megapixels."""
    from PIL import Image

    with _pillow_limit:  # the limit is global
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            opened = open_picture(source) if isinstance(source, Path) else Image.open(source)
            return opened  # type: ignore[return-value]
        except MemoryError as error:  # pixels are not read yet
            raise UserError(
                f"The header of {source} asks for more memory than there is, it seems damaged; "
                "replace it with an intact copy"
            ) from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _decode(image: ImageFile.ImageFile, path: Path, as_stored: bool, low_bytes: bool) -> Picture:
    if image.width * image.height > MAX_PIXELS:
        raise UserError(
            f"{path} claims {image.width} x {image.height} pixels, more than the "
            f"{MAX_PIXELS // 10**6} million accepted; cut it into smaller pictures"
        )
    layout, lossy, turned = tiff.Layout(), "", 1
    if image.format == "TIFF":
        layout = tiff.prepare(image, path)  # type: ignore[arg-type]
        turned = exif.orientation(image)  # Pillow will turn it
        if turned in exif.SIDEWAYS:
            image.filename = ""  # or it would map the file, with width for height
        compression = image.info.get("compression")
        lossy = f"{compression} in TIFF" if compression in LOSSY_TIFF else ""
    elif image.format in ("BMP", "DIB"):
        bmp.prepare(image, path)
    elif image.format in LOSSY_FORMATS:
        lossy = str(image.format)
    raw_mode = _raw_mode(image.tile[0]) if image.tile else ""
    if low_bytes:
        image.tile = [_low_byte(tile) for tile in image.tile]
    shown: Image.Image = image
    try:
        image.load()
    except OSError:
        if image.format not in ("JPEG", "MPO"):
            raise
        whole = decode_without_end(path.read_bytes(), _pixels)
        if whole is None:
            raise
        shown = whole
    if shown.mode == "P" and shown.palette is None:  # of some icons
        raise OSError("its palette is missing")
    if image.format == "TIFF":
        shown = exif.turn(shown, turned, back=True) if as_stored else shown
    elif not as_stored:
        shown = exif.turn(shown, exif.orientation(image))
    if image.format in SCALED_FORMATS:
        layout = tiff.Layout(white=65535)
    return Picture(shown, str(image.format), layout, lossy, raw_mode)


def _pixels(data: bytes) -> Image.Image | None:
    """The decoded JPEG file ``data``, None if it cannot be decoded."""
    try:
        with _open(io.BytesIO(data)) as image:
            image.load()
            return image
    except MemoryError:
        raise
    except Exception:  # on damaged files decoders raise almost anything
        return None


def _raw_mode(tile: ImageFile._Tile) -> str:
    args = tile[3]
    return str(args[0] if isinstance(args, tuple) and args else args)


def _low_byte(tile: ImageFile._Tile) -> ImageFile._Tile:
    """Exchange the bytes of 16-bit samples, of which Pillow takes the first."""
    import sys

    mode = _raw_mode(tile)
    order = {"N": sys.byteorder[0].upper()}.get(mode[-1], mode[-1])
    other = mode[:-1] + ("B" if order == "L" else "L")
    args = (other, *tile[3][1:]) if isinstance(tile[3], tuple) else other
    result: ImageFile._Tile = tiff.with_raw_mode(tile, args)
    return result
