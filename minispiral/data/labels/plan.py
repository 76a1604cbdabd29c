"""Which photograph labels belong to, which mask is drawn of them, and what speaks against it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from minispiral.data.formats import files_in, is_picture, same_name
from minispiral.data.labels.outcome import OTHER, Drawn, Job
from minispiral.data.labels.photographs import Folder, agreed_size, facts_of, parts_of
from minispiral.data.labels.shapes import LabelFile, Labels
from minispiral.errors import UserError
from minispiral.files import longest_name, name_length


class Planner:
    """Makes the jobs of ``drawn``; the photographs are those of ``folder``, if there is one."""

    def __init__(self, drawn: Drawn, folder: Folder | None, as_stored: bool) -> None:
        self.drawn, self.folder, self.as_stored = drawn, folder, as_stored
        self.mentioned: set[Path] = set()
        self.pictures: dict[Path, dict[str, list[Path]]] = {}  # in folders of masks, by stem

    def plan(self, read: Sequence[LabelFile]) -> None:
        """Add the jobs of all label files, then those of photographs that none of them names.

        Raises `UserError` if sizes are not known, and if there is none of the photographs.
        """
        everything = [(file, labels) for file in read for labels in file.labels]
        if self.folder is None:
            for file, labels in everything:
                if labels.size is None:
                    raise UserError(
                        f"{file.path} does not tell the size of {labels.photo}; give the folder of "
                        "the photographs",
                        "images",
                    )
        for file, labels in everything:
            try:
                self._add(file, labels)
            except UserError as error:
                self.drawn.fail(error, photo=True)
        if self.folder is not None:
            if everything and len(self.drawn.missing) == len(everything):
                raise UserError(
                    f"None of the photographs that are labelled is in {self.folder.folder}: "
                    f"{some(self.drawn.missing)}",
                    "images",
                )
            self._add_others(self.folder)

    def _add(self, file: LabelFile, labels: Labels) -> None:
        """Raises `UserError` if name or size are not certain."""
        if self.folder is None:
            assert labels.size is not None
            name, size = labels.photo, labels.size
            mask = _mask_called(name, file.path, self.drawn.out)
        else:
            photo = self.folder.find(labels.photo)
            if photo is None:
                self.drawn.missing.append(labels.photo)
                return
            self.mentioned.add(photo)
            facts = facts_of(photo)
            size = agreed_size(file.path, labels, photo, facts, self.as_stored)
            if facts.unclear and not self.as_stored and labels.annotations:
                self.drawn.unclear.append(str(photo))
            name, mask = str(photo), self.folder.mask_of(photo, self.drawn.out)
        crack = [one for one in labels.annotations if one.label in self.drawn.taken]
        skipped = Counter(one.reason for one in crack if one.shape is None)
        if others := len(labels.annotations) - len(crack):
            skipped[OTHER] = others
        shapes = [one.shape for one in crack if one.shape is not None]
        self.drawn.jobs.append(
            Job(name, file.path, mask, size, shapes, labels.relative, skipped=skipped)
        )

    def _add_others(self, folder: Folder) -> None:
        for photo in folder.photos:
            if photo in self.mentioned:
                continue
            try:
                facts = facts_of(photo)
            except UserError as error:
                self.drawn.fail(error, photo=True)
                continue
            size = facts.stored if self.as_stored else facts.shown
            mask = folder.mask_of(photo, self.drawn.out)
            self.drawn.jobs.append(Job(str(photo), None, mask, size))

    def masks_of(self, job: Job) -> list[Path]:
        """The pictures with the stem of the mask that were there before."""
        folder = job.mask.parent
        if folder not in self.pictures:
            stems = self.pictures.setdefault(folder, {})
            for path in files_in(folder) if folder.is_dir() else ():
                if is_picture(path):
                    stems.setdefault(same_name(path.stem), []).append(path)
        return self.pictures[folder].get(same_name(job.mask.stem), [])

    def surely_empty(self, job: Job) -> bool:
        """Whether nothing is labelled in the photograph, in labels that were all understood."""
        sure = not self.drawn.errors and not (job.source is None and self.drawn.missing)
        return sure and job.unlabelled and not self.masks_of(job)

    def refuse_clashes(self, jobs: Sequence[Job], overwrite: bool) -> None:
        """Raise `UserError` if masks would overwrite each other, other masks or photographs."""
        owners: dict[str, Job] = {}
        for job in jobs:
            other = owners.setdefault(same_name(str(job.mask)).casefold(), job)
            if other is not job:
                names = " and ".join(dict.fromkeys((other.name, job.name)))
                sources = " and ".join(dict.fromkeys(str(one.source) for one in (other, job)))
                raise UserError(
                    f"{names}, labelled in {sources}, would have the mask {job.mask} twice; give "
                    "each photograph once, under a name of its own"
                )
        photos = {os.path.realpath(path) for path in (self.folder.photos if self.folder else [])}
        photos |= {os.path.realpath(job.source.parent / job.name) for job in jobs if job.source}
        there = []
        for job in jobs:
            if os.path.realpath(job.mask) in photos:
                raise UserError(f"The mask of {job.name} would overwrite the photograph", "out")
            for path in self.masks_of(job):
                if os.path.realpath(path) in photos:
                    raise UserError(f"{self.drawn.out} holds photographs, not masks", "out")
                if path.name != job.mask.name:
                    raise UserError(f"{path} is a mask of {job.name} already; remove it", "out")
                there.append(path.name)
        if there and not overwrite:
            raise UserError(
                f"{self.drawn.out} already has {some(there)}; choose another folder", "overwrite"
            )


def _mask_called(name: str, file: Path, out: Path) -> Path:
    """The mask of a photograph of which the name alone is known; never outside ``out``."""
    stem = Path(parts_of(name)[-1]).stem
    path = out / f"{stem}.png"
    if not stem.strip(" .") or stem.startswith(".") or not stem.isprintable():
        raise UserError(f"{file} has a photograph called {name!r}, which is no name of a file")
    if name_length(path) > longest_name(out):
        raise UserError(
            f"{file} has a photograph called {name[:40]}..., a name too long for a file"
        )
    return path


def some(names: Sequence[str]) -> str:
    """Up to three names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
