"""The photographs that the arguments of a command stand for."""

import glob
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from minispiral.data.formats import SYSTEM_FOLDERS, files_in, is_picture
from minispiral.detection.output import is_output
from minispiral.errors import UserError


def find_photos(arguments: Iterable[str], recursive: bool = False) -> list[Path]:
    """The photographs that files, folders and patterns such as ``*.jpg`` stand for.

    A folder stands for the pictures in it (`is_picture`), with ``recursive`` also for those in its
    subfolders, except those that an earlier detection wrote there. A pattern stands for the
    pictures that it matches; if there are none, for all other files, or else for the folders that
    it matches. ``**`` in it stands for any subfolders. Names may be spelled in either of the two
    forms that Unicode has for accented letters. A photograph named twice counts once; the order is
    that of the arguments.

    Raises `UserError` for an argument that stands for no photograph.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        path = _spelled_as_on_disk(argument)
        if path.is_dir():
            photos = _in_folder(path, recursive)
            if not photos:
                raise _empty(path, recursive)
        elif path.is_file():
            photos = [path]
        else:
            photos = _matches(argument, recursive)
            if not photos:
                raise UserError(
                    f"There is no photograph {argument}; give photographs, a folder of them or a "
                    "pattern such as 'photos/*.jpg'."
                )
        for photo in photos:
            # Unlike `Path.resolve` this takes links that lead back to themselves.
            found.setdefault(os.path.realpath(photo), photo)
    return list(found.values())


def search_roots(arguments: Iterable[str]) -> list[Path]:
    """The folders in which ``arguments`` are searched for: a pattern's is its part before ``*``."""
    roots = []
    for argument in arguments:
        path = _spelled_as_on_disk(argument)
        if not path.exists() and glob.has_magic(argument):
            while glob.has_magic(str(path)):
                path = path.parent
        roots.append(path if path.is_dir() else path.parent)
    return roots


def _in_folder(folder: Path, recursive: bool) -> list[Path]:
    pictures = filter(is_picture, files_in(folder, recursive))
    return [path for path in pictures if not is_output(path)]


def _matches(pattern: str, recursive: bool) -> list[Path]:
    """The photographs that a pattern stands for, however its letters are spelled."""
    names = {name for spelled in _spellings(pattern) for name in glob.glob(spelled, recursive=True)}
    named = {part.lower() for part in Path(pattern).parts}
    paths = [
        path
        for path in map(Path, sorted(names))
        if not SYSTEM_FOLDERS.intersection(map(str.lower, path.parts)) - named
    ]
    files = [path for path in paths if path.is_file() and not is_output(path)]
    folders = [path for path in paths if path.is_dir()]
    inside = (photo for folder in folders for photo in _in_folder(folder, recursive))
    return list(filter(is_picture, files)) or files or list(inside)


def _empty(folder: Path, recursive: bool) -> UserError:
    """What to tell of a folder that holds no photographs."""
    if not recursive and _in_folder(folder, recursive=True):
        return UserError(f"The folder {folder} holds pictures only in its subfolders", "recursive")
    kinds = sorted({path.suffix.lower() or "no suffix" for path in files_in(folder)})
    held = f", only files with {', '.join(kinds[:5])}" if kinds else ""
    return UserError(
        f"The folder {folder} holds no pictures{held}; give photographs, a folder of them or "
        "a pattern such as 'photos/*.jpg'."
    )


def _spelled_as_on_disk(argument: str) -> Path:
    """The path of ``argument``, with accented letters in the form that exists."""
    paths = [Path(spelled) for spelled in _spellings(argument)]
    return next((path for path in paths if os.path.lexists(path)), paths[0])


def _spellings(text: str) -> list[str]:
    """``text`` as it is, with composed and with decomposed accents (NFC, NFD), each once."""
    forms = (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    return list(dict.fromkeys((text, *forms)))
