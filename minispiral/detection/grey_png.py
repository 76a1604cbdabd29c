"""Grey pictures as PNG, encoded quickly by several threads.

Maps and masks are noise and runs of equal pixels: a search for longer repetitions (zlib's usual
strategy) takes ten times as long and finds little, and PNG's filters make noise noisier. So rows
are not filtered (PNG specification, section 9), and deflate looks for runs alone. Strips of rows
are compressed apart and joined where bytes end (RFC 1951, section 3.2.4).
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from minispiral.data.png import SIGNATURE, chunk
from minispiral.kernels.cpu import parallel

_ZLIB = b"\x78\x01"  # deflate, a window of 32 KB, the fastest of methods (RFC 1950)
_RAW = -15  # the same window, without that header


def grey_png(picture: NDArray[np.uint8]) -> bytes:
    """The PNG file of a picture (h, w); its bytes do not depend on the number of threads."""
    h, w = picture.shape

    def lines(rows: slice) -> memoryview:
        filtered = np.pad(picture[rows], ((0, 0), (1, 0)))  # each begins with its filter: none
        return filtered.data

    def deflate(rows: slice) -> bytes:
        stream = zlib.compressobj(1, zlib.DEFLATED, _RAW, strategy=zlib.Z_RLE)
        end = zlib.Z_SYNC_FLUSH if rows.stop < h else zlib.Z_FINISH
        return stream.compress(lines(rows)) + stream.flush(end)

    strips = parallel.row_tiles(h, 1 + w)
    deflated = parallel.run(deflate, strips)
    check = 1
    for rows in strips:
        check = zlib.adler32(lines(rows), check)
    header = struct.pack(">IIBBBBB", w, h, 8, 0, 0, 0, 0)  # 8 bits, grey
    data = b"".join((_ZLIB, *deflated, struct.pack(">I", check)))
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
