"""Table 1: the channels of the layers that Spiral-Net and U-Net share."""

from minispiral.errors import UserError

ENCODER_CHANNELS = (64, 128, 256, 512, 512, 512, 512)  # layers 1 to 7
DECODER_CHANNELS = (1, 64, 128, 256, 512, 512, 512)


def scaled(channels: int, width: float) -> int:
    """A channel count of Table 1 times the width factor, at least 1."""
    return max(1, round(channels * width))


def check_width(width: float) -> None:
    """Raise `UserError` unless the factor is above 0 and at most 16."""
    if not 0 < width <= 16:
        raise UserError(f"the width factor is above 0 and at most 16, not {width:g}", "width")
