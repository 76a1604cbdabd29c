"""The photographs that labels belong to: found by their names, and compared by their sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minispiral.data import exif
from minispiral.data.decode import decode, head_of
from minispiral.data.formats import files_in, is_picture, same_name
from minispiral.data.labels.shapes import Labels, Size
from minispiral.data.labels.values import Place
from minispiral.errors import UserError


@dataclass(frozen=True)
class Facts:
    """The size of a photograph as it is shown and as it is stored, and its EXIF orientation."""

    shown: Size
    stored: Size
    orientation: int = 1

    @property
    def unclear(self) -> bool:
        """Whether EXIF turns the photograph, but its size does not tell."""
        return self.orientation != 1 and self.shown == self.stored


def facts_of(photo: Path) -> Facts:
    """What the head of a picture tells; raises `UserError` if it is none."""
    try:
        with head_of(photo) as image:
            turned, stored = exif.orientation(image), exif.stored_size(image)
    except Exception:  # decoding it tells the reason
        return Facts(decode(photo).image.size, decode(photo, as_stored=True).image.size)
    stored = Place(photo).size(*stored)
    return Facts(stored[::-1] if turned in exif.SIDEWAYS else stored, stored, turned)


def agreed_size(file: Path, labels: Labels, photo: Path, facts: Facts, as_stored: bool) -> Size:
    """Width and height of the mask of ``photo``, whose ``labels`` are in ``file``.

    Raises `UserError` if the file tells another size.
    """
    size, other = (facts.stored, facts.shown) if as_stored else (facts.shown, facts.stored)
    if labels.size is None or labels.size == size:
        return size
    w, h = labels.size
    text = f"{file} labels {photo} as {w} x {h} pixels, but it is {size[0]} x {size[1]}"
    if labels.size == other:
        if as_stored:
            raise UserError(f"{text} as stored; its labels are for the picture as EXIF turns it")
        raise UserError(
            f"{text} as EXIF turns it; its labels were drawn on the pixels as they are stored",
            "as_stored",
        )
    raise UserError(f"{text}; label the very photograph that is trained on")


class Folder:
    """The photographs of a folder, to be found by the names that label files have for them."""

    def __init__(self, folder: Path, recursive: bool) -> None:
        if not folder.is_dir():
            raise UserError(f"There is no folder {folder}", "images")
        self.folder = folder
        self.photos = [path for path in files_in(folder, recursive) if is_picture(path)]
        if not self.photos and not recursive and any(map(is_picture, files_in(folder, True))):
            raise UserError(f"{folder} has photographs only in subfolders", "recursive")
        if not self.photos:
            raise UserError(f"The folder {folder} holds no photographs", "images")
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[Path]] = defaultdict(list)
        for path in self.photos:
            self._by_name[same_name(path.name)].append(path)
            self._by_stem[same_name(path.stem)].append(path)

    def find(self, name: str) -> Path | None:
        """The photograph called ``name``, or else that with its stem; None if there is none.

        Of several in different folders it is the one whose folders are those in ``name``. Raises
        `UserError` if that does not decide.
        """
        parts = parts_of(name)
        last = parts[-1]
        found = (
            self._by_name.get(last)
            or self._by_stem.get(last)
            or self._by_stem.get(PurePosixPath(last).stem)
            or []
        )
        common = [_common_end(parts[:-1], self._place(path)) for path in found]
        best = [path for path, n in zip(found, common, strict=True) if n == max(common)]
        if len(best) > 1:
            raise UserError(
                f"The labels of {name} may belong to {best[0]} or to {best[1]}; rename one of them"
            )
        return best[0] if best else None

    def _place(self, path: Path) -> list[str]:
        return [same_name(part) for part in path.parent.parts]

    def mask_of(self, photo: Path, out: Path) -> Path:
        """The mask of a photograph, in the same subfolder of ``out``."""
        return (out / photo.relative_to(self.folder)).with_suffix(".png")


def parts_of(name: str) -> list[str]:
    """The folders and the file name in ``name``, written with slashes of either kind."""
    parts = [part for part in same_name(name).replace("\\", "/").split("/") if part.strip(" .")]
    return parts or [name]


def _common_end(first: Sequence[str], second: Sequence[str]) -> int:
    """How many of the last folders are the same."""
    count = 0
    for a, b in zip(reversed(first), reversed(second), strict=False):
        if a != b:
            break
        count += 1
    return count
