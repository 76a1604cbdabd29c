"""Where to compute."""

from minispiral.errors import UserError

DEVICES = ("auto", "cpu", "cuda")


def check_device(device: str) -> None:
    """Raise `UserError` for a device that this machine or this version has not."""
    if device == "cuda":
        raise UserError(
            "--device cuda was given, but this version of minispiral computes on the CPU only; "
            "give --device cpu or leave it out."
        )
