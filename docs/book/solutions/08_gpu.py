# %% [markdown]
# # Solutions to chapter 8
#
# Try the exercises first: `minispiral exercise 8.1 answer.py`.

# %%
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# %% [markdown]
# ## Exercise 8.1
#
# The thread begins at its index in the grid and advances by the number of threads in the grid. So
# in each iteration the grid reads one contiguous stretch of the array, and neighbouring threads
# read neighbouring numbers. In CUDA this is called a *grid-stride loop*; `loss_gradient` in
# `kernels/cuda/losses.cu` has one. The condition of the loop also takes care of threads without
# work.


# %%
def double(block: int, thread: int, blocks: int, threads: int, x: Array, y: Array) -> None:
    for i in range(block * threads + thread, len(x), blocks * threads):
        y[i] = 2 * x[i]


# %% [markdown]
# The tempting alternative, a contiguous chunk for each thread, gives the same numbers. But then the
# threads of a warp read far apart, and most of what memory delivers is thrown away.
#
# ## Exercise 8.2
#
# `own` is the sum of the `step` numbers that end at the thread's index (of fewer, near the start).
# Adding the sum of the thread `step` places before makes it the sum of `2 * step` numbers. Each
# step needs two barriers: one between writing and reading, since a thread reads what another has
# written; and one between reading and the next write, since otherwise a fast thread could overwrite
# a number that a slow one has yet to read. The second `yield` must not be inside the `if`: all
# threads must reach it.


# %%
def prefix_sum(thread: int, x: Array, shared: Array, y: Array) -> Iterator[None]:
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


# %% [markdown]
# For one thread the loop does not run at all and there is no barrier. The function is a generator
# all the same, because it contains a `yield`.
#
# ## Exercise 8.3
#
# Adding half of the last bit that stays and cutting off 13 bits rounds to TF32. The difference
# `a - a1` is exact in float32, since the two are close. Of the three products, the small ones are
# added first.


# %%
def to_tf32(x: Array) -> Array:
    bits = x.view(np.uint32) + np.uint32(1 << 12)
    rounded: Array = (bits & np.uint32(0xFFFFE000)).view(np.float32)
    return rounded


def product_in_three(a: Array, b: Array, multiply: Callable[[Array, Array], Array]) -> Array:
    a1, b1 = to_tf32(a), to_tf32(b)
    a2, b2 = to_tf32(a - a1), to_tf32(b - b1)
    total: Array = (multiply(a2, b1) + multiply(a1, b2)) + multiply(a1, b1)
    return total


# %% [markdown]
# ## On paper
#
# Neighbours are 16 bytes apart, so 32 threads span 512 bytes: 16 sectors, of which half is thrown
# away. `block_sum` has one barrier after each thread's own sum, and one in each round of the tree,
# of which there are $\log_2 64 = 6$: seven.

# %%
lane = np.arange(32)
assert len(np.unique(16 * lane // 32)) == 16
