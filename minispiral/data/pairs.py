"""Datasets: a folder of photographs and masks, paired by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.photos import is_picture, read_mask, read_photo
from minispiral.errors import UserError


@dataclass(frozen=True)
class Pair:
    """A photograph and its crack mask; ``name`` is the stem that the two files share."""

    name: str
    photo: Path
    mask: Path


def find_pairs(folder: Path | str) -> list[Pair]:
    """Pair the photographs in ``folder/images`` with their masks in ``folder/masks`` by stem.

    The pairs are sorted by name. Hidden files are ignored, and so are files whose suffix is of no
    format that Pillow reads, such as ``Thumbs.db``.

    Raises `UserError` for a missing folder, no pictures at all, two files with the same stem, a
    photograph without a mask and a mask without a photograph.
    """
    folder = Path(folder)
    photos = _pictures_by_stem(folder, "images")
    masks = _pictures_by_stem(folder, "masks")
    unpaired = [
        f"no {missing} for {_some(sorted(found[stem].name for stem in found.keys() - others))}"
        for missing, found, others in (
            ("mask", photos, masks.keys()),
            ("photograph", masks, photos.keys()),
        )
        if found.keys() - others
    ]
    if unpaired:
        raise UserError(
            f"In {folder} there is {' and '.join(unpaired)}; every photograph in images/ needs "
            "a mask in masks/ with the same name up to the suffix"
        )
    if not photos:
        raise UserError(
            f"{folder} has no pictures in images/ and masks/; put photographs and masks with the "
            "same names there"
        )
    return [Pair(stem, photos[stem], masks[stem]) for stem in sorted(photos)]


def read_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read the photograph (h, w, 3) and the mask (h, w) of a pair.

    Raises `UserError` for a file that cannot be read and for sizes that differ.
    """
    photo, mask = read_photo(pair.photo), read_mask(pair.mask)
    h, w = mask.shape
    if photo.shape[:2] != (h, w):
        raise UserError(
            f"Photograph {pair.photo} is {photo.shape[1]} x {photo.shape[0]} pixels but its "
            f"mask {pair.mask} is {w} x {h}; the two must have the same size"
        )
    return photo, mask


def _pictures_by_stem(folder: Path, part: str) -> dict[str, Path]:
    """The picture files in ``folder/part`` by stem."""
    place = folder / part
    if not place.is_dir():
        raise UserError(
            f"There is no folder {place}; a dataset is a folder with photographs in images/ and "
            "masks in masks/"
        )
    pictures: dict[str, Path] = {}
    for path in filter(is_picture, sorted(place.iterdir())):
        if path.stem in pictures:
            raise UserError(
                f"{pictures[path.stem]} and {path.name} have the same stem {path.stem}, so they "
                "cannot both be paired; rename or remove one of them"
            )
        pictures[path.stem] = path
    return pictures


def _some(names: Sequence[str]) -> str:
    """Name up to three of them and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
