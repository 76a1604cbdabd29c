"""The files that a detection writes for each photograph: probability map, mask and overlay."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.photos import write_picture
from minispiral.detection.find import Finding
from minispiral.detection.pictures import overlay
from minispiral.errors import UserError

ENDINGS = {"probability": ".probability.png", "mask": ".mask.png", "overlay": ".overlay.jpg"}


def is_output(path: Path) -> bool:
    """Whether a detection wrote ``path``, judging by its name."""
    return path.name.endswith(tuple(ENDINGS.values()))


def output_files(photos: Sequence[Path], out: Path) -> list[dict[str, Path]]:
    """For each photograph the files in ``out`` for its probability, mask and overlay.

    Raises `UserError` if two photographs would share a file (also on disks that ignore case), and
    if a file would overwrite one of the photographs.
    """
    owners: dict[str, Path] = {}
    sources = {photo.resolve() for photo in photos}
    outputs = []
    for photo in photos:
        files = {kind: out / (photo.stem + ending) for kind, ending in ENDINGS.items()}
        outputs.append(files)
        for path in files.values():
            other = owners.setdefault(str(path).casefold(), photo)
            if other != photo:
                raise UserError(
                    f"{other} and {photo} have the same name, so their results would overwrite "
                    "each other; detect them separately, into different folders"
                )
            if path.resolve() in sources:
                raise UserError(
                    f"The results of {photo} would overwrite the photograph {path}", "out"
                )
    return outputs


def write_finding(files: Mapping[str, Path], photo: NDArray[np.uint8], finding: Finding) -> None:
    """Write probability map, mask and overlay, as large as ``photo``, to the files of their names.

    The map holds ``round(255 * probability)``, the mask 255 on crack; the overlay is the
    photograph with the crack pixels painted over. Raises `UserError` when a file cannot be written.
    """
    write_picture(files["probability"], np.rint(finding.probability * 255).astype(np.uint8))
    write_picture(files["mask"], finding.crack * np.uint8(255))
    write_picture(files["overlay"], overlay(photo, finding.crack))
