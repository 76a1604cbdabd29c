"""The page of a folder that ``detect`` wrote, made from its files alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

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
) -> tuple[Path, list[tuple[str, str]], list[tuple[str, str]]]:
    """Write ``report.html`` from ``cracks.json``, both in ``folder``.

    ``scale``: another one than the photographs were measured with. ``threshold``: that of
    `write_report`. A photograph that is no longer where it was is shown by its overlay.

    Returns the page; names of photographs that are missing on it, and why; and of those that are
    shown by their overlay, and why. Raises `UserError` for a folder without ``cracks.json`` and as
    `write_report` does.
    """
    found = results.read(folder)
    if not found.photos:
        raise UserError(f"{folder / results.NAME} has no photograph, expected one", "folder")
    unread = [(photo.photo.name, photo.error or "") for photo in found.photos if photo.error]
    photographs = [
        photograph(photo, scale, found.as_stored)
        for photo in found.photos
        if photo.measurement is not None
    ]
    page = folder / NAME
    hidden = write_report(page, photographs, found.card, threshold, unread)
    moved = [(each.name, notice) for each in photographs for notice in each.notices]
    return page, unread + hidden, moved


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
