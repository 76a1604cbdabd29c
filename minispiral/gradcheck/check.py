"""One case of what is checked, and what cases are made of."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.device import CPU
from minispiral.gradcheck.comparison import Method
from minispiral.gradcheck.protocol import gradcheck
from minispiral.gradcheck.pseudo import check_pseudo_f1
from minispiral.gradcheck.report import Report
from minispiral.nn import BatchNorm

Array = NDArray[Any]
Generator = np.random.Generator
Arguments = dict[str, Any]

EXACTLY: Method = "complex step"
AROUND_KINKS: Method = "differences"


@dataclass(frozen=True)
class Check:
    """One case of what is checked; ``arguments`` makes those of `gradcheck` from random numbers."""

    name: str
    arguments: Callable[[Generator], Arguments]

    @property
    def subject(self) -> str:
        """The public name of what is checked."""
        return self.name.replace(",", " ").split()[0]

    def run(self, seed: int = 0, **options: Any) -> Report:
        """Check this case on random numbers of its own, whichever others are checked."""
        rng = self._rng(seed)
        arguments = {"method": EXACTLY, **self.arguments(rng), **options}
        return gradcheck(name=self.name, seed=int(rng.integers(2**32)), **arguments)

    def _rng(self, seed: int) -> Generator:
        return np.random.default_rng([seed, zlib.crc32(self.name.encode())])


class OwnRules(Check):
    """A pseudo-gradient by rules of its own; ``arguments`` makes those of `check_pseudo_f1`."""

    def run(self, seed: int = 0, **options: Any) -> Report:
        device = options.get("device", CPU)
        arguments = self.arguments(self._rng(seed))
        return check_pseudo_f1(name=self.name, seed=seed, device=device, **arguments)


def numbers(rng: Generator, *shape: int) -> Array:
    """Of either sign and between 0.2 and 2 in size."""
    sizes: Array = rng.uniform(0.2, 2, shape) * rng.choice([-1.0, 1.0], shape)
    return sizes


def shaken(module: Any, rng: Generator) -> Any:
    """The module in float64, with no parameter at a special value and running moments of a past."""
    module.astype(np.float64)
    for name, p in module.named_parameters():
        p.data = p.data + rng.normal(0.3 if name.endswith("beta") else 0, 0.1, p.shape)
    for _, part in module.modules():
        if isinstance(part, BatchNorm):
            part.running_mean = rng.normal(0, 0.5, part.running_mean.shape)
            part.running_var = rng.uniform(0.5, 2, part.running_var.shape)
    return module
