"""JPEG files that lack only their end marker (ITU-T T.81)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

END = b"\xff\xd9"

# What may stand in place of missing data: nothing, all bits 0, all 1 and alternating, alternating
# ones after each restart marker; and some without a period, since periodic bits may be of codes
# that change nothing.
_REST = (
    b"",
    bytes(64),
    b"\xff\0" * 64,
    b"\x55" * 64,
    b"\xaa" * 64,
    b"".join(b"\x5a" * 16 + bytes([0xFF, 0xD0 + k % 8]) for k in range(64)),
    *(bytes(step * k % 251 for k in range(1, 65)) for step in (31, 113, 197)),
)

_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


def decode_without_end(data: bytes, decode: Callable[[bytes], T]) -> T | None:
    """Decode a JPEG file that has all but its end marker; None if more is missing.

    The pixels are complete if no bits after the end change any: ``decode`` is called with several
    continuations, and its results are compared. A progressive file must also have a scan for
    every bit of every coefficient.
    """
    body = data.rstrip(b"\xff")
    if body.endswith(END) or not has_all_scans(body):
        return None
    first = decode(body + END)
    complete = all(decode(body + rest + END) == first for rest in _REST[1:])
    return first if complete else None


def has_all_scans(data: bytes) -> bool:
    """Whether the scans refine every coefficient of every component to its last bit."""
    missing: dict[int, list[int]] = {}  # bits still to come, by component and coefficient
    at = 2
    while marker := _NEXT_MARKER.search(data, at):
        kind, at = data[marker.start() + 1], marker.end()
        if kind in (0x01, 0xD8, 0xD9):  # those without a segment
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at + 2 : at + length]
        if len(segment) != length - 2:
            return False
        at += length
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):  # start of frame
            missing = {component: [255] * 64 for component in segment[6::3]}
        elif kind == 0xDA:  # start of scan
            components = segment[1 : 1 + 2 * segment[0] : 2]
            start, end, approximation = segment[-3:]
            for component in components:
                for k in range(start, end + 1):
                    missing[component][k] = approximation & 15
    return bool(missing) and not any(map(any, missing.values()))
