"""The page of a folder that ``detect`` wrote, made from its files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import overload

from minispiral.errors import UserError
from minispiral.measurement import results
from minispiral.measurement.scale import Scale
from minispiral.report.cracks.photograph import Photograph
from minispiral.report.cracks.write import write_report

NAME = "report.html"


def report_folder(
    folder: Path,
    scale: Scale | None = None,
    threshold: float | None = None,
    found: results.Results | None = None,
) -> tuple[Path, list[tuple[str, str]], list[tuple[str, str]]]:
    """Write ``report.html`` from ``cracks.json``, both in ``folder``.

    ``scale``: another one than the photographs were measured with. ``threshold``: that of
    `write_report`. A photograph that is no longer where it was is shown by its overlay. ``found``:
    what `results.read` gives for the folder, for those who have read it.

    Returns the page; names of photographs that are missing on it, and why; and of those that are
    shown by their overlay, and why. Raises `UserError` for a folder without ``cracks.json`` and as
    `write_report` does.
    """
    found = results.read(folder) if found is None else found
    if not found.photos:
        raise UserError(f"{folder / results.NAME} has no photograph, expected one", "folder")
    measured, unread, moved = [], [], []
    for index, photo in enumerate(found.photos):
        if photo.error:
            unread.append((photo.photo.name, photo.error))
        if photo.measurement is not None:
            measured.append(index)
            shown = photograph(photo, scale, found.as_stored)
            moved += [(shown.name, notice) for notice in shown.notices]
    page = folder / NAME
    photographs = Photographs(found, measured, scale)
    hidden = write_report(page, photographs, found.card, threshold, unread)
    return page, unread + hidden, moved


class Photographs(Sequence[Photograph]):
    """The photographs ``measured``, of ``found``, made when they are asked for and not kept."""

    def __init__(self, found: results.Results, measured: list[int], scale: Scale | None) -> None:
        self.found, self.measured, self.scale = found, measured, scale

    def __len__(self) -> int:
        return len(self.measured)

    @overload
    def __getitem__(self, index: int) -> Photograph: ...
    @overload
    def __getitem__(self, index: slice) -> list[Photograph]: ...
    def __getitem__(self, index: int | slice) -> Photograph | list[Photograph]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        photo = self.found.photos[self.measured[index]]
        return photograph(photo, self.scale, self.found.as_stored)


def photograph(
    photo: results.PhotoResult, scale: Scale | None = None, as_stored: bool = False
) -> Photograph:
    """What the page needs of a photograph that was measured."""
    assert photo.measurement is not None
    shown = Photograph(
        photo.photo.name,
        photo.photo,
        photo.files["probability"],
        photo.measurement if scale is None else photo.measurement.with_scale(scale),
        as_stored,
    )
    if photo.photo.exists() or "overlay" not in photo.files:
        return shown
    notice = (
        f"{photo.photo} is no longer there: the picture is {photo.files['overlay'].name}, in which "
        "what was detected is painted red."
    )
    return replace(shown, pixels=photo.files["overlay"], as_stored=False, notices=(notice,))
