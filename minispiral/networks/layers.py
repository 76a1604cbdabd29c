"""Sizes and costs of the layers of a network, as its description lists them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from minispiral.kernels.shapes import output_hw
from minispiral.nn import Conv2d, Module


@dataclass(frozen=True)
class LayerInfo:
    """One layer; its input and output are ``(h, w, c)``, ``macs`` is for one picture."""

    name: str
    kind: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    parameters: int
    macs: int


@dataclass(frozen=True)
class ModuleInfo:
    """A module of a network: a sequence of layers, and layers that branch off it."""

    name: str
    trunk: list[LayerInfo]
    branches: list[LayerInfo] = field(default_factory=list)

    @property
    def layers(self) -> list[LayerInfo]:
        return self.trunk + self.branches

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the convolutions for one picture."""
        return sum(layer.macs for layer in self.layers)

    @property
    def sizes(self) -> list[int]:
        """The sides in pixels that a picture has along the trunk, without repetitions."""
        sides = [self.trunk[0].input[0], *(layer.output[0] for layer in self.trunk)]
        return [side for side, _ in groupby(sides)]


def sequence(name: str, module: Module, side: int) -> list[LayerInfo]:
    """The layers of a module in order of definition, each fed with the output of the last.

    The first sees a square picture of this side.
    """
    infos = []
    for layer_name, layer in _layers(name, module):
        infos.append(layer_info(layer_name, layer, side))
        side = infos[-1].output[0]
    return infos


def layer_info(name: str, layer: Module, side: int) -> LayerInfo:
    """Sizes and costs of a layer, which holds one convolution, for a square input of this side.

    A weight costs one multiply-accumulate per pixel of the *smaller* image, in a transposed
    convolution too.
    """
    [conv] = _convolutions(layer)
    size, _, big, small = conv.w.shape
    if conv.transpose:
        ci, co = small, big
        output_side = conv.stride * (side - 1) + size - 2 * conv.pad
    else:
        ci, co = big, small
        output_side, _ = output_hw((side, side), (size, size), conv.stride, conv.pad)
    return LayerInfo(
        name=name,
        kind=str(layer),
        input=(side, side, ci),
        output=(output_side, output_side, co),
        parameters=sum(p.data.size for p in layer.parameters()),
        macs=conv.w.data.size * min(side, output_side) ** 2,
    )


def _layers(name: str, module: Module) -> Iterator[tuple[str, Module]]:
    """A layer is an outermost module with a single convolution: batch norm belongs to it."""
    if len(_convolutions(module)) == 1:
        yield name, module
        return
    for child_name, child in module.children():
        yield from _layers(f"{name}.{child_name}" if name else child_name, child)


def _convolutions(module: Module) -> list[Conv2d]:
    return [part for _, part in module.modules() if isinstance(part, Conv2d)]
