"""The photograph that both engines search for cracks; a worker's options say how large it is."""

import argparse
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.common.task import DEPTHS


class Search(NamedTuple):
    """A photograph of ``height`` x ``width`` pixels and the width factor of the Spiral-Net."""

    height: int = 3678
    width: int = 5472
    factor: float = 1.0

    def words(self) -> list[str]:
        """The command line of a worker."""
        return [
            word for name, value in self._asdict().items() for word in (f"--{name}", str(value))
        ]

    @classmethod
    def parse(cls, parser: argparse.ArgumentParser) -> tuple["Search", argparse.Namespace]:
        """The search on a worker's command line, and the other options ``parser`` knows of."""
        for name, value in cls()._asdict().items():
            parser.add_argument(f"--{name}", type=type(value), default=value)
        options = parser.parse_args()
        return cls(*(getattr(options, name) for name in cls._fields)), options

    def photo(self) -> NDArray[np.uint8]:
        """Noise: the time does not depend on what the photograph shows."""
        rng = np.random.default_rng(0)
        return rng.integers(256, size=(self.height, self.width, 3), dtype=np.uint8)


UNIT = 2**DEPTHS  # of the sides of tiles
