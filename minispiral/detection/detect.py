"""Find cracks in photographs: a probability map, a mask and an overlay for each."""

import glob
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.photos import read_photo, write_picture
from minispiral.detection.pictures import overlay
from minispiral.detection.tiling import predict
from minispiral.device import choose
from minispiral.errors import UserError
from minispiral.files import writing_error
from minispiral.runs.checkpoint import load_network

ENDINGS = {"probability": ".probability.png", "mask": ".mask.png", "overlay": ".overlay.jpg"}


@dataclass(frozen=True)
class Detection:
    """What was found in one photograph, and in which files it lies.

    ``error`` is why the photograph could not be read; the other values are None then.
    """

    photo: Path
    error: str | None = None
    crack_pixels: int | None = None
    crack_share: float | None = None  # of all pixels
    seconds: float | None = None
    probability: Path | None = None
    mask: Path | None = None
    overlay: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, text and None under the names above, for JSON."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }


def find_photos(arguments: Iterable[str]) -> list[Path]:
    """The photographs that ``arguments`` stand for: files, folders and patterns such as ``*.jpg``.

    A folder stands for the pictures directly in it, without what an earlier detection wrote
    there. A photograph named twice counts once; the order is that of the arguments.

    Raises `UserError` for an argument that stands for no photograph.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            photos = [entry for entry in sorted(path.iterdir()) if _is_photo(entry)]
            if not photos:
                raise UserError(
                    f"The folder {path} holds no pictures; give photographs, a folder of them or "
                    "a pattern such as 'photos/*.jpg'."
                )
        elif path.is_file():
            photos = [path]
        else:
            photos = [Path(name) for name in sorted(glob.glob(argument, recursive=True))]
            photos = [photo for photo in photos if photo.is_file()]
            if not photos:
                raise UserError(
                    f"There is no photograph {argument}; give photographs, a folder of them or a "
                    "pattern such as 'photos/*.jpg'."
                )
        for photo in photos:
            found.setdefault(photo.resolve(), photo)
    return list(found.values())


def _is_photo(path: Path) -> bool:
    """Whether ``path`` is a picture by its name, neither hidden nor written by a detection."""
    from PIL import Image

    if path.name.startswith(".") or path.name.endswith(tuple(ENDINGS.values())):
        return False
    return path.suffix.lower() in Image.registered_extensions() and path.is_file()


def output_files(photos: Sequence[Path], out: Path) -> list[dict[str, Path]]:
    """For each photograph the files that will hold its probability, mask and overlay.

    Raises `UserError` where two photographs would share a file (case set aside, as on some
    disks) and where a file would take the place of a photograph.
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
                    "each other; detect them separately, each with an --out folder of its own."
                )
            if path.resolve() in sources:
                raise UserError(
                    f"The results of {photo} would overwrite the photograph {path}; give another "
                    "--out folder."
                )
    return outputs


def detect(
    run: Path | str,
    photos: Iterable[str],
    out: Path | str,
    threshold: float = 0.5,
    report: Callable[[Detection], None] | None = None,
    progress: Callable[[float, int], None] | None = None,
    device: str = "auto",
    precision: str = "float32",
) -> list[Detection]:
    """Write what the network of ``run`` finds in ``photos`` (see `find_photos`) into ``out``.

    For NAME.jpg, NAME.probability.png holds ``round(255 * probability)``, NAME.mask.png 255
    where ``probability >= threshold``, and NAME.overlay.jpg the photograph with these pixels
    painted over; all are as large as the photograph is shown. A file of that name is replaced
    once the new one is whole.

    A photograph that cannot be read is reported with its ``error`` and the others go on.
    ``report`` is called with each result, ``progress`` with the photographs done, a part of
    one included, and all of them. ``device`` and ``precision`` are those of
    `minispiral.device.choose`.

    Raises `UserError` for no photographs, no usable network, a threshold outside 0 to 1 and
    results that would overwrite each other, all before the first photograph, and where ``out``
    cannot be written to.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f"a threshold of {threshold} was given, expected a probability, 0 to 1")
    out = Path(out)
    found = find_photos(photos)
    outputs = output_files(found, out)
    computing = choose(device, precision)
    network = load_network(run, device=computing)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_error(out, error) from error
    results = []
    for k, (path, files) in enumerate(zip(found, outputs, strict=True)):
        start = time.perf_counter()

        def tile_done(done: int, total: int, before: int = k) -> None:
            if progress is not None:
                progress(before + done / total, len(found))

        try:
            photo = read_photo(path)
        except UserError as error:
            result = Detection(path, error=str(error))
        else:
            with computing.in_use():
                probability = predict(network, photo, progress=tile_done)
            crack = probability >= threshold
            write_picture(files["probability"], np.rint(probability * 255).astype(np.uint8))
            write_picture(files["mask"], crack * np.uint8(255))
            write_picture(files["overlay"], overlay(photo, probability, threshold))
            result = Detection(
                path,
                None,
                int(np.count_nonzero(crack)),
                float(np.mean(crack)),
                time.perf_counter() - start,
                **files,
            )
        results.append(result)
        if report is not None:
            report(result)
    return results
