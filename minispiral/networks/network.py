"""What every network answers: the sides it takes, its outputs, its maps and its layers."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

from minispiral.errors import UserError
from minispiral.networks.layers import LayerInfo, ModuleInfo, sequence
from minispiral.nn import Module
from minispiral.tensor import Tensor


class Network(Module):
    """Pictures ``(n, h, w, 3)`` in [-1, 1] to logits ``(n, h, w, 1)``.

    3 x 3 convolutions at stride 2 without padding halve a picture ``d`` times, and their transposes
    double it again. The result has the size of the picture only for sides ``2**d * k - 1`` with
    ``k >= 2``. ``unit`` is that ``2**d``; a network that pools keeps to the same sides.
    """

    name: ClassVar[str]
    """The key in `minispiral.networks.NETWORKS`."""

    inapplicable: ClassVar[Mapping[str, str]] = {}
    """The options of `minispiral.networks.build` that do not apply, each with the reason."""

    sizes_caption: ClassVar[str] = "sides from the picture to the logits"
    """What the sizes of a description are."""

    map_titles: tuple[str, ...] = ()
    """What each of `maps` is; empty for a network that makes none."""

    unit: int

    @classmethod
    def from_options(cls, **options: Any) -> Self:
        """A network from ``rng`` and the options of `minispiral.networks.build` that apply."""
        return cls(**options)

    def check_side(self, *sides: int) -> None:
        """Raise `UserError`, which names the nearest valid sides, unless all of these are valid."""
        smallest = 2 * self.unit - 1
        for side in sides:
            below = (side + 1) // self.unit * self.unit - 1
            if below == side >= smallest:
                continue
            nearest = [s for s in (below, below + self.unit) if s >= smallest] or [smallest]
            raise UserError(
                f"this network takes pictures whose side is {self.unit} * k - 1, at least "
                f"{smallest}, not {side}: choose {' or '.join(map(str, nearest))}"
            )

    def outputs(self, x: Tensor) -> list[Tensor]:
        """All logits that the loss compares with the mask; the last are ``self(x)``."""
        return [self(x)]

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps ``(n, h, w, 1)`` from which the last layer makes the logits."""
        raise NotImplementedError(f"{type(self).__name__} makes no maps")

    def logits(self, maps: list[Tensor]) -> Tensor:
        """The last layer: a linear combination of `maps`, and a bias."""
        raise NotImplementedError(f"{type(self).__name__} makes no maps")

    def parts(self) -> Iterable[tuple[str, Module]]:
        """The modules that a description lists one by one; "" names the network itself.

        Each returns the size it gets.
        """
        return [("", self)]

    def describe(self, side: int) -> list[ModuleInfo]:
        """The layers, module by module, for a square picture of this side.

        Raises `UserError` for a side that is not valid.
        """
        self.check_side(side)
        return [
            ModuleInfo(name or self.name, sequence(name, part, side)) for name, part in self.parts()
        ]

    def layers(self, side: int) -> list[LayerInfo]:
        """All layers in order; see `describe`."""
        return [layer for module in self.describe(side) for layer in module.layers]
