"""Several datasets of one command, by the names that results keep."""

from collections.abc import Sequence
from pathlib import Path

from minispiral.errors import UserError


def named(folders: Sequence[Path]) -> dict[str, Path]:
    """The folders by the last two parts of their paths: ``uav75/train``, wherever that lies.

    Raises `UserError` if two of them have the same name.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        name = Path(*folder.parts[-2:]).as_posix()
        if name in found:
            raise UserError(
                f"{found[name]} and {folder} would both be called {name}; give each dataset once, "
                "from a folder of its own name"
            )
        found[name] = folder
    return found
