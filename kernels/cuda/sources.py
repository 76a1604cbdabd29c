"""The CUDA C of the kernels, as the compiler gets it."""

import hashlib
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
OPTIONS = ("-std=c++17",)


def expand(file: str) -> str:
    """The text of a ``.cu`` file, with the ``.cuh`` files it includes in place of their names.

    The text is then all there is: a cache keyed by it does not miss a change in a header.
    """
    included: set[str] = set()

    def text(name: str) -> str:
        if name in included:
            return ""
        included.add(name)
        lines = []
        for number, line in enumerate((FOLDER / name).read_text(encoding="utf-8").splitlines(), 1):
            found = re.fullmatch(r'#include "([\w.]+)"', line)
            lines += [text(found[1]), f'#line {number + 1} "{name}"'] if found else [line]
        return "\n".join([f'#line 1 "{name}"', *lines])

    return text(file) + "\n"


def digest(file: str) -> str:
    """A text that is another one whenever the compiler gets another text or other options."""
    return hashlib.sha256("\0".join((expand(file), *OPTIONS)).encode()).hexdigest()
