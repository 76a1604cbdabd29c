"""Wrong answers to chapter 9; the docstring is what the check says of them."""

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


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
    r"""x\[\d+, \d+\] is .* instead of"""
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
