"""Datasets: a folder of photographs and masks, paired by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.formats import files_in, is_picture, same_name
from minispiral.data.photos import read_mask, read_photo
from minispiral.errors import UserError


@dataclass(frozen=True)
class Pair:
    """A photograph and its crack mask.

    ``name`` is the stem that the two files share, with the subfolder they lie in: ``pier/0001``.
    With ``as_stored`` both are read without regard to their EXIF orientation.
    """

    name: str
    photo: Path
    mask: Path
    as_stored: bool = False


def find_pairs(
    folder: Path | str, mask_suffix: str = "", recursive: bool = False, as_stored: bool = False
) -> list[Pair]:
    """Pair the photographs in ``folder/images`` with their masks in ``folder/masks`` by stem.

    The mask of NAME.jpg is called NAME + ``mask_suffix``, up to its own suffix. Stems are compared
    after Unicode normalisation. With ``recursive`` the subfolders of the two are searched too:
    ``images/pier/0001.jpg`` belongs to ``masks/pier/0001.png``. The pairs are sorted by name, and
    have ``as_stored``. Files that are no pictures (`is_picture`), such as ``Thumbs.db``, are
    ignored.

    Raises `UserError` for a missing folder, no pictures at all, two files with the same stem, a
    photograph without a mask and a mask without a photograph.
    """
    folder, suffix = Path(folder), same_name(mask_suffix)
    photos = _pictures_by_stem(folder, "images", recursive)
    masks = _pictures_by_stem(folder, "masks", recursive)
    if suffix:
        others = [path.name for stem, path in masks.items() if not stem.endswith(suffix)]
        if others:
            raise UserError(
                f"{folder / 'masks'} holds {_some(others)}, but its masks were said to be called "
                f"NAME{mask_suffix}; rename or remove the others",
                "mask_suffix",
            )
        masks = {stem.removesuffix(suffix): path for stem, path in masks.items()}
    if photos.keys() != masks.keys():
        raise _unpaired(folder, photos, masks)
    if not photos:
        raise _no_pictures(folder, recursive)
    return [Pair(stem, photos[stem], masks[stem], as_stored) for stem in sorted(photos)]


def read_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read the photograph (h, w, 3) and the mask (h, w) of a pair.

    Raises `UserError` for a file that cannot be read and for sizes that differ.
    """
    photo = read_photo(pair.photo, pair.as_stored)
    mask = read_mask(pair.mask, pair.as_stored)
    h, w = mask.shape
    if photo.shape[:2] != (h, w):
        raise UserError(
            f"Photograph {pair.photo} is {photo.shape[1]} x {photo.shape[0]} pixels but its "
            f"mask {pair.mask} is {w} x {h}; the two must have the same size"
        )
    return photo, mask


def _pictures_by_stem(folder: Path, part: str, recursive: bool) -> dict[str, Path]:
    """The picture files in ``folder/part`` by their stems, with the subfolders they lie in."""
    place = folder / part
    if not place.is_dir():
        raise UserError(
            f"There is no folder {place}; a dataset is a folder with photographs in images/ and "
            "masks in masks/"
        )
    pictures: dict[str, Path] = {}
    for path in filter(is_picture, files_in(place, recursive)):
        stem = same_name(path.relative_to(place).with_name(path.stem).as_posix())
        if stem in pictures:
            first, alike = pictures[stem], ""
            if first.name != path.name and same_name(first.name) == same_name(path.name):
                alike = f" (spelled in two ways, {ascii(first.name)} and {ascii(path.name)})"
            raise UserError(
                f"{first} and {path.name} have the same stem {path.stem}{alike}, so they "
                "cannot both be paired; rename or remove one of them"
            )
        pictures[stem] = path
    return pictures


def _unpaired(folder: Path, photos: dict[str, Path], masks: dict[str, Path]) -> UserError:
    """What to tell of photographs and masks that are alone."""
    alone = [
        f"no {missing} for {_some([found[stem].name for stem in sorted(found.keys() - others)])}"
        for missing, found, others in (
            ("mask", photos, masks.keys()),
            ("photograph", masks, photos.keys()),
        )
        if found.keys() - others
    ]
    text = f"In {folder} there is {' and '.join(alone)}"
    suffix = _common_suffix(photos.keys() - masks.keys(), masks.keys() - photos.keys())
    if suffix:
        return UserError(
            f"{text}: its masks are called NAME{suffix}; rename them as the photographs",
            "mask_suffix",
        )
    rest = {
        same_name(path.stem): path.name
        for part in ("images", "masks")
        for path in files_in(folder / part)
        if not is_picture(path)
    }
    unread = [rest[stem] for stem in sorted(photos.keys() ^ masks.keys()) if stem in rest]
    if unread:
        text += f" ({_some(unread)}: pictures of this kind are not read)"
    return UserError(
        f"{text}; every photograph in images/ needs a mask in masks/ with the same name up to the "
        "suffix"
    )


def _common_suffix(photos: set[str], masks: set[str]) -> str:
    """What all masks have at the end of their photograph's stem; "" if there is no such thing."""
    for photo in sorted(photos)[:1]:
        for mask in masks:
            suffix = mask.removeprefix(photo)
            if suffix != mask and masks == {stem + suffix for stem in photos}:
                return suffix
    return ""


def _no_pictures(folder: Path, recursive: bool) -> UserError:
    """What to tell of a folder in which there is nothing to pair."""
    inside = not recursive and any(map(is_picture, files_in(folder / "images", recursive=True)))
    if inside:
        return UserError(f"{folder} has pictures only in subfolders of images/", "recursive")
    return UserError(
        f"{folder} has no pictures in images/ and masks/; put photographs and masks with the "
        "same names there"
    )


def _some(names: Sequence[str]) -> str:
    """Name up to three of them and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
