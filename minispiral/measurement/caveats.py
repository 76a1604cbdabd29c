"""What a photograph says against its own widths: sharpening, compression, dirt, damp, clipping."""

from dataclasses import replace
from math import hypot

import numpy as np
from numpy.typing import NDArray

from minispiral.measurement.beside import DAMP, damp
from minispiral.measurement.curves import Floats
from minispiral.measurement.light import Light
from minispiral.measurement.profiles import LEAST, Profiles, depth_of, wall_of
from minispiral.measurement.records import Caveat
from minispiral.measurement.settings import Settings
from minispiral.measurement.wide import half_depth

HALO = 0.015  # of a crack's depth: more, and twice its error, is the halo of an unsharp mask
COARSE = 5  # grey levels between the DCT coefficients: JPEG qualities below about 80
CLIPPED = 0.02  # of the places beside or on the cracks
BLOCKS = 4000  # of 8 x 8 px, enough to see the steps of their coefficients
BLACK, WHITE = 0.0005, 0.99  # of the light: half and 253 of 255 grey levels in sRGB


def halo(profiles: Profiles, empty: Floats, offsets: Floats) -> tuple[float, float]:
    """How much brighter than the wall the light beside the cracks is, as a share of their depth.

    1.5 to 2.5 px from the edges at half depth, where the halo of an unsharp mask of radius 1 px
    lies. The median over the windows, and the standard error that the wall's own texture, seen in
    ``empty`` profiles, gives it. Both are 0 without any window.
    """
    if not len(profiles):
        return 0.0, 0.0
    values = profiles.values
    edge = half_depth(values, offsets) / 2
    there = edge + 1.5 <= offsets[-1]
    depth = depth_of(values, offsets)
    if not there.any() or depth <= 0:
        return 0.0, 0.0
    brighter = _ring(values[there], edge[there], offsets)
    share = max(0.0, float(np.median(brighter))) / depth
    if len(empty) < LEAST:
        return share, 0.0
    texture = _ring(empty, np.full(len(empty), float(np.median(edge[there]))), offsets)
    low, high = np.quantile(texture, [0.16, 0.84])
    return share, 1.25 * float(high - low) / 2 / np.sqrt(len(brighter) / 2) / depth


def _ring(values: Floats, edge: Floats, offsets: Floats) -> Floats:
    """The light (m,) from 1.5 to 2.5 px outside the edges, less that of the wall."""
    far = np.abs(offsets) - edge[:, None]
    ring = (far >= 1.5) & (far <= 2.5)
    beside = (values * ring).sum(axis=1) / np.maximum(1, ring.sum(axis=1))
    return np.asarray(beside - wall_of(values, offsets))


def quantisation(photo: NDArray[np.uint8]) -> int:
    """The step of the coarsest of the lowest DCT coefficients, in grey levels; 1 if none is seen.

    After JPEG compression the coefficients of blocks of 8 x 8 px are multiples of a step q, so that
    cos(2 pi c / q) is near 1; coefficients below q / 2 say nothing. Blocks that do not begin at the
    picture's corner, as after a crop, are not recognised.
    """
    from scipy.fft import dctn

    height, width = (side // 8 for side in photo.shape[:2])
    every = max(1, height * width // BLOCKS)
    rows, cols = np.divmod(np.arange(0, height * width, every), max(1, width))
    index = np.arange(8)
    blocks = photo[(8 * rows)[:, None, None] + index[:, None], (8 * cols)[:, None, None] + index]
    luma = blocks.astype(np.float64)
    if photo.ndim == 3:
        luma = luma @ np.array([0.299, 0.587, 0.114])
    coefficients = dctn(luma - 128, axes=(1, 2), norm="ortho")
    coarsest = 1
    for u, v in ((0, 1), (1, 0), (1, 1)):
        c = coefficients[:, u, v]
        for q in range(2, 41):
            told = c[np.abs(c) > q / 2]
            if len(told) >= 30 and np.cos(2 * np.pi * told / q).mean() > 0.6:
                coarsest = max(coarsest, q)
    return coarsest


def allowance(settings: Settings, step: int, sharpening: float) -> Settings:
    """The settings of a photograph: its compression and sharpening are what the model leaves out.

    ``step``: see `quantisation`; ``sharpening``: see `halo`.
    """
    return replace(
        settings,
        misfit=hypot(settings.misfit, settings.misfit_step * step),
        misfit_share=hypot(settings.misfit_share, settings.misfit_halo * sharpening),
    )


def caveats(
    step: int, sharpened: bool, dirty: bool, light: Light, lines: list[Floats]
) -> tuple[Caveat, ...]:
    """What has to be said about the photograph's widths as a whole."""
    found = []
    if sharpened:
        found.append(
            Caveat(
                "sharpened",
                "The light beside the cracks is brighter than the wall, as after sharpening: "
                "cracks below 1.5 pixels may come out 0.3 pixels too wide.",
            )
        )
    if step >= COARSE:
        found.append(
            Caveat(
                "compressed",
                f"The photograph was strongly compressed (JPEG steps of {step} grey levels): "
                "widths are up to 0.5 pixels less certain than usual.",
            )
        )
    if dirty:
        found.append(
            Caveat(
                "dirty",
                "The wall along the cracks is darker than farther out, as where dirt or shadow "
                "lies: cracks below 1.5 pixels may come out twice as wide as they are.",
            )
        )
    missing = damp(light, lines)
    if missing > DAMP:
        found.append(
            Caveat(
                "damp",
                f"The wall is {missing:.0%} darker along the cracks than 20 pixels beside them, as "
                "where it is wet: water darkens a crack's edges, and it comes out too wide.",
            )
        )
    dark, bright = _clipped(light, lines)
    if bright > CLIPPED:
        found.append(
            Caveat(
                "overexposed",
                f"The wall is white at {bright:.0%} of the places beside cracks, so that the "
                "light a crack swallows is not seen in full: widths come out too small.",
            )
        )
    if dark > CLIPPED:
        found.append(
            Caveat(
                "underexposed",
                f"The cracks are black at {dark:.0%} of the places, so that their contrast is not "
                "seen in full: widths below 2 pixels come out too small.",
            )
        )
    return tuple(found)


def _clipped(light: Light, lines: list[Floats]) -> tuple[float, float]:
    """The share of places on the cracks that are black, and beside them that are white."""
    black, white, count = 0, 0, 0
    for points in lines:
        if min(light.width, light.height) < 17:
            continue
        x = np.clip(np.floor(points[:, 0]), 8, light.width - 9) + 0.5
        y = np.clip(np.floor(points[:, 1]), 8, light.height - 9) + 0.5
        black += int((light.at(x, y) < BLACK).sum())
        beside = [light.at(x + dx, y + dy) for dy, dx in ((0, 8), (0, -8), (8, 0), (-8, 0))]
        white += int((np.median(beside, axis=0) > WHITE).sum())
        count += len(points)
    return (black / count, white / count) if count else (0.0, 0.0)
