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
# The same memory is seen as rows of 4096 numbers, and each vector is repeated until it is as long.
# The argument `out` makes each operation write where it has read. The vector of zeros matters less
# for the rules than for the clock: NumPy's `maximum` is slow with a single number (Figure 9.6).


# %%
def scale_shift_relu(x: Array, scale: Array, shift: Array) -> None:
    rows = x.reshape(-1, 4096)
    repeat = 4096 // len(scale)
    np.multiply(rows, np.tile(scale, repeat), out=rows)
    np.add(rows, np.tile(shift, repeat), out=rows)
    np.maximum(rows, np.zeros(4096, np.float32), out=rows)


# %% [markdown]
# `rows` is a view, because `x` is contiguous: what is written into it is written into `x`. Had `x`
# not been contiguous, `reshape` would have made a copy, and `x` would not change.
#
# ## Exercise 9.2
#
# The view of all windows costs nothing. `reshape` on a part of it makes the copy: this is the
# gathering. The last tile of an image may be shorter, and slices in Python end by themselves at the
# end of the array.


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
# The library's kernel copies into a buffer that it keeps, and multiplies straight into `y` by the
# argument `out` of `np.matmul`. Here each tile makes two new arrays. They are small, so Python's
# allocator has them at hand.
#
# ## Exercise 9.3
#
# A pool of threads takes tasks from one queue, so a thread that is done takes the next. Each call
# of `submit` returns a *future*, which stands for a result to come. We keep the futures in the
# order of the tasks, and ask them for their results in that order. If a task raised an exception,
# asking its future raises it again.


# %%
def run_in_order(work: Callable[[Any], Any], tasks: list[Any], threads: int) -> list[Any]:
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, task) for task in tasks]
    return [future.result() for future in futures]


# %% [markdown]
# `pool.map` does the same in one line. `minispiral.kernels.cpu.parallel.run` keeps its pool from
# call to call, since threads take time to start, lets the calling thread take tasks too, and holds BLAS
# to one thread meanwhile.
