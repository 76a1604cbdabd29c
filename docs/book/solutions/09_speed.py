# %% [markdown]
# # Solutions to chapter 9
#
# Try the exercises first: `minispiral exercise 9.1 answer.py`.

# %%
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Array = NDArray[np.float32]

# %% [markdown]
# ## Exercise 9.1
#
# The same memory is viewed as rows of 4096 numbers, and each vector is tiled to that length. The
# argument `out` makes each operation write where it has read. The vector of zeros is there for
# speed, not for the rules: NumPy's `maximum` is slow with a single number (Figure 9.6).


# %%
def scale_shift_relu(x: Array, scale: Array, shift: Array) -> None:
    rows = x.reshape(-1, 4096)
    repeat = 4096 // len(scale)
    np.multiply(rows, np.tile(scale, repeat), out=rows)
    np.add(rows, np.tile(shift, repeat), out=rows)
    np.maximum(rows, np.zeros(4096, np.float32), out=rows)


# %% [markdown]
# `rows` is a view, because `x` is contiguous: whatever is written to it is written to `x`. If `x`
# were not contiguous, `reshape` would make a copy, and `x` would not change.
#
# ## Exercise 9.2
#
# The view of all windows is free. `reshape` on a part of it makes the copy: this is the gather. The
# last tile of an image may be shorter; Python slices simply stop at the end of the array.


# %%
def conv2d_in_tiles(
    x: Array, w: Array, stride: int, most: int, multiply: Callable[[Array, Array], Array]
) -> Array:
    n, h, v, ci = x.shape
    kh, kw, _, co = w.shape
    oh, ow = (h - kh) // stride + 1, (v - kw) // stride + 1
    sn, sh, sw, sc = x.strides
    windows = as_strided(
        x, (n, oh, ow, kh, kw, ci), (sn, stride * sh, stride * sw, sh, sw, sc), writeable=False
    )
    weights = w.reshape(kh * kw * ci, co)
    y = np.empty((n, oh, ow, co), np.float32)
    r = min(oh, most // (ow * kh * kw * ci))
    for image in range(n):
        for i in range(0, oh, r):
            rows = windows[image, i : i + r].reshape(-1, kh * kw * ci)
            y[image, i : i + r] = multiply(rows, weights).reshape(-1, ow, co)
    return y


# %% [markdown]
# The library's kernel copies into a buffer that it keeps, and multiplies directly into `y` with the
# argument `out` of `np.matmul`. Here each tile makes two new arrays.
#
# ## Exercise 9.3
#
# A thread pool takes tasks from one queue, so a thread that has finished a task takes the next.
# Each call of `submit` returns a *future*, which stands for a result to come. We keep the futures
# in the order of the tasks, and ask for their results in that order. If a task raised an exception,
# asking for its result raises it again.


# %%
def run_in_order(work: Callable[[Any], Any], tasks: list[Any], threads: int) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, task) for task in tasks]
    return [future.result() for future in futures]


# %% [markdown]
# `pool.map` does the same in one line. `minispiral.kernels.cpu.parallel.run` keeps its pool from
# call to call, since threads take time to start. It also lets the calling thread take tasks, and
# limits BLAS to one thread meanwhile.

# %% [markdown]
# ## On paper
#
# **A.** Amdahl's law: $1 / (1 - 0.4 + 0.4/4) = 1.43$ times as fast. ReLU reads and writes 4 bytes
# for each number, 8 in all, so it does at most $20 / 8 = 2.5$ billion numbers a second. At one
# operation a number that is 2.5 GFLOP/s: 1.25 % of the peak.

# %%
print(f"{1 / (1 - 0.4 + 0.4 / 4):.2f} times as fast; {20 / 8 / 200:.2%} of the peak")

# %% [markdown]
# **B.** One thread makes $1 / (g + c)$ calls a second, $t$ threads at most $t$ times as many. But
# each call holds the lock for $g$, and only one can hold it, so there are at most $1/g$. Together
# these are $\min(t,\; 1 + c/g)$ times the calls of one thread. From $t = 1 + c/g$ on another thread
# gains nothing.
#
# For 16 threads $c$ must be at least $15 g$, 75 <!-- = 1e6 * 15 * G --> microseconds. A row of the
# output takes $2 \cdot 31 \cdot 576 \cdot 128$ operations, which is 46 <!-- = 1e6 * row -->
# microseconds at 100 GFLOP/s: two rows <!-- holds row < 15 * G < 2 * row --> are enough. A ReLU
# moves 8 bytes for a number. In 75 microseconds a core does about 94,000 <!-- = 1000 * round(15 * G
# * 10e9 / 8 / 1000) --> numbers, or 24 <!-- = np.ceil(15 * G * 10e9 / 8 / (31 * 128)) --> rows of
# this layer's output. So the elementwise work needs the larger tiles, although there is less of it.
# (A thread that must be woken waits for longer than $g$, so in truth tiles must be larger still.)

# %%
G = 5e-6
row = 2 * 31 * 576 * 128 / 100e9


def gain(threads: int, c: float, calls: int = 3000) -> float:
    """How many times as fast threads are whose every call waits for the lock, simulated."""
    free, ready = 0.0, [0.0] * threads
    for _ in range(calls):
        thread = ready.index(min(ready))
        free = max(free, ready[thread]) + G
        ready[thread] = free + c
    return calls * (G + c) / max(ready)


for rows in (1, 2):
    found = gain(16, rows * row)
    print(f"tiles of {rows} rows: 16 threads are {found:.1f} times as fast as one")
    np.testing.assert_allclose(found, min(16, 1 + rows * row / G), rtol=0.02)

# %% [markdown]
# **C.** $m_1 + m_2 = a_0 u_0 + a_1 u_1 = y_0$, and $m_2 - m_3 = a_1 u_0 + a_2 u_1 = y_1$. With
# stride 2 the two outputs are
#
# $$ \begin{aligned}
# y_0 &= x_0 w_0 + x_1 w_1 + x_2 w_2, \\
# y_1 &= x_2 w_0 + x_3 w_1 + x_4 w_2 .
# \end{aligned} $$
#
# Take $a = (x_0, x_2, x_4)$ and $u = (w_0, w_2)$: three products for the even pixels. The odd ones
# need two, $x_1 w_1$ and $x_3 w_1$. In two dimensions each axis does so by itself, and
# $5 \cdot 5 = 25$ products make four outputs, which took $4 \cdot 9 = 36$.
#
# The layer has 0.567 <!-- = work / 1e9 --> GFLOP, which take 2.83 <!-- = 1e3 * work / 200e9 -->
# milliseconds. Saving $\frac{11}{36}$ of them saves 0.87 <!-- = 1e3 * work / 200e9 * 11 / 36 -->
# milliseconds at best. The output has $4 \cdot 31^2 \cdot 128$ numbers. Instead of each of them the
# products give $\frac{25}{4}$: 12.3 <!-- = between / 1e6 --> MB, which are written and read once
# more in 1.23 <!-- = 1e3 * 2 * between / 20e9 --> milliseconds. So it is not worth it, and the
# differences $a_0 - a_1$ of the windows are not even counted. With tiles the numbers stay in a
# cache, which is faster, but each sum is still a pass. And the one large product has become 25
# small ones, which are slower. It was tried: [what did not help](../../speed.md#what-did-not-help)
# has the measurements.

# %%
work = 2 * 4 * 31**2 * 9 * 64 * 128
between = 4 * 31**2 * 128 * 25 / 4 * 4  # bytes
pixels, (w0, w1, w2) = np.arange(5.0) ** 2, (0.5, -2.0, 3.0)
a0, a1, a2 = pixels[::2]
m1, m2, m3 = (a0 - a1) * w0, a1 * (w0 + w2), (a1 - a2) * w2
ys = m1 + m2 + pixels[1] * w1, m2 - m3 + pixels[3] * w1
assert ys == (pixels[:3] @ (w0, w1, w2), pixels[2:] @ (w0, w1, w2))
