"""The files that a detection writes for each photograph: probability map, mask and overlay."""

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minispiral.data.formats import same_name
from minispiral.data.photos import encode_picture
from minispiral.detection.find import Finding
from minispiral.detection.grey_png import grey_png
from minispiral.detection.pictures import overlay
from minispiral.errors import UserError
from minispiral.files import longest_name, name_length, replacing, writing_error
from minispiral.kernels.cpu import parallel

Encoded = bytes | memoryview

ENDINGS = {"probability": ".probability.png", "mask": ".mask.png", "overlay": ".overlay.jpg"}


def is_output(path: Path) -> bool:
    """Whether a detection wrote ``path``.

    Its name ends so, and beside it is another of the three files or the photograph itself: alone, a
    photograph may well be called ``wall.mask.png``.
    """
    for ending in ENDINGS.values():
        if path.name.endswith(ending):
            stem = path.name.removesuffix(ending)
            others = (path.with_name(stem + other) for other in ENDINGS.values() if other != ending)
            return any(other.exists() for other in others) or any(
                other.stem == stem for other in path.parent.glob(f"{glob.escape(stem)}.*")
            )
    return False


def output_files(
    photos: Sequence[Path], out: Path, roots: Sequence[Path] = ()
) -> list[dict[str, Path]]:
    """For each photograph the files in ``out`` for its probability, mask and overlay.

    A photograph in a subfolder of one of ``roots`` gets files in the same subfolder of ``out``,
    others in ``out`` itself. If photographs of different folders would then share a file (also on
    disks that ignore case), all get files in the subfolders in which they lie below the folder
    that they have in common.

    Raises `UserError` if two photographs of one folder would share a file, if a file would
    overwrite one of the photographs, and for names too long for the names of the results.
    """
    files = _named(photos, out, [_below(roots, photo) for photo in photos])
    if _sharing(photos, files):
        files = _named(photos, out, _below_common(photos))
    if shared := _sharing(photos, files):
        raise UserError(
            f"{shared[0]} and {shared[1]} have the same name, so their results would overwrite "
            "each other; detect them separately, into different folders"
        )
    sources = {os.path.realpath(photo) for photo in photos}
    longest = longest_name(out)
    for photo, written in zip(photos, files, strict=True):
        for path in written.values():
            if os.path.realpath(path) in sources:
                raise UserError(
                    f"The results of {photo} would overwrite the photograph {path}", "out"
                )
            if name_length(path) > longest:
                raise UserError(
                    f"The name of {photo} is too long: its result {path.name} could not be "
                    f"written where names have at most {longest} bytes; shorten it"
                )
    return files


def _named(photos: Sequence[Path], out: Path, places: Sequence[Path]) -> list[dict[str, Path]]:
    """The files of each photograph in its place, a subfolder of ``out``."""
    return [
        {kind: out / place / (photo.stem + ending) for kind, ending in ENDINGS.items()}
        for photo, place in zip(photos, places, strict=True)
    ]


def _sharing(
    photos: Sequence[Path], files: Sequence[Mapping[str, Path]]
) -> tuple[Path, Path] | None:
    """The first two photographs that have a file in common, on some disk at least."""
    owners: dict[str, Path] = {}
    for photo, written in zip(photos, files, strict=True):
        for path in written.values():
            other = owners.setdefault(same_name(str(path)).casefold(), photo)
            if other != photo:
                return other, photo
    return None


def _below(roots: Sequence[Path], photo: Path) -> Path:
    """The folder of ``photo``, as seen from the first of ``roots`` that holds it."""
    folder = Path(os.path.abspath(photo)).parent
    for root in map(os.path.abspath, roots):
        if folder.is_relative_to(root):
            return folder.relative_to(root)
    return Path()


def _below_common(photos: Sequence[Path]) -> list[Path]:
    """The folders of the photographs, as seen from the deepest folder that holds them all."""
    folders = [Path(os.path.abspath(photo)).parent for photo in photos]
    try:
        common = os.path.commonpath(folders)
    except ValueError:  # on several drives of Windows
        return [folder.relative_to(folder.anchor) for folder in folders]
    return [folder.relative_to(common) for folder in folders]


def write_finding(
    files: Mapping[str, Path],
    photo: NDArray[np.uint8],
    finding: Finding,
    metadata: Mapping[str, bytes] | None = None,
) -> None:
    """Write probability map, mask and overlay, as large as ``photo``, to the files of their names.

    The map holds ``round(255 * probability)``, the mask 255 on crack; the overlay is the
    photograph with the crack pixels painted over, and has its ``metadata`` (`jpeg_metadata`). They
    are made at the same time. Where there is too little memory for one of them, nothing is
    written. Raises `UserError` when a file cannot be written.
    """
    folder = files["probability"].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_error(folder, error) from error
    encoders = encoders_of(photo, finding, metadata)
    encoded = parallel.run(lambda kind: encoders[kind](), encoders)

    def write(one: tuple[str, Encoded]) -> None:
        kind, data = one
        with replacing(files[kind]) as file:
            file.write(data)

    parallel.run(write, zip(encoders, encoded, strict=True))


def encoders_of(
    photo: NDArray[np.uint8], finding: Finding, metadata: Mapping[str, bytes] | None = None
) -> dict[str, Callable[[], Encoded]]:
    """What makes each of the files that `write_finding` writes; what takes longest comes first."""
    name = Path(ENDINGS["overlay"])
    return {
        "overlay": lambda: encode_picture(name, overlay(photo, finding.crack), metadata),
        "probability": lambda: grey_png(_levels(finding.probability)),
        "mask": lambda: grey_png(finding.crack * np.uint8(255)),
    }


def _levels(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``round(255 * probability)``, a part of the rows at a time."""
    levels = np.empty(probability.shape, np.uint8)
    for rows in parallel.row_tiles(*probability.shape):
        levels[rows] = np.rint(probability[rows] * np.float32(255))
    return levels
