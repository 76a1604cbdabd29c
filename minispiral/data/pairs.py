"""Datasets: a folder of photographs and masks, paired by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.decode import orientation_of
from minispiral.data.exif import SIDEWAYS
from minispiral.data.formats import files_in, is_picture, pictures_in, same_name
from minispiral.data.masks import examine_mask
from minispiral.data.photos import read_photo
from minispiral.data.problems import Problem
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
    photos = _one_by_stem(folder, "images", recursive)
    masks = _one_by_stem(folder, "masks", recursive)
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
        raise _unpaired(folder, photos, masks, suffix)
    if not photos:
        raise _no_pictures(folder, recursive)
    return [Pair(stem, photos[stem], masks[stem], as_stored) for stem in sorted(photos)]


def read_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read the photograph (h, w, 3) and the mask (h, w) of a pair.

    Raises `UserError` for a file that cannot be read and for sizes that differ.
    """
    photo, mask, _ = _read(pair)
    return photo, mask


def examine_pair(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[Problem]]:
    """Read a pair as `read_pair` does, and say what is doubtful about it.

    Beside the doubts of `examine_mask` there are "EXIF": photograph and mask are turned
    differently, and their sizes do not tell whether the mask was drawn on the turned photograph;
    and "pages": a file holds several pictures.
    """
    photo, mask, problems = _read(pair)
    h, w = mask.shape
    turns = orientation_of(pair.photo), orientation_of(pair.mask)
    sure = h != w and (turns[0] in SIDEWAYS) != (turns[1] in SIDEWAYS)
    if turns[0] != turns[1] and not sure and not pair.as_stored:
        text = (
            f"is turned by EXIF (orientation {turns[0]}) otherwise than its mask "
            f"{pair.mask.name} ({turns[1]}); if the mask was drawn on the pixels as they are "
            "stored, read both as stored"
        )
        problems.append(Problem(pair.photo, "EXIF", text))
    for path in (pair.photo, pair.mask):
        if (count := pictures_in(path)) > 1:
            text = f"holds {count} pictures, of which the first is read"
            problems.append(Problem(path, "pages", text))
    return photo, mask, problems


def _read(pair: Pair) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[Problem]]:
    """Read a pair and refuse a mask of another size, naming EXIF if it is to blame."""
    photo = read_photo(pair.photo, pair.as_stored)
    mask, problems = examine_mask(pair.mask, pair.as_stored)
    h, w = mask.shape
    if photo.shape[:2] == (h, w):
        return photo, mask, problems
    text = (
        f"Photograph {pair.photo} is {photo.shape[1]} x {photo.shape[0]} pixels but its "
        f"mask {pair.mask} is {w} x {h}"
    )
    turns = orientation_of(pair.photo), orientation_of(pair.mask)
    if photo.shape[1::-1] == (h, w) and (turns[0] in SIDEWAYS) != (turns[1] in SIDEWAYS):
        turned = "photograph" if turns[0] in SIDEWAYS else "mask"
        verb, advice = "turns", "read both as stored"
        if pair.as_stored:
            verb, advice = "would turn", "read them as EXIF says"
        raise UserError(f"{text}, since EXIF {verb} the {turned} alone; {advice}", "as_stored")
    raise UserError(f"{text}; the two must have the same size")


def pictures_by_stem(folder: Path, part: str, recursive: bool) -> dict[str, list[Path]]:
    """The picture files in ``folder/part`` by their stems, with the subfolders they lie in.

    Raises `UserError` if there is no such folder.
    """
    place = folder / part
    if not place.is_dir():
        raise UserError(
            f"There is no folder {place}; a dataset is a folder with photographs in images/ and "
            "masks in masks/"
        )
    pictures: dict[str, list[Path]] = {}
    for path in filter(is_picture, files_in(place, recursive)):
        stem = same_name(path.relative_to(place).with_name(path.stem).as_posix())
        pictures.setdefault(stem, []).append(path)
    return pictures


def _one_by_stem(folder: Path, part: str, recursive: bool) -> dict[str, Path]:
    """The picture file of each stem in ``folder/part``; raises `UserError` if there are two."""
    found = pictures_by_stem(folder, part, recursive)
    for first, *others in found.values():
        for path in others:
            alike = ""
            if first.name != path.name and same_name(first.name) == same_name(path.name):
                alike = f" (spelled in two ways, {first.name!a} and {path.name!a})"
            raise UserError(
                f"{first} and {path.name} have the same stem {path.stem}{alike}, so they "
                "cannot both be paired; rename or remove one of them"
            )
    return {stem: paths[0] for stem, paths in found.items()}


def _unpaired(
    folder: Path, photos: dict[str, Path], masks: dict[str, Path], mask_suffix: str
) -> UserError:
    """What to tell of photographs and masks that are alone."""
    alone = []
    for missing, part, found, others in (
        ("mask", "images", photos, masks),
        ("photograph", "masks", masks, photos),
    ):
        names = [
            str(found[stem].relative_to(folder / part))
            for stem in sorted(found.keys() - others.keys())
        ]
        if names:
            alone.append(f"no {missing} for {_some(names)}")
    text = f"In {folder} there is {' and '.join(alone)}"
    suffix = _common_suffix(photos.keys() - masks.keys(), masks.keys() - photos.keys())
    if suffix:
        return UserError(
            f"{text}: its masks are called NAME{suffix}{mask_suffix}; rename them as the "
            "photographs",
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
