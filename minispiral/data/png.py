"""PNG files without what does not concern the pixels (W3C PNG specification, third edition)."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Ancillary chunks of the specification and its extensions that do not change what is shown.
METADATA = {
    *(b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"),
    *(b"sBIT", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"tIME", b"eXIf", b"oFFs", b"pCAL", b"sCAL"),
    *(b"sTER", b"gIFg", b"gIFx", b"acTL", b"fcTL", b"fdAT"),
}
SHOWN = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"}

MAX_TEXT = 64 * 2**20  # bytes of one text after decompression; more is no metadata


def check_png(path: Path) -> None:
    """Compare the checksums, which Pillow does not when it decodes, and heed those that matter.

    Raises `OSError`, with the reason, for a wrong checksum in a chunk that says what is shown, and
    for a file that ends inside one.
    """
    for _ in _chunks(path, pixels=True):
        pass


def sound_png(path: Path, pixels: bool = True) -> io.BytesIO:
    """The PNG file ``path`` with the chunks that say what is shown and how it is turned.

    Metadata are left out: text of any length, text with a wrong checksum, whatever follows the
    end. A missing end chunk is added. Pillow refuses such files though their pixels are sound.
    Without ``pixels`` the file has no pixels, and only its head can be read.

    Raises `OSError` as `check_png` does.
    """
    front, back = [SIGNATURE], []
    for kind, data, right in _chunks(path, pixels):
        if kind == b"IDAT":
            back.append(chunk(kind, data))
        elif kind in SHOWN or kind[:1].isupper() or (kind == b"eXIf" and right):
            front.append(chunk(kind, data))
        elif right and kind in (b"tEXt", b"zTXt", b"iTXt"):
            front.append(_orientation(kind, data))
    return io.BytesIO(b"".join([*front, *back, chunk(b"IEND", b"")]))


def _chunks(path: Path, pixels: bool) -> Iterator[tuple[bytes, bytes, bool]]:
    """Kind, data, and whether the checksum is right, of each chunk up to the end of the picture.

    Without ``pixels`` the data of IDAT are empty.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(len(SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if kind == b"IEND":
                return
            if kind == b"IDAT" and not pixels:
                file.seek(length + 4, io.SEEK_CUR)
                yield kind, b"", True
                continue
            if length + 4 > size - file.tell():
                if _is_metadata(kind):
                    return
                raise OSError(f"it ends inside its {_name(kind)} chunk")
            data, check = file.read(length), file.read(4)
            right = zlib.crc32(data, zlib.crc32(kind)) == int.from_bytes(check, "big")
            if not right and (not _is_metadata(kind) or (kind == b"eXIf" and _turns(data))):
                raise OSError(f"its {_name(kind)} chunk has a wrong checksum")
            yield kind, data, right


def _is_metadata(kind: bytes) -> bool:
    """Whether chunks of this kind, or all of private kinds, may be left out when damaged.

    One wrong bit makes a private kind of a kind that matters: idAT of IDAT.
    """
    private = kind[:1].islower() and kind[1:2].islower()
    return kind in METADATA or (private and kind.upper() not in {k.upper() for k in SHOWN})


def _turns(exif: bytes) -> bool:
    """Whether EXIF data, though damaged, speak of an orientation that is not upright."""
    from PIL import Image

    try:
        data = Image.Exif()
        data.load(exif)
        return bool(data.get(0x0112, 1) != 1)
    except Exception:  # on damaged data anything is raised: they give no orientation
        return False


def _orientation(kind: bytes, data: bytes) -> bytes:
    """A text chunk with the orientation that text of this kind may hold, or nothing.

    That is EXIF as ImageMagick writes it, or XMP.
    """
    key, _, text = data.partition(b"\0")
    if key not in (b"Raw profile type exif", b"XML:com.adobe.xmp"):
        return b""
    try:
        if kind == b"zTXt":
            text = _decompress(text[1:])
        elif kind == b"iTXt":
            compressed = text[0]
            text = text[2:].split(b"\0", 2)[2]  # after the language and the translated key
            text = _decompress(text) if compressed else text
    except (zlib.error, IndexError):
        return b""
    if key == b"Raw profile type exif":
        return chunk(b"tEXt", key + b"\0" + text)
    found = re.search(rb'tiff:Orientation(="|>)[1-8]', text)
    return chunk(b"iTXt", key + bytes(5) + found[0]) if found else b""


def _decompress(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, MAX_TEXT)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file: length, kind, data, check (PNG specification, section 5.3)."""
    check = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + check


def _name(kind: bytes) -> str:
    return kind.decode("latin-1") if kind.isalpha() else repr(kind)
