"""Wrong answers to chapter 8; the docstring is what the check says of them."""

import numpy as np

from tests.book.told import told


def wrong_8_1_a_stretch_for_each_thread(block, thread, blocks, threads, x, y):
    """the reads number 1 of warp 0 in block 0 are not side by side|outside the array"""
    each = -(-len(x) // (blocks * threads))
    start = (block * threads + thread) * each
    for i in range(start, min(start + each, len(x))):
        y[i] = 2 * x[i]


def wrong_8_1_no_end(block, thread, blocks, threads, x, y):
    r"""used x\[\d+\], which is outside the array"""
    i = block * threads + thread
    y[i] = 2 * x[i]


def wrong_8_1_one_number_each(block, thread, blocks, threads, x, y):
    r"""y\[\d+\] was written 0 times instead of once"""
    i = block * threads + thread
    if i < len(x):
        y[i] = 2 * x[i]


def wrong_8_1_every_block_does_all(block, thread, blocks, threads, x, y):
    r"""y\[0\] was written 2 times instead of once"""
    for i in range(thread, len(x), threads):
        y[i] = 2 * x[i]


def wrong_8_2_no_barrier_before_overwriting(thread, x, shared, y):
    """without a barrier after reading, a sum may be overwritten"""
    own = x[thread]
    step = 1
    while step < len(x):
        shared[thread] = own
        yield
        if thread >= step:
            own += shared[thread - step]
        step *= 2
    y[thread] = own


def wrong_8_2_no_barrier_before_reading(thread, x, shared, y):
    """something was read that nobody had written yet"""
    own = x[thread]
    step = 1
    while step < len(x):
        shared[thread] = own
        if thread >= step:
            own += shared[thread - step]
        yield
        step *= 2
    y[thread] = own


def wrong_8_2_a_barrier_for_some(thread, x, shared, y):
    """threads wait at barrier 2 and 1 never come to it"""
    own = x[thread]
    step = 1
    while step < len(x):
        shared[thread] = own
        yield
        if thread >= step:
            own += shared[thread - step]
            yield
        step *= 2
    y[thread] = own


def wrong_8_2_all_in_one_step(thread, x, shared, y):
    """there were .* barriers; .* are enough|read x"""
    shared[thread] = x[thread]
    for _ in range(len(x)):
        yield
    y[thread] = sum(shared[i] for i in range(thread + 1))


def to_tf32(x):
    return ((x.view(np.uint32) + np.uint32(1 << 12)) & np.uint32(0xFFFFE000)).view(np.float32)


def wrong_8_3_rounded_factors_alone(a, b, multiply):
    """nothing makes up for what rounding a or b loses"""
    return multiply(to_tf32(a), to_tf32(b))


def wrong_8_3_two_products(a, b, multiply):
    """nothing makes up for what rounding a or b loses"""
    first = to_tf32(a)
    return multiply(to_tf32(a - first), to_tf32(b)) + multiply(first, to_tf32(b))


def wrong_8_3_all_four_products(a, b, multiply):
    """multiply was called more than three times"""
    a1, b1 = to_tf32(a), to_tf32(b)
    a2, b2 = to_tf32(a - a1), to_tf32(b - b1)
    return multiply(a2, b2) + multiply(a2, b1) + multiply(a1, b2) + multiply(a1, b1)


def wrong_8_3_the_rest_not_rounded(a, b, multiply):
    """which is not a TF32 number"""
    a1, b1 = to_tf32(a), to_tf32(b)
    return multiply(a - a1, b1) + multiply(a1, b - b1) + multiply(a1, b1)


def strided(block, thread, blocks, threads, x, y, factor=2, start=0):
    for i in range(block * threads + thread + start, len(x), blocks * threads):
        y[i] = factor * x[i]


def wrong_8_1_one_thread_does_all(block, thread, blocks, threads, x, y):
    r"""handled \d+ numbers: shared among all threads, it is \d+ at most"""
    if block == thread == 0:
        for i in range(len(x)):
            y[i] = 2 * x[i]


def wrong_8_1_whole_array(block, thread, blocks, threads, x, y):
    """one index at a time"""
    y[:] = 2 * x[:]


def wrong_8_1_reads_the_result(block, thread, blocks, threads, x, y):
    """y was read before"""
    for i in range(block * threads + thread, len(x), blocks * threads):
        y[i] += 2 * x[i]


wrong_8_1_from_one = told(
    r"outside the array|y\[0\] was written 0 times", lambda *given: strided(*given, start=1)
)
wrong_8_1_a_copy = told("expected twice that", lambda *given: strided(*given, factor=1))


def wrong_8_2_reads_all(thread, x, shared, y):
    r"""read \d+ numbers of the others, of which \d+ are enough"""
    shared[thread] = x[thread]
    yield
    y[thread] = sum(shared[i] for i in range(thread + 1))


def wrong_8_2_no_generator(thread, x, shared, y):
    """is not a generator: yield at each barrier"""
    y[thread] = x[thread]


def wrong_8_2_reads_x_of_others(thread, x, shared, y):
    r"""read x\["""
    yield
    y[thread] = sum(x[i] for i in range(thread + 1))


def wrong_8_2_writes_to_others(thread, x, shared, y):
    r"""wrote to shared\["""
    y[thread] = shared[thread] = x[thread]
    yield
    if thread:
        shared[thread - 1] = 0


def wrong_8_2_without_the_own(thread, x, shared, y):
    r"""y\[\d+\] is .* instead of"""
    shared[thread] = x[thread]
    yield
    y[thread] = shared[thread - 1] if thread else 0.0


wrong_8_3_without_the_core = told("multiply was never called", lambda a, b, multiply: a @ b)
wrong_8_3_float64 = told(
    "is not float32",
    lambda a, b, multiply: multiply(to_tf32(a), to_tf32(b)) + multiply(a.astype(float), b),
)
wrong_8_3_result_in_float64 = told(
    "the result is float64",
    lambda a, b, multiply: np.float64(1) * multiply(to_tf32(a), to_tf32(b)).astype(float),
)
wrong_8_3_transposed = told(
    "the result is float32 .*, not float32|fails with",
    lambda a, b, multiply: multiply(to_tf32(a), to_tf32(b)).T,
)
wrong_8_3_not_split = told("which is not a TF32 number", lambda a, b, multiply: multiply(a, b))
