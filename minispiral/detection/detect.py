"""Find cracks in photograph files and write what was found."""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minispiral.data.photos import read_photo
from minispiral.detection.find import check_threshold, find_cracks
from minispiral.detection.output import output_files, write_finding
from minispiral.detection.photographs import find_photos
from minispiral.detection.tiling import photo_progress
from minispiral.device import choose
from minispiral.errors import UserError
from minispiral.files import writing_error
from minispiral.runs.checkpoint import load_network


@dataclass(frozen=True)
class Detection:
    """What was found in one photograph and the files that hold it.

    ``error`` says why the photograph could not be read; all other values are then None.
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
        """JSON values by field name."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }


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
    """Write what the network of ``run`` finds in ``photos`` (see `find_photos`) to ``out``.

    For NAME.jpg these are NAME.probability.png, NAME.mask.png and NAME.overlay.jpg (see
    `write_finding`). Existing files are replaced atomically.

    A photograph that cannot be read is reported with its ``error`` and the others go on.
    ``report`` is called with each result. ``progress(done, total)`` counts photographs, with the
    fraction of the current one. ``device`` and ``precision`` are those of
    `minispiral.device.choose`.

    Raises `UserError` when ``out`` cannot be written to; and before the first photograph if there
    are no photographs or no usable network, for a threshold outside 0 to 1 and for results that
    would overwrite each other.
    """
    check_threshold(threshold)
    out = Path(out)
    found = find_photos(photos)
    outputs = output_files(found, out)
    chosen = choose(device, precision)
    network = load_network(run, device=chosen)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise writing_error(out, error) from error
    results = []
    for k, (path, files) in enumerate(zip(found, outputs, strict=True)):
        start = time.perf_counter()
        try:
            photo = read_photo(path)
        except UserError as error:
            result = Detection(path, error=str(error))
        else:
            with chosen.in_use():
                tiles = photo_progress(progress, k, len(found))
                finding = find_cracks(network, photo, threshold, tiles)
            write_finding(files, photo, finding)
            seconds = time.perf_counter() - start
            result = Detection(
                path, None, finding.crack_pixels, finding.crack_share, seconds, **files
            )
        results.append(result)
        if report is not None:
            report(result)
    return results
