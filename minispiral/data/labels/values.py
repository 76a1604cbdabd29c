"""Values of files that others wrote: taken if they are what is expected, refused by name if not."""

from __future__ import annotations

import json
import math
import reprlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minispiral.data.decode import MAX_PIXELS
from minispiral.data.labels.shapes import Points, Size
from minispiral.errors import UserError

FARTHEST = 1e9  # pixels; a coordinate beyond is none


@dataclass(frozen=True)
class Place:
    """Where in a file something stands; each method takes a value, or raises `UserError`."""

    file: Path
    item: str = ""

    def at(self, item: str) -> Place:
        """A place inside this one."""
        return replace(self, item=f"{self.item}, {item}" if self.item else item)

    def error(self, what: str) -> UserError:
        """The sentence that names file and item."""
        return UserError(f"{self.file}{f', {self.item}' if self.item else ''}: {what}")

    def wrong(self, name: str, value: object, expected: str) -> UserError:
        """What to tell of a value that is not as expected."""
        return self.error(f"{name} is {shown(value)}, expected {expected}")

    def member(self, record: dict[str, Any], name: str) -> Any:
        """``record[name]``."""
        if name not in record:
            raise self.error(f"has no {name!r}")
        return record[name]

    def record(self, value: object, name: str = "it") -> dict[str, Any]:
        """A JSON object."""
        if not isinstance(value, dict):
            raise self.wrong(name, value, "a JSON object")
        return value

    def entries(self, value: object, name: str) -> list[Any]:
        """A JSON list."""
        if not isinstance(value, list):
            raise self.wrong(name, value, "a list")
        return value

    def text(self, value: object, name: str) -> str:
        """A string with something in it."""
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(name, value, "a text")
        return value

    def whole(self, value: object, name: str) -> int:
        """A whole number, also as ``3.0`` or ``"3"``."""
        try:
            number = float(value) if isinstance(value, int | float | str) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not number.is_integer() or abs(number) > 2**53:
            raise self.wrong(name, value, "a whole number")
        return int(number)

    def size(self, width: object, height: object) -> Size:
        """Width and height of a photograph that is not too large to be read."""
        w, h = self.whole(width, "the width"), self.whole(height, "the height")
        if w < 1 or h < 1:
            raise self.error(f"the photograph is {w} x {h} pixels, expected at least 1 x 1")
        if w * h > MAX_PIXELS:
            raise self.error(
                f"the photograph is {w} x {h} pixels, more than the {MAX_PIXELS // 10**6} million "
                "accepted"
            )
        return w, h

    def numbers(self, values: object, name: str) -> list[float]:
        """Finite numbers."""
        return [self._number(value, name) for value in self.entries(values, name)]

    def points(self, values: object, most: int = 2) -> Points:
        """A list of x, y, each followed by up to ``most - 2`` numbers that are left out."""
        pairs = []
        for value in self.entries(values, "its list of points"):
            if not isinstance(value, list) or not 2 <= len(value) <= most:
                raise self.wrong("a point", value, "two numbers, x and y")
            pairs.append([self._number(number, "a point") for number in value[:2]])
        return np.array(pairs, np.float64).reshape(-1, 2)

    def pairs(self, values: list[float], name: str = "the polygon") -> Points:
        """x, y, x, y, ... as points."""
        if len(values) % 2:
            raise self.error(f"{name} has {len(values)} numbers, expected x and y in turn")
        return np.array(values, np.float64).reshape(-1, 2)

    def words(self, text: str, name: str) -> list[float]:
        """The numbers of a text, split at white space."""
        numbers = []
        for word in text.split():
            try:
                numbers.append(self._number(float(word), name))
            except ValueError as error:
                raise self.wrong(f"a coordinate of {name}", word, "a number") from error
        return numbers

    def _number(self, value: Any, name: str) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and abs(value) <= FARTHEST:  # which NaN is not
            return float(value)
        raise self.wrong(f"a coordinate of {name}", value, "a finite number")


def shown(value: object) -> str:
    """``value`` as Python writes it, of a long one the ends."""
    return reprlib.repr(value)


def read_json(path: Path) -> Any:
    """The JSON in a file; raises `UserError` if it is damaged."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(
            f"{path} is no JSON ({reason}), it seems truncated or corrupt; export it again"
        ) from error


def read_text(path: Path) -> str:
    """The text of a file in UTF-8; raises `UserError` if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no text in UTF-8; export it again") from error
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}") from error
