"""What is drawn of labels, and what is not: the record of a photograph, and that of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minispiral.data.labels.shapes import Shape, Size
from minispiral.errors import UserError

OTHER = "of other classes"
KINDS = ("areas", "lines", "bitmaps")


@dataclass
class Job:
    """The mask of one photograph: what to draw on it, and then what became of it."""

    name: str  # of the photograph
    source: Path | None  # the file of labels
    mask: Path
    size: Size
    shapes: Sequence[Shape] = ()
    relative: bool = False
    drawn: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    crack_pixels: int = 0
    written: bool = False

    @property
    def unlabelled(self) -> bool:
        """Whether nothing in the photograph was labelled as crack."""
        return not self.shapes and not +Counter({**self.skipped, OTHER: 0})

    def as_dict(self) -> dict[str, Any]:
        """JSON values; ``mask`` is None where none was written."""
        return {
            "photo": self.name,
            "labels": None if self.source is None else str(self.source),
            "mask": str(self.mask) if self.written else None,
            "width": self.size[0],
            "height": self.size[1],
            **{kind: self.drawn[kind] for kind in KINDS},
            "cut": self.cut,
            "crack_pixels": self.crack_pixels,
            "skipped": dict(self.skipped),
        }


@dataclass
class Drawn:
    """What became of all files and photographs.

    ``missing`` are names of photographs that are labelled but not there; ``undrawn`` have labels
    of which nothing could be drawn; ``unlabelled`` have none. Of these three there are no masks.
    ``unclear`` are photographs that EXIF turns so that their size does not tell whether labels were
    drawn on the picture as it is shown, which is assumed, or as it is stored.
    """

    out: Path
    failed: Callable[[UserError], None] | None = None  # is told of errors
    files: list[tuple[Path, str]] = field(default_factory=list)  # and their formats
    classes: dict[str, int] = field(default_factory=dict)  # how many labels each has
    taken: list[str] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    errors: list[UserError] = field(default_factory=list)
    bad_files: int = 0
    bad_photos: int = 0
    missing: list[str] = field(default_factory=list)
    undrawn: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def fail(self, error: UserError, photo: bool = False) -> None:
        """Note what is wrong with a file, or with the labels of a ``photo``, and tell of it."""
        self.errors.append(error)
        self.bad_files += not photo
        self.bad_photos += photo
        if self.failed:
            self.failed(error)

    @property
    def masks(self) -> list[Job]:
        """Those that were written."""
        return [job for job in self.jobs if job.written]

    @property
    def skipped(self) -> Counter[str]:
        """How many labels were left out, by reason."""
        return sum((job.skipped for job in self.jobs), Counter[str]())

    @property
    def cut(self) -> int:
        """How many labels reach beyond the border of their photograph."""
        return sum(job.cut for job in self.jobs)

    @property
    def failures(self) -> str:
        """``1 of 3 files, 2 photographs``, of which nothing was drawn; "" if there are none."""
        parts = []
        if self.bad_files:
            parts.append(f"{self.bad_files} of {self.bad_files + len(self.files)} files failed")
        if self.bad_photos:
            several = "s" * (self.bad_photos != 1)
            parts.append(f"the labels of {self.bad_photos} photograph{several} failed")
        return " and ".join(parts)

    def summary(self) -> str:
        """`` of 12 lines and 3 areas, 0.31 % crack, 2 empty``."""
        counts = sum((job.drawn for job in self.masks), Counter[str]())
        named = [f"{counts[kind]} {kind[: -1 if counts[kind] == 1 else None]}" for kind in counts]
        kinds = " and ".join(named)
        pixels = sum(job.size[0] * job.size[1] for job in self.masks)
        share = 100 * sum(job.crack_pixels for job in self.masks) / max(pixels, 1)
        empty = sum(not job.crack_pixels for job in self.masks)
        return (f" of {kinds}, {share:.2g} % crack" if kinds else "") + (
            f", {empty} empty" if empty else ""
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "out": str(self.out),
            "files": [{"file": str(path), "format": name} for path, name in self.files],
            "errors": [str(error) for error in self.errors],
            "classes": self.classes,
            "taken": self.taken,
            "skipped": dict(self.skipped),
            "missing": self.missing,
            "undrawn": self.undrawn,
            "unlabelled": self.unlabelled,
            "unclear": self.unclear,
            "notes": self.notes,
            "photos": [job.as_dict() for job in self.jobs],
        }
