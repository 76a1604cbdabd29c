"""Which files are pictures, which folders are searched for them, and how a picture is opened."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from minispiral.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

# Formats whose files Pillow recognises without being able to decode them.
RECOGNISED_ONLY = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}

# Suffixes of HEIC, which Pillow reads with pillow-heif.
HEIF_SUFFIXES = {".heic", ".heics", ".heif", ".heifs", ".hif"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}

# Formats of several pictures of equal rank, and the tag by which TIFF marks reduced ones.
SEVERAL = {"GIF", "PNG", "TIFF", "WEBP"}
SUBFILE_TYPE = 254

# What operating systems and storage devices put beside pictures: lists and thumbnails.
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
SYSTEM_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}


def is_picture(path: Path) -> bool:
    """Whether ``path`` is a picture by its name: the one rule for every folder that is searched.

    It is a file whose suffix is of a format that Pillow decodes, or of HEIC, installed or not. A
    hidden file, such as ``._wall.jpg`` of macOS, is none. A link to a file that is gone is one, so
    that reading it tells what is missing.
    """
    from PIL import Image

    suffix = path.suffix.lower()
    image_format = Image.registered_extensions().get(suffix)
    decoded = image_format in Image.OPEN and image_format not in RECOGNISED_ONLY
    return (
        (decoded or suffix in HEIF_SUFFIXES)
        and not path.name.startswith(".")
        and (path.is_file() or (path.is_symlink() and not path.exists()))
    )


def files_in(folder: Path, recursive: bool = False) -> Iterator[Path]:
    """What lies in ``folder`` and is no folder, sorted by name, without files of the system.

    With ``recursive`` its subfolders follow, in their order by name, except hidden ones and those
    that hold thumbnails. Links to folders are followed, each folder is searched once.
    """
    return _files_in(folder, recursive, set())


def _files_in(folder: Path, recursive: bool, seen: set[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    for entry in entries:
        if not entry.is_dir() and entry.name.lower() not in SYSTEM_FILES:
            yield entry
    if recursive:
        for entry in entries:
            if entry.is_dir() and entry.name.lower() not in SYSTEM_FOLDERS:
                yield from _files_in(entry, recursive, seen)


def same_name(name: str) -> str:
    """A form of ``name`` that is equal for the two spellings of accented letters in Unicode.

    macOS stores "ü" as "u" and a combining mark (NFD), others as one character (NFC), which is the
    form returned. Names that the locale could not decode are taken as UTF-8.
    """
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "surrogateescape"))


def open_picture(path: Path) -> Image.Image:
    """``Image.open``; HEIC too, whatever the suffix, where pillow-heif is installed.

    Raises `UserError` for HEIC without pillow-heif, and what ``Image.open`` raises.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path)
    except UnidentifiedImageError:
        if not _is_heic(path):
            raise
    try:
        import pillow_heif
    except ImportError as error:
        raise UserError(
            f"{path} is in HEIC format, which needs pillow-heif; install it with "
            "`pip install 'minispiral[heic]'` or save the picture as JPEG"
        ) from error
    pillow_heif.register_heif_opener()
    return Image.open(path)


def pictures_in(path: Path) -> int:
    """How many pictures ``path`` holds: pages of a TIFF, images of an animation; 1 if in doubt.

    Previews do not count: the reduced pages of a TIFF, the second picture in a JPEG of a camera.
    """
    try:
        with open_picture(path) as image:
            count = getattr(image, "n_frames", 1) if image.format in SEVERAL else 1
            if count == 1 or image.format != "TIFF":
                return count
            reduced = 0
            for page in range(count):
                image.seek(page)
                reduced += image.tag_v2.get(SUBFILE_TYPE, 0) & 1  # type: ignore[attr-defined]
            return max(count - reduced, 1)
    except Exception:  # on damaged files decoders raise almost anything; reading them will tell
        return 1


def _is_heic(path: Path) -> bool:
    """Whether the file begins as HEIC files do: with a box that lists brands (ISO/IEC 23008-12)."""
    with path.open("rb") as file:
        start = file.read(256)
    box = start[: int.from_bytes(start[:4], "big")]
    return box[4:8] == b"ftyp" and any(
        box[k : k + 4] in HEIC_BRANDS for k in range(8, len(box), 4) if k != 12
    )
