"""Damage to a file: bits, lengths, headers, blocks, metadata."""

import struct
import zlib
from collections.abc import Callable

import numpy as np

PNG = b"\x89PNG\r\n\x1a\n"
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
SEGMENTS = (b"Exif\0\0", b"ICC_PROFILE\0\1\1", b"http://ns.adobe.com/xap/1.0/\0", b"MPF\0", b"")
HEAD = 96  # bytes in which most formats have their header

Rng = np.random.Generator


def damaged(data: bytes, rng: Rng, sides: tuple[int, int] = (0, 0)) -> tuple[bytes, str]:
    """``data`` with one to three damages, and their names; ``sides`` may stand in its header."""
    names = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        name = str(rng.choice(list(DAMAGES)))
        data = _sizes(data, rng, sides) if name == "sizes" else DAMAGES[name](data, rng)
        names.append(name)
    if data.startswith(PNG) and rng.random() < 0.5:
        data, names = with_checksums(data), [*names, "checksums"]
    return data, "+".join(names)


def _bits(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 17)) if changed else 0):
        within = min(len(changed), HEAD) if rng.random() < 0.5 else len(changed)
        changed[rng.integers(within)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(data: bytes, rng: Rng) -> bytes:
    within = min(len(data), HEAD) if rng.random() < 0.3 else len(data)
    return data[: rng.integers(within + 1)]


def _header(data: bytes, rng: Rng) -> bytes:
    """Overwrite a few bytes near the beginning."""
    at = int(rng.integers(min(len(data), HEAD) + 1))
    count = int(rng.choice([1, 2, 4, 8]))
    news = (bytes(count), b"\xff" * count, b"\x7f" + b"\xff" * (count - 1), rng.bytes(count))
    new = news[rng.integers(len(news))]
    return data[:at] + new + data[at + count :]


def _sizes(data: bytes, rng: Rng, sides: tuple[int, int] = (0, 0)) -> bytes:
    """Overwrite a number that is the width, the height or a length."""
    places = []
    for number in (*sides, len(data), len(data) - 8, len(data) - 12):
        for form in ("<H", ">H", "<I", ">I"):
            if 0 < number < 256 ** struct.calcsize(form):
                pattern, at = struct.pack(form, number), -1
                while (at := data.find(pattern, at + 1)) >= 0 and len(places) < 100:
                    places.append((at, form))
    if not places:
        return _header(data, rng)
    at, form = places[rng.integers(len(places))]
    size = struct.calcsize(form)
    new = int(rng.choice(EXTREMES)) if rng.random() < 0.7 else int(rng.integers(2**20))
    return data[:at] + struct.pack(form, new % 256**size) + data[at + size :]


def _garbage(data: bytes, rng: Rng) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 5000)))


def _shuffled(data: bytes, rng: Rng) -> bytes:
    """Exchange, repeat or drop blocks."""
    parts = blocks(data, rng)
    if len(parts) < 2:
        return data
    i, j = rng.choice(len(parts), 2, replace=False)
    match rng.integers(4):
        case 0:
            parts[i], parts[j] = parts[j], parts[i]
        case 1:
            parts.insert(j, parts[i])
        case 2:
            del parts[i]
        case _:
            parts[j : j + 1] = [parts[i]] * int(rng.integers(2, 50))
    return b"".join(parts)


def _metadata(data: bytes, rng: Rng) -> bytes:
    """Put metadata, random or large, into a PNG, JPEG or RIFF; edit an entry of a TIFF."""
    content = _content(rng)
    if data.startswith(PNG):
        kind = rng.choice([b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"tRNS", b"pHYs", b"abCd"])
        parts = blocks(data, rng)
        prefix = b"name\0\0" if kind in (b"zTXt", b"iCCP") else b"name\0"
        body = (b"" if kind in (b"eXIf", b"tRNS", b"pHYs") else prefix) + content
        parts.insert(int(rng.integers(1, len(parts) + 1)), png_chunk(bytes(kind), body))
        return b"".join(parts)
    if data.startswith(b"\xff\xd8"):
        kind = int(rng.choice([0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE]))
        names = [
            b"Exif\0\0",
            b"ICC_PROFILE\0\1\1",
            b"http://ns.adobe.com/xap/1.0/\0",
            b"MPF\0",
            b"",
        ]
        body = bytes(rng.choice(np.array(names, object))) + content[:60000]
        return data[:2] + struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body + data[2:]
    if data[:4] == b"RIFF":
        kind = bytes(rng.choice([b"EXIF", b"XMP ", b"ICCP"]))
        return data + kind + struct.pack("<I", len(content)) + content
    if data[:2] in (b"II", b"MM"):
        return _entry(data, rng)
    return _header(data, rng)


def _content(rng: Rng) -> bytes:
    match rng.integers(5):
        case 0:
            return rng.bytes(int(rng.integers(200)))
        case 1:  # EXIF with an orientation that does not exist, or another type
            entry = struct.pack(
                "<HHII", 0x0112, rng.integers(14), rng.integers(3), rng.integers(20)
            )
            return b"II*\0\x08\0\0\0" + struct.pack("<H", rng.integers(3)) + entry + b"\0" * 4
        case 2:
            return b"x" * 2_000_000
        case 3:  # much, compressed
            return zlib.compress(bytes(30_000_000), 9)
        case _:
            return b""


def _entry(data: bytes, rng: Rng) -> bytes:
    """Change the tag, type, count or value of an entry in the first directory of a TIFF."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        if not count:
            return data
        at = start + 2 + 12 * int(rng.integers(count))
        offset, form = ((0, "H"), (2, "H"), (4, "I"), (8, "I"))[rng.integers(4)]
        size = struct.calcsize(form)
        small = rng.random() < 0.5
        new = int(rng.integers(600)) if small else int(rng.choice(EXTREMES)) % 256**size
        changed = bytearray(data)
        struct.pack_into(order + form, changed, at + offset, new)
        return bytes(changed)
    except struct.error:
        return _header(data, rng)


DAMAGES: dict[str, Callable[[bytes, Rng], bytes]] = {
    "bits": _bits,
    "cut": _cut,
    "header": _header,
    "sizes": _sizes,
    "garbage": _garbage,
    "blocks": _shuffled,
    "metadata": _metadata,
}


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_checksums(data: bytes) -> bytes:
    """A PNG with the right checksums, so that other damage is not found by them."""
    out, at = [data[:8]], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if at + 12 + length > len(data):
            break
        out.append(png_chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join([*out, data[at:]])


def blocks(data: bytes, rng: Rng) -> list[bytes]:
    """``data`` in pieces: the chunks of a PNG, the segments of a JPEG, else cut anywhere."""
    if data.startswith(PNG):
        return _pieces(data, 8, lambda at: 12 + struct.unpack_from(">I", data, at)[0])
    if data.startswith(b"\xff\xd8"):
        return _pieces(data, 2, lambda at: 2 + struct.unpack_from(">H", data, at + 2)[0])
    if data[:4] == b"RIFF":
        return _pieces(data, 12, lambda at: 8 + struct.unpack_from("<I", data, at + 4)[0])
    cuts = np.sort(rng.integers(0, len(data) + 1, int(rng.integers(2, 7))))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def _pieces(data: bytes, head: int, length: Callable[[int], int]) -> list[bytes]:
    parts, at = [data[:head]], head
    while at < len(data) and len(parts) < 1000:
        try:
            end = at + max(1, length(at))
        except struct.error:
            end = len(data)
        parts.append(data[at:end])
        at = end
    return parts
