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
    """the results are"""
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


def in_steps(oh, r):
    return range(0, oh, r)


def tiles(x, w, stride, most, multiply, *, step=lambda r: r, begins=in_steps, windows=windows_of):
    """An answer to 9.2 with these rows of a tile, first rows of the tiles, and windows."""
    weights, y = w.reshape(-1, w.shape[-1]), []
    for image in x:
        rows = windows(image, w, stride)
        r = step(min(len(rows), most // rows[0].size))
        y.append(np.zeros((*rows.shape[:2], w.shape[-1]), np.float32))
        for i in begins(len(rows), r):
            part = rows[i : i + r].reshape(-1, len(weights))
            y[-1][i : i + r] = multiply(part, weights).reshape(y[-1][i : i + r].shape)
    return np.array(y)


wrong_9_2_float64 = told("the result is float64", lambda *given: tiles(*given).astype(float))
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

wrong_9_3_nothing_returned = told("expected a list", lambda work, tasks, threads: None)
wrong_9_3_a_map = told(
    "map|generator was returned, expected a list",
    lambda work, tasks, threads: ThreadPoolExecutor(threads).map(work, tasks),
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


def scaled_and_shifted(x, scale, shift):
    """A view of x as rows of 4096 on which only the ReLU is to be done."""
    rows = x.reshape(-1, 4096)
    rows *= tiled(scale)
    rows += tiled(shift)
    return rows


def wrong_9_1_last_row_forgotten(x, scale, shift):
    """this part of x has not changed"""
    rows = scaled_and_shifted(x[: -(4096 // len(scale))], scale, shift)
    np.maximum(rows, 0, out=rows)


def wrong_9_1_vectors_exchanged(x, scale, shift):
    """scale and shift are exchanged"""
    rows = scaled_and_shifted(x, shift, scale)
    np.maximum(rows, 0, out=rows)


def wrong_9_1_in_a_copy(x, scale, shift):
    """it has not changed, as when a copy is changed"""
    rows = scaled_and_shifted(x.copy(), scale, shift)
    np.maximum(rows, 0, out=rows)


def wrong_9_1_absolute(x, scale, shift):
    """what is negative becomes 0, not positive"""
    rows = scaled_and_shifted(x, scale, shift)
    np.abs(rows, out=rows)


def wrong_9_1_masked_write(x, scale, shift):
    """handled 4.0 times as many numbers"""
    rows = scaled_and_shifted(x, scale, shift)
    rows[rows < 0] = 0


def wrong_9_1_masked_copy(x, scale, shift):
    """handled 4.0 times as many numbers"""
    rows = scaled_and_shifted(x, scale, shift)
    np.copyto(rows, 0, where=rows < 0)


def wrong_9_1_block_by_block(x, scale, shift):
    """an operation ran along rows of"""
    size = 4096 // len(scale)
    for begin in range(0, len(x), size):
        block = x[begin : begin + size]
        block *= scale
        block += shift
        np.maximum(block, 0, out=block)


def wrong_9_1_channel_by_channel(x, scale, shift):
    """an operation ran along rows of"""
    for k in range(len(scale)):
        column = x[:, k]
        column *= scale[k]
        column += shift[k]
        np.maximum(column, 0, out=column)


def channels_first(x, w, stride):
    view = sliding_window_view(x, w.shape[:2], (0, 1))[::stride, ::stride]
    return view.reshape(*view.shape[:2], -1)


def turned(x, w, stride):
    view = sliding_window_view(x, w.shape[:2], (0, 1))[::stride, ::stride, :, ::-1, ::-1]
    return view.transpose(0, 1, 3, 4, 2).reshape(*view.shape[:2], -1)


wrong_9_2_channels_first = told(
    r"are in the order \(kh, kw, ci\)", lambda *given: tiles(*given, windows=channels_first)
)
wrong_9_2_windows_turned = told(
    "the windows are turned", lambda *given: tiles(*given, windows=turned)
)
wrong_9_2_rest_dropped = told(
    r"multiply was given \d+ of \d+ windows",
    lambda *given: tiles(*given, begins=lambda oh, r: range(0, oh - r + 1, r)),
)
wrong_9_2_last_tile_overlaps = told(
    "has only the rows that are left",
    lambda *given: tiles(*given, begins=lambda oh, r: [min(i, oh - r) for i in range(0, oh, r)]),
)
wrong_9_2_beyond_the_end = told(
    "of the tiles were empty",
    lambda *given: tiles(*given, begins=lambda oh, r: range(0, 3 * oh, r)),
)


def wrong_9_2_tiles_of_pixels(x, w, stride, most, multiply):
    """a tile consists of complete rows|no tile holds rows of two images"""
    rows = np.array([windows_of(image, w, stride) for image in x])
    weights = w.reshape(-1, w.shape[-1])
    pixels, size = rows.reshape(-1, len(weights)), most // len(weights)
    products = [multiply(pixels[i : i + size], weights) for i in range(0, len(pixels), size)]
    return np.concatenate(products).reshape(*rows.shape[:3], -1)


def wrong_9_2_rows_of_two_images(x, w, stride, most, multiply):
    """no tile holds rows of two images"""
    rows = np.concatenate([windows_of(image, w, stride) for image in x])
    weights, r = w.reshape(-1, w.shape[-1]), most // rows[0].size
    parts = [rows[i : i + r].reshape(-1, len(weights)) for i in range(0, len(rows), r)]
    products = np.concatenate([multiply(part, weights) for part in parts])
    return products.reshape(len(x), -1, rows.shape[1], products.shape[-1])


def wrong_9_2_stride_within_a_tile_alone(x, w, stride, most, multiply):
    """row \\d+ of the output begins at row \\d+ of the image"""
    oh = (x.shape[1] - w.shape[0]) // stride + 1
    y = []
    for image in x:
        r = min(oh, most // windows_of(image, w, stride)[0].size)
        for i in range(0, oh, r):
            rows = min(r, oh - i)
            part = image[i : i + (rows - 1) * stride + w.shape[0]]
            y.append(tiles(part[None], w, stride, most, multiply)[0])
    return np.concatenate(y).reshape(len(x), oh, *y[0].shape[1:])


def taken_in_turn(tasks, threads, do):
    """Call do(number, task) for each task, and raise the last error."""
    numbers, errors = iter(range(len(tasks))), []

    def share(_):
        for i in numbers:
            try:
                do(i, tasks[i])
            except Exception as error:
                errors.append(error)

    in_threads(share, threads)
    if errors:
        raise errors[-1]


def wrong_9_3_sorted_by_task(work, tasks, threads):
    """in another order than the tasks"""
    found = []
    taken_in_turn(tasks, threads, lambda i, task: found.append((task, work(task))))
    return [result for _, result in sorted(found)]


def wrong_9_3_in_a_dictionary(work, tasks, threads):
    """unhashable"""
    found = {}
    taken_in_turn(tasks, threads, lambda i, task: found.update({task: work(task)}))
    return [found[task] for task in tasks]


def wrong_9_3_last_first(work, tasks, threads):
    """in another order than the tasks"""
    found = []
    taken_in_turn(tasks[::-1], threads, lambda i, task: found.append(work(task)))
    return found


def wrong_9_3_another_error(work, tasks, threads):
    """run_in_order raised RuntimeError"""
    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, tasks))
    except ZeroDivisionError as error:
        raise RuntimeError("a task failed") from error


def wrong_9_3_not_waited_for(work, tasks, threads):
    """returned before all tasks had ended"""
    results, numbers = [None] * len(tasks), iter(range(len(tasks)))

    def share():
        for i in numbers:
            results[i] = work(tasks[i])

    for _ in range(threads):
        threading.Thread(target=share, daemon=True).start()
    return results


def wrong_9_3_joined_at_once(work, tasks, threads):
    """they never ran at the same time"""
    results = [None] * len(tasks)
    for i, task in enumerate(tasks):
        thread = threading.Thread(target=lambda i=i, task=task: results.__setitem__(i, work(task)))
        thread.start()
        thread.join()
    return results


wrong_9_3_with_their_tasks = told(
    "result 0 is .* instead of",
    lambda work, tasks, threads: [
        (task, result)
        for task, result in zip(tasks, ThreadPoolExecutor(threads).map(work, tasks), strict=True)
    ],
)
