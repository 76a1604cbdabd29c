"""Picture files of kinds that Pillow reads but does not write."""

import struct
import zlib


def png(w, h, depth, colour_type, rows, extra=b""):
    """A PNG file (W3C PNG specification); ``rows`` holds the bytes of each scanline."""

    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", w, h, depth, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def adobe_cmyk_jpeg(inks):
    """An 8 x 8 baseline JPEG of one CMYK colour, inverted as the Adobe marker says."""

    def segment(marker, data):
        return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data

    components = (1, 2, 3, 4)
    bits = ""
    for ink in inks:
        dc = (255 - ink) - 128  # all quantisation factors are 8, so the mean is the DC value
        size = abs(dc).bit_length()
        bits += f"{size:04b}"
        if size:
            bits += f"{dc if dc > 0 else dc + (1 << size) - 1:0{size}b}"
        bits += "0"  # end of block
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    dc_codes = bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12))  # sizes 0-11, 4 bits each
    ac_codes = bytes([1] + [0] * 15) + b"\0"  # end of block alone
    return (
        b"\xff\xd8"
        + segment(0xEE, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, 0))
        + segment(0xDB, b"\0" + bytes([8] * 64))
        + segment(
            0xC0,
            struct.pack(">BHHB", 8, 8, 8, 4) + b"".join(bytes([c, 0x11, 0]) for c in components),
        )
        + segment(0xC4, b"\x00" + dc_codes)
        + segment(0xC4, b"\x10" + ac_codes)
        + segment(0xDA, b"\4" + b"".join(bytes([c, 0]) for c in components) + b"\0\x3f\0")
        + scan
        + b"\xff\xd9"
    )


def tiff(tags, strips, order="<"):
    """A TIFF file (TIFF 6.0); ``tags`` hold 16-bit numbers, ``strips`` the bytes of each strip."""
    tags = {**tags, 279: tuple(map(len, strips)), 273: (0,) * len(strips)}
    kind = {273: "I", 279: "I"}
    end = 8 + 2 + 12 * len(tags) + 4
    sizes = {tag: (v if isinstance(v, tuple) else (v,)) for tag, v in tags.items()}
    lengths = {tag: struct.calcsize(f"{len(v)}{kind.get(tag, 'H')}") for tag, v in sizes.items()}
    at = end + sum(n for n in lengths.values() if n > 4)
    offsets = []
    for strip in strips:
        offsets.append(at)
        at += len(strip)
    sizes[273] = tuple(offsets)
    directory, behind = struct.pack(f"{order}H", len(tags)), b""
    for tag, values in sorted(sizes.items()):
        letter = kind.get(tag, "H")
        data = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(data) > 4:
            field = struct.pack(f"{order}I", end + len(behind))
            behind += data
        else:
            field = data.ljust(4, b"\0")
        directory += struct.pack(f"{order}HHI", tag, 4 if letter == "I" else 3, len(values)) + field
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    return header + directory + bytes(4) + behind + b"".join(strips)


def grey_tiff(values, order="<", compression=1, **tags):
    """A TIFF of one sample, stored in the dtype of ``values`` (h, w)."""
    h, w = values.shape
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    formats = {"u": 1, "i": 2, "f": 3}
    all_tags = {
        **{256: w, 257: h, 258: values.itemsize * 8, 259: compression, 262: 1, 277: 1, 278: h},
        **{339: formats[values.dtype.kind]},
        **{int(name.removeprefix("t")): value for name, value in tags.items()},
    }
    return tiff(all_tags, [zlib.compress(data) if compression == 8 else data], order)


def colour_tiff(values, order="<", compression=1, apart=False, photometric=2, extra=()):
    """A TIFF of the samples in the last axis of ``values`` (h, w, n), their planes ``apart``."""
    h, w, n = values.shape
    stored = values.astype(values.dtype.newbyteorder(order))
    strips = [stored[..., k].tobytes() for k in range(n)] if apart else [stored.tobytes()]
    if compression == 8:
        strips = [zlib.compress(strip) for strip in strips]
    tags = {
        **{256: w, 257: h, 258: (values.itemsize * 8,) * n, 259: compression, 262: photometric},
        **{277: n, 278: h, 284: 2 if apart else 1},
        **({338: extra} if extra else {}),
    }
    return tiff(tags, strips, order)
