"""Threads, the user's BLAS setting and recycled memory: ``minispiral.kernels.cpu.parallel``."""

import gc
import os
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest
import threadpoolctl

from minispiral.kernels.conv2d import conv2d
from minispiral.kernels.cpu import parallel

LARGE = (257, 1031)  # a shape whose memory is recycled


@pytest.fixture(autouse=True)
def _default_threads():
    yield
    parallel.set_threads(None)


def blas_threads():
    """Threads of the BLAS libraries in the process, SciPy's own left out: no kernel calls it."""
    pools = (pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
    return [pool["num_threads"] for pool in pools if "scipy.libs" not in pool["filepath"]]


def in_fresh_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_threads_are_as_set_and_the_default_comes_back():
    default = parallel.threads()
    assert default >= 1
    for count in (1, 2, 7):
        parallel.set_threads(count)
        assert parallel.threads() == count
    parallel.set_threads(None)
    assert parallel.threads() == default


@pytest.mark.parametrize("count", [0, -3])
def test_fewer_threads_than_one_are_refused(count):
    before = parallel.threads()
    with pytest.raises(ValueError, match=str(count)):
        parallel.set_threads(count)
    assert parallel.threads() == before


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_tasks_run_at_a_time_as_threads_are_set(count):
    parallel.set_threads(count)
    meeting = threading.Barrier(count)
    arrived = parallel.run(lambda _: meeting.wait(timeout=20), range(count))
    assert sorted(arrived) == list(range(count))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(count):
    parallel.set_threads(count)

    def slow_at_first(task):
        time.sleep(0.01 if task < 2 else 0)
        return task

    assert parallel.run(slow_at_first, range(9)) == list(range(9))
    assert parallel.run(slow_at_first, iter([5])) == [5]
    assert parallel.run(slow_at_first, []) == []


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_error_in_a_task_reaches_the_caller(count):
    parallel.set_threads(count)
    before = blas_threads()

    def fails_at_three(task):
        if task == 3:
            raise LookupError("task three")
        return task

    for tasks in (range(8), [3]):
        with pytest.raises(LookupError, match="task three"):
            parallel.run(fails_at_three, tasks)
    assert blas_threads() == before
    assert parallel.run(fails_at_three, range(3)) == [0, 1, 2]


@pytest.mark.parametrize("count", [2, 3])
def test_work_beside_goes_on_while_the_caller_does(count):
    parallel.set_threads(count)
    meeting = threading.Barrier(2)
    promise = parallel.submit(lambda: (meeting.wait(timeout=20), threading.get_ident()))
    meeting.wait(timeout=20)
    _, helper = promise.result(20)
    assert helper != threading.get_ident()


def test_one_thread_does_at_once_what_others_do_beside():
    parallel.set_threads(1)
    promise = parallel.submit(threading.get_ident)
    assert promise.done()
    assert promise.result() == threading.get_ident()


@pytest.mark.parametrize("count", [2, 5])
def test_the_caller_does_what_would_be_too_much_beside(count):
    """Each call under way holds on to its arrays."""
    parallel.set_threads(count)
    go_on = threading.Event()
    held = [parallel.submit(lambda: go_on.wait(20)) for _ in range(2)]
    assert parallel.submit(threading.get_ident).result(20) == threading.get_ident()
    go_on.set()
    assert [promise.result(20) for promise in held] == [True, True]
    later = parallel.submit(threading.get_ident)
    assert later.result(20) != threading.get_ident()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_kernels_run_beside_one_another(rng, count):
    parallel.set_threads(count)
    xs = [rng.standard_normal((2, 63, 65, 16)) for _ in range(5)]
    w = rng.standard_normal((3, 3, 16, 8))
    before = blas_threads()
    promises = [parallel.submit(lambda x=x: conv2d(x, w, 2)) for x in xs]
    here = [conv2d(x, w, 2) for x in xs]
    for promise, expected in zip(promises, here, strict=True):
        np.testing.assert_array_equal(promise.result(60), expected)
    assert blas_threads() == before


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_beside_comes_with_the_result_and_leaves_room_for_more(count):
    parallel.set_threads(count)
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            parallel.submit(lambda: 1 // 0).result(20)
    assert parallel.submit(lambda: 5).result(20) == 5


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("users", [1, 2, 3])
def test_blas_has_one_thread_inside_and_the_users_number_afterwards(rng, count, users):
    parallel.set_threads(count)
    if not blas_threads():
        pytest.skip("NumPy has no BLAS that threadpoolctl knows")
    with threadpoolctl.threadpool_limits(users, user_api="blas"):
        before = blas_threads()
        inside = parallel.run(lambda _: blas_threads(), range(3))
        assert all(n == 1 for pools in inside for n in pools)
        assert blas_threads() == before
        x = rng.standard_normal((2, 63, 63, 8))
        conv2d(x, rng.standard_normal((3, 3, 8, 8)))
        assert blas_threads() == before
        with pytest.raises(ValueError, match="3"):
            conv2d(x, rng.standard_normal((3, 3, 9, 8)))
        assert blas_threads() == before


@pytest.mark.parametrize("main_thread_comes", ["first", "second"])
def test_blas_is_the_users_again_after_calls_that_overlap(main_thread_comes):
    """The first of two callers to come in is the first to leave."""
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    inside = []

    def first():
        def work(_):
            first_is_in.set()
            second_is_in.wait(20)

        parallel.run(work, [0])
        first_is_out.set()

    def second():
        def work(_):
            second_is_in.set()
            first_is_out.wait(20)
            inside.extend(blas_threads())

        first_is_in.wait(20)
        parallel.run(work, [0])

    here, elsewhere = (first, second) if main_thread_comes == "first" else (second, first)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        other = threading.Thread(target=elsewhere)
        other.start()
        here()
        other.join(30)
        after = blas_threads()
    assert first_is_out.is_set()
    assert set(inside) <= {1}
    assert after == before


def test_blas_has_one_thread_inside_calls_from_another_thread():
    """As from a server that answers each request in a thread of its own."""
    inside = []
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        caller = threading.Thread(
            target=lambda: inside.extend(parallel.run(lambda _: blas_threads(), range(2)))
        )
        caller.start()
        caller.join(30)
        after = blas_threads()
    assert all(n == 1 for pools in inside for n in pools)
    assert after == before


def test_kernels_called_from_several_threads_at_once_agree(rng):
    x = rng.standard_normal((2, 95, 97, 16)).astype(np.float32)
    w = rng.standard_normal((3, 3, 16, 8)).astype(np.float32)
    expected = conv2d(x, w, 2)
    results = []

    def call():
        results.extend(conv2d(x, w, 2) for _ in range(10))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert len(results) == 40
    assert all(np.array_equal(y, expected) for y in results)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, bool])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (3, 5), LARGE, (2, 131, 127, 3)], ids=str)
def test_empty_is_an_ordinary_array(shape, dtype):
    array = parallel.empty(shape, dtype)
    assert type(array) is np.ndarray
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned
    array[...] = 1
    assert (array == 1).all()


def test_memory_is_lent_again_when_the_array_is_gone():
    parallel.trim()
    array = parallel.empty(LARGE, np.float32)
    place = array.ctypes.data
    del array
    assert parallel.empty(LARGE, np.float32).ctypes.data == place
    assert parallel.empty(LARGE[::-1], np.int32).ctypes.data == place
    smaller = parallel.empty((255, 1031), np.float32)
    assert smaller.ctypes.data == place


VIEWS = {
    "itself": lambda a: a,
    "one value": lambda a: a[3, 5:6],
    "transposed and reversed": lambda a: a.T[::-1],
    "view of a view": lambda a: a[1:].reshape(-1)[5:].view(np.uint8),
    "stretched": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "memoryview": memoryview,
    "frombuffer": lambda a: np.frombuffer(a, np.uint8),
    "as strided": lambda a: np.lib.stride_tricks.as_strided(a, (2, 2)),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_memory_is_not_lent_again_while_a_view_is_left(view):
    parallel.trim()
    array = parallel.empty(LARGE, np.float32)
    array[...] = 7
    place = array.ctypes.data
    left = view(array)
    before = np.array(left)
    del array
    others = [parallel.empty(LARGE, np.float32) for _ in range(3)]
    for other in others:
        other[...] = 8
    assert place not in [other.ctypes.data for other in others]
    assert np.array_equal(np.array(left), before)
    del left, other, others
    assert place in [a.ctypes.data for a in [parallel.empty(LARGE, np.float32) for _ in range(4)]]


def test_arrays_alive_at_once_never_overlap(rng):
    """Random sizes come and go; what was written into an array stays."""
    alive = []
    for _ in range(300):
        size = int(rng.integers(20_000, 60_000))
        array = parallel.empty((size,), np.float32)
        value = float(rng.random())
        array[...] = np.float32(value)
        alive.append((array, np.float32(value)))
        if len(alive) > 12:
            del alive[rng.integers(len(alive))]
        assert all((array == value).all() for array, value in alive)


def test_arrays_of_several_threads_never_overlap():
    failures = []

    def come_and_go(value):
        rng = np.random.default_rng(value)
        for _ in range(200):
            array = parallel.empty((int(rng.integers(20_000, 60_000)),), np.float32)
            array[...] = value
            time.sleep(0)
            if not (array == value).all():
                failures.append(value)

    callers = [threading.Thread(target=come_and_go, args=(value,)) for value in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert not failures


def test_memory_freed_by_the_garbage_collector_in_the_middle_of_a_loan():
    """Arrays in reference cycles go whenever the collector runs, even while one is being lent."""
    sizes = [70_000, 75_000, 80_000, 85_000, 90_000, 95_000, 100_000]
    alive = []
    thresholds = gc.get_threshold()
    parallel.trim()
    try:
        for i in range(4000):
            gc.set_threshold(1 + i // 100)  # the collector comes at ever other places
            array = parallel.empty((sizes[i * 5 % 7],), np.uint8)
            for other in alive:
                assert not np.may_share_memory(array, other)
            cycle = [array]
            cycle.append(cycle)
            alive = [*alive[-5:], array] if i % 3 else []
    finally:
        gc.set_threshold(*thresholds)


def test_trim_gives_idle_memory_back_and_leaves_the_rest():
    kept = parallel.empty(LARGE, np.float32)
    kept[...] = 5
    parallel.empty(LARGE, np.float32)
    parallel.trim()
    parallel.trim()
    assert (kept == 5).all()
    fresh = parallel.empty(LARGE, np.float32)
    assert not np.shares_memory(fresh, kept)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's /proc")
def test_repeated_work_holds_no_more_memory_and_trim_frees_it():
    """Ten rounds of 64 MiB: memory of one round, and after trim of none."""
    result = in_fresh_python(
        """
        import os
        import numpy as np
        from minispiral.kernels.cpu import parallel

        def resident():
            with open("/proc/self/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

        before = resident()
        for _ in range(10):
            parallel.empty((64 << 20,), np.uint8)[...] = 1
        held = resident() - before
        parallel.trim()
        print(held >> 20, (resident() - before) >> 20)
        """
    )
    held, left = map(int, result.stdout.split())
    assert 60 < held < 80
    assert left < 16


def test_scratch_is_the_threads_own_and_fits_any_request():
    parallel.set_threads(2)
    meeting = threading.Barrier(2)

    def fill(value):
        buffer = parallel.scratch((33, 7), np.float32)
        buffer[...] = value
        meeting.wait(20)
        return (buffer == value).all()

    assert all(parallel.run(fill, [1, 2]))
    small, other = parallel.scratch((5,), np.float64), parallel.scratch((5,), np.float64, "other")
    assert not np.shares_memory(small, other)
    assert parallel.scratch((100_003,), np.float64).shape == (100_003,)


def test_importing_starts_no_thread_and_leaves_blas_alone():
    result = in_fresh_python(
        """
        import threading
        import numpy, threadpoolctl
        before = threadpoolctl.threadpool_info()
        from minispiral.kernels import adam, batchnorm, conv2d, losses, pooling
        from minispiral.kernels.cpu import parallel
        assert threading.active_count() == 1, threading.enumerate()
        assert threadpoolctl.threadpool_info() == before
        """
    )
    assert result.returncode == 0, result.stderr


def test_python_ends_quietly_with_arrays_still_lent():
    result = in_fresh_python(
        """
        import numpy as np
        from minispiral.kernels.cpu import parallel
        from minispiral.kernels.conv2d import conv2d
        parallel.set_threads(2)
        kept = conv2d(np.ones((2, 63, 63, 8)), np.ones((3, 3, 8, 16)))
        cycle = [parallel.empty((400, 400), np.float32)]
        cycle.append(cycle)
        """
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_environment_sets_the_number_of_threads():
    result = in_fresh_python(
        "from minispiral.kernels.cpu import parallel; print(parallel.threads())",
        MINISPIRAL_THREADS="3",
    )
    assert result.stdout.strip() == "3", result.stderr


def test_what_tasks_used_is_free_when_run_returns():
    parallel.set_threads(2)
    for _ in range(300):
        arrays = [np.ones(1000) for _ in range(4)]
        used = [weakref.ref(array) for array in arrays]
        results = parallel.run(lambda array: array + 1, arrays)
        used += [weakref.ref(array) for array in results]
        del arrays, results
        assert not any(reference() is not None for reference in used)


def test_a_loan_that_fails_leaves_no_error_behind(capfd, monkeypatch):
    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(parallel, "_aligned", full)
    shape = (1031, int(np.random.default_rng().integers(70_000, 90_000)))
    with pytest.raises(MemoryError):
        parallel.empty(shape, np.float32)
    gc.collect()
    assert capfd.readouterr().err == ""


def test_idle_memory_is_given_back_before_memory_is_said_to_be_full(monkeypatch):
    parallel.trim()
    lent = parallel.empty(LARGE, np.float32)
    before = parallel._shelf.clear
    cleared = []
    true_aligned = parallel._aligned

    def full_until_cleared(size):
        if not cleared:
            raise MemoryError
        return true_aligned(size)

    def clear():
        cleared.append(len(parallel._shelf.idle) + len(parallel._shelf.returned))
        before()

    del lent
    monkeypatch.setattr(parallel._shelf, "clear", clear)
    monkeypatch.setattr(parallel, "_aligned", full_until_cleared)
    assert parallel.empty((9, *LARGE), np.float32).shape == (9, *LARGE)
    assert cleared == [1]
