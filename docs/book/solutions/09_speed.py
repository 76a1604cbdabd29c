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
# Amdahl's law: $1 / (1 - 0.4 + 0.4/4) = 1.43$ times as fast. ReLU reads and writes 4 bytes for each
# number, 8 in all, so it does at most $20 / 8 = 2.5$ billion numbers a second. At one operation a
# number that is 2.5 GFLOP/s: 1.25 % of the peak.

# %%
print(f"{1 / (1 - 0.4 + 0.4 / 4):.2f} times as fast; {20 / 8 / 200:.2%} of the peak")
