"""The photograph as light, at any place between its pixels."""

import numpy as np
from numpy.typing import NDArray

from minispiral.data.transfer import TRANSFERS, light_of
from minispiral.errors import UserError
from minispiral.measurement.curves import Floats, normals

Grey = NDArray[np.float32]
Indices = NDArray[np.intp]

LUMINANCE = (0.2126, 0.7152, 0.0722)  # of linear red, green and blue: Rec. ITU-R BT.709


class Light:
    """The luminance of a photograph (h, w) or (h, w, 3) of bytes, 0 to 1.

    Between pixels it is interpolated by a cubic spline, whose ``coefficients`` (h, w) are kept
    instead of the light itself. Sampled at random places, an interpolation acts as a blur; that of
    the spline passes 1 - f^4 / 720 of a frequency f (radians a pixel). Cubic convolution, which
    needs no filter over the whole picture, passes 1 - f^4 / 80: it gives a line without any width
    the flat floor of one 2.4 px wide (w^4 = 36), and so a wrong contrast.

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
            grey: Grey = table.astype(np.float32)[photo]
        else:
            red, green, blue = ((weight * table).astype(np.float32) for weight in LUMINANCE)
            grey = red[photo[..., 0]]
            for channel, part in ((1, green), (2, blue)):
                for top in range(0, len(photo), 256):  # no second picture in memory
                    grey[top : top + 256] += part[photo[top : top + 256, :, channel]]
        self.height, self.width = grey.shape
        self.coefficients = _spline(grey)

    def at(self, x: Floats, y: Floats) -> Grey:
        """The light at x, y; beyond the border that of the nearest pixel."""
        right, below = (
            (np.clip(axis, 0.5, side - 0.5) - 0.5).astype(np.float32)
            for axis, side in ((x, self.width), (y, self.height))
        )
        left, top = np.floor(right), np.floor(below)
        across, down = _basis(right - left), _basis(below - top)
        cols, rows = left.astype(np.intp), top.astype(np.intp)
        columns = [_mirrored(cols + j, self.width) for j in (-1, 0, 1, 2)]
        flat = self.coefficients.ravel()
        out = np.zeros(x.shape, np.float32)
        for i, weight in zip((-1, 0, 1, 2), down, strict=True):
            start = _mirrored(rows + i, self.height) * self.width
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


def _spline(grey: Grey) -> Grey:
    """The coefficients of the cubic spline through ``grey``, which is overwritten."""
    from scipy.ndimage import spline_filter1d

    for axis in (0, 1):
        if grey.shape[axis] > 1:
            spline_filter1d(grey, 3, axis, output=grey, mode="mirror")
    return grey


def _mirrored(index: Indices, side: int) -> Indices:
    """Indices up to two beyond an axis of ``side``, mirrored at its first and last element."""
    last = side - 1
    return np.asarray(np.clip(last - np.abs(last - np.abs(index)), 0, last))


def _basis(t: Grey) -> tuple[Grey, Grey, Grey, Grey]:
    """The cubic B-splines around a place ``t`` beyond the second of them."""
    s = 1.0 - t
    outer, inner = (s * s * s, t * t * t), (t * t * (1.0 - 0.5 * t), s * s * (1.0 - 0.5 * s))
    sixth, most = np.float32(1 / 6), np.float32(2 / 3)
    return outer[0] * sixth, most - inner[0], most - inner[1], outer[1] * sixth
