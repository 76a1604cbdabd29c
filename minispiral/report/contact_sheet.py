"""The contact sheet of a dataset: every mask laid over its photograph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.check import Check, CheckedSet
from minispiral.data.look import Look
from minispiral.data.pairs import Pair
from minispiral.data.problems import Problem
from minispiral.files import write_text
from minispiral.report.page import page, picture, table, text

CRACK = (255, 0, 60)
SIDE = 360  # pixels, of the longer side of a whole photograph
DETAIL = 96  # pixels of the photograph, the side of the part that is shown enlarged
ENLARGED = 4  # times


class ContactSheet:
    """Keeps small pictures of the photographs that a check sees, and writes the page of them.

    >>> sheet = ContactSheet()                                              # doctest: +SKIP
    >>> sheet.write(Path("check.html"), check("photos", seen=sheet.add))    # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._pictures: dict[Path, str] = {}

    def add(self, pair: Pair, photo: NDArray[np.uint8], mask: NDArray[np.bool_]) -> None:
        """Draw the pictures of a photograph (h, w, 3) and its mask (h, w)."""
        self._pictures[pair.photo] = picture(
            whole(photo, mask), f"{pair.name} with its mask"
        ) + picture(detail(photo, mask), f"a part of {pair.name}, with the outline of its mask")

    def write(self, path: Path, check: Check) -> None:
        """Write the page; raises `UserError` where that is impossible."""
        about = [found.dataset for found in check.sets]
        title = " and ".join(f"{data.folder}" for data in about)
        doubtful: dict[Path, list[Problem]] = defaultdict(list)
        for problem in check.problems:
            doubtful[problem.file].append(problem)
        anchors = {
            path: f"p{number}"
            for number, pair in enumerate(pair for data in about for pair in data.pairs)
            for path in (pair.photo, pair.mask)
        }
        body = [
            *_list("Errors", check.errors, anchors),
            *_list("Warnings", check.warnings, anchors),
            f'<p><span class="key" style="background: rgb{CRACK}"></span> crack, as the mask says. '
            "Left: the whole photograph; a line of the mask may look thicker than it is. Right: "
            f"{DETAIL} x {DETAIL} pixels where most crack is, enlarged, with the mask's outline: "
            "the crack should lie inside.</p>",
        ]
        for found in check.sets:
            body += self._cards(found, doubtful, anchors)
        write_text(path, page(f"Check of {title}", "\n".join(body)))

    def _cards(
        self,
        found: CheckedSet,
        doubtful: dict[Path, list[Problem]],
        anchors: dict[Path, str],
    ) -> Iterator[str]:
        data = found.dataset
        yield f"<h2>{text(str(data.folder))}</h2>"
        yield table(
            [
                ("photographs", data.summary()),
                ("sizes", _named(found.sizes)),
                ("modes", f"{_named(found.modes)}; masks: {_named(found.mask_modes)}"),
            ]
            + [("turned by EXIF", str(found.turned))] * bool(found.turned)
        )
        yield '<div class="cards">'
        for pair, look in zip(data.pairs, data.looks, strict=True):
            problems = [
                f"The {name} {problem.text}."
                for name, path in (("photograph", pair.photo), ("mask", pair.mask))
                for problem in doubtful[path]
            ]
            yield (
                f'<div class="card{" doubtful" * bool(problems)}" id="{anchors[pair.photo]}">'
                f"<h3>{text(pair.name)}</h3>"
                f'<div class="pictures">{self._pictures.get(pair.photo, "")}</div>'
                f"<p>{text(described(look))}</p>"
                + "".join(f'<p class="doubt">{text(problem)}</p>' for problem in problems)
                + "</div>"
            )
        yield "</div>"


def _named(numbers: dict[str, int]) -> str:
    """``512 x 512 (50), 512 x 384 (2)``."""
    return ", ".join(f"{name} ({number})" for name, number in numbers.items())


def described(look: Look) -> str:
    """``512 x 512, 0.34 % crack, contrast 1.2``."""
    parts = [f"{look.width} x {look.height}", f"{100 * look.crack_share:.2g} % crack"]
    if look.alignment is not None:
        parts.append(f"contrast {look.alignment.contrast:.2f}")
    return ", ".join(parts)


def whole(photo: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The photograph at most 360 pixels wide and high, with every crack pixel of the mask."""
    from PIL import Image

    h, w = mask.shape
    scale = min(SIDE / max(h, w), 1.0)
    height, width = max(round(h * scale), 1), max(round(w * scale), 1)
    small = np.array(Image.fromarray(photo).resize((width, height), Image.Resampling.BOX))
    rows, columns = np.nonzero(mask)
    small[rows * height // h, columns * width // w] = CRACK
    return small


def detail(photo: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The part of the photograph with most crack, enlarged, with the outline of the mask."""
    h, w = mask.shape
    side_y, side_x = min(DETAIL, h), min(DETAIL, w)
    rows, columns = np.nonzero(mask)
    top, left = (h - side_y) // 2, (w - side_x) // 2
    if len(rows):
        blocks = rows // DETAIL * (w // DETAIL + 1) + columns // DETAIL
        here = blocks == np.bincount(blocks).argmax()
        top = _start(float(rows[here].mean()), side_y, h)
        left = _start(float(columns[here].mean()), side_x, w)
    part = np.s_[top : top + side_y, left : left + side_x]
    large = photo[part].repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    inside = mask[part].repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    large[_grown(inside) & ~inside] = CRACK
    return large


def _start(centre: float, side: int, length: int) -> int:
    """Where a window of ``side`` begins that lies around ``centre``, inside ``length``."""
    return min(max(round(centre) - side // 2, 0), length - side)


def _grown(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask and the pixels that touch it, those at corners too."""
    padded = np.pad(mask, 1)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).any(axis=(2, 3)))


def _list(heading: str, problems: Sequence[Problem], anchors: dict[Path, str]) -> Iterable[str]:
    """A list of problems, each linked to the photograph it is about."""
    if not problems:
        return
    yield f"<h2>{heading}: {len(problems)}</h2><ul>"
    for problem in problems:
        name, anchor = text(str(problem.file)), anchors.get(problem.file)
        link = f'<a href="#{anchor}">{name}</a>' if anchor else name
        # Errors of reading name their file.
        yield f"<li>{'' if str(problem.file) in problem.text else link} {text(problem.text)}</li>"
    yield "</ul>"
