"""Threads and recycled memory on the CPU: the one place that knows of either.

**Threads.** A kernel cuts its work into tasks whose number and borders depend on the shapes alone,
and `run` shares them among a few threads. NumPy releases the interpreter lock in copies, arithmetic
and matrix products, so plain Python threads are enough. BLAS is held to one thread meanwhile.
Results come back in the order of the tasks, so a sum over them has the same bits for any number of
threads. Between two NumPy calls a thread takes the interpreter lock again and may have to wait for
it: tiles of about a megabyte make the calls long compared with that wait, and still stay in or near
a core's cache. What is not needed at once can be left to a helper thread with `submit`: a thread
that moves memory and one that multiplies slow each other down less than two that do the same.

**Memory.** A fresh large array is slow, since the system hands out its pages one page fault at a
time. `empty` therefore lends memory that goes back to a shelf when the last array that uses it is
gone, and is lent again. `scratch` is a buffer of the calling thread for one tile.
"""

import math
import os
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from threadpoolctl import ThreadpoolController

Array = NDArray[Any]
T = TypeVar("T")
R = TypeVar("R")

_TILE = 262_144  # elements of a tile in an elementwise pass
_ALIGNMENT = 64  # bytes, a cache line
_MOST_SUBMITTED = 2  # calls under way: each holds on to its arrays
_MIN_POOLED = 1 << 16  # bytes; below this the system's allocator is quick enough

_lock = threading.Lock()
_local = threading.local()
_pool: ThreadPoolExecutor | None = None
_threads: int | None = None
_submitted = 0  # calls that helpers run, or will run
_blas: list[Any] | None = None  # the BLAS libraries in this process
_callers = 0  # calls that currently hold BLAS to one thread
_blas_threads: list[int] = []  # what each had before


def threads() -> int:
    """The number of threads kernels use: as set, else ``MINISPIRAL_THREADS``, else all cores.

    The variable is ignored unless it is a positive integer.
    """
    if _threads is not None:
        return _threads
    wanted = os.environ.get("MINISPIRAL_THREADS", "")
    return (int(wanted) if wanted.isdecimal() else 0) or available_cores()


def set_threads(n: int | None) -> None:
    """Use ``n`` threads from now on; ``None`` goes back to the default. ValueError if n < 1."""
    global _threads, _pool
    if n is not None and n < 1:
        raise ValueError(f"the number of threads is at least 1, not {n}")
    with _lock:
        _threads = n
        old, _pool = _pool, None
    if old is not None:
        old.shutdown()  # outside the lock, which its last tasks may want


def run(work: Callable[[T], R], tasks: Iterable[T]) -> list[R]:
    """``[work(task) for task in tasks]``, shared among the threads, with BLAS single-threaded.

    The caller takes tasks too, so it seldom waits: a helper that wakes late finds less to do.
    """
    waiting = [partial(work, task) for task in tasks]
    results: list[Any] = [None] * len(waiting)
    numbers = iter(range(len(waiting)))  # each is handed out once, to whoever asks first

    def share() -> None:
        for i in numbers:
            results[i] = waiting[i]()

    with _single_threaded_blas():
        helpers = min(threads(), len(waiting)) - 1
        shares = [_executor().submit(share) for _ in range(helpers)]
        try:
            share()
        finally:
            started = [future for future in shares if not future.cancel()]
            wait(started)
    for future in started:
        future.result()  # raises what a task raised
    # A helper drops `share` a moment after its result is in; the arrays should not wait for that.
    found, results, waiting = results, [], []
    return found


def submit(work: Callable[[], R]) -> "Future[R]":
    """Have a helper thread do ``work()`` while the caller goes on.

    The caller does it itself, at once, if there is no helper or enough is submitted already.
    """
    global _submitted
    with _lock:
        alone = threads() == 1 or _submitted == _MOST_SUBMITTED
        _submitted += not alone
    if not alone:
        return _executor().submit(_counted, work)
    done: Future[R] = Future()
    done.set_result(work())
    return done


def _counted(work: Callable[[], R]) -> R:
    global _submitted
    try:
        return work()
    finally:
        with _lock:
            _submitted -= 1


def slices(size: int, step: int) -> list[slice]:
    """``range(size)`` in parts of ``step``; the last may be shorter."""
    return [slice(i, min(i + step, size)) for i in range(0, size, step)]


def even_slices(size: int, most: int) -> list[slice]:
    """``range(size)`` in an even number of nearly equal parts of at most ``most``.

    Two threads then get equal shares, and four nearly equal ones.
    """
    count = -(-size // most)
    return slices(size, -(-size // (count + count % 2)))


def row_tiles(rows: int, width: int = 1) -> list[slice]:
    """Tiles of ``rows`` rows of ``width`` elements for an elementwise pass.

    A tile is about a megabyte. An array that fits in one is not cut: waking a second thread for
    half of it takes as long as doing that half.
    """
    if rows * width <= _TILE:
        return [slice(0, rows)]
    return even_slices(rows, max(1, _TILE // width))


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> Array:
    """An uninitialised array in recycled memory, aligned to a cache line."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size < _MIN_POOLED:
        return np.empty(shape, dtype)
    return np.asarray(_Loan(_shelf.take(size), size)).view(dtype).reshape(shape)


def scratch(shape: tuple[int, ...], dtype: DTypeLike, name: str = "tile") -> Array:
    """This thread's uninitialised buffer of this name; valid until it is asked for again."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    buffers = _local.__dict__.setdefault("buffers", {})
    if name not in buffers or buffers[name].size < size:
        buffers[name] = _aligned(size)
    view: Array = buffers[name][:size].view(dtype).reshape(shape)
    return view


def trim() -> None:
    """Give idle memory back to the system."""
    _shelf.clear()


class _Loan:
    """Memory lent to arrays; NumPy keeps this object alive as their ``base``.

    The garbage collector may end a loan at any point, even during `_Shelf.take`, so the memory is
    returned to a queue, which takes no lock.
    """

    def __init__(self, memory: Array, size: int) -> None:
        self.memory = memory
        self.__array_interface__ = {**memory.__array_interface__, "shape": (size,)}

    def __del__(self) -> None:
        _shelf.returned.append(self.memory)


class _Shelf:
    """Idle memory, smallest first."""

    def __init__(self) -> None:
        self.returned: deque[Array] = deque()
        self.idle: list[tuple[int, int, Array]] = []  # size, id (breaks ties), memory

    def take(self, size: int) -> Array:
        with _lock:
            while self.returned:
                memory = self.returned.popleft()
                insort(self.idle, (memory.size, id(memory), memory))
            at = bisect_left(self.idle, (size, 0))
            # At most half is wasted: a much larger buffer is kept for arrays of its own size.
            if at < len(self.idle) and self.idle[at][0] <= 2 * size:
                return self.idle.pop(at)[2]
        try:
            return _aligned(size)
        except MemoryError:  # what lies idle may be what is missing
            self.clear()
            return _aligned(size)

    def clear(self) -> None:
        with _lock:
            self.returned.clear()
            self.idle.clear()


_shelf = _Shelf()


def _aligned(size: int) -> Array:
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size]


def available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            # The caller is a thread too: with more helpers there would be one too many.
            _pool = ThreadPoolExecutor(threads() - 1, thread_name_prefix="minispiral")
        return _pool


def _start_over_in_child() -> None:
    """After a fork the child has none of the parent's threads, nor what these held or counted."""
    global _lock, _pool, _submitted, _callers
    _lock, _pool, _submitted = threading.Lock(), None, 0
    _shelf.clear()
    if _callers:
        _callers = 0
        _set_blas_threads(_blas_threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        # So no thread is changing what the lock guards, BLAS's own number of threads included.
        before=lambda: _lock.acquire(),
        after_in_parent=lambda: _lock.release(),
        after_in_child=_start_over_in_child,
    )


@contextmanager
def _single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread; the last of several concurrent callers restores it."""
    global _blas, _callers, _blas_threads
    with _lock:
        if _callers == 0:
            if _blas is None:
                _blas = ThreadpoolController().select(user_api="blas").lib_controllers
            _blas_threads = [library.num_threads for library in _blas]
            _set_blas_threads([1] * len(_blas))
        _callers += 1
    try:
        yield
    finally:
        with _lock:
            _callers -= 1
            if _callers == 0:
                _set_blas_threads(_blas_threads)


def _set_blas_threads(counts: list[int]) -> None:
    for library, count in zip(_blas or [], counts, strict=True):
        # Newer versions of threadpoolctl let only one thread set limits. Here the callers keep
        # count themselves, and any of them may be the first or the last.
        set_threads = getattr(library, "_real_set_num_threads", library.set_num_threads)
        set_threads(count)
