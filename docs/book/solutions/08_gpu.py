# %% [markdown]
# # Solutions to chapter 8
#
# Try the exercises first: `minispiral exercise 8.1 answer.py`.

# %%
from collections.abc import Callable, Iterator
from itertools import combinations
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
# **A.** Neighbours are 16 bytes apart, so 32 threads span 512 bytes: 16 sectors, of which half is
# thrown away. `block_sum` has one barrier after each thread's own sum, and one in each round of the
# tree, of which there are $\log_2 64 = 6$: seven.

# %%
lane = np.arange(32)
assert len(np.unique(16 * lane // 32)) == 16

# %% [markdown]
# **B.** Each thread reads before it writes, so an order is a choice of two of four places for the
# first thread: $\binom{4}{2} = 6$ orders. The result is 2 only if one thread has written before the
# other reads: in 2 orders. In the other 4 both read 0, and one addition is lost.
#
# With $n$ each, the largest result is $2n$, if they happen to take turns. The smallest is 2,
# however large $n$ is. Let the first thread read 0 and then wait. The second adds $n - 1$ times.
# Now the first writes its 1, and all of that is lost. The second reads this 1, and waits before its
# last write. The first does its remaining $n - 1$ additions. Then the second writes 2. It cannot be
# less: the last write of all is the $n$-th of its thread, and the thread has read, after its own
# write before that, a number that somebody had written, so at least 1.
#
# The 32 threads of a warp all read 0 and all write 1: the result is 1.


# %%
def results(n: int) -> list[int]:
    """The number in memory after each order of two threads that add 1, n times each."""
    found = []
    for first in combinations(range(4 * n), 2 * n):
        total, own, reads = 0, [0, 0], [True, True]
        for place in range(4 * n):
            thread = int(place not in first)
            if reads[thread]:
                own[thread] = total
            else:
                total = own[thread] + 1
            reads[thread] = not reads[thread]
        found.append(total)
    return found


assert sorted(results(1)) == [1, 1, 1, 1, 2, 2]
assert set(results(2)) == {2, 3, 4}
assert set(results(3)) == {2, 3, 4, 5, 6}

# %% [markdown]
# **C.** For $mnk$ products, square tiles of side $t$ read $2\,mnk / t$ numbers, or $8\,mnk / t$
# bytes, and compute $2\,mnk$ operations. Reading takes no longer if
#
# $$ \frac{8}{t \cdot 3 \cdot 10^{12}} \le \frac{2}{R}, \qquad
#    t \ge \frac{4 R}{3 \cdot 10^{12}}, $$
#
# with the rate $R$. In float32 $t$ is at least 80 <!-- = 4 * 60 / 3 -->, in TF32 640 <!-- = 4 * 480
# / 3 -->. Three products for one are a third of the rate, which makes 214 <!-- = np.ceil(4 * 160 /
# 3) -->. The registers allow $256 \times 256$ at most, so in TF32 no tile is enough: there reading
# takes 2.5 <!-- = 640 / 256 --> times as long. The cache that all blocks share helps. Blocks in one
# row of $C$ read the same numbers of $A$, and those in one column the same of $B$. If $3 \times 3$
# tiles of 256, or $5 \times 5$ of 128, run at the same time and each number comes from memory once
# for all of them, they act as one tile of 768 or 640.
#
# The tile of $128 \times 64$ reads $\frac{1}{128} + \frac{1}{64}$ numbers for a product. That is
# $\frac{2}{t}$ for $t$ about 85 <!-- = 2 / (1 / 128 + 1 / 64) -->, the harmonic mean of its sides.
# A square with as many numbers has the side $\sqrt{128 \cdot 64}$, about 91 <!-- = (128 * 64) **
# 0.5 -->, the geometric mean, which is never the smaller of the two. So of all tiles with the same
# number of registers the square reads least.

# %%
for rate, side in ((60e12, 80), (480e12, 640)):
    m = n = k = 3840
    reading = 4 * m * n * k * (2 / side) / 3e12
    np.testing.assert_allclose(reading, 2 * m * n * k / rate)
