# %% [markdown]
# # 9. How fast can NumPy go?
#
# After this chapter you can
#
# - say how fast a convolution could be on your machine before you write it;
# - time two ways of doing the same thing so that the comparison means something;
# - write a convolution in NumPy that reaches most of that speed, on all cores, with the same bits
#   for any number of threads;
# - find where a program's time goes, and say how much there is to gain.
#
# It takes about an hour and a half. You need chapter 2, where a convolution becomes a matrix
# product.
#
# Times differ from machine to machine and from minute to minute. So every figure that shows a
# measurement says so in its caption, its cell begins with the line `# measured`, and it shows
# ratios: how many times as fast one way is as another. What the chapter measures where it runs is
# drawn in blue. **Kept figures**, measured once and stored beside the chapter, are drawn as orange
# diamonds. The text speaks of the kept ones, since it cannot know yours. Quantities that do not
# depend on the machine are counted instead: operations, bytes, passes over memory.

# %% [markdown]
# ## The idea
#
# An iteration of a Python loop takes some 50 nanoseconds, whatever it does. A processor core can
# multiply and add a thousand numbers in that time. Python should therefore never do the work
# itself. It should hand out the work, in pieces so large that handing them out costs nothing.
#
# The largest and best piece that NumPy offers is the matrix product. It is computed by BLAS, a
# library that has been tuned for every processor for decades. Nothing else in NumPy does so many
# operations for each number that it reads. Three rules follow, and the chapter is about them:
#
# 1. Turn all heavy work into matrix products, of matrices that are large enough.
# 2. Everything else is limited by memory: read and write each number as rarely as possible, while
#    it is still close to the core.
# 3. Keep all cores busy, all the time.

# %%
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

import minispiral
from minispiral.kernels import batchnorm, conv2d, reference
from minispiral.kernels.cpu import parallel
from minispiral.kernels.epilogues import Moments
from minispiral.losses import pseudo_f1
from minispiral.networks import SpiralNet
from minispiral.optim import Adam
from minispiral.profiling import REST, profile
from minispiral.tensor import Tensor

plt.rcParams["font.size"] = 10
Array = NDArray[np.float32]
rng = np.random.default_rng(9)
blas = ThreadpoolController().select(user_api="blas")  # to say how many threads it may use
print(f"threads: {parallel.threads()}")
load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
if load > 0.5 * parallel.threads():
    print("This machine is busy with other work: the figures will show that, too.")

KEPT_IN = Path(minispiral.__file__).parents[1] / "docs" / "book" / "09_measured.json"
kept = json.loads(KEPT_IN.read_text()) if KEPT_IN.exists() else {"machine": "none", "figures": {}}
live: dict[str, dict[str, float]] = {}  # what this run measures: by figure, the best of each way
print("kept figures:", kept["machine"])


def ratio(figure: str, name: str, other: str) -> float:
    """How many times as fast one way was as another, in the kept figures."""
    return float(kept["figures"][figure][name] / kept["figures"][figure][other])


# %% [markdown]
# ## How much work there is
#
# The chapter works with one small layer: $n = 4$ images of $63 \times 63$ pixels and $c_i = 64$
# channels become images of $31 \times 31$ pixels and $c_o = 128$ channels, with a $3 \times 3$
# kernel and stride 2. It is the third layer of a Spiral-Net's encoder at half its width, and small
# enough to be timed often.
#
# Each number of the output is a sum of $k_h k_w c_i$ products. Count a multiplication and an
# addition as two floating-point operations (FLOP). There are $n\,o_h\,o_w\,c_o$ numbers, with
# $o_h \times o_w$ the size of the output, so the work of the layer is
#
# $$ F = 2\, n\, o_h\, o_w\, k_h\, k_w\, c_i\, c_o \quad \text{FLOP.} $$
#
# It moves few bytes: images and weights are read, images are written, 4 bytes per number. The
# *arithmetic intensity* is the ratio of the two, in FLOP per byte.

# %%
N, H, CI, CO, K, S = 4, 63, 64, 128, 3, 2
OH = (H - K) // S + 1

x = rng.standard_normal((N, H, H, CI), np.float32)
w = rng.standard_normal((K, K, CI, CO), np.float32)

flop = 2 * N * OH * OH * K * K * CI * CO
image_bytes = 4 * (x.size + w.size + N * OH * OH * CO)
print(f"work       {flop / 1e9:.2f} GFLOP")
print(f"memory     {image_bytes / 1e6:.1f} MB")
print(f"intensity  {flop / image_bytes:.0f} FLOP a byte")

# ReLU on the output, for comparison: one operation for a number that is read and written.
print(f"ReLU       {1 / 8:.3f} FLOP a byte")

# %% [markdown]
# The convolution does hundreds of times as many operations per byte as a ReLU <!-- holds 100 < flop
# / image_bytes * 8 < 1000 -->. This is why the two have different limits. Let $P$ be the peak
# number of operations per second of the cores, and $M$ the number of bytes per second that memory
# can deliver. Work of $F$ operations on $B$ bytes takes at least
#
# $$ t \ge \max\left(\frac{F}{P}, \frac{B}{M}\right). $$
#
# For the convolution the first term is the larger one, for the ReLU the second. This bound is
# called the *roofline model*.

# %% [markdown]
# ## The ceiling, and how to measure
#
# $P$ is measured by a product of two large matrices. In BLAS the product of float32 matrices is
# called `sgemm`, so we call this rate the *sgemm peak*. It is our ceiling: nothing that we can
# write in NumPy multiplies faster.
#
# But how do you measure? Run something once, and you mostly measure what else was happening on the
# machine. Here are 60 runs of the same product.

# %%
# measured
Ways = dict[str, Callable[[], object]]
Seconds = dict[str, NDArray[np.float64]]


def stopwatch(way: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


a, b = rng.standard_normal((2, 512, 512), np.float32)
product = np.empty_like(a)
runs = np.array([stopwatch(lambda: np.matmul(a, b, out=product)) for _ in range(60)])

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.plot(runs / runs.min(), "o", ms=4)
for name, value, style in (
    ("least", runs.min(), "-"),
    ("median", np.median(runs), "--"),
    ("mean", runs.mean(), ":"),
):
    ax.axhline(value / runs.min(), color="C3", ls=style, label=f"{name}: {value / runs.min():.2f}")
live["9.1"] = {"slowest": runs.max() / runs.min(), "median": np.median(runs) / runs.min()}
ax.plot(np.full(2, 62), list(kept["figures"].get("9.1", live["9.1"]).values()), "D", color="C1")
ax.set(xlabel="run", ylabel="time / least time")
ax.legend()

# %% [markdown]
# *Figure 9.1. Measured: one product of two 512 x 512 matrices, 60 times. Every run does the same
# work. On the right the slowest and the median run of the kept figures.*
#
# In the kept figures the slowest run took longer than the fastest <!-- holds
# kept["figures"]["9.1"]["slowest"] > 1.05 -->. The runs differ because the processor changes its
# clock rate, because other programs use the cores and fill the caches, and because the first run
# finds nothing ready: threads are asleep, memory pages not yet allocated. Note that all of these
# make a run slower and none makes it faster. So:
#
# - **Warm up.** Do not count the first calls. Threads that were asleep must wake up and find a
#   core. After a product on several cores the BLAS threads *busy-wait* for more work for about a
#   tenth of a second, that is, they keep asking for it: whatever runs next shares its cores with
#   them.
# - **Take long enough.** Repeat a call of a few microseconds and take the mean, or you measure the
#   clock.
# - **Take turns.** To compare A and B, run A B A B A B. If the machine is busy for a second, both
#   suffer. Running A A A and then B B B compares two moments as much as two programs.
# - **Least time or median?** The least time says what the *code* can do, since disturbances only
#   add. The median says what a *user* will see. Say which one you give. A single bad run spoils the
#   mean.
# - **Show the spread.** A difference that is smaller than the spread is no difference.
# - **Check the results.** The fastest code is the one that does not do its work.
#
# The function `race` below follows these rules. So does `python -m bench` in the repository, where
# minispiral and PyTorch take turns.


# %%
def calls_within(way: Callable[[], object], seconds: float) -> int:
    """Call a way repeatedly for this long, at least once; return the number of calls."""
    calls, end = 0, time.perf_counter() + seconds
    while calls == 0 or time.perf_counter() < end:
        way()
        calls += 1
    return calls


def race(ways: Ways, rounds: int = 7, warm_up: float = 0.04) -> Seconds:
    """Seconds per call of each way in each round; the ways take turns."""
    seconds = {name: np.empty(rounds) for name in ways}
    for i in range(rounds):
        for name, way in ways.items():
            calls_within(way, warm_up)
            start = time.perf_counter()
            calls = calls_within(way, 0.02)
            seconds[name][i] = (time.perf_counter() - start) / calls
    return seconds


def draw(
    ax: Axes, figure: str, values: dict[str, NDArray[np.float64]], label: str, mark: float
) -> None:
    """A bar for the best round of each way, a dot for every round, and a red line at a mark.

    On the right the best round as a number; a diamond for what was kept.
    """
    live[figure] = {name: float(all_rounds.max()) for name, all_rounds in values.items()}
    before = kept["figures"].get(figure, {})
    for i, (name, all_rounds) in enumerate(values.items()):
        ax.barh(i, all_rounds.max(), color="C0", alpha=0.4)
        ax.plot(all_rounds, np.full(len(all_rounds), i), "k.", ms=4)
        best = f"{all_rounds.max():.2g}"
        ax.text(1.01, i, best, va="center", color="C0", transform=ax.get_yaxis_transform())
        if name in before:
            ax.plot(before[name], i, "D", color="C1", mec="white")
    ax.axvline(mark, color="C3", lw=1)
    ax.set_xlim(0, 1.05 * max(mark, *live[figure].values(), *before.values()))
    ax.set_yticks(range(len(values)), values)
    ax.invert_yaxis()
    ax.set_xlabel(label)


def sgemm_peak(threads: int, side: int = 1152, rounds: int = 6) -> float:
    """FLOP per second of a large matrix product, the best of some rounds."""
    a, b = rng.standard_normal((2, side, side), np.float32)
    product = np.empty_like(a)
    with blas.limit(limits=threads):
        least = min(stopwatch(lambda: np.matmul(a, b, out=product)) for _ in range(rounds))
    return 2 * side**3 / least


peak = sgemm_peak(parallel.threads())
print(f"sgemm peak, all threads: {peak / 1e9:.0f} GFLOP/s; one: {sgemm_peak(1) / 1e9:.0f} GFLOP/s")
print(f"the layer cannot take less than {flop / peak * 1e3:.2f} ms")

# %% [markdown]
# ## Five ways to write the layer
#
# Now we climb towards the ceiling. All five ways do the same $F$ operations and give the same
# result up to rounding, and each removes one obstacle of the previous one.
#
# **Way 1, pixel by pixel.** For each pixel of the output, take the window of the input under the
# kernel as one long row, and multiply it by the weights as a matrix $(k_h k_w c_i, c_o)$. The loops
# over channels are gone already. With them, Python would need $F / 2$ iterations, hundreds of
# millions.


# %%
def by_pixel(x: Array, w: Array) -> Array:
    y = np.empty((N, OH, OH, CO), np.float32)
    weights = w.reshape(-1, CO)
    for n in range(N):
        for i in range(OH):
            for j in range(OH):
                window = x[n, S * i : S * i + K, S * j : S * j + K]
                y[n, i, j] = window.reshape(-1) @ weights
    return y


# %% [markdown]
# A vector-matrix product uses each weight once, for two operations, and all weights are read again
# for the next pixel. That makes half a FLOP per byte instead of 90 <!-- = flop / image_bytes -->.
#
# **Way 2, tap by tap.** A *tap* is one of the nine positions in the kernel. For each tap, all
# pixels are multiplied by its weights $(c_i, c_o)$ at once. This takes nine passes over the output.


# %%
def by_tap(x: Array, w: Array) -> Array:
    y = np.zeros((N, OH, OH, CO), np.float32)
    for i in range(K):
        for j in range(K):
            pixels = x[:, i : i + S * OH : S, j : j + S * OH : S]
            y += pixels @ w[i, j]
    return y


# %% [markdown]
# **Way 3, all windows at once.** The windows of all pixels, written out as rows, make the layer one
# single product:
#
# $$ \underbrace{y}_{(n\,o_h\,o_w,\; c_o)} =
#    \underbrace{X}_{(n\,o_h\,o_w,\; k_h k_w c_i)} \;
#    \underbrace{w}_{(k_h k_w c_i,\; c_o)} . $$
#
# This is *im2col* (chapter 2). The view of the windows is free, since it only changes strides.
# Writing them out is not: with stride $s$, $X$ is larger than the images by a factor of almost
# $k_h k_w / s^2$.


# %%
def windows_of(x: Array) -> Array:
    """A view of the windows under the kernel, ``(n, oh, ow, kh, kw * ci)``."""
    sn, sh, sw, sc = x.strides
    shape = (len(x), OH, OH, K, K * CI)
    return as_strided(x, shape, (sn, S * sh, S * sw, sh, sc), writeable=False)


def all_windows(x: Array, w: Array) -> Array:
    rows = windows_of(x).reshape(-1, K * K * CI)  # a copy
    return (rows @ w.reshape(-1, CO)).reshape(N, OH, OH, CO)


print(f"images   {x.nbytes / 1e6:.1f} MB")
print(f"windows  {4 * windows_of(x).size / 1e6:.1f} MB")
print(f"windows of the second layer in the paper: {4 * 32 * 63**2 * K * K * 64 / 1e6:.0f} MB")

# %% [markdown]
# **Way 4, in tiles.** The windows are written to memory and read back at the speed of memory, and
# for a large batch they fill hundreds of megabytes. So we write out the windows of only one image
# at a time, a *tile*, to a buffer that is reused for the next tile. It stays in the cores' caches,
# where the product finds its rows.


# %%
def multiply_tile(x: Array, w: Array, y: Array, images: slice, buffer: Array) -> None:
    """Gather the windows of some images in the buffer; write their product to ``y``."""
    view = windows_of(x[images])
    np.copyto(buffer.reshape(view.shape), view)
    np.matmul(buffer, w.reshape(-1, CO), out=y[images].reshape(-1, CO))


def in_tiles(x: Array, w: Array) -> Array:
    y = np.empty((N, OH, OH, CO), np.float32)
    buffer = np.empty((OH * OH, K * K * CI), np.float32)
    for n in range(N):
        multiply_tile(x, w, y, slice(n, n + 1), buffer)
    return y


# %% [markdown]
# **Way 5, tiles for threads.** So far BLAS distributed each product among the cores, but only the
# product: the copy of the windows ran on one core while the others waited. Now each thread takes
# tiles of its own, copies and multiplies them, and BLAS uses one thread for each product. Two
# functions of the library help: `parallel.run(work, tasks)` calls `work` for all tasks on all
# threads (you write it in Exercise 9.3), and `parallel.scratch` gives each thread a buffer of its
# own, since two threads writing to one buffer would spoil both results.


# %%
def in_threads(x: Array, w: Array) -> Array:
    y = np.empty((N, OH, OH, CO), np.float32)

    def work(n: int) -> None:
        buffer = parallel.scratch((OH * OH, K * K * CI), np.float32)
        multiply_tile(x, w, y, slice(n, n + 1), buffer)

    parallel.run(work, range(N))
    return y


# %% [markdown]
# Before the race, we compare the results of all five with the plain loops of
# `minispiral.kernels.reference`, which work in float64. **Predict**, before you run it: in which
# order will the five come in, and by which factor does the fastest win over the slowest?

# %%
five = {
    "1 pixel by pixel": by_pixel,
    "2 tap by tap": by_tap,
    "3 all windows": all_windows,
    "4 in tiles": in_tiles,
    "5 in threads": in_threads,
}
true_y = reference.conv2d(x, w, S)
for name, way in five.items():
    error = np.abs(way(x, w) - true_y).max() / np.abs(true_y).max()
    print(f"{name:17s} largest error {error:.1e} of the largest number")
    assert error < 1e-5

# %%
# measured
ways: Ways = {name: lambda way=way: way(x, w) for name, way in five.items()}
ways["minispiral"] = lambda: conv2d.conv2d(x, w, S)
a, b = rng.standard_normal((2, 1152, 1152), np.float32)
product = np.empty_like(a)
ways["a large product"] = lambda: np.matmul(a, b, out=product)
climb = race(ways, warm_up=0.15)  # BLAS threads must have gone to sleep

rates = {name: flop / spent for name, spent in climb.items()}
rates["a large product"] = 2 * len(a) ** 3 / climb["a large product"]
peak = max(peak, rates["a large product"].max())
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
shares = {name: rate / peak for name, rate in rates.items()}
draw(ax, "9.2", shares, "share of the sgemm peak", mark=1)

# %% [markdown]
# *Figure 9.2. Measured: five ways to write one layer, the library's, and a large product, as shares
# of the sgemm peak (red line). A bar and its number show the best round, the dots all rounds, a
# diamond the kept figures.*
#
# In the kept figures the first step up is the largest, by a factor of more than two <!-- holds
# ratio("9.2", "2 tap by tap", "1 pixel by pixel") > 2 -->. Way 4 alone need not be faster than way
# 3: it saves memory, but its products are smaller, and BLAS has to distribute each of them among
# the cores. But it makes way 5 possible, which is the fastest of the five there <!-- holds
# max(five, key=kept["figures"]["9.2"].get) == "5 in threads" -->. The library's kernel is the fifth
# way, with tiles chosen according to the shapes and the output in reused memory.

# %% [markdown]
# ## How large is a tile?
#
# Small tiles fit the fastest cache. But each tile costs a few microseconds of Python, and narrow
# products are slow. Large tiles no longer fit the cache and, in the end, are too few to distribute.
# Here the tile grows from one row of one output image to the complete image, with two threads.


# %%
# measured
def with_rows(rows: int) -> Callable[[], object]:
    """The layer in tiles of this many rows of the output."""
    y = np.empty((N, OH, OH, CO), np.float32)
    weights = w.reshape(-1, CO)
    view = windows_of(x)
    tiles = [(n, slice(i, min(i + rows, OH))) for n in range(N) for i in range(0, OH, rows)]

    def work(tile: tuple[int, slice]) -> None:
        buffer = parallel.scratch(view[tile].shape, np.float32)
        np.copyto(buffer, view[tile])
        np.matmul(buffer.reshape(-1, K * K * CI), weights, out=y[tile].reshape(-1, CO))

    return lambda: parallel.run(work, tiles)


heights = (1, 2, 4, 8, 16, 31)
by_height = race({str(rows): with_rows(rows) for rows in heights})
least = np.array([spent.min() for spent in by_height.values()])
live["9.3"] = {rows: spent.min() / least.min() for rows, spent in by_height.items()}

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for rows, spent in zip(heights, by_height.values(), strict=True):
    ax.plot(np.full(len(spent), rows), spent / least.min(), ".", color="gray", ms=4)
ax.plot(heights, least / least.min(), "o-", label="best round")
before = list(kept["figures"].get("9.3", live["9.3"]).values())
ax.plot(heights, before, "D", color="C1", label="kept")
ax.set_xscale("log", base=2)
ax.set_xticks(heights, [f"{rows}\n{rows * OH * K * K * CI / 1000:.0f}k" for rows in heights])
ax.set(xlabel="rows of a tile, and its numbers in thousands", ylabel="time / least time")
ax.set_ylim(0.9, min(4, 1.2 * (least / least.min()).max()))
ax.legend()

# %% [markdown]
# *Figure 9.3. Measured: the time of the layer against the size of a tile. Dots above the frame are
# cut off.*
#
# In the kept figures the smallest tiles lose <!-- holds max(kept["figures"]["9.3"].values()) ==
# kept["figures"]["9.3"]["1"] > 1.2 -->, and from some size on the curve is nearly flat. Where it is
# lowest depends on the machine. The library's tiles have at most 800,000 <!-- =
# resolve_name("minispiral.kernels.cpu.im2col")._TILE --> numbers, more than the innermost caches
# hold. The next section gives one reason.

# %% [markdown]
# ## Threads and the global interpreter lock
#
# Only one thread at a time may run Python code: it must hold the *global interpreter lock* (GIL).
# Threads are useful all the same, because NumPy releases the lock while it copies, adds or
# multiplies arrays. We let one thread and then two do the same two portions of work: pure Python,
# copies within the cache, and products.


# %%
# measured
def count_in_python() -> int:
    total = 0
    for i in range(100_000):
        total += i
    return total


def portions() -> Iterator[tuple[str, Callable[[int], object]]]:
    """Work of about equal length, with arrays for each of two threads."""
    source, target = rng.standard_normal((2, 2, 60_000), np.float32)
    a, b, out = rng.standard_normal((3, 2, 512, 512), np.float32)
    yield "Python", lambda _: count_in_python()
    yield "copies", lambda i: [np.copyto(target[i], source[i]) for _ in range(300)]
    yield "products", lambda i: [np.matmul(a[i], b[i], out=out[i]) for _ in range(2)]


speedups = {}
parallel.set_threads(2)
with blas.limit(limits=1):
    for name, portion in portions():
        spent = race(
            {
                "one": lambda portion=portion: [portion(i) for i in (0, 1)],
                "two": lambda portion=portion: parallel.run(portion, (0, 1)),
            },
        )
        speedups[name] = spent["one"].min() / spent["two"]
parallel.set_threads(None)

fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
draw(ax, "9.4", speedups, "times as fast with two threads", mark=2)

# %% [markdown]
# *Figure 9.4. Measured: the speed-up of two threads over one for three kinds of work. Red: the most
# that two cores can give.*
#
# Pure Python gains nothing, except by chance: the two threads take turns. In the kept figures it
# makes no difference of a fifth <!-- holds 0.8 < kept["figures"]["9.4"]["Python"] < 1.2 -->, and
# products gain most <!-- holds max(kept["figures"]["9.4"], key=kept["figures"]["9.4"].get) ==
# "products" -->. But before each NumPy call a thread must acquire the lock, and if the other one
# holds it, it goes to sleep and must be woken. The shorter the calls, the more often this happens.
# So the tiles are larger than the cache alone would suggest.

# %% [markdown]
# ## Balanced tasks
#
# If threads get different amounts of work, they finish at different times. Let there be $m$ tasks
# of equal length and $t$ threads. One of the threads gets $\lceil m / t \rceil$ tasks, so the
# fraction of the threads' time that is used is
#
# $$ e = \frac{m}{t\, \lceil m / t \rceil}. $$
#
# Three tasks on two threads use 75 % <!-- = 100 * share_used(3, 2) -->. A profile does not show
# this, because a thread that waits does nothing. The library therefore divides work into even
# numbers of nearly equal parts.


# %%
def share_used(tasks: int, threads: int) -> float:
    return tasks / (threads * -(-tasks // threads))


assert share_used(3, 2) == 0.75

print("31 rows in parts of at most 12:")
print("  as they come", [part.stop - part.start for part in parallel.slices(31, 12)])
print("  even        ", [part.stop - part.start for part in parallel.even_slices(31, 12)])

counts = np.arange(1, 17)
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for threads, marker in ((2, "o-"), (4, "s--")):
    shares_used = [share_used(int(tasks), threads) for tasks in counts]
    ax.plot(counts, shares_used, marker, label=f"{threads} threads")
ax.set(xlabel="tasks of equal length", ylabel="share of the threads' time used", ylim=(0, 1.05))
ax.set_xticks(counts)
ax.legend()

# %% [markdown]
# *Figure 9.5. The fraction of the threads' time that is used, against the number of tasks.
# Computed, not measured.*

# %% [markdown]
# ## The same bits for any number of threads
#
# Floating-point sums depend on the order of addition: $(a + b) + c$ is not $a + (b + c)$. If each
# thread added its results to a common total, the order would be that in which threads happen to
# finish, and the last bits of a training run would change from run to run. Then no run could be
# repeated, and no bug reproduced.
#
# The rule of the library: the *shapes* decide how the work is divided, never the number of threads,
# and results are added in the order of the tasks, not of their completion. The weight gradient is
# such a sum over all pixels.

# %%
one, tiny = np.float32(1), np.float32(2**-24)
print((one + tiny) + tiny == one + (tiny + tiny), "- so the order matters")

gy = rng.standard_normal((N, OH, OH, CO), np.float32)
gradients = []
for threads in (1, 2, 3):
    parallel.set_threads(threads)
    gradients.append(conv2d.conv2d_weight_grad(x, gy, (K, K), S))
parallel.set_threads(None)
assert all(np.array_equal(gradient, gradients[0]) for gradient in gradients)
print("one, two and three threads: the same bits")

# %% [markdown]
# ## Reused memory
#
# `np.empty` is quick for large arrays, because it does nothing: the operating system promises
# memory and allocates it page by page (usually 4 kilobytes) when it is first touched. Each first
# touch interrupts the program: a *page fault*. Small arrays are spared this, since the allocator
# keeps their memory; large ones go back to the system as soon as they are no longer needed, and the
# next training step pays for all pages again.
#
# The library keeps such memory in a pool and reuses it. We can see this from the addresses: a new
# array lies where an old one was.

# %%
big = parallel.empty((1 << 20,), np.float32)
address = big.ctypes.data
del big  # its memory goes back to the pool
again = parallel.empty((1 << 20,), np.float32)
assert again.ctypes.data == address
print("the new array lies where the old one was")

size = 16 * 2**20
reused = np.ones(size, np.float32)
fills = race(
    {
        "new": lambda: np.empty(size, np.float32).fill(1),
        "reused": lambda: reused.fill(1),
    }
)
live["fill"] = {"new / reused": fills["new"].min() / fills["reused"].min()}
for name, found in (("here", live), ("kept", kept["figures"])):
    if "fill" in found:
        times = found["fill"]["new / reused"]
        print(f"to fill 64 MB of new memory takes {times:.1f} times as long as reused ({name})")

# %% [markdown]
# ## Inner loops along the long axis
#
# An array operation is a loop in C along the last axis, inside a slower loop over all other axes. A
# row of 64 numbers costs as much to start as a row of 8192. Batch norm multiplies each pixel of 64
# channels by a vector of 64 numbers: the rows are short. Tile the vector 128 times, view the same
# memory as rows of 8192, and the result is the same, number by number.
#
# Other choices are of the same kind: they look equivalent, but their costs differ. Below are five,
# each with a check. In the third, a gradient is kept where a mask says so. In the fourth, the sum
# over pixels becomes a product with a row of ones. In the last, the windows of an image with one
# channel are copied in rows of 3 or in rows of 127.

# %%
# measured
PIXELS, CHANNELS, WIDE = 2048, 64, 8192
pixels = rng.standard_normal((PIXELS, CHANNELS), np.float32)
out = np.empty_like(pixels)
vector = rng.standard_normal(CHANNELS, np.float32)
repeated = np.tile(vector, WIDE // CHANNELS)
zeros, ones = np.zeros(WIDE, np.float32), np.ones(PIXELS, np.float32)
wide, wide_out = pixels.reshape(-1, WIDE), out.reshape(-1, WIDE)
mask = rng.random(pixels.shape) < 0.5
grey = rng.standard_normal((255, 255), np.float32)
row, column = grey.strides
taps = as_strided(grey, (127, 127, 3, 3), (2 * row, 2 * column, row, column), writeable=False)
short, long = np.empty((127, 127, 3, 3), np.float32), np.empty((3, 3, 127, 127), np.float32)


def copy_short() -> Array:
    np.copyto(short, taps)
    return short


def copy_long() -> Array:
    np.copyto(long, taps.transpose(2, 3, 0, 1))
    return long.transpose(2, 3, 0, 1)


pairs: dict[str, tuple[Callable[[], Array], Callable[[], Array]]] = {
    "times a vector:\nrows of 64, of 8192": (
        lambda: np.multiply(pixels, vector, out=out),
        lambda: np.multiply(wide, repeated, out=wide_out),
    ),
    "ReLU: maximum with\na number, with zeros": (
        lambda: np.maximum(pixels, 0, out=out),
        lambda: np.maximum(wide, zeros, out=wide_out),
    ),
    "mask: where,\nmultiply": (
        lambda: np.where(mask, pixels, np.float32(0)),
        lambda: np.multiply(pixels, mask, out=out),
    ),
    "sum over pixels:\nsum(0), ones @": (lambda: pixels.sum(0), lambda: ones @ pixels),
    "windows: by rows\nof 3, of 127": (copy_short, copy_long),
}

gains = {}
with blas.limit(limits=1):
    for name, (plain, used) in pairs.items():
        expected = plain().copy().reshape(-1)
        np.testing.assert_allclose(used().reshape(-1), expected, rtol=1e-4, atol=1e-3)
        spent = race({"plain": plain, "used": used})
        gains[name] = spent["plain"].min() / spent["used"]

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
draw(ax, "9.6", gains, "times as fast, the second way over the first", mark=1)

# %% [markdown]
# *Figure 9.6. Measured: five operations done in the plain way and in the library's. Red: no
# difference.*
#
# None of this can be seen in the program. It was found by measuring, on one kind of processor and
# with one version of NumPy: `python -m bench costs` measures it on yours. In the kept figures all
# five are worth it <!-- holds min(kept["figures"]["9.6"].values()) > 1 -->. If a bar ends left of
# the red line, the library's way is the slower one on your machine.

# %% [markdown]
# ## Fewer passes
#
# A *pass* reads or writes an entire array once. The elementwise work of a network is limited by
# memory, so its cost is its number of passes, not its number of operations. Let us count them for
# batch norm and ReLU after a convolution, with $y$ the convolution's output (chapter 3):
#
# | step | plainly | in the library |
# |---|---|---|
# | mean: read $y$ | 1 | 0, while the tile is in cache |
# | variance: read $y$ | 1 | 0, the same |
# | normalise: read $y$, write | 2 | 2, for both |
# | ReLU: read, write | 2 | |
# | **sum** | **6** | **2** |
#
# Six passes are the minimum without tiles. Plain NumPy takes more, because each operation of the
# formula makes a new array.
#
# A tile for elementwise work is a megabyte. Scale, shift and ReLU are three NumPy calls; done tile
# by tile, the second and third call find the tile in cache, and memory sees one pass. Now we try
# both ways after the first layer of the network, from the 3 channels of the photograph to 64, where
# images are largest and products smallest:

# %%
# measured
photos = rng.standard_normal((4, 255, 255, 3), np.float32)
w1 = rng.standard_normal((K, K, 3, 64), np.float32)
gamma, beta = rng.random((2, 64), np.float32) + np.float32(0.5)
EPS = 1e-5


def plainly() -> Array:
    y = conv2d.conv2d(photos, w1, S)
    mean, var = y.mean((0, 1, 2)), y.var((0, 1, 2))
    normalized = (y - mean) / np.sqrt(var + np.float32(EPS)) * gamma + beta
    return np.maximum(normalized, 0)


def fewer_passes() -> Array:
    moments = Moments()
    y = conv2d.conv2d(photos, w1, S, epilogue=moments)
    normalized: Array = batchnorm.normalize_relu(y, moments.mean, moments.var, gamma, beta, EPS)
    return normalized


np.testing.assert_allclose(fewer_passes(), plainly(), rtol=1e-3, atol=1e-4)
spent = race(
    {
        "convolution alone": lambda: conv2d.conv2d(photos, w1, S),
        "with batch norm\nand ReLU, plainly": plainly,
        "the same,\nfewer passes": fewer_passes,
    }
)
alone = spent["convolution alone"].min()
fig, ax = plt.subplots(figsize=(7, 2.8), layout="constrained")
speeds = {name: alone / seconds for name, seconds in spent.items()}
draw(ax, "9.7", speeds, "convolution alone / time", mark=1)

# %% [markdown]
# *Figure 9.7. Measured: the speed of the layer followed by batch norm and ReLU, as a fraction of
# that of the convolution alone. Done plainly, work that hardly counts in FLOP takes most of the
# time in the kept figures <!-- holds kept["figures"]["9.7"]["with batch norm\nand ReLU, plainly"] <
# 0.5 -->, and with fewer passes less <!-- holds ratio("9.7", "the same,\nfewer passes", "with batch
# norm\nand ReLU, plainly") > 1.2 -->.*

# %% [markdown]
# ## Where the time goes
#
# All this is worth nothing in the wrong place. If a part takes a fraction $p$ of the time and
# becomes $g$ times as fast, the program becomes
#
# $$ \frac{1}{1 - p + p / g} $$
#
# times as fast (*Amdahl's law*). With $p = 0.04$ even an infinitely fast part gains 4 %. So look
# first. `minispiral.profiling.profile` times a training step by layer and kind of work; here, one
# of a small Spiral-Net.

# %%
# measured
network = SpiralNet(depths=(1, 2, 3), width=0.5, rng=np.random.default_rng(0))
adam = Adam(network.named_parameters(), lr=1e-4)
patches = rng.standard_normal((4, 127, 127, 3), np.float32)
crack = rng.random((4, 127, 127, 1)) < 0.01


def step() -> None:
    adam.zero_grad()
    pseudo_f1(network(Tensor(patches)), crack).backward()
    adam.step()


step()  # warm up
with profile() as p:
    for _ in range(5):
        step()
kinds = {kind: work.seconds / p.seconds for kind, work in p.kinds().items()}
kinds = {kind: share for kind, share in kinds.items() if share >= 0.02 and kind != REST}
kinds["all other work"] = 1 - sum(kinds.values())
live["9.8"] = kinds

p_largest = max(kinds.values())
print(f"twice as fast in the largest part: {1 / (1 - p_largest / 2):.2f} times as fast in all")

if "MINISPIRAL_BOOK_KEEP" in os.environ:  # a file for the figures of this run
    machine = f"{platform.machine()}, {parallel.threads()} threads, NumPy {np.__version__}"
    machine += f", load {load:.1f} at the start"
    best = {
        figure: {name: round(float(value), 3) for name, value in values.items()}
        for figure, values in live.items()
    }
    text = json.dumps({"machine": machine, "figures": best}, indent=1)
    Path(os.environ["MINISPIRAL_BOOK_KEEP"]).write_text(text + "\n")

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
ax.barh(range(len(kinds)), list(kinds.values()), color="C0", alpha=0.6)
for i, kind in enumerate(kinds):
    if kind in kept["figures"].get("9.8", {}):
        ax.plot(kept["figures"]["9.8"][kind], i, "D", color="C1", mec="white")
ax.set_yticks(range(len(kinds)), kinds)
ax.invert_yaxis()
ax.set_xlabel("share of the time of a training step")

# %% [markdown]
# *Figure 9.8. Measured: five training steps of a small Spiral-Net, by kind of work; diamonds:
# kept.*
#
# (To keep the figures of your machine in the place of ours, run the chapter with the environment
# variable `MINISPIRAL_BOOK_KEEP=docs/book/09_measured.json`.)
#
# This network is narrow, so its products are small and elementwise work weighs more than in the
# network of the paper. [How fast can NumPy go?](../speed.md) has the figures for that one: compared
# with PyTorch, with what was tried and did not help, and with what still stands in the way.

# %% [markdown]
# ## Where it lives
#
# **Now read** some 70 lines: `minispiral.kernels.cpu.parallel.run`, with
# `minispiral.kernels.cpu.parallel.scratch` and `minispiral.kernels.cpu.parallel.even_slices`; then
# `minispiral.kernels.cpu.conv2d_pixels.conv2d` and
# `minispiral.kernels.cpu.conv2d_pixels.conv2d_weight_grad`; both rest on it. Why may the second of
# them not simply add to `gw`?
#
# - `minispiral.kernels.cpu.conv2d.conv2d`: three products, and how threads share them
# - `minispiral.kernels.cpu.conv2d_pixels.conv2d`: tiles
# - `minispiral.kernels.cpu.conv2d_pixels.conv2d_weight_grad`: partial sums in a fixed order
# - `minispiral.kernels.epilogues.Moments`: what is done while a tile is in cache
# - `minispiral.kernels.cpu.parallel.run`: tasks for threads, BLAS limited to one
# - `minispiral.kernels.cpu.parallel.submit`: work that nothing waits for yet, in the background
# - `minispiral.kernels.cpu.parallel.even_slices`: an even number of parts
# - `minispiral.kernels.cpu.parallel.empty`: reused memory
# - `minispiral.kernels.cpu.parallel.scratch`: a thread's own buffer
# - `minispiral.kernels.cpu.batchnorm.scale_shift_relu`: three calls, one pass, long rows
# - `minispiral.profiling.profile`: where the time goes
#
# `python -m bench costs`, `python -m bench cpu layers` and `python -m bench cpu step` measure on
# your machine what this chapter has shown for a small layer.
#
# ## To read on
#
# - S. Williams, A. Waterman and D. Patterson, *Roofline: An Insightful Visual Performance Model for
#   Multicore Architectures*, Communications of the ACM 52, 2009. The bound with which the chapter
#   begins, as a drawing that shows what to improve.
# - K. Goto and R. A. van de Geijn, *Anatomy of High-Performance Matrix Multiplication*, ACM
#   Transactions on Mathematical Software 34, 2008. What `sgemm` does inside: tiles for every cache.
# - U. Drepper, *What Every Programmer Should Know About Memory*, 2007. Caches, pages and faults,
#   with measurements.

# %% [markdown]
# ## Exercises
#
# Write each function into a file of your own and check it with `minispiral exercise 9.1 answer.py`.
# The checks count and compare. None of them uses a clock, so the verdict is the same on any
# machine.
#
# ### Exercise 9.1 ★★
#
# Write `scale_shift_relu(x, scale, shift)`, which replaces `x` by `max(scale * x + shift, 0)` *in
# place* and returns nothing. `x (m, c)` is float32 and contiguous, `scale` and `shift` are vectors
# `(c,)`. You may assume that `c` divides 4096 and that `m * c` is a multiple of 4096, so that `x`
# can be viewed as rows of 4096 numbers. Three rules:
#
# - make no new array as large as `x`;
# - all operations together process at most `3 * m * c` numbers, plus a few times 4096 for work on
#   the vectors (a comparison is an operation, and so is a write where a mask says so);
# - each operation on numbers of `x` runs along rows of at least 4096.
#
# ### Exercise 9.2 ★★
#
# Write `conv2d_in_tiles(x, w, stride, most, multiply)`, a convolution without padding that returns
# `y (n, oh, ow, co)` in float32, for `x (n, h, v, ci)` and `w (kh, kw, ci, co)`. Use the given
# function `multiply(rows, weights)`, which returns `rows @ weights`, for every product: `weights`
# is `w.reshape(kh * kw * ci, co)`, and `rows (pixels, kh * kw * ci)` are the windows of one tile. A
# tile consists of $r$ complete rows of one output image, and the last tile of an image of the
# remaining rows, with
#
# $$ r = \min(o_h,\; \lfloor \text{most} / (o_w k_h k_w c_i) \rfloor), $$
#
# so that `multiply` is called $n \lceil o_h / r \rceil$ times and never with more than `most`
# numbers in `rows`. You may assume $r \ge 1$.
#
# ### Exercise 9.3 ★★★
#
# Write `run_in_order(work, tasks, threads)`, which calls `work(task)` once for each task of the
# list `tasks` and returns the results as a list, in the order of the tasks. `tasks` may be empty,
# and `threads` is at least 1. Up to `threads` tasks run at the same time, each on a thread of its
# own. A thread that has finished a task takes the next one that nobody has taken: no thread waits
# while there is a task left. If `work` raises an exception, `run_in_order` raises it too.
#
# ### On paper
#
# **A.** Elementwise work takes 40 % of a step and becomes four times as fast. By how much does the
# step become faster? A memory delivers 20 GB a second: how many numbers a second can ReLU do at
# most, in float32, and what share is that of a peak of 200 GFLOP/s?
#
# **B.** A call of NumPy needs the GIL for $g$ seconds and then computes for $c$ seconds without it.
# How many calls a second can $t$ threads make at most, and how many times as fast as one thread is
# that? Let $g$ be 5 microseconds, and let a core compute at 100 GFLOP/s. How many rows of the
# output must a tile of this chapter's layer have, at least, to keep 16 threads busy with products?
# And how many numbers must a tile of a ReLU have, if a core reads and writes 10 GB a second
# together?
#
# **C.** Let $y_0 = a_0 u_0 + a_1 u_1$ and $y_1 = a_1 u_0 + a_2 u_1$: four products. Find both from
# the three products $m_1 = (a_0 - a_1)\, u_0$, $m_2 = a_1 (u_0 + u_1)$ and
# $m_3 = (a_1 - a_2)\, u_1$. Use this for two neighbouring outputs of a kernel of three weights with
# stride 2, along one axis: 5 products instead of 6, and so 25 instead of 36 in two dimensions. How
# much time does that save at best in this chapter's layer, at 200 GFLOP/s? The 25 products are
# matrix products, and what they give must be written and read once more for the sums. How long does
# that take at 20 GB a second? Is it worth it?
#
# ### Experiment
#
# Run the race with one image and with sixteen, and with channels 8 to 16 instead of 64 to 128.
# Where does way 5 stop paying, and why? What would you do there?
