# %% [markdown]
# # 8. The same kernels on a GPU
#
# After this chapter you can
#
# - read a CUDA kernel and say what each of its threads does;
# - say how much memory the threads of a kernel read before you run it;
# - place barriers, and see what happens when one is missing;
# - explain tiles, tensor cores, float32 as three TF32 products, split-K and CUDA graphs, and say
#   why the kernels of this library use no atomics.
#
# It takes about two hours. You need chapter 2 (convolution as a product) and a little of chapter 3
# (mean and variance). You need no GPU. The kernels of this library, in *CUDA* C, a dialect of C for
# the GPUs of NVIDIA, are in `kernels/cuda/*.cu`. The tests run them on a *stand-in*: a program that
# emulates the GPU on the CPU, one thread after another. This chapter uses the same stand-in. It
# shows what the kernels compute and how. It cannot show how fast they are, and this chapter says
# nothing about that: [The GPU](../gpu.md) says what has been measured.

# %% [markdown]
# ## The idea
#
# A CPU has a few fast cores. A GPU has thousands of slow ones, and it takes tens of thousands of
# *threads* to keep them busy. Nobody writes that many programs. You write one, the *kernel*, for a
# single thread, and the thread is told its number. From the number it works out which part of the
# work is its own. There is no loop over pixels any more: each thread *is* a pixel.
#
# Three things make this harder than it sounds, and they fill the chapter:
#
# 1. **Memory.** Thousands of cores wait for the same memory. How the threads divide up their reads
#    determines most of the speed.
# 2. **Cooperation.** Threads that work on one result must wait for each other, in the right places.
# 3. **Order.** Threads run in any order, and floating-point sums depend on the order. We want the
#    same bits every time.
#
# The next cell looks for what the stand-in needs: a C++ compiler, and the folder `tests` of a
# checkout of this repository. If either is missing, the cells that need it say so, and all others
# still work.

# %%
import itertools
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from minispiral.kernels import arithmetic, batchnorm, conv2d, losses, reference
from minispiral.kernels.adam import Update
from minispiral.kernels.cuda import conv2d_few, conv2d_mma, launch, sources, split_k
from minispiral.kernels.cuda.tf32 import tf32

plt.rcParams["font.size"] = 10
Array = NDArray[Any]
rng = np.random.default_rng(8)

CHECKOUT = sources.FOLDER.parents[1]
sys.path.insert(0, str(CHECKOUT))
try:
    from tests import cuda_on_cpu
    from tests.cuda_on_cpu import CpuDevice
except ImportError as error:
    MISSING = f"the folder tests of a checkout ({error})"
else:
    MISSING = "" if cuda_on_cpu.can_run() else "a C++ compiler, on Linux or macOS"
if MISSING:
    print(f"No kernel will run in this chapter: it needs {MISSING}.")
else:
    print("Kernels run on the CPU.")

# %% [markdown]
# ## A grid of threads
#
# Threads come in *blocks* of at most 1024 threads, and the blocks of one *launch*, a call of a
# kernel, form the *grid*. A thread knows four numbers: `threadIdx.x`, its index in the block;
# `blockIdx.x`, the index of its block in the grid; and `blockDim.x` and `gridDim.x`, the numbers of
# threads and blocks. Its index among all threads is
#
# $$ i = \text{blockIdx.x} \cdot \text{blockDim.x} + \text{threadIdx.x}. $$
#
# All blocks have the same number of threads. So $n$ numbers with blocks of $t$ threads need $\lceil
# n / t \rceil$ blocks (the brackets round up), and the last block may have threads without work.
# These must be told to do nothing, or they will write past the end of the array. In Python, with
# loops where the GPU has threads:


# %%
def sigmoid_thread(block: int, thread: int, threads: int, x: Array, y: Array) -> None:
    i = block * threads + thread
    if i < len(x):
        y[i] = 1 / (1 + np.exp(-x[i]))


x = rng.standard_normal(700)
y = np.full_like(x, np.nan)
threads = 256
blocks = -(-len(x) // threads)  # rounded up
for block in range(blocks):
    for thread in range(threads):
        sigmoid_thread(block, thread, threads, x, y)
assert np.allclose(y, arithmetic.sigmoid(x))
print(f"{blocks} blocks, {blocks * threads - len(x)} threads without work")

# %% [markdown]
# Here is the library's kernel, from `kernels/cuda/arithmetic.cu`; `own_element` is the index as
# above. `template <class T>` makes one kernel for float and one for double. `__global__` says that
# it is a kernel, and `__launch_bounds__(256)` that its blocks have at most 256 threads.
# `const T *x` is an array to read from.


# %%
def show(file: str, name: str) -> None:
    """Print a function of a file in ``kernels``."""
    text = (sources.FOLDER / file).read_text(encoding="utf-8")
    start = re.search(rf"^(template .*\n)?.*\n?.*\b{name}\((.|\n)*?^}}$", text, re.MULTILINE)
    assert start is not None
    print(start[0])


show("arithmetic.cu", "sigmoid_of")

# %% [markdown]
# Each kernel has a Python function in `minispiral.kernels.cuda` that works out the grid and
# launches it: here `minispiral.kernels.cuda.arithmetic.sigmoid`, which
# `minispiral.kernels.arithmetic.sigmoid` calls for arrays that are not NumPy's. On a machine with a
# GPU these are CuPy arrays. Here they belong to the stand-in, `CpuDevice`.


# %%
def on_device(function: Callable[..., Any], *arguments: Any, **device: Any) -> Any:
    """The result of a function of `minispiral.kernels`, run by the stand-in."""
    return cuda_on_cpu.call(CpuDevice(**device), function, *arguments)


if not MISSING:
    found = on_device(arithmetic.sigmoid, x)
    print(f"largest difference to NumPy: {np.abs(found - arithmetic.sigmoid(x)).max():.1e}")
    assert np.allclose(found, arithmetic.sigmoid(x), rtol=1e-12)

# %% [markdown]
# ## Coalesced reads
#
# A GPU runs threads in groups of 32, the *warps*. As a rule, the threads of a warp execute the same
# instruction at the same time. If it is a read, all 32 addresses go to memory together. Memory is
# delivered in *sectors* of 32 bytes, whether one byte of a sector is needed or all of them.
#
# So it matters which thread reads what. Take an image `(pixels, 64 channels)` of float32, 4 bytes
# each, with the channels adjacent in memory. A warp can read 32 channels of one pixel, or one
# channel of 32 pixels. Either way it reads 128 bytes of data.


# %%
def sectors(addresses: Array) -> int:
    """How many sectors of 32 bytes a warp requests."""
    return len(np.unique(addresses // 32))


lane = np.arange(32)  # the index of a thread in its warp
channels_of_a_pixel = 4 * lane
a_channel_of_pixels = 4 * 64 * lane
print(f"32 channels of one pixel: {sectors(channels_of_a_pixel):2d} sectors")
print(f"one channel of 32 pixels: {sectors(a_channel_of_pixels):2d} sectors")

steps = np.arange(1, 17)
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
delivered = [sectors(4 * step * lane) * 32 for step in steps]
ax.plot(steps, delivered, "o-", label="delivered")
ax.axhline(128, color="C3", ls="--", label="wanted")
ax.set(xlabel="distance between neighbouring threads' numbers (numbers)", ylabel="bytes for a warp")
ax.set_ylim(0, 1100)
ax.legend()

# %% [markdown]
# *Figure 8.1. What memory delivers to a warp whose threads each read one float32, against the
# distance between the numbers that neighbouring threads read. From 8 numbers on, each thread has a
# sector to itself, and seven eighths <!-- holds set(delivered[7:]) == {8 * 128} --> of what is
# delivered is thrown away.*
#
# Reads from adjacent addresses are called *coalesced*. Images are stored with channels last, so in
# the kernels neighbouring threads handle neighbouring channels. Look at the plain convolution: `at`
# counts the results, and `k`, the channel of the result, varies fastest. In the innermost loop, the
# 32 threads of a warp all read the same `pixel[c]` (one sector) and 32 neighbouring weights (four
# sectors).

# %%
show("conv2d_plain.cu", "conv2d")

# %% [markdown]
# It is the formula of chapter 2 without its outer loops: one thread computes one number. The
# letters are those of that chapter, except that $r$ and $t$ are called `row` and `col`. Two things
# are added: each tap's sum is taken by itself first, which keeps digits, and `ScaledReLU` may do
# batch norm and ReLU at the end, as in chapter 3's evaluation. Let us run it and compare it with
# the plain loops of `minispiral.kernels.reference`.

# %%
photo = rng.standard_normal((2, 9, 7, 5))
w = rng.standard_normal((3, 3, 5, 6))
if not MISSING:
    found = on_device(conv2d.conv2d, photo, w, 2, 1)
    difference = np.abs(found - reference.conv2d(photo, w, 2, 1)).max()
    print(f"largest difference to the plain loops: {difference:.1e}")
    assert difference < 1e-12

# %% [markdown]
# ## Shared memory and barriers
#
# The threads of a block can work together. They have a small memory of their own, the *shared
# memory*, which is as close to the core as a cache: at most a few hundred kilobytes, managed by the
# program itself. What one thread has written there, another can read. But when? Threads run at
# different speeds. So there is a *barrier*: `__syncthreads()`. A thread that reaches it waits until
# all threads of its block have reached it.
#
# We can emulate this in Python. A thread is a generator: a function that can pause in the middle
# and continue later. `yield` is the barrier. To run a block, run each thread up to its next
# barrier, one after another, and repeat. Two details expose mistakes: shared memory holds NaN (not
# a number) until something is written, and we can run the threads in reverse order.

# %%
Threads = Callable[..., Iterator[None]]


def run_block(kernel: Threads, threads: int, *arguments: Any, reverse: bool = False) -> None:
    """Run a block: each thread up to its next barrier, in order or in reverse."""
    numbers = reversed(range(threads)) if reverse else range(threads)
    running = [kernel(thread, *arguments) for thread in numbers]
    while running:
        waiting = [thread for thread in running if next(thread, "done") is None]
        if waiting and len(waiting) < len(running):
            raise RuntimeError(f"{len(waiting)} of {len(running)} threads wait at a barrier")
        running = waiting


def turn(thread: int, x: Array, shared: Array, y: Array, barrier: bool) -> Iterator[None]:
    """Reverse an array: each thread writes one number and reads another thread's."""
    shared[thread] = x[thread]
    if barrier:
        yield
    y[thread] = shared[len(x) - 1 - thread]


x = np.arange(8.0)
for barrier in (True, False):
    y = np.empty(8)
    run_block(turn, 8, x, np.full(8, np.nan), y, barrier)
    print(f"with barrier {barrier!s:5}: {y}")

# %% [markdown]
# Without the barrier half of the threads read what nobody has written yet. On a GPU the outcome
# would be random: often right, sometimes not. The stand-in makes the worst case certain. It does
# with real kernels what `run_block` does with generators: each CUDA thread is a *fiber*, a function
# that can pause in the middle. `tests/cuda_on_cpu/examples.cu` has the same two kernels:

# %%
if not MISSING:
    device = CpuDevice()
    examples = CHECKOUT / "tests" / "cuda_on_cpu" / "examples.cu"
    kernels = ["turn<true>", "turn<false>"]
    x8 = device.put(np.arange(8, dtype=np.float32))
    for i, name in enumerate(kernels):
        y8 = device.empty((8,), np.float32)
        shared_bytes = 8 * 4
        device.run(examples, kernels, i, (1,), (8,), shared_bytes, [x8, y8])
        print(f"{name:12s}", device.get(y8))

# %% [markdown]
# ### A sum by all threads of a block
#
# How do 8 threads sum an array? Each first adds every eighth number, starting from its own. (Why
# not give each a contiguous chunk? Because of the sectors: neighbouring threads must read
# neighbouring numbers.) Then 4 threads add the sums of the other 4, then 2, then 1. There is a
# barrier between any two steps, because a thread reads what another has written in the step before.


# %%
def block_sum(thread: int, x: Array, parts: Array, total: Array) -> Iterator[None]:
    own = x.dtype.type(0)
    for value in x[thread :: len(parts)]:
        own += value
    parts[thread] = own
    yield
    half = len(parts) // 2
    while half > 0:
        if thread < half:
            parts[thread] += parts[thread + half]
        yield
        half //= 2
    if thread == 0:
        total[0] = parts[0]


x = rng.standard_normal(1000).astype(np.float32)
totals = []
for reverse in (False, True):
    total = np.full(1, np.nan, np.float32)
    run_block(block_sum, 8, x, np.full(8, np.nan, np.float32), total, reverse=reverse)
    totals.append(total[0])
print("in order and in reverse:", *totals)
assert totals[0] == totals[1], "the same bits"
assert np.isclose(totals[0], x.sum(dtype=np.float64), atol=1e-4)

# %%
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
places = np.arange(8)
for step, half in enumerate((4, 2, 1)):
    for thread in range(half):
        for source in (thread, thread + half):
            ax.annotate(
                "",
                (thread, step + 0.88),
                (source, step + 0.12),
                arrowprops={"arrowstyle": "->", "color": "C0" if source == thread else "C1"},
            )
    ax.axhline(step + 0.5, color="C3", lw=1, ls=":")
for step, count in enumerate((8, 4, 2, 1)):
    ax.plot(places[:count], np.full(count, step), "o", ms=15, color="white", mec="black")
    for thread in range(count):
        ax.text(thread, step, str(thread), ha="center", va="center")
ax.set_xticks(places, [f"parts[{i}]" for i in places], rotation=30)
ax.set_yticks(range(4), ["each its own", "8 to 4", "4 to 2", "2 to 1"])
ax.set(xlim=(-0.5, 7.5), ylim=(3.4, -0.4), xlabel="shared memory")

# %% [markdown]
# *Figure 8.2. Eight threads sum eight numbers. A circle is a thread that writes, an orange arrow is
# a number that another thread has written, a dotted red line is a barrier.*
#
# Which thread adds what depends only on the thread indices. That is why both orders gave the same
# bits. In the library this is `merge_rows`, which is more general: it merges not only sums but
# anything that has a function `merge`, such as the means and variances of chapter 3. The kernels of
# batch norm and of the losses use it.

# %%
show("rows.cuh", "merge_rows")

# %% [markdown]
# Now let us remove a barrier from the real source. `cuda_on_cpu.mutant` makes a copy of the kernels
# with a piece of text replaced. **Predict**, before you run it: threads run one after another, up
# to the next barrier. In which order can the mean of an image still be right, from the first thread
# to the last or from the last to the first?

# %%
image = rng.standard_normal((2, 17, 19, 3)).astype(np.float32)
if not MISSING:
    used = ("block_moments<float>", "merge_moments<float>")
    print("NumPy                ", batchnorm.moments(image)[0])
    print("kernel               ", on_device(batchnorm.moments, image, only=used)[0])
    with tempfile.TemporaryDirectory() as folder:
        before = "parts[at + half * blockDim.x]);\n    __syncthreads();"
        after = "parts[at + half * blockDim.x]);"
        broken = cuda_on_cpu.mutant(
            sources.FOLDER, "rows.cuh", before, after, Path(folder) / "kernels"
        )
        for reverse in (False, True):
            mean, _ = on_device(
                batchnorm.moments, image, kernels=broken, only=used, reverse=reverse
            )
            print("without, in reverse  " if reverse else "without, in order    ", mean)

# %% [markdown]
# In one of the orders the result can even be right. This is what makes such a mistake hard to find
# on a GPU, and why the tests run every kernel in both orders and demand the same bits. They also
# make this very change, and some forty others <!-- holds 40 <
# len(resolve_name("tests.cuda_on_cpu.test_mutations").MISTAKES) < 50 -->, and demand that each is
# detected.
#
# A barrier must be reached by *all* threads of the block. One inside `if (thread < half)` makes
# half of the threads wait for the others forever. Our `run_block` raises an error for it, and so
# does the stand-in.


# %%
def barrier_for_some(thread: int, count: int) -> Iterator[None]:
    if thread < count:
        yield


try:
    run_block(barrier_for_some, 64, 63)
except RuntimeError as error:
    print("run_block:   ", error)

if not MISSING:
    try:
        device.run(examples, ["barrier_for_some"], 0, (1,), (64,), 0, [np.int32(63)])
    except cuda_on_cpu.KernelError as error:
        print("the stand-in:", error)

# %% [markdown]
# ## Sums over all blocks, without atomics
#
# There is no barrier between blocks: a GPU may run the last block long after the first has
# finished. So how do blocks contribute to one sum? There is a quick way: an *atomic* addition adds
# a number to a memory location in one indivisible step, and every block adds its part whenever it
# is done. The parts are then added in the order in which the blocks happen to finish. Let us see
# what that does. Here are 256 parts of a sum in float32, added in 2000 random orders.

# %%
parts = rng.standard_normal(256).astype(np.float32)


def sum_in_order(values: Array) -> np.float32:
    total = np.float32(0)
    for value in values:
        total += value
    return total


by_chance = np.array([sum_in_order(rng.permutation(parts)) for _ in range(2000)])
in_double = np.float32(sum(parts.astype(np.float64)))
unit = np.spacing(in_double)  # from this float32 number to the next
print(f"{len(set(by_chance))} different results of one sum")

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
off = np.round((by_chance.astype(np.float64) - in_double) / unit)
ax.hist(off, bins=np.arange(off.min(), off.max() + 2) - 0.5, label="added in random orders")
ax.axvline(0, color="C3", label="second pass in float64, fixed order")
ax.set(xlabel="distance from the right float32 number (units in its last place)", ylabel="sums")
ax.legend()

# %% [markdown]
# *Figure 8.3. One sum of 256 numbers, taken in 2000 orders. With atomic additions the order would
# be random; with a second pass it is fixed.*
#
# The differences are tiny. But each training step starts from the results of the one before, so
# they grow, and two runs with the same seed diverge. The library's rule is that the same seed gives
# the same bits. So it sums in *two passes*. In the first, each block writes its part to a place of
# its own. In the second, another kernel adds the parts in float64, in the order of their indices.
# That is little work, and the shapes alone determine the order.

# %%
show("losses.cu", "block_sums")
print()
show("losses.cu", "merge_sums")

# %% [markdown]
# These two compute the three sums of the F1 score, Eq. 6 of the paper: the number of crack pixels,
# the sum of $\sigma$ on crack, and the sum of $\sigma$ over all pixels. The stand-in reports which
# kernels have run.

# %%
logits = rng.standard_normal((2, 63, 63, 1)).astype(np.float32)
mask = rng.random(logits.shape) < 0.02
if not MISSING:
    orders = []
    for reverse in (False, True):
        device = CpuDevice(reverse)
        orders.append(np.array(cuda_on_cpu.call(device, losses.sums, losses.F1(), logits, mask)))
    print("kernels", device.launched)
    print("sums   ", orders[0])
    print("NumPy  ", np.array(losses.sums(losses.F1(), logits, mask)))
    assert orders[0].tobytes() == orders[1].tobytes(), "the same bits in both orders"

# %% [markdown]
# ## Tiles
#
# Convolution is a matrix product (chapter 2): $C = AB$ with $A$ of $m \times k$ numbers and $B$ of
# $k \times n$. A thread that computes one number of $C$ reads a row of $A$ and a column of $B$,
# $2k$ numbers for $k$ multiplications. All threads together read $2mnk$ numbers, and each number of
# $A$ is read $n$ times.
#
# A block can do better. It computes a *tile* of $C$, of $t_m \times t_n$ numbers, and moves along
# $k$ in steps. In each step its threads copy a tile of $A$ and a tile of $B$ to shared memory, wait
# at a barrier, and multiply the tiles from there. A number of $A$ is then read once for each *tile*
# in its row, $n / t_n$ times, and a number of $B$ $m / t_m$ times. In total, the number of reads is
#
# $$ mnk \left(\frac{1}{t_m} + \frac{1}{t_n}\right). $$
#
# Let us check this with a tiled product that counts its reads. A step covers 16 terms of the sums,
# as in the library.


# %%
def product_in_tiles(a: Array, b: Array, tile_m: int, tile_n: int) -> tuple[Array, int]:
    """The product, and how many numbers of a and b were read."""
    (m, k), n = a.shape, b.shape[1]
    c, read = np.zeros((m, n)), 0
    for i, j in itertools.product(range(0, m, tile_m), range(0, n, tile_n)):  # a block each
        for step in range(0, k, conv2d_mma.TERMS):
            a_tile = a[i : i + tile_m, step : step + conv2d_mma.TERMS].copy()  # to shared memory
            b_tile = b[step : step + conv2d_mma.TERMS, j : j + tile_n].copy()
            read += a_tile.size + b_tile.size
            c[i : i + tile_m, j : j + tile_n] += a_tile @ b_tile
    return c, read


m, n, k = 256, 128, 64
a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
for tile_m, tile_n in ((16, 16), (64, 64), (128, 64), (128, 128)):
    c, read = product_in_tiles(a, b, tile_m, tile_n)
    assert np.allclose(c, a @ b)
    assert read == m * n * k * (1 / tile_m + 1 / tile_n)
    print(f"tiles of {tile_m:3d} x {tile_n:3d}: {read / (m * n * k):.4f} numbers for a product")

# %%
fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
sides = 2.0 ** np.arange(9)
ax.plot(sides, 2 / sides, "o-", label="square tiles")
for name in ("Large", "Small"):
    tile_m, tile_n, _ = conv2d_mma.TILINGS[name]
    reads = 1 / tile_m + 1 / tile_n
    ax.plot((tile_m * tile_n) ** 0.5, reads, "s", ms=9, label=f"{name}: {tile_m} x {tile_n}")
ax.set_xscale("log", base=2)
ax.set_yscale("log", base=2)
ax.set(xlabel="side of a tile (numbers)", ylabel="numbers read for a product")
ax.legend()

# %% [markdown]
# *Figure 8.4. Reads per multiplication, against the size of a tile. A tile of one number is the
# kernel in which each thread computes one number. Squares: the tiles of the library's kernels,
# Small and Large.*
#
# Why not still larger tiles? The block keeps its tile of $C$ in *registers*, the few numbers that
# each thread holds in the core itself, at most 255 per thread.
#
# **Banks.** Shared memory consists of 32 *banks*, and number $i$ is in bank $i \bmod 32$. If two
# threads of a warp need different numbers from the same bank, one waits: a *bank conflict*. Below,
# a warp reads its part of a tile with 16 numbers in a row: thread $l$ needs the number in row
# $g = \lfloor l / 4 \rfloor$ and column $q = l \bmod 4$. How many threads use the busiest bank?


# %%
def busiest_bank(pitch: int) -> int:
    """The most threads that use the same bank, where rows are ``pitch`` numbers apart."""
    g, q = lane // 4, lane % 4
    return int(np.bincount((g * pitch + q) % 32).max())


for pitch in (16, 17, 18, 20):
    print(f"rows {pitch} numbers apart: {busiest_bank(pitch)} threads in one bank")
assert busiest_bank(20) == 1

# %% [markdown]
# With four unused numbers after each row of 16, all 32 threads can read at once. The copies move
# four numbers at a time, so a row must begin at a multiple of four: 20 is the smallest distance
# that works. The library wastes no memory: it exchanges the four chunks of four numbers in each
# row. Chunk $c$ of row $r$ lies in place $c \oplus (\lfloor r / 2 \rfloor \bmod 4)$, where $\oplus$
# is the exclusive or of the bits, `^` in Python. A warp reads eight rows of one chunk at a time
# (`ldmatrix`), 32 numbers:

# %%
r = np.arange(8)
for name, place in (("in order", 0 * r + 2), ("exchanged", 2 ^ (r // 2 % 4))):
    numbers = (16 * r + 4 * place)[:, None] + np.arange(4)
    used = np.bincount(numbers.ravel() % 32)
    print(f"the third chunk of eight rows, chunks {name}: {used.max()} numbers in one bank")
assert used.max() == 1

# %% [markdown]
# **Asynchronous copies.** While a block multiplies the tiles of one step, the copies for the next
# three steps <!-- holds conv2d_mma._STAGES - 1 == 3 --> are already under way (`cp.async`). A
# thread requests a copy and goes on. Before it uses the tiles it waits until all its copies except
# those of the last two steps have arrived. Then comes the barrier. If that count is off by one, the
# product reads a tile that is not there yet. The stand-in performs a copy only when it is waited
# for, so the product would read NaN.

# %%
show("matrix_product.cuh", "multiply")

# %% [markdown]
# Unlike NumPy, the convolution never writes out the im2col matrix (*implicit* im2col): the copies
# *are* the gather. Each thread works out where in the image its part of the tile of $A$ lies, and
# requests a copy from there, or zeros where the window extends beyond the border.

# %% [markdown]
# ## Tensor cores
#
# A tensor core multiplies small matrices in one instruction. Issued by a warp, `mma_tf32` computes
# $D \mathrel{+}= AB$ with $A$ of $16 \times 8$, $B$ of $8 \times 8$ and $D$ of $16 \times 8$
# numbers. The matrices are distributed over the registers of the 32 threads: each holds four
# numbers of $A$, two of $B$ and four of $D$. With $g = \lfloor l / 4 \rfloor$ and $q = l \bmod 4$
# for thread $l$:
#
# $$ \begin{aligned}
# a_0 &= A_{g,q} & a_1 &= A_{g+8,q} \\
# a_2 &= A_{g,q+4} & a_3 &= A_{g+8,q+4}
# \end{aligned} $$
#
# $$ b_0 = B_{q,g} \quad b_1 = B_{q+4,g} $$
#
# $$ \begin{aligned}
# d_0 &= D_{g,2q} & d_1 &= D_{g,2q+1} \\
# d_2 &= D_{g+8,2q} & d_3 &= D_{g+8,2q+1}
# \end{aligned} $$

# %%
g, q = lane // 4, lane % 4
OWNERS = {  # for each register of the 32 threads, the row and the column it holds
    "A": {"a0": (g, q), "a1": (g + 8, q), "a2": (g, q + 4), "a3": (g + 8, q + 4)},
    "B": {"b0": (q, g), "b1": (q + 4, g)},
    "D": {"d0": (g, 2 * q), "d1": (g, 2 * q + 1), "d2": (g + 8, 2 * q), "d3": (g + 8, 2 * q + 1)},
}
SHAPES = {"A": (16, 8), "B": (8, 8), "D": (16, 8)}

fig, axes = plt.subplots(1, 3, figsize=(7, 4.2), layout="constrained")
for ax, (name, registers) in zip(axes, OWNERS.items(), strict=True):
    owner = np.full(SHAPES[name], -1)
    for row, column in registers.values():
        assert (owner[row, column] == -1).all(), "no number has two owners"
        owner[row, column] = lane
    ax.imshow(owner, cmap="Blues", vmin=0, vmax=60)
    for register, (row, column) in registers.items():
        place = column[5], row[5]
        ax.text(*place, register[1], ha="center", va="center", color="C3", weight="bold")
    ax.set(title=f"{name} {SHAPES[name]}", xlabel="column", ylabel="row")

# %% [markdown]
# *Figure 8.5. Which thread holds which number: the darker, the higher the index of the thread. Red:
# the numbers of thread 5, with the index of the register.*
#
# If a kernel swaps two registers, it multiplies the wrong matrices, and nothing crashes. The
# stand-in uses the same assignment, so a wrong register shows up as a wrong result.
#
# ### TF32
#
# A float32 number is a sign, an exponent of 8 bits, which sets its range, and a fraction of 23
# bits, which sets its precision. Tensor cores do not multiply such numbers. They take *TF32*: the
# same range, but a fraction of only 10 bits, so each factor has a relative error of up to
# $2^{-11}$, about 0.0005 <!-- = 2**-11 -->. Sums are kept in float32. In NumPy, rounding to TF32
# means adding half of the last bit that stays (a little less if this is 0, so that ties go to the
# even number), and cutting off the other 13 bits:


# %%
def to_tf32(x: Array) -> Array:
    """The nearest numbers with 10 bits of fraction, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    half = np.uint32(0xFFF) + (bits >> np.uint32(13) & np.uint32(1))
    rounded: Array = ((bits + half) & np.uint32(0xFFFFE000)).view(np.float32)
    return rounded


x = rng.standard_normal(1000).astype(np.float32)
error = np.abs(to_tf32(x) - x) / np.abs(x)
print(f"largest relative error {error.max():.6f}, bound {2.0**-11:.6f}")
assert error.max() <= 2.0**-11

if not MISSING:
    device = CpuDevice()
    y = device.empty(x.shape, np.float32)
    device.run(examples, ["round_to_tf32"], 0, (1,), (1000,), 0, [device.put(x), y])
    assert np.array_equal(device.get(y), to_tf32(x)), "the same as the kernels' own"

# %% [markdown]
# ### Float32 as three TF32 products
#
# Float32 accuracy on tensor cores is possible all the same. Split each factor into two TF32
# numbers: the rounded value, and the remainder, rounded again.
#
# $$ \begin{aligned}
# a &= a_1 + a_2 + \varepsilon, \quad |\varepsilon| \le 2^{-22} |a|, \\
# a_1 &= \mathrm{tf32}(a), \quad a_2 = \mathrm{tf32}(a - a_1)
# \end{aligned} $$
#
# Then
#
# $$ ab \approx a_1 b_1 + a_1 b_2 + a_2 b_1 . $$
#
# The fourth product, $a_2 b_2$, is at most $2^{-22}$ of the first, as small as what was lost
# anyway. So three products are enough. The small ones are added first, so that they are not lost
# next to the large one.


# %%
def split(x: Array) -> tuple[Array, Array]:
    first = to_tf32(x)
    return first, to_tf32(x - first)


def product_in_three(a: Array, b: Array) -> Array:
    (a1, a2), (b1, b2) = split(a), split(b)
    total: Array = (a2 @ b1 + a1 @ b2) + a1 @ b1
    return total


lengths = [16, 64, 256, 1024, 4096]
ways: dict[str, Callable[[Array, Array], Array]] = {
    "TF32": lambda a, b: to_tf32(a) @ to_tf32(b),
    "TF32, three products": product_in_three,
    "float32": lambda a, b: a @ b,
}
errors: dict[str, list[float]] = {}
for name, way in ways.items():
    errors[name] = []
    for length in lengths:
        a = rng.standard_normal((64, length)).astype(np.float32)
        b = rng.standard_normal((length, 64)).astype(np.float32)
        exact = a.astype(np.float64) @ b
        errors[name].append(float(np.linalg.norm(way(a, b) - exact) / np.linalg.norm(exact)))

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for (name, each), style in zip(errors.items(), ("o-", "s-", "^--"), strict=True):
    ax.plot(lengths, each, style, label=name)
ax.set_xscale("log", base=2)
ax.set(yscale="log", xlabel="length of the sums", ylabel="relative error")
ax.legend(loc="center right")

# %% [markdown]
# *Figure 8.6. The error of products of random matrices, computed by NumPy with rounded factors and
# sums in float32. A real tensor core truncates its sums where NumPy rounds, which this figure does
# not show. For that reason the library keeps the sums inside a tensor core short when it takes
# three products.*
#
# By default the library's convolutions take three products, inside `with tf32(True)` one. Here are
# both, on the stand-in, against float64:

# %%
image = rng.standard_normal((1, 9, 9, 64)).astype(np.float32)
weights = rng.standard_normal((3, 3, 64, 32)).astype(np.float32)
exact = reference.conv2d(image, weights, 2)
if not MISSING:
    for allowed, name in ((False, "conv2d_mma<Precise>"), (True, "conv2d_mma<Small>")):
        device = CpuDevice(only=[name, "finish_parts"])
        with launch.using(device), tf32(allowed):
            arrays = device.put(image), device.put(weights)
            found = device.get(conv2d.conv2d(*arrays, 2))
        error = np.linalg.norm(found - exact) / np.linalg.norm(exact)
        print(f"tf32({allowed!s:5})  error {error:.1e}  kernels {device.launched}")

# %% [markdown]
# ## Split-K
#
# A second kernel has run: `finish_parts`. Why? A large GPU runs over a hundred blocks at once. The
# result of the layer above has 16 <!-- = exact[..., 0].size --> pixels and 32 <!-- = exact.shape[3]
# --> channels, less than one tile: that would be one block, with the rest of the GPU idle. But the
# sums are long, $9 \cdot 64 = 576$ <!-- = weights[..., 0].size --> products each. So several blocks
# divide the *sums*: each takes some of the steps along $k$ and writes a tile of partial sums to a
# place of its own, and `finish_parts` adds these in order. This is *split-K*, named after the $k$
# of the product. It is the two-pass sum from before, with tiles instead of numbers.
#
# The weight gradient needs it most: its result is as small as the weights, and its sums run over
# all pixels of the batch. The number of parts depends only on the shapes. With $T$ tiles and sums
# of $S$ steps, $p$ parts need $T p$ blocks of $\lceil S / p \rceil$ steps each, and a GPU with room
# for $R$ blocks runs them in $\lceil T p / R \rceil$ waves. The library estimates the time from
# this, and from the bytes of the parts, and takes the $p$ for which it is least, if no block has
# fewer than 8 <!-- = split_k._FEWEST_STEPS --> steps. It counts on the $R = 264$ <!-- =
# conv2d_mma.TILINGS["Precise"].block(products=3).resident * split_k.SMS --> places of an H100, a
# large GPU, on any GPU.


# %%
def parts_of(tiles: int, steps: int) -> int:
    return split_k.parts(tiles, steps, conv2d_mma.TILINGS["Precise"].block(products=3))


class Watched:
    """A device that notes the grid of each launch and passes it on to another device."""

    def __init__(self, device: Any) -> None:
        self.device = device
        self.grids: list[tuple[str, tuple[int, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.device, name)

    def launch(self, kernel: Any, grid: tuple[int, ...], *rest: Any) -> None:
        self.grids.append((kernel.expression, grid))
        self.device.launch(kernel, grid, *rest)


x = rng.standard_normal((4, 31, 31, 16)).astype(np.float32)
gy = rng.standard_normal((4, 15, 15, 32)).astype(np.float32)
rows, columns, _ = conv2d_mma.TILINGS["Precise"]
tiles, steps = -(-9 * 16 // rows), -(-4 * 15 * 15 // conv2d_mma.TERMS)
print(f"{tiles} tiles, {steps} steps of {conv2d_mma.TERMS} pixels: {parts_of(tiles, steps)} parts")

if not MISSING:
    both_orders = []
    for reverse in (False, True):
        only = ["conv2d_weight_grad_mma<Precise>", "sum_parts<float>"]
        watched = Watched(CpuDevice(reverse, only=only))
        with launch.using(watched):
            arrays = watched.put(x), watched.put(gy)
            gw = conv2d.conv2d_weight_grad(*arrays, (3, 3), 2)
            both_orders.append(watched.get(gw))
    for name, grid in watched.grids:
        print(f"{name:32s} grid {grid}")
    assert watched.grids[0][1][-1] == parts_of(tiles, steps)
    assert both_orders[0].tobytes() == both_orders[1].tobytes(), "the same bits in both orders"
    expected = conv2d.conv2d_weight_grad(x, gy, (3, 3), 2)
    assert np.allclose(both_orders[0], expected, rtol=1e-4, atol=1e-3)

# %% [markdown]
# How much does it matter? The figure shows the number of blocks of the weight gradient for the
# layers of the paper's Spiral-Net, at its batch size of 32, without and with split-K.

# %%
sides = [255, 127, 63, 31, 15, 7, 3, 1]
channels = [3, 64, 128, 256, 512, 512, 512, 512]
names, plain, in_parts = [], [], []
for (h, side), (big, small) in zip(
    itertools.pairwise(sides), itertools.pairwise(channels), strict=True
):
    if big > conv2d_few.FEW:  # the first layer has a kernel of its own
        tiles = -(-9 * big // rows) * -(-small // columns)
        steps = -(-32 * side * side // conv2d_mma.TERMS)
        names.append(f"{h} to {side}")
        plain.append(tiles)
        in_parts.append(tiles * parts_of(tiles, steps))

fig, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
at = np.arange(len(names))
ax.bar(at - 0.2, plain, 0.4, label="tiles of the result")
ax.bar(at + 0.2, in_parts, 0.4, label="blocks, with split sums")
ax.axhline(264, color="C3", lw=1, ls="--", label="264 places")
ax.set_xticks(at, names)
ax.set(xlabel="layer, by its sides in pixels", ylabel="blocks", ylim=(0, 560))
ax.legend(ncols=3, loc="upper center")

# %% [markdown]
# *Figure 8.7. Blocks of the weight gradient in the encoder of the paper's network. Where the images
# are large, the result is small, and without split-K a few blocks would do all the work.*

# %% [markdown]
# ## One graph for a training step
#
# The paper's network has 57 <!-- = 2 * sum(range(8)) + 1 --> convolutions, each with several
# kernels forward and several backward, so a training step launches hundreds of kernels. Each launch
# costs the CPU some microseconds in Python and in the driver, and small kernels finish before the
# next one is launched. CUDA can record the launches of a step once, as a *graph*, and replay them
# all with a single call. The library does this: `minispiral.training.step` records the third <!--
# holds resolve_name("minispiral.training.step").LAUNCHED == 2 --> step and replays it from then on.
# The interesting part is what that demands. A replay launches the same kernels, with the same
# grids, on the same addresses. So
#
# - on the CPU, nothing in a step may depend on a value that the GPU has computed. The loss is an
#   array that stays on the GPU;
# - whatever changes from step to step must be in the GPU's memory, not in the arguments of a
#   launch: for Adam, the step count and the learning rate.
#
# We can demonstrate this on the stand-in: a device that notes its launches is a recorder, and
# launching them again is a replay.


# %%
class Recorder(Watched):
    """Notes everything needed to launch it all again."""

    def __init__(self, device: Any) -> None:
        super().__init__(device)
        self.recorded: list[tuple[Any, ...]] = []

    def launch(self, kernel: Any, grid: tuple[int, ...], *rest: Any) -> None:
        self.recorded.append((kernel, grid, *rest))
        super().launch(kernel, grid, *rest)

    def replay(self) -> None:
        for launched in self.recorded:
            self.device.launch(*launched)


start = rng.standard_normal(50)
if not MISSING:
    recorder = Recorder(CpuDevice())
    p, g, m, v = (recorder.put(values) for values in (start, start, 0 * start, 0 * start))
    with launch.using(recorder):
        update = Update(p, 0.1, 0.9, 0.999, 1e-8)
        update.locate([p], [g], [m], [v])
        update.launch()  # the first step, recorded
    print("recorded:", [kernel for kernel, _ in recorder.grids])

    expected = start.copy()
    ours = expected, start.copy(), np.zeros(50), np.zeros(50)
    for step, lr in ((1, 0.1), (2, 0.1), (3, 0.01)):
        reference.adam(*ours, step, lr, 0.9, 0.999, 1e-8)
        if step > 1:  # a new rate at the old address; the Python code of the step does not run
            update.lr[...] = lr
            recorder.replay()
        found = recorder.get(p)
        print(f"step {step}, rate {lr}: difference {np.abs(found - expected).max():.1e}")
        assert np.allclose(found, expected, rtol=1e-12)

# %% [markdown]
# The replay counted its step and saw the new rate, since both are in the GPU's memory. The factors
# 0.9 and 0.999 are launch arguments, and a replay would use the recorded ones whatever we set. That
# is fine, since they never change.

# %% [markdown]
# ## What only a GPU can tell
#
# The stand-in runs blocks one after another and threads in two orders. It cannot detect races
# between blocks, its tensor-core sums are more exact than those of a real one, and it says nothing
# about speed. All figures in this chapter are counts or rounding errors, not times. [The
# GPU](../gpu.md) says what is known and what is not.
#
# To step through a kernel in a debugger, thread by thread, see [CUDA kernels on the
# CPU](../../tests/cuda_on_cpu/README.md).

# %% [markdown]
# ## Where it lives
#
# **Now read** some 70 lines: `kernels/cuda/split_k.cu`, a whole kernel, and
# `minispiral.kernels.cuda.split_k.parts`, which says how many parts it adds up; then
# `minispiral.kernels.cuda.losses.sums`, which makes a launch ready, and
# `minispiral.kernels.cuda.launch.launch`, through which every one of them goes.
#
# - `minispiral.kernels.cuda.launch.launch`: the only access to the GPU
# - `minispiral.kernels.cuda.table.KERNELS`: all kernels, with their threads and shared memory
# - `minispiral.kernels.cuda.losses.sums`: sums in two passes
# - `minispiral.kernels.cuda.batchnorm.moments`: means and variances in two passes
# - `minispiral.kernels.cuda.conv2d.ALGORITHMS`: which kernels compute a convolution
# - `minispiral.kernels.cuda.conv2d_mma.choose_tiling`: which tiles
# - `minispiral.kernels.cuda.split_k.parts`: split-K
# - `minispiral.kernels.cuda.adam.adam`: all parameters in one launch, ready for a graph
#
# The kernels themselves are in `kernels/cuda/conv2d_plain.cu`, `kernels/cuda/conv2d_mma.cu`,
# `kernels/cuda/matrix_product.cuh`, `kernels/cuda/split_k.cu`, `kernels/cuda/rows.cuh`,
# `kernels/cuda/losses.cu`, `kernels/cuda/batchnorm.cu` and `kernels/cuda/adam.cu`.
#
# ## To read on
#
# - M. Harris, *Optimizing Parallel Reduction in CUDA*, NVIDIA, 2007. The sum of Figure 8.2 in seven
#   steps, each faster than the one before.
# - W. Ahrens, J. Demmel and H. D. Nguyen, *Algorithms for Efficient Reproducible Floating Point
#   Summation*, ACM Transactions on Mathematical Software 46, 2020. The same bits in any order of
#   summation, which is more than a fixed order gives.
# - H. Ootomo and R. Yokota, *Recovering single precision accuracy from Tensor Cores while
#   surpassing the FP32 theoretical peak performance*, International Journal of High Performance
#   Computing Applications 36, 2022. Three products for one, and what the cores' own rounding does
#   to them.

# %% [markdown]
# ## Exercises
#
# These are in Python and need no compiler: kernels are functions or generators, as above. Write
# each into a file of your own and check it with `minispiral exercise 8.1 answer.py`.
#
# ### Exercise 8.1 ★
#
# Write the kernel `double(block, thread, blocks, threads, x, y)`, a plain function that is called
# once for each thread of a grid of `blocks` blocks of `threads` threads, and does its share of
# `y[i] = 2 * x[i]` for all `i` from 0 to `len(x) - 1`. The array may be longer or shorter than the
# grid has threads, so a thread handles several numbers or none, one after another and one index at
# a time. Each number must be handled exactly once, and no thread may handle more numbers than it
# must if all share the work: $\lceil \text{len}(x) / (\text{blocks} \cdot \text{threads}) \rceil$.
# And reads must be coalesced: the first reads of the threads of a warp are adjacent, and so are
# their second reads, and so on.
#
# ### Exercise 8.2 ★★★
#
# Write the kernel `prefix_sum(thread, x, shared, y)`, a generator that `yield`s at each barrier. A
# block of `len(x)` threads runs it. It sets `y[i]` to `x[0] + ... + x[i]` for all `i`. `shared` has
# `len(x)` elements, initially NaN; the threads of the block share it. A thread may write only
# `shared[thread]` and `y[thread]`, and read only `x[thread]` and `shared`. The way to do it: for
# steps of 1, 2, 4, ..., each thread adds the sum of the thread `step` places before it. For $n$
# threads there may be at most $2 \lceil \log_2 n \rceil + 2$ barriers, and a thread may read at
# most as many numbers of other threads. The result must not depend on the order in which threads
# run.
#
# ### Exercise 8.3 ★★
#
# Write `product_in_three(a, b, multiply)`, which returns the product of the float32 matrices `a (m,
# k)` and `b (k, n)`, a float32 matrix, nearly as accurate as float32: the error of a number may be
# at most $2^{-19}$ of the sum of the sizes of its products. Use the given function `multiply(a,
# b)`, a tensor core, for all products: it takes only matrices of TF32 numbers, that is, float32
# numbers whose last 13 bits are 0, and it may be called three times at most. You need not handle
# infinity and NaN.
#
# ### On paper
#
# **A.** How many sectors does a warp read if thread $l$ reads number $2l$ of an array of float64,
# which begins at a sector? How many barriers does `block_sum` pass with 64 threads?
#
# **B.** Two threads add 1 to the same number in memory, without atomics: each reads it, adds, and
# writes. In how many orders can their two reads and two writes happen, and in how many of them is
# the number 2 in the end, if it was 0? Now each thread does this $n$ times, one after the other.
# What are the largest and the smallest result, for $n \ge 2$? And what is the result if the 32
# threads of a warp do it once each, all at the same time?
#
# **C.** A GPU delivers 3 terabytes a second from memory. It does $60 \cdot 10^{12}$ operations a
# second in float32, and $480 \cdot 10^{12}$ in TF32; a product and its addition are two. A number
# takes 4 bytes. How large must square tiles be so that reading takes no longer than computing: in
# float32, in TF32, and with three TF32 products for one? A block has registers for 65,536 numbers
# at most. Blocks that run at the same time share a cache: how can it help where no tile is large
# enough? Last, which square tile reads as many numbers for a product as the tile of 128 x 64 does,
# and why is a square the best shape?
#
# ### Experiment
#
# How does the spread of Figure 8.3 grow with the number of parts, for float32 and for float64? Add
# the parts in a tree of random shape instead of a row: is the spread larger or smaller, and why?
