"""From the machine code and the launches of a step to its time: a floor, and a model.

The floor of a launch is the time to move each of its arrays once, or that of its products on the
tensor cores if they take longer. The model adds what its instructions take. A kernel cannot be
quicker than

    memory      all bytes, once
    a resource  issue slots, a pipe, shared memory or L2, on the SM that has most blocks
    latency     the time of a warp that is alone, for as many blocks as follow each other

The SMs work in waves of as many blocks as fit; a wave takes the longest of its resources and its
latency. The kernel takes the longer of its waves and of memory, after the time to launch it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, prod

from bench.gpu.model import cost, traffic
from bench.gpu.model.assumptions import Assumptions
from bench.gpu.model.code import FIRST_PARAMETER, Code
from bench.gpu.model.recording import Launch
from bench.gpu.model.rules import rule
from bench.gpu.model.rules.loops import turns_of_loops
from bench.gpu.model.sass import Function, Loop


@dataclass(frozen=True)
class Estimate:
    """One launch, in seconds."""

    launch: Launch
    bytes: float
    floor: float
    model: float
    bound: str  # what takes longest: ``memory``, ``latency``, ``launch``, ``L2`` or a pipe
    slots: dict[Loop | None, float]  # issue slots of all warps; None: outside of all loops


class Model:
    """Estimates launches; keeps what it has worked out of each kernel's code."""

    def __init__(self, codes: Mapping[str, Code], assumed: Assumptions) -> None:
        self.codes, self.assumed = codes, assumed
        self._kept: dict[tuple[int, int, float], cost.Work] = {}

    def step(self, launches: Iterable[Launch]) -> list[Estimate]:
        return [self.estimate(launch) for launch in launches]

    def estimate(self, launch: Launch) -> Estimate:
        assumed, code = self.assumed, self.codes[launch.kernel.expression]
        read, written = traffic.bytes_moved(launch)
        memory = (read + written) / (assumed.memory * 1e12)
        near = read < assumed.l2_size * 1e6 / 2  # the kernel before has left it in L2
        latency = assumed.latency_l2 if near else assumed.latency_memory

        function = code.given(traffic.flags(launch, FIRST_PARAMETER[code.arch]))
        loops = turns_of_loops(function, rule(launch), launch.kernel.expression)
        work, slots = cost.Work(), dict[Loop | None, float]()
        for loop, times in [(None, 1.0), *loops.items()]:
            own = self._work(function, loop, latency)
            work.add(own, times)
            slots[loop] = own.slots * times * code.warps * prod(launch.grid)

        seconds, bound = self._waves(code, prod(launch.grid), work)
        if memory >= seconds:
            seconds, bound = memory, "memory"
        fixed = assumed.launch * 1e-6
        bound = "launch" if fixed > seconds else bound
        floor = max(memory, traffic.tensor_flop(launch) / (assumed.tensor * 1e12))
        return Estimate(launch, read + written, floor, seconds + fixed, bound, slots)

    def _work(self, function: Function, loop: Loop | None, latency: float) -> cost.Work:
        key = id(function), -1 if loop is None else loop.head, latency
        if key not in self._kept:
            code = function.own_code(loop)
            self._kept[key] = cost.work(code, self.assumed, latency, loop is not None)
        return self._kept[key]

    def _waves(self, code: Code, blocks: int, work: cost.Work) -> tuple[float, str]:
        """Seconds of all waves of blocks, and what bounds most of them."""
        assumed = self.assumed
        clock, sms, fit = assumed.clock * 1e9, int(assumed.sms), code.resident_blocks
        of_block = {  # clocks of an SM, which has four parts
            pipe: clocks * code.warps / 4 / (1 if pipe == cost.TENSOR else assumed.busy)
            for pipe, clocks in {**work.pipes, "issue": work.slots}.items()
        }
        of_block["L2"] = work.l2_bytes * code.warps / (assumed.l2 * 1e12 / sms / clock)

        def wave(count: int) -> tuple[float, str]:
            """Of an SM with so many blocks."""
            clocks = {what: count * of_one for what, of_one in of_block.items()}
            clocks["latency"] = work.clocks
            what = max(clocks, key=lambda name: clocks[name])
            return clocks[what], what

        full, rest = divmod(blocks, sms * fit)
        whole, whole_bound = wave(fit)
        part, part_bound = wave(ceil(rest / sms)) if rest else (0.0, "")
        bound = whole_bound if full * whole >= part else part_bound
        return (full * whole + part) / clock, bound
