"""What the file of a photograph says of it, for a JPEG that shows the same photograph."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minispiral.data.decode import head_of
from minispiral.data.exif import ORIENTATION

CAMERA, PLACE = 0x8769, 0x8825  # the tags of the two folders of EXIF tags: camera, and GPS
INTEROPERABILITY = 0xA005  # one more of them, of which only the place in the old file is known
WIDTH, HEIGHT = 0xA002, 0xA003  # of the picture as EXIF repeats them

# Tags about the picture (Exif 2.32, section 4.6.4), not about how its file holds the pixels, as of
# a TIFF most are: description, camera, resolution, software, time, people, rights.
KEPT = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)

LONGEST = 65533  # bytes that a segment of a JPEG holds


def jpeg_metadata(path: Path, size: tuple[int, int]) -> dict[str, bytes]:
    """EXIF with GPS, and the colour profile, of the photograph ``path``, for Pillow to write.

    They are for a picture of ``size`` (width, height) that is upright: its orientation is 1,
    however the photograph is turned. Left out are what cannot be read, the small preview, and the
    longest values until the rest fits; and the profile of pixels that are not RGB, which have been
    converted.
    """
    found: dict[str, bytes] = {}
    # What is damaged makes Pillow raise almost anything.
    with contextlib.suppress(Exception), head_of(path, as_is=True) as image:
        profile = image.info.get("icc_profile")
        if isinstance(profile, bytes) and profile[16:20] == b"RGB ":
            found["icc_profile"] = profile
    with contextlib.suppress(Exception), head_of(path) as image:
        exif = image.getexif()
        tags = {
            0: {tag: exif[tag] for tag in KEPT if tag in exif},
            CAMERA: _folder(exif, CAMERA),
            PLACE: _folder(exif, PLACE),
        }
        for tag, side in ((WIDTH, size[0]), (HEIGHT, size[1])):
            if tag in tags[CAMERA]:
                tags[CAMERA][tag] = side
        if any(tags.values()):
            found["exif"] = _fitting(tags)
    return found


def _folder(exif: Any, folder: int) -> dict[int, Any]:
    with contextlib.suppress(Exception):
        return {tag: x for tag, x in exif.get_ifd(folder).items() if tag != INTEROPERABILITY}
    return {}


def _fitting(tags: Mapping[int, dict[int, Any]]) -> bytes:
    """The EXIF segment of ``tags`` by their folder, 0 the first, without those that do not fit."""
    lengths = {}
    for folder, held in tags.items():
        for tag in list(held):
            try:
                lengths[folder, tag] = len(_encoded({folder: {tag: held[tag]}}))
            except Exception:  # a value of another kind than its tag has
                del held[tag]
    for folder, tag in sorted(lengths, key=lengths.__getitem__, reverse=True):
        if len(_encoded(tags)) <= LONGEST:
            break
        del tags[folder][tag]
    return _encoded(tags)


def _encoded(tags: Mapping[int, Mapping[int, Any]]) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif[ORIENTATION] = 1
    for folder, held in tags.items():
        if folder == 0:
            exif.update(held)
        elif held:
            exif[folder] = dict(held)
    return exif.tobytes()
