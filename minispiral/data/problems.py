"""What is doubtful or wrong in a file of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Problem(NamedTuple):
    """Something to tell about ``file`` before work starts.

    ``kind`` is one word or two for programs, such as "inverted"; ``text`` is what people read, one
    sentence without the name of the file. With ``error`` the file cannot be used, without it the
    file is read, though perhaps not as meant.
    """

    file: Path
    kind: str
    text: str
    error: bool = False
