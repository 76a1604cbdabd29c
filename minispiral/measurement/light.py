"""The photograph as light, at any place between its pixels."""

import numpy as np
from numpy.typing import NDArray

from minispiral.data.transfer import TRANSFERS, light_of
from minispiral.errors import UserError
from minispiral.measurement.curves import Floats, normals

Grey = NDArray[np.float32]

LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear red, green and blue: Rec. ITU-R BT.709


class Light:
    """The luminance of a photograph (h, w) or (h, w, 3) of bytes, 0 to 1.

    Between pixels it is interpolated by cubic convolution (R. G. Keys, 1981, a = -1/2), which is
    exact for parabolas and needs no filter over the whole picture.

    Raises `UserError` for another dtype or shape and for an unknown ``transfer``.
    """

    def __init__(self, photo: NDArray[np.uint8], transfer: str = "srgb") -> None:
        if photo.dtype != np.uint8 or not (photo.ndim == 2 or photo.shape[2:] == (3,)):
            raise UserError(
                f"A photograph of shape {photo.shape} and dtype {photo.dtype} was given, expected "
                "(h, w) or (h, w, 3) of uint8",
                "photo",
            )
        if transfer not in TRANSFERS:
            raise UserError(
                f"The transfer {transfer!r} is unknown, expected {' or '.join(TRANSFERS)}",
                "transfer",
            )
        table = light_of(np.arange(256) / 255, transfer)
        if photo.ndim == 2:
            self.grey: Grey = table.astype(np.float32)[photo]
        else:
            red, green, blue = ((weight * table).astype(np.float32) for weight in LUMINANCE)
            self.grey = red[photo[..., 0]]
            for channel, part in ((1, green), (2, blue)):
                for top in range(0, len(photo), 256):  # no second picture in memory
                    self.grey[top : top + 256] += part[photo[top : top + 256, :, channel]]
        self.height, self.width = self.grey.shape

    def at(self, x: Floats, y: Floats) -> Grey:
        """The light at x, y; beyond the border that of the nearest pixel."""
        right, below = ((axis - 0.5).astype(np.float32) for axis in (x, y))
        left, top = np.floor(right), np.floor(below)
        across, down = _keys(right - left), _keys(below - top)
        cols, rows = left.astype(np.intp), top.astype(np.intp)
        columns = [np.clip(cols + j, 0, self.width - 1) for j in (-1, 0, 1, 2)]
        flat = self.grey.ravel()
        out = np.zeros(x.shape, np.float32)
        for i, weight in zip((-1, 0, 1, 2), down, strict=True):
            start = np.clip(rows + i, 0, self.height - 1) * self.width
            line = np.zeros(x.shape, np.float32)
            for column, share in zip(columns, across, strict=True):
                line += share * flat[start + column]
            out += weight * line
        return out

    def across(self, points: Floats, offsets: Floats) -> Floats:
        """Profiles (n, offsets) along the normals at ``points`` (n, 2) of a curve."""
        ways = normals(points)
        x = points[:, :1] + ways[:, :1] * offsets
        y = points[:, 1:] + ways[:, 1:] * offsets
        return self.at(x, y).astype(np.float64)


def _keys(t: Grey) -> tuple[Grey, Grey, Grey, Grey]:
    """The weights of the four pixels around a place ``t`` beyond the second."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )
