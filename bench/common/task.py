"""What both engines are asked to do."""

from dataclasses import dataclass

SIDE = 255  # pixels, the patch of Section 4.2
DEPTHS = 7  # modules of the full Spiral-Net; the depth of the U-Net
CRACK = 1 / 450  # of the pixels


@dataclass(frozen=True)
class Task:
    """Steps of training, or of inference, of a network on patches of ``side`` x ``side`` pixels.

    Spiral-Net has modules of depth 1 to ``depths``; the U-Net has depth ``depths``.
    """

    network: str = "spiral"
    mode: str = "train"  # or "infer"
    batch: int = 4
    side: int = SIDE
    width: float = 1.0
    depths: int = DEPTHS
