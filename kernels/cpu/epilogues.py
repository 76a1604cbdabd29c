"""The epilogues of a convolution on the CPU: each tile is finished while it is in cache."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from ..epilogues import Epilogue, Moments, ScaleShiftReLU
from .batchnorm import merge_moments, scale_shift_relu, tile_moments

Array = NDArray[Any]
Parts = Iterable[Sequence[Any]]  # for each range of channels, what `Finish` returned for each tile

ALL = slice(None)


class Finish(Protocol):
    """Applies an epilogue to the part ``out (..., c)`` of an output that holds these channels."""

    def __call__(self, out: Array, channels: slice = ALL) -> Any: ...


def finisher(epilogue: Epilogue | None) -> Finish:
    """A function that applies the epilogue to a part of the output, on the calling thread.

    What it returns for each part is for `conclude`.
    """
    if isinstance(epilogue, Moments):
        return _moments
    if isinstance(epilogue, ScaleShiftReLU):
        return _scale_shift_relu(epilogue)
    return _nothing


def conclude(epilogue: Epilogue | None, parts: Parts, dtype: DTypeLike) -> None:
    """Once all parts are finished: set the moments of the output."""
    if isinstance(epilogue, Moments):
        epilogue.mean, epilogue.var = merge_moments(parts, dtype, epilogue.norm)


def _nothing(out: Array, channels: slice = ALL) -> None:
    pass


def _moments(out: Array, channels: slice = ALL) -> Any:
    return tile_moments(out.reshape(-1, out.shape[-1]))


def _scale_shift_relu(epilogue: ScaleShiftReLU) -> Finish:
    @cache
    def of_channels(start: int | None, stop: int | None) -> Callable[[Array], None]:
        return scale_shift_relu(epilogue.scale[start:stop], epilogue.shift[start:stop])

    def finish(out: Array, channels: slice = ALL) -> None:
        of_channels(channels.start, channels.stop)(out)

    return finish
