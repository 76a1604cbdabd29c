"""What all networks share: the sides they accept and the list of their layers."""

from dataclasses import dataclass

from minispiral.errors import UserError
from minispiral.nn import Conv2d, ConvNormReLU, ConvReLU, Module
from minispiral.tensor import Tensor


@dataclass(frozen=True)
class LayerInfo:
    """One layer as ``describe`` prints it; sizes are ``(h, w, c)``, macs for one picture."""

    name: str
    kind: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    parameters: int
    macs: int


class Network(Module):
    """Pictures ``(n, h, w, 3)`` in [-1, 1] to logits ``(n, h, w, 1)``.

    A network that halves its picture ``d`` times by 3 x 3 convolutions at stride 2 without
    padding, and doubles it again, gives back the size it got only for sides ``2**d * k - 1`` with
    ``k >= 2``. ``unit`` is that ``2**d``; a network that pools keeps to the same sides.
    """

    unit: int

    def check_side(self, side: int) -> None:
        """Raise `UserError`, naming the nearest sides that fit, unless this is one of them."""
        below = (side + 1) // self.unit * self.unit - 1
        smallest = 2 * self.unit - 1
        if below == side >= smallest:
            return
        nearest = [s for s in (below, below + self.unit) if s >= smallest] or [smallest]
        raise UserError(
            f"this network takes pictures whose side is {self.unit} * k - 1, at least {smallest}, "
            f"not {side}: choose {' or '.join(map(str, nearest))}"
        )

    def outputs(self, x: Tensor) -> list[Tensor]:
        """All maps of logits that training holds against the mask; the last is ``self(x)``."""
        return [self(x)]

    def layers(self, side: int) -> list[LayerInfo]:
        """Every layer in order, for a square picture of this side."""
        raise NotImplementedError


def layer_info(
    name: str, layer: Conv2d | ConvNormReLU | ConvReLU, size: tuple[int, int, int]
) -> LayerInfo:
    """Sizes and costs of one layer for an input of ``size (h, w, c)``.

    A tap of the kernel is one multiply-accumulate per channel pair and pixel of the *smaller*
    image, for a transposed convolution too.
    """
    conv = layer if isinstance(layer, Conv2d) else layer.conv
    h, w, _ = size
    k = conv.w.shape[0]
    if conv.transpose:
        co = conv.w.shape[2]
        oh, ow = (conv.stride * (n - 1) + k - 2 * conv.pad for n in (h, w))
    else:
        co = conv.w.shape[3]
        oh, ow = ((n + 2 * conv.pad - k) // conv.stride + 1 for n in (h, w))
    kind = "transposed conv" if conv.transpose else "conv"
    behind = {ConvNormReLU: ", batch norm, ReLU", ConvReLU: ", ReLU"}.get(type(layer), "")
    return LayerInfo(
        name=name,
        kind=f"{kind} {k}x{k}{behind}",
        input=size,
        output=(oh, ow, co),
        parameters=sum(p.data.size for p in layer.parameters()),
        macs=conv.w.data.size * min(h * w, oh * ow),
    )
