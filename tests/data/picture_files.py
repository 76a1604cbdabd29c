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
