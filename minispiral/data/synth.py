"""Synthetic photographs of concrete with hairline cracks, labelled as a person would.

About 1 pixel in 450 is labelled crack, as in the photographs of the paper (Section 4). A label is
a trace about 3 pixels wide, drawn by an unsteady hand; the crack beneath it is often thinner than
a pixel, faint and interrupted. Below about 400 x 400 pixels the share of crack pixels is higher,
since a crack needs some length.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.concrete import Surface, dig_hole, make_surface, photograph
from minispiral.data.crack import Crack, cracks_json
from minispiral.data.painting import Field, draw_stroke, noise_1d
from minispiral.data.photos import write_picture
from minispiral.errors import UserError
from minispiral.files import write_text, writing_error

SMALLEST = 64  # pixels, the shortest side of a photograph
CRACK_SHARE = 1 / 450  # of all pixels, on average over many photographs
UNCRACKED = 0.1  # of the photographs
TRACE_WIDTH = 3.0  # pixels
STEP = 2.0  # pixels between the points of a crack
KINDS = ("images", "masks", "joints", "cracks")  # the folders of a dataset


@dataclass(frozen=True)
class Sample:
    """A photograph (h, w, 3), its crack mask (h, w), its joints mask (h, w) and the true cracks."""

    photo: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    joints: NDArray[np.bool_]
    cracks: list[Crack]


def make_sample(
    rng: np.random.Generator, height: int, width: int, transfer: str = "srgb"
) -> Sample:
    """Make one photograph of ``height`` x ``width`` pixels with its labels.

    One in ten has no crack. ``transfer`` is that of `minispiral.data.concrete.photograph`. Raises
    `UserError` for a side below 64 pixels.
    """
    _check_size(height, width)
    surface = make_surface(rng, height, width)
    cracks = [] if rng.random() < UNCRACKED else _grow_cracks(rng, height, width)
    _paint_cracks(rng, surface, cracks)
    mask = _trace(rng, cracks, height, width)
    return Sample(photograph(rng, surface, transfer), mask, surface.joints, cracks)


def write_dataset(
    folder: Path,
    photos: int,
    size: tuple[int, int],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    transfer: str = "srgb",
) -> None:
    """Write ``photos`` photographs of ``size`` (width, height) pixels and their labels.

    The first becomes ``images/0000.jpg``, with the labels ``masks/0000.png`` and
    ``joints/0000.png`` (0 or 255) and ``cracks/0000.json`` (see `cracks_json`). Photograph k
    depends on ``seed``, ``size`` and k alone, so that a larger dataset begins with the smaller
    one. ``progress(done, photos)`` is called after each. ``transfer`` is that of `make_sample`.

    Raises `UserError` for a count below 1, a side below 64, a negative seed, a folder that already
    holds a dataset or in which another process begins one, and a full disk.
    """
    width, height = size
    if photos < 1:
        raise UserError(f"{photos} photographs were asked for, expected at least 1", "photos")
    if seed < 0:
        raise UserError(f"The seed {seed} is negative, expected at least 0", "seed")
    _check_size(height, width)
    _make_folders(folder)
    with _claimed(folder):
        for k in range(photos):
            sample = make_sample(np.random.default_rng([seed, k]), height, width, transfer)
            images, masks, joints, cracks = (folder / kind / f"{k:04d}" for kind in KINDS)
            # The photograph comes last, so that one that is there has all its labels.
            write_text(cracks.with_suffix(".json"), cracks_json(sample.cracks, height, width))
            write_picture(joints.with_suffix(".png"), np.uint8(255) * sample.joints)
            write_picture(masks.with_suffix(".png"), np.uint8(255) * sample.mask)
            write_picture(images.with_suffix(".jpg"), sample.photo)
            if progress is not None:
                progress(k + 1, photos)


def _check_size(height: int, width: int) -> None:
    if min(height, width) < SMALLEST:
        raise UserError(
            f"Photographs of {width}x{height} pixels were asked for, expected at least {SMALLEST} "
            "pixels on each side",
            "size",
        )


def _grow_cracks(rng: np.random.Generator, height: int, width: int) -> list[Crack]:
    """Grow cracks and branches until their traces cover the photograph's share of pixels."""
    share = CRACK_SHARE / (1 - UNCRACKED) * rng.gamma(2.0, 1 / 2.0)
    shortest = min(height, width) / 3
    budget = max(share * height * width / TRACE_WIDTH, shortest)
    typical_width = np.exp(rng.normal(0.1, 0.35))
    cracks: list[Crack] = []
    while budget > 0.4 * shortest:
        wanted = min(budget, np.hypot(height, width) * rng.uniform(0.3, 1.1))
        start = rng.uniform((0, 0), (width, height))
        trunk = _grow(rng, start, rng.uniform(0, 2 * np.pi), wanted, height, width)
        if len(trunk) * STEP < 0.4 * min(wanted, shortest):
            continue
        opening = typical_width * np.exp(rng.normal(0, 0.25))
        cracks.append(Crack(trunk, _widths(rng, len(trunk), opening)))
        budget -= len(trunk) * STEP
        for _ in range(rng.poisson(len(trunk) * STEP / 450)):
            at = rng.integers(len(trunk) - 1)
            along = trunk[at + 1] - trunk[at]
            heading = np.arctan2(along[1], along[0]) + rng.choice([-1, 1]) * rng.uniform(0.5, 1.3)
            wanted = min(budget, len(trunk) * STEP * rng.uniform(0.15, 0.6))
            branch = _grow(rng, trunk[at], heading, wanted, height, width)
            if len(branch) * STEP > 16:
                cracks.append(Crack(branch, _widths(rng, len(branch), 0.7 * opening)))
                budget -= len(branch) * STEP
    return cracks


def _grow(
    rng: np.random.Generator,
    start: NDArray[np.float64],
    heading: float,
    length: float,
    height: int,
    width: int,
) -> NDArray[np.float64]:
    """Walk at most ``length`` pixels from ``start``, stopping at the edge of the photograph.

    The heading varies by smooth bends and by sudden turns, as around stones in the concrete.
    """
    count = max(2, int(length / STEP))
    turns = np.repeat(rng.normal(0, 0.5, count), rng.integers(1, 6, count))[:count]
    headings = heading + 0.3 * noise_1d(rng, count, 128, 16) + turns
    steps = STEP * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    points = np.vstack([start, start + np.cumsum(steps, axis=0)])
    points[1:] += rng.normal(0, 0.2, (count, 2))
    outside = ((points < 0) | (points >= (width, height))).any(axis=1)
    return points[: np.argmax(outside)] if outside.any() else points


def _widths(rng: np.random.Generator, count: int, opening: float) -> NDArray[np.float64]:
    """The opening in pixels at ``count`` points: uneven, narrow at the ends, 0 at gaps."""
    widths = opening * np.exp(0.4 * noise_1d(rng, count, 64, 1))
    widths *= np.minimum(1, 0.3 + np.minimum(np.arange(count), np.arange(count)[::-1]) / 30)
    widths[noise_1d(rng, count, 16, 4) > rng.uniform(1.3, 2.5)] = 0
    return np.clip(widths, 0, 3.2)


def _paint_cracks(rng: np.random.Generator, surface: Surface, cracks: list[Crack]) -> None:
    """Darken the surface along the cracks; some have lime or damp along them or holes on them."""
    dark = np.zeros_like(surface.grey)
    margins = np.zeros_like(surface.grey)
    darkness = rng.uniform(0.45, 0.85)
    for crack in cracks:
        count = len(crack.points)
        strength = np.clip(darkness + 0.1 * noise_1d(rng, count, 64, 4), 0.15, 0.85)
        draw_stroke(dark, crack.points, crack.widths, strength)
        if rng.random() < 0.3:
            broad = 4 + 2 * np.abs(noise_1d(rng, count, 32, 4))
            draw_stroke(margins, crack.points, broad, 0.05 * np.abs(noise_1d(rng, count, 64, 8)))
    surface.grey *= (1 - dark) * (1 + rng.choice([-1, 1]) * margins)
    for crack in cracks:
        for at in rng.integers(len(crack.points), size=rng.poisson(len(crack.points) / 150)):
            x, y = crack.points[at]
            dig_hole(rng, surface, x, y, min(6.0, 0.8 + 0.6 * rng.pareto(1.7)))


def _trace(
    rng: np.random.Generator, cracks: list[Crack], height: int, width: int
) -> NDArray[np.bool_]:
    """Trace the cracks as a person would: across short gaps, cutting corners, slightly off."""
    canvas: Field = np.zeros((height, width), np.float32)
    for crack in cracks:
        clicks = np.arange(0, len(crack.points), 4)
        clicks = np.append(clicks, len(crack.points) - 1)
        points = crack.points[clicks] + 0.45 * rng.standard_normal((len(clicks), 2))
        draw_stroke(canvas, points, np.full(len(clicks), TRACE_WIDTH))
    return canvas >= 0.5


def _make_folders(folder: Path) -> None:
    for kind in KINDS:
        if (folder / kind).is_dir() and any((folder / kind).iterdir()):
            raise _taken(folder, kind)
    try:
        for kind in KINDS:
            (folder / kind).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be made a folder ({error.strerror or error})", "folder"
        ) from error


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Make the first file at once: of two processes that begin together one finds it there.

    This needs no disk that can lock files. An empty one does not stay.
    """
    first = folder / "cracks" / "0000.json"
    try:
        first.touch(exist_ok=False)
    except FileExistsError:
        raise _taken(folder, "cracks") from None
    except OSError as error:
        raise writing_error(first, error) from error
    try:
        yield
    finally:
        with suppress(OSError):  # gone meanwhile
            if not first.stat().st_size:
                first.unlink()


def _taken(folder: Path, kind: str) -> UserError:
    return UserError(
        f"{folder} already holds a dataset ({kind}/ is not empty); remove it", "folder"
    )
