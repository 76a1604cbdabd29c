"""What is doubtful about a dataset, and about two that should have nothing in common."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minispiral.data.look import Look
from minispiral.data.pairs import Pair
from minispiral.data.problems import Problem
from minispiral.data.similarity import near_duplicates

MUCH_CRACK = 0.1  # share of the pixels; real masks have 0.0003 to 0.06
INVERTED = 0.5  # share, above which reading the mask tells that it may be inverted
SMALL = 0.25  # of the median number of pixels
BLURRY = 0.45  # of the median sharpness
ENOUGH = 5  # photographs, to compare one with the others
SHORT = 80  # pixels of crack: the surface may by chance be as dark beside it as under it
OFTEN = 1 / 3  # share of the short masks, for which chance is no explanation


@dataclass(frozen=True)
class Dataset:
    """The pairs found in a folder, a `Look` at each, and what was doubtful when they were read."""

    folder: Path
    pairs: Sequence[Pair]
    looks: Sequence[Look]
    problems: Sequence[Problem] = ()

    @property
    def pixels(self) -> int:
        """Of all photographs."""
        return sum(look.pixels for look in self.looks)

    @property
    def crack_pixels(self) -> int:
        """Of all masks."""
        return sum(look.crack_pixels for look in self.looks)

    @property
    def crack_share(self) -> float:
        """Crack pixels of all masks, divided by their pixels; 0 without any."""
        return self.crack_pixels / max(self.pixels, 1)

    def summary(self) -> str:
        """``50 photographs, 13.1 megapixels, 0.34 % crack, 4 without crack``."""
        number = len(self.pairs)
        photographs = "1 photograph" if number == 1 else f"{number} photographs"
        without = sum(not look.crack_pixels for look in self.looks)
        return (
            f"{photographs}, {self.pixels / 1e6:.3g} megapixels, "
            f"{100 * self.crack_share:.2g} % crack"
            + (f", {without} without crack" if without else "")
        )


def doubts(data: Dataset, quick: bool = False) -> list[Problem]:
    """What is doubtful about a dataset: about each photograph, alone and among the others.

    Whether EXIF turns a photograph away from its mask is no doubt where the mask lies on cracks.

    With ``quick`` photographs without crack, which every good dataset has, are not named.
    """
    aligned = {
        pair.photo
        for pair, look in zip(data.pairs, data.looks, strict=True)
        if look.alignment and not look.alignment.beside
    }
    found = [
        *data.problems,
        *_alone(data),
        *_beside(data),
        *_among_others(data),
        *_duplicates(data),
    ]
    return [
        problem
        for problem in found
        if not (quick and problem.kind == "no crack")
        and not (problem.kind == "EXIF" and problem.file in aligned)
    ]


def doubts_between(data: Dataset, val: Dataset) -> list[Problem]:
    """Photographs that training and validation share, which makes every score too good."""
    if same_folder(data.folder, val.folder):
        text = (
            f"has the photographs of {data.folder}, which are trained on; their scores say nothing "
            "of other photographs"
        )
        return [Problem(val.folder, "same folder", text)]
    found = near_duplicates(_signatures(data), _signatures(val))
    best: dict[int, tuple[float, int]] = {}
    for i, j, distance in found:
        best[j] = min(best.get(j, (1.0, -1)), (distance, i))
    return [
        Problem(
            val.pairs[j].photo,
            "shared",
            f"shows the same as {data.pairs[i].photo}, one to validate on and one to train on; "
            "its score says nothing of other photographs",
        )
        for j, (_, i) in sorted(best.items())
    ]


def same_folder(one: Path, other: Path) -> bool:
    """Whether two datasets are the same folder or have the same photographs, links followed."""
    for part in ("", "images"):
        try:
            if os.path.samefile(one / part, other / part):
                return True
        except OSError:
            continue
    return False


def in_short(problems: Iterable[Problem], most: int = 3) -> list[str]:
    """One line for each problem, ``FILE: text``; many of one kind are named and counted in one."""
    kinds: dict[tuple[str, bool], list[Problem]] = defaultdict(list)
    for problem in problems:
        kinds[problem.kind, problem.error].append(problem)
    lines = []
    for alike in kinds.values():
        lines += [
            # that of an exception names the file itself
            problem.text if problem.kind == "unusable" else f"{problem.file}: {problem.text}"
            for problem in alike[:most]
        ]
        if len(alike) > most:
            files = ", ".join(problem.file.name for problem in alike[most : most + 20])
            more = f" and {len(alike) - most - 20} more" if len(alike) > most + 20 else ""
            lines[-1] += f" (and so {len(alike) - most} others: {files}{more})"
    return lines


def _alone(data: Dataset) -> Iterator[Problem]:
    for pair, look in zip(data.pairs, data.looks, strict=True):
        if not look.crack_pixels:
            yield Problem(pair.mask, "no crack", "has no crack pixel; right if there is no crack")
        elif MUCH_CRACK < look.crack_share <= INVERTED:
            text = (
                f"marks {look.crack_share:.0%} of the photograph as crack, where hairline cracks "
                "take less than one percent; are areas filled?"
            )
            yield Problem(pair.mask, "much crack", text)
    if data.pairs and not data.crack_pixels:
        yield Problem(data.folder, "no crack at all", "has no crack pixel in any of its masks")


def _beside(data: Dataset) -> Iterator[Problem]:
    """Masks beside their cracks; short ones if they are few, or often beside.

    In one out of eight photographs of 160 x 120 pixels, with some 35 pixels of crack, a stain or a
    joint is darker than the crack. Where masks are wrong, they are so in more.
    """
    found = [
        (pair.mask, look.alignment)
        for pair, look in zip(data.pairs, data.looks, strict=True)
        if look.alignment and look.crack_share <= INVERTED
    ]
    short = [alignment.beside for _, alignment in found if alignment.length < SHORT]
    chance = len(short) >= ENOUGH and sum(short) <= OFTEN * len(short)
    for mask, alignment in found:
        if alignment.beside and not (chance and alignment.length < SHORT):
            text = "seems to lie beside the cracks of its photograph, which is " + (
                f"darker under the mask {alignment.fits}"
                if alignment.fits
                else "no darker under it than around it"
            )
            yield Problem(mask, "beside", text)


def _among_others(data: Dataset) -> Iterator[Problem]:
    if len(data.pairs) < ENOUGH:
        return
    pixels = float(np.median([look.pixels for look in data.looks]))
    known = [look.sharpness for look in data.looks if look.sharpness is not None]
    sharpness = float(np.median(known)) if known else 0.0
    for pair, look in zip(data.pairs, data.looks, strict=True):
        if look.pixels < SMALL * pixels:
            text = f"is {look.width} x {look.height} pixels, far smaller than the others"
            yield Problem(pair.photo, "small", text)
        if look.sharpness is not None and look.sharpness < BLURRY * sharpness:
            text = (
                f"is much blurrier than the others, with {look.sharpness / sharpness:.0%} of their "
                "median sharpness"
            )
            yield Problem(pair.photo, "blurry", text)


def _duplicates(data: Dataset) -> Iterator[Problem]:
    """Every photograph that shows the same as an earlier one, once."""
    seen = set()
    for i, j, _ in near_duplicates(_signatures(data)):
        if j not in seen:
            seen.add(j)
            text = f"shows the same as {data.pairs[i].photo.name}"
            yield Problem(data.pairs[j].photo, "duplicate", text)


def _signatures(data: Dataset) -> np.ndarray[tuple[int, int, int], np.dtype[np.int8]]:
    return np.array([look.signature for look in data.looks], np.int8).reshape(-1, 16, 16)
