"""Checks of chapter 9, How fast can NumPy go? They count and compare; none uses a clock."""

import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minispiral.exercises import Wrong, exercise
from minispiral.exercises.arrays import kind_of
from minispiral.kernels import reference

Array = NDArray[Any]
Answer = Callable[..., Any]

_ROW = 4096  # numbers in a long row
_PATIENCE = 5.0  # seconds before threads that wait for each other are given up
_MOMENT = 0.1  # seconds within which tasks that run at the same time would meet


@exercise("9.1", function="scale_shift_relu", difficulty=2)
def scale_shift_relu(answer: Answer) -> None:
    """Scale, shift and ReLU in three passes along long rows."""
    rng = np.random.default_rng()
    for c in rng.permutation([1, 8, 64, 512]):
        m = _ROW // int(c) * int(rng.integers(12, 20))
        x = rng.standard_normal((m, c), np.float32)
        scale, shift = rng.standard_normal((2, c), np.float32)
        what = f"x {x.shape}, scale {scale.shape} and shift {shift.shape}"
        expected = np.maximum(np.float64(1) * scale * x + shift, 0)

        y, peak = _with_peak_memory(answer, x.copy(), scale, shift, what=what)
        if not np.allclose(y, expected, rtol=1e-4, atol=1e-4):
            raise Wrong(
                f"with {what}, {_first_difference('x', y, expected)}"
                f"{_about_scale_shift(x, scale, shift, y)}"
            )
        if peak >= x.nbytes:
            raise Wrong(
                f"with {what}, {peak} bytes of new memory were in use at once, and x itself has "
                f"{x.nbytes}: write into x by the argument out="
            )
        _check_operations(answer, x, scale, shift, what)


def _about_scale_shift(x: Array, scale: Array, shift: Array, y: Array) -> str:
    """What may have gone wrong, if y tells."""
    if np.array_equal(y, x):
        return ": it has not changed, as when a copy is changed or the name given to a new array"
    c, wide = len(scale), np.float64(1) * x
    rows = x.size // c // (_ROW // c), _ROW  # as which one may view x
    stretched = [np.repeat(vector, _ROW // c) for vector in (scale, shift)]
    known = {
        ": the ReLU is missing": scale * wide + shift,
        ": the ReLU comes last": np.maximum(scale * wide, 0) + shift,
        ": the ReLU comes last, not first": scale * np.maximum(wide, 0) + shift,
        ": the shift is missing": np.maximum(scale * wide, 0),
        ": the scale is missing": np.maximum(wide + shift, 0),
        ": the shift is added before x is scaled": np.maximum(scale * (wide + shift), 0),
        ": scale and shift are exchanged": np.maximum(shift * wide + scale, 0),
        ": what is negative becomes 0, not positive": np.abs(scale * wide + shift),
        ": that is the smaller of the number and 0": np.minimum(scale * wide + shift, 0),
        ": a row holds channels 0, 1, 2, ... again and again, so tile the vectors": np.maximum(
            stretched[0] * wide.reshape(rows) + stretched[1], 0
        ).reshape(x.shape),
    }
    for about, other in known.items():
        if np.allclose(y, other, rtol=1e-4, atol=1e-4):
            return about
    wrong = ~np.isclose(y, np.maximum(scale * wide + shift, 0), rtol=1e-4, atol=1e-4)
    return ": this part of x has not changed" if np.array_equal(y[wrong], x[wrong]) else ""


def _with_peak_memory(
    answer: Answer, x: Array, scale: Array, shift: Array, what: str
) -> tuple[Array, int]:
    """x after the answer has changed it, and the peak of new memory in bytes."""
    traced = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = answer(x, scale, shift)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()
    if result is not None:
        raise Wrong(f"with {what}, something was returned: change x in place and return nothing")
    return x, peak


def _check_operations(answer: Answer, x: Array, scale: Array, shift: Array, what: str) -> None:
    recorded = x.copy().view(_Recorded)
    _Recorded.shapes.clear()
    answer(recorded, scale, shift)
    handled = sum(int(np.prod(shape)) for shape in _Recorded.shapes)
    if handled > 3 * x.size + 8 * _ROW:
        raise Wrong(
            f"with {what}, the operations handled {handled / x.size:.1f} times as many numbers as "
            "x has: at most 3 times are allowed"
        )
    for shape in _Recorded.shapes:
        if shape[-1:] < (_ROW,):
            raise Wrong(
                f"with {what}, an operation ran along rows of {shape[-1]}, on an array {shape}: "
                f"view x as rows of {_ROW} and tile the vectors"
            )


class _Recorded(np.ndarray[Any, Any]):
    """An array that records the shapes of all operations it takes part in.

    To write where a mask says so is one, too.
    """

    shapes: list[tuple[int, ...]] = []  # noqa: RUF012 - one list for all views of an array

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        if out is not None:
            options["out"] = tuple(_plain(array) for array in out)
        result = getattr(ufunc, method)(*map(_plain, inputs), **options)
        self.shapes.append(np.broadcast_shapes(*(np.shape(array) for array in inputs)))
        if out is not None:
            return out[0]
        return result.view(_Recorded) if isinstance(result, np.ndarray) else result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func in (np.copyto, np.place, np.putmask):
            self.shapes.append(args[0].shape)
        return super().__array_function__(func, types, args, kwargs)

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, np.ndarray) and index.dtype == bool:
            self.shapes.append(index.shape)
        super().__setitem__(index, value)


def _plain(array: Any) -> Any:
    return array.view(np.ndarray) if isinstance(array, _Recorded) else array


@exercise("9.2", function="conv2d_in_tiles", difficulty=2)
def conv2d_in_tiles(answer: Answer) -> None:
    """A convolution in tiles of a given size."""
    rng = np.random.default_rng()
    for stride in (2, 1, 3):
        least = 2 if stride == 2 else 1  # a single channel or tap forgives much
        n, ci, co = (int(size) for size in rng.integers(least, 5, 3))
        kh, kw = (int(size) for size in rng.integers(least, 4, 2))
        oh, ow = (int(size) for size in rng.integers(5, 10, 2))
        h, v = stride * (oh - 1) + kh, stride * (ow - 1) + kw
        x = rng.standard_normal((n, h, v, ci), np.float32)
        w = rng.standard_normal((kh, kw, ci, co), np.float32)
        a_row = ow * kh * kw * ci
        uneven = int(rng.integers(oh // 2 + 1, oh))  # so that a smaller tile is left
        for rows in (1, int(rng.integers(2, oh)), uneven, oh + 2):
            most = rows * a_row + int(rng.integers(0, a_row))
            what = f"x {x.shape}, w {w.shape}, stride {stride} and most {most}"
            _check_tiles(answer, x, w, stride, most, min(rows, oh), what)


def _check_tiles(
    answer: Answer, x: Array, w: Array, stride: int, most: int, r: int, what: str
) -> None:
    weights = w.reshape(-1, w.shape[-1])
    sizes: list[int] = []  # pixels of each call

    def multiply(rows: Array, given: Array) -> Array:
        if np.shape(given) != weights.shape or not np.array_equal(given, weights):
            raise Wrong(
                f"with {what}, multiply was given weights {np.shape(given)} that are not "
                f"w.reshape{weights.shape}"
            )
        if np.ndim(rows) != 2 or np.shape(rows)[1] != len(weights):
            raise Wrong(
                f"with {what}, multiply was given rows {np.shape(rows)} instead of "
                f"(pixels, {len(weights)})"
            )
        sizes.append(len(rows))
        product: Array = np.asarray(rows) @ weights
        return product

    y = np.asarray(answer(x.copy(), w.copy(), stride, most, multiply))
    expected = reference.conv2d(x, w, stride)
    assert isinstance(expected, np.ndarray)
    if y.shape != expected.shape or y.dtype != np.float32:
        raise Wrong(
            f"with {what}, the result is {y.dtype} {y.shape}, expected float32 {expected.shape}"
        )
    n, oh, ow, _ = y.shape
    if not np.allclose(y, expected, rtol=1e-4, atol=1e-4):
        about = _about_windows(x, w, stride, r, y)
        if not about and sum(sizes) < n * oh * ow:
            about = f": multiply was given {sum(sizes)} of {n * oh * ow} windows"
        raise Wrong(f"with {what}, {_first_difference('y', y, expected)}{about}")
    if max(sizes, default=0) * len(weights) > most:
        raise Wrong(
            f"with {what}, multiply was given {max(sizes) * len(weights)} numbers as rows at once"
        )
    expected_sizes = n * [min(r, oh - i) * ow for i in range(0, oh, r)]
    if sorted(sizes) != sorted(expected_sizes):
        raise Wrong(f"with {what}, multiply was {_about_tiles(sizes, expected_sizes, r, ow)}")


def _about_tiles(sizes: list[int], expected: list[int], r: int, ow: int) -> str:
    """What is wrong with tiles of so many pixels."""
    incomplete = [pixels for pixels in sizes if pixels % ow]
    if incomplete:
        return (
            f"given a tile of {incomplete[0]} pixels: a tile consists of complete rows, which have "
            f"{ow} here"
        )
    if sum(sizes) > sum(expected):
        return (
            f"given {sum(sizes)} windows, and there are {sum(expected)}: the last tile of an image "
            "has only the rows that are left"
        )
    about = "no tile holds rows of two images"
    if 0 in sizes:
        about = f"{sizes.count(0)} of the tiles were empty"
    elif not 0 < len(sizes) <= len(expected):
        about = f"a tile has r = {r} rows, and only the last of an image may have fewer"
    if len(sizes) != len(expected):
        return f"called {len(sizes)} times instead of {len(expected)}: {about}"
    return f"given {max(sizes) // ow} rows at once, with r = {r}: {about}"


def _about_windows(x: Array, w: Array, stride: int, r: int, y: Array) -> str:
    """What may be wrong with the rows that multiply was given, if y tells."""
    kh, kw, ci, co = w.shape
    _, oh, ow, _ = y.shape
    begins = [i - i % r + i % r * stride for i in range(oh)]  # row i, if a tile begins at row i
    steps = reference.conv2d(x, w, 1)
    assert isinstance(steps, np.ndarray)
    known = {
        ": the numbers of a window are in the order (kh, kw, ci), as the weights are": (
            reference.conv2d(x, w.reshape(ci, kh, kw, co).transpose(1, 2, 0, 3), stride)
        ),
        ": the windows are turned": reference.conv2d(x, w[::-1, ::-1], stride),
        f": row {r} of the output begins at row {r * stride} of the image": (
            steps[:, begins, ::stride][:, :, :ow]
        ),
    }
    return next((about for about, other in known.items() if np.allclose(y, other, 1e-4, 1e-4)), "")


@exercise("9.3", function="run_in_order", difficulty=3)
def run_in_order(answer: Answer) -> None:
    """Tasks for several threads, results in order."""
    rng = np.random.default_rng()
    many = [[int(k)] for k in rng.permutation(40) % 20]  # each twice, unsorted, not to be hashed
    for tasks, threads in (([], 2), ([[3]], 4), (many[:7], 1), (many, 3)):
        what = f"{len(tasks)} tasks and {threads} threads"
        seen: list[Any] = []

        def work(task: Any, seen: list[Any] = seen) -> tuple[str, Any]:
            seen.append(task)
            return "done", task

        result = _returned(answer, work, tasks, threads, what)
        if not isinstance(result, list):
            raise Wrong(f"with {what}, {kind_of(result)} was returned, expected a list")
        if len(result) != len(tasks):
            raise Wrong(f"with {what}, {len(result)} results were returned")
        expected = [("done", task) for task in tasks]
        if sorted(map(repr, result)) == sorted(map(repr, expected)) and result != expected:
            raise Wrong(f"with {what}, the results are in another order than the tasks")
        for k, (one, other) in enumerate(zip(result, expected, strict=True)):
            if one != other:
                raise Wrong(f"with {what}, result {k} is {one!r:.60} instead of {other!r}")
        if sorted(map(repr, seen)) != sorted(map(repr, tasks)):
            raise Wrong(f"with {what}, work was not called exactly once for each task")
    for threads in (1, 2, 3):
        _check_most(answer, threads)
    for threads in (2, 3):
        _check_together(answer, threads)
        _check_order(answer, threads)
        _check_next(answer, threads)
    _check_raises(answer)


def _check_most(answer: Answer, threads: int) -> None:
    what = f"{threads + 1} tasks and {threads} threads"
    barrier = threading.Barrier(threads + 1)
    met: list[bool] = []  # for each task that has ended, whether it met all others

    def work(task: int) -> None:
        met.append(_meets(barrier, _MOMENT))

    _returned(answer, work, list(range(threads + 1)), threads, what)
    if len(met) <= threads:
        raise Wrong(f"with {what}, run_in_order returned before all tasks had ended")
    if any(met):
        raise Wrong(f"with {what}, all tasks ran at the same time")


def _meets(barrier: threading.Barrier, seconds: float) -> bool:
    """Whether all for whom the barrier is made wait at it within so many seconds."""
    try:
        barrier.wait(seconds)
    except threading.BrokenBarrierError:
        return False
    return True


def _check_together(answer: Answer, threads: int) -> None:
    what = f"{threads} tasks, each of which waits until all have begun, and {threads} threads"
    barrier = threading.Barrier(threads)
    met: list[bool] = []

    def work(task: int) -> None:
        met.append(_meets(barrier, _PATIENCE))

    _returned(answer, work, list(range(threads)), threads, what)
    if not all(met):
        raise Wrong(f"with {what}, they never ran at the same time")


def _check_order(answer: Answer, threads: int) -> None:
    """The first task is the last to finish."""
    what = f"{threads} tasks, of which the first is done last, and {threads} threads"
    done = [threading.Event() for _ in range(threads + 1)]
    done[-1].set()

    def work(task: int) -> int:
        done[task + 1].wait(_PATIENCE)
        done[task].set()
        return 10 * task

    result = _returned(answer, work, list(range(threads)), threads, what)
    expected = [10 * task for task in range(threads)]
    if result != expected:
        raise Wrong(f"with {what}, the results are {result} instead of {expected}")


def _check_next(answer: Answer, threads: int) -> None:
    """The first task waits until the other threads have done all others."""
    count = 4 * threads
    what = f"{count} tasks, of which the first takes as long as all others, and {threads} threads"
    others = threading.Semaphore(0)

    def work(task: int) -> bool:
        if task > 0:
            others.release()
            return True
        return all(others.acquire(timeout=_PATIENCE) for _ in range(count - 1))

    if _returned(answer, work, list(range(count)), threads, what)[0] is not True:
        raise Wrong(f"with {what}, tasks that nobody had taken waited for the first one to end")


def _check_raises(answer: Answer) -> None:
    what = "9 tasks, of which the fifth raises a ZeroDivisionError, and 2 threads"

    def work(task: int) -> float:
        return 1 / (task - 4)

    try:
        _returned(answer, work, list(range(9)), 2, what)
    except ZeroDivisionError:
        return
    except Wrong:
        raise
    except Exception as error:
        raise Wrong(f"with {what}, run_in_order raised {type(error).__name__}") from error
    raise Wrong(f"with {what}, run_in_order did not raise it")


def _returned(answer: Answer, work: Answer, tasks: list[Any], threads: int, what: str) -> Any:
    """What the answer returns or raises; `Wrong` if it never returns."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(answer(work, list(tasks), threads))
        except BaseException as error:
            errors.append(error)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    caller.join(4 * _PATIENCE)
    if errors:
        raise errors[0]
    if not results:
        raise Wrong(f"with {what}, run_in_order did not return")
    return results[0]


def _first_difference(name: str, values: Array, expected: Array) -> str:
    wrong = ~np.isclose(values, expected, rtol=1e-4, atol=1e-4)
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = ", ".join(map(str, at))
    return f"{name}[{place}] is {values[at]:.5g} instead of {expected[at]:.5g}"
