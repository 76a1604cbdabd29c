"""The photographs that the arguments of a command stand for."""

import glob
from collections.abc import Iterable
from pathlib import Path

from minispiral.data.formats import is_picture
from minispiral.detection.output import is_output
from minispiral.errors import UserError


def find_photos(arguments: Iterable[str]) -> list[Path]:
    """The photographs that files, folders and patterns such as ``*.jpg`` stand for.

    A folder stands for the pictures directly in it, except those that an earlier detection wrote
    there. A photograph named twice counts once; the order is that of the arguments.

    Raises `UserError` for an argument that stands for no photograph.
    """
    found: dict[Path, Path] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            photos = [
                entry
                for entry in sorted(path.iterdir())
                if is_picture(entry) and not is_output(entry)
            ]
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
