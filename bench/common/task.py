"""What both engines are told to do."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

SIDE = 255  # pixels, the patch of Section 4.2
DEPTHS = 7  # modules of the full Spiral-Net; the depth of the U-Net
CRACK = 1 / 450  # of the pixels


@dataclass(frozen=True)
class Task:
    """Steps of training, or of inference, of a network on patches of ``side`` x ``side`` pixels.

    Spiral-Net has modules of depth 1 to ``depths``, the U-Net that depth.
    """

    network: str = "spiral"
    mode: str = "train"  # or "infer"
    batch: int = 4
    side: int = SIDE
    width: float = 1.0
    depths: int = DEPTHS

    def words(self) -> list[str]:
        """The command line of a worker."""
        return [word for name, value in asdict(self).items() for word in (f"--{name}", str(value))]

    @classmethod
    def parse(
        cls, parser: argparse.ArgumentParser, words: Sequence[str] | None = None
    ) -> tuple[Self, argparse.Namespace]:
        """The task on a worker's command line, and the other options ``parser`` knows of."""
        defaults = asdict(cls())
        for name, value in defaults.items():
            parser.add_argument(f"--{name}", type=type(value), default=value)
        options = parser.parse_args(words)
        return cls(**{name: getattr(options, name) for name in defaults}), options
