"""Wrong answers to chapter 9; the docstring is what the check says of them."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tests.book.told import told


def wrong_9_1_a_new_array(x, scale, shift):
    """bytes of new memory were in use at once"""
    x[...] = np.maximum(scale * x + shift, 0)


def wrong_9_1_short_rows(x, scale, shift):
    """an operation ran along rows of"""
    np.multiply(x, scale, out=x)
    np.add(x, shift, out=x)
    np.maximum(x, 0, out=x)


def wrong_9_1_returned(x, scale, shift):
    """something was returned"""
    return np.maximum(scale * x + shift, 0)


def wrong_9_1_no_shift(x, scale, shift):
    """the shift is missing"""
    rows = x.reshape(-1, 4096)
    np.multiply(rows, np.tile(scale, 4096 // len(scale)), out=rows)
    np.maximum(rows, 0, out=rows)


def wrong_9_1_a_pass_too_many(x, scale, shift):
    """handled 4.0 times as many numbers"""
    rows = x.reshape(-1, 4096)
    np.multiply(rows, np.tile(scale, 4096 // len(scale)), out=rows)
    np.add(rows, np.tile(shift, 4096 // len(scale)), out=rows)
    np.multiply(rows, np.greater(rows, 0), out=rows)


def windows_of(x, w, stride):
    """The windows of an image ``(h, v, ci)`` as ``(oh, ow, kh * kw * ci)``."""
    view = sliding_window_view(x, w.shape[:2], (0, 1))[::stride, ::stride]
    return view.transpose(0, 1, 3, 4, 2).reshape(*view.shape[:2], -1)


def wrong_9_2_the_whole_batch_at_once(x, w, stride, most, multiply):
    """multiply was given .* numbers as rows at once"""
    windows = np.array([windows_of(image, w, stride) for image in x])
    weights = w.reshape(-1, w.shape[-1])
    return multiply(windows.reshape(-1, len(weights)), weights).reshape(*windows.shape[:3], -1)


def wrong_9_2_row_by_row(x, w, stride, most, multiply):
    """multiply was called .* times instead of"""
    weights = w.reshape(-1, w.shape[-1])
    return np.array(
        [[multiply(row, weights) for row in windows_of(image, w, stride)] for image in x]
    )


def wrong_9_2_weights_turned(x, w, stride, most, multiply):
    """multiply was given weights|multiply was given rows|instead of"""
    turned = w[::-1, ::-1].reshape(-1, w.shape[-1])
    return np.array([[multiply(r, turned) for r in windows_of(image, w, stride)] for image in x])


def wrong_9_3_one_after_the_other(work, tasks, threads):
    """they never ran at the same time"""
    return [work(task) for task in tasks]


def wrong_9_3_as_they_are_done(work, tasks, threads):
    """the results are .* instead of|the result is not the list"""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, task) for task in tasks]
        return [future.result() for future in as_completed(futures)]


def wrong_9_3_shared_out_beforehand(work, tasks, threads):
    """tasks that nobody had taken waited for the first one to end"""
    results = [None] * len(tasks)

    def share(first):
        for i in range(first, len(tasks), threads):
            results[i] = work(tasks[i])

    in_threads(share, threads)
    return results


def wrong_9_3_errors_swallowed(work, tasks, threads):
    """run_in_order did not raise it"""
    results = [None] * len(tasks)
    numbers = iter(range(len(tasks)))

    def share(_):
        for i in numbers:
            try:
                results[i] = work(tasks[i])
            except ZeroDivisionError:
                results[i] = None

    in_threads(share, threads)
    return results


def wrong_9_3_a_thread_for_each_task(work, tasks, threads):
    """all tasks ran at the same time"""
    with ThreadPoolExecutor(len(tasks) + 1) as pool:
        return list(pool.map(work, tasks))


def in_threads(share, threads):
    running = [threading.Thread(target=share, args=(k,)) for k in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def in_rows(x, *steps):
    """Run these steps, which get an array to work in, on rows of 4096."""
    rows = x.reshape(-1, 4096)
    for step in steps:
        step(rows)


def tiled(vector):
    return np.tile(vector, 4096 // len(vector))


wrong_9_1_relu_first = told(
    "the ReLU comes last",
    lambda x, a, b: in_rows(
        x,
        lambda r: np.multiply(r, tiled(a), out=r),
        lambda r: np.maximum(r, 0, out=r),
        lambda r: np.add(r, tiled(b), out=r),
    ),
)
wrong_9_1_no_relu = told(
    "the ReLU is missing",
    lambda x, a, b: in_rows(
        x,
        lambda r: np.multiply(r, tiled(a), out=r),
        lambda r: np.add(r, tiled(b), out=r),
    ),
)
wrong_9_1_repeated = told(
    "so tile the vectors",
    lambda x, a, b: in_rows(
        x,
        lambda r: np.multiply(r, np.repeat(a, 4096 // len(a)), out=r),
        lambda r: np.add(r, np.repeat(b, 4096 // len(b)), out=r),
        lambda r: np.maximum(r, 0, out=r),
    ),
)
wrong_9_1_nothing_done = told("it has not changed", lambda x, scale, shift: None)


def tiles(x, w, stride, most, multiply, kept=np.float32, step=lambda r: r):
    """An answer to 9.2 with this dtype and these rows of a tile."""
    found = []
    for image in x:
        windows = windows_of(image, w, stride)
        r = step(min(len(windows), most // windows[0].size))
        parts = [windows[i : i + r] for i in range(0, len(windows), r)]
        weights = w.reshape(-1, w.shape[-1])
        products = [multiply(p.reshape(-1, len(weights)), weights) for p in parts]
        found.append(np.concatenate(products).reshape(*windows.shape[:2], -1))
    return np.array(found, kept)


wrong_9_2_float64 = told("the result is float64", lambda *given: tiles(*given, kept=np.float64))
wrong_9_2_half_tiles = told(
    "multiply was called .* times instead of",
    lambda *given: tiles(*given, step=lambda r: -(-r // 2)),
)
wrong_9_2_tiles_too_large = told(
    "numbers as rows at once", lambda *given: tiles(*given, step=lambda r: r + 1)
)
wrong_9_2_without_multiply = told(
    "multiply was called 0 times instead of",
    lambda x, w, stride, most, multiply: tiles(x, w, stride, most, np.matmul),
)
wrong_9_2_stride_forgotten = told(
    r"the result is float32 .*, expected",
    lambda x, w, stride, most, multiply: tiles(x, w, 1, max(most, 4000), multiply),
)

wrong_9_3_nothing_returned = told("is not the list", lambda work, tasks, threads: None)
wrong_9_3_a_map = told(
    "is not the list", lambda work, tasks, threads: ThreadPoolExecutor(threads).map(work, tasks)
)
wrong_9_3_a_thread_too_many = told(
    "all tasks ran at the same time",
    lambda work, tasks, threads: list(ThreadPoolExecutor(threads + 1).map(work, tasks)),
)
wrong_9_3_no_thread_for_no_task = told(
    "fails with ValueError",
    lambda work, tasks, threads: list(
        ThreadPoolExecutor(min(threads, len(tasks))).map(work, tasks)
    ),
)
