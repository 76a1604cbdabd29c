"""Synthetic photographs of cracks, labelled as a person would.

``concrete``: board-marked concrete with hairline cracks. About 1 pixel in 450 is labelled crack, as
in the photographs of the paper (Section 4). A label is a trace about 3 pixels wide, drawn by an
unsteady hand; the crack beneath it is often thinner than a pixel, faint and interrupted. Below
about 400 x 400 pixels the share of crack pixels is higher, since a crack needs some length.

``varied``: asphalt, plaster and worn concrete too, with cracks up to 9 pixels wide, all that may be
taken for one, and light and cameras of many kinds. A network that is to work on photographs of
which it knows nothing is trained on these.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.crack import Crack, cracks_json
from minispiral.data.photos import write_picture
from minispiral.data.synthetic.clutter import add_clutter
from minispiral.data.synthetic.concrete import make_surface, photograph
from minispiral.data.synthetic.course import trace
from minispiral.data.synthetic.cracks import grow_cracks, paint_cracks
from minispiral.data.synthetic.exposure import expose
from minispiral.data.synthetic.ground import add_grain, make_ground
from minispiral.data.synthetic.hairlines import grow_hairlines, paint_hairlines
from minispiral.errors import UserError
from minispiral.files import write_text, writing_error

SMALLEST = 64  # pixels, the shortest side of a photograph
FOLDERS = ("images", "masks", "joints", "cracks")  # of a dataset


@dataclass(frozen=True)
class Sample:
    """A photograph (h, w, 3), its crack mask (h, w), its joints mask (h, w) and the true cracks."""

    photo: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    joints: NDArray[np.bool_]
    cracks: list[Crack]


def make_sample(
    rng: np.random.Generator,
    height: int,
    width: int,
    transfer: str = "srgb",
    kind: str = "concrete",
) -> Sample:
    """Make one photograph of ``height`` x ``width`` pixels with its labels.

    About one in ten has no crack. ``kind`` is one of `KINDS`. ``transfer``: pixel values stand for
    light as cameras write them, ``srgb``, or in proportion to it, ``linear``. Raises `UserError`
    for a side below 64 pixels and `KeyError` for another kind.
    """
    _check_size(height, width)
    return KINDS[kind](rng, height, width, transfer)


def _concrete(rng: np.random.Generator, height: int, width: int, transfer: str) -> Sample:
    surface = make_surface(rng, height, width)
    cracks = grow_hairlines(rng, height, width)
    paint_hairlines(rng, surface, cracks)
    mask = trace(rng, cracks, height, width, every=4, unsteady=0.45)
    return Sample(photograph(rng, surface, transfer), mask, surface.joints, cracks)


def _varied(rng: np.random.Generator, height: int, width: int, transfer: str) -> Sample:
    if rng.random() < 0.55:
        surface = make_surface(rng, height, width)
        if rng.random() < 0.6:
            add_grain(rng, surface, rng.uniform(0.02, 0.09))
    else:
        surface = make_ground(rng, height, width)
    add_clutter(rng, surface)
    cracks = grow_cracks(rng, height, width)
    paint_cracks(rng, surface, cracks)
    mask = trace(rng, cracks, height, width, every=2, unsteady=0.35, margin=1.0)
    return Sample(expose(rng, surface, transfer), mask, surface.joints, cracks)


KINDS = {"concrete": _concrete, "varied": _varied}


def write_dataset(
    folder: Path,
    photos: int,
    size: tuple[int, int],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    transfer: str = "srgb",
    kind: str = "concrete",
) -> None:
    """Write ``photos`` photographs of ``size`` (width, height) pixels and their labels.

    The first becomes ``images/0000.jpg``, with the labels ``masks/0000.png`` and
    ``joints/0000.png`` (0 or 255) and ``cracks/0000.json`` (see `cracks_json`). Photograph k
    depends on ``seed``, ``size`` and k alone, so that a larger dataset begins with the smaller
    one. ``progress(done, photos)`` is called after each. ``transfer`` and ``kind`` are those of
    `make_sample`.

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
            sample = make_sample(np.random.default_rng([seed, k]), height, width, transfer, kind)
            images, masks, joints, cracks = (folder / name / f"{k:04d}" for name in FOLDERS)
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


def _make_folders(folder: Path) -> None:
    for kind in FOLDERS:
        if (folder / kind).is_dir() and any((folder / kind).iterdir()):
            raise _taken(folder, kind)
    try:
        for kind in FOLDERS:
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
