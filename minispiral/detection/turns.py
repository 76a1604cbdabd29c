"""Work on photographs, of which the processes of a job take turns."""

from collections.abc import Callable
from typing import TypeVar

from minispiral.detection.tiling import photo_progress
from minispiral.distributed import World

T = TypeVar("T")


def take_turns(
    world: World,
    count: int,
    work: Callable[[int, Callable[[int, int], None] | None], T],
    progress: Callable[[float, int], None] | None = None,
    report: Callable[[T], None] | None = None,
) -> list[T]:
    """The results of ``work(i, tiles)`` on photograph i of ``count``, in their order.

    All processes get all results (see `World.collect`). The first one calls ``report`` with each,
    and ``progress(done, count)`` with the photographs that all have done and the fraction of its
    own. ``work`` tells ``tiles(done, total)``, unless that is None.
    """
    done = 0

    def one(i: int) -> T:
        return work(i, photo_progress(progress if world.is_first else None, done, count))

    def arrived(i: int, result: T) -> None:
        nonlocal done
        done += 1
        if progress and i not in world.turns(count):
            progress(done, count)
        if report:
            report(result)

    return world.collect(count, one, arrived)
