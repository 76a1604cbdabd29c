"""Checks of chapter 8, The same kernels on a GPU. Kernels are Python functions or generators."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise

Array = NDArray[Any]
Answer = Callable[..., Any]

_WARP = 32


@exercise("8.1", function="double", difficulty=1)
def double(answer: Answer) -> None:
    """A kernel with coalesced reads."""
    rng = np.random.default_rng()
    for blocks, threads, size in (
        (1, _WARP, _WARP),
        (2, 64, 128),
        (3, 64, int(rng.integers(70, 180))),
        (2, 96, 1),
        (3, 32, int(rng.integers(200, 900))),
        (2, 64, 1000),
    ):
        what = f"{size} numbers, {blocks} blocks of {threads} threads"
        memory = _Memory(rng.standard_normal(size), what)
        for block in range(blocks):
            for thread in range(threads):
                memory.thread = block, thread
                answer(block, thread, blocks, threads, memory.x, memory.y)
        memory.check_results()
        memory.check_shares(-(-size // (blocks * threads)))
        memory.check_reads()


class _Memory:
    """Two arrays that record which thread reads and writes what."""

    def __init__(self, numbers: Array, what: str) -> None:
        self.numbers, self.what = numbers, what
        self.results = np.full_like(numbers, np.nan)
        self.thread = 0, 0
        self.reads: dict[tuple[int, int], list[int]] = {}
        self.writes = np.zeros(len(numbers), int)
        self.x, self.y = _Watched("x", self), _Watched("y", self)

    def place(self, name: str, index: Any) -> int:
        block, thread = self.thread
        who = f"with {self.what}, thread {thread} of block {block}"
        if not isinstance(index, int | np.integer):
            raise Wrong(f"{who} used {name}[{index!r}]: one index at a time")
        if not 0 <= index < len(self.numbers):
            raise Wrong(f"{who} used {name}[{index}], which is outside the array")
        return int(index)

    def read(self, index: Any) -> float:
        at = self.place("x", index)
        self.reads.setdefault(self.thread, []).append(at)
        return float(self.numbers[at])

    def write(self, index: Any, value: float) -> None:
        at = self.place("y", index)
        self.results[at] = value
        self.writes[at] += 1

    def check_results(self) -> None:
        for at, count in enumerate(self.writes):
            if count != 1:
                raise Wrong(f"with {self.what}, y[{at}] was written {count} times instead of once")
        wrong = np.flatnonzero(self.results != 2 * self.numbers)
        if wrong.size:
            at = wrong[0]
            raise Wrong(
                f"with {self.what}, y[{at}] is {self.results[at]:.5g} where x[{at}] is "
                f"{self.numbers[at]:.5g}: expected twice that"
            )

    def check_shares(self, most: int) -> None:
        for (block, thread), reads in self.reads.items():
            if len(reads) > most:
                raise Wrong(
                    f"with {self.what}, thread {thread} of block {block} handled {len(reads)} "
                    f"numbers: shared among all threads, it is {most} at most"
                )

    def check_reads(self) -> None:
        warps: dict[tuple[int, int], list[list[int]]] = {}
        for (block, thread), reads in self.reads.items():
            warps.setdefault((block, thread // _WARP), []).append(reads)
        for (block, warp), lanes in warps.items():
            for turn in range(max(map(len, lanes))):
                places = sorted(reads[turn] for reads in lanes if turn < len(reads))
                if places != list(range(places[0], places[0] + len(places))):
                    raise Wrong(
                        f"with {self.what}, the reads number {turn + 1} of warp {warp} in block "
                        f"{block} are not side by side: they begin with x at {places[:4]}"
                    )


class _Watched:
    """What a kernel sees of an array of `_Memory`."""

    def __init__(self, name: str, memory: _Memory) -> None:
        self.name, self.memory = name, memory

    def __len__(self) -> int:
        return len(self.memory.numbers)

    def __getitem__(self, index: Any) -> float:
        if self.name == "y":
            raise Wrong(f"with {self.memory.what}, y was read before anything was written to it")
        return self.memory.read(index)

    def __setitem__(self, index: Any, value: float) -> None:
        if self.name == "x":
            raise Wrong(f"with {self.memory.what}, x was written to")
        self.memory.write(index, value)


@exercise("8.2", function="prefix_sum", difficulty=3)
def prefix_sum(answer: Answer) -> None:
    """Barriers, in the right places."""
    rng = np.random.default_rng()
    for size in (1, 2, 8, int(rng.integers(3, 8)), int(rng.integers(9, 32)), 33):
        x = rng.standard_normal(size)
        for order in ("in order", "last one first", "in a random order"):
            what = f"{size} threads that run {order}"
            numbers = np.arange(size)
            if order == "last one first":
                numbers = numbers[::-1]
            elif order == "in a random order":
                numbers = rng.permutation(size)
            y, barriers, reads = _run_block(answer, x, numbers, what)
            wrong = np.flatnonzero(~np.isclose(y, np.cumsum(x), rtol=1e-9, atol=1e-9))
            if wrong.size:
                at = wrong[0]
                about = ""
                if np.isnan(y[at]):
                    about = ": something was read that nobody had written yet"
                elif barriers < 2 * np.floor(np.log2(size)):
                    about = ": without a barrier after reading, a sum may be overwritten before"
                raise Wrong(
                    f"with {what}, y[{at}] is {y[at]:.5g} instead of {np.cumsum(x)[at]:.5g}{about}"
                )
            most = 2 * int(np.ceil(np.log2(size))) + 2
            if barriers > most:
                raise Wrong(f"with {what}, there were {barriers} barriers; {most} are enough")
            if reads > most:
                raise Wrong(
                    f"with {what}, one of them read {reads} numbers of the others, of which {most} "
                    f"are enough: in each step add a sum that another thread has made"
                )


def _run_block(answer: Answer, x: Array, numbers: Array, what: str) -> tuple[Array, int, int]:
    """Run all threads from barrier to barrier.

    Returns y, the number of barriers and the most numbers of others that a thread read.
    """
    arrays = {name: _Own(name, values, what) for name, values in _fresh(x).items()}
    running = {int(number): answer(int(number), *arrays.values()) for number in numbers}
    for number, thread in running.items():
        if not inspect.isgenerator(thread):
            raise Wrong(f"with {what}, thread {number} is not a generator: yield at each barrier")
    barriers = 0
    while True:
        waiting = {}
        for number, thread in running.items():
            for array in arrays.values():
                array.thread = number
            if next(thread, "done") != "done":
                waiting[number] = thread
        if not waiting:
            return arrays["y"].values, barriers, int(arrays["shared"].reads.max())
        if len(waiting) < len(running):
            raise Wrong(
                f"with {what}, {len(waiting)} threads wait at barrier {barriers + 1} and "
                f"{len(running) - len(waiting)} never come to it"
            )
        barriers += 1
        if barriers > 10 * len(x) + 10:
            raise Wrong(f"with {what}, the threads were not done after {barriers} barriers")
        running = waiting


def _fresh(x: Array) -> dict[str, Array]:
    return {"x": x, "shared": np.full_like(x, np.nan), "y": np.full_like(x, np.nan)}


class _Own:
    """An array of which each thread may use only its own element, except to read ``shared``."""

    def __init__(self, name: str, values: Array, what: str) -> None:
        self.name, self.values, self.what = name, values.copy(), what
        self.reads = np.zeros(len(values), int)  # of numbers of others, by thread
        self.thread = 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> float:
        if self.name == "x" and index != self.thread:
            raise Wrong(f"with {self.what}, thread {self.thread} read x[{index}]")
        if not (isinstance(index, int | np.integer) and 0 <= index < len(self.values)):
            raise Wrong(f"with {self.what}, thread {self.thread} read {self.name}[{index}]")
        self.reads[self.thread] += index != self.thread
        return float(self.values[index])

    def __setitem__(self, index: Any, value: float) -> None:
        if self.name == "x" or index != self.thread:
            raise Wrong(f"with {self.what}, thread {self.thread} wrote to {self.name}[{index}]")
        self.values[index] = value


@exercise("8.3", function="product_in_three", difficulty=2)
def product_in_three(answer: Answer) -> None:
    """Float32 accuracy from a tensor core that multiplies TF32."""
    rng = np.random.default_rng()
    for scale in (1.0, 1e-3, 1e4):
        m, k, n = (int(size) for size in rng.integers(9, 40, 3))
        a = (scale * rng.standard_normal((m, k))).astype(np.float32)
        b = rng.standard_normal((k, n)).astype(np.float32)
        core = _TensorCore(f"a {a.shape} of numbers around {scale:g} and b {b.shape}")
        c = np.asarray(answer(a.copy(), b.copy(), core))
        if core.calls == 0:
            raise Wrong(f"with {core.what}, multiply was never called: it does all products")
        if c.shape != (m, n) or c.dtype != np.float32:
            raise Wrong(f"with {core.what}, the result is {c.dtype} {c.shape}, not float32 {m, n}")
        # What is left out is at most 3 * 2**-22 of each product, and the sums are short.
        exact = a.astype(np.float64) @ b
        error = np.abs(c - exact) / (np.abs(a).astype(np.float64) @ np.abs(b))
        if not error.max() < 2.0**-19:
            about = "nothing makes up for what rounding a or b loses"
            if error.max() > 0.1:
                about = "this is another product"
            raise Wrong(
                f"with {core.what}, the largest error is {error.max():.1e} of the summed products' "
                f"sizes; with three products it is below {2.0**-19:.1e}: {about}"
            )


class _TensorCore:
    """Multiplies matrices of TF32 numbers, three times at most."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.calls = 0

    def __call__(self, a: Array, b: Array) -> Array:
        self.calls += 1
        if self.calls > 3:
            raise Wrong(f"with {self.what}, multiply was called more than three times")
        for name, matrix in (("first", a), ("second", b)):
            if not isinstance(matrix, np.ndarray) or matrix.dtype != np.float32:
                raise Wrong(f"with {self.what}, the {name} matrix given to multiply is not float32")
            last_bits = np.ascontiguousarray(matrix).view(np.uint32) & np.uint32(0x1FFF)
            if last_bits.any():
                row, column = np.argwhere(last_bits)[0]
                raise Wrong(
                    f"with {self.what}, the {name} matrix given to multiply holds "
                    f"{matrix[row, column]:.9g} at [{row}, {column}], which is not a TF32 number"
                )
        product: Array = (a.astype(np.float64) @ b).astype(np.float32)
        return product
