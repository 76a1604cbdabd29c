"""What is wrong with a dataset, found before an hour of training is lost on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minispiral.data import exif
from minispiral.data.decode import decode, head_of
from minispiral.data.doubts import Dataset, doubts, doubts_between, same_folder
from minispiral.data.formats import same_name
from minispiral.data.look import Look, look_at
from minispiral.data.pairs import Pair, examine_pair, find_pairs, pictures_by_stem
from minispiral.data.problems import Problem
from minispiral.errors import UserError
from minispiral.memory import memory_for

Seen = Callable[[Pair, NDArray[np.uint8], NDArray[np.bool_]], None]

MOST_VALUES = 16  # of a mask, that are listed


class FileFacts(NamedTuple):
    """What a picture file says of itself: ``mode`` is Pillow's, ``orientation`` that of EXIF."""

    format: str
    mode: str
    orientation: int


@dataclass(frozen=True)
class CheckedSet:
    """A dataset, what its files say of themselves and the values found in its masks, by pair.

    The values are those of the file: indices of a palette, triples of a colour picture, the words
    "inf" and "-inf". None stands for more than 256 of them. ``problems`` are errors and warnings.
    """

    dataset: Dataset
    photos: Sequence[FileFacts]
    masks: Sequence[FileFacts]
    mask_values: Sequence[list[Any] | None]
    problems: Sequence[Problem]

    def rows(self) -> Iterator[tuple[Pair, Look, FileFacts, FileFacts, list[Any] | None]]:
        """Each pair with what is known of it: pixels, photograph, mask, values of the mask."""
        data = self.dataset
        yield from zip(
            data.pairs, data.looks, self.photos, self.masks, self.mask_values, strict=True
        )

    @property
    def sizes(self) -> dict[str, int]:
        """How many photographs there are of each size, the most frequent first."""
        return _counted(f"{look.width} x {look.height}" for look in self.dataset.looks)

    @property
    def modes(self) -> dict[str, int]:
        """How many photographs there are in each mode of Pillow, the most frequent first."""
        return _counted(photo.mode for photo in self.photos)

    @property
    def mask_modes(self) -> dict[str, int]:
        """The same of the masks."""
        return _counted(mask.mode for mask in self.masks)

    @property
    def turned(self) -> int:
        """How many photographs EXIF turns."""
        return sum(photo.orientation != 1 for photo in self.photos)

    def as_dict(self) -> dict[str, Any]:
        """Totals, and all that is known of each photograph, for JSON."""
        data = self.dataset
        return {
            "folder": str(data.folder),
            "photographs": len(data.pairs),
            "pixels": data.pixels,
            "crack_pixels": data.crack_pixels,
            "crack_share": data.crack_share,
            "sizes": self.sizes,
            "modes": self.modes,
            "mask_modes": self.mask_modes,
            "turned_by_exif": self.turned,
            "photos": [_entry(*row) for row in self.rows()],
        }


@dataclass(frozen=True)
class Check:
    """What was found in the dataset to train on and, if there is one, in that to validate on."""

    data: CheckedSet
    val: CheckedSet | None
    problems: Sequence[Problem]

    @property
    def sets(self) -> list[CheckedSet]:
        """One or two."""
        return [self.data] if self.val is None else [self.data, self.val]

    @property
    def errors(self) -> list[Problem]:
        """What keeps the dataset from being used."""
        return [problem for problem in self.problems if problem.error]

    @property
    def warnings(self) -> list[Problem]:
        """What is doubtful."""
        return [problem for problem in self.problems if not problem.error]

    def as_dict(self) -> dict[str, Any]:
        """The check as it is printed as JSON; ``crack_share`` is that of the training set."""
        return {
            "errors": listed(self.errors),
            "warnings": listed(self.warnings),
            "crack_share": self.data.dataset.crack_share,
            "data": self.data.as_dict(),
            "val": None if self.val is None else self.val.as_dict(),
        }


def check(
    data: Path | str,
    val: Path | str | None = None,
    mask_suffix: str = "",
    recursive: bool = False,
    as_stored: bool = False,
    progress: Callable[[float, int], None] | None = None,
    seen: Seen | None = None,
) -> Check:
    """Look at every photograph and mask of the dataset ``data``, and of ``val``.

    ``mask_suffix``, ``recursive`` and ``as_stored`` are those of `find_pairs`. Each pair is decoded
    once; ``seen(pair, photo, mask)`` is called with its arrays, from two threads, and
    ``progress(done, total)`` after each.

    Raises `UserError` where there is nothing to check: a missing folder, or no photograph that has
    a mask. Whatever else is wrong is found in the result.
    """
    layout = mask_suffix, recursive, as_stored
    folders = [Path(data)]
    if val is not None and not same_folder(Path(data), Path(val)):
        folders.append(Path(val))
    matched = [_match(folder, *layout) for folder in folders]
    total = sum(len(pairs) for pairs, _ in matched)
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    sets = [
        _checked(folder, pairs, problems, seen, count)
        for folder, (pairs, problems) in zip(folders, matched, strict=True)
    ]
    between: list[Problem] = []
    if val is not None:
        other = sets[1].dataset if len(sets) > 1 else Dataset(Path(val), [], [])
        between = doubts_between(sets[0].dataset, other)
    problems = [*between, *(problem for found in sets for problem in found.problems)]
    return Check(sets[0], sets[1] if len(sets) > 1 else None, problems)


def listed(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """``file``, ``kind`` and ``text`` of each, for JSON."""
    return [{"file": str(p.file), "kind": p.kind, "text": p.text} for p in problems]


def _match(
    folder: Path, mask_suffix: str, recursive: bool, as_stored: bool
) -> tuple[list[Pair], list[Problem]]:
    """The pairs of a dataset, and what keeps others from being pairs.

    Raises what `find_pairs` raises if there is no pair at all.
    """
    try:
        return find_pairs(folder, mask_suffix, recursive, as_stored), []
    except UserError:
        photos, masks = (
            ({}, {})
            if not _has_parts(folder)
            else (pictures_by_stem(folder, part, recursive) for part in ("images", "masks"))
        )
        suffix = same_name(mask_suffix)
        masks = {
            stem.removesuffix(suffix): paths
            for stem, paths in masks.items()
            if stem.endswith(suffix)
        }
        if not photos.keys() & masks.keys():
            raise
    problems = []
    for found, others, part, what in (
        (photos, masks, "masks", "mask"),
        (masks, photos, "images", "photograph"),
    ):
        for stem, paths in sorted(found.items()):
            if stem not in others:
                text = f"has no {what} with the same name in {part}/"
                problems += [Problem(path, f"no {what}", text, True) for path in paths]
            for path in paths[1:]:
                text = f"has the same stem as {paths[0].name}, so they cannot both be paired"
                problems.append(Problem(path, "same stem", text, True))
    stems = sorted(photos.keys() & masks.keys())
    return [Pair(stem, photos[stem][0], masks[stem][0], as_stored) for stem in stems], problems


def _has_parts(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


def _checked(
    folder: Path,
    pairs: Sequence[Pair],
    problems: Sequence[Problem],
    seen: Seen | None,
    count: Callable[[], None],
) -> CheckedSet:
    """Look at every pair that can be read."""
    errors = list(problems)
    readable, looks, doubtful = [], [], list[Problem]()
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="check") as pool:
        for pair, found in zip(pairs, pool.map(lambda pair: _look(pair, seen), pairs), strict=True):
            if isinstance(found, Problem):
                errors.append(found)
            else:
                readable.append(pair)
                looks.append(found[0])
                doubtful += found[1]
            count()
    dataset = Dataset(folder, readable, looks, doubtful)
    return CheckedSet(
        dataset,
        [_facts(pair.photo) for pair in readable],
        [_facts(pair.mask) for pair in readable],
        [_values(pair.mask) for pair in readable],
        [*errors, *doubts(dataset)],
    )


def _look(pair: Pair, seen: Seen | None) -> tuple[Look, list[Problem]] | Problem:
    """Measure a pair and tell its doubts, or what keeps it from being read."""
    try:
        with memory_for(pair.photo):
            photo, mask, problems = examine_pair(pair)
            if seen:
                seen(pair, photo, mask)
            return look_at(photo, mask), problems
    except UserError as error:
        file = pair.photo if str(pair.photo) in str(error) else pair.mask
        return Problem(file, "unusable", str(error), True)


def _counted(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _facts(path: Path) -> FileFacts:
    with head_of(path) as image:
        return FileFacts(image.format or "", image.mode, exif.orientation(image))


def _values(path: Path) -> list[Any] | None:
    """The values in the file of a mask, sorted; None for more than 256."""
    image = decode(path, as_stored=True).image
    if image.mode.startswith(("I", "F")):
        values = np.unique(np.asarray(image))
        if len(values) > 256:
            return None
        # JSON has no infinity.
        return [value if np.isfinite(value) else str(value) for value in values.tolist()]
    colours = image.getcolors(256)
    return None if colours is None else sorted(colour for _, colour in colours)


def _entry(
    pair: Pair, look: Look, photo: FileFacts, mask: FileFacts, values: list[Any] | None
) -> dict[str, Any]:
    return {
        "name": pair.name,
        "photo": str(pair.photo),
        "mask": str(pair.mask),
        "width": look.width,
        "height": look.height,
        "crack_pixels": look.crack_pixels,
        "crack_share": look.crack_share,
        "contrast": None if look.alignment is None else look.alignment.contrast,
        "sharpness": look.sharpness,
        **{f"photo_{name}": value for name, value in photo._asdict().items()},
        **{f"mask_{name}": value for name, value in mask._asdict().items()},
        "mask_values": None if values is None else values[:MOST_VALUES],
    }
