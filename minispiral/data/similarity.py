"""Near-duplicates: photographs that show the same picture, whatever was done to the file."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 64  # pixels, of the square that a photograph is reduced to
FREQUENCIES = 16  # of its cosine transform in each direction; without the mean 255 signs
SMOOTHING = 9  # pixels of the thumbnail: illumination varies more slowly than that
CLIP = 3.0  # standard deviations: a date stamp or a finger does not outweigh the rest
NEAR = 0.3  # share of different signs; other photographs of concrete differ in 0.36 to 0.5
_CHUNK = 512  # photographs compared at once


def signature(grey: NDArray[np.uint8]) -> NDArray[np.int8]:
    """A perceptual hash of a picture (h, w): the signs (16, 16) of its low frequencies.

    The picture is averaged to 64 x 64 pixels, freed of slow changes in illumination, and
    transformed by the cosine transform ``c[u, v] = sum_yx t[y, x] cos(pi u (y + 1/2) / 64)
    cos(pi v (x + 1/2) / 64)``. The signs of its 16 lowest frequencies in each direction survive
    JPEG, another size, blur and another exposure, and a few percent of cropping.
    """
    from PIL import Image

    size = (THUMBNAIL, THUMBNAIL)
    thumbnail = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX), np.float64)
    detail = thumbnail - _smoothed(thumbnail)
    spread = 1.4826 * np.median(np.abs(detail)) + 1e-3
    detail = np.clip(detail, -CLIP * spread, CLIP * spread)
    pixels = np.arange(THUMBNAIL) + 0.5
    cosines = np.cos(np.pi / THUMBNAIL * np.arange(FREQUENCIES)[:, np.newaxis] * pixels)
    transform = cosines @ detail @ cosines.T
    signs = np.sign(np.where(np.abs(transform) < 1e-6, 0, transform)).astype(np.int8)
    signs[0, 0] = 0  # the mean says nothing
    return signs


def orientations(signs: NDArray[np.int8]) -> Iterator[NDArray[np.int8]]:
    """The signatures of the same picture turned and mirrored in the eight possible ways.

    To mirror a picture changes the signs of the odd frequencies; to transpose it transposes them.
    """
    odd = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.int8)
    for turned in (signs, signs.swapaxes(-1, -2)):
        for mirrored in (turned, turned * odd[:, np.newaxis]):
            yield mirrored
            yield mirrored * odd


def near_duplicates(
    signatures: NDArray[np.int8], others: NDArray[np.int8] | None = None
) -> list[tuple[int, int, float]]:
    """The pairs (i, j, distance) of ``signatures`` (n, 16, 16) and ``others`` that are near.

    Without ``others`` the pairs are those among ``signatures``, each once, i < j. The distance is
    the share of signs that differ, in the best of the eight orientations; pairs up to 0.3 count.
    """
    within = others is None
    others = signatures if others is None else others
    count = FREQUENCIES**2 - 1
    right = _rows(others)
    found = []
    for start in range(0, len(signatures), _CHUNK):
        chunk = signatures[start : start + _CHUNK]
        agreement = np.full((len(chunk), len(others)), -float(count), np.float32)
        for turned in orientations(chunk):
            np.maximum(agreement, _rows(turned) @ right.T, out=agreement)
        distance = (1 - agreement / count) / 2
        for i, j in np.argwhere(distance <= NEAR):
            if not within or start + i < j:
                found.append((int(start + i), int(j), float(distance[i, j])))
    return found


def _rows(signatures: NDArray[np.int8]) -> NDArray[np.float32]:
    return signatures.reshape(len(signatures), FREQUENCIES**2).astype(np.float32)


def _smoothed(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over squares of ``SMOOTHING`` pixels, continued by reflection at the border."""
    padded = np.pad(picture, SMOOTHING // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (SMOOTHING, SMOOTHING))
    return np.asarray(windows.mean(axis=(2, 3)))
