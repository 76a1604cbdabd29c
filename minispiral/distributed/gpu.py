"""How processes that compute on GPUs exchange arrays in a training step."""

from collections.abc import Callable
from functools import cache
from typing import Any

from minispiral.distributed.sharing import Sharers
from minispiral.distributed.world import World, agreed
from minispiral.kernels.cuda import launch

Array = Any  # the GPU's


def sharers(world: World, on_gpu: bool, say: Callable[[str], None]) -> Sharers:
    """The processes of a ``world`` as `sharing` takes them; ``on_gpu`` is where they compute.

    GPUs use NCCL where every process has one of its own, otherwise the processors copy and add for
    them, and ``say`` is told so in a line.

    Raises `UserError` unless all compute on GPUs, or all on the CPU.
    """
    if world.size > 1:
        advice = "choose the CPU for all, or start processes only where there is a GPU"
        agreed(world, "The device to compute on", on_gpu, advice)
    if world.size == 1 or not on_gpu:
        return world
    try:
        if doubled(world, on_gpu):
            raise RuntimeError("NCCL needs a GPU for each process")
        return _through_nccl(world)
    except RuntimeError as error:
        say(f"The GPUs exchange sums through the processors, which takes longer: {error}.")
        return ThroughHosts(world)


@cache
def _through_nccl(world: World) -> "ThroughNccl":
    """One for all runs of this process: NCCL takes memory for each, and keeps it."""
    return ThroughNccl(world)


def doubled(world: World, on_gpu: bool) -> str:
    """A warning if several processes of a machine compute on one GPU, else nothing."""
    if world.size == 1:
        return ""
    names = world.machine.exchange(launch.gpu().name_on_machine() if on_gpu else None)
    used = [name for name in names if name is not None]
    for processes, gpus in world.exchange((len(used), len(set(used)))):
        if processes > gpus:
            which = "one GPU" if gpus == 1 else f"{gpus} GPUs"
            return (
                f"warning: {processes} processes on one machine share {which}; "
                "start one process for each GPU"
            )
    return ""


class ThroughHosts:
    """They copy what they exchange to the processors, and back."""

    recordable = False

    def __init__(self, world: World) -> None:
        self.world, self.size = world, world.size

    def gather(self, values: Array) -> Array:
        """See `World.gather`."""
        gpu = launch.gpu()
        return gpu.put(self.world.gather(gpu.get(values)))

    def start_sum(self, values: Array) -> Callable[[], None]:
        """See `World.start_sum`; the processors add up while the GPU computes on."""
        gpu = launch.gpu()
        host = gpu.get(values)
        wait = self.world.start_sum(host)

        def finish() -> None:
            wait()
            values[...] = gpu.put(host)

        return finish


class ThroughNccl:
    """The GPUs exchange it themselves. RuntimeError, in all processes, where they cannot."""

    recordable = True

    def __init__(self, world: World) -> None:
        gpu = launch.gpu()
        self.size = world.size
        identity = world.from_first(gpu.communicator_id)
        self.communicator = world.together(
            lambda: gpu.communicator(world.size, identity, world.rank)
        )

    def gather(self, values: Array) -> Array:
        """See `World.gather`."""
        gathered = launch.empty((self.size, *values.shape), values.dtype)
        self.communicator.gather(values, gathered)
        return gathered

    def start_sum(self, values: Array) -> Callable[[], None]:
        """See `World.start_sum`; what is launched later comes after the sum."""
        self.communicator.add(values)
        return lambda: None
